"""What falls with what: the closure of a DROP, and PostgreSQL's words for it.

A `Part` is anything that can be dropped by itself: a whole object, or a column, constraint,
default or index inside its table. Dependents are either *automatic* (they go along silently: a
table's owned sequences) or *normal* (RESTRICT refuses because of them, CASCADE reports them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from heliosd.catalog.objects import (
    BuiltInAcl,
    CatalogObject,
    ColumnedRelation,
    DefaultPrivileges,
    IndexRelation,
    MaterializedView,
    Reference,
    Relation,
    Routine,
    Schema,
    Sequence,
    Statistics,
    Table,
    TypeObject,
    View,
)
from heliosd.errors import SqlError
from heliosd.types.quoting import quote_identifier

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

PartKind = Literal[
    "object", "column", "constraint", "default", "index", "attribute", "domain constraint",
    "type default", "type", "policy",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """`oid` is the object, or the table of a part; `sub` an attnum or the part's oid."""

    kind: PartKind
    oid: int
    sub: int = 0


@dataclass(slots=True)
class DropPlan:
    """Everything that goes, dependents before what they depend on."""

    parts: list[Part] = field(default_factory=list)
    reported: list[tuple[Part, Part]] = field(default_factory=list)
    """(dependent, what it depends on) of the normal dependents, in PostgreSQL's order."""

    def objects(self) -> list[int]:
        """Oids of the whole objects that go."""
        return [part.oid for part in self.parts if part.kind == "object"]


def plan_drop(catalog: Catalog, roots: Iterable[Part]) -> DropPlan:
    """The closure of dropping `roots`.

    As in PostgreSQL, dependents are visited newest first and reported in the reverse order, so
    that what was created first is named first.
    """
    roots = list(roots)
    walk = _Walk(catalog, frozenset(roots))
    for root in roots:
        walk.visit(root, None)
    plan = DropPlan(walk.order)
    for part in reversed(walk.order):
        via = walk.reported.get(part)
        if via is not None:
            plan.reported.append((part, via))
    return plan


class _Walk:
    def __init__(self, catalog: Catalog, roots: frozenset[Part]) -> None:
        self.catalog = catalog
        self.roots = roots
        self.order: list[Part] = []
        self.seen: set[Part] = set()
        self.reported: dict[Part, Part] = {}

    def visit(self, part: Part, via: Part | None) -> None:
        self.seen.add(part)
        found = sorted(direct_dependents(self.catalog, part), key=lambda d: -_age(d[0]))
        for dependent, automatic in found:
            if self._covered(dependent):
                continue
            if not automatic:
                self.reported[dependent] = part
            self.visit(dependent, part)
        self.order.append(part)

    def _covered(self, part: Part) -> bool:
        """Goes anyway: by itself, or with the object or column that it belongs to."""
        if part in self.seen or part in self.roots:
            return True
        if part.kind in ("object", "type"):
            return False
        whole = Part("object", part.oid)
        return whole in self.seen or whole in self.roots


_AGED_AS_OWNER: Final = frozenset({"object", "column", "default", "attribute", "type default"})


def _age(part: Part) -> int:
    return part.oid if part.kind in _AGED_AS_OWNER else part.sub


def direct_dependents(catalog: Catalog, part: Part) -> Iterator[tuple[Part, bool]]:
    """(dependent, automatic) of one part."""
    match part.kind:
        case "object":
            yield from _of_object(catalog, part)
        case "column":
            yield from _of_column(catalog, catalog.table(part.oid), part.sub)
        case "constraint":
            table = catalog.table(part.oid)
            constraint = table.constraint_by_oid(part.sub)
            if constraint is not None and constraint.index and constraint.kind != "f":
                yield Part("index", table.oid, constraint.index), True
        case "type":
            yield from _holding(catalog, part.sub, part.oid)
        case "attribute":
            for dependent in catalog.dependents(part.oid):
                matches = Reference(part.oid, part.sub)
                yield from _holders(dependent, lambda r: r == matches)  # noqa: B023
        case "index":
            yield from _foreign_keys_onto_index(catalog, catalog.table(part.oid), part.sub)
        case _:
            return


def _of_object(catalog: Catalog, part: Part) -> Iterator[tuple[Part, bool]]:
    obj = catalog.by_oid(part.oid)
    if isinstance(obj, Schema):
        for member in catalog.in_schema(obj.oid):
            if not _goes_with_table(catalog, member, obj.oid):
                yield Part("object", member.oid), False
        for entry in catalog.objects(DefaultPrivileges):
            if entry.schema == obj.oid:
                yield Part("object", entry.oid), True
        return
    if isinstance(obj, Table):
        for other_oid in obj.referenced_by:
            other = catalog.by_oid(other_oid)
            if isinstance(other, Table) and other.oid != obj.oid:
                for key in other.foreign_keys:
                    if key.referenced_table == obj.oid:
                        yield Part("constraint", other.oid, key.oid), False
    for oid in _type_parts(obj):
        yield Part("type", part.oid, oid), True
    yield from _holding(catalog, part.oid, part.oid)


def _type_parts(obj: CatalogObject | None) -> Iterator[int]:
    """The types that come with a type or a relation: its array, its rows, arrays of those."""
    if isinstance(obj, TypeObject) and obj.array_oid:
        yield obj.array_oid
    elif isinstance(obj, ColumnedRelation) and obj.row_type:
        yield obj.row_type
        if obj.row_array:
            yield obj.row_array


def _holding(catalog: Catalog, oid: int, owner: int) -> Iterator[tuple[Part, bool]]:
    """What holds a reference to `oid`, that rests in `owner`: a column alone, not what goes with
    the column anyway."""
    for dependent in catalog.dependents(oid):
        if dependent.oid == owner:
            continue
        found = list(_holders(dependent, lambda r: r.oid == oid))
        columns = {each.sub for each, _ in found if each.kind == "column"}
        for each, automatic in found:
            if not _goes_with(catalog, each, columns):
                yield each, automatic


def _goes_with(catalog: Catalog, part: Part, columns: set[int]) -> bool:
    """A default or a constraint of a column that goes."""
    if part.kind == "default":
        return part.sub in columns
    if part.kind == "constraint":
        constraint = catalog.table(part.oid).constraint_by_oid(part.sub)
        return constraint is not None and bool(columns.intersection(constraint.columns))
    return False


def _goes_with_table(catalog: Catalog, member: CatalogObject, schema: int) -> bool:
    """A column's sequence goes with its table, and is not reported beside it."""
    if not isinstance(member, Sequence) or member.owned_by is None:
        return False
    table = catalog.by_oid(member.owned_by.oid)
    return isinstance(table, Table) and table.schema == schema


def _holders(
    dependent: CatalogObject, matches: Callable[[Reference], bool]
) -> Iterator[tuple[Part, bool]]:
    """Which parts of `dependent` hold a matching reference."""
    match dependent:
        case MaterializedView() if any(map(matches, dependent.query_references)):
            yield Part("object", dependent.oid), False
        case Table():
            for column in dependent.columns:
                if column.dropped:
                    continue
                if any(map(matches, column.default_references)):
                    kind: PartKind = "column" if column.generated else "default"
                    yield Part(kind, dependent.oid, column.attnum), False
                if column.type_oid >= 16384 and matches(Reference(column.type_oid)):
                    yield Part("column", dependent.oid, column.attnum), False
            for constraint in dependent.constraints:
                if constraint.kind != "f" and any(map(matches, constraint.references)):
                    yield Part("constraint", dependent.oid, constraint.oid), False
            for index in dependent.indexes:
                if any(map(matches, index.references)):
                    yield Part("index", dependent.oid, index.oid), False
            for policy in dependent.policies:
                if any(map(matches, policy.references)):
                    yield Part("policy", dependent.oid, policy.oid), False
        case Sequence():
            if dependent.owned_by is not None and matches(dependent.owned_by):
                yield Part("object", dependent.oid), True
        case Statistics():
            yield Part("object", dependent.oid), True
        case View():
            yield Part("object", dependent.oid), False
        case Routine():
            yield Part("object", dependent.oid), False
        case TypeObject():
            yield from _holders_in_type(dependent, matches)


def _holders_in_type(
    made: TypeObject, matches: Callable[[Reference], bool]
) -> Iterator[tuple[Part, bool]]:
    """An attribute goes alone; a domain's check too; else the whole type."""
    if made.kind == "m" and matches(Reference(made.base_type)):
        yield Part("object", made.oid), True
        return
    if made.base_type and matches(Reference(made.base_type)):
        yield Part("object", made.oid), False
        return
    for column in made.columns:
        if not column.dropped and matches(Reference(column.type_oid)):
            yield Part("attribute", made.oid, column.attnum), False
    for constraint in made.constraints:
        if any(map(matches, constraint.references)):
            yield Part("domain constraint", made.oid, constraint.oid), False
    if any(map(matches, made.references)):
        yield Part("type default", made.oid), False


def _of_column(catalog: Catalog, table: Table, attnum: int) -> Iterator[tuple[Part, bool]]:
    reference = Reference(table.oid, attnum)
    for constraint in table.constraints:
        if attnum in constraint.columns:
            yield Part("constraint", table.oid, constraint.oid), True
    for index in table.indexes:
        used = attnum in index.attnums or attnum in index.included
        if not index.constraint and (used or reference in index.references):
            yield Part("index", table.oid, index.oid), True
    for column in table.live_columns:
        if column.generated and column.attnum != attnum and reference in column.default_references:
            yield Part("column", table.oid, column.attnum), False
    for policy in table.policies:
        if reference in policy.references:
            yield Part("policy", table.oid, policy.oid), False
    for other_oid in table.referenced_by:
        other = catalog.by_oid(other_oid)
        if isinstance(other, Table):
            for key in other.foreign_keys:
                if key.referenced_table == table.oid and attnum in key.referenced_columns:
                    yield Part("constraint", other.oid, key.oid), False
    for dependent in catalog.dependents(table.oid):
        if dependent.oid != table.oid:
            yield from _holders(dependent, lambda r: r == reference)


def _foreign_keys_onto_index(
    catalog: Catalog, table: Table, index: int
) -> Iterator[tuple[Part, bool]]:
    for other_oid in table.referenced_by:
        other = catalog.by_oid(other_oid)
        if isinstance(other, Table):
            for key in other.foreign_keys:
                if key.referenced_table == table.oid and key.index == index:
                    yield Part("constraint", other.oid, key.oid), False


# -- words ----------------------------------------------------------------------------------------


def describe(catalog: Catalog, part: Part, path: tuple[int, ...]) -> str:
    """`constraint x on table y`, as PostgreSQL's getObjectDescription; qualified if not visible."""
    if part.kind == "object":
        return describe_object(catalog, catalog.by_oid(part.oid), path)
    made = catalog.by_oid(part.oid)
    if part.kind == "type":
        return _describe_type(catalog, made, part, path)
    if isinstance(made, TypeObject):
        return _describe_in_type(catalog, made, part, path)
    table = catalog.table(part.oid)
    owner = f"table {qualified(catalog, table, path)}"
    match part.kind:
        case "column":
            return f"column {table.column(part.sub).name} of {owner}"
        case "default":
            return f"default value for column {table.column(part.sub).name} of {owner}"
        case "constraint":
            constraint = table.constraint_by_oid(part.sub)
            assert constraint is not None
            return f"constraint {constraint.name} on {owner}"
        case "policy":
            name = next((p.name for p in table.policies if p.oid == part.sub), "")
            return f"policy {name} on {owner}"
    relation = catalog.by_oid(part.sub)
    return describe_object(catalog, relation, path)


def _describe_in_type(catalog: Catalog, made: TypeObject, part: Part, path: tuple[int, ...]) -> str:
    owner = describe_object(catalog, made, path)
    if part.kind == "attribute":
        return f"column {made.columns[part.sub - 1].name} of composite {owner}"
    if part.kind == "domain constraint":
        name = next((c.name for c in made.constraints if c.oid == part.sub), "")
        return f"constraint {name} on domain {owner.removeprefix('type ')}"
    return f"default for {owner}"


def _describe_type(
    catalog: Catalog, owner: CatalogObject | None, part: Part, path: tuple[int, ...]
) -> str:
    """The array type of a type, a table's row type."""
    name = describe_object(catalog, owner, path).split(" ", 1)[1]
    is_array = part.sub != getattr(owner, "row_type", 0)
    return f"type {name}[]" if is_array else f"type {name}"


def describe_object(catalog: Catalog, obj: CatalogObject | None, path: tuple[int, ...]) -> str:
    """`table a`, `view s.v`, `schema s`, `role r`."""
    match obj:
        case None:
            return "object"
        case Relation():
            return f"{relation_word(obj)} {qualified(catalog, obj, path)}"
        case Schema():
            return f"schema {obj.name}"
        case TypeObject():
            schema = quote_identifier(catalog.schema_name(obj.schema))
            name = quote_identifier(obj.name)
            return f"type {name if obj.schema in path else schema + '.' + name}"
        case DefaultPrivileges():
            schema = f" in schema {catalog.schema_name(obj.schema)}" if obj.schema else ""
            role = catalog.role_name(obj.owner)
            return (
                f"default privileges on new {_NEW_OBJECTS[obj.kind]} belonging to role {role}"
                f"{schema}"
            )
        case BuiltInAcl():
            return f"{obj.kind} {obj.name}"
        case Routine():
            word = "procedure" if obj.kind == "p" else "function"
            return f"{word} {routine_signature(catalog, obj, path)}"
    return f"{type(obj).__name__.lower()} {obj.name}"


_NEW_OBJECTS: Final = {
    "r": "relations", "S": "sequences", "f": "functions", "T": "types", "n": "schemas",
}  # fmt: skip


def routine_signature(catalog: Catalog, routine: Routine, path: tuple[int, ...]) -> str:
    """`f(integer,text)`, as regprocedure shows it."""
    name = quote_identifier(routine.name)
    if not any(
        each.oid == routine.oid
        for schema in path
        for each in catalog.routines(schema, routine.name)
    ):
        name = f"{quote_identifier(catalog.schema_name(routine.schema))}.{name}"
    types = (catalog.types.by_oid.get(oid) for oid in routine.argument_types)
    return f"{name}({','.join('???' if t is None else t.display for t in types)})"


def relation_word(relation: Relation) -> str:
    """table, view, sequence, index."""
    match relation:
        case MaterializedView():
            return "materialized view"
        case View():
            return "view"
        case Sequence():
            return "sequence"
        case IndexRelation():
            return "index"
    return "table"


def qualified(catalog: Catalog, relation: Relation, path: tuple[int, ...]) -> str:
    """The relation's quoted name, with its schema unless the bare name finds it."""
    name = quote_identifier(relation.name)
    found = catalog.relation(None, relation.name, path)
    if found is not None and found.oid == relation.oid:
        return name
    return f"{quote_identifier(catalog.schema_name(relation.schema))}.{name}"


def refuse(catalog: Catalog, root: Part, plan: DropPlan, path: tuple[int, ...]) -> SqlError:
    """2BP01 for a RESTRICT drop that has normal dependents."""
    lines = [
        f"{describe(catalog, part, path)} depends on {describe(catalog, via, path)}"
        for part, via in plan.reported
    ]
    return SqlError(
        "2BP01",
        f"cannot drop {describe(catalog, root, path)} because other objects depend on it",
        detail=cut_lines(lines),
        hint="Use DROP ... CASCADE to drop the dependent objects too.",
    )


def refuse_many(catalog: Catalog, plan: DropPlan, path: tuple[int, ...]) -> SqlError:
    """As `refuse` for a DROP that names several objects."""
    error = refuse(catalog, plan.reported[0][1], plan, path)
    return SqlError(
        "2BP01",
        "cannot drop desired object(s) because other objects depend on them",
        detail=error.detail,
        hint=error.hint,
    )


def cascade_notice(
    catalog: Catalog, plan: DropPlan, path: tuple[int, ...]
) -> tuple[str, str | None] | None:
    """(message, detail) of CASCADE's notice; None when nothing more goes than was asked."""
    lines = [f"drop cascades to {describe(catalog, part, path)}" for part, _via in plan.reported]
    if not lines:
        return None
    if len(lines) == 1:
        return lines[0], None
    return f"drop cascades to {len(lines)} other objects", cut_lines(lines)


def cut_lines(lines: list[str]) -> str:
    """At most a hundred lines, then a count: what PostgreSQL sends to the client."""
    if len(lines) <= 100:
        return "\n".join(lines)
    rest = len(lines) - 100
    word = "object" if rest == 1 else "objects"
    return "\n".join([*lines[:100], f"and {rest} other {word} (see server log for list)"])
