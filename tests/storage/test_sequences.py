"""Sequences: values, bounds, what the log must know before a value is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_storage.errors import SequenceExhausted
from helios_storage.page import SequenceLogged
from helios_storage.sequences import LOGGED_AHEAD, Sequences


class Log:
    def __init__(self):
        self.last = {}
        self.count = 0

    def append(self, xid, changes):
        assert xid == 0
        for change in changes:
            assert type(change) is SequenceLogged
            self.last[change.sequence_id] = change
            self.count += 1
        return self.count


@given(
    increment=st.sampled_from([1, 2, 7, -1, -3]),
    count=st.integers(1, 200),
    kill=st.integers(0, 200),
)
def test_no_value_twice_after_a_crash(increment, count, kill):
    log = Log()
    sequences = Sequences(log)
    given_out = []
    limits = (-(10**6), 10**6)
    for n in range(count):
        given_out.append(sequences.advance(5, increment, *limits, start=100))
        if n == kill:
            change = log.last[5]
            sequences = Sequences(log, [(5, change.value, change.called)])
    assert len(set(given_out)) == count
    assert given_out == sorted(given_out, reverse=increment < 0)
    assert log.count <= count // LOGGED_AHEAD + 2


def test_bounds_and_cycles():
    sequences = Sequences(Log())
    assert [sequences.advance(1, 1, 1, 3) for _ in range(3)] == [1, 2, 3]
    for _ in range(2):
        with pytest.raises(SequenceExhausted):
            sequences.advance(1, 1, 1, 3)
    assert sequences.peek(1) == (3, True)
    assert sequences.advance(1, 1, 1, 3, cycle=True) == 1
    assert [sequences.advance(2, -2, -3, -1) for _ in range(2)] == [-1, -3]
    with pytest.raises(SequenceExhausted):
        sequences.advance(2, -2, -3, -1)


def test_set_and_blocks():
    log = Log()
    sequences = Sequences(log)
    assert sequences.peek(1) is None
    sequences.set(1, 10, called=False)
    assert log.last[1].value == 10
    assert not log.last[1].called
    assert sequences.advance(1) == 10
    assert sequences.advance(1, count=100) == 11
    assert log.last[1].value >= 110
    assert sequences.advance(1) == 111
    assert sequences.lsn_of(1) == log.count
    assert sequences.lsn_of(2) == 0


def test_a_checkpoint_needs_no_log_before_it():
    log = Log()
    sequences = Sequences(log)
    for _ in range(5):
        sequences.advance(1)
    (state,) = sequences.logged()
    assert state == (1, 5, True)
    again = Sequences(Log(), [state])
    logged = log.count
    assert sequences.advance(1) == 6
    assert log.count == logged + 1
    assert again.advance(1) == 6


def test_row_numbers_are_logged_rarely():
    log = Log()
    sequences = Sequences(log)
    assert [sequences.next_row(3) for _ in range(5000)] == list(range(1, 5001))
    assert log.count == 2
    assert log.last[3].value >= 5000
    sequences.logged()
    assert sequences.next_row(3) == 5001
    assert log.count == 3
