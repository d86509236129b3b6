"""has_table_privilege and its kin: who may do what, asked of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.names import parse_qualified_name
from heliosd.types.signatures import find_procedure, find_type

forms: Final = Forms()

PUBLIC: Final = 0

# function -> (kind of CatalogLookup, its privileges, how an error names it, SQLSTATE)
_KINDS: Final = {
    "has_table_privilege": (
        "relation",
        "SELECT INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER",
        "relation",
        "42P01",
    ),
    "has_sequence_privilege": ("relation", "USAGE SELECT UPDATE", "relation", "42P01"),
    "has_schema_privilege": ("schema", "CREATE USAGE", "schema", "3F000"),
    "has_database_privilege": ("database", "CREATE TEMPORARY TEMP CONNECT", "database", "3D000"),
    "has_type_privilege": ("type", "USAGE", "type", "42704"),
    "has_function_privilege": ("procedure", "EXECUTE", "function", "42883"),
    "has_language_privilege": ("language", "USAGE", "language", "42704"),
    "has_tablespace_privilege": ("tablespace", "CREATE", "tablespace", "42704"),
}
_COLUMN: Final = "SELECT INSERT UPDATE REFERENCES"


def _privileges(text: str, allowed: str) -> list[str]:
    """The privileges of a comma-separated list; 22023."""
    names = []
    for part in text.split(","):
        name = " ".join(part.upper().split())
        if name.removesuffix(" WITH GRANT OPTION") not in allowed.split():
            raise SqlError("22023", f'unrecognized privilege type: "{part.strip()}"')
        names.append(name)
    return names


def _role(ctx: EvalContext, role: str | int) -> int:
    if isinstance(role, int):
        return role
    if role == "public":
        return PUBLIC
    found = ctx.catalog.find_oid("role", (role,))
    if found is None:
        raise SqlError("42704", f'role "{role}" does not exist')
    return found


def _object(ctx: EvalContext, kind: str, given: str | int, what: str, sqlstate: str) -> int:
    if isinstance(given, int):
        return given
    name = parse_qualified_name(given) if kind == "relation" else (given,)
    if kind == "procedure":
        found = find_procedure(given, ctx)
    elif kind == "type":
        found = find_type(given, ctx)
    else:
        found = ctx.catalog.find_oid(kind, name)
    if found is None:
        raise SqlError(sqlstate, f'{what} "{".".join(name)}" does not exist')
    return found


def _declare(function: str) -> None:
    kind, allowed, what, sqlstate = _KINDS[function]

    def decide(ctx: EvalContext, role: str | int, given: str | int, text: str) -> bool | None:
        wanted = _privileges(text, allowed)
        oid = _object(ctx, kind, given, what, sqlstate)
        if isinstance(given, int) and ctx.catalog.find_name(kind, oid) is None:
            return None
        number = _role(ctx, role)
        return any(ctx.catalog.has_privilege(number, kind, oid, 0, one) for one in wanted)

    def own(ctx: EvalContext, given: str | int, text: str) -> bool | None:
        return decide(ctx, ctx.current_role_oid, given, text)

    for role in ("name", "oid"):
        for named in ("text", "oid"):
            forms.function(f"{function}({role},{named},text)", needs_context=True)(decide)
    for named in ("text", "oid"):
        forms.function(f"{function}({named},text)", needs_context=True)(own)


for _function in _KINDS:
    _declare(_function)


def _column(ctx: EvalContext, relation: int, given: str | int) -> int:
    if isinstance(given, int):
        return given
    found = ctx.catalog.column_number(relation, given)
    if found is None:
        raise SqlError("42703", f'column "{given}" of the relation does not exist')
    return found


def _holds_column(
    ctx: EvalContext, role: str | int, table: str | int, column: str | int, text: str
) -> bool | None:
    wanted = _privileges(text, _COLUMN)
    oid = _object(ctx, "relation", table, "relation", "42P01")
    number = _role(ctx, role)
    place = _column(ctx, oid, column)
    return any(
        ctx.catalog.has_privilege(number, "relation", oid, at, one)
        for one in wanted
        for at in (0, place)
    )


def _own_column(ctx: EvalContext, table: str | int, column: str | int, text: str) -> bool | None:
    return _holds_column(ctx, ctx.current_role_oid, table, column, text)


def _any_column(ctx: EvalContext, role: str | int, table: str | int, text: str) -> bool | None:
    wanted = _privileges(text, _COLUMN)
    oid = _object(ctx, "relation", table, "relation", "42P01")
    number = _role(ctx, role)
    return any(
        ctx.catalog.has_privilege(number, "relation", oid, at, one)
        for one in wanted
        for at in (0, -1)
    )


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


def _member(ctx: EvalContext, role: str | int, of_role: str | int, text: str) -> bool:
    modes = [part.strip().upper() for part in text.split(",")]
    for mode in modes:
        if mode.partition(" WITH ")[0] not in ("MEMBER", "USAGE"):
            raise SqlError("22023", f'unrecognized privilege type: "{mode}"')
    one, other = _role(ctx, role), _role(ctx, of_role)
    return any(ctx.catalog.is_member(one, other, mode.partition(" WITH ")[0]) for mode in modes)


def _own_member(ctx: EvalContext, of_role: str | int, text: str) -> bool:
    return _member(ctx, ctx.current_role_oid, of_role, text)


for _of in ("name", "oid"):
    forms.function(f"pg_has_role({_of},text)", needs_context=True)(_own_member)
    for _who in ("name", "oid"):
        forms.function(f"pg_has_role({_who},{_of},text)", needs_context=True)(_member)


@forms.function("row_security_active(oid)", needs_context=True)
def row_security_active(ctx: EvalContext, table: int) -> bool:
    """No table has row security yet (CREATE POLICY is refused)."""
    return False
