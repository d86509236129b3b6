"""Every message survives encode and decode; the trace shows each as one line."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from helios_protocol import messages as m
from helios_protocol.connection import FrameCutter
from helios_protocol.decode import decode_authentication, decode_backend, decode_frontend
from helios_protocol.encode import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    NO_DATA,
    PARSE_COMPLETE,
    PORTAL_SUSPENDED,
    command_complete,
    copy_data,
    data_row,
    encode,
)
from helios_protocol.fields import Fields, ProtocolViolation, WireError
from helios_protocol.startup import decode_startup
from helios_protocol.text import find_codec
from helios_protocol.trace import trace, trace_stream

FIELDS = Fields(
    "ERROR", "23505", "duplicate key", detail="Key (a)=(1).", hint="h", position=7,
    internal_position=3, internal_query="select", context="ctx", schema="public", table="t",
    column="a", datatype="int4", constraint="t_pkey", file="f.c", line=12, routine="r",
)  # fmt: skip

STARTUP = [
    m.StartupMessage(3, 2, {"user": "ann", "database": "shop"}),
    m.SSLRequest(),
    m.GSSENCRequest(),
    m.CancelRequest(77, b"x" * 32),
]
AUTHENTICATION = [
    m.PasswordMessage(b"secret"),
    m.SASLInitialResponse("SCRAM-SHA-256", b"n,,n=,r=abc"),
    m.SASLInitialResponse("SCRAM-SHA-256", None),
    m.SASLResponse(b"c=biws"),
    m.GSSResponse(b"\0\1"),
]
FRONTEND = [
    m.Query("select 'é'"),
    m.Parse("s1", "select $1", (23, 0)),
    m.Bind("p", "s1", (1, 0), (b"\0\0\0\1", None), (1,)),
    m.Bind("", ""),
    m.Describe("S", "s1"),
    m.Describe("P", ""),
    m.Execute("p", 10),
    m.Close("P", "p"),
    m.Sync(),
    m.Flush(),
    m.FunctionCall(1598, (), (b"1", None), 0),
    m.Terminate(),
    m.CopyData(b"1\t2\n"),
    m.CopyDone(),
    m.CopyFail("why"),
]
BACKEND = [
    m.AuthenticationOk(),
    m.AuthenticationKerberosV5(),
    m.AuthenticationCleartextPassword(),
    m.AuthenticationMD5Password(b"salt"),
    m.AuthenticationGSS(),
    m.AuthenticationGSSContinue(b"tok"),
    m.AuthenticationSSPI(),
    m.AuthenticationSASL(("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")),
    m.AuthenticationSASLContinue(b"r=x"),
    m.AuthenticationSASLFinal(b"v=x"),
    m.BackendKeyData(77, b"k" * 32),
    m.NegotiateProtocolVersion(196610, ("_pq_.x",)),
    m.ParameterStatus("TimeZone", "UTC"),
    m.ReadyForQuery("T"),
    m.RowDescription((m.ColumnDescription("a", 16384, 1, 23, 4, -1, 1), m.ColumnDescription("b"))),
    m.DataRow((b"1", None, b"")),
    m.CommandComplete("SELECT 1"),
    m.EmptyQueryResponse(),
    m.ParseComplete(),
    m.BindComplete(),
    m.CloseComplete(),
    m.NoData(),
    m.ParameterDescription((23, 4294967295)),
    m.PortalSuspended(),
    m.ErrorResponse(FIELDS),
    m.NoticeResponse(Fields("NOTICE", "00000", "hello")),
    m.NotificationResponse(9, "jobs", "payload"),
    m.FunctionCallResponse(None),
    m.FunctionCallResponse(b"x"),
    m.CopyInResponse(0, (0, 0)),
    m.CopyOutResponse(1, (1,)),
    m.CopyBothResponse(0, ()),
    m.CopyData(b""),
    m.CopyDone(),
]
NAMED = lambda message: type(message).__name__  # noqa: E731


def body_of(data: bytes) -> tuple[int, bytes]:
    [(code, body)] = FrameCutter().cut(data)
    return code, body


@pytest.mark.parametrize("message", STARTUP, ids=NAMED)
def test_start_up_round_trip(message: m.StartupRequest) -> None:
    data = encode(message)
    assert int.from_bytes(data[:4], "big") == len(data)
    assert decode_startup(data[4:]) == message


@pytest.mark.parametrize("message", AUTHENTICATION, ids=NAMED)
def test_authentication_round_trip(message: m.AuthenticationResponse) -> None:
    code, body = body_of(encode(message))
    assert code == ord("p")
    assert decode_authentication(type(message), body) == message


@pytest.mark.parametrize("message", FRONTEND, ids=NAMED)
def test_frontend_round_trip(message: m.FrontendMessage) -> None:
    assert decode_frontend(*body_of(encode(message))) == message


@pytest.mark.parametrize("message", BACKEND, ids=NAMED)
def test_backend_round_trip(message: m.BackendMessage) -> None:
    assert decode_backend(*body_of(encode(message))) == message


def test_every_message_class_is_tested() -> None:
    classes = {
        cls
        for _, cls in inspect.getmembers(m, inspect.isclass)
        if dataclasses.is_dataclass(cls) and hasattr(cls, "code")
    }
    tested = {type(x) for x in STARTUP + AUTHENTICATION + FRONTEND + BACKEND}
    assert classes - tested == {m.DirectTLS, m.EncryptionAnswer}
    assert encode(m.EncryptionAnswer("S")) == b"S"


@pytest.mark.parametrize("message", FRONTEND + AUTHENTICATION + BACKEND, ids=NAMED)
def test_truncated_and_prolonged_bodies_are_refused_or_equal(message: m.Message) -> None:
    """Cut at every byte: a decoder either refuses or reads the shorter body to its end."""
    code, body = body_of(encode(message))
    backend = message in BACKEND
    for data in [body[:size] for size in range(len(body))] + [body + b"\1"]:
        try:
            if code == ord("p"):
                decoded: m.Message = decode_authentication(type(message), data)  # type: ignore[arg-type]
            else:
                decoded = (decode_backend if backend else decode_frontend)(code, data)
        except WireError as error:
            assert error.sqlstate in ("08P01", "22021")
        else:
            assert body_of(encode(decoded))[1] == data


def test_hot_path_encoders_equal_the_general_ones() -> None:
    assert data_row([b"1", None]) == encode(m.DataRow((b"1", None)))
    assert command_complete("SELECT 1") == encode(m.CommandComplete("SELECT 1"))
    assert copy_data(b"x") == encode(m.CopyData(b"x"))
    for constant, message in [
        (PARSE_COMPLETE, m.ParseComplete()),
        (BIND_COMPLETE, m.BindComplete()),
        (CLOSE_COMPLETE, m.CloseComplete()),
        (NO_DATA, m.NoData()),
        (PORTAL_SUSPENDED, m.PortalSuspended()),
    ]:
        assert constant == encode(message)


@pytest.mark.parametrize(
    ("data", "shown"),
    [(b"a\xffb", "0xff"), (b"\xc3(", "0xc3 0x28"), (b"\xed\xa0\x80", "0xed 0xa0 0x80"),
     (b"\xf5\x80\x80\x80", "0xf5 0x80 0x80 0x80"), (b"\xe2\x82", "0xe2 0x82")],
)  # fmt: skip
def test_text_that_is_not_utf8_is_22021(data: bytes, shown: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_frontend(ord("Q"), data + b"\0")
    assert caught.value.sqlstate == "22021"
    if not shown.endswith("0x82"):
        assert caught.value.message == f'invalid byte sequence for encoding "UTF8": {shown}'
    assert not caught.value.fatal


def test_text_after_a_nul_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        decode_frontend(ord("Q"), b"select 1\0; drop\0")


def test_client_encodings() -> None:
    latin = find_codec("ISO-8859-1")
    assert latin is not None
    assert latin.name == "LATIN1"
    assert decode_frontend(ord("Q"), b"\xe9\0", latin) == m.Query("é")
    with pytest.raises(WireError) as caught:
        encode(m.ParameterStatus("x", "€"), latin)
    assert caught.value.sqlstate == "22P05"
    assert b"??" not in encode(m.ErrorResponse(Fields("ERROR", "42601", "€é")), latin)
    for spelling in ("utf8", "UTF-8", "unicode", "Utf_8"):
        codec = find_codec(spelling)
        assert codec is not None
        assert codec.name == "UTF8"
    assert find_codec("klingon") is None
    assert find_codec("") is None


@pytest.mark.parametrize("message", STARTUP + AUTHENTICATION + FRONTEND + BACKEND, ids=NAMED)
def test_trace_is_one_line_without_secrets(message: m.Message) -> None:
    line = trace(message, frontend=message not in BACKEND)
    assert type(message).__name__ in line
    assert "\n" not in line
    for secret in ("secret=k", "kkkk", "xxxx", "n,,n=", "c=biws", "1\\t2"):
        assert secret not in line


def test_trace_stream() -> None:
    data = encode(m.Query('select "a\nb"')) + encode(m.Bind("", "", (), (b"42",)))
    assert list(trace_stream(data, frontend=True)) == [
        'F Query 18 text="select \\"a\\nb\\""',
        (
            'F Bind 19 portal="" statement="" parameter_formats=[] parameters=[<2 B>] '
            "result_formats=[]"
        ),
    ]
    [_, bind] = trace_stream(data, frontend=True, values=True)
    assert 'parameters=["42"]' in bind
    [bad] = trace_stream(b"y\0\0\0\4", frontend=True)
    assert bad.startswith("F ! 08P01")
