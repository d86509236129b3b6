"""Text to syntax trees: `parse_statements`, `parse_expression`, `parse_type_name`."""

from __future__ import annotations

from heliosd.errors import SqlError
from heliosd.sql.lexer import Tokens, tokenize
from heliosd.sql.parser.statement import StatementParser
from heliosd.sql.tree import Expression, Statement, TypeName

__all__ = ["parse_expression", "parse_statements", "parse_tokens", "parse_type_name"]


def parse_statements(text: str, *, standard_strings: bool = True) -> tuple[Statement, ...]:
    """The statements of `text` (none for an empty one); `;` between them.

    Raises SqlError 42601 at the first token that fits nowhere, 54001 past 500 levels of nesting,
    and what PostgreSQL's grammar itself refuses (0A000, 22023, 42P20, ...).
    `standard_strings` is standard_conforming_strings.
    """
    return parse_tokens(tokenize(text, standard_strings=standard_strings))


def parse_tokens(tokens: Tokens) -> tuple[Statement, ...]:
    """`parse_statements` of a text that was tokenised already."""
    try:
        return StatementParser(tokens).statements()
    except RecursionError:
        raise _too_deep() from None


def parse_expression(text: str) -> Expression:
    """One expression and nothing else: defaults, checks, index keys from the catalog."""
    parser = StatementParser(tokenize(text))
    try:
        expression = parser.a_expr()
    except RecursionError:
        raise _too_deep() from None
    if parser.kind != "EOF":
        parser.fail()
    return expression


def parse_type_name(text: str) -> TypeName:
    """One type name and nothing else: `regtype`'s input, to_regtype()."""
    parser = StatementParser(tokenize(text))
    type_name = parser.type_name()
    if parser.kind != "EOF":
        parser.fail()
    return type_name


def _too_deep() -> SqlError:
    return SqlError("54001", "stack depth limit exceeded")
