"""GRANT and REVOKE of privileges on tables, columns, sequences, schemas, databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import (
    PUBLIC_ROLE,
    Acl,
    AclItem,
    CatalogObject,
    ColumnedRelation,
    Database,
    IndexRelation,
    Schema,
    SystemView,
    Table,
    View,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    current_role_oid,
    find_relation,
    lock_object,
    missing_relation,
    resolve_role,
    system_relation,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.tree.base import (
    DropBehavior,
    ObjectKind,
    ObjectRef,
    QualifiedName,
    RoleKind,
)
from heliosd.sql.tree.define import AlterDefaultPrivileges, Grant, PrivilegeItem

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_KNOWN: Final = {
    ObjectKind.TABLE: (acl.TABLE_PRIVILEGES, "relation"),
    ObjectKind.SEQUENCE: (acl.SEQUENCE_PRIVILEGES, "sequence"),
    ObjectKind.SCHEMA: (acl.SCHEMA_PRIVILEGES, "schema"),
    ObjectKind.DATABASE: (acl.DATABASE_PRIVILEGES, "database"),
}


_HAVE_UNMASK: Final = (Table, Schema, Database)


@dataclass(frozen=True, slots=True)
class Change:
    """One statement's change, to be applied to each acl that it names."""

    grant: bool
    grantees: tuple[int, ...]
    option: bool
    cascade: bool
    everything: bool
    """ALL was said: holding only some of it needs no warning."""


@runs(Grant, tag="GRANT", writes=True, audit="grant")
def grant(statement: Grant, session: SessionServices) -> str:
    """GRANT privileges ON objects TO roles, REVOKE privileges ON objects FROM roles."""
    kind = statement.kind
    if kind not in _KNOWN:
        if statement.all_in_schema:
            for reference in statement.objects:
                session.catalog.require_schema(reference.name, reference.position)
            return "GRANT" if statement.grant else "REVOKE"
        raise not_supported(f"GRANT on {kind.value}")
    change = Change(
        statement.grant,
        _grantees(session, statement),
        statement.grant_option,
        statement.behavior is DropBehavior.CASCADE,
        any(item.name is None for item in statement.privileges),
    )
    for obj in _objects(session, statement):
        _apply(session, obj.oid, statement, change)
    return "GRANT" if statement.grant else "REVOKE"


def _grantees(session: SessionServices, statement: Grant) -> tuple[int, ...]:
    found: list[int] = []
    for spec in statement.grantees:
        if spec.kind is RoleKind.PUBLIC:
            if statement.grant and statement.grant_option:
                raise SqlError("0LP01", "grant options can only be granted to roles")
            found.append(PUBLIC_ROLE)
        else:
            found.append(resolve_role(session, spec).oid)
    return tuple(found)


def _objects(session: SessionServices, statement: Grant) -> list[CatalogObject]:
    if statement.all_in_schema:
        return _all_in_schemas(session, statement)
    return [_object(session, statement.kind, reference) for reference in statement.objects]


def _all_in_schemas(session: SessionServices, statement: Grant) -> list[CatalogObject]:
    wanted: tuple[type[CatalogObject], ...] = (Table, View)
    if statement.kind is ObjectKind.SEQUENCE:
        wanted = (SequenceObject,)
    found: list[CatalogObject] = []
    for reference in statement.objects:
        schema = session.catalog.require_schema(reference.name, reference.position)
        found += [o for o in session.catalog.in_schema(schema.oid) if isinstance(o, wanted)]
    return found


def _object(session: SessionServices, kind: ObjectKind, reference: ObjectRef) -> CatalogObject:
    match kind:
        case ObjectKind.SCHEMA:
            return session.catalog.require_schema(reference.name, reference.position)
        case ObjectKind.DATABASE:
            found = session.catalog.database_named(reference.name)
            if found is None:
                raise SqlError("3D000", f'database "{reference.name}" does not exist')
            return found
    name = QualifiedName(reference.position, reference.parts)
    relation = find_relation(session, name)
    if relation is None:
        raise missing_relation(session, name)
    if isinstance(relation, IndexRelation):
        raise SqlError("42809", f'"{relation.name}" is an index')
    if isinstance(relation, SystemView):
        raise system_relation(relation)
    if kind is ObjectKind.SEQUENCE and not isinstance(relation, SequenceObject):
        raise SqlError("42809", f'"{relation.name}" is not a sequence')
    return relation


# -- applying -------------------------------------------------------------------------------------


def _apply(session: SessionServices, oid: int, statement: Grant, change: Change) -> None:
    lock_object(session, oid, TableLockMode.SHARE_UPDATE_EXCLUSIVE)
    obj = session.catalog.by_oid(oid)
    assert obj is not None
    letters = ""
    by_column: dict[str, str] = {}
    for item in statement.privileges:
        named = _letters(obj, statement.kind, item)
        if item.name is None and not change.grant:
            # ALL never grants UNMASK, but takes it away.
            named += acl.UNMASK
        if item.columns:
            for column in item.columns:
                by_column[column] = by_column.get(column, "") + named
        else:
            letters += named
    changed = obj
    if letters:
        items = acl.effective_acl(obj)
        new = _changed(session, obj, items, acl.ordered(letters), change, obj.name)
        changed = replace(obj, acl=new)
    if by_column:
        assert isinstance(changed, ColumnedRelation)
        changed = _change_columns(session, changed, by_column, change)
    if changed is not obj:
        session.catalog_edit().replace(obj, changed)


def _letters(obj: CatalogObject, kind: ObjectKind, item: PrivilegeItem) -> str:
    known, word = _KNOWN[kind]
    if isinstance(obj, SequenceObject):
        known = acl.SEQUENCE_PRIVILEGES if kind is ObjectKind.SEQUENCE else "rwU"
    if item.name is None:
        if item.columns:
            return acl.COLUMN_PRIVILEGES
        return acl.all_privileges(obj)
    letter = acl.PRIVILEGE_NAMES.get(item.name.upper())
    if letter is None:
        raise SqlError("42601", f'unrecognized privilege type "{item.name}"')
    if letter == acl.UNMASK and isinstance(obj, Table if item.columns else _HAVE_UNMASK):
        return letter
    if item.columns and letter not in acl.COLUMN_PRIVILEGES:
        raise SqlError("0LP01", f"invalid privilege type {item.name.upper()} for column")
    if letter not in known and letter not in acl.all_privileges(obj):
        if word == "relation" and letter == acl.USAGE:
            word = "table"
        raise SqlError("0LP01", f"invalid privilege type {item.name.upper()} for {word}")
    return letter


def _change_columns(
    session: SessionServices,
    relation: ColumnedRelation,
    by_column: dict[str, str],
    change: Change,
) -> ColumnedRelation:
    columns = list(relation.columns)
    for name, letters in by_column.items():
        column = relation.column_by_name.get(name)
        if column is None:
            raise SqlError("42703", f'column "{name}" of relation "{relation.name}" does not exist')
        own = (AclItem(relation.owner, relation.owner, acl.COLUMN_PRIVILEGES),)
        items = own + (column.acl or ())
        new = _changed(session, relation, items, acl.ordered(letters), change, relation.name)
        kept = tuple(item for item in new or () if item != own[0])
        columns[column.attnum - 1] = replace(column, acl=kept or None)
    return replace(relation, columns=tuple(columns))


def _changed(
    session: SessionServices,
    obj: CatalogObject,
    items: Sequence[AclItem],
    letters: str,
    change: Change,
    shown: str,
) -> Acl:
    grantor, allowed = _grantor(session, obj, items, letters)
    if not allowed:
        if not acl.held_privileges(items, acl.roles_of(session.catalog, current_role_oid(session))):
            raise SqlError("42501", f"permission denied for {acl.kind_words(obj)} {shown}")
        session.notice(
            f'no privileges were granted for "{shown}"'
            if change.grant
            else f'no privileges could be revoked for "{shown}"',
            severity="WARNING",
            sqlstate="01007" if change.grant else "01006",
        )
        return tuple(items)
    if allowed != letters and not change.everything:
        session.notice(
            f'not all privileges were granted for "{shown}"'
            if change.grant
            else f'not all privileges could be revoked for "{shown}"',
            severity="WARNING",
            sqlstate="01007" if change.grant else "01006",
        )
    new: Acl = tuple(items)
    for grantee in change.grantees:
        if change.grant:
            options = allowed if change.option else ""
            new = acl.grant(new or (), grantee, grantor, allowed, options)
        else:
            new = _revoked(new or (), grantee, grantor, allowed, change)
    return new


def _grantor(
    session: SessionServices, obj: CatalogObject, items: Sequence[AclItem], letters: str
) -> tuple[int, str]:
    """Who grants, and which letters that role may grant: the owner all, others by their options."""
    role = current_role_oid(session)
    if acl.is_owner(session.catalog, role, obj):
        return obj.owner, letters
    best, held = role, ""
    for candidate in sorted(acl.roles_of(session.catalog, role)):
        options = acl.held_options(items, frozenset({candidate}))
        usable = "".join(letter for letter in letters if letter in options)
        if len(usable) > len(held):
            best, held = candidate, usable
    return best, held


def _revoked(
    items: Sequence[AclItem], grantee: int, grantor: int, letters: str, change: Change
) -> Acl:
    """Without these letters; what the grantee granted on falls too, or RESTRICT refuses (2BP01)."""
    held = next((i for i in items if i.grantee == grantee and i.grantor == grantor), None)
    lost = "" if held is None else "".join(x for x in held.options if x in letters)
    new: Acl = acl.revoke(items, grantee, grantor, letters, option_only=change.option)
    still = acl.held_options(new or (), frozenset({grantee}))
    lost = "".join(x for x in lost if x not in still)
    if lost:
        for item in acl.dependent_grants(new or (), grantee, lost):
            if not change.cascade:
                raise SqlError(
                    "2BP01",
                    "dependent privileges exist",
                    hint="Use CASCADE to revoke them too.",
                )
            deeper = replace(change, option=False)
            new = _revoked(new or (), item.grantee, grantee, lost, deeper)
    return new


@runs(AlterDefaultPrivileges, tag="ALTER DEFAULT PRIVILEGES", writes=True)
def alter_default_privileges(_statement: AlterDefaultPrivileges, _session: SessionServices) -> None:
    """Not built: without it new objects have PostgreSQL's own defaults."""
    raise not_supported("ALTER DEFAULT PRIVILEGES")
