"""Type names and signatures inside texts: 'timestamp with time zone', 'abs(int4)', '+(int4,int4)'.

What is built in is found here, by the facts; what users made is asked of the catalog.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import SQL_NAMES
from heliosd.types.facts import function_facts, function_oids, operator_facts, type_facts
from heliosd.types.names import parse_qualified_name
from heliosd.types.quoting import quote_identifier, quote_qualified

# SQL's spellings beside format_type()'s own.
_ALIASES: Final[Mapping[str, str]] = {
    **{shown: name for name, shown in SQL_NAMES.items()},
    "int": "int4",
    "dec": "numeric",
    "decimal": "numeric",
    "float": "float8",
    "char": "bpchar",
    "char varying": "varchar",
    "national character": "bpchar",
    "national character varying": "varchar",
    "nchar": "bpchar",
    "nchar varying": "varchar",
}
_MODIFIER: Final = re.compile(r"\s*\([^()]*\)\s*")
_ARRAY: Final = re.compile(
    r"\s*(?:\[\s*\d*\s*\]|\barray\b(?:\s*\[\s*\d*\s*\])?)\s*$", re.IGNORECASE
)


def find_type(text: str, ctx: EvalContext) -> int | None:
    """The oid of a type as SQL writes it; None when there is none. 42602, 42601."""
    base = text.strip()
    is_array = False
    while (match := _ARRAY.search(base)) is not None and match.start() > 0:
        base, is_array = base[: match.start()], True
    base = _MODIFIER.sub(" ", base).strip()
    plain = " ".join(base.lower().split())
    name = _ALIASES.get(plain, plain)
    fact = type_facts().get(name)
    if fact is None or '"' in base:
        parts = parse_qualified_name(base)
        if parts[:-1] in ((), ("pg_catalog",)):
            fact = type_facts().get(parts[-1])
        if fact is None:
            if is_array:
                parts = (*parts[:-1], f"_{parts[-1]}")
            return ctx.catalog.find_oid("type", parts)
    return fact.array_oid if is_array else fact.oid


@lru_cache(maxsize=1)
def _types_by_oid() -> Mapping[int, str]:
    return MappingProxyType({fact.oid: name for name, fact in type_facts().items()})


def type_name(oid: int, ctx: EvalContext) -> str | None:
    """A type as format_type(oid, NULL) shows it; None when there is none."""
    name = _types_by_oid().get(oid)
    if name is not None:
        fact = type_facts()[name]
        if fact.element and (fact.category == "A" or fact.name == "_record"):
            return f"{type_name(fact.element, ctx)}[]"
        return '"any"' if name == "any" else SQL_NAMES.get(name, name)
    found = ctx.catalog.find_name("type", oid)
    if found is None:
        return None
    schema, bare = found
    if bare.startswith("_"):
        # an array's own name is its element's behind an underscore
        element = ctx.catalog.find_oid("type", (schema, bare[1:]) if schema else (bare[1:],))
        if element is not None:
            return f"{type_name(element, ctx)}[]"
    visible = not schema or ctx.catalog.is_visible("type", oid)
    return quote_identifier(bare) if visible else quote_qualified(schema, bare)


def _split_signature(text: str) -> tuple[str, list[str]]:
    head, paren, tail = text.partition("(")
    tail = tail.rstrip()
    if not paren:
        raise SqlError("22P02", "expected a left parenthesis")
    if not tail.endswith(")"):
        raise SqlError("22P02", "expected a right parenthesis")
    inner = tail[:-1].strip()
    if not inner:
        return head.strip(), []
    parts, depth, current = [], 0, ""
    for char in inner:
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += (char in "([") - (char in ")]")
        current += char
    parts.append(current)
    if any(not part.strip() for part in parts):
        raise SqlError("22P02", "expected a type name")
    return head.strip(), [part.strip() for part in parts]


def _argument_types(parts: list[str], ctx: EvalContext) -> list[int]:
    found = []
    for part in parts:
        oid = 0 if part.lower() == "none" else find_type(part, ctx)
        if oid is None:
            raise SqlError("42704", f'type "{part}" does not exist')
        found.append(oid)
    return found


def find_procedure(text: str, ctx: EvalContext) -> int | None:
    """'abs(int4)' to its oid; None when there is none. 22P02, 42704."""
    head, parts = _split_signature(text)
    name = parse_qualified_name(head)
    types = _argument_types(parts, ctx)
    known = _types_by_oid()
    if name[:-1] in ((), ("pg_catalog",)) and all(oid in known for oid in types):
        signature = f"{name[-1]}({','.join(known[oid] for oid in types)})"
        oid = function_oids().get(signature)
        if oid is not None:
            return oid
    return ctx.catalog.find_oid("procedure", (*name, ",".join(str(oid) for oid in types)))


@lru_cache(maxsize=1)
def _operators_by_signature() -> Mapping[tuple[str, str, str], int]:
    return MappingProxyType({(f.name, f.left, f.right): f.oid for f in operator_facts()})


@lru_cache(maxsize=1)
def _counts() -> tuple[Mapping[str, int], Mapping[str, int]]:
    functions = Counter(fact.name for fact in function_facts().values())
    operators = Counter(fact.name for fact in operator_facts())
    return functions, operators


def find_operator(text: str, ctx: EvalContext) -> int | None:
    """'+(int4,int4)' to its oid; None when there is none. 22P02, 42704."""
    head, parts = _split_signature(text)
    types = _argument_types(parts, ctx)
    if len(types) != 2:
        raise SqlError(
            "42P02" if len(types) < 2 else "54023",
            "missing argument" if len(types) < 2 else "too many arguments",
            hint="Use NONE to denote the missing argument of a unary operator.",
        )
    known = _types_by_oid()
    name = head.rpartition(".")[2]
    left, right = (known.get(oid, "") for oid in types)
    return _operators_by_signature().get((name, left, right))


def find_operator_name(text: str) -> int | None:
    """'||' to its oid when only one operator has that name; 42725 when several have."""
    name = text.rpartition(".")[2].strip()
    count = _counts()[1].get(name, 0)
    if count > 1:
        raise SqlError("42725", f"more than one operator named {name}")
    return next((f.oid for f in operator_facts() if f.name == name), None)


def find_function_name(name: tuple[str, ...], ctx: EvalContext) -> int | None:
    """A function's bare name to its oid; 42725 when several have it."""
    if name[:-1] in ((), ("pg_catalog",)):
        count = _counts()[0].get(name[-1], 0)
        if count > 1:
            raise SqlError("42725", f'more than one function named "{".".join(name)}"')
    return ctx.catalog.find_oid("function", name)


def procedure_text(oid: int, ctx: EvalContext) -> str | None:
    """'abs(integer)'; None when there is no such function."""
    fact = function_facts().get(oid)
    if fact is None:
        found = ctx.catalog.find_name("procedure", oid)
        return None if found is None else found[1]
    facts = type_facts()
    shown = ",".join(str(type_name(facts[kind].oid, ctx)) for kind in fact.arguments)
    return f"{quote_identifier(fact.name)}({shown})"


def operator_text(oid: int, ctx: EvalContext) -> str | None:
    """'+(integer,integer)'; None when there is no such operator."""
    fact = next((f for f in operator_facts() if f.oid == oid), None)
    if fact is None:
        return None
    facts = type_facts()
    sides = [
        str(type_name(facts[side].oid, ctx)) if side else "NONE" for side in (fact.left, fact.right)
    ]
    return f"{fact.name}({','.join(sides)})"


def operator_name_text(oid: int) -> str | None:
    """The name, with its schema where the name alone is ambiguous."""
    fact = next((f for f in operator_facts() if f.oid == oid), None)
    if fact is None:
        return None
    return fact.name if _counts()[1][fact.name] == 1 else f"pg_catalog.{fact.name}"


def function_name_text(oid: int, ctx: EvalContext) -> str | None:
    """The name, with its schema where the name alone is ambiguous."""
    fact = function_facts().get(oid)
    if fact is None:
        found = ctx.catalog.find_name("function", oid)
        return None if found is None else quote_qualified(*found) if found[0] else found[1]
    name = quote_identifier(fact.name)
    return name if _counts()[0][fact.name] == 1 else f"pg_catalog.{name}"
