"""A session's state with the chain that its statements pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helios_protocol.connection import Connection as Wire
from heliosd.catalog.objects import Database, Role
from heliosd.errors import SqlError
from heliosd.session.buckets import KeyExtractor
from heliosd.session.chain.accounting import Accounting
from heliosd.session.chain.admission import Admission
from heliosd.session.chain.authorization import Authorization
from heliosd.session.chain.execution import Execution, Waiting
from heliosd.session.channel import Channel
from heliosd.session.state import SessionState

if TYPE_CHECKING:
    from helios_storage.transaction import Transaction
    from heliosd.session.instance import Instance


class LinkedSession(SessionState):
    """`admission` -> `authorization` -> `execution` -> `accounting`."""

    __slots__ = (
        "accounting",
        "admission",
        "authorization",
        "bucket",
        "execution",
        "reader",
        "waiting",
    )

    def __init__(
        self, instance: Instance, channel: Channel, wire: Wire, role: Role, database: Database
    ) -> None:
        super().__init__(instance, channel, wire, role, database)
        self.admission = Admission(
            instance.statement_buckets, self._admission_key(), instance.metrics
        )
        # The short way takes its token without a call.
        self.bucket = self.admission.bucket
        self.authorization = Authorization(self)
        self.execution = Execution(self)
        # What the short way has begun to ask for and must wait for.
        self.waiting: Waiting | None = None
        self.accounting = Accounting(instance.metrics)
        # Reads alone, again and again, by the short way; made by the first of them.
        self.reader: Transaction | None = None

    def _admission_key(self) -> str:
        """Whose bucket this session's statements draw from."""
        match self.instance.key_extractor:
            case KeyExtractor.ROLE:
                return self.session_role
            case KeyExtractor.DATABASE:
                return self.database
            case _:
                address = self.channel.client_address
                return address[0] if address else "local"

    def check_statement_size(self, text: str) -> None:
        """54000 for a text beyond the limit (S-26)."""
        most = self.instance.limits.statement_bytes
        if len(text) > most // 4 and len(text.encode()) > most:
            raise SqlError("54000", f"statement text exceeds {most} bytes")

    def dismantle(self) -> None:
        """The links point back here too."""
        del self.authorization
        del self.execution
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.rollback()
        super().dismantle()
