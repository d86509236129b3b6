"""The reference page of functions, made from the registry: `python -m heliosd.functions.reference`.

A test holds `docs/reference/functions.md` to what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from heliosd.functions.builtin import FUNCTIONS, MODULES
from heliosd.functions.registry import AnyFunction, SqlFunction
from heliosd.types.builtin import MODULES as TYPE_MODULES
from heliosd.types.declare import SQL_NAMES
from heliosd.types.facts import function_facts, type_facts

_KINDS: Final = {"a": "aggregate", "w": "window", "f": ""}


def _type_name(oid: int) -> str:
    name = next((name for name, fact in type_facts().items() if fact.oid == oid), str(oid))
    if name.startswith("_") and len(name) > 1:
        bare = name[1:]
        return f"{SQL_NAMES.get(bare, bare)}[]"
    return SQL_NAMES.get(name, name)


class _Names(dict[int, str]):
    def __missing__(self, oid: int) -> str:
        self[oid] = _type_name(oid)
        return self[oid]


def _signature(function: AnyFunction, names: _Names) -> str:
    parts = [names[oid] for oid in function.arguments]
    if function.variadic and parts:
        parts[-1] = f"VARIADIC {parts[-1]}"
    result = names[function.result]
    if function.returns_set:
        result = f"setof {result}"
    kind = _KINDS[function.kind]
    shown = f"`{function.name}({', '.join(parts)})` → `{result}`"
    return f"{shown}, {kind}" if kind else shown


def _title(module: ModuleType) -> str:
    return (module.__doc__ or module.__name__).strip().splitlines()[0].rstrip(".")


def _implemented(module: ModuleType) -> Iterator[str]:
    """Signatures, by pg_proc's names of types, that a module has."""
    yield from module.forms.by_signature
    for each in (*getattr(module, "aggregates", ()), *getattr(module, "window_functions", ())):
        yield f"#{each.oid}"


def _first_line(function: AnyFunction) -> str:
    row = function.row if isinstance(function, SqlFunction) else None
    text = getattr(row, "__doc__", None) if callable(row) else None
    return text.strip().splitlines()[0].rstrip(".") if text else ""


def _chapter(
    module: ModuleType, by_signature: dict[str, AnyFunction], names: _Names
) -> Iterator[str]:
    found = {}
    for signature in _implemented(module):
        function = by_signature.get(signature)
        if function is not None:
            found[function.oid] = function
    if not found:
        return
    yield f"## {_title(module)}\n"
    for function in sorted(found.values(), key=lambda each: (each.name, each.arguments)):
        said = _first_line(function)
        yield f"- {_signature(function, names)}{f': {said}' if said else ''}"
    yield ""


def function_page() -> str:
    """The page's text."""
    facts = function_facts()
    by_signature: dict[str, AnyFunction] = {f"#{oid}": f for oid, f in FUNCTIONS.by_oid.items()}
    for oid, fact in facts.items():
        if fact.kind == "f" and oid in FUNCTIONS.by_oid:
            by_signature[fact.signature] = FUNCTIONS.by_oid[oid]
    names = _Names()
    missing = sorted({fact.name for oid, fact in facts.items() if oid not in FUNCTIONS.by_oid})
    lines = [
        "# Functions\n",
        "Made from the registry by `python -m heliosd.functions.reference`: do not edit.\n",
    ]
    lines.append(
        f"{len(FUNCTIONS.by_oid)} functions, aggregates and window functions, by the module that "
        "has them. What operators and casts run is among them under its PostgreSQL name.\n"
    )
    for module in (*MODULES, *TYPE_MODULES):
        lines.extend(_chapter(module, by_signature, names))
    lines.append("## What PostgreSQL 15 has besides\n")
    lines.append(
        "These names have at least one form that is not here; calling one is an error (0A000, or "
        "42883 where other forms are here). Many are PostgreSQL's own inner works.\n"
    )
    lines.append(", ".join(f"`{name}`" for name in missing) + "\n")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(function_page())
