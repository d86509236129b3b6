"""CREATE FUNCTION and PROCEDURE, ALTER FUNCTION, DO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from helios_storage.locks import TableLockMode
from heliosd.catalog import acl
from heliosd.catalog.objects import Routine
from heliosd.catalog.state import name_key
from heliosd.errors import SqlError, not_supported
from heliosd.execute.utility.names import (
    creation_schema,
    current_role_oid,
    is_superuser,
    lock_object,
    require_language,
    require_owner,
)
from heliosd.execute.utility.registry import runs
from heliosd.execute.utility.routine_body import body_references, check_body, has_polymorphic
from heliosd.execute.utility.routine_names import require_routine
from heliosd.execute.utility.routine_parameters import (
    check_replaced,
    make_parameters,
    result_of,
)
from heliosd.execute.utility.settings import setting_text
from heliosd.sql.tree.base import NumericText, Option
from heliosd.sql.tree.routine import AlterFunction, CreateFunction
from heliosd.sql.tree.utility import Do, SetKind, SetVariable

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices

SQL_LANGUAGE: Final = 14
"""pg_language's oid."""
_VOLATILITY: Final = {"immutable": "i", "stable": "s", "volatile": "v"}
_PARALLEL: Final = {"safe": "s", "restricted": "r", "unsafe": "u"}


@runs(CreateFunction, tag="CREATE FUNCTION", writes=True, audit="ddl")
def create_function(statement: CreateFunction, session: SessionServices) -> str:
    """CREATE [OR REPLACE] FUNCTION | PROCEDURE in SQL."""
    schema = creation_schema(session, statement.name)
    options = statement.options
    body = _body(statement)
    require_language(session, SQL_LANGUAGE, "sql")
    parameters, references = make_parameters(session, statement)
    result, returns_set = result_of(session, statement, parameters)
    edit = session.catalog_edit()
    routine = Routine(
        oid=0,
        name=statement.name.name,
        owner=current_role_oid(session),
        database=session.catalog.database.oid,
        schema=schema.oid,
        kind="p" if statement.procedure else "f",
        parameters=parameters,
        result=result,
        returns_set=returns_set,
        body=body,
        atomic=statement.body is not None,
        path=session.search_path.schemas if statement.body is not None else (),
        references=references,
    )
    routine = with_options(session, routine, options)
    if routine.atomic:
        known = (*routine.references, *body_references(session, routine))
        routine = replace(routine, references=tuple(dict.fromkeys(known)))
    edit.transaction.lock_object(("name", *name_key(routine)), TableLockMode.EXCLUSIVE)
    existing = session.catalog.by_name(name_key(routine))
    if isinstance(existing, Routine) and statement.or_replace:
        require_owner(session, existing)
        check_replaced(session, existing, routine)
        lock_object(session, existing.oid, TableLockMode.ACCESS_EXCLUSIVE)
        made = edit.replace(
            existing,
            replace(
                routine,
                oid=existing.oid,
                owner=existing.owner,
                acl=existing.acl,
                comment=existing.comment,
            ),
        )
    else:
        made = edit.create(replace(routine, oid=edit.new_oid()))
    # Only now: a body may call its own routine.
    if not made.atomic and session.settings.get("check_function_bodies") == "on":
        check_body(session, made, only_syntax=has_polymorphic(made))
    return "CREATE PROCEDURE" if statement.procedure else "CREATE FUNCTION"


def _body(statement: CreateFunction) -> str:
    """The body's text; 42P13 and 0A000 for languages and forms that are not there."""
    given = {option.name: option for option in _once(statement.options)}
    language = given.get("language")
    name = "sql" if language is None else str(language.value).lower()
    if "transform" in given:
        raise not_supported("TRANSFORM FOR TYPE")
    if "window" in given:
        raise not_supported("a window function made by users")
    code = given.get("as")
    if language is None and statement.body is None:
        raise SqlError("42P13", "no language specified")
    if name in ("plpgsql", "internal", "c", "plperl", "plpython3u", "pltcl"):
        raise not_supported(f'language "{name}"')
    if name != "sql":
        raise SqlError("42704", f'language "{name}" does not exist')
    if code is None and statement.body is None:
        raise SqlError("42P13", "no function body specified")
    if code is not None and statement.body is not None:
        raise SqlError("42P13", "duplicate function body specified")
    if code is None:
        return statement.body_text
    texts = code.value
    assert isinstance(texts, tuple)
    if len(texts) > 1:
        raise SqlError("42P13", 'only one AS item needed for language "sql"')
    return str(texts[0])


def _once(options: Sequence[Option]) -> Sequence[Option]:
    """42601 for an option given twice (SET may be)."""
    seen: set[str] = set()
    for option in options:
        if option.name == "set":
            continue
        if option.name in seen:
            raise SqlError("42601", "conflicting or redundant options", position=option.position)
        seen.add(option.name)
    return options


def with_options(session: SessionServices, routine: Routine, options: Sequence[Option]) -> Routine:
    """The routine with these options; 42P13 for what a procedure cannot have."""
    settings = dict(routine.settings)
    changes: dict[str, Any] = {}
    for option in _once(options):
        value = option.value
        if routine.kind == "p" and option.name not in ("as", "language", "set", "security"):
            raise SqlError(
                "42P13", "invalid attribute in procedure definition", position=option.position
            )
        match option.name:
            case "volatility":
                changes["volatility"] = _VOLATILITY[str(value)]
            case "strict":
                changes["strict"] = bool(value)
            case "security":
                changes["security_definer"] = bool(value)
            case "leakproof":
                if value and not is_superuser(session):
                    raise SqlError("42501", "only superuser can define a leakproof function")
                changes["leakproof"] = bool(value)
            case "cost":
                changes["cost"] = _positive("COST", value)
            case "rows":
                if not routine.returns_set:
                    raise SqlError(
                        "22023",
                        "ROWS is not applicable when function does not return a set",
                    )
                changes["rows"] = _positive("ROWS", value)
            case "parallel":
                if value not in _PARALLEL:
                    raise SqlError(
                        "42601",
                        'parameter "parallel" must be SAFE, RESTRICTED, or UNSAFE',
                    )
                changes["parallel"] = _PARALLEL[str(value)]
            case "support":
                raise not_supported("SUPPORT functions")
            case "set":
                assert isinstance(value, SetVariable)
                _set_clause(session, settings, value)
    if routine.returns_set and not routine.rows and "rows" not in changes:
        changes["rows"] = 1000.0
    return replace(routine, settings=tuple(settings.items()), **changes)


def _positive(word: str, value: object) -> float:
    number = float(value.text) if isinstance(value, NumericText) else float(str(value))
    if number <= 0:
        raise SqlError("22023", f"{word} must be positive")
    return number


def _set_clause(session: SessionServices, settings: dict[str, str], clause: SetVariable) -> None:
    name = clause.name.lower()
    match clause.kind:
        case SetKind.RESET_ALL:
            settings.clear()
        case SetKind.RESET | SetKind.DEFAULT:
            settings.pop(name, None)
        case SetKind.CURRENT:
            settings[name] = session.settings.get(name)
        case SetKind.VALUE:
            text = setting_text(clause)
            if name in ("role", "session_authorization"):
                raise not_supported(f"SET {name} of a function")
            session.settings.check(name, text)
            settings[name] = text


@runs(AlterFunction, tag="ALTER FUNCTION", writes=True, audit="ddl")
def alter_function(statement: AlterFunction, session: SessionServices) -> str:
    """ALTER FUNCTION | PROCEDURE | ROUTINE options."""
    routine = require_routine(session, statement.kind, statement.object)
    if not acl.is_owner(session.catalog, current_role_oid(session), routine):
        name = ".".join(statement.object.parts)
        raise SqlError("42501", f"must be owner of {acl.kind_words(routine)} {name}")
    lock_object(session, routine.oid, TableLockMode.ACCESS_EXCLUSIVE)
    changed = with_options(session, routine, statement.options)
    session.catalog_edit().replace(routine, changed)
    return f"ALTER {statement.kind.value.upper()}"


@runs(Do, tag="DO", writes=False)
def do_block(statement: Do, session: SessionServices) -> None:
    """DO runs code of procedural languages; there is none."""
    del session
    raise not_supported(f'DO in language "{statement.language or "plpgsql"}"')
