"""ON CONFLICT: which unique indexes decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.errors import SqlError
from heliosd.sql.bind.coerce import to_boolean
from heliosd.sql.bind.state import Level
from heliosd.sql.bind.stored import bind_stored
from heliosd.sql.bind.table_target import Aim, target_column
from heliosd.sql.bound import And, Expr, Var

if TYPE_CHECKING:
    from heliosd.catalog.objects import Index
    from heliosd.sql.tree import modify as tree_modify


def arbiter_indexes(
    level: Level, aim: Aim, tree: tree_modify.OnConflict, rel: int
) -> tuple[int, ...]:
    """Oids of the unique indexes that the conflict target names; 42P10 when there is none."""
    target = tree.target
    if target is None:
        if tree.update:
            raise SqlError(
                "42601",
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                hint="For example, ON CONFLICT (column_name).",
                position=tree.position,
            )
        return ()
    table = aim.table
    if target.constraint is not None:
        constraint = table.constraint_by_name(target.constraint)
        if constraint is None:
            raise SqlError(
                "42704",
                f'constraint "{target.constraint}" for table "{table.name}" does not exist',
            )
        if constraint.kind not in "pu":
            raise SqlError("42809", "constraint in ON CONFLICT clause has no associated index")
        aim.use.columns.update(attnum - 1 for attnum in constraint.columns)
        return (constraint.index,)
    wanted: set[Expr] = set()
    level.clause = "ON CONFLICT"
    for element in target.elements:
        if element.name is not None:
            column = target_column(level, aim, element.name, element.position)
            # Whether a conflict is found tells of the rows that are there (CVE-2017-15099).
            aim.use.columns.add(column.attnum - 1)
            wanted.add(
                Var(rel, column.attnum - 1, column.type_oid, column.typmod, column.collation)
            )
        elif element.expression is not None:
            wanted.add(level.expression(element.expression))
    where: frozenset[Expr] = frozenset()
    if target.where is not None:
        bound = level.expression(target.where)
        where = _conjuncts(to_boolean(level.state, bound, "WHERE", target.where))
    found = tuple(
        index.oid
        for index in table.indexes
        if index.unique and _keys(level, aim, index, rel) == wanted
        and _implied(level, aim, index, rel, where)
    )  # fmt: skip
    if not found:
        raise SqlError(
            "42P10",
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        )
    return found


def _keys(level: Level, aim: Aim, index: Index, rel: int) -> set[Expr]:
    found: set[Expr] = set()
    for key in index.keys:
        if key.expression is not None:
            found.add(bind_stored(level, key.expression, aim.table, rel))
        else:
            column = aim.table.column(key.attnum)
            found.add(Var(rel, column.attnum - 1, column.type_oid, column.typmod, column.collation))
    return found


def _implied(level: Level, aim: Aim, index: Index, rel: int, where: frozenset[Expr]) -> bool:
    """A partial index serves when its predicate's conjuncts all stand in WHERE."""
    if index.predicate is None:
        return True
    return _conjuncts(bind_stored(level, index.predicate, aim.table, rel)) <= where


def _conjuncts(expression: Expr) -> frozenset[Expr]:
    if isinstance(expression, And):
        return frozenset(e for each in expression.arguments for e in _conjuncts(each))
    return frozenset((expression,))
