"""CREATE and ALTER of what is no table: schemas, databases, roles, policies."""

from __future__ import annotations

from enum import StrEnum

from heliosd.sql.tree.base import (
    DropBehavior,
    Expression,
    Node,
    ObjectKind,
    ObjectRef,
    Option,
    QualifiedName,
    RoleSpec,
    Statement,
    node,
)
from heliosd.sql.tree.utility import SetVariable

# -- any object ----------------------------------------------------------------------------------


@node
class Drop(Statement):
    """DROP of anything but databases, roles, tablespaces, subscriptions, user mappings."""

    kind: ObjectKind
    objects: tuple[ObjectRef, ...]
    missing_ok: bool = False
    behavior: DropBehavior = DropBehavior.RESTRICT
    concurrent: bool = False


@node
class Rename(Statement):
    """ALTER ... RENAME [COLUMN|CONSTRAINT|ATTRIBUTE old] TO new_name.

    `kind` is what is renamed (COLUMN, TABLE_CONSTRAINT, ...); `relation_kind` the word after
    ALTER; `old_name` the column or constraint, trigger, policy or rule.
    """

    kind: ObjectKind
    relation_kind: ObjectKind
    object: ObjectRef
    new_name: str
    old_name: str | None = None
    missing_ok: bool = False
    inherit: bool = True
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class AlterOwner(Statement):
    """ALTER ... OWNER TO, of what is no relation (those: AlterTable with SetOwner)."""

    kind: ObjectKind
    object: ObjectRef
    owner: RoleSpec


@node
class AlterObjectSchema(Statement):
    """ALTER ... SET SCHEMA."""

    kind: ObjectKind
    object: ObjectRef
    schema: str
    missing_ok: bool = False


@node
class AlterObjectDepends(Statement):
    """ALTER ... [NO] DEPENDS ON EXTENSION."""

    kind: ObjectKind
    object: ObjectRef
    extension: str
    remove: bool = False


@node
class CommentOn(Statement):
    """COMMENT ON; `comment` None is IS NULL."""

    kind: ObjectKind
    object: ObjectRef
    comment: str | None


@node
class SecurityLabel(Statement):
    """SECURITY LABEL [FOR provider] ON ... IS."""

    kind: ObjectKind
    object: ObjectRef
    provider: str | None
    label: str | None


# -- schemas, databases, roles -------------------------------------------------------------------


@node
class CreateSchema(Statement):
    """CREATE SCHEMA [name] [AUTHORIZATION role] [elements]."""

    name: str | None
    authorization: RoleSpec | None = None
    if_not_exists: bool = False
    elements: tuple[Statement, ...] = ()


@node
class CreateDatabase(Statement):
    """CREATE DATABASE name [WITH] options; an option's value None is DEFAULT."""

    name: str
    options: tuple[Option, ...] = ()


@node
class AlterDatabase(Statement):
    """ALTER DATABASE name options (also SET TABLESPACE)."""

    name: str
    options: tuple[Option, ...]


@node
class AlterDatabaseRefreshCollation(Statement):
    """ALTER DATABASE name REFRESH COLLATION VERSION."""

    name: str


@node
class AlterDatabaseSet(Statement):
    """ALTER DATABASE name SET/RESET ..."""

    name: str
    variable: SetVariable


@node
class DropDatabase(Statement):
    """DROP DATABASE; options: force."""

    name: str
    missing_ok: bool = False
    options: tuple[Option, ...] = ()


class RoleWord(StrEnum):
    """ROLE, USER or GROUP: what decides the LOGIN default."""

    ROLE = "role"
    USER = "user"
    GROUP = "group"


@node
class CreateRole(Statement):
    """CREATE ROLE|USER|GROUP.

    Options by PostgreSQL's names: password (None: PASSWORD NULL), superuser, createdb,
    createrole, inherit, canlogin, isreplication, bypassrls (bool), connectionlimit, validUntil,
    sysid, and the tuples of RoleSpec addroleto, rolemembers, adminmembers.
    """

    word: RoleWord
    name: str
    options: tuple[Option, ...] = ()


@node
class AlterRole(Statement):
    """ALTER ROLE|USER options; ALTER GROUP ADD|DROP USER is rolemembers with `add` or not."""

    role: RoleSpec
    options: tuple[Option, ...]
    add: bool = True


@node
class AlterRoleSet(Statement):
    """ALTER ROLE role|ALL [IN DATABASE d] SET/RESET ...; `role` None is ALL."""

    role: RoleSpec | None
    database: str | None
    variable: SetVariable


@node
class DropRole(Statement):
    """DROP ROLE|USER|GROUP."""

    roles: tuple[RoleSpec, ...]
    missing_ok: bool = False


@node
class DropOwned(Statement):
    """DROP OWNED BY."""

    roles: tuple[RoleSpec, ...]
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class ReassignOwned(Statement):
    """REASSIGN OWNED BY roles TO new_role."""

    roles: tuple[RoleSpec, ...]
    new_role: RoleSpec


@node
class PrivilegeItem(Node):
    """One privilege with its columns; `name` None is ALL."""

    name: str | None
    columns: tuple[str, ...] = ()


@node
class Grant(Statement):
    """GRANT and REVOKE of privileges.

    `all_in_schema`: ON ALL ... IN SCHEMA, `objects` are the schemas.
    """

    grant: bool
    privileges: tuple[PrivilegeItem, ...]
    kind: ObjectKind
    objects: tuple[ObjectRef, ...]
    grantees: tuple[RoleSpec, ...]
    all_in_schema: bool = False
    grant_option: bool = False
    granted_by: RoleSpec | None = None
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class GrantRole(Statement):
    """GRANT role TO role and REVOKE role FROM role.

    `options`: admin, inherit, set, each with a bool; REVOKE ... OPTION FOR names one with False.
    """

    grant: bool
    roles: tuple[PrivilegeItem, ...]
    grantees: tuple[RoleSpec, ...]
    options: tuple[Option, ...] = ()
    granted_by: RoleSpec | None = None
    behavior: DropBehavior = DropBehavior.RESTRICT


@node
class AlterDefaultPrivileges(Statement):
    """ALTER DEFAULT PRIVILEGES [FOR ROLE roles] [IN SCHEMA schemas] grant."""

    roles: tuple[RoleSpec, ...]
    schemas: tuple[str, ...]
    action: Grant


class PolicyCommand(StrEnum):
    """FOR ..."""

    ALL = "all"
    SELECT = "select"
    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@node
class CreatePolicy(Statement):
    """CREATE POLICY; no roles means PUBLIC."""

    name: str
    relation: QualifiedName
    permissive: bool = True
    command: PolicyCommand = PolicyCommand.ALL
    roles: tuple[RoleSpec, ...] = ()
    using: Expression | None = None
    with_check: Expression | None = None


@node
class AlterPolicy(Statement):
    """ALTER POLICY; `roles` None: not written."""

    name: str
    relation: QualifiedName
    roles: tuple[RoleSpec, ...] | None = None
    using: Expression | None = None
    with_check: Expression | None = None
