"""Passwords at rest and at login: SCRAM verifiers, and what an unknown role is challenged with.

A login never tells before the proof whether the role exists, has a password, or may log in: each
gets a challenge of the same form after the same work (S-10). What the role lacks shows only to who
knows the password.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from helios_protocol.scram import (
    ITERATIONS_DEFAULT,
    Verifier,
    make_verifier,
    mock_verifier,
    parse_verifier,
)
from heliosd.catalog.objects import Role
from heliosd.errors import SqlError, not_supported

PASSWORD_BYTES_MAX: Final = 1_024
# How long the list of iteration counts in use is good enough for mock challenges.
_COUNTS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """`verifiers` to run the exchange with; `usable` False: it fails whatever the proof."""

    verifiers: tuple[Verifier, ...]
    usable: bool


def stored_password(password: str, iterations: int = ITERATIONS_DEFAULT) -> str:
    """What rests in the catalog for a password given to CREATE or ALTER ROLE.

    A text that is a SCRAM verifier already (psql's \\password and pg_dumpall send those) is kept.
    Raises 22023 for a password too long, 0A000 for MD5. Takes milliseconds: `iterations` hashes.
    """
    if parse_verifier(password) is not None:
        return password
    if password.startswith("md5") and len(password) == 35:
        raise not_supported("MD5 password")
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise SqlError("22023", f"password is too long (maximum {PASSWORD_BYTES_MAX} bytes)")
    return str(make_verifier(password, iterations=iterations))


class Challenger:
    """Chooses the challenge for each login. `mock_key` must outlive restarts: a salt that
    changed would tell that the role is not there."""

    def __init__(self, mock_key: bytes, roles: Callable[[], Iterable[Role]]) -> None:
        self._mock_key = mock_key
        self._roles = roles
        self._counts: tuple[int, ...] = ()
        self._counted_at = float("-inf")

    def challenge(self, name: str, role: Role | None, now_us: int) -> Challenge:
        """For the role called `name`; `now_us` as in timestamptz values (VALID UNTIL)."""
        mock = mock_verifier(self._mock_key, name, self._iterations())
        text = role.verifier if role is not None and role.verifier else str(mock)
        verifier = parse_verifier(text)
        expired = role is not None and role.valid_until is not None and role.valid_until < now_us
        if role is None or not role.verifier or verifier is None:
            return Challenge((mock,), usable=False)
        return Challenge((verifier,), usable=not expired)

    def _iterations(self) -> tuple[int, ...]:
        """The counts of roles that log in, each as often as it occurs."""
        now = monotonic()
        if now - self._counted_at > _COUNTS_SECONDS:
            parsed = [
                parse_verifier(role.verifier)
                for role in self._roles()
                if role.login and role.verifier
            ]
            self._counts = tuple(sorted(found.iterations for found in parsed if found is not None))
            self._counted_at = now
        return self._counts
