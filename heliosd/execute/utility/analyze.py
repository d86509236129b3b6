"""VACUUM and ANALYZE. There are no dead rows to collect; ANALYZE gathers statistics."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Statistics, Table
from heliosd.errors import SqlError
from heliosd.execute.utility.names import require_table
from heliosd.execute.utility.registry import runs
from heliosd.plan.statistics import SAMPLE_FACTOR, TARGET_DEFAULT, column_statistics
from heliosd.sql.tree.utility import Vacuum

if TYPE_CHECKING:
    from heliosd.catalog.objects import Column
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Row
    from heliosd.sql.tree.utility import VacuumRelation

STRETCH_ROWS: Final = 100
"""A sample of a large table is taken in stretches of about a leaf."""

_OPTIONS: Final = frozenset(
    {
        "analyze", "verbose", "full", "freeze", "disable_page_skipping", "skip_locked",
        "index_cleanup", "process_toast", "truncate", "parallel", "buffer_usage_limit",
    }
)  # fmt: skip


@runs(Vacuum, tag="VACUUM", needs_snapshot=True)
def vacuum(statement: Vacuum, session: SessionServices) -> str:
    """VACUUM does nothing but what ANALYZE in it does."""
    options = {option.name.lower(): option for option in statement.options}
    for name in options:
        if name not in _OPTIONS:
            raise SqlError("42601", f'unrecognized {_word(statement)} option "{name}"')
    if statement.vacuum:
        session.block.forbid_block("VACUUM")
    wanted = not statement.vacuum or _is_on(options.get("analyze"))
    for table, columns in _tables(statement, session):
        if wanted:
            analyze_table(session, table, columns)
    return _word(statement)


def _word(statement: Vacuum) -> str:
    return "VACUUM" if statement.vacuum else "ANALYZE"


def _is_on(option: Any) -> bool:
    if option is None:
        return False
    value = option.value
    return value is None or str(value).lower() in ("true", "on", "1")


def _tables(statement: Vacuum, session: SessionServices) -> Iterator[tuple[Table, tuple[str, ...]]]:
    """The named tables, or every table of the database that this role may maintain."""
    if statement.relations:
        for relation in statement.relations:
            yield _named(session, relation), relation.columns
        return
    role = session.context.eval.current_role_oid
    for table in sorted(session.catalog.objects(Table), key=lambda t: t.oid):
        if acl.is_owner(session.catalog, role, table):
            yield table, ()


def _named(session: SessionServices, relation: VacuumRelation) -> Table:
    return require_table(session, relation.relation, mode=TableLockMode.SHARE_UPDATE_EXCLUSIVE)


def analyze_table(session: SessionServices, table: Table, names: tuple[str, ...]) -> None:
    """Gather a table's statistics and put them into the catalog."""
    role = session.context.eval.current_role_oid
    if not acl.is_owner(session.catalog, role, table):
        session.notice(
            f'skipping "{table.name}" --- only table or database owner can analyze it',
            severity="WARNING",
            sqlstate="01000",
        )
        return
    chosen = _columns(table, names)
    total, rows = sample_rows(session, table)
    types = session.catalog.types
    found = []
    for column in chosen:
        kind = types.by_oid.get(column.type_oid)
        if kind is None:
            continue
        target = column.statistics_target if column.statistics_target >= 0 else TARGET_DEFAULT
        if not target:
            continue
        slot = column.attnum - 1
        values = [row[slot] for row in rows]
        if kind.unpack is not None:
            unpack = kind.unpack
            values = [None if v is None else unpack(v) for v in values]
        found.append(column_statistics(column.attnum, values, float(total), kind, target))
        session.context.check_slice()
    old = session.catalog.statistics(table.oid)
    if old is not None and names:
        fresh = {s.attnum for s in found}
        found = sorted(
            [*found, *(s for s in old.columns if s.attnum not in fresh)], key=lambda s: s.attnum
        )
    edit = session.catalog_edit()
    made = Statistics(
        oid=old.oid if old is not None else edit.new_oid(),
        name="",
        owner=table.owner,
        database=table.database,
        table=table.oid,
        rows=total,
        pages=max(1, total // 100) if total else 0,
        columns=tuple(found),
        gathered_at=session.context.eval.clock_us(),
    )
    if old is None:
        edit.create(made)
    else:
        edit.replace(old, made)


def _columns(table: Table, names: tuple[str, ...]) -> list[Column]:
    if not names:
        return list(table.live_columns)
    found: list[Column] = []
    for name in names:
        column = table.column_by_name.get(name)
        if column is None:
            raise SqlError("42703", f'column "{name}" of relation "{table.name}" does not exist')
        if column in found:
            raise SqlError(
                "42701", f'column "{name}" of relation "{table.name}" appears more than once'
            )
        found.append(column)
    return found


def sample_rows(session: SessionServices, table: Table) -> tuple[int, list[Row]]:
    """(rows in the table, a sample of up to 30,000 in key order)."""
    snapshot = session.context.snapshot
    total = snapshot.count(table.tree_id)
    wanted = SAMPLE_FACTOR * TARGET_DEFAULT
    rows: list[Row] = []
    if total <= wanted:
        for _, batch in snapshot.batches(table.tree_id):
            rows.extend(batch)
            session.context.check_slice()
        return total, rows
    # The same sample for the same table: plans do not change from one ANALYZE to the next.
    generator = random.Random(table.oid)  # noqa: S311  # a sample, not a secret
    places = sorted(generator.sample(range(total), wanted // STRETCH_ROWS))
    for place in places:
        found = snapshot.nth(table.tree_id, place)
        if found is None:
            continue
        stretch: list[Row] = []
        for _, batch in snapshot.batches(table.tree_id, found[0]):
            stretch.extend(batch)
            if len(stretch) >= STRETCH_ROWS:
                break
        rows.extend(stretch[:STRETCH_ROWS])
        session.context.check_slice()
    return total, rows
