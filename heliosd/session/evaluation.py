"""One session as its expressions see it: `types.context.EvalContext`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from heliosd.session.clock import now_us
from heliosd.settings.session import SessionSettings
from heliosd.types.styles import Styles
from heliosd.types.zone import UTC, find_zone

if TYPE_CHECKING:
    from heliosd.execute.routines import Routines
    from heliosd.session.channel import Channel
    from heliosd.session.instance import Instance
    from heliosd.settings.state import SessionSettingsState
    from heliosd.types.context import (
        AdvisoryLocks,
        CatalogLookup,
        SecurityAccess,
        SequenceAccess,
    )


class EvaluationOwner(Protocol):
    """What evaluation needs of its session."""

    @property
    def instance(self) -> Instance: ...
    @property
    def channel(self) -> Channel: ...
    @property
    def settings_state(self) -> SessionSettingsState: ...
    @property
    def current_role(self) -> str: ...
    @property
    def session_role(self) -> str: ...
    @property
    def current_role_oid(self) -> int: ...
    @property
    def database(self) -> str: ...
    @property
    def database_oid(self) -> int: ...
    @property
    def process_id(self) -> int: ...
    @property
    def face(self) -> CatalogLookup: ...
    @property
    def sequences(self) -> SequenceAccess: ...
    @property
    def advisory_locks(self) -> AdvisoryLocks: ...
    @property
    def security(self) -> SecurityAccess: ...
    @property
    def routines(self) -> Routines: ...
    def cursor_place(self, name: str, table: int) -> tuple[Any, ...] | None: ...
    def set_setting(self, name: str, value: str | None, *, local: bool = False) -> None: ...
    def transaction_id(self, *, assign: bool) -> int | None: ...
    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None: ...
    def notify(self, channel: str, payload: str) -> None: ...
    def signal_backend(self, pid: int, *, terminate: bool) -> bool: ...
    def reload_configuration(self) -> bool: ...
    def check_domain(self, oid: int, value: Any) -> Any: ...


class Evaluation:
    """Times are set by the session: `transaction_us` when a transaction opens, `statement_us`
    when a message arrives."""

    __slots__ = (
        "_owner",
        "_random",
        "_styles",
        "_styles_version",
        "statement_us",
        "transaction_us",
    )

    def __init__(self, owner: EvaluationOwner) -> None:
        self._owner = owner
        self._random: random.Random | None = None
        self._styles = Styles()
        self._styles_version = -1
        self.transaction_us = self.statement_us = now_us()

    def clock_us(self) -> int:
        """clock_timestamp()."""
        return now_us()

    @property
    def styles(self) -> Styles:
        """Parsed once per change of any setting."""
        state = self._owner.settings_state
        if state.version != self._styles_version:
            self._styles = make_styles(state)
            self._styles_version = state.version
        return self._styles

    def setting(self, name: str) -> str:
        """current_setting()."""
        return self._owner.settings_state.show(name)

    def set_setting(self, name: str, value: str | None, *, local: bool) -> str:
        """set_config()."""
        self._owner.set_setting(name, value, local=local)
        return self._owner.settings_state.show(name)

    @property
    def current_role(self) -> str:
        return self._owner.current_role

    @property
    def session_role(self) -> str:
        return self._owner.session_role

    @property
    def current_role_oid(self) -> int:
        return self._owner.current_role_oid

    @property
    def database(self) -> str:
        return self._owner.database

    @property
    def database_oid(self) -> int:
        return self._owner.database_oid

    @property
    def catalog(self) -> CatalogLookup:
        return self._owner.face

    @property
    def sequences(self) -> SequenceAccess:
        return self._owner.sequences

    @property
    def advisory_locks(self) -> AdvisoryLocks:
        return self._owner.advisory_locks

    @property
    def security(self) -> SecurityAccess:
        return self._owner.security

    @property
    def backend_pid(self) -> int:
        return self._owner.process_id

    @property
    def client_address(self) -> tuple[str, int] | None:
        return self._owner.channel.client_address

    @property
    def server_address(self) -> tuple[str, int] | None:
        return self._owner.channel.server_address

    @property
    def server_start_us(self) -> int:
        return self._owner.instance.started_us

    def transaction_id(self, *, assign: bool) -> int | None:
        """txid_current() and its _if_assigned."""
        return self._owner.transaction_id(assign=assign)

    def sleep(self, seconds: float) -> None:
        """pg_sleep()."""
        if seconds > 0:
            self._owner.instance.hub.sleep(seconds)

    def check_interrupts(self) -> None:
        """Gives way; a cancel is thrown here."""
        self._owner.instance.hub.check_slice()

    def notice(self, severity: str, message: str, *, sqlstate: str = "00000") -> None:
        """RAISE NOTICE and the like."""
        self._owner.notice(message, severity=severity, sqlstate=sqlstate)

    def notify(self, channel: str, payload: str) -> None:
        """pg_notify()."""
        self._owner.notify(channel, payload)

    def check_domain(self, oid: int, value: Any) -> Any:
        """The value, when a domain's own constraints allow it."""
        return self._owner.check_domain(oid, value)

    def cancel_backend(self, pid: int) -> bool:
        """pg_cancel_backend()."""
        return self._owner.signal_backend(pid, terminate=False)

    def terminate_backend(self, pid: int) -> bool:
        """pg_terminate_backend()."""
        return self._owner.signal_backend(pid, terminate=True)

    def call_routine(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: tuple[Any, ...],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Any:
        """A user's function."""
        return self._owner.routines.call(oid, arguments, result, values, columns)

    def routine_rows(
        self,
        oid: int,
        arguments: tuple[int, ...],
        result: int,
        values: tuple[Any, ...],
        columns: tuple[tuple[str, int], ...] = (),
    ) -> Iterator[Any]:
        """A user's set-returning function."""
        return self._owner.routines.rows(oid, arguments, result, values, columns)

    def cursor_place(self, name: str, table: int) -> tuple[Any, ...] | None:
        """WHERE CURRENT OF."""
        return self._owner.cursor_place(name, table)

    def random(self) -> float:
        """random()."""
        if self._random is None:
            self._random = random.Random()  # noqa: S311  SQL's random() promises no secrecy
        return self._random.random()

    def set_seed(self, seed: float) -> None:
        """setseed()."""
        self._random = random.Random(seed)  # noqa: S311

    def reload_configuration(self) -> bool:
        """pg_reload_conf()."""
        return self._owner.reload_configuration()


def make_styles(state: SessionSettingsState) -> Styles:
    """The settings that change how values are read and shown."""
    style, order = state.value(SessionSettings.date_style).split(", ")
    return Styles(
        date_style=style,
        date_order=order,
        interval_style=state.value(SessionSettings.interval_style),
        zone=find_zone(state.value(SessionSettings.timezone)) or UTC,
        extra_float_digits=state.value(SessionSettings.extra_float_digits),
        bytea_hex=state.value(SessionSettings.bytea_output) == "hex",
        array_nulls=state.value(SessionSettings.array_nulls),
        xml_document=state.value(SessionSettings.xmloption) == "document",
    )
