"""Catalog objects as the SQL that would make them: pg_get_indexdef, pg_get_constraintdef.

Expressions come from a `Describer`: bound and written anew for the reader's search_path by the
rooms above, or, without one, as they rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from heliosd.catalog.dependencies import qualified
from heliosd.catalog.objects import (
    Constraint,
    Index,
    IndexKey,
    IndexRelation,
    MaterializedView,
    Relation,
    Table,
    View,
)
from heliosd.types.quoting import quote_identifier, quote_qualified

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

ACTIONS: Final = {
    "a": "NO ACTION",
    "r": "RESTRICT",
    "c": "CASCADE",
    "n": "SET NULL",
    "d": "SET DEFAULT",
}


class Describer(Protocol):
    """Stored SQL text as a reader should see it."""

    def expression(self, relation: Relation | None, text: str, *, pretty: bool) -> str:
        """An expression over a table's columns."""
        ...

    def view(self, view: View | MaterializedView, *, pretty: bool) -> str:
        """A view's query, laid out as pg_get_viewdef does."""
        ...


class StoredText:
    """A `Describer` that knows no search_path: texts as they rest."""

    def expression(self, relation: Relation | None, text: str, *, pretty: bool) -> str:
        return text

    def view(self, view: View | MaterializedView, *, pretty: bool) -> str:
        return view.query


def index_definition(
    catalog: Catalog,
    relation: IndexRelation,
    describer: Describer,
    *,
    pretty: bool = False,
    path: tuple[int, ...] = (),
) -> str:
    """CREATE INDEX as pg_get_indexdef writes it; the table is always qualified unless `pretty`."""
    table, index = catalog.table(relation.table), relation.index
    on = (
        qualified(catalog, table, path)
        if pretty
        else quote_qualified(catalog.schema_name(table.schema), table.name)
    )
    unique = "UNIQUE " if index.unique else ""
    text = (
        f"CREATE {unique}INDEX {quote_identifier(index.name)} ON {on} USING {index.method} "
        f"({key_list(table, index, describer, pretty=pretty)})"
    )
    if index.included:
        text += f" INCLUDE ({column_list(table, index.included)})"
    if index.nulls_not_distinct:
        text += " NULLS NOT DISTINCT"
    if index.options:
        text += " WITH (" + ", ".join(f"{k}='{v}'" for k, v in index.options) + ")"
    if index.predicate is not None:
        text += " WHERE " + describer.expression(table, index.predicate, pretty=pretty)
    return text


def index_column_definition(
    table: Table, index: Index, column: int, describer: Describer, *, pretty: bool = False
) -> str | None:
    """One key of an index, without its ordering (pg_get_indexdef with a column)."""
    if 1 <= column <= len(index.keys):
        return key_text(table, index.keys[column - 1], describer, pretty=pretty)
    included = column - len(index.keys)
    if 1 <= included <= len(index.included):
        return quote_identifier(table.column(index.included[included - 1]).name)
    return None


def key_text(table: Table, key: IndexKey, describer: Describer, *, pretty: bool) -> str:
    """A column's name, or the expression, in parentheses unless it is a plain call."""
    if key.attnum:
        return quote_identifier(table.column(key.attnum).name)
    assert key.expression is not None
    text = describer.expression(table, key.expression, pretty=pretty)
    return text if is_plain_call(text) else f"({text})"


def key_list(table: Table, index: Index, describer: Describer, *, pretty: bool) -> str:
    """The keys with operator class, collation and ordering where they are not the defaults."""
    parts: list[str] = []
    for key in index.keys:
        text = key_text(table, key, describer, pretty=pretty)
        if key.opclass:
            text += " " + key.opclass
        if key.descending:
            text += " DESC" if key.nulls_first else " DESC NULLS LAST"
        elif key.nulls_first:
            text += " NULLS FIRST"
        parts.append(text)
    return ", ".join(parts)


def constraint_definition(
    catalog: Catalog,
    table: Table,
    constraint: Constraint,
    describer: Describer,
    path: tuple[int, ...],
    *,
    pretty: bool = False,
) -> str:
    """A table constraint as pg_get_constraintdef writes it."""
    match constraint.kind:
        case "c":
            text = describer.expression(table, constraint.expression or "", pretty=pretty)
            text = f"CHECK ({text})"
            if constraint.no_inherit:
                text += " NO INHERIT"
        case "p" | "u":
            text = _key_constraint(table, constraint)
        case "f":
            text = _foreign_key(catalog, table, constraint, path)
    if constraint.deferrable:
        text += " DEFERRABLE"
    if constraint.initially_deferred:
        text += " INITIALLY DEFERRED"
    if not constraint.validated:
        text += " NOT VALID"
    return text


def _key_constraint(table: Table, constraint: Constraint) -> str:
    words = "PRIMARY KEY" if constraint.kind == "p" else "UNIQUE"
    index = table.index_by_oid(constraint.index)
    if index is not None and index.nulls_not_distinct:
        words += " NULLS NOT DISTINCT"
    text = f"{words} ({column_list(table, constraint.columns)})"
    if index is not None and index.included:
        text += f" INCLUDE ({column_list(table, index.included)})"
    if index is not None and index.options:
        text += " WITH (" + ", ".join(f"{k}='{v}'" for k, v in index.options) + ")"
    return text


def _foreign_key(
    catalog: Catalog, table: Table, constraint: Constraint, path: tuple[int, ...]
) -> str:
    target = catalog.table(constraint.referenced_table)
    text = (
        f"FOREIGN KEY ({column_list(table, constraint.columns)}) "
        f"REFERENCES {qualified(catalog, target, path)}"
        f"({column_list(target, constraint.referenced_columns)})"
    )
    if constraint.match_type == "f":
        text += " MATCH FULL"
    if constraint.on_update != "a":
        text += f" ON UPDATE {ACTIONS[constraint.on_update]}"
    if constraint.on_delete != "a":
        text += f" ON DELETE {ACTIONS[constraint.on_delete]}"
    if constraint.on_delete_columns:
        text += f" ({column_list(table, constraint.on_delete_columns)})"
    return text


def column_list(table: Table, attnums: Iterable[int]) -> str:
    """`a, "B"`."""
    return ", ".join(quote_identifier(table.column(attnum).name) for attnum in attnums)


def is_plain_call(text: str) -> bool:
    """`f(...)`, perhaps qualified, and nothing else."""
    head, opening, _ = text.partition("(")
    plain = head.replace(".", "").replace("_", "").replace('"', "")
    return bool(opening) and plain.isalnum() and _closing(text, len(head)) == len(text) - 1


def _closing(text: str, start: int) -> int:
    """Where the parenthesis opened at `start` is closed; -1 when it is not."""
    depth, quote = 0, ""
    for place in range(start, len(text)):
        character = text[place]
        if quote:
            if character == quote:
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return place
    return -1
