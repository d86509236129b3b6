"""Type names: SQL's own spellings and everybody's."""

from __future__ import annotations

from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.keywords import TYPE_FUNCTION_NAME
from heliosd.sql.parser.cursor import Cursor
from heliosd.sql.tree import Expression, IntegerConstant, TypeName

_NUMERIC: Final = {
    "int": "int4",
    "integer": "int4",
    "smallint": "int2",
    "bigint": "int8",
    "real": "float4",
    "boolean": "bool",
    "decimal": "numeric",
    "dec": "numeric",
    "numeric": "numeric",
}
# The words that start one of SQL's own type names (`double` only before `precision`).
SQL_TYPE_WORDS: Final = frozenset(_NUMERIC) | {
    "float", "bit", "character", "char", "varchar", "national", "nchar",
    "timestamp", "time", "interval",
}  # fmt: skip

# Interval fields as PostgreSQL's typmod masks (1 << the field's code in datetime.h).
_FIELD_MASKS: Final = {
    "year": 1 << 2,
    "month": 1 << 1,
    "day": 1 << 3,
    "hour": 1 << 10,
    "minute": 1 << 11,
    "second": 1 << 12,
}
_FIELD_ORDER: Final = ("year", "month", "day", "hour", "minute", "second")
_FIELD_ENDS: Final = {
    "year": ("month",),
    "day": ("hour", "minute", "second"),
    "hour": ("minute", "second"),
    "minute": ("second",),
}
INTERVAL_FULL_RANGE: Final = 0x7FFF


class TypeParser(Cursor):
    """Type names."""

    def a_expr(self, level: int = 0) -> Expression:
        """Any expression (defined in `expressions`)."""
        raise NotImplementedError

    def expression_list(self) -> tuple[Expression, ...]:
        """A comma-separated list of expressions."""
        items = [self.a_expr()]
        while self.accept(","):
            items.append(self.a_expr())
        return tuple(items)

    def type_name(self) -> TypeName:
        """A type with SETOF and array bounds."""
        position = self.position
        setof = self.accept("setof")
        base = self.simple_type_name()
        bounds: tuple[int, ...] = ()
        if self.kind == "[":
            bounds = self._array_bounds()
        elif self.accept("array"):
            bounds = (-1,)
            if self.accept("["):
                bounds = (self.integer(),)
                self.expect("]")
        if not setof and not bounds:
            return base
        return TypeName(position, base.names, base.modifiers, bounds, setof)

    def _array_bounds(self) -> tuple[int, ...]:
        bounds = []
        while self.accept("["):
            bounds.append(self.integer() if self.kind == "ICONST" else -1)
            self.expect("]")
        return tuple(bounds)

    def simple_type_name(self) -> TypeName:
        """A type without SETOF and array bounds."""
        kind = self.kind
        if kind in SQL_TYPE_WORDS:
            if kind == "interval":
                return self.interval_type()
            return self.sql_type()
        if kind == "double" and self.peek() == "precision":
            return self.sql_type()
        if kind not in TYPE_FUNCTION_NAME:
            self.fail()
        position = self.position
        parts = [str(self.values[self.index])]
        self.advance()
        while self.kind == ".":
            self.advance()
            parts.append(self.col_label())
        return TypeName(position, tuple(parts), self._modifiers())

    def _modifiers(self) -> tuple[Expression, ...]:
        if not self.accept("("):
            return ()
        modifiers = self.expression_list()
        self.expect(")")
        return modifiers

    def sql_type(self) -> TypeName:
        """One of SQL's own type names but INTERVAL."""
        position, word = self.position, self.kind
        self.advance()
        modifiers: tuple[Expression, ...] = ()
        if word in _NUMERIC:
            name = _NUMERIC[word]
            if name == "numeric":
                modifiers = self._modifiers()
        elif word == "double":
            self.expect("precision")
            name = "float8"
        elif word == "float":
            name = self._float()
        elif word in ("timestamp", "time"):
            modifiers = self._precision()
            name = word + ("tz" if self._time_zone() else "")
        elif word == "bit":
            varying = self.accept("varying")
            name = "varbit" if varying else "bit"
            modifiers = self._modifiers()
            if not modifiers and not varying:
                modifiers = (IntegerConstant(0, 1),)
        else:
            name = self._character(word)
            modifiers = self._precision()
            if name == "bpchar" and not modifiers:
                modifiers = (IntegerConstant(0, 1),)  # char is char(1)
        return TypeName(position, ("pg_catalog", name), modifiers)

    def _float(self) -> str:
        if not self.accept("("):
            return "float8"
        position = self.position
        bits = self.integer()
        self.expect(")")
        if bits < 1:
            message = "precision for type float must be at least 1 bit"
        elif bits > 53:
            message = "precision for type float must be less than 54 bits"
        else:
            return "float4" if bits <= 24 else "float8"
        raise SqlError("22023", message, position=position)

    def _character(self, word: str) -> str:
        if word == "varchar":
            return "varchar"
        if word == "national":
            self.one_of("character", "char")
        return "varchar" if self.accept("varying") else "bpchar"

    def _precision(self) -> tuple[Expression, ...]:
        if not self.accept("("):
            return ()
        position = self.position
        number = self.integer()
        self.expect(")")
        return (IntegerConstant(position, number),)

    def _time_zone(self) -> bool:
        if self.kind == "with" and self.peek() == "time":
            self.advance()
            self.expect_words("time", "zone")
            return True
        if self.kind == "without" and self.peek() == "time":
            self.advance()
            self.expect_words("time", "zone")
        return False

    def interval_type(self) -> TypeName:
        """INTERVAL with its precision or fields."""
        position = self.position
        self.expect("interval")
        precision = self._precision()
        if precision:
            modifiers = (IntegerConstant(0, INTERVAL_FULL_RANGE), *precision)
        else:
            modifiers = self.interval_fields()
        return TypeName(position, ("pg_catalog", "interval"), modifiers)

    def interval_fields(self) -> tuple[Expression, ...]:
        """YEAR, DAY TO SECOND(3), ... as typmod expressions; nothing is ()."""
        first = self.kind
        if first not in _FIELD_MASKS:
            return ()
        position = self.position
        self.advance()
        last = first
        if self.kind == "to" and first in _FIELD_ENDS:
            self.advance()
            last = self.one_of(*_FIELD_ENDS[first])
        precision = self._precision() if last == "second" else ()
        start, end = _FIELD_ORDER.index(first), _FIELD_ORDER.index(last)
        mask = sum(_FIELD_MASKS[field] for field in _FIELD_ORDER[start : end + 1])
        return (IntegerConstant(position, mask), *precision)

    def type_names(self) -> tuple[TypeName, ...]:
        """A comma-separated list of types."""
        types = [self.type_name()]
        while self.accept(","):
            types.append(self.type_name())
        return tuple(types)

    def collation(self) -> tuple[str, ...] | None:
        """COLLATE name, or nothing."""
        return self.any_name() if self.accept("collate") else None
