"""A shown plan as text, JSON, YAML or XML, in the words that tools look for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from heliosd.execute.explain import Options, Shown

_VERBOSE: Final = frozenset({"Output", "Column Program"})
_STRATEGIES: Final = {
    "HashAggregate": "Hashed",
    "MixedAggregate": "Mixed",
    "GroupAggregate": "Sorted",
}
_CHANGES: Final = ("Insert", "Update", "Delete", "Merge")


def text_lines(shown: Shown, options: Options) -> list[str]:
    """The lines of FORMAT TEXT."""
    lines: list[str] = []
    _text(shown, options, lines, 0)
    return lines


def _text(shown: Shown, options: Options, lines: list[str], column: int) -> None:
    """`column` is where the node's name begins; below the root an arrow stands before it."""
    lead = " " * (column - 4) + "->  " if column else ""
    line = f"{lead}{shown.name}{shown.target}"
    estimate = shown.estimate
    if options.costs:
        line += (
            f"  (cost={estimate.startup:.2f}..{estimate.cost:.2f} "
            f"rows={max(1, round(estimate.rows))} width={estimate.width})"
        )
    if options.analyze:
        if shown.rows is None:
            line += " (never executed)"
        else:
            loops = max(shown.loops, 1)
            took = ""
            if options.timing:
                took = f"time={shown.startup_ms / loops:.3f}..{shown.total_ms / loops:.3f} "
            line += f" (actual {took}rows={round(shown.rows / loops)} loops={shown.loops})"
    lines.append(line)
    inner = " " * (column + 2)
    if shown.blocks_read:
        lines.append(f"{inner}Buffers: shared read={shown.blocks_read}")
    for key, value in shown.details.items():
        if key in _VERBOSE and not options.verbose:
            continue
        text = ", ".join(value) if isinstance(value, list) else value
        lines.append(f"{inner}{key}: {text}")
    # Plans that run once come first, subqueries per row last, as PostgreSQL has them.
    for name, below in sorted(shown.below, key=_place):
        if name:
            lines.append(f"{inner}{name}")
        _text(below, options, lines, column + (8 if name else 6))


def _place(item: tuple[str, Shown]) -> int:
    label = item[0]
    return 1 if not label else 2 if label.startswith("SubPlan") else 0


def as_document(shown: Shown, options: Options, parent: str = "") -> dict[str, Any]:
    """A node for FORMAT JSON, YAML and XML, in PostgreSQL's keys."""
    found = _node_type(shown.name)
    if parent:
        found["Parent Relationship"] = parent
    if shown.name == "Custom Scan":
        found["Custom Plan Provider"] = "Columns"
    found |= {"Parallel Aware": False, "Async Capable": False}
    found |= _named(shown)
    estimate = shown.estimate
    if options.costs:
        found["Startup Cost"] = round(estimate.startup, 2)
        found["Total Cost"] = round(estimate.cost, 2)
        found["Plan Rows"] = max(1, round(estimate.rows))
        found["Plan Width"] = estimate.width
    if options.analyze:
        loops = max(shown.loops, 1) if shown.rows is not None else 0
        if options.timing:
            found["Actual Startup Time"] = round(shown.startup_ms / max(loops, 1), 3)
            found["Actual Total Time"] = round(shown.total_ms / max(loops, 1), 3)
        found["Actual Rows"] = round((shown.rows or 0) / max(loops, 1))
        found["Actual Loops"] = loops
    for key, value in shown.details.items():
        if key not in _VERBOSE or options.verbose:
            found[key] = value
    if options.buffers:
        found["Shared Hit Blocks"] = 0
        found["Shared Read Blocks"] = shown.blocks_read
    if shown.below:
        found["Plans"] = [
            _below(name, below, options, number)
            for number, (name, below) in enumerate(sorted(shown.below, key=_place))
        ]
    return found


def _below(name: str, shown: Shown, options: Options, number: int) -> dict[str, Any]:
    if not name:
        return as_document(shown, options, "Inner" if number else "Outer")
    relationship = "SubPlan" if name.startswith("SubPlan") else "InitPlan"
    document = as_document(shown, options, relationship)
    document["Subplan Name"] = name
    return document


def _node_type(name: str) -> dict[str, Any]:
    """Node Type and what goes with it: `Hash Left Join` is a Hash Join of the type Left."""
    if name in _CHANGES:
        return {"Node Type": "ModifyTable", "Operation": name}
    if name in ("HashAggregate", "MixedAggregate", "GroupAggregate", "Aggregate"):
        return {
            "Node Type": "Aggregate",
            "Strategy": _STRATEGIES.get(name, "Plain"),
            "Partial Mode": "Simple",
        }
    for word in ("Hash", "Merge", "Nested Loop"):
        if name.startswith(word) and (name.endswith(" Join") or name == word == "Nested Loop"):
            kind = name.removeprefix(word).removesuffix("Join").strip() or "Inner"
            whole = word if word == "Nested Loop" else f"{word} Join"
            return {"Node Type": whole, "Join Type": kind}
    if name.startswith("HashSetOp"):
        return {"Node Type": "SetOp", "Strategy": "Hashed", "Command": name[10:]}
    plain = name.removesuffix(" Backward")
    found: dict[str, Any] = {"Node Type": plain}
    if plain.startswith("Index"):
        found["Scan Direction"] = "Forward" if plain == name else "Backward"
    return found


def _named(shown: Shown) -> dict[str, Any]:
    """The index, relation, function or CTE that a node's target names."""
    words = shown.target.split()
    if "on" not in words:
        return {}
    found: dict[str, Any] = {}
    if words[0] == "using":
        found["Index Name"] = words[1]
    names = words[words.index("on") + 1 :]
    key = {"CTE Scan": "CTE Name", "WorkTable Scan": "CTE Name", "Function Scan": "Function Name"}
    found[key.get(shown.name, "Relation Name")] = names[0]
    alias = names[1] if len(names) > 1 and not names[1].startswith("(") else names[0]
    found["Alias"] = alias.strip('"')
    return found


def format_document(document: dict[str, Any], form: str) -> str:
    """The whole answer in JSON, YAML or XML."""
    if form == "json":
        return json.dumps([document], indent=2, ensure_ascii=False)
    if form == "yaml":
        return "\n".join(_yaml(document, 0, first="- "))
    body = "\n".join(_xml(document, 2))
    return (
        '<explain xmlns="http://www.postgresql.org/2009/explain">\n'
        f"  <Query>\n{body}\n  </Query>\n</explain>"
    )


def _yaml(document: Mapping[str, Any], level: int, first: str = "") -> Iterator[str]:
    lead = "  " * level
    for number, (key, value) in enumerate(document.items()):
        start = lead + (first if number == 0 else "  " if first else "")
        if isinstance(value, dict):
            yield f"{start}{key}: "
            yield from _yaml(value, level + 2)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{start}{key}: "
            for item in value:
                yield from _yaml(item, level + 2, first="- ")
        else:
            yield f"{start}{key}: {json.dumps(value, ensure_ascii=False)}"


def _xml(document: Mapping[str, Any], level: int) -> Iterator[str]:
    lead = "  " * level
    for key, value in document.items():
        name = key.replace(" ", "-")
        if isinstance(value, dict):
            yield f"{lead}<{name}>"
            yield from _xml(value, level + 1)
            yield f"{lead}</{name}>"
        elif isinstance(value, list):
            yield f"{lead}<{name}>"
            for item in value:
                if isinstance(item, dict):
                    inner = "Plan" if key == "Plans" else "Item"
                    yield f"{lead}  <{inner}>"
                    yield from _xml(item, level + 2)
                    yield f"{lead}  </{inner}>"
                else:
                    yield f"{lead}  <Item>{escape(str(item))}</Item>"
            yield f"{lead}</{name}>"
        else:
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            yield f"{lead}<{name}>{escape(shown)}</{name}>"
