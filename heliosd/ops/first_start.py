"""What the first start makes: the superuser, its databases, and a password where none was given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from helios_storage.directory import write_file_synced
from helios_storage.errors import NoSuchTree
from helios_storage.storage import Storage
from heliosd.catalog import bootstrap
from heliosd.catalog.trees import CATALOG_SPEC
from heliosd.security.passwords import stored_password

PASSWORD_FILE_NAME: Final = "superuser-password"  # noqa: S105  a file's name


@dataclass(frozen=True)
class FirstStart:
    """What was made; `password_file` is None where the operator gave the password."""

    superuser: str
    password_file: Path | None


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
    transaction = storage.begin()
    bootstrap.create(transaction, storage, superuser, stored_password(password))
    transaction.commit()
    storage.checkpoint()
    return FirstStart(superuser, password_file)
