"""A new password for a superuser while no server runs: who may read the wrapping key and write the
data directory may do it, nobody else can."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from helios_storage.keyring import KeySource
from helios_storage.options import StorageOptions
from helios_storage.scheduler import InlineScheduler
from helios_storage.storage import Storage
from heliosd.catalog.codec import decode_object
from heliosd.catalog.objects import Role
from heliosd.catalog.trees import CATALOG_TREE, FIRST_OID, write_object
from heliosd.errors import SqlError
from heliosd.ops.lockout_file import forget_failed_logins
from heliosd.security.password_policy import PasswordPolicy
from heliosd.security.passwords import PasswordChange, changed_password
from heliosd.session.clock import now_us


def reset_password(
    directory: Path,
    keys: KeySource,
    role_name: str,
    password: str | None,
    policy: PasswordPolicy,
    iterations: int,
) -> str:
    """Set the password (None: make one) and return it. The role may log in again whatever stood
    in its way: NOLOGIN, VALID UNTIL, failed logins.

    Raises 42704 for no such role, 42501 for one that is no superuser (a superuser resets those by
    SQL), 22023 where the policy refuses, `StorageError` where a server runs or the key is wrong.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such data directory")
    made = secrets.token_urlsafe(24) if password is None else password
    storage = Storage.open(directory, keys, StorageOptions(), InlineScheduler())
    try:
        transaction = storage.begin()
        role = _find(storage, role_name)
        change = PasswordChange(made, iterations, policy, now_us())
        changed = changed_password(role, change)
        if changed is None:
            raise SqlError("22023", "the password must not be empty")
        changed = replace(changed, login=True, valid_until=None)
        write_object(transaction, changed)
        transaction.commit()
        storage.checkpoint()
    finally:
        storage.close()
    forget_failed_logins(directory)
    return made


def _find(storage: Storage, name: str) -> Role:
    transaction = storage.begin()
    snapshot = transaction.snapshot()
    try:
        for _keys, rows in snapshot.batches(CATALOG_TREE, FIRST_OID):
            for kind, data in rows:
                if kind == "role":
                    role = decode_object(kind, data, 0)
                    if isinstance(role, Role) and role.name == name:
                        if not role.superuser:
                            raise SqlError("42501", f'role "{name}" is not a superuser')
                        return role
    finally:
        snapshot.release()
        transaction.rollback()
    raise SqlError("42704", f'role "{name}" does not exist')
