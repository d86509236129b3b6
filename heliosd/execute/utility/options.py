"""WITH (...) of tables, indexes and views: checked, kept, shown in reloptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from heliosd.errors import SqlError
from heliosd.sql.tree.base import NumericText, Option, QualifiedName, TypeName

BOOLEAN: Final = "boolean"

TABLE_OPTIONS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "fillfactor": (10, 100),
        "parallel_workers": (0, 1024),
        "toast_tuple_target": (128, 8160),
        "autovacuum_enabled": BOOLEAN,
        "user_catalog_table": BOOLEAN,
        "vacuum_truncate": BOOLEAN,
        "vacuum_index_cleanup": None,
        "autovacuum_vacuum_threshold": (0, 2147483647),
        "autovacuum_vacuum_insert_threshold": (-1, 2147483647),
        "autovacuum_analyze_threshold": (0, 2147483647),
        "autovacuum_vacuum_scale_factor": (0, 100),
        "autovacuum_vacuum_insert_scale_factor": (0, 100),
        "autovacuum_analyze_scale_factor": (0, 100),
        "autovacuum_vacuum_cost_delay": (-1, 100),
        "autovacuum_vacuum_cost_limit": (1, 10000),
        "autovacuum_freeze_min_age": (0, 1000000000),
        "autovacuum_freeze_max_age": (100000, 2000000000),
        "autovacuum_freeze_table_age": (0, 2000000000),
        "autovacuum_multixact_freeze_min_age": (0, 1000000000),
        "autovacuum_multixact_freeze_max_age": (10000, 2000000000),
        "autovacuum_multixact_freeze_table_age": (0, 2000000000),
        "log_autovacuum_min_duration": (-1, 2147483647),
    }
)
"""What PostgreSQL accepts, with bounds. Storage here packs pages by itself: the values are kept
for tools that read them back, and change nothing."""

INDEX_OPTIONS: Final[Mapping[str, object]] = MappingProxyType(
    {"fillfactor": (10, 100), "deduplicate_items": BOOLEAN}
)


def option_text(option: Option) -> str:
    """The value as text; an option without one is true."""
    match option.value:
        case None:
            return "true"
        case bool():
            return "true" if option.value else "false"
        case NumericText():
            return option.value.text
        case QualifiedName():
            return ".".join(option.value.parts)
        case TypeName():
            return option.value.names[-1]
        case str() | int():
            return str(option.value)
    raise SqlError("22023", f'invalid value for option "{option.name}"')


def boolean_value(name: str, text: str) -> bool:
    """on/off, true/false, yes/no, 1/0; 22023 otherwise."""
    word = text.lower()
    if word in ("true", "on", "yes", "1"):
        return True
    if word in ("false", "off", "no", "0"):
        return False
    raise SqlError("22023", f'invalid value for boolean option "{name}": {text}')


def storage_options(
    options: Sequence[Option], known: Mapping[str, object]
) -> tuple[tuple[str, str], ...]:
    """(name, text) of each option: 22023 for unknown ones and values out of bounds."""
    kept: dict[str, str] = {}
    for option in options:
        if option.namespace not in (None, "toast"):
            raise SqlError("22023", f'unrecognized parameter namespace "{option.namespace}"')
        if option.name == "oids" and known is TABLE_OPTIONS:
            if boolean_value("oids", option_text(option)):
                raise SqlError("0A000", "tables declared WITH OIDS are not supported")
            continue
        if option.name not in known:
            raise SqlError("22023", f'unrecognized parameter "{option.name}"')
        if option.name in kept:
            raise SqlError("22023", f'parameter "{option.name}" specified more than once')
        text = option_text(option)
        _check(option.name, text, known[option.name])
        if option.namespace is None:
            kept[option.name] = text
    return tuple(kept.items())


def _check(name: str, text: str, rule: object) -> None:
    if rule == BOOLEAN:
        boolean_value(name, text)
    elif isinstance(rule, tuple):
        low, high = rule
        try:
            number = float(text)
        except ValueError:
            raise SqlError("22023", f'invalid value for integer option "{name}": {text}') from None
        if not low <= number <= high:
            raise SqlError(
                "22023",
                f'value {text} out of bounds for option "{name}"',
                detail=f'Valid values are between "{low}" and "{high}".',
            )
