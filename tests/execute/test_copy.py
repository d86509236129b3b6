"""COPY: everything that a client can send or ask for, compared with a live PostgreSQL 15."""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest

from helios_protocol import messages
from helios_protocol.connection import Connection as Wire
from helios_protocol.connection import State
from helios_protocol.encode import copy_data as encode_copy
from heliosd.errors import SqlError
from heliosd.execute.copy.lines import RecordReader
from heliosd.execute.copy.options import CopyOptions
from tests.server import Server

Connection = psycopg.Connection[tuple[object, ...]]

_TABLES = """
    create table c_key (a int primary key, b text, c numeric(8,2), d timestamp);
    create table c_plain (i int2, j int8, x float8, s varchar(5), p char(4), d date, t bool);
    create table c_other (u uuid, r real, n numeric, y bytea, z timestamptz, ia int[], js jsonb);
    create table c_checked (
        a int primary key check (a > 0), b text not null default 'dflt', s serial,
        g int generated always as (a * 2) stored
    );
    create index on c_checked (b);
    create table c_two (a text, b int, primary key (a, b));
    create table c_child (k int references c_key (a), v text);
    create table c_none ();
    create table c_wide (
        i int2, b bool, t text, j int8 primary key, d date, m timestamp, c char(5), v varchar(9)
    );
    create table c_indexed (a int primary key, b text, c int, d int unique);
    create index on c_indexed (b desc, c);
    create view c_view as select a from c_key;
    create sequence c_seq;
"""


_ALL = "c_key, c_plain, c_other, c_checked, c_two, c_child, c_none, c_indexed, c_wide"


@pytest.fixture(scope="module")
def pair(server: Server, postgres_dsn: str) -> Iterator[tuple[Connection, Connection]]:
    """Ours and PostgreSQL, with the same tables."""
    ours = server.connect()
    theirs = psycopg.connect(postgres_dsn, autocommit=True)
    for connection in (ours, theirs):
        connection.execute("create schema copying")
        connection.execute("set search_path = copying")
        connection.execute("set timezone = 'UTC'")
        for statement in _TABLES.split(";"):
            if statement.strip():
                connection.execute(statement)
    yield ours, theirs
    for connection in (ours, theirs):
        connection.execute("drop schema copying cascade")
        connection.close()


def outcome(connection: Connection, statement: str, data: bytes | None) -> tuple[object, ...]:
    """What one COPY gives: its tag and data, or the error's fields."""
    try:
        with connection.cursor() as cursor:
            if data is None:
                with cursor.copy(statement) as copy:
                    rows = [bytes(part) for part in copy]
                return ("out", cursor.statusmessage, rows)
            with cursor.copy(statement) as copy:
                copy.write(data)
            return ("in", cursor.statusmessage)
    except psycopg.Error as error:
        diag = error.diag
        return (
            diag.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint,
            diag.context, diag.statement_position,
        )  # fmt: skip


def compare(pair: tuple[Connection, Connection], statement: str, data: bytes | None) -> None:
    ours, theirs = (outcome(connection, statement, data) for connection in pair)
    if ours[:2] == theirs[:2] and len(ours) == len(theirs) == 3:
        assert isinstance(ours[2], list)
        assert isinstance(theirs[2], list)
        for our_row, their_row in zip(ours[2], theirs[2], strict=False):
            assert our_row == their_row
    assert ours == theirs


def reset(pair: tuple[Connection, Connection]) -> None:
    for connection in pair:
        connection.execute(
            "truncate c_key, c_plain, c_other, c_checked, c_two, c_child, c_none, c_indexed, c_wide"
        )


_GOOD = [
    ("copy c_key from stdin", b"1\tx\t1.5\t2020-01-01 00:00:00\n2\t\\N\t\\N\t\\N\n"),
    ("copy c_key from stdin", rb"3	a\tb\\c\x41\101\n\
d	2	2021-02-03 04:05:06.789"),
    ("copy c_key (c, a) from stdin", b"1\t4\n\\N\t5\n\\.\nnot read\n"),
    ("copy c_key from stdin (delimiter '|', null 'NIL')", b"6|NIL|1|NIL\r\n7|x|2|NIL\r\n"),
    ("copy c_key from stdin csv", b'8,"quoted ""x""\nline",3.25,\n9,,,\n10,"",,\n11,a"b,c"d,,\n'),
    ("copy c_key from stdin (format csv, header, null 'n')", b"a,b,c,d\n12,n,n,n\n13,\"n\",1,n\n"),
    ("copy c_key from stdin (format csv, header match)", b"a,b,c,d\n14,x,1,\n"),
    ("copy c_key from stdin (format csv, quote '''', escape '\\')", b"15,'a\\'b\\\\c',1,\n"),
    ("copy c_key from stdin (format csv, force_not_null (b), force_null (d))", b'16,,1,""\n'),
    ("copy c_plain from stdin", (b"1\t2\t1.5\tabcde\tab\t2020-02-29\tt\n"
     b"-3\t9223372036854775807\tNaN\tab   \t\\N\tinfinity\toff\n")),
    ("copy c_other from stdin", (b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\t1.5\t1e10\t\\\\x00ff\t"
     b"2020-01-01 00:00:00+02\t{1,NULL,3}\t{\"b\": 1, \"a\": [1, 2]}\n")),
    ("copy c_checked (a) from stdin", b"1\n2\n"),
    ("copy c_checked (b, a) from stdin", b"x\t3\n"),
    (
        "copy c_key from stdin where a > 1 and c_key.b <> 'no'",
        b"1\ta\t1\t\\N\n2\tno\t1\t\\N\n3\tb\t1\t\\N\n",
    ),
    (
        "copy c_key (a, b) from stdin (format csv, null 'N', force_not_null (b), force_null (b))",
        b'17,N\n18,"N"\n19,\n',
    ),
    ("copy c_two from stdin where b % 2 = 0", b"1\t1\n2\t2\n4\t4\n-3\t\\N\n"),
    ("copy c_two from stdin", b"b\t1\na\t2\na\t1\n"),
    ("copy c_none from stdin", b"\n\n"),
    ("copy c_key from stdin", b""),
    ("copy c_key from stdin with (freeze off, encoding 'latin1')", b"20\t\xe4\t1\t\\N\n"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "data"), _GOOD)
def test_what_goes_in_comes_out(
    pair: tuple[Connection, Connection], statement: str, data: bytes
) -> None:
    reset(pair)
    compare(pair, statement, data)
    table = statement.split()[1]
    order = {"c_key": "a", "c_checked": "a", "c_two": "a, b"}.get(table)
    query = f"select * from {table}" + (f" order by {order}" if order else "")
    for ending in ("", "csv", "csv header force quote *", "binary", "delimiter '/' null 'x'"):
        if table == "c_none" and "force" in ending:
            continue
        compare(pair, f"copy ({query}) to stdout {ending}", None)


_BAD_DATA = [
    ("copy c_key from stdin", b"1\tx\n"),
    ("copy c_key from stdin", b"1\tx\t1\t\\N\textra\n"),
    ("copy c_key from stdin", b"1\t\\N\t\\N\t\\N\n2\tx\toops\t\\N\n"),
    ("copy c_key from stdin", b"x\t\\N\t\\N\t\\N\n"),
    ("copy c_key from stdin", b"\\N\t\\N\t\\N\t\\N\n"),
    ("copy c_key from stdin", b"1\t\\N\t\\N\t\\N\n1\t\\N\t\\N\t\\N\n"),
    ("copy c_key from stdin", b"1\ta\rb\t\\N\t\\N\n"),
    ("copy c_key from stdin", b"1\t\xff\t\\N\t\\N\n"),
    ("copy c_key from stdin", b"1\ta\t12345678\t\\N\n"),
    ("copy c_key from stdin csv", b'1,"open\n'),
    ("copy c_key from stdin csv", b"1,a\rb,,\n"),
    ("copy c_key from stdin (format csv, header match)", b"a,b,x,d\n"),
    ("copy c_key from stdin (format csv, header match)", b"a,b\n"),
    ("copy c_plain from stdin", b"70000\t1\t1\ta\ta\t2020-01-01\tt\n"),
    ("copy c_plain from stdin", b"1\t1\t1\tabcdef\ta\t2020-01-01\tt\n"),
    ("copy c_plain from stdin", b"1\t1\t1\ta\ta\t2020-13-01\tt\n"),
    ("copy c_plain from stdin", b"1\t1\t1e999\ta\ta\t2020-01-01\tt\n"),
    ("copy c_checked (a) from stdin", b"1\n-2\n"),
    ("copy c_checked (a, b) from stdin", b"1\t\\N\n"),
    ("copy c_child from stdin", b"99\tx\n"),
    ("copy c_two from stdin", b"a\t1\na\t1\n"),
    ("copy c_key from stdin binary", b"nonsense"),
    ("copy c_key from stdin binary", b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1\0\0\0\4\0\0\0\1"),
    ("copy c_key from stdin binary", b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\4\0\0\0\4\0\0"),
    ("copy c_key from stdin binary", b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\4\0\0\0\2\0\0"
     + b"\xff\xff\xff\xff" * 3 + b"\xff\xff"),
    ("copy c_key from stdin", b"1\t" + b"x" * 300 + b"\toops\t\\N\n"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "data"), _BAD_DATA)
def test_bad_data(pair: tuple[Connection, Connection], statement: str, data: bytes) -> None:
    reset(pair)
    compare(pair, statement, data)
    table = statement.split()[1]
    for connection in pair:
        assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "copy nosuch from stdin",
        "copy c_key (zz) from stdin",
        "copy c_key (a, a) from stdin",
        "copy c_checked (g) from stdin",
        "copy c_view from stdin",
        "copy c_seq from stdin",
        "copy c_key from stdin (format xml)",
        "copy c_key from stdin (nosuch true)",
        "copy c_key from stdin (delimiter 'ab')",
        "copy c_key from stdin (delimiter 'a')",
        "copy c_key from stdin (delimiter E'\\n')",
        "copy c_key from stdin (null E'\\n')",
        "copy c_key from stdin (format binary, delimiter ',')",
        "copy c_key from stdin (format binary, null 'x')",
        "copy c_key from stdin (format binary, header)",
        "copy c_key from stdin (quote '\"')",
        "copy c_key from stdin (escape '\"')",
        "copy c_key from stdin (format csv, quote 'ab')",
        "copy c_key from stdin (format csv, quote ',')",
        "copy c_key from stdin (format csv, force_quote (a))",
        "copy c_key from stdin (force_null (a))",
        "copy c_key from stdin (format csv, force_null (zz))",
        "copy c_key (a) from stdin (format csv, force_not_null (b))",
        "copy c_key from stdin (format csv, header maybe)",
        "copy c_key from stdin (freeze maybe)",
        "copy c_key from stdin (encoding 'nosuch')",
        "copy c_key from stdin (format csv, format csv)",
        "copy c_key from stdin (null 'a,b', delimiter ',')",
        "copy c_key from stdin where nosuch = 1",
        "copy c_key from stdin where a",
        "copy c_key from stdin (format csv, null 'a\"b')",
    ],
)
def test_refused_statements(pair: tuple[Connection, Connection], statement: str) -> None:
    compare(pair, statement, b"")


@pytest.mark.parametrize(
    "statement",
    [
        "copy c_view to stdout",
        "copy c_seq to stdout",
        "copy nosuch to stdout",
        "copy c_key to stdout (format csv, force_null (a))",
        "copy c_key to stdout (format csv, header match)",
        "copy c_key to stdout (format csv, force_quote (zz))",
        "copy (select 1 as a, null as b, '' as c, E'x\\ty\\\\z' as d) to stdout",
        "copy (select 1 as a, null as b, '' as c, 'x\"y,z' as d) to stdout csv header",
        "copy (select '\\.') to stdout csv",
        "copy (values (true, 1.50, 'infinity'::timestamp, '{a,b}'::text[])) to stdout",
        "copy (values (true, 1.50, 'infinity'::timestamp, '{a,b}'::text[])) to stdout binary",
        "copy (select x from generate_series(1, 3000) x) to stdout",
        "copy (insert into c_two values ('r', 1) returning b, a) to stdout",
        "copy (select) to stdout",
        "copy (select 1 where false) to stdout binary",
    ],
)
def test_copy_to(pair: tuple[Connection, Connection], statement: str) -> None:
    reset(pair)
    compare(pair, statement, None)


def test_binary_round_trip(pair: tuple[Connection, Connection]) -> None:
    """What PostgreSQL writes in binary we read, and the other way round."""
    reset(pair)
    text = b"1\tx\t1.50\t2020-01-01 00:00:00\n2\t\\N\t\\N\tinfinity\n"
    for connection in pair:
        outcome(connection, "copy c_key from stdin", text)
    files = [outcome(c, "copy c_key to stdout binary", None)[2] for c in pair]
    assert files[0] == files[1]
    reset(pair)
    for connection, parts in zip(pair, reversed(files), strict=True):
        assert isinstance(parts, list)
        assert outcome(connection, "copy c_key from stdin binary", b"".join(parts)) == (
            "in",
            "COPY 2",
        )
        assert outcome(connection, "copy c_key to stdout", None)[2] == text.splitlines(
            keepends=True
        )


def test_large_loads_by_columns(pair: tuple[Connection, Connection]) -> None:
    """Several blocks, keys in order and not, with what only the row path can read in between."""
    reset(pair)
    lines = [b"%d\ttext %d\t%d.25\t2020-01-01 00:00:00\n" % (i, i, i % 1000) for i in range(40_000)]
    lines[20_000] = rb"20000	a\tb	\N	\N" + b"\n"
    lines[35_000:] = reversed(lines[35_000:])
    compare(pair, "copy c_key from stdin", b"".join(lines))
    compare(pair, "copy (select * from c_key order by a) to stdout", None)
    lines.append(b"7\tdup\t1\t\\N\n")
    reset(pair)
    ours, theirs = (outcome(c, "copy c_key from stdin", b"".join(lines)) for c in pair)
    assert ours == theirs
    for connection in pair:
        assert connection.execute("select count(*) from c_key").fetchone() == (0,)


def test_large_loads_of_other_types(pair: tuple[Connection, Connection]) -> None:
    reset(pair)
    rows = []
    for i in range(9_000):
        rows.append(
            b"%d\t%d\t%d.5\t%s\t%s\t2020-02-%02d\t%s\n"
            % (i % 30000, i * 10**9, i, b"v%d" % (i % 9999), b"p" if i % 3 else b"\\N",
               i % 28 + 1, b"t" if i % 2 else b"f")
        )  # fmt: skip
    compare(pair, "copy c_plain from stdin", b"".join(rows))
    compare(pair, "copy (select * from c_plain order by j) to stdout", None)
    compare(pair, "copy (select * from c_plain order by j) to stdout csv", None)


def test_large_loads_into_indexes(pair: tuple[Connection, Connection]) -> None:
    reset(pair)
    rows = [
        b"%d\t%s\t%d\t%s\n"
        % (i, b"k%d" % (i * 7919 % 5000), i % 17, b"%d" % i if i % 5 else b"\\N")
        for i in range(15_000)
    ]
    compare(pair, "copy c_indexed from stdin", b"".join(rows))
    for query in (
        "select a, b from c_indexed where b = 'k77' order by a",
        "select a, c from c_indexed where d in (7, 14999, 20000) order by a",
        "select count(*), count(d) from c_indexed",
    ):
        compare(pair, f"copy ({query}) to stdout", None)
    reset(pair)
    rows[12_000] = b"12000\tx\t1\t11\n"
    compare(pair, "copy c_indexed from stdin", b"".join(rows))


def test_whole_tables_by_columns(pair: tuple[Connection, Connection]) -> None:
    """Leaves that columns can be read from, and those that need a look at their rows."""
    reset(pair)
    moments = ["2020-01-01 00:00:00", "2020-02-29 12:34:56.5", "1970-01-01 00:00:00.000001"]

    def row(i: int, text: str) -> bytes:
        null = "\\N"
        fields = [
            str(i % 300 - 150) if i % 7 else null,
            ("t", "f", null)[i % 3],
            text if i % 11 else null,
            str(i * 10**12 - 5 * 10**15),
            f"{1000 + i % 3000}-03-0{i % 9 + 1}" if i % 5 else null,
            moments[i % 3] if i % 13 else null,
            "abcde"[: i % 6] if i % 4 else null,
            f"v{i}"[:9],
        ]
        return ("\t".join(fields) + "\n").encode()

    plain = b"".join(row(i, f"text \u00e4 {i}") for i in range(9_000))
    special = b"".join(
        row(i, ("", "tab\\t", "back\\\\", 'c,"q')[i % 4]) for i in range(9_000, 9_300)
    )
    extreme = (
        b"1\tt\tx\t9000000000000000001\tinfinity\t-infinity\t\tx\n"
        b"2\tt\tx\t9000000000000000002\t0044-03-15 BC\t20000-01-01\t\tx\n"
    )
    for data in (plain, special, extreme):
        compare(pair, "copy c_wide from stdin", data)
        for statement in (
            "copy c_wide to stdout",
            "copy c_wide to stdout csv",
            "copy c_wide to stdout csv header",
            "copy c_wide to stdout (delimiter '|', null '?')",
            "copy c_wide (v, t, b) to stdout",
        ):
            ours, theirs = (outcome(c, statement, None) for c in pair)
            assert ours[1] == theirs[1]
            # Without ORDER BY the rows come as they lie: by key here, by place there.
            assert sorted(ours[2]) == sorted(theirs[2])  # type: ignore[call-overload]
    for connection in pair:
        connection.execute("begin")
        connection.execute("update c_wide set v = 'new' where i = 5")
    compare(pair, "copy (select * from c_wide order by j) to stdout", None)
    ours = outcome(pair[0], "copy c_wide to stdout", None)
    assert ours[2] == outcome(pair[0], "copy (select * from c_wide) to stdout", None)[2]
    for connection in pair:
        connection.execute("rollback")


def test_copy_fail_and_rollback(server: Server) -> None:
    with server.connect() as connection:
        connection.autocommit = False
        connection.execute("create table fail_t (a int primary key)")
        connection.commit()
        with (
            pytest.raises(ValueError, match="no more"),
            connection.cursor() as cursor,
            cursor.copy("copy fail_t from stdin") as copy,
        ):
            copy.write(b"1\n")
            raise ValueError("no more")
        connection.rollback()
        with connection.cursor() as cursor, cursor.copy("copy fail_t from stdin") as copy:
            copy.write(b"".join(b"%d\n" % i for i in range(30_000)))
        connection.rollback()
        assert connection.execute("select count(*) from fail_t").fetchone() == (0,)
        connection.execute("drop table fail_t")
        connection.commit()


def test_privileges(server: Server) -> None:
    with server.connect() as connection:
        connection.execute("create table priv_t (a int, b int)")
        connection.execute("create role copier")
        connection.execute("grant insert (a), select (a) on priv_t to copier")
        connection.execute("set role copier")
        assert outcome(connection, "copy priv_t (a) from stdin", b"1\n") == ("in", "COPY 1")
        assert outcome(connection, "copy priv_t from stdin", b"1\t2\n")[0] == "42501"
        assert outcome(connection, "copy priv_t (a) to stdout", None)[0] == "out"
        assert outcome(connection, "copy priv_t to stdout", None)[0] == "42501"
        assert outcome(connection, "copy priv_t (a) to '/tmp/x'", None)[0] == "0A000"
        connection.execute("reset role")
        connection.execute("drop table priv_t")
        connection.execute("drop role copier")


@pytest.mark.parametrize("csv", [False, True])
def test_records_do_not_depend_on_chunks(csv: bool) -> None:
    """However the stream is cut, the records are the same."""
    chance = random.Random(3)
    options = CopyOptions(True)
    if csv:
        options = CopyOptions(True, format="csv", delimiter=",", null="")
        data = b'1,"a\nb",\n2,"x"",y",z\r,\n3,,"q"\n' * 50
        data = data.replace(b"\r", b"")
    else:
        data = b"1\ta\\\nb\t\\N\n2\tx\\ty\t\\\\\n" * 50

    def read(chunks: list[bytes]) -> list[list[str | None]]:
        reader = RecordReader(options, chunks)
        found = []
        for block in reader.blocks():
            block.line = reader.line
            for records in reader.records(block):
                found += [record.fields for record in records]
        return found

    whole = read([data])
    assert len(whole) == (150 if csv else 100)
    for _ in range(20):
        cuts = sorted(chance.sample(range(1, len(data)), 5))
        parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert read(parts) == whole


def test_splitters_find_whole_records() -> None:
    options = CopyOptions(True)
    reader = RecordReader(options, [b"a" * 600_000 + b"\n", b"b\n"])
    assert [block.data[-3:] for block in reader.blocks()] == [b"aa\n", b"b\n"]
    broken = RecordReader(options, [b"\xff\n"])
    (block,) = broken.blocks()
    with pytest.raises(SqlError) as raised:
        list(broken.records(block))
    assert raised.value.sqlstate == "22021"


def test_copy_data_is_taken_in_one_go() -> None:
    """Whole frames are joined, a part of one waits, another message ends the run."""
    wire = Wire()
    wire.state = State.COPY_IN
    frames = b"".join(encode_copy(row) for row in (b"1\n", b"2\n", b"", b"3\n"))
    wire.receive(frames + encode_copy(b"4\n")[:-1])
    assert wire.take_copy_data() == b"1\n2\n3\n"
    assert wire.take_copy_data() == b""
    assert wire.next_message() is None
    wire.receive(b"\n" + b"c\0\0\0\4")
    assert wire.take_copy_data() == b"4\n"
    assert wire.take_copy_data() == b""
    assert isinstance(wire.next_message(), messages.CopyDone)
    assert wire.take_copy_data() == b""


def test_a_message_per_row(pair: tuple[Connection, Connection]) -> None:
    reset(pair)
    for connection in pair:
        with connection.cursor() as cursor, cursor.copy("copy c_two from stdin") as copy:
            for i in range(3000):
                copy.write(b"k\t%d\n" % i)
        assert connection.execute("select count(*) from c_two").fetchone() == (3000,)
