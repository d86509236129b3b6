"""Column definitions: types, serial and identity, and the constraints written beside a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from heliosd.catalog.objects import Column
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import require_usage
from heliosd.sql.bind.expression import collation_oid
from heliosd.sql.bind.typenames import resolve_type_name
from heliosd.sql.tree.base import Expression, Option
from heliosd.sql.tree.table import ColumnDefinition, Constraint, ConstraintKind, GeneratedWhen

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

COLUMNS_MAX: Final = 1600
SERIALS: Final = {
    "smallserial": 21, "serial2": 21, "serial": 23, "serial4": 23, "bigserial": 20, "serial8": 20,
}  # fmt: skip
_SYSTEM_COLUMNS: Final = frozenset({"ctid", "xmin", "cmin", "xmax", "cmax", "tableoid"})


@dataclass(slots=True)
class NewColumn:
    """A column on its way into a table, with what still has to be made for it.

    `default` and `generated` are syntax trees: they can be bound only when all columns are known.
    `copied` is a stored default taken over by LIKE.
    """

    column: Column
    default: Expression | None = None
    generated: Expression | None = None
    sequence_type: int = 0
    """serial and identity: the sequence's type; 0 for none."""
    sequence_options: tuple[Option, ...] = ()
    constraints: list[tuple[str, Constraint]] = field(default_factory=list)
    """(column name, constraint) of CHECK, PRIMARY KEY, UNIQUE and REFERENCES beside the column."""
    copied: Column | None = None


def define_column(
    session: SessionServices, definition: ColumnDefinition, attnum: int, table: str
) -> NewColumn:
    """Read one column definition; 42704, 42601, 42611, 42P16 as PostgreSQL has them."""
    assert definition.type is not None
    check_column_name(definition.name)
    scope = session.bind_scope()
    serial = 0
    names = definition.type.names
    if len(names) == 1 and names[0] in SERIALS:
        if definition.type.array_bounds:
            raise SqlError(
                "0A000", "array of serial is not implemented", position=definition.type.position
            )
        serial = SERIALS[names[0]]
        type_oid, typmod = serial, -1
    else:
        type_oid, typmod = resolve_type_name(
            scope.catalog, scope.resolver.types, scope.path, definition.type, role=scope.role
        )
        require_usage(session, type_oid)
    new = NewColumn(
        Column(
            attnum=attnum,
            name=definition.name,
            type_oid=type_oid,
            typmod=typmod,
            not_null=bool(serial),
            collation=column_collation(session, type_oid, definition),
        ),
        sequence_type=serial,
    )
    check_column_type(session, new.column)
    _apply_constraints(new, definition.constraints, table)
    if serial and new.column.identity:
        raise SqlError(
            "42601",
            f'both default and identity specified for column "{definition.name}" '
            f'of table "{table}"',
        )
    if serial and new.default is not None:
        raise _multiple_defaults(definition.name, table, definition.position)
    return new


def check_column_name(name: str) -> None:
    """42701 for the names of system columns."""
    if name in _SYSTEM_COLUMNS:
        raise SqlError("42701", f'column name "{name}" conflicts with a system column name')


def check_column_type(session: SessionServices, column: Column) -> None:
    """42P16 for pseudo-types, 0A000 for types that cannot rest yet."""
    known = session.catalog.types.by_oid.get(column.type_oid)
    if known is None:
        raise not_supported(f'the type of column "{column.name}"')
    if known.is_pseudo:
        raise SqlError("42P16", f'column "{column.name}" has pseudo-type {known.display}')


def column_collation(session: SessionServices, type_oid: int, definition: ColumnDefinition) -> int:
    """The collation that COLLATE names, or the type's."""
    known = session.catalog.types.by_oid.get(type_oid)
    collatable = known is not None and known.collatable
    if definition.collation is not None:
        if not collatable:
            shown = known.display if known is not None else str(type_oid)
            raise SqlError(
                "42804",
                f"collations are not supported by type {shown}",
                position=definition.position,
            )
        return collation_oid(definition.collation, definition.position)
    if not collatable:
        return 0
    return 950 if type_oid == 19 else 100


def _apply_constraints(new: NewColumn, constraints: Sequence[Constraint], table: str) -> None:
    nullable: bool | None = None
    name = new.column.name
    for constraint in constraints:
        match constraint.kind:
            case ConstraintKind.NULL | ConstraintKind.NOT_NULL:
                wanted = constraint.kind is ConstraintKind.NULL
                if nullable is not None and nullable != wanted:
                    raise SqlError(
                        "42601",
                        f'conflicting NULL/NOT NULL declarations for column "{name}" '
                        f'of table "{table}"',
                        position=constraint.position,
                    )
                nullable = wanted
            case ConstraintKind.DEFAULT:
                if new.default is not None:
                    raise _multiple_defaults(name, table, constraint.position)
                new.default = constraint.expression
            case ConstraintKind.GENERATED:
                if constraint.generated is GeneratedWhen.BY_DEFAULT:
                    raise SqlError(
                        "42601",
                        "for a generated column, GENERATED ALWAYS must be specified",
                        position=constraint.position,
                    )
                new.generated = constraint.expression
                new.column = replace(new.column, generated="s")
            case ConstraintKind.IDENTITY:
                _identity(new, constraint, table)
                nullable = False if nullable is None else nullable
            case ConstraintKind.EXCLUSION:
                raise not_supported("EXCLUDE constraints", position=constraint.position)
            case _:
                new.constraints.append((name, constraint))
                if constraint.kind is ConstraintKind.PRIMARY and nullable is None:
                    nullable = False
    _check_combinations(new, table)
    if nullable is not None:
        if nullable and (new.sequence_type or new.column.identity):
            raise SqlError(
                "42601",
                f'conflicting NULL/NOT NULL declarations for column "{name}" of table "{table}"',
            )
        new.column = replace(new.column, not_null=not nullable)


def _identity(new: NewColumn, constraint: Constraint, table: str) -> None:
    name = new.column.name
    if new.column.identity:
        raise SqlError(
            "42601",
            f'multiple identity specifications for column "{name}" of table "{table}"',
            position=constraint.position,
        )
    if new.column.type_oid not in (20, 21, 23):
        raise SqlError("22023", "identity column type must be smallint, integer, or bigint")
    always = constraint.generated is GeneratedWhen.ALWAYS
    new.column = replace(new.column, identity="a" if always else "d", not_null=True)
    new.sequence_type = new.column.type_oid
    new.sequence_options = constraint.sequence_options


def _check_combinations(new: NewColumn, table: str) -> None:
    name = new.column.name
    if new.default is not None and new.column.identity:
        raise SqlError(
            "42601",
            f'both default and identity specified for column "{name}" of table "{table}"',
        )
    if new.default is not None and new.generated is not None:
        raise SqlError(
            "42601",
            f'both default and generation expression specified for column "{name}" '
            f'of table "{table}"',
        )
    if new.generated is not None and new.column.identity:
        raise SqlError(
            "42601",
            f'both identity and generation expression specified for column "{name}" '
            f'of table "{table}"',
        )


def _multiple_defaults(name: str, table: str, position: int) -> SqlError:
    return SqlError(
        "42601",
        f'multiple default values specified for column "{name}" of table "{table}"',
        position=position,
    )


def duplicate_column(name: str) -> SqlError:
    """42701 for a column specified twice in one CREATE TABLE."""
    return SqlError("42701", f'column "{name}" specified more than once')
