"""Random changes of tables with every kind of constraint and index. Seeded.

Statements change one row, or rows that cannot collide: which of several rows fails first, and
whether a passing collision is met, depends on the order in which a server visits rows.
"""

from __future__ import annotations

import random

SCHEMA = (
    "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE, v int)",
    (
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text, n numeric, "
        "pid int REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, u int UNIQUE, "
        "CHECK (a IS NULL OR a < 18))"
    ),
    (
        "CREATE TABLE w (x int, y text, pid int REFERENCES p (id) ON DELETE SET NULL, "
        "PRIMARY KEY (x, y))"
    ),
    "CREATE INDEX ON t (a)",
    "CREATE INDEX ON t (b, n DESC)",
    "CREATE INDEX ON t (lower(b)) WHERE a > 3",
    "CREATE INDEX ON w (pid)",
    "CREATE UNIQUE INDEX ON t (a, b) WHERE n > 4",
    "INSERT INTO p SELECT g, 'c' || g, g FROM generate_series(1, 12) g",
)
STATES = (
    "SELECT * FROM t ORDER BY id",
    "SELECT * FROM p ORDER BY id",
    "SELECT * FROM w ORDER BY x, y",
    "SELECT count(*) FROM t WHERE a > 5",
    "SELECT id FROM t WHERE b = 'b3' ORDER BY n DESC, id",
    "SELECT id FROM t WHERE lower(b) = 'b2' AND a > 4 ORDER BY id",
    "SELECT id FROM t WHERE u BETWEEN 3 AND 12 ORDER BY u",
    "SELECT id, a FROM t WHERE a BETWEEN 2 AND 8 ORDER BY a, id",
    "SELECT x, y FROM w WHERE pid = 3 ORDER BY x, y",
)


class Changes:
    """Makes statements that change the tables above."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def _value(self, kind: str) -> str:
        pick = self.random
        if pick.random() < 0.15:
            return "NULL"
        if kind == "int":
            return str(pick.randint(0, 20))
        if kind == "text":
            return f"'b{pick.randint(0, 6)}'"
        return f"{pick.randint(0, 12)}.{pick.randint(0, 9)}"

    def _parent(self) -> str:
        return self.random.choice(["NULL", str(self.random.randint(1, 14))])

    def statement(self) -> str:
        pick, chance = self.random, self.random.random()
        row = f"id = {pick.randint(1, 30)}"
        if chance < 0.35:
            return self._insert()
        if chance < 0.6:
            change = pick.choice(
                [
                    f"a = {self._value('int')}",
                    f"a = coalesce(a, 0) + {pick.randint(-2, 9)}, b = b || 'x'",
                    f"b = {self._value('text')}, n = {self._value('num')}",
                    f"u = {self._value('int')}",
                    f"id = id + {pick.randint(0, 3)}",
                    f"pid = {self._parent()}",
                    "n = (SELECT max(v) FROM p WHERE p.id = t.pid)",
                ]
            )
            return f"UPDATE t SET {change} WHERE {row} RETURNING *"
        if chance < 0.68:
            return f"DELETE FROM t WHERE {row} RETURNING id, b"
        if chance < 0.74:
            return f"UPDATE t SET n = p.v FROM p WHERE p.id = t.pid AND t.{row} RETURNING t.id, n"
        if chance < 0.8:
            return f"DELETE FROM p WHERE id = {pick.randint(1, 14)}"
        if chance < 0.86:
            return f"UPDATE p SET id = id + {pick.randint(1, 3)} WHERE id = {pick.randint(1, 14)}"
        if chance < 0.91:
            return (
                f"INSERT INTO p VALUES ({pick.randint(1, 14)}, 'c{pick.randint(1, 20)}', 1) "
                "ON CONFLICT (id) DO UPDATE SET v = p.v + 1 RETURNING *"
            )
        if chance < 0.96:
            return (
                f"INSERT INTO w VALUES ({pick.randint(1, 9)}, 'y{pick.randint(1, 5)}', "
                f"{self._parent()}) ON CONFLICT (x, y) DO UPDATE SET pid = excluded.pid"
            )
        return pick.choice(["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "ROLLBACK TO s"])

    def _insert(self) -> str:
        pick = self.random
        values = (
            f"({pick.randint(1, 30)}, {self._value('int')}, {self._value('text')}, "
            f"{self._value('num')}, {self._parent()}, "
            f"{pick.choice(['NULL', str(pick.randint(1, 40))])})"
        )
        conflict = pick.choice(
            [
                "",
                "",
                "ON CONFLICT DO NOTHING",
                "ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = t.b || '!', u = excluded.u",
                "ON CONFLICT (u) DO UPDATE SET n = coalesce(t.n, 0) + 1 WHERE t.a IS NOT NULL",
            ]
        )
        return f"INSERT INTO t VALUES {values} {conflict} RETURNING *"
