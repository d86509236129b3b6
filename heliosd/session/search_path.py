"""The text of search_path as names: identifiers as SQL reads them, separated by commas."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from heliosd.errors import INVALID_PARAMETER_VALUE, SqlError

_ITEM: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(,|$)')


@lru_cache(maxsize=256)
def split_search_path(text: str) -> tuple[str, ...]:
    """The names; 22023 when the text is not a list of identifiers. "" is no name at all."""
    if not text.strip():
        return ()
    names: list[str] = []
    position = 0
    while True:
        found = _ITEM.match(text, position)
        if found is None:
            raise SqlError(
                INVALID_PARAMETER_VALUE,
                f'invalid value for parameter "search_path": "{text}"',
                detail="List syntax is invalid.",
            )
        quoted, bare, separator = found.groups()
        name = bare.lower() if bare is not None else quoted.replace('""', '"')
        if name:
            names.append(name)
        position = found.end()
        if not separator:
            return tuple(names)
