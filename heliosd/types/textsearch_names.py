"""The built-in objects of text search, by the oids that PostgreSQL 15 gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SIMPLE: Final = 3748
ENGLISH: Final = 13_164
DEFAULT_PARSER: Final = 3722

CONFIG_NAMES: Final[Mapping[int, str]] = {SIMPLE: "simple", ENGLISH: "english"}
DICTIONARY_NAMES: Final[Mapping[int, str]] = {3765: "simple", 13_163: "english_stem"}
CONFIGS: Final[Mapping[str, int]] = {name: oid for oid, name in CONFIG_NAMES.items()}
DICTIONARIES: Final[Mapping[str, int]] = {name: oid for oid, name in DICTIONARY_NAMES.items()}


def find_search_object(kind: str, name: tuple[str, ...]) -> int | None:
    """A built-in configuration ("config") or dictionary ("dictionary") by its name."""
    if name[:-1] not in ((), ("pg_catalog",)):
        return None
    return (CONFIGS if kind == "config" else DICTIONARIES).get(name[-1])
