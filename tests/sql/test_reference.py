"""The reference page of functions is what the registry says."""

from __future__ import annotations

from pathlib import Path

from heliosd.functions.reference import function_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "functions.md"


def test_page_is_current() -> None:
    """Otherwise: `python -m heliosd.functions.reference > docs/reference/functions.md`."""
    assert PAGE.read_text(encoding="utf-8") == function_page()
