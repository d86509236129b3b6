"""Parts of a session that stand alone: encoders, buckets, notifications, held output, cursors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_backend
from helios_protocol.fields import WireError
from helios_protocol.text import find_codec
from helios_storage.spec import Lsn
from heliosd.errors import SqlError
from heliosd.execute.program import ResultColumn
from heliosd.observe.metrics import Metrics
from heliosd.session.buckets import BUCKETS_MAX, Buckets, RateLimit
from heliosd.session.cancel import Backends
from heliosd.session.chain.admission import Admission
from heliosd.session.notify import Notifications, NotifyBus
from heliosd.session.output import Output
from heliosd.session.portal import Cursor
from heliosd.session.results import (
    make_parameter_reader,
    make_row_encoder,
    resolve_formats,
    row_description,
)
from heliosd.session.search_path import split_search_path
from heliosd.types.builtin import TYPES

CTX: Any = None  # none of these types looks at its context


def rows_of(data: bytes) -> list[tuple[bytes | None, ...]]:
    messages = [decode_backend(code, body) for code, body in FrameCutter().cut(data)]
    assert all(isinstance(message, m.DataRow) for message in messages)
    return [message.values for message in messages if isinstance(message, m.DataRow)]


# ---------------------------------------------------------------- results


def test_rows_as_text() -> None:
    encode = make_row_encoder([23, 25, 16, 20], [0, 0, 0, 0], TYPES)
    rows = [(1, "é", True, None), (-7, "x" * 300, False, 2**62), (None, "", None, 0)]
    assert rows_of(encode(rows, CTX)) == [
        (b"1", "é".encode(), b"t", None),
        (b"-7", b"x" * 300, b"f", str(2**62).encode()),
        (None, b"", None, b"0"),
    ]


def test_rows_as_binary() -> None:
    encode = make_row_encoder([23, 21, 20, 16, 25], [1, 1, 1, 1, 1], TYPES)
    [row] = rows_of(encode([(1, -2, 3, True, "é")], CTX))
    assert row == (b"\0\0\0\1", b"\xff\xfe", b"\0" * 7 + b"\3", b"\1", "é".encode())


def test_rows_without_columns_and_with_many() -> None:
    assert rows_of(make_row_encoder([], [], TYPES)([(), ()], CTX)) == [(), ()]
    many = make_row_encoder([23] * 1600, [0] * 1600, TYPES)
    [row] = rows_of(many([tuple(range(1600))], CTX))
    assert row == tuple(str(n).encode() for n in range(1600))


def test_rows_of_every_size_near_the_tables_ends() -> None:
    encode = make_row_encoder([25], [0], TYPES)
    for size in [0, 1, 254, 255, 256, 257, 506, 507, 508, 509, 510, 511, 512, 513, 70_000]:
        assert rows_of(encode([("a" * size,)], CTX)) == [(b"a" * size,)]


def test_rows_in_another_encoding() -> None:
    latin = find_codec("LATIN1")
    assert latin is not None
    encode = make_row_encoder([25], [0], TYPES, latin)
    assert rows_of(encode([("é",)], CTX)) == [(b"\xe9",)]


def test_formats() -> None:
    assert resolve_formats((), 3) == (0, 0, 0)
    assert resolve_formats((1,), 3) == (1, 1, 1)
    assert resolve_formats((1, 0, 1), 3) == (1, 0, 1)
    with pytest.raises(SqlError, match="2 result formats but query has 3 columns"):
        resolve_formats((1, 0), 3)


def test_row_description_knows_sizes() -> None:
    frame = row_description([ResultColumn("a", 23), ResultColumn("b", 25)], (0, 1), TYPES)
    [(code, body)] = FrameCutter().cut(frame)
    described = decode_backend(code, body)
    assert described == m.RowDescription(
        (m.ColumnDescription("a", type_oid=23, type_size=4), m.ColumnDescription("b", format=1))
    )


@pytest.mark.parametrize("text", ["0", "12345", "-5", "2147483647", "  7 ", "00012"])
def test_integer_parameters(text: str) -> None:
    read = make_parameter_reader([23], (), TYPES)
    assert read([text.encode()], CTX) == (int(text),)


@pytest.mark.parametrize("text", ["1_000", "2147483648", "", "x", "1.5", "\u0664"])
def test_integer_parameters_are_checked(text: str) -> None:
    read = make_parameter_reader([23], (0,), TYPES)
    with pytest.raises(SqlError) as caught:
        read([text.encode()], CTX)
    assert caught.value.sqlstate in ("22P02", "22003")


def test_binary_parameters() -> None:
    read = make_parameter_reader([23, 25, 20], (1,), TYPES)
    assert read([b"\xff\xff\xff\xfe", b"hi", None], CTX) == (-2, "hi", None)
    with pytest.raises(SqlError) as caught:
        read([b"\0", b"", None], CTX)
    assert caught.value.sqlstate == "08P01"
    with pytest.raises(WireError) as bad:
        make_parameter_reader([25], (0,), TYPES)([b"a\0b"], CTX)
    assert bad.value.sqlstate == "22021"
    with pytest.raises(SqlError, match="2 parameter formats but 3 parameters"):
        make_parameter_reader([23, 23, 23], (0, 1), TYPES)


# ---------------------------------------------------------------- limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_token_bucket() -> None:
    clock, metrics = Clock(), Metrics()
    buckets = Buckets(RateLimit(60, 60.0, 3), clock)
    link = Admission(buckets, "ann", metrics)
    for _ in range(3):
        link.enter()
    with pytest.raises(SqlError) as caught:
        link.enter()
    assert caught.value.sqlstate == "53400"
    assert caught.value.hint == "Retry after 1000 ms."
    Admission(buckets, "bob", metrics).enter()
    clock.now = 1.0
    link.enter()
    with pytest.raises(SqlError):
        link.enter()
    clock.now = 1000.0
    for _ in range(3):
        link.enter()
    with pytest.raises(SqlError):
        link.enter()
    assert metrics.rate_limited.values["statements"] == 3


def test_buckets_are_bounded() -> None:
    buckets = Buckets(RateLimit(60, 60.0, 3), Clock())
    for number in range(BUCKETS_MAX + 100):
        buckets.bucket(str(number))
    assert len(buckets._buckets) <= BUCKETS_MAX


class FakeSession:
    def __init__(self, process_id: int) -> None:
        self.process_id = process_id
        self.cancel_secret = bytes([process_id]) * 32
        self.session_role = self.database = "x"
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1

    def terminate(self) -> None:
        raise AssertionError

    def terminate_when_idle(self) -> None:
        raise AssertionError


def test_cancel_needs_the_whole_key_and_is_limited() -> None:
    backends = Backends()
    session = FakeSession(5)
    backends.add(session)
    assert not backends.cancel_by_key(5, b"\x05" * 31, "a")
    assert not backends.cancel_by_key(6, b"\x05" * 32, "a")
    assert not backends.cancel_by_key(7, b"", "a")
    assert backends.cancel_by_key(5, b"\x05" * 32, "a")
    assert session.cancelled == 1
    tries = [backends.cancel_by_key(5, b"\x05" * 32, "b") for _ in range(30)]
    assert 10 <= sum(tries) <= 20
    backends.remove(session)
    assert not backends.cancel_by_key(5, b"\x05" * 32, "c")


# ---------------------------------------------------------------- notifications


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[int, str, str, int]] = []

    def notification_arrived(self, pid: int, channel: str, payload: str, lsn: Lsn) -> None:
        self.heard.append((pid, channel, payload, lsn))


def test_notify_at_commit_once_and_per_database() -> None:
    bus, ear, other = NotifyBus(), Ear(), Ear()
    mine, elsewhere = Notifications(bus, 1, ear), Notifications(bus, 2, other)
    for side in (mine, elsewhere):
        side.listen("jobs")
        side.publish(1, Lsn(1))
    mine.notify("jobs", "a")
    mine.notify("jobs", "a")
    mine.notify("jobs", "b")
    assert ear.heard == []
    mine.publish(7, Lsn(9))
    assert ear.heard == [(7, "jobs", "a", 9), (7, "jobs", "b", 9)]
    assert other.heard == []
    mine.notify("jobs", "c")
    mine.abandon()
    mine.publish(7, Lsn(10))
    assert len(ear.heard) == 2
    mine.unlisten_all()
    mine.notify("jobs", "d")
    mine.publish(7, Lsn(11))
    assert len(ear.heard) == 2


def test_notify_and_savepoints() -> None:
    bus, ear = NotifyBus(), Ear()
    mine = Notifications(bus, 1, ear)
    mine.listen("x")
    mine.notify("x", "kept")
    mark = mine.mark()
    mine.notify("x", "undone")
    mine.rollback_to(mark)
    mine.publish(1, Lsn(1))
    assert [payload for _, _, payload, _ in ear.heard] == ["kept"]


@pytest.mark.parametrize(
    ("channel", "payload", "says"),
    [("", "x", "cannot be empty"), ("c" * 64, "x", "name too long"), ("c", "p" * 8000, "payload")],
)
def test_notify_limits(channel: str, payload: str, says: str) -> None:
    with pytest.raises(SqlError, match=says):
        Notifications(NotifyBus(), 1, Ear()).notify(channel, payload)


# ---------------------------------------------------------------- output


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.durable_lsn = Lsn(0)
        self.waiting: list[tuple[int, Any]] = []

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def when_durable(self, lsn: int, callback: Any) -> None:
        self.waiting.append((lsn, callback))

    def sync(self, lsn: int) -> None:
        self.durable_lsn = Lsn(lsn)
        ready = [pair for pair in self.waiting if pair[0] <= lsn]
        self.waiting = [pair for pair in self.waiting if pair[0] > lsn]
        for _, callback in ready:
            callback()


def test_no_byte_leaves_before_what_was_seen_is_durable() -> None:
    wire = Wire()
    output = Output(wire, wire)  # type: ignore[arg-type]
    output.parts += [b"a", b"b"]
    output.flush()
    assert wire.sent == [b"ab"]
    output.seen = Lsn(5)
    output.parts.append(b"c")
    output.flush()
    output.seen = Lsn(8)
    output.parts.append(b"d")
    output.flush()
    assert wire.sent == [b"ab"]
    wire.sync(6)
    assert wire.sent == [b"ab", b"c"]
    output.parts.append(b"e")
    output.close()
    assert not wire.closed
    wire.sync(9)
    assert wire.sent == [b"ab", b"c", b"de"]
    assert wire.closed
    assert output.held_bytes == 0


# ---------------------------------------------------------------- cursors


def cursor(total: int, *, scroll: bool | None = None) -> Cursor:
    def batches() -> Iterator[list[tuple[object, ...]]]:
        for start in range(1, total + 1, 3):
            yield [(n,) for n in range(start, min(start + 3, total + 1))]

    made = Cursor("c", None, (), (), 0, scroll=scroll)
    made.rows = batches()
    return made


def fetch(made: Cursor, direction: str, count: int | None) -> list[object]:
    return [row[0] for row in made.fetch(direction, count)]


def test_fetch_follows_a_model() -> None:
    """Random walks over a list: where FETCH stands before the first and after the last row."""
    rng = random.Random(11)
    for _ in range(200):
        total = rng.randint(0, 10)
        made, position = cursor(total, scroll=True), 0
        for _ in range(20):
            direction = rng.choice(["forward", "backward", "absolute", "relative"])
            count = rng.randint(-4, 12)
            expected: list[object]
            if direction in ("absolute", "relative"):
                target = count if direction == "absolute" else position + count
                if direction == "absolute" and count < 0:
                    target = total + 1 + count
                position = min(max(target, 0), total + 1)
                expected = [position] if 1 <= position <= total else []
            else:
                step = count if direction == "forward" else -count
                if step == 0:
                    expected = [position] if 1 <= position <= total else []
                else:
                    expected = []
                    sign = 1 if step > 0 else -1
                    for _ in range(abs(step)):
                        if not 0 <= position + sign <= total + 1:
                            break
                        position += sign
                        if not 1 <= position <= total:
                            break
                        expected.append(position)
            assert fetch(made, direction, count) == expected


def test_no_scroll() -> None:
    made = cursor(5, scroll=False)
    assert fetch(made, "forward", 2) == [1, 2]
    for direction, count in (("backward", 1), ("absolute", 1), ("relative", -1)):
        with pytest.raises(SqlError, match="can only scan forward"):
            made.fetch(direction, count)
    assert fetch(made, "forward", None) == [3, 4, 5]


def test_take_suspends_at_an_exact_fit() -> None:
    made = cursor(4)
    assert [len(batch) for batch in made.take(4)] == [3, 1]
    assert not made.done
    assert list(made.take(4)) == []
    assert made.done


def test_search_path_text() -> None:
    assert split_search_path('"$user", public') == ("$user", "public")
    assert split_search_path('A , "B ""c", d') == ("a", 'B "c', "d")
    assert split_search_path("") == ()
    assert split_search_path('""') == ()
    with pytest.raises(SqlError):
        split_search_path("a,,b")
