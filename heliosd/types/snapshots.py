"""pg_snapshot and txid_snapshot: which transactions had ended at one moment.

A value is (xmin, xmax, xids): all before `xmin` had ended, none from `xmax` on, nor those listed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import invalid_syntax
from heliosd.types.registry import SqlType

forms: Final = Forms()

TransactionSet: TypeAlias = tuple[int, int, tuple[int, ...]]

_TEXT: Final = re.compile(r"(\d+):(\d+):((?:\d+(?:,\d+)*)?)", re.ASCII)
_HEAD: Final = struct.Struct(">iqq")


def _ordered(xmin: int, xmax: int, listed: list[int]) -> TransactionSet | None:
    """The value with each id once; None for one that cannot be."""
    if not 0 < xmin <= xmax < 2**63:
        return None
    kept: list[int] = []
    for each in listed:
        if not xmin <= each < xmax or (kept and each < kept[-1]):
            return None
        if not kept or each != kept[-1]:
            kept.append(each)
    return xmin, xmax, tuple(kept)


def _reader(name: str) -> Callable[[str, int, EvalContext], TransactionSet]:
    def read(text: str, typmod: int, ctx: EvalContext) -> TransactionSet:
        match = _TEXT.fullmatch(text)
        found = None
        if match is not None:
            listed = [int(each) for each in match[3].split(",") if each]
            found = _ordered(int(match[1]), int(match[2]), listed)
        if found is None:
            raise invalid_syntax(name, text)
        return found

    return read


def show(value: TransactionSet) -> str:
    """12:16:14,15."""
    return f"{value[0]}:{value[1]}:{','.join(map(str, value[2]))}"


def _send(value: TransactionSet) -> bytes:
    xids = value[2]
    return _HEAD.pack(len(xids), value[0], value[1]) + struct.pack(f">{len(xids)}q", *xids)


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> TransactionSet:
    if len(data) < _HEAD.size:
        raise SqlError("08P01", "insufficient data left in message")
    count, xmin, xmax = _HEAD.unpack_from(data)
    if count < 0 or len(data) != _HEAD.size + 8 * count:
        raise SqlError("22P03", "invalid external pg_snapshot data")
    found = _ordered(xmin, xmax, list(struct.unpack_from(f">{count}q", data, _HEAD.size)))
    if found is None:
        raise SqlError("22P03", "invalid external pg_snapshot data")
    return found


def _snapshot_type(name: str) -> SqlType:
    return sql_type(
        name,
        input=_reader(name),
        output=context_free(show),
        plain_output=show,
        receive=_receive,
        plain_send=_send,
        pack=_send,
        unpack=lambda data: _receive(data, -1, None),  # type: ignore[arg-type]
        ordered=False,
        hashable=False,
    )


types: Final = (_snapshot_type("pg_snapshot"), _snapshot_type("txid_snapshot"))


@forms.function("pg_snapshot_xip(pg_snapshot)", "txid_snapshot_xip(txid_snapshot)")
def xids(value: TransactionSet) -> Iterator[int]:
    """The transactions that had not ended."""
    return iter(value[2])


@forms.function(
    "pg_visible_in_snapshot(xid8,pg_snapshot)",
    "txid_visible_in_snapshot(int8,txid_snapshot)",
)
def is_visible(xid: int, value: TransactionSet) -> bool:
    """Whether a transaction had ended."""
    return xid < value[0] or (xid < value[1] and xid not in value[2])


forms.templates(
    {
        "pg_snapshot_xmin(pg_snapshot)": "{0}[0]",
        "pg_snapshot_xmax(pg_snapshot)": "{0}[1]",
        "txid_snapshot_xmin(txid_snapshot)": "{0}[0]",
        "txid_snapshot_xmax(txid_snapshot)": "{0}[1]",
        "xid8_larger(xid8,xid8)": "max({0}, {1})",
        "xid8_smaller(xid8,xid8)": "min({0}, {1})",
    }
)
