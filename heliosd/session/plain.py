"""Plain forms: programs that run as one call, without a task, and answer as bytes.

A program has a plain form when it reads or changes rows by key, or is BEGIN, COMMIT or ROLLBACK.
`Blocked` means that the call would have to wait and has done nothing yet: `session.waiting` then
says what to do in a task. Other reasons to take the long way are just None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from helios_protocol.encode import (
    READY_FOR_QUERY,
    command_complete,
)
from helios_storage.scheduler import Blocked
from helios_storage.transaction import Isolation
from heliosd.execute.constraints import check_deferred
from heliosd.execute.program import Modified, PlanIsStale, Program, Row, StatementKind
from heliosd.observe.metrics import SECONDS_BUCKETS, Counter
from heliosd.session.block import BlockState
from heliosd.session.chain.accounting import kind_of
from heliosd.session.chain.execution import Waiting
from heliosd.session.clock import EPOCH_UNIX_US
from heliosd.sql.tree import Transaction as TransactionStatement
from heliosd.sql.tree import TransactionKind

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared

_BEGUN: Final = command_complete("BEGIN") + READY_FOR_QUERY["T"]
_COMMITTED: Final = command_complete("COMMIT") + READY_FOR_QUERY["I"]
_ROLLED_BACK: Final = command_complete("ROLLBACK") + READY_FOR_QUERY["I"]
# The histogram's first bucket, which takes nearly all that comes this way.
_FIRST_BUCKET_NS: Final = int(SECONDS_BUCKETS[0] * 1e9)

Encode = Callable[..., bytes]
# (session, plain, parameters, head, encode_rows, began_ns) -> the whole answer, or None.
Step: TypeAlias = Callable[..., bytes | None]


@dataclass(slots=True, eq=False)
class Plain:
    """A prepared statement's plain form, with everything about it that can be known ahead.

    `alone` and `in_block` run it outside of a block and inside; None: the long way must.
    `counts` and `label`: where its times are counted.
    """

    text: str
    program: Program
    point: Callable[..., list[Row]] | None
    point_modify: Callable[..., Modified] | None
    alone: Step | None
    in_block: Step | None
    tag: str
    writes: bool
    counts: list[int]
    sums: dict[str, float]
    label: str
    committed: Counter


def is_point(prepared: Prepared) -> bool:
    """Whether a program has a plain form."""
    program = prepared.program
    if program.kind is StatementKind.UTILITY:
        return _block_kind(prepared) is not None
    return program.point is not None or program.point_modify is not None


def _block_kind(prepared: Prepared) -> TransactionKind | None:
    """BEGIN, COMMIT and ROLLBACK without anything to them."""
    tree = prepared.tree
    if isinstance(tree, TransactionStatement) and tree.modes is None and not tree.chain:
        kinds = (TransactionKind.BEGIN, TransactionKind.COMMIT, TransactionKind.ROLLBACK)
        return tree.kind if tree.kind in kinds else None
    return None


def plain_of(session: LinkedSession, prepared: Prepared) -> Plain:
    """The plain form of a statement that has one; kept with it."""
    plain: Plain | None = prepared.plain
    if plain is None:
        program = prepared.program
        label, metrics = kind_of(program), session.instance.metrics
        block = _block_kind(prepared)
        if block is not None:
            alone, in_block = _BLOCK_STEPS[block]
        else:
            alone = _modify_alone if program.point is None else _read_alone
            in_block = _run_in_block
        plain = prepared.plain = Plain(
            prepared.text,
            program,
            program.point,
            program.point_modify,
            alone,
            in_block,
            program.tag + (" 0" if program.tag == "INSERT" else ""),
            program.writes,
            metrics.query_execution_time.counts[label],
            metrics.query_execution_time.sums,
            label,
            metrics.transactions_committed,
        )
    return plain


def no_rows(rows: object, context: object) -> bytes:
    """The encoder of statements that return none."""
    return b""


@lru_cache(maxsize=4096)
def _end(tag: str, count: int, status: str) -> bytes:
    """CommandComplete and ReadyForQuery."""
    return command_complete(f"{tag} {count}") + READY_FOR_QUERY[status]


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
    if state is BlockState.NONE:
        step = plain.alone
    elif state is BlockState.BLOCK:
        step = plain.in_block
    else:
        return None
    if step is None:
        return None
    answer = step(session, plain, parameters, head, encode_rows, began_ns)
    if answer is not None:
        spent_ns = time_ns() - began_ns
        if 0 <= spent_ns < _FIRST_BUCKET_NS:
            plain.counts[0] += 1
            plain.sums[plain.label] += spent_ns * 1e-9
        else:
            histogram = session.instance.metrics.query_execution_time
            histogram.observe(plain.label, max(spent_ns, 0) * 1e-9)
    return answer


def _read_alone(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """One SELECT. Its transaction leaves nothing behind, so the next one uses it again (2 us)."""
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
    transaction = session.reader
    if transaction is None:
        transaction = session.reader = _momentary(session)
    elif transaction.manager.failure is not None:
        return None
    transaction.seen = output.seen
    context.transaction = transaction
    context.snapshot = transaction.point_snapshot()
    try:
        assert plain.point is not None
        rows = plain.point(context, parameters)
        answer = head + encode_rows(rows, evaluation) + _end(plain.tag, len(rows), "I")
        if not transaction.left_nothing():
            # A function of it has written, or taken a lock.
            session.reader = None
            transaction.commit()
    except BaseException as error:
        session.reader = None
        _failed_alone(session, error, plain, parameters, head, encode_rows, transaction)
        return None
    output.seen = transaction.seen
    plain.committed.value += 1
    return answer


def _modify_alone(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """A transaction of its own around one statement that changes a row."""
    catalog = session.catalog
    if not session.plain_defaults or catalog.overlay is not None or catalog.temporary_schema:
        return None
    session.admission.enter()
    context, output, evaluation = session.context, session.output, session.eval
    session.current_text = plain.text
    evaluation.statement_us = evaluation.transaction_us = began_ns // 1000 - EPOCH_UNIX_US
    transaction = context.transaction = _momentary(session)
    context.snapshot = snapshot = transaction.point_snapshot()
    try:
        assert plain.point_modify is not None
        done = plain.point_modify(context, parameters)
        if context.deferred.mark():
            check_deferred(context)
        rows = encode_rows(done.rows, evaluation)
        answer = head + rows + _end(plain.tag, done.count, "I")
        snapshot.release()
        lsn = transaction.commit()
    except BaseException as error:
        snapshot.release()
        _failed_alone(session, error, plain, parameters, head, encode_rows, transaction)
        return None
    if lsn > output.seen:
        output.seen = lsn
    plain.committed.value += 1
    return answer


def _momentary(session: LinkedSession) -> Transaction:
    """A transaction that ends in this call."""
    transaction = session.instance.storage.begin(
        Isolation.READ_COMMITTED, seen=session.output.seen, owner=session.lock_owner
    )
    transaction.is_momentary = True
    return transaction


def _failed_alone(
    session: LinkedSession,
    error: BaseException,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    transaction: Transaction,
) -> None:
    """Undo. None when the statement is to be run another way, else `error` is raised."""
    transaction.rollback()
    session.context.deferred.clear()
    if isinstance(error, Blocked):
        session.waiting = _waiting(session, plain, parameters, head, encode_rows)
    elif isinstance(error, PlanIsStale):
        session.admission.give_back()
    else:
        session.output.parts.append(head)
        raise error


def _run_in_block(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """One statement of a transaction block."""
    context, block, evaluation = session.context, session.block, session.eval
    if session.catalog.overlay is not None or (plain.writes and block.read_only):
        return None
    bucket = session.bucket
    if bucket.tokens >= 1.0:
        bucket.tokens -= 1.0
    else:
        session.admission.enter()
    session.current_text = plain.text
    evaluation.statement_us = began_ns // 1000 - EPOCH_UNIX_US
    transaction = block.transaction or block.require_transaction()
    block.used = True
    context.snapshot = snapshot = transaction.point_snapshot()
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
        session.waiting = _waiting(session, plain, parameters, head, encode_rows)
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


def _waiting(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
) -> Waiting:
    """What a task has to do, and the row that it has to wait for first."""
    owner = session.lock_owner
    row, owner.blocked_on = owner.blocked_on, None
    return Waiting(plain.program, parameters, head, encode_rows, row)


# ---------------------------------------------------------------- BEGIN, COMMIT, ROLLBACK


def _begin(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """BEGIN without modes, outside of a block."""
    if not _may_be_plain(session, plain, began_ns):
        return None
    session.block.begin()
    return head + _BEGUN


def _commit(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """COMMIT of a block that has not failed."""
    if not _may_be_plain(session, plain, began_ns):
        return None
    try:
        session.block.commit_block()
    except Blocked:
        session.waiting = Waiting(plain.program, (), head, no_rows)
        return None
    except BaseException:
        session.output.parts.append(head)
        raise
    return head + _COMMITTED


def _roll_back(
    session: LinkedSession,
    plain: Plain,
    parameters: tuple[object, ...],
    head: bytes,
    encode_rows: Encode,
    began_ns: int,
) -> bytes | None:
    """ROLLBACK of a block that has not failed."""
    if not _may_be_plain(session, plain, began_ns):
        return None
    session.block.rollback()
    return head + _ROLLED_BACK


def _may_be_plain(session: LinkedSession, plain: Plain, began_ns: int) -> bool:
    """Whether a block's end is nothing but that; then the statement has begun."""
    catalog = session.catalog
    if catalog.temporary_schema or catalog.overlay is not None:
        # ON COMMIT and changes to the catalog take more than a plain call.
        return False
    portals = session.portals
    if portals and any(portal.rows is not None for portal in portals):
        # An open cursor may have something to do before the end.
        return False
    bucket = session.bucket
    if bucket.tokens >= 1.0:
        bucket.tokens -= 1.0
    else:
        session.admission.enter()
    session.current_text = plain.text
    session.eval.statement_us = began_ns // 1000 - EPOCH_UNIX_US
    return True


_BLOCK_STEPS: Final[Mapping[TransactionKind, tuple[Step | None, Step | None]]] = MappingProxyType(
    {
        TransactionKind.BEGIN: (_begin, None),
        TransactionKind.COMMIT: (None, _commit),
        TransactionKind.ROLLBACK: (None, _roll_back),
    }
)
