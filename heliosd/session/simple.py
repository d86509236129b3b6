"""Simple query: one text, any number of statements, one implicit transaction."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from helios_protocol import messages as m
from helios_protocol.encode import EMPTY_QUERY_RESPONSE, encode
from heliosd.errors import SqlError
from heliosd.execute.program import PlanIsStale
from heliosd.session.fast import is_point
from heliosd.session.statement_cache import Prepared
from heliosd.sql.parser import parse_statements

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.sql.tree import Statement


def on_query(session: LinkedSession, text: str) -> None:
    """Run every statement of the text. Raises `SqlError`; the caller answers and ends it."""
    session.check_statement_size(text)
    session.current_text = text
    cached = session.statement_cache().find(text, ())
    if cached is not None:
        session.multi_statement = False
        run_statement(session, text, cached.tree, cached)
    else:
        statements = parse_statements(text)
        if not statements:
            session.send(EMPTY_QUERY_RESPONSE)
            session.block.finish_implicit()
            return
        session.multi_statement = len(statements) > 1
        for statement in statements:
            run_statement(session, text, statement, None)
    session.block.finish_implicit()


def run_statement(
    session: LinkedSession, text: str, tree: Statement, prepared: Prepared | None
) -> None:
    """One statement through the chain."""
    started_ns = perf_counter_ns()
    session.admission.enter()
    while True:
        prepared = authorize(session, text, tree, prepared)
        if prepared.program.parameter_types:
            raise SqlError("42P02", "there is no parameter $1")
        try:
            session.execution.run(prepared, (), ())
            break
        except PlanIsStale:
            # It waited for a table's lock, and the table is another now.
            prepared = None
    session.accounting.leave(prepared.program, started_ns)


def authorize(
    session: LinkedSession, text: str, tree: Statement, prepared: Prepared | None
) -> Prepared:
    """The statement prepared and current, allowed here; kept for the next time.

    A failed block refuses before the statement's names are looked up, as PostgreSQL does.
    """
    if prepared is None:
        session.authorization.check_failed(tree)
    while prepared is None or not session.authorization.enter(prepared):
        prepared = session.make_prepared(text, tree, ())
        if not session.multi_statement:
            cache = session.statement_cache()
            cache.put(prepared)
            if is_point(prepared):
                cache.put_frame(encode(m.Query(text), session.wire.codec), prepared)
    return prepared
