"""Access lists as values: aclexplode, acldefault, makeaclitem, aclcontains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.aclitem import AclText, parse_aclitem, quote_role
from heliosd.types.array import Array, array_of
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms

forms: Final = Forms()

PRIVILEGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "a": "INSERT", "r": "SELECT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE",
        "x": "REFERENCES", "t": "TRIGGER", "X": "EXECUTE", "U": "USAGE", "C": "CREATE",
        "T": "TEMPORARY", "c": "CONNECT", "s": "SET", "A": "ALTER SYSTEM", "K": "UNMASK",
    }
)  # fmt: skip
_BY_NAME: Final = MappingProxyType(
    {**{name: letter for letter, name in PRIVILEGES.items()}, "TEMP": "T", "RULE": ""}
)

# kind of object -> (what PUBLIC holds, what the owner holds) while nothing was granted; the same
# as catalog/kinds.py says, which a test compares (functions come below the catalog).
DEFAULTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "c": ("", ""), "r": ("", "arwdDxt"), "s": ("", "rwU"), "d": ("Tc", "CTc"),
        "f": ("X", "X"), "l": ("U", "U"), "L": ("", "rw"), "n": ("", "UC"), "t": ("", "C"),
        "F": ("", "U"), "S": ("", "U"), "T": ("U", "U"), "p": ("", "sA"),
    }
)  # fmt: skip


def _role_oid(ctx: EvalContext, name: str) -> int:
    if not name:
        return 0
    found = ctx.catalog.find_oid("role", (name,))
    if found is None and name.startswith("unknown (OID="):
        return int(name.removeprefix("unknown (OID=").removesuffix(")"))
    return found or 0


def _role_name(ctx: EvalContext, oid: int) -> str:
    found = ctx.catalog.find_name("role", oid)
    return str(oid) if found is None else found[1]


@forms.function("aclexplode(_aclitem)", needs_context=True)
def aclexplode(ctx: EvalContext, items: Array) -> Iterator[tuple[Any, ...]]:
    """grantor, grantee (0: PUBLIC), privilege_type, is_grantable, of each privilege."""
    for text in items.elements:
        if text is None:
            continue
        item = parse_aclitem(str(text))
        for letter in item.letters:
            yield (
                _role_oid(ctx, item.grantor),
                _role_oid(ctx, item.grantee),
                PRIVILEGES[letter],
                letter in item.options,
            )


@forms.function("acldefault(char,oid)", needs_context=True)
def acldefault(ctx: EvalContext, kind: str, owner: int) -> Array:
    """The access list that holds while an object's own is NULL."""
    known = DEFAULTS.get(kind)
    if known is None:
        raise SqlError("XX000", f"unrecognized objtype abbreviation: {kind}")
    name = quote_role(_role_name(ctx, owner))
    items = [f"={known[0]}/{name}"] if known[0] else []
    if known[1]:
        items.append(f"{name}={known[1]}/{name}")
    return array_of(items)


@forms.function("makeaclitem(oid,oid,text,bool)", needs_context=True)
def makeaclitem(
    ctx: EvalContext,
    grantee: int,
    grantor: int,
    privileges: str,
    grantable: bool,  # noqa: FBT001  SQL's own parameter
) -> str:
    """One aclitem; 22023 for an unknown privilege."""
    letters = _BY_NAME.get(privileges.upper())
    if letters is None:
        raise SqlError("22023", f'unrecognized privilege type: "{privileges}"')
    return str(
        AclText(
            _role_name(ctx, grantee) if grantee else "",
            _role_name(ctx, grantor),
            letters,
            letters if grantable else "",
        )
    )


@forms.function("aclcontains(_aclitem,aclitem)")
def aclcontains(items: Array, wanted: str) -> bool:
    """Whether one entry of the list has the same roles and all of the item's privileges."""
    item = parse_aclitem(wanted)
    for text in items.elements:
        known = parse_aclitem(str(text))
        if (
            (known.grantee, known.grantor) == (item.grantee, item.grantor)
            and set(item.letters) <= set(known.letters)
            and set(item.options) <= set(known.options)
        ):
            return True
    return False


@forms.function("aclitemeq(aclitem,aclitem)")
def aclitemeq(one: str, other: str) -> bool:
    """=: canonical texts are equal exactly when the items are."""
    return one == other


@forms.function("aclinsert(_aclitem,aclitem)")
def aclinsert(_items: Array, _item: str) -> Array:
    """PostgreSQL keeps the name and refuses the work."""
    raise SqlError("0A000", "aclinsert is no longer supported")


@forms.function("aclremove(_aclitem,aclitem)")
def aclremove(_items: Array, _item: str) -> Array:
    """The same."""
    raise SqlError("0A000", "aclremove is no longer supported")
