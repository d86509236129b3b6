"""Failed logins, counted so that guessing is slow and nobody can lock somebody else out.

| counted by | after | then |
|---|---|---|
| role and address | 5 failures in 15 min | wait 1, 2, 4, ... 60 s before the next try |
| role and address | 10 | blocked for 15 min |
| address | 50 in 10 min | blocked for 10 min, roles aside that logged in from there before |
| role, from anywhere | 5 in 15 min | a try is answered up to 1 s late, and at once where the role
  logged in from that address within 30 days |

So whoever fails from elsewhere costs a role's own users at most a second. Names are only keys here
(roles that do not exist count alike), hashed under a key of the store, so the book is bounded and
tells nothing. It is written down by `changes` and read back by `restore`: it survives a restart.

Times are seconds of the wall clock: a record must mean the same after a restart.
"""

from __future__ import annotations

import hmac
import ipaddress
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

MINUTE: Final = 60.0
DAY: Final = 86_400.0
PAIR_WINDOW_S: Final = 15 * MINUTE
PAIR_WAITS_FROM: Final = 5
PAIR_BLOCKS_AT: Final = 10
PAIR_BLOCK_S: Final = 15 * MINUTE
WAIT_MAX_S: Final = 60.0
ADDRESS_WINDOW_S: Final = 10 * MINUTE
ADDRESS_BLOCKS_AT: Final = 50
ADDRESS_BLOCK_S: Final = 10 * MINUTE
ROLE_WINDOW_S: Final = 15 * MINUTE
ROLE_DELAYS_FROM: Final = 5
ROLE_DELAY_MAX_S: Final = 1.0
GOOD_S: Final = 30 * DAY
# What a record takes is some 300 bytes: 15 MB at most.
RECORDS_MAX: Final = 16_384
_RECORD: Final = struct.Struct("<Idd")
_KEY_BYTES: Final = 16


class Kind(Enum):
    """What a record counts; its letter begins the record's key."""

    PAIR = b"p"
    ADDRESS = b"a"
    ROLE = b"r"
    GOOD = b"g"


_WINDOWS: Final = {
    Kind.PAIR: max(PAIR_WINDOW_S, PAIR_BLOCK_S),
    Kind.ADDRESS: max(ADDRESS_WINDOW_S, ADDRESS_BLOCK_S),
    Kind.ROLE: ROLE_WINDOW_S,
    Kind.GOOD: GOOD_S,
}


@dataclass(frozen=True, slots=True)
class Record:
    """`failures` since `first`, the last one at `last` (of GOOD: the last success)."""

    failures: int
    first: float
    last: float

    def encode(self) -> bytes:
        """20 bytes: failures u32, first f64, last f64."""
        return _RECORD.pack(self.failures, self.first, self.last)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refused_s` > 0: no try is taken for so long. Else the try is answered `delay_s` late."""

    refused_s: float = 0.0
    delay_s: float = 0.0
    blocked: bool = False


FREE: Final = Verdict()


class LockoutBook:
    """All counts of one server. The loop's thread only; `clock` gives seconds since the epoch."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock
        self._records: dict[Kind, OrderedDict[bytes, Record]] = {
            kind: OrderedDict() for kind in Kind
        }
        self._changed: dict[bytes, bytes | None] = {}

    def verdict(self, role: str, address: str) -> Verdict:
        """May this role be tried from this address now? Asked before any challenge."""
        now = self._clock()
        good = self._find(Kind.GOOD, self._pair(role, address), now)
        pair = self._find(Kind.PAIR, self._pair(role, address), now)
        if pair is not None and pair.failures >= PAIR_WAITS_FROM:
            blocked = pair.failures >= PAIR_BLOCKS_AT
            wait = PAIR_BLOCK_S if blocked else _growing(pair.failures - PAIR_WAITS_FROM)
            if pair.last + wait > now:
                return Verdict(refused_s=pair.last + wait - now, blocked=blocked)
        found = self._find(Kind.ADDRESS, self._address(address), now)
        if (
            found is not None
            and good is None
            and found.failures >= ADDRESS_BLOCKS_AT
            and found.last + ADDRESS_BLOCK_S > now
        ):
            return Verdict(refused_s=found.last + ADDRESS_BLOCK_S - now, blocked=True)
        if good is not None:
            return FREE
        everywhere = self._find(Kind.ROLE, self._role(role), now)
        if everywhere is None or everywhere.failures < ROLE_DELAYS_FROM:
            return FREE
        delay = min(ROLE_DELAY_MAX_S, 0.1 * (everywhere.failures - ROLE_DELAYS_FROM + 1))
        return Verdict(delay_s=delay)

    def failed(self, role: str, address: str) -> bool:
        """A proof was wrong. True when the role is blocked from this address by it."""
        now = self._clock()
        pair = self._count(Kind.PAIR, self._pair(role, address), now, PAIR_WINDOW_S)
        self._count(Kind.ADDRESS, self._address(address), now, ADDRESS_WINDOW_S)
        self._count(Kind.ROLE, self._role(role), now, ROLE_WINDOW_S)
        return pair.failures == PAIR_BLOCKS_AT

    def succeeded(self, role: str, address: str) -> None:
        """A login: the pair starts anew and the address is known to the role."""
        now = self._clock()
        key = self._pair(role, address)
        self._forget(Kind.PAIR, key)
        good = self._records[Kind.GOOD].get(key)
        # A day's precision is enough: not every login has to be written down.
        if good is None or now - good.last > DAY:
            self._put(Kind.GOOD, key, Record(0, now, now))

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    # ------------------------------------------------------------ at rest

    def changes(self) -> dict[bytes, bytes | None]:
        """What changed since the last call: key to record, None where it is gone."""
        changed, self._changed = self._changed, {}
        return changed

    def put_back(self, changes: dict[bytes, bytes | None]) -> None:
        """`changes` could not be written: they are due again, newer ones aside."""
        self._changed = {**changes, **self._changed}

    def restore(self, rows: Iterator[tuple[bytes, bytes]]) -> None:
        """What was written down before; what has run out is left out."""
        now = self._clock()
        kinds = {kind.value: kind for kind in Kind}
        for key, data in rows:
            record = Record(*_RECORD.unpack(data))
            kind = kinds[key[:1]]
            # A clock that was set back must not make a block last for years.
            if record.last > now:
                record = Record(record.failures, now, now)
            if now - record.last <= _WINDOWS[kind]:
                self._records[kind][key] = record
            else:
                self._changed[key] = None
        for kind in Kind:
            ordered = sorted(self._records[kind].items(), key=lambda item: item[1].last)
            self._records[kind] = OrderedDict(ordered)

    # ------------------------------------------------------------ records

    def _find(self, kind: Kind, key: bytes, now: float) -> Record | None:
        found = self._records[kind].get(key)
        if found is not None and now - found.last > _WINDOWS[kind]:
            self._forget(kind, key)
            return None
        return found

    def _count(self, kind: Kind, key: bytes, now: float, window_s: float) -> Record:
        """One more failure; the window begins anew once it has passed."""
        found = self._find(kind, key, now)
        if found is None or (now - found.first > window_s and not self._blocks(kind, found, now)):
            record = Record(1, now, now)
        else:
            record = Record(min(found.failures + 1, 0xFFFF_FFFF), found.first, now)
        self._put(kind, key, record)
        return record

    @staticmethod
    def _blocks(kind: Kind, record: Record, now: float) -> bool:
        return (
            kind is Kind.PAIR
            and record.failures >= PAIR_BLOCKS_AT
            and (record.last + PAIR_BLOCK_S > now)
        )

    def _put(self, kind: Kind, key: bytes, record: Record) -> None:
        records = self._records[kind]
        records[key] = record
        records.move_to_end(key)
        self._changed[key] = record.encode()
        if len(records) > RECORDS_MAX:
            oldest, _ = records.popitem(last=False)
            self._changed[oldest] = None

    def _forget(self, kind: Kind, key: bytes) -> None:
        if self._records[kind].pop(key, None) is not None:
            self._changed[key] = None

    # ------------------------------------------------------------ keys

    def _pair(self, role: str, address: str) -> bytes:
        return self._hashed(Kind.PAIR, f"{network_of(address)}\0{role}")

    def _address(self, address: str) -> bytes:
        return self._hashed(Kind.ADDRESS, network_of(address))

    def _role(self, role: str) -> bytes:
        return self._hashed(Kind.ROLE, role)

    def _hashed(self, kind: Kind, text: str) -> bytes:
        data = kind.value + text.encode("utf-8", "surrogatepass")
        return kind.value + hmac.digest(self._key, data, "sha256")[:_KEY_BYTES]


def _growing(step: int) -> float:
    return min(WAIT_MAX_S, float(2**step))


def network_of(address: str) -> str:
    """The address as it counts: of IPv6 a client has a whole /64 at will."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))
