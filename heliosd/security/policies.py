"""Which policies hold for a role and a command, combined by PostgreSQL's rules.

Permissive ones are joined by OR, restrictive ones by AND; without a permissive one nothing is seen
and nothing may be written. Restrictive ones come first, by name; the permissive ones after them,
as PostgreSQL keeps them, in the reverse order of their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from heliosd.catalog import acl
from heliosd.catalog.objects import PUBLIC_ROLE, Policy, Table
from heliosd.catalog.row_security import is_restricted
from heliosd.errors import INSUFFICIENT_PRIVILEGE, SqlError

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog

Command = Literal["r", "a", "w", "d"]
"""SELECT, INSERT, UPDATE, DELETE, as in pg_policy.polcmd."""

NEVER: Final = "false"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of a row: one of `texts` (canonical SQL over the table's columns).

    `policy`: the name of the restrictive policy that it is; "" for the permissive ones together.
    """

    texts: tuple[str, ...]
    policy: str = ""


def require_row_security(catalog: Catalog, role: int, table: Table, *, enabled: bool) -> bool:
    """`is_restricted`; 42501 where policies would apply and `row_security` is off."""
    if not is_restricted(catalog, role, table):
        return False
    if not enabled:
        raise SqlError(
            INSUFFICIENT_PRIVILEGE,
            f'query would be affected by row-level security policy for table "{table.name}"',
            hint="To disable the policy for the table's owner, use ALTER TABLE NO FORCE ROW LEVEL "
            "SECURITY."
            if acl.is_owner(catalog, role, table)
            else None,
        )
    return True


@dataclass(frozen=True, slots=True)
class Applicable:
    """The policies of one table that hold for a role and a command."""

    permissive: tuple[Policy, ...]
    restrictive: tuple[Policy, ...]

    def using(self) -> tuple[Condition, ...]:
        """Which rows are seen: all of these must hold."""
        seen = tuple(p.using for p in self.permissive if p.using is not None)
        if not seen:
            return (Condition((NEVER,)),)
        narrowing = (Condition((p.using,), p.name) for p in self.restrictive if p.using is not None)
        return (*narrowing, Condition(seen))

    def target(self) -> tuple[Condition, ...]:
        """`using` as checks of a row that is there: the permissive ones first."""
        *narrowing, seen = self.using()
        return (seen, *narrowing)

    def check(self) -> tuple[Condition, ...]:
        """Which rows may be written: all of these must hold of the new one."""
        allowed = tuple(text for p in self.permissive if (text := _written(p)) is not None)
        if not allowed:
            return (Condition((NEVER,)),)
        narrowing = (
            Condition((text,), p.name)
            for p in self.restrictive
            if (text := _written(p)) is not None
        )
        return (Condition(allowed), *narrowing)


def _written(policy: Policy) -> str | None:
    """WITH CHECK, or USING where the policy has none."""
    return policy.using if policy.check is None else policy.check


def applicable(catalog: Catalog, role: int, table: Table, command: Command) -> Applicable:
    """The policies for ALL and for the command that name the role, PUBLIC, or one whose
    privileges it has."""
    found = [
        policy
        for policy in table.policies
        if policy.command in ("*", command) and _is_for(catalog, role, policy)
    ]
    return Applicable(
        tuple(policy for policy in reversed(found) if policy.permissive),
        tuple(policy for policy in found if not policy.permissive),
    )


def _is_for(catalog: Catalog, role: int, policy: Policy) -> bool:
    return any(
        each == PUBLIC_ROLE or acl.has_privileges_of(catalog, role, each) for each in policy.roles
    )
