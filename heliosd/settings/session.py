"""Settings of a session: PostgreSQL's names, meanings and defaults."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from helios_protocol.text import find_codec
from heliosd.errors import SqlError, not_supported
from heliosd.settings.registry import Setting, SettingContext

INTERNAL = SettingContext.INTERNAL
SUPERUSER = SettingContext.SUPERUSER
_MAX = 2147483647
_ISOLATIONS = ("serializable", "repeatable read", "read committed", "read uncommitted")
_LEVELS = ("debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error")
_ORDERS = {
    "dmy": "DMY",
    "euro": "DMY",
    "european": "DMY",
    "mdy": "MDY",
    "us": "MDY",
    "noneuro": "MDY",
    "noneuropean": "MDY",
    "ymd": "YMD",
}
_STYLES = {"iso": "ISO", "sql": "SQL", "postgres": "Postgres", "german": "German"}


def check_datestyle(text: str) -> str:
    """Canonical `STYLE, ORDER`; parts that are absent keep PostgreSQL's defaults. 22023."""
    style, order = "", ""
    for part in text.replace(",", " ").lower().split():
        if part in _STYLES:
            style = _STYLES[part]
        elif part in _ORDERS:
            order = _ORDERS[part]
        elif part == "default":
            style, order = style or "ISO", order or "MDY"
        else:
            raise SqlError("22023", f'invalid value for parameter "DateStyle": "{text}"')
    return f"{style or 'ISO'}, {order or ('DMY' if style == 'German' else 'MDY')}"


# A zone by its rule (POSIX's TZ): a name, hours west, and perhaps the same for summer.
_POSIX_ZONE: Final = re.compile(
    r"(?:<[A-Za-z0-9+-]*>|[A-Za-z]*)[+-]?\d{1,2}(?::\d{1,2}){0,2}"
    r"(?:(?:<[A-Za-z0-9+-]+>|[A-Za-z]+)(?:[+-]?\d{1,2}(?::\d{1,2}){0,2})?(?:,[-+,./:0-9JMjm]+)?)?",
    re.ASCII,
)


def check_timezone(text: str) -> str:
    """A zone of the IANA database, or an offset in hours. Raises 22023."""
    if text.upper() in ("UTC", "GMT", "ZULU", "Z"):
        return "UTC" if text.upper() in ("UTC", "ZULU", "Z") else "GMT"
    if text.lower() in ("local", "default"):
        return "UTC"
    try:
        if -24 < float(text) < 24:
            hours = float(text)
            minutes = round(abs(hours) * 60)
            sign = "+" if hours >= 0 else "-"
            shown = f"{minutes // 60:02d}" + (f":{minutes % 60:02d}" if minutes % 60 else "")
            return f"<{sign}{shown}>{'-' if hours >= 0 else '+'}{shown}"
    except ValueError:
        pass  # not a number: a zone name
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        lowered = text.lower()
        from zoneinfo import available_timezones

        for known in available_timezones():
            if known.lower() == lowered:
                return known
        if _POSIX_ZONE.fullmatch(text) is not None:
            return text.upper()
        raise SqlError("22023", f'invalid value for parameter "TimeZone": "{text}"') from None


def check_client_encoding(text: str) -> str:
    """The canonical name of an encoding; 22023 for none, 0A000 for one without a converter."""
    codec = find_codec(text)
    if codec is not None:
        return codec.name
    plain = "".join(filter(str.isalnum, text.upper()))
    refused = SqlError("22023", f'invalid value for parameter "client_encoding": "{text}"')
    if plain == "MULEINTERNAL":
        refused.detail = "Conversion between MULE_INTERNAL and UTF8 is not supported."
    elif plain == "EUCTW":
        raise not_supported(f'client_encoding "{text}"')
    raise refused


class SessionSettings:
    """Settings that a session may see or change by SET."""

    # Reported to the client whenever they change (protocol, ParameterStatus).
    application_name = Setting(
        "", "The application's name, shown in pg_stat_activity.", reported=True
    )
    client_encoding = Setting(
        "UTF8", "The client's character set encoding.", reported=True, check=check_client_encoding
    )
    date_style = Setting(
        "ISO, MDY",
        "How dates are shown and ambiguous ones are read.",
        sql_name="DateStyle",
        reported=True,
        check=check_datestyle,
    )
    interval_style = Setting(
        "postgres",
        "How intervals are shown.",
        sql_name="IntervalStyle",
        choices=("postgres", "postgres_verbose", "sql_standard", "iso_8601"),
        reported=True,
    )
    timezone = Setting(
        "UTC",
        "The zone in which timestamps are shown and read.",
        sql_name="TimeZone",
        reported=True,
        check=check_timezone,
    )
    standard_conforming_strings = Setting(
        True, "Backslashes in '...' are ordinary characters.", only=(True,), reported=True
    )
    default_transaction_read_only = Setting(False, "New transactions are read-only.", reported=True)
    in_hot_standby = Setting(
        False, "Whether this server is a replica.", context=INTERNAL, reported=True
    )
    integer_datetimes = Setting(
        True, "Timestamps are 64-bit integers.", context=INTERNAL, reported=True
    )
    is_superuser = Setting(
        False, "Whether the current role is a superuser.", context=INTERNAL, reported=True
    )
    server_encoding = Setting("UTF8", "The database's encoding.", context=INTERNAL, reported=True)
    server_version = Setting(
        "15.8 (heliosd 0.1.0)",
        "The PostgreSQL version whose answers we give.",
        context=INTERNAL,
        reported=True,
    )
    server_version_num = Setting(150008, "server_version as a number.", context=INTERNAL)
    session_authorization = Setting("", "The session's role.", context=INTERNAL, reported=True)

    # Names and transactions.
    search_path = Setting('"$user", public', "Schemas searched for names without a schema.")
    role = Setting("none", "The current role, or none.")
    default_transaction_isolation = Setting(
        "read committed", "Isolation of new transactions.", choices=_ISOLATIONS
    )
    default_transaction_deferrable = Setting(False, "New transactions are deferrable.")
    transaction_isolation = Setting(
        "read committed", "Isolation of this transaction.", choices=_ISOLATIONS
    )
    transaction_read_only = Setting(False, "This transaction is read-only.")
    transaction_deferrable = Setting(False, "This transaction is deferrable.")
    row_security = Setting(True, "Row-level security applies; off: an error instead.")
    session_replication_role = Setting(
        "origin",
        "Which triggers fire.",
        context=SUPERUSER,
        choices=("origin", "replica", "local"),
        only=("origin",),
    )
    synchronous_commit = Setting(
        "on",
        "Commits wait for the log (always: none is lost).",
        choices=("local", "remote_write", "remote_apply", "on", "off"),
    )

    # Bounds on waiting and memory.
    statement_timeout = Setting(
        0, "Longest run of a statement; 0 has no bound.", unit="ms", minimum=0, maximum=_MAX
    )
    lock_timeout = Setting(
        0, "Longest wait for a lock; 0 has no bound.", unit="ms", minimum=0, maximum=_MAX
    )
    deadlock_timeout = Setting(
        1000,
        "Deadlocks are found at once; kept for clients that show it.",
        unit="ms",
        minimum=1,
        maximum=_MAX,
        context=SUPERUSER,
    )
    idle_in_transaction_session_timeout = Setting(
        0, "Longest idle time inside a transaction block.", unit="ms", minimum=0, maximum=_MAX
    )
    idle_session_timeout = Setting(
        0, "Longest idle time outside a transaction block.", unit="ms", minimum=0, maximum=_MAX
    )
    work_mem = Setting(4096, "Memory of one sort or hash.", unit="kB", minimum=64, maximum=_MAX)
    maintenance_work_mem = Setting(
        65536, "Memory of index builds.", unit="kB", minimum=1024, maximum=_MAX
    )
    statement_memory = Setting(
        256,
        "Memory that one statement may hold (53200 beyond).",
        unit="MB",
        minimum=1,
        maximum=_MAX,
        context=SettingContext.START,
        own=True,
    )
    temp_file_limit = Setting(
        5242880,
        "Temporary space of one session.",
        unit="kB",
        minimum=-1,
        maximum=_MAX,
        context=SUPERUSER,
    )

    # How values are shown and read.
    bytea_output = Setting("hex", "How bytea is shown.", choices=("escape", "hex"))
    extra_float_digits = Setting(1, "Digits of floating-point output.", minimum=-15, maximum=3)
    array_nulls = Setting(True, "NULL in array input means NULL.")
    xmlbinary = Setting("base64", "How bytea is shown in XML.", choices=("base64", "hex"))
    xmloption = Setting("content", "How XML is read.", choices=("content", "document"))
    backslash_quote = Setting(
        "safe_encoding",
        "Whether \\' is allowed in strings.",
        choices=("safe_encoding", "on", "off"),
    )
    escape_string_warning = Setting(True, "Warn about backslashes in ordinary strings.")
    transform_null_equals = Setting(False, "Read expr = NULL as expr IS NULL.", only=(False,))
    synchronize_seqscans = Setting(
        True, "Scans share their place in a table; they never do here, so each starts at its head."
    )
    quote_all_identifiers = Setting(False, "Quote all identifiers when SQL is generated.")
    lc_messages = Setting("C.UTF-8", "Language of messages.", context=SUPERUSER)
    lc_monetary = Setting("C.UTF-8", "Locale of money.")
    lc_numeric = Setting("C.UTF-8", "Locale of numbers.")
    lc_time = Setting("C.UTF-8", "Locale of dates.")
    lc_collate = Setting("C.UTF-8", "The database's order of text.", context=INTERNAL)
    lc_ctype = Setting("C.UTF-8", "The database's character classes.", context=INTERNAL)
    timezone_abbreviations = Setting("Default", "The set of zone abbreviations.")
    default_text_search_config = Setting("pg_catalog.simple", "Default text search configuration.")
    client_min_messages = Setting("notice", "Least severe message sent.", choices=_LEVELS)

    # Logging knobs that clients set; what is logged is the server's decision.
    log_statement = Setting(
        "none",
        "Which statements are logged.",
        context=SUPERUSER,
        choices=("none", "ddl", "mod", "all"),
    )
    log_min_messages = Setting(
        "warning",
        "Least severe message logged.",
        context=SUPERUSER,
        choices=(*_LEVELS, "fatal", "panic"),
    )
    log_min_duration_statement = Setting(
        -1,
        "Statements slower than this are logged.",
        unit="ms",
        minimum=-1,
        maximum=_MAX,
        context=SUPERUSER,
    )
    log_duration = Setting(False, "Log each statement's duration.", context=SUPERUSER)

    # Planner.
    default_statistics_target = Setting(100, "Size of ANALYZE's samples.", minimum=1, maximum=10000)
    seq_page_cost = Setting(1.0, "Cost of a page read in order.", minimum=0, maximum=1e10)
    random_page_cost = Setting(4.0, "Cost of a page read at random.", minimum=0, maximum=1e10)
    cpu_tuple_cost = Setting(0.01, "Cost of one row.", minimum=0, maximum=1e10)
    cpu_index_tuple_cost = Setting(0.005, "Cost of one index entry.", minimum=0, maximum=1e10)
    cpu_operator_cost = Setting(0.0025, "Cost of one operator.", minimum=0, maximum=1e10)
    effective_cache_size = Setting(524288, "Assumed cache.", unit="8kB", minimum=1, maximum=_MAX)
    enable_seqscan = Setting(True, "Plan sequential scans.")
    enable_indexscan = Setting(True, "Plan index scans.")
    enable_indexonlyscan = Setting(True, "Plan index-only scans.")
    enable_bitmapscan = Setting(True, "Plan bitmap scans.")
    enable_tidscan = Setting(True, "Plan TID scans.")
    enable_sort = Setting(True, "Plan sorts.")
    enable_incremental_sort = Setting(True, "Plan incremental sorts.")
    enable_hashagg = Setting(True, "Plan hashed aggregation.")
    enable_hashjoin = Setting(True, "Plan hash joins.")
    enable_mergejoin = Setting(True, "Plan merge joins.")
    enable_nestloop = Setting(True, "Plan nested loops.")
    enable_material = Setting(True, "Plan materialization.")
    enable_memoize = Setting(True, "Plan memoization.")
    enable_gathermerge = Setting(True, "Plan gather merges.")
    enable_parallel_append = Setting(True, "Plan parallel appends.")
    enable_parallel_hash = Setting(True, "Plan parallel hashes.")
    enable_partition_pruning = Setting(True, "Prune partitions.")
    enable_partitionwise_join = Setting(False, "Join partition by partition.")
    enable_partitionwise_aggregate = Setting(False, "Aggregate partition by partition.")
    max_parallel_workers_per_gather = Setting(
        0, "Parallel workers of a plan.", minimum=0, maximum=1024
    )
    force_parallel_mode = Setting("off", "Force parallel plans.", choices=("off", "on", "regress"))
    from_collapse_limit = Setting(8, "Subqueries merged into FROM.", minimum=1, maximum=_MAX)
    join_collapse_limit = Setting(8, "Joins reordered.", minimum=1, maximum=_MAX)
    geqo = Setting(True, "Genetic search of join orders.")
    constraint_exclusion = Setting(
        "partition", "Use CHECK to exclude tables.", choices=("partition", "on", "off")
    )
    jit = Setting(False, "Just-in-time compilation.")
    plan_cache_mode = Setting(
        "auto",
        "Generic or custom plans.",
        choices=("auto", "force_generic_plan", "force_custom_plan"),
    )
    column_programs = Setting(
        "auto",
        "Run subplans over many rows by columns: where it costs less, wherever possible, never.",
        choices=("auto", "on", "off"),
        own=True,
    )
    debug_rules_off = Setting("", "Planner rules skipped, by name.", own=True, context=SUPERUSER)
    debug_verify = Setting(
        False, "Verify trees and plans after each step.", own=True, context=SUPERUSER
    )

    # Objects.
    ddl_role = Setting(
        "",
        "DDL is reserved to members of this role and superusers; empty: PostgreSQL's rules alone.",
        own=True,
        context=SUPERUSER,
    )
    default_tablespace = Setting("", "Tablespace of new objects.", only=("",))
    temp_tablespaces = Setting("", "Tablespaces of temporary objects.", only=("",))
    default_table_access_method = Setting("heap", "Access method of new tables.")
    default_toast_compression = Setting(
        "pglz", "Compression of large values.", choices=("pglz", "lz4")
    )
    check_function_bodies = Setting(True, "Check function bodies when they are made.")
    temp_buffers = Setting(
        1024, "Memory of temporary tables.", unit="8kB", minimum=100, maximum=_MAX
    )
    password_encryption = Setting(
        "scram-sha-256",
        "How passwords are stored.",
        choices=("md5", "scram-sha-256"),
        only=("scram-sha-256",),
    )
    scram_iterations = Setting(
        16384, "Iterations of new SCRAM verifiers.", minimum=4096, maximum=1000000
    )
    password_min_length = Setting(
        12,
        "Fewest characters of a new password.",
        minimum=1,
        maximum=1024,
        context=SUPERUSER,
        own=True,
    )
    password_refuse_common = Setting(
        True, "Passwords that are tried first are refused.", context=SUPERUSER, own=True
    )
    password_history = Setting(
        5,
        "Last passwords of a role that it cannot have again.",
        minimum=0,
        maximum=24,
        context=SUPERUSER,
        own=True,
    )
    password_prehashed = Setting(
        True,
        "Take passwords that the client has hashed (nobody can judge those).",
        context=SUPERUSER,
        own=True,
    )
    password_overlap = Setting(
        604800,
        "Time that RETAIN CURRENT PASSWORD keeps the old one, unless it says FOR.",
        unit="s",
        minimum=1,
        maximum=31622400,
        own=True,
    )

    # Facts about the server.
    max_identifier_length = Setting(63, "Longest identifier in bytes.", context=INTERNAL)
    max_index_keys = Setting(32, "Most columns of an index.", context=INTERNAL)
    max_function_args = Setting(100, "Most arguments of a function.", context=INTERNAL)
    block_size = Setting(8192, "Size of a page.", context=INTERNAL)
    data_checksums = Setting(True, "Pages are authenticated.", context=INTERNAL)
    wal_level = Setting(
        "replica",
        "What the log holds.",
        context=SettingContext.START,
        choices=("minimal", "replica", "logical"),
    )
    fsync = Setting(True, "Commits reach the disk (always).", context=INTERNAL)
    full_page_writes = Setting(True, "Torn pages cannot occur.", context=INTERNAL)
    ssl = Setting(True, "TLS is on.", context=INTERNAL)
