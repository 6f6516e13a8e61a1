"""What `tane plan` tells a person: its values by what they are about, in units that can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def lines(values: dict[str, Any], duration: str) -> Iterator[str]:
    """The lines of a plan; `duration` as the recipe has it."""
    groups = {
        "text": _text(values),
        "model": _model(values),
        "training": _training(values, duration),
        "memory": _memory(values),
        "disk": [
            ("a checkpoint", size(values["checkpoint_bytes"])),
            ("in all, about", size(values["disk_bytes"])),
        ],
        "time": _time(values),
    }
    for name, rows in groups.items():
        for number, (what, value) in enumerate(rows):
            yield f"{'' if number else name:<10}{what:<28}  {value}"


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
