"""Which function runs which utility statement.

TO ADD ONE: write `def name(statement: Node, session: SessionServices) -> CommandResult | str |
None` in a module of this package, mark it `@runs(Node, tag="...")`. Every module in
this package is collected. None answers with the declared tag, a string is the tag itself.

`@runs` only marks the function; `collect` makes the read-only table, once, and refuses a second
function for a node.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from heliosd.errors import not_supported
from heliosd.execute.program import CommandResult
from heliosd.sql.tree.base import statement_name

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import ResultColumn

UtilityFunction = Callable[[Any, "SessionServices"], CommandResult | str | None]


@dataclass(frozen=True, slots=True)
class UtilityCommand:
    """One utility statement as declared.

    `writes`: refused in a read-only transaction. `forbidden_in_block`: refused in a transaction
    block. `allowed_in_failed_block`: runs although the block has failed. `needs_snapshot`: False
    for statements that must not start a transaction's first snapshot (SET, SHOW, BEGIN, LOCK).
    `columns`: names the rows that it returns, before it runs (Describe); None: no rows.
    """

    node: type
    function: UtilityFunction
    tag: str
    writes: bool = False
    forbidden_in_block: bool = False
    allowed_in_failed_block: bool = False
    needs_snapshot: bool = True
    audit: str | None = None
    columns: Callable[[Any, SessionServices], tuple[ResultColumn, ...] | None] | None = None


_MARK = "__runs_statement__"


def runs(
    node: type,
    *,
    tag: str,
    writes: bool = False,
    forbidden_in_block: bool = False,
    allowed_in_failed_block: bool = False,
    needs_snapshot: bool = True,
    audit: str | None = None,
    columns: Callable[[Any, SessionServices], tuple[ResultColumn, ...] | None] | None = None,
) -> Callable[[UtilityFunction], UtilityFunction]:
    """Declare that the function runs statements of class `node` (may be given repeatedly)."""

    def mark(function: UtilityFunction) -> UtilityFunction:
        command = UtilityCommand(
            node=node,
            function=function,
            tag=tag,
            writes=writes,
            forbidden_in_block=forbidden_in_block,
            allowed_in_failed_block=allowed_in_failed_block,
            needs_snapshot=needs_snapshot,
            audit=audit,
            columns=columns,
        )
        earlier: tuple[UtilityCommand, ...] = getattr(function, _MARK, ())
        setattr(function, _MARK, (*earlier, command))
        return function

    return mark


def collect(modules: tuple[str, ...]) -> Mapping[type, UtilityCommand]:
    """The table of all marked functions in `modules` (dotted names)."""
    commands: dict[type, UtilityCommand] = {}
    for name in modules:
        module = importlib.import_module(name)
        for value in vars(module).values():
            if getattr(value, "__module__", None) != name:
                continue
            for command in getattr(value, _MARK, ()):
                assert command.node not in commands, f"two functions run {command.node.__name__}"
                commands[command.node] = command
    return MappingProxyType(commands)


@functools.cache
def utility_commands() -> Mapping[type, UtilityCommand]:
    """Every utility statement of the server: the modules of this package and of `copy`."""
    import heliosd.execute.utility as package

    names = tuple(
        f"{package.__name__}.{module.name}"
        for module in pkgutil.iter_modules(package.__path__)
        if module.name != "registry"
    )
    return collect((*names, "heliosd.execute.copy.statement"))


def command_for(statement: object) -> UtilityCommand:
    """The declaration for a statement; 0A000 naming it when nothing runs it yet."""
    command = utility_commands().get(type(statement))
    if command is None:
        raise not_supported(statement_name(type(statement)))
    return command


def run_utility(statement: object, session: SessionServices) -> CommandResult:
    """Run a utility statement and give its answer."""
    command = command_for(statement)
    result = command.function(statement, session)
    if result is None:
        return CommandResult(command.tag)
    if isinstance(result, str):
        return CommandResult(result)
    return result
