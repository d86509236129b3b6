"""The databases that are compared with PostgreSQL, as in tests/sql."""

from __future__ import annotations

from tests.sql.conftest import both, both_databases

__all__ = ["both", "both_databases"]
