"""Sequences: counters outside snapshots and transactions, logged 32 values ahead.

After a crash a sequence goes on behind the last value logged: up to 32 numbers are skipped, none is
given twice. What a sequence's increment and bounds are is its owner's business: they come with each
call, so that ALTER SEQUENCE needs no storage of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from helios_storage.errors import SequenceExhausted
from helios_storage.page import CommitLog, SequenceLogged
from helios_storage.spec import Lsn

LOGGED_AHEAD: Final = 32
ROWS_LOGGED_AHEAD: Final = 4096


class SequenceState:
    """One counter: `value`, whether that was given already, values that need no logging yet."""

    __slots__ = ("ahead", "called", "lsn", "value")

    def __init__(self, value: int, called: bool) -> None:  # noqa: FBT001  (data)
        self.value = value
        self.called = called
        self.ahead = 0
        self.lsn = Lsn(0)


class Sequences:
    """All counters of a storage, by the sequence's number (its oid or tree id)."""

    __slots__ = ("_log", "_states")

    def __init__(self, log: CommitLog, states: Iterable[tuple[int, int, bool]] = ()) -> None:
        self._log = log
        self._states = {number: SequenceState(value, called) for number, value, called in states}

    def advance(
        self,
        sequence_id: int,
        increment: int = 1,
        minimum: int = 1,
        maximum: int = (1 << 63) - 1,
        *,
        start: int | None = None,
        cycle: bool = False,
        count: int = 1,
        logged_ahead: int = LOGGED_AHEAD,
    ) -> int:
        """The next value; with `count`, the first of that many (spaced by `increment`).

        Raises `SequenceExhausted` at the bound when it does not cycle; then nothing changed.
        """
        state = self._states.get(sequence_id)
        if state is None:
            first = start if start is not None else (minimum if increment > 0 else maximum)
            state = self._states[sequence_id] = SequenceState(first, called=False)
        value = state.value + increment if state.called else state.value
        last = value + increment * (count - 1)
        if not minimum <= last <= maximum:
            if not cycle:
                bound, limit = ("maximum", maximum) if increment > 0 else ("minimum", minimum)
                raise SequenceExhausted(f"reached {bound} value of sequence ({limit})")
            value = minimum if increment > 0 else maximum
            last = value
            state.ahead = 0
        if state.ahead < count:
            ahead = last + increment * logged_ahead
            self._write(sequence_id, min(max(ahead, minimum), maximum), called=True)
            state.ahead = logged_ahead + count
        state.ahead -= count
        state.value = last
        state.called = True
        return value

    def next_row(self, sequence_id: int) -> int:
        """The next hidden row number of a table. Holes mean nothing there: logged 4,096 ahead."""
        state = self._states.get(sequence_id)
        if state is not None and state.ahead > 0 and state.called:
            state.ahead -= 1
            state.value += 1
            return state.value
        return self.advance(sequence_id, logged_ahead=ROWS_LOGGED_AHEAD)

    def set(self, sequence_id: int, value: int, *, called: bool = True) -> None:
        """Go on from `value` (called: it was given already), as setval and RESTART do."""
        state = self._states.get(sequence_id)
        if state is None:
            state = self._states[sequence_id] = SequenceState(value, called)
        state.value, state.called, state.ahead = value, called, 0
        self._write(sequence_id, value, called=called)

    def peek(self, sequence_id: int) -> tuple[int, bool] | None:
        """(value, whether it was given already), or None: never used."""
        state = self._states.get(sequence_id)
        return None if state is None else (state.value, state.called)

    def lsn_of(self, sequence_id: int) -> Lsn:
        """Of the record that covers its values: who was given one has seen this LSN."""
        state = self._states.get(sequence_id)
        return Lsn(0) if state is None else state.lsn

    def drop(self, sequence_id: int) -> None:
        """Forget a counter."""
        self._states.pop(sequence_id, None)

    def restore(self, sequence_id: int, value: int, *, called: bool) -> None:
        """What the log says (replay): nothing is logged again."""
        self._states[sequence_id] = SequenceState(value, called)

    def logged(self) -> tuple[tuple[int, int, bool], ...]:
        """Every counter as a crash now would leave it, for a checkpoint: ahead by what was logged.

        A checkpoint forgets the log before it, so it must carry values that nobody was given.
        """
        states = []
        for number, state in self._states.items():
            state.ahead = 0
            states.append((number, state.value, state.called))
        return tuple(states)

    def _write(self, sequence_id: int, value: int, *, called: bool) -> None:
        lsn = self._log.append(0, [SequenceLogged(sequence_id, value, called)])
        self._states[sequence_id].lsn = lsn
