"""From a StartupMessage to a logged-in role: SASL step by step, refusals that tell nothing.

The order is PostgreSQL's: transport, then the proof, then what only its owner may learn (NOLOGIN,
no such database, no CONNECT, too many clients). Every refusal is counted by its method.
"""

from __future__ import annotations

from typing import Final, Protocol

from helios_protocol import messages as m
from helios_protocol.fields import ProtocolViolation
from helios_protocol.scram import MECHANISM, MECHANISM_PLUS, ScramFailed, ScramServer
from helios_protocol.startup import Negotiation
from heliosd.catalog.acl import CONNECT, has_privilege
from heliosd.catalog.lookup import Catalog, SharedCatalog
from heliosd.catalog.objects import Role
from heliosd.errors import (
    INSUFFICIENT_PRIVILEGE,
    INVALID_AUTHORIZATION_SPECIFICATION,
    INVALID_CATALOG_NAME,
    INVALID_PASSWORD,
    SqlError,
)
from heliosd.security.passwords import Challenge, Challenger
from heliosd.session.clock import now_us
from heliosd.session.login import Login

_NO: Final = ("", "false", "off", "no", "0")


class TransportFacts(Protocol):
    """How the client is connected."""

    @property
    def secure(self) -> bool: ...
    @property
    def channel_binding(self) -> bytes | None:
        """The digest of our certificate, when TLS is on."""
        ...


class Authentication:
    """One login. `start` gives the first message, `step` each next one; `login` is set at the end.

    Raises `SqlError` (severity FATAL) and `WireError`; the caller sends them and closes.
    `method` names the counter's label of a refusal.
    """

    def __init__(
        self,
        shared: SharedCatalog,
        challenger: Challenger,
        negotiation: Negotiation,
        facts: TransportFacts,
    ) -> None:
        self._shared = shared
        self._challenger = challenger
        self._negotiation = negotiation
        self._facts = facts
        self._exchange: ScramServer | None = None
        self._challenge: Challenge | None = None
        self.expected: type[m.AuthenticationResponse] = m.SASLInitialResponse
        self.method = "scram"
        self.login: Login | None = None
        parameters = negotiation.parameters
        self.user = parameters.get("user", "")
        self.database = parameters.get("database") or self.user

    def start(self) -> m.AuthenticationSASL:
        """The mechanisms; -PLUS first, where there is a channel to bind to."""
        if not self.user:
            self.method = "protocol"
            raise SqlError(
                INVALID_AUTHORIZATION_SPECIFICATION,
                "no PostgreSQL user name specified in startup packet",
                severity="FATAL",
            )
        if self._negotiation.parameters.get("replication", "") not in (
            "",
            "false",
            "off",
            "no",
            "0",
        ):
            self.method = "protocol"
            raise SqlError("0A000", "replication connections are not supported", severity="FATAL")
        if self._facts.channel_binding is not None:
            return m.AuthenticationSASL((MECHANISM_PLUS, MECHANISM))
        return m.AuthenticationSASL((MECHANISM,))

    def step(self, message: m.FrontendMessage) -> m.AuthenticationRequest:
        """One answer of the client; the last request is AuthenticationSASLFinal."""
        match message:
            case m.SASLInitialResponse(mechanism, response):
                return self._first(mechanism, response)
            case m.SASLResponse(response) if self._exchange is not None:
                return self._final(response)
            case _:
                raise ProtocolViolation("unexpected authentication message", fatal=True)

    def _first(self, mechanism: str, response: bytes | None) -> m.AuthenticationSASLContinue:
        binding = self._facts.channel_binding
        plus = mechanism == MECHANISM_PLUS
        if mechanism != MECHANISM and not (plus and binding is not None):
            self.method = "protocol"
            raise ProtocolViolation(
                "client selected an invalid SASL authentication mechanism", fatal=True
            )
        self.method = "scram_plus" if plus else "scram"
        if response is None:
            raise ProtocolViolation(
                "malformed SCRAM message", fatal=True, detail="The message is empty."
            )
        role = self._shared.role(self.user)
        self._challenge = self._challenger.challenge(self.user, role, now_us())
        self._exchange = ScramServer(self._challenge.verifiers, plus=plus, binding=binding)
        self.expected = m.SASLResponse
        return m.AuthenticationSASLContinue(self._exchange.first(response))

    def _final(self, response: bytes) -> m.AuthenticationSASLFinal:
        assert self._exchange is not None
        assert self._challenge is not None
        try:
            signature = self._exchange.final(response)
        except ScramFailed:
            raise self._refused() from None
        role = self._shared.role(self.user)
        if self._challenge.flaw or role is None:
            raise self._refused()
        self.login = self._admit(role)
        return m.AuthenticationSASLFinal(signature)

    def _refused(self) -> SqlError:
        return SqlError(
            INVALID_PASSWORD,
            f'password authentication failed for user "{self.user}"',
            severity="FATAL",
        )

    def _admit(self, role: Role) -> Login:
        """What only the password's owner may learn."""
        if not role.login:
            raise SqlError(
                INVALID_AUTHORIZATION_SPECIFICATION,
                f'role "{role.name}" is not permitted to log in',
                severity="FATAL",
            )
        database = self._shared.database(self.database)
        if database is None:
            raise SqlError(
                INVALID_CATALOG_NAME,
                f'database "{self.database}" does not exist',
                severity="FATAL",
            )
        if not database.allows_connections:
            raise SqlError(
                "55000",
                f'database "{database.name}" is not currently accepting connections',
                severity="FATAL",
            )
        if not has_privilege(Catalog(self._shared, database), role.oid, database, CONNECT):
            raise SqlError(
                INSUFFICIENT_PRIVILEGE,
                f'permission denied for database "{database.name}"',
                detail="User does not have CONNECT privilege.",
                severity="FATAL",
            )
        negotiation = self._negotiation
        return Login(
            role,
            database,
            negotiation.parameters,
            negotiation.minor,
            negotiation.secret_bytes,
            self.method,
        )
