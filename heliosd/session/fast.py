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
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from time import time_ns
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
from heliosd.execute.program import Modified, PlanIsStale, Program, Row, StatementKind
from heliosd.observe.metrics import SECONDS_BUCKETS, Counter
from heliosd.session.block import BlockState
from heliosd.session.chain.accounting import kind_of
from heliosd.session.chain.execution import Waiting, encoder_of
from heliosd.session.clock import EPOCH_UNIX_US
from heliosd.session.prepared import NamedStatement
from heliosd.session.results import make_parameter_reader, resolve_formats
from heliosd.session.statement_cache import (
    FRAME_BYTES_MAX,
    KnownTemplate,
    StatementCache,
    remember_follower,
)
from heliosd.sql.template import INT4, INT8, NUMERIC, UNKNOWN, Templated, template_pattern
from heliosd.sql.tree import Transaction, TransactionKind

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared

# What follows a Bind: Describe of the unnamed portal, Execute without a limit, Sync.
_DESCRIBE_EXECUTE_SYNC: Final = b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_EXECUTE_SYNC: Final = b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"
_NULL: Final = 0xFFFFFFFF
_BIND: Final = ord("B")
_BEGUN: Final = command_complete("BEGIN") + READY_FOR_QUERY["T"]
_COMMITTED: Final = command_complete("COMMIT") + READY_FOR_QUERY["I"]
_ROLLED_BACK: Final = command_complete("ROLLBACK") + READY_FOR_QUERY["I"]
# Shorter frames are BEGIN and its like: known whole, if at all.
_TEMPLATE_BYTES_MIN: Final = 20
# The histogram's first bucket, which takes nearly all that comes this way.
_FIRST_BUCKET_NS: Final = int(SECONDS_BUCKETS[0] * 1e9)
Encode = Callable[..., bytes]


@dataclass(slots=True, eq=False)
class Plain:
    """A prepared statement's plain form, with everything about it that can be known ahead.

    `block`: BEGIN, COMMIT or ROLLBACK. `counts` and `label`: where its times are counted.
    """

    text: str
    program: Program
    point: Callable[..., list[Row]] | None
    point_modify: Callable[..., Modified] | None
    block: TransactionKind | None
    tag: str
    newest: bool
    writes: bool
    counts: list[int]
    sums: dict[str, float]
    label: str
    committed: Counter


@dataclass(slots=True, eq=False)
class FastBind:
    """How one prepared statement was bound the last time: all bytes but the values.

    `shape` is what stands between the names and the values, `suffix` what comes after them.
    """

    shape: bytes
    count: int
    suffix: bytes
    read: Callable[..., tuple[object, ...]]
    encode_rows: Encode
    head: bytes
    head_described: bytes


def is_point(prepared: Prepared) -> bool:
    """Whether a program has a plain form."""
    program = prepared.program
    if program.kind is StatementKind.UTILITY:
        return _block_kind(prepared) is not None
    return program.point is not None or program.point_modify is not None


def _block_kind(prepared: Prepared) -> TransactionKind | None:
    """BEGIN, COMMIT and ROLLBACK without anything to them."""
    tree = prepared.tree
    if isinstance(tree, Transaction) and tree.modes is None and not tree.chain:
        kinds = (TransactionKind.BEGIN, TransactionKind.COMMIT, TransactionKind.ROLLBACK)
        return tree.kind if tree.kind in kinds else None
    return None


def plain_of(session: LinkedSession, prepared: Prepared) -> Plain:
    """The plain form of a statement that has one; kept with it."""
    plain: Plain | None = prepared.plain
    if plain is None:
        program = prepared.program
        label, metrics = kind_of(program), session.instance.metrics
        plain = prepared.plain = Plain(
            prepared.text,
            program,
            program.point,
            program.point_modify,
            _block_kind(prepared),
            program.tag + (" 0" if program.tag == "INSERT" else ""),
            program.locks_rows,
            program.writes,
            metrics.query_execution_time.counts[label],
            metrics.query_execution_time.sums,
            label,
            metrics.transactions_committed,
        )
    return plain


def _no_rows(rows: object, context: object) -> bytes:
    """The encoder of statements that return none."""
    return b""


@lru_cache(maxsize=4096)
def _end(tag: str, count: int, status: str) -> bytes:
    """CommandComplete and ReadyForQuery."""
    return command_complete(f"{tag} {count}") + READY_FOR_QUERY[status]


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
    head, encode_rows = b"", _no_rows
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
    if not is_point(prepared):
        return
    cache = session.statement_cache()
    known = cache.templates.get(taken.text)
    if known is None or known.prepared is not prepared:
        head, encode_rows = b"", _no_rows
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
    registry = session.instance.types
    readers: list[Callable[[Any, Any], object]] = []
    for given, inferred in zip(types, prepared.program.parameter_types, strict=True):
        if given == UNKNOWN:
            readers.append(_text_reader(registry.type(inferred).input))
        elif given == NUMERIC:
            readers.append(lambda literal, ctx: Decimal(_text(literal)))
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
    answer = _on_bind(session, data, end, end + 7, prepared, PARSE_COMPLETE)
    if answer is not None or session.waiting is not None:
        # A later Bind may name the unnamed statement.
        session.statements.put(
            NamedStatement("", prepared.text, prepared, prepared.given_types, 0, from_sql=False)
        )
    return answer


def on_bind_frame(session: LinkedSession, data: bytes) -> bytes | None:
    """Bind of a prepared statement ... Sync."""
    name_end = data.find(b"\0", 6)
    statement = session.statements.by_bytes(data[6:name_end])
    if statement is None or data[5]:
        return None
    prepared = statement.prepared
    if prepared is None or not session.is_current(prepared):
        return None
    return _on_bind(session, data, 0, name_end + 1, prepared, b"")


def _on_bind(
    session: LinkedSession,
    data: bytes,
    start: int,
    position: int,
    prepared: Prepared,
    prefix: bytes,
) -> bytes | None:
    """The Bind that begins at `start`, whose names end at `position`, and what follows."""
    end = start + 1 + int.from_bytes(data[start + 1 : start + 5], "big")
    tail = data[end:]
    described = tail == _DESCRIBE_EXECUTE_SYNC
    if not described and tail != _EXECUTE_SYNC:
        return None
    fast: FastBind | None = prepared.fast
    if fast is None or not data.startswith(fast.shape, position):
        fast = prepared.fast = make_bind(session, prepared, data, end, position)
        if fast is None:
            return None
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
    if data[position:end] != fast.suffix:
        return None
    try:
        parameters = fast.read(values, session.eval)
    except (SqlError, WireError):
        # Bad values are rare and the long way words them; nothing has happened yet.
        return None
    head = fast.head_described if described else fast.head
    return run(session, plain_of(session, prepared), parameters, prefix + head, fast.encode_rows)


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
            description, encode_rows = NO_DATA, _no_rows
        else:
            resolve_formats(results, len(program.columns))
            description, encode_rows = encoder_of(session, prepared, results)
    except (SqlError, WireError):
        return None
    shape_end = position + 2 + 2 * len(formats) + 2
    suffix_size = 2 + 2 * len(results)
    return FastBind(
        data[position:shape_end],
        len(values),
        data[end - suffix_size : end],
        read,
        encode_rows,
        BIND_COMPLETE,
        BIND_COMPLETE + description,
    )


# ---------------------------------------------------------------- running


def run(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
) -> bytes | None:
    """Run the plain form; the whole answer up to ReadyForQuery, or None: take the long way.

    The caller has asked the session whether the statement is current, and so refreshed it.
    """
    state = session.block.state
    began_ns = time_ns()
    if plain.block is not None:
        answer = _run_block(session, plain, began_ns, head)
    elif state is BlockState.NONE:
        answer = _run_alone(session, plain, parameters, head, encode_rows, began_ns)
    elif state is BlockState.BLOCK and not (plain.writes and session.block.read_only):
        answer = _run_in_block(session, plain, parameters, head, encode_rows, began_ns)
    else:
        return None
    if answer is not None:
        spent_ns = time_ns() - began_ns
        if 0 <= spent_ns < _FIRST_BUCKET_NS:
            plain.counts[0] += 1
            plain.sums[plain.label] += spent_ns * 1e-9
        else:
            histogram = session.instance.metrics.query_execution_time
            histogram.observe(plain.label, max(spent_ns, 0) * 1e-9)
    return answer


def _run_alone(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """A transaction of its own around one statement."""
    catalog = session.catalog
    if not session.plain_defaults or catalog.overlay is not None or catalog.temporary_schema:
        # Temporary tables may have something to do at its end (ON COMMIT).
        return None
    bucket = session.bucket
    if bucket.tokens >= 1.0:
        bucket.tokens -= 1.0
    else:
        session.admission.enter()
    context, output, evaluation = session.context, session.output, session.eval
    session.current_text = plain.text
    evaluation.statement_us = evaluation.transaction_us = began_ns // 1000 - EPOCH_UNIX_US
    transaction = session.instance.storage.begin(
        Isolation.READ_COMMITTED, seen=output.seen, owner=session.lock_owner
    )
    context.transaction = transaction
    context.snapshot = snapshot = transaction.snapshot(newest=plain.newest)
    try:
        if plain.point is not None:
            rows = plain.point(context, parameters)
            count = len(rows)
        else:
            assert plain.point_modify is not None
            done = plain.point_modify(context, parameters)
            rows, count = done.rows, done.count
            if context.deferred.mark():
                check_deferred(context)
        answer = head + encode_rows(rows, evaluation) + _end(plain.tag, count, "I")
        snapshot.release()
        lsn = transaction.commit()
    except BaseException as error:
        snapshot.release()
        transaction.rollback()
        context.deferred.clear()
        if isinstance(error, Blocked):
            session.waiting = Waiting(plain.program, parameters, head, encode_rows)
            return None
        if isinstance(error, PlanIsStale):
            session.admission.give_back()
            return None
        output.parts.append(head)
        raise
    if lsn > output.seen:
        output.seen = lsn
    plain.committed.value += 1
    return answer


def _run_in_block(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """One statement of a transaction block."""
    if session.catalog.overlay is not None:
        return None
    context, block, evaluation = session.context, session.block, session.eval
    session.admission.enter()
    session.current_text = plain.text
    evaluation.statement_us = began_ns // 1000 - EPOCH_UNIX_US
    transaction = block.require_transaction()
    block.used = True
    context.snapshot = snapshot = transaction.snapshot(newest=plain.newest)
    try:
        if plain.point is not None:
            rows = plain.point(context, parameters)
            count = len(rows)
        else:
            assert plain.point_modify is not None
            done = plain.point_modify(context, parameters)
            rows, count = done.rows, done.count
        return head + encode_rows(rows, evaluation) + _end(plain.tag, count, "T")
    except Blocked:
        session.waiting = Waiting(plain.program, parameters, head, encode_rows)
        return None
    except PlanIsStale:
        session.admission.give_back()
        return None
    except BaseException:
        session.output.parts.append(head)
        raise
    finally:
        snapshot.release()
        if transaction.seen > session.output.seen:
            session.output.seen = transaction.seen


def _run_block(session: LinkedSession, plain: Plain, began_ns: int, head: bytes) -> bytes | None:
    """BEGIN, COMMIT, ROLLBACK where they warn of nothing and end nothing else."""
    block = session.block
    if block.state is not (
        BlockState.NONE if plain.block is TransactionKind.BEGIN else BlockState.BLOCK
    ):
        return None
    if any(portal.rows is not None for portal in session.portals):
        # An open cursor may have something to do before the end.
        return None
    if session.catalog.temporary_schema or session.catalog.overlay is not None:
        # ON COMMIT and changes to the catalog take more than a plain call.
        return None
    session.admission.enter()
    session.current_text = plain.text
    session.eval.statement_us = began_ns // 1000 - EPOCH_UNIX_US
    try:
        if plain.block is TransactionKind.BEGIN:
            block.begin()
            return head + _BEGUN
        if plain.block is TransactionKind.ROLLBACK:
            block.rollback()
            return head + _ROLLED_BACK
        block.commit()
        return head + _COMMITTED
    except Blocked:
        session.waiting = Waiting(plain.program, (), head, _no_rows)
        return None
    except BaseException:
        session.output.parts.append(head)
        raise
