"""The password part of CREATE and ALTER ROLE: policy, hashing, two live passwords.

PASSWORD 'new' RETAIN CURRENT PASSWORD [FOR 'interval'] keeps the present password good for that
time (`helios.password_overlap` without FOR), so that clients can be moved one by one; DISCARD OLD
PASSWORD ends it early. Both are extensions of PostgreSQL's syntax.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.security.password_policy import PasswordPolicy
from heliosd.security.passwords import PasswordChange, changed_password, without_password
from heliosd.settings.session import SessionSettings as S

if TYPE_CHECKING:
    from heliosd.catalog.objects import Role
    from heliosd.execute.context import SessionServices
    from heliosd.settings.registry import Setting

PASSWORD_OPTIONS: Final = frozenset({"password", "retainpassword", "discardpassword"})
"""What a role may change of itself."""

OVERLAP_MAX_US: Final = 366 * 86_400_000_000


def with_password(session: SessionServices, role: Role, options: dict[str, Any]) -> Role:
    """The role after the password options. 22023 where the policy refuses, 0A000 for MD5."""
    if "retainpassword" in options and not options.get("password"):
        raise SqlError("42601", "RETAIN CURRENT PASSWORD needs PASSWORD with a new one")
    if "password" in options:
        role = _changed(session, role, options["password"], options.get("retainpassword"))
        _log_after_commit(session, role.name)
    if "discardpassword" in options:
        role = replace(role, previous_verifier=None, previous_until=None)
    return role


def _changed(
    session: SessionServices, role: Role, password: str | None, retain: str | None
) -> Role:
    if password is None:
        return without_password(role)
    if retain is not None and not role.verifier:
        raise SqlError("55000", f'role "{role.name}" has no password to retain')
    now_us = session.context.eval.clock_us()
    change = PasswordChange(
        password=password,
        iterations=_value(session, S.scram_iterations),
        policy=PasswordPolicy(
            length_min=_value(session, S.password_min_length),
            history=_value(session, S.password_history),
            common_refused=_value(session, S.password_refuse_common),
            prehashed_accepted=_value(session, S.password_prehashed),
        ),
        now_us=now_us,
        overlap_until=None if retain is None else now_us + _overlap_us(session, retain),
    )
    # Hashing takes milliseconds, so a thread does it.
    scheduler = session.transaction.manager.scheduler
    changed = scheduler.run_in_thread(changed_password, role, change) if password else None
    if changed is None:
        session.notice("empty string is not a valid password, clearing password")
        return without_password(role)
    return changed


def _log_after_commit(session: SessionServices, role: str) -> None:
    by = session.session_role
    session.run_after_commit(
        lambda: session.log_event(
            "password.changed", message=f"User {role} password changed", role=role, by=by
        )
    )


def _value(session: SessionServices, setting: Setting[Any]) -> Any:
    return setting.parse(session.settings.get(setting.name))


def _overlap_us(session: SessionServices, text: str) -> int:
    """Microseconds of FOR '...', or of the setting. 22023 unless it is a positive time."""
    if not text:
        return int(_value(session, S.password_overlap)) * 1_000_000
    kind = session.catalog.types.named("interval")
    months, days, microseconds = kind.input(text, -1, session.context.eval)
    total = (months * 30 + days) * 86_400_000_000 + microseconds
    if not 0 < total <= OVERLAP_MAX_US:
        raise SqlError("22023", f'overlap of two passwords must be up to a year: "{text}"')
    return int(total)
