"""Writes down what PostgreSQL 15 answers: `python tests/golden/record.py [DSN] [name ...]`.

Without a connection string it starts a PostgreSQL 15 of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.golden.reference import reference_server
from tests.golden.script import HERE, names, run


def record(dsn: str, wanted: list[str]) -> None:
    """Records the scripts named, or all of them."""
    for name in wanted or names():
        transcript = run(dsn, name)
        (HERE / f"{name}.out").write_text(transcript, encoding="utf-8")
        print(f"{name}: {transcript.count(chr(10) + '> ') + 1} statements")


def main(arguments: list[str]) -> None:
    """A first argument with `=` or `:` in it is the connection string."""
    if arguments and ("=" in arguments[0] or ":" in arguments[0]):
        record(arguments[0], arguments[1:])
        return
    with reference_server() as dsn:
        record(dsn, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
