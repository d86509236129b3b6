"""The expressions of the bound tree."""

from __future__ import annotations

import enum
from dataclasses import field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from heliosd.sql.bound.node import identity_node, node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heliosd.functions.registry import SqlAggregate, SqlFunction, SqlWindowFunction
    from heliosd.types.registry import SqlCast, SqlOperator

BOOL: Final = 16
"""Type oid of boolean: what predicates have."""

SYSTEM_COLUMNS: Final[Mapping[str, int]] = {
    "ctid": -1,
    "xmin": -2,
    "cmin": -3,
    "xmax": -4,
    "cmax": -5,
    "tableoid": -6,
}


# Expressions -------------------------------------------------------------------------------------


class Expr:
    """An expression. `type` and `collation` are oids; `typmod` is -1 when there is none."""

    __slots__ = ()
    if TYPE_CHECKING:

        @property
        def type(self) -> int: ...
        @property
        def typmod(self) -> int: ...
        @property
        def collation(self) -> int: ...


class BooleanExpr(Expr):
    """An expression that can only be boolean."""

    __slots__ = ()
    type: ClassVar[int] = BOOL
    typmod: ClassVar[int] = -1
    collation: ClassVar[int] = 0


@identity_node
class Const(Expr):
    """A value of the type's Python representation (ARCHITECTURE section 2); None is NULL."""

    value: Any
    type: int
    typmod: int = -1
    collation: int = 0

    def _identity(self) -> tuple[object, ...]:
        value = self.value
        # 1.0 and 1.00, 0.0 and -0.0 are equal in Python, yet print differently.
        if isinstance(value, Decimal | float):
            value = str(value)
        return (self.type, self.typmod, self.collation, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Const) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())


@node
class Param(Expr):
    """Statement parameter `$number` (1-based)."""

    number: int
    type: int
    typmod: int = -1
    collation: int = 0


@node
class Var(Expr):
    """Column `column` (0-based; negative: system column) of rel `rel`."""

    rel: int
    column: int
    type: int
    typmod: int = -1
    collation: int = 0
    position: int = field(default=0, compare=False)


@node
class WholeRow(Expr):
    """The row of a rel as one record (composite) value."""

    rel: int
    type: int
    typmod: int = -1
    collation: int = 0
    position: int = field(default=0, compare=False)
    # What the fields are called and their types, for showing the record.
    names: tuple[str, ...] = field(default=(), compare=False)
    field_types: tuple[int, ...] = field(default=(), compare=False)


class CallForm(enum.Enum):
    """How a call was written, for deparsing only."""

    FUNCTION = enum.auto()
    OPERATOR = enum.auto()
    SQL_SYNTAX = enum.auto()  # EXTRACT(x FROM y), a AT TIME ZONE b, ...


RecordColumn: TypeAlias = tuple[str, int, int, int]
"""A column definition of a function that returns record: name, type, modifier, collation."""


@node
class Call(Expr):
    """A call of a function or an operator; `target.row` is its row form.

    `arguments` are already of the declared argument types. With `variadic` the last argument is
    the array of all variadic values. `input_collation` is the one the function compares with.
    """

    target: SqlFunction | SqlOperator
    arguments: tuple[Expr, ...]
    type: int
    typmod: int = -1
    collation: int = 0
    input_collation: int = 0
    variadic: bool = False
    form: CallForm = field(default=CallForm.FUNCTION, compare=False)
    record: tuple[RecordColumn, ...] = ()


class CastForm(enum.Enum):
    """Who asked for a cast: deparsing prints explicit ones only; lengths behave differently."""

    IMPLICIT = enum.auto()
    ASSIGNMENT = enum.auto()
    EXPLICIT = enum.auto()


class CastMethod(enum.Enum):
    """How a value of one type becomes one of another."""

    RELABEL = enum.auto()  # same Python value, other type
    FUNCTION = enum.auto()  # `cast.row`
    IO = enum.auto()  # output function of the one, input function of the other
    ARRAY = enum.auto()  # element by element, with `element`
    DOMAIN = enum.auto()  # check the domain's constraints
    LENGTH = enum.auto()  # apply `typmod` to a value of the same type: varchar(n), numeric(p,s)


@node
class Cast(Expr):
    """`argument` converted to `type`.

    FUNCTION: `cast` holds the row form. ARRAY: `element` converts `ElementValue` for each element.
    LENGTH: the type's own length coercion to `typmod`, explicit (truncate) or not (22001).
    A cast to a type with a typmod is a conversion and then a LENGTH cast around it.
    """

    argument: Expr
    method: CastMethod
    type: int
    typmod: int = -1
    collation: int = 0
    form: CastForm = CastForm.IMPLICIT
    cast: SqlCast | None = None
    element: Expr | None = None


@node
class ElementValue(Expr):
    """Inside `Cast.element`: the array element being converted."""

    type: int
    typmod: int = -1
    collation: int = 0


@node
class Collate(Expr):
    """`argument COLLATE name`: the value itself; only comparisons see the collation."""

    argument: Expr
    type: int
    typmod: int = -1
    collation: int = 0


@node
class And(BooleanExpr):
    arguments: tuple[Expr, ...]


@node
class Or(BooleanExpr):
    arguments: tuple[Expr, ...]


@node
class Not(BooleanExpr):
    argument: Expr


@node
class NullTest(BooleanExpr):
    """`argument IS [NOT] NULL`; `row`: a record, NULL when every field is (NOT: none is)."""

    argument: Expr
    negated: bool
    row: bool = False


@node
class BooleanTest(BooleanExpr):
    """`argument IS [NOT] TRUE|FALSE|UNKNOWN`: `value` is True, False or None. Never NULL."""

    argument: Expr
    value: bool | None
    negated: bool


@node
class DistinctTest(BooleanExpr):
    """`left IS [NOT] DISTINCT FROM right`; `operator` is the `=` of the common type."""

    left: Expr
    right: Expr
    operator: SqlOperator
    negated: bool
    input_collation: int = 0


@node
class InList(BooleanExpr):
    """`argument [NOT] IN (items)`: `operator` is `=` (`<>` when negated) on the common type."""

    argument: Expr
    items: tuple[Expr, ...]
    operator: SqlOperator
    negated: bool
    input_collation: int = 0


@node
class ArrayTest(BooleanExpr):
    """`argument operator ANY|ALL (array)`."""

    argument: Expr
    array: Expr
    operator: SqlOperator
    all: bool
    input_collation: int = 0


@node
class RowCompare(BooleanExpr):
    """`(a, b) < (c, d)`: lexicographic. `comparison` is one of < <= > >=.

    `operators` and `equals` hold, per column, that comparison and the type's `=`. Row `=` and `<>`
    are And and Or of column comparisons.
    """

    comparison: str
    left: tuple[Expr, ...]
    right: tuple[Expr, ...]
    operators: tuple[SqlOperator, ...]
    equals: tuple[SqlOperator, ...]
    collations: tuple[int, ...] = ()


@node
class Case(Expr):
    """`CASE WHEN condition THEN result ... ELSE otherwise END`, results of one type.

    `CASE subject WHEN value` holds the comparisons `CaseValue = value` as conditions; the subject
    is evaluated once.
    """

    subject: Expr | None
    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr
    type: int
    typmod: int = -1
    collation: int = 0


@node
class CaseValue(Expr):
    """Inside the conditions of a `Case` with a subject: the subject's value."""

    type: int
    typmod: int = -1
    collation: int = 0


@node
class Coalesce(Expr):
    arguments: tuple[Expr, ...]
    type: int
    typmod: int = -1
    collation: int = 0


@node
class NullIf(Expr):
    """NULL when `left = right`, else `left`; `compare_left` is `left` as `operator` wants it."""

    left: Expr
    compare_left: Expr
    right: Expr
    operator: SqlOperator
    type: int
    typmod: int = -1
    collation: int = 0
    input_collation: int = 0


@node
class MinMax(Expr):
    """GREATEST (`greatest`) or LEAST; `less` is the `<` of the type. NULLs are passed over."""

    arguments: tuple[Expr, ...]
    greatest: bool
    less: SqlOperator
    type: int
    typmod: int = -1
    collation: int = 0
    input_collation: int = 0


@node
class ArrayConstructor(Expr):
    """`ARRAY[...]`; `nested`: the elements are arrays of the same type, one dimension less."""

    elements: tuple[Expr, ...]
    type: int
    element_type: int
    nested: bool = False
    typmod: int = -1
    collation: int = 0


@node
class RowConstructor(Expr):
    """`ROW(...)`: a record value (a tuple)."""

    fields: tuple[Expr, ...]
    names: tuple[str, ...]
    type: int
    typmod: int = -1
    collation: int = 0


@node
class Subscript(Expr):
    """`array[i][j]` (NULL out of bounds)."""

    argument: Expr
    subscripts: tuple[Expr, ...]
    type: int
    typmod: int = -1
    collation: int = 0


@node
class Slice(Expr):
    """`array[l:u]...`; a bound of None is open."""

    argument: Expr
    bounds: tuple[tuple[Expr | None, Expr | None], ...]
    type: int
    typmod: int = -1
    collation: int = 0


@node
class FieldSelect(Expr):
    """Field number `field` (0-based) of a record value."""

    argument: Expr
    field: int
    name: str
    type: int
    typmod: int = -1
    collation: int = 0


@node
class SortKey:
    """One ORDER BY key inside an aggregate or a window; `operator` is its `<` (or USING's)."""

    expression: Expr
    descending: bool
    nulls_first: bool
    operator: SqlOperator | None = None


@node
class AggregateCall(Expr):
    """An aggregate of the query whose targets, HAVING or ORDER BY it stands in.

    `level`: 0, or the number of the outer `Select` to which it belongs because it is over nothing
    but that query's columns.
    """

    aggregate: SqlAggregate
    arguments: tuple[Expr, ...]
    type: int
    typmod: int = -1
    collation: int = 0
    star: bool = False
    distinct: bool = False
    order_by: tuple[SortKey, ...] = ()
    filter: Expr | None = None
    direct_arguments: tuple[Expr, ...] = ()
    input_collation: int = 0
    variadic: bool = False
    position: int = field(default=0, compare=False)
    level: int = 0


@node
class WindowCall(Expr):
    """A window function, or an aggregate OVER a window; `window` indexes `Select.windows`."""

    function: SqlWindowFunction | SqlAggregate
    arguments: tuple[Expr, ...]
    window: int
    type: int
    typmod: int = -1
    collation: int = 0
    star: bool = False
    filter: Expr | None = None
    input_collation: int = 0
    position: int = field(default=0, compare=False)


@node
class GroupingCall(Expr):
    """GROUPING(...): bit i (from the right, last argument first) is 1 when key i is not grouped.

    `keys` index `Select.group_by`.
    """

    arguments: tuple[Expr, ...]
    keys: tuple[int, ...]
    type: int
    typmod: int = -1
    collation: int = 0


@node
class SetReturningCall(Expr):
    """A set-returning function: in a target list it multiplies rows, in FROM it is a FunctionRel.

    `function.row` makes an iterator; `type` is the type of one element.
    """

    function: SqlFunction
    arguments: tuple[Expr, ...]
    type: int
    typmod: int = -1
    collation: int = 0
    input_collation: int = 0
    variadic: bool = False
    record: tuple[RecordColumn, ...] = ()


@node
class SessionValue(Expr):
    """CURRENT_DATE and the like: `kind` is one of `SESSION_VALUES`, never user text."""

    kind: str
    type: int
    typmod: int = -1
    collation: int = 0


SESSION_VALUES: Final = frozenset(
    {
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "current_role",
        "current_user",
        "user",
        "session_user",
        "current_catalog",
        "current_schema",
    }
)
