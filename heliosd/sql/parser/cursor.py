"""Where the parser stands in the tokens, and the names that every statement is made of.

The parser is one class, grown by inheritance: each file of this package adds a family of the
grammar to the one below it (cursor -> types -> expressions -> query -> modify -> ...). What a
lower family needs from a higher one (a type's modifiers are expressions, an expression may hold
a query) is a method declared here or there and defined above. Nothing backtracks, so the first
token that fits nowhere is the one that is reported.
"""

from __future__ import annotations

from typing import Final, NoReturn

from heliosd.errors import SqlError, syntax_error
from heliosd.sql.keywords import COL_ID, COL_LABEL, NON_RESERVED_WORD, TYPE_FUNCTION_NAME
from heliosd.sql.lexer import Tokens
from heliosd.sql.tree import (
    NumericText,
    QualifiedName,
    RoleKind,
    RoleSpec,
)

# Nesting of expressions and queries; PostgreSQL's own limit is its stack (some thousands).
DEPTH_MAX: Final = 500

_ROLE_WORDS: Final = {
    "current_role": RoleKind.CURRENT_ROLE,
    "current_user": RoleKind.CURRENT_USER,
    "session_user": RoleKind.SESSION_USER,
}


class Cursor:
    """The tokens and the current one: `kind` is always `kinds[index]`."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.kinds = tokens.kinds
        self.values = tokens.values
        self.starts = tokens.starts
        self.index = 0
        self.kind = self.kinds[0]
        self.depth = 0

    # -- moving ----------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The current token's 1-based character."""
        return self.starts[self.index] + 1

    def advance(self) -> None:
        """Go to the next token; there is none behind the end, which then is an error."""
        index = self.index + 1
        if index == len(self.kinds):
            self.fail()
        self.index = index
        self.kind = self.kinds[index]

    def peek(self, ahead: int = 1) -> str:
        """The kind of a later token, "EOF" past the end."""
        index = self.index + ahead
        return self.kinds[index] if index < len(self.kinds) else "EOF"

    def accept(self, kind: str) -> bool:
        """Step over the current token if it is `kind`."""
        if self.kind != kind:
            return False
        self.index = index = self.index + 1
        self.kind = self.kinds[index]
        return True

    def expect(self, kind: str) -> None:
        """Step over the current token, which must be `kind`."""
        if self.kind != kind:
            self.fail()
        self.index = index = self.index + 1
        self.kind = self.kinds[index]

    def accept_words(self, *kinds: str) -> bool:
        """Step over all of `kinds` if they come next, else over none."""
        for ahead, kind in enumerate(kinds):
            if self.peek(ahead) != kind:
                return False
        for _ in kinds:
            self.advance()
        return True

    def expect_words(self, *kinds: str) -> None:
        """Step over `kinds`, one after the other."""
        for kind in kinds:
            self.expect(kind)

    def one_of(self, *kinds: str) -> str:
        """Step over the current token, which must be one of `kinds`, and return it."""
        kind = self.kind
        if kind not in kinds:
            self.fail()
        self.advance()
        return kind

    def fail(self) -> NoReturn:
        """42601 at the current token."""
        tokens, index = self.tokens, self.index
        if tokens.kinds[index] == "ERROR":
            assert tokens.error is not None
            raise tokens.error
        start = tokens.starts[index]
        raise syntax_error(tokens.text[start : tokens.ends[index]], start + 1)

    def fail_because(self, message: str) -> NoReturn:
        """42601 with another message than "syntax error", at the current token."""
        tokens, index = self.tokens, self.index
        start = tokens.starts[index]
        near = tokens.text[start : tokens.ends[index]]
        where = f'at or near "{near}"' if near else "at end of input"
        raise SqlError("42601", f"{message} {where}", position=start + 1)

    def enter(self) -> None:
        """One level deeper; the way back is `depth -= 1`."""
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.fail_depth()

    def fail_depth(self) -> NoReturn:
        """54001: nested too deeply."""
        raise SqlError(
            "54001",
            "stack depth limit exceeded",
            hint=f"Statements may be nested at most {DEPTH_MAX} levels deep.",
            position=self.position,
        )

    # -- names -----------------------------------------------------------------------------------

    def word_of(self, allowed: frozenset[str]) -> str:
        """Step over a word of the class `allowed` and return it."""
        if self.kind not in allowed:
            self.fail()
        value = self.values[self.index]
        self.advance()
        return str(value)

    def col_id(self) -> str:
        """A name of a column, table, schema, ..."""
        if self.kind not in COL_ID:
            self.fail()
        value = self.values[self.index]
        self.index = index = self.index + 1
        self.kind = self.kinds[index]
        return value  # type: ignore[return-value]  # names are str

    def col_label(self) -> str:
        """A name after a dot or AS: any word."""
        return self.word_of(COL_LABEL)

    def type_function_name(self) -> str:
        """A name of a function or type."""
        return self.word_of(TYPE_FUNCTION_NAME)

    def any_name(self) -> tuple[str, ...]:
        """A dotted name of any length."""
        parts = [self.col_id()]
        while self.kind == ".":
            self.advance()
            parts.append(self.col_label())
        return tuple(parts)

    def any_name_node(self) -> QualifiedName:
        """`any_name` with its position."""
        position = self.position
        return QualifiedName(position, self.any_name())

    def qualified_name(self) -> QualifiedName:
        """A relation's name: at most database.schema.name."""
        start = self.starts[self.index]
        name = self.col_id()
        if self.kind != ".":
            if self.kind == "[":
                self.bad_qualified_name()
            return QualifiedName(start + 1, (name,))
        parts = [name]
        while self.accept("."):
            if self.kind == "*":
                self.bad_qualified_name()
            parts.append(self.col_label())
        if self.kind == "[":
            self.bad_qualified_name()
        if len(parts) > 3:
            raise SqlError(
                "42601",
                "improper qualified name (too many dotted names): " + ".".join(parts),
                position=start + 1,
            )
        return QualifiedName(start + 1, tuple(parts))

    def bad_qualified_name(self) -> NoReturn:
        """A star or a subscript in a relation's name (see `expressions`)."""
        raise NotImplementedError

    def qualified_names(self) -> tuple[QualifiedName, ...]:
        """A comma-separated list of relations' names."""
        names = [self.qualified_name()]
        while self.accept(","):
            names.append(self.qualified_name())
        return tuple(names)

    def any_names(self) -> tuple[QualifiedName, ...]:
        """A comma-separated list of dotted names."""
        names = [self.any_name_node()]
        while self.accept(","):
            names.append(self.any_name_node())
        return tuple(names)

    def names(self) -> tuple[str, ...]:
        """A comma-separated list of simple names."""
        names = [self.col_id()]
        while self.accept(","):
            names.append(self.col_id())
        return tuple(names)

    def names_in_parentheses(self) -> tuple[str, ...]:
        """`(a, b)`."""
        self.expect("(")
        names = self.names()
        self.expect(")")
        return names

    def optional_names(self) -> tuple[str, ...]:
        """`(a, b)`, or nothing."""
        return self.names_in_parentheses() if self.kind == "(" else ()

    # -- simple values ---------------------------------------------------------------------------

    def string(self) -> str:
        """A string constant."""
        if self.kind != "SCONST":
            self.fail()
        value = str(self.values[self.index])
        self.advance()
        return value

    def integer(self) -> int:
        """An int4 constant without a sign."""
        if self.kind != "ICONST":
            self.fail()
        value = self.values[self.index]
        self.advance()
        return value  # type: ignore[return-value]  # an ICONST's value is int

    def signed_integer(self) -> int:
        """An int4 constant, perhaps with a sign."""
        if self.accept("-"):
            return -self.integer()
        self.accept("+")
        return self.integer()

    def numeric_only(self) -> int | NumericText:
        """A number with an optional sign."""
        position = self.position
        sign = "-" if self.kind == "-" else ""
        if self.kind in ("+", "-"):
            self.advance()
        if self.kind == "FCONST":
            value = sign + str(self.values[self.index])
            self.advance()
            return NumericText(position, value)
        number = self.integer()
        return -number if sign else number

    def non_reserved_word_or_string(self) -> str:
        """A word or a string."""
        return self.string() if self.kind == "SCONST" else self.word_of(NON_RESERVED_WORD)

    def boolean_or_string(self) -> str:
        """TRUE, FALSE, ON, a word or a string, as text."""
        if self.kind in ("true", "false", "on"):
            word = self.kind
            self.advance()
            return word
        return self.non_reserved_word_or_string()

    def if_exists(self) -> bool:
        """IF EXISTS."""
        if self.kind == "if" and self.peek() == "exists":
            self.advance()
            self.advance()
            return True
        return False

    def if_not_exists(self) -> bool:
        """IF NOT EXISTS."""
        if self.kind == "if" and self.peek() == "not":
            self.advance()
            self.advance()
            self.expect("exists")
            return True
        return False

    # -- roles -----------------------------------------------------------------------------------

    def role_spec(self) -> RoleSpec:
        """A role; `public` and `none` are no names."""
        position, kind = self.position, self.kind
        special = _ROLE_WORDS.get(kind)
        if special is not None:
            self.advance()
            return RoleSpec(position, special)
        name = self.word_of(NON_RESERVED_WORD)
        if name == "public":
            return RoleSpec(position, RoleKind.PUBLIC)
        if name == "none":
            raise SqlError("42939", f'role name "{name}" is reserved', position=position)
        return RoleSpec(position, RoleKind.NAME, name)

    def role_specs(self) -> tuple[RoleSpec, ...]:
        """A comma-separated list of roles."""
        roles = [self.role_spec()]
        while self.accept(","):
            roles.append(self.role_spec())
        return tuple(roles)

    def role_id(self) -> str:
        """A new role's name: no special word."""
        role = self.role_spec()
        if role.kind is RoleKind.NAME:
            return role.name
        if role.kind is RoleKind.PUBLIC:
            raise SqlError("42939", 'role name "public" is reserved', position=role.position)
        raise SqlError(
            "42939", f"{role.kind.value.upper()} cannot be used as a role name here",
            position=role.position,
        )  # fmt: skip
