from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest

from helios_storage.errors import Corrupted, StorageRefused
from helios_storage.keyring import (
    GivenKey,
    KeyFile,
    KeyKind,
    change_wrapping_key,
    decode_keyring,
    encode_keyring,
    new_keyring,
    open_keyring,
    parse_key,
    wrapping_key_id,
)

KEK = bytes(range(32))


def test_round_trip() -> None:
    ring = new_keyring()
    again = decode_keyring(encode_keyring(ring, KEK), KEK)
    assert again.entries == ring.entries
    assert again.store_id == ring.store_id
    assert again.data_key(again.active_key_id) == ring.data_key(ring.active_key_id)
    assert {len(again.secret(kind)) for kind in KeyKind if kind is not KeyKind.DATA} == {32}


def test_wrong_key_is_named_and_nothing_is_touched(tmp_path: Path) -> None:
    open_keyring(tmp_path, GivenKey(KEK), create=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    wrong = bytes(32)
    with pytest.raises(StorageRefused) as refused:
        open_keyring(tmp_path, GivenKey(wrong), create=True)
    assert wrapping_key_id(KEK).hex() in str(refused.value)
    assert wrapping_key_id(wrong).hex() in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("at", [8, 12, 20, 44, 48, 49, 52, 60, 80, 110, 200])
def test_altered_ring_is_refused(at: int) -> None:
    data = bytearray(encode_keyring(new_keyring(), KEK))
    data[at] ^= 1
    with pytest.raises((Corrupted, StorageRefused)):
        decode_keyring(bytes(data), KEK)


def test_swapped_entries_are_refused() -> None:
    ring = new_keyring()
    data = encode_keyring(ring, KEK)
    size = (len(data) - 44) // len(ring.entries)
    first, second = data[44 : 44 + size], data[44 + size : 44 + 2 * size]
    swapped = (
        data[:44] + first[:28] + second[28:] + second[:28] + first[28:] + data[44 + 2 * size :]
    )
    with pytest.raises(Corrupted):
        decode_keyring(swapped, KEK)


def test_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    first = open_keyring(tmp_path, KeyFile(), create=True)
    path = tmp_path / "encryption.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert open_keyring(tmp_path, KeyFile(), create=False).store_id == first.store_id
    path.chmod(0o644)
    with pytest.raises(StorageRefused, match="0600"):
        open_keyring(tmp_path, KeyFile(), create=False)
    path.unlink()
    with pytest.raises(StorageRefused, match="could not read"):
        open_keyring(tmp_path, KeyFile(), create=False)
    assert not path.exists()


def test_another_wrapping_key_for_the_same_keys(tmp_path: Path) -> None:
    ring = open_keyring(tmp_path, GivenKey(KEK), create=True)
    new = secrets.token_bytes(32)
    change_wrapping_key(tmp_path, KEK, new)
    again = open_keyring(tmp_path, GivenKey(new), create=False)
    assert again.entries == ring.entries
    assert again.generation == ring.generation + 1
    with pytest.raises(StorageRefused):
        open_keyring(tmp_path, GivenKey(KEK), create=False)


def test_keys_as_text() -> None:
    assert parse_key(KEK.hex() + "\n") == KEK
    assert parse_key(base64.b64encode(KEK).decode()) == KEK
    for text in ("", "zz" * 32, "abcd", base64.b64encode(KEK[:31]).decode()):
        with pytest.raises(StorageRefused):
            parse_key(text)


def test_keys_stay_out_of_reprs() -> None:
    ring = new_keyring()
    key = ring.data_key(ring.active_key_id)
    assert repr(key) not in repr(ring.entries) and key.hex() not in repr(ring.entries)
    assert KEK.hex() not in repr(GivenKey(KEK)) and repr(KEK) not in repr(GivenKey(KEK))
