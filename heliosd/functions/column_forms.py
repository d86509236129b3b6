"""Column forms: how DuckDB's SQL says what an operator, function, cast or aggregate means, exactly.

A template's `{0}`, `{1}` are the arguments' SQL. What is not here has no column form and runs in
rows. "Exactly" means: the same value for every input, or an error in DuckDB, upon which the rows
form runs and raises PostgreSQL's own. So integer overflow may be left to DuckDB (it raises), but
not the traps it is silent about: floats that overflow to infinity are guarded here, dates that are
infinite as well, and division of numerics, whose scale PostgreSQL derives from the digits, is
absent. DuckDB's types are those of `heliosd.execute.column_types`: dates are days since 2000-01-01
and timestamps microseconds since then, both as integers; char(n) is without its padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

BOOL, INT8, INT2, INT4, TEXT = 16, 20, 21, 23, 25
FLOAT8, BPCHAR, VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC = (
    701,
    1042,
    1043,
    1082,
    1114,
    1184,
    1700,
)

SQL_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        BOOL: "BOOLEAN",
        INT2: "SMALLINT",
        INT4: "INTEGER",
        INT8: "BIGINT",
        FLOAT8: "DOUBLE",
        TEXT: "VARCHAR",
        VARCHAR: "VARCHAR",
        BPCHAR: "VARCHAR",
        DATE: "INTEGER",
        TIMESTAMP: "BIGINT",
        TIMESTAMPTZ: "BIGINT",
    }
)
"""DuckDB's type of a column of each type; numeric has its own scale each time."""

INTEGERS: Final = (INT2, INT4, INT8)
_TEXTS: Final = (TEXT, VARCHAR)
_COMPARISONS: Final = ("=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """`template` with its `scale` rule for numeric results: same, max, sum, or a number.

    `checks`: arguments (by place) that must be constants fit for DuckDB, by name of the check.
    """

    template: str
    scale: str = "max"
    checks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateColumns:
    """An aggregate as one DuckDB aggregate, or as `parts` from which `finish` makes the value."""

    parts: tuple[str, ...]
    finish: str = ""
    scale: str = "same"


_DAYS: Final = "(DATE '2000-01-01' + {0})"
_MOMENT: Final = "make_timestamp({0} + 946684800000000)"
# Years 1 to 9999: where both calendars, and the names of years, agree.
_IN_DAYS: Final = "{0} BETWEEN -730119 AND 2921939"
_IN_MOMENTS: Final = "{0} BETWEEN -63082281600000000 AND 252455615999999999"


def _where(condition: str, value: str) -> str:
    """`value`, or an error, where the condition does not hold; NULL stays NULL."""
    return (
        f"(CASE WHEN {condition} THEN {value} WHEN {{0}} IS NULL THEN NULL ELSE error('row') END)"
    )


def _finite_float(value: str) -> str:
    return f"(CASE WHEN isfinite({value}) OR ({value}) IS NULL THEN {value} ELSE error('row') END)"


_ARITHMETIC: Final = {"+": "add", "-": "subtract", "*": "multiply"}
"""By name: what is written with a sign DuckDB's optimizer rewrites (`sum(x + c)`, `x * c > d`),
and then it no longer overflows where PostgreSQL does."""


def _operators() -> Iterator[tuple[tuple[str, int, int], ColumnForm]]:
    for left in INTEGERS:
        for right in INTEGERS:
            result = SQL_TYPES[max(left, right, key=INTEGERS.index)]
            for sign, name in _ARITHMETIC.items():
                yield (
                    (sign, left, right),
                    ColumnForm(f"{name}(CAST({{0}} AS {result}), CAST({{1}} AS {result}))"),
                )
            yield (
                ("/", left, right),
                ColumnForm(f"divide(CAST({{0}} AS {result}), CAST({{1}} AS {result}))"),
            )
            for sign in _COMPARISONS:
                yield (sign, left, right), ColumnForm(f"({{0}} {sign} {{1}})")
        yield (
            ("%", left, left),
            ColumnForm(
                "(CASE WHEN {1} = 0 THEN error('row') "
                "WHEN {1} = -1 THEN {0} - {0} ELSE {0} % {1} END)"
            ),
        )
        yield ("-", 0, left), ColumnForm(f"subtract(CAST(0 AS {SQL_TYPES[left]}), {{0}})")
    for kind in (FLOAT8, TEXT, BPCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, BOOL):
        for sign in _COMPARISONS:
            yield (sign, kind, kind), ColumnForm(f"({{0}} {sign} {{1}})")
    for sign, scale in (("+", "max"), ("-", "max"), ("*", "sum")):
        name = _ARITHMETIC[sign]
        yield (sign, NUMERIC, NUMERIC), ColumnForm(f"{name}({{0}}, {{1}})", scale)
        yield (sign, FLOAT8, FLOAT8), ColumnForm(_finite_float(f"{name}({{0}}, {{1}})"))
    yield (
        ("/", FLOAT8, FLOAT8),
        ColumnForm(
            "(CASE WHEN {1} = 0 THEN error('row') ELSE " + _finite_float("({0} / {1})") + " END)"
        ),
    )
    yield ("-", 0, NUMERIC), ColumnForm("(-{0})")
    yield ("-", 0, FLOAT8), ColumnForm("(-{0})")
    yield ("+", DATE, INT4), ColumnForm(_where(_IN_DAYS, "{0} + {1}"))
    yield ("-", DATE, INT4), ColumnForm(_where(_IN_DAYS, "{0} - {1}"))
    yield (
        ("-", DATE, DATE),
        ColumnForm(
            f"(CASE WHEN {_IN_DAYS} AND {_IN_DAYS.replace('{0}', '{1}')} THEN {{0}} - {{1}} "
            "WHEN {0} IS NULL OR {1} IS NULL THEN NULL ELSE error('row') END)"
        ),
    )
    checks = ((1, "pattern"),)
    for sign, word in (("~~", "LIKE"), ("!~~", "NOT LIKE")):
        test = f"({{0}} {word} {{1}} ESCAPE '\\')"
        yield (sign, TEXT, TEXT), ColumnForm(test, checks=checks)
        padded = f"({{padded0}} {word} {{1}} ESCAPE '\\')"
        yield (sign, BPCHAR, TEXT), ColumnForm(padded, checks=checks)
    yield ("||", TEXT, TEXT), ColumnForm("({0} || {1})")
    yield ("^@", TEXT, TEXT), ColumnForm("starts_with({0}, {1})")


def _functions() -> Iterator[tuple[tuple[str, tuple[int, ...]], ColumnForm]]:
    for kind in (*INTEGERS, NUMERIC):
        yield ("abs", (kind,)), ColumnForm("abs({0})")
    yield ("abs", (FLOAT8,)), ColumnForm("abs({0})")
    for name in ("length", "char_length", "character_length"):
        yield (name, (TEXT,)), ColumnForm("CAST(length({0}) AS INTEGER)")
        yield (name, (BPCHAR,)), ColumnForm("CAST(length({0}) AS INTEGER)")
    for name in ("substring", "substr"):
        yield (
            (name, (TEXT, INT4, INT4)),
            ColumnForm("substring({0}, {1}, {2})", checks=((1, "positive"), (2, "natural"))),
        )
        yield (name, (TEXT, INT4)), ColumnForm("substring({0}, {1})", checks=((1, "positive"),))
    yield ("starts_with", (TEXT, TEXT)), ColumnForm("starts_with({0}, {1})")
    for part in ("year", "month", "day", "quarter", "dow", "doy"):
        word = {"dow": "dayofweek", "doy": "dayofyear"}.get(part, part)
        for kind, moment, inside in (
            (DATE, _DAYS, _IN_DAYS),
            (TIMESTAMP, _MOMENT, _IN_MOMENTS),
        ):
            value = f"{word}({moment})"
            yield (
                (f"extract {part}", (kind,)),
                ColumnForm(_where(inside, f"CAST({value} AS DECIMAL(9,0))"), "0"),
            )
            yield (
                (f"date_part {part}", (kind,)),
                ColumnForm(_where(inside, f"CAST({value} AS DOUBLE)")),
            )
    for part in ("hour", "minute"):
        value = f"{part}({_MOMENT})"
        yield (
            (f"extract {part}", (TIMESTAMP,)),
            ColumnForm(_where(_IN_MOMENTS, f"CAST({value} AS DECIMAL(9,0))"), "0"),
        )
        yield (
            (f"date_part {part}", (TIMESTAMP,)),
            ColumnForm(_where(_IN_MOMENTS, f"CAST({value} AS DOUBLE)")),
        )
    for part in ("year", "quarter", "month", "week", "day", "hour", "minute", "second"):
        value = f"epoch_us(CAST(date_trunc('{part}', {_MOMENT}) AS TIMESTAMP)) - 946684800000000"
        yield (f"date_trunc {part}", (TIMESTAMP,)), ColumnForm(_where(_IN_MOMENTS, value))


def _casts() -> Iterator[tuple[tuple[int, int], ColumnForm]]:
    for source in INTEGERS:
        for target in INTEGERS:
            yield (source, target), ColumnForm(f"CAST({{0}} AS {SQL_TYPES[target]})")
        digits = {INT2: 5, INT4: 10, INT8: 19}[source]
        yield (source, NUMERIC), ColumnForm(f"CAST({{0}} AS DECIMAL({digits},0))", "0")
        yield (source, FLOAT8), ColumnForm("CAST({0} AS DOUBLE)")
    yield (BOOL, INT4), ColumnForm("CAST({0} AS INTEGER)")
    for source in (BPCHAR, TEXT, VARCHAR):
        for target in _TEXTS:
            yield (source, target), ColumnForm("{0}")
    yield (DATE, TIMESTAMP), ColumnForm(_where(_IN_DAYS, "(CAST({0} AS BIGINT) * 86400000000)"))


def _aggregates() -> Iterator[tuple[tuple[str, tuple[int, ...]], AggregateColumns]]:
    yield ("count", ()), AggregateColumns(("count(*)",))
    yield ("count", (2276,)), AggregateColumns(("count({0})",))  # count("any")
    for kind in (INT2, INT4):
        yield ("sum", (kind,)), AggregateColumns(("CAST(sum({0}) AS BIGINT)",))
    yield ("sum", (INT8,)), AggregateColumns(("CAST(sum({0}) AS DECIMAL(38,0))",), scale="0")
    yield ("sum", (NUMERIC,)), AggregateColumns(("sum({0})",))
    yield ("sum", (FLOAT8,)), AggregateColumns((_finite_float("sum({0})"),))
    for kind in INTEGERS:
        parts = ("CAST(sum({0}) AS DECIMAL(38,0))", "count({0})")
        yield ("avg", (kind,)), AggregateColumns(parts, "average", "0")
    yield ("avg", (NUMERIC,)), AggregateColumns(("sum({0})", "count({0})"), "average")
    yield (
        ("avg", (FLOAT8,)),
        AggregateColumns((_finite_float("sum({0})"), "count({0})"), "float average"),
    )
    for kind in (*INTEGERS, NUMERIC, FLOAT8, TEXT, BPCHAR, DATE, TIMESTAMP, TIMESTAMPTZ):
        yield ("min", (kind,)), AggregateColumns(("min({0})",))
        yield ("max", (kind,)), AggregateColumns(("max({0})",))
    for name in ("bool_and", "every"):
        yield (name, (BOOL,)), AggregateColumns(("bool_and({0})",))
    yield ("bool_or", (BOOL,)), AggregateColumns(("bool_or({0})",))


OPERATORS: Final[Mapping[tuple[str, int, int], ColumnForm]] = MappingProxyType(dict(_operators()))
FUNCTIONS: Final[Mapping[tuple[str, tuple[int, ...]], ColumnForm]] = MappingProxyType(
    dict(_functions())
)
CASTS: Final[Mapping[tuple[int, int], ColumnForm]] = MappingProxyType(dict(_casts()))
AGGREGATES: Final[Mapping[tuple[str, tuple[int, ...]], AggregateColumns]] = MappingProxyType(
    dict(_aggregates())
)
RANKINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"row_number": "row_number()", "rank": "rank()", "dense_rank": "dense_rank()"}
)
"""Window functions without arguments, all int8."""
WHOLE_PARTS: Final = ("extract", "date_part", "date_trunc")
"""Functions whose first argument, a constant word, is part of the name above."""
