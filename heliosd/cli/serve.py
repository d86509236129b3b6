"""heliosd serve: runs the server until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from heliosd.cli.options import add_setting_options, read_configuration
from heliosd.ops.launch import (
    check_process,
    harden_process,
    is_relaunched,
    relaunch,
    take_secrets,
)
from heliosd.settings.server import ServerSettings

RECURSION_MAX = 12_000
"""Python frames: a thousand operators or queries in a row, at up to a dozen frames each, from the
parser to the compiler. Measured safe on an 8 MB stack; what is deeper is 54001."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings' options."""
    add_setting_options(parser)


def run(options: argparse.Namespace, arguments: list[str]) -> int:
    """Check the process, start again without secrets in the environment, serve.

    The heavy rooms are imported in the second start only.
    """
    if not is_relaunched(os.environ):
        configuration = read_configuration(options)
        check_process(os.environ, allow_root=configuration.value(ServerSettings.allow_root))
        from heliosd.server.tls import openssl_configuration

        relaunch(arguments, openssl_configuration())
    environment = {**os.environ, **take_secrets()}
    configuration = read_configuration(options, environment)
    check_process(environment, allow_root=configuration.value(ServerSettings.allow_root))
    harden_process()
    sys.setrecursionlimit(RECURSION_MAX)

    from helios_storage.errors import StorageError
    from heliosd.observe.log import Log
    from heliosd.ops.service import Service
    from heliosd.server.selector import SpinningSelector

    log = Log(configuration.value(ServerSettings.log_level))

    selector = SpinningSelector()

    async def serve() -> int:
        def say(text: str) -> None:
            print(text, flush=True)

        return await Service(configuration, log, say, selector).run()

    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            return runner.run(serve())
    except StorageError as error:
        log.error("the server cannot start", reason=str(error))
        print(f"heliosd: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        log.error("the server cannot start", reason=str(error))
        print(f"heliosd: {error}", file=sys.stderr)
        return 1
