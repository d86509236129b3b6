"""heliosd reset-password: gives a superuser of a stopped server a new password, a way in again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from heliosd.cli.options import add_data_dir_option, key_source, read_configuration
from heliosd.settings.server import ServerSettings as S
from heliosd.settings.session import SessionSettings
from heliosd.settings.sources import ServerConfiguration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data directory, the role, where the password comes from."""
    add_data_dir_option(parser)
    parser.add_argument("--role", metavar="NAME", help="the superuser (default: the first one's)")
    parser.add_argument(
        "--stdin", action="store_true", help="read the password from standard input, not make one"
    )


def run(options: argparse.Namespace, _arguments: list[str]) -> int:
    """Reset; a password that was made is the only line on standard output."""
    from helios_storage.errors import StorageError
    from heliosd.errors import SqlError
    from heliosd.ops.reset import reset_password
    from heliosd.security.password_policy import PasswordPolicy

    configuration = read_configuration(options)
    value = configuration.value
    policy = PasswordPolicy(
        length_min=value(SessionSettings.password_min_length),
        history=value(SessionSettings.password_history),
        common_refused=value(SessionSettings.password_refuse_common),
        prehashed_accepted=False,
    )
    given = sys.stdin.readline().rstrip("\r\n") if options.stdin else None
    directory = Path(value(S.data_dir)).absolute()
    role = options.role or value(S.superuser)
    try:
        made = reset_password(
            directory,
            key_source(configuration),
            role,
            given,
            policy,
            _iterations(configuration),
        )
    except (StorageError, OSError) as error:
        print(f"heliosd: {error}", file=sys.stderr)
        return 2
    except SqlError as error:
        print(f"heliosd: {error.message}", file=sys.stderr)
        return 1
    if given is None:
        print(made)
    print(
        f"role {role}: password set, LOGIN, no VALID UNTIL; failed logins are forgotten",
        file=sys.stderr,
    )
    return 0


def _iterations(configuration: ServerConfiguration) -> int:
    return configuration.value(SessionSettings.scram_iterations)
