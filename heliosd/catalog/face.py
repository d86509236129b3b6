"""The catalog as types and functions see it: `CatalogLookup` for one session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from heliosd.catalog import holdings
from heliosd.catalog.definitions import (
    Describer,
    StoredText,
    constraint_definition,
    index_column_definition,
    index_definition,
)
from heliosd.catalog.dependencies import routine_signature
from heliosd.catalog.lookup import Catalog, SearchPath
from heliosd.catalog.objects import (
    FIRST_USER_OID,
    PG_CATALOG_OID,
    CatalogObject,
    Column,
    ColumnedRelation,
    Database,
    Index,
    IndexRelation,
    MaterializedView,
    Relation,
    Role,
    Routine,
    Schema,
    Sequence,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.routine_text import (
    routine_arguments,
    routine_definition,
    routine_result,
)
from heliosd.catalog.row_security import is_restricted, shown_rows
from heliosd.catalog.signatures import argument_list, result_text, type_names
from heliosd.errors import SqlError
from heliosd.types.facts import function_facts, operator_facts, type_facts
from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.functions.registry import FunctionRegistry

PAGE_BYTES: Final = 8192

COLLATIONS: Final = {
    100: "default", 950: "C", 951: "POSIX", 12446: "ucs_basic", 12447: "C.UTF-8",
    12448: "C.utf8",
}  # fmt: skip


class CatalogFace:
    """Implements `heliosd.types.context.CatalogLookup` over a session's `Catalog`.

    `path` gives the resolved search_path at the time of the call. `row_count` answers how many
    rows a tree has: sizes are estimated from it. `role` is the current role, whose rights to look
    into a schema count.
    """

    def __init__(
        self,
        catalog: Catalog,
        path: Callable[[], SearchPath],
        functions: FunctionRegistry,
        *,
        describer: Describer | None = None,
        row_count: Callable[[int], int] | None = None,
        role: Callable[[], int] | None = None,
    ) -> None:
        self._catalog = catalog
        self._role = role
        self._path = path
        self._functions = functions
        self._describer: Describer = StoredText() if describer is None else describer
        self._row_count = row_count

    # -- names -------------------------------------------------------------------------------

    def find_oid(self, kind: str, name: tuple[str, ...]) -> int | None:
        schema, bare = (name[-2] if len(name) > 1 else None), name[-1]
        path = self._path().schemas
        catalog = self._catalog
        found: CatalogObject | None = None
        if kind == "procedure":
            return self._procedure(name)
        if schema is not None and kind in ("relation", "type", "function"):
            self._require_usage(schema)
        match kind:
            case "relation":
                found = catalog.relation(schema, bare, path)
            case "schema":
                found = catalog.schema(bare)
            case "role":
                found = catalog.role(bare)
            case "database":
                found = catalog.database_named(bare)
            case "type":
                return catalog.type_oid(schema, bare, path)
            case "function":
                return self._function_oid(schema, bare, path)
            case "operator":
                return next((f.oid for f in operator_facts() if f.name == bare), None)
            case "collation":
                return next((oid for oid, x in COLLATIONS.items() if x == bare), None)
            case "constraint":
                return next(
                    (
                        c.oid
                        for t in catalog.objects(Table)
                        for c in t.constraints
                        if c.name == bare
                    ),
                    None,
                )
        return None if found is None else found.oid

    def element_type(self, oid: int) -> int:
        kind = self._catalog.types.by_oid.get(oid)
        return kind.element if kind is not None and kind.uses and kind.is_array else 0

    def _procedure(self, name: tuple[str, ...]) -> int | None:
        """A routine made by a user, by (schema,) name and the oids of its argument types."""
        *qualified, types = name
        schema = qualified[-2] if len(qualified) > 1 else None
        if schema is not None:
            self._require_usage(schema)
        wanted = tuple(int(oid) for oid in types.split(",") if oid)
        for routine in self._routines(schema, qualified[-1]):
            if routine.argument_types == wanted:
                return routine.oid
        return None

    def _routines(self, schema: str | None, name: str) -> list[Routine]:
        catalog = self._catalog
        if schema is not None:
            found = catalog.schema(schema)
            return [] if found is None else list(catalog.routines(found.oid, name))
        path = (oid for oid in self._path().schemas if oid != catalog.temporary_schema)
        return [routine for oid in path for routine in catalog.routines(oid, name)]

    def _require_usage(self, schema: str) -> None:
        """42501 when the current role may not look into a schema."""
        found = self._catalog.schema(schema)
        if found is None or self._role is None or self._catalog.may_use(self._role(), found):
            return
        raise SqlError("42501", f"permission denied for schema {schema}")

    def find_name(self, kind: str, oid: int) -> tuple[str, str] | None:
        catalog = self._catalog
        if kind == "procedure":
            routine = catalog.of_kind(Routine, oid)
            if routine is None:
                return None
            return "", routine_signature(catalog, routine, self._path().schemas)
        if kind == "function":
            made = catalog.of_kind(Routine, oid)
            if made is not None:
                return catalog.schema_name(made.schema), made.name
            fact = function_facts().get(oid)
            return None if fact is None else ("pg_catalog", fact.name)
        if kind == "operator":
            operator = next((f for f in operator_facts() if f.oid == oid), None)
            return None if operator is None else ("pg_catalog", operator.name)
        if kind == "collation":
            return ("pg_catalog", COLLATIONS[oid]) if oid in COLLATIONS else None
        if kind == "type":
            return self._type_name(oid)
        if kind == "constraint":
            pair = catalog.constraint(oid)
            return None if pair is None else (catalog.schema_name(pair[0].schema), pair[1].name)
        found = catalog.by_oid(oid)
        wanted: dict[str, type[CatalogObject]] = {
            "relation": Relation, "sequence": Sequence, "schema": Schema, "role": Role,
            "database": Database,
        }  # fmt: skip
        if found is None or kind not in wanted or not isinstance(found, wanted[kind]):
            return None
        if isinstance(found, Relation):
            return catalog.schema_name(found.schema), found.name
        return "", found.name

    def _type_name(self, oid: int) -> tuple[str, str] | None:
        built_in = self._catalog.types.by_oid.get(oid)
        if built_in is not None and not built_in.uses:
            return "pg_catalog", built_in.name
        fact = type_names().get(oid)
        if fact is not None:
            return "pg_catalog", fact
        made = self._catalog.by_oid(oid)
        if isinstance(made, TypeObject):
            return self._catalog.schema_name(made.schema), made.name
        owner = self._catalog.owner_of_part(oid)
        if isinstance(owner, TypeObject):
            return self._catalog.schema_name(owner.schema), "_" + owner.name
        if isinstance(owner, Relation):
            is_array = oid == getattr(owner, "row_array", 0)
            name = "_" + owner.name if is_array else owner.name
            return self._catalog.schema_name(owner.schema), name
        return None

    def is_visible(self, kind: str, oid: int) -> bool | None:
        catalog = self._catalog
        found = catalog.by_oid(oid)
        path = self._path().schemas
        match kind:
            case "relation":
                if not isinstance(found, Relation):
                    return None
                first = catalog.relation(None, found.name, path)
                return first is not None and first.oid == oid
            case "type":
                known = catalog.types.by_oid.get(oid)
                if known is not None:
                    return catalog.type_oid(None, known.name, path) == oid
                return PG_CATALOG_OID in path if oid in type_names() else None
            case "function":
                if isinstance(found, Routine):
                    return self._finds_routine(found, path)
                return True if oid in function_facts() else None
            case "operator":
                return True if any(f.oid == oid for f in operator_facts()) else None
            case "collation":
                return True if oid in COLLATIONS else None
        # The remaining kinds (text search, statistics ...) have built-in objects only.
        return PG_CATALOG_OID in path

    # -- definitions -------------------------------------------------------------------------

    def definition(
        self, kind: str, oid: int, column: int = 0, *, pretty: bool = False
    ) -> str | None:
        catalog = self._catalog
        found = catalog.by_oid(oid)
        match kind:
            case "index":
                if not isinstance(found, IndexRelation):
                    return None
                if column:
                    table = catalog.table(found.table)
                    return index_column_definition(
                        table, found.index, column, self._describer, pretty=pretty
                    )
                return index_definition(
                    catalog, found, self._describer, pretty=pretty, path=self._path().schemas
                )
            case "constraint":
                return self._constraint(oid, pretty=pretty)
            case "view" | "rule":
                if not isinstance(found, View | MaterializedView):
                    return None
                text = self._describer.view(found, pretty=pretty)
                if kind == "view":
                    return text
                name = f"{catalog.schema_name(found.schema)}.{found.name}"
                body = text.lstrip()
                return f'CREATE RULE "_RETURN" AS\n    ON SELECT TO {name} DO INSTEAD  {body}'
            case "function":
                if isinstance(found, Routine):
                    return routine_definition(catalog, found, self.type_text)
                return None
            case "function_arguments" | "function_identity_arguments":
                fact = function_facts().get(oid)
                full = kind == "function_arguments"
                if isinstance(found, Routine):
                    return routine_arguments(found, self.type_text, full=full)
                return None if fact is None else argument_list(fact, defaults=full)
            case "function_result":
                if isinstance(found, Routine):
                    return routine_result(found, self.type_text)
                fact = function_facts().get(oid)
                return None if fact is None else result_text(fact)
            case "expression":
                owner = catalog.owner_of_part(oid)
                if isinstance(owner, Table):
                    return self._default(owner, oid, pretty=pretty)
        return None

    def type_text(self, oid: int) -> str:
        """A type's name as format_type() shows it here."""
        kind = self._catalog.types.by_oid.get(oid)
        if kind is not None and kind.is_array:
            return self.type_text(kind.element) + "[]"
        if kind is not None and oid < FIRST_USER_OID:
            return kind.display
        names = self.find_name("type", oid)
        if names is None:
            return "???"
        if self.is_visible("type", oid):
            return quote_identifier(names[1])
        return quote_qualified(*names)

    def _function_oid(self, schema: str | None, name: str, path: Iterable[int]) -> int | None:
        if schema in (None, "pg_catalog"):
            named = self._functions.named(name)
            if named:
                return named[0].oid
        for each in self._schemas(schema, path):
            for routine in self._catalog.routines(each, name):
                return routine.oid
        return None

    def _schemas(self, schema: str | None, path: Iterable[int]) -> Iterable[int]:
        if schema is None:
            return path
        found = self._catalog.schema(schema)
        return () if found is None else (found.oid,)

    def _finds_routine(self, routine: Routine, path: Iterable[int]) -> bool:
        """Whether the bare name with its arguments means this routine."""
        for schema in path:
            for each in self._catalog.routines(schema, routine.name):
                if each.argument_types == routine.argument_types:
                    return each.oid == routine.oid
        return False

    def expression_text(self, text: str, relation: int, *, pretty: bool = False) -> str:
        """pg_get_expr: stored text over a relation's columns, as this session should see it."""
        found = self._catalog.by_oid(relation)
        table = found if isinstance(found, Relation) else None
        return self._describer.expression(table, text, pretty=pretty)

    def _default(self, table: Table, oid: int, *, pretty: bool) -> str | None:
        for column in table.columns:
            if column.default_oid == oid and column.default is not None:
                return self._describer.expression(table, column.default, pretty=pretty)
        return None

    def _constraint(self, oid: int, *, pretty: bool) -> str | None:
        pair = self._catalog.constraint(oid)
        if pair is not None:
            return constraint_definition(
                self._catalog, *pair, self._describer, self._path().schemas, pretty=pretty
            )
        owner = self._catalog.owner_of_part(oid)
        if isinstance(owner, TypeObject):
            for constraint in owner.constraints:
                if constraint.oid == oid:
                    return f"CHECK ({constraint.expression})"
        return None

    def comment(self, catalog: str, oid: int, column: int = 0) -> str | None:
        if catalog == "pg_constraint":
            pair = self._catalog.constraint(oid)
            owner = self._catalog.owner_of_part(oid)
            if pair is None and isinstance(owner, TypeObject):
                return next((c.comment for c in owner.constraints if c.oid == oid), None)
            return None if pair is None else pair[1].comment
        if catalog == "pg_policy":
            owner = self._catalog.owner_of_part(oid)
            policies = owner.policies if isinstance(owner, Table) else ()
            return next((policy.comment for policy in policies if policy.oid == oid), None)
        found = self._catalog.by_oid(oid)
        if found is None and column:
            owner = self._catalog.owner_of_part(oid)
            if isinstance(owner, TypeObject) and 1 <= column <= len(owner.columns):
                return owner.columns[column - 1].comment
        if found is None:
            return _built_in_comment(catalog, oid)
        if column:
            if isinstance(found, ColumnedRelation) and 1 <= column <= len(found.columns):
                return found.column(column).comment
            return None
        expected = _COMMENT_CATALOGS.get(catalog)
        if expected is not None and not isinstance(found, expected):
            return _built_in_comment(catalog, oid)
        return found.comment

    # -- privileges --------------------------------------------------------------------------

    def has_privilege(
        self, role: int, kind: str, oid: int, column: int, privilege: str
    ) -> bool | None:
        if column:
            return holdings.holds_column(self._catalog, role, oid, column, privilege)
        return holdings.holds(self._catalog, role, kind, oid, privilege)

    def has_parameter_privilege(self, role: int, name: str, privilege: str) -> bool:
        return holdings.holds_parameter(self._catalog, role, name, privilege)

    def is_member(self, role: int, of_role: int, mode: str) -> bool:
        return holdings.membership(self._catalog, role, of_role, mode)

    # -- the rest ----------------------------------------------------------------------------

    def has_row_security(self, role: int, relation: int) -> bool:
        found = self._catalog.by_oid(relation)
        return isinstance(found, Table) and is_restricted(self._catalog, role, found)

    def column_number(self, relation: int, name: str) -> int | None:
        found = self._catalog.by_oid(relation)
        if isinstance(found, ColumnedRelation):
            column = found.column_by_name.get(name)
            return None if column is None else column.attnum
        return None

    def relation_size(self, oid: int, fork: str) -> int | None:
        found = self._catalog.by_oid(oid)
        if not isinstance(found, Relation):
            return None
        if isinstance(found, IndexRelation):
            table = self._catalog.table(found.table)
            return self._index_bytes(table, found.index)
        if not isinstance(found, Table):
            return PAGE_BYTES if isinstance(found, Sequence) else 0
        width = row_width(found.columns)
        size = 0 if fork == "indexes" else self._bytes(found, found.tree_id, width)
        if fork in ("indexes", "total"):
            size += sum(self._index_bytes(found, index) for index in found.indexes)
        return size

    def _bytes(self, table: Table, tree_id: int, width: int) -> int:
        """Rows times their likely width, in whole pages."""
        rows = 0 if self._row_count is None else self._row_count(tree_id)
        if self._role is not None:
            rows = shown_rows(self._catalog, self._role(), table, rows)
        return -(-rows * width // PAGE_BYTES) * PAGE_BYTES

    def _index_bytes(self, table: Table, index: Index) -> int:
        """The primary key is the table itself, so its index takes nothing."""
        if not index.tree_id:
            return 0
        columns = [table.column(attnum) for attnum in index.attnums if attnum]
        return self._bytes(table, index.tree_id, row_width(columns))

    def database_size(self, oid: int) -> int | None:
        if self._catalog.of_kind(Database, oid) is None:
            return None
        objects = self._catalog.shared.state.databases.get(oid, {}).values()
        tables = [obj for obj in objects if isinstance(obj, Table)]
        return sum(self.relation_size(table.oid, "total") or 0 for table in tables)

    def owned_sequence(self, relation: int, column: int) -> int | None:
        for sequence in self._catalog.owned_sequences(relation):
            if sequence.owned_by is not None and sequence.owned_by.attnum == column:
                return sequence.oid
        return None

    def search_path(self, *, implicit: bool) -> tuple[str, ...]:
        path = self._path()
        schemas = path.schemas if implicit else path.named
        return tuple(self._catalog.schema_name(oid) for oid in schemas)


def row_width(columns: Iterable[Column]) -> int:
    """The likely bytes of a row: fixed sizes, 32 for what varies, and its head."""
    sizes = (_WIDTHS.get(column.type_oid, 32) for column in columns if not column.dropped)
    return 28 + sum(sizes)


_WIDTHS: Final = {fact.oid: fact.size for fact in type_facts().values() if fact.size > 0}

_COMMENT_CATALOGS: Final[dict[str, type[CatalogObject]]] = {
    "pg_class": Relation,
    "pg_namespace": Schema,
    "pg_type": TypeObject,
    "pg_database": Database,
    "pg_authid": Role,
}


def _built_in_comment(catalog: str, oid: int) -> str | None:
    from heliosd.catalog.views.comments import built_in_comments

    return built_in_comments().get((catalog, oid))
