"""What a new password must be: long enough, not guessed first, not one of the last ones.

A clear-text password can be judged; a SCRAM verifier (psql's \\password and pg_dumpall send those)
cannot, except for the few guesses that are tried against it. Whether verifiers are taken at all
is a setting.
"""

from __future__ import annotations

import gzip
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from helios_protocol.scram import (
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    SALT_BYTES,
    Verifier,
    make_verifier,
    parse_verifier,
)
from heliosd.errors import SqlError

PASSWORD_BYTES_MAX: Final = 1_024
COMMON_FILE: Final = "common-passwords.txt.gz"


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """From the settings `helios.password_*`. `history`: how many last passwords are refused."""

    length_min: int = 12
    history: int = 5
    common_refused: bool = True
    prehashed_accepted: bool = True


def check_password(password: str, role: str, policy: PasswordPolicy) -> None:
    """22023 naming the rule that a clear-text password breaks; never the password itself."""
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise SqlError("22023", f"password is too long (maximum {PASSWORD_BYTES_MAX} bytes)")
    if len(password) < policy.length_min:
        raise SqlError(
            "22023",
            "password is too short",
            detail=f"It must have at least {policy.length_min} characters.",
        )
    if password.casefold() == role.casefold():
        raise SqlError("22023", "password must not equal user name")
    if policy.common_refused and is_common(password):
        raise SqlError(
            "22023",
            "password is too common",
            detail="It is among the passwords that are tried first.",
        )


def check_verifier(verifier: Verifier, role: str, policy: PasswordPolicy) -> None:
    """22023 for a ready-made SCRAM verifier that is not taken. Some milliseconds a guess.

    Iterations are bounded on both sides: few are cheap to crack, very many would be the server's
    way to keep its clients busy (CVE-2026-42198).
    """
    if not policy.prehashed_accepted:
        raise SqlError(
            "22023",
            "passwords that are hashed already are not accepted",
            hint="Give the password in clear text, over TLS: its strength is checked then.",
        )
    if not ITERATIONS_MIN <= verifier.iterations <= ITERATIONS_MAX:
        raise SqlError(
            "22023",
            f"SCRAM verifier has {verifier.iterations} iterations",
            detail=f"They must be between {ITERATIONS_MIN} and {ITERATIONS_MAX}.",
        )
    if len(verifier.salt) != SALT_BYTES:
        # The challenge shows the salt: one of another length tells a role from none.
        raise SqlError("22023", f"SCRAM verifier's salt must have {SALT_BYTES} bytes")
    if matches(role, verifier):
        raise SqlError("22023", "password must not equal user name")


def check_history(
    password: str | None, verifier: Verifier, earlier: Iterable[str], policy: PasswordPolicy
) -> None:
    """22023 when the new password is one of the last ones (newest first in `earlier`).

    Hashes once per distinct salt; of a ready-made verifier only its exact repetition shows.
    """
    for text in list(earlier)[: policy.history]:
        old = parse_verifier(text)
        if old is None:
            continue
        same = old == verifier if password is None else matches(password, old)
        if same:
            raise SqlError(
                "22023",
                "password was used before",
                detail=f"The last {policy.history} passwords of a role cannot be used again.",
            )


def matches(password: str, verifier: Verifier) -> bool:
    """Whether the verifier is this password's. Takes `iterations` hashes."""
    made = make_verifier(password, salt=verifier.salt, iterations=verifier.iterations)
    return hmac.compare_digest(made.stored_key, verifier.stored_key)


def is_common(password: str) -> bool:
    """Whether a password is on the list, in any case."""
    return password.casefold() in common_passwords()


@lru_cache(maxsize=1)
def common_passwords() -> frozenset[str]:
    """The list, read when a password is first changed: 10,000 and those of 12 letters and more."""
    packed = files("heliosd.security").joinpath("lists", COMMON_FILE).read_bytes()
    return frozenset(gzip.decompress(packed).decode().splitlines())
