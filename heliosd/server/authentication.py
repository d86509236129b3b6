"""From a StartupMessage to a logged-in role: the rule, the proof, refusals that tell nothing.

The order is PostgreSQL's: transport, host-based rule, then the proof, then what only its owner may
learn (NOLOGIN, no such database, no CONNECT). Between rule and proof stands the book of failed
logins. Every refusal has a method and a reason for the counter and the log; the client of a failed
proof gets the same bytes after the same work, whatever was wrong (S-10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
from heliosd.security import bearer
from heliosd.security.bearer import TokenRefused, TokenVerifier
from heliosd.security.certificates import ClientCertificate
from heliosd.security.hba import Client, HostRule, HostRules
from heliosd.security.ident_map import IdentMaps
from heliosd.security.lockout import LockoutBook
from heliosd.security.memberships import all_roles_of
from heliosd.security.passwords import Challenge, Challenger, is_expired
from heliosd.session.clock import now_us
from heliosd.session.login import Login

_NO: Final = ("", "false", "off", "no", "0")
# The counter's word for each method of a rule.
_METHODS: Final = {"scram-sha-256": "scram"}
_GUESSED: Final = frozenset({"scram-sha-256", "oauth", "jwt"})
"""Methods whose proof can be guessed at: the book of failures stands before them."""


class TransportFacts(Protocol):
    """How the client is connected, and what that alone shows of it."""

    @property
    def secure(self) -> bool: ...
    @property
    def channel_binding(self) -> bytes | None:
        """The digest of our certificate, when TLS is on."""
        ...

    @property
    def address(self) -> str:
        """As failures are counted: unix sockets have their user's."""
        ...

    @property
    def client_address(self) -> tuple[str, int] | None:
        """None on a unix socket."""
        ...

    @property
    def server_address(self) -> tuple[str, int] | None: ...
    @property
    def client_certificate(self) -> ClientCertificate | None: ...
    @property
    def peer_user(self) -> str | None:
        """The operating system's user at the other end of a unix socket."""
        ...


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """What decides about logins; replaced as a whole at a reload."""

    challenger: Challenger
    rules: HostRules
    maps: IdentMaps = field(default_factory=IdentMaps)
    tokens: TokenVerifier | None = None
    issuer: str = ""
    lockout: LockoutBook | None = None


class Authentication:
    """One login. `start` gives the first message, `step` each next one (None: nothing to send);
    `login` is set at the end.

    Raises `SqlError` (severity FATAL) and `WireError`; the caller sends them and closes. `method`
    and `reason` label the refusal; `delay_s`: the first message is to be held back so long.
    """

    def __init__(
        self,
        shared: SharedCatalog,
        policy: LoginPolicy,
        negotiation: Negotiation,
        facts: TransportFacts,
    ) -> None:
        self._shared = shared
        self._policy = policy
        self._negotiation = negotiation
        self._facts = facts
        self._rule: HostRule | None = None
        self._exchange: ScramServer | None = None
        self._challenge: Challenge | None = None
        self._unheard = ""
        self.expected: type[m.AuthenticationResponse] = m.SASLInitialResponse
        self.long_answers = False
        self.method = "none"
        self.reason = "protocol"
        self.delay_s = 0.0
        self.locked_now = False
        self.login: Login | None = None
        parameters = negotiation.parameters
        self.user = parameters.get("user", "")
        self.database = parameters.get("database") or self.user

    # ------------------------------------------------------------ beginning

    def start(self) -> m.AuthenticationRequest | None:
        """The first request, by the rule that fits; None where none is needed."""
        if not self.user:
            raise _fatal("no PostgreSQL user name specified in startup packet")
        if self._negotiation.parameters.get("replication", "") not in _NO:
            raise SqlError("0A000", "replication connections are not supported", severity="FATAL")
        rule = self._rule = self._find_rule()
        self.method = _METHODS.get(rule.method, rule.method)
        self._check_certificate(rule)
        if rule.method in _GUESSED:
            self.delay_s = self._check_lockout()
        match rule.method:
            case "scram-sha-256":
                if self._facts.channel_binding is not None:
                    return m.AuthenticationSASL((MECHANISM_PLUS, MECHANISM))
                return m.AuthenticationSASL((MECHANISM,))
            case "oauth":
                self.long_answers = True
                return m.AuthenticationSASL((bearer.MECHANISM,))
            case "jwt":
                self.expected = m.PasswordMessage
                return m.AuthenticationCleartextPassword()
            case "cert":
                self._admit_certificate(rule)
            case _:
                self._admit_peer(rule)
        return None

    def _find_rule(self) -> HostRule:
        facts = self._facts
        address, own = facts.client_address, facts.server_address
        client = Client(
            database=self.database,
            role=self.user,
            address=address[0] if address else None,
            secure=facts.secure,
            groups=self._groups,
            server_address=own[0] if own else None,
        )
        rule = self._policy.rules.first_match(client)
        if rule is not None and rule.method != "reject":
            return rule
        self.reason = "no_rule" if rule is None else "rejected"
        text = "no pg_hba.conf entry for" if rule is None else "pg_hba.conf rejects connection for"
        encryption = "SSL encryption" if facts.secure else "no encryption"
        raise _fatal(
            f'{text} host "{address[0] if address else "[local]"}", user "{self.user}", '
            f'database "{self.database}", {encryption}'
        )

    def _groups(self) -> frozenset[str]:
        role = self._shared.role(self.user)
        if role is None:
            return frozenset()
        return frozenset(found.name for found in all_roles_of(self._shared, role))

    def _check_lockout(self) -> float:
        """The seconds to hold the first request back; 28000 where no try is taken now."""
        lockout = self._policy.lockout
        if lockout is None:
            return 0.0
        verdict = lockout.verdict(self.user, self._facts.address)
        if verdict.refused_s:
            self.reason = "locked"
            error = _fatal("too many failed login attempts")
            error.hint = f"Retry after {math.ceil(verdict.refused_s)} s."
            raise error
        return verdict.delay_s

    # ------------------------------------------------------------ the proof

    def step(self, message: m.FrontendMessage) -> m.AuthenticationRequest | None:
        """One answer of the client; None when it needs no further message."""
        match message:
            case m.SASLInitialResponse(mechanism, response) if self._is("oauth"):
                return self._token_by_sasl(mechanism, response)
            case m.SASLResponse(response) if self._unheard:
                bearer.check_heard(response)
                raise self._refused(self._unheard, counts=self._unheard == "token")
            case m.SASLInitialResponse(mechanism, response):
                return self._first(mechanism, response)
            case m.SASLResponse(response) if self._exchange is not None:
                return self._final(response)
            case m.PasswordMessage(password) if self._is("jwt"):
                self._token_by_password(password)
                return None
            case _:
                self.reason = "protocol"
                raise ProtocolViolation("unexpected authentication message", fatal=True)

    def _is(self, method: str) -> bool:
        return self._rule is not None and self._rule.method == method

    def _first(self, mechanism: str, response: bytes | None) -> m.AuthenticationSASLContinue:
        binding = self._facts.channel_binding
        plus = mechanism == MECHANISM_PLUS
        self.reason = "protocol"
        if mechanism != MECHANISM and not (plus and binding is not None):
            raise _bad_mechanism()
        self.method = "scram_plus" if plus else "scram"
        if response is None:
            raise ProtocolViolation(
                "malformed SCRAM message", fatal=True, detail="The message is empty."
            )
        role = self._shared.role(self.user)
        self._challenge = self._policy.challenger.challenge(self.user, role, now_us())
        self._exchange = ScramServer(self._challenge.verifiers, plus=plus, binding=binding)
        self.expected = m.SASLResponse
        return m.AuthenticationSASLContinue(self._exchange.first(response))

    def _final(self, response: bytes) -> m.AuthenticationSASLFinal:
        assert self._exchange is not None
        assert self._challenge is not None
        # Again: many connections may have been waiting here when the last failure was counted.
        self._check_lockout()
        try:
            signature = self._exchange.final(response)
        except ScramFailed:
            raise self._refused(self._challenge.flaw or "password") from None
        role = self._shared.role(self.user)
        if self._challenge.flaw or role is None:
            raise self._refused(self._challenge.flaw or "unknown_role")
        self._admit(role)
        return m.AuthenticationSASLFinal(signature)

    def _refused(self, reason: str, *, counts: bool = True) -> SqlError:
        """The proof was not good: told in the same words whatever the reason.

        It `counts` as a failed try, unless the client only asked where to get a token.
        """
        self.reason = reason
        lockout = self._policy.lockout
        if lockout is not None and counts:
            self.locked_now = lockout.failed(self.user, self._facts.address)
        if self.method == "oauth":
            return _fatal(f'OAuth bearer authentication failed for user "{self.user}"')
        return SqlError(
            INVALID_PASSWORD,
            f'password authentication failed for user "{self.user}"',
            severity="FATAL",
        )

    # ------------------------------------------------------------ tokens

    def _token_by_sasl(
        self, mechanism: str, response: bytes | None
    ) -> m.AuthenticationSASLContinue | None:
        self.reason = "protocol"
        if mechanism != bearer.MECHANISM:
            raise _bad_mechanism()
        assert self._rule is not None
        token = bearer.read_initial(response or b"")
        try:
            if not token:
                raise TokenRefused("absent")
            role = self._role_of(token)
        except TokenRefused:
            self._unheard = "token" if token else "no_password"
            self.expected = m.SASLResponse
            options = self._rule.options
            return m.AuthenticationSASLContinue(
                bearer.refusal(options.get("issuer", self._policy.issuer), options.get("scope", ""))
            )
        self._admit(role)
        return None

    def _token_by_password(self, password: bytes) -> None:
        try:
            role = self._role_of(password.rstrip(b"\0").decode("ascii", "replace"))
        except TokenRefused:
            raise self._refused("token") from None
        self._admit(role)

    def _role_of(self, token: str) -> Role:
        """The role that the token may be. Raises `TokenRefused`."""
        assert self._rule is not None
        tokens, options = self._policy.tokens, self._rule.options
        if tokens is None:
            raise TokenRefused("no_keys")
        name = tokens.subject(token, options.get("scope", ""))
        role = self._shared.role(self.user)
        if not self._policy.maps.allows(options.get("map", ""), name, self.user) or role is None:
            raise TokenRefused("role")
        if any(found.superuser for found in all_roles_of(self._shared, role)):
            # A token is somebody else's word: no way up from it, not by SET ROLE either.
            raise TokenRefused("superuser")
        return role

    # ------------------------------------------------------------ certificates and peers

    def _check_certificate(self, rule: HostRule) -> None:
        """What option clientcert asks for beside another proof."""
        wanted = rule.options.get("clientcert")
        if wanted is None or rule.method == "cert":
            return
        if self._facts.client_certificate is None:
            raise self._certificate_refused("connection requires a valid client certificate")
        if wanted == "verify-full" and not self._names_user(rule):
            raise self._certificate_refused(
                f'certificate authentication failed for user "{self.user}"'
            )

    def _admit_certificate(self, rule: HostRule) -> None:
        if self._facts.client_certificate is None:
            raise self._certificate_refused("connection requires a valid client certificate")
        if not self._names_user(rule):
            raise self._certificate_refused(
                f'certificate authentication failed for user "{self.user}"'
            )
        self._admit(self._existing_role())

    def _names_user(self, rule: HostRule) -> bool:
        certificate = self._facts.client_certificate
        assert certificate is not None
        names = certificate.names(rule.options.get("clientname", "CN"))
        map_name = rule.options.get("map", "")
        return any(self._policy.maps.allows(map_name, name, self.user) for name in names)

    def _certificate_refused(self, message: str) -> SqlError:
        self.reason = "certificate"
        return _fatal(message)

    def _admit_peer(self, rule: HostRule) -> None:
        peer = self._facts.peer_user
        if peer is None or not self._policy.maps.allows(
            rule.options.get("map", ""), peer, self.user
        ):
            self.reason = "peer"
            raise _fatal(f'Peer authentication failed for user "{self.user}"')
        self._admit(self._existing_role())

    def _existing_role(self) -> Role:
        role = self._shared.role(self.user)
        if role is None:
            self.reason = "unknown_role"
            raise _fatal(f'role "{self.user}" does not exist')
        return role

    # ------------------------------------------------------------ after the proof

    def _admit(self, role: Role) -> None:
        """What only the proof's owner may learn; sets `login`."""
        if not role.login:
            self.reason = "nologin"
            raise _fatal(f'role "{role.name}" is not permitted to log in')
        if is_expired(role, now_us()):
            self.reason = "expired"
            raise _fatal(f'role "{role.name}" is no longer valid')
        self.reason = "database"
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
        self.reason = "connections"
        if self._policy.lockout is not None and self.method not in ("cert", "peer"):
            self._policy.lockout.succeeded(self.user, self._facts.address)
        negotiation = self._negotiation
        self.login = Login(
            role,
            database,
            negotiation.parameters,
            negotiation.minor,
            negotiation.secret_bytes,
            self.method,
        )


def _fatal(message: str) -> SqlError:
    return SqlError(INVALID_AUTHORIZATION_SPECIFICATION, message, severity="FATAL")


def _bad_mechanism() -> ProtocolViolation:
    return ProtocolViolation("client selected an invalid SASL authentication mechanism", fatal=True)
