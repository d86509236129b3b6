"""The declarations agree with PostgreSQL's catalog and with each other."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from helios_storage.keys import KeyColumn, encoder_of
from heliosd.functions.builtin import FUNCTIONS, ROW_FUNCTIONS
from heliosd.functions.registry import SqlAggregate, SqlFunction, build_function_registry
from heliosd.types.builtin import TYPES
from heliosd.types.facts import function_facts, operator_facts
from heliosd.types.registry import DuplicateDeclarationError, KeyKind, SqlType
from tests.sql.test_type_codecs import VALUES

KEYWORDS = {"and", "or", "not", "if", "else", "is", "None", "True", "False", "in", "for", "lambda"}


def templates() -> Iterator[tuple[str, str]]:
    """Every row form that is source, with the name of what it computes."""
    for function in FUNCTIONS.by_oid.values():
        if isinstance(function, SqlFunction) and isinstance(function.row, str):
            yield function.name, function.row
        if isinstance(function, SqlAggregate) and function.inline is not None:
            inline = function.inline
            for text in (*inline.init, *inline.step, inline.final, *inline.batch):
                yield function.name, text
    for cast in TYPES.casts.values():
        if isinstance(cast.row, str):
            yield f"cast {cast.source} {cast.target}", cast.row


def test_templates_name_only_what_is_exported() -> None:
    """Generated code may say nothing else: no user's text, no stray name."""
    for name, text in templates():
        source = re.sub(r"'[^']*'", "", re.sub(r"\{\w+\}", "x", text))
        words = set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", source)) - KEYWORDS - {"x"}
        unknown = {w for w in words if w not in ROW_FUNCTIONS and not hasattr(builtins, w)}
        assert not unknown, (name, text, unknown)
        compile(re.sub(r"\{\w+\}", "x", text), name, "eval")


def test_declared_objects_are_postgresqls() -> None:
    """Oid, signature, result and strictness of each function come from the facts."""
    for oid, function in FUNCTIONS.by_oid.items():
        fact = function_facts()[oid]
        assert function.name == fact.name
        assert [TYPES.type(a).name for a in function.arguments] == list(fact.arguments)
        assert TYPES.type(function.result).name == fact.result
    facts = {fact.oid: fact for fact in operator_facts()}
    for oid, operator in TYPES.operators_by_oid.items():
        assert facts[oid].name == operator.name


def test_every_function_has_a_way_to_be_computed() -> None:
    for function in FUNCTIONS.by_oid.values():
        if isinstance(function, SqlFunction):
            assert (function.row is None) != (function.specialize is None), function
        elif isinstance(function, SqlAggregate):
            assert (function.form is None) != (function.specialize is None), function


def test_a_second_claim_is_refused() -> None:
    first = next(iter(FUNCTIONS.by_oid.values()))
    with pytest.raises(DuplicateDeclarationError):
        build_function_registry([first, first])


def key_bytes(kind: SqlType, value: Any) -> bytes:
    assert kind.key is not None
    column = KeyColumn(kind.key.value, nullable=False)
    return encoder_of(column)(kind.key_value(value) if kind.key_value else value)


KEYED = [
    name
    for name in sorted(VALUES)
    if TYPES.named(name).key is not None and TYPES.named(name).key is not KeyKind.ARRAY
]


@pytest.mark.parametrize("name", KEYED)
def test_keys_order_as_values_do(name: str) -> None:
    """An index gives the order that a sort gives, and finds what equality finds."""
    kind = TYPES.named(name)
    order = kind.order_key() or (lambda value: value)

    @given(VALUES[name], VALUES[name])
    @settings(max_examples=60, deadline=None)
    def check(left: Any, right: Any) -> None:
        keys = key_bytes(kind, left), key_bytes(kind, right)
        assert (keys[0] < keys[1]) == (order(left) < order(right))
        assert (keys[0] == keys[1]) == (order(left) == order(right))

    check()
