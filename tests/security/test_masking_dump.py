"""pg_dump carries masks and labels, and what it dumps is what its role may see."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.security.masked_world import SECRET, World
from tests.server import PASSWORD, Server


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    made = World(server, "dumping")
    made.ask("owner", "security label on table person is 'confidential'")
    made.ask("owner", "security label on column person.note is 'personal'")
    yield made
    made.close()


def dump(world: World, role: str, *options: str) -> str:
    secret = PASSWORD if role == "postgres" else SECRET
    done = subprocess.run(
        ["pg_dump", *options, world.name],
        env=world.server.libpq_environment(PGUSER=role, PGPASSWORD=secret),
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dump_shows_what_its_role_sees(world: World) -> None:
    text = dump(world, "postgres")
    assert "alice@example.org" not in text
    assert "aXXX@XXXX.com" in text
    world.admin.execute("grant unmask on database dumping to postgres")
    text = dump(world, "postgres")
    world.admin.execute("revoke unmask on database dumping from postgres")
    assert "alice@example.org" in text


def test_masks_and_labels_survive_dump_and_restore(world: World) -> None:
    labels = (
        "select objname, label from pg_seclabels where objtype in ('table', 'column') order by 1"
    )
    before = world.ask("postgres", labels)
    assert len(before) == 5
    world.admin.execute("grant unmask on database dumping to postgres")
    text = dump(world, "postgres", "--no-privileges")
    world.admin.execute("revoke unmask on database dumping from postgres")
    assert "SECURITY LABEL FOR heliosd ON COLUMN public.person.email IS" in text
    world.admin.execute("create database restored")
    try:
        # What makes indexes over masked columns anew needs UNMASK; grants come after the data.
        world.admin.execute("grant unmask on database restored to postgres")
        done = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored"], input=text,
            env=world.server.libpq_environment(), check=False, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with world.server.connect(dbname="restored") as connection:
            assert connection.execute(labels).fetchall() == before
            sql = "select email, phone, shout from person where id = 1"
            assert connection.execute(sql).fetchall() == [
                ("alice@example.org", "0123456789", "ALICE@EXAMPLE.ORG")
            ]
            connection.execute("revoke unmask on database restored from postgres")
            assert connection.execute(sql).fetchall() == [("aXXX@XXXX.com", "01..89", "XXXX")]
    finally:
        world.admin.execute("drop database restored with (force)")
