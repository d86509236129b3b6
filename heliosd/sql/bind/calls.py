"""Function calls: plain, set-returning, aggregate and window ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from heliosd.catalog.built_in_acl import is_open_function
from heliosd.catalog.objects import PG_CATALOG_OID, Routine
from heliosd.errors import SqlError, not_supported
from heliosd.functions.builtin import MISSING_FUNCTIONS
from heliosd.functions.registry import SqlAggregate, SqlFunction, SqlWindowFunction
from heliosd.sql.bind.aggregates import bind_aggregate, bind_window_call
from heliosd.sql.bind.coerce import (
    coerce,
    collation_of,
    explicit_cast,
    input_collation,
    location,
    settle,
)
from heliosd.sql.bind.constructors import range_constructors
from heliosd.sql.bind.hypothetical import counted, is_hypothetical
from heliosd.sql.bind.names import bind_field, find_rel
from heliosd.sql.bind.resolve import (
    ANY,
    ANYARRAY,
    POLYMORPHIC,
    UNKNOWN,
    AmbiguousError,
    Candidate,
)
from heliosd.sql.bind.routines import routine_function, routines_named
from heliosd.sql.bind.sorting import sort_key
from heliosd.sql.bind.state import Level, UnknownLiteral
from heliosd.sql.bound import (
    ArrayConstructor,
    Call,
    CallForm,
    Const,
    Expr,
    Privilege,
    SetReturningCall,
    SortKey,
)
from heliosd.sql.tree.expressions import ColumnRef, FunctionCall, NamedArgument
from heliosd.types.oids import FIRST_NORMAL_OID

if TYPE_CHECKING:
    from heliosd.functions.registry import AnyFunction

SET_CLAUSES: Final = frozenset(
    {"SELECT", "ORDER BY", "DISTINCT ON", "functions in FROM", "GROUP BY"}
)


def bind_call(level: Level, tree: FunctionCall) -> Expr:
    name = tree.name[-1]
    trees = tree.arguments
    _check_schema(level, tree)
    if is_hypothetical(tree):
        return level.expression(counted(tree))
    if any(isinstance(each, NamedArgument) for each in trees):
        return _bind_named(level, tree, name)
    arguments = [_argument(level, each) for each in trees]
    ordered = [sort_key(level, each) for each in tree.order_by] if tree.within_group else []
    inputs = tuple(a.type for a in (*arguments, *(key.expression for key in ordered)))
    candidate = _choose(level, tree, name, arguments, inputs)
    if isinstance(candidate, Expr):
        return candidate
    return make_call(level, tree, candidate, arguments, ordered)


def _argument(level: Level, tree: FunctionCall | object) -> Expr:
    return level.expression(tree)  # type: ignore[arg-type]


def _check_schema(level: Level, tree: FunctionCall) -> None:
    """3F000 for a schema that does not exist, 42501 for one that may not be used."""
    if len(tree.name) < 2 or tree.name[-2] == "pg_catalog":
        return
    schema = level.state.catalog.schema(tree.name[-2])
    if schema is None:
        raise SqlError("3F000", f'schema "{tree.name[-2]}" does not exist', position=tree.position)
    if not level.state.views and not level.state.catalog.may_use(level.state.scope.role, schema):
        raise SqlError(
            "42501", f"permission denied for schema {schema.name}", position=tree.position
        )


def functions_named(level: Level, names: tuple[str, ...]) -> list[AnyFunction]:
    """What a function's name can mean: built-in ones, and users' routines by search_path."""
    state = level.state
    schema = names[-2] if len(names) > 1 else None
    name = names[-1]
    routines = (
        []
        if schema == "pg_catalog"
        else routines_named(state.catalog, schema, name, state.scope.path)
    )
    built_in = state.resolver.functions.named(name) if schema in (None, "pg_catalog") else ()
    built_in = (*built_in, *range_constructors(state, names))
    if not routines:
        return list(built_in)
    made: list[AnyFunction] = [routine_function(state.catalog, routine) for routine in routines]
    first = schema is None and _before_built_in(state.scope.path)
    own = {each.arguments for each in made}
    if first:
        return [*made, *(each for each in built_in if each.arguments not in own)]
    taken = {each.arguments for each in built_in}
    return [*built_in, *(each for each in made if each.arguments not in taken)]


def _before_built_in(path: Sequence[int]) -> bool:
    """Whether search_path names another schema before pg_catalog."""
    return bool(path) and path[0] != PG_CATALOG_OID


def _choose(
    level: Level,
    tree: FunctionCall,
    name: str,
    arguments: list[Expr],
    inputs: tuple[int, ...],
) -> Candidate | Expr:
    resolver = level.state.resolver
    named = functions_named(level, tree.name)
    candidates = resolver.candidates(named, len(inputs), spread=tree.variadic)
    if not any(c.arguments == inputs for c in candidates) and _plain(tree) and len(inputs) == 1:
        cast = _as_cast(level, tree, name, arguments[0])
        if cast is not None:
            return cast
    try:
        found = resolver.choose(candidates, inputs)
    except AmbiguousError:
        raise SqlError(
            "42725",
            f"function {_signature(level, tree, inputs)} is not unique",
            hint="Could not choose a best candidate function. "
            "You might need to add explicit type casts.",
            position=tree.position,
        ) from None
    if found is None:
        if _plain(tree) and len(arguments) == 1 and len(tree.name) == 1:
            column = _as_column(level, tree, name, arguments[0])
            if column is not None:
                return column
        if not inputs and any(isinstance(f, SqlAggregate) and not tree.star for f in named):
            raise SqlError(
                "42883",
                f"function {_signature(level, tree, inputs)} does not exist",
                hint=_HINT,
                position=tree.position,
            )
        raise _no_function(level, tree, arguments, inputs)
    return found


def _plain(tree: FunctionCall) -> bool:
    return not (
        tree.star or tree.distinct or tree.order_by or tree.filter or tree.over or tree.variadic
    )


def _as_cast(level: Level, tree: FunctionCall, name: str, argument: Expr) -> Expr | None:
    """`int4(x)` where a type is called so: a cast that needs no function."""
    state = level.state
    kind = state.types.by_name.get(name)
    if kind is None or kind.is_pseudo:
        return None
    if argument.type == UNKNOWN:
        return explicit_cast(state, argument, kind.oid, -1, tree.position)
    from heliosd.types.registry import CastContext

    path = state.resolver.pathway(argument.type, kind.oid, CastContext.EXPLICIT)
    if argument.type == kind.oid or path == "relabel":
        return explicit_cast(state, argument, kind.oid, -1, tree.position)
    if path == "io" and state.resolver.category(kind.oid) == "S" == state.resolver.category(
        argument.type
    ):
        return explicit_cast(state, argument, kind.oid, -1, tree.position)
    if path is not None and not state.resolver.functions.named(name):
        return explicit_cast(state, argument, kind.oid, -1, tree.position)
    return None


def _as_column(level: Level, tree: FunctionCall, name: str, argument: Expr) -> Expr | None:
    """`name(row)` is `row.name`."""
    only = tree.arguments[0]
    if isinstance(only, ColumnRef) and len(only.names) == 1:
        item = find_rel(level, None, only.names[0], only.position)
        if item is not None:
            found = item.find(name, tree.position)
            if found is not None:
                return found
    if argument.type == 2249 and not isinstance(argument, UnknownLiteral):
        try:
            return bind_field(level, argument, name, tree.position)
        except SqlError:
            return None
    return None


_HINT: Final = (
    "No function matches the given name and argument types. "
    "You might need to add explicit type casts."
)


def _signature(level: Level, tree: FunctionCall, inputs: Sequence[int]) -> str:
    shown = []
    for index, oid in enumerate(inputs):
        each = tree.arguments[index] if index < len(tree.arguments) else None
        prefix = f"{each.name} => " if isinstance(each, NamedArgument) else ""
        shown.append(prefix + level.state.type_name(oid))
    return f"{'.'.join(tree.name)}({', '.join(shown)})"


def _no_function(
    level: Level,
    tree: FunctionCall,
    arguments: list[Expr],
    inputs: Sequence[int] | None = None,
) -> SqlError:
    types = [a.type for a in arguments] if inputs is None else inputs
    if tree.name[-1] in MISSING_FUNCTIONS and tree.name[:-1] in ((), ("pg_catalog",)):
        return not_supported(f"function {tree.name[-1]}", position=tree.position)
    word = "procedure" if tree.is_call else "function"
    return SqlError(
        "42883",
        f"{word} {_signature(level, tree, types)} does not exist",
        hint=_HINT.replace("function", word),
        position=tree.position,
    )


def _bind_named(level: Level, tree: FunctionCall, name: str) -> Expr:
    """`f(a, size => b)`: the arguments in the function's own order, defaults in between."""
    positional: list[Expr] = []
    named: dict[str, Expr] = {}
    for each in tree.arguments:
        if isinstance(each, NamedArgument):
            if each.name in named:
                raise SqlError(
                    "42601",
                    f'argument name "{each.name}" used more than once',
                    position=each.position,
                )
            named[each.name] = level.expression(each.value)
        elif named:
            raise SqlError(
                "42601", "positional argument cannot follow named argument", position=each.position
            )
        else:
            positional.append(level.expression(each))
    state = level.state
    for function in functions_named(level, tree.name):
        names = getattr(function, "argument_names", ())
        if not names or not set(named) <= set(names[len(positional) :]):
            continue
        ordered: list[Expr] = list(positional)
        defaults = getattr(function, "defaults", ())
        first_default = len(function.arguments) - len(defaults)
        for index in range(len(positional), len(function.arguments)):
            if names[index] in named:
                ordered.append(named[names[index]])
            elif index >= first_default:
                ordered.append(_default(level, defaults[index - first_default]))
            else:
                break
        if len(ordered) != len(function.arguments):
            continue
        inputs = tuple(each.type for each in ordered)
        candidate = state.resolver.choose([Candidate(function, function.arguments)], inputs)
        if candidate is not None:
            return make_call(level, tree, candidate, ordered, [])
    raise _no_function(level, tree, [*positional, *named.values()])


def _default(level: Level, text: str) -> Expr:
    """A declared default: SQL text of ours."""
    from heliosd.sql.parser import parse_expression

    return level.expression(parse_expression(text))


def make_call(
    level: Level,
    tree: FunctionCall,
    candidate: Candidate,
    arguments: list[Expr],
    ordered: list[SortKey],
) -> Expr:
    """The node for a chosen function."""
    state = level.state
    function = candidate.function
    if candidate.defaults:
        texts = function.defaults[-candidate.defaults :]  # type: ignore[union-attr]
        arguments = [*arguments, *(_default(level, text) for text in texts)]
        declared = function.arguments
    else:
        declared = candidate.arguments
    inputs = [*arguments, *(key.expression for key in ordered)]
    actual = state.resolver.instantiate(declared, [a.type for a in inputs], function.result)
    if actual is None:
        raise _no_function(level, tree, inputs)
    types, result = actual
    if isinstance(function, SqlFunction) and function.oid >= FIRST_NORMAL_OID:
        _check_kind(level, tree, function, inputs)
        function = _actual_columns(level, function, declared, [a.type for a in inputs])
    special = _typed_special(level, tree, function, inputs, types, result, declared)
    if special is not None:
        return special
    if result == ANYARRAY and function.result == ANYARRAY:
        shown = next((i.type for i in inputs if not state.resolver.array_over(i.type)), 0)
        raise SqlError(
            "42704",
            f"could not find array type for data type {state.type_name(shown)}",
            position=tree.position,
        )
    fitted = [
        _fit(level, each, oid, tree, index)
        for index, (each, oid) in enumerate(zip(inputs, types, strict=True))
    ]
    if ordered:
        ordered = [
            SortKey(expression, key.descending, key.nulls_first, key.operator)
            for key, expression in zip(ordered, fitted[len(arguments) :], strict=True)
        ]
    spread = tree.variadic
    if candidate.packed >= 0:
        element = types[-1]
        array = state.resolver.array_over(element)
        packed = tuple(fitted[len(fitted) - candidate.packed :])
        fitted = fitted[: len(fitted) - candidate.packed]
        fitted.append(ArrayConstructor(packed, array, element, collation=input_collation(packed)))
        spread = True
    _need_execute(level, function)
    return _node(level, tree, function, tuple(fitted), result, ordered, spread=spread)


def _check_kind(
    level: Level, tree: FunctionCall, function: SqlFunction, inputs: Sequence[Expr]
) -> None:
    """42809: procedures are called by CALL, functions elsewhere."""
    found = level.state.catalog.by_oid(function.oid)
    is_procedure = isinstance(found, Routine) and found.kind == "p"
    if is_procedure == tree.is_call:
        return
    shown = _signature(level, tree, [each.type for each in inputs])
    if is_procedure:
        raise SqlError(
            "42809",
            f"{shown} is a procedure",
            hint="To call a procedure, use CALL.",
            position=tree.position,
        )
    raise not_a_procedure(shown, tree.position)


def not_a_procedure(shown: str, position: int) -> SqlError:
    """42809 for CALL of a function."""
    return SqlError(
        "42809",
        f"{shown} is not a procedure",
        hint="To call a function, use SELECT.",
        position=position,
    )


def _actual_columns(
    level: Level, function: SqlFunction, declared: Sequence[int], inputs: Sequence[int]
) -> SqlFunction:
    """Polymorphic OUT parameters get the types of this call."""
    if not any(oid in POLYMORPHIC for _, oid in function.columns):
        return function
    columns = []
    for name, oid in function.columns:
        actual = level.state.resolver.instantiate(declared, inputs, oid)
        columns.append((name, oid if actual is None else actual[1]))
    return replace(function, columns=tuple(columns))


def _typed_special(
    level: Level,
    tree: FunctionCall,
    function: AnyFunction,
    inputs: Sequence[Expr],
    types: Sequence[int],
    result: int,
    declared: Sequence[int],
) -> Expr | None:
    """What must be decided by the arguments' types before they are converted: refusals (42804),
    and the functions that ask for a type or a collation."""
    if any(t == UNKNOWN and d in POLYMORPHIC for t, d in zip(types, declared, strict=True)):
        raise SqlError(
            "42804",
            "could not determine polymorphic type because input has type unknown",
            position=tree.position,
        )
    if tree.variadic and function.variadic == ANY:
        last = inputs[-1].type
        if last != UNKNOWN and not level.state.type(last).element:
            raise SqlError(
                "42804",
                "VARIADIC argument must be an array",
                position=location(tree.arguments[-1]),
            )
    if function.oid == COLLATION_FOR:
        return _collation_name(level, inputs[0], result, tree)
    if function.oid == TYPE_OF and inputs[0].type == UNKNOWN:
        return Const(UNKNOWN, result)
    return None


COLLATION_FOR: Final = 3162
TYPE_OF: Final = 1619


def _collation_name(level: Level, argument: Expr, result: int, tree: FunctionCall) -> Expr:
    """`COLLATION FOR (x)`: quoted, NULL where there is none; 42804 for a type without one."""
    if argument.type == UNKNOWN:
        return Const(None, result)
    kind = level.state.type(argument.type)
    if not kind.collatable:
        raise SqlError(
            "42804",
            f"collations are not supported by type {level.state.type_name(kind.oid)}",
            position=tree.position,
        )
    found = level.state.scope.context.catalog.find_name("collation", argument.collation)
    return Const(None if found is None else f'"{found[1]}"', result, -1, 100)


def _need_execute(level: Level, function: AnyFunction) -> None:
    """Built-in functions are everybody's, but for those that were closed."""
    state = level.state
    catalog = state.catalog
    found = catalog.by_oid(function.oid)
    if found is None and is_open_function(catalog, function.oid):
        return
    word = "function"
    if isinstance(found, Routine):
        state.dependencies[found.oid] = found.version
        word = "procedure" if found.kind == "p" else "function"
    state.privileges[Privilege(word, function.oid, function.name, "EXECUTE", None, 0)] = None


def _fit(level: Level, argument: Expr, oid: int, tree: FunctionCall, index: int) -> Expr:
    state = level.state
    if oid == ANY:
        return settle(state, argument) if isinstance(argument, UnknownLiteral) else argument
    at = tree.arguments[index] if index < len(tree.arguments) else tree
    found = coerce(state, argument, oid, position=location(at))
    if found is None:
        raise _no_function(level, tree, [argument])
    return found


def _node(
    level: Level,
    tree: FunctionCall,
    function: AnyFunction,
    arguments: tuple[Expr, ...],
    result: int,
    ordered: list[SortKey],
    *,
    spread: bool,
) -> Expr:
    state = level.state
    collation = collation_of(state, arguments, result)
    compare = input_collation(arguments)
    shown = ".".join(tree.name)
    if tree.over is not None:
        return bind_window_call(level, tree, function, arguments, result, shown)
    if isinstance(function, SqlWindowFunction):
        raise SqlError(
            "42809",
            f"window function {function.name} requires an OVER clause",
            position=tree.position,
        )
    if isinstance(function, SqlAggregate):
        return bind_aggregate(
            level, tree, function, arguments, result, ordered, spread=spread, shown=shown
        )
    _plain_only(tree, shown)
    if function.returns_set:
        if level.clause not in SET_CLAUSES:
            raise SqlError(
                "0A000",
                f"set-returning functions are not allowed in {level.clause}",
                position=tree.position,
            )
        level.set_returning = True
        return SetReturningCall(function, arguments, result, -1, collation, compare, spread)
    form = CallForm.SQL_SYNTAX if tree.sql_syntax else CallForm.FUNCTION
    return Call(function, arguments, result, -1, collation, compare, spread, form)


def _plain_only(tree: FunctionCall, shown: str) -> None:
    """42809 when aggregate syntax stands at a function that is none."""
    what = ""
    if tree.star:
        what = f"{shown}(*) specified, but {shown} is not an aggregate function"
    elif tree.distinct:
        what = f"DISTINCT specified, but {shown} is not an aggregate function"
    elif tree.within_group:
        what = f"WITHIN GROUP specified, but {shown} is not an aggregate function"
    elif tree.order_by:
        what = f"ORDER BY specified, but {shown} is not an aggregate function"
    elif tree.filter is not None:
        what = f"FILTER specified, but {shown} is not an aggregate function"
    if what:
        raise SqlError("42809", what, position=tree.position)
