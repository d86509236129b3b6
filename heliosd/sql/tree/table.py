"""CREATE and ALTER of tables, indexes, views and sequences."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import (
    DropBehavior,
    Expression,
    Node,
    ObjectKind,
    Option,
    QualifiedName,
    RoleSpec,
    Statement,
    TypeName,
    node,
)
from heliosd.sql.tree.modify import IndexElement
from heliosd.sql.tree.query import Persistence, Query, RangeVar


class OnCommit(StrEnum):
    """ON COMMIT of a temporary table."""

    NOOP = "noop"
    PRESERVE_ROWS = "preserve rows"
    DELETE_ROWS = "delete rows"
    DROP = "drop"


# -- constraints ---------------------------------------------------------------------------------


class ConstraintKind(StrEnum):
    """A constraint of a column or table. GENERATED and DEFAULT are kept as constraints too."""

    NULL = "null"
    NOT_NULL = "not null"
    DEFAULT = "default"
    IDENTITY = "identity"
    GENERATED = "generated"
    CHECK = "check"
    PRIMARY = "primary key"
    UNIQUE = "unique"
    EXCLUSION = "exclude"
    FOREIGN = "foreign key"


class ForeignKeyAction(StrEnum):
    """ON DELETE and ON UPDATE."""

    NO_ACTION = "no action"
    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set null"
    SET_DEFAULT = "set default"


class ForeignKeyMatch(StrEnum):
    """MATCH ..."""

    SIMPLE = "simple"
    FULL = "full"
    PARTIAL = "partial"


class GeneratedWhen(StrEnum):
    """GENERATED ALWAYS or BY DEFAULT."""

    ALWAYS = "always"
    BY_DEFAULT = "by default"


@node
class Constraint(Node):
    """One constraint; which fields count depends on `kind`.

    `expression`: CHECK, DEFAULT, GENERATED. `columns`: those of a table constraint (empty for a
    column's). `include`, `index` (USING INDEX), `options`, `tablespace`: PRIMARY, UNIQUE,
    EXCLUSION. `exclusions`: pairs of element and operator. `referenced` and `referenced_columns`
    and `set_columns` (ON DELETE SET NULL (columns)): FOREIGN. `generated`, `sequence_options`:
    IDENTITY. `deferrable` and `initially_deferred` are None when not written.
    """

    kind: ConstraintKind
    name: str | None = None
    expression: Expression | None = None
    columns: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    index: str | None = None
    options: tuple[Option, ...] = ()
    tablespace: str | None = None
    nulls_not_distinct: bool = False
    access_method: str | None = None
    exclusions: tuple[tuple[IndexElement, tuple[str, ...]], ...] = ()
    where: Expression | None = None
    referenced: QualifiedName | None = None
    referenced_columns: tuple[str, ...] = ()
    match: ForeignKeyMatch = ForeignKeyMatch.SIMPLE
    on_delete: ForeignKeyAction = ForeignKeyAction.NO_ACTION
    on_update: ForeignKeyAction = ForeignKeyAction.NO_ACTION
    set_columns: tuple[str, ...] = ()
    generated: GeneratedWhen | None = None
    sequence_options: tuple[Option, ...] = ()
    no_inherit: bool = False
    not_valid: bool = False
    deferrable: bool | None = None
    initially_deferred: bool | None = None


# -- CREATE TABLE --------------------------------------------------------------------------------


@node
class ColumnDefinition(Node):
    """One column. `type` is None only in a typed table's or partition's column options."""

    name: str
    type: TypeName | None
    constraints: tuple[Constraint, ...] = ()
    collation: tuple[str, ...] | None = None
    compression: str | None = None
    fdw_options: tuple[Option, ...] = ()


@node
class TableLike(Node):
    """LIKE relation INCLUDING/EXCLUDING ...: (option, included) in the order written."""

    relation: QualifiedName
    options: tuple[tuple[str, bool], ...] = ()


TableElement = ColumnDefinition | Constraint | TableLike


@node
class PartitionElement(Node):
    """One key of PARTITION BY: a column's `name` or an `expression`."""

    name: str | None
    expression: Expression | None
    collation: tuple[str, ...] | None = None
    operator_class: tuple[str, ...] | None = None


@node
class PartitionSpec(Node):
    """PARTITION BY strategy (elements)."""

    strategy: str
    elements: tuple[PartitionElement, ...]


@node
class PartitionBound(Node):
    """FOR VALUES ... or DEFAULT (`default`); `strategy` is list, range or hash.

    `lower` and `upper` hold expressions; MINVALUE and MAXVALUE are ColumnRefs of these names.
    """

    default: bool = False
    strategy: str | None = None
    values: tuple[Expression, ...] = ()
    lower: tuple[Expression, ...] = ()
    upper: tuple[Expression, ...] = ()
    modulus: int = 0
    remainder: int = 0


@node
class CreateTable(Statement):
    """CREATE TABLE (also OF type and PARTITION OF)."""

    name: QualifiedName
    elements: tuple[TableElement, ...]
    persistence: Persistence = Persistence.PERMANENT
    if_not_exists: bool = False
    inherits: tuple[QualifiedName, ...] = ()
    partition_by: PartitionSpec | None = None
    partition_of: QualifiedName | None = None
    bound: PartitionBound | None = None
    of_type: QualifiedName | None = None
    access_method: str | None = None
    options: tuple[Option, ...] = ()
    on_commit: OnCommit = OnCommit.NOOP
    tablespace: str | None = None
    foreign_server: str | None = None
    foreign_options: tuple[Option, ...] = ()


@node
class CreateTableAs(Statement):
    """CREATE TABLE AS, CREATE MATERIALIZED VIEW. `query` may be an Execute."""

    name: QualifiedName
    query: Statement
    columns: tuple[str, ...] = ()
    persistence: Persistence = Persistence.PERMANENT
    if_not_exists: bool = False
    with_data: bool = True
    materialized_view: bool = False
    access_method: str | None = None
    options: tuple[Option, ...] = ()
    on_commit: OnCommit = OnCommit.NOOP
    tablespace: str | None = None


# -- ALTER TABLE ---------------------------------------------------------------------------------


@node
class AlterTableCommand(Node):
    """One comma-separated part of ALTER TABLE (and of ALTER INDEX, VIEW, SEQUENCE, ...)."""


@node
class AddColumn(AlterTableCommand):
    """ADD [COLUMN] (ADD ATTRIBUTE of a composite type)."""

    column: ColumnDefinition
    if_not_exists: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class DropColumn(AlterTableCommand):
    """DROP [COLUMN] (DROP ATTRIBUTE)."""

    name: str
    missing_ok: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class AlterColumnType(AlterTableCommand):
    """ALTER COLUMN name TYPE type [COLLATE c] [USING expression]."""

    name: str
    type: TypeName
    collation: tuple[str, ...] | None = None
    using: Expression | None = None
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class SetColumnDefault(AlterTableCommand):
    """ALTER COLUMN SET DEFAULT, or DROP DEFAULT when `expression` is None."""

    name: str
    expression: Expression | None


@node
class SetColumnNotNull(AlterTableCommand):
    """ALTER COLUMN SET NOT NULL or DROP NOT NULL."""

    name: str
    not_null: bool


@node
class DropExpression(AlterTableCommand):
    """ALTER COLUMN DROP EXPRESSION."""

    name: str
    missing_ok: bool = False


@node
class SetColumnStatistics(AlterTableCommand):
    """ALTER COLUMN name|number SET STATISTICS target."""

    name: str | int
    target: int


@node
class SetColumnOptions(AlterTableCommand):
    """ALTER COLUMN SET (...), or RESET (...)."""

    name: str
    options: tuple[Option, ...]
    reset: bool = False


@node
class SetColumnStorage(AlterTableCommand):
    """ALTER COLUMN SET STORAGE."""

    name: str
    storage: str


@node
class SetColumnCompression(AlterTableCommand):
    """ALTER COLUMN SET COMPRESSION."""

    name: str
    compression: str


@node
class SetColumnFdwOptions(AlterTableCommand):
    """ALTER COLUMN OPTIONS (...)."""

    name: str
    options: tuple[Option, ...]


@node
class AddIdentity(AlterTableCommand):
    """ALTER COLUMN ADD GENERATED ... AS IDENTITY."""

    name: str
    constraint: Constraint


@node
class SetIdentity(AlterTableCommand):
    """ALTER COLUMN SET GENERATED ..., SET sequence option, RESTART: option `generated` first."""

    name: str
    options: tuple[Option, ...]


@node
class DropIdentity(AlterTableCommand):
    """ALTER COLUMN DROP IDENTITY."""

    name: str
    missing_ok: bool = False


@node
class SetColumnMask(AlterTableCommand):
    """ALTER COLUMN ADD MASKED WITH (FUNCTION = 'call'), DROP MASKED (None): heliosd's own."""

    name: str
    function: str | None


@node
class AddConstraint(AlterTableCommand):
    """ADD table constraint."""

    constraint: Constraint


@node
class AlterConstraint(AlterTableCommand):
    """ALTER CONSTRAINT name [DEFERRABLE ...]."""

    constraint: Constraint


@node
class ValidateConstraint(AlterTableCommand):
    """VALIDATE CONSTRAINT."""

    name: str


@node
class DropConstraint(AlterTableCommand):
    """DROP CONSTRAINT."""

    name: str
    missing_ok: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT


class TriggerState(StrEnum):
    """ENABLE, DISABLE, ENABLE REPLICA, ENABLE ALWAYS."""

    ENABLE = "enable"
    DISABLE = "disable"
    REPLICA = "enable replica"
    ALWAYS = "enable always"


@node
class SetTriggerState(AlterTableCommand):
    """ENABLE/DISABLE TRIGGER name|ALL|USER, or a RULE. `name` is None with ALL and USER."""

    state: TriggerState
    name: str | None
    user_only: bool = False
    rule: bool = False


@node
class SetRowSecurity(AlterTableCommand):
    """ENABLE, DISABLE, FORCE, NO FORCE ROW LEVEL SECURITY."""

    enable: bool | None = None
    force: bool | None = None


@node
class SetOwner(AlterTableCommand):
    """OWNER TO."""

    owner: RoleSpec


@node
class SetTablespace(AlterTableCommand):
    """SET TABLESPACE."""

    tablespace: str


@node
class SetAccessMethod(AlterTableCommand):
    """SET ACCESS METHOD."""

    access_method: str


@node
class SetLogged(AlterTableCommand):
    """SET LOGGED or UNLOGGED."""

    logged: bool


@node
class ClusterOn(AlterTableCommand):
    """CLUSTER ON index, or SET WITHOUT CLUSTER when `index` is None."""

    index: str | None


@node
class SetWithoutOids(AlterTableCommand):
    """SET WITHOUT OIDS: accepted, without effect."""


@node
class SetRelationOptions(AlterTableCommand):
    """SET (...) or RESET (...)."""

    options: tuple[Option, ...]
    reset: bool = False


@node
class SetForeignOptions(AlterTableCommand):
    """OPTIONS (...) of a foreign table."""

    options: tuple[Option, ...]


@node
class SetInherit(AlterTableCommand):
    """INHERIT parent or NO INHERIT parent."""

    parent: QualifiedName
    inherit: bool


@node
class SetOfType(AlterTableCommand):
    """OF type, or NOT OF when `type` is None."""

    type: QualifiedName | None


@node
class SetReplicaIdentity(AlterTableCommand):
    """REPLICA IDENTITY NOTHING|FULL|DEFAULT|USING INDEX index."""

    kind: str
    index: str | None = None


@node
class AttachPartition(AlterTableCommand):
    """ATTACH PARTITION (of an index without `bound`)."""

    partition: QualifiedName
    bound: PartitionBound | None


@node
class DetachPartition(AlterTableCommand):
    """DETACH PARTITION [CONCURRENTLY|FINALIZE]."""

    partition: QualifiedName
    concurrent: bool = False
    finalize: bool = False


@node
class AlterTable(Statement):
    """ALTER TABLE, INDEX, SEQUENCE, VIEW, MATERIALIZED VIEW, FOREIGN TABLE, TYPE (attributes)."""

    kind: ObjectKind
    relation: RangeVar
    commands: tuple[AlterTableCommand, ...]
    missing_ok: bool = False


@node
class AlterTableMoveAll(Statement):
    """ALTER TABLE|INDEX|MATERIALIZED VIEW ALL IN TABLESPACE."""

    kind: ObjectKind
    tablespace: str
    new_tablespace: str
    roles: tuple[RoleSpec, ...] = ()
    nowait: bool = False


# -- indexes, views, sequences -------------------------------------------------------------------


@node
class CreateIndex(Statement):
    """CREATE INDEX; `name` None: the server chooses one."""

    relation: RangeVar
    name: str | None
    elements: tuple[IndexElement, ...]
    unique: bool = False
    concurrent: bool = False
    if_not_exists: bool = False
    access_method: str = "btree"
    include: tuple[IndexElement, ...] = ()
    nulls_not_distinct: bool = False
    options: tuple[Option, ...] = ()
    tablespace: str | None = None
    where: Expression | None = None


class CheckOption(StrEnum):
    """WITH ... CHECK OPTION."""

    NONE = "none"
    LOCAL = "local"
    CASCADED = "cascaded"


@node
class CreateView(Statement):
    """CREATE VIEW. A RECURSIVE view's query already is its WITH RECURSIVE form."""

    name: QualifiedName
    query: Query
    columns: tuple[str, ...] = ()
    or_replace: bool = False
    persistence: Persistence = Persistence.PERMANENT
    options: tuple[Option, ...] = ()
    check_option: CheckOption = CheckOption.NONE


@node
class RefreshMaterializedView(Statement):
    """REFRESH MATERIALIZED VIEW."""

    name: QualifiedName
    concurrent: bool = False
    with_data: bool = True


@node
class CreateSequence(Statement):
    """CREATE SEQUENCE. Options: as, cache, cycle, increment, maxvalue, minvalue, owned_by,
    start, restart; `maxvalue` with value None is NO MAXVALUE."""

    name: QualifiedName
    options: tuple[Option, ...] = ()
    persistence: Persistence = Persistence.PERMANENT
    if_not_exists: bool = False


@node
class AlterSequence(Statement):
    """ALTER SEQUENCE options."""

    name: QualifiedName
    options: tuple[Option, ...]
    missing_ok: bool = False
