"""Running routines in SQL: their bodies, prepared once per session and set of argument types.

A body runs inside the calling statement, in its transaction. A volatile routine's statements each
see what was written before them; those of a stable or immutable one see the caller's snapshot and
may not write. SECURITY DEFINER and SET hold for the time of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from heliosd.catalog.objects import Role, Routine
from heliosd.errors import SqlError
from heliosd.execute.planning import prepare_bound
from heliosd.execute.program import PlanIsStale, Program
from heliosd.security.authorize import check_privileges
from heliosd.security.rewrite import secure
from heliosd.sql.bind.routine_result import RECORD, VOID, RoutineResult, fit_result
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.parser import parse_statements
from heliosd.sql.tree.base import statement_name
from heliosd.sql.tree.modify import Modification
from heliosd.sql.tree.query import Query, ResultTarget, Select
from heliosd.sql.tree.routine import CreateFunction, Return
from heliosd.sql.tree.utility import ClosePortal, Deallocate, Discard, Listen, Prepare, Unlisten

if TYPE_CHECKING:
    from heliosd.execute.context import ExecutionContext, SessionServices
    from heliosd.sql.bind.state import BindScope, BindState
    from heliosd.sql.tree.base import Statement
    from heliosd.types.registry import TypeRegistry

DEPTH_MAX: Final = 100
"""Routines inside routines (54001 beyond)."""
_OUTLASTING: Final = (ClosePortal, Deallocate, Discard, Listen, Prepare, Unlisten)
"""What would leave something behind in a session whose upkeep runs another's code (S-16)."""

KEPT_MAX: Final = 1_000
"""Bodies that a session keeps."""


CallKey: TypeAlias = tuple[tuple[int, ...], int, tuple[tuple[str, int], ...]]
"""A call's types: arguments, result, and the columns that it declared (for "record")."""


class RoutineOwner(Protocol):
    """What running a body needs of its session."""

    @property
    def services(self) -> SessionServices: ...
    def plan_stamp(self) -> tuple[object, ...]:
        """Equal while a kept program still means the same: role, path, settings, names."""
        ...

    def row_count(self, tree_id: int) -> int: ...
    def acting_as(self, role: Role | None, settings: tuple[tuple[str, str], ...]) -> Any:
        """A context manager: another current role, and settings, for the time of a call."""
        ...

    @property
    def is_read_only(self) -> bool:
        """Whether the transaction may write nothing."""
        ...


@dataclass(slots=True)
class Body:
    """One routine's programs for one set of argument types."""

    programs: tuple[Program, ...]
    stamp: tuple[object, ...]


class Routines:
    """One session's routines."""

    def __init__(self, owner: RoutineOwner) -> None:
        self._owner = owner
        self._bodies: dict[tuple[object, ...], Body] = {}
        self._depth = 0

    def call(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: Sequence[Any],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Any:
        """The value of one call: the first row of the last statement; None without one."""
        found = self._run(oid, (arguments, result, columns), values, one=True)
        if result == VOID:
            return None
        return found[0][0] if found else None

    def rows(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: Sequence[Any],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Iterator[Any]:
        """The values of a set-returning call.

        Whole: the caller may stop reading, or call again before it has read all.
        """
        found = self._run(oid, (arguments, result, columns), values, one=False)
        return iter(()) if result == VOID else (row[0] for row in found)

    # -- running -----------------------------------------------------------------------------

    def _find(self, oid: int) -> Routine:
        found = self._owner.services.catalog.of_kind(Routine, oid)
        if found is None:
            raise SqlError("42883", f"function with OID {oid} does not exist")
        return found

    def _run(self, oid: int, types: CallKey, values: Sequence[Any], *, one: bool) -> list[Any]:
        """All statements of a body; the rows (`one`: at most one) of the last."""
        routine = self._find(oid)
        if self._depth >= DEPTH_MAX:
            raise SqlError(
                "54001", "stack depth limit exceeded", hint="Routines call each other too deeply."
            )
        self._depth += 1
        number = 0
        try:
            with self._acting(routine):
                found: list[Any] = []
                total = len(self._body(routine, types))
                for number in range(1, total + 1):
                    rows_max = None if number == total and not one else int(number == total)
                    found = self._statement(routine, types, number - 1, tuple(values), rows_max)
                return found
        except SqlError as error:
            where = f" statement {number}" if number else " during startup"
            line = f'SQL function "{routine.name}"{where}'
            error.context = line if error.context is None else f"{error.context}\n{line}"
            if error.position:
                error.internal_position, error.position = error.position, 0
                error.internal_query = routine.body
            raise
        finally:
            self._depth -= 1

    @contextmanager
    def _acting(self, routine: Routine) -> Iterator[None]:
        if not routine.security_definer and not routine.settings:
            yield
            return
        catalog = self._owner.services.catalog
        role = catalog.of_kind(Role, routine.owner) if routine.security_definer else None
        with self._owner.acting_as(role, routine.settings):
            yield

    def _statement(
        self,
        routine: Routine,
        types: CallKey,
        index: int,
        values: tuple[Any, ...],
        rows_max: int | None,
    ) -> list[Any]:
        """Run one statement of the body; `rows_max` None: all of its rows."""
        while True:
            program = self._body(routine, types)[index]
            try:
                return self._once(routine, program, values, rows_max)
            except PlanIsStale:
                # The table's lock is held by now, so the next program stays good.
                self._bodies.pop((routine.oid, routine.version, types), None)

    def _once(
        self, routine: Routine, program: Program, values: tuple[Any, ...], rows_max: int | None
    ) -> list[Any]:
        if program.writes:
            self._may_write(routine, program)
        with self._context(routine) as ctx:
            if program.rows is not None:
                found: list[Any] = []
                for batch in program.rows(ctx, values):
                    if rows_max != 0:
                        found.extend(batch)
                    if rows_max and found:
                        break
                return found
            if program.modify is not None:
                return program.modify(ctx, values).rows
            self._utility(program, ctx)
            return []

    def _utility(self, program: Program, ctx: ExecutionContext) -> None:
        if program.forbidden_in_block or program.allowed_in_failed_block:
            raise SqlError("0A000", f"{program.tag} is not allowed in an SQL function")
        assert program.utility is not None
        services = self._owner.services
        if services.is_restricted and isinstance(program.statement, _OUTLASTING):
            command = statement_name(type(program.statement)).removesuffix(" PORTAL")
            raise SqlError(
                "42501", f"cannot execute {command} within security-restricted operation"
            )
        outer = services.context.snapshot
        services.context.snapshot = ctx.snapshot
        try:
            program.utility(services)
        finally:
            services.context.snapshot = outer

    def _may_write(self, routine: Routine, program: Program) -> None:
        if routine.volatility != "v":
            raise SqlError("0A000", f"{program.tag} is not allowed in a non-volatile function")
        if self._owner.is_read_only:
            raise SqlError("25006", f"cannot execute {program.tag} in a read-only transaction")

    @contextmanager
    def _context(self, routine: Routine) -> Iterator[ExecutionContext]:
        """The context of one statement of a body."""
        ctx = self._owner.services.context
        if routine.volatility != "v" and not ctx.snapshot.is_released:
            yield ctx
            return
        inner = ctx.portal(ctx.transaction.snapshot(newest=routine.volatility == "v"))
        try:
            yield inner
        finally:
            inner.snapshot.release()

    # -- preparing ---------------------------------------------------------------------------

    def _body(self, routine: Routine, types: CallKey) -> tuple[Program, ...]:
        services = self._owner.services
        key = (routine.oid, routine.version, types)
        stamp = self._owner.plan_stamp()
        kept = self._bodies.get(key)
        if kept is not None and kept.stamp == stamp:
            current = services.catalog.is_current
            if all(current(program.dependencies) for program in kept.programs):
                return kept.programs
        programs = tuple(prepare_body(services, routine, types, self._owner.row_count))
        if len(self._bodies) > KEPT_MAX:
            self._bodies.clear()
        self._bodies[key] = Body(programs, stamp)
        return programs


def prepare_body(
    session: SessionServices,
    routine: Routine,
    types: CallKey,
    row_count: Callable[[int], int] | None,
    *,
    as_owner: bool = False,
) -> Iterator[Program]:
    """The programs of a routine's statements; the last one gives its value as its only column.

    `as_owner`: the routine is being made: what a caller may do is looked at when it is called.
    """
    arguments, result, declared = types
    scope = body_scope(session, routine, arguments)
    trees = parse_body(routine)
    wanted = declared_result(routine, result, arguments, scope)
    if declared:
        wanted = RoutineResult(RECORD, declared, is_row=True)
    for number, tree in enumerate(trees, 1):
        last = wanted if number == len(trees) else None
        if not isinstance(tree, Query | Modification):
            check_utility(tree, last, scope)
            yield session.prepare(tree, arguments)
            continue
        with scope.catalog.made_types.watching():
            bound = bind_statement(tree, scope, None if last is None else fitter(last))
            secured = secure(bound, scope)
            program = prepare_bound(secured, scope, row_count, tree)
        if not as_owner:
            check_privileges(scope.catalog, scope.role, program.privileges)
        yield program


def fitter(wanted: RoutineResult) -> Callable[[BindState, Any], Any]:
    """What `bind_statement` does to the last statement's outputs."""

    def fit(state: BindState, bound: Any) -> Any:
        return fit_result(state, bound, wanted)

    return fit


def check_utility(tree: Statement, last: RoutineResult | None, scope: BindScope) -> None:
    """42P13 when a routine that returns something ends with a statement that gives nothing."""
    if last is not None and last.type != VOID:
        shown = scope.resolver.types.by_oid.get(last.type)
        raise SqlError(
            "42P13",
            "return type mismatch in function declared to return "
            f"{'???' if shown is None else shown.display}",
            detail="Function's final statement must be SELECT or INSERT/UPDATE/DELETE RETURNING.",
        )


def parse_body(routine: Routine) -> tuple[Statement, ...]:
    """The body's statements; RETURN x is SELECT x."""
    if not routine.atomic:
        return parse_statements(routine.body)
    (made,) = parse_statements(f"CREATE FUNCTION f() RETURNS void {routine.body}")
    assert isinstance(made, CreateFunction)
    return tuple(
        Select(each.position, (ResultTarget(each.position, each.value),))
        if isinstance(each, Return)
        else each
        for each in made.body or ()
    )


def body_scope(session: SessionServices, routine: Routine, arguments: tuple[int, ...]) -> BindScope:
    """What a body is bound against: the session's names, and the parameters."""
    scope = session.bind_scope(arguments)
    names = tuple(p.name for p in routine.inputs)
    path = routine.path or scope.path
    return replace(scope, routine=routine.name, parameter_names=names, path=path)


def declared_result(
    routine: Routine, result: int, arguments: tuple[int, ...], scope: BindScope
) -> RoutineResult:
    """What the last statement must give, polymorphic types as they are in this call."""
    outputs = routine.outputs
    if routine.kind == "p" and not outputs:
        return RoutineResult(VOID)
    if outputs and (len(outputs) > 1 or routine.result == RECORD):
        types = output_types(routine, arguments, scope)
        columns = tuple(
            (p.name or f"column{n}", oid)
            for n, (p, oid) in enumerate(zip(outputs, types, strict=True), 1)
        )
        return RoutineResult(RECORD, columns, is_row=True)
    if result == RECORD:
        return RoutineResult(RECORD, (), is_row=True)
    fields = composite_fields(scope.resolver.types, result)
    if fields is not None:
        return RoutineResult(result, fields, is_row=True)
    return RoutineResult(result)


def output_types(routine: Routine, arguments: tuple[int, ...], scope: BindScope) -> tuple[int, ...]:
    """The types of the OUT parameters in a call with these argument types."""
    found = []
    for each in routine.outputs:
        actual = scope.resolver.instantiate(routine.argument_types, arguments, each.type_oid)
        found.append(each.type_oid if actual is None else actual[1])
    return tuple(found)


def composite_fields(types: TypeRegistry, oid: int) -> tuple[tuple[str, int], ...] | None:
    """(name, type) of a composite type's attributes; None for any other type."""
    kind = types.by_oid.get(oid)
    if kind is None or kind.kind != "c":
        return None
    return tuple((f.name, f.type.oid) for f in getattr(kind, "fields", ()))
