"""What a database consists of: frozen objects with an oid, an owner, an acl and a version.

An object is replaced, never changed; `version` is new with each replacement and unique in the
process, so a plan that holds (oid, version) pairs knows by comparing them whether it is stale.
Expressions (defaults, checks, index keys, view queries) rest as canonical, schema-qualified SQL
text beside the `Reference`s that they depend on. Numbers of columns are PostgreSQL's attnums:
1-based, never reused; a stored row has one slot per attnum (`attnum - 1`), dropped ones included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from heliosd.catalog.labels import MaskCall, mask_of

FIRST_USER_OID: Final = 16384
"""Oids below belong to what every database has."""

PG_CATALOG_OID: Final = 11
PUBLIC_OID: Final = 2200
INFORMATION_SCHEMA_OID: Final = 13211
BOOTSTRAP_ROLE_OID: Final = 10
PG_DATABASE_OWNER_OID: Final = 6171
"""The role whose only member is the current database's owner; it owns `public`."""

HELIOS_MASK_ADMIN_OID: Final = 9990
"""The role whose members may drop and weaken masks. Oids from 8000 to 9999 are nobody's in
PostgreSQL: what heliosd adds to the catalog has its oids there."""

PUBLIC_ROLE: Final = 0
"""The grantee that stands for everybody."""

NAME_BYTES_MAX: Final = 63
"""Longer identifiers are cut by the lexer, as PostgreSQL does."""

DEFAULT_COLLATION: Final = 100
C_COLLATION: Final = 950

Privileges: TypeAlias = str
"""Privilege letters as in aclitem: r a w d D x t (tables), U C T c s A."""


@dataclass(frozen=True, slots=True)
class AclItem:
    """`grantee` (0 = PUBLIC) holds `privileges`, those in `options` WITH GRANT OPTION."""

    grantee: int
    grantor: int
    privileges: Privileges
    options: Privileges = ""


Acl: TypeAlias = tuple[AclItem, ...] | None
"""None: never granted or revoked, so the kind's defaults hold."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An expression's dependence on an object, or on one column of it (`attnum` > 0)."""

    oid: int
    attnum: int = 0


@dataclass(frozen=True, kw_only=True)
class CatalogObject:
    """What all objects share. `database` is 0 for those that all databases see."""

    oid: int
    name: str
    owner: int = BOOTSTRAP_ROLE_OID
    acl: Acl = None
    database: int = 0
    version: int = 0
    comment: str | None = None
    label: str | None = None
    """The security label of provider heliosd (catalog/labels.py)."""


@dataclass(frozen=True, kw_only=True)
class Database(CatalogObject):
    """A name space of schemas. Lives among the shared objects."""

    is_template: bool = False
    allows_connections: bool = True
    connection_limit: int = -1
    encoding: str = "UTF8"
    collation: str = "C.UTF-8"
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Membership:
    """`role` (oid) counts as a member; granted by `grantor`.

    `inherit_option` (None: as the member's INHERIT says) and `set_option` are PostgreSQL 16's
    options of a single membership; their defaults are 15's meaning.
    """

    role: int
    grantor: int
    admin_option: bool = False
    inherit_option: bool | None = None
    set_option: bool = True


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a role may be sent of a table (0: of all tables) in `period_us` microseconds.

    None: as much as there is. `counters` are storage's: when the span began, rows, bytes.
    """

    oid: int
    table: int = 0
    rows: int | None = None
    size_bytes: int | None = None
    period_us: int
    counters: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Role(CatalogObject):
    """A role; `member_of` are its direct memberships. `verifier` is for SCRAM, never a text."""

    superuser: bool = False
    inherit: bool = True
    create_role: bool = False
    create_db: bool = False
    login: bool = False
    replication: bool = False
    bypass_rls: bool = False
    connection_limit: int = -1
    verifier: str | None = field(default=None, repr=False)
    valid_until: int | None = None
    """Microseconds since 2000-01-01 UTC, as in timestamptz values."""
    previous_verifier: str | None = field(default=None, repr=False)
    previous_until: int | None = None
    """The password before this one is good until then: both share salt and iterations."""
    password_history: tuple[str, ...] = field(default=(), repr=False)
    """Verifiers of passwords before, the newest first."""
    password_set: int | None = None
    """When the password was set, in such microseconds."""
    password_unchecked: bool = False
    """The password came hashed, or was the first start's: nobody has judged it."""
    member_of: tuple[Membership, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    database_settings: tuple[tuple[int, str, str], ...] = ()
    """(database oid, setting, value): ALTER ROLE ... IN DATABASE ... SET."""
    settings_of_all: tuple[tuple[str, str], ...] = ()
    """ALTER ROLE ALL SET: kept with the bootstrap superuser, which is always there."""
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Schema(CatalogObject):
    """A name space of relations, types and functions inside a database."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a relation; `default` is canonical SQL (also a generated column's expression)."""

    attnum: int
    name: str
    type_oid: int
    typmod: int = -1
    not_null: bool = False
    default: str | None = None
    default_oid: int = 0
    default_references: tuple[Reference, ...] = ()
    identity: Literal["", "a", "d"] = ""
    generated: Literal["", "s"] = ""
    collation: int = 0
    dropped: bool = False
    comment: str | None = None
    acl: Acl = None
    statistics_target: int = -1
    storage: str = ""
    """PostgreSQL's storage letter where ALTER COLUMN SET STORAGE chose one; '' = the type's."""
    label: str | None = None
    """The security label of provider heliosd: a sensitivity, a mask, or both."""
    sources: tuple[Reference, ...] = ()
    """Of a materialised view: the stored columns from which this one is computed."""

    @cached_property
    def mask(self) -> MaskCall | None:
        """The mask that its label names."""
        return mask_of(self.label)


@dataclass(frozen=True, kw_only=True)
class IndexKey:
    """One key of an index: a column (`attnum` > 0) or an expression (canonical SQL)."""

    attnum: int = 0
    expression: str | None = None
    type_oid: int = 0
    typmod: int = -1
    collation: int = 0
    descending: bool = False
    nulls_first: bool = False
    opclass: str = ""
    """A class named by the user (text_pattern_ops ...), '' for the type's default."""
    name: str = ""
    """What an expression's column is called: a function's name, or `expr`."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """An index rests inside its table; its name lives among the relations of the table's schema.

    `tree_id` is 0 for the primary key: the table itself is clustered on it.
    """

    oid: int
    name: str
    keys: tuple[IndexKey, ...]
    included: tuple[int, ...] = ()
    tree_id: int = 0
    unique: bool = False
    primary: bool = False
    nulls_not_distinct: bool = False
    predicate: str | None = None
    constraint: int = 0
    """Oid of the constraint that it serves, 0 for none."""
    references: tuple[Reference, ...] = ()
    """What its expressions and predicate depend on, beside the table's own columns."""
    method: str = "btree"
    options: tuple[tuple[str, str], ...] = ()
    comment: str | None = None
    clustered: bool = False
    replica_identity: bool = False

    @cached_property
    def attnums(self) -> tuple[int, ...]:
        """Key columns; 0 where the key is an expression (as pg_index.indkey)."""
        return tuple(key.attnum for key in self.keys)


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A table constraint: kind c(heck), p(rimary key), u(nique), f(oreign key)."""

    oid: int
    name: str
    kind: Literal["c", "p", "u", "f"]
    columns: tuple[int, ...] = ()
    expression: str | None = None
    """c: canonical SQL over the table's columns."""
    references: tuple[Reference, ...] = ()
    no_inherit: bool = False
    deferrable: bool = False
    initially_deferred: bool = False
    validated: bool = True
    index: int = 0
    """p, u: oid of the index that holds it. f: oid of the referenced table's unique index."""
    referenced_table: int = 0
    referenced_columns: tuple[int, ...] = ()
    on_update: Literal["a", "r", "c", "n", "d"] = "a"
    on_delete: Literal["a", "r", "c", "n", "d"] = "a"
    on_delete_columns: tuple[int, ...] = ()
    """f: the columns of SET NULL (a, b) / SET DEFAULT (a, b); () = all."""
    match_type: Literal["s", "f"] = "s"
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A row-level security policy; it rests inside its table.

    `command`: * (ALL), r, a, w or d. `roles`: oids, PUBLIC_ROLE alone for everybody. `using` says
    which rows are seen, `check` which may be written (None: as `using`), in canonical SQL over the
    table's columns; what both depend on is in `references`.
    """

    oid: int
    name: str
    command: Literal["*", "r", "a", "w", "d"] = "*"
    permissive: bool = True
    roles: tuple[int, ...] = (PUBLIC_ROLE,)
    using: str | None = None
    check: str | None = None
    references: tuple[Reference, ...] = ()
    comment: str | None = None


@dataclass(frozen=True, kw_only=True)
class Relation(CatalogObject):
    """What lives in a schema's relation name space."""

    schema: int
    persistence: Literal["p", "u", "t"] = "p"


@dataclass(frozen=True, kw_only=True)
class ColumnedRelation(Relation):
    """A relation that FROM can name: tables, views, sequences, system views."""

    columns: tuple[Column, ...] = ()
    row_type: int = 0
    row_array: int = 0
    """The array type over the row type."""

    @cached_property
    def live_columns(self) -> tuple[Column, ...]:
        """The columns that SQL sees, in order."""
        return tuple(column for column in self.columns if not column.dropped)

    @cached_property
    def column_by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns if not column.dropped}

    def column(self, attnum: int) -> Column:
        """The column with this attnum (columns rest in attnum order, dropped ones included)."""
        return self.columns[attnum - 1]


@dataclass(frozen=True, kw_only=True)
class Table(ColumnedRelation):
    """A table: a storage tree clustered on its primary key.

    `key_kind` "int": one integer primary key column, the key is that integer; "bytes":
    memcomparable key of the primary key's columns; "row": no primary key, the key is a hidden row
    number (an int, drawn from the storage sequence `row_sequence`).
    """

    tree_id: int
    key_kind: Literal["int", "bytes", "row"]
    row_sequence: int = 0
    primary_key: tuple[int, ...] = ()
    indexes: tuple[Index, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    referenced_by: tuple[int, ...] = ()
    """Oids of tables with a foreign key onto this one (itself included)."""
    options: tuple[tuple[str, str], ...] = ()
    on_commit: Literal["preserve", "delete", "drop"] = "preserve"
    row_security: bool = False
    force_row_security: bool = False
    policies: tuple[Policy, ...] = ()
    """In the order of their names."""
    replica_identity: Literal["d", "n", "f", "i"] = "d"

    @cached_property
    def masks(self) -> Mapping[int, MaskCall]:
        """Masks by attnum; a column generated from a masked one inherits `full`."""
        found = {c.attnum: c.mask for c in self.columns if c.mask is not None and not c.dropped}
        for column in self.columns if found else ():
            read = {r.attnum for r in column.default_references if r.oid == self.oid}
            if column.generated and column.attnum not in found and read & found.keys():
                found[column.attnum] = MaskCall("full")
        return found

    @cached_property
    def checks(self) -> tuple[Constraint, ...]:
        """Check constraints in the order in which PostgreSQL tests them: by name."""
        return tuple(sorted((c for c in self.constraints if c.kind == "c"), key=lambda c: c.name))

    @cached_property
    def foreign_keys(self) -> tuple[Constraint, ...]:
        return tuple(c for c in self.constraints if c.kind == "f")

    @cached_property
    def secondary_indexes(self) -> tuple[Index, ...]:
        """The indexes that have a tree of their own."""
        return tuple(index for index in self.indexes if index.tree_id)

    def index_by_oid(self, oid: int) -> Index | None:
        return next((index for index in self.indexes if index.oid == oid), None)

    def constraint_by_oid(self, oid: int) -> Constraint | None:
        return next((c for c in self.constraints if c.oid == oid), None)

    def constraint_by_name(self, name: str) -> Constraint | None:
        return next((c for c in self.constraints if c.name == name), None)

    def policy_by_name(self, name: str) -> Policy | None:
        return next((p for p in self.policies if p.name == name), None)


@dataclass(frozen=True, kw_only=True)
class MaterializedView(Table):
    """A table that REFRESH fills with what a query gives; `query` as in a `View`."""

    query: str
    query_references: tuple[Reference, ...] = ()
    populated: bool = False


@dataclass(frozen=True, kw_only=True)
class IndexRelation(Relation):
    """An index as the relation name space sees it; derived from its table, never stored."""

    table: int
    index: Index


@dataclass(frozen=True, kw_only=True)
class View(ColumnedRelation):
    """A view: canonical SQL text, bound anew by the owner's eyes where it is used."""

    query: str
    references: tuple[Reference, ...] = ()
    check_option: Literal["", "local", "cascaded"] = ""
    security_barrier: bool = False
    security_invoker: bool = False


@dataclass(frozen=True, kw_only=True)
class Sequence(ColumnedRelation):
    """A sequence's definition; its counter rests in storage under `store_id`."""

    store_id: int
    type_oid: int = 20
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 9223372036854775807
    cache: int = 1
    cycle: bool = False
    owned_by: Reference | None = None
    internal: bool = False
    """True for an identity column's sequence: it lives and dies with the column."""


@dataclass(frozen=True, kw_only=True)
class SystemView(ColumnedRelation):
    """A relation of pg_catalog or information_schema, computed when read. Never stored.

    `rows` gets the session's `ViewContext` (catalog/views/context.py) and yields rows with a value
    per column.
    """

    rows: Callable[[Any], Iterator[tuple[Any, ...]]]
    kind: Literal["r", "v"] = "r"


@dataclass(frozen=True, kw_only=True)
class TypeObject(CatalogObject):
    """A type made by CREATE TYPE or CREATE DOMAIN: e(num), d(omain), c(omposite), r(ange), and
    the m(ultirange) that comes with a range."""

    schema: int
    kind: Literal["e", "d", "c", "r", "m"]
    array_oid: int = 0
    labels: tuple[tuple[int, str], ...] = ()
    """e: (oid, label) in sort order."""
    label_orders: tuple[float, ...] = ()
    """e: the labels' pg_enum.enumsortorder, which never changes; () for 1, 2, 3 ..."""
    base_type: int = 0
    """d: what it is over. r: its subtype. m: its range."""
    typmod: int = -1
    not_null: bool = False
    default: str | None = None
    constraints: tuple[Constraint, ...] = ()
    columns: tuple[Column, ...] = ()
    references: tuple[Reference, ...] = ()
    collation: int = 0
    multirange: int = 0
    """r: oid of its multirange type."""
    opclass: str = ""
    subtype_diff: str = ""
    relation_oid: int = 0
    """c: its oid in pg_class."""


@dataclass(frozen=True, kw_only=True)
class DefaultPrivileges(CatalogObject):
    """ALTER DEFAULT PRIVILEGES: what `owner`'s new objects of a kind start with.

    With `schema` 0 `acl` is all of it, in every schema; with a schema it is added there.
    """

    schema: int = 0
    kind: Literal["r", "S", "f", "T", "n"]


@dataclass(frozen=True, kw_only=True)
class BuiltInAcl(CatalogObject):
    """What GRANT and REVOKE left of the privileges on a thing that is never stored: a built-in
    function, type or language, a system relation (`target` is its oid), or a setting (its name)."""

    kind: Literal[
        "function", "type", "language", "relation", "schema", "tablespace", "parameter"
    ]  # fmt: skip
    target: int = 0


@dataclass(frozen=True, kw_only=True)
class RoutineParameter:
    """A parameter of a routine. `mode`: i(n), o(ut), b(oth), v(ariadic), t(able column)."""

    type_oid: int
    name: str = ""
    mode: Literal["i", "o", "b", "v", "t"] = "i"
    default: str | None = None
    """Canonical SQL."""


@dataclass(frozen=True, kw_only=True)
class Routine(CatalogObject):
    """A function or procedure (`kind` f, p) in SQL: its body is text, parsed where it is called.

    `atomic`: the body is an SQL-standard one, whose names mean what they meant when it was made;
    `references` then hold what it depends on (the defaults' references always).
    """

    schema: int
    kind: Literal["f", "p"] = "f"
    parameters: tuple[RoutineParameter, ...] = ()
    result: int = 2278
    returns_set: bool = False
    language: str = "sql"
    body: str = ""
    atomic: bool = False
    path: tuple[int, ...] = ()
    """atomic: the schemas in which the body's names were looked up."""
    volatility: Literal["i", "s", "v"] = "v"
    parallel: Literal["s", "r", "u"] = "u"
    strict: bool = False
    leakproof: bool = False
    security_definer: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    cost: float = 100.0
    rows: float = 0.0
    references: tuple[Reference, ...] = ()

    @cached_property
    def inputs(self) -> tuple[RoutineParameter, ...]:
        """The parameters that a call gives."""
        return tuple(p for p in self.parameters if p.mode in "ibv")

    @cached_property
    def outputs(self) -> tuple[RoutineParameter, ...]:
        """The parameters that make its result."""
        return tuple(p for p in self.parameters if p.mode in "obt")

    @cached_property
    def argument_types(self) -> tuple[int, ...]:
        return tuple(p.type_oid for p in self.inputs)


@dataclass(frozen=True, kw_only=True)
class ColumnStatistics:
    """What ANALYZE found in one column, in pg_stats' terms. Values are SQL values of the column."""

    attnum: int
    null_fraction: float = 0.0
    width: int = 0
    distinct: float = 0.0
    """> 0: a number of values; < 0: minus the fraction of rows; 0: unknown."""
    common_values: tuple[Any, ...] = ()
    common_frequencies: tuple[float, ...] = ()
    histogram: tuple[Any, ...] = ()
    correlation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Statistics(CatalogObject):
    """What ANALYZE found in a table; one per analysed table, its oid its own."""

    table: int
    rows: int = 0
    pages: int = 0
    columns: tuple[ColumnStatistics, ...] = ()
    temporary: bool = False
    gathered_at: int = 0
    """Microseconds since 2000-01-01 UTC."""
