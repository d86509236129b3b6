"""Numeric, dates and intervals computed here and by a live PostgreSQL 15, side by side."""

from __future__ import annotations

import os
from random import Random

import psycopg
import pytest

from tests.server import Server

NUMBERS = ("0", "1", "-1", "0.5", "1e20", "-1e-20", "NaN", "Infinity", "-Infinity")
UNITS = ("year", "mon", "week", "day", "hour", "min", "sec", "usec")
FIELDS = ("year", "month", "day", "hour", "epoch", "dow", "doy", "week", "isoyear", "julian")
BINARY = ("+", "-", "*", "/", "%", "=", "<", ">=")


def _number(random: Random) -> str:
    if random.random() < 0.1:
        return f"'{random.choice(NUMBERS)}'::numeric"
    digits = "".join(random.choices("0123456789", k=random.randint(1, 24)))
    point = random.randint(0, len(digits))
    sign = random.choice(("", "-"))
    return f"({sign}{digits[:point] or '0'}.{digits[point:] or '0'})::numeric"


def _interval(random: Random) -> str:
    parts = [
        f"{random.randint(-400, 400)} {unit}" for unit in random.sample(UNITS, random.randint(1, 4))
    ]
    if random.random() < 0.3:
        parts.append(f"{random.choice('+-')}{random.randint(0, 99)}:{random.randint(0, 59):02d}")
    return f"interval '{' '.join(parts)}'"


def _date(random: Random) -> str:
    year, month, day = random.randint(1, 9999), random.randint(1, 12), random.randint(1, 28)
    era = " BC" if random.random() < 0.1 and year < 4700 else ""
    return f"date '{year:04d}-{month:02d}-{day:02d}{era}'"


def _timestamp(random: Random, kind: str) -> str:
    clock = f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}:{random.randint(0, 59):02d}"
    zone = random.choice(("", "+02", "-08:30", " UTC")) if kind == "timestamptz" else ""
    day = _date(random).removeprefix("date '").removesuffix("'")
    era = " BC" if day.endswith("BC") else ""
    fraction = random.randrange(1_000_000)
    return f"{kind} '{day.removesuffix(' BC')} {clock}.{fraction:06d}{zone}{era}'"


def expression(random: Random) -> str:
    """One computation; every kind about equally often."""
    match random.randrange(8):
        case 0:
            return f"{_number(random)} {random.choice(BINARY)} {_number(random)}"
        case 1:
            function = random.choice(("abs", "ceil", "floor", "trunc", "round", "sign", "sqrt"))
            return f"{function}({_number(random)})"
        case 2:
            function = random.choice(("round", "trunc"))
            return f"{function}({_number(random)}, {random.randint(-12, 12)})"
        case 3:
            operator = random.choice(("+", "-", "=", "<"))
            return f"{_interval(random)} {operator} {_interval(random)}"
        case 4:
            return f"{_interval(random)} * {random.choice(('2', '-3', '0.5', '1.7', '0'))}::float8"
        case 5:
            moment = random.choice((_date(random), _timestamp(random, "timestamp")))
            return f"{moment} {random.choice('+-')} {_interval(random)}"
        case 6:
            kind = random.choice(("timestamp", "timestamptz"))
            return f"{_timestamp(random, kind)} - {_timestamp(random, kind)}"
    field = random.choice(FIELDS)
    what = random.choice((_date(random), _timestamp(random, "timestamp")))
    function = random.choice((f"extract({field} from {what})", f"date_trunc('{field}', {what})"))
    return random.choice((function, f"justify_interval({_interval(random)})", f"({what})::text"))


def _answers(session: psycopg.Connection, expressions: list[str]) -> list[bytes | str | None]:  # type: ignore[type-arg]
    """The value as text, or the SQLSTATE."""
    pg = session.pgconn
    pg.exec_(b"set timezone = 'Europe/Berlin'; set extra_float_digits = 1")
    found: list[bytes | str | None] = []
    for text in expressions:
        result = pg.exec_(f"select {text}".encode())
        if result.status == psycopg.pq.ExecStatus.TUPLES_OK:
            found.append(result.get_value(0, 0))
        else:
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            found.append(f"error {(state or b'').decode()}")
    return found


def compare(server: Server, dsn: str, seed: int, count: int) -> None:
    """Raises with every expression that the two do not agree on."""
    random = Random(seed)
    expressions = [expression(random) for _ in range(count)]
    with (
        psycopg.connect(server.conninfo(), autocommit=True) as ours,
        psycopg.connect(dsn, autocommit=True) as theirs,
    ):
        mine, other = _answers(ours, expressions), _answers(theirs, expressions)
    wrong = [
        f"{text}: {a!r}, PostgreSQL {b!r}"
        for text, a, b in zip(expressions, mine, other, strict=True)
        if a != b
    ]
    assert not wrong, f"seed {seed}: {len(wrong)} differ\n" + "\n".join(wrong[:40])


def test_arithmetic_agrees(server: Server, postgres_dsn: str) -> None:
    """A sample that is always the same."""
    compare(server, postgres_dsn, 20_000_101, 2500)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(5))
def test_much_arithmetic_agrees(server: Server, postgres_dsn: str, part: int) -> None:
    """50,000 computations and more, anew each time."""
    compare(server, postgres_dsn, int.from_bytes(os.urandom(6), "big") + part, 12_000)
