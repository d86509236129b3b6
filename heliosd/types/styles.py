"""The settings that change how values are read and shown, parsed once per change of a setting."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from heliosd.types.zone import UTC, Zone


@dataclass(frozen=True, slots=True)
class Styles:
    """`date_style` is "ISO", "SQL", "Postgres" or "German"; `date_order` "MDY", "DMY" or "YMD";
    `interval_style` "postgres", "postgres_verbose", "sql_standard" or "iso_8601"."""

    date_style: str = "ISO"
    date_order: str = "MDY"
    interval_style: str = "postgres"
    zone: Zone = field(default=UTC)
    extra_float_digits: int = 1
    bytea_hex: bool = True
    array_nulls: bool = True
    xml_document: bool = False


DEFAULT_STYLES: Final = Styles()
"""What dumps and catalogs are written in."""
