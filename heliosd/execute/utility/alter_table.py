"""ALTER TABLE: its parts in order, each on the table that the one before left.

ALTER VIEW, SEQUENCE and INDEX arrive here too, for what they share (owner, defaults, options).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog.objects import (
    IndexRelation,
    MaterializedView,
    Relation,
    Sequence,
    SystemView,
    Table,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility import (
    alter_columns,
    alter_constraints,
    alter_relations,
    security_labels,
)
from heliosd.execute.utility.alter_types import alter_composite
from heliosd.execute.utility.names import (
    lock_relation,
    missing_relation,
    refuse_in_use,
    require_relation_owner,
    shown,
    system_relation,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import ObjectKind

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

Step = Callable[["SessionServices", Any, Any], None]

_TABLE_STEPS: Final[Mapping[type, Step]] = MappingProxyType(
    {
        tree.AddColumn: alter_columns.add_column,
        tree.DropColumn: alter_columns.drop_column,
        tree.AlterColumnType: alter_columns.change_type,
        tree.SetColumnDefault: alter_columns.set_default,
        tree.SetColumnNotNull: alter_columns.set_not_null,
        tree.DropExpression: alter_columns.drop_expression,
        tree.SetColumnStatistics: alter_columns.set_statistics,
        tree.SetColumnStorage: alter_columns.set_storage,
        tree.SetColumnMask: security_labels.set_mask,
        tree.AddIdentity: alter_columns.add_identity,
        tree.SetIdentity: alter_columns.set_identity,
        tree.DropIdentity: alter_columns.drop_identity,
        tree.AddConstraint: alter_constraints.add_constraint,
        tree.DropConstraint: alter_constraints.drop_constraint,
        tree.AlterConstraint: alter_constraints.alter_constraint,
        tree.ValidateConstraint: alter_constraints.validate_constraint,
        tree.SetOwner: alter_relations.set_owner,
        tree.SetRelationOptions: alter_relations.set_options,
        tree.SetRowSecurity: alter_relations.set_row_security,
        tree.SetLogged: alter_relations.set_logged,
        tree.ClusterOn: alter_relations.cluster_on,
        tree.SetReplicaIdentity: alter_relations.set_replica_identity,
        tree.SetWithoutOids: alter_relations.nothing,
        tree.SetTablespace: alter_relations.set_tablespace,
        tree.SetAccessMethod: alter_relations.set_access_method,
    }
)
_VIEW_STEPS: Final[Mapping[type, Step]] = MappingProxyType(
    {
        tree.SetOwner: alter_relations.set_owner,
        tree.SetRelationOptions: alter_relations.set_view_options,
    }
)
_MATERIALIZED_STEPS: Final[Mapping[type, Step]] = MappingProxyType(
    {
        tree.SetOwner: alter_relations.set_owner,
        tree.SetRelationOptions: alter_relations.set_options,
        tree.SetTablespace: alter_relations.set_tablespace,
        tree.SetAccessMethod: alter_relations.set_access_method,
    }
)
_SEQUENCE_STEPS: Final[Mapping[type, Step]] = MappingProxyType(
    {
        tree.SetOwner: alter_relations.set_owner,
        tree.SetLogged: alter_relations.set_sequence_logged,
    }
)
_INDEX_STEPS: Final[Mapping[type, Step]] = MappingProxyType(
    {
        tree.SetRelationOptions: alter_relations.set_index_options,
        tree.SetTablespace: alter_relations.set_tablespace,
    }
)


@runs(tree.AlterTable, tag="ALTER TABLE", writes=True, audit="ddl")
def alter_table(statement: tree.AlterTable, session: SessionServices) -> str:
    """ALTER TABLE|VIEW|SEQUENCE|INDEX [IF EXISTS] name command, ..."""
    tag = f"ALTER {statement.kind.value.upper()}"
    if statement.kind is ObjectKind.TYPE:
        return alter_composite(statement, session)
    name = statement.relation.name
    found = lock_relation(session, name)
    if found is None:
        if statement.missing_ok:
            session.notice(f'relation "{shown(name)}" does not exist, skipping')
            return tag
        raise missing_relation(session, name)
    if isinstance(found, SystemView):
        raise system_relation(found)
    _check_kind(statement.kind, found)
    require_relation_owner(session, found)
    if isinstance(found, Table):
        refuse_in_use(session, found, "ALTER TABLE")
    steps = _steps(found)
    _refuse_twice(statement.commands)
    for command in _in_passes(statement.commands):
        step = steps.get(type(command))
        if step is None:
            raise _wrong_command(command, found)
        step(session, found.oid, command)
    return tag


def _steps(relation: Relation) -> Mapping[type, Step]:
    match relation:
        case MaterializedView():
            return _MATERIALIZED_STEPS
        case Table():
            return _TABLE_STEPS
        case View():
            return _VIEW_STEPS
        case Sequence():
            return _SEQUENCE_STEPS
    return _INDEX_STEPS


def _check_kind(kind: ObjectKind, relation: Relation) -> None:
    """ALTER TABLE may be said of every relation; the other words only of their own."""
    wanted: dict[ObjectKind, type[Relation]] = {
        ObjectKind.VIEW: View,
        ObjectKind.SEQUENCE: Sequence,
        ObjectKind.INDEX: IndexRelation,
        ObjectKind.MATERIALIZED_VIEW: MaterializedView,
    }
    expected = wanted.get(kind)
    if expected is not None and not isinstance(relation, expected):
        article = "an" if kind is ObjectKind.INDEX else "a"
        raise SqlError("42809", f'"{relation.name}" is not {article} {kind.value}')


def _refuse_twice(commands: tuple[tree.AlterTableCommand, ...]) -> None:
    """A column's type can change only once in a statement."""
    seen: set[str] = set()
    for command in commands:
        if isinstance(command, tree.AlterColumnType):
            if command.name in seen:
                raise SqlError("0A000", f'cannot alter type of column "{command.name}" twice')
            seen.add(command.name)


def _in_passes(commands: tuple[tree.AlterTableCommand, ...]) -> list[tree.AlterTableCommand]:
    """PostgreSQL's passes: drops first, then types, then what is added, each in written order."""

    def order(command: tree.AlterTableCommand) -> int:
        match command:
            case tree.DropColumn() | tree.DropConstraint():
                return 0
            case tree.AlterColumnType():
                return 1
            case tree.AddColumn():
                return 2
            case tree.AddConstraint(constraint=constraint):
                return 4 if constraint.kind is tree.ConstraintKind.FOREIGN else 3
        return 3

    return sorted(commands, key=order)


def _wrong_command(command: tree.AlterTableCommand, relation: Relation) -> SqlError:
    name = type(command).__name__
    words = "".join(f" {c}" if c.isupper() else c for c in name).strip().upper()
    if isinstance(relation, Table) and not isinstance(relation, MaterializedView):
        return not_supported(f"ALTER TABLE ... {words}")
    if isinstance(command, tree.SetRowSecurity):
        switch = {True: "ENABLE", False: "DISABLE", None: "FORCE" if command.force else "NO FORCE"}
        words = f"{switch[command.enable]} ROW SECURITY"
    kinds: dict[type[Relation], str] = {
        View: "views",
        MaterializedView: "materialized views",
        Sequence: "sequences",
        IndexRelation: "indexes",
    }
    kind = next((each for of, each in kinds.items() if isinstance(relation, of)), None)
    return SqlError(
        "42809",
        f'ALTER action {words} cannot be performed on relation "{relation.name}"',
        detail=kind and f"This operation is not supported for {kind}.",
    )
