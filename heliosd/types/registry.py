"""The vocabulary of values: types, casts and operators, declared once and looked up by oid.

**Row forms.** A row form is either a template or a callable. A template is Python source that row
programs inline: `{0}`, `{1}` stand for the arguments, every other name is looked up in the
namespace that `heliosd.functions.builtin.ROW_FUNCTIONS` exports, and no text of a user is ever in
it. The generator makes arguments atoms (a local name or a constant) before it inlines a template
in which one occurs twice. Templates and strict callables are reached only with arguments that are
not NULL. With `needs_context` a template may say `{ctx}` and a callable gets the `EvalContext` as
its first argument. `specialize` builds the callable when the types at the call are known.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from heliosd.types.context import AdvisoryLocks as AdvisoryLocks
from heliosd.types.context import CatalogLookup as CatalogLookup
from heliosd.types.context import EvalContext as EvalContext
from heliosd.types.context import SequenceAccess as SequenceAccess
from heliosd.types.oids import OIDS as OIDS
from heliosd.types.oids import oid_of as oid_of
from heliosd.types.styles import Styles as Styles

Value: TypeAlias = Any
"""A SQL value in ARCHITECTURE.md's Python form; never None (NULL) where a function is strict."""

NO_TYPMOD: Final = -1

Form: TypeAlias = Callable[[Any], Any]


class KeyKind(enum.Enum):
    """How a value becomes memcomparable bytes (`helios_storage.keys` has an encoder for each)."""

    INT = "int"  # int, any size up to int8
    BOOL = "bool"
    FLOAT = "float"  # NaN last, -0 equal to 0
    NUMERIC = "numeric"  # Decimal; NaN last, infinities
    TEXT = "text"  # str, by code point
    BYTES = "bytes"  # bytes, any length
    FIXED = "fixed"  # bytes of one length: uuid
    ARRAY = "array"  # list of (None or the element's key value); see `SqlType.element`


@dataclass(frozen=True, slots=True, eq=False)
class SqlType:
    """One type. `input`/`output` are text, `receive`/`send` binary (PostgreSQL's words).

    `input(text, typmod, ctx)` and `receive(data, typmod, ctx)` apply the type modifier and raise
    22P02, 22003, 22P03 ... in PostgreSQL's words. `plain_output` and `plain_send`, when set, need
    no context: row encoders call them on the hot path. `native` says that Python's `<`, `==` and
    `hash` on the values give SQL's order and equality; otherwise `sort_key(value)` orders and
    `hash_key(value)` groups natively. `key_value` maps a value to what the `key` encoder takes
    (None: the value itself). A type without `key` cannot be indexed; without `ordered` it has no
    `<`.
    """

    name: str
    oid: int
    input: Callable[[str, int, EvalContext], Value]
    output: Callable[[Value, EvalContext], str]
    array_oid: int = 0
    element: int = 0
    category: str = "U"
    preferred: bool = False
    size: int = -1  # pg_type.typlen
    by_value: bool = False
    align: str = "i"
    storage: str = "p"  # pg_type.typstorage
    kind: str = "b"  # pg_type.typtype
    delimiter: str = ","
    collatable: bool = False
    receive: Callable[[bytes, int, EvalContext], Value] | None = None
    send: Callable[[Value, EvalContext], bytes] | None = None
    plain_output: Callable[[Value], str] | None = None
    plain_send: Callable[[Value], bytes] | None = None
    shape: str = "b"  # how it rests: one of ARCHITECTURE.md's storage shapes
    pack: Callable[[Value], Value] | None = None
    unpack: Callable[[Value], Value] | None = None
    stored: Callable[[int], tuple[Form, Form] | None] | None = None
    """(typmod) -> (pack, unpack) where the form at rest depends on the modifier, as char(n)'s."""
    key: KeyKind | None = None
    key_value: Callable[[Value], Value] | None = None
    ordered: bool = True
    hashable: bool = True
    native: bool = True
    sort_key: Callable[[Value], Any] | None = None
    hash_key: Callable[[Value], Any] | None = None
    typmod_in: Callable[[tuple[str, ...]], int] | None = None
    typmod_out: Callable[[int], str] | None = None
    apply_typmod: Callable[[Value, int, bool], Value] | None = None
    """(value, typmod, explicit): `varchar(3)` cuts explicitly, raises 22001 on assignment."""
    io_names: tuple[str, str, str, str] = ("", "", "", "")
    """pg_type.typinput, typoutput, typreceive, typsend."""
    sql_name: str = ""
    """What format_type() shows: "integer", "character varying"; "" when it is the name."""
    base: SqlType | None = None
    """What the type is made of: a domain's base type, a range's subtype, a multirange's range."""
    element_type: SqlType | None = field(default=None, repr=False)
    """An array's element type."""
    typmod: int = -1
    """A domain's modifier of its base type."""
    multirange_oid: int = 0
    """A range's multirange type."""
    fields: tuple[TypeField, ...] = ()
    """A composite type's attributes that are not dropped, in order."""
    uses: tuple[tuple[int, int], ...] = ()
    """(oid, version) of the catalog objects that the type was made from; () for built-in ones."""

    def __repr__(self) -> str:
        return f"<SqlType {self.name}>"

    @property
    def display(self) -> str:
        """The name in error messages and format_type without a modifier."""
        return self.sql_name or self.name

    @property
    def is_array(self) -> bool:
        return self.element != 0 and self.category == "A" and self.kind != "d"

    @property
    def is_domain(self) -> bool:
        return self.kind == "d"

    @property
    def is_pseudo(self) -> bool:
        return self.kind == "p"

    def packer(self, typmod: int) -> Form | None:
        """What turns a value of a column into its form at rest; None: it is that already."""
        forms = self.stored(typmod) if self.stored is not None else None
        return self.pack if forms is None else forms[0]

    def unpacker(self, typmod: int) -> Form | None:
        """The opposite of `packer`."""
        forms = self.stored(typmod) if self.stored is not None else None
        return self.unpack if forms is None else forms[1]

    def order_key(self) -> Callable[[Value], Any] | None:
        """The key function for sorting: None when values sort natively."""
        return None if self.native else self.sort_key

    def group_key(self) -> Callable[[Value], Any] | None:
        """The key function for hashing and equality: None when values do natively."""
        return None if self.native else (self.hash_key or self.sort_key)


@dataclass(frozen=True, slots=True, eq=False)
class TypeField:
    """One attribute of a composite type."""

    name: str
    type: SqlType
    typmod: int = -1
    collation: int = 0


class CastContext(enum.Enum):
    """Where a cast is applied without being written: pg_cast.castcontext."""

    IMPLICIT = "i"
    ASSIGNMENT = "a"
    EXPLICIT = "e"


@dataclass(frozen=True, slots=True)
class CallTypes:
    """The types at one call: what `specialize` is given.

    With `spread` the call was written `f(..., VARIADIC array)` for a `VARIADIC "any"` function:
    the last argument is the array."""

    arguments: tuple[SqlType, ...]
    result: SqlType
    registry: TypeRegistry
    spread: bool = False


RowForm: TypeAlias = str | Callable[..., Any]
Specialize: TypeAlias = Callable[[CallTypes], Callable[..., Any]]


@dataclass(frozen=True, slots=True, eq=False)
class SqlCast:
    """From one type to another. `row` takes the value (and the typmod never: the binder applies
    the target's `apply_typmod` afterwards). `method` is pg_cast.castmethod: "f" function,
    "b" the value is already right, "i" by way of text."""

    source: int
    target: int
    context: CastContext
    row: RowForm = "{0}"
    method: str = "f"
    function: str = ""
    function_oid: int = 0
    oid: int = 0
    needs_context: bool = False
    volatility: str = "i"
    specialize: Specialize | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SqlOperator:
    """One operator. `left` 0: a prefix operator. Strict unless said otherwise.

    `restrict` and `join` name PostgreSQL's selectivity estimators (eqsel, scalarltsel ...): hints
    for the planner about what the operator means."""

    oid: int
    name: str
    left: int
    right: int
    result: int
    function: str
    function_oid: int
    row: RowForm
    commutator: int = 0
    negator: int = 0
    restrict: str = ""
    join: str = ""
    hashes: bool = False
    merges: bool = False
    strict: bool = True
    volatility: str = "i"
    leakproof: bool = False
    needs_context: bool = False
    specialize: Specialize | None = None

    def __repr__(self) -> str:
        return f"<SqlOperator {self.name} {self.left},{self.right}>"


class DuplicateDeclarationError(Exception):
    """Two declarations claim one oid or one signature: a bug found when the server starts."""


@dataclass(frozen=True, slots=True, eq=False)
class TypeRegistry:
    """Read-only. User-made types (enums, domains, composites) are looked up in the catalog first,
    by the rooms above; this registry knows the built-in ones."""

    by_oid: Mapping[int, SqlType]
    by_name: Mapping[str, SqlType]
    casts: Mapping[tuple[int, int], SqlCast]
    operators: Mapping[str, tuple[SqlOperator, ...]]
    operators_by_oid: Mapping[int, SqlOperator]
    operators_exact: Mapping[tuple[str, int, int], SqlOperator] = field(repr=False)

    def type(self, oid: int) -> SqlType:
        """The type with this oid; KeyError when it is not built in."""
        return self.by_oid[oid]

    def named(self, name: str) -> SqlType:
        """By pg_type.typname: "int4", "_text"."""
        return self.by_name[name]

    def cast(self, source: int, target: int) -> SqlCast | None:
        """The declared cast; None when there is none (then I/O conversion or binary equality)."""
        return self.casts.get((source, target))

    def operator(self, name: str, left: int, right: int) -> SqlOperator | None:
        """The operator with exactly these operand types."""
        return self.operators_exact.get((name, left, right))

    def array_of(self, oid: int) -> SqlType | None:
        """The array type over an element type."""
        array_oid = self.by_oid[oid].array_oid
        return self.by_oid.get(array_oid) if array_oid else None

    def element_of(self, oid: int) -> SqlType | None:
        """The element type of an array type (also of oidvector and int2vector)."""
        return self.by_oid.get(self.by_oid[oid].element)


def build_type_registry(
    types: Iterable[SqlType], casts: Iterable[SqlCast], operators: Iterable[SqlOperator]
) -> TypeRegistry:
    """Collects declarations; raises DuplicateDeclarationError."""
    by_oid: dict[int, SqlType] = {}
    by_name: dict[str, SqlType] = {}
    for item in types:
        if item.oid in by_oid or item.name in by_name:
            raise DuplicateDeclarationError(f"type {item.name} ({item.oid})")
        by_oid[item.oid] = item
        by_name[item.name] = item
    by_pair: dict[tuple[int, int], SqlCast] = {}
    for cast in casts:
        pair = (cast.source, cast.target)
        if pair in by_pair:
            raise DuplicateDeclarationError(f"cast {pair}")
        by_pair[pair] = cast
    named: dict[str, list[SqlOperator]] = {}
    operators_by_oid: dict[int, SqlOperator] = {}
    exact: dict[tuple[str, int, int], SqlOperator] = {}
    for operator in operators:
        signature = (operator.name, operator.left, operator.right)
        if operator.oid in operators_by_oid or signature in exact:
            raise DuplicateDeclarationError(f"operator {signature} ({operator.oid})")
        operators_by_oid[operator.oid] = operator
        exact[signature] = operator
        named.setdefault(operator.name, []).append(operator)
    return TypeRegistry(
        MappingProxyType(by_oid),
        MappingProxyType(by_name),
        MappingProxyType(by_pair),
        MappingProxyType({name: tuple(items) for name, items in named.items()}),
        MappingProxyType(operators_by_oid),
        MappingProxyType(exact),
    )
