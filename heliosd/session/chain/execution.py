"""Execution: one program, run under a snapshot, its rows encoded on their way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from helios_protocol.encode import command_complete
from helios_storage.locks import LockPolicy
from helios_storage.transaction import Isolation
from heliosd.errors import READ_ONLY_SQL_TRANSACTION, SqlError
from heliosd.execute.program import CommandResult, StatementKind
from heliosd.security.budgets import send_within
from heliosd.session.results import (
    BINARY,
    TEXT,
    make_row_encoder,
    resolve_formats,
    row_description,
)
from heliosd.session.state import SessionState

if TYPE_CHECKING:
    from heliosd.catalog.objects import Budget
    from heliosd.execute.program import Parameters, Program, ResultColumn, Row
    from heliosd.session.portal import Portal
    from heliosd.session.statement_cache import Prepared

Encoder = tuple[bytes, Callable[..., bytes]]
# Tags to which the number of rows is added once they have been sent.
_COUNTED_TAGS = frozenset({"SELECT", "FETCH"})


def encoder_of(state: SessionState, prepared: Prepared, given: tuple[int, ...]) -> Encoder:
    """RowDescription and row encoder for these result formats; kept with the statement."""
    key = (given, state.wire.codec.name)
    found = prepared.encoders.get(key)
    if found is None:
        columns = prepared.program.columns or ()
        found = make_encoder(state, columns, resolve_formats(given, len(columns)))
        prepared.encoders[key] = found
    return found


def make_encoder(
    state: SessionState, columns: tuple[ResultColumn, ...], formats: tuple[int, ...]
) -> Encoder:
    """The same for columns that no statement keeps."""
    types, codec = state.catalog.types, state.wire.codec
    encode_rows = make_row_encoder([column.type_oid for column in columns], formats, types, codec)
    return row_description(columns, formats, types, codec), encode_rows


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A statement that the short way could not finish; `head` goes ahead of its rows."""

    program: Program
    parameters: Parameters
    head: bytes
    encode_rows: Callable[..., bytes]
    # The row (tree, key, strength) that it would have had to wait for, if that was it.
    row: tuple[int, Any, int] | None = None


class Execution:
    """One session's link."""

    __slots__ = ("_state",)

    def __init__(self, state: SessionState) -> None:
        self._state = state

    def run(self, prepared: Prepared, parameters: Parameters, formats: tuple[int, ...]) -> None:
        """A whole statement of a simple query: RowDescription, rows, CommandComplete."""
        state = self._state
        with_snapshot = prepared.needs_snapshot
        self._enter(prepared.program, parameters, with_snapshot=with_snapshot)
        try:
            tag = self._answer(prepared, parameters, formats)
        finally:
            self._leave(with_snapshot=with_snapshot)
        state.send(command_complete(tag))

    def _answer(self, prepared: Prepared, parameters: Parameters, formats: tuple[int, ...]) -> str:
        state, program = self._state, prepared.program
        context = state.context
        if program.kind is StatementKind.SELECT:
            assert program.rows is not None
            description, encode_rows = encoder_of(state, prepared, formats)
            state.send(description)
            count = self._send_rows(program.rows(context, parameters), encode_rows, program.budgets)
            return f"SELECT {count}"
        if program.kind is StatementKind.MODIFY:
            assert program.modify is not None
            done = program.modify(context, parameters)
            if program.columns is not None:
                description, encode_rows = encoder_of(state, prepared, formats)
                state.send(description)
                self._send_rows([done.rows], encode_rows, program.budgets)
            return program.command_tag(done.count)
        assert program.utility is not None
        return self.send_result(program.utility(state), describe=True, budgets=program.budgets)

    def send_result(
        self, result: CommandResult, *, describe: bool, budgets: tuple[Budget, ...] = ()
    ) -> str:
        """What a utility statement answers; its tag."""
        state = self._state
        if result.columns is None or result.rows is None:
            return result.tag
        form = BINARY if state.take_binary_answer() else TEXT
        description, encode_rows = make_encoder(
            state, result.columns, (form,) * len(result.columns)
        )
        if describe:
            state.send(description)
        count = self._send_rows(result.rows, encode_rows, result.budgets or budgets)
        return f"{result.tag} {count}" if result.tag in _COUNTED_TAGS else result.tag

    def _send_rows(
        self,
        batches: Iterable[list[Row]],
        encode_rows: Callable[..., bytes],
        budgets: tuple[Budget, ...] = (),
    ) -> int:
        state = self._state
        count = 0
        if budgets:
            ledger = state.instance.ledger

            def encode(rows: Sequence[Row]) -> bytes:
                return encode_rows(rows, state.eval)

            for batch in batches:
                if batch:
                    send_within(ledger, budgets, batch, encode, state.send_streaming)
                    count += len(batch)
            return count
        for batch in batches:
            if batch:
                count += len(batch)
                state.send_streaming(encode_rows(batch, state.eval))
        return count

    def run_waiting(self, waiting: Waiting) -> None:
        """A statement of the short way that has to wait for something: here it may.

        Nothing is sent before its table's lock is held, so `PlanIsStale` finds no traces.
        """
        state, program, parameters = self._state, waiting.program, waiting.parameters
        with_snapshot = program.kind is not StatementKind.UTILITY
        if waiting.row is not None:
            self._lock_row(waiting.row)
        self._enter(program, parameters, with_snapshot=with_snapshot)
        try:
            if program.kind is StatementKind.SELECT:
                assert program.rows is not None
                batches = program.rows(state.context, parameters)
                first = next(batches, [])
                state.send(waiting.head)
                rows = chain((first,), batches)
                tag = f"SELECT {self._send_rows(rows, waiting.encode_rows, program.budgets)}"
            elif program.kind is StatementKind.MODIFY:
                assert program.modify is not None
                done = program.modify(state.context, parameters)
                state.send(waiting.head)
                if program.columns is not None:
                    self._send_rows([done.rows], waiting.encode_rows, program.budgets)
                tag = program.command_tag(done.count)
            else:
                assert program.utility is not None
                tag = program.utility(state).tag
                state.send(waiting.head)
        finally:
            self._leave(with_snapshot=with_snapshot)
        state.send(command_complete(tag))

    def _lock_row(self, row: tuple[int, Any, int]) -> None:
        """Wait for the row before the statement begins, so that no root is pinned meanwhile.

        Above READ COMMITTED the transaction's snapshot is older than the wait, and must be.
        """
        state = self._state
        state.block.open()
        transaction = state.block.require_transaction()
        if transaction.isolation is Isolation.READ_COMMITTED:
            timeout_ms = state.context.lock_timeout_ms
            locks = state.instance.storage.locks
            locks.lock_row(state.lock_owner, *row, LockPolicy.WAIT, timeout_ms)

    # ------------------------------------------------------------ portals

    def run_portal(self, portal: Portal, rows_max: int) -> str | None:
        """Execute: rows up to `rows_max`; the tag, or None when there may be more."""
        if portal.rows is not None:
            return self._continue(portal, rows_max)
        prepared = portal.prepared
        assert prepared is not None, "an empty text is answered before"
        with_snapshot = prepared.needs_snapshot
        keeps = rows_max > 0 and prepared.program.kind is StatementKind.SELECT
        self._enter(prepared.program, portal.parameters, with_snapshot=with_snapshot)
        try:
            if keeps:
                # It may go on after this statement, so it gets a snapshot that outlives it.
                portal.snapshot = self._state.context.snapshot
                context = self._state.context.portal(portal.snapshot)
                assert prepared.program.rows is not None
                portal.rows = prepared.program.rows(context, portal.parameters)
                return self._continue(portal, rows_max)
            return self._finish(portal, prepared)
        finally:
            self._leave(with_snapshot=with_snapshot and not keeps)

    def _continue(self, portal: Portal, rows_max: int) -> str | None:
        state, columns = self._state, portal.columns
        if columns is None:
            assert portal.prepared is not None
            encode_rows = encoder_of(state, portal.prepared, portal.formats)[1]
        else:
            encode_rows = make_encoder(
                state, columns, resolve_formats(portal.formats, len(columns))
            )[1]
        budgets = () if portal.prepared is None else portal.prepared.program.budgets
        count = self._send_rows(portal.take(rows_max), encode_rows, budgets)
        portal.count += count
        if not portal.done:
            return None
        return portal.tag or f"SELECT {count}"

    def _finish(self, portal: Portal, prepared: Prepared) -> str:
        """A portal run in one go (no limit, or not a SELECT)."""
        state, program = self._state, prepared.program
        context, parameters = state.context, portal.parameters
        portal.done = True
        if program.kind is StatementKind.SELECT:
            assert program.rows is not None
            encode_rows = encoder_of(state, prepared, portal.formats)[1]
            rows = program.rows(context, parameters)
            return f"SELECT {self._send_rows(rows, encode_rows, program.budgets)}"
        if program.kind is StatementKind.MODIFY:
            assert program.modify is not None
            done = program.modify(context, parameters)
            if program.columns is not None:
                encode_rows = encoder_of(state, prepared, portal.formats)[1]
                self._send_rows([done.rows], encode_rows, program.budgets)
            return program.command_tag(done.count)
        assert program.utility is not None
        result = program.utility(state)
        if result.columns is None or result.rows is None:
            return result.tag
        binary = state.take_binary_answer()
        formats = portal.formats or ((BINARY,) if binary else ())
        encode_rows = make_encoder(
            state, result.columns, resolve_formats(formats, len(result.columns))
        )[1]
        count = self._send_rows(result.rows, encode_rows, result.budgets or program.budgets)
        return f"{result.tag} {count}" if result.tag in _COUNTED_TAGS else result.tag

    # ------------------------------------------------------------ snapshots

    def _enter(self, program: Program, parameters: Parameters, *, with_snapshot: bool) -> None:
        state = self._state
        state.take_binary_answer()
        state.parameters = parameters
        state.parameter_types = program.parameter_types
        state.metered = None if program.kind is StatementKind.UTILITY else program.budgets
        state.block.open()
        if program.writes and state.block.read_only:
            raise SqlError(
                READ_ONLY_SQL_TRANSACTION,
                f"cannot execute {program.tag} in a read-only transaction",
            )
        if with_snapshot:
            transaction = state.block.require_transaction()
            state.block.used = True
            state.context.snapshot = transaction.snapshot(newest=program.locks_rows)

    def _leave(self, *, with_snapshot: bool) -> None:
        state = self._state
        transaction = state.block.transaction
        if with_snapshot:
            state.context.snapshot.release()
        if transaction is not None and transaction.seen > state.output.seen:
            state.output.seen = transaction.seen
