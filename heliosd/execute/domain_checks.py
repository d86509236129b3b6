"""A domain's constraints, tested on a value: by casts, input functions and ALTER DOMAIN.

A CHECK rests as canonical SQL that says VALUE. Here it becomes a statement with one parameter,
prepared once per version of the domain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliosd.catalog.objects import Constraint, TypeObject
from heliosd.errors import SqlError
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree.expressions import ColumnRef, ParameterRef
from heliosd.sql.tree.query import ResultTarget, Select
from heliosd.types.domain import base_of
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program


@dataclass(frozen=True, slots=True)
class PreparedCheck:
    """One CHECK: gives true, false or NULL for a value."""

    constraint: Constraint
    program: Program


@dataclass(frozen=True, slots=True)
class PreparedDomain:
    """All constraints of a domain and of those under it, as they were: the innermost first."""

    domains: tuple[TypeObject, ...]
    checks: tuple[PreparedCheck, ...]


class DomainChecks:
    """One session's. 23502 and 23514 in PostgreSQL's words."""

    __slots__ = ("_prepared", "_session")

    def __init__(self, session: SessionServices) -> None:
        self._session = session
        self._prepared: dict[int, PreparedDomain] = {}

    def check(self, oid: int, value: Any) -> Any:
        """The value, when the domain with this oid allows it, and every domain under it."""
        domains = self._chain(oid)
        domain = domains[0]
        if value is None and any(each.not_null for each in domains):
            raise SqlError(
                "23502",
                f"domain {domain.name} does not allow null values",
                schema=self._session.catalog.schema_name(domain.schema),
                datatype=domain.name,
            )
        if not any(each.constraints for each in domains):
            return value
        known = self._prepared.get(oid)
        if known is None or not self._current(known, domains):
            known = self._prepared[oid] = self._prepare(domains)
        for check in known.checks:
            if self.test(check.program, value) is False:
                raise SqlError(
                    "23514",
                    f"value for domain {domain.name} violates check constraint "
                    f'"{check.constraint.name}"',
                    schema=self._session.catalog.schema_name(domain.schema),
                    datatype=domain.name,
                    constraint=check.constraint.name,
                )
        return value

    def _chain(self, oid: int) -> tuple[TypeObject, ...]:
        """The domain and those that it is over."""
        by_oid = self._session.catalog.by_oid
        found = by_oid(oid)
        if not isinstance(found, TypeObject):
            raise SqlError("XX000", f"cache lookup failed for type {oid}")
        chain = [found]
        while found.base_type >= FIRST_NORMAL_OID:
            under = by_oid(found.base_type)
            if not isinstance(under, TypeObject) or under.kind != "d":
                break
            found = under
            chain.append(found)
        return tuple(chain)

    def _current(self, known: PreparedDomain, domains: tuple[TypeObject, ...]) -> bool:
        if len(domains) != len(known.domains) or any(
            now is not then for now, then in zip(domains, known.domains, strict=True)
        ):
            return False
        return all(
            self._session.catalog.is_current(check.program.dependencies) for check in known.checks
        )

    def _prepare(self, domains: tuple[TypeObject, ...]) -> PreparedDomain:
        checks = [
            PreparedCheck(c, self.prepare(domain, c.expression))
            for domain in reversed(domains)
            for c in sorted(domain.constraints, key=lambda c: c.name)
            if c.expression is not None
        ]
        return PreparedDomain(domains, tuple(checks))

    def prepare(self, domain: TypeObject, text: str) -> Program:
        """`SELECT check` with the value as its parameter."""
        base = self._session.catalog.types.type(domain.base_type)
        tree = with_parameter(parse_expression(text))
        statement = Select(0, (ResultTarget(0, tree),))
        return self._session.prepare(statement, (base_of(base).oid,))

    def test(self, program: Program, value: Any) -> Any:
        """What the check says of a value."""
        context = self._session.context
        if program.point is not None:
            return program.point(context, (value,))[0][0]
        assert program.rows is not None
        for batch in program.rows(context, (value,)):
            for row in batch:
                return row[0]
        raise SqlError("XX000", "a check without a row")


def with_parameter(tree: Any) -> Any:
    """The syntax tree with $1 where it says VALUE."""
    if isinstance(tree, ColumnRef) and tree.names == ("value",):
        return ParameterRef(tree.position, 1)
    if isinstance(tree, tuple):
        return tuple(with_parameter(item) for item in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        changed: dict[str, Any] = {}
        for field in _field_names(type(tree)):
            old = getattr(tree, field)
            new = with_parameter(old)
            if new is not old:
                changed[field] = new
        return dataclasses.replace(tree, **changed) if changed else tree
    return tree


def _field_names(cls: type) -> Iterable[str]:
    return (field.name for field in dataclasses.fields(cls))
