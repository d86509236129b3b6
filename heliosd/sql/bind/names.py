"""Column references: PostgreSQL's scoping, and its errors when a name means nothing."""

from __future__ import annotations

from heliosd.errors import SqlError, not_supported
from heliosd.sql.bind.resolve import UNKNOWN
from heliosd.sql.bind.routines import routines_named
from heliosd.sql.bind.state import Item, Level, ambiguous_column
from heliosd.sql.bound import Expr, FieldSelect, RowConstructor, Select, SubLink, Var, WholeRow
from heliosd.sql.tree.expressions import ColumnRef, FunctionCall
from heliosd.types.domain import base_of


def bind_column(level: Level, tree: ColumnRef) -> Expr:
    """A name of one to four parts: column, rel.column, schema.rel.column, or a whole row."""
    names = tree.names
    position = tree.position
    if len(names) == 1:
        name = names[0]
        found = find_column(level, name, position)
        if found is not None:
            return found
        item = find_rel(level, None, name, position)
        if item is not None:
            return item.whole_row(position)
        given = _routine_parameter(level, names, position)
        if given is not None:
            return given
        raise unknown_column(level, None, name, position)
    if len(names) > 4:
        raise SqlError(
            "42601",
            f"improper qualified name (too many dotted names): {'.'.join(names)}",
            position=position,
        )
    qualifier, name = names[:-1], names[-1]
    if level.state.scope.parameter_names and len(names) < 4:
        schema = qualifier[-2] if len(qualifier) > 1 else None
        if find_rel(level, schema, qualifier[-1], position) is None:
            given = _routine_parameter(level, names, position)
            if given is not None:
                return given
    item = require_rel(level, qualifier, position)
    found = item.find(name, position)
    if found is not None:
        return found
    if routines_named(level.state.catalog, None, name, level.state.scope.path):
        # `t.f` is f(t).
        return level.expression(FunctionCall(position, (name,), (ColumnRef(position, qualifier),)))
    raise unknown_column(level, qualifier[-1], name, position)


def _routine_parameter(level: Level, names: tuple[str, ...], position: int) -> Expr | None:
    """A parameter of the routine whose body is bound: p, routine.p, and fields of either."""
    state = level.state
    known = state.scope.parameter_names
    fields: tuple[str, ...]
    if names[0] in known:
        name, fields = names[0], names[1:]
    elif len(names) > 1 and names[0] == state.scope.routine and names[1] in known:
        name, fields = names[1], names[2:]
    else:
        return None
    found = state.parameter(known.index(name) + 1, position)
    for field in fields:
        found = bind_field(level, found, field, position)
    return found


def find_column(level: Level | None, name: str, position: int) -> Expr | None:
    """Search this level, then the ones around it; the nearest level that has it wins."""
    while level is not None:
        found: Expr | None = None
        for item in level.items:
            if not item.unqualified or (item.lateral_only and not level.lateral_active):
                continue
            if not item.has(name) and name not in _SYSTEM:
                continue
            candidate = item.find(name, position)
            if candidate is None:
                continue
            if found is not None:
                raise ambiguous_column(name, position)
            check_lateral(item, position)
            found = candidate
        if found is not None:
            return found
        level = level.parent
    return None


_SYSTEM = frozenset({"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"})


def check_lateral(item: Item, position: int) -> None:
    """42P10 when an item of the same FROM may not be used from here."""
    if item.lateral_only and not item.lateral_ok:
        raise SqlError(
            "42P10",
            f'invalid reference to FROM-clause entry for table "{item.alias}"',
            detail="The combining JOIN type must be INNER or LEFT for a LATERAL reference.",
            position=position,
        )


def find_rel(level: Level | None, schema: str | None, name: str, position: int) -> Item | None:
    """The FROM entry called `name`; 42P09 when two are."""
    schema_oid = 0
    if schema is not None and level is not None:
        namespace = level.state.catalog.schema(schema)
        if namespace is None:
            return None
        schema_oid = namespace.oid
    while level is not None:
        found: Item | None = None
        for item in level.items:
            if not item.qualified or item.alias != name:
                continue
            if item.lateral_only and not level.lateral_active:
                continue
            if schema_oid and (item.schema != schema_oid or not _unaliased(item, name)):
                continue
            if found is not None:
                raise SqlError("42P09", f'table reference "{name}" is ambiguous', position=position)
            check_lateral(item, position)
            found = item
        if found is not None:
            return found
        level = level.parent
    return None


def _unaliased(item: Item, name: str) -> bool:
    table = getattr(item, "table", None)
    return table is not None and table.name == name


def require_rel(level: Level, qualifier: tuple[str, ...], position: int) -> Item:
    """The FROM entry that `qualifier` names; 42P01 otherwise."""
    name = qualifier[-1]
    schema = qualifier[-2] if len(qualifier) > 1 else None
    if len(qualifier) == 3 and qualifier[0] != level.state.catalog.database.name:
        raise SqlError(
            "0A000",
            f"cross-database references are not implemented: {'.'.join(qualifier)}",
            position=position,
        )
    found = find_rel(level, schema, name, position)
    if found is not None:
        return found
    raise _missing_rel(level, name, position)


def _missing_rel(level: Level, name: str, position: int) -> SqlError:
    """42P01; a hint when an entry exists but under another alias or out of reach."""
    at: Level | None = level
    while at is not None:
        for item in at.items:
            table = getattr(item, "table", None)
            if item.alias == name:
                return SqlError(
                    "42P01",
                    f'invalid reference to FROM-clause entry for table "{name}"',
                    hint=f'There is an entry for table "{name}", but it cannot be referenced '
                    "from this part of the query.",
                    position=position,
                )
            if table is not None and table.name == name:
                return SqlError(
                    "42P01",
                    f'invalid reference to FROM-clause entry for table "{name}"',
                    hint=f'Perhaps you meant to reference the table alias "{item.alias}".',
                    position=position,
                )
        at = at.parent
    return SqlError("42P01", f'missing FROM-clause entry for table "{name}"', position=position)


def unknown_column(level: Level, qualifier: str | None, name: str, position: int) -> SqlError:
    """42703, with PostgreSQL's hint when a similar name exists."""
    shown = f"column {qualifier}.{name}" if qualifier is not None else f'column "{name}"'
    return SqlError(
        "42703",
        f"{shown} does not exist",
        hint=_similar(level, qualifier, name),
        position=position,
    )


def _similar(level: Level, qualifier: str | None, name: str) -> str | None:
    hidden: str | None = None
    best: dict[str, None] = {}
    best_distance = len(name) // 2 + 1
    at: Level | None = level
    while at is not None:
        for item in at.items:
            if qualifier is not None and item.alias != qualifier:
                continue
            if not item.alias:
                continue
            for each in item.names():
                if each == name and hidden is None:
                    hidden = item.alias
                distance = edit_distance(name, each, best_distance + 1)
                if distance < best_distance:
                    best_distance, best = distance, {f"{item.alias}.{each}": None}
                elif distance == best_distance and distance <= len(name) // 2:
                    best[f"{item.alias}.{each}"] = None
        at = at.parent
    if hidden is not None and qualifier is None:
        return (
            f'There is a column named "{name}" in table "{hidden}", but it cannot be referenced '
            "from this part of the query."
        )
    if len(best) == 1:
        return f'Perhaps you meant to reference the column "{next(iter(best))}".'
    if len(best) == 2:
        one, two = best
        return f'Perhaps you meant to reference the column "{one}" or the column "{two}".'
    return None


def edit_distance(one: str, two: str, most: int) -> int:
    """Levenshtein's distance, `most` when it is at least that."""
    if abs(len(one) - len(two)) >= most:
        return most
    previous = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        current = [i]
        for j, b in enumerate(two, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b)))
        previous = current
    return min(previous[-1], most)


def bind_field(level: Level, argument: Expr, name: str, position: int) -> Expr:
    """`(row).name`."""
    fields = row_fields(level, argument)
    if fields is None:
        raise SqlError(
            "42809",
            f"column notation .{name} applied to type "
            f"{level.state.type_name(argument.type)}, which is not a composite type",
            position=position,
        )
    for index, (each, oid, typmod, collation) in enumerate(fields):
        if each == name:
            return FieldSelect(argument, index, name, oid, typmod, collation)
    if argument.type != 2249:
        shown = level.state.type_name(argument.type)
        raise SqlError(
            "42703", f'column "{name}" not found in data type {shown}', position=position
        )
    raise SqlError(
        "42703", f'could not identify column "{name}" in record data type', position=position
    )


def _source_of(level: Level, argument: Expr) -> Expr | None:
    """The expression of a subquery that a column, or a subquery as a value, stands for."""
    if isinstance(argument, SubLink):
        query: object = argument.query
        place = 0
    elif isinstance(argument, Var):
        query, place = level.state.origins.get(argument.rel), argument.column
    else:
        return None
    if not isinstance(query, Select):
        return None
    visible = [target.expression for target in query.targets if not target.junk]
    return visible[place] if 0 <= place < len(visible) else None


def row_fields(level: Level, argument: Expr) -> list[tuple[str, int, int, int]] | None:
    """(name, type, typmod, collation) of a row value's fields; None when it is no row."""
    if argument.type != UNKNOWN:
        kind = base_of(level.state.type(argument.type))
        if kind.kind == "c":
            return [(f.name, f.type.oid, f.typmod, f.collation) for f in kind.fields]
    if isinstance(argument, WholeRow):
        at: Level | None = level
        while at is not None:
            for item in at.items:
                if item.rel == argument.rel:
                    return [(name, e.type, e.typmod, e.collation) for name, e in item.listing()]
            at = at.parent
    if isinstance(argument, RowConstructor):
        return [
            (name, e.type, e.typmod, e.collation)
            for name, e in zip(argument.names, argument.fields, strict=True)
        ]
    called = getattr(argument, "target", None) or getattr(argument, "function", None)
    columns = getattr(called, "columns", ())
    if argument.type == 2249 and columns:
        return [(name, oid, -1, level.state.collation_of(oid)) for name, oid in columns]
    known = _source_of(level, argument)
    if known is not None:
        return row_fields(level, known)
    if argument.type == 2249:
        raise not_supported("selecting fields of this record value")
    return None
