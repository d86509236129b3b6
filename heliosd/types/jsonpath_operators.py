"""Asking documents by path: @?, @@ and the jsonb_path functions.

Those that compare with time zones end in _tz.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from heliosd.errors import SqlError
from heliosd.types.context import EvalContext
from heliosd.types.declare import Forms
from heliosd.types.json import dump
from heliosd.types.jsonpath import parsed_path
from heliosd.types.jsonpath_moment import PathMoment
from heliosd.types.jsonpath_run import PathError, is_found, run_path
from heliosd.types.registry import SqlType

forms: Final = Forms()
types: Final[tuple[SqlType, ...]] = ()


def _shown(item: Any) -> str:
    return dump(item.text() if isinstance(item, PathMoment) else _plain(item))


def _plain(item: Any) -> Any:
    """Moments inside of a document are texts."""
    if isinstance(item, PathMoment):
        return item.text()
    if isinstance(item, dict) and any(isinstance(v, PathMoment) for v in item.values()):
        return {key: _plain(value) for key, value in item.items()}
    return item


def _exists(
    ctx: EvalContext, document: str, path: str, variables: str, *, silent: bool, use_zone: bool
) -> bool | None:
    wanted = parsed_path(path)
    try:
        items = run_path(wanted, document, variables, ctx, use_zone=use_zone, existence=wanted.lax)
        return is_found(items) if wanted.lax else bool(list(items))
    except PathError:
        if silent:
            return None
        raise
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None


def _found(
    ctx: EvalContext, document: str, path: str, variables: str, *, silent: bool, use_zone: bool
) -> list[Any]:
    found: list[Any] = []
    try:
        wanted = parsed_path(path)
        for item in run_path(wanted, document, variables, ctx, use_zone=use_zone):
            found.append(item)
    except PathError:
        if not silent:
            raise
    except RecursionError:
        raise SqlError("54001", "stack depth limit exceeded") from None
    return found


def _match(
    ctx: EvalContext, document: str, path: str, variables: str, *, silent: bool, use_zone: bool
) -> bool | None:
    found = _found(ctx, document, path, variables, silent=silent, use_zone=use_zone)
    if len(found) == 1 and (found[0] is None or isinstance(found[0], bool)):
        return found[0]
    if silent:
        return None
    raise SqlError("22038", "single boolean result is expected")


@forms.function("jsonb_path_exists_opr(jsonb,jsonpath)", needs_context=True)
def jsonb_path_exists_opr(ctx: EvalContext, document: str, path: str) -> bool | None:
    """document @? path."""
    return _exists(ctx, document, path, "{}", silent=True, use_zone=False)


@forms.function("jsonb_path_match_opr(jsonb,jsonpath)", needs_context=True)
def jsonb_path_match_opr(ctx: EvalContext, document: str, path: str) -> bool | None:
    """document @@ path."""
    return _match(ctx, document, path, "{}", silent=True, use_zone=False)


def _declare(suffix: str, *, use_zone: bool) -> None:
    def declare(name: str, compute: Callable[..., Any]) -> None:
        def call(
            ctx: EvalContext,
            document: str,
            path: str,
            variables: str,
            silent: bool,  # noqa: FBT001
        ) -> Any:
            return compute(ctx, document, path, variables, silent=silent, use_zone=use_zone)

        signature = f"jsonb_path_{name}{suffix}(jsonb,jsonpath,jsonb,bool)"
        forms.function(signature, needs_context=True)(call)

    def query(*arguments: Any, **named: Any) -> Iterator[str]:
        return map(_shown, _found(*arguments, **named))

    def query_array(*arguments: Any, **named: Any) -> str:
        return "[" + ", ".join(map(_shown, _found(*arguments, **named))) + "]"

    def query_first(*arguments: Any, **named: Any) -> str | None:
        found = _found(*arguments, **named)
        return _shown(found[0]) if found else None

    declare("exists", _exists)
    declare("match", _match)
    declare("query", query)
    declare("query_array", query_array)
    declare("query_first", query_first)


_declare("", use_zone=False)
_declare("_tz", use_zone=True)
