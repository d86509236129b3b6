"""Foreign keys at run time: the row that is referred to must be there, and what follows it.

As in PostgreSQL, what a change of the referenced row entails is SQL of its own (CASCADE is a
DELETE), prepared once and run under the statement's transaction with a snapshot that sees the
statement's changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import LockPolicy, LockStrength
from heliosd.errors import SqlError
from heliosd.execute.key_codec import codec_for
from heliosd.execute.program import PlanIsStale
from heliosd.types.quoting import quote_identifier
from heliosd.types.registry import KeyKind

if TYPE_CHECKING:
    from heliosd.catalog.objects import Constraint, Index, Table
    from heliosd.execute.context import ExecutionContext
    from heliosd.execute.dml.violations import TableWords
    from heliosd.execute.expressions import Types
    from heliosd.execute.program import Program
    from heliosd.types.registry import SqlType

NO_ACTION: Final = "a"
RESTRICT: Final = "r"
CASCADE: Final = "c"
SET_NULL: Final = "n"
SET_DEFAULT: Final = "d"

_BPCHAR: Final = 1042

PrepareAction = Callable[["ExecutionContext", str, tuple[int, ...]], "Program"]
"""Makes the program of a text that this room wrote, with parameters of these types."""

Change = tuple[tuple[Any, ...], tuple[Any, ...] | None]
"""(old key, new key): of the referenced row; no new key: it was deleted."""


class KeyLookup:
    """Finds a row of a table by one of its unique keys, as of now, and holds it with KEY SHARE."""

    def __init__(
        self,
        table: Table,
        index: Index,
        slots: Sequence[int],
        types: Types,
        sources: Sequence[int] = (),
    ) -> None:
        """`sources`: the types of the values, when they are not those of the columns."""
        self.tree = table.tree_id
        self.index_tree = 0 if index.primary else index.tree_id
        order = [slots.index(attnum - 1) for attnum in index.attnums]
        self._order: list[int] | None = order if order != sorted(order) else None
        self._encode: Callable[[Sequence[Any]], bytes] | None = None
        if self.index_tree or table.key_kind != "int":
            self._encode = codec_for(table, index, types).encode
        self._convert = _conversions(table, slots, types, sources)

    def key(self, values: Sequence[Any]) -> Any:
        if self._convert is not None:
            values = [
                value if convert is None else convert(value)
                for value, convert in zip(values, self._convert, strict=True)
            ]
        if self._order is not None:
            values = [values[i] for i in self._order]
        return values[0] if self._encode is None else self._encode(values)

    def hold(self, ctx: ExecutionContext, values: Sequence[Any]) -> bool:
        """Whether the row is there; it then stays until this transaction ends."""
        key = self.key(values)
        transaction = ctx.transaction
        if self.index_tree:
            transaction.lock_key(
                self.index_tree, key, LockStrength.KEY_SHARE, LockPolicy.WAIT, ctx.lock_timeout_ms
            )
            entry = transaction.newest(self.index_tree, key)
            if entry is None:
                return False
            key = entry[0]
        transaction.lock_key(
            self.tree, key, LockStrength.KEY_SHARE, LockPolicy.WAIT, ctx.lock_timeout_ms
        )
        return transaction.newest(self.tree, key) is not None

    def is_there(self, ctx: ExecutionContext, values: Sequence[Any]) -> bool:
        """As `hold`, without a lock."""
        return ctx.transaction.newest(self.index_tree or self.tree, self.key(values)) is not None


def _conversions(
    table: Table, slots: Sequence[int], types: Types, sources: Sequence[int]
) -> list[Callable[[Any], Any] | None] | None:
    """What makes a value of another type one of the column's; None when nothing is to be done."""
    found = [
        _conversion(types.type(source), types.type(table.columns[slot].type_oid))
        for source, slot in zip(sources, slots, strict=False)
    ]
    return found if any(found) else None


def _conversion(source: SqlType, target: SqlType) -> Callable[[Any], Any] | None:
    if target.key is KeyKind.NUMERIC and source.key is KeyKind.INT:
        return Decimal
    if target.key is KeyKind.FLOAT and source.key is not KeyKind.FLOAT:
        return float
    if source.oid == _BPCHAR and target.oid != _BPCHAR:
        return _without_padding
    return None


def _without_padding(value: str) -> str:
    return value.rstrip(" ")


class ParentCheck:
    """One foreign key seen from the referencing table."""

    def __init__(
        self,
        constraint: Constraint,
        child: TableWords,
        parent: Table,
        index: Index,
        types: Types,
    ) -> None:
        self.constraint = constraint
        self.child = child
        self.parent = parent
        self.slots = tuple(attnum - 1 for attnum in constraint.columns)
        self.is_self = parent.oid == child.table.oid
        self.match_full = constraint.match_type == "f"
        referenced = [attnum - 1 for attnum in constraint.referenced_columns]
        sources = [child.table.columns[slot].type_oid for slot in self.slots]
        self._lookup = KeyLookup(parent, index, referenced, types, sources)

    def look(self, ctx: ExecutionContext, values: tuple[Any, ...]) -> None:
        """Check one key now, or at COMMIT when the constraint is deferred."""
        if self.constraint.deferrable and ctx.deferred.is_deferred(self.constraint):
            ctx.deferred.add(self, values)
        else:
            self.now(ctx, values)

    def look_all(self, ctx: ExecutionContext, keys: Iterable[tuple[Any, ...]]) -> None:
        """Check all different keys of a statement."""
        for number, values in enumerate(keys):
            self.look(ctx, values)
            if not number & 63:
                ctx.check_slice()

    def now(self, ctx: ExecutionContext, noted: tuple[Any, ...]) -> None:
        """23503 when no such row is there."""
        if self._lookup.hold(ctx, noted):
            return
        table = self.child.table
        raise SqlError(
            "23503",
            f'insert or update on table "{table.name}" violates foreign key constraint '
            f'"{self.constraint.name}"',
            detail=f"Key{self.child.key_detail(ctx, self.slots, noted)} is not present in table "
            f'"{self.parent.name}".',
            schema=self.child.schema,
            table=table.name,
            constraint=self.constraint.name,
        )

    def check_full(self, ctx: ExecutionContext, values: tuple[Any, ...]) -> None:
        """MATCH FULL: all columns NULL, or none."""
        if None in values and any(v is not None for v in values):
            table = self.child.table
            raise SqlError(
                "23503",
                f'insert or update on table "{table.name}" violates foreign key constraint '
                f'"{self.constraint.name}"',
                detail="MATCH FULL does not allow mixing of null and nonnull key values.",
                schema=self.child.schema,
                table=table.name,
                constraint=self.constraint.name,
            )


class ReferencedAction:
    """One foreign key seen from the referenced table: what follows a change there."""

    def __init__(
        self,
        constraint: Constraint,
        parent: TableWords,
        child: Table,
        child_schema: str,
        index: Index,
        types: Types,
        prepare: PrepareAction,
    ) -> None:
        self.constraint = constraint
        self.parent = parent
        self.child = child
        self.child_schema = child_schema
        self.slots = tuple(attnum - 1 for attnum in constraint.referenced_columns)
        self._lookup = KeyLookup(parent.table, index, self.slots, types)
        self._prepare = prepare
        self._programs: dict[str, Program] = {}

    def run(self, ctx: ExecutionContext, changes: Sequence[Change]) -> None:
        """After the statement's changes: check or follow each key that went away."""
        for change in changes:
            action = self.constraint.on_delete if change[1] is None else self.constraint.on_update
            if action == RESTRICT:
                self._refuse(ctx, change[0])
            elif action == NO_ACTION:
                if ctx.deferred.is_deferred(self.constraint):
                    ctx.deferred.add(self, change[0])
                else:
                    self.now(ctx, change[0])
            else:
                self._follow(ctx, action, change)
            ctx.check_slice()

    def now(self, ctx: ExecutionContext, noted: tuple[Any, ...]) -> None:
        """NO ACTION: 23503 when rows still refer to the key and nobody has it any more."""
        if not self._lookup.is_there(ctx, noted):
            self._refuse(ctx, noted)

    def _refuse(self, ctx: ExecutionContext, key: tuple[Any, ...]) -> None:
        if self._run(ctx, "check", key):
            table = self.parent.table
            raise SqlError(
                "23503",
                f'update or delete on table "{table.name}" violates foreign key constraint '
                f'"{self.constraint.name}" on table "{self.child.name}"',
                detail=f"Key{self.parent.key_detail(ctx, self.slots, key)} is still referenced "
                f'from table "{self.child.name}".',
                schema=self.child_schema,
                table=self.child.name,
                constraint=self.constraint.name,
            )

    def _follow(self, ctx: ExecutionContext, action: str, change: Change) -> None:
        old, new = change
        parameters = old
        if action == CASCADE and new is not None:
            parameters = (*old, *new)
            kind = "update"
        else:
            kind = {CASCADE: "delete", SET_NULL: "null", SET_DEFAULT: "default"}[action]
            if new is None and kind in ("null", "default") and self.constraint.on_delete_columns:
                kind += " some"
        self._run(ctx, kind, parameters)

    def _run(self, ctx: ExecutionContext, kind: str, parameters: tuple[Any, ...]) -> bool:
        """Run one action now; whether a check found a row."""
        while True:
            program = self._prepared(ctx, kind)
            inner = ctx.portal(ctx.transaction.snapshot(newest=True))
            try:
                if program.rows is not None:
                    return any(program.rows(inner, parameters))
                assert program.modify is not None
                program.modify(inner, parameters)
            except PlanIsStale:
                # The table's lock is held by now, so the next program stays good.
                self._programs.pop(kind, None)
            else:
                return False
            finally:
                inner.snapshot.release()

    def _prepared(self, ctx: ExecutionContext, kind: str) -> Program:
        """The program of one action, made again when the referencing table has changed."""
        known = self._programs.get(kind)
        services = ctx.services
        if known is not None and services.catalog.is_current(known.dependencies):
            return known
        table = self.parent.table
        types = tuple(table.columns[slot].type_oid for slot in self.slots)
        if kind == "update":
            types += types
        # As PostgreSQL, under no row security and with nobody's privileges but the constraint's.
        program = self._prepare(ctx, self._text(kind), types)
        self._programs[kind] = program
        return program

    def _text(self, kind: str) -> str:
        child = self.child
        name = f"{quote_identifier(self.child_schema)}.{quote_identifier(child.name)}"
        columns = [quote_identifier(child.column(a).name) for a in self.constraint.columns]
        where = " AND ".join(f"{c} = ${i}" for i, c in enumerate(columns, 1))
        match kind:
            case "check":
                return f"SELECT 1 FROM ONLY {name} WHERE {where} LIMIT 1"  # noqa: S608  # quoted
            case "delete":
                return f"DELETE FROM ONLY {name} WHERE {where}"  # noqa: S608  # quoted
        if kind == "update":
            first = len(columns) + 1
            sets = ", ".join(f"{c} = ${i}" for i, c in enumerate(columns, first))
        else:
            changed = columns
            if kind.endswith("some"):
                changed = [
                    quote_identifier(child.column(a).name)
                    for a in self.constraint.on_delete_columns
                ]
            value = "NULL" if kind.startswith("null") else "DEFAULT"
            sets = ", ".join(f"{c} = {value}" for c in changed)
        return f"UPDATE ONLY {name} SET {sets} WHERE {where}"  # noqa: S608  # quoted
