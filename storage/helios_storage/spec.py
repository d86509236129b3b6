"""What a tree is: its number, its kind of key, the shapes of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, NewType, TypeAlias

Lsn = NewType("Lsn", int)
PageId = NewType("PageId", int)
TreeId = NewType("TreeId", int)

Key: TypeAlias = int | bytes
Row: TypeAlias = tuple[Any, ...]
KeyKind: TypeAlias = Literal["int", "bytes"]

SHAPES: Final = "?hiqfdtbu"
"""bool, int2, int4, int8, float4, float8, text (str), bytes, 16 bytes."""

KEY_BYTES_MAX: Final = 2704
"""PostgreSQL's limit for an index entry; three such keys fit any page."""


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """A tree as it stands at one root. Replaced, never changed, when a column is added.

    `missing[i]` is the value of column i in leaves that are older than the column.
    """

    tree_id: TreeId
    key_kind: KeyKind
    shapes: str
    temporary: bool = False
    missing: Row = ()

    def __post_init__(self) -> None:
        """Refuse what no leaf can hold (ValueError: a caller's mistake, never a user's)."""
        if self.key_kind not in ("int", "bytes"):
            raise ValueError(f"key kind {self.key_kind!r}")
        if self.shapes.strip(SHAPES):
            raise ValueError(f"unknown shape in {self.shapes!r}")
        if self.missing and len(self.missing) != len(self.shapes):
            raise ValueError("missing values must cover every column")

    def widened(self, shapes: str, missing: Row) -> TreeSpec:
        """The same tree with columns added at its end, `missing` their values in old rows."""
        padded = self.missing or (None,) * len(self.shapes)
        return TreeSpec(
            self.tree_id, self.key_kind, self.shapes + shapes, self.temporary, padded + missing
        )
