"""Triggers, rules, statistics, and what a database is extended with."""

from __future__ import annotations

from heliosd.sql.tree.base import (
    DropBehavior,
    Expression,
    Node,
    ObjectKind,
    ObjectRef,
    Option,
    QualifiedName,
    RoleSpec,
    Statement,
    node,
)
from heliosd.sql.tree.query import RangeVar
from heliosd.sql.tree.utility import SetVariable


@node
class TriggerTransition(Node):
    """REFERENCING OLD|NEW TABLE AS name."""

    name: str
    new: bool
    table: bool


@node
class CreateTrigger(Statement):
    """CREATE [CONSTRAINT] TRIGGER. `timing`: before, after, instead of; events in order."""

    name: str
    relation: QualifiedName
    function: QualifiedName
    arguments: tuple[str, ...]
    timing: str
    events: tuple[str, ...]
    columns: tuple[str, ...] = ()
    for_each_row: bool = False
    when: Expression | None = None
    transitions: tuple[TriggerTransition, ...] = ()
    or_replace: bool = False
    constraint: bool = False
    referenced: QualifiedName | None = None
    deferrable: bool = False
    initially_deferred: bool = False


@node
class CreateEventTrigger(Statement):
    """CREATE EVENT TRIGGER; filters are (variable, values)."""

    name: str
    event: str
    function: QualifiedName
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()


@node
class AlterEventTrigger(Statement):
    """ALTER EVENT TRIGGER name ENABLE|DISABLE ..."""

    name: str
    state: str


@node
class CreateRule(Statement):
    """CREATE RULE; no actions is DO NOTHING."""

    name: str
    relation: QualifiedName
    event: str
    instead: bool
    actions: tuple[Statement, ...]
    where: Expression | None = None
    or_replace: bool = False


@node
class CreateStatistics(Statement):
    """CREATE STATISTICS."""

    name: QualifiedName | None
    kinds: tuple[str, ...]
    expressions: tuple[Expression, ...]
    relations: tuple[Node, ...]
    if_not_exists: bool = False


@node
class AlterStatistics(Statement):
    """ALTER STATISTICS name SET STATISTICS target."""

    name: QualifiedName
    target: int
    missing_ok: bool = False


@node
class CreateExtension(Statement):
    """CREATE EXTENSION; options: schema, new_version, cascade."""

    name: str
    options: tuple[Option, ...] = ()
    if_not_exists: bool = False


@node
class AlterExtension(Statement):
    """ALTER EXTENSION name UPDATE [TO version]."""

    name: str
    options: tuple[Option, ...] = ()


@node
class AlterExtensionContents(Statement):
    """ALTER EXTENSION name ADD|DROP object."""

    name: str
    add: bool
    kind: ObjectKind
    object: ObjectRef


@node
class CreateTablespace(Statement):
    """CREATE TABLESPACE."""

    name: str
    location: str
    owner: RoleSpec | None = None
    options: tuple[Option, ...] = ()


@node
class AlterTablespace(Statement):
    """ALTER TABLESPACE SET|RESET (...)."""

    name: str
    options: tuple[Option, ...]
    reset: bool = False


@node
class DropTablespace(Statement):
    """DROP TABLESPACE."""

    name: str
    missing_ok: bool = False


@node
class CreateLanguage(Statement):
    """CREATE LANGUAGE."""

    name: str
    handler: QualifiedName | None = None
    inline: QualifiedName | None = None
    validator: QualifiedName | None = None
    trusted: bool = False
    or_replace: bool = False


@node
class CreateAccessMethod(Statement):
    """CREATE ACCESS METHOD."""

    name: str
    kind: str
    handler: QualifiedName


@node
class AlterSystem(Statement):
    """ALTER SYSTEM SET/RESET."""

    variable: SetVariable


@node
class CreateForeignDataWrapper(Statement):
    """CREATE or ALTER FOREIGN DATA WRAPPER."""

    name: str
    functions: tuple[Option, ...] = ()
    options: tuple[Option, ...] = ()
    alter: bool = False


@node
class CreateServer(Statement):
    """CREATE or ALTER SERVER."""

    name: str
    wrapper: str | None = None
    server_type: str | None = None
    version: str | None = None
    options: tuple[Option, ...] = ()
    if_not_exists: bool = False
    alter: bool = False


@node
class CreateUserMapping(Statement):
    """CREATE, ALTER or DROP USER MAPPING (`action`)."""

    action: str
    role: RoleSpec
    server: str
    options: tuple[Option, ...] = ()
    if_exists: bool = False


@node
class ImportForeignSchema(Statement):
    """IMPORT FOREIGN SCHEMA."""

    remote_schema: str
    server: str
    local_schema: str
    limit_kind: str = "all"
    tables: tuple[RangeVar, ...] = ()
    options: tuple[Option, ...] = ()


@node
class PublicationObject(Node):
    """One object of a publication: a table, or tables in `schema` (`current_schema` True)."""

    relation: RangeVar | None = None
    columns: tuple[str, ...] = ()
    where: Expression | None = None
    schema: str | None = None
    current_schema: bool = False


@node
class CreatePublication(Statement):
    """CREATE PUBLICATION."""

    name: str
    objects: tuple[PublicationObject, ...] = ()
    all_tables: bool = False
    options: tuple[Option, ...] = ()


@node
class AlterPublication(Statement):
    """ALTER PUBLICATION; `action` is add, drop, set or options."""

    name: str
    action: str
    objects: tuple[PublicationObject, ...] = ()
    options: tuple[Option, ...] = ()


@node
class CreateSubscription(Statement):
    """CREATE SUBSCRIPTION."""

    name: str
    connection: str
    publications: tuple[str, ...]
    options: tuple[Option, ...] = ()


@node
class AlterSubscription(Statement):
    """ALTER SUBSCRIPTION; `action` is PostgreSQL's word for what changes."""

    name: str
    action: str
    connection: str | None = None
    publications: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


@node
class DropSubscription(Statement):
    """DROP SUBSCRIPTION."""

    name: str
    missing_ok: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class AlterTextSearch(Statement):
    """ALTER TEXT SEARCH CONFIGURATION ... MAPPING; `action` is add, alter, replace, drop."""

    name: QualifiedName
    action: str
    token_types: tuple[str, ...] = ()
    dictionaries: tuple[QualifiedName, ...] = ()
    missing_ok: bool = False
