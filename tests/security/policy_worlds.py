"""Random worlds of tables, policies and roles, and what roles then try: the same on both servers.

Everything is made from a seed, so that a world can be looked at again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

ROLES = ("wr_ann", "wr_bob", "wr_cat", "wr_dan")
OWNER = "wr_owner"
GROUP = "wr_group"
BYPASSER = "wr_free"


@dataclass(frozen=True)
class Step:
    """A statement of a role; None: the superuser. `sets`: row_security for it."""

    role: str | None
    sql: str
    row_security: str = "on"


PREDICATES = (
    "owner = current_user",
    "owner = session_user::text",
    "a > 3",
    "a % 2 = 0",
    "b IS NOT NULL",
    "b < 50",
    "true",
    "false",
    "NULL::boolean",
    "a IN (1, 2, 3, 5)",
    "owner LIKE 'wr_a%'",
    "b BETWEEN 10 AND 60 OR owner = current_user",
    "NOT (a = 4)",
    "EXISTS (SELECT 1 FROM wr_rights r WHERE r.who = current_user AND r.level >= {table}.a)",
    "a IN (SELECT level FROM wr_rights WHERE who = current_user)",
    "b > (SELECT avg(level) FROM wr_rights)",
    "pg_has_role(current_user, 'wr_group', 'MEMBER')",
    "length(owner) > 5",
    "coalesce(b, 0) >= a",
)
CONDITIONS = (
    "a = {n}",
    "a > {n}",
    "b / (a - {n}) > 1",
    "owner = 'wr_bob'",
    "a IN ({n}, {m})",
    "b IS NULL",
    "upper(owner) LIKE '%B%'",
    "true",
    "a = (SELECT max(a) FROM wr_two)",
    "EXISTS (SELECT 1 FROM wr_two x WHERE x.a = wr_one.a)",
)


class World:
    """The statements that make a world, and those that look at it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.policies: list[tuple[str, str]] = []

    def _of(self, items: tuple[str, ...]) -> str:
        return self.random.choice(items)

    def steps(self) -> list[Step]:
        """Roles, tables, policies; the tables `wr_one`, `wr_two` and a view over the first."""
        r = self.random
        make = [f"CREATE ROLE {role}" for role in (*ROLES, OWNER, GROUP)]
        make.append(f"CREATE ROLE {BYPASSER} BYPASSRLS")
        make += [f"GRANT {GROUP} TO {role}" for role in ROLES if r.random() < 0.4]
        make += [
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
            f"GRANT CREATE ON SCHEMA public TO {OWNER}",
        ]
        steps = [Step(None, sql) for sql in make]
        tables = [
            "CREATE TABLE wr_rights (who text, level int)",
            "INSERT INTO wr_rights VALUES ('wr_ann', 5), ('wr_bob', 2), ('wr_cat', 7)",
            "CREATE TABLE wr_one (a int PRIMARY KEY CHECK (a < 100), b int UNIQUE, owner text)",
            "ALTER TABLE wr_one ALTER owner SET NOT NULL",
            "CREATE TABLE wr_two (a int, b int, owner text)",
            "CREATE INDEX ON wr_two (a)",
        ]
        for table in ("wr_one", "wr_two"):
            rows = ", ".join(
                f"({n}, {'NULL' if r.random() < 0.2 else n * 10 + r.randrange(10)}, "
                f"'{self._of(ROLES)}')"
                for n in range(1, 9)
            )
            tables.append(f"INSERT INTO {table} VALUES {rows}")
        kind = self._of(("", "WITH (security_invoker)"))
        tables.append(f"CREATE VIEW wr_view {kind} AS SELECT a, b, owner FROM wr_one WHERE a < 7")
        tables.append(
            "CREATE VIEW wr_sealed WITH (security_barrier) AS SELECT a, owner FROM wr_two "
            f"WHERE owner <> '{self._of(ROLES)}'"
        )
        for table in ("wr_one", "wr_two", "wr_rights", "wr_view", "wr_sealed"):
            grants = "SELECT, INSERT, UPDATE, DELETE" if r.random() < 0.8 else "SELECT"
            who = "PUBLIC" if r.random() < 0.8 else f"{ROLES[0]}, {ROLES[1]}"
            tables.append(f"GRANT {grants} ON {table} TO {who}")
        steps += [Step(OWNER, sql) for sql in tables]
        for table in ("wr_one", "wr_two"):
            steps += self._table_policies(table)
        if r.random() < 0.3:
            steps.append(Step(OWNER, "ALTER TABLE wr_rights ENABLE ROW LEVEL SECURITY"))
            steps.append(Step(OWNER, "CREATE POLICY r ON wr_rights USING (who = current_user)"))
        return steps

    def _table_policies(self, table: str) -> list[Step]:
        r = self.random
        steps = []
        if r.random() < 0.9:
            steps.append(Step(OWNER, f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))
        if r.random() < 0.4:
            steps.append(Step(OWNER, f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"))
        for number in range(r.randrange(5)):
            command = r.choice(("ALL", "ALL", "SELECT", "INSERT", "UPDATE", "DELETE"))
            kind = "RESTRICTIVE" if r.random() < 0.3 else "PERMISSIVE"
            roles = r.choice(("PUBLIC", "PUBLIC", GROUP, f"{ROLES[0]}, {ROLES[2]}", OWNER))
            parts = [f"CREATE POLICY {chr(102 - number)}{number} ON {table} AS {kind}"]
            parts.append(f"FOR {command} TO {roles}")
            if command != "INSERT" and r.random() < 0.95:
                parts.append(f"USING ({self._of(PREDICATES).format(table=table)})")
            if command in ("ALL", "INSERT", "UPDATE") and r.random() < 0.6:
                parts.append(f"WITH CHECK ({self._of(PREDICATES).format(table=table)})")
            steps.append(Step(OWNER, " ".join(parts)))
        return steps

    def probes(self, count: int) -> list[Step]:
        """What roles try; each is undone."""
        r = self.random
        found = []
        for _ in range(count):
            role = r.choice((*ROLES, *ROLES, OWNER, BYPASSER))
            off = "off" if r.random() < 0.06 else "on"
            found.append(Step(role, self._probe(), off))
        return found

    def _condition(self, table: str) -> str:
        r = self.random
        text = self._of(CONDITIONS).format(n=r.randrange(9), m=r.randrange(9))
        return text.replace("wr_one.a", f"{table}.a")

    def _probe(self) -> str:
        r = self.random
        table = r.choice(("wr_one", "wr_two"))
        where = f" WHERE {self._condition(table)}" if r.random() < 0.7 else ""
        back = r.choice(("", "", " RETURNING *", " RETURNING a"))
        a, b, who = r.randrange(12), r.randrange(120), self._of(ROLES)
        match r.randrange(20):
            case 0 | 1:
                return f"SELECT * FROM {table}{where} ORDER BY a, b, owner"
            case 2:
                return f"SELECT count(*), min(a), max(b) FROM {table}{where}"
            case 3:
                kind = r.choice(("UPDATE", "SHARE", "NO KEY UPDATE", "KEY SHARE"))
                return f"SELECT * FROM {table}{where} ORDER BY a, b FOR {kind}"
            case 4:
                return (
                    "SELECT x.a, y.a, y.owner FROM wr_one x "
                    f"{r.choice(('JOIN', 'LEFT JOIN', 'FULL JOIN'))} wr_two y "
                    f"ON x.a = y.a {r.choice(('', 'AND y.b > 20', 'AND x.b / (y.a - 3) > 1'))} "
                    "ORDER BY 1, 2, 3"
                )
            case 5:
                return f"INSERT INTO {table} VALUES ({a}, {b}, '{who}'){back}"
            case 6:
                return (
                    f"INSERT INTO {table} SELECT a + 20, b + 200, owner FROM {table}{where}{back}"
                )
            case 7:
                return (
                    f"UPDATE {table} SET b = {b}{where}{back}"
                    if r.random() < 0.3
                    else (f"UPDATE {table} SET owner = '{who}'{where}{back}")
                )
            case 8:
                return f"UPDATE {table} SET a = a + 10{where}{back}"
            case 9:
                return f"DELETE FROM {table}{where}{back}"
            case 10 | 11:
                target = r.choice(("(a)", "(b)", "ON CONSTRAINT wr_one_pkey"))
                do = r.choice(
                    (
                        "NOTHING",
                        "UPDATE SET b = excluded.b + 100",
                        "UPDATE SET owner = excluded.owner",
                        f"UPDATE SET b = wr_one.b + 300 WHERE wr_one.a > {r.randrange(9)}",
                    )
                )
                row = f"({a}, {b}, '{who}')"
                return f"INSERT INTO wr_one VALUES {row} ON CONFLICT {target} DO {do}{back}"
            case 12:
                return f"INSERT INTO wr_one VALUES ({a}, {b}, '{who}') ON CONFLICT DO NOTHING{back}"
            case 13:
                return r.choice(
                    (f"SELECT * FROM wr_view WHERE a > {a} ORDER BY a",
                     f"UPDATE wr_view SET b = {b} WHERE a = {a}{back}",
                     f"DELETE FROM wr_view WHERE b > {b}{back}",
                     f"INSERT INTO wr_view VALUES ({a}, {b}, '{who}'){back}",
                     "UPDATE wr_view SET b = b + 1000")
                )  # fmt: skip
            case 14:
                return r.choice(
                    (f"SELECT * FROM wr_sealed WHERE 10 / (a - {a}) > 1 ORDER BY a, owner",
                     f"UPDATE wr_sealed SET a = a + 1 WHERE a = {a}{back}",
                     "DELETE FROM wr_sealed")
                )  # fmt: skip
            case 17 | 18 | 19:
                return self._merge(table, where, who)
            case 15:
                return (
                    f"WITH q AS (UPDATE {table} SET b = b + 500{where} RETURNING a, b) "
                    "SELECT * FROM q ORDER BY a, b"
                )
            case _:
                counted = "(SELECT count(*) FROM wr_two y WHERE y.a <= x.a)"
                return r.choice(
                    (
                        f"UPDATE wr_one SET b = y.b + 500 FROM wr_two y WHERE y.a = wr_one.a{back}",
                        f"DELETE FROM wr_two USING wr_one x WHERE x.a = wr_two.a{back}",
                        f"SELECT a, {counted} FROM wr_one x ORDER BY a",
                        f"SELECT row_security_active('{table}')",
                    )
                )

    def _merge(self, table: str, where: str, who: str) -> str:
        r = self.random
        first, second = r.randrange(9), r.randrange(9)
        matched = r.choice(
            (
                f"UPDATE SET owner = '{who}'",
                "UPDATE SET b = s.b + 700",
                "DELETE",
                f"DO NOTHING WHEN MATCHED AND s.b > {first} THEN DELETE",
            )
        )
        condition = f" AND {table}.b > {first * 10}" if r.random() < 0.5 else ""
        if matched.startswith("DO"):
            condition = f" AND s.a > {second}"
        other = r.choice(
            (
                "DO NOTHING",
                "INSERT VALUES (s.a, s.b + 900, s.owner)",
                f"INSERT VALUES (s.a, 1, '{who}')",
            )
        )
        joined = r.choice((f"s.a = {table}.a", f"s.a = {table}.a AND {table}.b < 60", "s.a = 3"))
        if joined == "s.a = 3":
            matched = "DO NOTHING"
        source = f"(SELECT a + {r.choice((0, 0, 4))} AS a, b, owner FROM wr_two) s"
        return (
            f"MERGE INTO {table} USING {source} ON {joined} WHEN MATCHED{condition} THEN {matched} "
            f"WHEN NOT MATCHED AND s.b > {second * 10} THEN {other}"
        )

    def clean(self) -> list[Step]:
        """Everything away again."""
        names = ", ".join((*ROLES, OWNER, GROUP, BYPASSER))
        return [
            Step(None, f"DROP OWNED BY {names} CASCADE"),
            Step(None, f"DROP ROLE {names}"),
        ]
