"""Access paths give what a scan gives: prefixes of LIKE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from heliosd.plan.expression_facts import like_range
from tests.server import Server

WORDS = ("abc", "abd", "ab", "ab%", "ab_", "a\\b", "ab\U0010ffff", "ab\U0010ffffz", "b", "", "AB",
         "ab\ud7ff", "ab\ue000", "\U0010ffff", "\U0010ffffx")  # fmt: skip
PATTERNS = ("ab%", "abc", "ab\\%%", "ab_", "a\\\\%", "ab\U0010ffff%", "\U0010ffff%", "%b", "",
            "ab\ud7ff%", "AB%", "ab%c")  # fmt: skip


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Any]:
    with psycopg.connect(server.conninfo(), autocommit=True) as made:
        made.execute("CREATE SCHEMA accessed")
        made.execute("SET search_path = accessed")
        for name in ("plain", "indexed"):
            made.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, w text)")
            made.execute(
                f"INSERT INTO {name} SELECT i, 'x' || i FROM generate_series(1000, 3000) i"
            )
            for number, word in enumerate(WORDS):
                made.execute(f"INSERT INTO {name} VALUES (%s, %s)", (number, word))
        made.execute("CREATE INDEX ON indexed (w)")
        made.execute("ANALYZE plain, indexed")
        yield made
        made.execute("DROP SCHEMA accessed CASCADE")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_like_by_its_prefix(connection: Any, pattern: str) -> None:
    literal = "'" + pattern + "'"
    found = [
        connection.execute(f"SELECT id FROM {name} WHERE w LIKE {literal} ORDER BY id").fetchall()
        for name in ("plain", "indexed")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("offset", [0, 3, 255, 256, 900, 2014, 2015, 2016, 99999])
def test_offset_by_count(connection: Any, offset: int) -> None:
    """Whole tables in key order, own changes included: the rows that a list would give."""
    ids = [row[0] for row in connection.execute("SELECT id FROM plain ORDER BY id")]
    query = f"SELECT id FROM plain ORDER BY id OFFSET {offset} LIMIT 4"
    assert [row[0] for row in connection.execute(query)] == ids[offset : offset + 4]
    with connection.transaction(force_rollback=True):
        connection.execute("DELETE FROM plain WHERE id % 7 = 1")
        connection.execute("INSERT INTO plain VALUES (2000000, 'z'), (-1, 'a')")
        ids = [row[0] for row in connection.execute("SELECT id FROM plain ORDER BY id")]
        assert [row[0] for row in connection.execute(query)] == ids[offset : offset + 4]


def test_bounds() -> None:
    assert like_range("ab%") == ("ab", "ac")
    assert like_range("a\\%b_") == ("a%b", "a%c")
    assert like_range("%") == ("", "")
    assert like_range("a\U0010ffff%") == ("a\U0010ffff", "b")
    assert like_range("\ud7ff%") == ("\ud7ff", "\ue000")
