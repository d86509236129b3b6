"""LISTEN, UNLISTEN, NOTIFY: all take effect at commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heliosd.errors import SqlError
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.utility import Listen, Notify, Unlisten

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

PAYLOAD_BYTES_MAX: Final = 8000


@runs(Listen, tag="LISTEN", needs_snapshot=False)
def listen(statement: Listen, session: SessionServices) -> None:
    """LISTEN channel."""
    session.notifications.listen(statement.channel)


@runs(Unlisten, tag="UNLISTEN", needs_snapshot=False)
def unlisten(statement: Unlisten, session: SessionServices) -> None:
    """UNLISTEN channel or *."""
    if statement.channel is None:
        session.notifications.unlisten_all()
    else:
        session.notifications.unlisten(statement.channel)


@runs(Notify, tag="NOTIFY", needs_snapshot=False)
def notify(statement: Notify, session: SessionServices) -> None:
    """NOTIFY channel, payload: 22023 when the payload is too long."""
    payload = statement.payload or ""
    if len(payload.encode()) >= PAYLOAD_BYTES_MAX:
        raise SqlError("22023", "payload string too long")
    session.notifications.notify(statement.channel, payload)
