"""A bound statement becomes a `Program`: plan, choose, compile.

What a program was made from is in its `dependencies`: it is good as long as those objects have the
same versions. Row counts and statistics only steer the choice; a plan stays right without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Table
from heliosd.errors import SqlError, not_supported
from heliosd.execute.column_plan import column_forms
from heliosd.execute.compile import compile_row_program
from heliosd.execute.dml.foreign_keys import ParentCheck, ReferencedAction
from heliosd.execute.dml.violations import TableWords
from heliosd.execute.program import Program, ResultColumn, StatementKind
from heliosd.plan.choose import choose_plan
from heliosd.plan.logical import build_logical
from heliosd.plan.physical import Filter, GivenRows, InsertRows, Project, Result, ValuesScan
from heliosd.plan.rules import optimize
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bind.stored import bind_stored_expression
from heliosd.sql.bound import Delete, Insert, Merge, Param, Update, Var
from heliosd.sql.bound.walk import substitute
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree.base import QualifiedName
from heliosd.sql.tree.expressions import ColumnRef, ParameterRef
from heliosd.sql.tree.modify import ColumnTarget, Overriding
from heliosd.sql.tree.modify import Insert as InsertTree
from heliosd.sql.tree.query import Alias, RangeSubselect, RangeVar, ResultTarget, Select
from heliosd.sql.tree.query import Values as ValuesTree

if TYPE_CHECKING:
    from heliosd.catalog.objects import ColumnStatistics
    from heliosd.execute.context import ExecutionContext
    from heliosd.plan.physical import PhysicalNode
    from heliosd.sql.bind.state import BindScope
    from heliosd.sql.bound import BoundStatement, Expr
    from heliosd.sql.tree.base import Expression, Statement
    from heliosd.sql.tree.query import Query
    from heliosd.types.registry import SqlType, TypeRegistry

RowCount = Callable[[int], int]
"""Rows in a storage tree at the newest root."""

GUESSED_ROWS = 1000
"""A table's rows where nobody can say."""


class PlanServices:
    """What planning and compiling ask of the session's surroundings (PlannerServices, Types)."""

    def __init__(self, scope: BindScope, row_count: RowCount | None) -> None:
        self.scope = scope
        self.catalog = scope.catalog
        self.registry: TypeRegistry = scope.resolver.types
        self._row_count = row_count
        self.columns = column_forms(scope.context.setting("helios.column_programs"))
        self._stored: dict[tuple[int, str, int], Expr] = {}
        self.more_dependencies: dict[int, int] = {}

    # Types.

    def type(self, oid: int) -> SqlType:
        found = self.registry.by_oid.get(oid)
        if found is None:
            raise not_supported(f"type with OID {oid}")
        return found

    # Planning.

    def row_count(self, table: Table) -> int:
        return GUESSED_ROWS if self._row_count is None else self._row_count(table.tree_id)

    def statistics(self, table: Table) -> Sequence[ColumnStatistics]:
        found = self.catalog.statistics(table.oid)
        return () if found is None else found.columns

    def stored_expression(self, table: Table, text: str, rel: int) -> Expr:
        key = (table.oid, text, rel)
        known = self._stored.get(key)
        if known is None:
            known = bind_stored_expression(text, table, rel, self.scope)
            self._stored[key] = known
        return known

    # Compiling.

    def schema_name(self, table: Table) -> str:
        return self.catalog.schema_name(table.schema)

    def parent_checks(self, table: Table) -> list[ParentCheck]:
        """The foreign keys of a table."""
        found: list[ParentCheck] = []
        words = TableWords(table, self.schema_name(table), self)
        for constraint in table.foreign_keys:
            parent = self.catalog.table(constraint.referenced_table)
            index = parent.index_by_oid(constraint.index)
            assert index is not None, constraint.name
            self.more_dependencies[parent.oid] = parent.version
            found.append(ParentCheck(constraint, words, parent, index, self))
        return found

    def referenced_actions(self, table: Table) -> list[ReferencedAction]:
        """The foreign keys onto a table, in the order in which they were made."""
        found: list[ReferencedAction] = []
        words = TableWords(table, self.schema_name(table), self)
        for oid in table.referenced_by:
            child = self.catalog.of_kind(Table, oid)
            if child is None:
                continue
            self.more_dependencies[child.oid] = child.version
            for constraint in child.foreign_keys:
                if constraint.referenced_table != table.oid:
                    continue
                index = table.index_by_oid(constraint.index)
                assert index is not None, constraint.name
                schema = self.schema_name(child)
                found.append(
                    ReferencedAction(constraint, words, child, schema, index, self, prepare_action)
                )
        return sorted(found, key=lambda action: action.constraint.oid)


def prepare_bound(
    bound: BoundStatement,
    scope: BindScope,
    row_count: RowCount | None = None,
    statement: Statement | None = None,
) -> Program:
    """Plan and compile a bound statement; 55000 when it reads what holds nothing yet."""
    for name in bound.unpopulated:
        raise SqlError(
            "55000",
            f'materialized view "{name}" has not been populated',
            hint="Use the REFRESH MATERIALIZED VIEW command.",
        )
    services = PlanServices(scope, row_count)
    try:
        chosen, outputs = plan_bound(bound, services)
        compiled = compile_row_program(chosen, outputs, services, services)
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None
    inner = bound.statement
    columns = tuple(
        ResultColumn(c.name, c.type, c.typmod, c.table, c.column) for c in bound.columns
    )
    modifies = isinstance(inner, Insert | Update | Delete | Merge)
    is_local = modifies and inner.table.persistence == "t"  # type: ignore[union-attr]
    dependencies = {
        **dict(bound.dependencies),
        **services.more_dependencies,
        **scope.catalog.made_types.watched,
    }
    tag = type(inner).__name__.upper() if modifies else "SELECT"
    return Program(
        kind=StatementKind.MODIFY if modifies else StatementKind.SELECT,
        tag=tag,
        columns=(columns or None) if modifies else columns,
        parameter_types=bound.parameter_types,
        dependencies=tuple(dependencies.items()),
        rows=compiled.rows,
        point=compiled.point,
        modify=compiled.modify,
        point_modify=compiled.point_modify,
        locks_rows=modifies or compiled.locks_rows,
        writes=(modifies and not is_local) or compiled.writes,
        statement=statement,
        sources=(compiled.source,),
        plan=chosen,
        privileges=bound.privileges,
    )


def prepare_action(ctx: ExecutionContext, text: str, types: tuple[int, ...]) -> Program:
    """The program of what a foreign key entails."""
    services = ctx.services
    scope = services.bind_scope(types)
    (statement,) = parse_statements(text)
    with scope.catalog.made_types.watching():
        return prepare_bound(bind_statement(statement, scope), scope, services.storage.row_count)


def plan_bound(
    bound: BoundStatement, services: PlanServices
) -> tuple[PhysicalNode, tuple[Var, ...]]:
    """The physical plan of a bound statement, and the columns that it gives."""
    plan = optimize(build_logical(bound))
    return choose_plan(plan, services), plan.outputs


def prepare_rows_insert(
    table: Table,
    columns: Sequence[str],
    scope: BindScope,
    row_count: RowCount | None = None,
    where: Expression | None = None,
) -> Program:
    """INSERT of rows that the caller has: `modify(ctx, (rows,))`, a tuple per row in `columns`.

    Values are SQL values of the columns' types. The other columns get their defaults; constraints,
    indexes and foreign keys are looked after as in any INSERT. COPY FROM goes this way. Rows for
    which `where` (over `columns`, as the table's) is not true are left out.
    """
    numbers = {c.name: c for c in table.live_columns}
    types = tuple(numbers[name].type_oid for name in columns)
    name = QualifiedName(0, (scope.catalog.schema_name(table.schema), table.name))
    parameters = tuple(ParameterRef(0, i + 1) for i in range(len(columns)))
    values: Query = ValuesTree(0, (parameters,))
    if where is not None:
        source = RangeSubselect(0, values, Alias(0, table.name, tuple(columns)))
        targets = tuple(ResultTarget(0, ColumnRef(0, (column,))) for column in columns)
        values = Select(0, targets, (source,), where)
    statement = InsertTree(
        0,
        RangeVar(0, name),
        tuple(ColumnTarget(0, column) for column in columns),
        values,
        overriding=Overriding.SYSTEM,
    )
    bound = bind_statement(statement, replace(scope, parameter_types=types))
    services = PlanServices(scope, row_count)
    chosen, _ = plan_bound(bound, services)
    assert isinstance(chosen, InsertRows)
    given = given_rows(chosen, len(columns), bound.rels_total + 1000)
    compiled = compile_row_program(given, (), services, services)
    dependencies = {
        **dict(bound.dependencies),
        **services.more_dependencies,
        **scope.catalog.made_types.watched,
    }
    return Program(
        kind=StatementKind.MODIFY,
        tag="INSERT",
        columns=None,
        parameter_types=types,
        dependencies=tuple(dependencies.items()),
        modify=compiled.modify,
        locks_rows=True,
        writes=True,
        privileges=bound.privileges,
        sources=(compiled.source,),
        plan=given,
    )


def given_rows(node: InsertRows, width: int, rel: int) -> InsertRows:
    """The same insert with the caller's rows in the place of its parameters."""

    def visit(item: Expr) -> Expr | None:
        if isinstance(item, Param):
            return Var(rel, item.number - 1, item.type, item.typmod, item.collation)
        return None

    def over(source: PhysicalNode) -> PhysicalNode:
        if isinstance(source, Project):
            expressions = tuple(substitute(e, visit) for e in source.expressions)
            return replace(source, input=over(source.input), expressions=expressions)
        if isinstance(source, Filter):
            predicates = tuple(substitute(e, visit) for e in source.predicates)
            return Filter(over(source.input), predicates)
        if isinstance(source, ValuesScan):
            (row,) = source.rel.rows
            expressions = tuple(substitute(e, visit) for e in row)
            given = Project(GivenRows(rel, width), source.rel.rel, expressions)
            return Filter(given, source.predicates) if source.predicates else given
        assert isinstance(source, Result), source
        return GivenRows(rel, width)

    row = tuple(substitute(e, visit) for e in node.row)
    return replace(node, source=over(node.source), row=row)
