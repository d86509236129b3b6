"""Expressions that need no overload of their own: constants, CASE, casts, tests, subscripts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind import operators
from heliosd.sql.bind.calls import bind_call
from heliosd.sql.bind.coerce import (
    coerce,
    collation_of,
    common_type,
    common_typmod,
    explicit_cast,
    input_collation,
    literal,
    location,
    settle,
    to_boolean,
    to_common,
)
from heliosd.sql.bind.current_of import bind_current_of
from heliosd.sql.bind.grouping import bind_grouping
from heliosd.sql.bind.names import bind_column, bind_field
from heliosd.sql.bind.part_assign import document_key
from heliosd.sql.bind.resolve import ANY, UNKNOWN
from heliosd.sql.bind.state import Handler, Level, UnknownLiteral
from heliosd.sql.bind.sublinks import bind_sublink
from heliosd.sql.bind.typenames import resolve_type
from heliosd.sql.bound import (
    BOOL,
    And,
    BooleanTest,
    Call,
    Case,
    CaseValue,
    CastForm,
    Coalesce,
    Collate,
    Const,
    Expr,
    FieldSelect,
    MinMax,
    Not,
    NullIf,
    NullTest,
    Or,
    RowConstructor,
    SessionValue,
    SetReturningCall,
    Slice,
    Subscript,
)
from heliosd.sql.bound import ArrayConstructor as BoundArray
from heliosd.sql.bound.walk import walk
from heliosd.sql.tree import expressions as tree_expressions
from heliosd.sql.tree.base import Expression
from heliosd.sql.tree.expressions import (
    ArrayConstructor,
    Between,
    CaseExpression,
    CollateClause,
    FieldStep,
    Indirection,
    OperatorCall,
    RowExpression,
    SliceStep,
    SqlValueFunction,
    SubscriptStep,
    TruthKind,
    TypeCast,
)
from heliosd.sql.tree.query import SubLink as SubLinkTree
from heliosd.types.array import DIMENSIONS_MAX
from heliosd.types.array_assign import too_many_dimensions
from heliosd.types.domain import base_of
from heliosd.types.registry import SqlOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAR: Final = 18
NAME: Final = 19
TEXT: Final = 25
JSONB: Final = 3802
INT4: Final = 23
INT8: Final = 20
NUMERIC: Final = 1700
BIT: Final = 1560
RECORD: Final = 2249

_VALUE_TYPES: Final[Mapping[str, int]] = {
    "current_date": 1082,
    "current_time": 1266,
    "current_timestamp": 1184,
    "localtime": 1083,
    "localtimestamp": 1114,
}


def _integer(level: Level, tree: tree_expressions.IntegerConstant) -> Expr:
    value = tree.value
    if -2147483648 <= value <= 2147483647:
        return Const(value, INT4)
    if -9223372036854775808 <= value <= 9223372036854775807:
        return Const(value, INT8)
    return Const(Decimal(value), NUMERIC)


def _numeric(level: Level, tree: tree_expressions.NumericConstant) -> Expr:
    return literal(
        level.state, UnknownLiteral(tree.text, tree.position), NUMERIC, -1, CastForm.IMPLICIT
    )


def _string(level: Level, tree: tree_expressions.StringConstant) -> Expr:
    return UnknownLiteral(tree.value, tree.position)


def _null(level: Level, tree: tree_expressions.NullConstant) -> Expr:
    return UnknownLiteral(None, tree.position)


def _boolean(level: Level, tree: tree_expressions.BooleanConstant) -> Expr:
    return Const(tree.value, BOOL)


def _bits(level: Level, tree: tree_expressions.BitConstant) -> Expr:
    return literal(
        level.state, UnknownLiteral(tree.text, tree.position), BIT, -1, CastForm.IMPLICIT
    )


def _search_depth(level: Level, tree: tree_expressions.SearchDepth) -> Expr:
    return FieldSelect(level.expression(tree.operand), 0, "f1", INT8)


def _parameter(level: Level, tree: tree_expressions.ParameterRef) -> Expr:
    return level.state.parameter(tree.number, tree.position)


def _and(level: Level, tree: tree_expressions.And) -> Expr:
    return And(
        tuple(
            to_boolean(level.state, level.expression(each), "AND", each) for each in tree.operands
        )
    )


def _or(level: Level, tree: tree_expressions.Or) -> Expr:
    return Or(
        tuple(to_boolean(level.state, level.expression(each), "OR", each) for each in tree.operands)
    )


def _not(level: Level, tree: tree_expressions.Not) -> Expr:
    return Not(to_boolean(level.state, level.expression(tree.operand), "NOT", tree.operand))


def _null_test(level: Level, tree: tree_expressions.NullTest) -> Expr:
    argument = settle(level.state, level.expression(tree.operand))
    return NullTest(argument, tree.negated, operators.is_row(level.state, argument))


def _boolean_test(level: Level, tree: tree_expressions.BooleanTest) -> Expr:
    value = {TruthKind.TRUE: True, TruthKind.FALSE: False, TruthKind.UNKNOWN: None}[tree.kind]
    clause = f"IS {'NOT ' if tree.negated else ''}{tree.kind.value.upper()}"
    argument = to_boolean(level.state, level.expression(tree.operand), clause, tree.operand)
    return BooleanTest(argument, value, tree.negated)


def _between(level: Level, tree: Between) -> Expr:
    """BETWEEN is comparisons, as in PostgreSQL; the operand is written twice."""
    at = tree.position

    def test(symbol: str, bound: Expression) -> Expr:
        return level.expression(OperatorCall(at, (symbol,), tree.operand, bound))

    def inside(low: Expression, high: Expression) -> Expr:
        if tree.negated:
            return Or((test("<", low), test(">", high)))
        return And((test(">=", low), test("<=", high)))

    if not tree.symmetric:
        return inside(tree.low, tree.high)
    both = (inside(tree.low, tree.high), inside(tree.high, tree.low))
    return And(both) if tree.negated else Or(both)


def _null_if(level: Level, tree: tree_expressions.NullIf) -> Expr:
    state = level.state
    left, right = level.expression(tree.left), level.expression(tree.right)
    call = operators.operate(state, ("=",), left, right, tree.position)
    assert isinstance(call, Call)
    assert isinstance(call.target, SqlOperator)
    if call.type != BOOL:
        raise SqlError("42804", "NULLIF requires = operator to yield boolean")
    kept = call.arguments[0]
    return NullIf(
        kept,
        call.arguments[0],
        call.arguments[1],
        call.target,
        kept.type,
        kept.typmod,
        kept.collation,
        call.input_collation,
    )


def _case(level: Level, tree: CaseExpression) -> Expr:
    state = level.state
    subject: Expr | None = None
    if tree.argument is not None:
        subject = settle(state, level.expression(tree.argument))
    conditions: list[Expr] = []
    results: list[Expr] = []
    for when in tree.whens:
        if subject is None:
            condition = to_boolean(
                state, level.expression(when.condition), "CASE/WHEN", when.condition
            )
        else:
            value = CaseValue(subject.type, subject.typmod, subject.collation)
            compared = operators.operate(
                state, ("=",), value, level.expression(when.condition), when.position
            )
            condition = to_boolean(state, compared, "CASE/WHEN", when.condition)
        conditions.append(condition)
        results.append(level.expression(when.result))
    trees: list[Any] = [when.result for when in tree.whens]
    if tree.default is not None:
        otherwise = level.expression(tree.default)
        trees.append(tree.default)
    else:
        otherwise = UnknownLiteral(None)
        trees.append(0)
    # PostgreSQL looks at ELSE first when it chooses the type.
    oid = common_type(state, [otherwise, *results], "CASE", [trees[-1], *trees[:-1]])
    branches = tuple(
        (condition, to_common(state, result, oid, "CASE/WHEN", at))
        for condition, result, at in zip(conditions, results, trees, strict=False)
    )
    final = to_common(state, otherwise, oid, "CASE/ELSE", trees[-1])
    _refuse_sets("CASE", [*conditions, *results, otherwise], tree.position)
    everything = [final, *(result for _, result in branches)]
    return Case(
        subject,
        branches,
        final,
        oid,
        common_typmod(everything, oid),
        collation_of(state, everything, oid),
    )


def _refuse_sets(word: str, parts: list[Expr], position: int) -> None:
    """0A000 for a set-returning call where it might not be evaluated."""
    if any(isinstance(node, SetReturningCall) for part in parts for node in walk(part)):
        raise SqlError(
            "0A000",
            f"set-returning functions are not allowed in {word}",
            hint="You might be able to move the set-returning function into a LATERAL FROM item.",
            position=position,
        )


def _coalesce(level: Level, tree: tree_expressions.Coalesce) -> Expr:
    arguments = [level.expression(each) for each in tree.arguments]
    _refuse_sets("COALESCE", arguments, tree.position)
    oid = common_type(level.state, arguments, "COALESCE", tree.arguments)
    fitted = tuple(
        to_common(level.state, each, oid, "COALESCE", at)
        for each, at in zip(arguments, tree.arguments, strict=True)
    )
    return Coalesce(fitted, oid, common_typmod(fitted, oid), collation_of(level.state, fitted, oid))


def _min_max(level: Level, tree: tree_expressions.MinMax) -> Expr:
    name = "GREATEST" if tree.greatest else "LEAST"
    arguments = [level.expression(each) for each in tree.arguments]
    oid = common_type(level.state, arguments, name, tree.arguments)
    fitted = tuple(
        to_common(level.state, each, oid, name, at)
        for each, at in zip(arguments, tree.arguments, strict=True)
    )
    less = level.state.resolver.operator("<", oid, oid)
    if less is None:
        raise SqlError(
            "42883",
            f"could not identify a comparison function for type {level.state.type_name(oid)}",
            position=tree.position,
        )
    return MinMax(
        fitted,
        tree.greatest,
        less,
        oid,
        common_typmod(fitted, oid),
        collation_of(level.state, fitted, oid),
        input_collation(fitted),
    )


def _value_function(level: Level, tree: SqlValueFunction) -> Expr:
    kind = tree.kind.value
    oid = _VALUE_TYPES.get(kind, 19)
    return SessionValue(
        kind, oid, -1 if tree.precision is None else tree.precision, level.state.collation_of(oid)
    )


def _cast(level: Level, tree: TypeCast) -> Expr:
    state = level.state
    oid, typmod = resolve_type(state, tree.type)
    operand = tree.operand
    if isinstance(operand, ArrayConstructor):
        kind = base_of(state.type(oid))
        if kind.is_array:
            made = operators.array_of(level, operand, kind.oid, kind.element, typmod)
            return explicit_cast(state, made, oid, -1, tree.position)
    expression = level.expression(operand)
    return explicit_cast(state, expression, oid, typmod, tree.position)


def _collate(level: Level, tree: CollateClause) -> Expr:
    state = level.state
    argument = settle(state, level.expression(tree.operand))
    if not state.type(argument.type).collatable:
        raise SqlError(
            "42804",
            f"collations are not supported by type {state.type_name(argument.type)}",
            position=tree.position,
        )
    return Collate(
        argument, argument.type, argument.typmod, collation_oid(tree.collation, tree.position)
    )


COLLATIONS: Final[Mapping[str, int]] = {
    "default": 100, "C": 950, "POSIX": 951, "ucs_basic": 12446, "C.UTF-8": 12447, "C.utf8": 12448,
}  # fmt: skip
"""The collations that compare by code point, as this server does."""


def collation_oid(name: tuple[str, ...], position: int) -> int:
    """42704 for a collation that does not exist here."""
    found = COLLATIONS.get(name[-1])
    if found is None or (len(name) > 1 and name[0] != "pg_catalog"):
        raise SqlError(
            "42704",
            f'collation "{".".join(name)}" for encoding "UTF8" does not exist',
            position=position,
        )
    return found


def _row(level: Level, tree: RowExpression) -> Expr:
    from heliosd.sql.bind.targets import expand_row

    # What is unknown stays so: a comparison with another row may decide it, an output settles it.
    fields = expand_row(level, tree.items)
    return RowConstructor(tuple(fields), tuple(f"f{n}" for n in range(1, len(fields) + 1)), RECORD)


def _indirection(level: Level, tree: Indirection) -> Expr:
    value = level.expression(tree.operand)
    steps = list(tree.steps)
    while steps:
        step = steps[0]
        if isinstance(step, SubscriptStep | SliceStep):
            run = []
            while steps and isinstance(steps[0], SubscriptStep | SliceStep):
                run.append(steps.pop(0))
            value = _subscripted(level, value, run, tree.position)
        elif isinstance(step, FieldStep):
            value = bind_field(level, value, step.name, location(tree.operand))
            steps.pop(0)
        else:
            raise SqlError(
                "42601", 'row expansion via "*" is not supported here', position=step.position
            )
    return value


def _subscripted(level: Level, value: Expr, run: list[Any], position: int) -> Expr:
    state = level.state
    kind = state.type(value.type) if value.type != UNKNOWN else None
    element = kind.element if kind is not None else 0
    if value.type == NAME and len(run) == 1 and isinstance(run[0], SubscriptStep):
        return _character_of_name(level, value, run[0])
    if value.type == JSONB:
        return _member_of_document(level, value, run)
    if kind is not None and element and kind.category == "G":
        return _fixed_element(level, value, element, run, position)
    if len(run) > DIMENSIONS_MAX:
        raise too_many_dimensions(len(run))
    if kind is None or not element or kind.category != "A":
        raise SqlError(
            "42804",
            f"cannot subscript type {state.type_name(value.type)} "
            "because it does not support subscripting",
            position=position,
        )
    if any(isinstance(step, SliceStep) for step in run):
        bounds = []
        for step in run:
            if isinstance(step, SliceStep):
                low = None if step.low is None else _index(level, step.low)
                high = None if step.high is None else _index(level, step.high)
                bounds.append((low, high))
            else:
                bounds.append((Const(1, INT4), _index(level, step.index)))
        return Slice(value, tuple(bounds), value.type, value.typmod, value.collation)
    return Subscript(
        value,
        tuple(_index(level, step.index) for step in run),
        element,
        value.typmod,
        value.collation,
    )


_FIXED: Final = SqlFunction(
    "raw_array_subscript",
    0,
    (ANY, INT4),
    ANY,
    row=lambda value, place: value[place] if 0 <= place < len(value) else None,
)


def _fixed_element(level: Level, value: Expr, element: int, run: list[Any], position: int) -> Expr:
    """`point[0]`: the types of fixed length are counted from 0."""
    if any(isinstance(step, SliceStep) for step in run):
        raise SqlError("0A000", "slices of fixed-length arrays not implemented", position=position)
    if len(run) > 1:
        return Const(None, element)
    return Call(_FIXED, (value, _index(level, run[0].index)), element)


def _member_of_document(level: Level, value: Expr, run: list[Any]) -> Expr:
    """`document['key'][0]` reads as `jsonb_extract_path(document, 'key', '0')`."""
    state = level.state
    keys: list[Expr] = []
    for step in run:
        if isinstance(step, SliceStep):
            raise SqlError(
                "42804", "jsonb subscript does not support slices", position=step.position
            )
        keys.append(explicit_cast(state, document_key(level, step), TEXT, -1, step.position))
    text_array = state.type(TEXT).array_oid
    extract = state.resolver.functions.exact("jsonb_extract_path", (JSONB, text_array))
    assert isinstance(extract, SqlFunction)
    path = BoundArray(tuple(keys), text_array, TEXT)
    return Call(extract, (value, path), JSONB, variadic=True)


def _character_of_name(level: Level, value: Expr, step: SubscriptStep) -> Expr:
    """`name[0]`: a name is an array of "char" from 0; pg_dump asks for the first one."""
    state = level.state
    functions = state.resolver.functions
    substr, add = (
        functions.exact("substr", (TEXT, INT4, INT4)),
        functions.exact("int4pl", (INT4, INT4)),
    )
    assert isinstance(substr, SqlFunction)
    assert isinstance(add, SqlFunction)
    text = coerce(state, value, TEXT)
    assert text is not None
    place = Call(add, (_index(level, step.index), Const(1, INT4)), INT4)
    found = Call(substr, (text, place, Const(1, INT4)), TEXT, -1, 100)
    return explicit_cast(state, found, CHAR, -1, step.position)


def _index(level: Level, tree: Expression) -> Expr:
    found = coerce(
        level.state, level.expression(tree), INT4, form=CastForm.ASSIGNMENT,
        position=location(tree),
    )  # fmt: skip
    if found is None:
        raise SqlError("42804", "array subscript must have type integer", position=location(tree))
    return found


def _set_to_default(level: Level, tree: tree_expressions.SetToDefault) -> Expr:
    raise SqlError("42601", "DEFAULT is not allowed in this context", position=tree.position)


def _current_of(level: Level, tree: tree_expressions.CurrentOf) -> Expr:
    return bind_current_of(level, tree)


def _star(level: Level, tree: tree_expressions.Star) -> Expr:
    if tree.qualifier:
        from heliosd.sql.bind.names import require_rel

        return require_rel(level, tree.qualifier, tree.position).whole_row(tree.position)
    raise SqlError("42601", 'syntax error at or near "*"', position=tree.position)


EXPRESSIONS: Final[Mapping[type, Handler]] = {
    tree_expressions.IntegerConstant: _integer,
    tree_expressions.NumericConstant: _numeric,
    tree_expressions.StringConstant: _string,
    tree_expressions.NullConstant: _null,
    tree_expressions.BooleanConstant: _boolean,
    tree_expressions.BitConstant: _bits,
    tree_expressions.ParameterRef: _parameter,
    tree_expressions.SearchDepth: _search_depth,
    tree_expressions.ColumnRef: bind_column,
    tree_expressions.Star: _star,
    tree_expressions.OperatorCall: operators.bind_operator,
    tree_expressions.QuantifiedComparison: operators.bind_quantified,
    tree_expressions.And: _and,
    tree_expressions.Or: _or,
    tree_expressions.Not: _not,
    tree_expressions.DistinctFrom: operators.bind_distinct,
    tree_expressions.NullIf: _null_if,
    tree_expressions.InList: operators.bind_in_list,
    tree_expressions.LikeTest: operators.bind_like,
    tree_expressions.Between: _between,
    tree_expressions.NullTest: _null_test,
    tree_expressions.BooleanTest: _boolean_test,
    tree_expressions.FunctionCall: bind_call,
    tree_expressions.TypeCast: _cast,
    tree_expressions.CollateClause: _collate,
    tree_expressions.CaseExpression: _case,
    tree_expressions.Coalesce: _coalesce,
    tree_expressions.MinMax: _min_max,
    tree_expressions.SqlValueFunction: _value_function,
    tree_expressions.RowExpression: _row,
    tree_expressions.ArrayConstructor: operators.bind_array,
    tree_expressions.Indirection: _indirection,
    SubLinkTree: bind_sublink,
    tree_expressions.GroupingCall: bind_grouping,
    tree_expressions.SetToDefault: _set_to_default,
    tree_expressions.CurrentOf: _current_of,
}
"""How each node of the syntax tree is bound."""
