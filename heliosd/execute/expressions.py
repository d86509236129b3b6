"""Bound expressions -> Python expressions with SQL's three-valued logic.

Every expression becomes a `Code`: one Python expression whose value is the SQL value (`None` for
NULL). `condition` makes a shorter one that is only right as a truth test (NULL counts as false),
which is what WHERE, ON, HAVING, FILTER and CASE need. Operands that a text needs twice are named
in place by `:=`; a text that gets too deep for CPython's parser moves into a function of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from heliosd.errors import SqlError, not_supported
from heliosd.execute.source import EXPRESSION_DEPTH_MAX, Module, Writer
from heliosd.sql.bound import And, Call, Expr, Not, Or
from heliosd.types.registry import CallTypes

if TYPE_CHECKING:
    from heliosd.plan.nodes import SubPlan
    from heliosd.types.registry import SqlOperator, SqlType, TypeRegistry

_IDENTIFIER: Final = re.compile(r"(?<![\w.{])([A-Za-z_]\w*)")
_LITERAL: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_WORDS: Final = frozenset(
    {"if", "else", "and", "or", "not", "is", "in", "None", "True", "False", "for", "lambda"}
)
EQUAL: Final = "{0} == {1}"
PYTHON_NAMES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        each.__name__: each
        for each in (abs, bool, bytes, float, int, len, list, max, min, round, str, sum, tuple)
    }
)
"""Python's own functions that templates may name; generated code has no other builtins."""


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression. `uses`: the local names in it; `atom`: a name or a constant."""

    text: str
    nullable: bool = True
    atom: bool = False
    depth: int = 1
    uses: frozenset[str] = frozenset()


NULL: Final = Code("None", nullable=True, atom=True, depth=0)
TRUE: Final = Code("True", nullable=False, atom=True, depth=0)
FALSE: Final = Code("False", nullable=False, atom=True, depth=0)


def local(name: str, *, nullable: bool = True) -> Code:
    """A local name of the function being written."""
    return Code(name, nullable=nullable, atom=True, depth=0, uses=frozenset({name}))


class Types(Protocol):
    """Finds a type by oid: built-in ones and those that users made."""

    @property
    def registry(self) -> TypeRegistry: ...
    def type(self, oid: int) -> SqlType: ...


class Subplans(Protocol):
    """Compiles a subquery that stands in an expression."""

    def subplan(self, node: SubPlan, compiler: ExpressionCompiler) -> Code: ...


class ExpressionCompiler:
    """Turns expressions into `Code` inside one function (`writer`).

    `columns` maps (rel, column) to the code that holds it. `forms` has a function per node class
    (`expression_forms.FORMS`), `names` what the templates of row forms may use.
    """

    def __init__(
        self,
        module: Module,
        writer: Writer,
        types: Types,
        names: Mapping[str, Any],
        forms: Mapping[type, Callable[[ExpressionCompiler, Any], Code]],
        columns: Mapping[tuple[int, int], Code],
        subplans: Subplans | None = None,
    ) -> None:
        self.module = module
        self.writer = writer
        self.types = types
        self.names = names
        self.forms = forms
        self.columns = columns
        self.subplans = subplans
        self.case_values: list[Code] = []
        self.element: Code | None = None

    def elsewhere(
        self, writer: Writer, columns: Mapping[tuple[int, int], Code] | None = None
    ) -> ExpressionCompiler:
        """A compiler for another function of the same module."""
        return ExpressionCompiler(
            self.module,
            writer,
            self.types,
            self.names,
            self.forms,
            columns if columns is not None else {},
            self.subplans,
        )

    # -- the two entrances ---------------------------------------------------------------------

    def value(self, node: Expr) -> Code:
        """Code whose value is the expression's."""
        form = self.forms.get(type(node))
        if form is None:
            raise not_supported(f"expression {type(node).__name__}")
        return self.shallow(form(self, node))

    def condition(self, node: Expr) -> Code:
        """Code that is truthy exactly when the expression is true."""
        match node:
            case And():
                return self._joined(" and ", [self.condition(a) for a in node.arguments])
            case Or():
                return self._joined(" or ", [self.condition(a) for a in node.arguments])
            case Not():
                return self._negated(node.argument)
            case Call() if isinstance(node.target.row, str) and node.target.specialize is None:
                return self.shallow(self._call_condition(node))
        return self.value(node)

    def _call_condition(self, node: Call) -> Code:
        """A call of a template as a truth test: NULL operands make it false."""
        target = node.target
        if not target.strict:
            return self.value(node)
        arguments = [self.value(a) for a in node.arguments]
        if target.row == EQUAL and len(arguments) == 2:
            left, right = arguments
            if left is NULL or right is NULL:
                return FALSE
            if not (left.nullable and right.nullable):
                # A value never equals None, so the test for NULL is in the comparison.
                return code_of(f"({left.text} == {right.text})", arguments, nullable=False)
        code = self.call_form(
            target.row,
            arguments,
            strict=True,
            needs_context=target.needs_context,
            condition=True,
        )
        return FALSE if code is NULL else code

    def conditions(self, nodes: Sequence[Expr]) -> Code:
        """Truthy exactly when all of them are true."""
        return self._joined(" and ", [self.condition(node) for node in nodes])

    def _negated(self, node: Expr) -> Code:
        """Truthy exactly when the expression is false."""
        if isinstance(node, Not):
            return self.condition(node.argument)
        if isinstance(node, And):
            return self._joined(" or ", [self._negated(a) for a in node.arguments])
        if isinstance(node, Or):
            return self._joined(" and ", [self._negated(a) for a in node.arguments])
        value = self.value(node)
        if not value.nullable:
            return code_of(f"(not {value.text})", [value], nullable=False)
        return code_of(f"({value.text} is False)", [value], nullable=False)

    def _joined(self, word: str, parts: Sequence[Code]) -> Code:
        kept = [p for p in parts if p is not (TRUE if "and" in word else FALSE)]
        if not kept:
            return TRUE if "and" in word else FALSE
        if len(kept) == 1:
            return kept[0]
        return self.shallow(
            code_of("(" + word.join(p.text for p in kept) + ")", kept, nullable=False)
        )

    # -- building blocks -----------------------------------------------------------------------

    def bind(self, code: Code) -> tuple[str, str]:
        """(text to use first, text to use afterwards) of a value that is needed twice."""
        if code.atom:
            return code.text, code.text
        name = self.module.name("t")
        return f"({name} := {code.text})", name

    def named(self, code: Code, name: str, *, nullable: bool | None = None) -> Code:
        """What `bind` called `name`, as code."""
        uses = code.uses if code.atom else frozenset({name})
        return Code(name, code.nullable if nullable is None else nullable, True, 0, uses)

    def strict(self, arguments: Sequence[Code], body: Callable[[list[str]], str]) -> Code:
        """`body` of the argument texts where none is NULL, else NULL."""
        return self._strict(arguments, body, twice=frozenset(), condition=False)

    def strict_condition(self, arguments: Sequence[Code], body: Callable[[list[str]], str]) -> Code:
        """As `strict`, only right as a truth test."""
        return self._strict(arguments, body, twice=frozenset(), condition=True)

    def _strict(
        self,
        arguments: Sequence[Code],
        body: Callable[[list[str]], str],
        *,
        twice: frozenset[int],
        condition: bool,
    ) -> Code:
        if any(a is NULL for a in arguments):
            return NULL
        tests: list[str] = []
        texts: list[str] = []
        for number, argument in enumerate(arguments):
            if argument.nullable or (number in twice and not argument.atom):
                first, later = self.bind(argument)
                tests.append(f"{first} is not None" if condition else f"{first} is None")
                texts.append(later)
            else:
                texts.append(argument.text)
        nullable = any(a.nullable for a in arguments)
        if not tests:
            return code_of(f"({body(texts)})", arguments, nullable=False)
        if condition:
            return code_of(f"({' and '.join([*tests, body(texts)])})", arguments, nullable=False)
        return code_of(
            f"(None if {' or '.join(tests)} else {body(texts)})", arguments, nullable=nullable
        )

    def shallow(self, code: Code) -> Code:
        """Move a text that nests too deeply into a function of its own."""
        return code if code.depth <= EXPRESSION_DEPTH_MAX else self.outlined(code)

    def outlined(self, code: Code) -> Code:
        """The value by way of a function of its own."""
        names = ", ".join(sorted(u for u in code.uses if f"({u} := " not in code.text))
        function = self.module.function(names)
        function.line(f"return {code.text}")
        return Code(f"{function.name}({names})", code.nullable, depth=1, uses=code.uses)

    def template(self, text: str) -> str:
        """Make the names that a row form's template uses known to the module."""
        for name in _IDENTIFIER.findall(_LITERAL.sub("", text)):
            if name in _WORDS or name in self.module.slots or name == "ctx":
                continue
            value = self.names.get(name) or PYTHON_NAMES.get(name)
            if value is None:
                raise SqlError("XX000", f"row form uses an unknown name {name}")
            self.module.slots[name] = value
        return text

    def evaluation(self) -> str:
        """The local name of the EvalContext."""
        self.writer.first("evaluation = ctx.eval")
        return "evaluation"

    def call_form(
        self,
        row: str | Callable[..., Any] | None,
        arguments: Sequence[Code],
        *,
        strict: bool,
        needs_context: bool,
        condition: bool = False,
        nullable_result: bool = True,
    ) -> Code:
        """Inline a template, or call a callable by slot."""
        context = self.evaluation() if needs_context else ""
        uses = frozenset({"evaluation"}) if needs_context else frozenset[str]()
        if isinstance(row, str):
            text = self.template(row)
            twice = frozenset(i for i in range(len(arguments)) if text.count(f"{{{i}}}") > 1)
            names = [f"{{{i}}}" for i in range(len(arguments))]

            def inline(texts: list[str]) -> str:
                return _fill(text, dict(zip(names, texts, strict=True)), context)

            code = (
                self._strict(arguments, inline, twice=twice, condition=condition)
                if strict
                else self._lenient(arguments, inline, twice)
            )
        else:
            assert row is not None
            slot = self.module.slot(row)

            def called(texts: list[str]) -> str:
                return f"{slot}({', '.join([context, *texts] if context else texts)})"

            code = (
                self._strict(arguments, called, twice=frozenset(), condition=condition)
                if strict
                else code_of(called([a.text for a in arguments]), arguments, nullable=True)
            )
        if nullable_result and not condition and code is not NULL and not code.nullable:
            # A strict function may still answer NULL.
            code = Code(code.text, nullable=True, depth=code.depth, uses=code.uses)
        if uses and code is not NULL:
            code = Code(code.text, code.nullable, code.atom, code.depth, code.uses | uses)
        return code

    def operator(
        self, operator: SqlOperator, left: Code, right: Code, types: tuple[int, int]
    ) -> Code:
        """`left operator right` of codes that are at hand."""
        row: str | Callable[..., Any] = operator.row
        if operator.specialize is not None:
            row = operator.specialize(
                CallTypes(
                    (self.types.type(types[0]), self.types.type(types[1])),
                    self.types.type(operator.result),
                    self.types.registry,
                )
            )
        return self.call_form(
            row,
            [left, right],
            strict=operator.strict,
            needs_context=operator.needs_context,
            nullable_result=operator.result != BOOL,
        )

    def _lenient(
        self,
        arguments: Sequence[Code],
        inline: Callable[[list[str]], str],
        twice: frozenset[int],
    ) -> Code:
        """A template that sees NULLs: operands used twice are named before it is evaluated."""
        texts: list[str] = []
        named: list[str] = []
        for number, argument in enumerate(arguments):
            if number in twice and not argument.atom:
                first, later = self.bind(argument)
                named.append(first)
                texts.append(later)
            else:
                texts.append(argument.text)
        body = inline(texts)
        if named:
            body = f"(({', '.join(named)},), {body})[1]"
        return code_of(f"({body})", arguments, nullable=True)


BOOL: Final = 16
ANY: Final = 2276
UNKNOWN: Final = 705
TEXTS: Final = frozenset({25, 1043})
WHOLE_ROW: Final = -100
"""The column number under which a rel's whole row is known."""

ENVIRONMENT: Final = frozenset({"ctx", "params", "state"})
"""What every function of a row program has as its first parameters."""


def code_of(text: str, parts: Sequence[Code], *, nullable: bool) -> Code:
    depth = 1 + max((p.depth for p in parts), default=0)
    uses = frozenset[str]().union(*(p.uses for p in parts)) if parts else frozenset[str]()
    return Code(text, nullable, False, depth, uses)


_SLOT: Final = re.compile(r"\{(\d+|ctx)\}")


def _fill(template: str, texts: Mapping[str, str], context: str) -> str:
    """Put the argument texts into a template's places in one pass."""
    return _SLOT.sub(
        lambda found: context if found[1] == "ctx" else texts[found[0]],
        template,
    )
