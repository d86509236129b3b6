"""EXPLAIN [ANALYZE]: the plan of a statement, and with ANALYZE what it did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from heliosd.errors import SqlError
from heliosd.execute.compile import Compiled, compile_row_program
from heliosd.execute.explain import Describer, Options
from heliosd.execute.explain_formats import as_document, format_document, text_lines
from heliosd.execute.explain_text import ExpressionTexts
from heliosd.execute.planning import PlanServices, plan_bound
from heliosd.execute.program import CommandResult, ResultColumn, Row
from heliosd.execute.utility.evaluate import evaluate_as
from heliosd.execute.utility.registry import runs
from heliosd.security.authorize import check_privileges
from heliosd.security.rewrite import secure
from heliosd.settings.registry import Setting, show_value
from heliosd.settings.session import SessionSettings
from heliosd.sql.bind.statement import bind_statement
from heliosd.sql.tree.modify import Modification
from heliosd.sql.tree.query import Query
from heliosd.sql.tree.table import CreateTableAs
from heliosd.sql.tree.utility import DeclareCursor, Execute, Explain

if TYPE_CHECKING:
    from heliosd.execute.context import SessionServices
    from heliosd.execute.node_clock import NodeClock
    from heliosd.plan.physical import PhysicalNode
    from heliosd.sql.tree.base import Statement

_PLANNER_SETTINGS: Final = (
    "enable_", "cpu_", "seq_page_cost", "random_page_cost", "work_mem", "effective_cache_size",
    "jit", "plan_cache_mode", "helios.column_programs", "search_path", "join_collapse_limit",
)  # fmt: skip
TEXT: Final = 25
JSON: Final = 114
FORMATS: Final = frozenset({"text", "json", "yaml", "xml"})
_FLAGS: Final = frozenset(
    {"analyze", "verbose", "costs", "settings", "buffers", "wal", "timing", "summary",
     "generic_plan"}
)  # fmt: skip


def result_columns(statement: Explain, _session: Any) -> tuple[ResultColumn, ...]:
    """One column, QUERY PLAN, of the format's type."""
    options = read_options(statement)
    oid = JSON if options.format == "json" else TEXT
    return (ResultColumn("QUERY PLAN", oid),)


@runs(Explain, tag="EXPLAIN", columns=result_columns)
def explain(statement: Explain, session: SessionServices) -> CommandResult:
    """EXPLAIN: one row per line of text, or one document."""
    options = read_options(statement)
    planned = plan_statement(statement.statement, session)
    if planned is None:
        lines = ["Utility statements have no plan structure"]
        return _answer(statement, session, [(line,) for line in lines])
    counts: dict[int, NodeClock] | None = {} if options.analyze else None
    compiled = compile_row_program(
        planned.root,
        planned.outputs,
        planned.services,
        planned.services,
        counts,
        is_timed=options.timing,
    )
    pages = session.storage.cache.counters
    read_before = pages.misses
    seconds = _run(planned, compiled, session) if options.analyze else 0.0
    texts = ExpressionTexts(planned.root, planned.services)
    counted = {key: clock for key, clock in (counts or {}).items() if clock.starts}
    shown = Describer(texts.show, counted).describe(planned.root)
    if options.buffers:
        shown.blocks_read = pages.misses - read_before
    changed = changed_settings(session) if options.settings else {}
    summary = options.analyze if options.summary is None else options.summary
    if options.format == "text":
        lines = text_lines(shown, options)
        if options.verbose:
            lines += ["Row Program:", *("  " + x for x in compiled.source.splitlines())]
        if changed:
            listed = ", ".join(f"{name} = '{value}'" for name, value in changed.items())
            lines.append(f"Settings: {listed}")
        if summary:
            lines.append(f"Planning Time: {planned.seconds * 1000:.3f} ms")
            if options.analyze:
                lines.append(f"Execution Time: {seconds * 1000:.3f} ms")
        return _answer(statement, session, [(line,) for line in lines])
    document: dict[str, Any] = {"Plan": as_document(shown, options)}
    if options.verbose:
        document["Row Program"] = compiled.source
    if options.settings:
        document["Settings"] = changed
    if summary:
        document["Planning Time"] = round(planned.seconds * 1000, 3)
        if options.analyze:
            document["Execution Time"] = round(seconds * 1000, 3)
    return _answer(statement, session, [(format_document(document, options.format),)])


def changed_settings(session: SessionServices) -> dict[str, str]:
    """The planner's settings that are not what they are by default."""
    found: dict[str, str] = {}
    for setting in vars(SessionSettings).values():
        if isinstance(setting, Setting) and setting.name.startswith(_PLANNER_SETTINGS):
            value = session.settings.get(setting.name)
            if value != show_value(setting, setting.default):
                found[setting.name] = value
    return found


def _answer(statement: Explain, session: SessionServices, rows: list[tuple[str]]) -> CommandResult:
    batch: list[Row] = [*rows]
    return CommandResult("EXPLAIN", result_columns(statement, session), iter([batch]))


def read_options(statement: Explain) -> Options:
    """The options in force; 42601 for unknown ones, 22023 for contradictions."""
    flags: dict[str, bool] = {}
    form = "text"
    for option in statement.options:
        name = option.name.lower()
        if name == "format":
            form = str(option.value).lower()
            if form not in FORMATS:
                raise SqlError(
                    "22023",
                    f'unrecognized value for EXPLAIN option "format": "{form}"',
                    position=option.position,
                )
        elif name in _FLAGS:
            flags[name] = _flag(name, option.value)
        else:
            raise SqlError(
                "42601", f'unrecognized EXPLAIN option "{name}"', position=option.position
            )
    analyze = flags.get("analyze", False)
    for name in ("wal", "timing"):
        if flags.get(name) and not analyze:
            raise SqlError("22023", f"EXPLAIN option {name.upper()} requires ANALYZE")
    return Options(
        analyze=analyze,
        verbose=flags.get("verbose", False),
        costs=flags.get("costs", True),
        timing=flags.get("timing", analyze),
        buffers=flags.get("buffers", False),
        settings=flags.get("settings", False),
        summary=flags.get("summary"),
        format=form,
    )


def _flag(name: str, value: Any) -> bool:
    if value is None:
        return True
    word = str(value).lower()
    if word in ("true", "on", "1"):
        return True
    if word in ("false", "off", "0"):
        return False
    raise SqlError("42601", f"{name} requires a Boolean value")


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement's plan, with the parameters that it is explained with."""

    root: PhysicalNode
    outputs: tuple[Any, ...]
    services: PlanServices
    parameters: tuple[Any, ...]
    seconds: float


def plan_statement(statement: Statement, session: SessionServices) -> Planned | None:
    """Plan a statement as it would run now; None for those without a plan."""
    parameters, types = session.parameters, session.parameter_types
    if isinstance(statement, Execute):
        program = session.prepared.get(statement.name)
        if program is None:
            return None
        types = program.parameter_types
        parameters = evaluate_as(session, statement.arguments, types)
        inner = program.statement
        if not isinstance(inner, Query | Modification):
            return None
        statement = inner
    elif isinstance(statement, CreateTableAs | DeclareCursor):
        return plan_statement(statement.query, session)
    if not isinstance(statement, Query | Modification):
        return None
    start = time.perf_counter()
    scope = session.bind_scope(types)
    services = PlanServices(scope, session.storage.row_count)
    bound = secure(bind_statement(statement, scope), scope)
    check_privileges(scope.catalog, scope.role, bound.privileges)
    root, outputs = plan_bound(bound, services)
    return Planned(root, outputs, services, parameters, time.perf_counter() - start)


def _run(planned: Planned, compiled: Compiled, session: SessionServices) -> float:
    """Run it, throw its rows away, answer the seconds."""
    start = time.perf_counter()
    if compiled.modify is not None:
        compiled.modify(session.context, planned.parameters)
    else:
        assert compiled.rows is not None
        for _ in compiled.rows(session.context, planned.parameters):
            session.context.check_slice()
    return time.perf_counter() - start
