"""Tokenizers side by side as a picture: how densely they write a text, and at what cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tane.errors import InputError
from tane.resources import writing
from tane.text.columns import fit_end
from tane.types import Result
from tane.use.tokenizer_choice import WIDTH

ENDINGS = (".png", ".svg")
NAME = 28  # columns of a tokenizer's name
CHOSEN, OTHER, LOST = "tab:blue", "0.7", "tab:red"


def check_target(path: str | Path) -> Path:
    """The path of a plot. Raises InputError for another ending, or a folder that is not there."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(ENDINGS)}", "--out compare.png")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}", "make it, or choose another one")
    return path


def plot_tokenizers(result: Result, path: str | Path | None = None) -> Any:
    """What `compare_tokenizers` found as bars, a panel for each measure, the recommended one in colour; saved
    to `path` (PNG or SVG) when given.

    Returns the matplotlib figure. Raises InputError for another result, or another path.
    """
    found = result.metrics.get("tokenizers")
    if not found:
        raise InputError("there are no tokenizers to draw", "give the result of tane.compare_tokenizers")
    target = None if path is None else check_target(path)
    import matplotlib_fontja  # noqa: F401 - sets a font with Japanese glyphs
    from matplotlib.figure import Figure

    choice = result.metrics["recommendation"]["choice"]
    names = [fit_end(one["name"], NAME) for one in found]
    colours = [CHOSEN if one["name"] == choice else OTHER for one in found]
    panels = [
        ("characters a token", [one["text"]["characters_per_token"] for one in found], "{:.2f}"),
        ("pieces used", [one["text"]["used_share"] for one in found], "{:.0%}"),
        (
            f"million parameters at width {WIDTH}",
            [one["embedding_parameters"] / 1e6 for one in found],
            "{:.1f}",
        ),
    ]  # fmt: skip
    figure = Figure(figsize=(12, 1.3 + 0.5 * len(found)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    rows = range(len(found))
    for one, (title, values, form) in zip(axes, panels, strict=False):
        bars = one.barh(rows, values, color=colours)
        one.bar_label(bars, [form.format(value) for value in values], padding=3)
        one.set_xlim(0, 1.3 * max([*values, 1e-9]))
        one.set_title(title, fontsize="medium")
    _losses(axes[3], found)
    axes[0].set_yticks(rows, names, parse_math=False)
    axes[0].invert_yaxis()  # in the order of their names
    for one in axes:
        one.set_xticks([])
        one.tick_params(length=0)
        one.spines[["top", "right", "bottom"]].set_visible(False)
    title = f"recommended: {fit_end(choice, 60)}" if choice else "counting cannot tell"
    figure.suptitle(title, parse_math=False)
    if target is not None:
        with writing(target):
            figure.savefig(str(target), dpi=120)
    return figure


def _losses(axes: Any, found: list[dict[str, Any]]) -> None:
    """The shares of tokens that are bytes, and that are unknown, one behind the other."""
    rows = range(len(found))
    byte = [one["text"]["byte_share"] for one in found]
    unknown = [one["text"]["unknown_share"] for one in found]
    axes.barh(rows, byte, color=OTHER, label="bytes")
    bars = axes.barh(rows, unknown, left=byte, color=LOST, label="unknown")
    axes.bar_label(bars, [f"{a:.1%} + {b:.1%}" for a, b in zip(byte, unknown, strict=True)], padding=3)
    most = max(a + b for a, b in zip(byte, unknown, strict=True))
    axes.set_xlim(0, 1.8 * max(most, 0.01))
    axes.set_title("tokens: bytes + unknown", fontsize="medium")
