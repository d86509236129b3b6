"""Plain forms: programs that run as one call, without a task, and answer as bytes.

A program has a plain form when it reads or changes rows by key, or is BEGIN, COMMIT or ROLLBACK.
`Blocked` means that the call would have to wait and has done nothing yet: `session.waiting` then
says what to do in a task. Other reasons to take the long way are just None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import time_ns
from typing import TYPE_CHECKING, Final

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
from heliosd.sql.tree import Transaction, TransactionKind

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared

_BEGUN: Final = command_complete("BEGIN") + READY_FOR_QUERY["T"]
_COMMITTED: Final = command_complete("COMMIT") + READY_FOR_QUERY["I"]
_ROLLED_BACK: Final = command_complete("ROLLBACK") + READY_FOR_QUERY["I"]
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
    context.snapshot = snapshot = transaction.point_snapshot()
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
        session.waiting = Waiting(plain.program, (), head, no_rows)
        return None
    except BaseException:
        session.output.parts.append(head)
        raise
