"""What masks make of a value: full, partial, email, hash, null, constant, date, noise.

A mask gives a value of the column's own type that the column could hold, so that programs that read
it go on working. NULL stays NULL under every mask: a mask hides what is there, not that it is.

TO ADD ONE: a function `(call, column) -> Form` that checks the call's arguments (22023) and the
column's type (42804), and a line in `MASK_FUNCTIONS`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.types.array import array_of
from heliosd.types.calendar import (
    DATE_INFINITY,
    DATE_MINUS_INFINITY,
    TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
    US_PER_DAY,
    US_PER_HOUR,
    US_PER_MINUTE,
    civil_from_days,
    days_from_civil,
)
from heliosd.types.oids import OIDS
from heliosd.types.styles import Styles

if TYPE_CHECKING:
    from heliosd.catalog.labels import Argument, MaskCall
    from heliosd.types.registry import SqlType

Form = Callable[..., Any]
"""(value, *row key) -> the masked value; never called with NULL as the value."""

_TEXTS: Final = frozenset(OIDS[name] for name in ("text", "varchar", "bpchar", "name"))
_INTEGERS: Final = MappingProxyType({OIDS["int2"]: 15, OIDS["int4"]: 31, OIDS["int8"]: 63})
_FLOATS: Final = frozenset((OIDS["float4"], OIDS["float8"]))
_NUMERIC: Final = OIDS["numeric"]
_DATE: Final = OIDS["date"]
_TIMESTAMPS: Final = frozenset((OIDS["timestamp"], OIDS["timestamptz"]))
_UUID: Final = OIDS["uuid"]
_BYTEA: Final = OIDS["bytea"]

# Any numeric, and the product of its digits with those of two floats.
_WIDE: Final = Context(prec=150_000)

_DAYS_1900: Final = days_from_civil(1900, 1, 1)
_HIDDEN_TEXT: Final = "XXXX"
_FULL: Final[Mapping[int, Any]] = MappingProxyType(
    {
        **dict.fromkeys(_TEXTS, _HIDDEN_TEXT),
        **dict.fromkeys(_INTEGERS, 0),
        **dict.fromkeys(_FLOATS, 0.0),
        OIDS["oid"]: 0,
        OIDS["money"]: 0,
        _NUMERIC: Decimal(0),
        OIDS["bool"]: False,
        OIDS["char"]: "X",
        _DATE: _DAYS_1900,
        **dict.fromkeys(_TIMESTAMPS, _DAYS_1900 * US_PER_DAY),
        OIDS["time"]: 0,
        OIDS["timetz"]: (0, 0),
        OIDS["interval"]: (0, 0, 0),
        _UUID: bytes(16),
        _BYTEA: b"",
        OIDS["json"]: "{}",
        OIDS["jsonb"]: "{}",
    }
)
"""What `full` shows, SQL Server's defaults where it has the type; other types show NULL."""


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """A column as its mask sees it. `identity` tells columns apart for `noise`; `keyed`: the table
    has a primary key, whose values a keyed mask is given."""

    type: SqlType
    typmod: int
    identity: str
    keyed: bool
    secret: bytes


@dataclass(frozen=True, slots=True)
class MaskFunction:
    """`by_row`: its form is given the row's key too."""

    build: Callable[[MaskCall, MaskedColumn], Form]
    by_row: bool = False


def _bad_arguments(call: MaskCall, wanted: str) -> SqlError:
    return SqlError("22023", f"mask function {call} is not {wanted}")


def _bad_type(call: MaskCall, column: MaskedColumn) -> SqlError:
    return SqlError(
        "42804",
        f"mask function {call.name} does not apply to columns of type {column.type.display}",
        hint="full() and null() apply to every type.",
    )


def _no_arguments(call: MaskCall) -> None:
    if call.arguments:
        raise _bad_arguments(call, f"{call.name}()")


def _fitted(column: MaskedColumn) -> Callable[[Any], Any]:
    """Makes a value fit the column's length, precision or scale."""
    fit, typmod = column.type.apply_typmod, column.typmod
    if fit is None or typmod < 0:
        return lambda value: value
    return lambda value: fit(value, typmod, True)


# -- each of them ---------------------------------------------------------------------------------


def _always(value: Any) -> Form:
    return lambda *_row: value


def full_value(kind: SqlType, typmod: int = -1) -> Any:
    """What a fully masked value of the type is; None where no value says nothing."""
    if kind.is_array:
        return array_of(())
    value = _FULL.get(kind.oid)
    if value is None or kind.apply_typmod is None or typmod < 0:
        return value
    try:
        return kind.apply_typmod(value, typmod, True)
    except SqlError:
        return None


def _full(call: MaskCall, column: MaskedColumn) -> Form:
    _no_arguments(call)
    return _always(full_value(column.type, column.typmod))


def _null(call: MaskCall, _column: MaskedColumn) -> Form:
    _no_arguments(call)
    return _always(None)


def _partial(call: MaskCall, column: MaskedColumn) -> Form:
    """partial(prefix, padding, suffix): a value too short for both shows the padding alone."""
    wanted = 'partial(prefix, "padding", suffix) with counts of characters'
    if len(call.arguments) != 3:
        raise _bad_arguments(call, wanted)
    prefix, padding, suffix = call.arguments
    counts = isinstance(prefix, int) and isinstance(suffix, int) and prefix >= 0 <= suffix
    if not counts or not isinstance(padding, str):
        raise _bad_arguments(call, wanted)
    if column.type.oid not in _TEXTS:
        raise _bad_type(call, column)
    assert isinstance(prefix, int)
    assert isinstance(suffix, int)
    return _partial_form(prefix, padding, suffix, column)


def _partial_form(prefix: int, padding: str, suffix: int, column: MaskedColumn) -> Form:
    shown = prefix + suffix
    if column.typmod < 0 or column.type.apply_typmod is None:

        def partial(value: str) -> str:
            size = len(value)
            if size <= shown:
                return padding
            return value[:prefix] + padding + value[size - suffix :]

        return partial
    fit = _fitted(column)

    def fitted(value: str) -> Any:
        size = len(value)
        if size <= shown:
            return fit(padding)
        return fit(value[:prefix] + padding + value[size - suffix :])

    return fitted


def _email(call: MaskCall, column: MaskedColumn) -> Form:
    """email(): the first character and a constant rest, as SQL Server shows it."""
    _no_arguments(call)
    if column.type.oid not in _TEXTS:
        raise _bad_type(call, column)
    fit = _fitted(column)
    return lambda value: fit(value[:1] + "XXX@XXXX.com")


def _hash(call: MaskCall, column: MaskedColumn) -> Form:
    """hash(): HMAC-SHA-256 under the key ring's mask secret. Equal values are equal everywhere, so
    that masked columns still join; without the secret nobody can try guesses."""
    _no_arguments(call)
    secret, oid = column.secret, column.type.oid
    fit = _fitted(column)

    def digest(value: bytes) -> bytes:
        return hmac.digest(secret, b"hash\0" + value, "sha256")

    if oid in _TEXTS:
        return lambda value: fit(digest(value.encode()).hex())
    if oid == _UUID:
        return lambda value: digest(value)[:16]
    if oid == _BYTEA:
        return digest
    bits = _INTEGERS.get(oid)
    if bits is not None:
        shift = 64 - bits
        return lambda value: int.from_bytes(digest(str(value).encode())[:8], "big") >> shift
    raise _bad_type(call, column)


def _constant(call: MaskCall, column: MaskedColumn) -> Form:
    """constant(value): any text or number that is a value of the column's type."""
    if len(call.arguments) != 1:
        raise _bad_arguments(call, "constant(value)")
    value = column.type.input(str(call.arguments[0]), column.typmod, _PLAIN)
    return _always(value)


class _PlainStyles:
    """All that reading a constant may ask of a session: ISO dates and UTC, no name, no time."""

    styles = Styles()


_PLAIN: Final[Any] = _PlainStyles()

_MONTHS: Final = MappingProxyType({"month": 1, "quarter": 3, "year": 12, "decade": 120})
_MICROSECONDS: Final = MappingProxyType(
    {"day": US_PER_DAY, "hour": US_PER_HOUR, "minute": US_PER_MINUTE}
)


def _date(call: MaskCall, column: MaskedColumn) -> Form:
    """date("precision"): the start of the minute, hour, day, month, quarter, year or decade."""
    known = (*_MICROSECONDS, *_MONTHS)
    unit = call.arguments[0] if len(call.arguments) == 1 else ""
    if unit not in known:
        raise _bad_arguments(call, f"date(precision) with one of {', '.join(known)}")
    months = _MONTHS.get(str(unit))
    if column.type.oid == _DATE:
        if months is None:
            raise _bad_arguments(call, "coarser than a date: use month, quarter, year or decade")
        return _coarse_date(months)
    if column.type.oid not in _TIMESTAMPS:
        raise _bad_type(call, column)
    return _coarse_timestamp(months, _MICROSECONDS.get(str(unit), 0))


def _start_of(days: int, months: int) -> int:
    year, month, _ = civil_from_days(days)
    start = (year * 12 + month - 1) // months * months
    return days_from_civil(start // 12, start % 12 + 1, 1)


def _coarse_date(months: int) -> Form:
    def coarse(days: int) -> int:
        if days in (DATE_INFINITY, DATE_MINUS_INFINITY):
            return days
        return _start_of(days, months)

    return coarse


def _coarse_timestamp(months: int | None, step: int) -> Form:
    def coarse(us: int) -> int:
        if us in (TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY):
            return us
        if months is None:
            return us // step * step
        return _start_of(us // US_PER_DAY, months) * US_PER_DAY

    return coarse


def _noise(call: MaskCall, column: MaskedColumn) -> Form:
    """noise(ratio [, spread]): the value moved by up to |value| * ratio + spread, either way.

    How far is drawn from the secret, the column and the row's key, and so is the same each time:
    asking again does not average it out.
    """
    amounts = [float(a) for a in call.arguments if isinstance(a, int | float)]
    if len(amounts) != len(call.arguments) or len(amounts) not in (1, 2) or min(amounts) < 0:
        raise _bad_arguments(call, "noise(ratio) or noise(ratio, spread)")
    oid = column.type.oid
    if oid not in _INTEGERS and oid not in _FLOATS and oid != _NUMERIC:
        raise _bad_type(call, column)
    if not column.keyed:
        raise SqlError(
            "55000",
            "mask function noise needs a table with a primary key",
            detail="How far a value is moved is drawn from its row's key.",
        )
    ratio, spread = amounts[0], amounts[1] if len(amounts) == 2 else 0.0
    secret = hmac.digest(column.secret, f"noise {column.identity}".encode(), "sha256")

    def factor(key: tuple[Any, ...]) -> float:
        drawn = sha256(secret + repr(key).encode()).digest()
        return int.from_bytes(drawn[:7], "big") / (1 << 55) - 1.0

    return _moved(oid, ratio, spread, factor)


def _moved(
    oid: int, ratio: float, spread: float, factor: Callable[[tuple[Any, ...]], float]
) -> Form:
    if oid in _FLOATS:
        return lambda value, *key: value + factor(key) * (abs(value) * ratio + spread)
    if oid in _INTEGERS:
        top = (1 << _INTEGERS[oid]) - 1

        def integer(value: int, *key: Any) -> int:
            moved = value + round(factor(key) * (abs(value) * ratio + spread))
            return max(-top, min(top, moved))

        return integer

    def numeric(value: Decimal, *key: Any) -> Decimal:
        if not value.is_finite():
            return value
        most = _WIDE.fma(abs(value), Decimal(ratio), Decimal(spread))
        return _WIDE.quantize(_WIDE.fma(Decimal(factor(key)), most, value), value)

    return numeric


MASK_FUNCTIONS: Final[Mapping[str, MaskFunction]] = MappingProxyType(
    {
        "full": MaskFunction(_full),
        "partial": MaskFunction(_partial),
        "email": MaskFunction(_email),
        "hash": MaskFunction(_hash),
        "null": MaskFunction(_null),
        "constant": MaskFunction(_constant),
        "date": MaskFunction(_date),
        "noise": MaskFunction(_noise, by_row=True),
    }
)


def is_made_by_user(call: MaskCall) -> bool:
    """Functions of users are named with their schema; the built-in ones have none."""
    return "." in call.name


def mask_function(call: MaskCall) -> MaskFunction:
    """The declared function; 42883 for unknown names."""
    found = MASK_FUNCTIONS.get(call.name)
    if found is not None:
        return found
    raise SqlError(
        "42883",
        f"mask function {call.name} does not exist",
        hint=f"There are {', '.join(MASK_FUNCTIONS)}; users' functions are named with a schema.",
    )


def is_by_row(call: MaskCall) -> bool:
    """Whether the mask is drawn from the row's key too."""
    return not is_made_by_user(call) and mask_function(call).by_row


def constant_of(kind: SqlType, argument: Argument) -> Any:
    """A mask's argument as a value of a type; 22P02."""
    return kind.input(str(argument), -1, _PLAIN)
