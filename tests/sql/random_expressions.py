"""Expressions made at random: grown by a grammar, then mutated as texts.

Everything follows from the `Random` given, so a seed and a number find a statement again.
"""

from __future__ import annotations

from random import Random

LITERALS = (
    "0", "1", "-1", "2147483647", "9223372036854775807", "1.5", "1e10", "1e400", "'nan'::float8",
    "'inf'::numeric", "null", "true", "''", "'abc'", "'a,b'", "'{1,2,3}'::int[]", "'é日本'",
    "'2000-01-31'::date", "'infinity'::timestamp", "'2000-01-01 00:00+02'::timestamptz",
    "'1 mon -3 days 04:05'::interval", "'10:20'::time", "'{\"a\":[1,{\"b\":null}]}'::jsonb",
    "'$.a[*] ? (@ > 1)'::jsonpath", "'fat & (rat | cat)'::tsquery", "'a:1 b:2A'::tsvector",
    "'\\xdeadbeef'::bytea", "b'1010'", "'1.2.3.4/16'::inet", "array[1,null,3]",
    "'a0eebc999c0b4ef8bb6d6bb9bd380a11'::uuid",
    "row(1,'a')", "'(1,2)'::point", "'[1,5)'::int4range",
)  # fmt: skip
OPERATORS = (
    "+ - * / % ^ = <> < > <= >= || ~ ~* !~ & | # << >> <<| && @> <@ -> ->> #> #>> ? ?| @? @@ "
    "<-> ** !! ~~ ~~* is distinct from|and|or|like|ilike|similar to|in|at time zone|overlaps"
)
FUNCTIONS = (
    "abs", "length", "lower", "upper", "substr", "substring", "repeat", "lpad", "format",
    "concat", "to_char", "to_number", "to_date", "to_timestamp", "date_trunc", "extract",
    "date_part", "age", "make_date", "make_interval", "justify_interval", "regexp_replace",
    "regexp_matches", "regexp_match", "regexp_split_to_array", "regexp_count", "split_part",
    "jsonb_path_query", "jsonb_set", "jsonb_pretty", "json_build_object", "to_jsonb",
    "jsonb_each", "to_tsvector", "to_tsquery", "ts_headline", "ts_rank",
    "websearch_to_tsquery", "array_agg", "unnest", "generate_series", "sum", "avg", "count",
    "max", "string_agg", "percentile_cont", "power", "sqrt", "exp", "ln", "log", "round",
    "trunc", "width_bucket", "gcd", "lcm", "factorial", "random", "md5", "sha256", "encode",
    "decode", "convert_from", "convert_to", "chr", "ascii", "translate", "overlay",
    "position", "trim", "array_fill", "array_position", "cardinality", "coalesce", "greatest",
    "nullif", "quote_ident", "quote_literal", "pg_typeof", "hashtext", "bit_count", "set_bit",
    "get_byte", "normalize", "unistr", "date_bin", "host", "set_masklen", "inet_merge",
    "lower", "upper", "isempty", "range_merge", "row_to_json", "json_agg", "pg_size_pretty",
)  # fmt: skip
TYPES = (
    "int2", "int4", "int8", "numeric", "numeric(5,2)", "float4", "float8", "text",
    "varchar(3)", "char(4)", "bytea", "bool", "date", "time", "timetz", "timestamp",
    "timestamptz", "interval", "json", "jsonb", "jsonpath", "tsvector", "tsquery", "inet",
    "cidr", "macaddr", "uuid", "bit(4)", "varbit", "int4[]", "text[]", "regclass", "regtype",
    "oid", "name", "money", "point", "int4range", "xid8", "pg_lsn",
)  # fmt: skip
BOMBS = (
    "repeat('(a*)*', 40) || 'b'", "repeat('a', 5000) ~ '^(a+)+$b'",
    "repeat('x', 60000) ~ '(x+x+)+y'",
    "'" + "(" * 800 + "'::tsquery", "'" + "[" * 9000 + "'::jsonb",
    "'" + "$." * 900 + "a'::jsonpath",
    "+".join(["1"] * 900), "(" * 450 + "1" + ")" * 450, "-" * 300 + "1", "not " * 400 + "true",
    "1e131071 * 1e131071", "factorial(40000)", "repeat('ab', 2000000000)", "2.0 ^ 100000.5",
    "'" + "a" * 3000 + "' ~ '" + "(a?){30}" * 5 + "'", "lpad('', 2000000000, 'x')",
    "array_fill(1, array[1000000000])", "regexp_replace(repeat('a',20000),'(a)\\1*?','b','g')",
    "'" + "!" * 2000 + "a'::tsquery", "jsonb_path_query('" + "[" * 400 + "]" * 400 + "', '$.**')",
    "'a' like repeat('%a', 5000)", "generate_series(1, 1000000000000) limit 3",
    "to_char(1, repeat('9', 20000))", "format(repeat('%s', 5000))", "exp(100000::numeric)",
)  # fmt: skip
_JUNK = "()[]{},;:.'\"\\%$?*+-/|&!~^<>=@# \t\n0123456789abcxyzé\x7f\u0301"


def expression(random: Random, depth: int = 3) -> str:
    """A tree of operators, calls and casts over literals."""
    choice = random.random()
    if depth == 0 or choice < 0.2:
        return random.choice(LITERALS)
    if choice < 0.45:
        words = random.choice(OPERATORS.split("|")) if random.random() < 0.3 else ""
        operator = words or random.choice(OPERATORS.split("|")[0].split())
        left, right = expression(random, depth - 1), expression(random, depth - 1)
        return f"({left} {operator} {right})"
    if choice < 0.8:
        count = random.choice((0, 1, 1, 2, 2, 3, 4))
        arguments = ", ".join(expression(random, depth - 1) for _ in range(count))
        return f"{random.choice(FUNCTIONS)}({arguments})"
    if choice < 0.93:
        return f"({expression(random, depth - 1)})::{random.choice(TYPES)}"
    if choice < 0.97:
        inner = expression(random, depth - 1)
        return f"case when {inner} then {expression(random, depth - 1)} end"
    return f"(select {expression(random, depth - 1)})"


def mutated(random: Random, text: str) -> str:
    """A few characters put in, taken out, doubled or swapped."""
    characters = list(text)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(characters) + 1)
        match random.randrange(4):
            case 0:
                characters.insert(at, random.choice(_JUNK))
            case 1 if characters:
                del characters[min(at, len(characters) - 1)]
            case 2:
                end = min(len(characters), at + random.randint(1, 8))
                characters[at:at] = characters[at:end]
            case _ if len(characters) > 1:
                other = random.randrange(len(characters))
                at = min(at, len(characters) - 1)
                characters[at], characters[other] = characters[other], characters[at]
    return "".join(characters)


def statement(random: Random) -> str:
    """SELECT of an expression, mutated more often than not; now and then a bomb."""
    if random.random() < 0.01:
        return f"select {random.choice(BOMBS)}"
    text = expression(random)
    if random.random() < 0.6:
        text = mutated(random, text)
    return f"select {text}"
