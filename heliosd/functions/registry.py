"""The vocabulary of calls: functions, aggregates and window functions, looked up by name.

Row forms are explained in `heliosd.types.registry`. A package lists its modules; `builtin.py`
collects them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from heliosd.types.registry import (
    CallTypes,
    DuplicateDeclarationError,
    RowForm,
    Specialize,
    Value,
)


@dataclass(frozen=True, slots=True, eq=False)
class SqlFunction:
    """A plain or set-returning function.

    `defaults` are SQL texts for the last arguments. `variadic` is the oid of the variadic
    element: the last argument type is its array (the binder collects the values into an Array), or
    "any" itself, then the call has any number of plain arguments.

    A set-returning function (`returns_set`) has a callable row form that gives an iterator of
    values, or of tuples when `columns` (name, type oid) has more than one.
    """

    name: str
    oid: int
    arguments: tuple[int, ...]
    result: int
    row: RowForm | None = None
    specialize: Specialize | None = None
    strict: bool = True
    volatility: str = "i"
    leakproof: bool = False
    needs_context: bool = False
    variadic: int = 0
    defaults: tuple[str, ...] = ()
    argument_names: tuple[str, ...] = ()
    columns: tuple[tuple[str, int], ...] = ()
    returns_set: bool = False
    parallel: str = "s"
    rows: int = 0  # pg_proc.prorows: the planner's guess for a set
    source: str = ""  # pg_proc.prosrc

    kind = "f"

    def __repr__(self) -> str:
        return f"<SqlFunction {self.name} {self.oid}>"


@dataclass(frozen=True, slots=True)
class InlineAggregate:
    """An aggregate as source that generated loops inline.

    State lives in `len(init)` local names: `{s0}`, `{s1}` ...; `init` and `step` have one
    expression for each, `{0}` is the argument (not NULL), `final` is the result's expression. All
    steps of one row are evaluated in order, each seeing the states already stepped.
    `batch`, when not empty, steps a whole list `{0}` of non-NULL argument values at once.
    """

    init: tuple[str, ...]
    step: tuple[str, ...]
    final: str
    batch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateForm:
    """An aggregate as callables: `step(state, *arguments) -> state`, `final(state, *direct)`.

    `inverse(state, *arguments)` takes a row out again, for moving window frames. `step` may change
    the state in place when `init` makes a fresh one."""

    init: Callable[[], Any]
    step: Callable[..., Any]
    final: Callable[..., Value]
    inverse: Callable[..., Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SqlAggregate:
    """`strict`: rows with a NULL argument are skipped. `form`, or `specialize(types)` giving an
    AggregateForm. `arity` "n" normal, "o" ordered-set, "h" hypothetical: the first `direct`
    arguments are direct, the others aggregated in WITHIN GROUP's order. With `needs_context`,
    `final` gets the EvalContext as its first argument. `empty` tells what no rows give: None for
    most, 0 for count."""

    name: str
    oid: int
    arguments: tuple[int, ...]
    result: int
    form: AggregateForm | None = None
    specialize: Callable[[CallTypes], AggregateForm] | None = None
    inline: InlineAggregate | None = None
    strict: bool = True
    arity: str = "n"
    direct: int = 0
    variadic: int = 0
    needs_context: bool = False
    context_step: bool = False
    empty: Value = None
    order_sensitive: bool = False
    sort_operator: str = ""  # "<" for min, ">" for max: an index may answer
    argument_names: tuple[str, ...] = ()

    kind = "a"
    returns_set = False

    def __repr__(self) -> str:
        return f"<SqlAggregate {self.name} {self.oid}>"


class WindowPartition(Protocol):
    """One partition in window order, as a window function sees it."""

    @property
    def size(self) -> int: ...
    @property
    def arguments(self) -> Sequence[Sequence[Value]]:
        """One column of values per argument."""
        ...

    @property
    def peer_starts(self) -> Sequence[int]:
        """Per row, the index of the first row of its peer group."""
        ...

    @property
    def peer_ends(self) -> Sequence[int]:
        """Per row, one past the last row of its peer group."""
        ...

    def frame(self, row: int) -> Sequence[int]:
        """The indexes of the rows in one row's frame (a range unless EXCLUDE cut it)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SqlWindowFunction:
    """`compute(partition)` gives the value for each row. Aggregates serve as window functions by
    the executor's own frames."""

    name: str
    oid: int
    arguments: tuple[int, ...]
    result: int
    compute: Callable[[WindowPartition], list[Value]]
    uses_frame: bool = False
    strict: bool = False
    defaults: tuple[str, ...] = ()
    argument_names: tuple[str, ...] = ()
    variadic: int = 0

    kind = "w"
    returns_set = False

    def __repr__(self) -> str:
        return f"<SqlWindowFunction {self.name} {self.oid}>"


AnyFunction: TypeAlias = SqlFunction | SqlAggregate | SqlWindowFunction


@dataclass(frozen=True, slots=True, eq=False)
class FunctionRegistry:
    """Read-only; the catalog's own functions are looked up by the rooms above."""

    by_oid: Mapping[int, AnyFunction]
    by_name: Mapping[str, tuple[AnyFunction, ...]]

    def named(self, name: str) -> tuple[AnyFunction, ...]:
        """Every overload, () when the name is unknown."""
        return self.by_name.get(name, ())

    def exact(self, name: str, arguments: tuple[int, ...]) -> AnyFunction | None:
        """The overload with exactly these argument types."""
        for function in self.named(name):
            if function.arguments == arguments:
                return function
        return None


def build_function_registry(functions: Iterable[AnyFunction]) -> FunctionRegistry:
    """Collects declarations; raises DuplicateDeclarationError."""
    by_oid: dict[int, AnyFunction] = {}
    by_name: dict[str, list[AnyFunction]] = {}
    signatures: set[tuple[str, tuple[int, ...]]] = set()
    for function in functions:
        signature = (function.name, function.arguments)
        if function.oid in by_oid or signature in signatures:
            raise DuplicateDeclarationError(f"function {signature} ({function.oid})")
        signatures.add(signature)
        by_oid[function.oid] = function
        by_name.setdefault(function.name, []).append(function)
    return FunctionRegistry(
        MappingProxyType(by_oid),
        MappingProxyType({name: tuple(items) for name, items in by_name.items()}),
    )
