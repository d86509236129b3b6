"""What heliosd's own SQL functions may do to the catalog: `types.context.SecurityAccess`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Budget, Role, Table
from heliosd.errors import INSUFFICIENT_PRIVILEGE, READ_ONLY_SQL_TRANSACTION, SqlError
from heliosd.security.history import access_at

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction
    from heliosd.catalog.edit import CatalogEdit
    from heliosd.catalog.lookup import Catalog
    from heliosd.session.block import Block
    from heliosd.session.instance import Instance


class AccessOwner(Protocol):
    """What these functions need of their session."""

    @property
    def instance(self) -> Instance: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def block(self) -> Block: ...
    @property
    def current_role_oid(self) -> int: ...
    @property
    def session_role(self) -> str: ...
    @property
    def transaction(self) -> Transaction: ...
    def catalog_edit(self) -> CatalogEdit: ...


class SecurityAccess:
    """One session's."""

    __slots__ = ("_owner",)

    def __init__(self, owner: AccessOwner) -> None:
        self._owner = owner

    def set_budget(
        self,
        role: str,
        relation: int | None,
        rows: int | None,
        size_bytes: int | None,
        period_us: int,
    ) -> None:
        """Superusers only. 42501, 42704, 42809."""
        holder = self._locked(role)
        new = Budget(oid=0, table=self._table(relation), rows=rows, size_bytes=size_bytes,
                     period_us=period_us, counters=(0, 0, 0))  # fmt: skip
        known = next((b for b in holder.budgets if b.table == new.table), None)
        allocate = self._owner.instance.allocate_oid
        if known is not None:
            # What was drawn in this span stays drawn.
            new = replace(new, oid=known.oid, counters=known.counters)
        else:
            new = replace(new, oid=allocate(), counters=(allocate(), allocate(), allocate()))
        others = tuple(b for b in holder.budgets if b.table != new.table)
        self._put(holder, (*others, new))

    def drop_budget(self, role: str, relation: int | None) -> bool:
        """Superusers only; False when there is none."""
        holder = self._locked(role)
        table = 0 if relation is None else relation
        kept = tuple(b for b in holder.budgets if b.table != table)
        if kept == holder.budgets:
            return False
        self._put(holder, kept)
        return True

    def access_history(
        self, relation: int, column: str | None, at_us: int
    ) -> Iterator[tuple[Any, ...]]:
        """Superusers, members of pg_monitor, and the relation's owner. 42501, 42703."""
        return access_at(self._owner, relation, column, at_us)

    def _locked(self, name: str) -> Role:
        owner = self._owner
        if not acl.is_superuser(owner.catalog, owner.current_role_oid):
            raise SqlError(INSUFFICIENT_PRIVILEGE, "permission denied to change a budget")
        if owner.block.read_only:
            raise SqlError(
                READ_ONLY_SQL_TRANSACTION, "cannot change a budget in a read-only transaction"
            )
        role = owner.catalog.require_role(name)
        owner.transaction.lock_object(role.oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
        return owner.catalog.require_role(name)

    def _table(self, relation: int | None) -> int:
        if relation is None:
            return 0
        found = self._owner.catalog.by_oid(relation)
        if not isinstance(found, Table):
            raise SqlError(
                "42809", "budgets are for tables; reading a view draws from those of its tables"
            )
        return relation

    def _put(self, holder: Role, budgets: tuple[Budget, ...]) -> None:
        owner = self._owner
        owner.catalog_edit().replace(holder, replace(holder, budgets=budgets))
        by = owner.session_role
        log = owner.instance.log
        owner.block.run_after_commit(
            lambda: log.info("budget.changed", role=holder.name, budgets=len(budgets), by=by)
        )
