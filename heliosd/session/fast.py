"""The short way: one exchange that arrived whole, whose program is a plain call, answered at once.

    Query                                   BEGIN, a point SELECT, a one-row UPDATE, COMMIT ...
    [Parse] Bind [Describe] Execute Sync    in one segment, unnamed portal

No task is started and no message object made: frames are compared with what they were the last
time. Everything that is not exactly this (another state, a stale program, an odd frame) returns
None before any effect, and the long way (`session.py`) does it again. `Blocked` means that a plain
call would have to wait and has done nothing yet: `session.waiting` then says what to do in a task.

Errors of the statement itself are raised; the caller answers them as on the long way.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from helios_protocol.decode import split_bind
from helios_protocol.encode import (
    BIND_COMPLETE,
    NO_DATA,
    PARSE_COMPLETE,
)
from helios_protocol.fields import WireError
from heliosd.errors import SqlError
from heliosd.session.chain.execution import encoder_of
from heliosd.session.plain import Encode, Plain, is_point, no_rows, plain_of, run
from heliosd.session.prepared import NamedStatement
from heliosd.session.results import FrameReader, make_frame_reader, resolve_formats
from heliosd.session.statement_cache import (
    FRAME_BYTES_MAX,
    KnownTemplate,
    StatementCache,
    remember_follower,
)
from heliosd.sql.template import INT4, INT8, NUMERIC, UNKNOWN, Templated, template_pattern
from heliosd.types.numeric import parse_numeric

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared

# What follows a Bind: Describe of the unnamed portal, Execute without a limit, Sync.
_DESCRIBE_EXECUTE_SYNC: Final = b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_EXECUTE_SYNC: Final = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_size_at: Final = struct.Struct("!i").unpack_from
_BIND: Final = ord("B")
# Shorter frames are BEGIN and its like: known whole, if at all.
_TEMPLATE_BYTES_MIN: Final = 20


@dataclass(slots=True, eq=False)
class FastBind:
    """How one prepared statement was bound the last time: all bytes but the values.

    `shape` is what stands between the names and the values; `tail` what comes after them, to the
    end of the exchange, of which `suffix_size` bytes belong to the Bind.
    """

    prepared: Prepared
    plain: Plain
    shape: bytes
    tail: bytes
    suffix_size: int
    read: FrameReader
    encode_rows: Encode
    head: bytes
    # The catalog's generation at which the statement was last known to be current.
    generation: int = -1

    def fits(self, data: bytes, position: int) -> bool:
        """Whether a Bind whose names end at `position` is like the one that this was made from."""
        return data.startswith(self.shape, position) and data.endswith(self.tail)


# ---------------------------------------------------------------- simple query


def on_query_frame(session: LinkedSession, data: bytes) -> bytes | None:
    """A Query whose template is one that came next before, or whose whole frame is known."""
    size = len(data)
    if size > FRAME_BYTES_MAX or int.from_bytes(data[1:5], "big") + 1 != size:
        return None
    last = session.last_template
    if size >= _TEMPLATE_BYTES_MIN and last is not None:
        for index, known in enumerate(last.followers):
            found = known.match(data)
            if found is not None:
                return _on_template(session, known, found, last.followers, index)
    cache = session.statement_cache()
    prepared = cache.frames.get(data)
    if prepared is None:
        if last is None:
            for known in cache.first:
                found = known.match(data)
                if found is not None:
                    return _on_template(session, known, found, cache.first, 0)
        return None
    if not prepared.is_current(session.catalog):
        return None
    head, encode_rows = b"", no_rows
    if prepared.program.columns is not None:
        head, encode_rows = encoder_of(session, prepared, ())
    return run(session, plain_of(session, prepared), (), head, encode_rows)


def _on_template(
    session: LinkedSession,
    known: KnownTemplate,
    found: re.Match[bytes],
    candidates: list[KnownTemplate],
    index: int,
) -> bytes | None:
    """The statement of a template that was predicted (it is `candidates[index]`)."""
    if not session.is_still_current(known):
        return None
    try:
        parameters = known.read(found.groups(), session.eval)
    except (SqlError, UnicodeDecodeError):
        return None
    answer = run(session, known.plain, parameters, known.head, known.encode_rows)
    if answer is not None or session.waiting is not None:
        session.last_template = known
        if index:
            # What comes often drifts to the front.
            candidates[index], candidates[index - 1] = candidates[index - 1], known
    return answer


def learn_template(session: LinkedSession, text: str, taken: Templated, prepared: Prepared) -> None:
    """A text was run by way of its template: know it, and that it follows the last one."""
    if not is_point(prepared) or not session.wire.codec.is_utf8:
        return
    cache = session.statement_cache()
    known = cache.templates.get(taken.text)
    if known is None or known.prepared is not prepared:
        head, encode_rows = b"", no_rows
        if prepared.program.columns is not None:
            head, encode_rows = encoder_of(session, prepared, ())
        fresh = KnownTemplate(
            prepared,
            plain_of(session, prepared),
            _frame_matcher(text, taken),
            template_reader(session, prepared, taken.types),
            head,
            encode_rows,
        )
        if known is not None:
            fresh.followers = known.followers
            _replace(cache, known, fresh)
        cache.put_template(taken.text, fresh)
        known = fresh
    last = session.last_template
    remember_follower(cache.first if last is None else last.followers, known)
    session.last_template = known


def _frame_matcher(text: str, taken: Templated) -> Callable[[bytes], re.Match[bytes] | None]:
    """Finds a template's literals in a Query frame (UTF-8; others go the long way)."""
    pattern = template_pattern(text, taken).encode()
    return re.compile(b"Q[\\s\\S]{4}" + pattern + b"\\0").fullmatch


def _replace(cache: StatementCache, old: KnownTemplate, new: KnownTemplate) -> None:
    """A template was prepared anew: whoever predicts the old one predicts the new one."""
    for followers in (cache.first, *(known.followers for known in cache.templates.values())):
        for index, known in enumerate(followers):
            if known is old:
                followers[index] = new


def template_reader(
    session: LinkedSession, prepared: Prepared, types: tuple[int, ...]
) -> Callable[..., tuple[object, ...]]:
    """A function from a template's literals (a frame's bytes, or values) to parameters."""
    if types in ((INT4,), (INT8,)):
        return lambda literals, ctx: (int(literals[0]),)
    if all(given in (INT4, INT8) for given in types):
        return lambda literals, ctx: tuple(map(int, literals))
    registry = session.catalog.types
    readers: list[Callable[[Any, Any], object]] = []
    for given, inferred in zip(types, prepared.program.parameter_types, strict=True):
        if given == UNKNOWN:
            readers.append(_text_reader(registry.type(inferred).input))
        elif given == NUMERIC:
            readers.append(lambda literal, ctx: parse_numeric(_text(literal)))
        else:
            readers.append(lambda literal, ctx: int(literal))

    def read(literals: tuple[object, ...], ctx: object) -> tuple[object, ...]:
        return tuple(
            [reader(literal, ctx) for reader, literal in zip(readers, literals, strict=True)]
        )

    return read


def _text_reader(text_in: Callable[[str, int, Any], object]) -> Callable[[Any, Any], object]:
    return lambda literal, ctx: text_in(_text(literal), -1, ctx)


def _text(literal: object) -> str:
    return literal.decode() if isinstance(literal, bytes) else str(literal)


# ---------------------------------------------------------------- extended query


def on_parse_frame(session: LinkedSession, data: bytes) -> bytes | None:
    """Parse of the unnamed statement with a text known from before, and its Bind ... Sync."""
    end = 1 + int.from_bytes(data[1:5], "big")
    if data[5] or end > FRAME_BYTES_MAX or len(data) < end + 7 or data[end] != _BIND:
        return None
    prepared = session.statement_cache().frames.get(data[:end])
    if prepared is None or not prepared.is_current(session.catalog):
        return None
    # The unnamed portal of the unnamed statement.
    if data[end + 5] or data[end + 6]:
        return None
    fast: FastBind | None = prepared.fast
    if fast is None or not fast.fits(data, end + 7):
        fast = prepared.fast = make_bind(session, prepared, data, end, end + 7)
        if fast is None:
            return None
    answer = _on_bind(session, data, end, end + 7, fast, PARSE_COMPLETE)
    if answer is not None or session.waiting is not None:
        # A later Bind may name the unnamed statement.
        session.statements.put(
            NamedStatement("", prepared.text, prepared, prepared.given_types, 0, from_sql=False)
        )
    return answer


def on_bind_frame(session: LinkedSession, data: bytes) -> bytes | None:
    """Bind of a prepared statement ... Sync."""
    # An empty portal name, the statement's name, and how many formats and values there are.
    names_end = data.find(b"\0", 6) + 1
    key = data[5 : names_end + 4]
    fast = session.statements.binds.get(key)
    if fast is not None and fast.fits(data, names_end) and session.is_still_current(fast):
        return _on_bind(session, data, 0, names_end, fast, b"")
    statement = session.statements.by_bytes(data[6 : names_end - 1])
    if statement is None or data[5]:
        return None
    prepared = statement.prepared
    if prepared is None or not session.is_current(prepared):
        return None
    fast = make_bind(session, prepared, data, 0, names_end)
    if fast is None:
        return None
    if statement.name:
        session.statements.binds[key] = fast
    return _on_bind(session, data, 0, names_end, fast, b"")


def _on_bind(
    session: LinkedSession, data: bytes, start: int, position: int, fast: FastBind, prefix: bytes
) -> bytes | None:
    """The Bind that begins at `start`, whose names end at `position`, and what follows."""
    try:
        found = fast.read(data, position + len(fast.shape), session.eval)
    except (SqlError, WireError, struct.error):
        # Bad values are rare and the long way words them; nothing has happened yet.
        return None
    # The values end where the tail begins, and there is what the Bind says of its length.
    if (
        found is None
        or found[1] + len(fast.tail) != len(data)
        or _size_at(data, start + 1)[0] + start + 1 != found[1] + fast.suffix_size
    ):
        return None
    head = prefix + fast.head if prefix else fast.head
    return run(session, fast.plain, found[0], head, fast.encode_rows)


def make_bind(
    session: LinkedSession, prepared: Prepared, data: bytes, start: int, position: int
) -> FastBind | None:
    """The shape of this Bind; None when it is not followed by just Execute and Sync, or when the
    long way must say what is wrong with it."""
    end = start + 1 + int.from_bytes(data[start + 1 : start + 5], "big")
    follows = data[end:]
    if follows not in (_DESCRIBE_EXECUTE_SYNC, _EXECUTE_SYNC) or not is_point(prepared):
        return None
    program = prepared.program
    try:
        formats, values, results = split_bind(data, end, position)
        if len(values) != len(program.parameter_types):
            return None
        types, codec = session.catalog.types, session.wire.codec
        read = make_frame_reader(program.parameter_types, formats, types, codec)
        if program.columns is None:
            description, encode_rows = NO_DATA, no_rows
        else:
            resolve_formats(results, len(program.columns))
            description, encode_rows = encoder_of(session, prepared, results)
    except (SqlError, WireError):
        return None
    shape_end = position + 2 + 2 * len(formats) + 2
    suffix_size = 2 + 2 * len(results)
    described = follows == _DESCRIBE_EXECUTE_SYNC
    return FastBind(
        prepared,
        plain_of(session, prepared),
        data[position:shape_end],
        data[end - suffix_size :],
        suffix_size,
        read,
        encode_rows,
        BIND_COMPLETE + description if described else BIND_COMPLETE,
    )
