"""The short way: one exchange that arrived whole, whose program is a plain call, answered at once.

    Query                                   BEGIN, a point SELECT, a one-row UPDATE, COMMIT ...
    [Parse] Bind [Describe] Execute Sync    in one segment, unnamed portal

No task is started and no message object made: frames are compared with what they were the last
time. Everything that is not exactly this (another state, a stale program, an odd frame) returns
False before any effect, and the long way (`session.py`) does it again. `Blocked` means the same: a
plain call that would have to wait has done nothing yet.

Errors of the statement itself are raised; the caller answers them as on the long way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from helios_protocol.decode import split_bind
from helios_protocol.encode import (
    BIND_COMPLETE,
    NO_DATA,
    PARSE_COMPLETE,
    READY_FOR_QUERY,
    command_complete,
)
from helios_protocol.fields import WireError
from helios_storage.scheduler import Blocked
from helios_storage.transaction import Isolation
from heliosd.errors import SqlError
from heliosd.execute.constraints import check_deferred
from heliosd.execute.program import PlanIsStale, StatementKind
from heliosd.session.block import BlockState
from heliosd.session.chain.execution import encoder_of
from heliosd.session.clock import now_us
from heliosd.session.prepared import NamedStatement
from heliosd.session.results import make_parameter_reader, resolve_formats
from heliosd.session.statement_cache import (
    FRAME_BYTES_MAX,
    KnownTemplate,
    StatementCache,
    remember_follower,
)
from heliosd.sql.template import INT4, INT8, NUMERIC, UNKNOWN, Templated, compile_template
from heliosd.sql.tree import Transaction, TransactionKind

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared

# What follows a Bind: Describe of the unnamed portal, Execute without a limit, Sync.
_DESCRIBE_EXECUTE_SYNC: Final = b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_EXECUTE_SYNC: Final = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_NULL: Final = 0xFFFFFFFF
_IDLE: Final = READY_FOR_QUERY["I"]
_IN_BLOCK: Final = READY_FOR_QUERY["T"]
Encode = Callable[..., bytes]


@dataclass(slots=True, eq=False)
class FastBind:
    """How one prepared statement was bound the last time: all bytes but the values.

    `shape` is what stands between the names and the values, `suffix` what comes after them.
    """

    prepared: Prepared
    shape: bytes
    count: int
    suffix: bytes
    read: Callable[..., tuple[object, ...]]
    encode_rows: Encode | None
    head: bytes
    head_described: bytes


def is_point(prepared: Prepared) -> bool:
    """Whether a program has a plain form."""
    program = prepared.program
    if program.kind is StatementKind.UTILITY:
        return is_plain_block(prepared)
    return program.point is not None or program.point_modify is not None


def is_plain_block(prepared: Prepared) -> bool:
    """BEGIN, COMMIT and ROLLBACK without anything to them."""
    tree = prepared.tree
    return (
        isinstance(tree, Transaction)
        and tree.modes is None
        and not tree.chain
        and tree.kind in (TransactionKind.BEGIN, TransactionKind.COMMIT, TransactionKind.ROLLBACK)
    )


# ---------------------------------------------------------------- simple query


def on_query_frame(session: LinkedSession, data: bytes) -> bool:
    """A Query whose whole frame is known, or whose template is one that came next before."""
    size = len(data)
    if size > FRAME_BYTES_MAX or int.from_bytes(data[1:5], "big") + 1 != size:
        return False
    cache = session.statement_cache()
    prepared = cache.frames.get(data)
    if prepared is None:
        return _on_template(session, data, cache)
    if not prepared.is_current(session.catalog) or not _may_run(session, prepared):
        return False
    head, encode_rows = b"", None
    if prepared.program.columns is not None:
        head, encode_rows = encoder_of(session, prepared, ())
    return run(session, prepared, (), head, encode_rows)


def _on_template(session: LinkedSession, data: bytes, cache: StatementCache) -> bool:
    last = session.last_template
    try:
        text = data[5:-1].decode(session.wire.codec.python)
    except UnicodeDecodeError:
        return False
    for known in last.followers if last is not None else cache.first:
        found = known.match(text)
        if found is not None:
            break
    else:
        return False
    prepared = known.prepared
    if not prepared.is_current(session.catalog) or not _may_run(session, prepared):
        return False
    try:
        parameters = known.read(found.groups(), session.eval)
    except SqlError:
        return False
    if not run(session, prepared, parameters, known.head, known.encode_rows):
        return False
    session.last_template = known
    return True


def learn_template(session: LinkedSession, text: str, taken: Templated, prepared: Prepared) -> None:
    """A text was run by way of its template: know it, and that it follows the last one."""
    if not is_point(prepared):
        return
    cache = session.statement_cache()
    known = cache.templates.get(taken.text)
    if known is None or known.prepared is not prepared:
        head, encode_rows = b"", None
        if prepared.program.columns is not None:
            head, encode_rows = encoder_of(session, prepared, ())
        match = compile_template(text, taken).match
        fresh = KnownTemplate(
            prepared, match, template_reader(session, prepared, taken.types), head, encode_rows
        )
        if known is not None:
            fresh.followers = known.followers
            _replace(cache, known, fresh)
        cache.put_template(taken.text, fresh)
        known = fresh
    last = session.last_template
    remember_follower(cache.first if last is None else last.followers, known)
    session.last_template = known


def _replace(cache: StatementCache, old: KnownTemplate, new: KnownTemplate) -> None:
    """A template was prepared anew: whoever predicts the old one predicts the new one."""
    for followers in (cache.first, *(known.followers for known in cache.templates.values())):
        for index, known in enumerate(followers):
            if known is old:
                followers[index] = new


def template_reader(
    session: LinkedSession, prepared: Prepared, types: tuple[int, ...]
) -> Callable[..., tuple[object, ...]]:
    """A function from a template's literals, as text or values, to parameters."""
    registry = session.instance.types
    readers: list[Callable[[Any, Any], object]] = []
    for given, inferred in zip(types, prepared.program.parameter_types, strict=True):
        if given == UNKNOWN:
            readers.append(_text_reader(registry.type(inferred).input))
        elif given == NUMERIC:
            readers.append(lambda text, ctx: Decimal(text))
        else:
            readers.append(lambda text, ctx: int(text))
    if all(given in (INT4, INT8) for given in types):
        return lambda literals, ctx: tuple(map(int, literals))

    def read(literals: tuple[object, ...], ctx: object) -> tuple[object, ...]:
        return tuple(
            [reader(literal, ctx) for reader, literal in zip(readers, literals, strict=True)]
        )

    return read


def _text_reader(text_in: Callable[[str, int, Any], object]) -> Callable[[Any, Any], object]:
    return lambda text, ctx: text_in(text, -1, ctx)


# ---------------------------------------------------------------- extended query


def on_parse_frame(session: LinkedSession, data: bytes) -> bool:
    """Parse of the unnamed statement with a text known from before, and its Bind ... Sync."""
    end = 1 + int.from_bytes(data[1:5], "big")
    if data[5] or end > FRAME_BYTES_MAX or len(data) < end + 5 or data[end] != 66:
        return False
    cache = session.statement_cache()
    prepared = cache.frames.get(data[:end])
    if prepared is None or not prepared.is_current(session.catalog):
        return False
    return _on_bind(session, data, end, prepared, PARSE_COMPLETE)


def on_bind_frame(session: LinkedSession, data: bytes) -> bool:
    """Bind of a prepared statement ... Sync."""
    name_end = data.find(b"\0", 6)
    statement = session.statements.by_bytes(data[6:name_end])
    if statement is None or data[5]:
        return False
    prepared = statement.prepared
    if prepared is None or not prepared.is_current(session.catalog):
        return False
    return _on_bind(session, data, 0, prepared, b"")


def _on_bind(
    session: LinkedSession, data: bytes, start: int, prepared: Prepared, prefix: bytes
) -> bool:
    end = start + 1 + int.from_bytes(data[start + 1 : start + 5], "big")
    tail = data[end:]
    described = tail == _DESCRIBE_EXECUTE_SYNC
    if (not described and tail != _EXECUTE_SYNC) or data[start + 5]:
        return False
    position = data.find(b"\0", start + 6) + 1
    if prefix and position != start + 7:
        return False
    fast = prepared.fast
    if fast is None or not data.startswith(fast.shape, position):
        fast = make_bind(session, prepared, data, end, position)
        if fast is None:
            return False
        prepared.fast = fast
    position += len(fast.shape)
    values: list[bytes | None] = []
    for _ in range(fast.count):
        size = int.from_bytes(data[position : position + 4], "big")
        position += 4
        if size == _NULL:
            values.append(None)
        else:
            values.append(data[position : position + size])
            position += size
    if data[position:end] != fast.suffix or not _may_run(session, prepared):
        return False
    try:
        parameters = fast.read(values, session.eval)
    except (SqlError, WireError):
        # Bad values are rare and the long way words them; nothing has happened yet.
        return False
    head = fast.head_described if described else fast.head
    if prefix:
        _remember_unnamed(session, prepared)
    return run(session, prepared, parameters, prefix + head, fast.encode_rows)


def make_bind(
    session: LinkedSession, prepared: Prepared, data: bytes, end: int, position: int
) -> FastBind | None:
    """The shape of this Bind; None when the long way must say what is wrong with it."""
    if not is_point(prepared):
        return None
    program = prepared.program
    try:
        formats, values, results = split_bind(data, end, position)
        if len(values) != len(program.parameter_types):
            return None
        types, codec = session.instance.types, session.wire.codec
        read = make_parameter_reader(program.parameter_types, formats, types, codec)
        if program.columns is None:
            description, encode_rows = NO_DATA, None
        else:
            resolve_formats(results, len(program.columns))
            description, encode_rows = encoder_of(session, prepared, results)
    except (SqlError, WireError):
        return None
    shape_end = position + 2 + 2 * len(formats) + 2
    suffix_size = 2 + 2 * len(results)
    return FastBind(
        prepared,
        data[position:shape_end],
        len(values),
        data[end - suffix_size : end],
        read,
        encode_rows,
        BIND_COMPLETE,
        BIND_COMPLETE + description,
    )


def _remember_unnamed(session: LinkedSession, prepared: Prepared) -> None:
    """A later Bind may name the unnamed statement."""
    session.statements.put(
        NamedStatement("", prepared.text, prepared, prepared.given_types, 0, from_sql=False)
    )


# ---------------------------------------------------------------- running


def _may_run(session: LinkedSession, prepared: Prepared) -> bool:
    """Whether state and settings are the plain ones."""
    session.refresh()
    state = session.block.state
    if state is BlockState.FAILED or session.catalog.overlay is not None:
        return False
    if state is BlockState.NONE:
        return session.plain_defaults
    return not (prepared.program.writes and session.block.read_only)


def run(
    session: LinkedSession,
    prepared: Prepared,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode | None,
) -> bool:
    """Run the plain form and put the whole answer into the output; False: take the long way."""
    started_ns = perf_counter_ns()
    program = prepared.program
    try:
        session.admission.enter()
        session.current_text = prepared.text
        if program.kind is StatementKind.UTILITY:
            rows, tag = b"", _run_block(session, prepared)
        elif session.block.state is BlockState.NONE:
            rows, tag = _run_alone(session, prepared, parameters, encode_rows)
        else:
            rows, tag = _run_in_block(session, prepared, parameters, encode_rows)
    except BaseException:
        session.output.parts.append(head)
        raise
    if not tag:
        session.admission.give_back()
        return False
    status = _IN_BLOCK if session.block.state is BlockState.BLOCK else _IDLE
    session.output.parts.append(head + rows + command_complete(tag) + status)
    session.accounting.leave(program, started_ns)
    return True


# Rows and command tag; an empty tag: the long way.
_Answer = tuple[bytes, str]
_LONG_WAY: Final[_Answer] = (b"", "")


def _run_alone(
    session: LinkedSession,
    prepared: Prepared,
    parameters: tuple[object, ...],
    encode_rows: Encode | None,
) -> _Answer:
    """A transaction of its own around one statement."""
    context, output = session.context, session.output
    program = prepared.program
    evaluation = session.eval
    evaluation.statement_us = evaluation.transaction_us = now_us()
    transaction = session.instance.storage.begin(
        Isolation.READ_COMMITTED, seen=output.seen, owner=session.lock_owner
    )
    context.transaction = transaction
    context.snapshot = snapshot = transaction.snapshot(newest=program.locks_rows)
    try:
        try:
            answer = _run_point(session, prepared, parameters, encode_rows)
            if context.deferred.mark():
                check_deferred(context)
        finally:
            snapshot.release()
        lsn = transaction.commit()
    except (Blocked, PlanIsStale):
        transaction.rollback()
        context.deferred.clear()
        return _LONG_WAY
    except BaseException:
        transaction.rollback()
        context.deferred.clear()
        raise
    if lsn > output.seen:
        output.seen = lsn
    session.instance.metrics.transactions_committed.value += 1
    return answer


def _run_in_block(
    session: LinkedSession,
    prepared: Prepared,
    parameters: tuple[object, ...],
    encode_rows: Encode | None,
) -> _Answer:
    """One statement of a transaction block."""
    session.eval.statement_us = now_us()
    context, output, block = session.context, session.output, session.block
    transaction = block.require_transaction()
    block.mark_used()
    context.snapshot = snapshot = transaction.snapshot(newest=prepared.program.locks_rows)
    try:
        answer = _run_point(session, prepared, parameters, encode_rows)
    except (Blocked, PlanIsStale):
        return _LONG_WAY
    finally:
        snapshot.release()
        if transaction.seen > output.seen:
            output.seen = transaction.seen
    return answer


def _run_point(
    session: LinkedSession,
    prepared: Prepared,
    parameters: tuple[object, ...],
    encode_rows: Encode | None,
) -> _Answer:
    program = prepared.program
    if program.point is not None:
        rows = program.point(session.context, parameters)
        if encode_rows is None or not rows:
            return b"", f"SELECT {len(rows)}"
        return encode_rows(rows, session.eval), f"SELECT {len(rows)}"
    assert program.point_modify is not None
    done = program.point_modify(session.context, parameters)
    if encode_rows is None or not done.rows:
        return b"", program.command_tag(done.count)
    return encode_rows(done.rows, session.eval), program.command_tag(done.count)


def _run_block(session: LinkedSession, prepared: Prepared) -> str:
    """BEGIN, COMMIT, ROLLBACK where they warn of nothing and end nothing else."""
    block, tree = session.block, prepared.tree
    assert isinstance(tree, Transaction)
    if any(portal.rows is not None for portal in session.portals):
        # An open cursor may have something to do before the end.
        return ""
    if tree.kind is TransactionKind.BEGIN:
        if block.state is not BlockState.NONE:
            return ""
        session.eval.statement_us = now_us()
        block.begin()
        return "BEGIN"
    if block.state is not BlockState.BLOCK:
        return ""
    if tree.kind is TransactionKind.ROLLBACK:
        return block.rollback()
    try:
        return block.commit()
    except Blocked:
        return ""
