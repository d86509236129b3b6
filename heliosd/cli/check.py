"""heliosd check: walks the invariants of a stopped server's data; exit 1 when one is broken."""

from __future__ import annotations

import argparse
import sys

from heliosd.cli.options import add_data_dir_option, key_source, read_configuration
from heliosd.settings.server import ServerSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data directory."""
    add_data_dir_option(parser)


def run(options: argparse.Namespace, _arguments: list[str]) -> int:
    """One line a finding, named by invariant (storage/README.md); silent when all is well."""
    from helios_storage.check import check_store
    from helios_storage.errors import StorageError

    configuration = read_configuration(options)
    try:
        findings = check_store(
            configuration.value(ServerSettings.data_dir), key_source(configuration)
        )
    except StorageError as error:
        print(f"heliosd: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    print("no invariant is broken" if not findings else f"{len(findings)} findings")
    return 1 if findings else 0
