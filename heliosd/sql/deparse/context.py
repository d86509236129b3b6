"""How values, types and relations are spelled in deparsed SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heliosd.types.builtin import TYPES
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.quoting import quote_identifier, quote_qualified
from heliosd.types.styles import DEFAULT_STYLES, Styles

if TYPE_CHECKING:
    from heliosd.types.context import CatalogLookup
    from heliosd.types.registry import TypeRegistry


_LENGTHLESS: Final = {"bpchar": "bpchar", "bit": '"bit"'}


class TextContext:
    """Stands in for a session where constants are written: canonical styles, so that the text reads
    the same everywhere. `catalog` shows reg* values; None: as numbers."""

    def __init__(self, catalog: CatalogLookup | None = None, types: TypeRegistry = TYPES) -> None:
        self._catalog = catalog
        self._types = types
        self.styles: Styles = DEFAULT_STYLES

    @property
    def catalog(self) -> CatalogLookup:
        assert self._catalog is not None
        return self._catalog

    def setting(self, name: str) -> str:
        """Types ask for none of the settings that `styles` does not have."""
        raise AssertionError(name)

    def value_text(self, type_oid: int, value: Any) -> str:
        """A constant's text."""
        known = self._types.by_oid.get(type_oid)
        if known is None:
            return str(value)
        if known.name.startswith("reg") and self._catalog is None:
            return str(value)
        return known.output(value, self)  # type: ignore[arg-type]

    def function_name(self, function: Any) -> str:
        """A function's name, with its schema where a user made it and the path does not find it."""
        name = quote_identifier(function.name)
        if function.oid < FIRST_NORMAL_OID or self._catalog is None:
            return name
        if self._catalog.is_visible("function", function.oid):
            return name
        found = self._catalog.find_name("function", function.oid)
        return name if found is None else quote_qualified(*found)

    def type_name(self, oid: int, typmod: int = -1) -> str:
        """As format_type() shows it."""
        known = self._types.by_oid.get(oid)
        if known is not None and known.is_array:
            return self.type_name(known.element, typmod) + "[]"
        if known is None or known.uses:
            names = None if self._catalog is None else self._catalog.find_name("type", oid)
            if names is None or self._catalog is None:
                return "???"
            if self._catalog.is_visible("type", oid):
                return quote_identifier(names[1])
            return quote_qualified(*names)
        if typmod < 0 or known.typmod_out is None:
            # Read again, `character` would be character(1).
            return _LENGTHLESS.get(known.name, known.display)
        modifier = known.typmod_out(typmod)
        first, space, rest = known.display.partition(" ")
        if space and first in ("timestamp", "time"):
            return f"{first}{modifier} {rest}"
        return known.display + modifier
