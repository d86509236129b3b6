"""CREATE of tables, indexes, views, sequences."""

from __future__ import annotations

from dataclasses import dataclass

from heliosd.errors import SqlError, not_supported
from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.constraints import ConstraintParser
from heliosd.sql.tree import (
    CheckOption,
    ColumnRef,
    CommonTable,
    CreateIndex,
    CreateSequence,
    CreateTable,
    CreateTableAs,
    CreateView,
    Expression,
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
    WithClause,
)
from heliosd.sql.tree import RangeVar as Relation


@dataclass(slots=True)
class _TableTail:
    """What may follow a table's elements."""

    access_method: str | None = None
    options: tuple[Option, ...] = ()
    on_commit: OnCommit = OnCommit.NOOP
    tablespace: str | None = None


class TableParser(ConstraintParser):
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


def _recursive_view(name: str, columns: tuple[str, ...], query: Query) -> Query:
    """`WITH RECURSIVE name (columns) AS (query) SELECT columns FROM name`."""
    position = query.position
    table = CommonTable(position, name, columns, query)
    targets = tuple(ResultTarget(0, ColumnRef(0, (column,)), column) for column in columns)
    relation = Relation(0, QualifiedName(0, (name,)))
    with_clause = WithClause(position, recursive=True, tables=(table,))
    return Select(position, targets, (relation,), with_clause=with_clause)
