"""ALTER DEFAULT PRIVILEGES: what later objects of a role start with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from heliosd.catalog import acl
from heliosd.catalog.acl_change import sorted_items
from heliosd.catalog.default_privileges import find_default_privileges
from heliosd.catalog.kinds import KINDS
from heliosd.catalog.objects import AclItem, DefaultPrivileges, Role, Schema
from heliosd.errors import SqlError
from heliosd.execute.utility.grants import Change, grantees
from heliosd.execute.utility.names import current_role_oid, resolve_role
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.base import DropBehavior, ObjectKind
from heliosd.sql.tree.define import AlterDefaultPrivileges, Grant

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

Code = Literal["r", "S", "f", "T", "n"]

_KINDS: Final[dict[ObjectKind, tuple[str, Code, str]]] = {
    ObjectKind.TABLE: ("table", "r", "relation"),
    ObjectKind.SEQUENCE: ("sequence", "S", "sequence"),
    ObjectKind.FUNCTION: ("function", "f", "function"),
    ObjectKind.TYPE: ("type", "T", "type"),
    ObjectKind.SCHEMA: ("schema", "n", "schema"),
}


@runs(AlterDefaultPrivileges, tag="ALTER DEFAULT PRIVILEGES", writes=True, audit="grant")
def alter_default_privileges(statement: AlterDefaultPrivileges, session: SessionServices) -> None:
    """FOR ROLE roles (else the current one), IN SCHEMA schemas (else everywhere)."""
    action = statement.action
    change = Change(
        action.grant,
        grantees(session, action.grantees),
        action.grant_option,
        action.behavior is DropBehavior.CASCADE,
    )
    letters = _letters(action)
    roles: list[Role] = []
    for spec in statement.roles:
        role = resolve_role(session, spec)
        if not acl.is_member(session.catalog, current_role_oid(session), role.oid):
            raise SqlError("42501", f'must be member of role "{role.name}"')
        roles.append(role)
    if not statement.roles:
        mine = session.catalog.of_kind(Role, current_role_oid(session))
        if mine is None:
            raise SqlError("42704", f'role "{session.current_role}" does not exist')
        roles = [mine]
    for role in roles:
        if not statement.schemas:
            _change(session, role, None, action.kind, letters, change)
        for name in statement.schemas:
            schema = session.catalog.require_schema(name)
            _change(session, role, schema, action.kind, letters, change)


def _letters(action: Grant) -> str:
    kind, _, word = _KINDS[action.kind]
    known = KINDS[kind].letters
    letters = ""
    for item in action.privileges:
        if item.columns:
            raise SqlError("0LP01", "default privileges cannot be set for columns")
        if item.name is None:
            return known
        letter = acl.PRIVILEGE_NAMES.get(item.name.upper())
        if letter is None:
            raise SqlError("42601", f'unrecognized privilege type "{item.name}"')
        if letter not in known:
            raise SqlError("0LP01", f"invalid privilege type {item.name.upper()} for {word}")
        letters += letter
    return acl.ordered(letters)


def _change(
    session: SessionServices,
    role: Role,
    schema: Schema | None,
    kind: ObjectKind,
    letters: str,
    change: Change,
) -> None:
    """One entry: made, changed, or dropped when it says what holds anyway."""
    kind_word, code, _ = _KINDS[kind]
    if schema is not None and kind is ObjectKind.SCHEMA:
        raise SqlError("0LP01", "cannot use IN SCHEMA clause when using GRANT/REVOKE ON SCHEMAS")
    usual: tuple[AclItem, ...] = ()
    if schema is None:
        usual = acl.default_items(kind_word, role.oid)
    oid = 0 if schema is None else schema.oid
    known = find_default_privileges(session.catalog, role.oid, oid, code)
    before = usual if known is None or known.acl is None else known.acl
    after = sorted_items(change.apply(session, before, role.oid, role.oid, letters))
    edit = session.catalog_edit()
    if after == sorted_items(usual):
        if known is not None:
            edit.drop(known)
    elif known is not None:
        edit.replace(known, replace(known, acl=after))
    else:
        edit.create(
            DefaultPrivileges(
                oid=edit.new_oid(),
                name="",
                owner=role.oid,
                database=session.catalog.database.oid,
                schema=oid,
                kind=code,
                acl=after,
            )
        )


def revoke_default(session: SessionServices, entry: DefaultPrivileges, role: int) -> None:
    """DROP OWNED: default privileges without what they would grant to `role`."""
    kind = next(word for word, code, _ in _KINDS.values() if code == entry.kind)
    change = Change(False, (role,), cascade=True)
    items = change.apply(session, entry.acl or (), entry.owner, entry.owner, KINDS[kind].letters)
    after = sorted_items(items)
    usual = () if entry.schema else acl.default_items(kind, entry.owner)
    if after == sorted_items(usual):
        session.catalog_edit().drop(entry)
    else:
        session.catalog_edit().replace(entry, replace(entry, acl=after))
