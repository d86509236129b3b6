"""SET, RESET, SHOW, DISCARD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError, not_supported
from heliosd.execute.program import CommandResult, ResultColumn, Row
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.temporary import drop_all_temporary
from heliosd.sql.tree.base import NumericText
from heliosd.sql.tree.expressions import StringConstant, TypeCast
from heliosd.sql.tree.utility import Discard, SetKind, SetVariable, Show

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

TEXT: Final = 25
_LISTS: Final = frozenset(
    {"search_path", "temp_tablespaces", "datestyle", "session_preload_libraries"}
    | {"shared_preload_libraries", "local_preload_libraries"}
)
"""Settings whose value is a list; all others take one value (42601)."""


@runs(SetVariable, tag="SET", needs_snapshot=False)
def set_variable(statement: SetVariable, session: SessionServices) -> str:
    """SET [LOCAL] name, RESET name, RESET ALL."""
    if statement.local and statement.kind is not SetKind.RESET:
        _warn_outside_block(session)
    match statement.kind:
        case SetKind.RESET_ALL:
            session.settings.reset_all()
            return "RESET"
        case SetKind.RESET:
            session.settings.reset(statement.name)
            return "RESET"
        case SetKind.DEFAULT:
            session.settings.set(statement.name, None, local=statement.local)
        case SetKind.VALUE:
            session.settings.set(statement.name, setting_text(statement), local=statement.local)
        case SetKind.CURRENT:
            value = session.settings.get(statement.name)
            session.settings.set(statement.name, value, local=statement.local)
    return "SET"


def _warn_outside_block(session: SessionServices) -> None:
    if session.block.status.value == "I":
        session.notice(
            "SET LOCAL can only be used in transaction blocks", severity="WARNING", sqlstate="25P01"
        )


def setting_text(statement: SetVariable) -> str:
    """The value as one text; names in a list are quoted where they must be."""
    name = statement.name.lower()
    if len(statement.values) > 1 and name not in _LISTS:
        raise SqlError("22023", f"SET {statement.name} takes only one argument")
    texts = [_text(value) for value in statement.values]
    if name == "search_path":
        return ", ".join(_quoted(text) for text in texts)
    return ", ".join(texts)


def _quoted(name: str) -> str:
    """A schema's name as search_path shows it: quoted unless a plain identifier."""
    plain = name.replace("_", "a").replace("$", "a")
    if name and plain.isalnum() and plain.islower() and not name[0].isdigit() and "$" not in name:
        return name
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "on" if value else "off"
        case int():
            return str(value)
        case NumericText() | StringConstant():
            return value.text if isinstance(value, NumericText) else value.value
        case TypeCast(operand=StringConstant() as constant):
            return f"INTERVAL '{constant.value}'"
    raise not_supported("this kind of setting value")


@runs(
    Show,
    tag="SHOW",
    needs_snapshot=False,
    columns=lambda statement, session: show_columns(statement, session),
)
def show(statement: Show, session: SessionServices) -> CommandResult:
    """SHOW name, SHOW ALL."""
    columns = show_columns(statement, session)
    rows: list[Row]
    if statement.name.lower() == "all":
        rows = [tuple(row) for row in session.settings.all()]
    else:
        rows = [(session.settings.get(statement.name),)]
    return CommandResult("SHOW", columns, _batches(rows))


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    yield rows


def show_columns(statement: Show, _session: SessionServices) -> tuple[ResultColumn, ...]:
    """One column named as the setting is spelled, or three for ALL."""
    if statement.name.lower() == "all":
        return tuple(ResultColumn(name, TEXT) for name in ("name", "setting", "description"))
    spelled = _SPELLINGS.get(statement.name.lower(), statement.name.lower())
    return (ResultColumn(spelled, TEXT),)


_SPELLINGS: Final = {
    "datestyle": "DateStyle",
    "intervalstyle": "IntervalStyle",
    "timezone": "TimeZone",
}


@runs(Discard, tag="DISCARD", needs_snapshot=False)
def discard(statement: Discard, session: SessionServices) -> str:
    """DISCARD ALL is refused inside a transaction block."""
    target = statement.target.lower()
    if target == "all":
        session.block.forbid_block("DISCARD ALL")
    if target in ("all", "temp", "temporary"):
        drop_all_temporary(session)
    session.discard(target)
    return f"DISCARD {target.upper()}"
