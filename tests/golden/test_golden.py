"""heliosd's answers are those that PostgreSQL 15 gave: values, types, SQLSTATEs and messages."""

from __future__ import annotations

import pytest

from tests.golden.script import names, recorded, run
from tests.server import Server


@pytest.mark.parametrize("name", names())
def test_answers_are_those_recorded(server: Server, name: str) -> None:
    """The first differing statement is shown with both answers."""
    ours = run(server.conninfo(), name).split("\n> ")
    theirs = recorded(name).split("\n> ")
    different = [
        f"{mine}\n  recorded:\n{other}"
        for mine, other in zip(ours, theirs, strict=True)
        if mine.strip() != other.strip()
    ]
    assert not different, "\n\n".join(different)
