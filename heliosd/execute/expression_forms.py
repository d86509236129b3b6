"""The Python form of each bound expression, by node class (logic is in expression_logic.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError, not_supported
from heliosd.execute import expression_logic, row_functions
from heliosd.execute.expressions import (
    ANY,
    BOOL,
    ENVIRONMENT,
    FALSE,
    NULL,
    TEXTS,
    TRUE,
    UNKNOWN,
    WHOLE_ROW,
    Code,
    ExpressionCompiler,
    code_of,
    local,
)
from heliosd.plan.nodes import SubPlan
from heliosd.sql.bind.state import UnknownLiteral
from heliosd.sql.bound import (
    And,
    ArrayConstructor,
    ArrayTest,
    BooleanTest,
    Call,
    Case,
    CaseValue,
    Cast,
    CastForm,
    CastMethod,
    Coalesce,
    Collate,
    Const,
    DistinctTest,
    ElementValue,
    Expr,
    FieldSelect,
    InList,
    MinMax,
    Not,
    NullIf,
    NullTest,
    Or,
    Param,
    RowCompare,
    RowConstructor,
    SessionValue,
    Slice,
    Subscript,
    Var,
    WholeRow,
)
from heliosd.types.composite import make_composite_type
from heliosd.types.record import Record, RecordShape
from heliosd.types.registry import CallTypes, SqlOperator, SqlType, TypeField

if TYPE_CHECKING:
    from heliosd.functions.registry import SqlFunction
    from heliosd.types.registry import SqlCast


# -- leaves ----------------------------------------------------------------------------------


def compile_const(c: ExpressionCompiler, node: Const) -> Code:
    if node.value is None:
        return NULL
    if node.value is True:
        return TRUE
    if node.value is False:
        return FALSE
    return Code(c.module.slot(node.value), nullable=False, atom=True, depth=0)


def compile_unknown(c: ExpressionCompiler, node: UnknownLiteral) -> Code:
    """A literal inside a record whose type nothing decided is its text."""
    if node.text is None:
        return NULL
    return Code(c.module.slot(node.text), nullable=False, atom=True, depth=0)


def compile_param(c: ExpressionCompiler, node: Param) -> Code:
    name = f"a{node.number}"
    c.writer.first(f"{name} = params[{node.number - 1}]")
    return local(name)


def compile_var(c: ExpressionCompiler, node: Var) -> Code:
    found = c.columns.get((node.rel, node.column))
    if found is None:
        raise SqlError("XX000", f"column {node.column} of rel {node.rel} is not available")
    return found


def compile_whole_row(c: ExpressionCompiler, node: WholeRow) -> Code:
    found = c.columns.get((node.rel, WHOLE_ROW))
    if found is None:
        raise not_supported("whole-row reference")
    make = record_maker(c, node.names, node.field_types)
    if make is None:
        return found
    body = f"{c.module.slot(make)}({found.text})"
    if not found.nullable:
        return code_of(body, [found], nullable=False)
    return code_of(f"(None if {found.text} is None else {body})", [found], nullable=True)


def record_maker(
    c: ExpressionCompiler, names: tuple[str, ...], types: Sequence[int]
) -> Callable[..., Record] | None:
    """Makes a record that can be shown of a bare tuple; None when a field has no type yet."""
    known = [c.types.registry.by_oid.get(oid) for oid in types]
    kinds = tuple(kind for kind in known if kind is not None)
    if len(kinds) < len(types):
        return None
    return RecordShape(names, kinds).make


def compile_case_value(c: ExpressionCompiler, node: CaseValue) -> Code:
    return c.case_values[-1]


def compile_element_value(c: ExpressionCompiler, node: ElementValue) -> Code:
    assert c.element is not None
    return c.element


def compile_session_value(c: ExpressionCompiler, node: SessionValue) -> Code:
    slot = c.module.slot(row_functions.SESSION_VALUES[node.kind])
    text = f"{slot}({c.evaluation()})"
    fit = c.types.type(node.type).apply_typmod
    if node.typmod >= 0 and fit is not None:
        # CURRENT_TIMESTAMP(2)
        text = f"{c.module.slot(fit)}({text}, {node.typmod}, False)"
    return Code(text, nullable=True, uses=frozenset({"evaluation"}))


def compile_subplan(c: ExpressionCompiler, node: SubPlan) -> Code:
    if c.subplans is None:
        raise SqlError("0A000", "cannot use subquery here")
    return c.subplans.subplan(node, c)


# -- calls -----------------------------------------------------------------------------------


def _result_type(c: ExpressionCompiler, node: Expr) -> SqlType:
    """What the call gives; a column definition list makes a row type of its own."""
    record: tuple[tuple[str, int, int, int], ...] = getattr(node, "record", ())
    if not record:
        return c.types.type(node.type)
    return make_composite_type(
        name="record",
        oid=node.type,
        array_oid=0,
        attributes=[
            TypeField(name, c.types.type(oid), typmod, collation)
            for name, oid, typmod, collation in record
        ],
        sql_name="record",
        uses=(),
    )


def row_form_of(
    c: ExpressionCompiler,
    target: SqlFunction | SqlOperator | SqlCast,
    arguments: Sequence[Expr],
    node: Expr,
) -> str | Callable[..., Any]:
    if target.specialize is not None:
        types = CallTypes(
            tuple(c.types.type(a.type) for a in arguments),
            _result_type(c, node),
            c.types.registry,
            bool(getattr(node, "variadic", False)) and getattr(target, "variadic", 0) == ANY,
        )
        return target.specialize(types)
    if target.row is None:
        name = getattr(target, "name", "cast")
        raise not_supported(f"function {name}")
    return target.row


def _never_null(target: SqlFunction | SqlOperator) -> bool:
    """Arithmetic and concatenation of values that are not NULL are not NULL."""
    return isinstance(target, SqlOperator) and target.strict and target.name in _ARITHMETIC


_ARITHMETIC: Final = frozenset({"+", "-", "*", "/", "%", "||"})


def compile_call(c: ExpressionCompiler, node: Call) -> Code:
    target = node.target
    return c.call_form(
        row_form_of(c, target, node.arguments, node),
        [c.value(a) for a in node.arguments],
        strict=target.strict,
        needs_context=target.needs_context,
        nullable_result=node.type != BOOL and not _never_null(target),
    )


def compile_cast(c: ExpressionCompiler, node: Cast) -> Code:
    argument = c.value(node.argument)
    match node.method:
        case CastMethod.RELABEL:
            return argument
        case CastMethod.FUNCTION:
            assert node.cast is not None
            return c.call_form(
                row_form_of(c, node.cast, (node.argument,), node),
                [argument],
                strict=True,
                needs_context=node.cast.needs_context,
                nullable_result=False,
            )
        case CastMethod.IO:
            return compile_io_cast(c, node, argument)
        case CastMethod.ARRAY:
            return compile_array_cast(c, node, argument)
        case CastMethod.LENGTH:
            apply = c.types.type(node.type).apply_typmod
            if apply is None:
                return argument
            function = c.module.slot(apply)
            explicit = node.form is CastForm.EXPLICIT
            return c.strict([argument], lambda t: f"{function}({t[0]}, {node.typmod}, {explicit})")
        case CastMethod.DOMAIN:
            return compile_domain_check(c, node, argument)


def compile_domain_check(c: ExpressionCompiler, node: Cast, argument: Code) -> Code:
    """The value, when the domain's constraints allow it: they see NULL too."""
    text = f"{c.evaluation()}.check_domain({node.type}, {argument.text})"
    code = code_of(text, [argument], nullable=argument.nullable)
    return Code(code.text, code.nullable, False, code.depth, code.uses | {"evaluation"})


def compile_io_cast(c: ExpressionCompiler, node: Cast, argument: Code) -> Code:
    source = c.types.type(node.argument.type)
    target = c.types.type(node.type)
    context = c.evaluation()
    reader = c.module.slot(target.input)
    is_text = node.argument.type in TEXTS or node.argument.type == UNKNOWN
    writes_text = node.type in TEXTS
    output = source.plain_output
    writer = c.module.slot(output if output is not None else source.output)
    more = "" if output is not None else f", {context}"

    def body(texts: list[str]) -> str:
        shown = texts[0] if is_text else f"{writer}({texts[0]}{more})"
        if writes_text:
            return shown
        return f"{reader}({shown}, {node.typmod}, {context})"

    code = c.strict([argument], body)
    if code is NULL:
        return code
    return Code(code.text, code.nullable, False, code.depth, code.uses | {"evaluation"})


def compile_array_cast(c: ExpressionCompiler, node: Cast, argument: Code) -> Code:
    assert node.element is not None
    element = c.module.name("v")
    function = c.module.function(f"ctx, params, state, {element}")
    inner = c.elsewhere(function)
    inner.element = local(element)
    result = inner.value(node.element)
    function.line(f"return {result.text}")
    mapper = c.module.slot(row_functions.map_array)
    code = c.strict([argument], lambda t: f"{mapper}({function.name}, ctx, params, state, {t[0]})")
    if code is NULL:
        return code
    return Code(code.text, code.nullable, False, code.depth, code.uses | ENVIRONMENT)


# -- choices -----------------------------------------------------------------------------------


def compile_case(c: ExpressionCompiler, node: Case) -> Code:
    if node.subject is None:
        return _case_chain(c, node, 0)
    subject = c.value(node.subject)
    first, later = c.bind(subject)
    c.case_values.append(c.named(subject, later))
    chain = _case_chain(c, node, 0)
    c.case_values.pop()
    if subject.atom:
        return chain
    # A tuple is true: it names the subject before the chain is evaluated.
    return code_of(f"(({first},) and {chain.text})", [subject, chain], nullable=chain.nullable)


def _case_chain(c: ExpressionCompiler, node: Case, start: int) -> Code:
    """The branches from number `start` on; a long chain goes on in a function of its own."""
    stop = start + CASE_BRANCHES_MAX
    used: list[Code] = []
    text = ""
    for condition, result in node.branches[start:stop]:
        test, chosen = c.condition(condition), c.value(result)
        used += [test, chosen]
        text += f"{chosen.text} if {test.text} else "
    if stop < len(node.branches):
        otherwise = c.outlined(_case_chain(c, node, stop))
    else:
        otherwise = c.value(node.otherwise)
    used.append(otherwise)
    nullable = any(code.nullable for code in used[1::2]) or otherwise.nullable
    return code_of(f"({text}{otherwise.text})", used, nullable=nullable)


CASE_BRANCHES_MAX: Final = 40


def compile_coalesce(c: ExpressionCompiler, node: Coalesce) -> Code:
    parts = [c.value(a) for a in node.arguments]
    kept: list[Code] = []
    for part in parts:
        if part is NULL:
            continue
        kept.append(part)
        if not part.nullable:
            break
    if not kept:
        return NULL
    if len(kept) == 1:
        return kept[0]
    text = ""
    for part in kept[:-1]:
        first, later = c.bind(part)
        text += f"{later} if {first} is not None else "
    return code_of(f"({text}{kept[-1].text})", kept, nullable=kept[-1].nullable)


def compile_null_if(c: ExpressionCompiler, node: NullIf) -> Code:
    left = c.value(node.left)
    first, later = c.bind(left)
    compare = (
        Code(first, left.nullable, left.atom, left.depth, left.uses)
        if node.compare_left == node.left
        else c.value(node.compare_left)
    )
    equal = c.operator(
        node.operator,
        compare,
        c.value(node.right),
        (node.compare_left.type, node.right.type),
    )
    if equal is NULL:
        return left
    shown = later if compare.text == first else left.text
    return code_of(f"(None if {equal.text} else {shown})", [left, compare, equal], nullable=True)


def compile_min_max(c: ExpressionCompiler, node: MinMax) -> Code:
    left, right = c.module.name("v"), c.module.name("v")
    function = c.module.function(f"ctx, params, state, {left}, {right}")
    inner = c.elsewhere(function)
    pair = (node.type, node.type)
    less = inner.operator(
        node.less, local(left, nullable=False), local(right, nullable=False), pair
    )
    function.line(f"return {less.text}")
    parts = [c.value(a) for a in node.arguments]
    choose = row_functions.greatest if node.greatest else row_functions.least
    slot = c.module.slot(choose)
    texts = ", ".join(p.text for p in parts)
    code = code_of(f"{slot}({function.name}, ctx, params, state, ({texts},))", parts, nullable=True)
    return Code(code.text, True, False, code.depth, code.uses | ENVIRONMENT)


# -- composites --------------------------------------------------------------------------------


def compile_array_constructor(c: ExpressionCompiler, node: ArrayConstructor) -> Code:
    if not node.nested and node.elements and all(isinstance(e, Const) for e in node.elements):
        # The same array each time.
        values = tuple(e.value for e in node.elements if isinstance(e, Const))
        made = row_functions.make_array(values)
        return Code(c.module.slot(made), nullable=False, atom=True, depth=0)
    parts = [c.value(e) for e in node.elements]
    build = row_functions.nest_arrays if node.nested else row_functions.make_array
    slot = c.module.slot(build)
    inside = "".join(f"{p.text}, " for p in parts)
    return code_of(f"{slot}(({inside}))" if parts else f"{slot}(())", parts, nullable=False)


def compile_row_constructor(c: ExpressionCompiler, node: RowConstructor) -> Code:
    parts = [c.value(f) for f in node.fields]
    inside = "".join(f"{p.text}, " for p in parts)
    make = record_maker(c, node.names, [field.type for field in node.fields])
    text = f"({inside})" if make is None else f"{c.module.slot(make)}(({inside}))"
    return code_of(text, parts, nullable=False)


def compile_subscript(c: ExpressionCompiler, node: Subscript) -> Code:
    parts = [c.value(node.argument), *(c.value(s) for s in node.subscripts)]
    slot = c.module.slot(row_functions.subscript)
    code = c.strict(parts, lambda t: f"{slot}({t[0]}, ({', '.join(t[1:])},))")
    return code if code is NULL else Code(code.text, True, False, code.depth, code.uses)


def compile_slice(c: ExpressionCompiler, node: Slice) -> Code:
    argument = c.value(node.argument)
    slot = c.module.slot(row_functions.array_slice)
    missing = c.module.slot(row_functions.OPEN)
    used = [argument]
    pairs: list[str] = []
    for low, high in node.bounds:
        texts = []
        for bound in (low, high):
            if bound is None:
                texts.append(missing)
            else:
                code = c.value(bound)
                used.append(code)
                texts.append(code.text)
        pairs.append(f"({texts[0]}, {texts[1]})")
    return code_of(f"{slot}({argument.text}, ({', '.join(pairs)},))", used, nullable=True)


def compile_field_select(c: ExpressionCompiler, node: FieldSelect) -> Code:
    argument = c.value(node.argument)
    code = c.strict([argument], lambda t: f"{t[0]}[{node.field}]")
    return code if code is NULL else Code(code.text, True, False, code.depth, code.uses)


def compile_collate(c: ExpressionCompiler, node: Collate) -> Code:
    return c.value(node.argument)


FORMS: Final[Mapping[type, Callable[[ExpressionCompiler, Any], Code]]] = MappingProxyType(
    {
        Const: compile_const,
        UnknownLiteral: compile_unknown,
        Param: compile_param,
        Var: compile_var,
        WholeRow: compile_whole_row,
        CaseValue: compile_case_value,
        ElementValue: compile_element_value,
        SessionValue: compile_session_value,
        SubPlan: compile_subplan,
        Call: compile_call,
        Cast: compile_cast,
        Case: compile_case,
        Coalesce: compile_coalesce,
        NullIf: compile_null_if,
        MinMax: compile_min_max,
        ArrayConstructor: compile_array_constructor,
        RowConstructor: compile_row_constructor,
        Subscript: compile_subscript,
        Slice: compile_slice,
        FieldSelect: compile_field_select,
        Collate: compile_collate,
        And: expression_logic.compile_and,
        Or: expression_logic.compile_or,
        Not: expression_logic.compile_not,
        NullTest: expression_logic.compile_null_test,
        BooleanTest: expression_logic.compile_boolean_test,
        DistinctTest: expression_logic.compile_distinct_test,
        InList: expression_logic.compile_in_list,
        ArrayTest: expression_logic.compile_array_test,
        RowCompare: expression_logic.compile_row_compare,
    }
)
