"""Bound queries as SQL, laid out as pg_get_viewdef lays them out.

WITH x AS (
         SELECT ...
        )
 SELECT t.a,
    t.b
   FROM t
  WHERE (t.a > 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from heliosd.errors import not_supported
from heliosd.sql.bound import Expr, Var, WholeRow
from heliosd.sql.bound.queries import (
    CteRel,
    FunctionRel,
    JoinKind,
    JoinRel,
    Select,
    SetOperation,
    SubqueryRel,
    TableRel,
    Values,
    ValuesRel,
)
from heliosd.sql.bound.walk import from_leaves, output_columns
from heliosd.sql.deparse.context import TextContext
from heliosd.sql.deparse.expressions import ExpressionWriter, direction
from heliosd.types.quoting import quote_identifier


@dataclass(frozen=True, slots=True)
class RelationText:
    """A relation as it is called now: how it is written in FROM, its bare name, its columns'."""

    text: str
    name: str
    columns: tuple[str, ...]


RelationName = Callable[[int], RelationText]
"""By oid: a query that was bound before a rename is written with the names of now."""


_MARGINS: Final = {
    "FROM": 3, "WHERE": 2, "GROUP": 2, "HAVING": 1, "WINDOW": 2, "ORDER": 2, "OFFSET": 1,
    "LIMIT": 1, "FETCH": 1, "FOR": 1,
}  # fmt: skip
"""How far PostgreSQL indents each clause."""


class QueryWriter:
    """Writes one query; numbers rels' aliases so that no name means two things."""

    def __init__(
        self, context: TextContext, relation_name: RelationName, *, pretty: bool = False
    ) -> None:
        self.context = context
        self.relation_name = relation_name
        self.pretty = pretty
        self.aliases: dict[int, str] = {}
        self.columns: dict[int, tuple[str, ...]] = {}
        self.ctes: dict[int, str] = {}
        self._taken: set[str] = set()
        self._depth = 0
        self._in_expression = False
        self._names: list[list[str]] = []
        """What the next SELECT's outputs are called, when a set operation around it says so."""

    # -- names -------------------------------------------------------------------------------

    def name(self, node: Any) -> str:
        alias = quote_identifier(self.aliases[node.rel])
        if isinstance(node, WholeRow):
            return f"{alias}.*"
        if node.column < 0:
            names = {-1: "ctid", -2: "xmin", -3: "cmin", -4: "xmax", -5: "cmax", -6: "tableoid"}
            return f"{alias}.{names[node.column]}"
        return f"{alias}.{quote_identifier(self.columns[node.rel][node.column])}"

    def add_rel(self, rel: Any) -> str:
        """Give a rel a name of its own in the whole query; answers the name."""
        now = self._relation(rel)
        base = rel.alias or "unnamed_subquery"
        names = tuple(column.name for column in rel.columns)
        if now is not None and isinstance(rel, TableRel):
            old = rel.table
            if base == old.name:
                base = now.name
            names = tuple(
                current if mine == was.name else mine
                for mine, was, current in zip(names, old.columns, now.columns, strict=True)
            )
        elif now is not None:
            names = now.columns
        alias, number = base, 0
        while alias in self._taken:
            number += 1
            alias = f"{base}_{number}"
        self._taken.add(alias)
        self.aliases[rel.rel] = alias
        self.columns[rel.rel] = names
        return alias

    def _relation(self, rel: Any) -> RelationText | None:
        """The stored relation or view behind a rel."""
        if isinstance(rel, TableRel):
            return self.relation_name(rel.table.oid)
        if isinstance(rel, SubqueryRel) and rel.view:
            return self.relation_name(rel.view)
        return None

    def writer(self, indent: int, windows: Sequence[Any] = ()) -> ExpressionWriter:
        def subquery(query: Any) -> str:
            return self.query(query, indent + 8, in_expression=True)

        return ExpressionWriter(
            self.name,
            self.context,
            pretty=self.pretty,
            query=subquery,
            windows=windows,
            indent=indent + 8,
        )

    # -- queries -----------------------------------------------------------------------------

    def query(self, query: Any, indent: int = 0, *, in_expression: bool = False) -> str:
        """A query whose lines are indented by `indent`.

        `in_expression`: nobody can see its columns' names, so unnamed ones stay so.
        """
        around, self._in_expression = self._in_expression, in_expression
        outside = set(self._taken)
        self._depth += 1
        if isinstance(query, Select):
            # Names are given from the outside in, before the subqueries get theirs.
            for item in query.from_items:
                for leaf in from_leaves(item):
                    self.add_rel(leaf)
        text = self._with(query, indent)
        match query:
            case Select():
                text += self._select(query, indent)
            case SetOperation():
                text += self._set_operation(query, indent)
            case Values():
                text += self._values(query, indent)
            case _:
                raise not_supported("a view over data-modifying statements")
        self._taken = outside
        self._depth -= 1
        self._in_expression = around
        return text

    def _with(self, query: Any, indent: int) -> str:
        if not query.ctes:
            return ""
        parts: list[str] = []
        for cte in query.ctes:
            self.ctes[cte.number] = cte.name
        pad = " " * indent
        for cte in query.ctes:
            names = ", ".join(quote_identifier(column.name) for column in cte.columns)
            head = quote_identifier(cte.name)
            if cte.recursive:
                head += f"({names})"
            word = {None: "", True: "MATERIALIZED ", False: "NOT MATERIALIZED "}[cte.materialized]
            inner = self.query(cte.query, indent + 8)
            parts.append(f"{head} AS {word}(\n{pad}        {inner}\n{pad}        )")
        recursive = "RECURSIVE " if any(cte.recursive for cte in query.ctes) else ""
        return f" WITH {recursive}" + ", ".join(parts) + f"\n{pad}"

    def _line(self, words: str, text: str, indent: int) -> str:
        return "\n" + " " * (indent + _MARGINS[words.split(" ")[0]]) + f"{words} {text}"

    def _select(self, query: Select, indent: int) -> str:
        from_text = self._from(query, indent)
        write = self.writer(indent, query.windows)
        head = " SELECT "
        if query.distinct:
            head += "DISTINCT "
        elif query.distinct_on is not None:
            keys = [write.write(query.targets[i].expression) for i in query.distinct_on]
            head += f"DISTINCT ON ({', '.join(keys)}) "
        shown = [target for target in query.targets if not target.junk]
        names = self._names.pop() if self._names else [target.name for target in shown]
        texts = [
            self._target(write, target, name) for target, name in zip(shown, names, strict=True)
        ]
        text = _listed(head, texts, ",\n" + " " * (indent + 4)) + from_text
        if query.where is not None:
            text += self._line("WHERE", self._condition(write, query.where), indent)
        if query.grouping_sets is not None:
            text += self._line("GROUP BY", self._grouping_sets(write, query), indent)
        elif query.group_by:
            text += self._line("GROUP BY", ", ".join(write.all(query.group_by)), indent)
        if query.having is not None:
            text += self._line("HAVING", self._condition(write, query.having), indent)
        named = [window for window in query.windows if window.name]
        if named:
            definitions = [f"{quote_identifier(w.name)} AS ({write.window_text(w)})" for w in named]
            text += self._line("WINDOW", ", ".join(definitions), indent)
        order = [
            write.write(query.targets[key.target].expression)
            + direction(key.descending, key.nulls_first)
            for key in query.order_by
        ]
        text += self._tail(query, write, order, indent)
        for lock in query.locks:
            alias = quote_identifier(self.aliases[lock.rel])
            text += self._line("FOR", f"{lock.strength.value} OF {alias}", indent)
        return text

    def _target(self, write: ExpressionWriter, target: Any, name: str) -> str:
        expression: Any = target.expression
        text = write.write(expression)
        is_column = isinstance(expression, Var) and expression.column >= 0
        if is_column and self.columns[expression.rel][expression.column] == name:
            return text
        if name == "?column?" and self._in_expression:
            return text
        return f"{text} AS {quote_identifier(name)}"

    def _grouping_sets(self, write: ExpressionWriter, query: Select) -> str:
        keys = write.all(query.group_by)
        sets = [f"({', '.join(keys[i] for i in each)})" for each in query.grouping_sets or ()]
        return f"GROUPING SETS ({', '.join(sets)})"

    def _tail(self, query: Any, write: ExpressionWriter, order: Sequence[str], indent: int) -> str:
        text = ""
        if order:
            text += self._line("ORDER BY", ", ".join(order), indent)
        if query.offset is not None:
            text += self._line("OFFSET", write.write(query.offset, implicit=False), indent)
        if query.limit is not None:
            limit = write.write(query.limit, implicit=False)
            if query.with_ties:
                text += self._line("FETCH FIRST", f"({limit}) ROWS WITH TIES", indent)
            else:
                text += self._line("LIMIT", limit, indent)
        return text

    def _set_operation(self, query: SetOperation, indent: int) -> str:
        word = query.kind.upper() + (" ALL" if query.all else "")
        names = self._names.pop() if self._names else None
        if names is None and self._depth == 1:
            names = [column.name for column in query.columns]
        left = self._operand(query.left, names, indent)
        # The left side's names hold; an unnamed output of the right side needs none.
        self._in_expression = self._in_expression or names is None
        right = self._operand(query.right, names, indent)
        pad = " " * indent
        text = f"{left}\n{pad}{word}\n{pad}{right}"
        write = self.writer(indent)
        order = [
            str(key.target + 1) + direction(key.descending, key.nulls_first)
            for key in query.order_by
        ]
        return text + self._tail(query, write, order, indent)

    def _operand(self, query: Any, names: list[str] | None, indent: int) -> str:
        if names is not None and not isinstance(query, Values):
            self._names.append(names)
        text = self.query(query, indent, in_expression=self._in_expression)
        plain = isinstance(query, Select | Values) and not (
            query.order_by or query.limit or query.ctes
        )
        return text if plain else f" ({text})"

    def _values(self, query: Values, indent: int) -> str:
        write = self.writer(indent)
        rows = [f"({','.join(write.all(row))})" for row in query.rows]
        order = [
            quote_identifier(query.columns[key.target].name)
            + direction(key.descending, key.nulls_first)
            for key in query.order_by
        ]
        return " VALUES " + ", ".join(rows) + self._tail(query, write, order, indent)

    # -- FROM --------------------------------------------------------------------------------

    def _from(self, query: Select, indent: int) -> str:
        if not query.from_items:
            return ""
        texts = [self._item(item, indent) for item in query.from_items]
        return self._line("FROM", (",\n" + " " * (indent + 4)).join(texts), indent)

    def _item(self, item: Any, indent: int) -> str:
        if isinstance(item, JoinRel):
            return self._join(item, indent)
        alias = self.aliases[item.rel]
        shown = quote_identifier(alias)
        lateral = "LATERAL " if getattr(item, "lateral", False) else ""
        match item:
            case TableRel():
                return self._named(self.relation_name(item.table.oid), item, alias)
            case SubqueryRel():
                if item.view:
                    return self._named(self.relation_name(item.view), item, alias)
                inner = self.query(item.query, indent + 8)
                names = [column.name for column in item.columns]
                if names == [column[0] for column in output_columns(item.query)]:
                    return f"{lateral}({inner}) {shown}"
                return f"{lateral}({inner}) {shown}({self._column_names(item)})"
            case CteRel():
                name = self.ctes[item.cte]
                text = quote_identifier(name)
                return text if alias == name else f"{text} {shown}"
            case ValuesRel():
                write = self.writer(indent)
                rows = ", ".join(f"({','.join(write.all(row))})" for row in item.rows)
                return f"{lateral}( VALUES {rows}) {shown}({self._column_names(item)})"
            case FunctionRel():
                return lateral + self._function(item, shown, indent)
        raise AssertionError(type(item))

    def _named(self, now: RelationText, item: Any, alias: str) -> str:
        """A relation with its alias, and its columns' names where the query gave new ones."""
        names = self.columns[item.rel]
        renamed = any(
            mine != current and not column.hidden
            for mine, current, column in zip(names, now.columns, item.columns, strict=True)
        )
        if renamed:
            return f"{now.text} {quote_identifier(alias)}({self._column_names(item)})"
        return now.text if alias == now.name else f"{now.text} {quote_identifier(alias)}"

    def _column_names(self, item: Any) -> str:
        names = self.columns[item.rel]
        return ", ".join(
            quote_identifier(name)
            for name, column in zip(names, item.columns, strict=True)
            if not column.hidden
        )

    def _function(self, item: FunctionRel, shown: str, indent: int) -> str:
        write = self.writer(indent)
        calls = [write.write(each) for each in item.functions]
        text = calls[0] if len(calls) == 1 else f"ROWS FROM({', '.join(calls)})"
        if item.ordinality:
            text += " WITH ORDINALITY"
        record = [column for each in item.functions for column in getattr(each, "record", ())]
        if record:
            definitions = ", ".join(
                f"{quote_identifier(column.name)} {write.context.type_name(oid, typmod)}"
                for column, (_, oid, typmod, _) in zip(item.columns, record, strict=False)
            )
            return f"{text} {shown}({definitions})"
        return f"{text} {shown}({self._column_names(item)})"

    def _join(self, join: JoinRel, indent: int) -> str:
        left = self._item(join.left, indent)
        right = self._item(join.right, indent)
        if isinstance(join.right, JoinRel) and self.pretty:
            right = f"({right})"
        word = "JOIN" if join.kind is JoinKind.INNER else f"{join.kind.value} JOIN"
        pad = "\n" + " " * (indent + 5)
        if join.using:
            names = ", ".join(quote_identifier(name) for name in join.using)
            text = f"{left}{pad}{word} {right} USING ({names})"
        elif join.condition is None:
            if join.kind is JoinKind.INNER:
                text = f"{left}{pad}CROSS JOIN {right}"
            else:
                text = f"{left}{pad}{word} {right} ON (true)"
        else:
            condition = self._condition(self.writer(indent), join.condition)
            text = f"{left}{pad}{word} {right} ON "
            text += condition if self.pretty else f"({condition})"
        return text if self.pretty else f"({text})"

    def _condition(self, write: ExpressionWriter, condition: Expr) -> str:
        return write.write(condition, implicit=False)


def _listed(head: str, texts: Sequence[str], separator: str) -> str:
    """The targets behind `head`; one that starts with a line of its own (CASE) needs no other."""
    result = head
    for number, text in enumerate(texts):
        if number:
            result += "," if text.startswith("\n") else separator
        elif text.startswith("\n"):
            result = result.rstrip()
        result += text
    return result
