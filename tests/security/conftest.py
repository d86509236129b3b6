"""The databases that are compared with PostgreSQL, as in tests/sql; the stage of attacks."""

from __future__ import annotations

from tests.security.attack_stage import stage
from tests.sql.conftest import both, both_databases

__all__ = ["both", "both_databases", "stage"]
