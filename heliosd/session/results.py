"""Rows to DataRows and parameters to values: one generated function per (types, formats).

A generated encoder has a line or two per column and no call that it can avoid: an int4 as text is
`b"%d" % v`. Heads of small rows and lengths of small values are looked up, not packed. The source
holds no name and no text of a user: columns are v0, v1, ...; what they call is bound by slot.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from helios_protocol import messages as m
from helios_protocol.encode import DATA_ROW, NULL_VALUE, encode
from helios_protocol.text import UTF8, TextCodec
from heliosd.errors import PROTOCOL_VIOLATION, UNDEFINED_FUNCTION, SqlError, not_supported
from heliosd.execute.program import ResultColumn, Row
from heliosd.types.domain import base_of
from heliosd.types.registry import EvalContext, SqlType, TypeRegistry, Value

TEXT: Final = 0
BINARY: Final = 1

RowEncoder = Callable[[Sequence[Row], EvalContext], bytes]
FrameReader = Callable[[bytes, int, EvalContext], "tuple[tuple[Value, ...], int] | None"]
ParameterReader = Callable[[Sequence["bytes | None"], EvalContext], tuple[Value, ...]]

_LENGTHS: Final = tuple(size.to_bytes(4, "big") for size in range(256))
_HEADS_MAX: Final = 512
_pack_length: Final = struct.Struct("!I").pack

_BOOL: Final = 16
_INTEGERS: Final = {20: "q", 21: "h", 23: "i", 26: "I"}
_IDENTICAL_TEXT: Final = frozenset({25, 1043, 1042, 19, 114, 705})
_VERSIONED: Final = frozenset({3802, 4072})  # jsonb and jsonpath: a version byte, then text
_TEXTUAL: Final = _IDENTICAL_TEXT | _VERSIONED


@lru_cache(maxsize=64)
def _heads(columns: int) -> tuple[bytes, ...]:
    """DataRow heads for `columns` columns, by the size of what follows."""
    return tuple(DATA_ROW.pack(b"D", size + 6, columns) for size in range(_HEADS_MAX))


def resolve_formats(given: Sequence[int], columns: int) -> tuple[int, ...]:
    """One format per column. Raises 08P01 when the numbers do not fit."""
    if len(given) == columns:
        return tuple(given)
    if not given:
        return (TEXT,) * columns
    if len(given) == 1:
        return (given[0],) * columns
    raise SqlError(
        PROTOCOL_VIOLATION,
        f"bind message has {len(given)} result formats but query has {columns} columns",
    )


def row_description(
    columns: Sequence[ResultColumn],
    formats: Sequence[int],
    types: TypeRegistry,
    codec: TextCodec = UTF8,
) -> bytes:
    """The RowDescription frame."""
    described = []
    for column, form in zip(columns, formats, strict=True):
        known = types.by_oid.get(column.type_oid)
        type_oid, modifier = column.type_oid, column.type_modifier
        if known is not None and known.is_domain:
            # Clients are told of the type under a domain, as PostgreSQL tells them.
            modifier = known.typmod
            known = base_of(known)
            type_oid = known.oid
        described.append(
            m.ColumnDescription(
                column.name,
                column.table_oid,
                column.column_number,
                type_oid,
                known.size if known is not None else -1,
                modifier,
                form,
            )
        )
    return encode(m.RowDescription(tuple(described)), codec)


# ---------------------------------------------------------------- rows out


class _Source:
    """Lines of a generated function, and what it needs by name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, object] = {}

    def build(self, name: str) -> Callable[..., object]:
        """Compile and return the function."""
        code = compile("\n".join(self.lines), f"<{name}>", "exec")
        namespace: dict[str, object] = {"__builtins__": {"len": len, "int": int}, **self.names}
        exec(code, namespace)  # noqa: S102  our own source: see the module
        made = namespace[name]
        assert callable(made)
        return made


def make_row_encoder(
    type_oids: Sequence[int],
    formats: Sequence[int],
    types: TypeRegistry,
    codec: TextCodec = UTF8,
) -> RowEncoder:
    """A function from rows to their DataRows. Raises 42883 where a type has no binary form."""
    source = _Source()
    count = len(type_oids)
    lines = source.lines
    lines.append("def encode_rows(rows, ctx):")
    lines.append("    out = []")
    lines.append("    append = out.append")
    if count == 0:
        lines.append("    for _ in rows: append(HEADS[0])")
    else:
        lines.append(f"    for {''.join(f'v{n}, ' for n in range(count))} in rows:")
        for number, (oid, form) in enumerate(zip(type_oids, formats, strict=True)):
            _encode_column(source, number, types.by_oid.get(oid), oid, form, codec)
        body = " + ".join(f"p{n}" for n in range(count))
        lines.append(f"        body = {body if count <= 8 else _joined(count)}")
        lines.append("        size = len(body)")
        lines.append(
            f"        append((HEADS[size] if size < {_HEADS_MAX} else "
            f'head(b"D", size + 6, {count})) + body)'
        )
    lines.append("    return out[0] if len(out) == 1 else empty.join(out)")
    source.names.update(
        HEADS=_heads(count), head=DATA_ROW.pack, L=_LENGTHS, NULL=NULL_VALUE,
        pack=_pack_length, empty=b"",
    )  # fmt: skip
    return source.build("encode_rows")  # type: ignore[return-value]  # generated


def _joined(count: int) -> str:
    return f"empty.join(({', '.join(f'p{n}' for n in range(count))}))"


def _encode_column(
    source: _Source,
    number: int,
    declared: SqlType | None,
    oid: int,
    form: int,
    codec: TextCodec,
) -> None:
    """Lines that make `p{number}` (length and bytes) of `v{number}`."""
    value = f"v{number}"
    expression, short = _value_expression(source, number, declared, oid, form, codec)
    source.lines += [
        f"        if {value} is None: p{number} = NULL",
        "        else:",
        f"            b = {expression}",
    ]
    if short:
        source.lines.append(f"            p{number} = L[len(b)] + b")
    else:
        source.lines.append("            n = len(b)")
        source.lines.append(f"            p{number} = (L[n] if n < 256 else pack(n)) + b")


def _value_expression(
    source: _Source,
    number: int,
    declared: SqlType | None,
    oid: int,
    form: int,
    codec: TextCodec,
) -> tuple[str, bool]:
    """The expression for the value's bytes, and whether it is always under 256 of them."""
    value = f"v{number}"
    if declared is None:
        raise SqlError("XX000", f"cache lookup failed for type {oid}")
    if form == BINARY:
        if not codec.is_utf8 and (declared.element or declared.kind != "b" or oid in _TEXTUAL):
            return _converted_expression(source, number, declared, codec), False
        return _binary_expression(source, number, declared), declared.size > 0
    if oid in _INTEGERS:
        return f'b"%d" % {value}', True
    if oid == _BOOL:
        return f'(b"t" if {value} else b"f")', True
    encode_text = ".encode()"
    if codec is not UTF8 and codec.python != "utf-8":
        source.names["to_client"] = codec.encode
        encode_text = ""
    if oid in _IDENTICAL_TEXT:
        text = value
    elif declared.plain_output is not None:
        source.names[f"o{number}"] = declared.plain_output
        text = f"o{number}({value})"
    else:
        source.names[f"o{number}"] = declared.output
        text = f"o{number}({value}, ctx)"
    return (f"{text}{encode_text}" if encode_text else f"to_client({text})"), False


def _converted_expression(source: _Source, number: int, declared: SqlType, codec: TextCodec) -> str:
    """Text in binary format is in the client's encoding too; 0A000 for text inside of others."""
    if declared.oid not in _TEXTUAL:
        raise not_supported(
            f"binary format of type {declared.display} with client_encoding {codec.name}"
        )
    source.names["to_client"] = codec.encode
    head = 'b"\\x01" + ' if declared.oid in _VERSIONED else ""
    return f"{head}to_client(v{number})"


def _binary_expression(source: _Source, number: int, declared: SqlType) -> str:
    value = f"v{number}"
    if declared.plain_send is not None:
        source.names[f"o{number}"] = declared.plain_send
        return f"o{number}({value})"
    if declared.send is None:
        raise SqlError(
            UNDEFINED_FUNCTION, f"no binary output function available for type {declared.display}"
        )
    source.names[f"o{number}"] = declared.send
    return f"o{number}({value}, ctx)"


# ---------------------------------------------------------------- parameters in


def make_parameter_reader(
    type_oids: Sequence[int],
    given_formats: Sequence[int],
    types: TypeRegistry,
    codec: TextCodec = UTF8,
) -> ParameterReader:
    """A function from a Bind's values to Python values of the parameter types.

    Raises 08P01 when formats and parameters do not fit in number; 42883 for a type without binary
    input. The function raises what the types raise (22P02, 22P03, 22003, 22021).
    """
    count = len(type_oids)
    if count == 0:
        _parameter_formats(given_formats, count)
        return lambda values, ctx: ()
    source = _Source()
    items = _items(source, type_oids, given_formats, types, codec)
    arguments = ", ".join(f"v{n}" for n in range(count))
    source.lines += [
        "def read_parameters(values, ctx):",
        f"    {arguments}{',' if count == 1 else ''} = values",
        f"    return ({', '.join(items)}{',' if count == 1 else ''})",
    ]
    return source.build("read_parameters")  # type: ignore[return-value]  # generated


def make_frame_reader(
    type_oids: Sequence[int],
    given_formats: Sequence[int],
    types: TypeRegistry,
    codec: TextCodec = UTF8,
) -> FrameReader:
    """A function (frame, where the values begin, ctx) -> (parameters, where they end), or None
    where a length is no length. Raises as `make_parameter_reader` and its function do."""
    source = _Source()
    items = _items(source, type_oids, given_formats, types, codec)
    source.names["size_at"] = struct.Struct("!i").unpack_from
    lines = source.lines
    lines.append("def read_values(data, at, ctx):")
    for n in range(len(type_oids)):
        lines += [
            "    (size,) = size_at(data, at)",
            "    at += 4",
            "    if size >= 0:",
            "        end = at + size",
            f"        v{n} = data[at:end]",
            "        at = end",
            "    elif size == -1:",
            f"        v{n} = None",
            "    else:",
            "        return None",
        ]
    lines.append(f"    return ({''.join(f'{item}, ' for item in items)}), at")
    return source.build("read_values")  # type: ignore[return-value]  # generated


def _items(
    source: _Source,
    type_oids: Sequence[int],
    given_formats: Sequence[int],
    types: TypeRegistry,
    codec: TextCodec,
) -> list[str]:
    """An expression for each parameter, of its bytes `v0`, `v1` ... and `ctx`."""
    formats = _parameter_formats(given_formats, len(type_oids))
    readers = [
        _reader(types.by_oid.get(oid), oid, form, codec, number + 1)
        for number, (oid, form) in enumerate(zip(type_oids, formats, strict=True))
    ]
    items = []
    for number, (oid, form) in enumerate(zip(type_oids, formats, strict=True)):
        source.names[f"r{number}"] = readers[number]
        declared = types.by_oid.get(oid)
        if declared is not None and declared.is_domain:
            # A domain may refuse NULL.
            null = f"ctx.check_domain({oid}, None)"
            items.append(f"({null} if v{number} is None else r{number}(v{number}, ctx))")
            continue
        items.append(_read_expression(source, number, oid, form))
    return items


def _parameter_formats(given: Sequence[int], count: int) -> tuple[int, ...]:
    if len(given) == count:
        return tuple(given)
    if len(given) > 1:
        raise SqlError(
            PROTOCOL_VIOLATION,
            f"bind message has {len(given)} parameter formats but {count} parameters",
        )
    return (given[0] if given else TEXT,) * count


def _read_expression(source: _Source, number: int, oid: int, form: int) -> str:
    """Short ways for integers; everything else, and what looks odd, goes to the type's reader."""
    value, slow = f"v{number}", f"r{number}(v{number}, ctx)"
    if oid in _INTEGERS:
        if form == TEXT:
            # 9 digits fit every width but int2's 4.
            most = 4 if oid == 21 else 9
            quick = (
                f"int({value}) if len({value}) <= {most}"
                f" and ({value} if {value}[:1] != b'-' else {value}[1:]).isdigit() else {slow}"
            )
        else:
            layout = struct.Struct("!" + _INTEGERS[oid])
            source.names[f"u{number}"] = layout.unpack
            quick = f"u{number}({value})[0] if len({value}) == {layout.size} else {slow}"
        return f"(None if {value} is None else {quick})"
    return f"(None if {value} is None else {slow})"


def _reader(
    declared: SqlType | None, oid: int, form: int, codec: TextCodec, number: int
) -> Callable[[bytes, EvalContext], Value]:
    if declared is None:
        raise SqlError("XX000", f"cache lookup failed for type {oid}")
    if form == TEXT:
        decode, text_in = codec.decode_value, declared.input
        return lambda data, ctx: text_in(decode(data), -1, ctx)
    receive = declared.receive
    if receive is None:
        raise SqlError(
            UNDEFINED_FUNCTION, f"no binary input function available for type {declared.display}"
        )
    binary_in = receive
    if not codec.is_utf8:
        binary_in = _converted_reader(declared, receive, codec)

    def read(data: bytes, ctx: EvalContext) -> Value:
        try:
            return binary_in(data, -1, ctx)
        except struct.error:
            raise SqlError(
                "22P03", f"incorrect binary data format in bind parameter {number}"
            ) from None

    return read


def _converted_reader(
    declared: SqlType, receive: Callable[[bytes, int, EvalContext], Value], codec: TextCodec
) -> Callable[[bytes, int, EvalContext], Value]:
    """Binary parameters whose text is in the client's encoding; 0A000 for text inside of others."""
    if declared.oid not in _TEXTUAL:
        if not declared.element and declared.kind == "b":
            return receive
        raise not_supported(
            f"binary format of type {declared.display} with client_encoding {codec.name}"
        )
    head = 1 if declared.oid in _VERSIONED else 0
    decode = codec.decode_value
    return lambda data, typmod, ctx: receive(
        data[:head] + decode(data[head:]).encode(), typmod, ctx
    )
