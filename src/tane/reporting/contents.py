"""What the templates take of a run, and of several side by side."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from tane.reporting import charts, trained_on
from tane.reporting.gather import Run
from tane.training.resume import RESOLVED
from tane.training.samples import HIDDEN
from tane.use import score_page
from tane.use.card import read_json
from tane.use.plan_page import size, time_of
from tane.yamlio import dump_yaml

LOOKS = 8  # evaluations whose samples are shown, from the first to the last
WRONG = 20  # wrong examples that are shown
CLASSES = 20  # up to which a confusion is shown as a table


def of_run(run: Run, kind: str) -> dict[str, Any]:
    """What the templates take of one run."""
    text = trained_on.text_of(run)
    return {
        "run": run,
        "facts": _facts(run),
        "charts": charts.run_charts(run) if kind == "html" else [],
        "evals": _some(run.log["eval"], 20),
        "text": text,
        "histograms": _histograms(text) if kind == "html" and text else [],
        "samples": _samples(run),
        "probes": _probes(run),
        "scores": [_scored(split, found) for split, found in run.scores.items()],
        "machine": _machine(run),
        "recipe": dump_yaml(run.recipe).strip(),
        "command": _command(run),
        "events": _events(run),
    }


def _facts(run: Run) -> list[tuple[str, str]]:
    """How far it came, what the model is, its best evaluation, how long and how fast."""
    start, best = run.start, run.best
    rows = [("state", f"{run.state} at step {run.steps:,} of {start.get('total', 0):,}")]
    shape = read_json(run.model / "config.json").get("model_type")
    rows += [("model", f"{shape or 'none yet'}, {start.get('parameters', 0):,} parameters")]
    if best is not None:
        rows += [("best", f"step {best['step']:,}: {_measured(run, best)}")]
    tokens = [event["tokens"] for event in run.log["step"] if "tokens" in event]
    if tokens:
        rows += [("trained on", f"{tokens[-1]:,} tokens in {time_of(run.seconds)}")]
    speeds = sorted(e["tokens_per_second"] for e in run.log["step"] if e.get("tokens_per_second"))
    if speeds:
        rows += [("speed", f"{speeds[len(speeds) // 2]:,} tokens/s (median of the steps logged)")]
    return rows


def _measured(run: Run, event: dict[str, Any]) -> str:
    told = [f"validation loss {event['loss']:.4f}"] if isinstance(event.get("loss"), float) else []
    name, _ = charts.measure_of(run)
    value = event.get(name) if name else None
    if isinstance(value, (int, float)):
        words = {"bits_per_char": f"{value:.3f} bits per character", "accuracy": f"{value:.1%} right"}
        told.append(words.get(name, f"{name} {value:.3f}"))
    return ", ".join(told)


def _events(run: Run) -> list[tuple[int, str]]:
    """What happened on the way: resumes, stops, leaps of the loss, want of memory."""
    rows = [(e["step"], "resumed") for e in run.log["start"] if e["step"] > 0]
    rows += [(e["step"], f"stopped by {e.get('signal') or 'a signal'}") for e in run.log["stop"]]
    rows += [(e["step"], f"the loss leapt to {e.get('loss', math.nan):.3f}") for e in run.log["spike"]]
    rows += [(e["step"], "out of memory: smaller micro-batches from here on") for e in run.log["memory"]]
    return sorted(rows)


def _histograms(text: trained_on.Text) -> list[str]:
    found = []
    for shown, unit in ((text.characters, "characters"), (text.tokens, "tokens")):
        if shown is not None:
            title = f"Length of documents in {unit}: median {shown.median:,.0f}, mean {shown.mean:,.0f}"
            found.append(charts.histogram(title, shown.edges, shown.counts, unit))
    return found


def _some(events: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most so many, the first and the last among them, evenly spread."""
    if len(events) <= most:
        return list(events)
    return [events[round(i * (len(events) - 1) / (most - 1))] for i in range(most)]


def _samples(run: Run) -> list[dict[str, Any]]:
    """[{prompt, looks: [(step, text)]}] of the continuations at each evaluation."""
    events = _some([e for e in run.log["samples"] if e.get("texts")], LOOKS)
    count = min((len(e["texts"]) for e in events), default=0)
    return [
        {
            "prompt": events[0]["texts"][n]["prompt"],
            "looks": [(e["step"], e["texts"][n]["text"]) for e in events],
        }
        for n in range(count)
    ]


def _probes(run: Run) -> list[dict[str, Any]]:
    """[{text, parts: it without what is hidden, rows}] of the hidden words.

    rows: [{step, fills: [{truth, right, fills: [(token, share)]}]}].
    """
    events = _some([e for e in run.log["samples"] if e.get("probes")], LOOKS)
    count = min((len(e["probes"]) for e in events), default=0)
    found = []
    for n in range(count):
        rows = []
        for event in events:
            fills = [
                {**fill, "right": bool(fill["fills"]) and fill["fills"][0][0] == fill["truth"]}
                for fill in event["probes"][n]["fills"]
            ]
            rows.append({"step": event["step"], "fills": fills})
        text = events[0]["probes"][n]["text"]
        parts = text.split(HIDDEN)
        whole = len(parts) == len(rows[0]["fills"]) + 1  # else the text has such signs of its own
        found.append({"text": text, "parts": parts if whole else [text], "rows": rows})
    return found


def _scored(split: str, report: dict[str, Any]) -> dict[str, Any]:
    names, cells = report.get("names"), report.get("confusion")
    confusion = None
    if names and cells and len(names) <= CLASSES:
        shares = [[count / (sum(row) or 1) for count in row] for row in cells]
        confusion = [
            (name, list(zip(row, part, strict=True)))
            for name, row, part in zip(names, cells, shares, strict=True)
        ]
    return {
        "split": split, "report": report, "names": names, "confusion": confusion,
        "wrong_title": score_page.wrong_title(report, WRONG) if report.get("wrong") else "",
        "seeds_title": score_page.seeds_title(report) if report.get("spread") else "",
        "spread": score_page.spread_rows(report) if report.get("spread") else [],
        "wrong": (report.get("wrong") or [])[:WRONG],
        "keys": list(dict.fromkeys(key for one in (report.get("wrong") or [])[:WRONG] for key in one)),
        "intervals": report.get("intervals") or {}, "baseline": report.get("baseline") or {},
    }  # fmt: skip


def _machine(run: Run) -> list[tuple[str, str]]:
    start = run.start
    machine, libraries = start.get("machine") or {}, start.get("versions") or {}
    rows = []
    if machine:
        rows += [
            ("processor", f"{machine['processor']}, {machine['cores']} cores, {size(machine['memory'])}")
        ]
        rows += [("graphics cards", ", ".join(machine["gpus"]))] if machine.get("gpus") else []
    rows += [
        ("trained on", f"{start.get('device')}, {start.get('precision')}, {start.get('threads')} threads")
    ]
    if start.get("processes", 1) > 1:
        rows += [("processes", f"{start['processes']} ({start.get('parallel')})")]
    told = libraries or {"torch": start.get("torch", "unknown")}
    return [*rows, ("versions", ", ".join(f"{name} {version}" for name, version in told.items()))]


def _command(run: Run) -> str:
    """What repeats the run with all that was settled, in another folder."""
    verb = "finetune" if run.kind == "task" else "train"
    beside = run.folder if run.folder.name.strip(".") else run.folder.resolve()  # such as . and ..
    again = beside.with_name(f"{beside.name}-again")
    return shlex.join(["tane", verb, str(run.own / RESOLVED), "--run-dir", str(again)])


# --------------------------------------------------------------------------------------------- side by side


def summary(run: Run) -> dict[str, Any]:
    """What the metrics of a report say of a run."""
    best = run.best or {}
    kept = {key: best[key] for key in ("loss", "bits_per_char", "accuracy") if best.get(key) is not None}
    return {
        "name": run.name, "run": str(run.folder), "kind": run.kind, "steps": run.steps,
        "state": run.state.rstrip(",").partition(",")[0], "best_step": best.get("step"), **kept,
    }  # fmt: skip


def rows_of(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Facts side by side, and every setting in which the runs differ."""
    facts = [dict(_facts(run)) for run in runs]
    rows = [
        (name, [one.get(name, "") for one in facts]) for name in dict.fromkeys(n for f in facts for n in f)
    ]
    flat = [_flat(run.recipe) for run in runs]
    for name in dict.fromkeys(key for one in flat for key in one):
        values = [_plain(one.get(name)) for one in flat]
        if len(set(values)) > 1 and name != "run_dir":
            rows.append((name, values))
    return rows


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix[:-1]: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.")
    return found


def _plain(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def beside(runs: Sequence[Run]) -> list[str]:
    """Curves of all runs in one chart, where they are of one kind."""
    if len({run.kind for run in runs}) > 1 or not all(run.log["eval"] for run in runs):
        return []
    found = [charts.side_by_side(runs, "loss", "Validation loss", "step")]
    name, title = charts.measure_of(runs[0])
    if name and all(charts.curve(run.log["eval"], name)[0] for run in runs):
        found.append(charts.side_by_side(runs, name, title, "step"))
    return found
