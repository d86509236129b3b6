"""TABLESAMPLE: which rows of a scan are taken."""

from __future__ import annotations

import random
from collections.abc import Callable

from heliosd.errors import SqlError

BLOCK_ROWS = 64
"""SYSTEM takes or leaves so many neighbouring rows at once."""


def row_picker(
    method: str, percent: float | None, seed: float | None, *, repeatable: bool
) -> Callable[[], bool]:
    """Asked once per row, in scan order, whether it is taken. 2202H, 2202G.

    With REPEATABLE the same seed takes the same rows of an unchanged table.
    """
    if percent is None:
        raise SqlError("2202H", "TABLESAMPLE parameter cannot be null")
    if repeatable and seed is None:
        raise SqlError("2202G", "TABLESAMPLE REPEATABLE parameter cannot be null")
    if not 0 <= percent <= 100:
        raise SqlError("2202H", "sample percentage must be between 0 and 100")
    chooser = random.Random(seed)  # noqa: S311  # a sample promises no secrecy
    part = percent / 100
    if method == "bernoulli":
        return lambda: chooser.random() < part
    return _by_blocks(chooser, part)


def _by_blocks(chooser: random.Random, part: float) -> Callable[[], bool]:
    left = 0
    taken = False

    def pick() -> bool:
        nonlocal left, taken
        if not left:
            left = BLOCK_ROWS
            taken = chooser.random() < part
        left -= 1
        return taken

    return pick
