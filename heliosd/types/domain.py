"""Domains: the values of a base type that a domain's constraints allow."""

from __future__ import annotations

from dataclasses import replace

from heliosd.types.context import EvalContext
from heliosd.types.registry import SqlType, Value


def make_domain_type(
    base: SqlType,
    *,
    name: str,
    oid: int,
    array_oid: int,
    typmod: int,
    sql_name: str,
    uses: tuple[tuple[int, int], ...],
) -> SqlType:
    """The domain over `base` (perhaps a domain itself); its input functions check everything."""
    whole, plain = base, base_of(base)
    while typmod < 0 and whole.is_domain and whole.base is not None:
        typmod, whole = whole.typmod, whole.base
    fit = plain.apply_typmod if typmod >= 0 else None

    def checked(value: Value, ctx: EvalContext) -> Value:
        if fit is not None:
            value = fit(value, typmod, False)
        return ctx.check_domain(oid, value)

    def read(text: str, _typmod: int, ctx: EvalContext) -> Value:
        return checked(plain.input(text, typmod, ctx), ctx)

    accept = plain.receive

    def receive(data: bytes, _typmod: int, ctx: EvalContext) -> Value:
        assert accept is not None
        return checked(accept(data, typmod, ctx), ctx)

    stored = plain.stored(typmod) if plain.stored is not None and typmod >= 0 else None
    return replace(
        base,
        name=name,
        oid=oid,
        array_oid=array_oid,
        kind="d",
        input=read,
        receive=None if accept is None else receive,
        pack=base.pack if stored is None else stored[0],
        unpack=base.unpack if stored is None else stored[1],
        stored=None,
        preferred=False,
        typmod_in=None,
        typmod_out=None,
        apply_typmod=None,
        base=base,
        typmod=typmod,
        sql_name=sql_name,
        io_names=("domain_in", base.io_names[1], "domain_recv", base.io_names[3]),
        uses=uses,
    )


def base_of(kind: SqlType) -> SqlType:
    """The type under all domains."""
    while kind.is_domain and kind.base is not None:
        kind = kind.base
    return kind
