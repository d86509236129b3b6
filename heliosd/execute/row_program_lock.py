"""Row programs of FOR UPDATE and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from helios_storage.errors import LockNotAvailable
from helios_storage.locks import LockPolicy
from helios_storage.locks import LockStrength as RowStrength
from heliosd.catalog.objects import Table
from heliosd.errors import SqlError, not_supported
from heliosd.execute.expressions import local
from heliosd.execute.row_program import Consume, Flow, Needed, Producer, ProgramCompiler, needed_by
from heliosd.execute.row_program_work import stored_codes, whole_row_of
from heliosd.execute.row_program_write import POLICIES, columns_of_row
from heliosd.execute.system_columns import system_codes
from heliosd.plan.columns import all_nodes
from heliosd.plan.physical import LOCATOR, LockRows
from heliosd.sql.bound import LockStrength, RowLock, TableRel

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction

STRENGTHS: Final[Mapping[LockStrength, RowStrength]] = MappingProxyType(
    {
        LockStrength.UPDATE: RowStrength.UPDATE,
        LockStrength.NO_KEY_UPDATE: RowStrength.NO_KEY_UPDATE,
        LockStrength.SHARE: RowStrength.SHARE,
        LockStrength.KEY_SHARE: RowStrength.KEY_SHARE,
    }
)


def produce_lock_rows(
    c: ProgramCompiler, node: LockRows, needed: Needed, flow: Flow, consume: Consume
) -> None:
    """Each row's tables are locked in turn; the newest version of a row replaces the one read.

    A row that somebody else changed is checked again with `recheck`.
    """
    tables = {
        item.rel.rel: item.rel
        for item in all_nodes(node.input)
        if isinstance(getattr(item, "rel", None), TableRel)
    }
    for lock in node.locks:
        if lock.rel not in tables or not isinstance(tables[lock.rel].table, Table):
            raise not_supported(f"FOR {lock.strength.value} on this relation")
    rels = {lock.rel for lock in node.locks}
    above = needed | needed_by(node.recheck)
    read = frozenset(key for key in above if key[0] not in rels)
    read |= {(rel, LOCATOR) for rel in rels}
    flow.writer.first("transaction = ctx.transaction")
    flow.writer.first("snapshot = ctx.snapshot")

    def inside(at: Flow) -> None:
        _lock_each(c, node, list(node.locks), tables, at, [], consume, above)

    c.produce(node.input, read, flow, inside)


def _lock_each(
    c: ProgramCompiler,
    node: LockRows,
    locks: list[RowLock],
    tables: Mapping[int, TableRel],
    at: Flow,
    changed: list[str],
    consume: Consume,
    needed: Needed,
) -> None:
    writer = at.writer
    if not locks:
        if not node.recheck:
            consume(at)
            return
        condition = c.at(at).conditions(node.recheck)
        with writer.block(f"if not ({' or '.join(changed)}) or {condition.text}:"):
            consume(at)
        return
    lock = locks[0]
    table = tables[lock.rel].table
    assert isinstance(table, Table)
    policy = POLICIES[lock.wait]
    key = at.columns[(lock.rel, LOCATOR)].text
    words = f"{c.slot(STRENGTHS[lock.strength])}, {c.slot(policy)}, ctx.lock_timeout_ms"
    found, row, flag, place = (c.module.name(p) for p in "rrvv")
    take = f"transaction.lock_row(snapshot, {table.tree_id}, {key}, {words})"
    if policy is LockPolicy.NOWAIT:
        refused = c.slot(partial(lock_at_once, table.name))
        take = f"{refused}(transaction, snapshot, {table.tree_id}, {key}, {words})"
    writer.line(f"{found} = {take}")
    tests = f"if {found} is not None and {found}.row is not None:"
    if policy is not LockPolicy.SKIP:
        tests = f"if {found}.row is not None:"
    with writer.block(tests):
        writer.line(f"{row}, {flag}, {place} = {found}")
        codes = stored_codes(c, table, row)
        here = whole_row_of(c, table, lock.rel, at.plus(columns_of_row(codes, lock.rel)))
        here = here.plus({(lock.rel, LOCATOR): local(place, nullable=False)})
        here = here.plus(system_codes(c, table, lock.rel, needed, here))
        _lock_each(c, node, locks[1:], tables, here, [*changed, flag], consume, needed)


def lock_at_once(table: str, transaction: Transaction, *arguments: Any) -> Any:
    """NOWAIT: 55P03 names the table, which storage does not know."""
    try:
        return transaction.lock_row(*arguments)
    except LockNotAvailable:
        raise SqlError("55P03", f'could not obtain lock on row in relation "{table}"') from None


PRODUCERS: Final[Mapping[type, Producer]] = MappingProxyType({LockRows: produce_lock_rows})
