"""What the server is doing: pg_stat_activity, pg_locks, pg_settings, pg_prepared_statements ..."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from zoneinfo import available_timezones

from heliosd.catalog.acl import is_superuser, roles_of
from heliosd.catalog.effective_masks import masks_of
from heliosd.catalog.objects import (
    ColumnStatistics,
    Database,
    Role,
    Schema,
    Sequence,
    Statistics,
    Table,
)
from heliosd.catalog.row_security import is_restricted, shown_rows
from heliosd.catalog.views.declare import Row, catalog_view
from heliosd.catalog.views.values import array

if TYPE_CHECKING:
    from heliosd.catalog.views.context import SessionRow, ViewContext

PG_READ_ALL_STATS: Final = 3375
_HIDDEN: Final = "<insufficient privilege>"


@catalog_view("pg_stat_activity")
def pg_stat_activity(ctx: ViewContext) -> Iterator[Row]:
    """Sessions; another role's are shown without what they do unless pg_read_all_stats is held."""
    catalog, role = ctx.catalog, ctx.evaluation.current_role_oid
    mine = roles_of(catalog, role)
    everything = is_superuser(catalog, role) or PG_READ_ALL_STATS in mine
    for session in ctx.server.sessions():
        database = catalog.database_named(session.database) if session.database else None
        user = catalog.role(session.role) if session.role else None
        visible = everything or (user is not None and user.oid in mine)
        yield _activity(session, database, user, visible=visible)


def _activity(
    session: SessionRow, database: Database | None, user: Role | None, *, visible: bool
) -> Row:
    head = (
        None if database is None else database.oid, session.database, session.process_id, None,
        None if user is None else user.oid, session.role,
    )  # fmt: skip
    if not visible:
        return (*head, "", *(None,) * 13, _HIDDEN, None)
    return (
        *head, session.application_name, session.client_address, None, session.client_port,
        session.started, session.transaction_started, session.query_started,
        session.state_changed, session.wait_event_type, session.wait_event, session.state,
        session.transaction_id, None, None, session.query, session.kind,
    )  # fmt: skip


@catalog_view("pg_stat_ssl")
def pg_stat_ssl(ctx: ViewContext) -> Iterator[Row]:
    for session in ctx.server.sessions():
        version = "TLSv1.3" if session.tls else None
        bits = 256 if session.tls else None
        name, serial, issuer = session.certificate or (None, None, None)
        yield (
            session.process_id, session.tls, version, session.tls_cipher, bits, name,
            None if serial is None else Decimal(serial), issuer,
        )  # fmt: skip


@catalog_view("pg_locks")
def pg_locks(ctx: ViewContext) -> Iterator[Row]:
    for lock in ctx.server.locks():
        yield (
            lock.kind, ctx.catalog.database.oid, lock.relation, None, None, None, None,
            lock.class_id, lock.object_id, lock.sub_id, f"{lock.process_id}/0", lock.process_id,
            lock.mode, lock.granted, False, lock.waiting_since,
        )  # fmt: skip


@catalog_view("pg_settings")
def pg_settings(ctx: ViewContext) -> Iterator[Row]:
    yield from ctx.server.settings()


@catalog_view("pg_prepared_statements")
def pg_prepared_statements(ctx: ViewContext) -> Iterator[Row]:
    for prepared in ctx.server.prepared_statements():
        yield (
            prepared.name, prepared.statement, prepared.prepared_at,
            array(prepared.parameter_types), prepared.from_sql, 0, 0,
        )  # fmt: skip


@catalog_view("pg_cursors")
def pg_cursors(ctx: ViewContext) -> Iterator[Row]:
    for cursor in ctx.server.cursors():
        yield (
            cursor.name, cursor.statement, cursor.holdable, cursor.binary, cursor.scrollable,
            cursor.created_at,
        )  # fmt: skip


@catalog_view("pg_timezone_names")
def pg_timezone_names(ctx: ViewContext) -> Iterator[Row]:
    """Every zone with its offset from UTC now."""
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    now = epoch + timedelta(microseconds=ctx.evaluation.statement_us)
    for name in sorted(available_timezones()):
        local = now.astimezone(ZoneInfo(name))
        offset, saving = local.utcoffset() or timedelta(), local.dst() or timedelta()
        microseconds = offset // timedelta(microseconds=1)
        yield (name, local.tzname(), (0, 0, microseconds), bool(saving))


# -- statistics per object ----------------------------------------------------------------------


def _user_tables(ctx: ViewContext) -> Iterator[tuple[Table, str]]:
    for table in ctx.catalog.objects(Table):
        schema = ctx.catalog.of_kind(Schema, table.schema)
        yield table, "" if schema is None else schema.name


@catalog_view("pg_stat_all_tables")
@catalog_view("pg_stat_user_tables")
def pg_stat_user_tables(ctx: ViewContext) -> Iterator[Row]:
    catalog, role = ctx.catalog, ctx.evaluation.current_role_oid
    for table, schema in _user_tables(ctx):
        statistics = catalog.statistics(table.oid)
        analyzed = None if statistics is None else statistics.gathered_at
        rows = shown_rows(catalog, role, table, ctx.server.row_count(table.tree_id))
        yield (
            table.oid, schema, table.name, 0, 0, 0, 0, 0, 0, 0, 0,
            rows, 0, 0, 0, None, None, analyzed, None,
            0, 0, 0 if analyzed is None else 1, 0,
        )  # fmt: skip


@catalog_view("pg_stat_all_indexes")
@catalog_view("pg_stat_user_indexes")
def pg_stat_user_indexes(ctx: ViewContext) -> Iterator[Row]:
    for table, schema in _user_tables(ctx):
        for index in table.indexes:
            yield (table.oid, index.oid, schema, table.name, index.name, 0, 0, 0)


@catalog_view("pg_statio_all_tables")
@catalog_view("pg_statio_user_tables")
def pg_statio_user_tables(ctx: ViewContext) -> Iterator[Row]:
    for table, schema in _user_tables(ctx):
        yield (table.oid, schema, table.name, 0, 0, 0, 0, None, None, None, None)


@catalog_view("pg_statio_all_sequences")
@catalog_view("pg_statio_user_sequences")
def pg_statio_user_sequences(ctx: ViewContext) -> Iterator[Row]:
    for sequence in ctx.catalog.objects(Sequence):
        yield (sequence.oid, ctx.catalog.schema_name(sequence.schema), sequence.name, 0, 0)


@catalog_view("pg_stat_database")
def pg_stat_database(ctx: ViewContext) -> Iterator[Row]:
    connected: dict[str | None, int] = {}
    for session in ctx.server.sessions():
        connected[session.database] = connected.get(session.database, 0) + 1
    for database in ctx.catalog.objects(Database):
        yield (
            database.oid, database.name, connected.get(database.name, 0), *(0,) * 13, None, None,
            *(0.0,) * 5, *(0,) * 4, None,
        )  # fmt: skip


@catalog_view("pg_stats")
def pg_stats(ctx: ViewContext) -> Iterator[Row]:
    """What ANALYZE found, in tables whose rows the role may read. Nothing of masked values."""
    from heliosd.catalog.acl import SELECT, has_column_privilege, has_unmask

    catalog, role = ctx.catalog, ctx.evaluation.current_role_oid
    for statistics in catalog.objects(Statistics):
        table = catalog.table(statistics.table)
        if is_restricted(catalog, role, table):
            # Samples of rows that policies hide (CVE-2019-10130).
            continue
        schema = catalog.schema_name(table.schema)
        for found in statistics.columns:
            column = table.column(found.attnum)
            if column.dropped or not has_column_privilege(catalog, role, table, column, SELECT):
                continue
            if found.attnum in masks_of(catalog, table) and not has_unmask(
                catalog, role, table, column
            ):
                found = ColumnStatistics(attnum=found.attnum)
            yield (
                schema, table.name, column.name, False, found.null_fraction, found.width,
                found.distinct,
                array(found.common_values) if found.common_values else None,
                array(found.common_frequencies) if found.common_frequencies else None,
                array(found.histogram) if found.histogram else None,
                found.correlation, None, None, None,
            )  # fmt: skip
