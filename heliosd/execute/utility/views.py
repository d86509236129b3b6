"""CREATE [OR REPLACE] VIEW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from helios_storage.locks import TableLockMode
from heliosd.catalog.objects import Column, Relation, View
from heliosd.errors import SqlError
from heliosd.execute.utility.create_table import result_columns
from heliosd.execute.utility.names import (
    creation_schema,
    current_role_oid,
    lock_object,
    persistence_letter,
    require_relation_owner,
)
from heliosd.execute.utility.options import boolean_value, option_text
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.stored_text import StoredQuery, bind_query
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.bind.view_target import why_not_updatable
from heliosd.sql.bound import Select as BoundSelect
from heliosd.sql.tree.query import Persistence, Query, Select
from heliosd.sql.tree.table import CheckOption, CreateView

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.base import Option

Check = Literal["", "local", "cascaded"]


@runs(CreateView, tag="CREATE VIEW", writes=True, audit="ddl")
def create_view(statement: CreateView, session: SessionServices) -> None:
    """CREATE [OR REPLACE] [TEMP] VIEW name (columns) AS query."""
    if isinstance(statement.query, Select) and statement.query.into is not None:
        raise SqlError("42601", "views must not contain SELECT INTO")
    stored = bind_query(session, statement.query)
    temporary = statement.persistence is Persistence.TEMPORARY or stored.temporary
    persistence = Persistence.TEMPORARY if temporary else Persistence.PERMANENT
    if temporary and statement.persistence is not Persistence.TEMPORARY:
        session.notice(f'view "{statement.name.name}" will be a temporary view')
    schema = creation_schema(session, statement.name, persistence)
    name = statement.name.name
    barrier, invoker, check = _options(statement)
    if check:
        check_updatable(session, statement.query)
    existing = session.catalog.relation_in(schema.oid, name)
    columns = _columns(session, stored, statement.columns)
    edit = session.catalog_edit()
    if existing is not None and statement.or_replace:
        lock_object(session, existing.oid, TableLockMode.ACCESS_EXCLUSIVE)
        _replace_view(
            session, existing, columns, stored, barrier=barrier, invoker=invoker, check=check
        )
        return
    edit.create(
        View(
            oid=edit.new_oid(),
            name=name,
            owner=current_role_oid(session),
            database=session.catalog.database.oid,
            schema=schema.oid,
            persistence="t" if persistence_letter(persistence) == "t" else "p",
            columns=columns,
            row_type=edit.new_oid(),
            row_array=edit.new_oid(),
            query=stored.text,
            references=stored.references,
            check_option=check,
            security_barrier=barrier,
            security_invoker=invoker,
        )
    )


def check_option(option: Option) -> Check:
    """The value of check_option; 22023."""
    text = option_text(option)
    if text not in ("local", "cascaded"):
        raise SqlError(
            "22023",
            f'invalid value for enum option "check_option": {text}',
            detail='Valid values are "local" and "cascaded".',
        )
    return "local" if text == "local" else "cascaded"


def check_updatable(session: SessionServices, query: Query) -> None:
    """0A000 for WITH CHECK OPTION of a view that cannot be written through."""
    why = why_not_updatable(query)
    if not why:
        bound = bind_statement(query, session.bind_scope()).statement
        assert isinstance(bound, BoundSelect)
        if bound.aggregated:
            why = "Views that return aggregate functions"
        elif bound.windows:
            why = "Views that return window functions"
        elif bound.has_set_returning:
            why = "Views that return set-returning functions"
    if why:
        raise SqlError(
            "0A000",
            "WITH CHECK OPTION is supported only on automatically updatable views",
            hint=f"{why} are not automatically updatable.",
        )


def _columns(
    session: SessionServices, stored: StoredQuery, names: Sequence[str]
) -> tuple[Column, ...]:
    if len(names) > len(stored.columns):
        raise SqlError("42601", "CREATE VIEW specifies more column names than columns")
    columns = tuple(result_columns(session, stored.columns, tuple(names)))
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise SqlError("42701", f'column "{column.name}" specified more than once')
        seen.add(column.name)
    return columns


def _options(statement: CreateView) -> tuple[bool, bool, Check]:
    barrier = invoker = False
    check: Check = ""
    if statement.check_option is CheckOption.LOCAL:
        check = "local"
    elif statement.check_option is CheckOption.CASCADED:
        check = "cascaded"
    for option in statement.options:
        text = option_text(option)
        match option.name:
            case "security_barrier":
                barrier = boolean_value(option.name, text)
            case "security_invoker":
                invoker = boolean_value(option.name, text)
            case "check_option":
                check = check_option(option)
            case _:
                raise SqlError("22023", f'unrecognized parameter "{option.name}"')
    return barrier, invoker, check


def _replace_view(
    session: SessionServices,
    existing: Relation,
    columns: tuple[Column, ...],
    stored: StoredQuery,
    *,
    barrier: bool,
    invoker: bool,
    check: Check,
) -> None:
    """The old columns must stay as they are; new ones may follow (42P16)."""
    if not isinstance(existing, View):
        raise SqlError("42809", f'"{existing.name}" is not a view')
    require_relation_owner(session, existing)
    if len(columns) < len(existing.columns):
        raise SqlError("42P16", "cannot drop columns from view")
    types = session.catalog.types
    for old, new in zip(existing.columns, columns, strict=False):
        if old.name != new.name:
            raise SqlError(
                "42P16",
                f'cannot change name of view column "{old.name}" to "{new.name}"',
                hint="Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.",
            )
        if (old.type_oid, old.typmod) != (new.type_oid, new.typmod):
            was, now = types.type(old.type_oid).display, types.type(new.type_oid).display
            raise SqlError(
                "42P16",
                f'cannot change data type of view column "{old.name}" from {was} to {now}',
            )
    kept = tuple(
        replace(new, comment=existing.columns[i].comment, acl=existing.columns[i].acl)
        if i < len(existing.columns)
        else new
        for i, new in enumerate(columns)
    )
    changed = replace(
        existing,
        columns=kept,
        query=stored.text,
        references=stored.references,
        security_barrier=barrier,
        security_invoker=invoker,
        check_option=check,
    )
    session.catalog_edit().replace(existing, changed)
