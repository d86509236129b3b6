"""Values out of line: trees of chunks, read through the same page source as trees of rows."""

from __future__ import annotations

from typing import Final

from helios_storage.errors import Corrupted
from helios_storage.page import Chunk, PageSource, Ref
from helios_storage.spec import TreeId, TreeSpec

_NO_TREE: Final = TreeSpec(TreeId(0), "int", "")
"""Chunks are the same in every tree; a page source needs a spec only for leaves."""


def read_large(ref: Ref, pages: PageSource) -> bytes:
    """The value below `ref`. May suspend. Raises `Corrupted` when its size is not as promised."""
    parts: list[bytes] = []
    _collect(ref, pages, parts)
    data = b"".join(parts) if len(parts) != 1 else parts[0]
    if len(data) != ref.count:
        raise Corrupted(f"large value of {len(data)} bytes should have {ref.count}")
    return data


def _collect(ref: Ref, pages: PageSource, parts: list[bytes]) -> None:
    page = ref.page or pages.load(ref, _NO_TREE)
    if type(page) is not Chunk:
        raise Corrupted("page of a large value is no chunk")
    if page.children is None:
        parts.append(page.data)
    else:
        for child in page.children:
            _collect(child, pages, parts)
