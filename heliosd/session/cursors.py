"""DECLARE, FETCH, MOVE, CLOSE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from heliosd.errors import NO_ACTIVE_SQL_TRANSACTION, SqlError
from heliosd.execute.program import StatementKind
from heliosd.session.block import Block
from heliosd.session.clock import now_us
from heliosd.session.portal import Cursor, Portals, no_such_portal
from heliosd.session.statement_cache import Prepared
from heliosd.sql.bind.current_of import Carried, carrying

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog, SearchPath
    from heliosd.catalog.objects import Budget
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.program import Parameters, ResultColumn, Row
    from heliosd.sql.tree import Statement


class CursorOwner(Protocol):
    """What these commands need of their session."""

    @property
    def portals(self) -> Portals: ...
    @property
    def block(self) -> Block: ...
    @property
    def context(self) -> ExecutionContext: ...
    @property
    def parameters(self) -> Parameters: ...
    @property
    def parameter_types(self) -> tuple[int, ...]: ...
    @property
    def current_text(self) -> str: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def search_path(self) -> SearchPath: ...
    def make_prepared(
        self, text: str, tree: Statement, given_types: tuple[int, ...]
    ) -> Prepared: ...
    def answer_in_binary(self) -> None:
        """The rows that this statement sends go in binary format."""
        ...


class CursorCommands:
    """Implements `execute.context.CursorServices`."""

    __slots__ = ("_owner",)

    def __init__(self, owner: CursorOwner) -> None:
        self._owner = owner

    def declare(
        self,
        name: str,
        query: Statement,
        *,
        binary: bool,
        scroll: bool | None,
        hold: bool,
        insensitive: bool,
    ) -> None:
        """DECLARE: 25P01 outside of a block unless WITH HOLD; 42P03 when the name is taken.

        Every cursor is insensitive: it reads one snapshot.
        """
        owner = self._owner
        if not hold and not owner.block.in_block:
            raise SqlError(
                NO_ACTIVE_SQL_TRANSACTION, "DECLARE CURSOR can only be used in transaction blocks"
            )
        if owner.portals.get(name) is not None:
            raise SqlError("42P03", f'cursor "{name}" already exists')
        prepared, carried = self._prepared(query)
        program = prepared.program
        if program.kind is not StatementKind.SELECT or program.rows is None:
            raise SqlError("42601", "DECLARE CURSOR must not contain data-modifying statements")
        snapshot = owner.block.require_transaction().snapshot()
        width = carried[-1][2] if carried else 0
        cursor = Cursor(
            name,
            prepared,
            owner.parameters,
            (),
            now_us(),
            columns=(program.columns or ())[: len(program.columns or ()) - width],
            carried=carried,
            snapshot=snapshot,
            is_cursor=True,
            text=owner.current_text,
            scroll=scroll,
            hold=hold,
            binary=binary,
        )
        cursor.rows = program.rows(owner.context.portal(snapshot), owner.parameters)
        if carried:
            cursor.rows = cursor.without_places(cursor.rows, len(cursor.columns or ()))
        owner.portals.add(cursor)

    def _prepared(self, query: Statement) -> tuple[Prepared, tuple[Carried, ...]]:
        """The cursor's query with what WHERE CURRENT OF needs, or else as it is."""
        owner = self._owner
        text, types = owner.current_text, owner.parameter_types
        wider, carried = carrying(query, owner.catalog, owner.search_path.schemas)
        if carried:
            try:
                return owner.make_prepared(text, wider, types), carried
            except SqlError:
                # It cannot carry them, or the role may not read keys: the query's own errors
                # follow from the query as it was written.
                pass
        return owner.make_prepared(text, query, types), ()

    def fetch(
        self, name: str, direction: str, count: int | None
    ) -> tuple[tuple[ResultColumn, ...], list[Row]]:
        """FETCH: 34000, 55000."""
        cursor = self._find(name)
        if cursor.binary:
            self._owner.answer_in_binary()
        return cursor.columns or (), cursor.fetch(direction, count)

    def budgets(self, name: str) -> tuple[Budget, ...]:
        """What the cursor's rows are drawn from."""
        prepared = self._find(name).prepared
        return () if prepared is None else prepared.program.budgets

    def move(self, name: str, direction: str, count: int | None) -> int:
        """MOVE: how many rows FETCH would have given."""
        return len(self._find(name).fetch(direction, count))

    def close(self, name: str) -> None:
        """CLOSE name: 34000."""
        if not self._owner.portals.close(name):
            raise no_such_portal(name, "cursor")

    def uses(self, oid: int) -> bool:
        """Whether an open one leans on this object; a held one has all its rows."""
        return any(portal.uses(oid) for portal in self._owner.portals)

    def close_all(self) -> None:
        """CLOSE ALL."""
        for portal in self._owner.portals:
            if portal.is_cursor:
                self._owner.portals.close(portal.name)

    def _find(self, name: str) -> Cursor:
        found = self._owner.portals.get(name)
        if not isinstance(found, Cursor):
            raise no_such_portal(name, "cursor")
        return found
