"""Roles, databases and what else is shared: pg_roles, pg_authid, pg_database, pg_tablespace ..."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heliosd.catalog.acl import current_acl, is_system_schema
from heliosd.catalog.objects import (
    BOOTSTRAP_ROLE_OID,
    PUBLIC_ROLE,
    Acl,
    CatalogObject,
    Database,
    IndexRelation,
    Relation,
    Role,
    Schema,
    SystemView,
    Table,
)
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.values import (
    BOOTSTRAP_XID,
    PG_AUTHID,
    PG_CLASS,
    PG_DATABASE,
    PG_POLICY,
    acl_array,
    array,
)

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext
    from heliosd.types.array import Array

DEFAULT_TABLESPACE: Final = 1663
GLOBAL_TABLESPACE: Final = 1664
UTF8: Final = 6
HIDDEN_PASSWORD: Final = "********"  # noqa: S105  (what pg_roles shows instead of one)


def _roles(ctx: ViewContext) -> list[Role]:
    return sorted(ctx.catalog.objects(Role), key=lambda role: role.oid)


def _config(settings: tuple[tuple[str, str], ...]) -> Array | None:
    return array(f"{name}={value}" for name, value in settings) if settings else None


@catalog_view("pg_authid")
def pg_authid(ctx: ViewContext) -> Iterator[Row]:
    for role in _roles(ctx):
        yield (
            role.oid, role.name, role.superuser, role.inherit, role.create_role, role.create_db,
            role.login, role.replication, role.bypass_rls, role.connection_limit, role.verifier,
            role.valid_until,
        )  # fmt: skip


@catalog_view("pg_roles")
def pg_roles(ctx: ViewContext) -> Iterator[Row]:
    for role in _roles(ctx):
        yield (
            role.name, role.superuser, role.inherit, role.create_role, role.create_db,
            role.login, role.replication, role.connection_limit, HIDDEN_PASSWORD,
            role.valid_until, role.bypass_rls, _config(role.settings), role.oid,
        )  # fmt: skip


@catalog_view("pg_user")
def pg_user(ctx: ViewContext) -> Iterator[Row]:
    for role in _roles(ctx):
        if role.login:
            yield _user(role, HIDDEN_PASSWORD)


@catalog_view("pg_shadow")
def pg_shadow(ctx: ViewContext) -> Iterator[Row]:
    for role in _roles(ctx):
        if role.login:
            yield _user(role, role.verifier)


def _user(role: Role, password: str | None) -> Row:
    return (
        role.name, role.oid, role.create_db, role.superuser, role.replication, role.bypass_rls,
        password, role.valid_until, _config(role.settings),
    )  # fmt: skip


@catalog_view("pg_group")
def pg_group(ctx: ViewContext) -> Iterator[Row]:
    roles = _roles(ctx)
    for role in roles:
        if not role.login:
            members = (m.oid for m in roles if any(x.role == role.oid for x in m.member_of))
            yield (role.name, role.oid, array(members))


@catalog_view("pg_auth_members")
def pg_auth_members(ctx: ViewContext) -> Iterator[Row]:
    for member in _roles(ctx):
        for membership in member.member_of:
            yield (membership.role, member.oid, membership.grantor, membership.admin_option)


@catalog_view("pg_db_role_setting")
def pg_db_role_setting(ctx: ViewContext) -> Iterator[Row]:
    for database in ctx.catalog.objects(Database):
        if database.settings:
            yield (database.oid, 0, _config(database.settings))
    for role in _roles(ctx):
        if role.settings_of_all:
            yield (0, 0, _config(role.settings_of_all))
        if role.settings:
            yield (0, role.oid, _config(role.settings))
        by_database: dict[int, list[str]] = {}
        for oid, name, value in role.database_settings:
            by_database.setdefault(oid, []).append(f"{name}={value}")
        for oid, texts in by_database.items():
            yield (oid, role.oid, array(texts))


@catalog_view("pg_database")
def pg_database(ctx: ViewContext) -> Iterator[Row]:
    for database in sorted(ctx.catalog.objects(Database), key=lambda d: d.oid):
        yield (
            database.oid, database.name, database.owner, UTF8, "c", database.is_template,
            database.allows_connections, database.connection_limit, BOOTSTRAP_XID, 1,
            DEFAULT_TABLESPACE, database.collation, database.collation, None, None,
            acl_array(database.acl, ctx.catalog),
        )  # fmt: skip


@catalog_view("pg_tablespace")
def pg_tablespace(_ctx: ViewContext) -> Iterator[Row]:
    yield (DEFAULT_TABLESPACE, "pg_default", BOOTSTRAP_ROLE_OID, None, None)
    yield (GLOBAL_TABLESPACE, "pg_global", BOOTSTRAP_ROLE_OID, None, None)


def _schema_acl(ctx: ViewContext, schema: Schema) -> Acl:
    return current_acl(ctx.catalog, schema) if is_system_schema(schema) else schema.acl


@catalog_view("pg_namespace")
def pg_namespace(ctx: ViewContext) -> Iterator[Row]:
    for schema in sorted(ctx.catalog.objects(Schema), key=lambda s: s.oid):
        yield (
            schema.oid,
            schema.name,
            schema.owner,
            acl_array(_schema_acl(ctx, schema), ctx.catalog),
        )


@catalog_view("pg_shdescription")
def pg_shdescription(ctx: ViewContext) -> Iterator[Row]:
    yield from _comments(ctx, Database, PG_DATABASE)
    yield from _comments(ctx, Role, PG_AUTHID)


def _comments(ctx: ViewContext, kind: type[CatalogObject], catalog_oid: int) -> Iterator[Row]:
    for obj in ctx.catalog.objects(kind):
        if obj.comment is not None:
            yield (obj.oid, catalog_oid, obj.comment)


@catalog_view("pg_shdepend")
def pg_shdepend(ctx: ViewContext) -> Iterator[Row]:
    """Who owns what in this database (`o`), and whom policies name (`r`): for tools that look
    before DROP ROLE."""
    for relation in ctx.catalog.objects(Relation):
        if relation.owner != BOOTSTRAP_ROLE_OID and not isinstance(
            relation, IndexRelation | SystemView
        ):
            database = ctx.catalog.database.oid
            yield (database, PG_CLASS, relation.oid, 0, PG_AUTHID, relation.owner, "o")
    for table in ctx.catalog.objects(Table):
        for policy in table.policies:
            for role in policy.roles:
                if role != PUBLIC_ROLE:
                    yield (table.database, PG_POLICY, policy.oid, 0, PG_AUTHID, role, "r")
