"""ALTER of relations: the commands of ALTER TABLE and its relatives, and RENAME of anything."""

from __future__ import annotations

from typing import Final

from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.extend import ExtendParser
from heliosd.sql.tree import (
    AddColumn,
    AddConstraint,
    AddIdentity,
    AlterColumnType,
    AlterConstraint,
    AlterObjectDepends,
    AlterObjectSchema,
    AlterSequence,
    AlterTable,
    AlterTableCommand,
    AlterTableMoveAll,
    AttachPartition,
    ClusterOn,
    ColumnDefinition,
    Constraint,
    ConstraintKind,
    DetachPartition,
    DropColumn,
    DropConstraint,
    DropExpression,
    DropIdentity,
    ObjectKind,
    ObjectRef,
    Option,
    RangeVar,
    Rename,
    RoleSpec,
    SetAccessMethod,
    SetColumnCompression,
    SetColumnDefault,
    SetColumnFdwOptions,
    SetColumnMask,
    SetColumnNotNull,
    SetColumnOptions,
    SetColumnStatistics,
    SetColumnStorage,
    SetForeignOptions,
    SetIdentity,
    SetInherit,
    SetLogged,
    SetOfType,
    SetOwner,
    SetRelationOptions,
    SetReplicaIdentity,
    SetRowSecurity,
    SetTablespace,
    SetTriggerState,
    SetWithoutOids,
    Statement,
    TriggerState,
    ValidateConstraint,
)

_MOVED: Final = frozenset((ObjectKind.TABLE, ObjectKind.INDEX, ObjectKind.MATERIALIZED_VIEW))
_RENAMES_COLUMNS: Final = frozenset(
    (ObjectKind.TABLE, ObjectKind.VIEW, ObjectKind.MATERIALIZED_VIEW, ObjectKind.FOREIGN_TABLE)
)


class AlterParser(ExtendParser):
    """ALTER TABLE, INDEX, VIEW, SEQUENCE, MATERIALIZED VIEW, FOREIGN TABLE, TYPE."""

    def alter_relation(self, position: int, kind: ObjectKind) -> Statement:
        """From behind the kind's words on."""
        if self.kind == "all" and kind in _MOVED:
            return self._move_all(position, kind)
        missing_ok = self.if_exists()
        if kind in (ObjectKind.TABLE, ObjectKind.FOREIGN_TABLE):
            relation = self.relation_expr()
        else:
            name = self.qualified_name()
            relation = RangeVar(name.position, name)
        reference = ObjectRef(relation.position, relation.name.parts)
        if self.kind == "rename":
            return self._rename_in(position, kind, relation, missing_ok=missing_ok)
        if self.kind == "set" and self.peek() == "schema":
            self.advance()
            self.advance()
            return AlterObjectSchema(position, kind, reference, self.col_id(), missing_ok)
        if self.kind == "depends" or (self.kind == "no" and self.peek() == "depends"):
            return self.depends(position, kind, reference)
        if kind is ObjectKind.SEQUENCE and not self._is_table_command():
            options = self.sequence_options()
            if not options:
                self.fail()
            return AlterSequence(position, relation.name, options, missing_ok)
        commands = [self._command(kind)]
        alone = isinstance(commands[0], (AttachPartition, DetachPartition))
        while not alone and self.accept(","):
            commands.append(self._command(kind))
        return AlterTable(position, kind, relation, tuple(commands), missing_ok)

    def _is_table_command(self) -> bool:
        """Whether ALTER SEQUENCE goes on like ALTER TABLE (OWNER TO, SET LOGGED)."""
        if self.kind == "owner":
            return True
        return self.kind in ("set", "add", "alter", "drop", "reset", "enable", "disable")

    def _move_all(self, position: int, kind: ObjectKind) -> Statement:
        self.expect_words("all", "in", "tablespace")
        old = self.col_id()
        roles: tuple[RoleSpec, ...] = ()
        if self.accept("owned"):
            self.expect("by")
            roles = self.role_specs()
        self.expect_words("set", "tablespace")
        new = self.col_id()
        return AlterTableMoveAll(position, kind, old, new, roles, self.accept("nowait"))

    def depends(self, position: int, kind: ObjectKind, reference: ObjectRef) -> Statement:
        """[NO] DEPENDS ON EXTENSION name."""
        remove = self.accept("no")
        self.expect_words("depends", "on", "extension")
        return AlterObjectDepends(position, kind, reference, self.col_id(), remove)

    def _rename_in(
        self, position: int, kind: ObjectKind, relation: RangeVar, *, missing_ok: bool
    ) -> Statement:
        self.expect("rename")
        reference = ObjectRef(relation.position, relation.name.parts)
        if self.accept("to"):
            return Rename(
                position, kind, kind, reference, self.col_id(), None, missing_ok, relation.inherit
            )
        if kind not in _RENAMES_COLUMNS:
            self.fail()
        renamed = ObjectKind.COLUMN
        if kind is ObjectKind.TABLE and self.kind == "constraint":
            self.advance()
            renamed = ObjectKind.TABLE_CONSTRAINT
        elif self.kind == "column":
            self.advance()
        old = self.col_id()
        self.expect("to")
        return Rename(
            position, renamed, kind, reference, self.col_id(), old, missing_ok, relation.inherit
        )

    # -- commands --------------------------------------------------------------------------------

    def _command(self, kind: ObjectKind) -> AlterTableCommand:
        position, word = self.position, self.kind
        handler = {
            "add": self._add,
            "alter": self._alter,
            "drop": self._drop,
            "set": self._set_command,
            "enable": self._enable,
            "disable": self._enable,
        }.get(word)
        if handler is not None:
            self.advance()
            return handler(position)
        return self._rare_command(position, kind)

    def _rare_command(self, position: int, kind: ObjectKind) -> AlterTableCommand:
        word = self.kind
        if word == "options":
            return SetForeignOptions(position, self.alter_generic_options())
        self.advance()
        if word == "owner":
            self.expect("to")
            return SetOwner(position, self.role_spec())
        if word == "validate":
            self.expect("constraint")
            return ValidateConstraint(position, self.col_id())
        if word == "cluster":
            self.expect("on")
            return ClusterOn(position, self.col_id())
        if word == "inherit":
            return SetInherit(position, self.qualified_name(), True)
        if word == "no":
            if self.accept("inherit"):
                return SetInherit(position, self.qualified_name(), False)
            self.expect_words("force", "row", "level", "security")
            return SetRowSecurity(position, force=False)
        if word == "force":
            self.expect_words("row", "level", "security")
            return SetRowSecurity(position, force=True)
        if word == "of":
            return SetOfType(position, self.any_name_node())
        if word == "not":
            self.expect("of")
            return SetOfType(position, None)
        if word == "reset":
            return SetRelationOptions(position, self.relation_options(), True)
        if word == "replica":
            return self._replica_identity(position)
        if word == "attach":
            self.expect("partition")
            partition = self.qualified_name()
            bound = None if kind is ObjectKind.INDEX else self.partition_bound()
            return AttachPartition(position, partition, bound)
        if word == "detach" and kind is ObjectKind.TABLE:
            self.expect("partition")
            partition = self.qualified_name()
            concurrent = self.accept("concurrently")
            finalize = not concurrent and self.accept("finalize")
            return DetachPartition(position, partition, concurrent, finalize)
        self.index -= 1
        self.kind = self.kinds[self.index]
        return self.fail()

    def _replica_identity(self, position: int) -> AlterTableCommand:
        self.expect("identity")
        word = self.one_of("nothing", "full", "default", "using")
        if word != "using":
            return SetReplicaIdentity(position, word)
        self.expect("index")
        return SetReplicaIdentity(position, "index", self.col_id())

    def _add(self, position: int) -> AlterTableCommand:
        if self._starts_constraint():
            return AddConstraint(position, self.table_constraint())
        self.accept("column")
        if_not_exists = self.if_not_exists()
        return AddColumn(position, self.column_definition(), if_not_exists)

    def _drop(self, position: int) -> AlterTableCommand:
        if self.accept("constraint"):
            missing_ok = self.if_exists()
            name = self.col_id()
            return DropConstraint(position, name, missing_ok, self.drop_behavior())
        self.accept("column")
        missing_ok = self.if_exists()
        name = self.col_id()
        return DropColumn(position, name, missing_ok, self.drop_behavior())

    def _set_command(self, position: int) -> AlterTableCommand:
        word = self.kind
        if word == "(":
            return SetRelationOptions(position, self.relation_options())
        self.advance()
        if word == "tablespace":
            return SetTablespace(position, self.col_id())
        if word in ("logged", "unlogged"):
            return SetLogged(position, word == "logged")
        if word == "access":
            self.expect("method")
            return SetAccessMethod(position, self.col_id())
        if word == "without":
            if self.one_of("oids", "cluster") == "oids":
                return SetWithoutOids(position)
            return ClusterOn(position, None)
        self.index -= 1
        self.kind = self.kinds[self.index]
        return self.fail()

    def _enable(self, position: int) -> AlterTableCommand:
        state = TriggerState.ENABLE if self.kinds[self.index - 1] == "enable" else None
        if state is None:
            state = TriggerState.DISABLE
        elif self.kind in ("always", "replica"):
            state = TriggerState.ALWAYS if self.kind == "always" else TriggerState.REPLICA
            self.advance()
        plain = state in (TriggerState.ENABLE, TriggerState.DISABLE)
        if plain and self.kind == "row":
            self.expect_words("row", "level", "security")
            return SetRowSecurity(position, enable=state is TriggerState.ENABLE)
        if self.one_of("trigger", "rule") == "rule":
            return SetTriggerState(position, state, self.col_id(), rule=True)
        if plain and self.kind in ("all", "user"):
            user = self.kind == "user"
            self.advance()
            return SetTriggerState(position, state, None, user)
        return SetTriggerState(position, state, self.col_id())

    # -- ALTER COLUMN ----------------------------------------------------------------------------

    def _alter(self, position: int) -> AlterTableCommand:
        if self.kind == "constraint":
            self.advance()
            at = self.position
            name = self.col_id()
            attributes = self.constraint_attributes()
            return AlterConstraint(
                position,
                Constraint(
                    at, ConstraintKind.FOREIGN, name, deferrable=attributes.deferrable,
                    initially_deferred=attributes.initially_deferred,
                ),
            )  # fmt: skip
        self.accept("column")
        if self.kind == "ICONST":
            number = self.integer()
            self.expect_words("set", "statistics")
            return SetColumnStatistics(position, number, self.signed_integer())
        name = self.col_id()
        word = self.one_of("set", "drop", "reset", "type", "add", "options", "restart")
        if word == "drop":
            return self._drop_from_column(position, name)
        if word == "type":
            return self._column_type(position, name)
        if word == "reset":
            return SetColumnOptions(position, name, self.relation_options(), True)
        if word == "add":
            if self._accept_masked():
                self.expect_words("with", "(", "function", "=")
                mask = self.string()
                self.expect(")")
                return SetColumnMask(position, name, mask)
            self.expect("generated")
            when = self.generated_when()
            self.expect_words("as", "identity")
            options = self.parenthesised_sequence_options()
            identity = Constraint(
                position, ConstraintKind.IDENTITY, generated=when, sequence_options=options
            )
            return AddIdentity(position, name, identity)
        if word == "options":
            self.index -= 1
            self.kind = self.kinds[self.index]
            return SetColumnFdwOptions(position, name, self.alter_generic_options())
        if word == "set" and self.kind not in _IDENTITY_OPTIONS:
            return self._set_on_column(position, name)
        self.index -= 1
        self.kind = self.kinds[self.index]
        return SetIdentity(position, name, self._identity_options())

    def _accept_masked(self) -> bool:
        """MASKED is no keyword: it may go on being a name everywhere else."""
        found = self.kind == "IDENT" and self.values[self.index] == "masked"
        if found:
            self.advance()
        return found

    def _drop_from_column(self, position: int, name: str) -> AlterTableCommand:
        if self._accept_masked():
            return SetColumnMask(position, name, None)
        word = self.one_of("default", "not", "expression", "identity")
        if word == "default":
            return SetColumnDefault(position, name, None)
        if word == "not":
            self.expect("null")
            return SetColumnNotNull(position, name, False)
        missing_ok = self.if_exists()
        if word == "expression":
            return DropExpression(position, name, missing_ok)
        return DropIdentity(position, name, missing_ok)

    def _set_on_column(self, position: int, name: str) -> AlterTableCommand:
        word = self.kind
        if word == "(":
            return SetColumnOptions(position, name, self.relation_options())
        if word == "compression":
            return SetColumnCompression(position, name, self.compression())
        word = self.one_of("default", "not", "statistics", "storage", "data")
        if word == "default":
            return SetColumnDefault(position, name, self.a_expr())
        if word == "not":
            self.expect("null")
            return SetColumnNotNull(position, name, True)
        if word == "statistics":
            return SetColumnStatistics(position, name, self.signed_integer())
        if word == "storage":
            return SetColumnStorage(position, name, self.col_id())
        self.expect("type")
        return self._column_type(position, name)

    def _column_type(self, position: int, name: str) -> AlterTableCommand:
        new_type = self.type_name()
        collation = self.collation()
        using = self.a_expr() if self.accept("using") else None
        return AlterColumnType(position, name, new_type, collation, using)

    def _identity_options(self) -> tuple[Option, ...]:
        options = []
        while self.kind in ("restart", "set"):
            position = self.position
            if self.kind == "set":
                self.advance()
                if self.accept("generated"):
                    options.append(Option(position, "generated", self.generated_when().value))
                    continue
                if self.kind not in _IDENTITY_OPTIONS:
                    self.fail()
            option = self._sequence_option()
            assert option is not None
            options.append(option)
        return tuple(options)

    # -- ALTER TYPE (attributes) -----------------------------------------------------------------

    def alter_attributes(self, position: int, relation: RangeVar) -> Statement:
        """ADD, DROP, ALTER ATTRIBUTE."""
        commands = [self._attribute_command()]
        while self.accept(","):
            commands.append(self._attribute_command())
        return AlterTable(position, ObjectKind.TYPE, relation, tuple(commands))

    def _attribute_command(self) -> AlterTableCommand:
        position = self.position
        word = self.one_of("add", "drop", "alter")
        self.expect("attribute")
        if word == "add":
            at = self.position
            name = self.col_id()
            column = ColumnDefinition(at, name, self.type_name(), (), self.collation())
            return AddColumn(position, column, False, self.drop_behavior())
        if word == "drop":
            missing_ok = self.if_exists()
            name = self.col_id()
            return DropColumn(position, name, missing_ok, self.drop_behavior())
        name = self.col_id()
        if self.accept("set"):
            self.expect("data")
        self.expect("type")
        new_type = self.type_name()
        collation = self.collation()
        return AlterColumnType(position, name, new_type, collation, None, self.drop_behavior())

    def is_name(self) -> bool:
        """Whether the cursor is on a name."""
        return self.kind in COL_ID


_IDENTITY_OPTIONS: Final = frozenset(
    ("as", "cache", "cycle", "increment", "maxvalue", "minvalue", "no", "owned", "sequence",
     "start", "restart", "generated", "logged", "unlogged")
)  # fmt: skip
