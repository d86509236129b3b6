"""has_table_privilege and its kin: who may do what, asked of the catalog.

Each function exists for the current role and for a role by name or oid (0 or `public`: PUBLIC), and
for objects by name or oid. Names that nothing has are errors; oids that nothing has give NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.names import parse_qualified_name
from heliosd.types.signatures import find_procedure, find_type

forms: Final = Forms()

PUBLIC: Final = 0
_OPTION: Final = " WITH GRANT OPTION"
_LANGUAGES: Final = MappingProxyType({"internal": 12, "c": 13, "sql": 14})
_TABLESPACES: Final = MappingProxyType({"pg_default": 1663, "pg_global": 1664})


@dataclass(frozen=True, slots=True)
class _Kind:
    """`kind` of CatalogLookup; `privileges` it knows; `missing` (SQLSTATE, message) by name."""

    kind: str
    privileges: tuple[str, ...]
    missing: tuple[str, str]


_TABLE: Final = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"),
)

_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "has_table_privilege": _Kind(
            "relation",
            (*_TABLE, "UNMASK"),
            ("42P01", 'relation "{}" does not exist'),
        ),
        "has_sequence_privilege": _Kind(
            "sequence", ("USAGE", "SELECT", "UPDATE"), ("42P01", 'relation "{}" does not exist')
        ),
        "has_schema_privilege": _Kind(
            "schema", ("CREATE", "USAGE", "UNMASK"), ("3F000", 'schema "{}" does not exist')
        ),
        "has_database_privilege": _Kind(
            "database",
            ("CREATE", "TEMPORARY", "TEMP", "CONNECT", "UNMASK"),
            ("3D000", 'database "{}" does not exist'),
        ),
        "has_type_privilege": _Kind("type", ("USAGE",), ("42704", 'type "{}" does not exist')),
        "has_function_privilege": _Kind(
            "function", ("EXECUTE",), ("42883", 'function "{}" does not exist')
        ),
        "has_language_privilege": _Kind(
            "language", ("USAGE",), ("42704", 'language "{}" does not exist')
        ),
        "has_tablespace_privilege": _Kind(
            "tablespace", ("CREATE",), ("42704", 'tablespace "{}" does not exist')
        ),
        "has_foreign_data_wrapper_privilege": _Kind(
            "foreign-data wrapper",
            ("USAGE",),
            ("42704", 'foreign-data wrapper "{}" does not exist'),
        ),
        "has_server_privilege": _Kind(
            "server", ("USAGE",), ("42704", 'server "{}" does not exist')
        ),
    }
)
_COLUMN: Final = ("SELECT", "INSERT", "UPDATE", "REFERENCES", "UNMASK")
_PARAMETER: Final = ("SET", "ALTER SYSTEM")


def _privileges(text: str, allowed: tuple[str, ...]) -> list[str]:
    """The privileges of a comma-separated list; 22023."""
    names = []
    for part in text.split(","):
        name = part.strip()
        if name.upper().removesuffix(_OPTION) not in allowed:
            raise SqlError("22023", f'unrecognized privilege type: "{name}"')
        names.append(name.upper())
    return names


def _role(ctx: EvalContext, role: str | int, *, public: bool = True) -> int:
    if isinstance(role, int):
        return role
    if public and role == "public":
        return PUBLIC
    found = ctx.catalog.find_oid("role", (role,))
    if found is None:
        raise SqlError("42704", f'role "{role}" does not exist')
    return found


def _object(ctx: EvalContext, kind: _Kind, given: str | int) -> int:
    """The object's oid; an error for a name that nothing has."""
    if isinstance(given, int):
        return given
    found: int | None
    match kind.kind:
        case "relation" | "sequence":
            found = _relation(ctx, given)
        case "function":
            found = find_procedure(given, ctx)
        case "type":
            found = find_type(given, ctx)
        case "language":
            found = _LANGUAGES.get(given) or ctx.catalog.find_oid("language", (given,))
        case "tablespace":
            found = _TABLESPACES.get(given)
        case other:
            found = ctx.catalog.find_oid(other, (given,))
    if found is None:
        sqlstate, message = kind.missing
        raise SqlError(sqlstate, message.format(given))
    return found


def _relation(ctx: EvalContext, text: str) -> int:
    name = parse_qualified_name(text)
    found = ctx.catalog.find_oid("relation", name)
    if found is None:
        shown = ".".join(name)
        if len(name) > 1 and ctx.catalog.find_oid("schema", (name[-2],)) is None:
            raise SqlError("3F000", f'schema "{name[-2]}" does not exist')
        raise SqlError("42P01", f'relation "{shown}" does not exist')
    return found


def _declare(function: str) -> None:
    kind = _KINDS[function]
    lookup = "relation" if kind.kind == "sequence" else kind.kind

    def decide(ctx: EvalContext, role: str | int, given: str | int, text: str) -> bool | None:
        number = _role(ctx, role)
        oid = _object(ctx, kind, given)
        wanted = _privileges(text, kind.privileges)
        if kind.kind == "sequence":
            _require_sequence(ctx, oid, given)
        answers = [ctx.catalog.has_privilege(number, lookup, oid, 0, one) for one in wanted]
        return None if None in answers else any(answers)

    def own(ctx: EvalContext, given: str | int, text: str) -> bool | None:
        return decide(ctx, ctx.current_role_oid, given, text)

    for role in ("name", "oid"):
        for named in ("text", "oid"):
            forms.function(f"{function}({role},{named},text)", needs_context=True)(decide)
    for named in ("text", "oid"):
        forms.function(f"{function}({named},text)", needs_context=True)(own)


def _require_sequence(ctx: EvalContext, oid: int, given: str | int) -> None:
    """42809 for a relation that is no sequence."""
    name = ctx.catalog.find_name("relation", oid)
    if name is not None and ctx.catalog.find_name("sequence", oid) is None:
        shown = given if isinstance(given, str) else name[1]
        raise SqlError("42809", f'"{shown}" is not a sequence')


for _function in _KINDS:
    _declare(_function)


# -- columns --------------------------------------------------------------------------------------


def _holds_column(
    ctx: EvalContext, role: str | int, table: str | int, column: str | int, text: str
) -> bool | None:
    number = _role(ctx, role)
    oid = table if isinstance(table, int) else _relation(ctx, table)
    place: int | None = column if isinstance(column, int) else _column(ctx, oid, column)
    wanted = _privileges(text, _COLUMN)
    if place is None or not place:
        return None
    # System columns have no privileges of their own: the relation's count.
    at = max(place, 0)
    answers = [ctx.catalog.has_privilege(number, "relation", oid, at, one) for one in wanted]
    return None if None in answers else any(answers)


def _column(ctx: EvalContext, relation: int, name: str) -> int | None:
    """A column's number; None for a relation that is not there, 42703 for a column."""
    shown = ctx.catalog.find_name("relation", relation)
    if shown is None:
        return None
    found = ctx.catalog.column_number(relation, name)
    if found is None:
        if name in _SYSTEM_COLUMNS:
            return -1
        if name.startswith("........pg.dropped."):
            return 0
        raise SqlError("42703", f'column "{name}" of relation "{shown[1]}" does not exist')
    return found


_SYSTEM_COLUMNS: Final = frozenset({"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"})


def _own_column(ctx: EvalContext, table: str | int, column: str | int, text: str) -> bool | None:
    return _holds_column(ctx, ctx.current_role_oid, table, column, text)


def _any_column(ctx: EvalContext, role: str | int, table: str | int, text: str) -> bool | None:
    number = _role(ctx, role)
    oid = table if isinstance(table, int) else _relation(ctx, table)
    wanted = _privileges(text, _COLUMN)
    answers = [ctx.catalog.has_privilege(number, "relation", oid, -1, one) for one in wanted]
    return None if None in answers else any(answers)


def _own_any_column(ctx: EvalContext, table: str | int, text: str) -> bool | None:
    return _any_column(ctx, ctx.current_role_oid, table, text)


def _columns() -> None:
    put: Callable[..., Callable[[Any], Any]] = forms.function
    for table in ("text", "oid"):
        for column in ("text", "int2"):
            put(f"has_column_privilege({table},{column},text)", needs_context=True)(_own_column)
            for role in ("name", "oid"):
                signature = f"has_column_privilege({role},{table},{column},text)"
                put(signature, needs_context=True)(_holds_column)
        put(f"has_any_column_privilege({table},text)", needs_context=True)(_own_any_column)
        for role in ("name", "oid"):
            signature = f"has_any_column_privilege({role},{table},text)"
            put(signature, needs_context=True)(_any_column)


_columns()


# -- settings and roles ---------------------------------------------------------------------------


@forms.function("has_parameter_privilege(name,text,text)", needs_context=True)
@forms.function("has_parameter_privilege(oid,text,text)", needs_context=True)
def has_parameter_privilege(ctx: EvalContext, role: str | int, name: str, text: str) -> bool:
    """SET or ALTER SYSTEM on a setting, for a role."""
    number = _role(ctx, role)
    wanted = _privileges(text, _PARAMETER)
    return any(ctx.catalog.has_parameter_privilege(number, name, one) for one in wanted)


@forms.function("has_parameter_privilege(text,text)", needs_context=True)
def own_parameter_privilege(ctx: EvalContext, name: str, text: str) -> bool:
    """The same for the current role."""
    return has_parameter_privilege(ctx, ctx.current_role_oid, name, text)


_ROLE_MODES: Final = frozenset(
    {"USAGE", "MEMBER", "SET"}
    | {f"{a} WITH {b} OPTION" for a in ("USAGE", "MEMBER", "SET") for b in ("GRANT", "ADMIN")}
)


def _member(ctx: EvalContext, role: str | int, of_role: str | int, text: str) -> bool:
    one, other = _role(ctx, role, public=False), _role(ctx, of_role, public=False)
    modes = [part.strip() for part in text.split(",")]
    for mode in modes:
        if mode.upper() not in _ROLE_MODES:
            raise SqlError("22023", f'unrecognized privilege type: "{mode}"')
    return any(ctx.catalog.is_member(one, other, mode) for mode in modes)


def _own_member(ctx: EvalContext, of_role: str | int, text: str) -> bool:
    return _member(ctx, ctx.current_role_oid, of_role, text)


for _of in ("name", "oid"):
    forms.function(f"pg_has_role({_of},text)", needs_context=True)(_own_member)
    for _who in ("name", "oid"):
        forms.function(f"pg_has_role({_who},{_of},text)", needs_context=True)(_member)


@forms.function("row_security_active(oid)", needs_context=True)
def row_security_active(ctx: EvalContext, table: int) -> bool:
    """Whether policies decide what the current role sees of the table."""
    return ctx.catalog.has_row_security(ctx.current_role_oid, table)


@forms.function("row_security_active(text)", needs_context=True)
def row_security_active_name(ctx: EvalContext, table: str) -> bool:
    return row_security_active(ctx, _relation(ctx, table))
