"""The types of one session's catalog: the built-in ones, and those that users made.

`SessionTypes` answers for an oid with a `SqlType`, made from the catalog object that this session
sees and kept while that object (and everything that it is made of) has the same version. What it
is asked for inside `watching()` is noted: a plan depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from heliosd.catalog.objects import Column, ColumnedRelation, TypeObject
from heliosd.types.array import make_array_type
from heliosd.types.composite import make_composite_type
from heliosd.types.domain import make_domain_type
from heliosd.types.enum import EnumLabel, make_enum_type
from heliosd.types.multirange import make_multirange_type
from heliosd.types.quoting import quote_identifier
from heliosd.types.range import RangeOps, RangeType, itself, make_range_type
from heliosd.types.registry import SqlType, TypeField, TypeRegistry

if TYPE_CHECKING:
    from heliosd.catalog.lookup import Catalog
    from heliosd.catalog.objects import CatalogObject

Uses = tuple[tuple[int, int], ...]

TYPES_DEPTH_MAX = 100
"""Composites of composites: nobody nests deeper, and a table's row may hold itself as an array."""


class SessionTypes(Mapping[int, SqlType]):
    """By oid; `TypeRegistry.by_oid` of a session."""

    __slots__ = ("_built_in", "_catalog", "_depth", "_kept", "_watched")

    def __init__(self, catalog: Catalog, built_in: Mapping[int, SqlType]) -> None:
        self._catalog = catalog
        self._built_in = built_in
        self._kept: dict[int, SqlType] = {}
        self._watched: dict[int, int] | None = None
        self._depth = 0

    def __getitem__(self, oid: int) -> SqlType:
        found = self.get(oid)
        if found is None:
            raise KeyError(oid)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._built_in)

    def __len__(self) -> int:
        return len(self._built_in)

    def __contains__(self, oid: object) -> bool:
        return isinstance(oid, int) and self.get(oid) is not None

    def get(self, oid: int, default: object = None) -> SqlType | None:  # type: ignore[override]
        """The type; None when there is none."""
        found = self._built_in.get(oid)
        if found is not None:
            return found
        kept = self._kept.get(oid)
        if kept is None or not self._catalog.is_current(kept.uses):
            kept = self._make(oid)
            if kept is None:
                return None
            if len(self._kept) > 1000:
                self._kept.clear()
            self._kept[oid] = kept
        if self._watched is not None:
            self._watched.update(kept.uses)
        return kept

    @contextmanager
    def watching(self) -> Iterator[dict[int, int]]:
        """Inside, the mapping fills with oid -> version of what the types asked for are made of."""
        inner: dict[int, int] = {}
        outer = self._watched
        self._watched = inner
        try:
            yield inner
        finally:
            self._watched = outer
            if outer is not None:
                outer.update(inner)

    @property
    def watched(self) -> Mapping[int, int]:
        """What the innermost `watching` has noted so far."""
        return {} if self._watched is None else self._watched

    # -- making ------------------------------------------------------------------------------

    def _make(self, oid: int) -> SqlType | None:
        made = self._catalog.by_oid(oid)
        if isinstance(made, TypeObject):
            return self._from_object(made)
        owner = self._catalog.owner_of_part(oid)
        if isinstance(owner, TypeObject) and oid == owner.array_oid:
            return self._array(oid, owner.oid, owner)
        if isinstance(owner, ColumnedRelation):
            if oid == owner.row_type:
                return self._composite(owner, owner.row_type, owner.row_array)
            if oid == owner.row_array:
                return self._array(oid, owner.row_type, owner)
        return None

    def _from_object(self, made: TypeObject) -> SqlType | None:
        match made.kind:
            case "e":
                return self._enum(made)
            case "d":
                return self._domain(made)
            case "c":
                return self._composite(made, made.oid, made.array_oid)
            case "r":
                return self._range(made)
            case "m":
                return self._multirange(made)
        return None

    def _range(self, made: TypeObject) -> RangeType | None:
        subtype = self.get(made.base_type)
        if subtype is None:
            return None
        return make_range_type(
            RangeOps(subtype, subtype.order_key() or itself),
            name=made.name,
            oid=made.oid,
            array_oid=made.array_oid,
            align="d" if subtype.align == "d" else "i",
            multirange_oid=made.multirange,
            sql_name=self._shown(made.name),
            uses=(*subtype.uses, (made.oid, made.version)),
        )

    def _multirange(self, made: TypeObject) -> SqlType | None:
        kind = self.get(made.base_type)
        if not isinstance(kind, RangeType):
            return None
        return make_multirange_type(
            kind,
            name=made.name,
            oid=made.oid,
            array_oid=made.array_oid,
            align=kind.align,
            sql_name=self._shown(made.name),
            uses=(*kind.uses, (made.oid, made.version)),
        )

    def _shown(self, name: str) -> str:
        return quote_identifier(name)

    def _array(self, oid: int, element_oid: int, owner: CatalogObject) -> SqlType | None:
        if self._depth > TYPES_DEPTH_MAX:
            return None
        element = self.get(element_oid)
        if element is None:
            return None
        return make_array_type(
            element,
            name="_" + owner.name,
            oid=oid,
            align="d" if element.align == "d" else "i",
            collatable=element.collatable,
            storage="x",
            io_names=("array_in", "array_out", "array_recv", "array_send"),
            uses=element.uses,
        )

    def _enum(self, made: TypeObject) -> SqlType:
        usable = self._usable_labels(made)
        orders = made.label_orders or tuple(float(n + 1) for n in range(len(made.labels)))
        labels = [
            EnumLabel(oid, label, order, usable is None or oid in usable)
            for (oid, label), order in zip(made.labels, orders, strict=True)
        ]
        # A type with labels that may not be used yet is made anew each time: committing them
        # does not change its version.
        version = made.version if all(each.usable for each in labels) else -1
        return make_enum_type(
            name=made.name,
            oid=made.oid,
            array_oid=made.array_oid,
            labels=labels,
            sql_name=self._shown(made.name),
            uses=((made.oid, version),) if version >= 0 else ((made.oid, made.version), (0, -1)),
        )

    def _usable_labels(self, made: TypeObject) -> set[int] | None:
        """The labels that are committed, or that the type was created with; None: all."""
        first: CatalogObject | None = self._catalog.shared.state.objects.get(made.oid)
        overlay = self._catalog.overlay
        if first is None and overlay is not None:
            first = next(
                (
                    after
                    for before, after in overlay.log
                    if before is None and after is not None and after.oid == made.oid
                ),
                None,
            )
        if not isinstance(first, TypeObject) or first is made:
            return None
        return {oid for oid, _ in first.labels}

    def _domain(self, made: TypeObject) -> SqlType | None:
        base = self.get(made.base_type)
        if base is None:
            return None
        return make_domain_type(
            base,
            name=made.name,
            oid=made.oid,
            array_oid=made.array_oid,
            typmod=made.typmod,
            sql_name=self._shown(made.name),
            uses=(*base.uses, (made.oid, made.version)),
        )

    def _composite(
        self, made: TypeObject | ColumnedRelation, oid: int, array_oid: int
    ) -> SqlType | None:
        if self._depth > TYPES_DEPTH_MAX:
            return None
        uses: dict[int, int] = {made.oid: made.version}
        attributes: list[TypeField | None] = []
        self._depth += 1
        try:
            for column in made.columns:
                attributes.append(self._field(column, uses))
        finally:
            self._depth -= 1
        return make_composite_type(
            name=made.name,
            oid=oid,
            array_oid=array_oid,
            attributes=attributes,
            sql_name=self._shown(made.name),
            uses=tuple(uses.items()),
        )

    def _field(self, column: Column, uses: dict[int, int]) -> TypeField | None:
        kind = None if column.dropped else self.get(column.type_oid)
        if kind is None:
            return None
        uses.update(kind.uses)
        return TypeField(column.name, kind, column.typmod, column.collation)


def session_registry(catalog: Catalog, built_in: TypeRegistry) -> tuple[TypeRegistry, SessionTypes]:
    """The registry that a session's statements are bound and compiled with."""
    types = SessionTypes(catalog, built_in.by_oid)
    return replace(built_in, by_oid=types), types
