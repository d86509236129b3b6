"""Sealing: AES-256-GCM under a fresh key per seal epoch, so that no (key, nonce) pair repeats.

A *seal epoch* is one checkpoint, one log segment or one temporary file. It takes 16 fresh random
bytes of salt; its use key is HKDF-SHA-256(data key, salt, "heliosd/v1/" + purpose). The nonce is
a sealer number (u32) and a counter from 0 (u64). Clones, restores, crashes and recycled files
all start new salts: nothing has to be remembered to stay safe. An epoch ends at 2^32 blocks.

A sealed page, little-endian:

    offset  size  field
    0       1     format, 1
    1       1     level: 0 leaf, 1.. inner, 254 root record, 255 a large value's piece
    2       2     zero
    4       4     data key's id
    8       4     sealer
    12      8     counter
    20      16    salt
    36      n     ciphertext, as long as the plaintext
    36+n    16    GCM tag

Authenticated besides the ciphertext: the header above, the store's id, the timeline and the
page's id. A page can be neither read, altered, moved to another id, nor taken to another store;
that it is not its own older self is what the reference's tag says (`open_page`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from helios_storage.errors import Corrupted

Purpose = Literal["page", "log", "temp", "backup", "audit", "mask", "mock"]

TAG_BYTES: Final = 16
SALT_BYTES: Final = 16
PAGE_FORMAT: Final = 1
ROOT_LEVEL: Final = 254
LARGE_LEVEL: Final = 255
EPOCH_BLOCKS_MAX: Final = 1 << 32
USE_KEYS_MAX: Final = 2048  # derived keys kept: one per checkpoint whose pages are still read

_HEADER: Final = Struct("<BBHIIQ16s")
_NONCE: Final = Struct(">IQ")
_PLACE: Final = Struct("<16sIQ")  # store id, timeline, page id
SEAL_OVERHEAD_BYTES: Final = _HEADER.size + TAG_BYTES


class DataKeys(Protocol):
    """The data keys of a store, as the key ring gives them."""

    @property
    def active_key_id(self) -> int:
        """The key that new epochs use."""
        ...

    def data_key(self, key_id: int) -> bytes:
        """32 bytes. Raises `Corrupted` when the ring has no such key."""
        ...


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What every sealed thing of one store carries as authenticated data."""

    store_id: bytes  # 16 random bytes
    timeline: int = 1  # a restore to an earlier moment starts another


def derive_use_key(data_key: bytes, salt: bytes, purpose: Purpose) -> bytes:
    """The key of one epoch for one purpose; 32 bytes."""
    info = b"heliosd/v1/" + purpose.encode("ascii")
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(data_key)


class Epoch:
    """One seal epoch of one sealer: hands out nonces, never twice.

    Used by one thread at a time (the checkpoint's, the log's).
    """

    __slots__ = ("cipher", "counter", "key_id", "salt", "sealer")

    def __init__(self, keys: DataKeys, purpose: Purpose, *, sealer: int = 0) -> None:
        self.key_id = keys.active_key_id
        self.salt = secrets.token_bytes(SALT_BYTES)
        self.cipher = AESGCM(derive_use_key(keys.data_key(self.key_id), self.salt, purpose))
        self.sealer = sealer
        self.counter = 0

    def next_counter(self) -> int:
        """The counter of the next block. Raises OverflowError at the epoch's end."""
        counter = self.counter
        if counter >= EPOCH_BLOCKS_MAX:
            raise OverflowError("a seal epoch holds at most 2^32 blocks")
        self.counter = counter + 1
        return counter


def nonce_of(sealer: int, counter: int) -> bytes:
    """12 bytes, unique within an epoch."""
    return _NONCE.pack(sealer, counter)


class PageSealer:
    """Seals the pages of one checkpoint (one epoch)."""

    __slots__ = ("_epoch", "_identity")

    def __init__(self, keys: DataKeys, identity: StoreIdentity, *, sealer: int = 0) -> None:
        self._epoch = Epoch(keys, "page", sealer=sealer)
        self._identity = identity

    def seal(self, page_id: int, level: int, plaintext: bytes) -> bytes:
        """The sealed page; its last 16 bytes are the tag that the parent's reference keeps."""
        epoch = self._epoch
        counter = epoch.next_counter()
        header = _HEADER.pack(
            PAGE_FORMAT, level, 0, epoch.key_id, epoch.sealer, counter, epoch.salt
        )
        place = _PLACE.pack(self._identity.store_id, self._identity.timeline, page_id)
        return header + epoch.cipher.encrypt(
            _NONCE.pack(epoch.sealer, counter), plaintext, header + place
        )


class PageOpener:
    """Opens pages of any epoch. Safe to use from several threads at once."""

    __slots__ = ("_ciphers", "_identity", "_keys")

    def __init__(self, keys: DataKeys, identity: StoreIdentity) -> None:
        self._keys = keys
        self._identity = identity
        self._ciphers: dict[tuple[int, bytes], AESGCM] = {}

    def open(self, page_id: int, tag: bytes | None, sealed: bytes | memoryview) -> bytes:
        """The plaintext of a page that its parent knows as (page_id, tag).

        Raises `Corrupted` (XX001) when the page is not exactly the one referred to: altered,
        moved, of another store, or an older copy of itself. `tag` None: the caller has no
        reference (the root record, which authenticates by its own number).
        """
        if len(sealed) < SEAL_OVERHEAD_BYTES:
            raise Corrupted(f"page {page_id}: {len(sealed)} bytes cannot be a sealed page")
        if tag is not None and bytes(sealed[-TAG_BYTES:]) != tag:
            raise Corrupted(f"page {page_id}: its tag is not the one its parent refers to")
        header = bytes(sealed[: _HEADER.size])
        page_format, _, _, key_id, sealer, counter, salt = _HEADER.unpack(header)
        if page_format != PAGE_FORMAT:
            raise Corrupted(f"page {page_id}: unknown page format {page_format}")
        cipher = self._ciphers.get((key_id, salt)) or self._derive(key_id, salt)
        place = _PLACE.pack(self._identity.store_id, self._identity.timeline, page_id)
        try:
            return cipher.decrypt(
                _NONCE.pack(sealer, counter), sealed[_HEADER.size :], header + place
            )
        except InvalidTag:
            raise Corrupted(f"page {page_id}: does not authenticate") from None

    def _derive(self, key_id: int, salt: bytes) -> AESGCM:
        cipher = AESGCM(derive_use_key(self._keys.data_key(key_id), salt, "page"))
        if len(self._ciphers) >= USE_KEYS_MAX:
            self._ciphers = {}  # a new dict: other threads may be reading the old one
        self._ciphers[key_id, salt] = cipher
        return cipher


def level_of(sealed: bytes | memoryview) -> int:
    """The level byte of a sealed page (trust it only after `PageOpener.open`)."""
    return sealed[1]
