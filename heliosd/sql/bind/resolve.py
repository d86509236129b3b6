"""Which operator or function is meant: PostgreSQL's rules for overloads (manual, chapter 10).

A `Resolver` holds the two registries and what it already found; it is shared by all sessions. It
knows types only: binding turns its answers into calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from heliosd.functions.registry import AnyFunction, FunctionRegistry
from heliosd.types.domain import base_of
from heliosd.types.oids import FIRST_NORMAL_OID
from heliosd.types.registry import CastContext, SqlOperator, SqlType, TypeRegistry

UNKNOWN: Final = 705
ANY: Final = 2276
TEXT: Final = 25
RECORD: Final = 2249
RECORD_ARRAY: Final = 2287
ANYELEMENT: Final = 2283
ANYARRAY: Final = 2277
ANYNONARRAY: Final = 2776
ANYENUM: Final = 3500
ANYRANGE: Final = 3831
ANYMULTIRANGE: Final = 4537
ANYCOMPATIBLE: Final = 5077
ANYCOMPATIBLEARRAY: Final = 5078
ANYCOMPATIBLENONARRAY: Final = 5079
ANYCOMPATIBLERANGE: Final = 5080
ANYCOMPATIBLEMULTIRANGE: Final = 4538

_ELEMENT_LIKE: Final = frozenset({ANYELEMENT, ANYNONARRAY, ANYENUM})
_ARRAYS: Final = frozenset({ANYARRAY, ANYCOMPATIBLEARRAY})
_RANGES: Final = frozenset({ANYRANGE, ANYCOMPATIBLERANGE})
_MULTIRANGES: Final = frozenset({ANYMULTIRANGE, ANYCOMPATIBLEMULTIRANGE})
_NO_ARRAYS: Final = frozenset({ANYNONARRAY, ANYCOMPATIBLENONARRAY})
POLYMORPHIC: Final = frozenset(
    {
        ANYELEMENT, ANYARRAY, ANYNONARRAY, ANYENUM, ANYRANGE, ANYMULTIRANGE,
        ANYCOMPATIBLE, ANYCOMPATIBLEARRAY, ANYCOMPATIBLENONARRAY, ANYCOMPATIBLERANGE,
        ANYCOMPATIBLEMULTIRANGE,
    }
)  # fmt: skip
_FAMILIES: Final = (
    (ANYELEMENT, ANYARRAY, ANYRANGE, ANYMULTIRANGE, ANYNONARRAY, ANYENUM),
    (
        ANYCOMPATIBLE,
        ANYCOMPATIBLEARRAY,
        ANYCOMPATIBLERANGE,
        ANYCOMPATIBLEMULTIRANGE,
        ANYCOMPATIBLENONARRAY,
        0,
    ),
)
"""(element, array, range, multirange, ...): types that must agree with each other in one call."""

VECTORS: Final = frozenset({22, 30})
"""int2vector and oidvector: no array becomes one by itself."""

_CONTEXT_ORDER: Final = {
    CastContext.IMPLICIT: 0,
    CastContext.ASSIGNMENT: 1,
    CastContext.EXPLICIT: 2,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to call a function: its declared argument types, spread for this many arguments.

    `packed`: that many of the last arguments are collected into the variadic array (-1: none).
    `defaults`: that many of the last declared arguments take their default.
    """

    function: AnyFunction
    arguments: tuple[int, ...]
    packed: int = -1
    defaults: int = 0


class AmbiguousError(Exception):
    """More than one candidate is equally good."""


@dataclass(slots=True)
class Resolver:
    """The registries and their memo. `types` and `functions` never change; the memo is bounded."""

    types: TypeRegistry
    functions: FunctionRegistry
    _operators: dict[tuple[str, int, int], SqlOperator | None] = field(default_factory=dict)
    _coercible: dict[tuple[int, int, CastContext], bool] = field(default_factory=dict)

    # -- types -------------------------------------------------------------------------------

    def over(self, types: TypeRegistry) -> Resolver:
        """The same for a session's own types. What is known of built-in ones is shared."""
        return Resolver(types, self.functions, self._operators, self._coercible)

    def category(self, oid: int) -> str:
        found = self.types.by_oid.get(oid)
        return "X" if found is None or oid == UNKNOWN else found.category

    def is_preferred(self, oid: int) -> bool:
        found = self.types.by_oid.get(oid)
        return found is not None and found.preferred

    def base(self, oid: int) -> int:
        """The type under a domain (and under the domain's domain); any other type itself."""
        if oid < FIRST_NORMAL_OID:
            return oid
        found = self.types.by_oid.get(oid)
        return oid if found is None else base_of(found).oid

    def element(self, oid: int) -> int:
        """The element type of a true array type (or a domain over one), 0 for everything else."""
        found = self.types.by_oid.get(self.base(oid))
        return found.element if found is not None and found.is_array else 0

    def array_over(self, oid: int) -> int:
        """The array type over `oid`, 0 when there is none."""
        found = self.types.by_oid.get(oid)
        return 0 if found is None else found.array_oid

    def subtype(self, oid: int) -> int:
        """A range's subtype, a multirange's range; 0 for everything else."""
        found = self.types.by_oid.get(oid)
        return found.base.oid if found is not None and found.kind in "rm" and found.base else 0

    def kind(self, oid: int) -> str:
        """pg_type.typtype; "" for what is no type."""
        found = self.types.by_oid.get(oid)
        return "" if found is None else found.kind

    def can_coerce(self, source: int, target: int, context: CastContext) -> bool:
        """Whether a `source` may stand where a `target` is wanted."""
        if source in (target, UNKNOWN) or target == ANY:
            return True
        if source >= FIRST_NORMAL_OID or target >= FIRST_NORMAL_OID:
            return self._can_coerce(source, target, context)
        key = (source, target, context)
        known = self._coercible.get(key)
        if known is None:
            known = self._coercible[key] = self._can_coerce(source, target, context)
        return known

    def _can_coerce(self, source: int, target: int, context: CastContext) -> bool:
        if target in _ARRAYS:
            return self.element(source) != 0
        if target in _NO_ARRAYS:
            return self.element(source) == 0
        if target in _RANGES:
            return self.kind(self.base(source)) == "r"
        if target in _MULTIRANGES:
            return self.kind(self.base(source)) == "m"
        if target == ANYENUM:
            return self.kind(self.base(source)) == "e"
        if target in (ANYELEMENT, ANYCOMPATIBLE):
            return True
        if target == RECORD and self.category(source) == "C":
            return True
        if source == RECORD and self.kind(self.base(target)) == "c":
            # Whether its fields fit is seen when it is converted.
            return True
        if target == RECORD_ARRAY and self.category(self.element(source)) == "C":
            return True
        return self.pathway(source, target, context) is not None

    def pathway(self, source: int, target: int, context: CastContext) -> str | None:
        """How to convert: "cast" (declared), "relabel", "array" or "io"; None when not at all."""
        source, target = self.base(source), self.base(target)
        if source == target:
            return "relabel"
        cast = self.types.cast(source, target)
        if cast is not None:
            if _CONTEXT_ORDER[cast.context] > _CONTEXT_ORDER[context]:
                return None
            return {"b": "relabel", "i": "io"}.get(cast.method, "cast")
        source_element, target_element = self.element(source), self.element(target)
        if source_element and target_element and target not in VECTORS:
            if source_element == target_element:
                return "relabel"
            inner = self.pathway(source_element, target_element, context)
            return None if inner is None else "array"
        if target == ANYARRAY and source_element:
            return "relabel"
        explicit = context is CastContext.EXPLICIT
        if explicit and self.kind(target) == "m" and self.subtype(target) == source:
            return "multirange"
        if context is not CastContext.IMPLICIT:
            # Anything may go to a string type by assignment, and from one by an explicit cast.
            if self.category(target) == "S":
                return "io"
            if context is CastContext.EXPLICIT and self.category(source) == "S":
                return "io"
        return None

    # -- operators ---------------------------------------------------------------------------

    def operator(self, name: str, left: int, right: int) -> SqlOperator | None:
        """The operator for these operand types (0 on the left: prefix); None when there is none.

        Raises AmbiguousError when PostgreSQL cannot choose either.
        """
        key = (name, left, right)
        found = self.types.operators_exact.get(key)
        if found is not None:
            return found
        if key in self._operators:
            return self._operators[key]
        found = self._operator(name, left, right)
        if left >= FIRST_NORMAL_OID or right >= FIRST_NORMAL_OID:
            # It may mean another type in another session.
            return found
        if len(self._operators) < 10_000:
            self._operators[key] = found
        return found

    def _operator(self, name: str, left: int, right: int) -> SqlOperator | None:
        if left and UNKNOWN in (left, right) and left != right:
            same = left if right == UNKNOWN else right
            for each in (same, self.base(same)):
                found = self.types.operator(name, each, each)
                if found is not None:
                    return found
        prefix = left == 0
        inputs = (right,) if prefix else (left, right)
        signatures = [
            ((op.right,) if prefix else (op.left, op.right), op)
            for op in self.types.operators.get(name, ())
            if (op.left == 0) == prefix
        ]
        viable = [
            (arguments, op)
            for arguments, op in signatures
            if all(
                self.can_coerce(have, want, CastContext.IMPLICIT)
                for have, want in zip(inputs, arguments, strict=True)
            )
            and self.instantiate(arguments, inputs, op.result) is not None
        ]
        if not viable:
            return None
        if len(viable) == 1:
            return viable[0][1]
        chosen = self.select([arguments for arguments, _ in viable], inputs)
        if chosen is None:
            raise AmbiguousError
        return viable[chosen][1]

    # -- functions ---------------------------------------------------------------------------

    def candidates(
        self, functions: Sequence[AnyFunction], count: int, *, spread: bool
    ) -> list[Candidate]:
        """The overloads that can be called with `count` arguments.

        `spread`: the call says VARIADIC, so its last argument is the array itself.
        """
        found: list[Candidate] = []
        for function in functions:
            declared = function.arguments
            fixed = len(declared)
            if fixed == count:
                found.append(Candidate(function, declared))
            if function.variadic and not spread:
                if function.variadic == ANY:
                    if count >= fixed and count != fixed:
                        others = (ANY,) * (count - fixed)
                        found.append(Candidate(function, declared + others))
                    continue
                if count >= fixed:
                    packed = count - fixed + 1
                    types = declared[:-1] + (function.variadic,) * packed
                    found.append(Candidate(function, types, packed=packed))
                continue
            defaults = len(getattr(function, "defaults", ()))
            if defaults and fixed - defaults <= count < fixed:
                found.append(Candidate(function, declared[:count], defaults=fixed - count))
        return found

    def choose(self, candidates: Sequence[Candidate], inputs: tuple[int, ...]) -> Candidate | None:
        """The candidate for these argument types; raises AmbiguousError."""
        exact = [c for c in candidates if c.arguments == inputs]
        if exact:
            return self._same(exact)
        viable = [
            c
            for c in candidates
            if all(
                self.can_coerce(have, want, CastContext.IMPLICIT)
                for have, want in zip(inputs, c.arguments, strict=True)
            )
            and self.instantiate(c.arguments, inputs, c.function.result) is not None
        ]
        if not viable:
            return None
        distinct: dict[tuple[int, ...], list[Candidate]] = {}
        for candidate in sorted(viable, key=lambda c: c.packed >= 0):
            distinct.setdefault(candidate.arguments, []).append(candidate)
        alike = list(distinct.values())
        if len(alike) == 1:
            return self._same(alike[0])
        chosen = self.select(list(distinct), inputs)
        if chosen is None:
            raise AmbiguousError
        return self._same(alike[chosen])

    @staticmethod
    def _same(alike: list[Candidate]) -> Candidate:
        """Of candidates with the same types: one that packs nothing and takes no defaults; raises
        AmbiguousError for two that take defaults."""

        def rank(candidate: Candidate) -> tuple[bool, bool]:
            return candidate.packed >= 0, candidate.defaults > 0

        best = min(alike, key=rank)
        if best.defaults and sum(rank(each) == rank(best) for each in alike) > 1:
            raise AmbiguousError
        return best

    # -- the common rules --------------------------------------------------------------------

    def select(self, signatures: Sequence[tuple[int, ...]], inputs: tuple[int, ...]) -> int | None:
        """The index of the best of several viable signatures; None when there is none."""
        inputs = tuple(self.base(oid) for oid in inputs)
        keep = list(range(len(signatures)))
        keep = self._most(
            keep,
            lambda i: sum(
                have != UNKNOWN and have == want
                for have, want in zip(inputs, signatures[i], strict=True)
            ),
        )
        if len(keep) == 1:
            return keep[0]
        categories = [self.category(have) for have in inputs]
        keep = self._most(
            keep,
            lambda i: sum(
                have != UNKNOWN
                and (have == want or (self.category(want) == category and self.is_preferred(want)))
                for have, want, category in zip(inputs, signatures[i], categories, strict=True)
            ),
        )
        if len(keep) == 1:
            return keep[0]
        unknown = [n for n, have in enumerate(inputs) if have == UNKNOWN]
        if not unknown:
            return None
        narrowed = self._by_category(keep, signatures, unknown)
        if len(narrowed) == 1:
            return narrowed[0]
        known = {have for have in inputs if have != UNKNOWN}
        if len(known) == 1:
            same = known.pop()
            fitting = [
                i
                for i in narrowed
                if all(self.can_coerce(same, want, CastContext.IMPLICIT) for want in signatures[i])
                and self.instantiate(signatures[i], (same,) * len(inputs), ANY) is not None
            ]
            if len(fitting) == 1:
                return fitting[0]
        return None

    @staticmethod
    def _most(keep: list[int], score: Callable[[int], int]) -> list[int]:
        scores = {i: score(i) for i in keep}
        best = max(scores.values())
        return [i for i in keep if scores[i] == best]

    def _by_category(
        self, keep: list[int], signatures: Sequence[tuple[int, ...]], unknown: list[int]
    ) -> list[int]:
        """Give each unknown argument a category (string if any accepts one) and keep what fits."""
        chosen: list[tuple[int, str, bool]] = []
        for slot in unknown:
            wanted = [signatures[i][slot] for i in keep]
            seen = [self.category(oid) for oid in wanted]
            if "S" in seen:
                category = "S"
            elif len(set(seen)) == 1:
                category = seen[0]
            else:
                return keep
            preferred = any(
                self.is_preferred(oid)
                for oid, each in zip(wanted, seen, strict=True)
                if each == category
            )
            chosen.append((slot, category, preferred))
        fitting = [
            i
            for i in keep
            if all(
                self.category(signatures[i][slot]) == category
                and (not preferred or self.is_preferred(signatures[i][slot]))
                for slot, category, preferred in chosen
            )
        ]
        return fitting or keep

    # -- polymorphism ------------------------------------------------------------------------

    def instantiate(
        self, declared: Sequence[int], inputs: Sequence[int], result: int
    ) -> tuple[tuple[int, ...], int] | None:
        """The argument and result types of one call of a polymorphic signature.

        None when the inputs contradict each other; UNKNOWN as the result when only unknown
        literals stand for it (text then serves).
        """
        if not any(d in POLYMORPHIC for d in declared) and result not in POLYMORPHIC:
            return tuple(declared), result
        actual: dict[int, int] = {}
        for family, compatible in zip(_FAMILIES, (False, True), strict=True):
            found = self._family(declared, inputs, family, compatible=compatible)
            if found is None:
                return None
            actual.update(found)
        types = tuple(actual.get(d, d) if d in POLYMORPHIC else d for d in declared)
        return types, actual.get(result, result) if result in POLYMORPHIC else result

    def _family(
        self,
        declared: Sequence[int],
        inputs: Sequence[int],
        family: tuple[int, ...],
        *,
        compatible: bool,
    ) -> dict[int, int] | None:
        """What the types of one polymorphic family stand for in a call; None: contradictory.

        UNKNOWN where nothing says it; 0 for an array or range that does not exist."""
        element, array, range_, multirange, no_array, enum = family
        elements: list[int] = []
        exact: dict[int, int] = {}
        wanted: set[int] = set()
        for want, have in zip(declared, inputs, strict=True):
            if want not in family or want == 0:
                continue
            wanted.add(want)
            if have == UNKNOWN:
                continue
            if want in (element, no_array, enum):
                elements.append(have)
                continue
            have = self.base(have)
            if want == array and compatible:
                elements.append(self.element(have))
            elif exact.setdefault(want, have) != have:
                return None
        ranged = exact.get(range_, 0)
        if multirange in exact:
            of_multirange = self.subtype(exact[multirange])
            if ranged and ranged != of_multirange:
                return None
            ranged = ranged or of_multirange
        subtype = self.subtype(ranged) if ranged else 0
        inside = [self.element(exact[array])] if array in exact else []
        if subtype:
            inside.append(subtype)
        chosen = self._element(elements, inside, compatible=compatible, fixed=bool(subtype))
        if chosen is None:
            return None
        if not chosen:
            chosen = TEXT if compatible else UNKNOWN
        if no_array in wanted and self.element(chosen):
            return None
        if enum in wanted and self.kind(self.base(chosen)) != "e":
            return None
        kind = self.types.by_oid.get(ranged) if ranged else None
        unknown = UNKNOWN if chosen == UNKNOWN or not ranged else 0
        return {
            element: chosen,
            no_array: chosen,
            enum: chosen,
            array: exact.get(array) or (UNKNOWN if chosen == UNKNOWN else self.array_over(chosen)),
            range_: ranged or unknown,
            multirange: exact.get(multirange)
            or (kind.multirange_oid if kind is not None else unknown),
        }

    def _element(
        self, elements: list[int], inside: list[int], *, compatible: bool, fixed: bool
    ) -> int | None:
        """The element type of a family; 0 when nothing says it, None when it is contradictory."""
        everything = [*elements, *inside]
        if not everything:
            return 0
        if compatible:
            common = self.common_type(everything)
            if common is None or (fixed and common != inside[-1]):
                return None
            return common
        first = everything[0]
        return first if all(oid == first for oid in everything) else None

    def common_type(self, inputs: Sequence[int]) -> int | None:
        """UNION, CASE and kin (manual 10.5): one type for all; None when they do not mix.

        All unknown gives text.
        """
        known = [oid for oid in inputs if oid != UNKNOWN]
        if not known:
            return TEXT
        chosen = known[0]
        if all(oid == chosen for oid in known):
            return chosen
        known = [self.base(oid) for oid in known]
        chosen = known[0]
        category, preferred = self.category(chosen), self.is_preferred(chosen)
        for oid in known[1:]:
            if oid == chosen:
                continue
            if self.category(oid) != category:
                return None
            if (
                not preferred
                and self.can_coerce(chosen, oid, CastContext.IMPLICIT)
                and not self.can_coerce(oid, chosen, CastContext.IMPLICIT)
            ):
                chosen, preferred = oid, self.is_preferred(oid)
        return chosen

    def type_named(self, name: str) -> SqlType | None:
        return self.types.by_name.get(name)
