"""Temporary tables at the end of a transaction (ON COMMIT) and at DISCARD TEMP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.dependencies import Part, plan_drop
from heliosd.catalog.objects import Table
from heliosd.catalog.temporary import temporary_tables
from heliosd.execute.utility.drop import carry_out
from heliosd.execute.utility.truncate import empty_table

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices


def run_on_commit(session: SessionServices) -> None:
    """ON COMMIT DELETE ROWS and DROP. Called while the transaction can still fail."""
    catalog = session.catalog
    marked = [table for table in temporary_tables(catalog) if table.on_commit != "preserve"]
    overlay = catalog.overlay
    if overlay is not None:
        known = {table.oid for table in marked}
        marked += [
            obj
            for obj in overlay.objects.values()
            if isinstance(obj, Table) and obj.on_commit != "preserve" and obj.oid not in known
        ]
    for each in marked:
        table = catalog.by_oid(each.oid)
        if not isinstance(table, Table):
            continue
        if table.on_commit == "drop":
            carry_out(session, plan_drop(catalog, [Part("object", table.oid)]))
        elif _has_rows(session, table):
            empty_table(session, table)


def _has_rows(session: SessionServices, table: Table) -> bool:
    snapshot = session.transaction.snapshot()
    try:
        return snapshot.count(table.tree_id) > 0
    finally:
        snapshot.release()


def drop_all_temporary(session: SessionServices) -> None:
    """DISCARD TEMP: everything in the session's temporary schema goes, silently."""
    catalog = session.catalog
    if not catalog.temporary_schema:
        return
    roots = [Part("object", obj.oid) for obj in catalog.in_schema(catalog.temporary_schema)]
    if roots:
        carry_out(session, plan_drop(catalog, roots))
