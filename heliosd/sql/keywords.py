"""PostgreSQL 15's keywords and the classes that say where each may stand as a name."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNRESERVED: Final = _words("""
    abort absolute access action add admin after aggregate also alter always asensitive
    assertion assignment at atomic attach attribute backward before begin breadth by cache call
    called cascade cascaded catalog chain characteristics checkpoint class close cluster columns
    comment comments commit committed compression configuration conflict connection constraints
    content continue conversion copy cost csv cube current cursor cycle data database day
    deallocate declare defaults deferred definer delete delimiter delimiters depends depth
    detach dictionary disable discard document domain double drop each enable encoding encrypted
    enum escape event exclude excluding exclusive execute explain expression extension external
    family filter finalize first following force forward function functions generated global
    granted groups handler header hold hour identity if immediate immutable implicit import
    include including increment index indexes inherit inherits inline input insensitive insert
    instead invoker isolation key label language large last leakproof level listen load local
    location lock locked logged mapping match matched materialized maxvalue merge method minute
    minvalue mode month move name names new next nfc nfd nfkc nfkd no normalized nothing notify
    nowait nulls object of off oids old operator option options ordinality others over
    overriding owned owner parallel parameter parser partial partition passing password plans
    policy preceding prepare prepared preserve prior privileges procedural procedure procedures
    program publication quote range read reassign recheck recursive ref referencing refresh
    reindex relative release rename repeatable replace replica reset restart restrict return
    returns revoke role rollback rollup routine routines rows rule savepoint schema schemas
    scroll search second security sequence sequences serializable server session set sets share
    show simple skip snapshot sql stable standalone start statement statistics stdin stdout
    storage stored strict strip subscription support sysid system tables tablespace temp
    template temporary text ties transaction transform trigger truncate trusted type types
    uescape unbounded uncommitted unencrypted unknown unlisten unlogged until update vacuum
    valid validate validator value varying version view views volatile whitespace within without
    work wrapper write xml year yes zone
""")

# May name columns and tables, but no functions and types: their calls have their own syntax.
COL_NAME: Final = _words("""
    between bigint bit boolean char character coalesce dec decimal exists extract float greatest
    grouping inout int integer interval least national nchar none normalize nullif numeric out
    overlay position precision real row setof smallint substring time timestamp treat trim
    values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse
    xmlpi xmlroot xmlserialize xmltable
""")

# May name functions and types, but no columns and tables.
TYPE_FUNC_NAME: Final = _words("""
    authorization binary collation concurrently cross current_schema freeze full ilike inner is
    isnull join left like natural notnull outer overlaps right similar tablesample verbose
""")

RESERVED: Final = _words("""
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create current_catalog current_date current_role current_time current_timestamp
    current_user default deferrable desc distinct do else end except false fetch for foreign
    from grant group having in initially intersect into lateral leading limit localtime
    localtimestamp not null offset on only or order placing primary references returning select
    session_user some symmetric table then to trailing true union unique user using variadic
    when where window with
""")

# Need AS before them as a column label.
AS_LABEL: Final = _words("""
    array as char character create day except fetch filter for from grant group having hour
    intersect into isnull limit minute month notnull offset on order over overlaps precision
    returning second to union varying where window with within without year
""")

KEYWORDS: Final = UNRESERVED | COL_NAME | TYPE_FUNC_NAME | RESERVED

# Token kinds that the grammar's name classes accept. "IDENT" is a word that is no keyword.
COL_ID: Final = UNRESERVED | COL_NAME | {"IDENT"}
TYPE_FUNCTION_NAME: Final = UNRESERVED | TYPE_FUNC_NAME | {"IDENT"}
NON_RESERVED_WORD: Final = UNRESERVED | COL_NAME | TYPE_FUNC_NAME | {"IDENT"}
COL_LABEL: Final = KEYWORDS | {"IDENT"}
BARE_COL_LABEL: Final = (KEYWORDS - AS_LABEL) | {"IDENT"}

# What a word most often looks like, to its keyword: one lookup instead of lower() and a lookup.
SPELLINGS: Final = {word: word for word in KEYWORDS} | {word.upper(): word for word in KEYWORDS}
