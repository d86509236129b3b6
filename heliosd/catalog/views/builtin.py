"""All system relations, collected once from the modules of this package."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType
from typing import Final

from heliosd.catalog.objects import SystemView
from heliosd.catalog.views import (
    activity,
    comments,
    information,
    labels,
    logins,
    policies,
    privileges,
    readable,
    relations,
    shared,
    vocabulary,
)
from heliosd.catalog.views.declare import (
    Rows,
    build_view,
    declared_views,
    no_rows,
    relation_facts,
)

MODULES: Final[tuple[ModuleType, ...]] = (
    activity,
    comments,
    information,
    logins,
    privileges,
    labels,
    policies,
    readable,
    relations,
    shared,
    vocabulary,
)


@lru_cache(maxsize=1)
def system_views() -> tuple[SystemView, ...]:
    """Every relation of pg_catalog and information_schema, in order of oid."""
    declared: dict[str, Rows] = {}
    for module in MODULES:
        for name, rows in _own(module):
            assert name not in declared, f"two functions fill {name}"
            declared[name] = rows
    facts = relation_facts()
    unknown = declared.keys() - facts.keys()
    assert not unknown, f"PostgreSQL has no {sorted(unknown)}"
    views = (build_view(fact, declared.get(name, no_rows)) for name, fact in facts.items())
    return tuple(sorted(views, key=lambda view: view.oid))


def _own(module: ModuleType) -> Iterator[tuple[str, Rows]]:
    """The views declared in this module, not those that it imports."""
    for name, rows in declared_views(module):
        if getattr(rows, "__module__", None) == module.__name__:
            yield name, rows
