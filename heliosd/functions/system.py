"""The chapters "System Information" and "System Administration": what a session may ask and do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.builtin import TYPES
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.names import parse_qualified_name
from heliosd.types.object_ids import text_to_regclass
from heliosd.types.quoting import quote_identifier, quote_qualified
from heliosd.types.registry import CallTypes, SqlType

forms: Final = Forms()

VERSION_TEXT: Final = "PostgreSQL 15.8 compatible, heliosd 0.1.0 on Python"


def _asks(signature: str, answer: Callable[[EvalContext], Any]) -> None:
    """A function without arguments that reads the context."""
    forms.function(signature, needs_context=True)(answer)


_asks("version()", lambda ctx: VERSION_TEXT)
_asks("current_database()", lambda ctx: ctx.database)
_asks("current_user()", lambda ctx: ctx.current_role)
_asks("session_user()", lambda ctx: ctx.session_role)
_asks("getpgusername()", lambda ctx: ctx.current_role)
_asks("pg_client_encoding()", lambda ctx: ctx.setting("client_encoding"))
_asks("getdatabaseencoding()", lambda ctx: "UTF8")
_asks("pg_backend_pid()", lambda ctx: ctx.backend_pid)
_asks("pg_is_in_recovery()", lambda ctx: False)
_asks("pg_trigger_depth()", lambda ctx: 0)
_asks("pg_jit_available()", lambda ctx: False)
_asks("pg_reload_conf()", lambda ctx: ctx.reload_configuration())
_asks(
    "inet_client_port()", lambda ctx: None if ctx.client_address is None else ctx.client_address[1]
)
_asks(
    "inet_server_port()", lambda ctx: None if ctx.server_address is None else ctx.server_address[1]
)
_asks("lastval()", lambda ctx: ctx.sequences.lastval())
_asks("txid_current()", lambda ctx: ctx.transaction_id(assign=True))
_asks("pg_current_xact_id()", lambda ctx: ctx.transaction_id(assign=True))
_asks("txid_current_if_assigned()", lambda ctx: ctx.transaction_id(assign=False))
_asks("pg_current_xact_id_if_assigned()", lambda ctx: ctx.transaction_id(assign=False))
_asks("pg_notification_queue_usage()", lambda ctx: 0.0)
_asks("pg_current_logfile()", lambda ctx: None)


def _port(address: tuple[str, int] | None) -> int | None:
    return None if address is None else address[1]


@forms.function("current_schema()", needs_context=True)
def current_schema(ctx: EvalContext) -> str | None:
    """The first schema of the search path that exists."""
    path = ctx.catalog.search_path(implicit=False)
    return path[0] if path else None


# ------------------------------------------------------------ settings


@forms.function("current_setting(text)", needs_context=True)
def current_setting(ctx: EvalContext, name: str) -> str:
    """What SHOW shows; 42704."""
    return ctx.setting(name)


@forms.function("current_setting(text,bool)", needs_context=True)
def current_setting_or_null(ctx: EvalContext, name: str, missing_ok: bool) -> str | None:  # noqa: FBT001
    """NULL for an unknown name where that is fine; 42704."""
    try:
        return ctx.setting(name)
    except SqlError as error:
        if missing_ok and error.sqlstate == "42704":
            return None
        raise


@forms.function("set_config(text,text,bool)", needs_context=True)
def set_config(ctx: EvalContext, name: str | None, value: str | None, local: bool | None) -> str:  # noqa: FBT001
    """SET as a function; the new value."""
    if name is None:
        raise SqlError("22004", "SET requires parameter name")
    return ctx.set_setting(name, value, local=bool(local))


# ------------------------------------------------------------ definitions and comments


def _defines(name: str, kind: str) -> None:
    def plain(ctx: EvalContext, oid: int) -> str | None:
        return ctx.catalog.definition(kind, oid)

    def pretty(ctx: EvalContext, oid: int, indented: bool) -> str | None:  # noqa: FBT001
        return ctx.catalog.definition(kind, oid, pretty=indented)

    forms.function(f"{name}(oid)", needs_context=True)(plain)
    forms.function(f"{name}(oid,bool)", needs_context=True)(pretty)


_defines("pg_get_constraintdef", "constraint")
_defines("pg_get_viewdef", "view")
_defines("pg_get_ruledef", "rule")
_defines("pg_get_triggerdef", "trigger")


@forms.function("pg_get_viewdef(oid,int4)", needs_context=True)
def pg_get_viewdef_wrapped(ctx: EvalContext, oid: int, columns: int) -> str | None:
    """The pretty form; lines are not wrapped narrower."""
    return ctx.catalog.definition("view", oid, pretty=True)


@forms.function("pg_get_viewdef(text)", needs_context=True)
def pg_get_viewdef_named(ctx: EvalContext, name: str) -> str | None:
    """By name instead of oid; 42P01 when there is no such relation."""
    return ctx.catalog.definition("view", text_to_regclass(ctx, name))


@forms.function("pg_get_viewdef(text,bool)", needs_context=True)
def pg_get_viewdef_named_pretty(ctx: EvalContext, name: str, indented: bool) -> str | None:  # noqa: FBT001
    """The same, pretty or not."""
    return ctx.catalog.definition("view", text_to_regclass(ctx, name), pretty=indented)


@forms.function("pg_get_indexdef(oid)", needs_context=True)
def pg_get_indexdef(ctx: EvalContext, oid: int) -> str | None:
    """CREATE INDEX as a statement."""
    return ctx.catalog.definition("index", oid)


@forms.function("pg_get_indexdef(oid,int4,bool)", needs_context=True)
def pg_get_indexdef_column(ctx: EvalContext, oid: int, column: int, pretty: bool) -> str | None:  # noqa: FBT001
    """One column of an index, or (0) the whole."""
    return ctx.catalog.definition("index", oid, column, pretty=pretty)


@forms.function("pg_get_expr(pg_node_tree,oid)", needs_context=True)
def pg_get_expr(ctx: EvalContext, expression: str, relation: int) -> str:
    """Expressions rest in the catalog as canonical SQL; shown with the reader's search_path."""
    return ctx.catalog.expression_text(expression, relation)


@forms.function("pg_get_expr(pg_node_tree,oid,bool)", needs_context=True)
def pg_get_expr_pretty(ctx: EvalContext, expression: str, relation: int, pretty: bool) -> str:  # noqa: FBT001
    """The same, with few parentheses."""
    return ctx.catalog.expression_text(expression, relation, pretty=pretty)


for _name, _kind in (
    ("pg_get_functiondef", "function"),
    ("pg_get_function_arguments", "function_arguments"),
    ("pg_get_function_identity_arguments", "function_identity_arguments"),
    ("pg_get_function_result", "function_result"),
    ("pg_get_function_sqlbody", "function_sqlbody"),
    ("pg_get_partkeydef", "partition_key"),
    ("pg_get_partition_constraintdef", "partition_constraint"),
    ("pg_get_statisticsobjdef", "statistics"),
    ("pg_get_statisticsobjdef_columns", "statistics_columns"),
):

    def _definition(ctx: EvalContext, oid: int, kind: str = _kind) -> str | None:
        return ctx.catalog.definition(kind, oid)

    forms.function(f"{_name}(oid)", needs_context=True)(_definition)


@forms.function("obj_description(oid,name)", needs_context=True)
def obj_description(ctx: EvalContext, oid: int, catalog: str) -> str | None:
    """The COMMENT on an object."""
    return ctx.catalog.comment(catalog, oid)


@forms.function("obj_description(oid)", needs_context=True)
def obj_description_any(ctx: EvalContext, oid: int) -> str | None:
    """The COMMENT on an object of any catalog."""
    return ctx.catalog.comment("", oid)


@forms.function("col_description(oid,int4)", needs_context=True)
def col_description(ctx: EvalContext, relation: int, column: int) -> str | None:
    """The COMMENT on a column."""
    return ctx.catalog.comment("pg_class", relation, column)


@forms.function("shobj_description(oid,name)", needs_context=True)
def shobj_description(ctx: EvalContext, oid: int, catalog: str) -> str | None:
    """The COMMENT on a role, a database or a tablespace."""
    return ctx.catalog.comment(catalog, oid)


@forms.function("pg_get_userbyid(oid)", needs_context=True)
def pg_get_userbyid(ctx: EvalContext, oid: int) -> str:
    """A role's name, or a text that says it is unknown."""
    found = ctx.catalog.find_name("role", oid)
    return f"unknown (OID={oid})" if found is None else found[1]


@forms.function("pg_get_serial_sequence(text,text)", needs_context=True)
def pg_get_serial_sequence(ctx: EvalContext, table: str, column: str) -> str | None:
    """The sequence behind a serial or identity column; 42P01, 42703."""
    name = parse_qualified_name(table)
    relation = ctx.catalog.find_oid("relation", name)
    if relation is None:
        raise SqlError("42P01", f'relation "{".".join(name)}" does not exist')
    number = ctx.catalog.column_number(relation, column)
    if number is None:
        raise SqlError("42703", f'column "{column}" of relation "{name[-1]}" does not exist')
    sequence = ctx.catalog.owned_sequence(relation, number)
    found = None if sequence is None else ctx.catalog.find_name("relation", sequence)
    return None if found is None else quote_qualified(*found)


# ------------------------------------------------------------ visibility

for _name, _kind in (
    ("pg_table_is_visible", "relation"),
    ("pg_type_is_visible", "type"),
    ("pg_function_is_visible", "function"),
    ("pg_operator_is_visible", "operator"),
    ("pg_collation_is_visible", "collation"),
    ("pg_opclass_is_visible", "opclass"),
    ("pg_opfamily_is_visible", "opfamily"),
    ("pg_conversion_is_visible", "conversion"),
    ("pg_statistics_obj_is_visible", "statistics"),
    ("pg_ts_config_is_visible", "config"),
    ("pg_ts_dict_is_visible", "dictionary"),
    ("pg_ts_parser_is_visible", "parser"),
    ("pg_ts_template_is_visible", "template"),
):

    def _visible(ctx: EvalContext, oid: int, kind: str = _kind) -> bool | None:
        return ctx.catalog.is_visible(kind, oid)

    forms.function(f"{_name}(oid)", needs_context=True)(_visible)


# ------------------------------------------------------------ sizes


def _size(signature: str, fork: str) -> None:
    def compute(ctx: EvalContext, oid: int) -> int | None:
        return ctx.catalog.relation_size(oid, fork)

    forms.function(signature, needs_context=True)(compute)


_size("pg_relation_size(regclass)", "main")
_size("pg_table_size(regclass)", "table")
_size("pg_indexes_size(regclass)", "indexes")
_size("pg_total_relation_size(regclass)", "total")


@forms.function("pg_relation_size(regclass,text)", needs_context=True)
def pg_relation_size_fork(ctx: EvalContext, oid: int, fork: str) -> int | None:
    """Only the main fork holds bytes here; 22023."""
    if fork not in ("main", "fsm", "vm", "init"):
        raise SqlError(
            "22023",
            "invalid fork name",
            hint='Valid fork names are "main", "fsm", "vm", and "init".',
        )
    return ctx.catalog.relation_size(oid, fork) if fork == "main" else 0


@forms.function("pg_database_size(oid)", needs_context=True)
def pg_database_size(ctx: EvalContext, oid: int) -> int | None:
    """Bytes of a database."""
    return ctx.catalog.database_size(oid)


@forms.function("pg_database_size(name)", needs_context=True)
def pg_database_size_named(ctx: EvalContext, name: str) -> int | None:
    """Bytes of a database; 3D000."""
    oid = ctx.catalog.find_oid("database", (name,))
    if oid is None:
        raise SqlError("3D000", f'database "{name}" does not exist')
    return ctx.catalog.database_size(oid)


_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")


@forms.function("pg_size_pretty(int8)")
def pg_size_pretty(size: int) -> str:
    """The largest unit that leaves at least 10 of it."""
    value = abs(size)
    if value < 10 * 1024:
        return f"{size} bytes"
    # Halves are kept to the end, so that rounding happens once.
    value >>= 9
    unit = 1
    while value >= 20 * 1024 - 1 and unit < len(_UNITS) - 1:
        value >>= 10
        unit += 1
    half = (value + 1) // 2
    return f"{-half if size < 0 else half} {_UNITS[unit]}"


@forms.function("pg_size_pretty(numeric)")
def pg_size_pretty_numeric(size: Decimal) -> str:
    """The same for numbers past int8."""
    if not size.is_finite():
        raise SqlError("22023", "cannot show the size of a number that is not finite")
    whole = int(size)
    return f"{size} bytes" if abs(whole) < 10 * 1024 else pg_size_pretty(whole)


# ------------------------------------------------------------ sequences, locks, backends


@forms.function("nextval(regclass)", needs_context=True)
def nextval(ctx: EvalContext, oid: int) -> int:
    """42P01, 42809, 2200H."""
    return ctx.sequences.nextval(oid)


@forms.function("currval(regclass)", needs_context=True)
def currval(ctx: EvalContext, oid: int) -> int:
    """55000 before the session's first nextval."""
    return ctx.sequences.currval(oid)


@forms.function("setval(regclass,int8)", needs_context=True)
def setval(ctx: EvalContext, oid: int, value: int) -> int:
    """The next nextval gives the value after it; 22003."""
    return ctx.sequences.setval(oid, value, is_called=True)


@forms.function("setval(regclass,int8,bool)", needs_context=True)
def setval_called(ctx: EvalContext, oid: int, value: int, is_called: bool) -> int:  # noqa: FBT001
    """Not called: the next nextval gives `value` itself; 22003."""
    return ctx.sequences.setval(oid, value, is_called=is_called)


def _advisory(name: str, *, shared: bool, session: bool, wait: bool) -> None:
    def one(ctx: EvalContext, key: int) -> Any:
        return take(ctx, (key, 0), pair=False)

    def two(ctx: EvalContext, first: int, second: int) -> Any:
        return take(ctx, (first, second), pair=True)

    def take(ctx: EvalContext, key: tuple[int, int], *, pair: bool) -> Any:
        taken = ctx.advisory_locks.lock(key, pair=pair, shared=shared, session=session, wait=wait)
        return "" if wait else taken

    forms.function(f"{name}(int8)", needs_context=True)(one)
    forms.function(f"{name}(int4,int4)", needs_context=True)(two)


for _shared in (False, True):
    _suffix = "_shared" if _shared else ""
    _advisory(f"pg_advisory_lock{_suffix}", shared=_shared, session=True, wait=True)
    _advisory(f"pg_try_advisory_lock{_suffix}", shared=_shared, session=True, wait=False)
    _advisory(f"pg_advisory_xact_lock{_suffix}", shared=_shared, session=False, wait=True)
    _advisory(f"pg_try_advisory_xact_lock{_suffix}", shared=_shared, session=False, wait=False)


def _advisory_unlock(name: str, *, shared: bool) -> None:
    def one(ctx: EvalContext, key: int) -> bool:
        return ctx.advisory_locks.unlock((key, 0), pair=False, shared=shared)

    def two(ctx: EvalContext, first: int, second: int) -> bool:
        return ctx.advisory_locks.unlock((first, second), pair=True, shared=shared)

    forms.function(f"{name}(int8)", needs_context=True)(one)
    forms.function(f"{name}(int4,int4)", needs_context=True)(two)


_advisory_unlock("pg_advisory_unlock", shared=False)
_advisory_unlock("pg_advisory_unlock_shared", shared=True)


@forms.function("pg_advisory_unlock_all()", needs_context=True)
def pg_advisory_unlock_all(ctx: EvalContext) -> str:
    """All of the session's."""
    ctx.advisory_locks.unlock_all()
    return ""


@forms.function("pg_sleep(float8)", needs_context=True)
def pg_sleep(ctx: EvalContext, seconds: float) -> str:
    """Wait; others go on."""
    if seconds > 0:
        ctx.sleep(seconds)
    return ""


@forms.function("pg_cancel_backend(int4)", needs_context=True)
def pg_cancel_backend(ctx: EvalContext, pid: int) -> bool:
    """42501 without the right to."""
    return ctx.cancel_backend(pid)


@forms.function("pg_terminate_backend(int4,int8)", needs_context=True)
def pg_terminate_backend(ctx: EvalContext, pid: int, timeout_ms: int) -> bool:
    """42501 without the right to; 22003 for a negative timeout."""
    if timeout_ms < 0:
        raise SqlError("22003", '"timeout" must not be negative')
    return ctx.terminate_backend(pid)


@forms.function("pg_notify(text,text)", needs_context=True)
def pg_notify(ctx: EvalContext, channel: str | None, payload: str | None) -> str:
    """NOTIFY as a function; 22023."""
    ctx.notify(channel or "", payload or "")
    return ""


# ------------------------------------------------------------ transactions


@forms.function("pg_current_snapshot()", "txid_current_snapshot()", needs_context=True)
def pg_current_snapshot(ctx: EvalContext) -> tuple[int, int, tuple[int, ...]]:
    """What had ended when the statement began: nothing from this transaction's number on."""
    number = ctx.transaction_id(assign=True) or 1
    return number, number, ()


# ------------------------------------------------------------ types


@forms.specialized("pg_typeof(any)")
def pg_typeof(types: CallTypes) -> Callable[[Any], int]:
    """The type of the argument, which is known before the call."""
    oid = types.arguments[0].oid
    return lambda _: oid


@forms.specialized("pg_collation_for(any)")
def pg_collation_for(types: CallTypes) -> Callable[[Any], str | None]:
    """The collation of a collatable type; 42804."""
    kind = types.arguments[0]
    if not kind.collatable:
        raise SqlError("42804", f"collations are not supported by type {kind.display}")
    return lambda _: '"default"'


@forms.function("format_type(oid,int4)", needs_context=True)
def format_type(ctx: EvalContext, oid: int | None, typmod: int | None) -> str | None:
    """A type as SQL writes it, with its modifier: numeric(10,2), timestamp(3) with time zone."""
    if oid is None:
        return None
    kind = TYPES.by_oid.get(oid)
    if kind is None:
        found = ctx.catalog.find_name("type", oid)
        if found is None:
            return "???" if oid else "-"
        visible = not found[0] or ctx.catalog.is_visible("type", oid)
        element = ctx.catalog.element_type(oid)
        if element:
            return f"{format_type(ctx, element, typmod)}[]"
        return quote_identifier(found[1]) if visible else quote_qualified(*found)
    return type_text(kind, -1 if typmod is None else typmod, has_typmod=typmod is not None)


def type_text(kind: SqlType, typmod: int, *, has_typmod: bool = True) -> str:
    """The name of a built-in type with its modifier."""
    if kind.is_array:
        return type_text(TYPES.by_oid[kind.element], typmod, has_typmod=has_typmod) + "[]"
    if kind.name == "bpchar" and typmod < 0 and has_typmod:
        return "bpchar"
    name = kind.display
    if typmod < 0 or kind.typmod_out is None:
        return name
    modifier = kind.typmod_out(typmod)
    first, space, rest = name.partition(" ")
    if space and first in ("time", "timestamp"):
        return f"{first}{modifier} {rest}"
    return name + modifier


@forms.function("pg_relation_is_publishable(regclass)", needs_context=True)
def pg_relation_is_publishable(ctx: EvalContext, oid: int) -> bool | None:
    """System relations are not; NULL for none."""
    found = ctx.catalog.find_name("relation", oid)
    return None if found is None else found[0] not in ("pg_catalog", "information_schema")


@forms.function("pg_relation_filenode(regclass)", needs_context=True)
def pg_relation_filenode(ctx: EvalContext, oid: int) -> int | None:
    """The relation's own oid: it has no file."""
    return oid if ctx.catalog.find_name("relation", oid) else None


@forms.function("pg_my_temp_schema()", needs_context=True)
def pg_my_temp_schema(ctx: EvalContext) -> int:
    """The session's temporary schema; 0 while it has none."""
    for name in ctx.catalog.search_path(implicit=True):
        if name.startswith("pg_temp_"):
            return ctx.catalog.find_oid("schema", (name,)) or 0
    return 0


@forms.function("pg_is_other_temp_schema(oid)", needs_context=True)
def pg_is_other_temp_schema(ctx: EvalContext, oid: int) -> bool:
    """Whether it is the temporary schema of another session."""
    found = ctx.catalog.find_name("schema", oid)
    return found is not None and found[1].startswith("pg_temp_") and oid != pg_my_temp_schema(ctx)


@forms.function("pg_tablespace_location(oid)")
def pg_tablespace_location(oid: int) -> str:
    """Empty: both tablespaces rest in the data directory."""
    return ""


@forms.function("pg_partition_ancestors(regclass)")
def pg_partition_ancestors(oid: int) -> Iterator[int]:
    """None: no table is partitioned."""
    return iter(())
