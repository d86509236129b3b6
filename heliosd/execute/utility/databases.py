"""CREATE, ALTER and DROP DATABASE: name spaces of schemas in one data directory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from helios_storage.locks import TableLockMode
from helios_storage.spec import TreeId
from heliosd.catalog import acl
from heliosd.catalog.acl_change import replace_role
from heliosd.catalog.bootstrap import public_schema
from heliosd.catalog.objects import (
    CatalogObject,
    Database,
    IndexRelation,
    Role,
    Schema,
    Sequence,
    SystemView,
    Table,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    is_superuser,
    lock_object,
    require_new_owner,
    require_owner,
    resolve_role,
)
from heliosd.execute.utility.options import boolean_value
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.role_settings import changed_settings
from heliosd.sql.tree.base import Option, RoleKind, RoleSpec
from heliosd.sql.tree.define import (
    AlterDatabase,
    AlterDatabaseRefreshCollation,
    AlterDatabaseSet,
    CreateDatabase,
    DropDatabase,
)

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_TEMPLATE = "template1"
_ENCODINGS = frozenset(
    """SQL_ASCII EUC_JP EUC_CN EUC_KR EUC_TW EUC_JIS_2004 MULE_INTERNAL LATIN1 LATIN2 LATIN3 LATIN4
    LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 WIN1256 WIN1258 WIN866 WIN874 KOI8R WIN1251 WIN1252
    ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8 WIN1250 WIN1253 WIN1254 WIN1255 WIN1257 KOI8U
    ISO_8859_1""".split()  # noqa: SIM905
)
"""Encodings that PostgreSQL knows and this server does not keep."""
_COLLATIONS = frozenset({"c.utf-8", "c.utf8", "c", "posix", "en_us.utf-8", "en_us.utf8"})


def find_database(session: SessionServices, name: str) -> Database:
    """The database, locked; 3D000."""
    found = session.catalog.database_named(name)
    if found is None:
        raise SqlError("3D000", f'database "{name}" does not exist')
    lock_object(session, found.oid, TableLockMode.ACCESS_EXCLUSIVE)
    again = session.catalog.database_named(name)
    if again is None:
        raise SqlError("3D000", f'database "{name}" does not exist')
    return again


def _by_name(options: tuple[Option, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in options:
        if option.name in found:
            raise SqlError("42601", "conflicting or redundant options", position=option.position)
        found[option.name] = option.value
    return found


@runs(CreateDatabase, tag="CREATE DATABASE", writes=True, forbidden_in_block=True, audit="ddl")
def create_database(statement: CreateDatabase, session: SessionServices) -> None:
    """CREATE DATABASE: a copy of an empty template, so with schema public and nothing else."""
    options = _by_name(statement.options)
    role = session.catalog.of_kind(Role, current_role_oid(session))
    if role is None or not (role.create_db or role.superuser):
        raise SqlError("42501", "permission denied to create database")
    owner = _owner(session, options.get("owner"))
    _check_options(session, options)
    template = str(options.get("template") or _TEMPLATE)
    _check_template(session, template)
    edit = session.catalog_edit()
    limit = options.get("connection_limit")
    database = Database(
        oid=edit.new_oid(),
        name=statement.name,
        owner=owner,
        is_template=_flag(options, "is_template", default=False),
        allows_connections=_flag(options, "allow_connections", default=True),
        connection_limit=-1 if limit is None else int(limit),
    )
    edit.create(database)
    edit.create(public_schema(edit.new_oid(), database.oid))


def _owner(session: SessionServices, value: Any) -> int:
    if value is None:
        return current_role_oid(session)
    spec = value if isinstance(value, RoleSpec) else RoleSpec(0, RoleKind.NAME, str(value))
    owner = resolve_role(session, spec)
    require_new_owner(session, owner, owner)
    return owner.oid


def _flag(options: dict[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    return boolean_value(name, str(value))


def _check_options(session: SessionServices, options: dict[str, Any]) -> None:
    """What a database here can be: UTF-8, byte order."""
    encoding = options.get("encoding")
    if encoding is not None and str(encoding).lower().replace("-", "") not in ("utf8", "6"):
        if str(encoding).upper().replace("-", "_") in _ENCODINGS:
            raise not_supported(f"encoding {encoding}")
        raise SqlError("42704", f"{encoding} is not a valid encoding name")
    for name in ("locale", "lc_collate", "lc_ctype"):
        value = options.get(name)
        if value is None:
            continue
        if str(value).lower() not in _COLLATIONS:
            raise SqlError("42809", f'invalid locale name: "{value}"')
        if str(value).lower().startswith("en_"):
            session.notice(
                f"locale {value} is kept as C.UTF-8: text compares by code point",
                severity="WARNING",
                sqlstate="01000",
            )
    if options.get("tablespace") not in (None, "pg_default"):
        raise SqlError("42704", f'tablespace "{options["tablespace"]}" does not exist')
    if options.get("locale_provider") not in (None, "libc"):
        raise not_supported("another locale provider than libc")
    known = {
        "owner", "template", "encoding", "locale", "lc_collate", "lc_ctype", "tablespace",
        "allow_connections", "connection_limit", "is_template", "strategy", "oid",
        "locale_provider", "icu_locale", "collation_version",
    }  # fmt: skip
    for name in options:
        if name not in known:
            raise SqlError("42601", f'option "{name}" not recognized')


def _check_template(session: SessionServices, name: str) -> None:
    template = session.catalog.database_named(name)
    if template is None:
        raise SqlError("3D000", f'template database "{name}" does not exist')
    if not template.is_template and not acl.is_owner(
        session.catalog, current_role_oid(session), template
    ):
        raise SqlError("42501", f'permission denied to copy database "{name}"')
    objects = session.catalog.shared.state.databases.get(template.oid, {}).values()
    if any(not isinstance(obj, Schema) or obj.name != "public" for obj in objects):
        raise not_supported("CREATE DATABASE from a template that holds objects")


@runs(DropDatabase, tag="DROP DATABASE", writes=True, forbidden_in_block=True, audit="ddl")
def drop_database(statement: DropDatabase, session: SessionServices) -> None:
    """DROP DATABASE [IF EXISTS] [WITH (FORCE)]: 55006 while others are connected."""
    if session.catalog.database_named(statement.name) is None and statement.missing_ok:
        session.notice(f'database "{statement.name}" does not exist, skipping')
        return
    database = find_database(session, statement.name)
    require_owner(session, database)
    if database.is_template:
        raise SqlError("42809", "cannot drop a template database")
    if database.name == session.database:
        raise SqlError("55006", "cannot drop the currently open database")
    force = any(option.name == "force" for option in statement.options)
    _refuse_connected(session, database, force=force)
    edit = session.catalog_edit()
    for obj in _objects(session, database):
        _drop_storage(session, obj)
        edit.drop(obj)
    for role in list(session.catalog.objects(Role)):
        if any(oid == database.oid for oid, _name, _value in role.database_settings):
            kept = tuple(x for x in role.database_settings if x[0] != database.oid)
            edit.replace(role, replace(role, database_settings=kept))
    edit.drop(database)


def _refuse_connected(session: SessionServices, database: Database, *, force: bool) -> None:
    others = [
        row.process_id
        for row in session.view_context.server.sessions()
        if row.database == database.name
    ]
    if not others:
        return
    if force:
        for process_id in others:
            session.context.eval.terminate_backend(process_id)
        return
    count = len(others)
    verb = "is 1 other session" if count == 1 else f"are {count} other sessions"
    raise SqlError(
        "55006",
        f'database "{database.name}" is being accessed by other users',
        detail=f"There {verb} using the database.",
    )


def _objects(session: SessionServices, database: Database) -> list[CatalogObject]:
    objects = session.catalog.shared.state.databases.get(database.oid, {})
    return [
        obj for obj in list(objects.values()) if not isinstance(obj, IndexRelation | SystemView)
    ]


def _drop_storage(session: SessionServices, obj: CatalogObject) -> None:
    match obj:
        case Table():
            session.transaction.drop_tree(TreeId(obj.tree_id))
            for index in obj.secondary_indexes:
                session.transaction.drop_tree(TreeId(index.tree_id))
            store = obj.row_sequence
        case Sequence():
            store = obj.store_id
        case _:
            return
    if store:
        sequences = session.storage.sequences
        session.run_after_commit(lambda: sequences.drop(store))


@runs(AlterDatabase, tag="ALTER DATABASE", writes=True, audit="ddl")
def alter_database(statement: AlterDatabase, session: SessionServices) -> None:
    """ALTER DATABASE name WITH IS_TEMPLATE, ALLOW_CONNECTIONS, CONNECTION LIMIT."""
    database = find_database(session, statement.name)
    require_owner(session, database)
    options = _by_name(statement.options)
    limit = options.get("connection_limit")
    if options.get("tablespace") not in (None, "pg_default"):
        raise SqlError("42704", f'tablespace "{options["tablespace"]}" does not exist')
    changed = replace(
        database,
        is_template=_flag(options, "is_template", default=database.is_template),
        allows_connections=_flag(options, "allow_connections", default=database.allows_connections),
        connection_limit=database.connection_limit if limit is None else int(limit),
    )
    session.catalog_edit().replace(database, changed)


@runs(AlterDatabaseSet, tag="ALTER DATABASE", writes=True, audit="ddl")
def alter_database_set(statement: AlterDatabaseSet, session: SessionServices) -> None:
    """ALTER DATABASE name SET name = value: the start value of later sessions."""
    database = find_database(session, statement.name)
    require_owner(session, database)
    settings = changed_settings(session, database.settings, statement.variable)
    session.catalog_edit().replace(database, replace(database, settings=settings))


@runs(AlterDatabaseRefreshCollation, tag="ALTER DATABASE")
def refresh_collation(statement: AlterDatabaseRefreshCollation, session: SessionServices) -> None:
    """Collations by code point have no version."""
    require_owner(session, find_database(session, statement.name))
    session.notice("version has not changed")


def rename_database(session: SessionServices, name: str, new_name: str) -> None:
    """ALTER DATABASE RENAME: not the one that is open, not one in use (55006)."""
    database = find_database(session, name)
    require_owner(session, database)
    role = session.catalog.of_kind(Role, current_role_oid(session))
    if role is None or not (role.create_db or is_superuser(session)):
        raise SqlError("42501", "permission denied to rename database")
    if name == session.database:
        raise SqlError("0A000", "current database cannot be renamed")
    _refuse_connected(session, database, force=False)
    session.catalog_edit().replace(database, replace(database, name=new_name))


def change_database_owner(session: SessionServices, name: str, spec: RoleSpec) -> None:
    """ALTER DATABASE OWNER TO."""
    database = find_database(session, name)
    owner = resolve_role(session, spec)
    if database.owner == owner.oid:
        return
    require_owner(session, database)
    require_new_owner(session, database, owner)
    me = session.catalog.of_kind(Role, current_role_oid(session))
    if me is None or not (me.create_db or me.superuser):
        raise SqlError("42501", "permission denied to change owner of database")
    grants = replace_role(database.acl, database.owner, owner.oid)
    session.catalog_edit().replace(database, replace(database, owner=owner.oid, acl=grants))
