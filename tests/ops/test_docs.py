"""The documents tell the truth: names can be imported, every metric and setting is documented."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = re.findall(
    r"`((?:heliosd|helios_protocol|helios_storage)(?:\.\w+)+)`",
    (ROOT / "docs" / "life_of_a_statement.md").read_text("utf-8"),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_life_of_a_statement_exist(name: str) -> None:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    raise AssertionError(name)


def test_there_are_names() -> None:
    assert len(NAMES) > 25


def test_no_path_of_a_machine_and_no_foreign_word_is_committed() -> None:
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".sql", ".tsv"}
    pattern = re.compile(r"(?<![\w.])/(?:root|home/\w+)/")
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if path.suffix not in suffixes or relative.parts[0] in {".venv", ".git", "data"}:
            continue
        found = pattern.search(path.read_text("utf-8", "replace"))
        assert found is None or relative.name == "test_docs.py", f"{relative}: {found}"
