"""The writer of row programs: what it lets into an interpreter, and what it refuses."""

from __future__ import annotations

import gc
import linecache

import pytest

from heliosd.errors import SqlError
from heliosd.execute.source import INDENT_MAX, Module


def compiled(body: str) -> None:
    module = Module()
    module.slots["k1"] = 1
    module.function("ctx, params").line(body)
    module.seal()


@pytest.mark.parametrize(
    "body",
    [
        "import os",
        "return ctx.__class__",
        "return open",
        "return evil",
        "with ctx: pass",
        "return lambda: 1",
        "global k1",
        "exec('1')",
        "return {1: 2 for v1 in params}",
        "async def p2(): pass",
    ],
)
def test_what_no_program_holds_is_refused(body: str) -> None:
    with pytest.raises(SqlError) as caught:
        compiled(body)
    assert caught.value.sqlstate == "XX000"


@pytest.mark.parametrize(
    "body", ["return k1", "v1 = params[0]", "return [v1 for v1 in params]", "yield params"]
)
def test_what_programs_hold_is_let_in(body: str) -> None:
    compiled(body)


def test_values_sit_in_slots() -> None:
    module = Module()
    text = "'; import os; '"
    writer = module.function("ctx, params")
    writer.line(f"return {module.slot(text)}")
    source, namespace = module.seal()
    assert text not in source
    assert namespace[writer.name](None, ()) == text


def test_equal_texts_are_compiled_once_with_slots_of_their_own() -> None:
    made = []
    for value in ("one", "two"):
        module = Module()
        writer = module.function("ctx, params")
        writer.line(f"return {module.slot(value)}")
        made.append(module.seal()[1][writer.name])
    assert [function(None, ()) for function in made] == ["one", "two"]
    assert made[0].__code__ is made[1].__code__


def test_one_slot_for_one_object() -> None:
    module = Module()
    value = object()
    assert module.slot(value) == module.slot(value)
    assert module.slot(None) == "None"
    assert module.slot(True) == "True"


def test_the_text_is_shown_to_debuggers() -> None:
    module = Module()
    writer = module.function("ctx, params")
    writer.line("return 1 // 0")
    _, namespace = module.seal()
    function = namespace[writer.name]
    name = function.__code__.co_filename
    assert linecache.getline(name, 2).strip() == "return 1 // 0"
    del function, namespace
    gc.collect()  # a function and its globals hold each other
    assert not linecache.getline(name, 2)


def test_too_deep_is_54001() -> None:
    module = Module()
    writer = module.function("ctx, params")
    writer.indent = INDENT_MAX + 1
    with pytest.raises(SqlError) as caught:
        writer.line("pass")
    assert caught.value.sqlstate == "54001"


def test_builtins_are_out_of_reach() -> None:
    module = Module()
    writer = module.function("ctx, params")
    writer.line("return params")
    _, namespace = module.seal()
    assert namespace["__builtins__"] == {}
