"""INSERT, UPDATE, DELETE, MERGE."""

from __future__ import annotations

from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.query import QueryParser
from heliosd.sql.tree import (
    Alias,
    Assignment,
    ColumnTarget,
    ConflictTarget,
    CurrentOf,
    Delete,
    Expression,
    FromItem,
    IndexElement,
    Insert,
    Merge,
    MergeAction,
    MergeWhen,
    OnConflict,
    Option,
    Overriding,
    Query,
    RangeVar,
    ResultTarget,
    Statement,
    Update,
    WithClause,
)


class ModifyParser(QueryParser):
    """Statements that change rows."""

    def preparable_statement(self) -> Statement:
        """SELECT, INSERT, UPDATE, DELETE or MERGE, perhaps with WITH."""
        if self.kind == "(":
            return self.select_statement()
        with_clause = self.with_clause() if self.kind == "with" else None
        kind = self.kind
        if kind == "insert":
            return self._insert(with_clause)
        if kind == "update":
            return self._update(with_clause)
        if kind == "delete":
            return self._delete(with_clause)
        if kind == "merge":
            return self._merge(with_clause)
        return self.query_after_with(with_clause)

    def _start(self, with_clause: WithClause | None) -> int:
        return self.position if with_clause is None else with_clause.position

    def _returning(self) -> tuple[ResultTarget, ...]:
        return self.target_list() if self.accept("returning") else ()

    def _where(self) -> Expression | None:
        return self.a_expr() if self.accept("where") else None

    def _where_or_current(self) -> Expression | None:
        if self.kind == "where" and self.peek() == "current" and self.peek(2) == "of":
            self.advance()
            position = self.position
            self.advance()
            self.advance()
            return CurrentOf(position, self.col_id())
        return self._where()

    # -- INSERT ----------------------------------------------------------------------------------

    def _insert(self, with_clause: WithClause | None) -> Statement:
        position = self._start(with_clause)
        self.advance()
        self.expect("into")
        name = self.qualified_name()
        alias = None
        if self.accept("as"):
            alias = Alias(self.position, self.col_id())
        relation = RangeVar(name.position, name, alias=alias)
        columns = None
        if self.kind == "(" and self.peek() != "(" and not self.opens_query():
            columns = self._insert_columns()
        overriding = self._overriding()
        query: Query | None = None
        if columns is None and overriding is Overriding.DEFAULT and self.kind == "default":
            self.advance()
            self.expect("values")
        else:
            query = self.select_statement()
        on_conflict = self._on_conflict() if self.kind == "on" else None
        returning = self._returning()
        return Insert(
            position, relation, columns, query, overriding, on_conflict,
            with_clause=with_clause, returning=returning,
        )  # fmt: skip

    def _insert_columns(self) -> tuple[ColumnTarget, ...]:
        self.expect("(")
        columns = [self.column_target()]
        while self.accept(","):
            columns.append(self.column_target())
        self.expect(")")
        return tuple(columns)

    def column_target(self) -> ColumnTarget:
        """A column with fields and subscripts."""
        position = self.position
        name = self.col_id()
        steps = self.indirection() if self.kind in (".", "[") else ()
        return ColumnTarget(position, name, steps)

    def _overriding(self) -> Overriding:
        if not self.accept("overriding"):
            return Overriding.DEFAULT
        user = self.one_of("user", "system") == "user"
        self.expect("value")
        return Overriding.USER if user else Overriding.SYSTEM

    def _on_conflict(self) -> OnConflict:
        position = self.position
        self.expect_words("on", "conflict")
        target = None
        at = self.position
        if self.kind == "(":
            elements = self.index_elements()
            target = ConflictTarget(at, elements, self._where())
        elif self.accept("on"):
            self.expect("constraint")
            target = ConflictTarget(at, constraint=self.col_id())
        self.expect("do")
        if self.accept("nothing"):
            return OnConflict(position, target, update=False)
        self.expect_words("update", "set")
        assignments = self._assignments()
        return OnConflict(position, target, True, assignments, self._where())

    # -- index elements --------------------------------------------------------------------------

    def index_elements(self) -> tuple[IndexElement, ...]:
        """`(element, ...)` of an index, INCLUDE or ON CONFLICT."""
        self.expect("(")
        elements = [self.index_element()]
        while self.accept(","):
            elements.append(self.index_element())
        self.expect(")")
        return tuple(elements)

    def name_or_expression(self) -> tuple[str | None, Expression | None]:
        """A column, a call, or an expression in parentheses."""
        if self.kind == "(":
            self.advance()
            expression = self.a_expr()
            self.expect(")")
            return None, expression
        if self.kind in COL_ID and self.peek() not in ("(", "."):
            return self.col_id(), None
        return None, self.function_in_from()

    def index_element(self) -> IndexElement:
        """One key of an index."""
        position = self.position
        name, expression = self.name_or_expression()
        collation = self.collation()
        operator_class = None
        options: tuple[Option, ...] = ()
        if self.kind in COL_ID and not (self.kind == "nulls" and self.peek() in ("first", "last")):
            operator_class = self.any_name()
            if self.kind == "(":
                options = self.relation_options()
        return IndexElement(
            position, name, expression, collation, operator_class, options,
            self.sort_direction(), self.nulls_order(),
        )  # fmt: skip

    def relation_options(self) -> tuple[Option, ...]:
        """`(name = value, ...)` (defined in `definition`)."""
        raise NotImplementedError

    # -- UPDATE and DELETE -----------------------------------------------------------------------

    def _target_relation(self) -> RangeVar:
        """A relation with an alias that is not SET."""
        relation = self.relation_expr()
        if self.kind == "as":
            self.advance()
        elif self.kind not in COL_ID or self.kind == "set":
            return relation
        alias = Alias(self.position, self.col_id())
        return RangeVar(relation.position, relation.name, relation.inherit, alias)

    def _update(self, with_clause: WithClause | None) -> Statement:
        position = self._start(with_clause)
        self.advance()
        relation = self._target_relation()
        self.expect("set")
        assignments = self._assignments()
        from_items: tuple[FromItem, ...] = self.from_list() if self.accept("from") else ()
        where = self._where_or_current()
        returning = self._returning()
        return Update(
            position, relation, assignments, from_items, where,
            with_clause=with_clause, returning=returning,
        )  # fmt: skip

    def _assignments(self) -> tuple[Assignment, ...]:
        assignments = [self._assignment()]
        while self.accept(","):
            assignments.append(self._assignment())
        return tuple(assignments)

    def _assignment(self) -> Assignment:
        position = self.position
        multiple = self.kind == "("
        targets = self._insert_columns() if multiple else (self.column_target(),)
        self.expect("=")
        return Assignment(position, targets, self.a_expr(), multiple)

    def _delete(self, with_clause: WithClause | None) -> Statement:
        position = self._start(with_clause)
        self.advance()
        self.expect("from")
        relation = self._target_relation()
        using: tuple[FromItem, ...] = self.from_list() if self.accept("using") else ()
        where = self._where_or_current()
        returning = self._returning()
        return Delete(
            position, relation, using, where, with_clause=with_clause, returning=returning
        )

    # -- MERGE -----------------------------------------------------------------------------------

    def _merge(self, with_clause: WithClause | None) -> Statement:
        position = self._start(with_clause)
        self.advance()
        self.expect("into")
        relation = self._target_relation()
        self.expect("using")
        source = self.table_ref()
        self.expect("on")
        on = self.a_expr()
        if self.kind != "when":
            self.fail()
        whens = []
        while self.kind == "when":
            whens.append(self._merge_when())
        return Merge(position, relation, source, on, tuple(whens), with_clause=with_clause)

    def _merge_when(self) -> MergeWhen:
        position = self.position
        self.advance()
        matched = not self.accept("not")
        self.expect("matched")
        condition = self.a_expr() if self.accept("and") else None
        self.expect("then")
        if self.accept("do"):
            self.expect("nothing")
            return MergeWhen(position, matched, condition, MergeAction.NOTHING)
        if not matched:
            return self._merge_insert(position, condition)
        if self.one_of("update", "delete") == "delete":
            return MergeWhen(position, matched, condition, MergeAction.DELETE)
        self.expect("set")
        assignments = self._assignments()
        return MergeWhen(position, matched, condition, MergeAction.UPDATE, assignments=assignments)

    def _merge_insert(self, position: int, condition: Expression | None) -> MergeWhen:
        self.expect("insert")
        action = MergeAction.INSERT
        if self.kind == "default":
            self.advance()
            self.expect("values")
            return MergeWhen(position, False, condition, action)
        columns = self._insert_columns() if self.kind == "(" else None
        overriding = self._overriding()
        self.expect_words("values", "(")
        values = self.expression_list()
        self.expect(")")
        return MergeWhen(position, False, condition, action, columns, values, overriding)
