"""pg_lsn: a position in the log, 64 bits, shown as two hexadecimal halves; refcursor: a name."""

from __future__ import annotations

import re
import struct
from decimal import Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import invalid_syntax, wrong_length
from heliosd.types.registry import KeyKind
from heliosd.types.text import decode_text

forms: Final = Forms()

_TEXT: Final = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", re.ASCII)
_WIRE: Final = struct.Struct(">Q")


def _input(text: str, typmod: int, ctx: EvalContext) -> int:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise invalid_syntax("pg_lsn", text)
    return int(match[1], 16) << 32 | int(match[2], 16)


def lsn_out(value: int) -> str:
    """16/B374D848."""
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> int:
    if len(data) != 8:
        raise wrong_length(data, 8)
    return int(_WIRE.unpack(data)[0])


def _unpack(data: bytes) -> int:
    return int(_WIRE.unpack(data)[0])


def _text_in(text: str, typmod: int, ctx: EvalContext) -> str:
    return text


def _text_receive(data: bytes, typmod: int, ctx: EvalContext) -> str:
    return decode_text(data)


def _itself(value: str) -> str:
    return value


types: Final = (
    sql_type(
        "pg_lsn",
        input=_input,
        output=context_free(lsn_out),
        plain_output=lsn_out,
        receive=_receive,
        plain_send=_WIRE.pack,
        shape="b",
        pack=_WIRE.pack,
        unpack=_unpack,
        key=KeyKind.BYTES,
        key_value=_WIRE.pack,
    ),
    sql_type(
        "refcursor",
        input=_text_in,
        output=context_free(_itself),
        plain_output=_itself,
        receive=_text_receive,
        plain_send=str.encode,
        shape="t",
        ordered=False,
        hashable=False,
    ),
)


def _in_range(value: int) -> int:
    if 0 <= value < 1 << 64:
        return value
    raise SqlError("22023", "pg_lsn out of range")


@forms.function("pg_lsn_mi(pg_lsn,pg_lsn)", "pg_wal_lsn_diff(pg_lsn,pg_lsn)")
def lsn_difference(left: int, right: int) -> Decimal:
    """Bytes between two positions."""
    return Decimal(left - right)


@forms.function("pg_lsn(numeric)")
def lsn_of(value: Decimal) -> int:
    """22003, 0A000."""
    if not value.is_finite():
        raise SqlError(
            "0A000", f"cannot convert {'NaN' if value.is_nan() else 'infinity'} to pg_lsn"
        )
    whole = int(value.to_integral_value(rounding="ROUND_HALF_UP"))
    if not 0 <= whole < 1 << 64:
        raise SqlError("22023", "pg_lsn out of range")
    return whole


@forms.function("pg_lsn_pli(pg_lsn,numeric)")
def lsn_plus(value: int, count: Decimal) -> int:
    """22023, 0A000."""
    if not count.is_finite():
        raise SqlError("0A000", f"cannot add {'NaN' if count.is_nan() else 'infinity'} to pg_lsn")
    return _in_range(value + int(count))


@forms.function("numeric_pl_pg_lsn(numeric,pg_lsn)")
def plus_lsn(count: Decimal, value: int) -> int:
    """The same the other way round."""
    return lsn_plus(value, count)


@forms.function("pg_lsn_mii(pg_lsn,numeric)")
def lsn_minus(value: int, count: Decimal) -> int:
    """22023, 0A000."""
    if not count.is_finite():
        raise SqlError(
            "0A000", f"cannot subtract {'NaN' if count.is_nan() else 'infinity'} from pg_lsn"
        )
    return _in_range(value - int(count))


forms.templates(
    {
        "pg_lsn_larger(pg_lsn,pg_lsn)": "max({0}, {1})",
        "pg_lsn_smaller(pg_lsn,pg_lsn)": "min({0}, {1})",
    }
)
forms.comparisons("pg_lsn", "pg_lsn", "pg_lsn_eq pg_lsn_ne pg_lsn_lt pg_lsn_gt pg_lsn_le pg_lsn_ge")
