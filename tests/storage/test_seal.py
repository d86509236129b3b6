from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_storage.errors import Corrupted
from helios_storage.keyring import Keyring, new_keyring
from helios_storage.seal import (
    EPOCH_BLOCKS_MAX,
    SEAL_OVERHEAD_BYTES,
    Epoch,
    PageOpener,
    PageSealer,
    StoreIdentity,
    derive_use_key,
    level_of,
)

RING = new_keyring()
HERE = StoreIdentity(RING.store_id)


def sealed(page_id: int = 7, plaintext: bytes = b"rows") -> bytes:
    return PageSealer(RING, HERE).seal(page_id, 0, plaintext)


@given(st.binary(max_size=300), st.integers(1, 1 << 62), st.integers(0, 255))
def test_round_trip(plaintext: bytes, page_id: int, level: int) -> None:
    page = PageSealer(RING, HERE).seal(page_id, level, plaintext)
    assert len(page) == len(plaintext) + SEAL_OVERHEAD_BYTES
    assert level_of(page) == level
    assert PageOpener(RING, HERE).open(page_id, page[-16:], page) == plaintext


@pytest.mark.parametrize("at", [0, 1, 3, 5, 9, 13, 25, 36, 38, 45, -1])
def test_any_flipped_bit_is_detected(at: int) -> None:
    page = bytearray(sealed())
    page[at] ^= 1
    with pytest.raises(Corrupted):
        PageOpener(RING, HERE).open(7, bytes(page[-16:]), bytes(page))


def test_moved_to_another_id() -> None:
    page = sealed(7)
    with pytest.raises(Corrupted):
        PageOpener(RING, HERE).open(8, page[-16:], page)


def test_an_older_self_is_refused() -> None:
    old, new = sealed(7, b"old"), sealed(7, b"new")
    with pytest.raises(Corrupted, match="not the one its parent refers to"):
        PageOpener(RING, HERE).open(7, new[-16:], old)


def test_another_store_or_timeline() -> None:
    page = sealed()
    for identity in (StoreIdentity(bytes(16)), StoreIdentity(RING.store_id, 2)):
        with pytest.raises(Corrupted):
            PageOpener(RING, identity).open(7, page[-16:], page)


def test_cut_short() -> None:
    with pytest.raises(Corrupted):
        PageOpener(RING, HERE).open(7, None, sealed()[:40])


def test_epochs_never_share_a_key_and_nonce() -> None:
    epochs = [Epoch(RING, "page") for _ in range(50)]
    used = {(e.salt, e.sealer, e.next_counter()) for e in epochs for _ in range(20)}
    assert len(used) == 1000
    assert derive_use_key(bytes(32), bytes(16), "page") != derive_use_key(
        bytes(32), bytes(16), "log"
    )


def test_an_epoch_ends() -> None:
    epoch = Epoch(RING, "page")
    epoch.counter = EPOCH_BLOCKS_MAX
    with pytest.raises(OverflowError):
        epoch.next_counter()


def test_pages_of_a_retiring_key_still_open() -> None:
    page = sealed()
    ring: Keyring = RING.with_new_data_key()
    ring = ring.with_active(ring.entries[-1].key_id)
    assert PageOpener(ring, HERE).open(7, page[-16:], page) == b"rows"
    assert PageSealer(ring, HERE).seal(7, 0, b"")[4:8] != page[4:8]
