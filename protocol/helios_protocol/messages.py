"""Every message of PostgreSQL's protocol 3, one frozen dataclass each, frontend's before backend's.

`code` is the frame's type byte; start-up requests and the single-byte answers to SSLRequest and
GSSENCRequest have none. Text is `str`, values are `bytes` (NULL is None), format codes are
0 (text) and 1 (binary). Codecs are in `decode.py` and `encode.py`, the order in `connection.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, TypeAlias

from helios_protocol.fields import Fields

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})

# ---------------------------------------------------------------- frontend, before a session


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """Opens a session; `parameters` holds `user`, `database`, `options` and settings."""

    code: ClassVar[bytes] = b""
    major: int
    minor: int
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """Asks for TLS on this connection; answered by one byte."""

    code: ClassVar[bytes] = b""


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """Asks for GSSAPI encryption; answered by one byte (ours is always `N`)."""

    code: ClassVar[bytes] = b""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Asks to cancel what another connection runs. `secret` is 4 bytes (3.0) to 256 (3.2)."""

    code: ClassVar[bytes] = b""
    process_id: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class DirectTLS:
    """No message of its own: the first byte was a TLS record's, the client skips SSLRequest."""

    code: ClassVar[bytes] = b""


# ---------------------------------------------------------------- frontend, authentication


@dataclass(frozen=True, slots=True)
class PasswordMessage:
    """A clear or hashed password. Known so that it can be refused by name."""

    code: ClassVar[bytes] = b"p"
    password: bytes


@dataclass(frozen=True, slots=True)
class SASLInitialResponse:
    """Chooses the mechanism; `response` None when the client sends none with it."""

    code: ClassVar[bytes] = b"p"
    mechanism: str
    response: bytes | None


@dataclass(frozen=True, slots=True)
class SASLResponse:
    """One more SASL step."""

    code: ClassVar[bytes] = b"p"
    response: bytes


@dataclass(frozen=True, slots=True)
class GSSResponse:
    """A GSSAPI or SSPI step. Known so that it can be refused by name."""

    code: ClassVar[bytes] = b"p"
    token: bytes


# ---------------------------------------------------------------- frontend, a session


@dataclass(frozen=True, slots=True)
class Query:
    """Simple query: one text, any number of statements."""

    code: ClassVar[bytes] = b"Q"
    text: str


@dataclass(frozen=True, slots=True)
class Parse:
    """Makes a prepared statement; `parameter_types` are OIDs, 0 for unknown."""

    code: ClassVar[bytes] = b"P"
    statement: str
    text: str
    parameter_types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bind:
    """Makes a portal. Formats: none (all text), one (for all) or one each."""

    code: ClassVar[bytes] = b"B"
    portal: str
    statement: str
    parameter_formats: tuple[int, ...] = ()
    parameters: tuple[bytes | None, ...] = ()
    result_formats: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Describe:
    """`kind` is "S" (prepared statement) or "P" (portal)."""

    code: ClassVar[bytes] = b"D"
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Runs a portal; `rows_max` 0 means all."""

    code: ClassVar[bytes] = b"E"
    portal: str
    rows_max: int = 0


@dataclass(frozen=True, slots=True)
class Close:
    """`kind` is "S" (prepared statement) or "P" (portal)."""

    code: ClassVar[bytes] = b"C"
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Sync:
    """Ends an extended-query exchange: commit, then ReadyForQuery."""

    code: ClassVar[bytes] = b"S"


@dataclass(frozen=True, slots=True)
class Flush:
    """Send what is pending."""

    code: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The old function-call interface."""

    code: ClassVar[bytes] = b"F"
    function_oid: int
    argument_formats: tuple[int, ...]
    arguments: tuple[bytes | None, ...]
    result_format: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """The client leaves."""

    code: ClassVar[bytes] = b"X"


# ---------------------------------------------------------------- both ways


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of a COPY stream; backends cut at rows, frontends anywhere."""

    code: ClassVar[bytes] = b"d"
    data: bytes


@dataclass(frozen=True, slots=True)
class CopyDone:
    """The COPY stream ends well."""

    code: ClassVar[bytes] = b"c"


@dataclass(frozen=True, slots=True)
class CopyFail:
    """The frontend gives the COPY up."""

    code: ClassVar[bytes] = b"f"
    reason: str


# ---------------------------------------------------------------- backend, authentication


@dataclass(frozen=True, slots=True)
class EncryptionAnswer:
    """The single byte that answers SSLRequest (S or N) and GSSENCRequest (G or N)."""

    code: ClassVar[bytes] = b""
    answer: str


@dataclass(frozen=True, slots=True)
class AuthenticationOk:
    """The client is who it says."""

    code: ClassVar[bytes] = b"R"


@dataclass(frozen=True, slots=True)
class AuthenticationKerberosV5:
    """Kerberos V5 is required."""

    code: ClassVar[bytes] = b"R"


@dataclass(frozen=True, slots=True)
class AuthenticationCleartextPassword:
    """A clear-text password is required."""

    code: ClassVar[bytes] = b"R"


@dataclass(frozen=True, slots=True)
class AuthenticationMD5Password:
    """An MD5 password is required; `salt` is 4 bytes."""

    code: ClassVar[bytes] = b"R"
    salt: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationGSS:
    """GSSAPI is required."""

    code: ClassVar[bytes] = b"R"


@dataclass(frozen=True, slots=True)
class AuthenticationGSSContinue:
    """One more GSSAPI or SSPI step."""

    code: ClassVar[bytes] = b"R"
    token: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationSSPI:
    """SSPI is required."""

    code: ClassVar[bytes] = b"R"


@dataclass(frozen=True, slots=True)
class AuthenticationSASL:
    """SASL is required; `mechanisms` in the server's order of preference."""

    code: ClassVar[bytes] = b"R"
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthenticationSASLContinue:
    """A SASL challenge."""

    code: ClassVar[bytes] = b"R"
    data: bytes


@dataclass(frozen=True, slots=True)
class AuthenticationSASLFinal:
    """SASL is complete; `data` is the server's proof."""

    code: ClassVar[bytes] = b"R"
    data: bytes


@dataclass(frozen=True, slots=True)
class BackendKeyData:
    """What a CancelRequest must show. `secret` is 4 bytes in 3.0, up to 256 in 3.2."""

    code: ClassVar[bytes] = b"K"
    process_id: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class NegotiateProtocolVersion:
    """The newest minor version the server speaks, and options that it does not know."""

    code: ClassVar[bytes] = b"v"
    minor: int
    unrecognized: tuple[str, ...] = ()


# ---------------------------------------------------------------- backend, a session


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """A reported setting's value."""

    code: ClassVar[bytes] = b"S"
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ReadyForQuery:
    """`status`: "I" idle, "T" in a transaction block, "E" in a failed one."""

    code: ClassVar[bytes] = b"Z"
    status: str


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """One column of a RowDescription. `table_oid`, `column` are 0 for an expression."""

    name: str
    table_oid: int = 0
    column: int = 0
    type_oid: int = 25
    type_size: int = -1
    type_modifier: int = -1
    format: int = 0


@dataclass(frozen=True, slots=True)
class RowDescription:
    """The columns of the rows that follow."""

    code: ClassVar[bytes] = b"T"
    columns: tuple[ColumnDescription, ...]


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row."""

    code: ClassVar[bytes] = b"D"
    values: tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class CommandComplete:
    """A statement's end; `tag` such as "INSERT 0 1"."""

    code: ClassVar[bytes] = b"C"
    tag: str


@dataclass(frozen=True, slots=True)
class EmptyQueryResponse:
    """The text held no statement."""

    code: ClassVar[bytes] = b"I"


@dataclass(frozen=True, slots=True)
class ParseComplete:
    """Answers Parse."""

    code: ClassVar[bytes] = b"1"


@dataclass(frozen=True, slots=True)
class BindComplete:
    """Answers Bind."""

    code: ClassVar[bytes] = b"2"


@dataclass(frozen=True, slots=True)
class CloseComplete:
    """Answers Close."""

    code: ClassVar[bytes] = b"3"


@dataclass(frozen=True, slots=True)
class NoData:
    """Answers Describe of what returns no rows."""

    code: ClassVar[bytes] = b"n"


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """Answers Describe of a statement: its parameters' type OIDs."""

    code: ClassVar[bytes] = b"t"
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PortalSuspended:
    """Execute's row limit was reached."""

    code: ClassVar[bytes] = b"s"


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """What failed."""

    code: ClassVar[bytes] = b"E"
    fields: Fields


@dataclass(frozen=True, slots=True)
class NoticeResponse:
    """What the client should know."""

    code: ClassVar[bytes] = b"N"
    fields: Fields


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    """A NOTIFY that this session listens for."""

    code: ClassVar[bytes] = b"A"
    process_id: int
    channel: str
    payload: str = ""


@dataclass(frozen=True, slots=True)
class FunctionCallResponse:
    """A FunctionCall's result."""

    code: ClassVar[bytes] = b"V"
    value: bytes | None


@dataclass(frozen=True, slots=True)
class CopyInResponse:
    """Send CopyData now. `format` 1: the whole stream is binary."""

    code: ClassVar[bytes] = b"G"
    format: int
    column_formats: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CopyOutResponse:
    """CopyData follows."""

    code: ClassVar[bytes] = b"H"
    format: int
    column_formats: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CopyBothResponse:
    """CopyData goes both ways (replication)."""

    code: ClassVar[bytes] = b"W"
    format: int
    column_formats: tuple[int, ...] = field(default=())


StartupRequest: TypeAlias = StartupMessage | SSLRequest | GSSENCRequest | CancelRequest | DirectTLS

AuthenticationResponse: TypeAlias = (
    PasswordMessage | SASLInitialResponse | SASLResponse | GSSResponse
)

CommandMessage: TypeAlias = (
    Query | Parse | Bind | Describe | Execute | Close | Sync | Flush | FunctionCall | Terminate
)

CopyMessage: TypeAlias = CopyData | CopyDone | CopyFail

FrontendMessage: TypeAlias = StartupRequest | AuthenticationResponse | CommandMessage | CopyMessage

AuthenticationRequest: TypeAlias = (
    AuthenticationOk
    | AuthenticationKerberosV5
    | AuthenticationCleartextPassword
    | AuthenticationMD5Password
    | AuthenticationGSS
    | AuthenticationGSSContinue
    | AuthenticationSSPI
    | AuthenticationSASL
    | AuthenticationSASLContinue
    | AuthenticationSASLFinal
)

BackendMessage: TypeAlias = (
    EncryptionAnswer
    | AuthenticationRequest
    | BackendKeyData
    | NegotiateProtocolVersion
    | ParameterStatus
    | ReadyForQuery
    | RowDescription
    | DataRow
    | CommandComplete
    | EmptyQueryResponse
    | ParseComplete
    | BindComplete
    | CloseComplete
    | NoData
    | ParameterDescription
    | PortalSuspended
    | ErrorResponse
    | NoticeResponse
    | NotificationResponse
    | FunctionCallResponse
    | CopyInResponse
    | CopyOutResponse
    | CopyBothResponse
    | CopyData
    | CopyDone
)

Message: TypeAlias = FrontendMessage | BackendMessage
