"""A session's side to its client: bytes out, notices, COPY's streams, waiting for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from helios_protocol import messages as m
from helios_protocol.connection import Connection as Wire
from helios_protocol.encode import encode
from helios_protocol.fields import Fields
from helios_protocol.text import CODECS
from helios_storage.scheduler import Event
from heliosd.execute.context import CopyFormat
from heliosd.session.channel import Channel
from heliosd.session.copy import CopyIn, CopyOut
from heliosd.session.output import Output
from heliosd.settings.session import SessionSettings
from heliosd.settings.state import SessionSettingsState

if TYPE_CHECKING:
    from heliosd.session.instance import Instance

_SEVERITIES: Final = (
    *("DEBUG5", "DEBUG4", "DEBUG3", "DEBUG2", "DEBUG1"),
    *("LOG", "NOTICE", "WARNING", "ERROR"),
)
# Rows are handed to the socket when this much has been made.
CHUNK_BYTES: Final = 64 * 1024


class ClientState:
    """Where a session talks to its client. All of it on the loop's thread."""

    __slots__ = (
        "channel",
        "input_event",
        "instance",
        "output",
        "process_id",
        "reports",
        "settings_state",
        "wire",
    )

    def __init__(self, instance: Instance, channel: Channel, wire: Wire) -> None:
        self.instance = instance
        self.channel = channel
        self.wire = wire
        self.output = Output(channel, instance.storage.commits)
        self.process_id = instance.backends.new_process_id()
        # Set while the running statement waits for the client's next message.
        self.input_event: Event | None = None
        # Reported settings that have changed since the last ReadyForQuery.
        self.reports: dict[str, str] = {}
        self.settings_state = SessionSettingsState(
            instance.settings, instance.settings_base, self._setting_reported
        )

    def _setting_reported(self, name: str, shown: str) -> None:
        """PostgreSQL reports ahead of ReadyForQuery, the last value only."""
        self.reports[name] = shown
        if name == "client_encoding":
            # At once: what follows in this exchange is read and written by it.
            self.wire.codec = CODECS[shown]

    def take_reports(self) -> bytes:
        """ParameterStatus messages for what has changed since the last time."""
        reports, self.reports = self.reports, {}
        codec = self.wire.codec
        return b"".join(encode(m.ParameterStatus(*report), codec) for report in reports.items())

    def send(self, data: bytes) -> None:
        """Add to what goes out next."""
        self.output.parts.append(data)

    def send_streaming(self, data: bytes) -> None:
        """The same for long streams: hands over as it grows, and waits for a slow reader."""
        output = self.output
        output.parts.append(data)
        output.size_bytes += len(data)
        if output.size_bytes >= CHUNK_BYTES:
            self.drain()

    def drain(self) -> None:
        """Hand over what is there; wait while the client or the disk is behind."""
        output = self.output
        output.flush()
        hub = self.instance.hub
        while (event := self.channel.writable()) is not None:
            hub.wait(event)
        while output.held_bytes > self.instance.limits.output_bytes:
            durable = Event()
            self.instance.storage.when_durable(output.seen, durable.set)
            hub.wait(durable)

    def notice(
        self,
        message: str,
        *,
        severity: str = "NOTICE",
        sqlstate: str = "00000",
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        """A NoticeResponse, unless client_min_messages is above it."""
        if severity != "INFO":
            least = self.settings_state.value(SessionSettings.client_min_messages).upper()
            known = _SEVERITIES.index(severity) if severity in _SEVERITIES else 6
            if known < _SEVERITIES.index(least):
                return
        fields = Fields(severity, sqlstate, message, detail=detail, hint=hint)
        self.output.parts.append(encode(m.NoticeResponse(fields), self.wire.codec))

    def copy_in(self, form: CopyFormat) -> CopyIn:
        """CopyInResponse, then the client's stream."""
        return CopyIn(self, form)

    def copy_out(self, form: CopyFormat) -> CopyOut:
        """CopyOutResponse, then ours."""
        return CopyOut(self, form)

    def start_copy_in(self) -> None:
        """The wire expects CopyData."""
        self.wire.start_copy_in()

    def take_copy_data(self) -> bytes:
        """What the CopyData that are there hold; b"" when the next message is another."""
        return self.wire.take_copy_data()

    def wait_message(self) -> m.FrontendMessage:
        """The client's next message; suspends until it is there."""
        while True:
            message = self.wire.next_message()
            if message is not None:
                return message
            self.output.flush()
            self.channel.resume_reading()
            self.input_event = Event()
            try:
                self.instance.hub.wait(self.input_event)
            finally:
                self.input_event = None
