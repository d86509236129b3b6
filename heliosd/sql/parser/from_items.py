"""FROM: relations, queries, functions, joins, TABLESAMPLE, XMLTABLE."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import COL_ID
from heliosd.sql.parser.functions import FunctionParser
from heliosd.sql.tree import (
    Alias,
    ColumnDefinitionItem,
    Expression,
    FromItem,
    JoinItem,
    JoinKind,
    QualifiedName,
    Query,
    RangeFunction,
    RangeFunctionItem,
    RangeSubselect,
    RangeTableSample,
    RangeVar,
    RangeXmlTable,
    Values,
    XmlTableColumn,
)

_JOINS: Final = frozenset(("join", "cross", "inner", "left", "right", "full", "natural"))
_OUTER_JOINS: Final = {"left": JoinKind.LEFT, "right": JoinKind.RIGHT, "full": JoinKind.FULL}
_QUERY_TAILS: Final = frozenset(
    ("union", "intersect", "except", "order", "limit", "offset", "fetch", "for")
)


class FromParser(FunctionParser):
    """FROM items."""

    def from_list(self) -> tuple[FromItem, ...]:
        """A comma-separated list of FROM items."""
        items = [self.table_ref()]
        while self.kind == ",":
            self.advance()
            items.append(self.table_ref())
        return tuple(items)

    def table_ref(self) -> FromItem:
        """One FROM item with all its joins."""
        self.enter()
        item = self._primary_item()
        if self.kind in _JOINS:
            item = self._joins(item)
        self.depth -= 1
        return item

    def _joins(self, left: FromItem) -> FromItem:
        while self.kind in _JOINS:
            position = self.position
            kind = self.kind
            if kind == "cross":
                self.expect_words("cross", "join")
                right = self._primary_item()
                left = JoinItem(position, JoinKind.CROSS, left, right)
                continue
            natural = self.accept("natural")
            join = self._join_kind()
            if natural:
                right = self._primary_item()
                left = JoinItem(position, join, left, right, natural=True)
                continue
            # `a JOIN b JOIN c ON .. ON ..` nests to the right until each ON is used.
            right = self._primary_item()
            while self.kind not in ("on", "using") and self.kind in _JOINS:
                right = self._one_join(right)
            left = self._join_qualified(position, join, left, right)
        return left

    def _one_join(self, left: FromItem) -> FromItem:
        position = self.position
        if self.kind == "cross":
            self.expect_words("cross", "join")
            return JoinItem(position, JoinKind.CROSS, left, self._primary_item())
        natural = self.accept("natural")
        join = self._join_kind()
        right = self._primary_item()
        if natural:
            return JoinItem(position, join, left, right, natural=True)
        self.enter()
        while self.kind not in ("on", "using") and self.kind in _JOINS:
            right = self._one_join(right)
        self.depth -= 1
        return self._join_qualified(position, join, left, right)

    def _join_kind(self) -> JoinKind:
        outer = _OUTER_JOINS.get(self.kind)
        if outer is not None:
            self.advance()
            self.accept("outer")
        else:
            self.accept("inner")
        self.expect("join")
        return outer or JoinKind.INNER

    def _join_qualified(
        self, position: int, kind: JoinKind, left: FromItem, right: FromItem
    ) -> FromItem:
        if self.accept("on"):
            return JoinItem(position, kind, left, right, on=self.a_expr())
        self.expect("using")
        columns = self.names_in_parentheses()
        alias = self.col_id() if self.accept("as") else None
        return JoinItem(position, kind, left, right, using=columns, using_alias=alias)

    def _primary_item(self) -> FromItem:
        kind = self.kind
        if kind == "(":
            return self._item_in_parentheses()
        if kind == "lateral":
            self.advance()
            if self.kind == "(":
                position = self.position
                return self._subselect(position, self.select_with_parens(), lateral=True)
            if self.kind == "xmltable":
                return self._xml_table(lateral=True)
            return self._function_item(lateral=True)
        if kind == "rows" and self.peek() == "from":
            return self._function_item(lateral=False)
        if kind == "xmltable" and self.peek() == "(":
            return self._xml_table(lateral=False)
        if kind in COL_ID or kind == "only":
            if self._is_function():
                return self._function_item(lateral=False)
            return self._relation_item()
        return self._function_item(lateral=False)

    def _is_function(self) -> bool:
        """Whether the name at the cursor is followed by a call's parenthesis."""
        if self.kind == "only":
            return False
        ahead = 1
        while self.peek(ahead) == ".":
            ahead += 2
        return self.peek(ahead) == "("

    def _relation_item(self) -> FromItem:
        relation = self.relation_expr()
        kind = self.kind
        if kind == "as" or kind in COL_ID:
            alias = self.alias()
            relation = RangeVar(relation.position, relation.name, relation.inherit, alias)
        if self.kind == "tablesample":
            return self._table_sample(relation)
        return relation

    def relation_expr(self) -> RangeVar:
        """A relation's name with ONLY or *."""
        if self.kind != "only":
            name = self.qualified_name()
            self.accept("*")
            return RangeVar(name.position, name)
        self.advance()
        if self.accept("("):
            name = self.qualified_name()
            self.expect(")")
        else:
            name = self.qualified_name()
        return RangeVar(name.position, name, inherit=False)

    def relation_exprs(self) -> tuple[tuple[QualifiedName, bool], ...]:
        """A comma-separated list of (name, inherit)."""
        relations = []
        while True:
            relation = self.relation_expr()
            relations.append((relation.name, relation.inherit))
            if not self.accept(","):
                return tuple(relations)

    def _table_sample(self, relation: RangeVar) -> FromItem:
        position = self.position
        self.advance()
        if self.peek() == ".":
            method = self.any_name()
        else:
            method = (self.type_function_name(),)
        self.expect("(")
        arguments = self.expression_list()
        self.expect(")")
        repeatable = None
        if self.accept("repeatable"):
            self.expect("(")
            repeatable = self.a_expr()
            self.expect(")")
        return RangeTableSample(position, relation, method, arguments, repeatable)

    def alias(self) -> Alias:
        """`[AS] name [(columns)]`."""
        position = self.position
        self.accept("as")
        name = self.col_id()
        return Alias(position, name, self.names_in_parentheses() if self.kind == "(" else ())

    def optional_alias(self) -> Alias | None:
        """An alias, or nothing."""
        return self.alias() if self.kind == "as" or self.kind in COL_ID else None

    def _subselect(self, position: int, query: Query, *, lateral: bool) -> FromItem:
        alias = self.optional_alias()
        if alias is None:
            word = "VALUES" if isinstance(query, Values) else "subquery"
            example = "(VALUES ...)" if word == "VALUES" else "(SELECT ...)"
            raise SqlError(
                "42601", f"{word} in FROM must have an alias",
                hint=f"For example, FROM {example} [AS] foo.", position=position,
            )  # fmt: skip
        return RangeSubselect(position, query, alias, lateral)

    def _item_in_parentheses(self) -> FromItem:
        """A query or a join in parentheses, with its alias."""
        position = self.position
        inner = self._parenthesised_item()
        if isinstance(inner, Query):
            return self._subselect(position, inner, lateral=False)
        alias = self.optional_alias()
        if alias is None:
            return inner
        assert isinstance(inner, JoinItem)
        return replace(inner, alias=alias)

    def _parenthesised_item(self) -> Query | FromItem:
        """What the parentheses hold; a FROM item in them must be a join."""
        self.expect("(")
        self.enter()
        inner: Query | FromItem
        position = self.position
        if self.kind == "(":
            inner = self._parenthesised_item()
            if isinstance(inner, Query) and self.kind in _QUERY_TAILS:
                inner = self.query_rest(inner)
            elif not (self.kind == ")" and (isinstance(inner, (Query, JoinItem)))):
                if isinstance(inner, Query):
                    inner = self._subselect(position, inner, lateral=False)
                else:
                    alias = self.optional_alias()
                    if alias is not None:
                        assert isinstance(inner, JoinItem)
                        inner = replace(inner, alias=alias)
                inner = self._joins(inner)
        elif self._starts_query_word():
            inner = self.select_no_parens()
        else:
            inner = self.table_ref()
        if not isinstance(inner, (Query, JoinItem)):
            self.fail()
        self.expect(")")
        self.depth -= 1
        return inner

    def _starts_query_word(self) -> bool:
        return self.kind in ("select", "table", "with") or (
            self.kind == "values" and self.peek() == "("
        )

    def _function_item(self, *, lateral: bool) -> FromItem:
        position = self.position
        rows_from = self.kind == "rows" and self.peek() == "from"
        functions = []
        if rows_from:
            self.advance()
            self.advance()
            self.expect("(")
            while True:
                functions.append(self._rows_from_item())
                if not self.accept(","):
                    break
            self.expect(")")
        else:
            functions.append(RangeFunctionItem(position, self.function_in_from()))
        ordinality = self.kind == "with" and self.peek() == "ordinality"
        if ordinality:
            self.advance()
            self.advance()
        alias, columns = self._function_alias()
        return RangeFunction(
            position, tuple(functions), alias, columns, lateral, ordinality, rows_from
        )

    def _rows_from_item(self) -> RangeFunctionItem:
        position = self.position
        call = self.function_in_from()
        columns: tuple[ColumnDefinitionItem, ...] = ()
        if self.accept("as"):
            self.expect("(")
            columns = self.column_definition_items()
            self.expect(")")
        return RangeFunctionItem(position, call, columns)

    def _function_alias(self) -> tuple[Alias | None, tuple[ColumnDefinitionItem, ...]]:
        """An alias, a column definition list, or both."""
        position = self.position
        if self.accept("as"):
            if self.accept("("):
                columns = self.column_definition_items()
                self.expect(")")
                return None, columns
            name = self.col_id()
        elif self.kind in COL_ID:
            name = self.col_id()
        else:
            return None, ()
        if self.kind != "(":
            return Alias(position, name), ()
        if self.peek(2) in (",", ")"):
            return Alias(position, name, self.names_in_parentheses()), ()
        self.advance()
        columns = self.column_definition_items()
        self.expect(")")
        return Alias(position, name), columns

    def column_definition_items(self) -> tuple[ColumnDefinitionItem, ...]:
        """`name type [COLLATE c], ...`."""
        items = []
        while True:
            position = self.position
            name = self.col_id()
            items.append(ColumnDefinitionItem(position, name, self.type_name(), self.collation()))
            if not self.accept(","):
                return tuple(items)

    # -- XMLTABLE --------------------------------------------------------------------------------

    def _xml_table(self, *, lateral: bool) -> FromItem:
        position = self.position
        self.expect_words("xmltable", "(")
        namespaces: list[tuple[str | None, Expression]] = []
        if self.kind == "xmlnamespaces" and self.peek() == "(":
            self.advance()
            self.advance()
            while True:
                if self.accept("default"):
                    namespaces.append((None, self.b_expr()))
                else:
                    uri = self.b_expr()
                    self.expect("as")
                    namespaces.append((self.col_label(), uri))
                if not self.accept(","):
                    break
            self.expect_words(")", ",")
        row = self.c_expr()
        document = self.xml_passing()
        self.expect("columns")
        columns = [self._xml_table_column()]
        while self.accept(","):
            columns.append(self._xml_table_column())
        self.expect(")")
        return RangeXmlTable(
            position, row, document, tuple(columns), tuple(namespaces), lateral,
            self.optional_alias(),
        )  # fmt: skip

    def _xml_table_column(self) -> XmlTableColumn:
        position = self.position
        name = self.col_id()
        if self.accept("for"):
            self.expect("ordinality")
            return XmlTableColumn(position, name, None)
        column_type = self.type_name()
        path: Expression | None = None
        default: Expression | None = None
        not_null = False
        while True:
            if self.kind == "IDENT":
                word = self.values[self.index]
                if word != "path":
                    raise self._xml_column_option(str(word))
                self.advance()
                path = self.b_expr()
            elif self.accept("default"):
                default = self.b_expr()
            elif self.accept("not"):
                self.expect("null")
                not_null = True
            elif not self.accept("null"):
                return XmlTableColumn(position, name, column_type, path, default, not_null)

    def _xml_column_option(self, word: str) -> SqlError:
        message = f'unrecognized column option "{word}"'
        if word == "__pg__is_not_null":
            message = f'option name "{word}" cannot be used in XMLTABLE'
        return SqlError("42601", message, position=self.position)
