"""Settings of the server: heliosd.toml, HELIOSDB_* variables and the command line."""

from __future__ import annotations

from heliosd.settings.registry import Setting, SettingContext

START = SettingContext.START
RELOAD = SettingContext.RELOAD
_MAX = 2147483647


class ServerSettings:
    """Settings read when the server starts (`postmaster`) or at a reload (`sighup`)."""

    # Where it lives and listens.
    data_dir = Setting(
        "./data", "The data directory (mode 0700).", context=START, sql_name="data_directory"
    )
    listen = Setting(
        "127.0.0.1:5432",
        "HOST:PORT of the wire protocol; empty listens on no address.",
        context=START,
        own=True,
    )
    http = Setting(
        "127.0.0.1:8080",
        "HOST:PORT of metrics and health; empty turns it off.",
        context=START,
        own=True,
    )
    unix_socket_directory = Setting(
        "",
        "Directory of the unix socket; empty turns it off.",
        context=START,
        sql_name="unix_socket_directories",
    )
    superuser = Setting(
        "postgres", "The superuser that the first start creates.", context=START, own=True
    )
    password = Setting(
        "", "The superuser's password at the first start.", context=START, secret=True, own=True
    )
    allow_root = Setting(False, "Run as root all the same.", context=START, own=True)

    # Encryption at rest.
    encryption_key = Setting(
        "", "The 32-byte wrapping key, base64 or hex.", context=START, secret=True, own=True
    )

    # TLS.
    tls_required = Setting(
        "always",
        "Plaintext TCP: never, or from loopback only (remote).",
        context=START,
        choices=("always", "remote"),
        own=True,
    )
    tls_certificate = Setting(
        "", "PEM file of the server's chain; empty: a local authority.", context=START, own=True
    )
    tls_private_key = Setting("", "PEM file of the server's key.", context=START, own=True)

    tls_client_authority = Setting(
        "",
        "PEM file of authorities whose client certificates are taken; empty: none are.",
        context=RELOAD,
        own=True,
    )
    tls_client_revocations = Setting(
        "",
        "PEM file of those authorities' revocation lists, looked at before each handshake.",
        context=RELOAD,
        own=True,
    )

    # Who may log in, and how.
    host_rules = Setting(
        "",
        "Host-based rules, as pg_hba.conf has them; empty: those of hba_file, or a password.",
        context=START,
        own=True,
    )
    hba_file = Setting("", "File of host-based rules.", context=RELOAD)
    ident_map = Setting("", "User name maps, as pg_ident.conf has them.", context=START, own=True)
    ident_file = Setting("", "File of user name maps.", context=RELOAD)
    login_lockout = Setting(True, "Failed logins make the next ones wait.", context=START, own=True)
    password_max_age = Setting(
        0,
        "Days after which a password is as expired; 0 has no bound.",
        unit="d",
        minimum=0,
        maximum=36500,
        context=START,
        own=True,
    )
    jwt_key_set = Setting(
        "", "JWKS file of the keys that sign tokens; empty: none are taken.", context=RELOAD,
        own=True,
    )  # fmt: skip
    jwt_issuer = Setting("", "The issuer that tokens must name.", context=START, own=True)
    jwt_audience = Setting("", "The audience that tokens must name.", context=START, own=True)
    jwt_role_claim = Setting(
        "sub", "The claim that names the role, or what ident_map maps.", context=START, own=True
    )

    # Memory and the log.
    column_cache_size = Setting(
        128,
        "Budget of tables' columns in memory, for column programs.",
        unit="MB",
        minimum=0,
        maximum=_MAX,
        context=START,
    )
    column_memory = Setting(
        256,
        "Memory of one column program; beyond it the statement runs by rows.",
        unit="MB",
        minimum=16,
        maximum=_MAX,
        context=START,
    )
    cache_size = Setting(
        128,
        "Budget of pages in memory.",
        unit="MB",
        minimum=16,
        maximum=_MAX,
        context=START,
        own=True,
    )
    checkpoint_log_size = Setting(
        32,
        "A checkpoint starts after this much log.",
        unit="MB",
        minimum=1,
        maximum=1024,
        context=START,
        own=True,
    )
    checkpoint_timeout = Setting(
        60,
        "A checkpoint starts after this time.",
        unit="s",
        minimum=1,
        maximum=86400,
        context=START,
    )

    # Connections.
    max_connections = Setting(
        1000, "Most connections at once.", minimum=1, maximum=262143, context=START
    )
    superuser_reserved_connections = Setting(
        3, "Connections kept for superusers.", minimum=0, maximum=262143, context=START
    )
    authentication_timeout = Setting(
        10, "Longest login.", unit="s", minimum=1, maximum=600, context=RELOAD
    )
    unauthenticated_per_address = Setting(
        256,
        "Connections of one address that are not logged in.",
        minimum=1,
        maximum=_MAX,
        context=START,
        own=True,
    )
    unauthenticated_total = Setting(
        4096,
        "Connections that are not logged in.",
        minimum=1,
        maximum=_MAX,
        context=START,
        own=True,
    )
    shutdown_grace = Setting(
        20,
        "Time that running statements get at a shutdown.",
        unit="s",
        minimum=0,
        maximum=3600,
        context=START,
        own=True,
    )

    # Rate limits (token buckets); max_requests per window_duration, burst_capacity at once.
    max_requests = Setting(
        12000000,
        "Statements of one key in a window.",
        minimum=1,
        maximum=_MAX,
        context=RELOAD,
        own=True,
    )
    window_duration = Setting(
        60, "The window.", unit="s", minimum=1, maximum=86400, context=RELOAD, own=True
    )
    burst_capacity = Setting(
        500000, "Statements of one key at once.", minimum=1, maximum=_MAX, context=RELOAD, own=True
    )
    key_extractor = Setting(
        "role",
        "Whose bucket a statement draws from.",
        context=RELOAD,
        choices=("client_ip", "role", "database"),
        own=True,
    )
    login_max_requests = Setting(
        60000,
        "Logins of one address in a window.",
        minimum=1,
        maximum=_MAX,
        context=RELOAD,
        own=True,
    )
    login_burst_capacity = Setting(
        2000, "Logins of one address at once.", minimum=1, maximum=_MAX, context=RELOAD, own=True
    )
    http_max_requests = Setting(
        1000,
        "HTTP requests of one address in a window.",
        minimum=1,
        maximum=_MAX,
        context=RELOAD,
        own=True,
    )
    http_burst_capacity = Setting(
        100,
        "HTTP requests of one address at once.",
        minimum=1,
        maximum=_MAX,
        context=RELOAD,
        own=True,
    )

    # Logs.
    log_level = Setting(
        "info",
        "Least severe line of the server's log.",
        context=RELOAD,
        choices=("debug", "info", "warning", "error"),
        own=True,
    )
