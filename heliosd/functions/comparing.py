"""What orders and sends values, as functions: btint4cmp(a, b), network_larger(a, b), textsend(a).

Indexes and wires have ways of their own; these are for who calls them by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.facts import function_oids
from heliosd.types.registry import CallTypes, SqlType, Value

forms: Final = Forms()

_COMPARE: Final = (
    "btarraycmp(anyarray,anyarray) btboolcmp(bool,bool) "
    "btbpchar_pattern_cmp(bpchar,bpchar) btcharcmp(char,char) btfloat48cmp(float4,float8) "
    "btfloat4cmp(float4,float4) btfloat84cmp(float8,float4) btfloat8cmp(float8,float8) "
    "btint24cmp(int2,int4) btint28cmp(int2,int8) btint2cmp(int2,int2) btint42cmp(int4,int2) "
    "btint48cmp(int4,int8) btint4cmp(int4,int4) btint82cmp(int8,int2) btint84cmp(int8,int4) "
    "btint8cmp(int8,int8) btnamecmp(name,name) btnametextcmp(name,text) btoidcmp(oid,oid) "
    "btrecordcmp(record,record) bttext_pattern_cmp(text,text) bttextcmp(text,text) "
    "bttextnamecmp(text,name) "
    "jsonb_cmp(jsonb,jsonb) "
    "pg_lsn_cmp(pg_lsn,pg_lsn) "
    ""
    ""
    "tsquery_cmp(tsquery,tsquery) tsvector_cmp(tsvector,tsvector) "
    ""
)
_LARGER: Final = "xid8_larger(xid8,xid8)"
_SEND: Final = "json_send(json) jsonb_send(jsonb) jsonpath_send(jsonpath) pg_lsn_send(pg_lsn) "


def _key(kind: SqlType) -> Callable[[Value], Any]:
    return kind.order_key() or (lambda value: value)


def _compare(types: CallTypes) -> Callable[[Any, Any], int]:
    left, right = map(_key, types.arguments)

    def compute(a: Any, b: Any) -> int:
        mine, other = left(a), right(b)
        return int(mine > other) - int(mine < other)

    return compute


def _larger(types: CallTypes) -> Callable[[Any, Any], Any]:
    key = _key(types.arguments[0])
    return lambda a, b: a if key(a) >= key(b) else b


def _smaller(types: CallTypes) -> Callable[[Any, Any], Any]:
    key = _key(types.arguments[0])
    return lambda a, b: a if key(a) <= key(b) else b


def _send(types: CallTypes) -> Callable[[EvalContext, Any], bytes]:
    kind = types.arguments[0]
    if kind.send is None:
        raise SqlError("42883", f"no binary output function available for type {kind.display}")
    send = kind.send
    return lambda ctx, value: send(value, ctx)


def _declared(texts: str) -> list[str]:
    known = function_oids()
    return [signature for signature in texts.split() if signature in known]


for _signature in _declared(_COMPARE):
    forms.specialized(_signature)(_compare)
for _signature in _declared(_LARGER):
    forms.specialized(_signature)(_larger)
for _signature in _declared(_LARGER.replace("_larger", "_smaller")):
    forms.specialized(_signature)(_smaller)
for _signature in _declared(_SEND):
    forms.specialized(_signature, needs_context=True)(_send)
