"""The pages of `tane data`: what was found in a data set, a text or the hub, as text for a person."""

from __future__ import annotations

import json
import shlex
from typing import Any

from tane.text import survey
from tane.text.columns import CUT, fit, table, visible, width

COLUMNS = 100
LINES = 4  # of one value of an example
LABELS = 20  # of a column
FEW = 10  # different numbers that are listed
NAMES = {"p5": "5 %", "p95": "95 %"}


def report(found: dict[str, Any]) -> str:
    """What `show_data` or `list_data` found, East Asian widths heeded."""
    if "datasets" in found:
        return _list(found)
    if "features" not in found:
        return survey.report(found)
    sections = [_title(found), _features(found), _labels(found), _lengths(found), _head(found), _hint(found)]
    return "\n\n".join(section for section in sections if section)


def _title(found: dict[str, Any]) -> str:
    count, total = found["examples"], found["total"]
    size = f"{total:,} example{'s' if total != 1 else ''}"
    lines = [f"{found['name']}: {size}"]
    if found["where"]:
        told = " and ".join(found["where"])
        few = f"no example of {total:,}" if not count else f"{count:,} of {size}"
        lines = [f"{found['name']}: {few}, where {told}"]
    how = {name: value for name, value in found["found"].items() if name not in ("notes", "mixed")}
    if how:
        lines.append("read as: " + ", ".join(f"{name} {_word(value)}" for name, value in how.items()))
    for name, count in found["found"].get("notes", {}).items():
        lines.append(f"note: {name.replace('_', ' ')}: {count:,}")
    for column, told in found["found"].get("mixed", {}).items():
        lines.append(f"note: {column} is of mixed types, read as text: {told}")
    return "\n".join(lines)


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " and ".join(map(_word, value))
    return {"\t": "tab", " ": "space"}.get(value, str(value))


def _features(found: dict[str, Any]) -> str:
    rows = [[f"  {_name(name)}", about["type"]] for name, about in found["features"].items()]
    room = COLUMNS - 4 - sum(max(width(cell) for cell in column) for column in zip(*rows, strict=True))
    names = [about.get("names") or [] for about in found["features"].values()]
    return "features\n" + table(
        [[*row, _numbered(some, max(30, room))] for row, some in zip(rows, names, strict=True)]
    )


def _numbered(names: list[str], room: int) -> str:
    """Labels with their numbers, as many as there is room for."""
    told = ""
    for number, name in enumerate(names):
        more = f"{told}, {number} {visible(name)}" if told else f"{number} {visible(name)}"
        rest = len(names) - number - 1
        if width(more) + (len(f" and {rest:,} more") if rest else 0) > room:
            return f"{told} and {rest + 1:,} more" if told else fit(more, room)
        told = more
    return told


def _labels(found: dict[str, Any]) -> str:
    if found["total"] and not found["examples"]:
        there = [[f"  {_name(name)}", fit(", ".join(counts), 80)] for name, counts in found["labels"].items()]
        return "labels that there are\n" + table(there) if there else ""
    rows = []
    for column, counts in found["labels"].items():
        total = sum(counts.values())
        first = f"  {_name(column)}"
        if found["features"][column]["type"] == "number" and len(counts) > FEW:
            rows.append([first, _spread(counts), f"{total:,}", ""])
            continue
        for label, count in list(counts.items())[:LABELS]:
            share = f"{100 * count / total:.1f} %" if total else ""
            rows.append([first, fit(label, 50) or "(empty)", f"{count:,}", share])
            first = ""
        if len(counts) > LABELS:
            rest = sum(list(counts.values())[LABELS:])
            rows.append(["", f"{CUT} {len(counts) - LABELS:,} more", f"{rest:,}", ""])
    return "labels\n" + table(rows, right=(2, 3)) if rows else ""


def _spread(counts: dict[str, int]) -> str:
    """Numbers in a few words: 0.0 to 5.0, mean 2.31, 26 different."""
    numbers = {float(label): count for label, count in counts.items() if count and label != "none"}
    mean = sum(number * count for number, count in numbers.items()) / sum(numbers.values())
    return f"{min(numbers):g} to {max(numbers):g}, mean {mean:.4g}, {len(numbers):,} different"


def _lengths(found: dict[str, Any]) -> str:
    rows = []
    for column, units in found["lengths"].items():
        first = f"  {_name(column)}"
        for unit, quantiles in units.items():
            rows.append([first, unit, *(f"{length:,}" for length in quantiles.values())])
            first = ""
    if not rows:
        return ""
    names = next(iter(next(iter(found["lengths"].values())).values()))
    return table([["lengths", "", *(NAMES.get(name, name) for name in names)], *rows], right=range(2, 7))


def _head(found: dict[str, Any]) -> str:
    examples = found["head"]
    if not examples:
        return ""
    lines = ["the first example" if len(examples) == 1 else f"the first {len(examples):,} examples"]
    for example in examples:
        mark = "- "
        for column, value in example.items():
            lines += _lines(
                f"  {mark}{_name(column)}: ", _value(value, found["features"][column].get("names"))
            )
            mark = "  "
    return "\n".join(lines)


def _value(value: Any, names: list[str] | None) -> str:
    """A value as JSON, Japanese as it is; a label as its number with its name beside it."""
    text = visible(json.dumps(value, ensure_ascii=False))
    if names is None:
        return text
    if isinstance(value, list):
        return "[" + ", ".join(_value(one, names) for one in value) + "]"
    known = isinstance(value, int) and 0 <= value < len(names)
    return f"{text} ({names[value]})" if known else text


def _lines(start: str, text: str) -> list[str]:
    """A text in lines of at most COLUMNS, cut where it is longer than some, the later ones set in."""
    lines: list[str] = []
    indent = " " * 6
    for number in range(LINES):
        room = COLUMNS - width(start)
        if width(text) <= room:
            return [*lines, start + text]
        end = len(fit(text, room)) - 1
        if number == LINES - 1:
            break
        space = text.rfind(" ", end // 2, end + 1)
        end = space + 1 if space > 0 else end
        lines.append(start + text[:end].rstrip())
        start, text = indent, text[end:]
    return [*lines, start + fit(text, room)]


def _name(column: str) -> str:
    return fit(column, 40) or "(no name)"


def _hint(found: dict[str, Any]) -> str:
    if not found["examples"]:
        return "no example fits: see all without --where" if found["where"] else ""
    texts = found["lengths"]
    if not texts:
        return ""
    longest = max(texts, key=lambda column: texts[column]["characters"]["median"])
    reading = [f"--{name} {shlex.quote(str(value))}" for name, value in found["reading"].items()]
    command = " ".join(["tane data", shlex.quote(found["name"]), *reading, "--column", _quoted(longest)])
    return f"one column as text, with its scripts and duplicates:\n  {command}"


def _quoted(text: str) -> str:
    """A text as a shell takes it; Japanese needs no quotes."""
    return text if text and all(char.isalnum() or char in "_-./" for char in text) else shlex.quote(text)


# ----------------------------------------------------------------------------------------------- the hub


def _list(found: dict[str, Any]) -> str:
    rows = [
        [
            fit(one["name"], 60),
            *("-" if one[key] is None else f"{one[key]:,}" for key in ("downloads", "likes")),
        ]
        for one in found["datasets"]
    ]
    if not rows:
        word = f" with {found['search']!r} in its name" if found["search"] else ""
        return f"the hub has no data set{word}"
    shown = table([["data set", "downloads", "likes"], *rows], right=(1, 2))
    return f"{shown}\n\nlook into one: tane data {found['datasets'][0]['name']}"


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"
