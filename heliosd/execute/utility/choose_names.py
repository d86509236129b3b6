"""Names that PostgreSQL chooses where the statement gives none: t_pkey, t_a_seq, t_a_b_key1."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from heliosd.catalog.lookup import Catalog
from heliosd.catalog.objects import NAME_BYTES_MAX


def object_name(table: str, column: str | None, label: str) -> str:
    """`table_column_label`, the longer of the first two cut until it fits 63 bytes."""
    overhead = len(label.encode()) + 1 + (1 if column else 0)
    first, second = table.encode(), (column or "").encode()
    room = NAME_BYTES_MAX - overhead
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = [_whole(first)]
    if column:
        parts.append(_whole(second))
    return "_".join([*parts, label])


def _whole(data: bytes) -> str:
    """The text without a character that was cut in the middle."""
    return data.decode(errors="ignore")


def choose_name(table: str, column: str | None, label: str, is_taken: Callable[[str], bool]) -> str:
    """The first free of `table_column_label`, `..._label1`, `..._label2` ..."""
    number = 0
    while True:
        name = object_name(table, column, f"{label}{number}" if number else label)
        if not is_taken(name):
            return name
        number += 1


def relation_taken(catalog: Catalog, schema: int, others: Iterable[str]) -> Callable[[str], bool]:
    """Is a relation name used in the schema, or by what this statement is about to make?"""
    reserved = others

    def is_taken(name: str) -> bool:
        return name in reserved or catalog.relation_in(schema, name) is not None

    return is_taken


def joined_columns(names: Iterable[str]) -> str:
    """`a_b_c`, as index names hold them: cut when it gets long."""
    joined = ""
    for name in names:
        joined = f"{joined}_{name}" if joined else name
        if len(joined.encode()) >= NAME_BYTES_MAX + 1:
            break
    return joined
