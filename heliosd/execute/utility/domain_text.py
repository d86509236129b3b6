"""A domain's CHECK and DEFAULT on their way into the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import Column, Reference, SystemView, TypeObject
from heliosd.execute.utility.describe import canonical_names
from heliosd.execute.utility.stored_text import bind_default, references_of
from heliosd.sql.bind.coerce import to_boolean
from heliosd.sql.bind.stored import bind_table_expression
from heliosd.types.domain import base_of

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.base import Expression

_VALUE = "value"


def bind_domain_check(
    session: SessionServices, domain: TypeObject, tree: Expression
) -> tuple[str, tuple[Reference, ...]]:
    """CHECK (... VALUE ...): a boolean, as canonical text."""
    scope = session.bind_scope()
    stand_in = _value_relation(session, domain)
    expression, state = bind_table_expression(tree, stand_in, scope, "check constraints")
    condition = to_boolean(state, expression, "CHECK", tree)
    references, _ = references_of(scope, condition, stand_in)
    text = canonical_names(scope).domain_check(condition)
    return text, tuple(each for each in references if each.oid != stand_in.oid)


def bind_domain_default(
    session: SessionServices, domain: TypeObject, tree: Expression
) -> tuple[str, tuple[Reference, ...]]:
    """DEFAULT: assignable to the base type, without columns."""
    column = Column(attnum=1, name=domain.name, type_oid=domain.base_type, typmod=domain.typmod)
    stored = bind_default(session, tree, column)
    return stored.text, stored.references


def _value_relation(session: SessionServices, domain: TypeObject) -> SystemView:
    """What a CHECK sees: one column called VALUE, of the base type."""
    base = base_of(session.catalog.types.type(domain.base_type))
    column = Column(
        attnum=1,
        name=_VALUE,
        type_oid=base.oid,
        typmod=domain.typmod,
        collation=domain.collation,
    )
    return SystemView(
        oid=domain.oid, name="", schema=0, columns=(column,), rows=lambda _ctx: iter(())
    )
