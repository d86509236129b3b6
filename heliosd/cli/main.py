"""The `heliosd` command: one file per subcommand, each with `add_arguments` and `run`."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from heliosd.cli import check, config, debug, reset_password, serve
from heliosd.settings.sources import ConfigurationError

COMMANDS: Final = {
    "serve": serve,
    "config": config,
    "check": check,
    "debug": debug,
    "reset-password": reset_password,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; exits 2 on a wrong configuration, with one line that says why."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="heliosd", description="The heliosd server.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").splitlines()[0].partition(": ")[2]
        module.add_arguments(commands.add_parser(name, help=summary))
    options = parser.parse_args(arguments)
    try:
        sys.exit(COMMANDS[options.command].run(options, arguments))
    except ConfigurationError as error:
        print(f"heliosd: {error}", file=sys.stderr)
        sys.exit(2)
