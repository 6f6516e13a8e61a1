"""What `tane plan` tells a person: its values by what they are about, in units that can be read; the first
blocks; and what it warns of."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from tane.text.columns import width
from tane.use import block_page
from tane.use.screen import WIDTH

Rows = list[tuple[str, str]]

UNITS = ("bytes", "kB", "MB", "GB", "TB")
PARTS = {
    "base": "libraries",
    "working": "kernels and gaps",
    "weights": "weights",
    "copies": "weights in half precision",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "head": "logits",
}
GROUP, WHAT = 10, 28  # columns of the name of a group, and of what a value is
HEAD = GROUP + WHAT + 2
LEAST = 16  # columns of a value, however narrow the terminal
ORANGE, RED = "38;5;166", "38;5;196"  # both read on black as on white


def lines(
    values: dict[str, Any], *, columns: int | None = None, colour: bool = False, blocks: bool = True
) -> Iterator[str]:
    """The lines of a plan. columns: of the terminal, None: lines may be of any length; colour: with escape
    sequences; blocks: show them too."""
    for name, rows in _groups(values).items():
        for number, (what, value) in enumerate(rows):
            head = f"{'' if number else name:<{GROUP}}" + (f"{what:<{WHAT}}  " if what else "")
            yield from _folded(head, value, columns)
    if blocks and values["first_blocks"] is not None:
        yield from _blocks(values, columns, colour)
    yield from _warnings(values, columns, colour)


def _groups(values: dict[str, Any]) -> dict[str, Rows]:
    return {
        "text": _text(values),
        "model": _model(values),
        "training": _training(values, values["duration"]),
        "memory": _memory(values),
        "disk": [
            ("a checkpoint", size(values["checkpoint_bytes"])),
            ("in all, about", size(values["disk_bytes"])),
        ],
        "time": _time(values),
    }


def _blocks(values: dict[str, Any], columns: int | None, colour: bool) -> Iterator[str]:
    shown = values["first_blocks"]
    what = "examples" if "examples" in values else "blocks"
    if not shown:
        yield from _folded(f"{what:<{GROUP}}", "tane prepare RECIPE makes them; then some are shown", columns)
        return
    yield from _folded(f"{what:<{GROUP}}", "what the model gets first, and what it must say", columns)
    yield from block_page.terminal(shown, columns or WIDTH, colour=colour)
    yield ""


def _warnings(values: dict[str, Any], columns: int | None, colour: bool) -> Iterator[str]:
    found, looked = values["warnings"], _looked(values["looked_at"])
    count = f"{len(found):,}" if found else "none"
    yield from _folded(f"{'warnings':<{GROUP}}", f"{count}; {looked}", columns)
    for one in found:
        style = RED if one["stops"] else ORANGE
        name = f"\x1b[{style}m{one['name']}\x1b[0m" if colour else one["name"]
        stops = " (training stops with it)" if one["stops"] else ""
        head, *rest = _folded("", f"{one['name']}: {one['message']}{stops}", columns, "    ")
        yield "  " + head.strip().replace(one["name"], name, 1)
        yield from rest
        yield from _folded("    -> ", one["remedy"], columns)


def _looked(looked: dict[str, Any]) -> str:
    train, valid = looked["training_documents"], looked["validation_documents"]
    beside = f" and {valid:,} validation" if valid else ""
    some = "" if looked["all"] else ", which are not all"
    return f"looked at {train:,} training{beside} documents{some}"


def _folded(head: str, text: str, columns: int | None, then: str | None = None) -> Iterator[str]:
    """A text after its head, folded at spaces into so many columns; `then` stands before its next lines, the
    head's columns where it is None."""
    then = " " * len(head) if then is None else then
    if columns is None:
        yield f"{head}{text}".rstrip()
        return
    room = max(LEAST, columns - max(len(head), len(then)))
    line = ""
    for word in text.split(" "):
        for part in _parts(word, room):
            if line and width(line) + 1 + width(part) > room:
                yield f"{head}{line}".rstrip()
                head, line = then, ""
            line = f"{line} {part}" if line else part
    yield f"{head}{line}".rstrip()


def _parts(word: str, room: int) -> Iterator[str]:
    """A word in parts of at most so many columns."""
    part = ""
    for char in word:
        if width(part) + width(char) > room:
            yield part
            part = ""
        part += char
    yield part


def html(values: dict[str, Any]) -> str:
    """A plan for a notebook, on whatever ground it has."""
    cell = "text-align:left;padding:.1em .8em .1em 0"
    rows = [
        f"<tr><th style='{cell}'>{'' if number else escape(name)}</th><td style='{cell}'>{escape(what)}</td>"
        f"<td style='{cell}'>{escape(value)}</td></tr>"
        for name, group in _groups(values).items()
        for number, (what, value) in enumerate(group)
    ]
    found = [
        f"<li><b>{escape(one['name'])}</b>: {escape(one['message'])}<br>"
        f"<code>{escape(one['remedy'])}</code></li>"
        for one in values["warnings"]
    ]
    told = f"<p>warnings: {len(found) or 'none'}; {escape(_looked(values['looked_at']))}</p>"
    return (
        f"<div style='max-width:60em'><table>{''.join(rows)}</table>"
        f"{block_page.html(values['first_blocks'] or [])}{told}<ul>{''.join(found)}</ul></div>"
    )


def _text(values: dict[str, Any]) -> Rows:
    rows = []
    about = "" if values["tokens_are"] == "counted" else "about "
    if "examples" in values:
        counts = {"validation": values["valid_examples"], "test": values["test_examples"]}
        more = "".join(f", {count:,} {side}" for side, count in counts.items() if count)
        rows += [("examples", f"{values['examples']:,}{more}")]
        rows += [("labels", f"{values['labels']:,}")] if values["labels"] else []
        longest = f"{values['longest_example']:,} tokens (at most {values['max_length']:,})"
        rows += [("longest example", longest), ("tokens", f"{values['tokens']:,}")]
        return [*rows, ("padding", f"{values['padding_share']:.1%}")]
    rows += [("tokens", f"{about}{values['tokens']:,}, validation {about}{values['valid_tokens']:,}")]
    rows += [("pieces of the tokenizer", f"{values['pieces']:,}"), ("blocks", f"{about}{values['blocks']:,}")]
    if about:
        rows += [("", "estimated from the size of the files; tane prepare counts them")]
    return rows


def _model(values: dict[str, Any]) -> Rows:
    trained = values["trained_parameters"]
    some = "" if trained == values["parameters"] else f", {trained:,} of them trained"
    return [("parameters", f"{values['parameters']:,}{some}")]


def _training(values: dict[str, Any], duration: str) -> Rows:
    steps, each = values["steps"], f"{values['steps_per_epoch']:,} steps"
    if steps is None:
        rows = [("steps", f"{duration}: --probe tells how many steps they are"), ("an epoch", each)]
    else:
        rows = [("steps", f"{steps:,} ({values['epochs']:,} epochs)"), ("an epoch", each)]
    if values.get("runs", 1) > 1:
        rows.insert(0, ("runs of the grid", f"{values['runs']:,}; all here is of one, the disk of all"))
    step = f"{values['tokens_per_step']:,} tokens"
    if "examples_per_step" in values:
        step = f"{values['examples_per_step']:,} examples, {step}"
    rows += [("a step", step)]
    pieces = values.get("micro_batches_per_step")
    told = f"{values['micro_batch_tokens']:,} tokens"
    rows += [("a micro-batch", f"{told}, {pieces:,} a step" if pieces and pieces > 1 else told)]
    if values.get("warmup_steps") is not None:
        falls = f", decay {values['decay_steps']:,} steps" if values["decay_steps"] else ""
        rows += [("learning rate", f"warm-up {values['warmup_steps']:,} steps{falls}")]
    if values.get("eval_every_steps"):
        rows += [("evaluation every", f"{values['eval_every_steps']:,} steps")]
    if values.get("flops"):
        rows += [("floating point operations", f"{values['flops']:.2g}")]
    return [*rows, ("machine", f"{values['precision']} on {values['device']}")]


def _memory(values: dict[str, Any]) -> Rows:
    rows = []
    if values["memory_bytes"] is not None:
        rows += [("at the peak, about", size(values["memory_bytes"]))]
    for name, what in PARTS.items():
        if (values["memory"] or {}).get(name):
            rows += [(f"  {what}", size(values["memory"][name]))]
    if not rows:
        rows = [("weights, gradients, optimizer", size(values["state_memory_bytes"]))]
    if values.get("probe_memory_bytes"):
        rows += [("measured by the probe", size(values["probe_memory_bytes"]))]
    return rows


def _time(values: dict[str, Any]) -> Rows:
    if "seconds" not in values:
        return [("", "--probe measures it: it trains for some seconds and keeps nothing")]
    rows = [
        ("a step", f"{values['seconds_per_step']:.3g} s"),
        ("tokens a second", f"{values['tokens_per_second']:,}"),
        ("the run", time_of(values["seconds"])),
        ("  steps", time_of(values["training_seconds"])),
    ]
    if values["evaluations"]:
        rows += [(f"  {values['evaluations']:,} evaluations", time_of(values["evaluation_seconds"]))]
    rows += [("  saves, about", time_of(values["save_seconds"]))]
    return [*rows, ("start-up beside it", time_of(values["start_seconds"]))]


def size(count: float) -> str:
    """Bytes as a person reads them: 12.3 MB."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:,.0f} {UNITS[power]}" if power == 0 or count >= 99.95 else f"{count:.1f} {UNITS[power]}"


def time_of(seconds: float) -> str:
    """Seconds as a person reads them: 4 min 10 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days:,} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
