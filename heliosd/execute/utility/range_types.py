"""CREATE TYPE ... AS RANGE: the range type and the multirange type that comes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliosd.catalog.objects import TypeObject
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import current_role_oid
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.types import new_type_schema, usable_type
from heliosd.sql.bind.expression import collation_oid
from heliosd.sql.tree.base import QualifiedName, TypeName
from heliosd.sql.tree.routine import CreateRange

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.sql.tree.base import Option

_KNOWN = frozenset(
    {
        "subtype",
        "subtype_opclass",
        "collation",
        "canonical",
        "subtype_diff",
        "multirange_type_name",
    }
)


@runs(CreateRange, tag="CREATE TYPE", writes=True, audit="ddl")
def create_range(statement: CreateRange, session: SessionServices) -> None:
    """CREATE TYPE name AS RANGE (SUBTYPE = type, ...)."""
    options = _options(statement)
    schema = new_type_schema(session, statement.name)
    name = statement.name.name
    written = options.get("subtype")
    if not isinstance(written, TypeName):
        raise SqlError("42601", 'type attribute "subtype" is required')
    subtype_oid, _ = usable_type(session, written)
    subtype = session.catalog.types.type(subtype_oid)
    if subtype.is_pseudo:
        raise SqlError("42804", f"range subtype cannot be {subtype.display}")
    if "canonical" in options:
        raise not_supported("a canonical function of a range type", position=statement.position)
    collation = 100 if subtype.collatable else 0
    if "collation" in options:
        if not subtype.collatable:
            raise SqlError(
                "42809", "range collation specified but subtype does not support collation"
            )
        collation = collation_oid(_name(options["collation"]), statement.position)
    if not subtype.ordered:
        raise SqlError(
            "42704",
            f'data type {subtype.display} has no default operator class for access method "btree"',
            hint="You must specify an operator class for the range type or define a default "
            "operator class for the subtype.",
        )
    difference = _difference(session, options.get("subtype_diff"), subtype_oid)
    multirange = _multirange_name(session, options, schema.name, name)
    other = new_type_schema(session, multirange)
    edit = session.catalog_edit()
    oid, multirange_oid = edit.new_oid(), edit.new_oid()
    owner, database = current_role_oid(session), session.catalog.database.oid
    edit.create(
        TypeObject(
            oid=oid,
            name=name,
            schema=schema.oid,
            kind="r",
            array_oid=edit.new_oid(),
            base_type=subtype_oid,
            multirange=multirange_oid,
            collation=collation,
            opclass=".".join(_name(options["subtype_opclass"]))
            if "subtype_opclass" in options
            else "",
            subtype_diff=difference,
            owner=owner,
            database=database,
        )
    )
    edit.create(
        TypeObject(
            oid=multirange_oid,
            name=multirange.name,
            schema=other.oid,
            kind="m",
            array_oid=edit.new_oid(),
            base_type=oid,
            owner=owner,
            database=database,
        )
    )


def _options(statement: CreateRange) -> dict[str, object]:
    found: dict[str, object] = {}
    for option in statement.options:
        if option.name not in _KNOWN:
            raise SqlError("42601", f'type attribute "{option.name}" not recognized')
        if option.name in found:
            raise _redundant(option)
        found[option.name] = option.value
    return found


def _redundant(option: Option) -> SqlError:
    return SqlError("42601", "conflicting or redundant options", position=option.position)


def _name(value: object) -> tuple[str, ...]:
    """A name written as an option's value."""
    if isinstance(value, TypeName):
        return value.names
    return (value,) if isinstance(value, str) else tuple(map(str, value or ()))  # type: ignore[call-overload]


def _difference(session: SessionServices, value: object, subtype: int) -> str:
    """The subtype_diff function's name; 42883 when there is none for the subtype."""
    if value is None:
        return ""
    name = _name(value)
    functions = session.bind_scope().resolver.functions
    found = functions.exact(name[-1], (subtype, subtype))
    if found is None:
        shown = session.catalog.types.type(subtype).display
        raise SqlError("42883", f"function {'.'.join(name)}({shown}, {shown}) does not exist")
    if found.result != 701:
        shown = session.catalog.types.type(subtype).display
        raise SqlError(
            "42P17",
            f"range subtype diff function {'.'.join(name)} must return type double precision",
        )
    return found.name


def _multirange_name(
    session: SessionServices, options: dict[str, object], schema: str, name: str
) -> QualifiedName:
    """The name written, or `range` in the range's name made `multirange`. 42710."""
    if "multirange_type_name" in options:
        parts = _name(options["multirange_type_name"])
        return QualifiedName(0, parts)
    if "range" in name:
        made = name.replace("range", "multirange", 1)
    else:
        made = f"{name.encode()[:52].decode(errors='ignore')}_multirange"
    if session.catalog.type_oid(schema, made, ()) is not None:
        raise SqlError(
            "42710",
            f'type "{made}" already exists',
            detail=f'Failed while creating a multirange type for type "{name}".',
            hint="You can manually specify a multirange type name using the "
            '"multirange_type_name" attribute.',
        )
    return QualifiedName(0, (schema, made))
