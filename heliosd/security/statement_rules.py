"""What each statement takes: the registry behind S-15, and which statements are DDL.

Every statement of the syntax tree has a line, built or not. `refused` is a statement of the kind
that a role without any privilege must be refused (42501): tests/security/test_privileges_rules.py
says each of them on a server and fails for a statement without a line, so nothing can be added
without saying, and showing, who may say it. The examples are about `guarded`: a schema with table
t, view v, sequence s, enum e, domain d, function f(int), procedure p(), and the role guarded_owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog import acl
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog


@dataclass(frozen=True, slots=True)
class StatementRule:
    """`takes` in words; `ddl`: reserved to `helios.ddl_role` where that is set."""

    takes: str
    refused: str = ""
    ddl: bool = False


def _ddl(takes: str, refused: str = "") -> StatementRule:
    return StatementRule(takes, refused, ddl=True)


def _open(takes: str) -> StatementRule:
    return StatementRule(takes)


_OWNER: Final = "owner of the object"
_SUPERUSER: Final = "superuser"

RULES: Final[Mapping[str, StatementRule]] = MappingProxyType(
    {
        # Queries and changes: the binder notes what they need.
        "Select": StatementRule("SELECT on what it reads", "select * from guarded.t"),
        "SetOperation": StatementRule("SELECT", "select id from guarded.t union select 1"),
        "Values": StatementRule("SELECT on what it reads", "values ((select id from guarded.t))"),
        "Insert": StatementRule("INSERT on columns", "insert into guarded.t values (1, 1)"),
        "Update": StatementRule("UPDATE on columns", "update guarded.t set a = 1"),
        "Delete": StatementRule("DELETE", "delete from guarded.t"),
        "Merge": StatementRule(
            "INSERT, UPDATE, DELETE as it does them",
            "merge into guarded.t using (values (1)) x on id = column1 when matched then delete",
        ),
        "Copy": StatementRule("SELECT, or INSERT", "copy guarded.t to stdout"),
        "Truncate": _ddl("TRUNCATE", "truncate guarded.t"),
        "LockTable": StatementRule(
            "a privilege to change, or to read", "begin; lock table guarded.t"
        ),
        "Explain": StatementRule("what the statement needs", "explain select * from guarded.t"),
        "Prepare": StatementRule(
            "what the statement needs, when it is executed", "prepare x as select * from guarded.t"
        ),
        "Execute": _open("what the prepared statement needs"),
        "DeclareCursor": StatementRule(
            "what the query needs", "declare x cursor with hold for select * from guarded.t"
        ),
        "Call": StatementRule("EXECUTE", "call guarded.p()"),
        "Do": _open("USAGE on the language"),
        "Return": _open("nothing: part of a routine"),
        # What concerns only one's own session.
        **{
            name: _open("nothing: the session's own")
            for name in (
                "ClosePortal", "Deallocate", "Discard", "Fetch", "Listen", "Notify",
                "SetConstraints", "SetTransaction", "SetTransactionSnapshot", "Show",
                "Transaction", "Unlisten",
            )
        },
        "SetVariable": StatementRule(
            "superuser or SET, for a superuser's setting; membership, for a role",
            "set role guarded_owner",
        ),
        # Relations.
        "CreateTable": _ddl(
            "CREATE on its schema, USAGE on its types", "create table guarded.x ()"
        ),
        "CreateTableAs": _ddl(
            "CREATE on its schema, what the query needs", "create table guarded.x as select 1"
        ),
        "CreateView": _ddl("CREATE on its schema", "create view guarded.x as select 1"),
        "CreateSequence": _ddl("CREATE on its schema", "create sequence guarded.x"),
        "CreateIndex": _ddl("owner of its table", "create index on guarded.t (a)"),
        "CreateStatistics": _ddl(
            "owner of its table, CREATE on its schema",
            "create statistics guarded.x on id, a from guarded.t",
        ),
        "CreateRule": _ddl(
            "owner of its table", "create rule x as on insert to guarded.t do instead nothing"
        ),
        "CreateTrigger": _ddl(
            "TRIGGER on its table, EXECUTE on its function",
            "create trigger x before insert on guarded.t for each row execute function guarded.g()",
        ),
        "CreatePolicy": _ddl("owner of its table", "create policy x on guarded.t"),
        "AlterPolicy": _ddl("owner of its table", "alter policy x on guarded.t using (true)"),
        "AlterTable": _ddl(_OWNER, "alter table guarded.t add column x int"),
        "AlterSequence": _ddl(_OWNER, "alter sequence guarded.s increment 2"),
        "AlterStatistics": _ddl(_OWNER, "alter statistics guarded.st set statistics 10"),
        "AlterTableMoveAll": _ddl(
            _OWNER, "alter table all in tablespace pg_default set tablespace pg_global"
        ),
        "RefreshMaterializedView": _ddl(_OWNER, "refresh materialized view guarded.m"),
        "Rename": _ddl("owner, CREATE on its schema", "alter table guarded.t rename to x"),
        "AlterObjectSchema": _ddl(
            "owner, CREATE on the new schema", "alter table guarded.t set schema public"
        ),
        "AlterObjectDepends": _ddl(_OWNER, "alter index guarded.t_pkey depends on extension x"),
        "AlterOwner": _ddl(
            "owner, member of the new owner, which has CREATE",
            "alter schema guarded owner to current_user",
        ),
        "Drop": _ddl("owner of the object or of its schema", "drop table guarded.t"),
        "CommentOn": _ddl(_OWNER, "comment on table guarded.t is 'x'"),
        "SecurityLabel": _ddl(_OWNER, "security label for heliosd on column guarded.t.a is 'x'"),
        "Cluster": StatementRule(_OWNER, "cluster guarded.t using t_pkey"),
        "Reindex": StatementRule(_OWNER, "reindex table guarded.t"),
        # PostgreSQL skips with a warning what is another's.
        "Vacuum": _open("owner; what is another's is skipped with a warning"),
        # Types and routines.
        "CreateEnum": _ddl("CREATE on its schema", "create type guarded.x as enum ('a')"),
        "CreateCompositeType": _ddl(
            "CREATE on its schema, USAGE on its types", "create type guarded.x as (a int)"
        ),
        "CreateRange": _ddl(
            "CREATE on its schema, USAGE on its subtype",
            "create type guarded.x as range (subtype = int4)",
        ),
        "CreateDomain": _ddl(
            "CREATE on its schema, USAGE on its type", "create domain guarded.x as int"
        ),
        "AlterEnum": _ddl(_OWNER, "alter type guarded.e add value 'z'"),
        "AlterDomain": _ddl(_OWNER, "alter domain guarded.d set not null"),
        "CreateFunction": _ddl(
            "CREATE on its schema, USAGE on its language and types",
            "create function guarded.x() returns int language sql return 1",
        ),
        "AlterFunction": _ddl(_OWNER, "alter function guarded.f(int) volatile"),
        "Define": _ddl(
            "CREATE on its schema; superuser for base types",
            "create collation guarded.x (locale = 'C')",
        ),
        "AlterDefinition": _ddl(_OWNER, "alter type guarded.e set (storage = plain)"),
        "CreateCast": _ddl(
            "owner of a type", "create cast (guarded.e as int) with function guarded.f(int)"
        ),
        "CreateConversion": _ddl(
            "CREATE on its schema", "create conversion guarded.x for 'UTF8' to 'LATIN1' from f"
        ),
        "CreateTransform": _ddl(
            "owner of the type, USAGE on the language",
            "create transform for guarded.e language sql (from sql with function f(internal))",
        ),
        # What only superusers make.
        "CreateLanguage": _ddl(_SUPERUSER, "create language x"),
        "CreateAccessMethod": _ddl(_SUPERUSER, "create access method x type index handler y"),
        "CreateOperatorClass": _ddl(
            _SUPERUSER, "create operator class x for type int using btree as operator 1 <"
        ),
        "CreateOperatorFamily": _ddl(_SUPERUSER, "create operator family x using btree"),
        "AlterOperatorFamily": _ddl(
            _SUPERUSER, "alter operator family integer_ops using btree drop operator 1 (int, int)"
        ),
        "CreateEventTrigger": _ddl(
            _SUPERUSER, "create event trigger x on ddl_command_end execute function f()"
        ),
        "AlterEventTrigger": _ddl(_SUPERUSER, "alter event trigger x disable"),
        "CreateExtension": _ddl(_SUPERUSER, "create extension x"),
        "AlterExtension": _ddl(_SUPERUSER, "alter extension x update"),
        "AlterExtensionContents": _ddl(_SUPERUSER, "alter extension x add table guarded.t"),
        "CreateForeignDataWrapper": _ddl(_SUPERUSER, "create foreign data wrapper x"),
        "CreateServer": _ddl("USAGE on its wrapper", "create server x foreign data wrapper y"),
        "CreateUserMapping": _ddl(
            "owner of the server", "create user mapping for guarded_owner server x"
        ),
        "ImportForeignSchema": _ddl(
            "USAGE on the server", "import foreign schema x from server y into guarded"
        ),
        "CreatePublication": _ddl("CREATE on the database", "create publication x"),
        "AlterPublication": _ddl(_OWNER, "alter publication x add table guarded.t"),
        "CreateSubscription": _ddl(
            _SUPERUSER, "create subscription x connection 'dbname=x' publication y"
        ),
        "AlterSubscription": _ddl(_OWNER, "alter subscription x disable"),
        "DropSubscription": _ddl(_OWNER, "drop subscription x"),
        "AlterTextSearch": _ddl(
            _OWNER, "alter text search configuration english drop mapping for word"
        ),
        "CreateTablespace": _ddl(_SUPERUSER, "create tablespace x location '/x'"),
        "AlterTablespace": _ddl(_OWNER, "alter tablespace pg_default set (seq_page_cost = 1)"),
        "DropTablespace": _ddl(_OWNER, "drop tablespace pg_default"),
        "Load": StatementRule(_SUPERUSER, "load 'x'"),
        # Databases, schemas, the server.
        "CreateSchema": _ddl("CREATE on the database", "create schema x"),
        "CreateDatabase": _ddl("CREATEDB attribute", "create database x"),
        "AlterDatabase": _ddl(_OWNER, "alter database postgres with connection limit 5"),
        "AlterDatabaseSet": _ddl(_OWNER, "alter database postgres set work_mem = '8MB'"),
        "AlterDatabaseRefreshCollation": _ddl(
            _OWNER, "alter database postgres refresh collation version"
        ),
        "DropDatabase": _ddl(_OWNER, "drop database postgres"),
        "AlterSystem": StatementRule(
            "superuser or ALTER SYSTEM on the setting", "alter system set work_mem = '8MB'"
        ),
        "Checkpoint": StatementRule("superuser or pg_checkpoint", "checkpoint"),
        # Roles and privileges have rules of their own, DDL or not.
        "CreateRole": StatementRule("CREATEROLE attribute", "create role x"),
        "AlterRole": StatementRule("CREATEROLE attribute", "alter role guarded_owner createdb"),
        "AlterRoleSet": StatementRule(
            "CREATEROLE attribute, or oneself", "alter role guarded_owner set work_mem = '8MB'"
        ),
        "DropRole": StatementRule("CREATEROLE attribute", "drop role guarded_owner"),
        "DropOwned": StatementRule("the role's privileges", "drop owned by guarded_owner"),
        "ReassignOwned": StatementRule(
            "the privileges of both roles", "reassign owned by guarded_owner to current_user"
        ),
        "Grant": StatementRule("grant option", "grant select on guarded.t to current_user"),
        "GrantRole": StatementRule(
            "CREATEROLE attribute or admin option", "grant guarded_owner to current_user"
        ),
        "AlterDefaultPrivileges": StatementRule(
            "member of the role",
            "alter default privileges for role guarded_owner grant select on tables to public",
        ),
    }
)  # fmt: skip


def is_ddl(statement: type) -> bool:
    """Whether `helios.ddl_role` reserves statements of this class."""
    rule = RULES.get(statement.__name__)
    return rule is not None and rule.ddl


def check_ddl_role(catalog: Catalog, role: int, reserved: str) -> None:
    """Raise 42501 for DDL by a role outside of `reserved` (the setting helios.ddl_role).

    Superusers are never outside. A role that does not exist has no members: then only they may.
    """
    if not reserved or acl.is_superuser(catalog, role):
        return
    found = catalog.role(reserved)
    if found is None or not acl.has_privileges_of(catalog, role, found.oid):
        raise SqlError(
            INSUFFICIENT_PRIVILEGE,
            "Unauthorized: DDL requires admin role",
            detail=f'Setting helios.ddl_role reserves DDL to members of role "{reserved}".',
        )
