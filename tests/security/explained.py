"""EXPLAIN's text."""

from __future__ import annotations

from typing import Any

import psycopg


def explain(connection: psycopg.Connection[Any], statement: str, options: str = "") -> str:
    """The plan, a line per line."""
    rows = connection.execute(f"explain {options} {statement}").fetchall()
    return "\n".join(line for (line,) in rows)
