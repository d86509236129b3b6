"""to_char and to_number of numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from heliosd.errors import SqlError
from heliosd.functions.template_number import NumberTemplate, parse_number_template
from heliosd.types.declare import Forms
from heliosd.types.numeric import numeric_fit, numeric_out
from heliosd.types.numeric_core import EXACT, round_to
from heliosd.types.template_datetime import ordinal_suffix

forms: Final = Forms()

_ROMAN: Final = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
_FLOAT_DIGITS: Final = 15
_SINGLE_DIGITS: Final = 6


class _Writer:
    """Lays the digits of one number into a template, token by token."""

    def __init__(self, template: NumberTemplate, sign: str, digits: str, spaces: int) -> None:
        self.template = template
        self.sign = sign
        self.digits = digits  # "12.50", without a sign
        self.spaces = spaces  # places before the first digit
        self.bracket = template.bracket and not (template.fill and sign != "-")
        self.sign_place = template.sign
        self.at = 0  # the next digit
        self.place = 0  # places of the template passed
        self.started = False  # whether the last place wrote a digit: separators follow digits
        self.out: list[str] = []
        if template.plus or template.minus:
            self.sign_written = not (template.plus and not template.minus)
        else:
            self.sign_written = sign == "+" and template.fill and not template.sign
            if template.sign == "before" and template.before == template.sign_at:
                self.sign_place = "after"
        self.last = self._last_relevant() if template.fill and template.decimal else -1
        self.count = template.before + template.after - 1
        if not self.sign_written and spaces == 0:
            self.count += 1
        self.zero_from = template.zero_start - 1 if template.zero_start else 0

    def _last_relevant(self) -> int:
        """The index of the last digit that FM keeps."""
        point = self.digits.find(".")
        if point < 0:
            return len(self.digits) - 1
        last = point + len(self.digits[point:].rstrip("0")) - 1
        last = max(last, point)
        zero_end = self.template.zero_end
        if zero_end > self.spaces:
            last = max(last, min(len(self.digits) - 1, zero_end - self.spaces))
        return last

    def write(self) -> str:
        for keyword, literal in self.template.tokens:
            self._token(keyword, literal)
        return "".join(self.out)

    def _token(self, keyword: str, literal: str) -> None:
        fill = self.template.fill
        match keyword.upper():
            case "":
                self.out.append(literal)
            case "9" | "0" | "." | "D":
                self._digit(keyword.upper())
            case "," | "G":
                if self.started:
                    self.out.append(",")
                elif not fill:
                    self.out.append(" ")
            case "L":
                self.out.append(" ")
            case "MI":
                self.out.append("-" if self.sign == "-" else "" if fill else " ")
            case "PL":
                self.out.append("+" if self.sign == "+" else "" if fill else " ")
            case "SG":
                self.out.append(self.sign)
            case "TH":
                if self.digits[0] != "#" and self.sign != "-" and not self.template.decimal:
                    self.out.append(ordinal_suffix(int(self.digits), keyword))

    def _no_leading_zero(self) -> bool:
        """0.1 by 9.9 is .1: the zero before the point is a space."""
        template = self.template
        return not template.zero and self.at == 0 and self.digits[0] == "0" and template.after != 0

    def _digit(self, keyword: str) -> None:
        self.started = False
        self._leading_sign()
        template = self.template
        if self.place < self.spaces and (self.zero_from > self.place or not template.zero):
            if not template.fill:
                self.out.append(" ")
        elif template.zero and self.place < self.spaces and self.zero_from <= self.place:
            self.out.append("0")
            self.started = True
        else:
            self._number_character(keyword)
            if self.at < len(self.digits):
                self.at += 1
        end = self.count + (1 if self.spaces else 0) + (1 if template.decimal else 0)
        if self.last >= 0 and self.last == self.at:
            end = self.place
        if self.place + 1 == end:
            self._trailing_sign()
        self.place += 1

    def _number_character(self, keyword: str) -> None:
        digit = self.digits[self.at] if self.at < len(self.digits) else ""
        last_is_point = self.last >= 0 and self.digits[self.last] == "."
        if digit == ".":
            self.out.append(".")
        elif self.last >= 0 and self.at > self.last and keyword != "0":
            return
        elif self._no_leading_zero():
            if not self.template.fill:
                self.out.append(" ")
            elif last_is_point:
                self.out.append("0")
        else:
            self.out.append(digit)
            self.started = True

    def _leading_sign(self) -> None:
        template = self.template
        here = self.place >= self.spaces or (template.zero and self.zero_from == self.place)
        waits = self._no_leading_zero() and not (self.last >= 0 and self.digits[self.last] == ".")
        if self.sign_written or not here or waits:
            return
        if template.sign:
            if self.sign_place == "before":
                self.out.append(self.sign)
                self.sign_written = True
            return
        if self.bracket:
            self.out.append(" " if self.sign == "+" else "<")
        elif self.sign == "-":
            self.out.append("-")
        elif not template.fill:
            self.out.append(" ")
        self.sign_written = True

    def _trailing_sign(self) -> None:
        if self.sign_written and self.bracket:
            self.out.append(" " if self.sign == "+" else ">")
        elif self.template.sign and self.sign_place == "after":
            self.out.append(self.sign)


def _lay(template: NumberTemplate, text: str) -> str:
    """Digits with a sign into a template; # where they do not fit."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("+", text)
    before = len(digits.partition(".")[0])
    if before > template.before:
        digits = "#" * template.before
        if template.decimal:
            digits += "." + "#" * template.after
        before = template.before
    if not digits:
        digits = "#"
    return _Writer(template, sign, digits, max(template.before - before, 0)).write()


def _roman(template: NumberTemplate, value: int | None) -> str:
    text = "#" * 15
    if value is not None and 1 <= value <= 3999:
        text = ""
        for amount, letters in _ROMAN:
            while value >= amount:
                text, value = text + letters, value - amount
    out = []
    for keyword, literal in template.tokens:
        if keyword.upper() == "RN":
            shown = text.lower() if keyword.islower() else text
            out.append(shown if template.fill else shown.rjust(15))
        else:
            out.append(literal)
    return "".join(out)


def _scientific(value: Decimal, digits: int) -> str:
    """d.ddde+nn with half away from zero."""
    if not value:
        mantissa, exponent = round_to(Decimal(0), digits), 0
    else:
        rounded = Context(prec=digits + 1, rounding=ROUND_HALF_UP).plus(value)
        exponent = rounded.adjusted()
        mantissa = round_to(rounded.scaleb(-exponent, EXACT), digits)
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _shown_scientific(template: NumberTemplate, text: str) -> str:
    return text if text.startswith("-") else f" {text}"


def _not_a_number(template: NumberTemplate) -> str:
    return f" {'#' * (template.before + 1)}.{'#' * (template.after + 4)}"


@forms.function("to_char(numeric,text)")
def to_char_numeric(value: Decimal, text: str) -> str:
    """A numeric by a template; 42601."""
    if not text:
        return ""
    template = parse_number_template(text)
    if template.roman:
        return _roman(template, int(round_to(value, 0)) if value.is_finite() else None)
    if template.exponent:
        if not value.is_finite():
            return _not_a_number(template)
        return _shown_scientific(template, _scientific(value, template.after))
    if not value.is_finite():
        sign = "-" if value < 0 else ""
        return _lay(template, sign + "#" * (template.before + 1))
    if template.shifted:
        value = EXACT.scaleb(value, template.shift)
        template = replace(template, before=template.before + template.shift, shifted=False)
    return _lay(template, numeric_out(round_to(value, template.after)))


@forms.function("to_char(int4,text)", "to_char(int8,text)")
def to_char_integer(value: int, text: str) -> str:
    """An integer by a template; 42601."""
    if not text:
        return ""
    template = parse_number_template(text)
    if template.roman:
        return _roman(template, value)
    return to_char_numeric(Decimal(value), text)


def _to_char_float(value: float, text: str, precision: int) -> str:
    if not text:
        return ""
    template = parse_number_template(text)
    if template.roman:
        return _roman(template, round(value) if math.isfinite(value) else None)
    if template.exponent:
        if not math.isfinite(value):
            return _not_a_number(template)
        return _shown_scientific(template, f"{value:.{template.after}e}")
    if not math.isfinite(value):
        return _lay(template, ("-" if value < 0 else "") + "#" * (template.before + 1))
    if template.shifted:
        value *= 10.0**template.shift
        template = replace(template, before=template.before + template.shift, shifted=False)
    whole = len(f"{abs(value):.0f}")
    after = template.after
    if whole >= precision:
        after = 0
    elif whole + after > precision:
        after = precision - whole
    shown = f"{value:.{after}f}"
    if not shown.strip("-0."):
        shown = shown.lstrip("-")
    return _lay(replace(template, after=after), shown)


@forms.function("to_char(float8,text)")
def to_char_float8(value: float, text: str) -> str:
    """A double by a template, 15 digits at most; 42601."""
    return _to_char_float(value, text, _FLOAT_DIGITS)


@forms.function("to_char(float4,text)")
def to_char_float4(value: float, text: str) -> str:
    """A single by a template, 6 digits at most; 42601."""
    return _to_char_float(value, text, _SINGLE_DIGITS)


class _Reader:
    """Reads a number as its template says it is written."""

    def __init__(self, template: NumberTemplate, text: str) -> None:
        self.template = template
        self.text = text
        self.at = 0
        self.sign = ""
        self.whole = ""
        self.fraction = ""
        self.pointed = False

    def read(self) -> str:
        for keyword, _ in self.template.tokens:
            if self.at >= len(self.text):
                break
            self._token(keyword.upper())
        self._sign(trailing=True)
        digits = self.whole or ("0" if self.fraction else "")
        return f"{self.sign}{digits}{'.' if self.pointed else ''}{self.fraction}"

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _sign(self, *, trailing: bool = False) -> None:
        char = self._peek()
        if self.sign or not char:
            return
        template = self.template
        if char in "+-" and (not trailing or template.sign or template.minus or template.plus):
            self.sign = "-" if char == "-" else "+"
            self.at += 1
        elif char == "<" and template.bracket:
            self.sign = "-"
            self.at += 1

    def _token(self, keyword: str) -> None:
        match keyword:
            case "9" | "0" | "." | "D":
                self._digit()
            case "," | "G":
                if self._peek() == ",":
                    self.at += 1
            case "MI" | "SG" | "S" | "PL":
                self._sign()
            case "FM" | "V" | "PR" | "B" | "SP":
                return
            case _:
                # what the template has here, the text has too: anything that is no number
                if self._peek() not in "0123456789.,+-":
                    self.at += 1

    def _digit(self) -> None:
        while self._peek() == " ":
            self.at += 1
        if not self.whole and not self.fraction and not self.pointed:
            self._sign()
        char = self._peek()
        if char.isdigit() and char.isascii():
            if self.pointed:
                self.fraction += char
            else:
                self.whole += char
            self.at += 1
        elif char == "." and self.template.decimal and not self.pointed:
            self.pointed = True
            self.at += 1


@forms.function("to_number(text,text)")
def to_number(text: str, pattern: str) -> Decimal | None:
    """A number written by a template; 22P02."""
    if not pattern:
        return None
    template = parse_number_template(pattern)
    if template.exponent:
        raise SqlError("0A000", '"EEEE" not supported for input')
    if template.roman:
        raise SqlError("0A000", '"RN" not supported for input')
    digits = _Reader(template, text).read()
    if not digits.strip("+-."):
        raise SqlError("22P02", f'invalid input syntax for type numeric: "{digits or " "}"')
    value = EXACT.create_decimal(digits)
    precision = template.before + template.shift + template.after
    # as many digits behind the point as the text has, not the template
    after = min(len(digits.partition(".")[2]), template.after)
    typmod = ((precision << 16) | after) + 4
    if template.shifted:
        value = EXACT.scaleb(value, -template.shift)
        return round_to(value, template.after + template.shift)
    return numeric_fit(value, typmod)
