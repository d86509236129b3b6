"""Extended query: Parse, Bind, Describe, Execute, Close, Flush, Sync.

All messages up to one Sync share an implicit transaction. After an error the wire drops what comes
before that Sync (`wire.fail()`); the Sync is answered by ReadyForQuery, always.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from helios_protocol import messages as m
from helios_protocol.encode import (
    BIND_COMPLETE,
    CLOSE_COMPLETE,
    EMPTY_QUERY_RESPONSE,
    NO_DATA,
    PARSE_COMPLETE,
    PORTAL_SUSPENDED,
    command_complete,
    encode,
)
from heliosd.errors import PROTOCOL_VIOLATION, SYNTAX_ERROR, SqlError, not_supported
from heliosd.execute.program import PlanIsStale
from heliosd.session.chain.execution import encoder_of, make_encoder
from heliosd.session.clock import now_us
from heliosd.session.plain import is_point
from heliosd.session.portal import Portal, no_such_portal
from heliosd.session.prepared import NamedStatement
from heliosd.session.results import make_parameter_reader, resolve_formats
from heliosd.sql.parser import parse_statements

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.session.statement_cache import Prepared


def on_parse(session: LinkedSession, message: m.Parse) -> None:
    """A prepared statement. Equal texts share one program across sessions."""
    session.multi_statement = False
    text, given = message.text, message.parameter_types
    session.check_statement_size(text)
    if message.statement:
        session.statements.check_free(message.statement)
    else:
        session.statements.drop("")
    cache = session.statement_cache()
    prepared = cache.find(text, given)
    if prepared is None or not session.is_current(prepared):
        prepared = _prepare(session, text, given)
        if prepared is not None:
            cache.put(prepared)
    else:
        session.authorization.check_failed(prepared.tree)
    if prepared is not None and not message.statement and is_point(prepared):
        cache.put_frame(encode(message, session.wire.codec), prepared)
    session.statements.put(
        NamedStatement(message.statement, text, prepared, given, now_us(), from_sql=False)
    )
    session.send(PARSE_COMPLETE)


def _prepare(session: LinkedSession, text: str, given: tuple[int, ...]) -> Prepared | None:
    """None for an empty text. 42601 for several statements."""
    _check_types(session, given)
    statements = parse_statements(text)
    if not statements:
        return None
    if len(statements) > 1:
        raise SqlError(SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement")
    session.authorization.check_failed(statements[0])
    session.block.open()
    return session.make_prepared(text, statements[0], given)


def _check_types(session: LinkedSession, given: tuple[int, ...]) -> None:
    """42704 for a parameter type that is not there."""
    catalog = session.catalog
    for oid in given:
        known = not oid or oid in session.catalog.types.by_oid
        if not known and catalog.by_oid(oid) is None and catalog.owner_of_part(oid) is None:
            raise SqlError("42704", f"type with OID {oid} does not exist")


def on_bind(session: LinkedSession, message: m.Bind) -> None:
    """A portal over a prepared statement."""
    statement = session.statements.get(message.statement)
    values = message.parameters
    prepared = statement.prepared
    if prepared is None:
        _check_count(statement, len(values), 0)
        session.portals.close(message.portal)
        session.portals.add(Portal(message.portal, None, (), (), now_us()))
        session.send(BIND_COMPLETE)
        return
    session.authorization.check_failed(prepared.tree)
    session.block.open()
    prepared = session.current_prepared(statement)
    parameters = read_parameters(session, statement, prepared, message.parameter_formats, values)
    formats = message.result_formats
    if prepared.program.columns is not None:
        resolve_formats(formats, len(prepared.program.columns))
    if not message.portal:
        session.portals.close("")
    session.portals.add(Portal(message.portal, prepared, parameters, formats, now_us()))
    session.send(BIND_COMPLETE)


def read_parameters(
    session: LinkedSession,
    statement: NamedStatement,
    prepared: Prepared,
    formats: tuple[int, ...],
    values: tuple[bytes | None, ...] | list[bytes | None],
) -> tuple[object, ...]:
    """A Bind's values as Python values."""
    types = prepared.program.parameter_types
    _check_count(statement, len(values), len(types))
    key = (formats, session.wire.codec.name)
    reader = prepared.readers.get(key)
    if reader is None:
        reader = make_parameter_reader(types, formats, session.catalog.types, session.wire.codec)
        prepared.readers[key] = reader
    return reader(values, session.eval)


def _check_count(statement: NamedStatement, given: int, wanted: int) -> None:
    if given != wanted:
        raise SqlError(
            PROTOCOL_VIOLATION,
            f"bind message supplies {given} parameters, but prepared statement "
            f'"{statement.name}" requires {wanted}',
        )


def on_describe(session: LinkedSession, message: m.Describe) -> None:
    """Of a statement: its parameters and columns; of a portal: its columns."""
    if message.kind == "S":
        statement = session.statements.get(message.name)
        if statement.prepared is None:
            session.send(encode(m.ParameterDescription(())))
            session.send(NO_DATA)
            return
        prepared = session.current_prepared(statement)
        session.send(encode(m.ParameterDescription(prepared.program.parameter_types)))
        _describe_columns(session, prepared, ())
        return
    portal = session.portals.get(message.name)
    if portal is None:
        raise no_such_portal(message.name)
    if portal.prepared is None:
        session.send(NO_DATA)
    elif portal.columns is not None:
        formats = resolve_formats(portal.formats, len(portal.columns))
        session.send(make_encoder(session, portal.columns, formats)[0])
    else:
        _describe_columns(session, portal.prepared, portal.formats)


def _describe_columns(session: LinkedSession, prepared: Prepared, formats: tuple[int, ...]) -> None:
    if prepared.program.columns is None:
        session.send(NO_DATA)
    else:
        session.send(encoder_of(session, prepared, formats)[0])


def on_execute(session: LinkedSession, message: m.Execute) -> None:
    """Run a portal, or go on with it."""
    portal = session.portals.get(message.portal)
    if portal is None:
        raise no_such_portal(message.portal)
    prepared = portal.prepared
    if prepared is None:
        session.send(EMPTY_QUERY_RESPONSE)
        return
    if portal.done:
        _run_again(session, portal)
        return
    started_ns = perf_counter_ns()
    session.admission.enter()
    session.current_text = prepared.text
    session.multi_statement = False
    if portal.rows is None:
        _refresh(session, portal, prepared)
    else:
        session.authorization.check_failed(prepared.tree)
    while True:
        try:
            tag = session.execution.run_portal(portal, message.rows_max)
            break
        except PlanIsStale:
            # It waited for a table's lock, and the table is another now.
            _renew(session, portal, prepared)
    session.send(PORTAL_SUSPENDED if tag is None else command_complete(tag))
    if tag is not None:
        session.accounting.leave(prepared.program, started_ns)


def _refresh(session: LinkedSession, portal: Portal, prepared: Prepared) -> None:
    """Between Bind and Execute a privilege may have gone (S-14), or a table changed."""
    if not session.authorization.enter(prepared):
        _renew(session, portal, prepared)


def _renew(session: LinkedSession, portal: Portal, prepared: Prepared) -> None:
    fresh = session.make_prepared(prepared.text, prepared.tree, prepared.given_types)
    if fresh.program.parameter_types != prepared.program.parameter_types:
        raise SqlError("0A000", "cached plan must not change result type")
    portal.prepared = fresh
    portal.close()
    portal.done = False
    session.authorization.enter(fresh)


def _run_again(session: LinkedSession, portal: Portal) -> None:
    """A finished portal gives no more rows; one that returns none cannot run twice."""
    assert portal.prepared is not None
    if portal.prepared.program.columns is None:
        raise SqlError("55000", f'portal "{portal.name}" cannot be run')
    session.send(command_complete(portal.prepared.program.command_tag(0)))


def on_close(session: LinkedSession, message: m.Close) -> None:
    """Close what may or may not be there."""
    if message.kind == "S":
        session.statements.drop(message.name)
    else:
        session.portals.close(message.name)
    session.send(CLOSE_COMPLETE)


def on_function_call(session: LinkedSession, message: m.FunctionCall) -> None:
    """The old interface is known and refused."""
    raise not_supported("the function call protocol")
