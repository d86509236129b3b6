"""The errors that many types raise, in PostgreSQL's words."""

from __future__ import annotations

import struct

from heliosd.errors import SqlError


def invalid_syntax(type_name: str, text: str) -> SqlError:
    """22P02."""
    return SqlError("22P02", f'invalid input syntax for type {type_name}: "{text}"')


def out_of_range(what: str) -> SqlError:
    """22003 `integer out of range`."""
    return SqlError("22003", f"{what} out of range")


def text_out_of_range(type_name: str, text: str) -> SqlError:
    """22003 `value "99999999999" is out of range for type integer`."""
    return SqlError("22003", f'value "{text}" is out of range for type {type_name}')


def division_by_zero() -> SqlError:
    """22012."""
    return SqlError("22012", "division by zero")


def invalid_binary(type_name: str) -> SqlError:
    """22P03 for a value whose length does not fit its type."""
    return SqlError("22P03", f"incorrect binary data format in bind parameter for type {type_name}")


def bad_length() -> SqlError:
    """08P01: a fixed-size value came with too few or too many bytes."""
    return SqlError("08P01", "insufficient data left in message")


class TrailingBytesError(struct.error):
    """A binary value is followed by bytes that it does not have: whoever read it names the
    parameter or column (22P03)."""


def wrong_length(data: bytes, size: int) -> Exception:
    """For a value of `size` bytes that came with more, or with fewer (08P01)."""
    if len(data) > size:
        return TrailingBytesError(f"{len(data)} bytes instead of {size}")
    return bad_length() if data or size > 1 else SqlError("08P01", "no data left in message")
