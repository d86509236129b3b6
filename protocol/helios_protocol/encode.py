"""Messages to bytes. `encode` takes any message; the functions below it serve hot paths.

A frame is the type byte, a length that counts itself (4 bytes, big-endian) and the body. Messages
without a body are constants; heads of DataRows are packed by the row encoders of the daemon's
`session/results.py` with `DATA_ROW`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from helios_protocol import messages as m
from helios_protocol.fields import FIELD_CODES, Fields
from helios_protocol.text import UTF8, TextCodec

SSL_REQUEST_CODE: Final = 80877103
GSSENC_REQUEST_CODE: Final = 80877104
CANCEL_REQUEST_CODE: Final = 80877102

_pack_int16: Final = struct.Struct("!h").pack
_pack_uint16: Final = struct.Struct("!H").pack
_pack_int32: Final = struct.Struct("!i").pack
_pack_uint32: Final = struct.Struct("!I").pack
_pack_column: Final = struct.Struct("!IhIhih").pack
pack_frame_head: Final = struct.Struct("!cI").pack
"""Type byte and length (body + 4)."""

# Type byte, length, column count: the head of every DataRow.
DATA_ROW: Final = struct.Struct("!cIH")
NULL_VALUE: Final = b"\xff\xff\xff\xff"

PARSE_COMPLETE: Final = b"1\0\0\0\x04"
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"
PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
EMPTY_QUERY_RESPONSE: Final = b"I\0\0\0\x04"
COPY_DONE: Final = b"c\0\0\0\x04"
AUTHENTICATION_OK: Final = b"R\0\0\0\x08\0\0\0\0"
READY_FOR_QUERY: Final[Mapping[str, bytes]] = MappingProxyType(
    {status: b"Z\0\0\0\x05" + status.encode() for status in "ITE"}
)

Encoder = Callable[[Any, TextCodec], bytes]


def frame(code: bytes, body: bytes) -> bytes:
    """One frame."""
    return pack_frame_head(code, len(body) + 4) + body


def _text(value: str, codec: TextCodec) -> bytes:
    return codec.encode(value) + b"\0"


def _value(value: bytes | None) -> bytes:
    return NULL_VALUE if value is None else _pack_int32(len(value)) + value


def _values(values: Sequence[bytes | None]) -> bytes:
    return _pack_uint16(len(values)) + b"".join(map(_value, values))


def _formats(formats: Sequence[int]) -> bytes:
    return struct.pack(f"!H{len(formats)}h", len(formats), *formats)


def _oids(oids: Sequence[int]) -> bytes:
    return struct.pack(f"!H{len(oids)}I", len(oids), *oids)


# ---------------------------------------------------------------- bodies


def _startup(message: m.StartupMessage, codec: TextCodec) -> bytes:
    pairs = b"".join(_text(k, codec) + _text(v, codec) for k, v in message.parameters.items())
    return _pack_int32(message.major << 16 | message.minor) + pairs + b"\0"


def _sasl_initial(message: m.SASLInitialResponse, codec: TextCodec) -> bytes:
    return _text(message.mechanism, codec) + _value(message.response)


def _parse(message: m.Parse, codec: TextCodec) -> bytes:
    head = _text(message.statement, codec) + _text(message.text, codec)
    return head + _oids(message.parameter_types)


def _bind(message: m.Bind, codec: TextCodec) -> bytes:
    return b"".join(
        (
            _text(message.portal, codec),
            _text(message.statement, codec),
            _formats(message.parameter_formats),
            _values(message.parameters),
            _formats(message.result_formats),
        )
    )


def _described(message: m.Describe | m.Close, codec: TextCodec) -> bytes:
    return message.kind.encode() + _text(message.name, codec)


def _function_call(message: m.FunctionCall, codec: TextCodec) -> bytes:
    head = _pack_uint32(message.function_oid) + _formats(message.argument_formats)
    return head + _values(message.arguments) + _pack_int16(message.result_format)


def _row_description(message: m.RowDescription, codec: TextCodec) -> bytes:
    parts = [_pack_uint16(len(message.columns))]
    for column in message.columns:
        parts.append(_text(column.name, codec))
        parts.append(
            _pack_column(
                column.table_oid,
                column.column,
                column.type_oid,
                column.type_size,
                column.type_modifier,
                column.format,
            )
        )
    return b"".join(parts)


def _negotiate(message: m.NegotiateProtocolVersion, codec: TextCodec) -> bytes:
    names = b"".join(_text(name, codec) for name in message.unrecognized)
    return _pack_int32(message.minor) + _pack_int32(len(message.unrecognized)) + names


def _copy_response(
    message: m.CopyInResponse | m.CopyOutResponse | m.CopyBothResponse, codec: TextCodec
) -> bytes:
    return bytes((message.format,)) + _formats(message.column_formats)


def encode_fields(fields: Fields, codec: TextCodec = UTF8) -> bytes:
    """The body of an ErrorResponse or NoticeResponse.

    A text that the client's encoding lacks must not turn an error into another one: its
    characters are replaced by `?`.
    """
    parts = []
    for code, name in FIELD_CODES:
        value = getattr(fields, name)
        if value:
            text = str(value).replace("\0", "")
            parts.append(code.encode() + text.encode(codec.python, "replace") + b"\0")
        elif name == "message":
            parts.append(b"M\0")
    parts.append(b"\0")
    return b"".join(parts)


def _empty(message: m.Message, codec: TextCodec) -> bytes:
    return b""


def _authentication(kind: int) -> Encoder:
    number = _pack_int32(kind)
    return lambda message, codec: number


_BODIES: Final[Mapping[type[Any], Encoder]] = MappingProxyType(
    {
        m.StartupMessage: _startup,
        m.SSLRequest: lambda x, c: _pack_int32(SSL_REQUEST_CODE),
        m.GSSENCRequest: lambda x, c: _pack_int32(GSSENC_REQUEST_CODE),
        m.CancelRequest: lambda x, c: (
            _pack_int32(CANCEL_REQUEST_CODE) + _pack_uint32(x.process_id) + x.secret
        ),
        m.PasswordMessage: lambda x, c: x.password + b"\0",
        m.SASLInitialResponse: _sasl_initial,
        m.SASLResponse: lambda x, c: x.response,
        m.GSSResponse: lambda x, c: x.token,
        m.Query: lambda x, c: _text(x.text, c),
        m.Parse: _parse,
        m.Bind: _bind,
        m.Describe: _described,
        m.Execute: lambda x, c: _text(x.portal, c) + _pack_int32(x.rows_max),
        m.Close: _described,
        m.Sync: _empty,
        m.Flush: _empty,
        m.FunctionCall: _function_call,
        m.Terminate: _empty,
        m.CopyData: lambda x, c: x.data,
        m.CopyDone: _empty,
        m.CopyFail: lambda x, c: _text(x.reason, c),
        m.AuthenticationOk: _authentication(0),
        m.AuthenticationKerberosV5: _authentication(2),
        m.AuthenticationCleartextPassword: _authentication(3),
        m.AuthenticationMD5Password: lambda x, c: _pack_int32(5) + x.salt,
        m.AuthenticationGSS: _authentication(7),
        m.AuthenticationGSSContinue: lambda x, c: _pack_int32(8) + x.token,
        m.AuthenticationSSPI: _authentication(9),
        m.AuthenticationSASL: lambda x, c: (
            _pack_int32(10) + b"".join(_text(name, c) for name in x.mechanisms) + b"\0"
        ),
        m.AuthenticationSASLContinue: lambda x, c: _pack_int32(11) + x.data,
        m.AuthenticationSASLFinal: lambda x, c: _pack_int32(12) + x.data,
        m.BackendKeyData: lambda x, c: _pack_uint32(x.process_id) + x.secret,
        m.NegotiateProtocolVersion: _negotiate,
        m.ParameterStatus: lambda x, c: _text(x.name, c) + _text(x.value, c),
        m.ReadyForQuery: lambda x, c: x.status.encode(),
        m.RowDescription: _row_description,
        m.DataRow: lambda x, c: _values(x.values),
        m.CommandComplete: lambda x, c: _text(x.tag, c),
        m.EmptyQueryResponse: _empty,
        m.ParseComplete: _empty,
        m.BindComplete: _empty,
        m.CloseComplete: _empty,
        m.NoData: _empty,
        m.ParameterDescription: lambda x, c: _oids(x.types),
        m.PortalSuspended: _empty,
        m.ErrorResponse: lambda x, c: encode_fields(x.fields, c),
        m.NoticeResponse: lambda x, c: encode_fields(x.fields, c),
        m.NotificationResponse: lambda x, c: (
            _pack_uint32(x.process_id) + _text(x.channel, c) + _text(x.payload, c)
        ),
        m.FunctionCallResponse: lambda x, c: _value(x.value),
        m.CopyInResponse: _copy_response,
        m.CopyOutResponse: _copy_response,
        m.CopyBothResponse: _copy_response,
    }
)


def encode(message: m.Message, codec: TextCodec = UTF8) -> bytes:
    """Any message as its frame. Start-up requests have no type byte, EncryptionAnswer no frame."""
    if isinstance(message, m.EncryptionAnswer):
        return message.answer.encode()
    body = _BODIES[type(message)](message, codec)
    if not message.code:
        return _pack_int32(len(body) + 4) + body
    return frame(message.code, body)


# ---------------------------------------------------------------- hot paths


def data_row(values: Sequence[bytes | None]) -> bytes:
    """One DataRow of encoded values."""
    body = _values(values)
    return pack_frame_head(b"D", len(body) + 4) + body


def command_complete(tag: str) -> bytes:
    """A CommandComplete; tags are ASCII."""
    body = tag.encode() + b"\0"
    return pack_frame_head(b"C", len(body) + 4) + body


def copy_data(data: bytes) -> bytes:
    """A CopyData."""
    return pack_frame_head(b"d", len(data) + 4) + data
