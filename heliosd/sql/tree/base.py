"""The common ground of all syntax nodes: their decorator, names, types, options."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[T]) -> type[T]:
    """Make `cls` a syntax node: slots, equality and hash by content, positions left out.

    mypy takes nodes for frozen dataclasses. At run time they are plain ones, because a frozen
    dataclass writes each field through `object.__setattr__`: three times the cost of building
    a node, and the parser builds 10 to 50 of them per statement.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


@node
class Node:
    """Anything that has a place in the text.

    `position` is the 1-based character (not byte) of the token that PostgreSQL reports for this
    node; 0 where it reports none.
    """

    position: int = field(compare=False)


@node
class Expression(Node):
    """Anything that yields a value (or a row, or in a target list several)."""


@node
class Statement(Node):
    """One whole statement. `position` is that of its first token."""


@node
class QualifiedName(Node):
    """A possibly qualified name: `parts` from the outermost (`("schema", "name")`)."""

    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part: the object's own name."""
        return self.parts[-1]

    @property
    def schema(self) -> str | None:
        """The part before the last, or None."""
        return self.parts[-2] if len(self.parts) > 1 else None

    @property
    def catalog(self) -> str | None:
        """The database's name where three parts were written, or None."""
        return self.parts[-3] if len(self.parts) > 2 else None


@node
class TypeName(Node):
    """A type as written, SQL's own spellings already mapped to `pg_catalog` names.

    `names` is `("pg_catalog", "int4")` for `integer`, `("foo",)` for `foo`. `modifiers` are the
    expressions in parentheses. `array_bounds` has one entry per `[]` (-1 without a size);
    `percent_type` is `t.c%TYPE`; `setof` is `SETOF t`. Interval fields (`interval day to
    second(3)`) are in `modifiers` as PostgreSQL has them: a mask constant, then the precision.
    """

    names: tuple[str, ...]
    modifiers: tuple[Expression, ...] = ()
    array_bounds: tuple[int, ...] = ()
    setof: bool = False
    percent_type: bool = False


class OptionAction(StrEnum):
    """What ALTER does with an option."""

    UNSPECIFIED = "unspecified"
    SET = "set"
    ADD = "add"
    DROP = "drop"


@node
class Option(Node):
    """`name = value` in a WITH list, a role's or sequence's option, a COPY option.

    `value` is None when only the name was written (which usually means true). Words are `str`,
    numbers `int` or `NumericText`, types `TypeName`, lists tuples.
    """

    name: str
    value: OptionValue = None
    namespace: str | None = None
    action: OptionAction = OptionAction.UNSPECIFIED


@node
class NumericText(Node):
    """A number that is no int4, kept as written (with its sign)."""

    text: str


class DropBehavior(StrEnum):
    """RESTRICT (also when nothing is said) or CASCADE."""

    RESTRICT = "restrict"
    CASCADE = "cascade"


class ObjectKind(StrEnum):
    """The kinds of objects that DROP, COMMENT, ALTER ... OWNER, GRANT name, in SQL's words."""

    ACCESS_METHOD = "access method"
    AGGREGATE = "aggregate"
    ATTRIBUTE = "attribute"
    CAST = "cast"
    COLLATION = "collation"
    COLUMN = "column"
    CONVERSION = "conversion"
    DATABASE = "database"
    DOMAIN = "domain"
    DOMAIN_CONSTRAINT = "domain constraint"
    EVENT_TRIGGER = "event trigger"
    EXTENSION = "extension"
    FOREIGN_DATA_WRAPPER = "foreign-data wrapper"
    FOREIGN_SERVER = "server"
    FOREIGN_TABLE = "foreign table"
    FUNCTION = "function"
    INDEX = "index"
    LANGUAGE = "language"
    LARGE_OBJECT = "large object"
    MATERIALIZED_VIEW = "materialized view"
    OPERATOR = "operator"
    OPERATOR_CLASS = "operator class"
    OPERATOR_FAMILY = "operator family"
    PARAMETER = "parameter"
    POLICY = "policy"
    PROCEDURE = "procedure"
    PUBLICATION = "publication"
    ROLE = "role"
    ROUTINE = "routine"
    RULE = "rule"
    SCHEMA = "schema"
    SEQUENCE = "sequence"
    STATISTICS = "statistics"
    SUBSCRIPTION = "subscription"
    TABLE = "table"
    TABLE_CONSTRAINT = "constraint"
    TABLESPACE = "tablespace"
    TEXT_SEARCH_CONFIGURATION = "text search configuration"
    TEXT_SEARCH_DICTIONARY = "text search dictionary"
    TEXT_SEARCH_PARSER = "text search parser"
    TEXT_SEARCH_TEMPLATE = "text search template"
    TRANSFORM = "transform"
    TRIGGER = "trigger"
    TYPE = "type"
    USER_MAPPING = "user mapping"
    VIEW = "view"


class RoleKind(StrEnum):
    """How a role was named."""

    NAME = "name"
    PUBLIC = "public"
    CURRENT_ROLE = "current_role"
    CURRENT_USER = "current_user"
    SESSION_USER = "session_user"


@node
class RoleSpec(Node):
    """A role: a name, PUBLIC, or one of the CURRENT_... words (then `name` is empty)."""

    kind: RoleKind
    name: str = ""


class ParameterMode(StrEnum):
    """A function parameter's mode."""

    DEFAULT = "default"
    IN = "in"
    OUT = "out"
    INOUT = "inout"
    VARIADIC = "variadic"
    TABLE = "table"


@node
class FunctionParameter(Node):
    """One parameter of a function's definition or signature."""

    type: TypeName
    name: str | None = None
    mode: ParameterMode = ParameterMode.DEFAULT
    default: Expression | None = None


@node
class ObjectRef(Node):
    """An object as DROP, COMMENT, ALTER and GRANT name it.

    `parts` is its qualified name. `arguments` are the argument types of a function or operator
    (None: not written; an operator's missing operand is None inside); for an aggregate
    `order_arguments` are those after ORDER BY. `relation` is the table of a trigger, policy,
    rule, constraint or column. `access_method` is that of an operator class or family; `type`
    the type, domain, cast source or transform type; `target_type` a cast's target; `language` a
    transform's language; `large_object` a large object's number, as text.
    """

    parts: tuple[str, ...] = ()
    arguments: tuple[FunctionParameter | TypeName | None, ...] | None = None
    order_arguments: tuple[FunctionParameter, ...] | None = None
    relation: QualifiedName | None = None
    access_method: str | None = None
    type: TypeName | None = None
    target_type: TypeName | None = None
    language: str | None = None
    large_object: str | None = None
    role: RoleSpec | None = None

    @property
    def name(self) -> str:
        """The last part."""
        return self.parts[-1]


OptionValue = (
    str | int | bool | NumericText | QualifiedName | TypeName | RoleSpec | tuple["OptionValue", ...]
    | Node | None
)  # fmt: skip


def statement_name(node: type) -> str:
    """`CreatePolicy` -> `CREATE POLICY`."""
    words: list[str] = []
    for character in node.__name__:
        if character.isupper() and words:
            words.append(" ")
        words.append(character.upper())
    return "".join(words)
