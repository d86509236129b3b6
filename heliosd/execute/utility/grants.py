"""GRANT and REVOKE of privileges on everything that has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from heliosd.catalog import acl, acl_change
from heliosd.catalog.kinds import KINDS
from heliosd.catalog.objects import (
    PUBLIC_ROLE,
    AclItem,
    ColumnedRelation,
    Database,
    Schema,
    SystemView,
    Table,
)
from heliosd.catalog.objects import Sequence as SequenceObject
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.grantable import Grantable, all_in_schemas, find_grantable
from heliosd.execute.utility.names import current_role_oid, resolve_role
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.security_events import tell_unmask
from heliosd.sql.tree.base import DropBehavior, ObjectKind, RoleKind, RoleSpec
from heliosd.sql.tree.define import Grant, PrivilegeItem

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

_KNOWN: Final = {
    ObjectKind.TABLE: (KINDS["table"].letters + KINDS["sequence"].letters, "relation"),
    ObjectKind.SEQUENCE: (KINDS["sequence"].letters, "sequence"),
    ObjectKind.SCHEMA: (KINDS["schema"].letters, "schema"),
    ObjectKind.DATABASE: (KINDS["database"].letters, "database"),
    ObjectKind.FUNCTION: (KINDS["function"].letters, "function"),
    ObjectKind.PROCEDURE: (KINDS["function"].letters, "procedure"),
    ObjectKind.ROUTINE: (KINDS["function"].letters, "routine"),
    ObjectKind.LANGUAGE: (KINDS["language"].letters, "language"),
    ObjectKind.TYPE: (KINDS["type"].letters, "type"),
    ObjectKind.DOMAIN: (KINDS["type"].letters, "domain"),
    ObjectKind.TABLESPACE: (KINDS["tablespace"].letters, "tablespace"),
    ObjectKind.PARAMETER: (KINDS["parameter"].letters, "parameter"),
    ObjectKind.LARGE_OBJECT: (KINDS["large object"].letters, "large object"),
    ObjectKind.FOREIGN_SERVER: (KINDS["foreign server"].letters, "foreign server"),
    ObjectKind.FOREIGN_DATA_WRAPPER: (
        KINDS["foreign-data wrapper"].letters, "foreign-data wrapper",
    ),
}  # fmt: skip
_HAVE_UNMASK: Final = (Table, Schema, Database)


@dataclass(frozen=True, slots=True)
class Change:
    """One statement's change, to be applied to each access list that it names.

    `everything`: ALL was said, so holding only some of it needs no warning.
    """

    grant: bool
    grantees: tuple[int, ...]
    option: bool = False
    cascade: bool = False
    everything: bool = False

    def apply(
        self, session: SessionServices, items: Sequence[AclItem], owner: int, grantor: int,
        letters: str,
    ) -> tuple[AclItem, ...]:  # fmt: skip
        """The access list after the change, made by `grantor`."""
        changed = tuple(items)
        catalog = session.catalog
        for grantee in self.grantees:
            if self.grant:
                if self.option and grantee == PUBLIC_ROLE:
                    raise SqlError("0LP01", "grant options can only be granted to roles")
                item = AclItem(grantee, grantor, letters, letters if self.option else "")
                changed = acl_change.grant(catalog, changed, owner, item)
            else:
                item = AclItem(grantee, grantor, "" if self.option else letters, letters)
                changed = acl_change.revoke(catalog, changed, owner, item, cascade=self.cascade)
        return changed


@runs(Grant, tag="GRANT", writes=True, audit="grant")
def grant(statement: Grant, session: SessionServices) -> str:
    """GRANT privileges ON objects TO roles, REVOKE privileges ON objects FROM roles."""
    check_grantor(session, statement.granted_by)
    kind = statement.kind
    if kind not in _KNOWN:
        raise not_supported(f"GRANT on {kind.value}")
    if statement.all_in_schema:
        found = list(all_in_schemas(session, kind, statement.objects))
    else:
        found = [find_grantable(session, kind, reference) for reference in statement.objects]
    change = Change(
        statement.grant,
        grantees(session, statement.grantees),
        statement.grant_option,
        statement.behavior is DropBehavior.CASCADE,
        any(item.name is None and not item.columns for item in statement.privileges),
    )
    for item in statement.privileges:
        check_privilege(kind, item)
    for each in found:
        if each.wrong is not None:
            raise each.wrong
        _apply(session, each, statement, change)
    if any((item.name or "").upper() == "UNMASK" for item in statement.privileges):
        objects = [each.obj for each in found]
        tell_unmask(session, objects, change.grantees, granted=statement.grant)
    return "GRANT" if statement.grant else "REVOKE"


def check_grantor(session: SessionServices, granted_by: RoleSpec | None) -> None:
    """GRANTED BY may only name the current role (0A000)."""
    if granted_by is None:
        return
    if resolve_role(session, granted_by).oid != current_role_oid(session):
        raise SqlError("0A000", "grantor must be current user")


def grantees(session: SessionServices, specs: Sequence[RoleSpec]) -> tuple[int, ...]:
    """The roles' oids; PUBLIC is 0."""
    return tuple(
        PUBLIC_ROLE if spec.kind is RoleKind.PUBLIC else resolve_role(session, spec).oid
        for spec in specs
    )


def check_privilege(kind: ObjectKind, item: PrivilegeItem) -> None:
    """42601 for no privilege at all, 0LP01 for one that the kind does not have."""
    known, word = _KNOWN[kind]
    if item.columns and kind is not ObjectKind.TABLE:
        raise SqlError("0LP01", "column privileges are only valid for relations")
    if item.name is None:
        return
    letter = acl.PRIVILEGE_NAMES.get(item.name.upper())
    if letter is None:
        raise SqlError("42601", f'unrecognized privilege type "{item.name}"')
    if letter == acl.UNMASK and word in ("relation", "schema", "database"):
        return
    if item.columns:
        known, word = acl.COLUMN_PRIVILEGES, "column"
    if letter not in known:
        raise SqlError("0LP01", f"invalid privilege type {item.name.upper()} for {word}")


def _apply(session: SessionServices, found: Grantable, statement: Grant, change: Change) -> None:
    found = found.lock(session)
    letters, by_column = _wanted(session, found, statement, change)
    if isinstance(found.obj, ColumnedRelation):
        columns = _column_numbers(found.obj, by_column)
        if not change.grant and letters:
            # What is revoked from the whole goes from its columns too.
            with_columns = "".join(x for x in letters if x in acl.COLUMN_PRIVILEGES + acl.UNMASK)
            for attnum in _column_attnums(found.obj) if with_columns else ():
                columns[attnum] = acl.ordered(columns.get(attnum, "") + with_columns)
    else:
        columns = {}
    before = found.items(session.catalog)
    if letters:
        grantor, allowed = _allowed(session, found, before, letters, change)
        new = change.apply(session, before, found.owner, grantor, allowed)
        # A list that was never granted on is kept from now on, changed or not.
        unset = found.built_in is None and found.obj is not None and found.obj.acl is None
        if new != before or unset:
            obj = found.put(session, new)
            if found.built_in is None:
                found = replace(found, obj=obj)
    if columns:
        _change_columns(session, found, columns, before, change)


_SYSTEM_COLUMNS: Final = MappingProxyType(
    {-6: "tableoid", -5: "cmax", -4: "xmax", -3: "cmin", -2: "xmin", -1: "ctid"}
)


def _column_attnums(relation: ColumnedRelation) -> Iterator[int]:
    """A relation's columns; a table's system columns too, whose grants PostgreSQL looks for."""
    if isinstance(relation, Table | SequenceObject):
        yield from _SYSTEM_COLUMNS
    for column in relation.live_columns:
        yield column.attnum


def revoke_from(session: SessionServices, found: Grantable, role: int) -> None:
    """DROP OWNED: take everything on an object from a role, and what it granted on."""
    found = found.lock(session)
    change = Change(False, (role,), cascade=True, everything=True)
    rule = KINDS[found.kind]
    items = found.items(session.catalog)
    letters = rule.letters + rule.extra
    grantor, allowed = acl_change.best_grantor(
        session.catalog, items, current_role_oid(session), found.owner, letters
    )
    new = change.apply(session, items, found.owner, grantor, allowed)
    if new != items:
        obj = found.put(session, new)
        if found.built_in is None:
            found = replace(found, obj=obj)
    if isinstance(found.obj, ColumnedRelation):
        letters = acl.COLUMN_PRIVILEGES + acl.UNMASK
        columns = {
            c.attnum: letters
            for c in found.obj.live_columns
            if c.acl is not None and acl_change.is_named(c.acl, role)
        }
        if columns:
            _change_columns(session, found, columns, new, change)


def _wanted(
    session: SessionServices, found: Grantable, statement: Grant, change: Change
) -> tuple[str, dict[str, str]]:
    """Letters on the whole object, and by column name."""
    letters = ""
    by_column: dict[str, str] = {}
    for item in statement.privileges:
        named = _letters(found, item, change)
        if item.columns:
            for column in item.columns:
                by_column[column] = by_column.get(column, "") + named
        else:
            letters += named
    if isinstance(found.obj, ColumnedRelation) and statement.kind is ObjectKind.TABLE:
        letters = _for_relation(session, found.obj, letters)
    return acl.ordered(letters), {name: acl.ordered(x) for name, x in by_column.items()}


def _letters(found: Grantable, item: PrivilegeItem, change: Change) -> str:
    rule = KINDS["column"] if item.columns else KINDS[found.kind]
    if item.name is None:
        # ALL never grants what must be named, but takes it away.
        return rule.letters + ("" if change.grant else rule.extra)
    letter = acl.PRIVILEGE_NAMES[item.name.upper()]
    known = Table if item.columns else _HAVE_UNMASK
    if letter == acl.UNMASK and not isinstance(found.obj, known):
        raise SqlError("0LP01", f"invalid privilege type UNMASK for {found.words}")
    return letter


def _for_relation(session: SessionServices, relation: ColumnedRelation, letters: str) -> str:
    """GRANT ON TABLE may name a sequence: what it does not have is left out, with a warning."""
    if isinstance(relation, SequenceObject):
        if any(letter not in acl.SEQUENCE_PRIVILEGES for letter in letters):
            session.notice(
                f'sequence "{relation.name}" only supports USAGE, SELECT, and UPDATE privileges',
                severity="WARNING",
                sqlstate="0LP01",
            )
        return "".join(letter for letter in letters if letter in acl.SEQUENCE_PRIVILEGES)
    if acl.USAGE in letters:
        raise SqlError("0LP01", "invalid privilege type USAGE for table")
    return letters


def _allowed(
    session: SessionServices,
    found: Grantable,
    items: tuple[AclItem, ...],
    letters: str,
    change: Change,
    column: str | None = None,
) -> tuple[int, str]:
    """(grantor, the letters it may grant): 42501 for a role without any, warnings for some."""
    catalog, role = session.catalog, current_role_oid(session)
    grantor, allowed = acl_change.best_grantor(catalog, items, role, found.owner, letters)
    if not change.grant and acl.UNMASK in letters:
        # REVOKE ALL takes it along: who revokes, and what is warned of, is up to the others.
        letters = letters.replace(acl.UNMASK, "") or letters
        grantor, allowed = acl_change.best_grantor(catalog, items, role, found.owner, letters)
        if grantor == found.owner:
            return grantor, acl.ordered(allowed + acl.UNMASK)
    if allowed == letters:
        return grantor, allowed
    shown = found.name if column is None else f'column "{column}" of relation "{found.name}"'
    known = acl.COLUMN_PRIVILEGES if column is not None else KINDS[found.kind].letters
    if not allowed and not _holds_any(session, found, items, grantor, known):
        name = shown if column is not None else f"{found.words} {found.name}"
        raise SqlError("42501", f"permission denied for {name}")
    if not allowed or not change.everything:
        _warn(session, shown if column is not None else f'"{shown}"', change, some=bool(allowed))
    return grantor, allowed


def _holds_any(
    session: SessionServices,
    found: Grantable,
    items: tuple[AclItem, ...],
    role: int,
    known: str,
) -> bool:
    """Whether the role holds any of these privileges: then it is warned, not refused."""
    roles = acl.roles_of(session.catalog, role)
    held = acl.held_privileges(items, roles) + acl.held_options(items, roles)
    if found.obj is not None:
        held += acl.predefined_privileges(found.obj, roles)
    return any(letter in known for letter in held)


def _warn(session: SessionServices, shown: str, change: Change, *, some: bool) -> None:
    head = "not all privileges" if some else "no privileges"
    tail = "were granted for" if change.grant else "could be revoked for"
    session.notice(
        f"{head} {tail} {shown}",
        severity="WARNING",
        sqlstate="01007" if change.grant else "01006",
    )


# -- columns --------------------------------------------------------------------------------------


def _column_numbers(relation: ColumnedRelation, by_column: dict[str, str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, letters in by_column.items():
        column = relation.column_by_name.get(name)
        if column is None:
            raise SqlError("42703", f'column "{name}" of relation "{relation.name}" does not exist')
        found[column.attnum] = letters
    return found


def _change_columns(
    session: SessionServices,
    found: Grantable,
    by_column: dict[int, str],
    whole: tuple[AclItem, ...],
    change: Change,
) -> None:
    """Columns' access lists; who may grant counts what it holds on the whole relation too."""
    relation = found.obj
    assert isinstance(relation, ColumnedRelation)
    if isinstance(relation, SystemView):
        raise not_supported("GRANT on columns of system relations")
    columns = list(relation.columns)
    for attnum, letters in sorted(by_column.items()):
        column = columns[attnum - 1] if attnum > 0 else None
        items = () if column is None else column.acl or ()
        grantor, allowed = _allowed(
            session, found, (*whole, *items), letters,
            replace(change, everything=set(letters) >= set(acl.COLUMN_PRIVILEGES)),
            _SYSTEM_COLUMNS[attnum] if column is None else column.name,
        )  # fmt: skip
        if column is None:
            continue
        new = change.apply(session, items, found.owner, grantor, allowed)
        columns[attnum - 1] = replace(column, acl=new or None)
    if tuple(columns) != relation.columns:
        session.catalog_edit().replace(relation, replace(relation, columns=tuple(columns)))
