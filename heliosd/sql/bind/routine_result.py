"""What a routine's last statement gives becomes what the routine returns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import coerce, settle
from heliosd.sql.bound import (
    CastForm,
    Delete,
    Expr,
    Insert,
    RelColumn,
    RowConstructor,
    Select,
    SubqueryRel,
    Target,
    Update,
    Var,
)
from heliosd.sql.bound.walk import output_columns

if TYPE_CHECKING:
    from heliosd.sql.bind.state import BindState

VOID: Final = 2278
RECORD: Final = 2249


@dataclass(frozen=True, slots=True)
class RoutineResult:
    """What a routine is declared to return: `type`, and the columns of a row if it is one.

    `columns` () with type RECORD: any row, whose columns the call declares.
    """

    type: int
    columns: tuple[tuple[str, int], ...] = ()
    is_row: bool = False


def fit_result(state: BindState, bound: Any, wanted: RoutineResult) -> Any:
    """The statement with one output: the routine's value. 42P13 when it cannot be that.

    A statement of a routine that returns nothing is left alone.
    """
    if wanted.type == VOID:
        return bound
    outputs = _outputs(bound)
    if not outputs:
        raise _mismatch(
            state,
            wanted,
            "Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.",
        )
    if not wanted.is_row:
        if len(outputs) != 1:
            raise _mismatch(state, wanted, "Final statement must return exactly one column.")
        return _over(state, bound, outputs, lambda columns: _scalar(state, columns[0], wanted))
    if len(outputs) == 1 and wanted.type != RECORD and outputs[0][1] == wanted.type:
        return _over(state, bound, outputs, lambda columns: columns[0])
    return _over(state, bound, outputs, lambda columns: _row(state, columns, outputs, wanted))


def _outputs(bound: Any) -> tuple[tuple[str, int, int, int], ...]:
    if isinstance(bound, Insert | Update | Delete):
        return tuple(
            (t.name, t.expression.type, t.expression.typmod, t.expression.collation)
            for t in bound.returning
        )
    return output_columns(bound)


def _over(state: BindState, bound: Any, outputs: Any, make: Any) -> Any:
    """The statement with `make(its columns)` as its only output."""
    if isinstance(bound, Insert | Update | Delete):
        value = make([target.expression for target in bound.returning])
        return replace(bound, returning=(Target(value, "result"),))
    if isinstance(bound, Select) and not bound.order_by and bound.distinct_on is None:
        value = make([t.expression for t in bound.targets if not t.junk])
        if not bound.has_set_returning or isinstance(value, type(bound.targets[0].expression)):
            return replace(bound, targets=(Target(value, "result"),))
    rel = state.new_rel()
    columns = tuple(RelColumn(*each) for each in outputs)
    variables: list[Expr] = [
        Var(rel, i, oid, typmod, collation) for i, (_, oid, typmod, collation) in enumerate(outputs)
    ]
    state.levels_total += 1
    return Select(
        (Target(make(variables), "result"),),
        (SubqueryRel(rel, "result", columns, bound),),
        level=state.levels_total,
    )


def _scalar(state: BindState, value: Expr, wanted: RoutineResult) -> Expr:
    found = coerce(state, settle(state, value), wanted.type, -1, CastForm.ASSIGNMENT)
    if found is None:
        raise _mismatch(state, wanted, f"Actual return type is {state.type_name(value.type)}.")
    return found


def _row(state: BindState, values: list[Expr], outputs: Any, wanted: RoutineResult) -> Expr:
    columns = wanted.columns
    if not columns and wanted.type == RECORD:
        names = tuple(name for name, *_ in outputs)
        return RowConstructor(tuple(settle(state, v) for v in values), names, RECORD)
    fields: list[Expr] = []
    for number, (_name, oid) in enumerate(columns, 1):
        if number > len(values):
            raise _mismatch(state, wanted, "Final statement returns too few columns.")
        value = values[number - 1]
        found = coerce(state, settle(state, value), oid, -1, CastForm.ASSIGNMENT)
        if found is None:
            detail = (
                f"Final statement returns {state.type_name(value.type)} instead of "
                f"{state.type_name(oid)} at column {number}."
            )
            raise _mismatch(state, wanted, detail)
        fields.append(found)
    if len(values) > len(columns):
        raise _mismatch(state, wanted, "Final statement returns too many columns.")
    row = RowConstructor(tuple(fields), tuple(name for name, _ in columns), RECORD)
    if wanted.type == RECORD:
        return row
    found = coerce(state, row, wanted.type, -1, CastForm.EXPLICIT)
    assert found is not None, wanted
    return found


def _mismatch(state: BindState, wanted: RoutineResult, detail: str) -> SqlError:
    return SqlError(
        "42P13",
        f"return type mismatch in function declared to return {state.type_name(wanted.type)}",
        detail=detail,
    )
