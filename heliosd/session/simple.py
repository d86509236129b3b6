"""Simple query: one text, any number of statements, one implicit transaction."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING

from helios_protocol import messages as m
from helios_protocol.encode import EMPTY_QUERY_RESPONSE, encode
from heliosd.errors import SqlError
from heliosd.execute.program import PlanIsStale
from heliosd.session.block import BlockState
from heliosd.session.fast import learn_template, template_reader
from heliosd.session.plain import is_point
from heliosd.session.statement_cache import Prepared
from heliosd.sql.lexer import tokenize
from heliosd.sql.parser import parse_statements, parse_tokens
from heliosd.sql.template import Templated, make_template

if TYPE_CHECKING:
    from heliosd.session.links import LinkedSession
    from heliosd.sql.tree import Statement


def on_query(session: LinkedSession, text: str) -> None:
    """Run every statement of the text. Raises `SqlError`; the caller answers and ends it."""
    session.check_statement_size(text)
    session.current_text = text
    session.multi_statement = False
    session.statements.drop("")
    cached = session.statement_cache().find(text, ())
    if cached is not None:
        ran = run_statement(session, text, cached.tree, cached, ())
        if is_point(ran):
            # Perhaps it came by Parse before; from now on its Query frame is known.
            session.statement_cache().put_frame(encode(m.Query(text), session.wire.codec), ran)
    else:
        _run_text(session, text)
    session.block.finish_implicit()


def _run_text(session: LinkedSession, text: str) -> None:
    """A text that is not known to the letter: by its template, or statement by statement."""
    tokens = tokenize(text)
    taken = make_template(tokens)
    if taken is not None:
        prepared = _template(session, taken)
        if prepared is not None:
            parameters = _parameters(session, taken, prepared)
            if parameters is not None:
                ran = run_statement(session, prepared.text, prepared.tree, prepared, parameters)
                learn_template(session, text, taken, ran)
                return
    statements = parse_tokens(tokens)
    if not statements:
        session.send(EMPTY_QUERY_RESPONSE)
    session.multi_statement = len(statements) > 1
    for statement in statements:
        run_statement(session, text, statement, None, ())


def _template(session: LinkedSession, taken: Templated) -> Prepared | None:
    """The template's statement; None where its texts must be prepared one by one.

    What fails with parameters fails again without them, in the right words and at the right
    place, or does not fail: then the template is not fit.
    """
    cache = session.statement_cache()
    if taken.text in cache.unfit:
        return None
    prepared = cache.find(taken.text, taken.types)
    if prepared is not None and session.is_current(prepared):
        return prepared
    if session.block.state is BlockState.FAILED:
        return None
    try:
        statements = parse_statements(taken.text)
        if len(statements) != 1:
            cache.put_unfit(taken.text)
            return None
        prepared = session.make_prepared(taken.text, statements[0], taken.types)
    except SqlError:
        cache.put_unfit(taken.text)
        return None
    if len(prepared.program.parameter_types) != len(taken.types):
        cache.put_unfit(taken.text)
        return None
    cache.put(prepared)
    return prepared


def _parameters(
    session: LinkedSession, taken: Templated, prepared: Prepared
) -> tuple[object, ...] | None:
    """The text's literals as parameters; None when one is not a value of its type."""
    try:
        return template_reader(session, prepared, taken.types)(taken.values, session.eval)
    except SqlError:
        return None


def run_statement(
    session: LinkedSession,
    text: str,
    tree: Statement,
    prepared: Prepared | None,
    parameters: tuple[object, ...],
) -> Prepared:
    """One statement through the chain; what it ran by in the end."""
    started_ns = perf_counter_ns()
    session.admission.enter()
    given = prepared.given_types if prepared is not None else ()
    while True:
        prepared = authorize(session, text, tree, prepared, given)
        if len(prepared.program.parameter_types) != len(parameters):
            raise SqlError("42P02", "there is no parameter $1")
        try:
            session.execution.run(prepared, parameters, ())
            break
        except PlanIsStale:
            # It waited for a table's lock, and the table is another now.
            prepared = None
    session.accounting.leave(prepared.program, started_ns)
    return prepared


def authorize(
    session: LinkedSession,
    text: str,
    tree: Statement,
    prepared: Prepared | None,
    given: tuple[int, ...],
) -> Prepared:
    """The statement prepared and current, allowed here; kept for the next time.

    A failed block refuses before the statement's names are looked up, as PostgreSQL does.
    """
    if prepared is None:
        session.authorization.check_failed(tree)
    while prepared is None or not session.authorization.enter(prepared):
        prepared = session.make_prepared(text, tree, given)
        if not session.multi_statement:
            cache = session.statement_cache()
            cache.put(prepared)
            if is_point(prepared) and not given:
                cache.put_frame(encode(m.Query(text), session.wire.codec), prepared)
    return prepared
