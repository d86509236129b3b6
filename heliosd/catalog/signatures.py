"""Built-in functions' arguments and results as pg_get_function_arguments shows them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from heliosd.types.declare import SQL_NAMES
from heliosd.types.facts import FunctionFact, type_facts
from heliosd.types.quoting import quote_identifier


@lru_cache(maxsize=1)
def type_names() -> Mapping[int, str]:
    """PostgreSQL's types by oid, those that this server cannot compute with included."""
    return MappingProxyType({fact.oid: fact.name for fact in type_facts().values()})


def shown_type(name: str) -> str:
    """`integer[]` for `_int4`."""
    fact = type_facts().get(name)
    if fact is not None and fact.category == "A" and fact.element and name.startswith("_"):
        return shown_type(name[1:]) + "[]"
    return SQL_NAMES.get(name, name)


def argument_list(fact: FunctionFact, *, defaults: bool) -> str:
    """`a integer, VARIADIC b text[] DEFAULT ...`; outputs only with `defaults`."""
    parts: list[str] = []
    optional = len(fact.arguments) - len(fact.defaults)
    for place, kind in enumerate(fact.arguments):
        text = shown_type(kind)
        name = fact.argument_names[place] if place < len(fact.argument_names) else ""
        if name:
            text = f"{quote_identifier(name)} {text}"
        if fact.variadic and place == len(fact.arguments) - 1:
            text = "VARIADIC " + text
        if defaults and place >= optional:
            text += f" DEFAULT {fact.defaults[place - optional]}"
        parts.append(text)
    if defaults:
        for name, kind in fact.columns:
            shown = f"{quote_identifier(name)} {shown_type(kind)}" if name else shown_type(kind)
            parts.append("OUT " + shown)
    return ", ".join(parts)


def result_text(fact: FunctionFact) -> str:
    """`SETOF record`."""
    return ("SETOF " if fact.returns_set else "") + shown_type(fact.result)
