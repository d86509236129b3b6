"""nextval, currval, lastval, setval: a session's side of sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helios_storage.errors import SequenceExhausted
from heliosd.catalog import acl
from heliosd.catalog.objects import Relation, Sequence
from heliosd.errors import INSUFFICIENT_PRIVILEGE, WRONG_OBJECT_TYPE, SqlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from helios_storage.spec import Lsn
    from helios_storage.storage import Storage
    from heliosd.catalog.lookup import Catalog


class Sequences:
    """Implements `types.context.SequenceAccess`. Values are drawn outside of transactions."""

    __slots__ = ("_catalog", "_last", "_read_only", "_role", "_saw", "_storage", "_values")

    def __init__(
        self,
        storage: Storage,
        catalog: Catalog,
        role: Callable[[], int],
        saw: Callable[[Lsn], None],
        read_only: Callable[[], bool] = lambda: False,
    ) -> None:
        """`saw(lsn)`: replies wait until this is durable, or a crash could give a value twice."""
        self._storage = storage
        self._saw = saw
        self._catalog = catalog
        self._role = role
        self._read_only = read_only
        self._values: dict[int, int] = {}
        self._last = 0

    def nextval(self, oid: int) -> int:
        """Draw the next value: 2200H at the end, 42501 without USAGE or UPDATE."""
        sequence = self._find(oid)
        if not self._feeds_insertable_column(sequence):
            self._check(sequence, acl.USAGE, acl.UPDATE)
        self._may_change(sequence, "nextval")
        try:
            value = self._storage.sequences.advance(
                sequence.store_id,
                sequence.increment,
                sequence.minimum,
                sequence.maximum,
                start=sequence.start,
                cycle=sequence.cycle,
            )
        except SequenceExhausted:
            raise _exhausted(sequence) from None
        self._saw(self._storage.sequences.lsn_of(sequence.store_id))
        self._values[oid] = value
        self._last = oid
        return value

    def currval(self, oid: int) -> int:
        """What this session drew last: 55000 before its first nextval."""
        sequence = self._find(oid)
        self._check(sequence, acl.USAGE, acl.SELECT)
        if oid not in self._values:
            raise SqlError(
                "55000",
                f'currval of sequence "{sequence.name}" is not yet defined in this session',
            )
        return self._values[oid]

    def lastval(self) -> int:
        """What this session drew last of any sequence."""
        if not self._last or not isinstance(self._catalog.by_oid(self._last), Sequence):
            raise SqlError("55000", "lastval is not yet defined in this session")
        return self._values[self._last]

    def setval(self, oid: int, value: int, *, is_called: bool) -> int:
        """Set the sequence: 22003 out of its bounds, 42501 without UPDATE."""
        sequence = self._find(oid)
        self._check(sequence, acl.UPDATE)
        self._may_change(sequence, "setval")
        if not sequence.minimum <= value <= sequence.maximum:
            raise SqlError(
                "22003",
                f'setval: value {value} is out of bounds for sequence "{sequence.name}" '
                f"({sequence.minimum}..{sequence.maximum})",
            )
        self._storage.sequences.set(sequence.store_id, value, called=is_called)
        self._saw(self._storage.sequences.lsn_of(sequence.store_id))
        if is_called:
            self._values[oid] = value
        return value

    def _may_change(self, sequence: Sequence, function: str) -> None:
        """25006 in a read-only transaction, but for a temporary sequence."""
        if sequence.persistence != "t" and self._read_only():
            raise SqlError("25006", f"cannot execute {function}() in a read-only transaction")

    def discard(self) -> None:
        """DISCARD SEQUENCES."""
        self._values.clear()
        self._last = 0

    def _find(self, oid: int) -> Sequence:
        found = self._catalog.by_oid(oid)
        if isinstance(found, Sequence):
            return found
        if isinstance(found, Relation):
            raise SqlError(WRONG_OBJECT_TYPE, f'"{found.name}" is not a sequence')
        raise SqlError("42P01", f"relation with OID {oid} does not exist")

    def _feeds_insertable_column(self, sequence: Sequence) -> bool:
        """An identity column's sequence needs no privilege of its own for an INSERT."""
        if not sequence.internal or sequence.owned_by is None:
            return False
        table = self._catalog.table(sequence.owned_by.oid)
        return acl.has_privilege(self._catalog, self._role(), table, acl.INSERT) or any(
            column.acl is not None for column in table.live_columns
        )

    def _check(self, sequence: Sequence, *letters: str) -> None:
        role = self._role()
        if not any(acl.has_privilege(self._catalog, role, sequence, one) for one in letters):
            raise SqlError(
                INSUFFICIENT_PRIVILEGE, f"permission denied for sequence {sequence.name}"
            )


def _exhausted(sequence: Sequence) -> SqlError:
    end = "maximum" if sequence.increment > 0 else "minimum"
    bound = sequence.maximum if sequence.increment > 0 else sequence.minimum
    return SqlError(
        "2200H", f'nextval: reached {end} value of sequence "{sequence.name}" ({bound})'
    )
