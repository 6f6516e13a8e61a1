"""Plots for people: the loss over the steps, and what a masked model fills in. Japanese shows, since
matplotlib-fontja brings glyphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.training.tracker import LOG, read_metrics
from tane.types import Result

Events = list[dict[str, Any]]
AROUND = 20  # characters before and behind a mask that are shown


def plot_loss(run_dir: str | Path, path: str | Path | None = None) -> Any:
    """Training and validation loss in nats over the steps; saved to `path` (PNG or SVG) when given.

    A masked model's accuracy at hidden tokens stands beside it. Returns the matplotlib figure; a notebook
    shows it by `display(figure)` after `%matplotlib inline`. Raises InputError when the run has no log.
    """
    run_dir = Path(run_dir)
    if not (run_dir / LOG).is_file():
        raise InputError(f"{run_dir} has no {LOG}: it is no run, or has not begun")
    steps, evals = read_metrics(run_dir, "step"), read_metrics(run_dir, "eval")
    # only a model that hides tokens is not scored on all text
    masked = any(event.get("bits_per_char") is None and "accuracy" in event for event in evals)
    figure = _figure(11 if masked else 7, 4)
    axes = figure.subplots(1, 2 if masked else 1, squeeze=False, sharex=True)[0]
    axes[0].plot(*_curve(steps, "loss"), label="training", color="0.6", linewidth=1)
    axes[0].plot(*_curve(evals, "loss"), "o-", label="validation", color="tab:blue")
    axes[0].set_ylabel(f"loss (nats per {'hidden ' if masked else ''}token)")
    axes[0].legend()
    if masked:
        axes[1].plot(*_curve(evals, "accuracy"), "o-", color="tab:orange")
        axes[1].set_ylabel("hidden tokens guessed right (validation)")
        axes[1].set_ylim(0, 1.1 * max(event["accuracy"] for event in evals) or 1)
        axes[1].yaxis.set_major_formatter("{x:.0%}")
    for one in axes:
        one.set_xlabel("step")
        one.grid(alpha=0.3)
    figure.suptitle(run_dir.name)
    return _saved(figure, path)


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
