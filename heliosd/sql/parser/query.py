"""SELECT, VALUES, set operations, WITH, FROM."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import BARE_COL_LABEL
from heliosd.sql.parser.from_items import FromParser
from heliosd.sql.tree import (
    CommonTable,
    CycleClause,
    Expression,
    FromItem,
    GroupingSet,
    GroupingSetKind,
    IntegerConstant,
    IntoClause,
    LockClauseStrength,
    LockingClause,
    LockWait,
    Materialized,
    NullConstant,
    OperatorCall,
    Persistence,
    QualifiedName,
    Query,
    ResultTarget,
    SearchClause,
    Select,
    SetOperation,
    SetOperationKind,
    SortBy,
    Star,
    Statement,
    StringConstant,
    Values,
    WindowDefinition,
    WithClause,
)

_SET_OPERATIONS: Final = {
    "union": (1, SetOperationKind.UNION),
    "except": (1, SetOperationKind.EXCEPT),
    "intersect": (2, SetOperationKind.INTERSECT),
}
_LIMIT_WORDS: Final = frozenset(("limit", "offset", "fetch"))
_LITERALS: Final = {"ICONST": IntegerConstant, "SCONST": StringConstant}
# Where no target list stands after SELECT: an empty one is allowed.
_NO_TARGETS: Final = frozenset(
    ("from", "into", "where", "group", "having", "window", "union", "intersect", "except",
     "order", "limit", "offset", "fetch", "for", ")", ";", "EOF")
)  # fmt: skip


class QueryParser(FromParser):
    """Queries."""

    def preparable_statement(self) -> Statement:
        """SELECT, INSERT, UPDATE, DELETE or MERGE (defined in `modify`)."""
        raise NotImplementedError

    # -- whole queries ---------------------------------------------------------------------------

    def select_statement(self) -> Query:
        """A query, perhaps in parentheses."""
        if self.kind != "(":
            return self.select_no_parens()
        query = self.select_with_parens()
        return self.query_rest(query)

    def select_no_parens(self) -> Query:
        """A query whose first token is a word (or parentheses with something behind them)."""
        with_clause = self.with_clause() if self.kind == "with" else None
        return self.query_after_with(with_clause)

    def query_after_with(self, with_clause: WithClause | None) -> Query:
        """A query whose WITH is read already."""
        query = self._set_operations(self._select_clause(), 1)
        if self.kind in _TAIL_WORDS:
            query = self._tail(query)
        if with_clause is None:
            return query
        if query.with_clause is not None:
            raise SqlError(
                "42601",
                "multiple WITH clauses not allowed",
                position=query.with_clause.position,
            )
        return replace(query, with_clause=with_clause, position=with_clause.position)

    def query_rest(self, query: Query) -> Query:
        """What may follow a query in parentheses."""
        query = self._set_operations(query, 1)
        return self._tail(query) if self.kind in _TAIL_WORDS else query

    def _select_clause(self) -> Query:
        kind = self.kind
        if kind == "select":
            return self._select()
        if kind == "values":
            return self._values()
        if kind == "table":
            return self._table()
        if kind == "(":
            return self.select_with_parens()
        return self.fail()

    def _set_operations(self, left: Query, level: int) -> Query:
        while True:
            operation = _SET_OPERATIONS.get(self.kind)
            if operation is None or operation[0] < level:
                return left
            position = self.position
            self.advance()
            every = self.kind == "all"
            if every or self.kind == "distinct":
                self.advance()
            self.enter()
            right = self._set_operations(self._select_clause(), operation[0] + 1)
            self.depth -= 1
            left = SetOperation(position, operation[1], every, left, right)

    def _tail(self, query: Query) -> Query:
        """ORDER BY, LIMIT, OFFSET, FETCH, FOR UPDATE: put on `query`, which must lack them."""
        order_by: tuple[SortBy, ...] = ()
        if self.kind == "order":
            order_by = self.order_by()
            if query.order_by:
                self._fail_multiple("ORDER BY", order_by[0].position)
        locking: tuple[LockingClause, ...] = ()
        if self.kind == "for":
            locking = self._locking()
        limit = offset = None
        ties = False
        if self.kind in _LIMIT_WORDS:
            limit, offset, ties = self._limits()
            if not locking and self.kind == "for":
                locking = self._locking()
        if offset is not None and query.limit_offset is not None:
            self._fail_multiple("OFFSET", offset.position)
        if limit is not None and query.limit_count is not None:
            self._fail_multiple("LIMIT", limit.position)
        if ties and not (order_by or query.order_by):
            raise SqlError("42601", "WITH TIES cannot be specified without ORDER BY clause")
        if ties and any(lock.wait is LockWait.SKIP for lock in locking):
            raise SqlError("42601", "SKIP LOCKED and WITH TIES options cannot be used together")
        return replace(
            query,
            order_by=order_by or query.order_by,
            limit_count=query.limit_count if limit is None else limit,
            limit_offset=query.limit_offset if offset is None else offset,
            with_ties=ties or query.with_ties,
            locking=(*query.locking, *locking),
        )

    def _fail_multiple(self, clause: str, position: int) -> None:
        raise SqlError("42601", f"multiple {clause} clauses not allowed", position=position)

    # -- LIMIT and locking -----------------------------------------------------------------------

    def _limits(self) -> tuple[Expression | None, Expression | None, bool]:
        limit = offset = None
        ties = False
        while self.kind in _LIMIT_WORDS:
            position = self.position
            if self.kind == "offset":
                if offset is not None:
                    self.fail()
                self.advance()
                offset = self.a_expr()
                if self.kind in ("row", "rows"):
                    self.advance()
                continue
            if limit is not None:
                self.fail()
            if self.kind == "fetch":
                limit, ties = self._fetch_first()
                continue
            self.advance()
            if self.kind == "all":
                limit = NullConstant(self.position)
                self.advance()
            else:
                limit = self.a_expr()
            if self.accept(","):
                self.a_expr()
                raise SqlError(
                    "42601", "LIMIT #,# syntax is not supported",
                    hint="Use separate LIMIT and OFFSET clauses.", position=position,
                )  # fmt: skip
        return limit, offset, ties

    def _fetch_first(self) -> tuple[Expression, bool]:
        self.expect("fetch")
        self.one_of("first", "next")
        position = self.position
        count: Expression
        if self.kind in ("row", "rows") and self.peek() != "(":
            count = IntegerConstant(position, 1)
        elif self.kind in ("+", "-"):
            sign = self.one_of("+", "-")
            if self.kind not in ("ICONST", "FCONST"):
                self.fail()
            count = OperatorCall(position, (sign,), None, self.c_expr())
        else:
            count = self.c_expr()
        self.one_of("row", "rows")
        if self.accept("only"):
            return count, False
        self.expect_words("with", "ties")
        return count, True

    def _locking(self) -> tuple[LockingClause, ...]:
        if self.accept_words("for", "read", "only"):
            return ()
        clauses = []
        while self.kind == "for":
            position = self.position
            self.advance()
            strength = self._lock_strength()
            relations: tuple[QualifiedName, ...] = ()
            if self.accept("of"):
                relations = self.qualified_names()
            wait = LockWait.BLOCK
            if self.accept("nowait"):
                wait = LockWait.ERROR
            elif self.kind == "skip":
                self.expect_words("skip", "locked")
                wait = LockWait.SKIP
            clauses.append(LockingClause(position, strength, relations, wait))
        return tuple(clauses)

    def _lock_strength(self) -> LockClauseStrength:
        word = self.one_of("update", "no", "share", "key")
        if word == "no":
            self.expect_words("key", "update")
            return LockClauseStrength.NO_KEY_UPDATE
        if word == "key":
            self.expect("share")
            return LockClauseStrength.KEY_SHARE
        return LockClauseStrength.SHARE if word == "share" else LockClauseStrength.UPDATE

    # -- the simple forms ------------------------------------------------------------------------

    def _table(self) -> Query:
        position = self.position
        self.advance()
        relation = self.relation_expr()
        return Select(position, (ResultTarget(position, Star(position)),), (relation,))

    def _values(self) -> Query:
        position = self.position
        self.advance()
        rows = [self._values_row()]
        while self.kind == ",":
            self.advance()
            rows.append(self._values_row())
        return Values(position, tuple(rows))

    def _values_row(self) -> tuple[Expression, ...]:
        """One row; plain numbers and strings are taken without a detour."""
        self.expect("(")
        kinds, values, starts = self.kinds, self.values, self.starts
        row: list[Expression] = []
        while True:
            index = self.index
            literal = _LITERALS.get(self.kind)
            if literal is not None and kinds[index + 1] in ",)":
                row.append(literal(starts[index] + 1, values[index]))
                self.index = index = index + 1
                kind = self.kind = kinds[index]
            else:
                row.append(self.a_expr())
                kind = self.kind
            if kind == ",":
                self.index = index = self.index + 1
                self.kind = kinds[index]
            elif kind == ")":
                self.advance()
                return tuple(row)
            else:
                self.fail()

    def _select(self) -> Query:
        position = self.starts[self.index] + 1
        self.advance()
        distinct: tuple[Expression, ...] | None = None
        if self.kind == "distinct":
            distinct = self._distinct()
            targets = self.target_list()
        else:
            self.accept("all")
            targets = () if self.kind in _NO_TARGETS else self.target_list()
        into = self._into() if self.kind == "into" else None
        from_items: tuple[FromItem, ...] = ()
        if self.kind == "from":
            self.advance()
            from_items = self.from_list()
        where = None
        if self.kind == "where":
            self.advance()
            where = self.a_expr()
        if self.kind not in _SELECT_CLAUSES:
            return Select(position, targets, from_items, where, distinct=distinct, into=into)
        group_by: tuple[Expression, ...] = ()
        group_distinct = False
        if self.kind == "group":
            self.advance()
            self.expect("by")
            group_distinct = self.accept("distinct")
            if not group_distinct:
                self.accept("all")
            group_by = self._group_by_list()
        having = self.a_expr() if self.accept("having") else None
        windows = self._windows() if self.kind == "window" else ()
        return Select(
            position, targets, from_items, where, group_by, group_distinct, having, windows,
            distinct, into,
        )  # fmt: skip

    def _distinct(self) -> tuple[Expression, ...]:
        self.expect("distinct")
        if not self.accept("on"):
            return ()
        self.expect("(")
        expressions = self.expression_list()
        self.expect(")")
        return expressions

    def target_list(self) -> tuple[ResultTarget, ...]:
        """Output expressions with their labels."""
        targets = []
        label_depth, self.label_depth = self.label_depth, self.depth + 1
        while True:
            position = self.starts[self.index] + 1
            value: Expression
            name = None
            if self.kind == "*":
                self.advance()
                value = Star(position)
            else:
                value = self.a_expr()
                kind = self.kind
                if kind == "as":
                    self.advance()
                    name = self.col_label()
                elif kind in BARE_COL_LABEL:
                    name = str(self.values[self.index])
                    self.advance()
            targets.append(ResultTarget(position, value, name))
            if self.kind != ",":
                break
            self.advance()
        self.label_depth = label_depth
        return tuple(targets)

    def _into(self) -> IntoClause:
        position = self.position
        self.advance()
        persistence = Persistence.PERMANENT
        if self.kind in ("local", "global") and self.peek() in ("temporary", "temp"):
            self.advance()
        if self.kind in ("temporary", "temp"):
            self.advance()
            persistence = Persistence.TEMPORARY
        elif self.accept("unlogged"):
            persistence = Persistence.UNLOGGED
        self.accept("table")
        return IntoClause(position, self.qualified_name(), persistence)

    def _windows(self) -> tuple[WindowDefinition, ...]:
        self.expect("window")
        windows = []
        while True:
            name = self.col_id()
            self.expect("as")
            windows.append(self.window_specification(name))
            if not self.accept(","):
                return tuple(windows)

    def _group_by_list(self) -> tuple[Expression, ...]:
        items = [self._group_by_item()]
        while self.accept(","):
            items.append(self._group_by_item())
        return tuple(items)

    def _group_by_item(self) -> Expression:
        position, kind, following = self.position, self.kind, self.peek()
        if kind == "(" and following == ")":
            self.advance()
            self.advance()
            return GroupingSet(position, GroupingSetKind.EMPTY)
        if kind in ("cube", "rollup") and following == "(":
            self.advance()
            self.advance()
            content = self.expression_list()
            self.expect(")")
            set_kind = GroupingSetKind.CUBE if kind == "cube" else GroupingSetKind.ROLLUP
            return GroupingSet(position, set_kind, content)
        if kind == "grouping" and following == "sets":
            self.advance()
            self.advance()
            self.expect("(")
            self.enter()
            content = self._group_by_list()
            self.depth -= 1
            self.expect(")")
            return GroupingSet(position, GroupingSetKind.SETS, content)
        return self.a_expr()

    # -- WITH ------------------------------------------------------------------------------------

    def with_clause(self) -> WithClause:
        """WITH [RECURSIVE] tables."""
        position = self.position
        self.expect("with")
        recursive = self.accept("recursive")
        tables = [self._common_table()]
        while self.accept(","):
            tables.append(self._common_table())
        return WithClause(position, recursive, tuple(tables))

    def _common_table(self) -> CommonTable:
        position = self.position
        name = self.col_id()
        columns = self.optional_names()
        self.expect("as")
        materialized = Materialized.DEFAULT
        if self.accept("materialized"):
            materialized = Materialized.ALWAYS
        elif self.accept("not"):
            self.expect("materialized")
            materialized = Materialized.NEVER
        self.expect("(")
        self.enter()
        query = self.preparable_statement()
        self.depth -= 1
        self.expect(")")
        search = self._search() if self.kind == "search" else None
        cycle = self._cycle() if self.kind == "cycle" else None
        return CommonTable(position, name, columns, query, materialized, search, cycle)

    def _search(self) -> SearchClause:
        position = self.position
        self.advance()
        breadth = self.one_of("depth", "breadth") == "breadth"
        self.expect_words("first", "by")
        columns = self.names()
        self.expect("set")
        return SearchClause(position, columns, breadth, self.col_id())

    def _cycle(self) -> CycleClause:
        position = self.position
        self.advance()
        columns = self.names()
        self.expect("set")
        mark = self.col_id()
        value = default = None
        if self.accept("to"):
            value = self.c_expr()
            self.expect("default")
            default = self.c_expr()
        self.expect("using")
        return CycleClause(position, columns, mark, value, default, self.col_id())


_SELECT_CLAUSES: Final = frozenset(("group", "having", "window"))
_TAIL_WORDS: Final = frozenset(("order", "limit", "offset", "fetch", "for"))
