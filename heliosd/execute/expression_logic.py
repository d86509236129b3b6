"""The Python form of SQL's logic and comparisons: three values, NULL for unknown."""

from __future__ import annotations

from heliosd.execute import row_functions
from heliosd.execute.expressions import (
    ENVIRONMENT,
    EQUAL,
    FALSE,
    NULL,
    TRUE,
    Code,
    ExpressionCompiler,
    code_of,
    local,
)
from heliosd.sql.bound import (
    And,
    ArrayTest,
    BooleanTest,
    Const,
    DistinctTest,
    InList,
    Not,
    NullTest,
    Or,
    RowCompare,
)

# -- logic -------------------------------------------------------------------------------------


def compile_and(c: ExpressionCompiler, node: And) -> Code:
    return logic(c, [c.value(a) for a in node.arguments], stop=False)


def compile_or(c: ExpressionCompiler, node: Or) -> Code:
    return logic(c, [c.value(a) for a in node.arguments], stop=True)


def logic(c: ExpressionCompiler, parts: list[Code], *, stop: bool) -> Code:
    """AND (stops at False) and OR (stops at True) of values that may be NULL."""
    neutral = FALSE if stop else TRUE
    decided = TRUE if stop else FALSE
    if any(p is decided for p in parts):
        return decided
    parts = [p for p in parts if p is not neutral]
    if not parts:
        return neutral
    if len(parts) == 1:
        return parts[0]
    if not any(p.nullable for p in parts):
        word = " or " if stop else " and "
        return code_of("(" + word.join(p.text for p in parts) + ")", parts, nullable=False)
    text = ""
    nulls: list[str] = []
    for part in parts:
        first, later = c.bind(part)
        text += f"{stop} if {first} is {stop} else "
        if part.nullable:
            nulls.append(f"{later} is None")
    text += f"None if {' or '.join(nulls)} else {not stop}"
    return code_of(f"({text})", parts, nullable=True)


def compile_not(c: ExpressionCompiler, node: Not) -> Code:
    argument = c.value(node.argument)
    if argument is TRUE:
        return FALSE
    if argument is FALSE:
        return TRUE
    return c.strict([argument], lambda t: f"not {t[0]}")


def compile_null_test(c: ExpressionCompiler, node: NullTest) -> Code:
    argument = c.value(node.argument)
    if node.row:
        check = row_functions.row_is_not_null if node.negated else row_functions.row_is_null
        slot = c.module.slot(check)
        return code_of(f"{slot}({argument.text})", [argument], nullable=False)
    if argument is NULL:
        return FALSE if node.negated else TRUE
    if not argument.nullable and argument.atom:
        return TRUE if node.negated else FALSE
    word = "is not" if node.negated else "is"
    return code_of(f"({argument.text} {word} None)", [argument], nullable=False)


def compile_boolean_test(c: ExpressionCompiler, node: BooleanTest) -> Code:
    argument = c.value(node.argument)
    word = "is not" if node.negated else "is"
    return code_of(f"({argument.text} {word} {node.value})", [argument], nullable=False)


def compile_distinct_test(c: ExpressionCompiler, node: DistinctTest) -> Code:
    left, right = c.value(node.left), c.value(node.right)
    first_left, left_name = c.bind(left)
    first_right, right_name = c.bind(right)
    equal = c.operator(
        node.operator,
        c.named(left, left_name, nullable=False),
        c.named(right, right_name, nullable=False),
        (node.left.type, node.right.type),
    )
    text = (
        f"({right_name} is not None if {left_name} is None else "
        f"{right_name} is None or not {equal.text})"
    )
    named = [t for t, code in ((first_left, left), (first_right, right)) if not code.atom]
    if named:
        # A tuple is true: it only evaluates and names the operands, once, before the test.
        text = f"(({', '.join(named)},) and {text})"
    if node.negated:
        text = f"(not {text})"
    return code_of(text, [left, right, equal], nullable=False)


def compile_in_list(c: ExpressionCompiler, node: InList, *, condition: bool = False) -> Code:
    """A set of constants is probed; anything else is a chain of comparisons."""
    constants = [i.value for i in node.items if isinstance(i, Const)]
    argument = c.value(node.argument)
    if len(constants) == len(node.items) and _probes(c, node):
        has_null = any(v is None for v in constants)
        slot = c.module.slot(frozenset(v for v in constants if v is not None))
        word = "not in" if node.negated else "in"
        if condition and has_null and node.negated:
            return FALSE
        if condition:
            return c.strict_condition([argument], lambda t: f"{t[0]} {word} {slot}")
        if not has_null:
            return c.strict([argument], lambda t: f"{t[0]} {word} {slot}")
        code = c.strict([argument], lambda t: f"({not node.negated} if {t[0]} in {slot} else None)")
        return code if code is NULL else Code(code.text, True, False, code.depth, code.uses)
    parts: list[Code] = []
    first, later = c.bind(argument)
    is_named = argument.atom
    for item in node.items:
        value = c.value(item)
        operand = c.named(argument, later)
        if not is_named and value is not NULL:
            # The first comparison names the operand for the others (NULL compares nothing).
            operand = Code(first, argument.nullable, False, argument.depth, argument.uses)
            is_named = True
        parts.append(c.operator(node.operator, operand, value, (node.argument.type, item.type)))
    return logic(c, parts, stop=not node.negated)


def _probes(c: ExpressionCompiler, node: InList) -> bool:
    """Whether Python's hash and equality are the operator's."""
    kind = c.types.type(node.argument.type)
    return (
        kind.native
        and all(item.type == node.argument.type for item in node.items)
        and node.operator.row in (EQUAL, "{0} != {1}")
    )


def compile_array_test(c: ExpressionCompiler, node: ArrayTest) -> Code:
    element = c.types.type(node.array.type).element or node.argument.type
    argument, array = c.value(node.argument), c.value(node.array)
    if node.operator.row == EQUAL and not node.all and c.types.type(element).native:
        slot = c.module.slot(row_functions.equals_any)
        code = c.strict([array], lambda t: f"{slot}({argument.text}, {t[0]})")
    else:
        left, right = c.module.name("v"), c.module.name("v")
        function = c.module.function(f"ctx, params, state, {left}, {right}")
        inner = c.elsewhere(function)
        result = inner.operator(
            node.operator,
            local(left, nullable=False),
            local(right, nullable=False),
            (node.argument.type, element),
        )
        function.line(f"return {result.text}")
        test = row_functions.all_test if node.all else row_functions.any_test
        slot = c.module.slot(test)
        code = c.strict(
            [array],
            lambda t: f"{slot}({function.name}, ctx, params, state, {argument.text}, {t[0]})",
        )
    if code is NULL:
        return code
    uses = code.uses | argument.uses | ENVIRONMENT
    depth = max(code.depth, argument.depth + 1)
    return Code(code.text, nullable=True, depth=depth, uses=uses)


def compile_row_compare(c: ExpressionCompiler, node: RowCompare) -> Code:
    """Lexicographic: the first pair that differs, or is NULL, decides."""
    last = len(node.left) - 1
    text = ""
    used: list[Code] = []
    for number, (left, right) in enumerate(zip(node.left, node.right, strict=True)):
        a, b = c.value(left), c.value(right)
        used += [a, b]
        operator = node.operators[number]
        pair = (left.type, right.type)
        if number < last:
            first_a, name_a = c.bind(a)
            first_b, name_b = c.bind(b)
            plain_a = c.named(a, name_a, nullable=False)
            plain_b = c.named(b, name_b, nullable=False)
            equal = c.operator(node.equals[number], plain_a, plain_b, pair)
            less = c.operator(operator, plain_a, plain_b, pair)
            # A differing pair decides by the operator: <= and < agree on it.
            text += (
                f"None if {first_a} is None or {first_b} is None else "
                f"{less.text} if not {equal.text} else "
            )
        else:
            text += c.operator(operator, a, b, pair).text
    return code_of(f"({text})", used, nullable=True)
