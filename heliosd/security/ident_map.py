"""User name maps: which names from outside (certificate, token, operating system) are which role.

pg_ident.conf's lines: MAP-NAME SYSTEM-NAME ROLE. A system name that begins with a slash is a
regular expression over the whole name; \\1 in the role is its first group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import re2

from heliosd.security.hba_lexer import HbaError, cut_lines


@dataclass(frozen=True, slots=True)
class MapLine:
    """One line; `pattern` is None where the system name stands for itself."""

    line: int
    name: str
    system: str
    role: str
    pattern: re2._Regexp | None = None

    def roles(self, system: str) -> Iterator[str]:
        """The role that this line gives to a system name, if it does."""
        if self.pattern is None:
            if self.system == system:
                yield self.role
            return
        found = self.pattern.fullmatch(system)
        if found is not None:
            if "\\1" in self.role:
                yield self.role.replace("\\1", found.group(1) or "", 1)
            else:
                yield self.role


@dataclass(frozen=True, slots=True)
class IdentMaps:
    """All lines of all maps."""

    lines: tuple[MapLine, ...] = ()

    def allows(self, map_name: str, system: str, role: str) -> bool:
        """Whether the system user may be this role. Without a map the names must be the same."""
        if not map_name:
            return system == role
        return any(
            role == given
            for line in self.lines
            if line.name == map_name
            for given in line.roles(system)
        )


def parse_maps(text: str) -> IdentMaps:
    """Raises `HbaError` at the first line that is none."""
    return IdentMaps(tuple(_lines(text)))


def _lines(text: str) -> Iterator[MapLine]:
    for line in cut_lines(text):
        if isinstance(line, HbaError):
            raise line
        if len(line.fields) != 3 or any(len(field) != 1 for field in line.fields):
            raise HbaError(line.number, "a map's line has three fields: map, system name, role")
        (name,), (system,), (role,) = line.fields
        pattern = None
        if system.text.startswith("/"):
            try:
                pattern = re2.compile(system.text[1:])
            except re2.error as error:
                raise HbaError(line.number, f"invalid regular expression: {error}") from None
            if "\\1" in role.text and pattern.groups < 1:
                raise HbaError(line.number, f'no group for "\\1" in "{role.text}"')
        yield MapLine(line.number, name.text, system.text, role.text, pattern)
