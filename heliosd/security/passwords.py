"""Passwords at rest and at login: SCRAM verifiers, and what an unknown role is challenged with.

A login never tells before the proof whether the role exists, has a password, or may log in: each
gets a challenge of the same form after the same work (S-10). What the role lacks shows only to who
knows the password.

A role may have two live passwords, the new one and, for an overlap, the one before it. They share
salt and iterations, so one challenge serves both; a role with one gets a second verifier that no
password fits, so that every proof is checked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from helios_protocol.scram import (
    ITERATIONS_DEFAULT,
    MECHANISM,
    Verifier,
    make_verifier,
    mock_verifier,
    parse_verifier,
)
from heliosd.catalog.objects import Role
from heliosd.errors import SqlError, not_supported
from heliosd.security.password_policy import (
    PasswordPolicy,
    check_history,
    check_password,
    check_verifier,
    matches,
)

# How long the list of iteration counts in use is good enough for mock challenges.
_COUNTS_SECONDS: Final = 10.0
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Challenge:
    """`verifiers` to run the exchange with; `flaw` (a reason of AUTH_REASONS): it fails whatever
    the proof."""

    verifiers: tuple[Verifier, Verifier]
    flaw: str = ""


def stored_password(
    password: str, iterations: int = ITERATIONS_DEFAULT, *, salt: bytes | None = None
) -> str:
    """What rests in the catalog for a password, unchecked (the first start's, tests').

    A text that is a SCRAM verifier already (psql's \\password and pg_dumpall send those) is kept.
    Raises 0A000 for MD5. Takes milliseconds: `iterations` hashes.
    """
    if parse_verifier(password) is not None:
        return password
    if password.startswith("md5") and len(password) == 35:
        raise not_supported("MD5 password")
    return str(make_verifier(password, salt=salt, iterations=iterations))


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A new password on its way into the catalog. `overlap_until` keeps the present one alive
    that long (microseconds since 2000-01-01 UTC); None ends it."""

    password: str
    iterations: int
    policy: PasswordPolicy
    now_us: int
    overlap_until: int | None = None


def changed_password(role: Role, change: PasswordChange) -> Role | None:
    """The role with the new password; None when that is the empty one (no password).

    Raises 22023 for what the policy refuses, 0A000 for MD5. Takes milliseconds: run in a thread.
    """
    ready = parse_verifier(change.password)
    if ready is None and change.password.startswith(f"{MECHANISM}$"):
        # Taken as clear text it would be a password that nobody means.
        raise SqlError("22023", "invalid SCRAM verifier")
    earlier = ((role.verifier,) if role.verifier else ()) + role.password_history
    shared = parse_verifier(role.verifier) if role.verifier and change.overlap_until else None
    if ready is not None:
        check_verifier(ready, role.name, change.policy)
        if matches("", ready):
            return None
        check_history(None, ready, earlier, change.policy)
        if shared is not None and (shared.salt, shared.iterations) != (
            ready.salt,
            ready.iterations,
        ):
            raise SqlError(
                "22023",
                "a hashed password cannot overlap with the current one",
                detail="Two live passwords share their salt and iterations.",
                hint="Give the new password in clear text, over TLS.",
            )
        text = change.password
    else:
        check_password(change.password, role.name, change.policy)
        salt = shared.salt if shared is not None else None
        iterations = shared.iterations if shared is not None else change.iterations
        text = stored_password(change.password, iterations, salt=salt)
        check_history(change.password, made_verifier(text), earlier, change.policy)
    overlapping = shared is not None
    return replace(
        role,
        verifier=text,
        previous_verifier=role.verifier if overlapping else None,
        previous_until=change.overlap_until if overlapping else None,
        password_history=earlier[: max(0, change.policy.history - 1)],
        password_set=change.now_us,
        password_unchecked=ready is not None,
    )


def _share_challenge(one: Verifier, other: Verifier) -> bool:
    return (one.salt, one.iterations) == (other.salt, other.iterations)


def made_verifier(text: str) -> Verifier:
    """A stored text that is known to be one."""
    found = parse_verifier(text)
    assert found is not None
    return found


def without_password(role: Role) -> Role:
    """PASSWORD NULL: nothing is left to log in with; what was used before stays known."""
    earlier = ((role.verifier,) if role.verifier else ()) + role.password_history
    return replace(
        role,
        verifier=None,
        previous_verifier=None,
        previous_until=None,
        password_history=earlier,
        password_set=None,
        password_unchecked=False,
    )


class Challenger:
    """Chooses the challenge for each login. `mock_key` must outlive restarts: a salt that
    changed would tell that the role is not there. `age_max_us`: older passwords are as expired
    ones; 0 has no bound."""

    def __init__(
        self,
        mock_key: bytes,
        roles: Callable[[], Iterable[Role]],
        age_max_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self._mock_key = mock_key
        self._roles = roles
        self._age_max_us = age_max_us
        self._counts: tuple[int, ...] = ()
        self._counted_at = float("-inf")

    def challenge(self, name: str, role: Role | None, now_us: int) -> Challenge:
        """For the role called `name`; `now_us` as in timestamptz values (VALID UNTIL)."""
        mock = mock_verifier(self._mock_key, name, self._iterations())
        text = role.verifier if role is not None and role.verifier else str(mock)
        verifier = parse_verifier(text) or mock
        second = replace(mock, salt=verifier.salt, iterations=verifier.iterations)
        if role is None:
            return Challenge((verifier, second), "unknown_role")
        if not role.verifier or verifier is mock:
            return Challenge((verifier, second), "no_password")
        if role.previous_verifier and (role.previous_until or 0) > now_us:
            found = parse_verifier(role.previous_verifier)
            second = found if found is not None else second
        flaw = "expired" if is_expired(role, now_us) or self._is_too_old(role, now_us) else ""
        return Challenge((verifier, second), flaw)

    def _is_too_old(self, role: Role, now_us: int) -> bool:
        age_max_us = self._age_max_us()
        return bool(age_max_us) and now_us - (role.password_set or 0) > age_max_us

    def _iterations(self) -> tuple[int, ...]:
        """The counts of roles with a password, each as often as it occurs. NOLOGIN does not matter:
        a count that only such a role has would tell that it is there."""
        now = monotonic()
        if now - self._counted_at > _COUNTS_SECONDS:
            parsed = [parse_verifier(role.verifier) for role in self._roles() if role.verifier]
            self._counts = tuple(sorted(found.iterations for found in parsed if found is not None))
            self._counted_at = now
        return self._counts


def is_expired(role: Role, now_us: int) -> bool:
    """VALID UNTIL has passed. It holds for every method of logging in, passwords or not."""
    return role.valid_until is not None and role.valid_until < now_us
