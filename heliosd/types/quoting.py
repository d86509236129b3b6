"""Names as SQL text: quoted exactly where PostgreSQL's quote_identifier quotes them."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = """
all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
boolean both case cast char character check coalesce collate collation column concurrently
constraint create cross current_catalog current_date current_role current_schema
current_time current_timestamp current_user dec decimal default deferrable desc distinct do
else end except exists extract false fetch float for foreign freeze from full grant greatest
group grouping having ilike in initially inner inout int integer intersect interval into is
isnull join lateral leading least left like limit localtime localtimestamp national natural
nchar none normalize not notnull null nullif numeric offset on only or order out outer
overlaps overlay placing position precision primary real references returning right row
select session_user setof similar smallint some substring symmetric table tablesample then
time timestamp to trailing treat trim true union unique user using values varchar variadic
verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_KEYWORDS: Final = frozenset(_WORDS.split())
"""All words that are not unreserved: they need quotes somewhere, so they always get them."""

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_]*").fullmatch


def quote_identifier(name: str) -> str:
    """`name`, in double quotes unless it is a plain lower-case identifier and no keyword."""
    if _PLAIN(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def quote_qualified(schema: str, name: str) -> str:
    """`schema.name`, each quoted as needed."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def quote_literal(text: str) -> str:
    """A string constant; E'' when it holds a backslash, as PostgreSQL's quote_literal."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return "E" + quoted if "\\" in text else quoted
