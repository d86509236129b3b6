"""Host-based rules: who may try to log in from where, and how they must show who they are.

The text is pg_hba.conf's, a rule a line, the first that matches decides, and nobody gets in whom
no rule names:

    local    DATABASE  USER             METHOD  [OPTIONS]
    host     DATABASE  USER  ADDRESS    METHOD  [OPTIONS]
    hostssl, hostnossl, hostgssenc, hostnogssenc      as host, for that transport only

Methods are those that show something: `trust`, `password` and `md5` are no methods here. GSSAPI
encryption does not exist here, so `hostgssenc` never matches, not over TLS either (CVE-2026-14681),
and `hostnogssenc` always does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from heliosd.security.hba_lexer import HbaError, Token, TokenLine, cut_lines

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

TYPES: Final = ("local", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
METHODS: Final = ("scram-sha-256", "cert", "peer", "oauth", "jwt", "reject")
"""scram-sha-256 with or without -PLUS; oauth: a token by OAUTHBEARER; jwt: a token as password."""

_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "map": ("cert", "peer", "oauth", "jwt"),
        "clientcert": ("scram-sha-256", "cert", "oauth", "jwt"),
        "clientname": ("scram-sha-256", "cert", "oauth", "jwt"),
        "issuer": ("oauth", "jwt"),
        "scope": ("oauth", "jwt"),
    }
)
_OPTION_VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"clientcert": ("verify-ca", "verify-full"), "clientname": ("CN", "DN", "SAN")}
)
_WEAK: Final = frozenset({"trust", "password", "md5"})
_ELSEWHERE: Final = frozenset({"gss", "sspi", "ident", "pam", "bsd", "ldap", "radius"})


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, before any proof. `address` is None on a unix socket. `groups`: the names of all
    roles that `role` is a member of, asked only where a rule needs them."""

    database: str
    role: str
    address: str | None
    secure: bool
    groups: Callable[[], frozenset[str]] = frozenset
    server_address: str | None = None
    replication: bool = False


@dataclass(frozen=True, slots=True)
class HostRule:
    """One line. `address` is a network, one of the words all and samehost, or "" for local."""

    line: int
    kind: str
    databases: tuple[Token, ...]
    users: tuple[Token, ...]
    address: Network | str
    method: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def fits(self, client: Client) -> bool:
        """Whether this rule decides about the client."""
        return (
            self._fits_transport(client)
            and any(_is_database(token, client) for token in self.databases)
            and any(_is_user(token, client) for token in self.users)
        )

    def _fits_transport(self, client: Client) -> bool:
        if self.kind == "local" or client.address is None:
            return self.kind == "local" and client.address is None
        if self.kind == "hostgssenc" or self.kind == ("hostnossl" if client.secure else "hostssl"):
            return False
        if isinstance(self.address, str):
            return self.address == "all" or _same_host(client)
        found = host_address(client.address)
        return found.version == self.address.version and found in self.address


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no rule: nothing is in force then, it is shown with its error."""

    line: int
    error: str


@dataclass(frozen=True, slots=True)
class HostRules:
    """All rules in their order."""

    rules: tuple[HostRule, ...]
    bad: tuple[BadLine, ...] = ()

    def first_match(self, client: Client) -> HostRule | None:
        """The rule that decides; None: nobody named this client."""
        return next((rule for rule in self.rules if rule.fits(client)), None)


def default_rules() -> str:
    """What holds while nothing is configured: a password from everywhere. Plaintext TCP is
    decided before any rule, by `tls_required`."""
    return (
        "local all all scram-sha-256\n"
        "hostssl all all all scram-sha-256\n"
        "hostnossl all all 127.0.0.0/8 scram-sha-256\n"
        "hostnossl all all ::1/128 scram-sha-256\n"
    )


def parse_rules(text: str) -> HostRules:
    """Every line, good and bad."""
    rules: list[HostRule] = []
    bad: list[BadLine] = []
    for line in cut_lines(text):
        if isinstance(line, HbaError):
            bad.append(BadLine(line.line, str(line)))
            continue
        try:
            rules.append(_rule(line))
        except HbaError as error:
            bad.append(BadLine(line.number, str(error)))
    return HostRules(tuple(rules), tuple(bad))


def host_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address; IPv4 inside IPv6 is IPv4, zone names are dropped."""
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _same_host(client: Client) -> bool:
    assert client.address is not None
    found = host_address(client.address)
    own = host_address(client.server_address) if client.server_address else None
    return found.is_loopback or found == own


def _is_database(token: Token, client: Client) -> bool:
    if client.replication:
        return token.is_word("replication")
    if token.is_word("all"):
        return True
    if token.is_word("sameuser"):
        return client.database == client.role
    if token.is_word("samerole") or token.is_word("samegroup"):
        return client.database == client.role or client.database in client.groups()
    if token.is_word("replication"):
        return False
    return token.text == client.database


def _is_user(token: Token, client: Client) -> bool:
    if token.is_word("all"):
        return True
    if token.text.startswith("+") and not token.quoted:
        group = token.text[1:]
        return group == client.role or group in client.groups()
    return token.text == client.role


# -- reading a line -------------------------------------------------------------------------------


def _rule(line: TokenLine) -> HostRule:
    fields = iter(line.fields)
    kind = _single(_next(fields, line, "no connection type"), "connection type").text
    if kind not in TYPES:
        raise HbaError(line.number, f'invalid connection type "{kind}"')
    databases = _next(fields, line, "end-of-line before database specification")
    users = _next(fields, line, "end-of-line before role specification")
    for token in (*databases, *users):
        # Taken as a name it would never fit, and a reject would let everybody through.
        if token.text.startswith("@") and not token.quoted:
            raise HbaError(line.number, f"files of names are not supported: {token.text}")
    address: Network | str = ""
    if kind != "local":
        first = _single(
            _next(fields, line, "end-of-line before IP address specification"), "IP address"
        )
        address = _address(line, first, fields)
    method = _single(
        _next(fields, line, "end-of-line before authentication method"), "authentication method"
    ).text
    _check_method(line, method, kind)
    options = dict(_option(line, method, each) for field in fields for each in field)
    if options.get("clientcert") == "verify-ca" and method == "cert":
        raise HbaError(line.number, 'clientcert only accepts "verify-full" with method cert')
    return HostRule(line.number, kind, databases, users, address, method, MappingProxyType(options))


def _next(fields: Iterator[tuple[Token, ...]], line: TokenLine, missing: str) -> tuple[Token, ...]:
    found = next(fields, None)
    if found is None:
        raise HbaError(line.number, missing)
    return found


def _single(tokens: tuple[Token, ...], what: str) -> Token:
    if len(tokens) != 1:
        raise HbaError(0, f"multiple values specified for {what}")
    return tokens[0]


def _address(line: TokenLine, token: Token, fields: Iterator[tuple[Token, ...]]) -> Network | str:
    if token.is_word("all") or token.is_word("samehost"):
        return token.text
    if token.is_word("samenet"):
        raise HbaError(line.number, "samenet is not supported: name the network")
    text = token.text
    try:
        if "/" in text:
            return ipaddress.ip_network(text, strict=False)
        ipaddress.ip_address(text)
    except ValueError:
        raise HbaError(
            line.number, f'invalid IP address "{text}" (host names are not supported)'
        ) from None
    mask = _single(_next(fields, line, "end-of-line before netmask specification"), "IP mask").text
    try:
        return _masked(text, mask)
    except ValueError:
        raise HbaError(line.number, f'invalid IP mask "{mask}"') from None


def _masked(address: str, mask: str) -> Network:
    """The network of an address and a mask in the same notation. Raises ValueError."""
    bits = int(ipaddress.ip_address(mask))
    width = ipaddress.ip_address(address).max_prefixlen
    length = bits.bit_count()
    if bits != ((1 << length) - 1) << (width - length):
        raise ValueError("the mask has holes")
    if ipaddress.ip_address(mask).max_prefixlen != width:
        raise ValueError("address and mask differ in kind")
    return ipaddress.ip_network(f"{address}/{length}", strict=False)


def _check_method(line: TokenLine, method: str, kind: str) -> None:
    if method in _WEAK:
        raise HbaError(
            line.number,
            f'authentication method "{method}" proves too little and is not supported: '
            "use scram-sha-256",
        )
    if method in _ELSEWHERE:
        raise HbaError(line.number, f'authentication method "{method}" is not supported')
    if method not in METHODS:
        raise HbaError(line.number, f'invalid authentication method "{method}"')
    if method == "peer" and kind != "local":
        raise HbaError(line.number, "peer authentication is only supported on local sockets")
    if method == "cert" and kind != "hostssl":
        raise HbaError(line.number, "cert authentication is only supported on hostssl connections")
    if method in ("jwt", "oauth") and kind != "hostssl":
        raise HbaError(
            line.number, f"{method} authentication is only supported on hostssl connections"
        )


def _option(line: TokenLine, method: str, token: Token) -> tuple[str, str]:
    name, equals, value = token.text.partition("=")
    if not equals:
        raise HbaError(line.number, f"authentication option not in name=value format: {token.text}")
    if name not in _OPTIONS:
        raise HbaError(line.number, f'unrecognized authentication option name: "{name}"')
    if method not in _OPTIONS[name]:
        methods = ", ".join(_OPTIONS[name])
        raise HbaError(
            line.number,
            f'authentication option "{name}" is only valid for authentication methods {methods}',
        )
    if name in _OPTION_VALUES and value not in _OPTION_VALUES[name]:
        raise HbaError(line.number, f'invalid value for {name}: "{value}"')
    return name, value
