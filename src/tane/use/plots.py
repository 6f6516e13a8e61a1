"""Plots for people: the loss over the steps, what a masked model fills in, what a classifier confuses.

Japanese shows, since matplotlib-fontja brings glyphs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.text.columns import fit
from tane.training.tracker import LOG, read_metrics
from tane.types import Result

Events = list[dict[str, Any]]
AROUND = 20  # characters before and behind a mask that are shown
NUMBERED = 20  # classes up to which each cell of a confusion holds its number
LABEL = 16  # columns of a label's name


def plot_loss(run_dir: str | Path, path: str | Path | None = None) -> Any:
    """Training and validation loss over the steps; saved to `path` (PNG or SVG) when given.

    A masked model's accuracy at hidden tokens stands beside it, or a task's score of the validation examples.
    Returns the matplotlib figure; a notebook shows it by `display(figure)` after `%matplotlib inline`. Raises
    InputError when the run has no log.
    """
    run_dir = Path(run_dir)
    if not (run_dir / LOG).is_file():
        raise InputError(f"{run_dir} has no {LOG}: it is no run, or has not begun")
    steps, evals = read_metrics(run_dir, "step"), read_metrics(run_dir, "eval")
    loss, measure, meaning = _meanings(evals)
    figure = _figure(11 if measure else 7, 4)
    axes = figure.subplots(1, 2 if measure else 1, squeeze=False, sharex=True)[0]
    axes[0].plot(*_curve(steps, "loss"), label="training", color="0.6", linewidth=1)
    axes[0].plot(*_curve(evals, "loss"), "o-", label="validation", color="tab:blue")
    axes[0].set_ylabel(loss)
    axes[0].legend()
    if measure:
        scored = [event for event in evals if event.get(measure) is not None]  # some are undefined at times
        at, values = _curve(scored, measure)
        axes[1].plot(at, values, "o-", color="tab:orange")
        axes[1].set_ylabel(meaning)
        axes[1].set_ylim(min([0.0, *values]), 1.1 * max([0.0, *values]) or 1)
        axes[1].yaxis.set_major_formatter("{x:.0%}" if measure == "accuracy" else "{x:.2f}")
    for one in axes:
        one.set_xlabel("step")
        one.grid(alpha=0.3)
    figure.suptitle(run_dir.name)
    return _saved(figure, path)


def _meanings(evals: Events) -> tuple[str, str, str]:
    """What a run's losses are, the score to show beside them ("": none), and what that is."""
    if evals and "bits_per_char" not in evals[0]:  # a task's
        names = {name for event in evals for name in event}
        measure = "pearson" if "rmse" in names else "f1" if "precision" in names else "accuracy"
        return ("loss", measure, f"{measure} (validation)")
    if any(event.get("bits_per_char") is None and "accuracy" in event for event in evals):
        return ("loss (nats per hidden token)", "accuracy", "hidden tokens guessed right (validation)")
    return ("loss (nats per token)", "", "")


def plot_fills(result: Result, texts: str | Sequence[str], path: str | Path | None = None) -> Any:
    """The fills that `tane.fill_mask` found in these texts as bars, a panel for each mask, which is drawn as
    ＿＿; saved to `path` (PNG or SVG) when given.

    Returns the matplotlib figure. Raises InputError for a result without fills, or of other texts.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    fills, masks = result.metrics.get("fills"), result.metrics.get("masks")
    if not fills or not masks:
        raise InputError("there are no fills to draw", "give the result of tane.fill_mask")
    if max(mask["text"] for mask in masks) >= len(texts):
        raise InputError("these are fills of other texts", "give the texts that tane.fill_mask was given")
    widest = 1.15 * max((fill["score"] for row in fills for fill in row), default=1)
    rows = [len(row) + 2 for row in fills]  # a title takes about two
    figure = _figure(7, 0.3 * sum(rows))
    panels = figure.subplots(len(fills), 1, squeeze=False, gridspec_kw={"height_ratios": rows})[:, 0]
    for axes, mask, row in zip(panels, masks, fills, strict=True):
        scores = [fill["score"] for fill in row]
        bars = axes.barh(range(len(row)), scores, color="tab:blue")
        axes.bar_label(bars, [f"{score:.1%}" for score in scores], padding=3)
        # what looks like mathematics ($) is text
        axes.set_yticks(range(len(row)), [fill["token"] for fill in row], parse_math=False)
        axes.invert_yaxis()  # the likeliest on top
        axes.set_xlim(0, widest)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        text, start, end = texts[mask["text"]], mask["start"], mask["end"]
        around = text[max(0, start - AROUND) : start], text[end : end + AROUND]
        axes.set_title("＿＿".join(around), loc="left", parse_math=False)
    return _saved(figure, path)


def plot_confusion(
    scored: str | Path | Result | Mapping[str, Any],
    path: str | Path | None = None,
    *,
    split: str | None = None,
) -> Any:
    """How often each label (row) was answered as each (column), the darker the larger its share of the row;
    saved to `path` (PNG or SVG) when given.

    scored: the folder of a fine-tuned run, what `tane.finetune` or `tane.evaluate` returned, or its metrics.
    split: valid or test; none: test where there is one. Returns the matplotlib figure. Raises InputError
    where there are no scores, or none of classes.
    """
    report = _report(scored, split)
    if "confusion" not in report:
        raise InputError(f"{report.get('task')} has no labels of which one is right: there is no confusion")
    names: Any = report.get("names")
    counts: Any = report["confusion"]
    if not _is_square(names, counts) or type(report.get("examples")) is not int:
        raise InputError(
            f"{scored if isinstance(scored, (str, Path)) else 'this'}: the scores are damaged: they do not "
            "say how often which label was answered",
            "score again: tane finetune RECIPE, or tane evaluate",
        )
    shares = [[count / (sum(row) or 1) for count in row] for row in counts]
    side = max(3.2, 1.4 + min(0.7, 9 / len(names)) * len(names))
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, line in enumerate(counts if len(names) <= NUMBERED else ()):
        for column, count in enumerate(line):
            color = "white" if shares[row][column] > 0.65 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    shown = [fit(name, LABEL) for name in names]
    upright = len(names) > 4  # beside one another they would touch
    axes.set_xticks(range(len(names)), shown, parse_math=False, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), shown, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("gold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{report.get('split')}, {report['examples']:,} examples")
    return _saved(figure, path)


def _report(scored: str | Path | Result | Mapping[str, Any], split: str | None) -> Mapping[str, Any]:
    """The scores of one split: from a run's folder, or what held them in Python."""
    found: Mapping[str, Any]
    if isinstance(scored, Result):
        found = scored.metrics
    elif isinstance(scored, Mapping):
        found = scored
    else:
        file = Path(scored) / "scores.json"
        if not file.is_file():
            what = f"{scored} has no {file.name}: it is no run of a task, or is not finished"
            raise InputError(what, "tane finetune RECIPE")
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            found = {}
        if not isinstance(found, dict) or not found:
            raise InputError(
                f"{file} is damaged: it is not the JSON that was written", "tane finetune RECIPE"
            )
    if "scores" in found and "task" in found:  # those of one file
        return found
    splits = [name for name in ("test", "valid") if name in found]
    chosen = split or next(iter(splits), "")
    if chosen not in splits:
        there = f"there are {' and '.join(splits)}" if splits else "give what tane.finetune returned"
        raise InputError(f"there are no scores on {chosen}" if chosen else "there are no scores", there)
    report: Mapping[str, Any] = found[chosen]
    if not isinstance(report, Mapping):
        raise InputError(f"the scores on {chosen} are damaged", "tane finetune RECIPE")
    return report


def _is_square(names: Any, counts: Any) -> bool:
    """Whether there is a name for each label, and a count for each two of them."""
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        return False
    rows = isinstance(counts, list) and len(counts) == len(names)
    return rows and all(
        isinstance(row, list) and len(row) == len(names) and all(type(n) is int and n >= 0 for n in row)
        for row in counts
    )


def _figure(width: float, height: float) -> Any:
    import matplotlib_fontja  # noqa: F401 - sets a font with Japanese glyphs
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _curve(events: Events, name: str) -> tuple[list[int], list[float]]:
    """The steps, and a value at each of them."""
    return [event["step"] for event in events], [event[name] for event in events]


def _saved(figure: Any, path: str | Path | None) -> Any:
    if path is not None:
        figure.savefig(str(path), dpi=120)
    return figure
