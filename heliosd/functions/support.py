"""What access methods and drivers call by name: comparison and send functions, larger and smaller
ones, and the same aggregates over bit strings and money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.functions.declare import aggregate
from heliosd.functions.registry import AggregateForm, SqlAggregate
from heliosd.types.bits import bit_and, bit_or, bit_xor
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.money import money_fit
from heliosd.types.registry import CallTypes

forms: Final = Forms()

_COMPARED: Final = (
    "bitcmp(bit,bit)", "bpcharcmp(bpchar,bpchar)", "byteacmp(bytea,bytea)",
    "cash_cmp(money,money)", "date_cmp(date,date)", "interval_cmp(interval,interval)",
    "macaddr8_cmp(macaddr8,macaddr8)", "macaddr_cmp(macaddr,macaddr)", "network_cmp(inet,inet)",
    "numeric_cmp(numeric,numeric)", "time_cmp(time,time)", "timestamp_cmp(timestamp,timestamp)",
    "timestamptz_cmp(timestamptz,timestamptz)", "timetz_cmp(timetz,timetz)", "uuid_cmp(uuid,uuid)",
    "varbitcmp(varbit,varbit)", "xid8cmp(xid8,xid8)",
)  # fmt: skip
_SENT: Final = (
    "anyarray_send(anyarray)", "anycompatiblearray_send(anycompatiblearray)",
    "array_send(anyarray)", "bit_send(bit)", "boolsend(bool)", "box_send(box)",
    "bpcharsend(bpchar)", "byteasend(bytea)", "cash_send(money)", "charsend(char)",
    "cidr_send(cidr)", "cidsend(cid)", "circle_send(circle)", "date_send(date)",
    "enum_send(anyenum)", "float4send(float4)", "float8send(float8)", "inet_send(inet)",
    "int2send(int2)", "int2vectorsend(int2vector)", "int4send(int4)", "int8send(int8)",
    "interval_send(interval)", "line_send(line)", "lseg_send(lseg)", "macaddr8_send(macaddr8)",
    "macaddr_send(macaddr)", "multirange_send(anymultirange)", "namesend(name)",
    "numeric_send(numeric)", "oidsend(oid)", "oidvectorsend(oidvector)", "path_send(path)",
    "point_send(point)", "poly_send(polygon)", "range_send(anyrange)", "record_send(record)",
    "textsend(text)", "tidsend(tid)", "time_send(time)", "timestamp_send(timestamp)",
    "timestamptz_send(timestamptz)", "timetz_send(timetz)", "txid_snapshot_send(txid_snapshot)",
    "uuid_send(uuid)", "varbit_send(varbit)", "varcharsend(varchar)", "void_send(void)",
    "xid8send(xid8)", "xidsend(xid)",
)  # fmt: skip
_CHOSEN: Final = ("array", "bpchar", "network", "timetz")


def _itself(value: Any) -> Any:
    return value


def _compare(call: CallTypes) -> Callable[[Any, Any], int]:
    """-1, 0 or 1 in the type's order."""
    key = call.arguments[0].order_key() or _itself

    def compare(left: Any, right: Any) -> int:
        mine, yours = key(left), key(right)
        return int(mine > yours) - int(mine < yours)

    return compare


def _send(call: CallTypes) -> Callable[[EvalContext, Any], bytes]:
    """A value's binary form; 42883 for a type without one."""
    kind = call.arguments[0]
    give = kind.send
    if give is None:
        raise SqlError("42883", f"no binary output function available for type {kind.display}")
    return lambda ctx, value: give(value, ctx)


def _extreme(choose: Callable[..., Any]) -> Callable[[CallTypes], Callable[[Any, Any], Any]]:
    def specialize(call: CallTypes) -> Callable[[Any, Any], Any]:
        key = call.arguments[0].order_key() or _itself
        return lambda left, right: choose(left, right, key=key)

    return specialize


def _declare() -> None:
    types = {"array": "anyarray", "network": "inet"}
    forms.specialized(*_COMPARED)(_compare)
    forms.specialized(*_SENT, needs_context=True)(_send)
    for name in _CHOSEN:
        kind = types.get(name, name)
        forms.specialized(f"{name}_larger({kind},{kind})")(_extreme(max))
        forms.specialized(f"{name}_smaller({kind},{kind})")(_extreme(min))


_declare()


def _fold(step: Callable[[Any, Any], Any]) -> AggregateForm:
    return AggregateForm(
        lambda: None,
        lambda state, value: value if state is None else step(state, value),
        _itself,
    )


def _aggregates() -> Iterator[SqlAggregate]:
    yield aggregate("bit_and(bit)", _fold(bit_and))
    yield aggregate("bit_or(bit)", _fold(bit_or))
    yield aggregate("bit_xor(bit)", _fold(bit_xor))
    yield aggregate("sum(money)", _fold(lambda total, value: money_fit(total + value)))


aggregates: Final = tuple(_aggregates())
