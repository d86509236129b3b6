"""Schemas, databases, roles, privileges, policies."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.table import TableParser
from heliosd.sql.tree import (
    AlterDatabase,
    AlterDatabaseRefreshCollation,
    AlterDatabaseSet,
    AlterDefaultPrivileges,
    AlterPolicy,
    AlterRole,
    AlterRoleSet,
    CreateDatabase,
    CreatePolicy,
    CreateRole,
    CreateSchema,
    DropBehavior,
    DropDatabase,
    DropOwned,
    DropRole,
    Expression,
    Grant,
    GrantRole,
    ObjectKind,
    ObjectRef,
    Option,
    OptionValue,
    PolicyCommand,
    PrivilegeItem,
    ReassignOwned,
    Rename,
    RoleKind,
    RoleSpec,
    RoleWord,
    Statement,
)

# Words that are no keywords and their options.
_ROLE_FLAGS: Final = {
    "superuser": ("superuser", True),
    "nosuperuser": ("superuser", False),
    "createrole": ("createrole", True),
    "nocreaterole": ("createrole", False),
    "replication": ("isreplication", True),
    "noreplication": ("isreplication", False),
    "createdb": ("createdb", True),
    "nocreatedb": ("createdb", False),
    "login": ("canlogin", True),
    "nologin": ("canlogin", False),
    "bypassrls": ("bypassrls", True),
    "nobypassrls": ("bypassrls", False),
    "noinherit": ("inherit", False),
}
_DATABASE_WORDS: Final = frozenset(
    ("IDENT", "connection", "encoding", "location", "owner", "tablespace", "template")
)
_ALL_IN_SCHEMA: Final = {
    "tables": ObjectKind.TABLE,
    "sequences": ObjectKind.SEQUENCE,
    "functions": ObjectKind.FUNCTION,
    "procedures": ObjectKind.PROCEDURE,
    "routines": ObjectKind.ROUTINE,
}
_DEFAULT_KINDS: Final = {
    "tables": ObjectKind.TABLE,
    "functions": ObjectKind.FUNCTION,
    "routines": ObjectKind.FUNCTION,
    "sequences": ObjectKind.SEQUENCE,
    "types": ObjectKind.TYPE,
    "schemas": ObjectKind.SCHEMA,
}
_GRANT_NAME_KINDS: Final = {
    "database": ObjectKind.DATABASE,
    "language": ObjectKind.LANGUAGE,
    "schema": ObjectKind.SCHEMA,
    "tablespace": ObjectKind.TABLESPACE,
}


class RoleParser(TableParser):
    """Who may do what, and where."""

    # -- roles -----------------------------------------------------------------------------------

    def create_role(self, position: int) -> Statement:
        """From ROLE, USER or GROUP on."""
        word = RoleWord(self.one_of("role", "user", "group"))
        name = self.role_id()
        self.accept("with")
        return CreateRole(position, word, name, self._role_options(create=True))

    def _role_options(self, *, create: bool) -> tuple[Option, ...]:
        options: list[Option] = []
        while True:
            option = self._role_option(create=create)
            if option is None:
                return tuple(options)
            options.append(option)

    def _role_option(self, *, create: bool) -> Option | None:
        position, word = self.position, self.kind
        if word == "IDENT":
            if str(self.values[self.index]) == "retain":
                return self._retain_password(position)
            flag = _ROLE_FLAGS.get(str(self.values[self.index]))
            if flag is None:
                name = self.values[self.index]
                raise SqlError("42601", f'unrecognized role option "{name}"', position=position)
            self.advance()
            return Option(position, *flag)
        if word in ("password", "encrypted", "unencrypted"):
            return self._password(position)
        if word == "discard":
            self.expect_words("discard", "old", "password")
            return Option(position, "discardpassword", True)
        if word == "inherit":
            self.advance()
            return Option(position, "inherit", True)
        if word == "connection":
            self.expect_words("connection", "limit")
            return Option(position, "connectionlimit", self.signed_integer())
        if word == "valid":
            self.expect_words("valid", "until")
            return Option(position, "validUntil", self.string())
        if word == "user":
            self.advance()
            return Option(position, "rolemembers", self.role_specs())
        if not create:
            return None
        if word == "sysid":
            self.advance()
            return Option(position, "sysid", self.integer())
        if word in ("admin", "role"):
            self.advance()
            name = "adminmembers" if word == "admin" else "rolemembers"
            return Option(position, name, self.role_specs())
        if word == "in":
            self.advance()
            self.one_of("role", "group")
            return Option(position, "addroleto", self.role_specs())
        return None

    def _retain_password(self, position: int) -> Option:
        """RETAIN CURRENT PASSWORD [FOR 'interval'], our extension: the old one stays for a time."""
        self.advance()
        if str(self.values[self.index]) != "current":
            self.fail()
        self.advance()
        self.expect("password")
        return Option(position, "retainpassword", self.string() if self.accept("for") else "")

    def _password(self, position: int) -> Option:
        word = self.one_of("password", "encrypted", "unencrypted")
        if word == "password":
            if self.accept("null"):
                return Option(position, "password", None)
            return Option(position, "password", self.string())
        self.expect("password")
        password = self.string()
        if word == "unencrypted":
            raise SqlError(
                "0A000", "UNENCRYPTED PASSWORD is no longer supported",
                hint="Remove UNENCRYPTED to store the password in encrypted form instead.",
                position=position,
            )  # fmt: skip
        return Option(position, "password", password)

    def alter_role(self, position: int) -> Statement:
        """From ROLE, USER or GROUP on."""
        word = self.one_of("role", "user", "group")
        if word != "group" and self.accept("all"):
            return self._alter_role_set(position, None)
        at = self.position
        role = self.role_spec()
        if self.kind == "rename":
            return self._rename_role(position, role, at)
        if word == "group":
            add = self.one_of("add", "drop") == "add"
            self.expect("user")
            members = Option(at, "rolemembers", self.role_specs())
            return AlterRole(position, role, (members,), add)
        if self.kind in ("set", "reset", "in"):
            return self._alter_role_set(position, role)
        self.accept("with")
        return AlterRole(position, role, self._role_options(create=False))

    def _rename_role(self, position: int, role: RoleSpec, at: int) -> Statement:
        if role.kind is not RoleKind.NAME:
            raise SqlError(
                "42939", f"{role.kind.value.upper()} cannot be used as a role name here",
                position=at,
            )  # fmt: skip
        self.expect_words("rename", "to")
        reference = ObjectRef(at, (role.name,))
        return Rename(position, ObjectKind.ROLE, ObjectKind.ROLE, reference, self.role_id())

    def _alter_role_set(self, position: int, role: RoleSpec | None) -> Statement:
        database = None
        if self.accept("in"):
            self.expect("database")
            database = self.col_id()
        return AlterRoleSet(position, role, database, self.set_or_reset())

    def drop_role(self, position: int) -> Statement:
        """From ROLE, USER or GROUP on."""
        self.advance()
        missing_ok = self.if_exists()
        return DropRole(position, self.role_specs(), missing_ok)

    def drop_owned(self, position: int) -> Statement:
        """From OWNED on."""
        self.expect_words("owned", "by")
        return DropOwned(position, self.role_specs(), self.drop_behavior())

    def reassign(self) -> Statement:
        """REASSIGN OWNED BY roles TO role."""
        position = self.position
        self.expect_words("reassign", "owned", "by")
        roles = self.role_specs()
        self.expect("to")
        return ReassignOwned(position, roles, self.role_spec())

    # -- schemas and databases -------------------------------------------------------------------

    def schema_elements(self) -> tuple[Statement, ...]:
        """The statements inside CREATE SCHEMA (defined in `statement`)."""
        raise NotImplementedError

    def create_schema(self, position: int) -> Statement:
        """From SCHEMA on."""
        self.expect("schema")
        if_not_exists = self.if_not_exists()
        name = None if self.kind == "authorization" else self.col_id()
        owner = self.role_spec() if self.accept("authorization") else None
        at = self.position
        elements = self.schema_elements()
        if if_not_exists and elements:
            raise SqlError(
                "0A000", "CREATE SCHEMA IF NOT EXISTS cannot include schema elements", position=at
            )
        return CreateSchema(position, name, owner, if_not_exists, elements)

    def create_database(self, position: int) -> Statement:
        """From DATABASE on."""
        self.expect("database")
        name = self.col_id()
        self.accept("with")
        return CreateDatabase(position, name, self._database_options())

    def _database_options(self) -> tuple[Option, ...]:
        options = []
        while self.kind in _DATABASE_WORDS:
            position, word = self.position, self.kind
            name = str(self.values[self.index])
            self.advance()
            if word == "connection":
                self.expect("limit")
                name = "connection_limit"
            self.accept("=")
            value: OptionValue = None
            if not self.accept("default"):
                value = self._set_value()
            options.append(Option(position, name, value))
        return tuple(options)

    def alter_database(self, position: int) -> Statement:
        """From the database's name on, RENAME and OWNER excepted."""
        name = self.col_id()
        if self.accept_words("refresh", "collation"):
            self.expect("version")
            return AlterDatabaseRefreshCollation(position, name)
        if self.kind == "set" and self.peek() == "tablespace" and self.peek(2) in COL_ID:
            at = self.position
            self.advance()
            self.advance()
            return AlterDatabase(position, name, (Option(at, "tablespace", self.col_id()),))
        if self.kind in ("set", "reset"):
            return AlterDatabaseSet(position, name, self.set_or_reset())
        self.accept("with")
        return AlterDatabase(position, name, self._database_options())

    def drop_database(self, position: int) -> Statement:
        """From DATABASE on."""
        self.expect("database")
        missing_ok = self.if_exists()
        name = self.col_id()
        options: tuple[Option, ...] = ()
        if self.accept("with") or self.kind == "(":
            self.expect("(")
            options = (Option(self.position, "force"),)
            self.expect("force")
            while self.accept(","):
                self.expect("force")
            self.expect(")")
        return DropDatabase(position, name, missing_ok, options)

    # -- GRANT and REVOKE ------------------------------------------------------------------------

    def grant(self) -> Statement:
        """GRANT privileges ON ..., or GRANT roles."""
        position = self.position
        self.expect("grant")
        privileges = self._privileges()
        if self.accept("on"):
            return self._grant_on(position, privileges, default_kinds=False)
        self.expect("to")
        grantees = self.role_specs()
        options = self._membership_options() if self.accept("with") else ()
        return GrantRole(position, True, privileges, grantees, options, self._granted_by())

    def _membership_options(self) -> tuple[Option, ...]:
        """ADMIN OPTION, and PostgreSQL 16's ADMIN | INHERIT | SET { OPTION | TRUE | FALSE }, ..."""
        options = []
        while True:
            position, word = self.position, self.one_of("admin", "inherit", "set")
            value = self.one_of("option", "true", "false") != "false"
            options.append(Option(position, word, value))
            if not self.accept(","):
                return tuple(options)

    def _membership_option(self) -> tuple[Option, ...]:
        """ADMIN | INHERIT | SET OPTION FOR, when REVOKE names one."""
        position, word = self.position, self.kind
        if word in ("admin", "inherit", "set") and self.accept_words(word, "option", "for"):
            return (Option(position, word, False),)
        return ()

    def revoke(self) -> Statement:
        """REVOKE privileges ON ..., or REVOKE roles."""
        position = self.position
        self.expect("revoke")
        if self.accept_words("grant", "option", "for"):
            privileges = self._privileges()
            self.expect("on")
            return self._revoke_on(position, privileges, option=True, default_kinds=False)
        options = self._membership_option()
        privileges = self._privileges()
        if not options and self.accept("on"):
            return self._revoke_on(position, privileges, option=False, default_kinds=False)
        self.expect("from")
        grantees = self.role_specs()
        granted_by = self._granted_by()
        return GrantRole(
            position, False, privileges, grantees, options, granted_by, self.drop_behavior()
        )

    def _privileges(self) -> tuple[PrivilegeItem, ...]:
        position = self.position
        if self.accept("all"):
            self.accept("privileges")
            return (PrivilegeItem(position, None, self.optional_names()),)
        items = []
        while True:
            position, kind = self.position, self.kind
            if kind in ("select", "references", "create"):
                self.advance()
                name = kind
            elif kind == "alter":
                self.expect_words("alter", "system")
                name = "alter system"
            else:
                name = self.col_id()
            columns = self.optional_names() if name != "alter system" else ()
            items.append(PrivilegeItem(position, name, columns))
            if not self.accept(","):
                return tuple(items)

    def _granted_by(self) -> RoleSpec | None:
        if not self.accept("granted"):
            return None
        self.expect("by")
        return self.role_spec()

    def _grantees(self) -> tuple[RoleSpec, ...]:
        grantees = []
        while True:
            if self.kind == "group":
                self.advance()
            grantees.append(self.role_spec())
            if not self.accept(","):
                return tuple(grantees)

    def _grant_on(
        self, position: int, privileges: tuple[PrivilegeItem, ...], *, default_kinds: bool
    ) -> Grant:
        kind, objects, all_in_schema = self._grant_target(default_kinds=default_kinds)
        privileges = self._unmasked_columns(privileges)
        self.expect("to")
        grantees = self._grantees()
        option = False
        if self.accept("with"):
            self.expect_words("grant", "option")
            option = True
        granted_by = None if default_kinds else self._granted_by()
        return Grant(
            position, True, privileges, kind, objects, grantees, all_in_schema, option, granted_by
        )

    def _revoke_on(
        self,
        position: int,
        privileges: tuple[PrivilegeItem, ...],
        *,
        option: bool,
        default_kinds: bool,
    ) -> Grant:
        kind, objects, all_in_schema = self._grant_target(default_kinds=default_kinds)
        privileges = self._unmasked_columns(privileges)
        self.expect("from")
        grantees = self._grantees()
        granted_by = None if default_kinds else self._granted_by()
        behavior: DropBehavior = self.drop_behavior()
        return Grant(
            position, False, privileges, kind, objects, grantees, all_in_schema, option,
            granted_by, behavior,
        )  # fmt: skip

    def _grant_target(
        self, *, default_kinds: bool
    ) -> tuple[ObjectKind, tuple[ObjectRef, ...], bool]:
        if default_kinds:
            return _DEFAULT_KINDS[self.one_of(*_DEFAULT_KINDS)], (), False
        if self.accept("all"):
            kind = _ALL_IN_SCHEMA[self.one_of(*_ALL_IN_SCHEMA)]
            self.expect_words("in", "schema")
            return kind, self._simple_objects(), True
        word, following = self.kind, self.peek()
        if following in COL_ID or word in ("table", "foreign", "large"):
            kind_of_name = _GRANT_NAME_KINDS.get(word)
            if kind_of_name is not None:
                self.advance()
                return kind_of_name, self._simple_objects(), False
            if word in ("table", "sequence"):
                self.advance()
                return ObjectKind(word), self._relation_objects(), False
            if word in ("domain", "type"):
                self.advance()
                return ObjectKind(word), self._named_objects(), False
            if word == "parameter":
                self.advance()
                return ObjectKind.PARAMETER, self._parameter_objects(), False
            if word == "foreign":
                return self._foreign_target()
            if word == "large":
                self.expect_words("large", "object")
                objects = [self.large_object()]
                while self.accept(","):
                    objects.append(self.large_object())
                return ObjectKind.LARGE_OBJECT, tuple(objects), False
        if word in ("function", "procedure", "routine") and following not in (",", "to", "from"):
            self.advance()
            return ObjectKind(word), self.functions_with_types(), False
        return ObjectKind.TABLE, self._relation_objects(), False

    def _unmasked_columns(self, privileges: tuple[PrivilegeItem, ...]) -> tuple[PrivilegeItem, ...]:
        """GRANT UNMASK ON table (column, ...) says the columns where SQL Server does."""
        (item,) = privileges if len(privileges) == 1 else (None,)
        if item is None or item.name != "unmask" or item.columns or self.kind != "(":
            return privileges
        return (PrivilegeItem(item.position, item.name, self.optional_names()),)

    def _foreign_target(self) -> tuple[ObjectKind, tuple[ObjectRef, ...], bool]:
        self.expect("foreign")
        if self.one_of("data", "server") == "server":
            return ObjectKind.FOREIGN_SERVER, self._simple_objects(), False
        self.expect("wrapper")
        return ObjectKind.FOREIGN_DATA_WRAPPER, self._simple_objects(), False

    def _simple_objects(self) -> tuple[ObjectRef, ...]:
        objects = [ObjectRef(self.position, (self.col_id(),))]
        while self.accept(","):
            objects.append(ObjectRef(self.position, (self.col_id(),)))
        return tuple(objects)

    def _relation_objects(self) -> tuple[ObjectRef, ...]:
        return tuple(ObjectRef(name.position, name.parts) for name in self.qualified_names())

    def _named_objects(self) -> tuple[ObjectRef, ...]:
        return tuple(ObjectRef(name.position, name.parts) for name in self.any_names())

    def _parameter_objects(self) -> tuple[ObjectRef, ...]:
        objects = [ObjectRef(self.position, (self.variable_name(),))]
        while self.accept(","):
            objects.append(ObjectRef(self.position, (self.variable_name(),)))
        return tuple(objects)

    def alter_default_privileges(self, position: int) -> Statement:
        """From DEFAULT on."""
        self.expect_words("default", "privileges")
        roles: tuple[RoleSpec, ...] = ()
        schemas: tuple[str, ...] = ()
        while self.kind in ("in", "for"):
            if self.accept("in"):
                self.expect("schema")
                schemas = self.names()
            else:
                self.advance()
                self.one_of("role", "user")
                roles = self.role_specs()
        at, word = self.position, self.one_of("grant", "revoke")
        option = word == "revoke" and self.accept_words("grant", "option", "for")
        privileges = self._privileges()
        self.expect("on")
        if word == "grant":
            action = self._grant_on(at, privileges, default_kinds=True)
        else:
            action = self._revoke_on(at, privileges, option=option, default_kinds=True)
        return AlterDefaultPrivileges(position, roles, schemas, action)

    # -- policies --------------------------------------------------------------------------------

    def create_policy(self, position: int) -> Statement:
        """From POLICY on."""
        self.expect("policy")
        name = self.col_id()
        self.expect("on")
        relation = self.qualified_name()
        permissive = True
        if self.accept("as"):
            at = self.position
            word = self.word_of(frozenset(("IDENT",)))
            if word not in ("permissive", "restrictive"):
                raise SqlError(
                    "42601", f'unrecognized row security option "{word}"', position=at,
                    hint="Only PERMISSIVE or RESTRICTIVE policies are supported currently.",
                )  # fmt: skip
            permissive = word == "permissive"
        command = PolicyCommand.ALL
        if self.accept("for"):
            command = PolicyCommand(self.one_of("all", "select", "insert", "update", "delete"))
        roles = self.role_specs() if self.accept("to") else ()
        using, with_check = self._policy_expressions()
        return CreatePolicy(position, name, relation, permissive, command, roles, using, with_check)

    def _policy_expressions(self) -> tuple[Expression | None, Expression | None]:
        using = with_check = None
        if self.accept("using"):
            self.expect("(")
            using = self.a_expr()
            self.expect(")")
        if self.accept("with"):
            self.expect_words("check", "(")
            with_check = self.a_expr()
            self.expect(")")
        return using, with_check

    def alter_policy(self, position: int) -> Statement:
        """From POLICY on, RENAME included."""
        self.expect("policy")
        missing_ok = self.if_exists()
        at = self.position
        name = self.col_id()
        self.expect("on")
        relation = self.qualified_name()
        if missing_ok or self.kind == "rename":
            self.expect_words("rename", "to")
            reference = ObjectRef(at, (name,), relation=relation)
            return Rename(
                position, ObjectKind.POLICY, ObjectKind.POLICY, reference, self.col_id(),
                missing_ok=missing_ok,
            )  # fmt: skip
        roles = self.role_specs() if self.accept("to") else None
        using, with_check = self._policy_expressions()
        return AlterPolicy(position, name, relation, roles, using, with_check)
