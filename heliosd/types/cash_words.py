"""cash_words(): an amount of money in words."""

from __future__ import annotations

from typing import Final

from heliosd.types.declare import Forms
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
_TENS: Final = (
    "", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_SCALES: Final = ("quadrillion", "trillion", "billion", "million", "thousand")


def _below_thousand(value: int) -> str:
    hundreds, rest = divmod(value, 100)
    if not hundreds:
        return _below_hundred(rest)
    head = f"{_SMALL[hundreds]} hundred"
    if not rest:
        return head
    if rest % 10 == 0 and rest > 10:
        return f"{head} {_TENS[rest // 10]}"
    if rest < 20:
        return f"{head} and {_SMALL[rest]}"
    return f"{head} {_TENS[rest // 10]} {_SMALL[rest % 10]}"


def _below_hundred(value: int) -> str:
    if value < 20:
        return _SMALL[value]
    tens, ones = divmod(value, 10)
    return f"{_TENS[tens]} {_SMALL[ones]}" if ones else _TENS[tens]


@forms.function("cash_words(money)")
def cash_words(value: int) -> str:
    """One hundred twenty three dollars and forty five cents."""
    dollars, cents = divmod(abs(value), 100)
    words = "minus " if value < 0 else ""
    count = dollars
    scale = 10**15
    for name in _SCALES:
        part = count // scale % 1000
        if part:
            words += f"{_below_thousand(part)} {name} "
        scale //= 1000
    if dollars % 1000:
        words += _below_thousand(dollars % 1000)
    if not dollars:
        words += "zero"
    words += " dollar and " if dollars == 1 else " dollars and "
    words += _below_hundred(cents) + (" cent" if cents == 1 else " cents")
    return words[0].upper() + words[1:]
