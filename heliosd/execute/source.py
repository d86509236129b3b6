"""Generated Python: a module's text, its constants by slot, and its way into an interpreter.

Row programs are compiled from plans. The text that is compiled holds only what this room wrote:
keywords, names of the forms `v1` (a value), `k1` (a constant or function by slot), `p1` (a function
of the program), `r1` (a row or another helper), and numbers that this room computed. Every value
that a user wrote (literals, identifiers, patterns) sits in a slot of the namespace, so that no text
of a statement can ever be read as Python (`check_source` proves it on each program).
"""

from __future__ import annotations

import ast
import itertools
import linecache
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from heliosd.errors import SqlError

# CPython nests at most 20 loops and 100 levels of indentation, and its parser 200 parentheses.
EXPRESSION_DEPTH_MAX: Final = 40
INDENT_MAX: Final = 60

_NAME: Final = re.compile(
    r"\A(?:[akprstv][0-9]+|ctx|params|state|evaluation|snapshot|transaction|check|out)\Z"
)
_BUILTINS: Final = frozenset({"len", "set", "zip"})

_ALLOWED: Final = frozenset(
    {
        ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign,
        ast.For, ast.While, ast.If, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.Try,
        ast.ExceptHandler, ast.Raise, ast.Nonlocal, ast.Delete,
        ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.Call,
        ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple,
        ast.Slice, ast.ListComp, ast.GeneratorExp, ast.comprehension, ast.Yield, ast.YieldFrom,
        ast.Dict, ast.Set, ast.keyword,
        ast.Load, ast.Store, ast.Del, ast.And, ast.Or, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv,
        ast.Mod, ast.Div, ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift, ast.Invert,
        ast.Not, ast.UAdd, ast.USub, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is,
        ast.IsNot, ast.In, ast.NotIn, ast.Pow,
    }
)  # fmt: skip

_serial = itertools.count(1)


@lru_cache(maxsize=2048)
def compiled_text(text: str) -> tuple[CodeType, frozenset[str]]:
    """A program's code and the names that it expects in slots.

    Statements of one shape have one text, because what differs sits in slots: the second one is
    spared parsing, the check and compiling (half of the time that a new statement takes).
    """
    tree = ast.parse(text)
    names = check_source(tree)
    return compile(tree, f"<row program {next(_serial)}>", "exec"), names


class Module:
    """The text and the slots of one program while it is being written."""

    def __init__(self) -> None:
        self.functions: list[Writer] = []
        self.slots: dict[str, object] = {}
        self._slot_of: dict[int, str] = {}
        self._counts: dict[str, int] = {}

    def name(self, prefix: str) -> str:
        """A fresh name: `v7`."""
        number = self._counts.get(prefix, 0) + 1
        self._counts[prefix] = number
        return f"{prefix}{number}"

    def slot(self, value: object) -> str:
        """The name of the slot that holds `value` (the same object has one slot)."""
        if value is None or value is True or value is False:
            return repr(value)
        known = self._slot_of.get(id(value))
        if known is not None:
            return known
        name = self.name("k")
        self.slots[name] = value
        self._slot_of[id(value)] = name
        return name

    def late_slot(self) -> str:
        """A slot that is filled before the program is sealed (see `fill`)."""
        name = self.name("k")
        self.slots[name] = None
        return name

    def fill(self, name: str, value: object) -> None:
        self.slots[name] = value

    def function(self, parameters: str, *, comment: str = "", name: str | None = None) -> Writer:
        """A new function of this module; its text is complete when the module is sealed."""
        writer = Writer(self, name or self.name("p"), parameters, comment)
        self.functions.append(writer)
        return writer

    def seal(self) -> tuple[str, dict[str, Any]]:
        """Compile the text. Returns it with the namespace that now holds its functions."""
        text = "\n\n".join(function.text() for function in self.functions) + "\n"
        code, names = compiled_text(text)
        if not names <= self.slots.keys():
            raise SqlError("XX000", "row program holds an unknown name")
        filename = code.co_filename
        namespace: dict[str, Any] = {
            "__builtins__": {},
            "__name__": filename,
            "len": len,
            "set": set,
            "zip": zip,
            **self.slots,
        }
        exec(code, namespace)  # noqa: S102  # checked by compiled_text
        remember_source(filename, text, namespace[self.functions[-1].name])
        return text, namespace


class Writer:
    """The text of one function, line by line."""

    def __init__(self, module: Module, name: str, parameters: str, comment: str) -> None:
        self.module = module
        self.name = name
        self.parameters = parameters
        self.comment = comment
        self.lines: list[str] = []
        self.head: list[str] = []
        self.indent = 1
        self.loops = 0

    def line(self, text: str) -> None:
        if self.indent > INDENT_MAX:
            raise SqlError("54001", "statement is too complex")
        self.lines.append("    " * self.indent + text)

    def first(self, text: str) -> None:
        """A line before everything else in the function (loading a parameter or a method)."""
        line = "    " + text
        if line not in self.head:
            self.head.append(line)

    @contextmanager
    def block(self, opening: str, *, loop: bool = False) -> Iterator[None]:
        """`opening` and everything inside one level deeper."""
        self.line(opening)
        self.indent += 1
        self.loops += loop
        count = len(self.lines)
        try:
            yield
        finally:
            if len(self.lines) == count:
                self.line("pass")
            self.indent -= 1
            self.loops -= loop

    def text(self) -> str:
        head = [f"def {self.name}({self.parameters}):"]
        if self.comment:
            head.append("    # " + self.comment)
        body = [*self.head, *self.lines] or ["    pass"]
        return "\n".join([*head, *body])


def check_source(tree: ast.Module) -> frozenset[str]:
    """Refuse any construct or name that this room does not write. XX000: a defect, not an input.

    Returns the names that must be those of slots.
    """
    names: set[str] = set()
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    stack: list[ast.AST] = [*tree.body]
    while stack:
        node = stack.pop()
        kind = node.__class__
        if kind not in _ALLOWED:
            raise SqlError("XX000", f"row program holds {kind.__name__}")
        if kind is ast.Name:
            name = node.id  # type: ignore[attr-defined]
            if not (_NAME.match(name) or name in functions or name in _BUILTINS):
                names.add(name)
            continue
        if kind is ast.Constant:
            if not isinstance(node.value, int | float | None | str | bytes):  # type: ignore[attr-defined]
                raise SqlError("XX000", "row program holds an unknown constant")
            continue
        if kind is ast.Attribute and node.attr.startswith("_"):  # type: ignore[attr-defined]
            raise SqlError("XX000", "row program holds a private attribute")
        for field in node._fields:
            value = getattr(node, field)
            if value.__class__ is list:
                stack.extend([item for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, ast.AST):
                stack.append(value)
    return frozenset(names)


def remember_source(filename: str, text: str, owner: object) -> None:
    """Show the text in tracebacks and debuggers as long as `owner` (a function) lives."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None)
