"""What a person sees of a task's scores: a page for the terminal, the same as markdown, a csv of examples.

The scores, intervals and baselines themselves are of `tasks/scores.py`; here they are only put side by side.
A report is a JSON-like dict: task, split, file, examples, metric (the one that decided), scores; further
intervals {metric: [low, high]}, baseline {metric: value}, baseline_is; for classes names and confusion (rows
gold, columns predicted); wrong, a list of examples, worst first; left_out, {reason: rows}; for several seeds
seeds and spread.
"""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane.files import write_text
from tane.tasks.scores import better
from tane.text.columns import fit, table, visible, width

Row = list[str]

WIDTH, NARROWEST = 100, 40  # columns where there is no terminal, and the fewest that are used
MOST_CLASSES = 12  # in a table of all confusions
CONFUSIONS = 10  # in a list of the commonest
WRONG, WRONG_IN_FILE = 10, 50  # examples shown
LONGEST = 400  # columns of a text in the markdown file
ANSWERS = ("gold", "predicted", "score")  # of an example, after its row; all else is its text
VERDICT = "better: the whole interval beats the baseline"
# a cell that begins so may be run by a spreadsheet (OWASP, CSV injection), in Japanese ones full-width too
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
PLAIN_NUMBER = re.compile(r"[+-]\d+(\.\d+)?", re.ASCII)
MARKED = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


# ---------------------------------------------------------------------------------------------- the terminal


def page(report: dict[str, Any]) -> str:
    """The scores for a terminal, as wide as it is (100 columns where there is none)."""
    columns = max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)
    scores = _scores(report)
    lines = [*map(visible, (_title(report), _file(report))), "", table(scores, right={1, 3})]
    lines += [visible(part) for part in _notes(report, scores)]
    if report.get("spread"):
        lines += ["", seeds_title(report), table(spread_rows(report), right={1, 3, 4})]
    if report.get("confusion"):
        lines += ["", *_confusion(report, columns)]
    if "wrong" in report:
        lines += ["", wrong_title(report, WRONG)]
        for example in report["wrong"][:WRONG]:
            lines += _example(example, columns)
    return "\n".join(lines)


def _confusion(report: dict[str, Any], columns: int) -> list[str]:
    """The confusions: by name where that fits, else with columns numbered, else only the commonest."""
    cells = [[f"{count:,}" for count in row] for row in report["confusion"]]
    names = [visible(name) for name in report["names"]]
    if len(names) <= MOST_CLASSES:
        title = "confusions: a row is gold, a column what was predicted"
        named = table(
            [["", *names], *([name, *row] for name, row in zip(names, cells, strict=True))], _from(1)
        )
        if width(max(named.split("\n"), key=width)) <= columns:
            return [fit(title, columns), named]
        heads = [str(number) for number in range(1, len(names) + 1)]
        digits = max(width(text) for row in [heads, *cells] for text in row)
        room = columns - len(names) * (digits + 2)
        if room >= 12:
            rows = [
                [fit(f"{head} {name}", room), *row]
                for head, name, row in zip(heads, names, cells, strict=True)
            ]
            return [fit(title, columns), table([["", *heads], *rows], _from(1))]
    found = _commonest(report)
    if not found:
        return ["confusions: none, every answer is right"]
    room = (columns - 24) // 2
    rows = [[fit(gold, room), fit(predicted, room), count, share] for gold, predicted, count, share in found]
    rows = [["gold", "predicted", "count", "of gold"], *rows]
    return ["the commonest confusions", table(rows, right={2, 3})]


def _from(first: int) -> range:
    return range(first, 10_000)


def _example(example: dict[str, Any], columns: int) -> list[str]:
    """One example: what was answered in the first line, a line for each text; lists item under item."""
    lists = {key: [_cell(item) for item in value] for key, value in example.items() if _is_list(value)}
    texts = [key for key in example if key not in ("row", *ANSWERS, *lists)]
    rows = [[visible(key), fit(_cell(example[key]), columns)] for key in texts]
    lines = [_answer({key: value for key, value in example.items() if key not in lists}, columns)]
    lines += table(rows).split("\n") if rows else []
    texts_first = sorted(lists.items(), key=lambda one: one[0] in ANSWERS)
    for length in dict.fromkeys(map(len, lists.values())):
        alike = [[visible(key), *map(visible, items)] for key, items in texts_first if len(items) == length]
        lines += table(alike).split("\n")
    return [fit(line if not at else f"  {line}", columns) for at, line in enumerate(lines)]


def _answer(example: dict[str, Any], columns: int) -> str:
    """The line above an example's texts; long labels are cut so that each is seen."""
    row = f"row {example['row']}: " if "row" in example else ""

    def line(room: int) -> str:
        return row + ", ".join(f"{key} {fit(_cell(example[key]), room)}" for key in ANSWERS if key in example)

    whole = line(columns)
    return whole if width(whole) <= columns else line(max(8, (columns - 40) // 2))


# ---------------------------------------------------------------------------------------------- the markdown


def markdown(report: dict[str, Any]) -> str:
    """The scores as a markdown file, with up to 50 wrong examples; what texts hold of markdown is escaped."""
    lines = [f"# {_escape(_title(report))}", "", _escape(_file(report)) + "."]
    scores = _scores(report)
    lines += ["", *_markdown_table(scores, right={1, 3}), ""]
    lines += [f"- {_escape(part)}" for part in _notes(report, scores)]
    if report.get("spread"):
        lines += ["", f"## {_escape(seeds_title(report))}", ""]
        lines += _markdown_table(spread_rows(report), right={1, 3, 4})
    if report.get("confusion"):
        names, found = report["names"], _commonest(report)
        if len(names) <= MOST_CLASSES:
            cells = zip(names, report["confusion"], strict=True)
            rows = [["gold ↓ predicted →", *names], *([name, *map(str, row)] for name, row in cells)]
            lines += ["", "## confusions", "", *_markdown_table(rows, right=_from(1))]
        elif found:
            rows = [["gold", "predicted", "count", "of gold"], *found]
            lines += ["", "## the commonest confusions", "", *_markdown_table(rows, right={2, 3})]
    if "wrong" in report:
        lines += ["", f"## {_escape(wrong_title(report, WRONG_IN_FILE))}"]
        examples = report["wrong"][:WRONG_IN_FILE]
        keys = _keys(examples)
        rows = [[fit(_cell(example.get(key)), LONGEST) for key in keys] for example in examples]
        lines += ["", *_markdown_table([keys, *rows], right=())] if examples else []
    return "\n".join(lines) + "\n"


def _markdown_table(rows: Sequence[Sequence[str]], right: Any) -> list[str]:
    lines = [f"| {' | '.join(map(_escape, row))} |" for row in rows]
    rule = ["---:" if at in right else "---" for at in range(len(rows[0]))]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def _escape(text: str) -> str:
    """The text on one line, shown by markdown as it stands."""
    return MARKED.sub(r"\\\g<0>", visible(text)).translate(ENTITIES)


# --------------------------------------------------------------------------------------------------- the csv


def write_examples(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write examples as a csv that a spreadsheet opens right: UTF-8 with BOM, columns as the rows have them.

    For people, not for reading back: a text that a spreadsheet might run as a formula, since it begins with
    = + - @ (full-width too), a tab or a line end, is written with ' before it, as OWASP recommends. Plain
    numbers such as -1.50 stay as they are; a list becomes its items with spaces between; None an empty cell.
    Raises ResourceError.
    """
    keys = _keys(rows)
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    if keys:
        writer.writerow([_harmless(key) for key in keys])
    writer.writerows([_harmless(row.get(key)) for key in keys] for row in rows)
    write_text(path, "\ufeff" + file.getvalue())


def _harmless(value: Any) -> Any:
    if _is_list(value):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value.startswith(FORMULA) and not PLAIN_NUMBER.fullmatch(value):
        return f"'{value}"
    return value


# --------------------------------------------------------------------------------------- what both pages say


def _title(report: dict[str, Any]) -> str:
    return f"{report['task']}: scores on {report['split']}"


def _file(report: dict[str, Any]) -> str:
    count = report["examples"]
    return f"{report['file']}, {count:,} example{'s' * (count != 1)}"


def _scores(report: dict[str, Any]) -> list[Row]:
    """Each metric with its interval, the baseline and which of them is better; what decided stands first."""
    scores = report["scores"]
    rows = [["metric", "score", "95 % interval", "baseline", ""]]
    for metric in dict.fromkeys([report["metric"], *scores]):
        limits = _finite(report.get("intervals", {}).get(metric))
        base = report.get("baseline", {}).get(metric)
        score = scores.get(metric)
        interval = f"{_number(limits[0])} to {_number(limits[1])}" if limits else ""
        shown = "" if base is None else _number(base)
        rows.append([metric, _number(score), interval, shown, _verdict(metric, limits, base)])
    return rows


def _finite(limits: Sequence[float] | None) -> Sequence[float] | None:
    return limits if limits and all(map(math.isfinite, limits)) else None


def _verdict(metric: str, limits: Sequence[float] | None, base: float | None) -> str:
    """On which side of the baseline the interval lies."""
    if limits is None or base is None or not math.isfinite(base):
        return ""
    if limits[0] <= base <= limits[1]:
        return "cannot tell"
    return "better" if (limits[0] > base) == (better(metric) > 0) else "worse"


def _notes(report: dict[str, Any], scores: list[Row]) -> list[str]:
    """What must be known to read the scores."""
    baseline, left_out = report.get("baseline_is"), report.get("left_out")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in (left_out or {}).items())
    return [
        f"decided by {report['metric']}",
        *([f"baseline: {baseline}"] if baseline else []),
        *([VERDICT] if any(row[-1] for row in scores) else []),
        *([f"rows left out: {reasons}"] if reasons else []),
    ]


def seeds_title(report: dict[str, Any]) -> str:
    """The title of what several seeds gave."""
    return f"over the seeds {', '.join(map(str, report['seeds']))}"


def spread_rows(report: dict[str, Any]) -> list[Row]:
    """The heads, then for each metric its mean over the seeds, ± standard deviation, least and most."""
    rows = [["metric", "mean", "", "least", "most"]]
    for metric, found in report["spread"].items():
        ends = [_number(found[end]) for end in ("min", "max")]
        rows.append([metric, _number(found["mean"]), f"± {_number(found['std'])}", *ends])
    return rows


def _commonest(report: dict[str, Any]) -> list[Row]:
    """The confusions that occur most: gold, predicted, how often, share of that gold class."""
    names, counts = report["names"], report["confusion"]
    found = [
        (count, names[gold], names[predicted], count / sum(row))
        for gold, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and gold != predicted
    ]
    found.sort(key=lambda one: -one[0])
    return [
        [gold, predicted, f"{count:,}", f"{100 * share:.0f} %"]
        for count, gold, predicted, share in found[:CONFUSIONS]
    ]


def wrong_title(report: dict[str, Any], most: int) -> str:
    """The title of the examples: which these are, and of how many."""
    shown = min(most, len(report["wrong"]))
    if not shown:
        return "no wrong examples"
    if "rmse" in report["scores"]:
        return f"the largest errors: {shown:,} of {report['examples']:,} examples"
    if not report.get("confusion"):
        return f"wrong examples: {shown:,}, the worst first"
    total = sum(
        count for at, row in enumerate(report["confusion"]) for to, count in enumerate(row) if at != to
    )
    return f"wrong examples: {shown:,} of {total:,}, the most confident first"


def _keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All columns of the rows, in the order in which they come."""
    return list(dict.fromkeys(key for row in rows for key in row))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if _is_list(value):
        return " ".join(map(_cell, value))
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "undefined" if value is None or not math.isfinite(value) else f"{value:z,.3f}"
