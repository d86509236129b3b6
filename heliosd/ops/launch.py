"""How the process prepares itself before it opens anything.

The wrapping key and the password may arrive in the environment, and `/proc/PID/environ` shows a
process's environment for ever. So the process reads them, hands them to itself through an
anonymous file, and executes itself again without them. The same step sets OPENSSL_CONF: it is the
only way to choose TLS 1.3's cipher suites under Python 3.11.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from collections.abc import Mapping
from typing import Final

from heliosd.settings.sources import ConfigurationError

SECRETS_FD: Final = "HELIOSDB_SECRETS_FD"
# Variables that never survive the second start.
SECRET_VARIABLES: Final = ("HELIOSDB_ENCRYPTION_KEY", "HELIOSDB_PASSWORD")
_PR_SET_DUMPABLE: Final = 4
_TRUE: Final = ("1", "true", "yes", "on")


def is_relaunched(environment: Mapping[str, str]) -> bool:
    """Whether this is the second start."""
    return SECRETS_FD in environment


def relaunch(arguments: list[str], openssl_configuration: str) -> None:
    """Execute this program again, without secrets in its environment. Does not return."""
    environment = dict(os.environ)
    secrets = {name: environment.pop(name) for name in SECRET_VARIABLES if name in environment}
    secrets_fd = _anonymous_file("secrets", json.dumps(secrets).encode())
    configuration_fd = _anonymous_file("openssl", openssl_configuration.encode())
    environment[SECRETS_FD] = str(secrets_fd)
    environment["OPENSSL_CONF"] = f"/proc/self/fd/{configuration_fd}"
    os.execve(  # noqa: S606  our own interpreter and module
        sys.executable, [sys.executable, "-m", "heliosd", *arguments], environment
    )


def take_secrets() -> dict[str, str]:
    """The secrets that the first start handed over; the file is gone afterwards."""
    descriptor = int(os.environ.pop(SECRETS_FD))
    with os.fdopen(descriptor, "rb") as handed:
        secrets: dict[str, str] = json.loads(handed.read())
    return secrets


def check_process(environment: Mapping[str, str], *, allow_root: bool) -> None:
    """Refuse to run as root (unless told) or with secrets logged. Raises ConfigurationError."""
    if environment.get("LOG_SECRETS", "").lower() in _TRUE:
        raise ConfigurationError("LOG_SECRETS is set: secrets are never logged; unset it")
    if os.geteuid() == 0 and not allow_root:
        raise ConfigurationError(
            "refusing to run as root; use another user, or set HELIOSDB_ALLOW_ROOT=1"
        )


def harden_process() -> None:
    """No core dumps, no debugger of the same user: memory holds keys and rows."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ConfigurationError(f"prctl: {os.strerror(ctypes.get_errno())}")


def _anonymous_file(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(f"heliosd-{name}", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return descriptor
