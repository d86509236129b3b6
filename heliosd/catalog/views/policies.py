"""pg_policy and pg_policies: the tables' row-level security policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import PUBLIC_ROLE, Table
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.values import array

if TYPE_CHECKING:
    from heliosd.catalog.views.context import ViewContext

_COMMANDS: Final = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}


@catalog_view("pg_policy")
def pg_policy(ctx: ViewContext) -> Iterator[Row]:
    for table in ctx.catalog.objects(Table):
        for policy in table.policies:
            yield (
                policy.oid, policy.name, table.oid, policy.command, policy.permissive,
                array(policy.roles), policy.using, policy.check,
            )  # fmt: skip


@catalog_view("pg_policies")
def pg_policies(ctx: ViewContext) -> Iterator[Row]:
    catalog = ctx.catalog
    shown = ctx.evaluation.catalog.expression_text
    for table in catalog.objects(Table):
        schema = catalog.schema_name(table.schema)
        for policy in table.policies:
            roles = ["public"]
            if policy.roles != (PUBLIC_ROLE,):
                roles = sorted(catalog.role_name(oid) for oid in policy.roles)
            using, check = policy.using, policy.check
            yield (
                schema, table.name, policy.name,
                "PERMISSIVE" if policy.permissive else "RESTRICTIVE",
                array(roles), _COMMANDS[policy.command],
                None if using is None else shown(using, table.oid),
                None if check is None else shown(check, table.oid),
            )  # fmt: skip
