"""Bound tree -> logical plan, as written: no rule has been applied yet."""

from __future__ import annotations

from dataclasses import replace

from heliosd.plan import nodes
from heliosd.plan.columns import expression_rels
from heliosd.plan.expression_facts import is_cheap, is_volatile
from heliosd.plan.nodes import (
    CteScan,
    DeleteRows,
    Distinct,
    Filter,
    FunctionScan,
    Guard,
    InsertRows,
    Join,
    JoinKind,
    Limit,
    LockRows,
    LogicalPlan,
    MergeRows,
    OneRow,
    Plan,
    PlannedCte,
    Project,
    Recursive,
    Scan,
    Sort,
    SubPlan,
    UpdateRows,
    ValuesScan,
    With,
)
from heliosd.plan.stages import Stages, has_sublink
from heliosd.sql.bind.from_items import table_columns
from heliosd.sql.bound import (
    And,
    BoundStatement,
    Const,
    Cte,
    CteRel,
    Delete,
    Expr,
    FromItem,
    FunctionRel,
    Insert,
    JoinRel,
    Merge,
    Or,
    OrderKey,
    Query,
    RowCheck,
    Select,
    SetOperation,
    SortKey,
    SubLink,
    SubqueryRel,
    TableRel,
    Target,
    Update,
    Values,
    ValuesRel,
    Var,
)
from heliosd.sql.bound import JoinKind as BoundJoinKind
from heliosd.sql.bound.walk import outer_vars, output_columns, transform

_JOINS = {
    BoundJoinKind.INNER: JoinKind.INNER,
    BoundJoinKind.LEFT: JoinKind.LEFT,
    BoundJoinKind.RIGHT: JoinKind.RIGHT,
    BoundJoinKind.FULL: JoinKind.FULL,
}


def build_logical(bound: BoundStatement) -> LogicalPlan:
    """The plan of a statement, its subqueries planned inside its expressions."""
    builder = Builder(bound.rels_total)
    statement = bound.statement
    outputs: tuple[Var, ...] = ()
    if isinstance(statement, Merge):
        root: Plan = builder.merge(statement)
    elif isinstance(statement, Insert | Update | Delete):
        root = builder.modification(statement)
        returning = statement.returning
        outputs = tuple(
            Var(-1, i, t.expression.type, t.expression.typmod, t.expression.collation)
            for i, t in enumerate(returning)
        )
    else:
        number = builder.new_rel()
        root = builder.query(statement, number)
        outputs = output_vars(statement, number)
    return LogicalPlan(root, outputs, bound, builder.rels_total)


def output_vars(query: Query, rel: int) -> tuple[Var, ...]:
    """The outputs of a query planned as rel `rel`."""
    return tuple(
        Var(rel, i, oid, typmod, collation)
        for i, (_, oid, typmod, collation) in enumerate(output_columns(query))
    )


def conjuncts(expression: Expr | None) -> tuple[Expr, ...]:
    """A predicate as the tests that must all hold.

    What all alternatives of an OR ask for stands beside it: `(a AND b) OR (a AND c)` is `a AND (b
    OR c)`, so that a join condition that was written in every alternative is one.
    """
    if expression is None:
        return ()
    if isinstance(expression, And):
        return tuple(e for each in expression.arguments for e in conjuncts(each))
    if isinstance(expression, Or):
        return _factored(expression)
    return (expression,)


def _factored(expression: Or) -> tuple[Expr, ...]:
    alternatives = [conjuncts(each) for each in expression.arguments]
    common = tuple(
        e
        for e in alternatives[0]
        if all(e in other for other in alternatives[1:]) and not is_volatile(e)
    )
    if common:
        rests = [tuple(e for e in each if e not in common) for each in alternatives]
        if not all(rests):
            return common
        whole = Or(tuple(_conjunction(rest) for rest in rests))
    else:
        rests, whole = alternatives, expression
    return (*common, whole, *_of_one_rel(rests))


def _conjunction(parts: tuple[Expr, ...]) -> Expr:
    return parts[0] if len(parts) == 1 else And(parts)


def _of_one_rel(alternatives: list[tuple[Expr, ...]]) -> tuple[Expr, ...]:
    """What an OR over several rels says about each alone: every alternative must ask for something.

    `(a.x = 1 AND b.y = 2) OR (a.x = 3 AND b.y = 4)` implies `a.x = 1 OR a.x = 3`, and so for b.
    """
    by_rel: list[dict[int, list[Expr]]] = []
    for parts in alternatives:
        found: dict[int, list[Expr]] = {}
        for part in parts:
            rels = expression_rels(part)
            if len(rels) == 1 and is_cheap(part) and not has_sublink(part):
                found.setdefault(next(iter(rels)), []).append(part)
        by_rel.append(found)
    shared = set(by_rel[0]).intersection(*by_rel[1:])
    everything = {rel for parts in alternatives for e in parts for rel in expression_rels(e)}
    if len(everything) < 2:
        return ()
    return tuple(
        Or(tuple(_conjunction(tuple(found[rel])) for found in by_rel)) for rel in sorted(shared)
    )


class Builder(Stages):
    """Numbers for new rels, and the recursion over queries."""

    def __init__(self, rels_total: int) -> None:
        self.rels_total = rels_total
        self._repeated: dict[SubLink, SubPlan] | None = None
        """While a query that groups by a subquery is built: equal ones become one plan."""

    # -- expressions -------------------------------------------------------------------------

    def expression(self, expression: Expr) -> Expr:
        """The expression with its subqueries planned."""
        if not has_sublink(expression):
            return expression
        return transform(expression, self._planned)

    def _planned(self, node: Expr) -> Expr | None:
        if not isinstance(node, SubLink):
            return None
        if self._repeated is None:
            return self._new_subplan(node)
        known = self._repeated.get(node)
        if known is None:
            known = self._repeated[node] = self._new_subplan(node)
        return known

    def _new_subplan(self, node: SubLink) -> SubPlan:
        number = node.rel if node.rel >= 0 else self.new_rel()
        plan = self.query(node.query, number)
        return SubPlan(
            node.kind,
            plan,
            output_vars(node.query, number),
            outer_vars(node.query),
            node.type,
            node.typmod,
            node.collation,
            None if node.test is None else self.expression(node.test),
            number,
        )

    def conjuncts(self, expression: Expr | None) -> tuple[Expr, ...]:
        return conjuncts(expression)

    # -- queries -----------------------------------------------------------------------------

    def query(self, query: Query, rel: int) -> Plan:
        """A plan that gives the query's visible outputs as `Var(rel, i)`."""
        if isinstance(query, Select):
            plan = self._select(query, rel)
        elif isinstance(query, SetOperation):
            plan = self._ordered(self._set_operation(query, rel), query, rel)
        else:
            plan = self._ordered(self._values(query, rel), query, rel)
        return self.with_ctes(plan, query.ctes) if query.ctes else plan

    def with_ctes(self, plan: Plan, ctes: tuple[Cte, ...]) -> Plan:
        return With(plan, tuple([self._cte(cte) for cte in ctes]))

    def _cte(self, cte: Cte) -> PlannedCte:
        query = cte.query
        if isinstance(query, Insert | Update | Delete):
            outputs = tuple(
                Var(-1, i, t.expression.type, t.expression.typmod, t.expression.collation)
                for i, t in enumerate(query.returning)
            )
            return PlannedCte(cte.number, cte.name, self.modification(query), outputs, True)
        number = self.new_rel()
        # Read twice it is kept even if NOT MATERIALIZED: rels of one number must not be copied.
        may_inline = cte.materialized is not True and cte.references == 1
        if not cte.recursive:
            plan = self.query(query, number)
            outputs = output_vars(query, number)
            return PlannedCte(cte.number, cte.name, plan, outputs, False, may_inline)
        assert isinstance(query, SetOperation)
        outputs = output_vars(query, number)
        left, right = self.new_rel(), self.new_rel()
        plan = Recursive(
            cte.number,
            number,
            query.all,
            self.query(query.left, left),
            self.query(query.right, right),
            outputs,
        )
        if query.ctes:
            plan = self.with_ctes(plan, query.ctes)
        # Inlined, a recursive query stops when its reader has enough (LIMIT).
        return PlannedCte(cte.number, cte.name, plan, outputs, False, may_inline)

    def _set_operation(self, query: SetOperation, rel: int) -> Plan:
        left, right = self.new_rel(), self.new_rel()
        return nodes.SetOperation(
            query.kind,
            query.all,
            self.query(query.left, left),
            self.query(query.right, right),
            rel,
            output_vars(query, rel),
        )

    def _values(self, query: Values, rel: int) -> Plan:
        return ValuesScan(self._values_rel(ValuesRel(rel, "*VALUES*", query.columns, query.rows)))

    def _values_rel(self, rel: ValuesRel) -> ValuesRel:
        if all(type(cell) is Const for row in rel.rows for cell in row):
            return replace(rel, constant=True)
        return replace(rel, rows=tuple([self.expressions(row) for row in rel.rows]))

    def _ordered(self, plan: Plan, query: SetOperation | Values, rel: int) -> Plan:
        """ORDER BY and LIMIT over outputs only."""
        outputs = output_vars(query, rel)
        keys = tuple(_sort_key(key, outputs[key.target]) for key in query.order_by)
        return self._limited(Sort(plan, keys) if keys else plan, query, keys)

    def _limited(self, plan: Plan, query: Query, keys: tuple[SortKey, ...]) -> Plan:
        if query.limit is None and query.offset is None:
            return plan
        return Limit(
            plan,
            None if query.limit is None else self.expression(query.limit),
            None if query.offset is None else self.expression(query.offset),
            keys if query.with_ties else (),
        )

    def _select(self, query: Select, rel: int) -> Plan:
        kept = self._repeated
        groups_by_query = any(has_sublink(key) for key in query.group_by)
        self._repeated = {} if groups_by_query else None
        try:
            return self._select_plan(query, rel)
        finally:
            self._repeated = kept

    def _select_plan(self, query: Select, rel: int) -> Plan:
        plan = self._from(query.from_items)
        where = conjuncts(query.where)
        if where:
            plan = Filter(plan, self.expressions(where))
        targets = [self.expression(target.expression) for target in query.targets]
        if query.aggregated:
            plan, targets, windows = self.aggregated(plan, query, targets)
        else:
            windows = query.windows
        if windows:
            plan, targets = self.windowed(plan, windows, targets)
        if query.has_set_returning:
            plan, targets = self.expanded(plan, targets)
        return self._finished(plan, query, rel, targets)

    def _finished(self, plan: Plan, query: Select, rel: int, targets: list[Expr]) -> Plan:
        """DISTINCT, ORDER BY, row locks, LIMIT and the visible outputs."""
        names = tuple(t.name for t in query.targets if not t.junk)
        visible = [e for e, t in zip(targets, query.targets, strict=True) if not t.junk]
        if query.distinct_on is None:
            keys = tuple(_sort_key(key, targets[key.target]) for key in query.order_by)
            if keys:
                plan = Sort(plan, keys)
            if query.locks:
                plan = LockRows(plan, query.locks)
            plan = self._limited(plan, query, keys)
            return Project(plan, rel, tuple(visible), names)
        every = self.new_rel() if len(visible) < len(targets) else rel
        plan = Project(plan, every, tuple(targets), tuple(t.name for t in query.targets))
        outputs = [Var(every, i, e.type, e.typmod, e.collation) for i, e in enumerate(targets)]
        keys = tuple(_sort_key(key, outputs[key.target]) for key in query.order_by)
        distinct = tuple(outputs[i] for i in query.distinct_on)
        if query.distinct:
            plan = Distinct(plan, distinct)
            plan = Sort(plan, keys) if keys else plan
        else:
            # DISTINCT ON keeps the first row of each group in ORDER BY's order.
            plan = Distinct(Sort(plan, keys) if keys else plan, distinct)
        plan = self._limited(plan, query, keys)
        if every != rel:
            shown = tuple(v for v, t in zip(outputs, query.targets, strict=True) if not t.junk)
            plan = Project(plan, rel, shown, names)
        return plan

    # -- FROM --------------------------------------------------------------------------------

    def _from(self, items: tuple[FromItem, ...]) -> Plan:
        if not items:
            return OneRow()
        plan = self._from_item(items[0])
        for item in items[1:]:
            right = self._from_item(item)
            plan = Join(JoinKind.INNER, plan, right, lateral=_is_lateral(item))
        return plan

    def _from_item(self, item: FromItem) -> Plan:
        match item:
            case TableRel():
                if item.sample is not None:
                    sample = item.sample
                    item = replace(
                        item,
                        sample=replace(
                            sample,
                            percent=self.expression(sample.percent),
                            repeatable=None
                            if sample.repeatable is None
                            else self.expression(sample.repeatable),
                        ),
                    )
                if item.guard:
                    guard = self.expressions(item.guard)
                    return Guard(Scan(replace(item, guard=())), guard)
                return Scan(item)
            case SubqueryRel():
                return self._subquery(item)
            case FunctionRel():
                return FunctionScan(replace(item, functions=self.expressions(item.functions)))
            case ValuesRel():
                return ValuesScan(self._values_rel(item))
            case CteRel():
                return CteScan(item)
            case JoinRel():
                return Join(
                    _JOINS[item.kind],
                    self._from_item(item.left),
                    self._from_item(item.right),
                    (),
                    self.expressions(conjuncts(item.condition)),
                    _is_lateral(item.right),
                )
        raise AssertionError(item)

    def _subquery(self, item: SubqueryRel) -> Plan:
        if not item.barrier:
            return self.query(item.query, item.rel)
        inner = self.new_rel()
        plan = self.query(item.query, inner)
        names = tuple(column.name for column in item.columns)
        return Project(plan, item.rel, output_vars(item.query, inner), names, True)

    # -- data modification -------------------------------------------------------------------

    def modification(self, statement: Insert | Update | Delete) -> Plan:
        if isinstance(statement, Insert):
            plan: Plan = self._insert(statement)
        elif isinstance(statement, Update):
            plan = UpdateRows(
                statement,
                self._old_rows(statement, statement.from_items),
                tuple(
                    replace(a, expression=self.expression(a.expression))
                    for a in statement.assignments
                ),
                self._returning(statement.returning),
                self._checks(statement.checks),
            )
        else:
            plan = DeleteRows(
                statement,
                self._old_rows(statement, statement.using),
                self._returning(statement.returning),
            )
        return self.with_ctes(plan, statement.ctes) if statement.ctes else plan

    def merge(self, statement: Merge) -> Plan:
        """The source's rows with the target's: all of them where NOT MATCHED may act."""
        table = statement.table
        columns = table_columns(table)
        target: Plan = Scan(TableRel(statement.rel, statement.alias, columns, table))
        guard = self.expressions(statement.guard)
        if guard:
            target = Guard(target, guard)
        outer = any(not when.matched for when in statement.whens)
        condition = self.expressions(conjuncts(statement.condition))
        source = self._from((statement.source,))
        plan: Plan = Join(
            JoinKind.LEFT if outer else JoinKind.INNER, source, target, predicates=condition
        )
        whens = tuple(
            replace(
                when,
                condition=None if when.condition is None else self.expression(when.condition),
                assignments=tuple(
                    replace(a, expression=self.expression(a.expression)) for a in when.assignments
                ),
                row=self.expressions(when.row),
                target_checks=self._checks(when.target_checks),
                checks=self._checks(when.checks),
            )
            for when in statement.whens
        )
        plan = MergeRows(statement, plan, whens, (*guard, *condition))
        return self.with_ctes(plan, statement.ctes) if statement.ctes else plan

    def _insert(self, statement: Insert) -> Plan:
        source: Plan = OneRow()
        if statement.source is not None:
            source = self.query(statement.source, statement.source_rel)
        conflict = statement.on_conflict
        if conflict is not None and conflict.assignments is not None:
            conflict = replace(
                conflict,
                assignments=tuple(
                    replace(a, expression=self.expression(a.expression))
                    for a in conflict.assignments
                ),
                where=None if conflict.where is None else self.expression(conflict.where),
                existing_checks=self._checks(conflict.existing_checks),
                checks=self._checks(conflict.checks),
            )
        return InsertRows(
            statement,
            source,
            self.expressions(statement.row),
            self._returning(statement.returning),
            conflict,
            self._checks(statement.checks),
        )

    def _checks(self, checks: tuple[RowCheck, ...]) -> tuple[RowCheck, ...]:
        return tuple(replace(c, expression=self.expression(c.expression)) for c in checks)

    def _old_rows(self, statement: Update | Delete, others: tuple[FromItem, ...]) -> Plan:
        table = statement.table
        columns = table_columns(table)
        plan: Plan = Scan(TableRel(statement.rel, statement.alias, columns, table))
        if statement.guard:
            plan = Guard(plan, self.expressions(statement.guard))
        if others:
            plan = Join(JoinKind.INNER, plan, self._from(others))
        where = self.expressions(conjuncts(statement.where))
        return Filter(plan, where) if where else plan

    def _returning(self, targets: tuple[Target, ...]) -> tuple[Expr, ...]:
        return self.expressions(tuple(target.expression for target in targets))


def _sort_key(key: OrderKey, expression: Expr) -> SortKey:
    return SortKey(expression, key.descending, key.nulls_first, key.operator)


def _is_lateral(item: FromItem) -> bool:
    if isinstance(item, SubqueryRel | FunctionRel | ValuesRel):
        return item.lateral
    if isinstance(item, JoinRel):
        return _is_lateral(item.left) or _is_lateral(item.right)
    return False
