"""What each kind of object is to privileges: its words, its letters, its defaults, who may make it.

The one table behind GRANT, aclitems, `acldefault`, default privileges and the errors' words. A kind
that is not in `KINDS` cannot be made, granted on or checked; `tests/security/test_privileges_rules`
walks the catalog's classes and fails for one without its line. Kinds that are not built yet have
theirs already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class KindRule:
    """One kind of object.

    `words`: "permission denied for {words} x". `letters`: what ALL means. `extra`: letters that
    must be named (heliosd's UNMASK). `public`: what PUBLIC holds while nothing was granted.
    `code`: acldefault's letter. `default_code`: the letter in pg_default_acl, "" where ALTER
    DEFAULT PRIVILEGES does not reach. `creation`: what making one takes, in words.
    `owned`: whether objects of the kind have an owner of their own.
    """

    words: str
    letters: str = ""
    extra: str = ""
    public: str = ""
    code: str = ""
    default_code: str = ""
    creation: str = "CREATE on its schema"
    owned: bool = True


UNMASK: Final = "K"
"""heliosd's own: to see masked columns as they are. Nobody has it by owning or being superuser."""

_ON_TABLE: Final = "owner of its table"
_SUPERUSER: Final = "superuser"

KINDS: Final[Mapping[str, KindRule]] = MappingProxyType(
    {
        "table": KindRule("table", "arwdDxt", UNMASK, code="r", default_code="r"),
        "view": KindRule("view", "arwdDxt", code="r", default_code="r"),
        "materialized view": KindRule(
            "materialized view", "arwdDxt", UNMASK, code="r", default_code="r"
        ),
        "foreign table": KindRule("foreign table", "arwdDxt", UNMASK, code="r", default_code="r"),
        "column": KindRule("column", "arwx", UNMASK, code="c", creation=_ON_TABLE, owned=False),
        "sequence": KindRule("sequence", "rwU", code="s", default_code="S"),
        "index": KindRule("index", creation=f"{_ON_TABLE}, CREATE on its schema", owned=False),
        "schema": KindRule(
            "schema", "UC", UNMASK, code="n", default_code="n", creation="CREATE on the database"
        ),
        "database": KindRule(
            "database", "CTc", UNMASK, public="Tc", code="d", creation="CREATEDB attribute"
        ),
        "function": KindRule(
            "function", "X", public="X", code="f", default_code="f",
            creation="CREATE on its schema, USAGE on its language and types",
        ),
        "procedure": KindRule(
            "procedure", "X", public="X", code="f", default_code="f",
            creation="CREATE on its schema, USAGE on its language and types",
        ),
        "aggregate": KindRule(
            "aggregate", "X", public="X", code="f", default_code="f",
            creation="CREATE on its schema, EXECUTE on its functions, USAGE on its types",
        ),
        "language": KindRule("language", "U", public="U", code="l", creation=_SUPERUSER),
        "type": KindRule(
            "type", "U", public="U", code="T", default_code="T",
            creation="CREATE on its schema, USAGE on its types",
        ),
        "domain": KindRule(
            "type", "U", public="U", code="T", default_code="T",
            creation="CREATE on its schema, USAGE on its types",
        ),
        "tablespace": KindRule("tablespace", "C", code="t", creation=_SUPERUSER),
        "large object": KindRule("large object", "rw", code="L", creation="everybody"),
        "parameter": KindRule("parameter", "sA", code="p", creation=_SUPERUSER),
        "foreign-data wrapper": KindRule(
            "foreign-data wrapper", "U", code="F", creation=_SUPERUSER
        ),
        "foreign server": KindRule(
            "foreign server", "U", code="S", creation="USAGE on its foreign-data wrapper"
        ),
        "role": KindRule("role", creation="CREATEROLE attribute", owned=False),
        "statistics": KindRule("statistics object", creation=f"{_ON_TABLE}, CREATE on its schema"),
        "column statistics": KindRule("statistics", creation=_ON_TABLE, owned=False),
        "collation": KindRule("collation"),
        "conversion": KindRule("conversion"),
        "operator": KindRule("operator", creation="CREATE on its schema, EXECUTE on its function"),
        "operator class": KindRule("operator class", creation=_SUPERUSER),
        "operator family": KindRule("operator family", creation=_SUPERUSER),
        "text search configuration": KindRule("text search configuration"),
        "text search dictionary": KindRule("text search dictionary"),
        "policy": KindRule("policy", creation=_ON_TABLE, owned=False),
        "trigger": KindRule(
            "trigger", creation="TRIGGER on its table, EXECUTE on its function", owned=False
        ),
        "rule": KindRule("rule", creation=_ON_TABLE, owned=False),
        "event trigger": KindRule("event trigger", creation=_SUPERUSER),
        "extension": KindRule("extension", creation=_SUPERUSER),
        "publication": KindRule("publication", creation="CREATE on the database"),
        "subscription": KindRule("subscription", creation=_SUPERUSER),
        "default privileges": KindRule(
            "default privileges", creation="member of the role", owned=True
        ),
        "initial privileges": KindRule("privileges", creation="grant option", owned=False),
    }
)  # fmt: skip

CLASS_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Table": "table",
        "View": "view",
        "MaterializedView": "materialized view",
        "Sequence": "sequence",
        "IndexRelation": "index",
        "SystemView": "table",
        "Schema": "schema",
        "Database": "database",
        "Role": "role",
        "TypeObject": "type",
        "Routine": "function",
        "Function": "function",
        "Aggregate": "aggregate",
        "Language": "language",
        "Statistics": "column statistics",
        "DefaultPrivileges": "default privileges",
        "BuiltInAcl": "initial privileges",
    }
)
"""The class in catalog/objects.py of each kind that the catalog holds."""


def kind_of(cls: type) -> str:
    """The kind of a class of catalog objects, or of the nearest class that it derives from."""
    for each in cls.__mro__:
        found = CLASS_KINDS.get(each.__name__)
        if found is not None:
            return found
    raise KeyError(f"{cls.__name__} has no line in catalog/kinds.py")


def rule_of(cls: type) -> KindRule:
    """The rule of a class of catalog objects."""
    return KINDS[kind_of(cls)]
