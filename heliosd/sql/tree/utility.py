"""Statements about the session, transactions, cursors, COPY, maintenance."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import (
    Expression,
    Node,
    NumericText,
    ObjectKind,
    Option,
    QualifiedName,
    Statement,
    TypeName,
    node,
)
from heliosd.sql.tree.query import Query

# -- transactions --------------------------------------------------------------------------------


class TransactionKind(StrEnum):
    """The statements of a transaction block."""

    BEGIN = "begin"
    START = "start transaction"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    PREPARE = "prepare transaction"
    COMMIT_PREPARED = "commit prepared"
    ROLLBACK_PREPARED = "rollback prepared"


@node
class TransactionModes(Node):
    """Modes of BEGIN and SET TRANSACTION; None where not written.

    `isolation` is "read committed" and so on, in lower case.
    """

    isolation: str | None = None
    read_only: bool | None = None
    deferrable: bool | None = None


@node
class Transaction(Statement):
    """BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ... (`name`: savepoint or prepared id)."""

    kind: TransactionKind
    modes: TransactionModes | None = None
    chain: bool = False
    name: str | None = None


# -- settings ------------------------------------------------------------------------------------


class SetKind(StrEnum):
    """What SET does."""

    VALUE = "value"
    DEFAULT = "default"
    CURRENT = "from current"
    RESET = "reset"
    RESET_ALL = "reset all"


@node
class SetVariable(Statement):
    """SET [LOCAL|SESSION] name = values, SET name FROM CURRENT, RESET name, RESET ALL.

    SET TIME ZONE, SCHEMA, NAMES, ROLE, SESSION AUTHORIZATION, XML OPTION, CATALOG arrive under
    their settings' names (timezone, search_path, client_encoding, role, session_authorization,
    xmloption). Words are `str`; SET TIME ZONE INTERVAL is a TypeCast.
    """

    kind: SetKind
    name: str
    values: tuple[str | int | NumericText | Expression, ...] = ()
    local: bool = False


@node
class SetTransaction(Statement):
    """SET TRANSACTION modes, SET SESSION CHARACTERISTICS AS TRANSACTION modes (`session`)."""

    modes: TransactionModes
    session: bool = False
    local: bool = False


@node
class SetTransactionSnapshot(Statement):
    """SET TRANSACTION SNAPSHOT id."""

    snapshot: str


@node
class SetConstraints(Statement):
    """SET CONSTRAINTS names|ALL (empty) DEFERRED|IMMEDIATE."""

    constraints: tuple[QualifiedName, ...]
    deferred: bool


@node
class Show(Statement):
    """SHOW name (`all` for SHOW ALL)."""

    name: str


@node
class Discard(Statement):
    """DISCARD ALL|PLANS|SEQUENCES|TEMP."""

    target: str


# -- prepared statements and cursors -------------------------------------------------------------


@node
class Prepare(Statement):
    """PREPARE name (types) AS statement."""

    name: str
    types: tuple[TypeName, ...]
    statement: Statement


@node
class Execute(Statement):
    """EXECUTE name (arguments)."""

    name: str
    arguments: tuple[Expression, ...] = ()


@node
class Deallocate(Statement):
    """DEALLOCATE name; None is ALL."""

    name: str | None


@node
class DeclareCursor(Statement):
    """DECLARE ... CURSOR; `scroll` and `insensitive` are None when not written."""

    name: str
    query: Query
    binary: bool = False
    insensitive: bool | None = None
    scroll: bool | None = None
    hold: bool = False


class FetchDirection(StrEnum):
    """Which way FETCH and MOVE go; NEXT is FORWARD 1, FIRST is ABSOLUTE 1, LAST ABSOLUTE -1."""

    FORWARD = "forward"
    BACKWARD = "backward"
    ABSOLUTE = "absolute"
    RELATIVE = "relative"


@node
class Fetch(Statement):
    """FETCH or MOVE; `count` None is ALL."""

    cursor: str
    direction: FetchDirection
    count: int | None
    move: bool = False


@node
class ClosePortal(Statement):
    """CLOSE cursor; None is ALL."""

    cursor: str | None


# -- COPY ----------------------------------------------------------------------------------------


@node
class Copy(Statement):
    """COPY relation|(query) FROM|TO STDIN|STDOUT|'file'|PROGRAM 'command'.

    Options carry PostgreSQL's names (format, delimiter, null, header, quote, escape,
    force_quote, force_not_null, force_null, encoding, freeze); the old syntax arrives the same
    way. A `*` value is the string "*"; column lists are tuples.
    """

    from_: bool
    relation: QualifiedName | None = None
    columns: tuple[str, ...] | None = None
    query: Statement | None = None
    filename: str | None = None
    program: bool = False
    options: tuple[Option, ...] = ()
    where: Expression | None = None


# -- EXPLAIN, maintenance ------------------------------------------------------------------------


@node
class Explain(Statement):
    """EXPLAIN (options) statement; the old ANALYZE and VERBOSE words are options too."""

    statement: Statement
    options: tuple[Option, ...] = ()


@node
class VacuumRelation(Node):
    """One relation of VACUUM or ANALYZE, with its columns."""

    relation: QualifiedName
    columns: tuple[str, ...] = ()


@node
class Vacuum(Statement):
    """VACUUM (`vacuum`) or ANALYZE; no relations means all."""

    vacuum: bool
    options: tuple[Option, ...] = ()
    relations: tuple[VacuumRelation, ...] = ()


@node
class Truncate(Statement):
    """TRUNCATE; (relation, inherit) pairs."""

    relations: tuple[tuple[QualifiedName, bool], ...]
    restart_identity: bool = False
    cascade: bool = False


class TableLockWord(StrEnum):
    """LOCK TABLE's modes."""

    ACCESS_SHARE = "access share"
    ROW_SHARE = "row share"
    ROW_EXCLUSIVE = "row exclusive"
    SHARE_UPDATE_EXCLUSIVE = "share update exclusive"
    SHARE = "share"
    SHARE_ROW_EXCLUSIVE = "share row exclusive"
    EXCLUSIVE = "exclusive"
    ACCESS_EXCLUSIVE = "access exclusive"


@node
class LockTable(Statement):
    """LOCK TABLE; (relation, inherit) pairs."""

    relations: tuple[tuple[QualifiedName, bool], ...]
    mode: TableLockWord = TableLockWord.ACCESS_EXCLUSIVE
    nowait: bool = False


@node
class Cluster(Statement):
    """CLUSTER [relation [USING index]]."""

    relation: QualifiedName | None
    index: str | None = None
    options: tuple[Option, ...] = ()


@node
class Reindex(Statement):
    """REINDEX kind name."""

    kind: ObjectKind
    relation: QualifiedName | None
    name: str | None = None
    options: tuple[Option, ...] = ()


@node
class Checkpoint(Statement):
    """CHECKPOINT."""


@node
class Load(Statement):
    """LOAD 'library'."""

    filename: str


@node
class Listen(Statement):
    """LISTEN channel."""

    channel: str


@node
class Unlisten(Statement):
    """UNLISTEN channel; None is *."""

    channel: str | None


@node
class Notify(Statement):
    """NOTIFY channel [, payload]."""

    channel: str
    payload: str | None = None


@node
class Do(Statement):
    """DO 'body' [LANGUAGE name]."""

    body: str
    language: str | None = None
