"""The words that dates and times are written with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from heliosd.types.calendar import MONTHS, WEEKDAYS

# How many characters of a word count.
_WORD_MAX: Final = 10

_MONTH_WORDS: Final = {
    **{name.lower(): number for number, name in enumerate(MONTHS, 1)},
    **{name[:3].lower(): number for number, name in enumerate(MONTHS, 1)},
    "sept": 9,
}
_WEEKDAY_WORDS: Final = {
    **{name.lower(): number for number, name in enumerate(WEEKDAYS)},
    **{name[:3].lower(): number for number, name in enumerate(WEEKDAYS)},
    "tues": 2,
    "weds": 3,
    "thur": 4,
    "thurs": 4,
}

Word = tuple[str, int | str]
"""(kind, value): what a word is and stands for."""

_WORDS: Final[Mapping[str, Word]] = {
    **{word: ("month", number) for word, number in _MONTH_WORDS.items()},
    **{word: ("weekday", number) for word, number in _WEEKDAY_WORDS.items()},
    **{word: ("special", word) for word in ("now", "today", "tomorrow", "yesterday", "epoch")},
    "infinity": ("special", "infinity"),
    "-infinity": ("special", "-infinity"),
    "allballs": ("special", "allballs"),
    "ad": ("era", 0),
    "bc": ("era", 1),
    "am": ("half", "am"),
    "pm": ("half", "pm"),
    "at": ("ignored", 0),
    "on": ("ignored", 0),
    "dst": ("dst", 3600),
    "t": ("t", "time"),
    "d": ("unit", "day"),
    "h": ("unit", "hour"),
    "m": ("unit", "month"),
    "mm": ("unit", "minute"),
    "s": ("unit", "second"),
    "y": ("unit", "year"),
    **dict.fromkeys(("j", "jd", "julian"), ("unit", "julian")),
    **{word: ("unit", word) for word in ("dow", "doy", "isodow", "isoyear")},
}


def is_datetime_word(word: str) -> bool:
    """Whether a lower-case word means something in a date or time, zones aside."""
    return word[:_WORD_MAX] in _WORDS


def datetime_word(word: str) -> Word | None:
    """What a lower-case word means; None when nothing."""
    return _WORDS.get(word[:_WORD_MAX])


@lru_cache(maxsize=1)
def zone_abbreviations() -> Mapping[str, tuple[int, bool]]:
    """Seconds east of UTC and whether it is daylight saving time, by lower-case abbreviation."""
    text = files("heliosd.types.facts").joinpath("timezones.tsv").read_text(encoding="utf-8")
    table = {}
    for line in text.splitlines()[1:]:
        name, offset, dst = line.split("\t")
        table[name.lower()] = (int(offset), dst == "true")
    return table


_DYNAMIC: Final = """
    ART ARST America/Argentina/Buenos_Aires|CLT America/Santiago|GYT America/Guyana
    PYT America/Asuncion|VET America/Caracas|DAVT Antarctica/Davis|MAWT Antarctica/Mawson
    AMST Asia/Yerevan|ANAST ANAT Asia/Anadyr|AZST AZT Asia/Baku|GEST GET Asia/Tbilisi
    IRKST IRKT Asia/Irkutsk|KGT Asia/Bishkek|KRAST KRAT Asia/Krasnoyarsk|LKT Asia/Colombo
    MAGST MAGT Asia/Magadan|NOVST NOVT Asia/Novosibirsk|OMSST OMST Asia/Omsk
    PETST PETT Asia/Kamchatka|SGT Asia/Singapore|TMT Asia/Ashgabat|ULAT Asia/Ulaanbaatar
    VLAST VLAT Asia/Vladivostok|YAKST YAKT Asia/Yakutsk|YEKT Asia/Yekaterinburg
    FKST FKT Atlantic/Stanley|LHDT Australia/Lord_Howe|MSK Europe/Moscow|VOLT Europe/Volgograd
    IOT Indian/Chagos|CKT Pacific/Rarotonga|EASST EAST Pacific/Easter|KOST Pacific/Kosrae
    LINT Pacific/Kiritimati|NUT Pacific/Niue|TKT Pacific/Fakaofo
"""


@lru_cache(maxsize=1)
def dynamic_abbreviations() -> Mapping[str, str]:
    """Zones whose history says what an abbreviation means, by lower-case abbreviation."""
    table = {}
    for line in _DYNAMIC.replace("|", "\n").split("\n"):
        *names, zone = line.split() or ("",)
        table.update({name.lower(): zone for name in names})
    return table
