"""ALTER TABLE, VIEW, SEQUENCE, INDEX on the relation itself: owner, options, row security."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog import acl
from heliosd.catalog.acl_change import replace_role
from heliosd.catalog.objects import (
    ColumnedRelation,
    IndexRelation,
    Relation,
    Schema,
    Sequence,
    Table,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    is_superuser,
    require_new_owner,
    resolve_role,
)
from heliosd.execute.utility.options import (
    INDEX_OPTIONS,
    TABLE_OPTIONS,
    boolean_value,
    option_text,
    storage_options,
)
from heliosd.execute.utility.views import check_option, check_updatable
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import Option
from heliosd.sql.tree.query import Query

if TYPE_CHECKING:
    from heliosd.catalog.objects import Role
    from heliosd.execute.context import SessionServices


def set_owner(session: SessionServices, oid: int, command: tree.SetOwner) -> None:
    """OWNER TO: owned sequences follow their table; their owner cannot change alone."""
    relation = session.catalog.by_oid(oid)
    assert isinstance(relation, Relation)
    owner = resolve_role(session, command.owner)
    if relation.owner == owner.oid:
        return
    if isinstance(relation, Sequence) and relation.owned_by is not None:
        table = session.catalog.by_oid(relation.owned_by.oid)
        detail = (
            None
            if table is None
            else (f'Sequence "{relation.name}" is linked to table "{table.name}".')
        )
        raise SqlError("0A000", f'cannot change owner of sequence "{relation.name}"', detail=detail)
    require_new_owner(session, relation, owner)
    schema = session.catalog.of_kind(Schema, relation.schema)
    may_create = schema is None or acl.has_privilege(session.catalog, owner.oid, schema, acl.CREATE)
    if schema is not None and not may_create and not is_superuser(session):
        raise SqlError("42501", f"permission denied for schema {schema.name}")
    give_to(session, relation, owner)


def give_to(session: SessionServices, relation: Relation, owner: Role) -> None:
    """Change the owner of a relation and of what belongs to it."""
    edit = session.catalog_edit()
    changed = replace(
        relation,
        owner=owner.oid,
        acl=replace_role(relation.acl, relation.owner, owner.oid),
    )
    if isinstance(changed, ColumnedRelation):
        columns = tuple(
            replace(c, acl=replace_role(c.acl, relation.owner, owner.oid) or None)
            for c in changed.columns
        )
        changed = replace(changed, columns=columns)
    edit.replace(relation, changed)
    if isinstance(relation, Table):
        for sequence in session.catalog.owned_sequences(relation.oid):
            give_to(session, sequence, owner)


def set_options(session: SessionServices, oid: int, command: tree.SetRelationOptions) -> None:
    """SET (...) and RESET (...) of a table."""
    table = session.catalog.table(oid)
    kept = _changed(table.options, command, TABLE_OPTIONS)
    session.catalog_edit().replace(table, replace(table, options=kept))


def set_index_options(session: SessionServices, oid: int, command: tree.SetRelationOptions) -> None:
    """The same of an index."""
    relation = session.catalog.by_oid(oid)
    assert isinstance(relation, IndexRelation)
    table = session.catalog.table(relation.table)
    kept = _changed(relation.index.options, command, INDEX_OPTIONS)
    indexes = tuple(
        replace(index, options=kept) if index.oid == oid else index for index in table.indexes
    )
    session.catalog_edit().replace(table, replace(table, indexes=indexes))


def _changed(
    options: tuple[tuple[str, str], ...],
    command: tree.SetRelationOptions,
    known: object,
) -> tuple[tuple[str, str], ...]:
    kept = dict(options)
    if command.reset:
        for option in command.options:
            kept.pop(option.name, None)
    else:
        kept.update(storage_options(command.options, known))  # type: ignore[arg-type]
    return tuple(kept.items())


def set_view_options(session: SessionServices, oid: int, command: tree.SetRelationOptions) -> None:
    """security_barrier, security_invoker and check_option of a view."""
    view = session.catalog.by_oid(oid)
    assert isinstance(view, View)
    barrier, invoker = view.security_barrier, view.security_invoker
    check = view.check_option
    for option in command.options:
        value = False if command.reset else None
        match option.name:
            case "security_barrier":
                barrier = value if value is not None else _flag(option)
            case "security_invoker":
                invoker = value if value is not None else _flag(option)
            case "check_option":
                check = "" if command.reset else check_option(option)
                if check:
                    check_updatable(session, parse_query(view.query))
            case _:
                raise SqlError("22023", f'unrecognized parameter "{option.name}"')
    changed = replace(view, security_barrier=barrier, security_invoker=invoker, check_option=check)
    session.catalog_edit().replace(view, changed)


def parse_query(text: str) -> Query:
    """A view's query as it rests."""
    (tree,) = parse_statements(text)
    assert isinstance(tree, Query)
    return tree


def _flag(option: Option) -> bool:
    return boolean_value(option.name, option_text(option))


def set_row_security(session: SessionServices, oid: int, command: tree.SetRowSecurity) -> None:
    """ENABLE, DISABLE, FORCE, NO FORCE ROW LEVEL SECURITY."""
    table = session.catalog.table(oid)
    changed = replace(
        table,
        row_security=table.row_security if command.enable is None else command.enable,
        force_row_security=(table.force_row_security if command.force is None else command.force),
    )
    session.catalog_edit().replace(table, changed)


def set_logged(session: SessionServices, oid: int, command: tree.SetLogged) -> None:
    """SET LOGGED, SET UNLOGGED: what a crash leaves is the same here; the mark is kept."""
    table = session.catalog.table(oid)
    if table.persistence == "t":
        raise SqlError(
            "42P16",
            f'cannot change logged status of table "{table.name}" because it is temporary',
        )
    changed = replace(table, persistence="p" if command.logged else "u")
    session.catalog_edit().replace(table, changed)


def set_sequence_logged(session: SessionServices, oid: int, command: tree.SetLogged) -> None:
    """The same of a sequence."""
    sequence = session.catalog.by_oid(oid)
    assert isinstance(sequence, Sequence)
    changed = replace(sequence, persistence="p" if command.logged else "u")
    session.catalog_edit().replace(sequence, changed)


def cluster_on(session: SessionServices, oid: int, command: tree.ClusterOn) -> None:
    """CLUSTER ON the primary key is how tables rest anyway; another index cannot be kept."""
    table = session.catalog.table(oid)
    name = command.index
    if name is not None:
        index = next((i for i in table.indexes if i.name == name), None)
        if index is None:
            raise SqlError("42704", f'index "{name}" for table "{table.name}" does not exist')
        if not index.primary:
            raise not_supported("CLUSTER on another index than the primary key's")
    indexes = tuple(replace(i, clustered=i.name == name) for i in table.indexes)
    session.catalog_edit().replace(table, replace(table, indexes=indexes))


def set_replica_identity(
    session: SessionServices, oid: int, command: tree.SetReplicaIdentity
) -> None:
    """REPLICA IDENTITY: kept for the day that changes are streamed."""
    table = session.catalog.table(oid)
    letters = {"nothing": "n", "full": "f", "default": "d", "index": "i", "using index": "i"}
    letter = letters[command.kind.lower()]
    if letter == "i" and not any(i.name == command.index and i.unique for i in table.indexes):
        raise SqlError("42704", f'index "{command.index}" for table "{table.name}" does not exist')
    indexes = tuple(
        replace(i, replica_identity=letter == "i" and i.name == command.index)
        for i in table.indexes
    )
    changed = replace(table, replica_identity=letter, indexes=indexes)  # type: ignore[arg-type]
    session.catalog_edit().replace(table, changed)


def set_tablespace(_session: SessionServices, _oid: int, command: tree.SetTablespace) -> None:
    """There is one tablespace."""
    if command.tablespace != "pg_default":
        raise SqlError("42704", f'tablespace "{command.tablespace}" does not exist')


def set_access_method(_session: SessionServices, _oid: int, command: tree.SetAccessMethod) -> None:
    """There is one access method for tables."""
    if command.access_method != "heap":
        raise SqlError("42704", f'access method "{command.access_method}" does not exist')


def nothing(_session: SessionServices, _oid: int, _command: tree.SetWithoutOids) -> None:
    """SET WITHOUT OIDS: tables have none."""
