"""The key ring: data keys and lasting secrets, each wrapped by the wrapping key (KEK).

The file `keyring`, little-endian:

    offset  size  field
    0       8     magic "HELIOSKR"
    8       2     version, 1
    10      2     number of entries
    12      8     generation: one more with every write
    20      16    store id
    36      8     wrapping key's id
    44      84 x  entries

    an entry:
    0       4     id, from 1
    4       1     kind: 1 data key, 2 audit, 3 mask, 4 mock, 5 signing
    5       1     state: 1 pre-active, 2 active, 3 retiring, 4 retired, 5 destroyed
    6       2     zero
    8       8     created, seconds since 1970
    16      12    nonce
    28      48    the 32 bytes under AES-256-GCM; a destroyed key's are zeros
    76      8     zero

The file's head and the entry's clear fields are authenticated with every entry, so that entries
can be neither swapped, mixed between generations, nor given another state. Secrets other than
data keys outlive them: a mock salt that changed would tell which roles are real.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from helios_storage.directory import write_file_synced
from helios_storage.errors import Corrupted, StorageRefused

KEYRING_NAME: Final = "keyring"
KEY_FILE_NAME: Final = "encryption.key"
KEY_BYTES: Final = 32

_MAGIC: Final = b"HELIOSKR"
_VERSION: Final = 1
_HEAD: Final = Struct("<8sHHQ16s8s")
_CLEAR: Final = Struct("<IBBHQ12s")
_WRAPPED_BYTES: Final = KEY_BYTES + 16
_ENTRY_BYTES: Final = _CLEAR.size + _WRAPPED_BYTES + 8


class KeyKind(IntEnum):
    """What an entry of the ring is for."""

    DATA = 1
    AUDIT = 2
    MASK = 3
    MOCK = 4
    SIGNING = 5


class KeyState(IntEnum):
    """Where a key is in its life (rotation moves it forward, never back)."""

    PRE_ACTIVE = 1
    ACTIVE = 2
    RETIRING = 3
    RETIRED = 4
    DESTROYED = 5


class KeySource(Protocol):
    """Where the wrapping key comes from: environment, file, command."""

    def wrapping_key(self, directory: Path, *, first_start: bool) -> bytes:
        """32 bytes. `first_start`: the store is being made, so a source may make its key.

        Raises `StorageRefused` when there is none.
        """
        ...


@dataclass(frozen=True, slots=True, repr=False)
class GivenKey:
    """A wrapping key that the operator configured (read once, kept nowhere on disk)."""

    key: bytes

    def wrapping_key(self, directory: Path, *, first_start: bool) -> bytes:
        """The given 32 bytes."""
        return self.key


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file beside the data, made at the first start: for those who configured no key.

    It protects nothing from whoever reads the whole directory; `security-check` says so.
    """

    name: str = KEY_FILE_NAME

    def wrapping_key(self, directory: Path, *, first_start: bool) -> bytes:
        """The file's key; made at the first start, with mode 0600."""
        path = directory / self.name
        if first_start and not path.exists():
            write_file_synced(path, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
        try:
            text = path.read_text("ascii")
        except OSError as error:
            raise StorageRefused(
                f'could not read the key file "{self.name}": {error.strerror}'
            ) from None
        if path.stat().st_mode & 0o077:
            raise StorageRefused(f'the key file "{self.name}" must have mode 0600')
        return parse_key(text)


def parse_key(text: str) -> bytes:
    """A 32-byte key written as 64 hex digits or as base64. Raises `StorageRefused`."""
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise StorageRefused("an encryption key must be 32 bytes, in base64 or hex")
    return key


def wrapping_key_id(key: bytes) -> bytes:
    """8 bytes that name a wrapping key without telling anything about it."""
    return sha256(b"heliosd/v1/kek-id" + key).digest()[:8]


@dataclass(frozen=True, slots=True, repr=False)
class RingEntry:
    """One key of the ring, unwrapped. Its repr is empty on purpose: keys stay out of logs."""

    key_id: int
    kind: KeyKind
    state: KeyState
    created: int
    key: bytes


class Keyring:
    """The opened ring. Immutable: a change makes another ring, which `save` puts in its place."""

    __slots__ = ("_by_id", "active_key_id", "entries", "generation", "store_id")

    def __init__(self, store_id: bytes, generation: int, entries: Iterable[RingEntry]) -> None:
        self.store_id = store_id
        self.generation = generation
        self.entries = tuple(entries)
        self._by_id = {entry.key_id: entry for entry in self.entries}
        active = [
            entry.key_id
            for entry in self.entries
            if entry.kind is KeyKind.DATA and entry.state is KeyState.ACTIVE
        ]
        if len(active) != 1 or len(self._by_id) != len(self.entries):
            raise Corrupted(f"the key ring has {len(active)} active data keys, not one")
        self.active_key_id = active[0]

    def data_key(self, key_id: int) -> bytes:
        """The 32 bytes of a data key. Raises `Corrupted` when it is unknown or destroyed."""
        entry = self._by_id.get(key_id)
        if entry is None or entry.kind is not KeyKind.DATA:
            raise Corrupted(f"the key ring has no data key {key_id}")
        if entry.state is KeyState.DESTROYED:
            raise Corrupted(f"data key {key_id} was destroyed")
        return entry.key

    def secret(self, kind: KeyKind) -> bytes:
        """A lasting secret (audit, mask, mock, signing); 32 bytes."""
        for entry in self.entries:
            if entry.kind is kind and entry.state is KeyState.ACTIVE:
                return entry.key
        raise Corrupted(f"the key ring has no {kind.name.lower()} secret")

    def with_new_data_key(self) -> Keyring:
        """A ring with one more data key, pre-active (rotation, step 1)."""
        key_id = max(self._by_id) + 1
        entry = _new_entry(key_id, KeyKind.DATA, KeyState.PRE_ACTIVE)
        return Keyring(self.store_id, self.generation + 1, (*self.entries, entry))

    def with_active(self, key_id: int) -> Keyring:
        """A ring whose new epochs use `key_id`; the key before it is retiring (step 3)."""

        def step(entry: RingEntry) -> RingEntry:
            if entry.key_id == key_id:
                return replace(entry, state=KeyState.ACTIVE)
            if entry.key_id == self.active_key_id:
                return replace(entry, state=KeyState.RETIRING)
            return entry

        self.data_key(key_id)
        return Keyring(self.store_id, self.generation + 1, map(step, self.entries))

    def save(self, directory: Path, wrapping_key: bytes) -> None:
        """Put the ring in its place: write, fsync, rename, fsync of the directory."""
        write_file_synced(directory / KEYRING_NAME, encode_keyring(self, wrapping_key))


def _new_entry(key_id: int, kind: KeyKind, state: KeyState = KeyState.ACTIVE) -> RingEntry:
    return RingEntry(key_id, kind, state, int(time.time()), secrets.token_bytes(KEY_BYTES))


def new_keyring() -> Keyring:
    """A ring for a new store: one data key and the lasting secrets."""
    kinds = (KeyKind.DATA, KeyKind.AUDIT, KeyKind.MASK, KeyKind.MOCK, KeyKind.SIGNING)
    entries = [_new_entry(number, kind) for number, kind in enumerate(kinds, start=1)]
    return Keyring(secrets.token_bytes(16), 1, entries)


def encode_keyring(ring: Keyring, wrapping_key: bytes) -> bytes:
    """The ring's file under `wrapping_key`; every entry is wrapped anew."""
    head = _HEAD.pack(
        _MAGIC,
        _VERSION,
        len(ring.entries),
        ring.generation,
        ring.store_id,
        wrapping_key_id(wrapping_key),
    )
    cipher = AESGCM(wrapping_key)
    parts = [head]
    for entry in ring.entries:
        nonce = secrets.token_bytes(12)
        clear = _CLEAR.pack(entry.key_id, entry.kind, entry.state, 0, entry.created, nonce)
        destroyed = entry.state is KeyState.DESTROYED
        wrapped = (
            bytes(_WRAPPED_BYTES) if destroyed else cipher.encrypt(nonce, entry.key, head + clear)
        )
        parts.append(clear + wrapped + bytes(8))
    return b"".join(parts)


def decode_keyring(data: bytes, wrapping_key: bytes) -> Keyring:
    """The opposite of `encode_keyring`.

    Raises `StorageRefused` naming the wrapping key by id when it is another one, and
    `Corrupted` when the file is not as it was written.
    """
    if len(data) < _HEAD.size or data[:8] != _MAGIC:
        raise Corrupted("the key ring is not a key ring")
    _, version, count, generation, store_id, kek_id = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise StorageRefused(f"the key ring has format version {version}; this is {_VERSION}")
    if kek_id != (given := wrapping_key_id(wrapping_key)):
        raise StorageRefused(
            f"the key ring needs the encryption key {kek_id.hex()}; the given one is {given.hex()}"
        )
    if len(data) != _HEAD.size + count * _ENTRY_BYTES:
        raise Corrupted("the key ring has a wrong length")
    cipher, head = AESGCM(wrapping_key), data[: _HEAD.size]
    return Keyring(
        store_id,
        generation,
        [
            _decode_entry(cipher, head, data[at : at + _ENTRY_BYTES])
            for at in range(_HEAD.size, len(data), _ENTRY_BYTES)
        ],
    )


def _decode_entry(cipher: AESGCM, head: bytes, data: bytes) -> RingEntry:
    clear = data[: _CLEAR.size]
    key_id, kind, state, _, created, nonce = _CLEAR.unpack(clear)
    try:
        key_state = KeyState(state)
        if key_state is KeyState.DESTROYED:
            return RingEntry(key_id, KeyKind(kind), key_state, created, b"")
        wrapped = data[_CLEAR.size : _CLEAR.size + _WRAPPED_BYTES]
        key = cipher.decrypt(nonce, wrapped, head + clear)
        return RingEntry(key_id, KeyKind(kind), key_state, created, key)
    except (InvalidTag, ValueError):
        raise Corrupted(f"entry {key_id} of the key ring does not authenticate") from None


def open_keyring(directory: Path, source: KeySource, *, create: bool) -> Keyring:
    """The store's ring; with `create`, a new one where there is none.

    Raises `StorageRefused` without having touched anything when the key is wrong or missing.
    """
    path = directory / KEYRING_NAME
    if not path.exists():
        if not create:
            raise StorageRefused("the data directory has no key ring")
        wrapping_key = source.wrapping_key(directory, first_start=True)
        ring = new_keyring()
        ring.save(directory, wrapping_key)
        return ring
    wrapping_key = source.wrapping_key(directory, first_start=False)
    if len(wrapping_key) != KEY_BYTES:
        raise StorageRefused("an encryption key must be 32 bytes")
    return decode_keyring(path.read_bytes(), wrapping_key)


def change_wrapping_key(directory: Path, old: bytes, new: bytes) -> None:
    """Wrap the same keys under another wrapping key: one rename, all or nothing."""
    ring = decode_keyring((directory / KEYRING_NAME).read_bytes(), old)
    changed = Keyring(ring.store_id, ring.generation + 1, ring.entries)
    changed.save(directory, new)
