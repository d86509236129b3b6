"""pg_dump writes what it writes of PostgreSQL, and psql reads it back."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.clients.test_psql import Environments, environments, psql

__all__ = ["environments"]


def dump(environment: dict[str, str], *arguments: str) -> str:
    """pg_dump's script without what names the server or the moment."""
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    done = subprocess.run(
        ["pg_dump", *arguments], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return re.sub(r"(?m)^(-- Dumped .*|\\(un)?restrict .*)\n", "", done.stdout)


def test_schema_as_postgres(environments: Environments) -> None:
    ours, theirs = environments
    assert dump(ours, "-n", "demo") == dump(theirs, "-n", "demo")


def test_rows_come_back(environments: Environments) -> None:
    ours = environments[0]
    psql("insert into demo.p values (1, 'one'), (2, E'tab\\there')", ours)
    psql("insert into demo.t (v, n, p) values ('a', 1.5, 1), ('b', 7, 2)", ours)
    script = dump(ours, "-n", "demo")
    psql("create database dump_copy", ours)
    copy = {**ours, "PGDATABASE": "dump_copy"}
    try:
        done = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"],
            input=script, env=copy, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        query = "select * from demo.t order by id"
        assert psql(query, copy) == psql(query, ours)
        assert psql("select * from demo.p order by id", copy) == psql(
            "select * from demo.p order by id", ours
        )
        assert dump(copy, "-n", "demo") == script
    finally:
        psql("drop database dump_copy", ours)
