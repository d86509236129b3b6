"""ALTER TYPE and ALTER DOMAIN: labels, attributes, constraints, names, owners, schemas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.acl_change import replace_role
from heliosd.catalog.dependencies import Part
from heliosd.catalog.objects import Column, Schema, Table, TypeObject
from heliosd.errors import SqlError, not_supported
from heliosd.execute.domain_checks import DomainChecks
from heliosd.execute.utility.columns import check_column_name
from heliosd.execute.utility.domain_text import bind_domain_check, bind_domain_default
from heliosd.execute.utility.drop import drop_parts
from heliosd.execute.utility.names import (
    is_superuser,
    lock_object,
    refuse_in_use,
    require_new_owner,
    require_owner,
    require_privilege,
    resolve_role,
)
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.renamed_text import RenamedTexts
from heliosd.execute.utility.types import attribute, check_label, domain_check, find_type
from heliosd.sql.parser import parse_expression
from heliosd.sql.tree import table as tree
from heliosd.sql.tree.base import DropBehavior
from heliosd.sql.tree.routine import AlterDomain, AlterDomainKind, AlterEnum
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.registry import CastContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heliosd.catalog.objects import Constraint, Reference
    from heliosd.execute.context import SessionServices
    from heliosd.execute.program import Program
    from heliosd.sql.tree.base import RoleSpec
    from heliosd.types.registry import SqlType


def owned_type(
    session: SessionServices, parts: tuple[str, ...], *, kind: str = "", position: int = 0
) -> TypeObject:
    """A type that the role owns, locked. `kind` "e", "d", "c": 42809 for another."""
    words = {"e": "an enum", "d": "a domain", "c": "a composite type", "": ""}[kind]
    if kind == "d":
        schema = parts[-2] if len(parts) > 1 else None
        oid = session.catalog.type_oid(schema, parts[-1], session.search_path.schemas)
        if oid is not None and oid < FIRST_NORMAL_OID:
            raise SqlError("42809", f"{session.catalog.types.type(oid).display} is not {words}")
    found = find_type(session, parts, position)
    if kind and found.kind != kind:
        raise SqlError("42809", f"{'.'.join(parts)} is not {words}")
    require_owner(session, found)
    lock_object(session, found.oid, TableLockMode.ACCESS_EXCLUSIVE)
    again = session.catalog.by_oid(found.oid)
    assert isinstance(again, TypeObject)
    return again


# -- enums ----------------------------------------------------------------------------------------


@runs(AlterEnum, tag="ALTER TYPE", writes=True, audit="ddl")
def alter_enum(statement: AlterEnum, session: SessionServices) -> None:
    """ALTER TYPE ADD VALUE [IF NOT EXISTS] [BEFORE|AFTER], RENAME VALUE."""
    made = owned_type(session, statement.name.parts, kind="e")
    if statement.old_label is not None:
        _rename_label(session, made, statement.old_label, statement.label)
    else:
        _add_label(session, made, statement)


def _rename_label(session: SessionServices, made: TypeObject, old: str, new: str) -> None:
    check_label(new)
    known = [label for _, label in made.labels]
    if old not in known:
        raise SqlError("22023", f'"{old}" is not an existing enum label')
    if new in known:
        raise SqlError("42710", f'enum label "{new}" already exists')
    labels = tuple((oid, new if label == old else label) for oid, label in made.labels)
    session.catalog_edit().replace(made, replace(made, labels=labels))


def _add_label(session: SessionServices, made: TypeObject, statement: AlterEnum) -> None:
    """The new label's number goes between its neighbours'."""
    label = statement.label
    check_label(label)
    known = [each for _, each in made.labels]
    if label in known:
        if statement.if_not_exists:
            session.notice(f'enum label "{label}" already exists, skipping', sqlstate="42710")
            return
        raise SqlError("42710", f'enum label "{label}" already exists')
    orders = list(made.label_orders or (float(n + 1) for n in range(len(known))))
    if statement.neighbor is None:
        place = len(known)
    else:
        if statement.neighbor not in known:
            raise SqlError("22023", f'"{statement.neighbor}" is not an existing enum label')
        place = known.index(statement.neighbor) + (1 if statement.after else 0)
    if not orders:
        order = 1.0
    elif place == len(orders):
        order = orders[-1] + 1
    elif place == 0:
        order = orders[0] - 1
    else:
        order = (orders[place - 1] + orders[place]) / 2
    edit = session.catalog_edit()
    labels = list(made.labels)
    labels.insert(place, (edit.new_oid(), label))
    orders.insert(place, order)
    edit.replace(made, replace(made, labels=tuple(labels), label_orders=tuple(orders)))


# -- domains --------------------------------------------------------------------------------------


@runs(AlterDomain, tag="ALTER DOMAIN", writes=True, audit="ddl")
def alter_domain(statement: AlterDomain, session: SessionServices) -> None:
    """ALTER DOMAIN: its default, NOT NULL and constraints."""
    domain = owned_type(session, statement.name.parts, kind="d")
    match statement.kind:
        case AlterDomainKind.DEFAULT:
            _set_default(session, domain, statement)
        case AlterDomainKind.SET_NOT_NULL:
            if not domain.not_null:
                for table, column, value in stored_values(session, domain):
                    if value is None:
                        raise SqlError(
                            "23502",
                            f'column "{column.name}" of table "{table.name}" contains null values',
                        )
                _put(session, domain, not_null=True)
        case AlterDomainKind.DROP_NOT_NULL:
            _put(session, domain, not_null=False)
        case AlterDomainKind.ADD_CONSTRAINT:
            _add_constraint(session, domain, statement)
        case AlterDomainKind.DROP_CONSTRAINT:
            _drop_constraint(session, domain, statement)
        case AlterDomainKind.VALIDATE_CONSTRAINT:
            _validate(session, domain, statement)


def _put(session: SessionServices, made: TypeObject, **changes: Any) -> None:
    session.catalog_edit().replace(made, replace(made, **changes))


def _set_default(session: SessionServices, domain: TypeObject, statement: AlterDomain) -> None:
    kept: list[Reference] = []
    text = None
    if statement.expression is not None:
        text, references = bind_domain_default(session, domain, statement.expression)
        kept.extend(references)
    _put(session, domain, default=text, references=tuple(kept))


def _add_constraint(session: SessionServices, domain: TypeObject, statement: AlterDomain) -> None:
    written = statement.constraint
    assert written is not None
    if written.kind is not tree.ConstraintKind.CHECK:
        raise SqlError("42601", f"{written.kind.value} constraints not possible for domains")
    made = domain_check(session, domain, written)
    if made.validated:
        _check_stored(session, domain, made)
    _put(session, domain, constraints=(*domain.constraints, made))


def _check_stored(session: SessionServices, domain: TypeObject, made: Constraint) -> None:
    """23514 when a stored value is not what the new constraint allows."""
    checks = DomainChecks(session)
    program: Program | None = None
    assert made.expression is not None
    for table, column, value in stored_values(session, domain):
        if program is None:
            program = checks.prepare(domain, made.expression)
        if checks.test(program, value) is False:
            raise SqlError(
                "23514",
                f'column "{column.name}" of table "{table.name}" contains values that violate '
                "the new constraint",
            )


def _drop_constraint(session: SessionServices, domain: TypeObject, statement: AlterDomain) -> None:
    name = statement.constraint_name
    kept = tuple(c for c in domain.constraints if c.name != name)
    if len(kept) == len(domain.constraints):
        if statement.missing_ok:
            session.notice(
                f'constraint "{name}" of domain "{domain.name}" does not exist, skipping'
            )
            return
        raise SqlError("42704", f'constraint "{name}" of domain "{domain.name}" does not exist')
    _put(session, domain, constraints=kept)


def _validate(session: SessionServices, domain: TypeObject, statement: AlterDomain) -> None:
    name = statement.constraint_name
    found = next((c for c in domain.constraints if c.name == name), None)
    if found is None:
        raise SqlError("42704", f'constraint "{name}" of domain "{domain.name}" does not exist')
    if found.validated:
        return
    _check_stored(session, domain, found)
    kept = tuple(replace(c, validated=True) if c is found else c for c in domain.constraints)
    _put(session, domain, constraints=kept)


def stored_values(
    session: SessionServices, domain: TypeObject
) -> Iterator[tuple[Table, Column, Any]]:
    """Every value of the domain in a column of it, or of a domain over it. Locks the tables."""
    wanted = {domain.oid}
    for other in sorted(session.catalog.objects(TypeObject), key=lambda each: each.oid):
        if other.kind == "d" and other.base_type in wanted:
            wanted.add(other.oid)
    for table in list(session.catalog.objects(Table)):
        columns = [c for c in table.live_columns if c.type_oid in wanted]
        _refuse_inside(session, table, wanted)
        if not columns:
            continue
        lock_object(session, table.oid, TableLockMode.SHARE)
        snapshot = session.new_statement_snapshot()
        for _, rows in snapshot.batches(table.tree_id):
            for row in rows:
                for column in columns:
                    value = row[column.attnum - 1]
                    kind = session.catalog.types.type(column.type_oid)
                    unpack = kind.unpacker(column.typmod)
                    if value is not None and unpack is not None:
                        value = unpack(value)
                    yield table, column, value


def _refuse_inside(session: SessionServices, table: Table, wanted: set[int]) -> None:
    """0A000 for a column whose composite, array or range type holds the domain inside."""
    for column in table.live_columns:
        if column.type_oid in wanted or column.type_oid < 16384:
            continue
        kind = session.catalog.types.type(column.type_oid)
        if _holds(kind, wanted):
            name = next(iter(wanted))
            made = session.catalog.by_oid(name)
            shown = made.name if made is not None else ""
            raise SqlError(
                "0A000",
                f'cannot alter type "{shown}" because column "{table.name}.{column.name}" uses it',
            )


def refuse_row_in_use(session: SessionServices, table: Table) -> None:
    """0A000 where rows of the table rest in a column: they cannot change with it."""
    for other in session.catalog.objects(Table):
        for column in other.live_columns:
            if column.type_oid >= FIRST_NORMAL_OID and _holds(
                session.catalog.types.type(column.type_oid), {table.row_type}
            ):
                raise SqlError(
                    "0A000",
                    f'cannot alter table "{table.name}" because column '
                    f'"{other.name}.{column.name}" uses its row type',
                )


def _holds(kind: SqlType, wanted: set[int]) -> bool:
    if kind.oid in wanted:
        return True
    if kind.element_type is not None and _holds(kind.element_type, wanted):
        return True
    if kind.kind in "rm" and kind.base is not None:
        return _holds(kind.base, wanted)
    return any(_holds(field.type, wanted) for field in kind.fields)


# -- composite types ------------------------------------------------------------------------------


def alter_composite(statement: tree.AlterTable, session: SessionServices) -> str:
    """ALTER TYPE ADD|DROP|ALTER ATTRIBUTE, OWNER TO."""
    made = owned_type(session, statement.relation.name.parts, kind="c")
    refuse_in_use(session, made, "alter type")
    for command in statement.commands:
        again = session.catalog.by_oid(made.oid)
        assert isinstance(again, TypeObject)
        match command:
            case tree.AddColumn():
                _add_attribute(session, again, command)
            case tree.DropColumn():
                _drop_attribute(session, again, command)
            case tree.AlterColumnType():
                _retype_attribute(session, again, command)
            case _:
                raise not_supported(f"ALTER TYPE with {type(command).__name__}")
    return "ALTER TYPE"


def _add_attribute(session: SessionServices, made: TypeObject, command: tree.AddColumn) -> None:
    column = attribute(session, command.column, len(made.columns) + 1)
    if any(c.name == column.name and not c.dropped for c in made.columns):
        raise SqlError("42701", f'column "{column.name}" of relation "{made.name}" already exists')
    if _reaches(session.catalog.types.type(column.type_oid), made.oid):
        raise SqlError("42P16", f"composite type {made.name} cannot be made a member of itself")
    _put(session, made, columns=(*made.columns, column))


def _reaches(kind: SqlType, oid: int) -> bool:
    return _holds(kind, {oid})


def _find_attribute(made: TypeObject, name: str) -> Column | None:
    return next((c for c in made.columns if c.name == name and not c.dropped), None)


def _drop_attribute(session: SessionServices, made: TypeObject, command: tree.DropColumn) -> None:
    found = _find_attribute(made, command.name)
    if found is None:
        if command.missing_ok:
            session.notice(
                f'column "{command.name}" of relation "{made.name}" does not exist, skipping'
            )
            return
        raise SqlError("42703", f'column "{command.name}" of relation "{made.name}" does not exist')
    part = Part("attribute", made.oid, found.attnum)
    drop_parts(session, [part], cascade=command.behavior is DropBehavior.CASCADE)


def _retype_attribute(
    session: SessionServices, made: TypeObject, command: tree.AlterColumnType
) -> None:
    found = _find_attribute(made, command.name)
    if found is None:
        raise SqlError("42703", f'column "{command.name}" of relation "{made.name}" does not exist')
    for table in session.catalog.objects(Table):
        for column in table.live_columns:
            if column.type_oid >= 16384 and _holds(
                session.catalog.types.type(column.type_oid), {made.oid}
            ):
                raise SqlError(
                    "0A000",
                    f'cannot alter type "{made.name}" because column '
                    f'"{table.name}.{column.name}" uses it',
                )
    definition = tree.ColumnDefinition(
        command.position, command.name, command.type, collation=command.collation
    )
    column = attribute(session, definition, found.attnum)
    resolver = session.bind_scope().resolver
    if resolver.pathway(found.type_oid, column.type_oid, CastContext.ASSIGNMENT) is None:
        shown = session.catalog.types.type(column.type_oid).display
        raise SqlError(
            "42804", f'column "{found.name}" cannot be cast automatically to type {shown}'
        )
    columns = tuple(column if c is found else c for c in made.columns)
    _put(session, made, columns=columns)
    _check_domains_over(session, made)


def _check_domains_over(session: SessionServices, made: TypeObject) -> None:
    """Their checks must still mean something."""
    wanted = {made.oid, made.array_oid}
    for domain in list(session.catalog.objects(TypeObject)):
        if domain.kind == "d" and domain.base_type in wanted:
            for check in domain.constraints:
                if check.expression is not None:
                    bind_domain_check(session, domain, parse_expression(check.expression))


def rename_attribute(session: SessionServices, parts: tuple[str, ...], old: str, new: str) -> None:
    """ALTER TYPE RENAME ATTRIBUTE."""
    made = owned_type(session, parts, kind="c")
    found = _find_attribute(made, old)
    if found is None:
        raise SqlError("42703", f'column "{old}" does not exist')
    check_column_name(new)
    if _find_attribute(made, new) is not None:
        raise SqlError("42701", f'column "{new}" of relation "{made.name}" already exists')
    texts = RenamedTexts(session, made)
    columns = tuple(replace(c, name=new) if c is found else c for c in made.columns)
    _put(session, made, columns=columns)
    texts.rewrite()


# -- names, owners, schemas -----------------------------------------------------------------------

_DOMAIN_ONLY: Final = "is not a domain"


def rename_type(
    session: SessionServices, parts: tuple[str, ...], new: str, *, domain: bool
) -> None:
    """ALTER TYPE|DOMAIN RENAME TO. 42710 for a name that is taken."""
    made = owned_type(session, parts)
    if domain and made.kind != "d":
        raise SqlError("42809", f"{made.name} {_DOMAIN_ONLY}")
    schema = session.catalog.schema_name(made.schema)
    if session.catalog.type_oid(schema, new, ()) is not None:
        raise SqlError("42710", f'type "{new}" already exists')
    texts = RenamedTexts(session, made)
    session.catalog_edit().replace(made, replace(made, name=new))
    texts.rewrite()


def rename_domain_constraint(
    session: SessionServices, parts: tuple[str, ...], old: str, new: str
) -> None:
    """ALTER DOMAIN RENAME CONSTRAINT; 42704, 42710."""
    made = owned_type(session, parts, kind="d")
    if not any(c.name == old for c in made.constraints):
        raise SqlError("42704", f'constraint "{old}" for domain {made.name} does not exist')
    if any(c.name == new for c in made.constraints):
        raise SqlError("42710", f'constraint "{new}" for domain {made.name} already exists')
    kept = tuple(replace(c, name=new) if c.name == old else c for c in made.constraints)
    _put(session, made, constraints=kept)


def change_type_owner(
    session: SessionServices, parts: tuple[str, ...], spec: RoleSpec, *, domain: bool
) -> None:
    """ALTER TYPE|DOMAIN OWNER TO: the new owner must be able to create in the schema."""
    made = find_type(session, parts)
    if domain and made.kind != "d":
        raise SqlError("42809", f"{made.name} {_DOMAIN_ONLY}")
    owner = resolve_role(session, spec)
    if made.owner == owner.oid:
        return
    require_owner(session, made)
    require_new_owner(session, made, owner)
    schema = session.catalog.of_kind(Schema, made.schema)
    may_create = schema is None or acl.has_privilege(session.catalog, owner.oid, schema, acl.CREATE)
    if schema is not None and not may_create and not is_superuser(session):
        raise SqlError("42501", f"permission denied for schema {schema.name}")
    _put(session, made, owner=owner.oid, acl=replace_role(made.acl, made.owner, owner.oid))


def move_type(
    session: SessionServices, parts: tuple[str, ...], schema_name: str, *, domain: bool
) -> None:
    """ALTER TYPE|DOMAIN SET SCHEMA."""
    made = owned_type(session, parts)
    if domain and made.kind != "d":
        raise SqlError("42809", f"{made.name} {_DOMAIN_ONLY}")
    schema = session.catalog.require_schema(schema_name)
    require_privilege(session, schema, acl.CREATE)
    if made.schema == schema.oid:
        return
    if session.catalog.type_oid(schema.name, made.name, ()) is not None:
        raise SqlError("42710", f'type "{made.name}" already exists in schema "{schema.name}"')
    texts = RenamedTexts(session, made)
    session.catalog_edit().replace(made, replace(made, schema=schema.oid))
    texts.rewrite()
