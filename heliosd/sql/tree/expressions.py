"""Expressions of the syntax tree, before any name is resolved."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import Expression, Node, TypeName, node
from heliosd.sql.tree.window import SortBy, WindowDefinition

# -- constants and references --------------------------------------------------------------------


@node
class IntegerConstant(Expression):
    """Digits without a point: int4, int8 or numeric by size. Never negative."""

    value: int


@node
class NumericConstant(Expression):
    """A number with a point or an exponent, as written."""

    text: str


@node
class StringConstant(Expression):
    """A quoted string of any kind, unescaped: type `unknown`."""

    value: str


@node
class BitConstant(Expression):
    """`b'101'` or `x'1f'`: the digits with their leading `b` or `x`."""

    text: str


@node
class BooleanConstant(Expression):
    """TRUE or FALSE."""

    value: bool


@node
class NullConstant(Expression):
    """NULL."""


@node
class ParameterRef(Expression):
    """`$number`."""

    number: int


@node
class ColumnRef(Expression):
    """A name that should be a column (or a whole row): `("a",)`, `("t", "a")`, ..."""

    names: tuple[str, ...]


@node
class Star(Expression):
    """`*`, `t.*`, `s.t.*`: `qualifier` is what stands before the star."""

    qualifier: tuple[str, ...] = ()


# -- operators -----------------------------------------------------------------------------------


@node
class OperatorCall(Expression):
    """`left operator right`, or prefix when `left` is None. Position: the operator's.

    `operator` is `("+",)`, or qualified when written OPERATOR(schema.+). `!=` is `<>` here.
    """

    operator: tuple[str, ...]
    left: Expression | None
    right: Expression


@node
class QuantifiedComparison(Expression):
    """`left operator ANY|ALL (array)`: the right side is no query (that is a SubLink)."""

    operator: tuple[str, ...]
    every: bool
    left: Expression
    right: Expression


@node
class And(Expression):
    """Two or more operands; a chain written flat is one node. Position: the first AND."""

    operands: tuple[Expression, ...]


@node
class Or(Expression):
    """Two or more operands; a chain written flat is one node. Position: the first OR."""

    operands: tuple[Expression, ...]


@node
class Not(Expression):
    """NOT operand."""

    operand: Expression


@node
class DistinctFrom(Expression):
    """IS [NOT] DISTINCT FROM; `negated` is the NOT."""

    left: Expression
    right: Expression
    negated: bool


@node
class NullIf(Expression):
    """NULLIF(left, right)."""

    left: Expression
    right: Expression


@node
class InList(Expression):
    """`operand [NOT] IN (items)`; `IN (query)` is a SubLink."""

    operand: Expression
    items: tuple[Expression, ...]
    negated: bool


class LikeKind(StrEnum):
    """Which pattern language."""

    LIKE = "like"
    ILIKE = "ilike"
    SIMILAR = "similar to"


@node
class LikeTest(Expression):
    """`operand [NOT] LIKE|ILIKE|SIMILAR TO pattern`.

    `pattern` already is the call of pg_catalog.like_escape or similar_to_escape where ESCAPE
    was written (and always for SIMILAR TO), as in PostgreSQL. `operator` is PostgreSQL's
    operator for it, NOT included.
    """

    kind: LikeKind
    operand: Expression
    pattern: Expression
    negated: bool

    @property
    def operator(self) -> str:
        """`~~`, `!~~`, `~~*`, `!~~*`, `~` or `!~`."""
        return ("!" if self.negated else "") + _LIKE_OPERATORS[self.kind]


_LIKE_OPERATORS = {LikeKind.LIKE: "~~", LikeKind.ILIKE: "~~*", LikeKind.SIMILAR: "~"}


@node
class Between(Expression):
    """`operand [NOT] BETWEEN [SYMMETRIC] low AND high`."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool
    symmetric: bool


@node
class NullTest(Expression):
    """`operand IS [NOT] NULL`."""

    operand: Expression
    negated: bool


class TruthKind(StrEnum):
    """What IS asks for."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@node
class BooleanTest(Expression):
    """`operand IS [NOT] TRUE|FALSE|UNKNOWN`."""

    operand: Expression
    kind: TruthKind
    negated: bool


# -- function-like -------------------------------------------------------------------------------


@node
class NamedArgument(Expression):
    """`name => value` in a call."""

    name: str
    value: Expression


@node
class FunctionCall(Expression):
    """A call as written, or SQL syntax for one.

    EXTRACT, OVERLAY, POSITION, SUBSTRING, TRIM, NORMALIZE, IS NORMALIZED, AT TIME ZONE, OVERLAPS,
    COLLATION FOR, ESCAPE and XMLEXISTS arrive as calls of `("pg_catalog", ...)`, arguments in
    the function's order, with `sql_syntax` set. `star` is `f(*)`. `over` is a window's
    definition or its name. `within_group`: `order_by` is that of WITHIN GROUP. `variadic`: the
    last argument has VARIADIC before it. `is_call`: what CALL names: a procedure.
    """

    name: tuple[str, ...]
    arguments: tuple[Expression, ...] = ()
    star: bool = False
    distinct: bool = False
    variadic: bool = False
    order_by: tuple[SortBy, ...] = ()
    within_group: bool = False
    filter: Expression | None = None
    over: WindowDefinition | None = None
    sql_syntax: bool = False
    is_call: bool = False


@node
class TypeCast(Expression):
    """CAST(operand AS type), `operand::type` or a typed literal (`date '2001-01-01'`).

    Position: the CAST or the `::`, of a typed literal the type's name.
    """

    operand: Expression
    type: TypeName


@node
class CollateClause(Expression):
    """`operand COLLATE collation`."""

    operand: Expression
    collation: tuple[str, ...]


@node
class CaseWhen(Node):
    """WHEN condition THEN result."""

    condition: Expression
    result: Expression


@node
class CaseExpression(Expression):
    """CASE [argument] WHEN ... [ELSE default] END."""

    argument: Expression | None
    whens: tuple[CaseWhen, ...]
    default: Expression | None


@node
class Coalesce(Expression):
    """COALESCE(arguments)."""

    arguments: tuple[Expression, ...]


@node
class MinMax(Expression):
    """GREATEST or LEAST."""

    greatest: bool
    arguments: tuple[Expression, ...]


class ValueFunction(StrEnum):
    """SQL's functions without parentheses."""

    CURRENT_CATALOG = "current_catalog"
    CURRENT_DATE = "current_date"
    CURRENT_ROLE = "current_role"
    CURRENT_SCHEMA = "current_schema"
    CURRENT_TIME = "current_time"
    CURRENT_TIMESTAMP = "current_timestamp"
    CURRENT_USER = "current_user"
    LOCALTIME = "localtime"
    LOCALTIMESTAMP = "localtimestamp"
    SESSION_USER = "session_user"
    USER = "user"


@node
class SqlValueFunction(Expression):
    """CURRENT_DATE and its like; `precision` is that in parentheses."""

    kind: ValueFunction
    precision: int | None = None


@node
class RowExpression(Expression):
    """ROW(...) (`explicit`) or `(a, b)`."""

    items: tuple[Expression, ...]
    explicit: bool


@node
class SearchDepth(Expression):
    """The depth that SEARCH BREADTH FIRST keeps as the first field of its records."""

    operand: Expression


@node
class ArrayConstructor(Expression):
    """ARRAY[...]; a nested `[...]` is a nested ArrayConstructor."""

    elements: tuple[Expression, ...]


# -- what stands behind a value ------------------------------------------------------------------


@node
class FieldStep(Node):
    """`.name`."""

    name: str


@node
class StarStep(Node):
    """`.*`."""


@node
class SubscriptStep(Node):
    """`[index]`."""

    index: Expression


@node
class SliceStep(Node):
    """`[low:high]`, either may be missing."""

    low: Expression | None
    high: Expression | None


Step = FieldStep | StarStep | SubscriptStep | SliceStep


@node
class Indirection(Expression):
    """`operand` followed by fields and subscripts: `(r).a`, `a[1]`, `(r).*`.

    A ColumnRef holds plain dotted names itself; `t.a[1].b` is an Indirection of `t.a`.
    """

    operand: Expression
    steps: tuple[Step, ...]


# -- only in some places -------------------------------------------------------------------------


@node
class GroupingCall(Expression):
    """GROUPING(arguments)."""

    arguments: tuple[Expression, ...]


class GroupingSetKind(StrEnum):
    """What stands in GROUP BY beside plain expressions."""

    EMPTY = "empty"
    ROLLUP = "rollup"
    CUBE = "cube"
    SETS = "sets"


@node
class GroupingSet(Expression):
    """`()`, ROLLUP(...), CUBE(...) or GROUPING SETS(...); only in GROUP BY."""

    kind: GroupingSetKind
    content: tuple[Expression, ...] = ()


@node
class SetToDefault(Expression):
    """DEFAULT in VALUES or SET."""


@node
class CurrentOf(Expression):
    """WHERE CURRENT OF cursor."""

    cursor: str


# -- XML -----------------------------------------------------------------------------------------


class XmlKind(StrEnum):
    """SQL/XML's functions."""

    CONCAT = "xmlconcat"
    ELEMENT = "xmlelement"
    FOREST = "xmlforest"
    PARSE = "xmlparse"
    PI = "xmlpi"
    ROOT = "xmlroot"
    IS_DOCUMENT = "is document"
    SERIALIZE = "xmlserialize"


@node
class XmlAttribute(Node):
    """`value [AS name]` of XMLATTRIBUTES and XMLFOREST."""

    value: Expression
    name: str | None


@node
class XmlExpression(Expression):
    """One of SQL/XML's functions; which fields count depends on `kind`."""

    kind: XmlKind
    name: str | None = None
    arguments: tuple[Expression, ...] = ()
    attributes: tuple[XmlAttribute, ...] = ()
    document: bool = False
    preserve_whitespace: bool = False
    type: TypeName | None = None
    standalone: str | None = None
