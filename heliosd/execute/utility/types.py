"""CREATE TYPE and CREATE DOMAIN, and what their ALTER and DROP share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import (
    Column,
    ColumnedRelation,
    Constraint,
    Schema,
    TypeObject,
)
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.choose_names import choose_name
from heliosd.execute.utility.columns import check_column_name, column_collation
from heliosd.execute.utility.domain_text import bind_domain_check, bind_domain_default
from heliosd.execute.utility.names import (
    creation_schema,
    current_role_oid,
    is_superuser,
    require_schema_usage,
    require_usage,
)
from heliosd.execute.utility.registry import runs
from heliosd.sql.bind.expression import collation_oid
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.base import QualifiedName, TypeName
from heliosd.sql.tree.routine import CreateCompositeType, CreateDomain, CreateEnum
from heliosd.sql.tree.table import ConstraintKind

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.table import ColumnDefinition
    from heliosd.sql.tree.table import Constraint as ConstraintTree
    from heliosd.types.registry import SqlType

LABEL_BYTES_MAX: Final = 63
COMPOSITE_COLUMNS_MAX: Final = 1600


@runs(CreateEnum, tag="CREATE TYPE", writes=True, audit="ddl")
def create_enum(statement: CreateEnum, session: SessionServices) -> None:
    """CREATE TYPE name AS ENUM (labels)."""
    schema = new_type_schema(session, statement.name)
    edit = session.catalog_edit()
    oid = edit.new_oid()
    seen: set[str] = set()
    for label in statement.labels:
        check_label(label)
        if label in seen:
            raise SqlError(
                "23505",
                'duplicate key value violates unique constraint "pg_enum_typid_label_index"',
                detail=f"Key (enumtypid, enumlabel)=({oid}, {label}) already exists.",
            )
        seen.add(label)
    labels = tuple((edit.new_oid(), label) for label in statement.labels)
    edit.create(
        TypeObject(
            oid=oid,
            name=statement.name.name,
            owner=current_role_oid(session),
            database=session.catalog.database.oid,
            schema=schema.oid,
            kind="e",
            array_oid=edit.new_oid(),
            labels=labels,
            label_orders=tuple(float(n + 1) for n in range(len(labels))),
        )
    )


def check_label(label: str) -> None:
    """42602 for a label that is too long."""
    if len(label.encode()) > LABEL_BYTES_MAX:
        raise SqlError(
            "42602",
            f'invalid enum label "{label}"',
            detail=f"Labels must be {LABEL_BYTES_MAX} bytes or less.",
        )


@runs(CreateCompositeType, tag="CREATE TYPE", writes=True, audit="ddl")
def create_composite(statement: CreateCompositeType, session: SessionServices) -> None:
    """CREATE TYPE name AS (columns)."""
    schema = new_type_schema(session, statement.name, composite=True)
    if len(statement.columns) > COMPOSITE_COLUMNS_MAX:
        raise SqlError("54011", f"tables can have at most {COMPOSITE_COLUMNS_MAX} columns")
    columns: list[Column] = []
    for number, definition in enumerate(statement.columns, 1):
        column = attribute(session, definition, number)
        if any(column.name == other.name for other in columns):
            raise SqlError("42701", f'column "{column.name}" specified more than once')
        columns.append(column)
    edit = session.catalog_edit()
    edit.create(
        TypeObject(
            oid=edit.new_oid(),
            name=statement.name.name,
            owner=current_role_oid(session),
            database=session.catalog.database.oid,
            schema=schema.oid,
            kind="c",
            array_oid=edit.new_oid(),
            relation_oid=edit.new_oid(),
            columns=tuple(columns),
        )
    )


def attribute(session: SessionServices, definition: ColumnDefinition, attnum: int) -> Column:
    """One attribute of a composite type; 42P16 for a pseudo-type."""
    assert definition.type is not None
    check_column_name(definition.name)
    oid, typmod = usable_type(session, definition.type)
    kind = session.catalog.types.type(oid)
    if kind.is_pseudo:
        raise SqlError("42P16", f'column "{definition.name}" has pseudo-type {kind.display}')
    return Column(
        attnum=attnum,
        name=definition.name,
        type_oid=oid,
        typmod=typmod,
        collation=column_collation(session, oid, definition),
    )


@runs(CreateDomain, tag="CREATE DOMAIN", writes=True, audit="ddl")
def create_domain(statement: CreateDomain, session: SessionServices) -> None:
    """CREATE DOMAIN name AS type [COLLATE c] constraints."""
    schema = new_type_schema(session, statement.name)
    name = statement.name.name
    base_oid, typmod = usable_type(session, statement.type)
    base = session.catalog.types.type(base_oid)
    if base.is_pseudo:
        raise SqlError(
            "42804",
            f'"{".".join(_written(statement.type))}" is not a valid base type for a domain',
        )
    edit = session.catalog_edit()
    domain = TypeObject(
        oid=edit.new_oid(),
        name=name,
        owner=current_role_oid(session),
        database=session.catalog.database.oid,
        schema=schema.oid,
        kind="d",
        array_oid=edit.new_oid(),
        base_type=base_oid,
        typmod=typmod,
        collation=_domain_collation(base, statement.collation, statement.position),
    )
    domain = _with_constraints(session, domain, statement.constraints)
    edit.create(domain)


def _written(tree: TypeName) -> tuple[str, ...]:
    names = tree.names[1:] if tree.names[0] == "pg_catalog" else tree.names
    return (*names[:-1], names[-1] + "[]" * len(tree.array_bounds))


def _domain_collation(base: SqlType, written: tuple[str, ...] | None, position: int) -> int:
    if written is None:
        return 100 if base.collatable else 0
    if not base.collatable:
        raise SqlError(
            "42804", f"collations are not supported by type {base.display}", position=position
        )
    return collation_oid(written, position)


def _with_constraints(
    session: SessionServices, domain: TypeObject, written: tuple[ConstraintTree, ...]
) -> TypeObject:
    """The domain with its DEFAULT, NOT NULL and CHECKs. 42601 for what conflicts."""
    nullable: bool | None = None
    for constraint in written:
        match constraint.kind:
            case ConstraintKind.DEFAULT:
                if domain.default is not None:
                    raise SqlError("42601", "multiple default expressions")
                assert constraint.expression is not None
                text, references = bind_domain_default(session, domain, constraint.expression)
                domain = replace(domain, default=text, references=(*domain.references, *references))
            case ConstraintKind.NULL | ConstraintKind.NOT_NULL:
                wanted = constraint.kind is ConstraintKind.NULL
                if nullable is not None and nullable != wanted:
                    raise SqlError("42601", "conflicting NULL/NOT NULL constraints")
                nullable = wanted
            case ConstraintKind.CHECK:
                if constraint.no_inherit:
                    raise SqlError(
                        "42P16", "check constraints for domains cannot be marked NO INHERIT"
                    )
                made = domain_check(session, domain, constraint)
                domain = replace(domain, constraints=(*domain.constraints, made))
            case _:
                raise _impossible(constraint)
    return replace(domain, not_null=nullable is False)


_IMPOSSIBLE: Final = {
    ConstraintKind.UNIQUE: "unique constraints not possible for domains",
    ConstraintKind.PRIMARY: "primary key constraints not possible for domains",
    ConstraintKind.EXCLUSION: "exclusion constraints not possible for domains",
    ConstraintKind.FOREIGN: "foreign key constraints not possible for domains",
}


def _impossible(constraint: ConstraintTree) -> SqlError:
    words = _IMPOSSIBLE.get(constraint.kind)
    if words is not None:
        return SqlError("42601", words)
    return SqlError("0A000", "specifying constraint deferrability not supported for domains")


def domain_check(
    session: SessionServices, domain: TypeObject, constraint: ConstraintTree
) -> Constraint:
    """A CHECK of a domain, its name chosen where none is written. 42710."""
    assert constraint.expression is not None
    taken = {each.name for each in domain.constraints}
    if constraint.name is not None and constraint.name in taken:
        raise SqlError(
            "42710",
            f'constraint "{constraint.name}" for domain "{domain.name}" already exists',
        )
    name = constraint.name or choose_name(domain.name, "", "check", lambda n: n in taken)
    text, references = bind_domain_check(session, domain, constraint.expression)
    return Constraint(
        oid=session.catalog_edit().new_oid(),
        name=name,
        kind="c",
        expression=text,
        references=references,
        validated=not constraint.not_valid,
    )


# -- what all kinds share -------------------------------------------------------------------------


def new_type_schema(
    session: SessionServices, name: QualifiedName, *, composite: bool = False
) -> Schema:
    """Where a new type goes; 42710 (42P07 for a composite one) when its name is taken there."""
    schema = creation_schema(session, name)
    found = session.catalog.type_oid(schema.name, name.name, ())
    if found is not None and not _is_own_array(session, found):
        raise SqlError("42710", f'type "{name.name}" already exists')
    if composite and session.catalog.relation_in(schema.oid, name.name) is not None:
        raise SqlError("42P07", f'relation "{name.name}" already exists')
    return schema


def _is_own_array(session: SessionServices, oid: int) -> bool:
    """An array type gives way: nobody chose its name."""
    owner = session.catalog.owner_of_part(oid)
    return owner is not None and oid in (
        getattr(owner, "array_oid", 0), getattr(owner, "row_array", 0)
    )  # fmt: skip


def usable_type(session: SessionServices, tree: TypeName) -> tuple[int, int]:
    """(oid, typmod) of a type that the role may use: 42501 without USAGE."""
    if tree.setof:
        raise SqlError("42P16", "a set is no type here", position=tree.position)
    scope = session.bind_scope()
    oid, typmod = resolve_type_name(
        scope.catalog, scope.resolver.types, scope.path, tree, role=scope.role
    )
    require_usage(session, oid)
    return oid, typmod


def find_type(session: SessionServices, parts: tuple[str, ...], position: int = 0) -> TypeObject:
    """The type made by CREATE TYPE or DOMAIN that a name means; 42704, 42809."""
    schema = parts[-2] if len(parts) > 1 else None
    shown = ".".join(parts)
    if schema is not None:
        require_schema_usage(session, schema)
    oid = session.catalog.type_oid(schema, parts[-1], session.search_path.schemas)
    if oid is None:
        if schema is not None and session.catalog.schema(schema) is None:
            raise SqlError("3F000", f'schema "{schema}" does not exist')
        raise SqlError("42704", f'type "{shown}" does not exist', position=position)
    found = session.catalog.by_oid(oid)
    if isinstance(found, TypeObject):
        return found
    owner = session.catalog.owner_of_part(oid)
    if isinstance(owner, ColumnedRelation) and oid == owner.row_type:
        raise SqlError(
            "42809",
            f"{owner.name} is a table's row type",
            hint="Use ALTER TABLE instead.",
        )
    element = session.catalog.types.type(oid)
    if element.is_array and isinstance(owner, TypeObject):
        raise SqlError(
            "42809",
            f"cannot alter array type {element.display}",
            hint=f"You can alter type {owner.name}, which will alter the array type as well.",
        )
    if not is_superuser(session) or oid < 16384:
        raise SqlError("42501", f"must be owner of type {parts[-1]}")
    raise not_supported(f"the type {shown}")
