"""aclitem: `grantee=privileges/grantor`, each letter with a * where it may be granted on.

A value is its canonical text; roles are named in it, so reading one asks the catalog for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from heliosd.errors import SqlError

LETTERS: Final = "arwdDxtXUCTcsA"
"""PostgreSQL's letters in their order."""
OWN_LETTERS: Final = "K"
"""heliosd's own: UNMASK."""


class AclText(NamedTuple):
    """An aclitem in its parts; grantee "" is PUBLIC."""

    grantee: str
    grantor: str
    letters: str
    options: str

    def __str__(self) -> str:
        shown = "".join(x + "*" if x in self.options else x for x in self.letters)
        grantee = quote_role(self.grantee) if self.grantee else ""
        return f"{grantee}={shown}/{quote_role(self.grantor)}"


def quote_role(name: str) -> str:
    """A role's name as aclitem's output quotes it."""
    if name and all(c.isascii() and (c.isalnum() or c == "_") for c in name):
        return name
    return '"' + name.replace('"', '""') + '"'


def parse_aclitem(text: str) -> AclText:
    """The parts of an aclitem's text; 22P02."""
    grantee, at = _name(text, _spaces(text, 0))
    following = text[_spaces(text, at) : _spaces(text, at) + 1]
    if grantee in ("group", "user") and following not in ("", "="):
        grantee, at = _name(text, _spaces(text, at))
        if not grantee:
            raise _bad("missing name", 'A name must follow the "group" or "user" key word.')
    at = _spaces(text, at)
    if text[at : at + 1] != "=":
        raise _bad(f'unrecognized key word: "{grantee}"', 'ACL key word must be "group" or "user".')
    letters, options, at = _letters(text, at + 1)
    grantor = ""
    if text[at : at + 1] == "/":
        grantor, at = _name(text, _spaces(text, at + 1))
        if not grantor:
            raise _bad('a name must follow the "/" sign')
    if _spaces(text, at) != len(text):
        raise _bad("extra garbage at the end of the ACL specification")
    return AclText(grantee, grantor, ordered(letters), ordered(options))


def _spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _name(text: str, at: int) -> tuple[str, int]:
    """A role's name, quoted or of letters, digits and _."""
    out: list[str] = []
    quoted = False
    while at < len(text):
        char = text[at]
        if char == '"':
            if quoted and text[at + 1 : at + 2] == '"':
                out.append('"')
                at += 2
                continue
            quoted = not quoted
        elif quoted or char == "_" or char.isalnum():
            out.append(char)
        else:
            break
        at += 1
    return "".join(out), at


def _letters(text: str, at: int) -> tuple[str, str, int]:
    letters, options = "", ""
    while at < len(text):
        char = text[at]
        if char.isalpha():
            if char not in LETTERS + OWN_LETTERS:
                raise _bad(f'invalid mode character: must be one of "{LETTERS}"')
            letters += char
        elif char == "*" and letters:
            options += letters[-1]
        else:
            break
        at += 1
    return letters, options, at


def ordered(letters: str) -> str:
    """Each letter once, in order."""
    return "".join(x for x in LETTERS + OWN_LETTERS if x in letters)


def read_aclitem(text: str, role_exists: Callable[[str], bool], default_grantor: str) -> str:
    """An aclitem's canonical text; 22P02, 42704 for roles that are not there."""
    item = parse_aclitem(text)
    if not item.grantor:
        item = item._replace(grantor=default_grantor)
    for name in (item.grantee, item.grantor):
        if name and not role_exists(name):
            raise SqlError("42704", f'role "{name}" does not exist')
    return str(item)


def _bad(message: str, hint: str | None = None) -> SqlError:
    return SqlError("22P02", message, hint=hint)
