"""S-28: no file of the data directory, the log aside, shows a row, a key, a comment or a name."""

from __future__ import annotations

from pathlib import Path

from tests.server import Server

CANARIES = {
    "row": "canary-row-7f3a9c",
    "large": "canary-large-55d1e0",
    "key": "canary-key-b81e42",
    "comment": "canary-comment-09fd77",
    "role": "canary_role_44c0ab",
    "table": "canary_table_e6d3f1",
    "column": "canary_column_1b7c28",
}


def write_canaries(server: Server) -> None:
    with server.connect() as connection:
        connection.execute(
            f"create table {CANARIES['table']}"
            f" (id int primary key, {CANARIES['column']} text, large text)"
        )
        connection.execute(f"create index on {CANARIES['table']} ({CANARIES['column']})")
        connection.execute(
            f"insert into {CANARIES['table']} values (1, %s), (2, %s)",
            (CANARIES["row"], CANARIES["key"]),
        )
        connection.execute(
            f"insert into {CANARIES['table']} select 3, 'x', repeat(%s, 1000)", (CANARIES["large"],)
        )
        connection.execute(f"comment on table {CANARIES['table']} is '{CANARIES['comment']}'")
        connection.execute(f"create role {CANARIES['role']}")
        connection.execute("checkpoint")


def files_with(directory: Path, needle: bytes) -> list[str]:
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and needle in path.read_bytes()
    ]


def test_no_plaintext_at_rest(own_server: Server) -> None:
    own_server.start()
    write_canaries(own_server)
    for stage in ("running", "stopped"):
        if stage == "stopped":
            assert own_server.stop() == 0
        for what, canary in CANARIES.items():
            assert files_with(own_server.data, canary.encode()) == [], (stage, what)
    own_server.start()
    with own_server.connect() as connection:
        assert connection.execute(
            f"select {CANARIES['column']} from {CANARIES['table']} where id = 1"
        ).fetchone() == (CANARIES["row"],)


def test_the_directory_and_its_files_are_private(own_server: Server) -> None:
    own_server.start()
    assert own_server.data.stat().st_mode & 0o777 == 0o700
    for path in own_server.data.rglob("*"):
        mode = path.stat().st_mode & 0o777
        if path.suffix == ".crt":
            continue  # certificates are public
        assert mode & 0o077 == 0, (str(path), oct(mode))


def test_a_wrong_key_is_refused_and_touches_nothing(own_server: Server) -> None:
    own_server.settings["encryption_key"] = "11" * 32
    own_server.start()
    assert own_server.stop() == 0
    before = {path: path.read_bytes() for path in own_server.data.rglob("*") if path.is_file()}
    own_server.settings["encryption_key"] = "22" * 32
    try:
        own_server.start(seconds=20)
        raise AssertionError("started with a wrong key")
    except AssertionError as error:
        assert "encryption key" in str(error)
        assert "22" * 32 not in str(error)
    after = {path: path.read_bytes() for path in own_server.data.rglob("*") if path.is_file()}
    changed = [str(path) for path in before if before[path] != after.get(path)]
    assert [name for name in changed if not name.endswith("/lock")] == []


def test_the_key_is_not_in_the_process_s_environment(own_server: Server) -> None:
    own_server.settings["encryption_key"] = "3b" * 32
    own_server.start()
    environment = Path(f"/proc/{own_server.pid}/environ").read_bytes()
    assert b"3b3b" not in environment
    assert b"HELIOSDB_PASSWORD" not in environment
    assert b"3b3b" not in own_server.log_path.read_bytes()
