"""to_date and to_timestamp: reading by a template."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.types.calendar import (
    DATE_END,
    DATE_MIN,
    TIMESTAMP_END,
    TIMESTAMP_MIN,
    US_PER_SECOND,
)
from heliosd.types.context import EvalContext
from heliosd.types.datetime import local_to_utc, round_us
from heliosd.types.declare import Forms
from heliosd.types.template_read import read_by_template

forms: Final = Forms()


@forms.function("to_date(text,text)")
def to_date(text: str, template: str) -> int:
    """A date written by a template; 22007, 22008."""
    days = read_by_template(text, template).days
    if DATE_MIN <= days < DATE_END:
        return days
    raise SqlError("22008", f'date out of range: "{text}"')


@forms.function("to_timestamp(text,text)", needs_context=True)
def to_timestamp(ctx: EvalContext, text: str, template: str) -> int:
    """A timestamptz written by a template, in the session's zone; 22007, 22008."""
    read = read_by_template(text, template)
    us = read.local_us
    if read.zone_s is not None:
        us -= read.zone_s * US_PER_SECOND
    else:
        us = local_to_utc(us, ctx.styles.zone)
    if read.precision:
        us = round_us(us, read.precision)
    if TIMESTAMP_MIN <= us < TIMESTAMP_END:
        return us
    raise SqlError("22008", "timestamp out of range")
