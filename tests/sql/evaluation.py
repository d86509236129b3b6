"""An EvalContext for tests of types and functions alone: fixed times, an empty catalog."""

from __future__ import annotations

from typing import Any

from heliosd.types.styles import Styles


class EmptyCatalog:
    """Nothing has a name here."""

    def find_oid(self, kind: str, name: tuple[str, ...]) -> int | None:
        return None

    def find_name(self, kind: str, oid: int) -> tuple[str, str] | None:
        return None

    def is_visible(self, kind: str, oid: int) -> bool | None:
        return None


class Evaluation:
    """2024-05-06 07:08:09 UTC; ISO styles."""

    transaction_us = statement_us = 768_294_489_000_000
    catalog = EmptyCatalog()

    def __init__(self, styles: Styles | None = None) -> None:
        self.styles = styles or Styles()

    def clock_us(self) -> int:
        return self.transaction_us

    def notice(self, severity: str, message: str, *, sqlstate: str = "00000") -> None:
        """Nobody listens."""

    def check_interrupts(self) -> None:
        return


CONTEXT: Any = Evaluation()
