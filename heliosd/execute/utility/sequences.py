"""CREATE SEQUENCE, ALTER SEQUENCE, and the sequences behind serial and identity columns."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog.objects import (
    Column,
    ColumnedRelation,
    Reference,
    Schema,
    Sequence,
    SystemView,
    Table,
)
from heliosd.errors import SqlError
from heliosd.execute.utility.names import (
    creation_schema,
    find_relation,
    lock_relation,
    missing_relation,
    persistence_letter,
    require_relation_owner,
    shown,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.base import NumericText, Option, QualifiedName, TypeName
from heliosd.sql.tree.table import AlterSequence, CreateSequence

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

INT8: Final = 20
BOUNDS: Final = {
    21: (-32768, 32767),
    23: (-2147483648, 2147483647),
    20: (-9223372036854775808, 9223372036854775807),
}
_TYPE_WORDS: Final = {21: "smallint", 23: "integer", 20: "bigint"}

SEQUENCE_COLUMNS: Final = (
    Column(attnum=1, name="last_value", type_oid=20, not_null=True),
    Column(attnum=2, name="log_cnt", type_oid=20, not_null=True),
    Column(attnum=3, name="is_called", type_oid=16, not_null=True),
)


@runs(CreateSequence, tag="CREATE SEQUENCE", writes=True, audit="ddl")
def create_sequence(statement: CreateSequence, session: SessionServices) -> None:
    """CREATE SEQUENCE [IF NOT EXISTS]."""
    schema = creation_schema(session, statement.name, statement.persistence)
    if statement.if_not_exists and session.catalog.relation_in(schema.oid, statement.name.name):
        session.notice(
            f'relation "{statement.name.name}" already exists, skipping', sqlstate="42P07"
        )
        return
    options = _by_name(statement.options)
    letter = "t" if _is_temporary(session, schema) else persistence_letter(statement.persistence)
    blank = new_sequence(session, statement.name.name, schema, INT8, letter)
    sequence, start = apply_options(session, blank, options, creating=True)
    if "owned_by" in options:
        owner = _owner_column(session, sequence, options["owned_by"])
        sequence = replace(sequence, owned_by=owner)
    session.catalog_edit().create(sequence)
    if start is not None:
        session.storage.sequences.set(sequence.store_id, start, called=False)


def _is_temporary(session: SessionServices, schema: Schema) -> bool:
    return schema.oid == session.catalog.temporary_schema


def new_sequence(
    session: SessionServices, name: str, schema: Schema, type_oid: int, persistence: str
) -> Sequence:
    """A sequence with the defaults of its type, not yet made."""
    edit = session.catalog_edit()
    return Sequence(
        oid=edit.new_oid(),
        name=name,
        owner=session.context.eval.current_role_oid,
        database=session.catalog.database.oid,
        schema=schema.oid,
        persistence=persistence,  # type: ignore[arg-type]
        columns=SEQUENCE_COLUMNS,
        store_id=edit.new_oid(),
        type_oid=type_oid,
        maximum=BOUNDS[type_oid][1],
    )


def column_sequence(
    session: SessionServices,
    name: str,
    schema: Schema,
    owner: Reference,
    type_oid: int,
    options: Items[Option],
    *,
    internal: bool,
    persistence: str,
) -> Sequence:
    """The sequence of a serial (`internal` false) or identity column, made at once."""
    blank = new_sequence(session, name, schema, type_oid, persistence)
    by_name = _by_name(options)
    sequence, start = apply_options(session, blank, by_name, creating=True)
    sequence = replace(sequence, owned_by=owner, internal=internal)
    session.catalog_edit().create(sequence)
    if start is not None:
        session.storage.sequences.set(sequence.store_id, start, called=False)
    return sequence


def _by_name(options: Items[Option]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        if option.name in found:
            raise SqlError("42601", "conflicting or redundant options", position=option.position)
        found[option.name] = option.value
    return found


def apply_options(
    session: SessionServices, old: Sequence, options: dict[str, Any], *, creating: bool
) -> tuple[Sequence, int | None]:
    """The sequence with its options, checked as PostgreSQL does (22023), and where RESTART puts
    the counter (None: it goes on)."""
    type_oid = old.type_oid
    if options.get("as") is not None:
        type_oid = _type(session, options["as"])
    increment = _number(options, "increment", old.increment)
    if increment == 0:
        raise SqlError("22023", "INCREMENT must not be zero")
    minimum, maximum = _bounds(old, type_oid, increment, options, creating=creating)
    if minimum >= maximum:
        raise SqlError("22023", f"MINVALUE ({minimum}) must be less than MAXVALUE ({maximum})")
    default_start = minimum if increment > 0 else maximum
    start = _number(options, "start", default_start if creating else old.start)
    _check_within("START", start, minimum, maximum)
    restart: int | None = None
    if "restart" in options:
        restart = start if options["restart"] is None else _number(options, "restart", start)
        _check_within("RESTART", restart, minimum, maximum)
    cache = _number(options, "cache", old.cache)
    if cache <= 0:
        raise SqlError("22023", f"CACHE ({cache}) must be greater than zero")
    return (
        replace(
            old,
            type_oid=type_oid,
            increment=increment,
            minimum=minimum,
            maximum=maximum,
            start=start,
            cache=cache,
            cycle=bool(options.get("cycle", old.cycle)),
        ),
        restart,
    )


def _check_within(word: str, value: int, minimum: int, maximum: int) -> None:
    if value < minimum:
        raise SqlError("22023", f"{word} value ({value}) cannot be less than MINVALUE ({minimum})")
    if value > maximum:
        raise SqlError(
            "22023", f"{word} value ({value}) cannot be greater than MAXVALUE ({maximum})"
        )


def _bounds(
    old: Sequence, type_oid: int, increment: int, options: dict[str, Any], *, creating: bool
) -> tuple[int, int]:
    low, high = BOUNDS[type_oid]
    ascending = increment > 0
    old_low, old_high = BOUNDS[old.type_oid]
    retyped = type_oid != old.type_oid
    maximum = old.maximum
    if options.get("maxvalue") is not None:
        maximum = _number(options, "maxvalue", high)
    elif "maxvalue" in options or creating or (retyped and old.maximum == old_high):
        maximum = high if ascending or not creating else -1
    minimum = old.minimum
    if options.get("minvalue") is not None:
        minimum = _number(options, "minvalue", low)
    elif "minvalue" in options or creating or (retyped and old.minimum == old_low):
        minimum = 1 if ascending and (creating or "minvalue" in options) else low
    for word, value in (("MAXVALUE", maximum), ("MINVALUE", minimum)):
        if not low <= value <= high:
            kind = _TYPE_WORDS[type_oid]
            raise SqlError(
                "22023", f"{word} ({value}) is out of range for sequence data type {kind}"
            )
    return minimum, maximum


def _number(options: dict[str, Any], name: str, default: int) -> int:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, NumericText):
        value = value.text
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise SqlError("42601", f"{name} requires an integer value") from None
    low, high = BOUNDS[INT8]
    if not low <= number <= high:
        raise SqlError("22003", f'value "{value}" is out of range for type bigint')
    return number


def _type(session: SessionServices, tree: TypeName) -> int:
    scope = session.bind_scope()
    oid, _typmod = resolve_type_name(
        scope.catalog, scope.resolver.types, scope.path, tree, role=scope.role
    )
    if oid not in BOUNDS:
        raise SqlError("22023", "sequence type must be smallint, integer, or bigint")
    return oid


def _owner_column(session: SessionServices, sequence: Sequence, value: Any) -> Reference | None:
    """OWNED BY table.column, or NONE."""
    parts = value.parts if isinstance(value, QualifiedName) else tuple(str(value).split("."))
    if parts == ("none",):
        return None
    if len(parts) < 2:
        raise SqlError(
            "42601",
            "invalid OWNED BY option",
            hint="Specify OWNED BY table.column or OWNED BY NONE.",
        )
    name = QualifiedName(0, parts[:-1])
    table = find_relation(session, name)
    if table is None:
        raise missing_relation(session, name)
    if isinstance(table, SystemView) and table.kind == "r":
        raise SqlError("55000", "sequence must be in same schema as table it is linked to")
    if not isinstance(table, Table):
        raise SqlError("42809", f'sequence cannot be owned by relation "{table.name}"')
    if table.owner != sequence.owner:
        raise SqlError("55000", "sequence must have same owner as table it is linked to")
    if table.schema != sequence.schema:
        raise SqlError("55000", "sequence must be in same schema as table it is linked to")
    column = table.column_by_name.get(parts[-1])
    if column is None:
        raise SqlError("42703", f'column "{parts[-1]}" of relation "{table.name}" does not exist')
    return Reference(table.oid, column.attnum)


@runs(AlterSequence, tag="ALTER SEQUENCE", writes=True, audit="ddl")
def alter_sequence(statement: AlterSequence, session: SessionServices) -> None:
    """ALTER SEQUENCE options; RESTART is transactional, as in PostgreSQL."""
    found = lock_relation(session, statement.name, TableLockMode.SHARE_ROW_EXCLUSIVE)
    if found is None:
        if statement.missing_ok:
            session.notice(f'relation "{shown(statement.name)}" does not exist, skipping')
            return
        raise missing_relation(session, statement.name)
    if not isinstance(found, Sequence):
        raise SqlError("42809", f'"{found.name}" is not a sequence')
    require_relation_owner(session, found)
    options = _by_name(statement.options)
    if "owned_by" in options:
        if found.internal:
            raise SqlError(
                "0A000",
                "cannot change ownership of identity sequence",
                detail=_link_detail(session, found),
            )
        changed = replace(found, owned_by=_owner_column(session, found, options["owned_by"]))
    else:
        changed = found
    changed, restart = apply_options(session, changed, options, creating=False)
    replace_sequence(session, found, changed, restart)


def replace_sequence(
    session: SessionServices, old: Sequence, new: Sequence, restart: int | None
) -> Sequence:
    """Put a changed definition in place; a restart gets a counter of its own, so that a rollback
    leaves the old one as it was."""
    edit = session.catalog_edit()
    if restart is not None:
        new = replace(new, store_id=edit.new_oid())
        session.storage.sequences.set(new.store_id, restart, called=False)
        session.run_after_commit(lambda: session.storage.sequences.drop(old.store_id))
    else:
        _check_current(session, new)
    return edit.replace(old, new)


def _check_current(session: SessionServices, new: Sequence) -> None:
    now = session.storage.sequences.peek(new.store_id)
    if now is not None:
        _check_within("RESTART", now[0], new.minimum, new.maximum)


def _link_detail(session: SessionServices, sequence: Sequence) -> str | None:
    if sequence.owned_by is None:
        return None
    table = session.catalog.by_oid(sequence.owned_by.oid)
    if not isinstance(table, ColumnedRelation):
        return None
    return f'Sequence "{sequence.name}" is linked to table "{table.name}".'
