"""pg_advisory_lock and its kin, over storage's object locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from helios_storage.errors import LockNotAvailable
from helios_storage.locks import LockOwner, LockPolicy, TableLockMode

if TYPE_CHECKING:
    from helios_storage.storage import Storage
    from helios_storage.transaction import Transaction


class AdvisoryOwner(Protocol):
    """What these locks need of their session."""

    @property
    def storage(self) -> Storage: ...
    @property
    def lock_owner(self) -> LockOwner: ...
    @property
    def transaction(self) -> Transaction: ...
    @property
    def database_oid(self) -> int: ...
    @property
    def lock_timeout_ms(self) -> int: ...
    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None: ...


class AdvisoryLocks:
    """Implements `types.context.AdvisoryLocks`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: AdvisoryOwner) -> None:
        self._owner = owner

    def lock(
        self, key: tuple[int, int], *, pair: bool, shared: bool, session: bool, wait: bool
    ) -> bool:
        """Take the lock; False only when `wait` is False and another has it."""
        owner = self._owner
        mode = TableLockMode.SHARE if shared else TableLockMode.EXCLUSIVE
        # Opening the transaction first: a transaction-level lock is released at its end.
        owner.transaction  # noqa: B018
        try:
            owner.storage.locks.lock_object(
                owner.lock_owner,
                self._object(key, pair=pair),
                mode,
                LockPolicy.WAIT if wait else LockPolicy.NOWAIT,
                owner.lock_timeout_ms,
                for_session=session,
            )
        except LockNotAvailable:
            if wait:
                raise
            return False
        return True

    def unlock(self, key: tuple[int, int], *, pair: bool, shared: bool) -> bool:
        """Give a session-level lock back; False with a warning when it is not held."""
        owner = self._owner
        mode = TableLockMode.SHARE if shared else TableLockMode.EXCLUSIVE
        if owner.storage.locks.unlock_object(owner.lock_owner, self._object(key, pair=pair), mode):
            return True
        name = "ShareLock" if shared else "ExclusiveLock"
        owner.notice(f"you don't own a lock of type {name}", severity="WARNING")
        return False

    def unlock_all(self) -> None:
        """Give all session-level locks back."""
        self._owner.storage.locks.release_session(self._owner.lock_owner)

    def _object(self, key: tuple[int, int], *, pair: bool) -> tuple[str, int, int, int, bool]:
        return ("advisory", self._owner.database_oid, key[0], key[1], pair)
