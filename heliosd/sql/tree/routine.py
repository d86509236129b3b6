"""Types, functions, operators, casts."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import (
    DropBehavior,
    Expression,
    FunctionParameter,
    Node,
    ObjectKind,
    ObjectRef,
    Option,
    QualifiedName,
    Statement,
    TypeName,
    node,
)
from heliosd.sql.tree.expressions import FunctionCall
from heliosd.sql.tree.table import ColumnDefinition, Constraint


@node
class CreateEnum(Statement):
    """CREATE TYPE name AS ENUM (labels)."""

    name: QualifiedName
    labels: tuple[str, ...]


@node
class AlterEnum(Statement):
    """ALTER TYPE ADD VALUE, or RENAME VALUE (`old_label`)."""

    name: QualifiedName
    label: str
    old_label: str | None = None
    if_not_exists: bool = False
    neighbor: str | None = None
    after: bool = True


@node
class CreateCompositeType(Statement):
    """CREATE TYPE name AS (columns)."""

    name: QualifiedName
    columns: tuple[ColumnDefinition, ...]


@node
class CreateRange(Statement):
    """CREATE TYPE name AS RANGE (options)."""

    name: QualifiedName
    options: tuple[Option, ...]


@node
class CreateDomain(Statement):
    """CREATE DOMAIN."""

    name: QualifiedName
    type: TypeName
    collation: tuple[str, ...] | None = None
    constraints: tuple[Constraint, ...] = ()


class AlterDomainKind(StrEnum):
    """What ALTER DOMAIN does."""

    DEFAULT = "default"
    SET_NOT_NULL = "set not null"
    DROP_NOT_NULL = "drop not null"
    ADD_CONSTRAINT = "add constraint"
    DROP_CONSTRAINT = "drop constraint"
    VALIDATE_CONSTRAINT = "validate constraint"


@node
class AlterDomain(Statement):
    """ALTER DOMAIN; DEFAULT without `expression` is DROP DEFAULT."""

    kind: AlterDomainKind
    name: QualifiedName
    expression: Expression | None = None
    constraint: Constraint | None = None
    constraint_name: str | None = None
    missing_ok: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class Define(Statement):
    """CREATE AGGREGATE, OPERATOR, TYPE (base or shell), TEXT SEARCH ..., COLLATION."""

    kind: ObjectKind
    name: QualifiedName
    options: tuple[Option, ...] = ()
    arguments: tuple[FunctionParameter, ...] | None = None
    order_arguments: tuple[FunctionParameter, ...] | None = None
    copy_from: QualifiedName | None = None
    old_style: bool = False
    if_not_exists: bool = False
    or_replace: bool = False


@node
class AlterDefinition(Statement):
    """ALTER OPERATOR|TYPE|TEXT SEARCH DICTIONARY ... SET (options), ALTER COLLATION REFRESH."""

    kind: ObjectKind
    object: ObjectRef
    options: tuple[Option, ...] = ()
    refresh_version: bool = False


@node
class CreateFunction(Statement):
    """CREATE FUNCTION or PROCEDURE.

    Options by PostgreSQL's names: as (tuple of str), language, volatility, strict, security,
    leakproof, cost, rows, support, parallel, window, transform, set (SetVariable). `body` is the
    SQL-standard body: a tuple of statements (BEGIN ATOMIC), or one Return.
    """

    name: QualifiedName
    parameters: tuple[FunctionParameter, ...]
    returns: TypeName | None
    options: tuple[Option, ...]
    procedure: bool = False
    or_replace: bool = False
    returns_table: bool = False
    body: tuple[Statement, ...] | None = None
    body_atomic: bool = False
    body_text: str = ""


@node
class Return(Statement):
    """RETURN expression: an SQL-standard function body."""

    value: Expression


@node
class AlterFunction(Statement):
    """ALTER FUNCTION|PROCEDURE|ROUTINE options."""

    kind: ObjectKind
    object: ObjectRef
    options: tuple[Option, ...]


@node
class CreateCast(Statement):
    """CREATE CAST; `function` None with WITHOUT FUNCTION or WITH INOUT."""

    source: TypeName
    target: TypeName
    function: ObjectRef | None
    inout: bool = False
    context: str = "explicit"


@node
class CreateConversion(Statement):
    """CREATE [DEFAULT] CONVERSION."""

    name: QualifiedName
    source_encoding: str
    target_encoding: str
    function: QualifiedName
    default: bool = False


@node
class CreateTransform(Statement):
    """CREATE TRANSFORM FOR type LANGUAGE language."""

    type: TypeName
    language: str
    from_sql: ObjectRef | None
    to_sql: ObjectRef | None
    or_replace: bool = False


@node
class OperatorClassItem(Node):
    """One item of an operator class or family: OPERATOR, FUNCTION or STORAGE."""

    word: str
    number: int = 0
    object: ObjectRef | None = None
    types: tuple[TypeName, ...] = ()
    order_family: QualifiedName | None = None
    storage: TypeName | None = None


@node
class CreateOperatorClass(Statement):
    """CREATE OPERATOR CLASS."""

    name: QualifiedName
    type: TypeName
    access_method: str
    items: tuple[OperatorClassItem, ...]
    family: QualifiedName | None = None
    default: bool = False


@node
class CreateOperatorFamily(Statement):
    """CREATE OPERATOR FAMILY."""

    name: QualifiedName
    access_method: str


@node
class AlterOperatorFamily(Statement):
    """ALTER OPERATOR FAMILY ADD|DROP."""

    name: QualifiedName
    access_method: str
    items: tuple[OperatorClassItem, ...]
    drop: bool = False


@node
class Call(Statement):
    """CALL procedure(...)."""

    call: FunctionCall
