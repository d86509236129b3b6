"""FROM: tables, views, subqueries, functions, VALUES and WITH names become rels."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import (
    PG_CATALOG_OID,
    ColumnedRelation,
    IndexRelation,
    MaterializedView,
    SystemView,
    View,
)
from heliosd.errors import SqlError, not_supported
from heliosd.functions.registry import SqlFunction
from heliosd.sql.bind.coerce import coerce, location
from heliosd.sql.bind.joins import bind_join
from heliosd.sql.bind.routines import with_columns
from heliosd.sql.bind.state import (
    BindState,
    ColumnsItem,
    CteEntry,
    Item,
    Level,
    TableItem,
    TableUse,
)
from heliosd.sql.bind.typenames import resolve_type
from heliosd.sql.bound import (
    Call,
    CteRel,
    Expr,
    FromItem,
    FunctionRel,
    RelColumn,
    Sample,
    SetReturningCall,
    SubqueryRel,
    TableRel,
    Values,
    ValuesRel,
    Var,
)
from heliosd.sql.bound.walk import outer_vars, output_columns, rels_used
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree import query as tree_query
from heliosd.sql.tree.base import Expression
from heliosd.sql.tree.expressions import FunctionCall
from heliosd.types.domain import base_of
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from heliosd.sql.tree.base import QualifiedName
    from heliosd.sql.tree.query import Alias

RECORD: Final = 2249


def bind_from(level: Level, items: Sequence[tree_query.FromItem]) -> tuple[FromItem, ...]:
    """The FROM clause; its names are in view of the level afterwards."""
    level.clause = "FROM"
    bound: list[FromItem] = []
    if len(items) == 1 and not level.items and type(items[0]) is tree_query.RangeVar:
        # The common case has nothing to its left.
        rel, names = bind_from_item(level, items[0])
        level.items = names
        return (rel,)
    for tree in items:
        item, names = bind_from_item(level, tree)
        check_names(level.items, names)
        for name in names:
            name.lateral_only = True
            name.lateral_ok = True
        level.items.extend(names)
        bound.append(item)
    for name in level.items:
        name.lateral_only = False
    return tuple(bound)


def check_names(known: list[Item], new: list[Item]) -> None:
    """42712 when two entries have one name."""
    for item in new:
        if not item.alias or not item.qualified:
            continue
        for other in known:
            if other.qualified and other.alias == item.alias:
                if item.schema and other.schema and item.schema != other.schema:
                    continue
                raise SqlError("42712", f'table name "{item.alias}" specified more than once')


def bind_from_item(level: Level, tree: tree_query.FromItem) -> tuple[FromItem, list[Item]]:
    match tree:
        case tree_query.RangeVar():
            rel, item = bind_range_var(level, tree)
            return rel, [item]
        case tree_query.JoinItem():
            return bind_join(level, tree, bind_from_item, check_names)
        case tree_query.RangeSubselect():
            sub, item = _bind_subselect(level, tree)
            return sub, [item]
        case tree_query.RangeFunction():
            function, item = _bind_function(level, tree)
            return function, [item]
        case tree_query.RangeTableSample():
            rel, item = bind_range_var(level, tree.relation)
            if not isinstance(rel, TableRel) or isinstance(rel.table, SystemView):
                raise SqlError(
                    "42809",
                    "TABLESAMPLE clause can only be applied to tables and materialized views",
                    position=tree.position,
                )
            return replace(rel, sample=_bind_sample(level, tree)), [item]
    raise not_supported("XMLTABLE", position=tree.position)


# Named relations ---------------------------------------------------------------------------------


def bind_range_var(level: Level, tree: tree_query.RangeVar) -> tuple[FromItem, Item]:
    name = tree.name
    if name.schema is None:
        entry = level.find_cte(name.name)
        if entry is not None:
            return _bind_cte_reference(level, tree, entry)
    relation = find_relation(level, name)
    alias = tree.alias.name if tree.alias is not None else name.name
    if isinstance(relation, View):
        return _bind_view(level, tree, relation, alias)
    if isinstance(relation, MaterializedView) and not relation.populated:
        # A definition may name it; reading it may not.
        level.state.unpopulated.append(relation.name)
    return open_table(level, relation, alias, tree.alias)


def find_relation(level: Level, name: QualifiedName) -> ColumnedRelation:
    """The relation of this name; 42P01 or 42809."""
    state = level.state
    catalog = state.catalog
    if name.catalog is not None and name.catalog != catalog.database.name:
        raise SqlError(
            "0A000",
            f'cross-database references are not implemented: "{".".join(name.parts)}"',
            position=name.position,
        )
    if name.schema is not None and not state.views:
        _check_schema(state, name.schema, name.position)
    relation = catalog.relation(name.schema, name.name, state.scope.path)
    if relation is None:
        raise SqlError(
            "42P01", f'relation "{".".join(name.parts)}" does not exist', position=name.position
        )
    if not isinstance(relation, ColumnedRelation):
        detail = (
            "This operation is not supported for indexes."
            if isinstance(relation, IndexRelation)
            else None
        )
        raise SqlError(
            "42809",
            f'cannot open relation "{relation.name}"',
            detail=detail,
            position=name.position,
        )
    state.dependencies[relation.oid] = relation.version
    return relation


def _check_schema(state: BindState, name: str, position: int) -> None:
    """42501 when the role may not use a schema that it names. What a view names is its owner's."""
    schema = state.catalog.schema(name)
    if schema is None:
        return
    if not state.catalog.may_use(state.scope.role, schema):
        raise SqlError("42501", f"permission denied for schema {name}", position=position)
    # A later REVOKE gives the schema another version: whoever kept this statement binds it anew.
    state.dependencies[schema.oid] = schema.version


def open_table(
    level: Level, relation: ColumnedRelation, alias: str, renamed: Alias | None
) -> tuple[TableRel, Item]:
    """A table as a rel: noted for privileges and for where columns come from."""
    state = level.state
    number = level.new_rel()
    use = TableUse(relation, state.check_as)
    state.uses[number] = use
    state.origins[number] = relation
    columns = table_columns(relation)
    if renamed is None or not renamed.columns:
        item: Item = TableItem(state, number, alias, relation, use)
    else:
        live = [c for c in columns if not c.hidden]
        names = _renamed([c.name for c in live], renamed, "table", alias)
        pairs = iter(names)
        columns = tuple(
            c if c.hidden else RelColumn(next(pairs), c.type, c.typmod, c.collation)
            for c in columns
        )
        renamed_item = ColumnsItem(
            state,
            number,
            alias,
            [
                (c.name, Var(number, index, c.type, c.typmod, c.collation))
                for index, c in enumerate(columns)
                if not c.hidden
            ],
        )
        renamed_item.row_of = relation
        item = renamed_item
    return TableRel(number, alias, columns, relation, state.check_as), item


def table_columns(relation: ColumnedRelation) -> tuple[RelColumn, ...]:
    """A relation's columns by attnum - 1, dropped ones hidden."""
    return tuple(
        RelColumn(c.name, c.type_oid, c.typmod, c.collation, c.dropped) for c in relation.columns
    )


def _renamed(names: list[str], alias: Alias, what: str, shown: str) -> list[str]:
    given = alias.columns
    if len(given) > len(names):
        raise SqlError(
            "42P10",
            f'{what} "{shown}" has {len(names)} columns available but {len(given)} columns '
            "specified",
        )
    return [*given, *names[len(given) :]]


def _bind_cte_reference(
    level: Level, tree: tree_query.RangeVar, entry: CteEntry
) -> tuple[FromItem, Item]:
    state = level.state
    if entry.non_recursive_term:
        raise SqlError(
            "42P19",
            f'recursive reference to query "{entry.name}" must not appear within its '
            "non-recursive term",
            position=tree.position,
        )
    if entry.recursive:
        entry.self_reference = True
    else:
        entry.references += 1
    if entry.modifies and not entry.columns:
        raise SqlError(
            "0A000",
            f'WITH query "{entry.name}" does not have a RETURNING clause',
            position=tree.position,
        )
    number = level.new_rel()
    alias = tree.alias.name if tree.alias is not None else entry.name
    names = [column.name for column in entry.columns]
    if tree.alias is not None:
        names = _renamed(names, tree.alias, "table", alias)
    columns = tuple(
        RelColumn(name, c.type, c.typmod, c.collation)
        for name, c in zip(names, entry.columns, strict=True)
    )
    if entry.query is not None:
        state.origins[number] = entry.query
    rel = CteRel(number, alias, columns, entry.number, entry.recursive)
    return rel, columns_item(level, number, alias, columns)


def columns_item(
    level: Level, number: int, alias: str, columns: Sequence[RelColumn]
) -> ColumnsItem:
    return ColumnsItem(
        level.state,
        number,
        alias,
        [
            (c.name, Var(number, index, c.type, c.typmod, c.collation))
            for index, c in enumerate(columns)
        ],
    )


@contextmanager
def inside_view(state: BindState, view: View) -> Iterator[None]:
    """Bind what a view says: by its owner's privileges, with qualified names and no parameters."""
    kept = state.scope, state.check_as, state.views, state.parameter_types
    if not view.security_invoker:
        state.check_as = view.owner
    state.views = (*state.views, view.oid)
    state.scope = replace(state.scope, path=(PG_CATALOG_OID,), routine="", parameter_names=())
    state.parameter_types = []
    try:
        yield
    finally:
        state.scope, state.check_as, state.views, state.parameter_types = kept


def _bind_view(
    level: Level, tree: tree_query.RangeVar, view: View, alias: str
) -> tuple[FromItem, Item]:
    """A view is its query, bound with its owner's privileges, outside of all scopes."""
    state = level.state
    if view.oid in state.views:
        raise SqlError("42P17", f'infinite recursion detected in rules for relation "{view.name}"')
    number = level.new_rel()
    state.uses[number] = TableUse(view, state.check_as)
    state.origins[number] = view
    with inside_view(state, view):
        (statement,) = parse_statements(view.query)
        query = Level(state).query(statement)
    columns = tuple(
        RelColumn(c.name, c.type_oid, c.typmod, c.collation, c.dropped) for c in view.columns
    )
    rel = SubqueryRel(number, alias, columns, query, view=view.oid, barrier=view.security_barrier)
    use = state.uses[number]
    if tree.alias is not None and tree.alias.columns:
        names = _renamed([c.name for c in columns], tree.alias, "table", alias)
        columns = tuple(
            RelColumn(name, c.type, c.typmod, c.collation)
            for name, c in zip(names, columns, strict=True)
        )
        return replace(rel, columns=columns), columns_item(level, number, alias, columns)
    return rel, TableItem(state, number, alias, view, use)


# Subqueries and functions ------------------------------------------------------------------------


def _bind_subselect(level: Level, tree: tree_query.RangeSubselect) -> tuple[FromItem, Item]:
    state = level.state
    if tree.alias is None:
        what = "VALUES" if isinstance(tree.query, tree_query.Values) else "subquery"
        example = "(VALUES ...)" if what == "VALUES" else "(SELECT ...)"
        raise SqlError(
            "42601",
            f"{what} in FROM must have an alias",
            hint=f"For example, FROM {example} [AS] foo.",
            position=tree.position,
        )
    kept, level.lateral_active = level.lateral_active, tree.lateral
    try:
        query = level.query(tree.query)
    finally:
        level.lateral_active = kept
    number = level.new_rel()
    alias = tree.alias.name
    outputs = output_columns(query)
    names = _renamed([name for name, *_ in outputs], tree.alias, "table", alias)
    columns = tuple(
        RelColumn(name, oid, typmod, collation)
        for name, (_, oid, typmod, collation) in zip(names, outputs, strict=True)
    )
    lateral = tree.lateral and any(var.rel in level.own_rels for var in outer_vars(query))
    item = columns_item(level, number, alias, columns)
    state.origins[number] = query
    if isinstance(query, Values) and not (
        query.order_by or query.limit or query.offset or query.ctes
    ):
        return ValuesRel(number, alias, columns, query.rows, lateral), item
    return SubqueryRel(number, alias, columns, query, lateral), item


def _bind_function(level: Level, tree: tree_query.RangeFunction) -> tuple[FromItem, Item]:
    kept = level.lateral_active, level.clause
    level.lateral_active, level.clause = True, "functions in FROM"
    try:
        functions = tuple(
            _with_columns(level, level.expression(call), each.columns or tree.columns, call)
            for each in tree.functions
            for call in _calls(each.call)
        )
    finally:
        level.lateral_active, level.clause = kept
    level.set_returning = False
    number = level.new_rel()
    alias = tree.alias.name if tree.alias is not None else ""
    columns: list[RelColumn] = []
    widths: list[int] = []
    for function in functions:
        made = _function_columns(level.state, function, alias if len(functions) == 1 else "")
        widths.append(len(made))
        columns.extend(made)
    alias = alias or columns_name(functions[0])
    if tree.ordinality:
        columns.append(RelColumn("ordinality", 20))
    if tree.alias is not None:
        names = _renamed([c.name for c in columns], tree.alias, "table", alias)
        columns = [
            RelColumn(name, c.type, c.typmod, c.collation)
            for name, c in zip(names, columns, strict=True)
        ]
    lateral = any(rels_used(f) & level.own_rels for f in functions)
    rel = FunctionRel(
        number, alias, tuple(columns), functions, tuple(widths), tree.ordinality, lateral
    )
    item = columns_item(level, number, alias, columns)
    if len(functions) == 1 and not tree.ordinality:
        kind = base_of(level.state.type(functions[0].type))
        item.row_type = kind.oid if kind.kind == "c" else 0
    return rel, item


def _with_columns(
    level: Level,
    function: Expr,
    definitions: tuple[tree_query.ColumnDefinitionItem, ...],
    tree: Expression,
) -> Expr:
    """The call with its column definition list; 42601 where none belongs."""
    if not definitions:
        return function
    position = location(tree)
    columns: tuple[tuple[str, int], ...] = ()
    if isinstance(function, SetReturningCall):
        columns = function.function.columns
    elif isinstance(function, Call):
        columns = getattr(function.target, "columns", ())
    if composite_fields(level.state, function.type) is not None:
        raise SqlError(
            "42601",
            "a column definition list is redundant for a function returning a named composite type",
            position=position,
        )
    if function.type != RECORD or not isinstance(function, Call | SetReturningCall):
        raise SqlError(
            "42601",
            'a column definition list is only allowed for functions returning "record"',
            position=position,
        )
    if columns:
        raise SqlError(
            "42601",
            "a column definition list is redundant for a function with OUT parameters",
            position=position,
        )
    state = level.state
    record: list[tuple[str, int, int, int]] = []
    for each in definitions:
        oid, typmod = resolve_type(state, each.type)
        kind = state.types.by_oid[oid]
        if any(name == each.name for name, *_ in record):
            raise SqlError(
                "42701",
                f'column name "{each.name}" specified more than once',
                position=each.position,
            )
        record.append((each.name, oid, typmod, 100 if kind.collatable else 0))
    found = replace(function, record=tuple(record))
    columns = tuple((name, oid) for name, oid, *_ in record)
    if isinstance(found, SetReturningCall):
        if found.function.oid < FIRST_NORMAL_OID:
            return found
        return replace(found, function=with_columns(found.function, columns))
    target = found.target
    if isinstance(target, SqlFunction) and target.oid >= FIRST_NORMAL_OID:
        return replace(found, target=with_columns(target, columns))
    return found


def _calls(tree: Expression) -> tuple[Expression, ...]:
    """`unnest(a, b)` in FROM is ROWS FROM (unnest(a), unnest(b)), as in PostgreSQL."""
    if (
        isinstance(tree, FunctionCall)
        and tree.name in (("unnest",), ("pg_catalog", "unnest"))
        and len(tree.arguments) > 1
    ):
        return tuple(replace(tree, arguments=(each,)) for each in tree.arguments)
    return (tree,)


def columns_name(function: Expr) -> str:
    """What a function in FROM is called when no alias says it."""
    if isinstance(function, SetReturningCall):
        return function.function.name
    if isinstance(function, Call):
        return getattr(function.target, "name", "function")
    return getattr(function, "kind", "function")


def _function_columns(state: BindState, function: Expr, alias: str) -> list[RelColumn]:
    declared: tuple[tuple[str, int], ...] = ()
    if isinstance(function, Call | SetReturningCall) and function.record:
        return [RelColumn(*column) for column in function.record]
    if isinstance(function, SetReturningCall):
        declared = function.function.columns
    elif isinstance(function, Call):
        declared = getattr(function.target, "columns", ())
    fields = composite_fields(state, function.type)
    if fields is not None:
        return fields
    if len(declared) > 1 or (declared and function.type == RECORD):
        return [RelColumn(name, oid) for name, oid in declared]
    if function.type == RECORD:
        raise SqlError(
            "42601", 'a column definition list is required for functions returning "record"'
        )
    # One column: its OUT parameter names it, else the table's alias, else the function.
    name = (declared[0][0] if declared else "") or alias or columns_name(function)
    return [RelColumn(name, function.type, function.typmod, function.collation)]


def composite_fields(state: BindState, oid: int) -> list[RelColumn] | None:
    """The attributes of a composite type; None for any other."""
    kind = state.types.by_oid.get(oid)
    if kind is None or kind.kind != "c":
        return None
    return [
        RelColumn(field.name, field.type.oid, field.typmod, field.collation)
        for field in kind.fields
    ]


def _bind_sample(level: Level, tree: tree_query.RangeTableSample) -> Sample:
    method = tree.method[-1]
    if method not in ("bernoulli", "system"):
        raise SqlError(
            "42704", f"tablesample method {method} does not exist", position=tree.position
        )
    if len(tree.arguments) != 1:
        raise SqlError(
            "22023",
            f"tablesample method {method} requires 1 argument, not {len(tree.arguments)}",
            position=tree.position,
        )
    state = level.state

    def number(of: Expression) -> Expr:
        found = coerce(state, level.expression(of), 701, position=location(of))
        if found is None:
            raise SqlError(
                "42804", "argument of TABLESAMPLE must be type real", position=location(of)
            )
        return found

    repeatable = None if tree.repeatable is None else number(tree.repeatable)
    return Sample(method, number(tree.arguments[0]), repeatable)
