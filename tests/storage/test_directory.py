from __future__ import annotations

from pathlib import Path

import pytest

from helios_storage.directory import open_directory
from helios_storage.errors import StorageRefused
from helios_storage.keyring import GivenKey, KeyFile
from helios_storage.storage import Storage
from tests.storage.stores import SMALL, crash, make_tree, open_store, put_rows


def test_made_private_and_locked(tmp_path: Path) -> None:
    path = tmp_path / "data"
    home = open_directory(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StorageRefused, match="in use by another process"):
        open_directory(path, create=True)
    home.close()
    open_directory(path, create=True).close()


def test_refusals(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with pytest.raises(StorageRefused, match="does not exist"):
        open_directory(path, create=False)
    home = open_directory(path, create=True)
    home.close()
    with pytest.raises(StorageRefused, match="holds no store"):
        open_directory(path, create=False)
    for text, match in (
        ("heliosd store 2\n", "store format 2; this program reads format 1"),
        ("PG 15\n", "is not a heliosd data directory"),
    ):
        (path / "format").write_text(text)
        with pytest.raises(StorageRefused, match=match):
            open_directory(path, create=True)
    (path / "format").unlink()
    path.chmod(0o750)
    with pytest.raises(StorageRefused, match="must be 0700"):
        open_directory(path, create=True)


def test_a_wrong_key_touches_nothing(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage)
    put_rows(storage, tree_id, {1: (1, "x")})
    crash(storage)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files if path.name != "lock"}
    with pytest.raises(StorageRefused, match="needs the encryption key"):
        Storage.open(tmp_path / "data", GivenKey(bytes(32)), SMALL)
    after = {p: p.read_bytes() for p in (tmp_path / "data").rglob("*") if p.is_file()}
    assert {path: data for path, data in after.items() if path.name != "lock"} == before


def test_an_interrupted_first_start_is_finished(tmp_path: Path) -> None:
    home = open_directory(tmp_path / "data", create=True)
    home.close()
    storage = open_store(tmp_path)
    assert not storage._directory.is_new
    storage.close()


def test_nothing_readable_in_the_directory(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    tree_id = make_tree(storage, "qt", "bytes")
    put_rows(storage, tree_id, {b"key-canary-1": (1, "value-canary-1")})
    storage.checkpoint()
    put_rows(storage, tree_id, {b"key-canary-2": (2, "value-canary-2" * 300)})
    crash(storage)
    open_store(tmp_path).close()
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path


def test_second_open_is_refused(tmp_path: Path) -> None:
    storage = open_store(tmp_path)
    with pytest.raises(StorageRefused, match="in use"):
        Storage.open(tmp_path / "data", KeyFile(), SMALL)
    storage.close()
    storage.close()
