"""heliosd debug: prints one page, the roots, or the log of a stopped server's data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from heliosd.cli.options import add_data_dir_option, key_source, read_configuration
from heliosd.settings.server import ServerSettings
from heliosd.settings.sources import ServerConfiguration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to print; keys and row values only on request."""
    parser.add_argument("what", choices=("page", "log", "roots"))
    parser.add_argument("number", nargs="?", type=int, help="a page's id, or where to begin (LSN)")
    parser.add_argument("--tree", type=int, help="the tree that the page belongs to")
    parser.add_argument("--values", action="store_true", help="show keys and row values")
    add_data_dir_option(parser)


def run(options: argparse.Namespace, _arguments: list[str]) -> int:
    """Print line by line."""
    from helios_storage.errors import StorageError

    try:
        for line in _lines(options, read_configuration(options)):
            print(line)
    except StorageError as error:
        print(f"heliosd: {error}", file=sys.stderr)
        return 2
    return 0


def _lines(options: argparse.Namespace, configuration: ServerConfiguration) -> Iterator[str]:
    from helios_storage.dump import dump_log, dump_page, dump_roots

    directory = configuration.value(ServerSettings.data_dir)
    keys = key_source(configuration)
    if options.what == "roots":
        return dump_roots(directory, keys)
    if options.what == "log":
        return dump_log(directory, keys, from_lsn=options.number, values=options.values)
    if options.number is None:
        raise SystemExit("heliosd debug page: which page?")
    return dump_page(directory, keys, options.number, tree_id=options.tree, values=options.values)
