"""JWT bearer tokens: signed by a key of our own JWKS file, for us, now, and never for a superuser.

The token's header chooses nothing but which of our keys to try: each key has one algorithm (RS256
or ES256), and what a header says of other keys (`jku`, `jwk`, `x5u`, `x5c`) or asks us to
understand (`crit`) refuses the token. RFC 8725 lists the attacks.

A token comes by OAUTHBEARER (RFC 7628, as PostgreSQL 18 speaks it) or, from clients that cannot,
as the password over TLS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from heliosd.security.bearer import TokenRefused

SKEW_S: Final = 60
TOKEN_BYTES_MAX: Final = 65_535
RSA_BITS_MIN: Final = 2048
_FOREIGN_KEYS: Final = ("jku", "jwk", "x5u", "x5c", "crit")
_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt", "")
# Three parts of base64url: what PyJWT would also take (blanks, more dots) never reaches it.
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class KeySetError(Exception):
    """The JWKS file cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key, for one algorithm."""

    key_id: str
    algorithm: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """What tokens must say. `role_claim` names the claim that holds the outside name."""

    issuer: str
    audience: str
    role_claim: str = "sub"


@dataclass(frozen=True, slots=True)
class TokenChecker:
    """Checks tokens against a key set."""

    keys: tuple[SigningKey, ...]
    settings: TokenSettings

    def subject(self, token: str, scope: str = "") -> str:
        """The outside name that a good token holds. Raises `TokenRefused`.

        `scope`: words that must all be among the token's (`scope` or `scp`).
        """
        if len(token) > TOKEN_BYTES_MAX or not _SHAPE.fullmatch(token):
            raise TokenRefused("malformed")
        claims = self._claims(token)
        if scope and not set(scope.split()) <= _scopes(claims):
            raise TokenRefused("scope")
        name = claims.get(self.settings.role_claim)
        if not isinstance(name, str) or not name or "\0" in name:
            raise TokenRefused("claim")
        return name

    def _claims(self, token: str) -> Mapping[str, Any]:
        signing = self._key_for(token)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                signing.key,
                algorithms=[signing.algorithm],
                audience=self.settings.audience,
                issuer=self.settings.issuer,
                leeway=SKEW_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("expired") from None
        except jwt.ImmatureSignatureError:
            raise TokenRefused("not_yet_valid") from None
        except jwt.InvalidAudienceError:
            raise TokenRefused("audience") from None
        except jwt.InvalidIssuerError:
            raise TokenRefused("issuer") from None
        except (jwt.PyJWTError, ArithmeticError, ValueError, TypeError, RecursionError):
            # Whatever a hostile token provokes in the library is a refusal like the others.
            raise TokenRefused("signature") from None
        return claims

    def _key_for(self, token: str) -> SigningKey:
        try:
            header: Mapping[str, Any] = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise TokenRefused("malformed") from None
        if any(name in header for name in _FOREIGN_KEYS):
            raise TokenRefused("foreign_key")
        if str(header.get("typ", "")).lower() not in _TYPES:
            raise TokenRefused("type")
        key_id = header.get("kid")
        candidates = [key for key in self.keys if key.key_id == key_id]
        if key_id is None and len(self.keys) == 1:
            candidates = list(self.keys)
        if len(candidates) != 1:
            raise TokenRefused("unknown_key")
        if header.get("alg") != candidates[0].algorithm:
            raise TokenRefused("algorithm")
        return candidates[0]


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, str):
        return set(found.split())
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()


def read_key_set(path: Path) -> tuple[SigningKey, ...]:
    """The RSA and P-256 keys of a JWKS file. Raises `KeySetError`."""
    try:
        document = json.loads(path.read_text("utf-8"))
        entries = document["keys"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeySetError(f"{path}: no JWKS can be read: {error}") from None
    keys = []
    for entry in entries:
        found = _signing_key(entry, path)
        if found is not None:
            keys.append(found)
    if not keys:
        raise KeySetError(f"{path}: holds no RS256 or ES256 key")
    if len({key.key_id for key in keys}) != len(keys):
        raise KeySetError(f"{path}: two keys have the same kid, or none")
    return tuple(keys)


def _signing_key(entry: Mapping[str, Any], path: Path) -> SigningKey | None:
    """The key of one entry; None for kinds that we do not check with (symmetric ones above all)."""
    kinds = {"RSA": "RS256", "EC": "ES256"}
    algorithm = kinds.get(str(entry.get("kty")))
    if algorithm is None or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", algorithm) != algorithm:
        return None
    if "d" in entry:
        raise KeySetError(f"{path}: holds a private key")
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise KeySetError(f"{path}: a key cannot be read: {error}") from None
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            raise KeySetError(f"{path}: RSA needs {RSA_BITS_MIN} bits, has {key.key_size}")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        return None
    return SigningKey(str(entry.get("kid", "")), algorithm, key)
