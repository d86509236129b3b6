"""client_encoding: texts, parameters, names and errors in the client's own encoding."""

from __future__ import annotations

import psycopg
import pytest

from tests.server import Server

ENCODINGS = {
    "LATIN1": "é",
    "LATIN2": "ł",
    "LATIN9": "€",
    "WIN1251": "Ж",
    "WIN1252": "–",
    "KOI8R": "ж",
    "ISO_8859_7": "Ω",
    "EUC_JP": "日本語",
    "SJIS": "日本語",
    "EUC_KR": "한국",
    "UHC": "한국",
    "BIG5": "中文",
    "GBK": "中文",
    "GB18030": "中文🙂",
    "EUC_CN": "中文",
    "JOHAB": "한국",
}


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_texts_pass_both_ways(server: Server, name: str) -> None:
    """Literals, text parameters, binary ones, results of both formats, names of columns."""
    text = ENCODINGS[name]
    with psycopg.connect(server.conninfo(), client_encoding=name, autocommit=True) as session:
        assert session.info.parameter_status("client_encoding") == name
        found = session.execute(f"select '{text}' as \"{text}\"")
        assert found.description is not None
        assert found.description[0].name == text
        assert found.fetchone() == (text,)
        for _ in range(3):  # by a template that is known, too
            assert session.execute(f"select length('{text}')").fetchone() == (len(text),)
        for binary in (False, True):
            row = session.execute("select %t, %b::text", (text, text), binary=binary).fetchone()
            assert row == (text, text)
        assert session.execute("select '{\"a\": 1}'::jsonb", binary=True).fetchone() == ({"a": 1},)


def test_set_takes_effect_at_once_and_rolls_back(server: Server) -> None:
    """What follows in the same exchange is written by it; a rollback restores it."""
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        pg = session.pgconn
        result = pg.exec_(b"set client_encoding = 'LATIN1'; select chr(233)")
        assert result.get_value(0, 0) == b"\xe9"
        pg.exec_(b"reset client_encoding")
        pg.exec_(b"begin; set client_encoding = 'LATIN1'")
        assert pg.exec_(b"select chr(233)").get_value(0, 0) == b"\xe9"
        pg.exec_(b"rollback")
        assert pg.exec_(b"select chr(233)").get_value(0, 0) == "é".encode()


def test_what_cannot_be_converted_is_refused(server: Server) -> None:
    """22021 for bad bytes, 22P05 for characters that the other side does not have."""
    with psycopg.connect(server.conninfo(), autocommit=True) as session:
        pg = session.pgconn

        def state(query: bytes) -> bytes | None:
            return pg.exec_(query).error_field(psycopg.pq.DiagnosticField.SQLSTATE)

        pg.exec_(b"set client_encoding = 'LATIN1'")
        assert state(b"select chr(8364)") == b"22P05"
        pg.exec_(b"set client_encoding = 'EUC_JP'")
        assert state(b"select '\xa4'") == b"22021"
        pg.exec_(b"set client_encoding = 'WIN1252'")
        assert state(b"select '\x81'") == b"22P05"
        pg.exec_(b"set client_encoding = 'UTF8'")
        assert state(b"select '\xff'") == b"22021"
        assert state(b"set client_encoding = 'bogus'") == b"22023"
        assert pg.exec_(b"select 1").get_value(0, 0) == b"1"
