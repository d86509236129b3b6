"""Assignment to parts of a jsonb document: `UPDATE t SET document['a'][2] = value`."""

from __future__ import annotations

from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.json import dump, parsed

_PATH_MAX: Final = 10_000


def _integer(step: str) -> int | None:
    """An index as a path spells it; None for a key."""
    try:
        return int(step) if step.strip().lstrip("+-").isdigit() else None
    except ValueError:
        return None


def _scalar_in_the_way() -> SqlError:
    return SqlError(
        "22023",
        "cannot replace existing key",
        detail="The path assumes key is a composite object, but it is a scalar value.",
    )


def _made(path: tuple[str, ...], at: int, new: Any) -> Any:
    """What the rest of a path needs to be there: arrays filled with null, and objects."""
    if at == len(path):
        return new
    index = _integer(path[at])
    inner = _made(path, at + 1, new)
    if index is None:
        return {path[at]: inner}
    _check_length(index)
    return [None] * max(index, 0) + [inner]


def _check_length(index: int) -> None:
    if index > 100_000_000 // 8:
        raise SqlError("54000", "total size of jsonb array elements exceeds the maximum")


def _set(value: Any, path: tuple[str, ...], at: int, new: Any) -> Any:
    if not isinstance(value, dict | list):
        raise _scalar_in_the_way()
    step, is_last = path[at], at == len(path) - 1
    if isinstance(value, dict):
        if is_last or step not in value:
            return {**value, step: _made(path, at + 1, new)}
        return {**value, step: _set(value[step], path, at + 1, new)}
    index = _integer(step)
    if index is None:
        raise SqlError("22P02", f'path element at position {at + 1} is not an integer: "{step}"')
    place = index if index >= 0 else len(value) + index
    if place < 0:
        if value:
            raise SqlError("22023", f"path element at position {at + 1} is out of range: {index}")
        place = 0
    if place >= len(value):
        _check_length(place)
        return [*value, *[None] * (place - len(value)), _made(path, at + 1, new)]
    inner = new if is_last else _set(value[place], path, at + 1, new)
    return [*value[:place], inner, *value[place + 1 :]]


def jsonb_set_part(first_is_index: bool, document: str | None, new: str | None, *path: Any) -> str:  # noqa: FBT001
    """The document with a part put in; a NULL document is made anew. 22023, 22P02, 22004."""
    if any(step is None for step in path):
        raise SqlError("22004", "jsonb subscript in assignment must not be null")
    value = parsed(document) if document is not None else [] if first_is_index else {}
    inserted = None if new is None else parsed(new)
    return dump(_set(value, path, 0, inserted))
