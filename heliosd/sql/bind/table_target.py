"""What INSERT, UPDATE and DELETE share: their table, defaults, SET lists, RETURNING."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import (
    Column,
    MaterializedView,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.errors import SqlError
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind.coerce import assign, location, settle
from heliosd.sql.bind.from_items import find_relation, inside_view
from heliosd.sql.bind.part_assign import PartColumn, assign_part, fit_leaf
from heliosd.sql.bind.state import (
    BindState,
    Item,
    Level,
    TableItem,
    TableUse,
    UnknownLiteral,
)
from heliosd.sql.bind.stored import bind_stored
from heliosd.sql.bind.targets import bind_targets
from heliosd.sql.bind.view_target import UpdatableView, ViewItem, open_view, view_columns
from heliosd.sql.bound import (
    And,
    Assignment,
    Call,
    Const,
    Expr,
    Privilege,
    RelColumn,
    RowCheck,
    RowConstructor,
    Select,
    SubLink,
    SubLinkKind,
    SubqueryRel,
    Target,
    Var,
)
from heliosd.sql.bound.walk import output_columns
from heliosd.sql.tree import modify as tree_modify
from heliosd.sql.tree.expressions import RowExpression, SetToDefault
from heliosd.sql.tree.query import SubLink as SubLinkTree
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from heliosd.sql.tree.base import Expression
    from heliosd.sql.tree.query import RangeVar, ResultTarget

REGCLASS: Final = 2205


@dataclass(slots=True)
class Aim:
    """The table that a statement changes, and what it reads of it.

    Behind an automatically updatable view: `view` is it, `below` what it selects from, and `role`
    the one whose privileges on `below` count.
    """

    table: Table
    alias: str
    use: TableUse
    role: int
    verb: str
    view: UpdatableView | None = None
    below: Aim | None = None
    targeted: set[int] = field(default_factory=set)
    """The view's columns that are written to."""


def open_aim(level: Level, tree: RangeVar, verb: str) -> Aim:
    """The table to change; `verb`: `insert into`, `update` or `delete from`."""
    state = level.state
    relation = find_relation(level, tree.name)
    alias = tree.alias.name if tree.alias is not None else relation.name
    if isinstance(relation, View):
        opened, base = open_view(level, relation, verb)
        with inside_view(state, relation):
            below = open_aim(level, base, verb)
        behind = below.use if below.view is None else below.view.use
        behind.front = opened.use
        return Aim(below.table, alias, below.use, state.check_as, verb, opened, below)
    if not isinstance(relation, Table):
        if isinstance(relation, SequenceObject):
            raise SqlError(
                "42809", f'cannot change sequence "{relation.name}"', position=tree.name.position
            )
        raise SqlError("42501", f'permission denied: "{relation.name}" is a system catalog')
    if isinstance(relation, MaterializedView) and state.scope.maintains != relation.oid:
        raise SqlError("42809", f'cannot change materialized view "{relation.name}"')
    use = TableUse(relation, state.check_as, select=False)
    return Aim(relation, alias, use, state.check_as, verb)


def aim_item(level: Level, aim: Aim, number: int) -> Item:
    """The table (or view) under rel `number`, in view and noted as read when it is."""
    level.own_rels.add(number)
    level.state.uses[number] = aim.use
    level.state.origins[number] = aim.table
    return _item(level, aim, number)[0]


def aim_where(
    level: Level, aim: Aim, number: int, where: Expr | None
) -> tuple[tuple[Expr, ...], Expr | None]:
    """(what stands before all others, the rest): the statement's WHERE and those of the views in
    front of the table. Up to the outermost security barrier they come first."""
    shown = _item(level, aim, number)[1]
    guarded = _barrier_depth(aim)
    guard, rest = tuple(shown[:guarded]), shown[guarded:]
    if not rest:
        return guard, where
    if where is None:
        return guard, And(tuple(rest)) if len(rest) > 1 else rest[0]
    return guard, And((*rest, where))


def option_checks(
    level: Level, aim: Aim, number: int, *, cascaded: bool = False
) -> tuple[RowCheck, ...]:
    """WITH CHECK OPTION of the views in front of the table, over the new row: the innermost first.

    LOCAL asks for the view's own condition (and what views below it ask for themselves), CASCADED
    for those of all views below too.
    """
    if aim.view is None or aim.below is None:
        return ()
    view = aim.view.view
    cascaded = cascaded or view.check_option == "cascaded"
    below = option_checks(level, aim.below, number, cascaded=cascaded)
    if not cascaded and not view.check_option:
        return below
    base = _item(level, aim.below, number)[0]
    _, where = view_columns(level, aim.view, base, aim.verb)
    return below if where is None else (*below, RowCheck(where, view=view.name))


def _barrier_depth(aim: Aim) -> int:
    """How many of the views' predicates, the innermost first, stand behind a barrier."""
    depth = count = 0
    views: list[UpdatableView] = []
    each: Aim | None = aim
    while each is not None and each.view is not None:
        views.append(each.view)
        each = each.below
    for opened in reversed(views):
        count += opened.tree.where is not None
        if opened.view.security_barrier:
            depth = count
    return depth


def _item(level: Level, aim: Aim, number: int) -> tuple[Item, list[Expr]]:
    state = level.state
    if aim.view is None or aim.below is None:
        return TableItem(state, number, aim.alias, aim.table, aim.use), []
    base, shown = _item(level, aim.below, number)
    columns, where = view_columns(level, aim.view, base, aim.verb)
    if where is not None:
        shown = [*shown, where]
    return ViewItem(state, number, aim.alias, columns, aim.view.use), shown


def table_role(aim: Aim) -> int:
    """The role whose privileges on the table itself count: 0 for the current one."""
    return aim.role if aim.below is None else table_role(aim.below)


def reads_target(aim: Aim) -> bool:
    """Whether the statement needs SELECT on what it changes; known when all of it is bound."""
    use = aim.use if aim.view is None else aim.view.use
    return use.select or bool(use.columns)


def need(level: Level, aim: Aim, kind: str, columns: Sequence[int] | None) -> None:
    """Note a privilege on table columns; `columns` None: on the whole table.

    A view needs it too, on its own columns, and SELECT on those that were read.
    """
    state = level.state
    view = aim.view
    if view is not None and aim.below is not None:
        own = None if columns is None else tuple(sorted(aim.targeted))
        wanted = Privilege("table", view.view.oid, view.view.name, kind, own, aim.role)
        state.privileges[wanted] = None
        need(level, aim.below, kind, columns)
        # Under a number that no rel has: it is the view's use, not a rel's.
        state.uses[-state.new_rel()] = view.use
        return
    shown = None if columns is None else tuple(sorted(columns))
    wanted = Privilege("table", aim.table.oid, aim.table.name, kind, shown, aim.role)
    state.privileges[wanted] = None


def target_column(level: Level, aim: Aim, name: str, position: int) -> Column:
    """42703 `column "x" of relation "t" does not exist`; 0A000 for a view's computed column."""
    if aim.view is not None:
        return _behind(level, aim, name, position)
    found = aim.table.column_by_name.get(name)
    if found is None:
        raise _no_column(name, aim.table.name, position)
    return found


def _no_column(name: str, relation: str, position: int) -> SqlError:
    return SqlError(
        "42703", f'column "{name}" of relation "{relation}" does not exist', position=position
    )


def _behind(level: Level, aim: Aim, name: str, position: int) -> Column:
    """The table's column behind a view's."""
    assert aim.view is not None
    assert aim.below is not None
    view = aim.view.view
    item = _item(level, aim, 0)[0]
    for index, (each, expression) in enumerate(item.listing()):
        if each != name:
            continue
        if not isinstance(expression, Var) or expression.column < 0:
            raise SqlError(
                "0A000",
                f'cannot {aim.verb} column "{name}" of view "{view.name}"',
                detail="View columns that are not columns of their base relation are not "
                "updatable.",
            )
        aim.targeted.add(index)
        return aim.table.columns[expression.column]
    raise _no_column(name, view.name, position)


def default_of(level: Level, table: Table, column: Column) -> Expr:
    """The column's default as a value of its type; NULL when it has none."""
    state = level.state
    collation = column.collation
    null = Const(None, column.type_oid, column.typmod, collation)
    if column.generated:
        return null
    text = column.default
    if text is None:
        if column.identity:
            return _identity_default(state, table, column)
        if column.type_oid < FIRST_NORMAL_OID or column.dropped:
            return null
        if not state.type(column.type_oid).is_domain:
            return null
        text = domain_default(state, column.type_oid)
    if text is None:
        # A domain may refuse NULL.
        return _assigned(state, UnknownLiteral(None), column, 0)
    expression = bind_stored(level, text, None, -1)
    return _assigned(state, expression, column, 0)


def domain_default(state: BindState, oid: int) -> str | None:
    """The default of a domain, or of the domain that it is over."""
    made = state.catalog.by_oid(oid)
    while isinstance(made, TypeObject) and made.kind == "d":
        if made.default is not None:
            return made.default
        made = state.catalog.by_oid(made.base_type)
    return None


def _assigned(state: BindState, expression: Expr, column: Column, position: int) -> Expr:
    return assign(state, expression, column.type_oid, column.typmod, column.name, position)


def _identity_default(state: BindState, table: Table, column: Column) -> Expr:
    """nextval() of the column's own sequence."""
    for sequence in state.catalog.owned_sequences(table.oid):
        owner = sequence.owned_by
        if owner is not None and owner.attnum == column.attnum and sequence.internal:
            nextval = state.resolver.functions.exact("nextval", (REGCLASS,))
            assert isinstance(nextval, SqlFunction)
            call = Call(nextval, (Const(sequence.oid, REGCLASS),), nextval.result)
            return _assigned(state, call, column, 0)
    raise SqlError("XX000", f'no owned sequence found for column "{column.name}"')


def generated_columns(level: Level, table: Table, number: int) -> tuple[Assignment, ...]:
    """The stored generated columns over the new row, rel `number`."""
    found: list[Assignment] = []
    for column in table.live_columns:
        if column.generated:
            assert column.default is not None
            expression = bind_stored(level, column.default, table, number)
            found.append(
                Assignment(column.attnum - 1, _assigned(level.state, expression, column, 0))
            )
    return tuple(found)


def check_generated(column: Column, position: int = 0) -> None:
    """428C9: a generated column takes DEFAULT only."""
    del position
    if column.generated:
        raise SqlError(
            "428C9",
            f'column "{column.name}" can only be updated to DEFAULT',
            detail=f'Column "{column.name}" is a generated column.',
        )
    if column.identity == "a":
        raise SqlError(
            "428C9",
            f'column "{column.name}" can only be updated to DEFAULT',
            detail=f'Column "{column.name}" is an identity column defined as GENERATED ALWAYS.',
        )


def bind_set_list(
    level: Level, aim: Aim, assignments: Sequence[tree_modify.Assignment]
) -> tuple[Assignment, ...]:
    """SET a = x, (b, c) = (y, z); 42601 when a column is set twice."""
    level.clause = "UPDATE"
    table = aim.table
    bound: list[Assignment] = []
    seen: set[int] = set()
    for item in assignments:
        for target, value, source in _pairs(level, item):
            column = target_column(level, aim, target.name, target.position)
            index = column.attnum - 1
            if target.steps:
                _assign_part(level, column, target, source, bound, value)
                seen.add(index)
                continue
            if index in seen:
                raise SqlError(
                    "42601",
                    f'multiple assignments to same column "{target.name}"',
                )
            seen.add(index)
            if isinstance(source, SetToDefault):
                if not column.generated:
                    bound.append(Assignment(index, default_of(level, table, column)))
                continue
            check_generated(column)
            expression = level.expression(source) if value is None else value
            bound.append(
                Assignment(index, _assigned(level.state, expression, column, location(source)))
            )
    return tuple(bound)


def _assign_part(
    level: Level,
    column: Column,
    target: tree_modify.ColumnTarget,
    source: Expression,
    bound: list[Assignment],
    value: Expr | None,
) -> None:
    """An element, a slice or a field; several of one column build on each other."""
    check_generated(column)
    index = column.attnum - 1
    old: Expr = Var(level.items[0].rel, index, column.type_oid, column.typmod, column.collation)
    for place, each in enumerate(bound):
        if each.column == index:
            old = each.expression
            del bound[place]
            break
    bound.append(Assignment(index, assign_part(level, column, old, target, source, value)))


def _pairs(
    level: Level, item: tree_modify.Assignment
) -> list[tuple[tree_modify.ColumnTarget, Expr | None, Expression]]:
    if not item.multiple:
        return [(item.targets[0], None, item.value)]
    value = item.value
    count = len(item.targets)
    if isinstance(value, RowExpression):
        if len(value.items) != count:
            raise _count_mismatch(item)
        return [
            (target, None, source) for target, source in zip(item.targets, value.items, strict=True)
        ]
    if isinstance(value, SubLinkTree):
        found: list[tuple[tree_modify.ColumnTarget, Expr | None, Expression]] = []
        for index, target in enumerate(item.targets):
            query = level.query(value.query)
            outputs = output_columns(query)
            if len(outputs) != count:
                raise _count_mismatch(item)
            _, oid, typmod, collation = outputs[index]
            number = level.state.new_rel()
            columns = tuple(RelColumn(*each) for each in outputs)
            one = Select(
                (Target(Var(number, index, oid, typmod, collation), "?column?"),),
                (SubqueryRel(number, "subquery", columns, query),),
            )
            found.append((target, SubLink(SubLinkKind.EXPR, one, oid, typmod, collation), value))
        return found
    bound = level.expression(value)
    if isinstance(bound, RowConstructor) and len(bound.fields) == count:
        return [
            (target, field, value) for target, field in zip(item.targets, bound.fields, strict=True)
        ]
    raise SqlError(
        "0A000",
        "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
        position=location(value),
    )


def _count_mismatch(item: tree_modify.Assignment) -> SqlError:
    return SqlError(
        "42601",
        "number of columns does not match number of values",
        position=location(item.value),
    )


def bind_returning(level: Level, targets: Sequence[ResultTarget]) -> tuple[Target, ...]:
    """RETURNING; the level's items show the new row by now."""
    if not targets:
        return ()
    level.clause = "RETURNING"
    return tuple(
        Target(settle(level.state, entry.expression), entry.name)
        for entry in bind_targets(level, targets)
    )


def fit_value(level: Level, expression: Expr, column: Column, position: int) -> Expr:
    """A value of INSERT for a column."""
    if isinstance(column, PartColumn):
        return fit_leaf(level.state, expression, column.leaf, column.name, position)
    return _assigned(level.state, expression, column, position)
