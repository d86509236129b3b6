"""Random queries of more shapes: set operations, windows, grouping sets, WITH, LATERAL and more.

Each gives rows in an order that both servers must agree on. Seeded.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sql.random_sql import SCHEMA, TABLES, Columns, Queries

__all__ = ["SCHEMA", "Shapes"]

KEYS = {"a": ("i",), "bb": ("k", "i"), "c": ("x",)}


class Shapes(Queries):
    """Makes a query of any shape."""

    def any(self) -> str:
        """The next query."""
        shapes: list[Callable[[], str]] = [
            self.query,
            self.set_operation,
            self.window,
            self.grouping_sets,
            self.with_queries,
            self.lateral,
            self.distinct_on,
            self.scalar_subquery,
            self.aggregate_order,
            self.recursion,
            self.values,
            self.row_values,
            self.ties,
        ]
        return self.random.choice(shapes)()

    # -- parts -------------------------------------------------------------------------------

    def _table(self, alias: str) -> tuple[str, Columns]:
        table = self.random.choice(list(TABLES))
        return table, [(f"{alias}.{name}", kind) for name, kind in TABLES[table]]

    def _ordered(self, text: str, width: int) -> str:
        names = ", ".join(f"c{i}" for i in range(width))
        order = ", ".join(
            f"{i + 1}{self.random.choice(['', '', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST'])}"
            for i in range(width)
        )
        limit = f" LIMIT {self.random.randint(0, 9)}" if self.random.random() < 0.2 else ""
        return f"SELECT * FROM ({text}) z({names}) ORDER BY {order}{limit}"

    def _where(self, columns: Columns) -> str:
        return f" WHERE {self.predicate(columns)}" if self.random.random() < 0.6 else ""

    def _simple(self, kinds: list[str]) -> str:
        """A SELECT of outputs of these kinds."""
        source, columns = self._from()
        outputs = ", ".join(self.expression(columns, kind) for kind in kinds)
        distinct = "DISTINCT " if self.random.random() < 0.2 else ""
        return f"SELECT {distinct}{outputs} FROM {source}{self._where(columns)}"

    # -- shapes ------------------------------------------------------------------------------

    def set_operation(self) -> str:
        """Two or three queries under UNION, INTERSECT and EXCEPT."""
        pick = self.random
        # Equal numerics may differ in scale, and either may stand for both.
        kinds = [pick.choice(("int", "text", "date")) for _ in range(pick.randint(1, 3))]
        text = f"({self._simple(kinds)})"
        for _ in range(pick.randint(1, 2)):
            word = pick.choice(["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT",
                                "EXCEPT ALL"])  # fmt: skip
            text = f"({text} {word} ({self._simple(kinds)}))"
        inner = f"SELECT * FROM {text} u({', '.join(f'u{i}' for i in range(len(kinds)))})"
        if pick.random() < 0.5:
            columns = [(f"u{i}", kind) for i, kind in enumerate(kinds)]
            inner += self._where(columns)
        return self._ordered(inner, len(kinds))

    def window(self) -> str:
        """Window functions over one table, ordered by its key where ties would show."""
        pick = self.random
        table, columns = self._table("t")
        key = ", ".join(f"t.{name}" for name in KEYS[table])
        partition = f"PARTITION BY {pick.choice(columns)[0]} " if pick.random() < 0.6 else ""
        number = self.expression(columns, "int", 2)
        over_key = f"{partition}ORDER BY {pick.choice(columns)[0]}, {key}"
        over_peers = f"{partition}ORDER BY {pick.choice(columns)[0]}"
        frames = [
            "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
            "ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING EXCLUDE CURRENT ROW",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING",
            "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE TIES",
            "",
        ]
        calls = [
            f"row_number() OVER ({over_key})",
            f"rank() OVER ({over_peers})",
            f"dense_rank() OVER ({over_peers})",
            f"ntile({pick.randint(1, 5)}) OVER ({over_key})",
            f"lag({number}, {pick.randint(0, 3)}) OVER ({over_key})",
            f"lead({number}, 1, -9) OVER ({over_key})",
            f"first_value({number}) OVER ({over_key} {pick.choice(frames)})",
            f"nth_value({number}, 2) OVER ({over_key} {pick.choice(frames)})",
            f"sum({number}) OVER ({over_key} {pick.choice(frames)})",
            f"count(*) OVER ({over_peers} {pick.choice(frames[3:])})",
            f"max({number}) OVER ({over_peers})",
            f"count(*) FILTER (WHERE {self.predicate(columns, 2)}) OVER ({over_key})",
        ]
        chosen = [pick.choice(calls) for _ in range(pick.randint(1, 3))]
        outputs = [*(f"t.{name}" for name in KEYS[table]), *chosen]
        text = f"SELECT {', '.join(outputs)} FROM {table} t{self._where(columns)}"
        return self._ordered(text, len(outputs))

    def grouping_sets(self) -> str:
        """ROLLUP, CUBE and GROUPING SETS with GROUPING()."""
        pick = self.random
        source, columns = self._from()
        keys = list(dict.fromkeys(pick.choice(columns)[0] for _ in range(pick.randint(1, 3))))
        inside = ", ".join(keys)
        group = pick.choice(
            [
                f"ROLLUP ({inside})",
                f"CUBE ({inside})",
                f"GROUPING SETS (({inside}), ({keys[0]}), ())",
                f"{keys[0]}, ROLLUP ({keys[-1]})",
                f"GROUPING SETS (ROLLUP ({inside}), ({keys[-1]}))",
            ]
        )
        outputs = [*keys, f"GROUPING({inside})", self._aggregate(columns)]
        text = f"SELECT {', '.join(outputs)} FROM {source}{self._where(columns)} GROUP BY {group}"
        if pick.random() < 0.3:
            text += f" HAVING count(*) > {pick.randint(0, 5)}"
        return self._ordered(text, len(outputs))

    def with_queries(self) -> str:
        """One or two WITH queries, joined or used twice."""
        pick = self.random
        kept = pick.choice(["", "MATERIALIZED ", "NOT MATERIALIZED "])
        one = self._simple(["int", "text"])
        two = self._simple(["int", "date"])
        join = pick.choice(["JOIN", "LEFT JOIN", "FULL JOIN"])
        other = pick.choice(["two", "one"])
        last = "n" if other == "two" else "s"
        text = (
            f"WITH one(k, s) AS {kept}(SELECT DISTINCT * FROM ({one}) w), "
            f"two(k, n) AS (SELECT DISTINCT * FROM ({two}) w) "
            f"SELECT x.k, x.s, y.{last} FROM one x {join} {other} y ON x.k = y.k"
        )
        return self._ordered(text, 3)

    def lateral(self) -> str:
        """A subquery beside the table whose columns it reads."""
        pick = self.random
        table, outer = self._table("t")
        inner_table, inner = self._table("l")
        join = pick.choice(["CROSS JOIN LATERAL", "LEFT JOIN LATERAL"])
        where = self.predicate(inner + outer)
        if pick.random() < 0.5:
            body = f"SELECT {self._aggregate(inner)} AS v FROM {inner_table} l WHERE {where}"
        else:
            key = ", ".join(f"l.{name}" for name in KEYS[inner_table])
            number = self.expression(inner + outer, "int", 1)
            body = (
                f"SELECT {number} AS v FROM {inner_table} l WHERE {where} "
                f"ORDER BY ({number}) + 0, {key} LIMIT {pick.randint(1, 3)}"
            )
        on = " ON true" if join.startswith("LEFT") else ""
        keys = [f"t.{name}" for name in KEYS[table]]
        text = f"SELECT {', '.join(keys)}, s.v FROM {table} t {join} ({body}) s{on}"
        return self._ordered(text + self._where(outer), len(keys) + 1)

    def distinct_on(self) -> str:
        """DISTINCT ON with an order that decides."""
        pick = self.random
        table, columns = self._table("t")
        chosen = pick.choice(columns)[0]
        key = ", ".join(f"t.{name}" for name in KEYS[table])
        direction = pick.choice(["", " DESC"])
        outputs = [chosen, pick.choice(columns)[0], self.expression(columns, "int", 1)]
        text = (
            f"SELECT DISTINCT ON ({chosen}) {', '.join(outputs)} FROM {table} t"
            f"{self._where(columns)} ORDER BY {chosen}{direction}, {key}{direction}"
        )
        return self._ordered(text, 3)

    def scalar_subquery(self) -> str:
        """Correlated subqueries in the target list and in ORDER BY."""
        pick = self.random
        table, outer = self._table("t")
        inner_table, inner = self._table("q")
        where = self.predicate(inner + outer, 1)
        sub = f"(SELECT {self._aggregate(inner)} FROM {inner_table} q WHERE {where})"
        more = pick.choice(
            [
                f"EXISTS (SELECT 1 FROM {inner_table} q WHERE {where})",
                f"(SELECT array_agg(q.i ORDER BY q.i) FROM {inner_table} q WHERE {where})",
                f"ARRAY(SELECT q.i FROM {inner_table} q WHERE {where} ORDER BY q.i)",
            ]
        )
        keys = [f"t.{name}" for name in KEYS[table]]
        text = f"SELECT {', '.join(keys)}, {sub}, {more} FROM {table} t{self._where(outer)}"
        return self._ordered(text, len(keys) + 2)

    def aggregate_order(self) -> str:
        """Aggregates with ORDER BY, DISTINCT and FILTER, and HAVING."""
        pick = self.random
        table, columns = self._table("t")
        key = ", ".join(f"t.{name}" for name in KEYS[table])
        group = pick.choice(columns)[0]
        texts = self.expression(columns, "text", 2)
        aggregates = [
            f"string_agg({texts}, ',' ORDER BY {key})",
            f"array_agg({pick.choice(columns)[0]} ORDER BY {key} DESC)",
            f"array_agg(DISTINCT {self.expression(columns, 'int', 2)})",
            f"count(*) FILTER (WHERE {self.predicate(columns, 2)})",
            f"avg({self.expression(columns, 'int', 2)})",
            f"bool_and({self.predicate(columns, 2)})",
            f"every({self.predicate(columns, 2)})",
        ]
        chosen = [pick.choice(aggregates) for _ in range(2)]
        having = f" HAVING {self._aggregate(columns)} IS NOT NULL" if pick.random() < 0.4 else ""
        text = (
            f"SELECT {group}, {', '.join(chosen)} FROM {table} t{self._where(columns)} "
            f"GROUP BY {group}{having}"
        )
        return self._ordered(text, 3)

    def recursion(self) -> str:
        """WITH RECURSIVE over table a's numbers."""
        pick = self.random
        word = pick.choice(["UNION", "UNION ALL"])
        step, limit = pick.randint(1, 5), pick.randint(5, 60)
        return self._ordered(
            f"WITH RECURSIVE r(i, depth) AS (SELECT i, 0 FROM a WHERE i <= {pick.randint(1, 4)} "
            f"{word} SELECT a.i, r.depth + 1 FROM a JOIN r ON a.i = r.i + {step} "
            f"WHERE a.i < {limit}) SELECT i, depth, count(*) FROM r GROUP BY i, depth",
            3,
        )

    def values(self) -> str:
        """VALUES joined with a table."""
        pick = self.random
        rows = ", ".join(
            f"({pick.choice(['NULL', str(pick.randint(0, 9))])}, 's{pick.randint(0, 5)}')"
            for _ in range(pick.randint(1, 6))
        )
        table, columns = self._table("t")
        join = pick.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
        column = next(name for name, kind in columns if kind == "int")
        number = self.expression(columns, "int", 1)
        text = (
            f"SELECT v.k, v.s, {number} FROM (VALUES {rows}) v(k, s) "
            f"{join} {table} t ON v.k = {column}"
        )
        return self._ordered(text, 3)

    def row_values(self) -> str:
        """Comparisons of rows, and IN over two columns."""
        pick = self.random
        table, columns = self._table("t")
        numbers = [name for name, kind in columns if kind == "int"]
        one, two = pick.choice(numbers), pick.choice(numbers)
        operator = pick.choice(["=", "<>", "<", "<=", ">", ">="])
        condition = pick.choice(
            [
                f"({one}, {two}) {operator} ({pick.randint(0, 9)}, {pick.randint(0, 9)})",
                f"({one}, {two}) IN (SELECT i, k FROM bb WHERE {self.predicate(columns, 2)})",
                f"({one}, {two}) NOT IN (SELECT k, i FROM bb WHERE i > {pick.randint(0, 60)})",
                f"ROW({one}, {two}) IS DISTINCT FROM ROW({pick.randint(0, 5)}, {two})",
            ]
        )
        keys = [f"t.{name}" for name in KEYS[table]]
        text = f"SELECT {', '.join(keys)}, {condition} FROM {table} t{self._where(columns)}"
        return self._ordered(text, len(keys) + 1)

    def ties(self) -> str:
        """FETCH FIRST ... WITH TIES: which rows, not in which order."""
        pick = self.random
        table, columns = self._table("t")
        order = pick.choice(columns)[0]
        keys = [f"t.{name}" for name in KEYS[table]]
        direction = pick.choice(["", " DESC", " NULLS FIRST"])
        text = (
            f"SELECT {', '.join(keys)} FROM {table} t{self._where(columns)} "
            f"ORDER BY {order}{direction} FETCH FIRST {pick.randint(1, 8)} ROWS WITH TIES"
        )
        return self._ordered(text, len(keys))
