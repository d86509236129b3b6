"""Settings: declarations, reading and showing, sources, a session's layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliosd.errors import SqlError
from heliosd.settings.server import ServerSettings
from heliosd.settings.session import SessionSettings
from heliosd.settings.sources import ConfigurationError, load_configuration, make_registry
from heliosd.settings.state import SessionSettingsState

REGISTRY = make_registry()


def session() -> SessionSettingsState:
    return SessionSettingsState(REGISTRY, {})


def refused(call: object, sqlstate: str) -> str:
    assert callable(call)
    with pytest.raises(SqlError) as caught:
        call()
    assert caught.value.sqlstate == sqlstate
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("statement_timeout", "90s", "90s"),
        ("statement_timeout", "60000", "1min"),
        ("statement_timeout", "1.5s", "1500ms"),
        ("work_mem", "4MB", "4MB"),
        ("work_mem", "1048576", "1GB"),
        ("datestyle", "german", "German, DMY"),
        ("DateStyle", "sql, dmy", "SQL, DMY"),
        ("row_security", "of", "off"),
        ("TimeZone", "europe/berlin", "Europe/Berlin"),
        ("TimeZone", "utc", "UTC"),
        ("TimeZone", "-3", "<-03>+03"),
        ("client_encoding", "unicode", "UTF8"),
        ("IntervalStyle", "ISO_8601", "iso_8601"),
        ("my.own", "kept", "kept"),
    ],
)
def test_set_then_show(name: str, text: str, shown: str) -> None:
    state = session()
    state.set(name, text)
    assert state.show(name) == shown


@pytest.mark.parametrize(
    ("name", "text", "sqlstate"),
    [
        ("no_such_setting", "1", "42704"),
        ("helios.no_such", "1", "42704"),
        ("server_version", "16", "55P02"),
        ("max_connections", "5", "55P02"),
        ("work_mem", "1", "22023"),
        ("work_mem", "5 fortnights", "22023"),
        ("row_security", "o", "22023"),
        ("TimeZone", "Mars/Olympus", "22023"),
        ("client_encoding", "klingon", "22023"),
        ("client_encoding", "EUC_TW", "0A000"),
        ("standard_conforming_strings", "off", "0A000"),
        ("password_encryption", "md5", "0A000"),
        ("session_replication_role", "origin", "42501"),
    ],
)
def test_refusals(name: str, text: str, sqlstate: str) -> None:
    refused(lambda: session().set(name, text), sqlstate)


def test_set_local_and_rollback_and_savepoints() -> None:
    state = session()
    state.set("work_mem", "5MB")
    state.begin()
    state.set("work_mem", "6MB", local=True)
    state.begin()
    state.set("work_mem", "7MB")
    state.rollback_level()
    assert state.show("work_mem") == "6MB"
    state.commit()
    assert state.show("work_mem") == "5MB"
    state.begin()
    state.set("work_mem", "8MB")
    state.rollback()
    assert state.show("work_mem") == "5MB"
    state.reset("work_mem")
    assert state.show("work_mem") == "4MB"


def test_reported_settings_are_told_when_they_change() -> None:
    told: list[tuple[str, str]] = []
    state = SessionSettingsState(REGISTRY, {}, lambda name, shown: told.append((name, shown)))
    state.set("timezone", "Asia/Tokyo")
    state.set("work_mem", "5MB")
    state.reset("timezone")
    assert told == [("TimeZone", "Asia/Tokyo"), ("TimeZone", "UTC")]


def test_sources_in_order(tmp_path: Path) -> None:
    toml = tmp_path / "heliosd.toml"
    toml.write_text('cache_size = "256MB"\nlog_level = "debug"\nmax_connections = 7\n')
    found = load_configuration(
        {"HELIOSDB_LOG_LEVEL": "warning", "HELIOSDB_MAX_CONNECTIONS": "8"},
        {"log_level": "error"},
        toml,
    )
    assert found.value(ServerSettings.cache_size) == 256
    assert found.value(ServerSettings.max_connections) == 8
    assert found.value(ServerSettings.log_level) == "error"
    lines = "\n".join(found.lines())
    assert "max_connections = 8  (HELIOSDB_MAX_CONNECTIONS)" in lines
    assert "log_level = error  (--log-level)" in lines


def test_secrets_are_read_from_private_files_only_and_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("very-secret\n")
    secret.chmod(0o644)
    environment = {"HELIOSDB_ENCRYPTION_KEY_FILE": str(secret)}
    with pytest.raises(ConfigurationError, match="0644"):
        load_configuration(environment, {}, None)
    secret.chmod(0o600)
    found = load_configuration(environment, {}, None)
    assert found.value(ServerSettings.encryption_key) == "very-secret"
    assert "very-secret" not in "\n".join(found.lines())


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration({"HELIOSDB_LISTEN": "x", "HELIOSDB_CACHE_SIZE": "tiny"}, {}, None)
    assert "cache_size" in str(caught.value)


def test_every_setting_is_documented_and_its_default_is_its_own_reading() -> None:
    for setting in REGISTRY.values():
        assert setting.doc.endswith("."), setting.name
        assert setting.vartype in ("bool", "integer", "real", "string", "enum")
        if setting.choices:
            assert setting.default in setting.choices, setting.name


def test_unknown_toml_names_are_refused(tmp_path: Path) -> None:
    toml = tmp_path / "heliosd.toml"
    toml.write_text("no_such = 1\n")
    with pytest.raises(ConfigurationError, match="unknown setting no_such"):
        load_configuration({}, {}, toml)


def test_typed_values() -> None:
    state = session()
    timeout: int = state.value(SessionSettings.statement_timeout)
    assert timeout == 0
