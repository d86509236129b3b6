"""Routines as the SQL that would make them: pg_get_functiondef and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import Routine, RoutineParameter

_MODES: Final = {"i": "", "o": "OUT ", "b": "INOUT ", "v": "VARIADIC ", "t": ""}
_VOLATILITY: Final = {"i": "IMMUTABLE", "s": "STABLE"}
_PARALLEL: Final = {"s": "PARALLEL SAFE", "r": "PARALLEL RESTRICTED"}

TypeText = Callable[[int], str]
"""A type's name as format_type() shows it to this session."""


def routine_arguments(routine: Routine, type_text: TypeText, *, full: bool) -> str:
    """pg_get_function_arguments; without `full`, what identifies the routine."""
    shown = [p for p in routine.parameters if p.mode != "t" and (full or p.mode != "o")]
    if routine.kind == "p" and not full:
        shown = [p for p in routine.parameters if p.mode != "t"]
    return ", ".join(_parameter(routine, p, type_text, full=full) for p in shown)


def _parameter(
    routine: Routine, parameter: RoutineParameter, type_text: TypeText, *, full: bool
) -> str:
    mode = _MODES[parameter.mode]
    if routine.kind == "p" and parameter.mode == "i":
        mode = "IN "
    text = mode + (f"{quote_identifier(parameter.name)} " if parameter.name else "")
    text += type_text(parameter.type_oid)
    if full and parameter.default is not None:
        text += f" DEFAULT {parameter.default}"
    return text


def routine_result(routine: Routine, type_text: TypeText) -> str | None:
    """pg_get_function_result; None for a procedure."""
    if routine.kind == "p":
        return None
    columns = [p for p in routine.parameters if p.mode == "t"]
    if columns:
        inside = ", ".join(f"{quote_identifier(p.name)} {type_text(p.type_oid)}" for p in columns)
        return f"TABLE({inside})"
    return ("SETOF " if routine.returns_set else "") + type_text(routine.result)


def routine_definition(catalog: Catalog, routine: Routine, type_text: TypeText) -> str:
    """pg_get_functiondef."""
    word = "PROCEDURE" if routine.kind == "p" else "FUNCTION"
    name = quote_qualified(catalog.schema_name(routine.schema), routine.name)
    lines = [f"CREATE OR REPLACE {word} {name}({routine_arguments(routine, type_text, full=True)})"]
    result = routine_result(routine, type_text)
    if result is not None:
        lines.append(f" RETURNS {result}")
    lines.append(f" LANGUAGE {quote_identifier(routine.language)}")
    words = [
        _VOLATILITY.get(routine.volatility, ""),
        _PARALLEL.get(routine.parallel, ""),
        "STRICT" if routine.strict else "",
        "SECURITY DEFINER" if routine.security_definer else "",
        "LEAKPROOF" if routine.leakproof else "",
        f"COST {routine.cost:g}" if routine.cost != 100 else "",
        f"ROWS {routine.rows:g}" if routine.returns_set and routine.rows not in (0, 1000) else "",
    ]
    options = " ".join(word for word in words if word)
    if options:
        lines.append(f" {options}")
    lines.extend(f" SET {setting_text(key, value)}" for key, value in routine.settings)
    if routine.atomic:
        return "\n".join([*lines, routine.body, ""])
    tag = f"${word.lower()}$"
    return "\n".join([*lines, f"AS {tag}{routine.body}{tag}", ""])


def setting_text(name: str, value: str) -> str:
    """A SET clause: lists bare, other values quoted."""
    if name == "search_path":
        return f"{quote_identifier(name)} TO {', '.join(_listed(value))}"
    escaped = value.replace("'", "''")
    return f"{quote_identifier(name)} TO '{escaped}'"


def _listed(value: str) -> list[str]:
    parts = [part.strip().strip('"') for part in value.split(",")]
    return ["'" + part.replace("'", "''") + "'" for part in parts]
