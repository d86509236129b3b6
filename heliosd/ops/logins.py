"""How logins are decided, from the configuration: rules, maps, tokens, and the book of failures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from helios_storage.keyring import KeyKind
from helios_storage.storage import Storage
from heliosd.catalog.lookup import SharedCatalog
from heliosd.ops.lockout_file import LockoutFile
from heliosd.security.bearer import TokenVerifier
from heliosd.security.hba import BadLine, HostRules, default_rules, parse_rules
from heliosd.security.hba_lexer import HbaError
from heliosd.security.ident_map import IdentMaps, parse_maps
from heliosd.security.lockout import LockoutBook
from heliosd.security.passwords import DAY_US, Challenger
from heliosd.server.authentication import LoginPolicy
from heliosd.settings.server import ServerSettings as S
from heliosd.settings.sources import ConfigurationError, ServerConfiguration

_NAMES: Final = b"heliosd/v1/lockout-names"


def login_policy(
    configuration: ServerConfiguration,
    storage: Storage,
    catalog: SharedCatalog,
    lockout: LockoutBook | None,
) -> LoginPolicy:
    """What is configured now. Raises `ConfigurationError`: then nothing changes."""
    age_max_us = configuration.value(S.password_max_age) * DAY_US
    rules = read_rules(configuration)
    if rules.bad:
        first = rules.bad[0]
        raise ConfigurationError(f"host-based rules, line {first.line}: {first.error}")
    return LoginPolicy(
        challenger=Challenger(storage.secret(KeyKind.MOCK), catalog.roles, lambda: age_max_us),
        rules=rules,
        maps=_maps(configuration),
        tokens=_tokens(configuration),
        issuer=configuration.value(S.jwt_issuer),
        lockout=lockout,
    )


def read_rules(configuration: ServerConfiguration) -> HostRules:
    """The host-based rules as they stand in the configuration, bad lines and all."""
    text = _text(configuration.value(S.host_rules), configuration.value(S.hba_file), "host_rules")
    return parse_rules(text or default_rules())


def shown_rules(configuration: ServerConfiguration) -> HostRules:
    """The same for those who look at them: a file that cannot be read is a bad line, too."""
    try:
        return read_rules(configuration)
    except ConfigurationError as error:
        return HostRules((), (BadLine(0, str(error)),))


def read_maps(configuration: ServerConfiguration) -> IdentMaps | HbaError:
    """The user name maps as they stand in the configuration, or what is wrong with them."""
    value = configuration.value
    try:
        return parse_maps(_text(value(S.ident_map), value(S.ident_file), "ident_map"))
    except HbaError as error:
        return error
    except ConfigurationError as error:
        return HbaError(0, str(error))


def _maps(configuration: ServerConfiguration) -> IdentMaps:
    found = read_maps(configuration)
    if isinstance(found, HbaError):
        raise ConfigurationError(f"user name maps, line {found.line}: {found}")
    return found


def _text(given: str, path: str, name: str) -> str:
    """The setting's own text, or that of the file."""
    if given and path:
        raise ConfigurationError(f"{name} and its file are both set")
    if not path:
        return given
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _tokens(configuration: ServerConfiguration) -> TokenVerifier | None:
    path = configuration.value(S.jwt_key_set)
    if not path:
        return None
    # Only servers that take tokens pay for the library.
    from heliosd.security.tokens import KeySetError, TokenChecker, TokenSettings, read_key_set

    issuer, audience = configuration.value(S.jwt_issuer), configuration.value(S.jwt_audience)
    if not issuer or not audience:
        raise ConfigurationError("jwt_key_set needs jwt_issuer and jwt_audience")
    try:
        keys = read_key_set(Path(path))
    except KeySetError as error:
        raise ConfigurationError(str(error)) from None
    return TokenChecker(
        keys, TokenSettings(issuer, audience, configuration.value(S.jwt_role_claim))
    )


def oldest_password_s(catalog: SharedCatalog, now_us: int) -> float:
    """Age in seconds of the oldest password that is still good for a login; 0 for none."""
    ages = [
        now_us - role.password_set
        for role in catalog.roles()
        if role.login and role.verifier and role.password_set is not None
    ]
    return max(ages, default=0) / 1_000_000


def open_lockout(
    configuration: ServerConfiguration, storage: Storage, directory: Path
) -> tuple[LockoutBook, LockoutFile] | None:
    """The book as it was written down last; None where it is turned off."""
    if not configuration.value(S.login_lockout):
        return None
    secret = storage.secret(KeyKind.MOCK)
    book = LockoutBook(derived_key(secret, _NAMES), time.time)
    file = LockoutFile(directory, secret)
    book.restore(file.read())
    return book, file


def derived_key(secret: bytes, use: bytes) -> bytes:
    """32 bytes for one use of a secret."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=use).derive(secret)
