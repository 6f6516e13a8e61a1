"""Plots of a run for people: the loss over the steps. Japanese labels show, since matplotlib-fontja brings
glyphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.training.tracker import LOG, read_metrics


def plot_loss(run_dir: str | Path, path: str | Path | None = None) -> Any:
    """Training and validation loss in nats over the steps; saved to `path` (PNG or SVG) when given.

    Returns the matplotlib figure; a notebook shows it by `display(figure)` after `%matplotlib inline`. Raises
    InputError when the run has no log.
    """
    run_dir = Path(run_dir)
    if not (run_dir / LOG).is_file():
        raise InputError(f"{run_dir} has no {LOG}: it is no run, or has not begun")
    import matplotlib_fontja  # noqa: F401 - sets a font with Japanese glyphs
    from matplotlib.figure import Figure

    steps, evals = read_metrics(run_dir, "step"), read_metrics(run_dir, "eval")
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        [e["step"] for e in steps], [e["loss"] for e in steps], label="training", color="0.6", linewidth=1
    )
    axes.plot(
        [e["step"] for e in evals], [e["loss"] for e in evals], "o-", label="validation", color="tab:blue"
    )
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_title(run_dir.name)
    axes.grid(alpha=0.3)
    axes.legend()
    if path is not None:
        figure.savefig(str(path), dpi=120)
    return figure
