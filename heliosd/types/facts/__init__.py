"""PostgreSQL 15's built-in catalog as facts: oids, signatures and flags, no behaviour.

The tables beside this file hold one object a line, tab-separated, the first line naming the
columns. Declarations in code say only what an object does; what it is called, costs and returns
comes from here, so that drivers see the ids that they know by heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class TypeFact:
    """A row of pg_type."""

    oid: int
    name: str
    size: int
    by_value: bool
    kind: str
    category: str
    preferred: bool
    delimiter: str
    element: int
    array_oid: int
    align: str
    storage: str
    collatable: bool
    io_names: tuple[str, str, str, str]
    typmod_names: tuple[str, str]
    io_oids: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class OperatorFact:
    """A row of pg_operator; operand types by name, "" for none."""

    oid: int
    name: str
    left: str
    right: str
    result: str
    commutator: int
    negator: int
    function_oid: int
    restrict: str
    join: str
    hashes: bool
    merges: bool


@dataclass(frozen=True, slots=True)
class CastFact:
    """A row of pg_cast; types by name."""

    oid: int
    source: str
    target: str
    context: str
    method: str
    function_oid: int


@dataclass(frozen=True, slots=True)
class FunctionFact:
    """A row of pg_proc, with pg_aggregate's kind; types by name."""

    oid: int
    name: str
    kind: str
    returns_set: bool
    strict: bool
    volatility: str
    leakproof: bool
    variadic: int
    result: str
    arguments: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    argument_names: tuple[str, ...]
    defaults: tuple[str, ...]
    parallel: str
    rows: int
    source: str
    aggregate_kind: str
    direct: int

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(self.arguments)})"


def _rows(table: str) -> Iterator[list[str]]:
    text = files(__package__).joinpath(f"{table}.tsv").read_text(encoding="utf-8")
    lines = text.splitlines()
    for line in lines[1:]:
        yield line.split("\t")


@lru_cache(maxsize=1)
def type_facts() -> Mapping[str, TypeFact]:
    """By pg_type.typname."""
    facts = {
        row[1]: TypeFact(
            oid=int(row[0]),
            name=row[1],
            size=int(row[2]),
            by_value=row[3] == "t",
            kind=row[4],
            category=row[5],
            preferred=row[6] == "t",
            delimiter=row[7],
            element=int(row[8]),
            array_oid=int(row[9]),
            align=row[10],
            storage=row[11],
            collatable=row[12] != "0",
            io_names=(row[13], row[14], row[15], row[16]),
            typmod_names=(row[17], row[18]),
            io_oids=(int(row[19]), int(row[20]), int(row[21]), int(row[22])),
        )
        for row in _rows("types")
    }
    return MappingProxyType(facts)


@lru_cache(maxsize=1)
def operator_facts() -> tuple[OperatorFact, ...]:
    """In order of oid."""
    return tuple(
        OperatorFact(
            oid=int(row[0]),
            name=row[1],
            left=row[2],
            right=row[3],
            result=row[4],
            commutator=int(row[5]),
            negator=int(row[6]),
            function_oid=int(row[7]),
            restrict=_name(row[8]),
            join=_name(row[9]),
            hashes=row[10] == "t",
            merges=row[11] == "t",
        )
        for row in _rows("operators")
    )


@lru_cache(maxsize=1)
def cast_facts() -> tuple[CastFact, ...]:
    """In order of source and target name."""
    return tuple(
        CastFact(int(row[0]), row[1], row[2], row[3], row[4], int(row[5])) for row in _rows("casts")
    )


@lru_cache(maxsize=1)
def function_facts() -> Mapping[int, FunctionFact]:
    """By oid, heliosd's own included; procedures are not among them."""
    rows = chain(_rows("functions"), _rows("helios_functions"))
    return MappingProxyType({int(row[0]): _function(row) for row in rows})


@lru_cache(maxsize=1)
def function_oids() -> Mapping[str, int]:
    """Oids by signature, such as "repeat(text,int4)"."""
    return MappingProxyType({fact.signature: oid for oid, fact in function_facts().items()})


def _function(row: list[str]) -> FunctionFact:
    modes = row[12].split(",") if row[12] else []
    names = tuple(row[13].split(",")) if row[13] else ()
    types = (row[11] or row[10]).split(",")
    columns: tuple[tuple[str, str], ...] = ()
    if modes:
        labels = names or ("",) * len(modes)
        columns = tuple(
            (label, kind)
            for mode, label, kind in zip(modes, labels, types, strict=True)
            if mode in "obt"
        )
    return FunctionFact(
        oid=int(row[0]),
        name=row[1],
        kind=row[2],
        returns_set=row[3] == "t",
        strict=row[4] == "t",
        volatility=row[5],
        leakproof=row[6] == "t",
        variadic=int(row[7]),
        result=row[9],
        arguments=tuple(row[10].split(",")) if row[10] else (),
        columns=columns,
        argument_names=names,
        defaults=_defaults(row[14], int(row[8])),
        parallel=row[15],
        rows=int(float(row[16])),
        source=row[18] or row[1],
        aggregate_kind=row[19],
        direct=int(row[20]),
    )


def _defaults(text: str, count: int) -> tuple[str, ...]:
    """Splits `0, '{}'::text[], 0.0` at commas outside of quotes."""
    if count == 0:
        return ()
    parts: list[str] = []
    quoted = False
    current = ""
    for char in text:
        if char == "'":
            quoted = not quoted
        if char == "," and not quoted:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    parts.append(current.strip())
    assert len(parts) == count, text
    return tuple(parts)


def _name(text: str) -> str:
    return "" if text == "-" else text
