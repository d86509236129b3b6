"""Prepared statements that sessions share: text, syntax tree and program, found by text.

A program leans on the objects whose (oid, version) it names, and on the names that it resolved.
`Stamp` is three counters; while they stand still a program is current and nothing else is looked
at. When they moved, the program's own dependencies decide, or, when names or roles came or went,
it is made anew.

A cache belongs to a `ScopeKey`: database, role, search_path and the settings that plans look at.
Sessions with temporary objects or with uncommitted DDL have a cache of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from heliosd.catalog.lookup import Catalog
from heliosd.execute.program import Program
from heliosd.sql.tree import Statement

# Entries of one cache, and caches of one server. The least recently made go.
STATEMENTS_MAX: Final = 2_000
CACHES_MAX: Final = 256
# How many templates are tried before the text is cut into tokens.
FOLLOWERS_MAX: Final = 4
# Longer frames gain nothing from being known whole.
FRAME_BYTES_MAX: Final = 4_096


class Stamp(NamedTuple):
    """Counters of the catalog at the moment when a program was known to be current."""

    shared: int
    local: int
    overlay: int


class Names(NamedTuple):
    """Counters of what dependencies do not show: names, roles, this transaction's changes."""

    shared: int
    roles: int
    local: int
    overlay: int


def stamp_of(catalog: Catalog) -> Stamp:
    """The stamp now."""
    overlay = catalog.overlay
    return Stamp(
        catalog.shared.state.generation,
        catalog.local.generation,
        0 if overlay is None else len(overlay.log) + 1,
    )


def names_of(catalog: Catalog) -> Names:
    """The names' counters now."""
    overlay = catalog.overlay
    shared = catalog.shared.state
    return Names(
        shared.names_generation,
        shared.roles_generation,
        catalog.local.names_generation,
        0 if overlay is None else len(overlay.log) + 1,
    )


@dataclass(slots=True, eq=False)
class Prepared:
    """One statement, ready to run. `given_types` are the parameter types that the client named.

    `needs_snapshot` False: a utility statement that must not start a transaction's first snapshot.
    `encoders` keeps, by result formats, RowDescription and row encoder; `readers`, by parameter
    formats, parameter readers. Replaced, not changed, when its program becomes stale.
    """

    text: str
    tree: Statement
    program: Program
    given_types: tuple[int, ...]
    needs_snapshot: bool
    # The cache of the role, search_path and settings that it was prepared under.
    scope: StatementCache
    stamp: Stamp
    names: Names
    encoders: dict[tuple[object, ...], tuple[bytes, Callable[..., bytes]]] = field(
        default_factory=dict
    )
    readers: dict[tuple[object, ...], Callable[..., tuple[object, ...]]] = field(
        default_factory=dict
    )
    # How it was bound the last time (`fast.FastBind`), and its plain form; None before.
    fast: Any = None
    plain: Any = None

    def is_current(self, catalog: Catalog) -> bool:
        """Whether the program still means what it meant when it was made."""
        overlay = catalog.overlay
        known = self.stamp
        if (
            known[0] == catalog.shared.state.generation
            and known[1] == catalog.local.generation
            and known[2] == (0 if overlay is None else len(overlay.log) + 1)
        ):
            return True
        stamp = stamp_of(catalog)
        if names_of(catalog) == self.names and catalog.is_current(self.program.dependencies):
            self.stamp = stamp
            return True
        return False


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """What else than the catalog a program depends on."""

    database: int
    role: int
    path: tuple[int, ...]
    settings: tuple[object, ...]


class KnownStatement(Protocol):
    """A statement found by its frame, and when it was last known to be current."""

    prepared: Prepared
    generation: int


@dataclass(slots=True, eq=False)
class KnownTemplate:
    """A template whose statement has a plain form, and which templates came after it lately.

    `match` finds its literals in a whole Query frame, `read` makes parameters of them.
    """

    prepared: Prepared
    plain: Any
    match: Callable[[bytes], re.Match[bytes] | None]
    read: Callable[..., tuple[object, ...]]
    head: bytes
    encode_rows: Callable[..., bytes]
    # The catalog's generation at which the statement was last known to be current.
    generation: int = -1
    followers: list[KnownTemplate] = field(default_factory=list)


def remember_follower(followers: list[KnownTemplate], known: KnownTemplate) -> None:
    """Put a template first among the few that are tried."""
    if known in followers:
        followers.remove(known)
    followers.insert(0, known)
    del followers[FOLLOWERS_MAX:]


class StatementCache:
    """Prepared statements of one scope, by text and given parameter types."""

    __slots__ = ("_statements", "first", "frames", "templates", "unfit")

    def __init__(self) -> None:
        self._statements: dict[tuple[str, tuple[int, ...]], Prepared] = {}
        # Whole Query and Parse frames of statements with a plain form, as they came last.
        self.frames: dict[bytes, Prepared] = {}
        # Templates by their text, and those whose text means something else with parameters.
        self.templates: dict[str, KnownTemplate] = {}
        self.unfit: set[str] = set()
        # Templates that sessions began with: candidates where there is no previous statement.
        self.first: list[KnownTemplate] = []

    def find(self, text: str, given_types: tuple[int, ...]) -> Prepared | None:
        """The statement prepared earlier; it may be stale."""
        return self._statements.get((text, given_types))

    def put(self, prepared: Prepared) -> None:
        """Keep a statement, in place of a stale one or of the oldest."""
        statements = self._statements
        key = (prepared.text, prepared.given_types)
        statements.pop(key, None)
        if len(statements) >= STATEMENTS_MAX:
            del statements[next(iter(statements))]
        statements[key] = prepared

    def put_template(self, text: str, known: KnownTemplate) -> None:
        """Know a template by its text."""
        if len(self.templates) >= STATEMENTS_MAX:
            self.templates.clear()
            self.first.clear()
        self.templates[text] = known

    def put_unfit(self, text: str) -> None:
        """Never try this template again: it is its texts that must be prepared."""
        if len(self.unfit) >= STATEMENTS_MAX:
            self.unfit.clear()
        self.unfit.add(text)

    def put_frame(self, frame: bytes, prepared: Prepared) -> None:
        """Know the statement by its frame too, unless that is long."""
        if len(frame) > FRAME_BYTES_MAX:
            return
        if len(self.frames) >= STATEMENTS_MAX:
            self.frames.clear()
        self.frames[frame] = prepared


class StatementCaches:
    """The caches of one server, by scope."""

    def __init__(self) -> None:
        self._caches: dict[ScopeKey, StatementCache] = {}

    def of(self, key: ScopeKey) -> StatementCache:
        """The scope's cache, made when it is first asked for."""
        found = self._caches.get(key)
        if found is None:
            if len(self._caches) >= CACHES_MAX:
                del self._caches[next(iter(self._caches))]
            found = self._caches[key] = StatementCache()
        return found
