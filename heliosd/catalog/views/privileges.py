"""Who may do what, as information_schema and pg_catalog show it: grants, roles, default privileges.

As in PostgreSQL, `..._privileges` show what concerns roles whose privileges the reader has, or
PUBLIC; `role_..._grants` leave out what only PUBLIC's membership would show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from heliosd.catalog import acl
from heliosd.catalog.built_in_acl import initial_function_acl, stored_acl
from heliosd.catalog.kinds import CLASS_KINDS
from heliosd.catalog.objects import (
    PG_DATABASE_OWNER_OID,
    PUBLIC_ROLE,
    AclItem,
    BuiltInAcl,
    CatalogObject,
    Column,
    ColumnedRelation,
    DefaultPrivileges,
    Role,
    Sequence,
    Table,
    TypeObject,
    View,
)
from heliosd.catalog.views.declare import Row, Rows, catalog_view
from heliosd.catalog.views.values import acl_array
from heliosd.types.facts import function_facts

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext

_NAMES: Final = {letter: name for name, letter in acl.PRIVILEGE_NAMES.items() if name != "TEMP"}


def yes_no(value: bool) -> str:  # noqa: FBT001  (the one thing it is about)
    """The standard's truth values."""
    return "YES" if value else "NO"


class _Reader:
    """The reading role: whose grants it sees, what it may call by name."""

    def __init__(self, ctx: ViewContext) -> None:
        self.catalog = ctx.catalog
        self.role = ctx.evaluation.current_role_oid
        self.everything = acl.is_superuser(ctx.catalog, self.role)
        self.mine = acl.roles_of(ctx.catalog, self.role)

    def enabled(self, role: int) -> bool:
        """Whether the reader has the privileges of this role."""
        return role != PUBLIC_ROLE and (self.everything or role in self.mine)

    def sees(self, grantor: int, grantee: int) -> bool:
        """Whether a grant concerns the reader."""
        return grantee == PUBLIC_ROLE or self.enabled(grantor) or self.enabled(grantee)

    def name(self, role: int) -> str:
        return "PUBLIC" if role == PUBLIC_ROLE else self.catalog.role_name(role)

    def grants(
        self, items: Iterable[AclItem], owner: int, letters: str
    ) -> Iterator[tuple[int, int, str, bool]]:
        """(grantor, grantee, letter, grantable) that the reader sees, of these letters."""
        for grantor, grantee, letter, grantable in acl.expand(items):
            if letter in letters and self.sees(grantor, grantee):
                yield grantor, grantee, letter, grantable or self.owns(grantee, owner)

    def owns(self, role: int, owner: int) -> bool:
        return role != PUBLIC_ROLE and acl.has_privileges_of(self.catalog, role, owner)


def _of_role(
    rows: Rows,
) -> Rows:
    """The same rows, but only those that name an enabled role."""

    def only(ctx: ViewContext) -> Iterator[Row]:
        reader = _Reader(ctx)
        enabled = {r.name for r in ctx.catalog.objects(Role) if reader.enabled(r.oid)}
        for row in rows(ctx):
            if row[0] in enabled or row[1] in enabled:
                yield row

    return only


# -- tables and columns ---------------------------------------------------------------------------


def _relations(ctx: ViewContext) -> Iterator[tuple[ColumnedRelation, tuple[AclItem, ...]]]:
    for relation in ctx.catalog.objects(ColumnedRelation):
        if not isinstance(relation, Sequence):
            yield relation, acl.current_acl(ctx.catalog, relation)


@catalog_view("table_privileges")
def table_privileges(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    for relation, items in _relations(ctx):
        schema = catalog.schema_name(relation.schema)
        for grantor, grantee, letter, grantable in reader.grants(
            items, relation.owner, acl.TABLE_PRIVILEGES
        ):
            yield (
                reader.name(grantor), reader.name(grantee), catalog.database.name, schema,
                relation.name, _NAMES[letter], yes_no(grantable), yes_no(letter == acl.SELECT),
            )  # fmt: skip


@catalog_view("role_table_grants")
def role_table_grants(ctx: ViewContext) -> Iterator[Row]:
    return _of_role(table_privileges)(ctx)


@catalog_view("column_privileges")
def column_privileges(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    database = catalog.database.name
    for relation, items in _relations(ctx):
        schema = catalog.schema_name(relation.schema)
        whole = list(acl.expand(items))
        usual = _column_grants(reader, relation, whole)
        for column in relation.live_columns:
            own = _column_items(ctx, relation, column)
            grants = usual
            if own:
                grants = _column_grants(reader, relation, [*whole, *acl.expand(own)])
            for grantor, grantee, privilege, grantable in grants:
                yield (
                    grantor, grantee, database, schema, relation.name, column.name, privilege,
                    grantable,
                )  # fmt: skip


def _column_grants(
    reader: _Reader, relation: ColumnedRelation, granted: list[tuple[int, int, str, bool]]
) -> list[tuple[str, str, str, str]]:
    """(grantor, grantee, privilege, grantable) that the reader sees, each once."""
    return [
        (
            reader.name(grantor),
            reader.name(grantee),
            _NAMES[letter],
            yes_no(option or reader.owns(grantee, relation.owner)),
        )
        for grantor, grantee, letter, option in dict.fromkeys(granted)
        if letter in acl.COLUMN_PRIVILEGES and reader.sees(grantor, grantee)
    ]


def _column_items(
    ctx: ViewContext, relation: ColumnedRelation, column: Column
) -> tuple[AclItem, ...]:
    return acl.current_column_acl(ctx.catalog, relation, column) or ()


@catalog_view("role_column_grants")
def role_column_grants(ctx: ViewContext) -> Iterator[Row]:
    return _of_role(column_privileges)(ctx)


# -- sequences, domains, types, routines ----------------------------------------------------------


@catalog_view("usage_privileges")
def usage_privileges(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    database = catalog.database.name
    owner = catalog.role_name(10)
    for name in ("default", "C", "POSIX", "ucs_basic", "C.UTF-8", "C.utf8"):
        yield (owner, "PUBLIC", database, "pg_catalog", name, "COLLATION", "USAGE", "NO")
    for obj in catalog.objects(CatalogObject):
        if isinstance(obj, TypeObject) and obj.kind == "d":
            kind, items = "DOMAIN", acl.effective_acl(obj)
        elif isinstance(obj, Sequence):
            # PostgreSQL takes a table's defaults here, so one never granted on shows nothing.
            kind, items = "SEQUENCE", obj.acl or ()
        else:
            continue
        for grantor, grantee, _letter, grantable in reader.grants(items, obj.owner, acl.USAGE):
            yield (
                reader.name(grantor), reader.name(grantee), database,
                catalog.schema_name(obj.schema), obj.name, kind, "USAGE", yes_no(grantable),
            )  # fmt: skip


@catalog_view("role_usage_grants")
def role_usage_grants(ctx: ViewContext) -> Iterator[Row]:
    return _of_role(usage_privileges)(ctx)


@catalog_view("udt_privileges")
def udt_privileges(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    for obj in catalog.objects(CatalogObject):
        if isinstance(obj, TypeObject) and obj.kind == "c":
            items: tuple[AclItem, ...] = acl.effective_acl(obj)
        elif isinstance(obj, Table | View):
            items = acl.default_items("type", obj.owner)
        else:
            continue
        for grantor, grantee, _letter, grantable in reader.grants(items, obj.owner, acl.USAGE):
            yield (
                reader.name(grantor), reader.name(grantee), catalog.database.name,
                catalog.schema_name(obj.schema), obj.name, "TYPE USAGE", yes_no(grantable),
            )  # fmt: skip


@catalog_view("role_udt_grants")
def role_udt_grants(ctx: ViewContext) -> Iterator[Row]:
    return _of_role(udt_privileges)(ctx)


@catalog_view("routine_privileges")
def routine_privileges(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    database = catalog.database.name
    for oid, name, schema, owner, items in _routines(ctx):
        specific = f"{name[: 62 - len(str(oid))]}_{oid}"
        for grantor, grantee, _letter, grantable in reader.grants(items, owner, acl.EXECUTE):
            yield (
                reader.name(grantor), reader.name(grantee), database, schema, specific, database,
                schema, name, "EXECUTE", yes_no(grantable),
            )  # fmt: skip


def _routines(ctx: ViewContext) -> Iterator[tuple[int, str, str, int, tuple[AclItem, ...]]]:
    catalog = ctx.catalog
    for oid, fact in function_facts().items():
        items = stored_acl(catalog, "function", oid) or initial_function_acl(oid)
        yield oid, fact.name, "pg_catalog", 10, items or acl.default_items("function", 10)
    for obj in catalog.objects(CatalogObject):
        if CLASS_KINDS.get(type(obj).__name__) in ("function", "procedure", "aggregate"):
            found: Any = obj
            schema = catalog.schema_name(found.schema)
            yield obj.oid, obj.name, schema, obj.owner, acl.effective_acl(obj)


@catalog_view("role_routine_grants")
def role_routine_grants(ctx: ViewContext) -> Iterator[Row]:
    return _of_role(routine_privileges)(ctx)


# -- roles ----------------------------------------------------------------------------------------


@catalog_view("enabled_roles")
def enabled_roles(ctx: ViewContext) -> Iterator[Row]:
    reader = _Reader(ctx)
    for each in ctx.catalog.objects(Role):
        if reader.enabled(each.oid):
            yield (each.name,)


@catalog_view("applicable_roles")
def applicable_roles(ctx: ViewContext) -> Iterator[Row]:
    catalog, reader = ctx.catalog, _Reader(ctx)
    for member in catalog.objects(Role):
        if not reader.enabled(member.oid):
            continue
        for membership in member.member_of:
            granted = catalog.role_name(membership.role)
            yield (member.name, granted, yes_no(membership.admin_option))
        if member.oid == catalog.database.owner:
            yield (member.name, catalog.role_name(PG_DATABASE_OWNER_OID), "NO")


@catalog_view("administrable_role_authorizations")
def administrable_role_authorizations(ctx: ViewContext) -> Iterator[Row]:
    for row in applicable_roles(ctx):
        if row[2] == "YES":
            yield row


# -- pg_catalog -----------------------------------------------------------------------------------


@catalog_view("pg_default_acl")
def pg_default_acl(ctx: ViewContext) -> Iterator[Row]:
    for entry in ctx.catalog.objects(DefaultPrivileges):
        yield (
            entry.oid, entry.owner, entry.schema, entry.kind,
            acl_array(entry.acl or (), ctx.catalog),
        )  # fmt: skip


@catalog_view("pg_parameter_acl")
def pg_parameter_acl(ctx: ViewContext) -> Iterator[Row]:
    for entry in ctx.catalog.objects(BuiltInAcl):
        if entry.kind == "parameter":
            yield (entry.oid, entry.name, acl_array(entry.acl or (), ctx.catalog))
