"""What the first start makes: the superuser, its databases, and a password where none was given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from helios_storage.directory import write_file_synced
from helios_storage.errors import NoSuchTree
from helios_storage.storage import Storage
from helios_storage.transaction import Transaction
from heliosd.catalog import bootstrap
from heliosd.catalog.codec import decode_object
from heliosd.catalog.objects import BOOTSTRAP_ROLE_OID, Role
from heliosd.catalog.trees import CATALOG_SPEC, write_object
from heliosd.errors import SqlError
from heliosd.security.password_policy import PasswordPolicy, check_password
from heliosd.security.passwords import stored_password
from heliosd.session.clock import now_us

PASSWORD_FILE_NAME: Final = "superuser-password"  # noqa: S105  a file's name


@dataclass(frozen=True)
class FirstStart:
    """What was made; `password_file` is None where the operator gave the password."""

    superuser: str
    password_file: Path | None
    password_flaw: str = ""
    """Which rule for passwords the given one breaks: the first start's is exempt."""


def has_catalog(storage: Storage) -> bool:
    """Whether this store was started before. May suspend."""
    transaction = storage.begin()
    snapshot = transaction.snapshot()
    try:
        snapshot.tree(CATALOG_SPEC.tree_id)
    except NoSuchTree:
        return False
    finally:
        snapshot.release()
        transaction.rollback()
    return True


def make_first_objects(
    storage: Storage, data_dir: Path, superuser: str, password: str
) -> FirstStart:
    """Create the superuser and the databases in one durable transaction. May suspend.

    Without a `password` one is generated and kept in the data directory with mode 0600, before
    anything is committed: a first start that is cut short finds it again.
    """
    password_file = None
    if not password:
        password_file = data_dir / PASSWORD_FILE_NAME
        if password_file.exists():
            password = password_file.read_text("ascii").strip()
        else:
            password = secrets.token_urlsafe(24)
            write_file_synced(password_file, password.encode("ascii") + b"\n")
    flaw = _flaw(password, superuser)
    transaction = storage.begin()
    bootstrap.create(transaction, storage, superuser, stored_password(password))
    _mark_password(transaction, unchecked=bool(flaw))
    transaction.commit()
    storage.checkpoint()
    return FirstStart(superuser, password_file, flaw)


def _flaw(password: str, superuser: str) -> str:
    try:
        check_password(password, superuser, PasswordPolicy())
    except SqlError as error:
        return error.message
    return ""


def _mark_password(transaction: Transaction, *, unchecked: bool) -> None:
    """When the superuser's password was set, and that nobody has judged it."""
    kind, data = transaction.newest(CATALOG_SPEC.tree_id, BOOTSTRAP_ROLE_OID) or ("", b"")
    role = decode_object(kind, data, 0)
    assert isinstance(role, Role)
    marked = replace(role, password_set=now_us(), password_unchecked=unchecked)
    write_object(transaction, marked)
