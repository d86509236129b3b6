"""One client's session: messages in, statements run, answers out.

    receive -> (a task in the hub) _run -> _handle -> simple.on_query | extended.on_...
                                            '- an error -> ErrorResponse, skip to Sync

The task lives while there are messages to handle and ends when the client must send more; a
statement that waits suspends it. Errors become ErrorResponses in `_fail` only: what is not an
`SqlError` by then is XX000 with an id, its traceback in the server's log and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent

from helios_protocol import messages as m
from helios_protocol.connection import Connection as Wire
from helios_protocol.encode import AUTHENTICATION_OK, READY_FOR_QUERY, encode
from helios_protocol.fields import WireError
from helios_storage.spec import Lsn
from heliosd.errors import (
    ADMIN_SHUTDOWN,
    INSUFFICIENT_PRIVILEGE,
    INTERNAL_ERROR,
    QUERY_CANCELED,
    SqlError,
)
from heliosd.execute.program import PlanIsStale
from heliosd.session import extended, fast, simple
from heliosd.session.chain.execution import Waiting
from heliosd.session.channel import Channel
from heliosd.session.clock import now_us
from heliosd.session.failures import as_sql_error, as_told, error_fields
from heliosd.session.links import LinkedSession
from heliosd.session.login import Login, start_settings

if TYPE_CHECKING:
    from heliosd.execute.hub import Task
    from heliosd.session.instance import Instance


class SessionEnded(BaseException):
    """Thrown into the task: the session ends now. `error` None: the client is gone already."""

    def __init__(self, error: SqlError | None) -> None:
        super().__init__()
        self.error = error


def _on_sync(session: Session, message: m.FrontendMessage) -> None:
    session.block.finish_implicit()


def _on_flush(session: Session, message: m.FrontendMessage) -> None:
    session.output.flush()


def _on_terminate(session: Session, message: m.FrontendMessage) -> None:
    raise SessionEnded(None)


_HANDLERS: Final[Mapping[type, Callable[[Any, Any], None]]] = MappingProxyType(
    {
        m.Query: lambda session, message: simple.on_query(session, message.text),
        m.Parse: extended.on_parse,
        m.Bind: extended.on_bind,
        m.Describe: extended.on_describe,
        m.Execute: extended.on_execute,
        m.Close: extended.on_close,
        m.Sync: _on_sync,
        m.Flush: _on_flush,
        m.FunctionCall: extended.on_function_call,
        m.Terminate: _on_terminate,
    }
)
# After these the client waits for ReadyForQuery.
_ENDS_EXCHANGE: Final = (m.Query, m.Sync, m.FunctionCall)
_QUERY, _BIND, _PARSE = b"QBP"
_READY_BYTES: Final = len(READY_FOR_QUERY["I"])
# No frame that the short way takes is shorter.
_SHORTEST: Final = 6
_TIMED: Final = (m.Query, m.Parse, m.Bind, m.Execute)


class Session(LinkedSession):
    """See the module. `start` greets; then `receive` is called with each piece of plain bytes."""

    __slots__ = (
        "_bytes_received",
        "_ended",
        "_idle_timer",
        "_leaving",
        "_notified",
        "_quiet",
        "_reading_paused",
        "_receiving",
        "_task",
        "_timer",
    )

    def __init__(self, instance: Instance, channel: Channel, wire: Wire, login: Login) -> None:
        super().__init__(instance, channel, wire, login.role, login.database)
        self.minor = login.minor
        self.cancel_secret = instance.backends.new_secret(login.secret_bytes)
        self._task: Task | None = None
        # Between statements with nothing buffered: the next segment may be a whole exchange.
        self._quiet = False
        self._bytes_received = instance.metrics.bytes_received
        self._receiving = False
        self._reading_paused = False
        self._ended = False
        self._leaving = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._notified: list[tuple[bytes, Lsn]] | None = None

    # ------------------------------------------------------------ beginning

    def start(self, login: Login, final: bytes) -> None:
        """Settings of the login, then everything up to the first ReadyForQuery in one write."""
        self.output.parts.append(final)
        try:
            start_settings(self, login)
        except (SqlError, WireError) as error:
            self._send_error(as_sql_error(error), severity="FATAL")
            self._finish()
            return
        self.instance.backends.add(self)
        # The start-up's own changes are covered by the full list.
        self.reports.clear()
        warnings = self.output.parts[1:]
        self.output.parts[:] = [final, AUTHENTICATION_OK, *warnings]
        for name, shown in self.settings_state.reported():
            self.output.parts.append(encode(m.ParameterStatus(name, shown)))
        self.output.parts.append(encode(m.BackendKeyData(self.process_id, self.cancel_secret)))
        self._ready()
        self.output.flush()
        self._quiet = self.wire.quiet
        if self.wire.buffered_bytes:
            self.receive(b"")

    # ------------------------------------------------------------ bytes in

    def receive(self, data: bytes) -> None:
        """Plain bytes of the client."""
        self._bytes_received.value += len(data)
        if self._quiet and self._answered(data):
            return
        if self._ended:
            return
        self._quiet = False
        wire, waiting = self.wire, self.waiting
        if waiting is not None:
            self.waiting = None
            self._start_task(lambda: self._wait(waiting, data))
            return
        wire.receive(data)
        if self._task is None:
            self._start_task(self._handle_all)
        elif self.input_event is not None:
            self.input_event.set()
        if self._task is not None and wire.buffered_bytes > self.instance.limits.input_bytes:
            self._reading_paused = True
            self.channel.pause_reading()

    def _start_task(self, body: Callable[[], None]) -> None:
        if self._idle_timer is not None:
            self._stop_idle_timer()
        self._receiving = True
        try:
            self.instance.hub.start(lambda: self._run(body))
        finally:
            self._receiving = False
        if self._task is not None:
            # It waits for something: what is complete must not wait with it.
            self.output.flush()

    def _answered(self, data: bytes) -> bool:
        """Try the short way for a whole exchange; False: nothing has happened yet."""
        code = data[0] if len(data) > _SHORTEST else 0
        try:
            if code == _BIND:
                answer = fast.on_bind_frame(self, data)
            elif code == _QUERY:
                answer = fast.on_query_frame(self, data)
            elif code == _PARSE:
                answer = fast.on_parse_frame(self, data)
            else:
                return False
            if answer is None:
                return False
        except BaseException as error:
            return self._answer_failure(error)
        output = self.output
        if self.reports or self._notified:
            output.parts.append(answer[:-_READY_BYTES])
            self._before_ready()
            answer = answer[-_READY_BYTES:]
        output.send(answer)
        if self._idle_timer is not None or self._leaving or self.idle_transaction_timeout_ms:
            self._after_short_way()
        return True

    def _answer_failure(self, error: BaseException) -> bool:
        """An error on the short way: the exchange is over with it."""
        try:
            self._fail(error)
            self._ready()
        except SessionEnded as ended:
            self._end_now(ended)
        self.output.flush()
        return True

    def _after_short_way(self) -> None:
        """What ReadyForQuery brings along on the long way."""
        self._stop_idle_timer()
        if self._leaving and not self.block.in_block:
            self._end_now(SessionEnded(_shutting_down()))
        else:
            self._start_idle_timer()

    def _end_now(self, ended: SessionEnded) -> None:
        if ended.error is not None:
            self._send_error(ended.error, severity="FATAL")
        self._finish()

    def _run(self, body: Callable[[], None]) -> None:
        """The task: handle what is there."""
        self._task = getcurrent()
        try:
            body()
        except SessionEnded as ended:
            self._end_now(ended)
        finally:
            self._task = None
            self.output.flush()
            self._quiet = self.wire.quiet
            if self._reading_paused:
                self._reading_paused = False
                self.channel.resume_reading()

    def _wait(self, waiting: Waiting, data: bytes) -> None:
        """An exchange (`data`) that the short way began to answer, and whatever follows it."""
        started_ns = perf_counter_ns()
        try:
            self._start_timer()
            self.execution.run_waiting(waiting)
            self.block.finish_implicit()
            self.accounting.leave(waiting.program, started_ns)
        except SessionEnded:
            raise
        except PlanIsStale:
            self._stop_timer()
            self.admission.give_back()
            self.wire.receive(data)
            self._handle_all()
            return
        except BaseException as error:
            self._fail(error)
        finally:
            self._stop_timer()
        self._ready()
        self._handle_all()

    def _handle_all(self) -> None:
        wire = self.wire
        task = self._task
        while True:
            try:
                if task is not None and isinstance(task.pending, SessionEnded):
                    raise task.pending
                message = wire.next_message()
                if message is None:
                    return
                self._give_way()
                self._handle(message)
            except WireError as error:
                self._wire_failed(error)

    def _give_way(self) -> None:
        """Between messages: many short statements in one segment are long work too."""
        # A cancel that arrives here finds no statement.
        with contextlib.suppress(SqlError):
            self.instance.hub.check_slice()

    def _handle(self, message: m.FrontendMessage) -> None:
        kind = type(message)
        self.eval.statement_us = now_us()
        ends_exchange = kind in _ENDS_EXCHANGE
        try:
            if kind in _TIMED:
                self._start_timer()
            _HANDLERS[kind](self, message)
        except SessionEnded:
            raise
        except BaseException as error:
            self._fail(error)
            self.wire.fail()
        finally:
            self._stop_timer()
        if ends_exchange:
            self._ready()

    def _wire_failed(self, error: WireError) -> None:
        """A frame that cannot be cut ends the session; a bad body only its exchange."""
        if error.fatal:
            self._send_error(as_sql_error(error), severity="FATAL")
            self._finish()
            raise SessionEnded(None)
        self._fail(error)
        simple_query = not self.wire.is_extended
        self.wire.fail()
        if simple_query:
            self._ready()

    def _ready(self) -> None:
        """ReadyForQuery, with notifications ahead of it between transactions."""
        block = self.block
        if self.reports or self._notified:
            self._before_ready()
        self.output.parts.append(READY_FOR_QUERY[block.status.value])
        self.state_changed_us = self.eval.statement_us
        if self._task is not None and not self._receiving:
            self.output.flush()
        if self._leaving and not block.in_block:
            raise SessionEnded(_shutting_down())
        if self.idle_session_timeout_ms or self.idle_transaction_timeout_ms:
            self._start_idle_timer()

    def _before_ready(self) -> None:
        """Changed settings, and notifications between transactions."""
        if self.reports:
            self.output.parts.append(self.take_reports())
        if not self.block.in_block and self._notified:
            self._send_notifications()

    # ------------------------------------------------------------ errors

    def _fail(self, error: BaseException) -> None:
        """Answer an error and undo what it must undo."""
        sql_error = self.counted(as_told(error) or self._unexpected(error))
        self.accounting.failed()
        if sql_error.sqlstate == INSUFFICIENT_PRIVILEGE:
            self.tell_refusal(sql_error)
        self.take_binary_answer()
        try:
            self.block.fail()
        except BaseException as undo_error:
            sql_error = self._unexpected(undo_error)
        if sql_error.severity in ("FATAL", "PANIC"):
            raise SessionEnded(sql_error) from None
        self._send_error(sql_error)

    def _unexpected(self, error: BaseException) -> SqlError:
        """The last resort: an id for the client, the rest for our log."""
        number = secrets.token_hex(6)
        self.instance.log.exception("statement.failed", error, id=number, pid=self.process_id)
        return SqlError(INTERNAL_ERROR, f"internal error {number}")

    def _send_error(self, error: SqlError, severity: str | None = None) -> None:
        fields = error_fields(error, severity)
        self.output.parts.append(encode(m.ErrorResponse(fields), self.wire.codec))

    # ------------------------------------------------------------ timers

    def _start_timer(self) -> None:
        if self.settings_state.version != self._settings_version:
            self.refresh()
        if self.statement_timeout_ms and self._task is not None:
            task = self._task
            self._timer = asyncio.get_running_loop().call_later(
                self.statement_timeout_ms / 1000,
                lambda: task.cancel(
                    SqlError(QUERY_CANCELED, "canceling statement due to statement timeout")
                ),
            )

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        task = self._task
        if task is not None and isinstance(task.pending, SqlError):
            # A cancel that came too late for its statement must not hit the next one.
            task.pending = None

    def _start_idle_timer(self) -> None:
        self._stop_idle_timer()
        in_block = self.block.in_block
        limit_ms = self.idle_transaction_timeout_ms if in_block else self.idle_session_timeout_ms
        if limit_ms:
            self._idle_timer = asyncio.get_running_loop().call_later(
                limit_ms / 1000, self._idle_too_long, in_block
            )

    def _stop_idle_timer(self) -> None:
        timer, self._idle_timer = self._idle_timer, None
        if timer is not None:
            timer.cancel()

    def _idle_too_long(self, in_block: bool) -> None:  # noqa: FBT001  a timer's argument
        self._idle_timer = None
        if in_block:
            self._end(
                SqlError("25P03", "terminating connection due to idle-in-transaction timeout")
            )
        else:
            self._end(SqlError("57P05", "terminating connection due to idle-session timeout"))

    # ------------------------------------------------------------ from outside

    @property
    def is_running(self) -> bool:
        """Whether a statement is being run."""
        return self._task is not None

    def cancel(self) -> None:
        """57014 to the running statement, if there is one."""
        if self._task is not None:
            self._task.cancel(SqlError(QUERY_CANCELED, "canceling statement due to user request"))

    def terminate(self) -> None:
        """57P01, then the connection ends."""
        self._end(SqlError(ADMIN_SHUTDOWN, "terminating connection due to administrator command"))

    def terminate_when_idle(self) -> None:
        """57P01 as soon as no statement runs and no transaction block is open (shutdown)."""
        self._leaving = True
        if self._task is None and not self.block.in_block:
            self.terminate()

    def _end(self, error: SqlError) -> None:
        if self._ended:
            return
        if self._task is not None:
            self._task.cancel(SessionEnded(error))
            return
        self._send_error(error, severity="FATAL")
        self._finish()

    def lost(self) -> None:
        """The client is gone."""
        if self._ended:
            return
        self.output.drop()
        if self._task is not None:
            self._task.cancel(SessionEnded(None))
        else:
            self._finish()

    def notification_arrived(self, pid: int, channel: str, payload: str, lsn: Lsn) -> None:
        """From the bus: at once when idle between transactions, else before ReadyForQuery."""
        frame = encode(m.NotificationResponse(pid, channel, payload), self.wire.codec)
        if self._notified is None:
            self._notified = []
        self._notified.append((frame, lsn))
        if self._task is None and not self.block.in_block:
            self._send_notifications()
            self.output.flush()

    def _send_notifications(self) -> None:
        notified, self._notified = self._notified, None
        for frame, lsn in notified or ():
            self.output.parts.append(frame)
            if lsn > self.output.seen:
                self.output.seen = lsn

    # ------------------------------------------------------------ ending

    def _finish(self) -> None:
        """Undo what is open and hang up. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        self._quiet = False
        self._stop_idle_timer()
        self._stop_timer()
        self.wire.close()
        try:
            self.block.abort()
            self.portals.end_session()
            if self._notifications is not None:
                self._notifications.close()
            self.instance.storage.locks.release_session(self.lock_owner)
        except Exception as error:
            self._unexpected(error)
        self.instance.backends.remove(self)
        self.drop_temporary()
        self.output.close()
        # Not now: the callers up the stack are still looking at it.
        asyncio.get_running_loop().call_soon(self.dismantle)


def _shutting_down() -> SqlError:
    return SqlError(ADMIN_SHUTDOWN, "terminating connection due to administrator command")
