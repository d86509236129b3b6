"""The order of the protocol, its limits, and bytes that keep neither."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_protocol import messages as m
from helios_protocol.connection import TRANSITIONS, Connection, Limits, State
from helios_protocol.decode import decode_frontend, split_bind
from helios_protocol.encode import encode
from helios_protocol.fields import ProtocolViolation, WireError
from helios_protocol.startup import negotiate, split_options

STARTUP = m.StartupMessage(3, 0, {"user": "ann"})


def ready(limits: Limits | None = None) -> Connection:
    connection = Connection(limits)
    connection.receive(encode(STARTUP))
    assert connection.next_message() == STARTUP
    connection.authenticated()
    return connection


def drain(connection: Connection) -> list[m.FrontendMessage]:
    messages = []
    while (message := connection.next_message()) is not None:
        messages.append(message)
    return messages


def test_the_table_names_every_state_and_code() -> None:
    assert set(TRANSITIONS) == set(State)
    for row in TRANSITIONS.values():
        assert set(row) == set(b"QPBDECHSFXdcfp")


def test_an_extended_exchange_and_an_error_in_it() -> None:
    connection = ready()
    exchange = [m.Parse("", "x"), m.Bind("", ""), m.Execute(""), m.Sync()]
    connection.receive(b"".join(map(encode, exchange)) + encode(m.Query("y")))
    assert connection.next_message() == exchange[0]
    assert connection.state is State.EXTENDED
    connection.fail()
    assert connection.state is State.SKIPPING
    assert drain(connection) == [m.Sync(), m.Query("y")]
    assert connection.quiet


def test_copy_in_simple_and_extended() -> None:
    connection = ready()
    connection.receive(encode(m.Query("copy")))
    connection.next_message()
    connection.start_copy_in()
    stream = [m.CopyData(b"1\n"), m.Flush(), m.Sync(), m.CopyData(b"2\n"), m.CopyDone()]
    connection.receive(b"".join(map(encode, stream)))
    assert drain(connection) == [stream[0], stream[3], stream[4]]
    assert connection.state is State.READY
    connection.receive(encode(m.Execute("")))
    connection.next_message()
    connection.start_copy_in()
    connection.receive(encode(m.CopyFail("no")))
    assert drain(connection) == [m.CopyFail("no")]
    assert connection.state is State.EXTENDED


def test_copy_left_over_after_our_error_is_dropped() -> None:
    connection = ready()
    connection.receive(encode(m.Query("copy")))
    connection.next_message()
    connection.start_copy_in()
    connection.fail()
    connection.receive(encode(m.CopyData(b"1")) + encode(m.CopyDone()) + encode(m.Query("q")))
    assert drain(connection) == [m.Query("q")]


def test_a_query_during_copy_in_ends_the_connection() -> None:
    connection = ready()
    connection.receive(encode(m.Query("copy")))
    connection.next_message()
    connection.start_copy_in()
    connection.receive(encode(m.Query("q")))
    with pytest.raises(ProtocolViolation) as caught:
        connection.next_message()
    assert caught.value.fatal
    assert caught.value.message == "unexpected message type 0x51 during COPY from stdin"
    assert connection.state is State.CLOSED


def test_ssl_then_gss_then_plain() -> None:
    connection = Connection()
    connection.receive(encode(m.GSSENCRequest()))
    assert connection.next_message() == m.GSSENCRequest()
    connection.refuse_encryption()
    connection.receive(encode(m.SSLRequest()))
    assert connection.next_message() == m.SSLRequest()
    connection.secured()
    connection.receive(encode(STARTUP))
    assert connection.next_message() == STARTUP


@pytest.mark.parametrize("request_", [m.SSLRequest(), m.GSSENCRequest()])
def test_encryption_is_asked_for_once(request_: m.SSLRequest | m.GSSENCRequest) -> None:
    connection = Connection()
    connection.receive(encode(request_))
    connection.next_message()
    connection.refuse_encryption()
    connection.receive(encode(request_))
    with pytest.raises(ProtocolViolation):
        connection.next_message()


@pytest.mark.parametrize("together", [True, False])
def test_bytes_ahead_of_the_handshake_end_the_connection(together: bool) -> None:
    connection = Connection()
    smuggled = encode(m.Query("drop"))
    connection.receive(encode(m.SSLRequest()) + (smuggled if together else b""))
    if not together:
        connection.next_message()
        connection.receive(smuggled)
    with pytest.raises(ProtocolViolation) as caught:
        connection.next_message()
    assert caught.value.message == "received unencrypted data after SSL request"
    assert connection.state is State.CLOSED


def test_direct_tls() -> None:
    connection = Connection()
    connection.receive(b"\x16\x03\x01\x02\x00\x01")
    assert connection.next_message() == m.DirectTLS()
    assert connection.take_raw() == b"\x16\x03\x01\x02\x00\x01"
    connection.secured()
    connection.receive(b"\x16\x03\x01\x02\x00\x01")
    with pytest.raises(ProtocolViolation):
        connection.next_message()


def test_cancel_request_closes() -> None:
    connection = Connection()
    connection.receive(encode(m.CancelRequest(5, b"abcd")))
    assert connection.next_message() == m.CancelRequest(5, b"abcd")
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("length", [0, 3, 7, 10_001, 2**31 - 1, 2**31, 2**32 - 1])
def test_start_up_lengths_are_checked_before_their_bytes(length: int) -> None:
    connection = Connection()
    connection.receive(struct.pack("!I", length))
    with pytest.raises(ProtocolViolation) as caught:
        connection.next_message()
    assert caught.value.fatal


@pytest.mark.parametrize("length", [0, 3, 1_025, 10_000, 2**31, 2**32 - 1])
def test_sasl_lengths_are_checked_before_their_bytes(length: int) -> None:
    connection = Connection()
    connection.receive(encode(STARTUP))
    connection.next_message()
    connection.receive(b"p" + struct.pack("!I", length))
    with pytest.raises(ProtocolViolation):
        connection.next_message()


def test_only_p_before_authentication() -> None:
    connection = Connection()
    connection.receive(encode(STARTUP) + encode(m.Query("select 1")))
    connection.next_message()
    with pytest.raises(ProtocolViolation) as caught:
        connection.next_message()
    assert caught.value.message == "expected SASL response, got message type 81"


@pytest.mark.parametrize("code", b"QPBFdCDEHSX")
def test_claimed_lengths_reserve_nothing(code: int) -> None:
    connection = ready()
    tracemalloc.start()
    connection.receive(bytes((code,)) + struct.pack("!I", 256 * 1024 * 1024) + b"x" * 100)
    try:
        connection.next_message()
    except ProtocolViolation as error:
        assert error.message == "invalid message length"
        assert chr(code) not in "QPBFd"
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_a_limit_of_our_own() -> None:
    connection = ready(Limits(message_bytes=1000))
    connection.receive(encode(m.Query("x" * 1000)))
    with pytest.raises(ProtocolViolation):
        connection.next_message()


def test_a_bad_body_moves_on() -> None:
    connection = ready()
    connection.receive(b"B\0\0\0\x06\0\0" + encode(m.Sync()))
    with pytest.raises(ProtocolViolation) as caught:
        connection.next_message()
    assert not caught.value.fatal
    connection.fail()
    assert drain(connection) == [m.Sync()]


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_cut_of_the_stream_gives_the_same_messages(data: st.DataObject) -> None:
    stream = [m.Query("a" * 50), m.Parse("s", "b"), m.Bind("", "s", (), (b"x" * 300,)), m.Sync()]
    raw = b"".join(map(encode, stream))
    connection = ready()
    seen = []
    while raw:
        size = data.draw(st.integers(1, 200))
        connection.receive(raw[:size])
        raw = raw[size:]
        seen += drain(connection)
    assert seen == stream
    assert connection.buffered_bytes == 0


def test_hostile_bytes_never_raise_anything_else() -> None:
    """Seeded garbage and mutations: only `WireError`, and a closed connection stays closed."""
    rng = random.Random(20261124)
    good = [m.Query("x"), m.Parse("a", "b", (23,)), m.Bind("", "a", (1,), (b"1",), (0,)),
            m.Describe("S", "a"), m.Execute("", 3), m.Close("P", ""), m.Sync(), m.Flush(),
            m.FunctionCall(1, (), (), 0), m.CopyData(b"z"), m.CopyDone()]  # fmt: skip
    for _ in range(3000):
        connection = ready() if rng.random() < 0.8 else Connection()
        raw = bytearray(b"".join(encode(rng.choice(good)) for _ in range(rng.randint(1, 5))))
        for _ in range(rng.randint(0, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        connection.receive(bytes(raw))
        for _ in range(20):
            try:
                if connection.next_message() is None:
                    break
            except WireError as error:
                assert error.sqlstate in ("08P01", "22021", "0A000")
                if error.fatal:
                    connection.close()
                connection.fail()
        if connection.state is State.CLOSED:
            connection.receive(b"Q")
            assert connection.next_message() is None
            assert connection.buffered_bytes == 0


def test_split_bind_equals_the_general_decoder() -> None:
    rng = random.Random(7)
    for _ in range(2000):
        count = rng.randint(0, 3)
        formats = tuple(rng.randint(0, 1) for _ in range(rng.choice([0, 1, count])))
        values = tuple(rng.choice([None, b"", b"12", b"x" * 40]) for _ in range(count))
        bind = m.Bind("", "st", formats, values, (1,) * rng.randint(0, 2))
        frame = bytearray(encode(bind))
        if rng.random() < 0.5:
            frame[rng.randrange(9, len(frame))] = rng.randrange(256)
        try:
            expected = decode_frontend(frame[0], bytes(frame[5:]))
            assert isinstance(expected, m.Bind)
        except WireError as error:
            with pytest.raises(WireError) as caught:
                split_bind(bytes(frame) + b"tail", len(frame), 9)
            assert caught.value.message == error.message
        else:
            found = split_bind(bytes(frame) + b"tail", len(frame), 9)
            assert found == (
                expected.parameter_formats, list(expected.parameters), expected.result_formats
            )  # fmt: skip


def test_negotiation() -> None:
    plain = negotiate(STARTUP)
    assert (plain.minor, plain.secret_bytes, plain.answer) == (0, 4, None)
    new = negotiate(m.StartupMessage(3, 2, {"user": "a"}))
    assert (new.minor, new.secret_bytes, new.answer) == (2, 32, None)
    grease = negotiate(m.StartupMessage(3, 9999, {"user": "a", "_pq_.x": "1"}))
    assert grease.answer == m.NegotiateProtocolVersion(196610, ("_pq_.x",))
    assert "_pq_.x" not in grease.parameters


def test_other_majors_are_refused() -> None:
    connection = Connection()
    connection.receive(encode(m.StartupMessage(2, 0, {})))
    with pytest.raises(WireError) as caught:
        connection.next_message()
    assert caught.value.sqlstate == "0A000"
    assert caught.value.message == "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"


def test_options() -> None:
    assert split_options(r"-c search_path=a\ b --work-mem=4MB  -cx=1") == (
        ("search_path", "a b"), ("work_mem", "4MB"), ("x", "1"))  # fmt: skip
    assert split_options("") == ()
    for bad in ("-c", "-z", "word", "-c noequals"):
        with pytest.raises(WireError):
            split_options(bad)
