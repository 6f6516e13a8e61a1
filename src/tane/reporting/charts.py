"""Charts as SVG that stands in a page: letters drawn as outlines, colours those of the page's theme.

matplotlib draws with colours that stand for names; `_themed` puts the page's own variables in their place.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tane.reporting.gather import Run

INK, GRID = "#0a0b0c", "#0d0e0f"  # stand for var(--ink) and var(--grid)
COLOURS = ("#0a1001", "#0a1002", "#0a1003", "#0a1004", "#0a1005", "#0a1006")  # for var(--c1) and so on
FAINT = "#0a1000"  # for var(--faint)
WIDE, HIGH = 7.2, 2.7  # inches of one chart


class Line(NamedTuple):
    """A curve: its label, steps and values, the number of its colour, and whether it stays behind."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    faint: bool = False
    dots: bool = False


def curve(events: Iterable[dict[str, Any]], name: str, x: str = "step") -> tuple[list[float], list[float]]:
    """What events say of a name, where they do: (places, values)."""
    pairs = [
        (event[x], event[name])
        for event in events
        if isinstance(event.get(name), (int, float)) and isinstance(event.get(x), (int, float))
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def lines(
    title: str, shown: Sequence[Line], *, x: str = "step", best: tuple[float, float] | None = None,
    resumes: Sequence[int] = (), percent: bool = False, log: bool = False,
) -> str:  # fmt: skip
    """Curves in one chart; best: where a star stands; resumes: steps with an upright line."""
    figure, axes = _figure()
    for line in shown:
        color = FAINT if line.faint else COLOURS[line.colour % len(COLOURS)]
        style = "o-" if line.dots or len(line.x) == 1 else "-"
        width = 1.0 if line.faint else 1.8
        axes.plot(line.x, line.y, style, color=color, linewidth=width, markersize=3.5, label=line.label)
    for number, step in enumerate(resumes):
        label = "resumed" if number == 0 else None
        axes.axvline(step, color=INK, linewidth=0.8, linestyle=(0, (2, 3)), label=label)
    if best is not None:
        axes.plot(*best, marker="*", color=COLOURS[1], markersize=13, linestyle="none", label="best")
    if percent:
        axes.yaxis.set_major_formatter("{x:.0%}")
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(x)
    if len(shown) + len(resumes) + (best is not None) > 1:
        legend = axes.legend(frameon=False, labelcolor=INK, fontsize=9)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return _svg(figure, axes, title)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], x: str) -> str:
    """Counts between edges (one more), over a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullLocator

    figure, axes = _figure()
    widths = [b - a for a, b in pairwise(edges)]
    axes.bar(edges[:-1], counts, widths, align="edge", color=COLOURS[0], edgecolor=GRID, linewidth=0.5)
    axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return _svg(figure, axes, title)


def run_charts(run: Run) -> list[str]:
    """The charts of one run's log: loss, what stands beside it, rate, gradient, speed."""
    steps, evals = run.log["step"], run.log["eval"]
    resumes = [event["step"] for event in run.log["start"] if event["step"] > 0]
    unit = {"causal": " (nats per token)", "masked": " (nats per hidden token)"}.get(run.kind, "")
    shown = [Line("training", *curve(steps, "loss"), faint=True)]
    valid = curve(evals, "loss")
    shown += [Line("validation", *valid, dots=True)] if valid[0] else []
    found = [lines(f"Loss{unit}", shown, best=_star(run, "loss"), resumes=resumes)]
    name, title = measure_of(run)
    values = curve(evals, name) if name else ([], [])
    if values[0]:
        found.append(
            lines(title, [Line("validation", *values, dots=True)], best=_star(run, name), resumes=resumes,
                  percent=name == "accuracy")
        )  # fmt: skip
    for name, title in (
        ("lr", "Learning rate"),
        ("grad_norm", "Gradient norm, before clipping"),
        ("tokens_per_second", "Tokens a second"),
    ):
        points = curve(steps, name)
        if points[0]:
            found.append(lines(title, [Line(title, *points)], resumes=resumes))
    return found


def measure_of(run: Run) -> tuple[str, str]:
    """(name, title) of what an evaluation tells beside the loss; ("", "") where there is nothing."""
    if run.kind == "causal":
        return "bits_per_char", "Bits per character (validation)"
    if run.kind == "masked":
        return "accuracy", "Hidden tokens guessed right (validation)"
    name = next((report["metric"] for report in run.scores.values() if report.get("metric")), "")
    if not name:
        names = {name for event in run.log["eval"] for name in event}
        name = next((n for n in ("f1", "pearson", "accuracy") if n in names), "")
    return name, f"{name} (validation)" if name else ""


def side_by_side(runs: Sequence[Run], name: str, title: str, x: str) -> str:
    """One curve a run. x: step, or tokens."""
    shown = []
    for number, run in enumerate(runs):
        evals = run.log["eval"]
        if x == "tokens":
            at = dict(zip(*curve(run.log["step"], "tokens"), strict=True))
            evals = [{**event, "tokens": at[event["step"]]} for event in evals if event["step"] in at]
        shown.append(Line(run.name, *curve(evals, name, x), colour=number, dots=True))
    return lines(title, [line for line in shown if line.x], x=x)


def _star(run: Run, name: str) -> tuple[float, float] | None:
    best = run.best
    if best is None or not isinstance(best.get(name), (int, float)):
        return None
    return best["step"], best[name]


def _figure() -> tuple[Any, Any]:
    import matplotlib_fontja  # noqa: F401 - sets a font with Japanese glyphs
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDE, HIGH), layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Any, axes: Any, title: str) -> str:
    """The figure as an element for a page."""
    import matplotlib

    axes.set_title(title, color=INK, fontsize=11, loc="left", parse_math=False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=INK, labelcolor=INK, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    out = io.StringIO()
    settings: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": title}
    with matplotlib.rc_context(settings):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _themed(out.getvalue(), title)


def _themed(svg: str, title: str) -> str:
    """matplotlib's SVG with the page's colours, without what only a file of its own needs."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="|url\()#([\w.-]+)', svg))
    svg = re.sub(
        r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", svg
    )  # several charts of one page must not have the same
    names = {INK: "ink", GRID: "grid", FAINT: "faint"}
    names |= {colour: f"c{number}" for number, colour in enumerate(COLOURS, 1)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var(--{name})")
    head = f'role="img" aria-label="{escape(title)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    box = re.search(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', svg)
    assert box
    svg = f'<svg viewBox="{box[1]}" {head}{svg[box.end() :]}'
    return re.sub(r"\n\s*", "\n", svg)
