"""CREATE of tables, indexes, views, sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from heliosd.errors import SqlError, not_supported
from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.definition import DefinitionParser
from heliosd.sql.tree import (
    CheckOption,
    ColumnDefinition,
    ColumnRef,
    CommonTable,
    Constraint,
    ConstraintKind,
    CreateIndex,
    CreateSequence,
    CreateTable,
    CreateTableAs,
    CreateView,
    Expression,
    ForeignKeyAction,
    ForeignKeyMatch,
    GeneratedWhen,
    IndexElement,
    OnCommit,
    Option,
    PartitionBound,
    PartitionElement,
    PartitionSpec,
    Persistence,
    QualifiedName,
    Query,
    RefreshMaterializedView,
    ResultTarget,
    Select,
    Statement,
    TableElement,
    TableLike,
    WithClause,
)
from heliosd.sql.tree import RangeVar as Relation

_LIKE_OPTIONS: Final = (
    "comments", "compression", "constraints", "defaults", "identity", "generated", "indexes",
    "statistics", "storage", "all",
)  # fmt: skip
_CONSTRAINT_STARTS: Final = frozenset(
    ("constraint", "check", "unique", "primary", "exclude", "foreign")
)


@dataclass(slots=True)
class _Attributes:
    """DEFERRABLE and the rest of a constraint's attributes, while they are read."""

    deferrable: bool | None = None
    initially_deferred: bool | None = None
    not_valid: bool = False
    no_inherit: bool = False


@dataclass(slots=True)
class _TableTail:
    """What may follow a table's elements."""

    access_method: str | None = None
    options: tuple[Option, ...] = ()
    on_commit: OnCommit = OnCommit.NOOP
    tablespace: str | None = None


class TableParser(DefinitionParser):
    """CREATE TABLE and its neighbours."""

    # -- CREATE TABLE ----------------------------------------------------------------------------

    def create_table(self, position: int, persistence: Persistence) -> Statement:
        """From the word TABLE on."""
        self.expect("table")
        if_not_exists = self.if_not_exists()
        name = self.qualified_name()
        if self.kind == "of":
            self.advance()
            of_type = self.any_name_node()
            elements = self._typed_elements()
            return self._finish_table(
                position, name, elements, persistence, if_not_exists=if_not_exists, of_type=of_type
            )
        if self.kind == "partition":
            self.expect_words("partition", "of")
            parent = self.qualified_name()
            elements = self._typed_elements()
            bound = self.partition_bound()
            return self._finish_table(
                position, name, elements, persistence,
                if_not_exists=if_not_exists, partition_of=parent, bound=bound,
            )  # fmt: skip
        if self.kind == "(" and not self._column_list_only():
            elements = self._elements()
            inherits: tuple[QualifiedName, ...] = ()
            if self.accept("inherits"):
                self.expect("(")
                inherits = self.qualified_names()
                self.expect(")")
            return self._finish_table(
                position, name, elements, persistence,
                if_not_exists=if_not_exists, inherits=inherits,
            )  # fmt: skip
        columns = self.optional_names()
        tail = self._table_tail()
        self.expect("as")
        query = self._as_query()
        return CreateTableAs(
            position, name, query, columns, persistence, if_not_exists, self._with_data(), False,
            tail.access_method, tail.options, tail.on_commit, tail.tablespace,
        )  # fmt: skip

    def _column_list_only(self) -> bool:
        """Whether the parentheses hold bare names: the columns of CREATE TABLE AS."""
        return self.peek() in COL_ID and self.peek(2) in (",", ")")

    def _as_query(self) -> Statement:
        return self.execute() if self.kind == "execute" else self.select_statement()

    def _with_data(self) -> bool:
        if self.kind != "with":
            return True
        self.advance()
        data = not self.accept("no")
        self.expect("data")
        return data

    def _finish_table(
        self,
        position: int,
        name: QualifiedName,
        elements: tuple[TableElement, ...],
        persistence: Persistence,
        *,
        if_not_exists: bool,
        inherits: tuple[QualifiedName, ...] = (),
        of_type: QualifiedName | None = None,
        partition_of: QualifiedName | None = None,
        bound: PartitionBound | None = None,
    ) -> Statement:
        partition_by = self._partition_by() if self.kind == "partition" else None
        tail = self._table_tail()
        return CreateTable(
            position, name, elements, persistence, if_not_exists, inherits, partition_by,
            partition_of, bound, of_type, tail.access_method, tail.options, tail.on_commit,
            tail.tablespace,
        )  # fmt: skip

    def create_foreign_table(self, position: int) -> Statement:
        """From FOREIGN TABLE on."""
        self.expect_words("foreign", "table")
        if_not_exists = self.if_not_exists()
        name = self.qualified_name()
        parent = bound = None
        inherits: tuple[QualifiedName, ...] = ()
        if self.kind == "partition":
            self.expect_words("partition", "of")
            parent = self.qualified_name()
            elements = self._typed_elements()
            bound = self.partition_bound()
        else:
            elements = self._elements()
            if self.accept("inherits"):
                self.expect("(")
                inherits = self.qualified_names()
                self.expect(")")
        self.expect("server")
        server = self.col_id()
        return CreateTable(
            position, name, elements, if_not_exists=if_not_exists, inherits=inherits,
            partition_of=parent, bound=bound, foreign_server=server,
            foreign_options=self.generic_options(),
        )  # fmt: skip

    def _table_tail(self) -> _TableTail:
        tail = _TableTail()
        if self.accept("using"):
            tail.access_method = self.col_id()
        if self.kind == "with":
            self.advance()
            tail.options = self.relation_options()
        elif self.kind == "without":
            self.expect_words("without", "oids")
        if self.kind == "on":
            self.expect_words("on", "commit")
            tail.on_commit = self._on_commit()
        if self.accept("tablespace"):
            tail.tablespace = self.col_id()
        return tail

    def _on_commit(self) -> OnCommit:
        word = self.one_of("drop", "delete", "preserve")
        if word == "drop":
            return OnCommit.DROP
        self.expect("rows")
        return OnCommit.DELETE_ROWS if word == "delete" else OnCommit.PRESERVE_ROWS

    # -- partitions ------------------------------------------------------------------------------

    def _partition_by(self) -> PartitionSpec:
        position = self.position
        self.expect_words("partition", "by")
        strategy = self.col_id()
        self.expect("(")
        elements = [self._partition_element()]
        while self.accept(","):
            elements.append(self._partition_element())
        self.expect(")")
        return PartitionSpec(position, strategy.lower(), tuple(elements))

    def _partition_element(self) -> PartitionElement:
        position = self.position
        name, expression = self.name_or_expression()
        collation = self.collation()
        operator_class = self.any_name() if self.kind in COL_ID else None
        return PartitionElement(position, name, expression, collation, operator_class)

    def partition_bound(self) -> PartitionBound:
        """FOR VALUES ..., or DEFAULT."""
        position = self.position
        if self.accept("default"):
            return PartitionBound(position, default=True)
        self.expect_words("for", "values")
        if self.accept("in"):
            values = self._bound_values()
            return PartitionBound(position, strategy="list", values=values)
        if self.accept("from"):
            lower = self._bound_values()
            self.expect("to")
            return PartitionBound(
                position, strategy="range", lower=lower, upper=self._bound_values()
            )
        self.expect("with")
        return self._hash_bound(position)

    def _bound_values(self) -> tuple[Expression, ...]:
        self.expect("(")
        values = self.expression_list()
        self.expect(")")
        return values

    def _hash_bound(self, position: int) -> PartitionBound:
        self.expect("(")
        numbers: dict[str, int] = {}
        while True:
            at = self.position
            word = self.non_reserved_word_or_string()
            if word not in ("modulus", "remainder"):
                raise SqlError(
                    "42601", f'unrecognized hash partition bound specification "{word}"',
                    position=at,
                )  # fmt: skip
            if word in numbers:
                raise SqlError(
                    "42710", f"{word} for hash partition provided more than once", position=at
                )
            numbers[word] = self.integer()
            if not self.accept(","):
                break
        self.expect(")")
        for word in ("modulus", "remainder"):
            if word not in numbers:
                raise SqlError("42601", f"{word} for hash partition must be specified")
        return PartitionBound(
            position, strategy="hash", modulus=numbers["modulus"], remainder=numbers["remainder"]
        )

    # -- columns ---------------------------------------------------------------------------------

    def _elements(self) -> tuple[TableElement, ...]:
        self.expect("(")
        elements: list[TableElement] = []
        if self.kind != ")":
            elements.append(self._element())
            while self.accept(","):
                elements.append(self._element())
        self.expect(")")
        return tuple(elements)

    def _element(self) -> TableElement:
        if self.kind == "like":
            return self._like_clause()
        if self._starts_constraint():
            return self.table_constraint()
        return self.column_definition()

    def _starts_constraint(self) -> bool:
        """Whether a table constraint starts here; EXCLUDE may also name a column."""
        if self.kind == "exclude":
            return self.peek() in ("(", "using")
        return self.kind in _CONSTRAINT_STARTS

    def _like_clause(self) -> TableLike:
        position = self.position
        self.advance()
        relation = self.qualified_name()
        options = []
        while self.kind in ("including", "excluding"):
            included = self.kind == "including"
            self.advance()
            options.append((self.one_of(*_LIKE_OPTIONS), included))
        return TableLike(position, relation, tuple(options))

    def _typed_elements(self) -> tuple[TableElement, ...]:
        if self.kind != "(":
            return ()
        self.advance()
        elements: list[TableElement] = []
        while True:
            if self._starts_constraint():
                elements.append(self.table_constraint())
            else:
                position = self.position
                name = self.col_id()
                if self.accept("with"):
                    self.expect("options")
                constraints, collation = self.column_constraints()
                elements.append(ColumnDefinition(position, name, None, constraints, collation))
            if not self.accept(","):
                break
        self.expect(")")
        return tuple(elements)

    def column_definition(self) -> ColumnDefinition:
        """`name type constraints`."""
        position = self.position
        name = self.col_id()
        column_type = self.type_name()
        compression = self.compression() if self.kind == "compression" else None
        fdw_options = self.generic_options()
        constraints, collation = self.column_constraints()
        return ColumnDefinition(
            position, name, column_type, constraints, collation, compression, fdw_options
        )

    def compression(self) -> str:
        """COMPRESSION method."""
        self.expect("compression")
        return "default" if self.accept("default") else self.col_id()

    def column_constraints(self) -> tuple[tuple[Constraint, ...], tuple[str, ...] | None]:
        """All constraints of a column, and its collation."""
        constraints: list[Constraint] = []
        collation: tuple[str, ...] | None = None
        while True:
            position = self.position
            if self.kind == "collate":
                if collation is not None:
                    raise SqlError(
                        "42601", "multiple COLLATE clauses not allowed", position=position
                    )
                collation = self.collation()
                continue
            name = None
            if self.kind == "constraint":
                self.advance()
                name = self.col_id()
            constraint = self._column_constraint(position, name)
            if constraint is not None:
                constraints.append(constraint)
            elif name is not None:
                self.fail()
            elif not self._column_attribute(constraints):
                return tuple(constraints), collation

    def _column_constraint(self, position: int, name: str | None) -> Constraint | None:
        kind, kinds = self.kind, ConstraintKind
        if kind == "not" and self.peek() != "deferrable":
            self.advance()
            self.expect("null")
            return Constraint(position, kinds.NOT_NULL, name)
        if kind == "null":
            self.advance()
            return Constraint(position, kinds.NULL, name)
        if kind == "default":
            self.advance()
            return Constraint(position, kinds.DEFAULT, name, self.b_expr())
        if kind == "check":
            expression = self._check()
            return Constraint(
                position, kinds.CHECK, name, expression, no_inherit=self._no_inherit()
            )
        if kind in ("unique", "primary"):
            distinct = self._key_words()
            options, tablespace = self._index_storage()
            return Constraint(
                position, kinds.UNIQUE if kind == "unique" else kinds.PRIMARY, name,
                options=options, tablespace=tablespace, nulls_not_distinct=distinct,
            )  # fmt: skip
        if kind == "references":
            return self._references(position, name, (), _Attributes())
        if kind == "generated":
            return self._generated(position, name)
        return None

    def _column_attribute(self, constraints: list[Constraint]) -> bool:
        """DEFERRABLE and INITIALLY after a constraint: changes the last one."""
        kind = self.kind
        if not (
            kind in ("deferrable", "initially") or (kind == "not" and self.peek() == "deferrable")
        ):
            return False
        position = self.position
        attributes = _Attributes()
        self._attribute(attributes)
        if not constraints or constraints[-1].kind not in _DEFERRABLE:
            words = {"deferrable": "DEFERRABLE", "not": "NOT DEFERRABLE"}
            word = words.get(kind) or (
                "INITIALLY DEFERRED" if attributes.initially_deferred else "INITIALLY IMMEDIATE"
            )
            raise SqlError("42601", f"misplaced {word} clause", position=position)
        last = constraints[-1]
        if attributes.deferrable is not None and last.deferrable is not None:
            raise SqlError(
                "42601", "multiple DEFERRABLE/NOT DEFERRABLE clauses not allowed",
                position=position,
            )  # fmt: skip
        if attributes.initially_deferred is not None and last.initially_deferred is not None:
            raise SqlError(
                "42601", "multiple INITIALLY IMMEDIATE/DEFERRED clauses not allowed",
                position=position,
            )  # fmt: skip
        constraints[-1] = self._with_attributes(last, attributes, position)
        return True

    def _with_attributes(
        self, constraint: Constraint, attributes: _Attributes, position: int
    ) -> Constraint:
        deferrable = attributes.deferrable
        deferred = attributes.initially_deferred
        if deferrable is None:
            deferrable = constraint.deferrable
        if deferred is None:
            deferred = constraint.initially_deferred
        if deferred and deferrable is False:
            raise SqlError(
                "42601", "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
                position=position,
            )  # fmt: skip
        return replace(constraint, deferrable=deferrable, initially_deferred=deferred)

    def _generated(self, position: int, name: str | None) -> Constraint:
        self.expect("generated")
        at = self.position
        when = self.generated_when()
        self.expect("as")
        if self.accept("identity"):
            return Constraint(
                position, ConstraintKind.IDENTITY, name, generated=when,
                sequence_options=self.parenthesised_sequence_options(),
            )  # fmt: skip
        self.expect("(")
        expression = self.a_expr()
        self.expect(")")
        self.expect("stored")
        if when is not GeneratedWhen.ALWAYS:
            raise SqlError(
                "42601", "for a generated column, GENERATED ALWAYS must be specified", position=at
            )
        return Constraint(position, ConstraintKind.GENERATED, name, expression, generated=when)

    def generated_when(self) -> GeneratedWhen:
        """ALWAYS or BY DEFAULT."""
        if self.accept("always"):
            return GeneratedWhen.ALWAYS
        self.expect_words("by", "default")
        return GeneratedWhen.BY_DEFAULT

    # -- constraints -----------------------------------------------------------------------------

    def _check(self) -> Expression:
        self.expect_words("check", "(")
        expression = self.a_expr()
        self.expect(")")
        return expression

    def _no_inherit(self) -> bool:
        if self.kind == "no" and self.peek() == "inherit":
            self.advance()
            self.advance()
            return True
        return False

    def _key_words(self) -> bool:
        """UNIQUE [NULLS [NOT] DISTINCT] or PRIMARY KEY: whether NULLs are not distinct."""
        if self.one_of("unique", "primary") == "primary":
            self.expect("key")
            return False
        return self.nulls_treatment()

    def nulls_treatment(self) -> bool:
        """NULLS [NOT] DISTINCT: whether NULLs are not distinct."""
        if self.kind != "nulls" or self.peek() not in ("not", "distinct"):
            return False
        self.advance()
        negated = self.accept("not")
        self.expect("distinct")
        return negated

    def _index_storage(self) -> tuple[tuple[Option, ...], str | None]:
        options: tuple[Option, ...] = ()
        if self.kind == "with" and self.peek() == "(":
            self.advance()
            options = self.definition()
        tablespace = None
        if self.accept_words("using", "index", "tablespace"):
            tablespace = self.col_id()
        return options, tablespace

    def _include(self) -> tuple[str, ...]:
        return self.names_in_parentheses() if self.accept("include") else ()

    def table_constraint(self) -> Constraint:
        """A table constraint with its attributes."""
        position = self.position
        name = None
        if self.accept("constraint"):
            name = self.col_id()
        kind = self.kind
        if kind == "check":
            return self._table_check(position, name)
        if kind in ("unique", "primary"):
            return self._table_key(position, name)
        if kind == "exclude":
            return self._exclude(position, name)
        self.expect_words("foreign", "key")
        columns = self.names_in_parentheses()
        if self.kind != "references":
            self.fail()
        return self._references(position, name, columns, None)

    def _table_check(self, position: int, name: str | None) -> Constraint:
        expression = self._check()
        attributes = self._attributes("CHECK", not_valid=True, no_inherit=True, deferrable=False)
        return Constraint(
            position, ConstraintKind.CHECK, name, expression,
            no_inherit=attributes.no_inherit, not_valid=attributes.not_valid,
        )  # fmt: skip

    def _table_key(self, position: int, name: str | None) -> Constraint:
        word = self.kind
        kind = ConstraintKind.UNIQUE if word == "unique" else ConstraintKind.PRIMARY
        distinct = self._key_words()
        columns: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        options: tuple[Option, ...] = ()
        index = tablespace = None
        if self.kind == "using":
            self.expect_words("using", "index")
            index = self.col_id()
        else:
            columns = self.names_in_parentheses()
            include = self._include()
            options, tablespace = self._index_storage()
        attributes = self._attributes(word.upper() + (" KEY" if word == "primary" else ""))
        return Constraint(
            position, kind, name, columns=columns, include=include, index=index, options=options,
            tablespace=tablespace, nulls_not_distinct=distinct, deferrable=attributes.deferrable,
            initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _exclude(self, position: int, name: str | None) -> Constraint:
        self.advance()
        method = self.col_id() if self.accept("using") else "gist"
        self.expect("(")
        exclusions: list[tuple[IndexElement, tuple[str, ...]]] = []
        while True:
            element = self.index_element()
            self.expect("with")
            if self.kind == "operator" and self.peek() == "(":
                operator = self.qualified_any_operator()
            else:
                operator = self.any_operator()
            exclusions.append((element, operator))
            if not self.accept(","):
                break
        self.expect(")")
        include = self._include()
        options, tablespace = self._index_storage()
        where = None
        if self.accept("where"):
            self.expect("(")
            where = self.a_expr()
            self.expect(")")
        attributes = self._attributes("EXCLUDE")
        return Constraint(
            position, ConstraintKind.EXCLUSION, name, include=include, options=options,
            tablespace=tablespace, access_method=method, exclusions=tuple(exclusions), where=where,
            deferrable=attributes.deferrable, initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _references(
        self,
        position: int,
        name: str | None,
        columns: tuple[str, ...],
        attributes: _Attributes | None,
    ) -> Constraint:
        """REFERENCES ...; a table's constraint (no `attributes` yet) reads them at its end."""
        self.expect("references")
        referenced = self.qualified_name()
        referenced_columns = self.optional_names()
        match = ForeignKeyMatch.SIMPLE
        if self.kind == "match":
            at = self.position
            self.advance()
            match = ForeignKeyMatch(self.one_of("full", "partial", "simple"))
            if match is ForeignKeyMatch.PARTIAL:
                raise SqlError("0A000", "MATCH PARTIAL not yet implemented", position=at)
        actions: dict[str, ForeignKeyAction] = {}
        set_columns: tuple[str, ...] = ()
        while self.kind == "on":
            at = self.position
            self.advance()
            event = self.one_of("update", "delete")
            if event in actions:
                self.index -= 1
                self.kind = self.kinds[self.index]
                self.fail()
            actions[event], listed = self._foreign_key_action(event, at)
            set_columns = listed or set_columns
        if attributes is None:
            attributes = self._attributes("FOREIGN KEY", not_valid=True)
        return Constraint(
            position, ConstraintKind.FOREIGN, name, columns=columns, referenced=referenced,
            referenced_columns=referenced_columns, match=match,
            on_delete=actions.get("delete", ForeignKeyAction.NO_ACTION),
            on_update=actions.get("update", ForeignKeyAction.NO_ACTION),
            set_columns=set_columns, not_valid=attributes.not_valid,
            deferrable=attributes.deferrable, initially_deferred=attributes.initially_deferred,
        )  # fmt: skip

    def _foreign_key_action(self, event: str, at: int) -> tuple[ForeignKeyAction, tuple[str, ...]]:
        word = self.one_of("no", "restrict", "cascade", "set")
        if word == "no":
            self.expect("action")
            return ForeignKeyAction.NO_ACTION, ()
        if word != "set":
            return ForeignKeyAction(word), ()
        action = ForeignKeyAction("set " + self.one_of("null", "default"))
        columns = self.optional_names()
        if columns and event == "update":
            raise SqlError(
                "0A000",
                f"a column list with {action.value.upper()} is only supported for"
                " ON DELETE actions",
                position=at,
            )
        return action, columns

    def constraint_attributes(self) -> _Attributes:
        """The attributes of ALTER CONSTRAINT and CREATE CONSTRAINT TRIGGER."""
        return self._attributes("FOREIGN KEY", placed=False)

    def _attributes(
        self, what: str, *, not_valid: bool = False, no_inherit: bool = False,
        deferrable: bool = True, placed: bool = True,
    ) -> _Attributes:  # fmt: skip
        attributes = _Attributes()
        start = self.position if placed else 0
        while self._attribute(attributes, table=True):
            pass
        for given, allowed, word in (
            (attributes.deferrable or attributes.initially_deferred, deferrable, "DEFERRABLE"),
            (attributes.not_valid, not_valid, "NOT VALID"),
            (attributes.no_inherit, no_inherit, "NO INHERIT"),
        ):
            if given and not allowed:
                raise SqlError(
                    "0A000", f"{what} constraints cannot be marked {word}", position=start
                )
        if attributes.initially_deferred and attributes.deferrable is None:
            attributes.deferrable = True
        return attributes

    def _attribute(self, attributes: _Attributes, *, table: bool = False) -> bool:
        position, kind, following = self.position, self.kind, self.peek()
        if kind == "deferrable":
            if attributes.deferrable is False:
                self._conflicting(position)
            attributes.deferrable = True
        elif kind == "not" and following == "deferrable":
            self.advance()
            if attributes.deferrable or attributes.initially_deferred:
                self._conflicting(position, deferred=not attributes.deferrable)
            attributes.deferrable = False
        elif table and kind == "not" and following != "valid":
            self.advance()
            self.fail()
        elif kind == "initially":
            self.advance()
            deferred = self.kind == "deferred"
            if not deferred and self.kind != "immediate":
                self.fail()
            if attributes.initially_deferred not in (None, deferred):
                self._conflicting(position)
            if deferred and attributes.deferrable is False:
                self._conflicting(position, deferred=True)
            attributes.initially_deferred = deferred
        elif table and kind == "not" and following == "valid":
            self.advance()
            attributes.not_valid = True
        elif table and kind == "no" and following == "inherit":
            self.advance()
            attributes.no_inherit = True
        else:
            return False
        self.advance()
        return True

    def _conflicting(self, position: int, *, deferred: bool = False) -> None:
        message = "conflicting constraint properties"
        if deferred:
            message = "constraint declared INITIALLY DEFERRED must be DEFERRABLE"
        raise SqlError("42601", message, position=position)

    # -- indexes, views, sequences ---------------------------------------------------------------

    def create_index(self, position: int) -> Statement:
        """From UNIQUE or INDEX on."""
        unique = self.accept("unique")
        self.expect("index")
        concurrent = self.accept("concurrently")
        if_not_exists = self.if_not_exists()
        name = None
        if if_not_exists or self.kind != "on":
            name = self.col_id()
        self.expect("on")
        relation = self.relation_expr()
        method = self.col_id() if self.accept("using") else "btree"
        elements = self.index_elements()
        include = self.index_elements() if self.accept("include") else ()
        distinct = self.nulls_treatment()
        options: tuple[Option, ...] = ()
        if self.accept("with"):
            options = self.relation_options()
        tablespace = self.col_id() if self.accept("tablespace") else None
        where = self.a_expr() if self.accept("where") else None
        return CreateIndex(
            position, relation, name, elements, unique, concurrent, if_not_exists, method, include,
            distinct, options, tablespace, where,
        )  # fmt: skip

    def create_view(
        self, position: int, persistence: Persistence, *, or_replace: bool
    ) -> Statement:
        """From RECURSIVE or VIEW on."""
        recursive = self.accept("recursive")
        self.expect("view")
        name = self.qualified_name()
        columns = self.names_in_parentheses() if recursive else self.optional_names()
        options: tuple[Option, ...] = ()
        if self.accept("with"):
            options = self.relation_options()
        self.expect("as")
        query = self.select_statement()
        check = CheckOption.NONE
        if self.kind == "with":
            at = self.position
            self.advance()
            local = self.accept("local")
            if not local:
                self.accept("cascaded")
            self.expect_words("check", "option")
            check = CheckOption.LOCAL if local else CheckOption.CASCADED
            if recursive:
                raise SqlError(
                    "0A000", "WITH CHECK OPTION not supported on recursive views", position=at
                )
        if recursive:
            query = _recursive_view(name.name, columns, query)
        return CreateView(position, name, query, columns, or_replace, persistence, options, check)

    def create_materialized_view(self, position: int, persistence: Persistence) -> Statement:
        """From MATERIALIZED on."""
        self.expect_words("materialized", "view")
        if_not_exists = self.if_not_exists()
        name = self.qualified_name()
        columns = self.optional_names()
        method = self.col_id() if self.accept("using") else None
        options: tuple[Option, ...] = ()
        if self.accept("with"):
            options = self.relation_options()
        tablespace = self.col_id() if self.accept("tablespace") else None
        self.expect("as")
        query = self.select_statement()
        return CreateTableAs(
            position, name, query, columns, persistence, if_not_exists, self._with_data(), True,
            method, options, OnCommit.NOOP, tablespace,
        )  # fmt: skip

    def refresh(self) -> Statement:
        """REFRESH MATERIALIZED VIEW."""
        position = self.position
        self.expect_words("refresh", "materialized", "view")
        concurrent = self.accept("concurrently")
        name = self.qualified_name()
        return RefreshMaterializedView(position, name, concurrent, self._with_data())

    def create_sequence(self, position: int, persistence: Persistence) -> Statement:
        """From SEQUENCE on."""
        self.expect("sequence")
        if_not_exists = self.if_not_exists()
        name = self.qualified_name()
        return CreateSequence(position, name, self.sequence_options(), persistence, if_not_exists)

    def create_assertion(self) -> Statement:
        """PostgreSQL reads CREATE ASSERTION only to refuse it."""
        self.expect("assertion")
        self.any_name()
        self._check()
        self._attributes("ASSERTION", not_valid=True, no_inherit=True)
        raise not_supported("CREATE ASSERTION")


_DEFERRABLE: Final = (
    ConstraintKind.PRIMARY,
    ConstraintKind.UNIQUE,
    ConstraintKind.EXCLUSION,
    ConstraintKind.FOREIGN,
)


def _recursive_view(name: str, columns: tuple[str, ...], query: Query) -> Query:
    """`WITH RECURSIVE name (columns) AS (query) SELECT columns FROM name`."""
    position = query.position
    table = CommonTable(position, name, columns, query)
    targets = tuple(ResultTarget(0, ColumnRef(0, (column,)), column) for column in columns)
    relation = Relation(0, QualifiedName(0, (name,)))
    with_clause = WithClause(position, recursive=True, tables=(table,))
    return Select(position, targets, (relation,), with_clause=with_clause)
