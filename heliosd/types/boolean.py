"""bool."""

from __future__ import annotations

from typing import Final

from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms, context_free, sql_type
from heliosd.types.failures import invalid_syntax, wrong_length
from heliosd.types.registry import KeyKind

forms: Final = Forms()

_SPACES: Final = " \t\n\v\f\r"
_WORDS: Final = {
    **{"true"[:n]: True for n in range(1, 5)},
    **{"yes"[:n]: True for n in range(1, 4)},
    **{"false"[:n]: False for n in range(1, 6)},
    **{"no"[:n]: False for n in range(1, 3)},
    "on": True,
    "of": False,
    "off": False,
    "1": True,
    "0": False,
}


def parse_bool(text: str) -> bool | None:
    """The truth value a text spells, None when it spells none."""
    return _WORDS.get(text.strip(_SPACES).lower())


def _input(text: str, typmod: int, ctx: EvalContext) -> bool:
    value = parse_bool(text)
    if value is None:
        raise invalid_syntax("boolean", text)
    return value


def bool_out(value: bool) -> str:  # noqa: FBT001 - the value itself
    """t or f."""
    return "t" if value else "f"


def _receive(data: bytes, typmod: int, ctx: EvalContext) -> bool:
    if len(data) != 1:
        raise wrong_length(data, 1)
    return data != b"\0"


def _send(value: bool) -> bytes:  # noqa: FBT001
    return b"\1" if value else b"\0"


types: Final = (
    sql_type(
        "bool",
        input=_input,
        output=context_free(bool_out),
        plain_output=bool_out,
        receive=_receive,
        plain_send=_send,
        shape="?",
        key=KeyKind.BOOL,
    ),
)

forms.comparisons("bool", "bool", "booleq boolne boollt boolgt boolle boolge")
forms.templates(
    {
        "int4(bool)": "int({0})",
        "text(bool)": "('true' if {0} else 'false')",
        "booland_statefunc(bool,bool)": "{0} and {1}",
        "boolor_statefunc(bool,bool)": "{0} or {1}",
    }
)
