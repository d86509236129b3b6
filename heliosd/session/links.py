"""A session's state with the chain that its statements pass."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

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

# Lines in the log for a session that asks for what it may not have.
REFUSALS_PER_SECOND: Final = 10


class LinkedSession(SessionState):
    """`admission` -> `authorization` -> `execution` -> `accounting`."""

    __slots__ = (
        "accounting",
        "admission",
        "authorization",
        "bucket",
        "execution",
        "reader",
        "refusals_told",
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
        # (second, lines written in it): a client that is refused all day does not fill the log.
        self.refusals_told = (0, 0)
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

    def tell_refusal(self, error: SqlError) -> None:
        """A line for what the role may not do; ten a second at most."""
        second, told = self.refusals_told
        now = int(monotonic())
        self.refusals_told = (now, told + 1 if now == second else 1)
        if now != second or told < REFUSALS_PER_SECOND:
            _, found, what = error.message.partition("permission denied for ")
            to = f" to {what}" if found else f": {error.message}"
            self.instance.log.warning(
                "access.refused",
                message="Unauthorized access attempt" + to,
                role=self.current_role, session_role=self.session_role, database=self.database,
                code=error.sqlstate,
            )  # fmt: skip

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
