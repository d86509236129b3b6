"""What the log is told of masks and of UNMASK, once it is committed: names, never a value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from heliosd.catalog.objects import PUBLIC_ROLE

if TYPE_CHECKING:
    from heliosd.catalog.labels import MaskCall
    from heliosd.catalog.objects import CatalogObject
    from heliosd.execute.context import SessionServices


def tell_mask(
    session: SessionServices, relation: CatalogObject, column: str, call: MaskCall | None
) -> None:
    """`mask.changed`: the function's name without its constants, "" when the mask was dropped."""
    fields = {
        "table": relation.name,
        "column": column,
        "mask": "" if call is None else call.name,
        "by": session.session_role,
    }
    session.run_after_commit(lambda: session.log_event("mask.changed", **fields))


def tell_unmask(
    session: SessionServices,
    objects: Iterable[CatalogObject | None],
    grantees: Iterable[int],
    *,
    granted: bool,
) -> None:
    """`unmask.granted` and `unmask.revoked`, one line for each object and role."""
    event = "unmask.granted" if granted else "unmask.revoked"
    names = [
        "public" if grantee == PUBLIC_ROLE else session.catalog.role_name(grantee)
        for grantee in grantees
    ]
    for obj in objects:
        if obj is not None:
            for name in names:
                _tell(session, event, obj.name, name)


def _tell(session: SessionServices, event: str, name: str, role: str) -> None:
    by = session.session_role
    session.run_after_commit(lambda: session.log_event(event, object=name, role=role, by=by))
