"""Coercions: unknown literals become typed, casts become nodes, lengths are applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind.resolve import ANY, ANYRANGE, POLYMORPHIC, RECORD_ARRAY, UNKNOWN
from heliosd.sql.bind.state import BindState, UnknownLiteral
from heliosd.sql.bound import (
    BOOL,
    Call,
    Cast,
    CastForm,
    CastMethod,
    Collate,
    Const,
    ElementValue,
    Expr,
    FieldSelect,
    Param,
    RowConstructor,
    Var,
    WholeRow,
)
from heliosd.types.domain import base_of
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.registry import CastContext

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Node
    from heliosd.types.registry import SqlType

TEXT: Final = 25
REGCLASS: Final = 2205
INTERVAL: Final = 1186
RECORD: Final = 2249

CONTEXTS: Final = {
    CastForm.IMPLICIT: CastContext.IMPLICIT,
    CastForm.ASSIGNMENT: CastContext.ASSIGNMENT,
    CastForm.EXPLICIT: CastContext.EXPLICIT,
}


def literal(
    state: BindState, value: UnknownLiteral, oid: int, typmod: int, form: CastForm
) -> Const:
    """A quoted string as a value of type `oid`; the type's own error at the literal's position."""
    collation = state.collation_of(oid)
    # As PostgreSQL shows it: a length that nobody wrote is no part of the constant's type.
    shown = typmod if form is CastForm.EXPLICIT else -1
    if value.text is None:
        return Const(None, oid, shown, collation)
    kind = state.type(oid)
    try:
        # Only an interval's modifier changes how its text reads: INTERVAL '5' DAY.
        read_as = typmod if oid == INTERVAL else -1
        converted = kind.input(value.text, read_as, state.scope.context)
        if typmod >= 0 and kind.apply_typmod is not None:
            converted = kind.apply_typmod(converted, typmod, form is CastForm.EXPLICIT)
        if oid == REGCLASS:
            # The name may mean another relation when this one is gone.
            named = state.catalog.by_oid(converted)
            if named is not None:
                state.depend(named.oid, named.version)
    except SqlError as error:
        if not error.position:
            error.position = value.position
        raise
    return Const(converted, oid, shown, collation)


def coerce(
    state: BindState,
    expression: Expr,
    oid: int,
    typmod: int = -1,
    form: CastForm = CastForm.IMPLICIT,
    position: int = 0,
) -> Expr | None:
    """`expression` as an `oid`; None when there is no such coercion in this context."""
    source = expression.type
    if oid >= FIRST_NORMAL_OID and source != oid:
        kind = state.type(oid)
        if kind.is_domain:
            return _to_domain(state, expression, kind, form, position)
        if kind.kind == "c" and source == RECORD:
            return _to_composite(state, expression, kind, form, position)
    if source == UNKNOWN:
        if isinstance(expression, UnknownLiteral):
            if oid in (ANY, UNKNOWN) or oid in POLYMORPHIC:
                return expression
            return literal(state, expression, oid, typmod, form)
        if isinstance(expression, Param):
            if oid in (ANY, UNKNOWN) or oid in POLYMORPHIC:
                return expression
            return with_length(
                state, state.decide_parameter(expression.number, oid, position), typmod, form
            )
    if source == oid:
        return with_length(state, expression, typmod, form)
    if oid in (ANY, *POLYMORPHIC):
        return expression
    base = state.resolver.base(source)
    if base != source:
        expression = Cast(
            expression, CastMethod.RELABEL, base, state.type(source).typmod,
            _kept_collation(state, expression, base), CastForm.IMPLICIT,
        )  # fmt: skip
        if base == oid:
            return with_length(state, expression, typmod, form)
        source = base
    if isinstance(expression, Collate) and not state.type(oid).collatable:
        expression = expression.argument
    converted = _convert(state, expression, source, oid, form)
    if converted is None:
        return None
    return with_length(state, converted, typmod, form)


def _to_domain(
    state: BindState, expression: Expr, kind: SqlType, form: CastForm, position: int
) -> Expr | None:
    """`expression` as the domain's base type, then checked: NULL too."""
    if isinstance(expression, Param) and expression.type == UNKNOWN:
        return state.decide_parameter(expression.number, kind.oid, position)
    found = coerce(state, expression, base_of(kind).oid, kind.typmod, form, position)
    if found is None:
        return None
    return Cast(
        found, CastMethod.DOMAIN, kind.oid, -1, _kept_collation(state, found, kind.oid), form
    )


def _to_composite(
    state: BindState, expression: Expr, kind: SqlType, form: CastForm, position: int
) -> Expr | None:
    """ROW(...) or a subquery's row as a composite type, field by field. 42846."""
    given = _row_parts(expression)
    if given is None:
        return None
    if len(given) != len(kind.fields):
        few = len(given) < len(kind.fields)
        raise SqlError(
            "42846",
            f"cannot cast type record to {state.type_name(kind.oid)}",
            detail="Input has too few columns." if few else "Input has too many columns.",
            position=position,
        )
    fitted: list[Expr] = []
    for number, (each, field) in enumerate(zip(given, kind.fields, strict=True), 1):
        found = coerce(state, each, field.type.oid, field.typmod, form, position)
        if found is None:
            raise SqlError(
                "42846",
                f"cannot cast type record to {state.type_name(kind.oid)}",
                detail=f"Cannot cast type {state.type_name(each.type)} to "
                f"{state.type_name(field.type.oid)} in column {number}.",
                position=position,
            )
        fitted.append(found)
    return RowConstructor(tuple(fitted), tuple(f.name for f in kind.fields), kind.oid)


def _row_parts(expression: Expr) -> list[Expr] | None:
    """The fields of a row whose fields are known; None for any other record."""
    if isinstance(expression, RowConstructor):
        return list(expression.fields)
    if isinstance(expression, WholeRow) and expression.names:
        return [
            FieldSelect(expression, number, name, oid)
            for number, (name, oid) in enumerate(
                zip(expression.names, expression.field_types, strict=True)
            )
        ]
    return None


def _convert(
    state: BindState, expression: Expr, source: int, oid: int, form: CastForm
) -> Expr | None:
    resolver = state.resolver
    collation = _kept_collation(state, expression, oid)
    if source == UNKNOWN:
        # An unknown column (of a subquery whose output nobody typed) goes through its text.
        return Cast(expression, CastMethod.IO, oid, -1, collation, form)
    path = resolver.pathway(source, oid, CONTEXTS[form])
    if path is None:
        if oid == RECORD and (
            isinstance(expression, RowConstructor) or resolver.category(source) == "C"
        ):
            return expression
        if oid == RECORD_ARRAY and resolver.category(resolver.element(source)) == "C":
            return Cast(expression, CastMethod.RELABEL, oid, -1, 0, form)
        return None
    if path == "relabel":
        return Cast(expression, CastMethod.RELABEL, oid, -1, collation, form)
    if path == "io":
        return Cast(expression, CastMethod.IO, oid, -1, collation, form)
    if path == "multirange":
        function = resolver.functions.exact("multirange", (ANYRANGE,))
        assert isinstance(function, SqlFunction)
        return Call(function, (expression,), oid)
    if path == "array":
        inner_source, inner_target = resolver.element(source), resolver.element(oid)
        element = coerce(state, ElementValue(inner_source), inner_target, -1, form)
        return Cast(expression, CastMethod.ARRAY, oid, -1, collation, form, None, element)
    cast = state.types.cast(source, oid)
    return Cast(expression, CastMethod.FUNCTION, oid, -1, collation, form, cast)


def _kept_collation(state: BindState, expression: Expr, oid: int) -> int:
    default = state.collation_of(oid)
    return expression.collation if default and expression.collation else default


def with_length(state: BindState, expression: Expr, typmod: int, form: CastForm) -> Expr:
    """Apply a type modifier (varchar(n), numeric(p,s) ...) unless it holds already."""
    if typmod < 0 or expression.typmod == typmod:
        return expression
    kind = state.type(expression.type)
    if kind.is_domain:
        return expression
    element = kind.element if kind.is_array else 0
    target = state.type(element) if element else kind
    if target.apply_typmod is None:
        return expression
    if element:
        inner = Cast(
            ElementValue(element), CastMethod.LENGTH, element, typmod, expression.collation, form
        )
        return Cast(
            expression,
            CastMethod.ARRAY,
            expression.type,
            typmod,
            expression.collation,
            form,
            None,
            inner,
        )
    return Cast(expression, CastMethod.LENGTH, expression.type, typmod, expression.collation, form)


def settle(state: BindState, expression: Expr) -> Expr:
    """An output whose type nothing decided is text."""
    if expression.type == UNKNOWN:
        settled = coerce(state, expression, TEXT)
        assert settled is not None
        return settled
    if isinstance(expression, RowConstructor) and any(f.type == UNKNOWN for f in expression.fields):
        return replace(expression, fields=tuple(settle(state, f) for f in expression.fields))
    return expression


def explicit_cast(state: BindState, expression: Expr, oid: int, typmod: int, position: int) -> Expr:
    """`CAST(expression AS type)`; 42846 when there is no such cast."""
    found = coerce(state, expression, oid, typmod, CastForm.EXPLICIT, position)
    if found is None:
        raise SqlError(
            "42846",
            f"cannot cast type {state.type_name(expression.type)} to {state.type_name(oid)}",
            position=position,
        )
    if found is expression and not isinstance(expression, Cast) and found.typmod != typmod >= 0:
        return Cast(found, CastMethod.RELABEL, oid, typmod, found.collation, CastForm.EXPLICIT)
    return found


def to_boolean(state: BindState, expression: Expr, clause: str, tree: Node) -> Expr:
    """A predicate; 42804 `argument of WHERE must be type boolean, not type integer`."""
    if expression.type == BOOL:
        return expression
    found = coerce(state, expression, BOOL, position=location(tree))
    if found is None:
        raise SqlError(
            "42804",
            f"argument of {clause} must be type boolean, not type "
            f"{state.type_name(expression.type)}",
            position=location(tree),
        )
    return found


def to_type(
    state: BindState, expression: Expr, oid: int, what: str, tree: Node, *, returned: bool = False
) -> Expr:
    """An argument of a clause: `argument of LIMIT must be type bigint, not type text`."""
    del returned
    found = coerce(state, expression, oid, form=CastForm.ASSIGNMENT, position=location(tree))
    if found is None:
        raise SqlError(
            "42804",
            f"argument of {what} must be type {state.type_name(oid)}, not type "
            f"{state.type_name(expression.type)}",
            position=location(tree),
        )
    return found


def common_type(
    state: BindState, expressions: Sequence[Expr], context: str, trees: Sequence[Node | int]
) -> int:
    """The type of UNION, CASE ...; 42804 `CASE types integer and text cannot be matched`."""
    types = [expression.type for expression in expressions]
    found = state.resolver.common_type(types)
    if found is not None:
        return found
    chosen = 0
    resolver = state.resolver
    for index, oid in enumerate(types):
        if oid == UNKNOWN:
            continue
        if not chosen:
            chosen = oid
        elif oid != chosen:
            if resolver.category(oid) != resolver.category(chosen):
                at = trees[index] if index < len(trees) else 0
                raise SqlError(
                    "42804",
                    f"{context} types {state.type_name(chosen)} and {state.type_name(oid)} "
                    "cannot be matched",
                    position=at if isinstance(at, int) else location(at),
                )
            merged = resolver.common_type([chosen, oid])
            chosen = merged if merged is not None else chosen
    raise AssertionError("types that do not mix were found to mix")


def to_common(state: BindState, expression: Expr, oid: int, context: str, tree: Node | int) -> Expr:
    """One branch as the common type; 42846 when only its category fits."""
    at = tree if isinstance(tree, int) else location(tree)
    found = coerce(state, expression, oid, position=at)
    if found is None:
        raise SqlError(
            "42846",
            f"{context} could not convert type {state.type_name(expression.type)} to "
            f"{state.type_name(oid)}",
            position=at,
        )
    return found


def common_typmod(expressions: Sequence[Expr], oid: int) -> int:
    """The modifier that all branches share, -1 when they differ."""
    typmods = {e.typmod if e.type == oid else -1 for e in expressions}
    return typmods.pop() if len(typmods) == 1 else -1


def assign(
    state: BindState, expression: Expr, oid: int, typmod: int, column: str, position: int
) -> Expr:
    """A value for a column of a table; 42804 in PostgreSQL's words when it does not fit."""
    found = coerce(state, expression, oid, typmod, CastForm.ASSIGNMENT, position)
    if found is None:
        raise SqlError(
            "42804",
            f'column "{column}" is of type {state.type_name(oid)} but expression is of type '
            f"{state.type_name(expression.type)}",
            hint="You will need to rewrite or cast the expression.",
            position=position,
        )
    return found


def collation_of(state: BindState, arguments: Sequence[Expr], oid: int) -> int:
    """The collation of a result of type `oid` made from `arguments`."""
    default = state.collation_of(oid)
    return (input_collation(arguments) or default) if default else 0


def input_collation(arguments: Sequence[Expr]) -> int:
    """What a function over these arguments compares with: explicit, else any non-default one."""
    chosen = 0
    for argument in arguments:
        collation = argument.collation
        if not collation:
            continue
        if isinstance(argument, Collate):
            _one_explicit(arguments)
            return collation
        if chosen in (0, 100) or (collation != 100 and isinstance(argument, Var)):
            chosen = collation
    return chosen


def _one_explicit(arguments: Sequence[Expr]) -> None:
    """42P21 for two COLLATE clauses that differ."""
    explicit = list(
        dict.fromkeys(each.collation for each in arguments if isinstance(each, Collate))
    )
    if len(explicit) > 1:
        first, second = (COLLATION_NAMES.get(each, "?") for each in explicit[:2])
        raise SqlError(
            "42P21",
            f'collation mismatch between explicit collations "{first}" and "{second}"',
        )


COLLATION_NAMES: Final = {
    100: "default", 950: "C", 951: "POSIX", 12446: "ucs_basic", 12447: "C.UTF-8", 12448: "C.utf8",
}  # fmt: skip


def location(tree: Node) -> int:
    """Where an expression starts, as PostgreSQL's error positions have it."""
    best = tree.position
    for name in ("left", "operand"):
        inner = getattr(tree, name, None)
        if inner is not None:
            start = location(inner)
            if start and (not best or start < best):
                best = start
    operands = getattr(tree, "operands", None)
    if operands:
        start = location(operands[0])
        if start and (not best or start < best):
            best = start
    return best
