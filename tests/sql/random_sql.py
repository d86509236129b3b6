"""Random statements over small tables: what both servers must answer alike. Seeded."""

from __future__ import annotations

import random

Columns = list[tuple[str, str]]

TABLES: dict[str, Columns] = {
    "a": [("i", "int"), ("k", "int"), ("s", "text"), ("n", "num"), ("b", "bool"), ("d", "date")],
    "bb": [("i", "int"), ("k", "int"), ("s", "text"), ("f", "num")],
    "c": [("x", "text"), ("i", "int"), ("j", "int")],
}
SCHEMA = (
    "CREATE TABLE a (i int PRIMARY KEY, k int, s text, n numeric, b bool, d date)",
    "CREATE TABLE bb (i int, k int NOT NULL, s text, f float8, PRIMARY KEY (k, i))",
    "CREATE TABLE c (x text PRIMARY KEY, i int, j bigint)",
    (
        "INSERT INTO a SELECT g, nullif(g % 7, 3), nullif('s' || (g % 5), 's2'), "
        "nullif(g % 11, 4) / 2.0, CASE g % 3 WHEN 0 THEN true WHEN 1 THEN false END, "
        "date '2020-01-01' + nullif(g % 13, 5) FROM generate_series(1, 60) g"
    ),
    (
        "INSERT INTO bb SELECT g, g % 6, nullif('s' || (g % 4), 's1'), nullif(g % 9, 2) / 4.0 "
        "FROM generate_series(1, 50) g"
    ),
    "INSERT INTO c SELECT 'x' || g, nullif(g % 10, 0), g * 3 FROM generate_series(1, 30) g",
    "CREATE INDEX ON a (k)",
    "CREATE INDEX ON a (s, n DESC)",
    "CREATE INDEX ON a (d) WHERE b",
    "CREATE INDEX ON bb (s)",
    "CREATE INDEX ON c (i)",
)


class Queries:
    """Makes SELECTs whose rows are ordered by every column."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def expression(self, columns: Columns, kind: str, depth: int = 0) -> str:
        chance, pick = self.random.random(), self.random
        own = [name for name, each in columns if each == kind]
        if own and (chance < 0.55 or depth > 2):
            return pick.choice(own)
        match kind:
            case "int":
                return self._int(columns, depth)
            case "text":
                if chance < 0.8:
                    return f"'s{pick.randint(0, 5)}'"
                inner = self.expression(columns, "text", depth + 1)
                return f"upper({inner})" if chance < 0.9 else f"({inner} || 'z')"
            case "num":
                return f"({self.expression(columns, 'int', depth + 1)})::numeric"
            case "date":
                return f"date '2020-01-{pick.randint(1, 14):02}'"
        return self.predicate(columns, depth + 1)

    def _int(self, columns: Columns, depth: int) -> str:
        chance, pick = self.random.random(), self.random

        def inner() -> str:
            return self.expression(columns, "int", depth + 1)

        if chance < 0.3 or depth > 3:
            return str(pick.randint(-2, 12))
        if chance < 0.6:
            return f"({inner()} {pick.choice('+-*')} {inner()})"
        if chance < 0.75:
            return f"coalesce({inner()}, {pick.randint(0, 5)})"
        if chance < 0.9:
            return (
                f"CASE WHEN {self.predicate(columns, depth + 1)} THEN {inner()} ELSE {inner()} END"
            )
        return f"length({self.expression(columns, 'text', depth + 1)})"

    def predicate(self, columns: Columns, depth: int = 0) -> str:
        chance, pick = self.random.random(), self.random
        if depth > 2 or chance < 0.45:
            kind = pick.choice(["int", "int", "text", "num", "date"])
            operator = pick.choice(["=", "=", "<", ">", "<=", ">=", "<>"])
            left = self.expression(columns, kind, depth + 1)
            return f"{left} {operator} {self.expression(columns, kind, depth + 1)}"
        if chance < 0.65:
            one, two = self.predicate(columns, depth + 1), self.predicate(columns, depth + 1)
            return f"({one} {pick.choice(['AND', 'OR'])} {two})"
        if chance < 0.7:
            return f"NOT ({self.predicate(columns, depth + 1)})"
        subject = self.expression(columns, "int", depth + 1)
        negated = pick.choice(["", "NOT "])
        if chance < 0.77:
            return f"{subject} IS {negated}NULL"
        if chance < 0.84:
            items = ", ".join(
                "NULL" if pick.random() < 0.1 else str(pick.randint(0, 9))
                for _ in range(pick.randint(1, 4))
            )
            return f"{subject} {negated}IN ({items})"
        if chance < 0.91:
            other = self.expression(columns, "int", depth + 1)
            return f"{subject} IS {negated}DISTINCT FROM {other}"
        return self._subquery(columns, subject, negated, depth)

    def _subquery(self, columns: Columns, subject: str, negated: str, depth: int) -> str:
        pick = self.random
        table, alias = pick.choice(list(TABLES)), f"q{pick.randint(1, 10**6)}"
        inner = [(f"{alias}.{name}", kind) for name, kind in TABLES[table]]
        where = self.predicate(inner + columns if pick.random() < 0.6 else inner, depth + 2)
        if pick.random() < 0.5:
            return f"{negated}EXISTS (SELECT 1 FROM {table} {alias} WHERE {where})"
        output = pick.choice([name for name, kind in inner if kind == "int"])
        return f"{subject} {negated}IN (SELECT {output} FROM {table} {alias} WHERE {where})"

    def _from(self) -> tuple[str, Columns]:
        pick = self.random
        text, columns = "", []
        for number in range(pick.choice([1, 1, 2, 2, 2, 3, 3, 4])):
            table, alias = pick.choice(list(TABLES)), f"t{number}"
            mine = [(f"{alias}.{name}", kind) for name, kind in TABLES[table]]
            if not number:
                text = f"{table} {alias}"
            else:
                join = pick.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN",
                                    "FULL JOIN"])  # fmt: skip
                kind = pick.choice(["int", "int", "text"])
                left = pick.choice([name for name, each in columns if each == kind])
                right = pick.choice([name for name, each in mine if each == kind])
                condition = f"{left} = {right}"
                if join != "FULL JOIN" and pick.random() < 0.35:
                    condition += f" AND {self.predicate(columns + mine, 2)}"
                text += f" {join} {table} {alias} ON {condition}"
            columns = columns + mine
        return text, columns

    def query(self) -> str:
        pick = self.random
        source, columns = self._from()
        where = f" WHERE {self.predicate(columns)}" if pick.random() < 0.75 else ""
        if pick.random() < 0.3:
            keys = [pick.choice(columns)[0] for _ in range(pick.randint(0, 2))]
            outputs = keys + [self._aggregate(columns) for _ in range(pick.randint(1, 3))]
            text = f"SELECT {', '.join(outputs)} FROM {source}{where}"
            text += f" GROUP BY {', '.join(keys)}" if keys else ""
        else:
            outputs = [
                self.expression(columns, pick.choice(["int", "text", "num"]))
                for _ in range(pick.randint(1, 4))
            ]
            distinct = "DISTINCT " if pick.random() < 0.2 else ""
            text = f"SELECT {distinct}{', '.join(outputs)} FROM {source}{where}"
        names = ", ".join(f"c{i}" for i in range(len(outputs)))
        order = ", ".join(str(i + 1) for i in range(len(outputs)))
        limit = f" LIMIT {pick.randint(0, 9)}" if pick.random() < 0.3 else ""
        return f"SELECT * FROM ({text}) z({names}) ORDER BY {order}{limit}"

    def _aggregate(self, columns: Columns) -> str:
        pick = self.random
        some = pick.choice(columns)[0]
        number = self.expression(columns, "int", 2)
        return pick.choice(
            [
                "count(*)",
                f"count({some})",
                f"count(DISTINCT {some})",
                f"sum({number})",
                f"max({number})",
                f"min({self.expression(columns, 'text', 2)})",
                f"sum({number}) FILTER (WHERE {self.predicate(columns, 2)})",
            ]
        )
