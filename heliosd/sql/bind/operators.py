"""Operators: binary and prefix ones, ANY/ALL over arrays, IN lists, row comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import coerce, collation_of, input_collation, location
from heliosd.sql.bind.resolve import UNKNOWN, VECTORS, AmbiguousError
from heliosd.sql.bind.state import BindState, Level, UnknownLiteral
from heliosd.sql.bound import (
    BOOL,
    And,
    ArrayConstructor,
    ArrayTest,
    Call,
    CallForm,
    Const,
    DistinctTest,
    Expr,
    InList,
    Not,
    NullTest,
    Or,
    Param,
    RowCompare,
    RowConstructor,
    Var,
    WholeRow,
)
from heliosd.sql.bound.walk import all_nodes
from heliosd.sql.tree import expressions as tree_expressions

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Expression
    from heliosd.sql.tree.expressions import (
        DistinctFrom,
        LikeTest,
        OperatorCall,
        QuantifiedComparison,
    )
    from heliosd.sql.tree.expressions import InList as InListTree
    from heliosd.types.registry import SqlOperator

_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">=", "~<~", "~<=~", "~>~", "~>=~"})
RECORD = 2249


def find_operator(
    state: BindState, name: tuple[str, ...], left: int, right: int, position: int
) -> SqlOperator:
    """The operator for these operand types; 42883 or 42725 when there is not exactly one."""
    symbol = name[-1]
    if len(name) > 1 and name[0] != "pg_catalog":
        if state.catalog.schema(name[0]) is None:
            raise SqlError("3F000", f'schema "{name[0]}" does not exist', position=position)
        raise _no_operator(state, ".".join(name), left, right, position)
    try:
        found = state.resolver.operator(symbol, left, right)
    except AmbiguousError:
        raise SqlError(
            "42725",
            f"operator is not unique: {_signature(state, symbol, left, right)}",
            hint="Could not choose a best candidate operator. "
            "You might need to add explicit type casts.",
            position=position,
        ) from None
    if found is None:
        raise _no_operator(state, symbol, left, right, position)
    return found


def _signature(state: BindState, symbol: str, left: int, right: int) -> str:
    prefix = "" if left == 0 else state.type_name(left) + " "
    return f"{prefix}{symbol} {state.type_name(right)}"


_HINT = (
    "No operator matches the given name and argument types. "
    "You might need to add explicit type casts."
)
_PREFIX_HINT = (
    "No operator matches the given name and argument type. "
    "You might need to add an explicit type cast."
)


def _no_operator(state: BindState, symbol: str, left: int, right: int, position: int) -> SqlError:
    return SqlError(
        "42883",
        f"operator does not exist: {_signature(state, symbol, left, right)}",
        hint=_HINT if left else _PREFIX_HINT,
        position=position,
    )


def operate(
    state: BindState, name: tuple[str, ...], left: Expr | None, right: Expr, position: int
) -> Expr:
    """`left name right` with coerced operands."""
    left_type = 0 if left is None else left.type
    operator = find_operator(state, name, left_type, right.type, position)
    operands = (right,) if left is None else (left, right)
    declared = (operator.right,) if left is None else (operator.left, operator.right)
    arguments, result = fit_operands(state, operator, operands, declared, position)
    return Call(
        operator,
        arguments,
        result,
        -1,
        collation_of(state, arguments, result),
        input_collation(arguments),
        False,
        CallForm.OPERATOR,
    )


def fit_operands(
    state: BindState,
    operator: SqlOperator,
    operands: tuple[Expr, ...],
    declared: tuple[int, ...],
    position: int,
) -> tuple[tuple[Expr, ...], int]:
    """The operands as the operator wants them, and the type of its result."""
    actual = state.resolver.instantiate(declared, [o.type for o in operands], operator.result)
    if actual is None:
        raise _no_operator(
            state, operator.name, operands[0].type if len(operands) > 1 else 0,
            operands[-1].type, position,
        )  # fmt: skip
    types, result = actual
    fitted = []
    for operand, oid in zip(operands, types, strict=True):
        converted = coerce(state, operand, oid, position=position)
        assert converted is not None, (operator, oid)
        fitted.append(converted)
    return tuple(fitted), result


def bind_operator(level: Level, tree: OperatorCall) -> Expr:
    state = level.state
    if tree.left is None:
        negated = _negative_literal(tree)
        if negated is not None:
            return level.expression(negated)
        return operate(state, tree.operator, None, level.expression(tree.right), tree.position)
    left, right = level.expression(tree.left), level.expression(tree.right)
    if (
        isinstance(left, RowConstructor)
        and isinstance(right, RowConstructor)
        and left.type == right.type == RECORD
    ):
        return compare_rows(level, tree.operator, left.fields, right.fields, tree.position)
    return operate(state, tree.operator, left, right, tree.position)


def _negative_literal(tree: OperatorCall) -> Expression | None:
    """A minus before a number is part of the number, as in PostgreSQL's grammar."""
    if tree.operator != ("-",):
        return None
    number = tree.right
    if isinstance(number, tree_expressions.IntegerConstant) and number.value >= 0:
        return tree_expressions.IntegerConstant(tree.position, -number.value)
    if isinstance(number, tree_expressions.NumericConstant) and not number.text.startswith("-"):
        return tree_expressions.NumericConstant(tree.position, "-" + number.text)
    return None


def compare_rows(
    level: Level,
    name: tuple[str, ...],
    left: tuple[Expr, ...],
    right: tuple[Expr, ...],
    position: int,
) -> Expr:
    """`(a, b) op (c, d)`; 42601 when the lengths differ."""
    state = level.state
    symbol = name[-1]
    if len(left) != len(right):
        raise SqlError("42601", "unequal number of entries in row expressions", position=position)
    if not left:
        raise SqlError("0A000", "cannot compare rows of zero length", position=position)
    if symbol in ("=", "<>") or len(left) == 1:
        tests = tuple(
            operate(state, name, a, b, position) for a, b in zip(left, right, strict=True)
        )
        if len(tests) == 1:
            return tests[0]
        return And(tests) if symbol == "=" else Or(tests)
    if symbol not in _COMPARISONS:
        raise SqlError(
            "0A000",
            f"could not determine interpretation of row comparison operator {symbol}",
            hint="Row comparison operators must be associated with btree operator families.",
            position=position,
        )
    tests = tuple(operate(state, name, a, b, position) for a, b in zip(left, right, strict=True))
    calls = [test for test in tests if isinstance(test, Call)]
    equals = tuple(
        find_operator(state, ("=",), c.arguments[0].type, c.arguments[1].type, position)
        for c in calls
    )
    return RowCompare(
        symbol,
        tuple(c.arguments[0] for c in calls),
        tuple(c.arguments[1] for c in calls),
        tuple(_operator_of(c) for c in calls),
        equals,
        tuple(c.input_collation for c in calls),
    )


def _operator_of(call: Call) -> SqlOperator:
    target = call.target
    assert hasattr(target, "left")
    return target  # type: ignore[return-value]


def bind_like(level: Level, tree: LikeTest) -> Expr:
    left, right = level.expression(tree.operand), level.expression(tree.pattern)
    return operate(level.state, (tree.operator,), left, right, tree.position)


def bind_distinct(level: Level, tree: DistinctFrom) -> Expr:
    left, right = level.expression(tree.left), level.expression(tree.right)
    for one, other in ((left, right), (right, left)):
        if _is_null(one) and not _is_null(other):
            # IS [NOT] DISTINCT FROM NULL is a null test, as in PostgreSQL.
            return NullTest(other, not tree.negated, is_row(level.state, other))
    if (
        isinstance(left, RowConstructor)
        and isinstance(right, RowConstructor)
        and left.type == right.type == RECORD
    ):
        if len(left.fields) != len(right.fields):
            raise SqlError(
                "42601", "unequal number of entries in row expressions", position=tree.position
            )
        tests = tuple(
            _distinct(level.state, a, b, negated=False, position=tree.position)
            for a, b in zip(left.fields, right.fields, strict=True)
        )
        found: Expr = Or(tests) if len(tests) > 1 else tests[0]
        return Not(found) if tree.negated else found
    return _distinct(level.state, left, right, negated=tree.negated, position=tree.position)


def _distinct(state: BindState, left: Expr, right: Expr, *, negated: bool, position: int) -> Expr:
    call = operate(state, ("=",), left, right, position)
    assert isinstance(call, Call)
    if call.type != BOOL:
        raise SqlError(
            "42804", "IS DISTINCT FROM requires = operator to yield boolean", position=position
        )
    return DistinctTest(
        call.arguments[0],
        call.arguments[1],
        _operator_of(call),
        negated,
        call.input_collation,
    )


def _is_null(expression: Expr) -> bool:
    return isinstance(expression, UnknownLiteral) and expression.text is None


def is_row(state: BindState, expression: Expr) -> bool:
    """Whether `IS NULL` looks at the fields."""
    return (
        isinstance(expression, RowConstructor | WholeRow)
        or (expression.type != UNKNOWN and state.resolver.kind(expression.type) in ("c",))
        or expression.type == 2249
    )


def bind_quantified(level: Level, tree: QuantifiedComparison) -> Expr:
    """`left op ANY|ALL (array)`."""
    left, right = level.expression(tree.left), level.expression(tree.right)
    return array_test(
        level.state, tree.operator, left, right, every=tree.every, position=tree.position
    )


def array_test(
    state: BindState,
    name: tuple[str, ...],
    left: Expr,
    right: Expr,
    *,
    every: bool,
    position: int,
) -> Expr:
    resolver = state.resolver
    if right.type == UNKNOWN:
        element = UNKNOWN
    else:
        element = state.type(right.type).element
        if not element:
            raise SqlError(
                "42809", "op ANY/ALL (array) requires array on right side", position=position
            )
    operator = find_operator(state, name, left.type, element, position)
    if operator.result != BOOL:
        raise SqlError(
            "42809", "op ANY/ALL (array) requires operator to yield boolean", position=position
        )
    actual = resolver.instantiate(
        (operator.left, operator.right), (left.type, element), operator.result
    )
    if actual is None:
        raise _no_operator(state, name[-1], left.type, element, position)
    (left_type, right_type), _ = actual
    array_type = resolver.array_over(right_type)
    if not array_type:
        raise SqlError(
            "42704",
            f"could not find array type for data type {state.type_name(right_type)}",
            position=position,
        )
    argument = coerce(state, left, left_type, position=position)
    if right.type != UNKNOWN and element == right_type:
        array: Expr | None = right
    else:
        array = coerce(state, right, array_type, position=position)
    assert argument is not None
    assert array is not None
    return ArrayTest(argument, array, operator, every, input_collation((argument, array)))


def bind_in_list(level: Level, tree: InListTree) -> Expr:
    """`left [NOT] IN (items)`: constants together as one test, items with columns one by one."""
    state = level.state
    left = level.expression(tree.operand)
    name = ("<>",) if tree.negated else ("=",)
    items = [level.expression(item) for item in tree.items]
    if isinstance(left, RowConstructor):
        tests = [_row_item(level, name, left, item, tree) for item in items]
        return _combined(tests, negated=tree.negated)
    together = [item for item in items if not _has_var(item)]
    apart = [item for item in items if _has_var(item)]
    tests = []
    if len(together) > 1:
        oid = state.resolver.common_type([left.type, *(item.type for item in together)])
        if oid is not None and state.resolver.array_over(oid):
            tests.append(_in_list(level, name, left, together, oid, tree))
        else:
            apart = items
    else:
        apart = items
    tests.extend(operate(state, name, left, item, tree.position) for item in apart)
    return _combined(tests, negated=tree.negated)


def _in_list(
    level: Level,
    name: tuple[str, ...],
    left: Expr,
    items: list[Expr],
    oid: int,
    tree: InListTree,
) -> Expr:
    state = level.state
    operator = find_operator(state, name, left.type, oid, tree.position)
    argument = coerce(state, left, operator.left, position=location(tree.operand))
    converted = []
    for item, item_tree in zip(items, tree.items, strict=False):
        typed = coerce(state, item, oid, position=location(item_tree))
        found = None if typed is None else coerce(state, typed, operator.right)
        if found is None:
            raise _no_operator(state, name[-1], left.type, item.type, tree.position)
        converted.append(found)
    assert argument is not None
    return InList(
        argument,
        tuple(converted),
        operator,
        tree.negated,
        input_collation((argument, *converted)),
    )


def _row_item(
    level: Level, name: tuple[str, ...], left: RowConstructor, item: Expr, tree: InListTree
) -> Expr:
    if not isinstance(item, RowConstructor):
        return operate(level.state, name, left, item, tree.position)
    return compare_rows(level, name, left.fields, item.fields, tree.position)


def _has_var(expression: Expr) -> bool:
    if isinstance(expression, UnknownLiteral | Const | Param):
        return False
    return any(isinstance(node, Var) for node in all_nodes(expression))


def _combined(tests: list[Expr], *, negated: bool) -> Expr:
    if len(tests) == 1:
        return tests[0]
    return And(tuple(tests)) if negated else Or(tuple(tests))


def bind_array(level: Level, tree: tree_expressions.ArrayConstructor) -> Expr:
    """`ARRAY[...]`; without a type around it, elements choose their common type."""
    return array_of(level, tree, 0, 0, -1)


def array_of(
    level: Level,
    tree: tree_expressions.ArrayConstructor,
    array_type: int,
    element_type: int,
    typmod: int,
) -> Expr:
    """With `element_type` (from a cast around it) elements are cast explicitly."""
    from heliosd.sql.bind.coerce import common_type, explicit_cast, to_common

    state = level.state
    elements: list[Expr] = []
    nested = False
    for item in tree.elements:
        if isinstance(item, tree_expressions.ArrayConstructor):
            nested = True
            elements.append(array_of(level, item, array_type, element_type, typmod))
        else:
            elements.append(level.expression(item))
    if element_type:
        converted = tuple(
            each if nested else explicit_cast(state, each, element_type, typmod, location(item))
            for each, item in zip(elements, tree.elements, strict=True)
        )
        return ArrayConstructor(
            converted, array_type, element_type, nested, typmod, state.collation_of(array_type)
        )
    if not elements:
        raise SqlError(
            "42P18",
            "cannot determine type of empty array",
            hint="Explicitly cast to the desired type, for example ARRAY[]::integer[].",
            position=tree.position,
        )
    common = common_type(state, elements, "ARRAY", list(tree.elements))
    nested = nested or (state.type(common).is_array and common not in VECTORS)
    fitted = tuple(
        to_common(state, each, common, "ARRAY", item)
        for each, item in zip(elements, tree.elements, strict=True)
    )
    if nested:
        return ArrayConstructor(
            fitted, common, state.resolver.element(common), True, -1, state.collation_of(common)
        )
    array = state.resolver.array_over(common)
    if not array:
        raise SqlError(
            "42704",
            f"could not find array type for data type {state.type_name(common)}",
            position=tree.position,
        )
    return ArrayConstructor(fitted, array, common, False, -1, state.collation_of(array))
