"""The page: what was gathered, put into the templates, and written as one file."""

from __future__ import annotations

import html
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tane import files, progress, signals
from tane.errors import InputError
from tane.reporting import contents, trained_on
from tane.reporting.gather import Run, gather
from tane.reporting.versus import Scores, Verdict, compare
from tane.types import Result
from tane.use.plan_page import size

FORMATS = {"html": "report.html.j2", "md": "report.md.j2"}


@dataclass(frozen=True)
class Page(Result):
    """What `tane.report` returns. A notebook shows it: `display(tane.report("runs/x"))`."""

    text: str = ""

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style stays there."""
        framed = html.escape(self.text, quote=True)
        return f'<iframe srcdoc="{framed}" style="width:100%;height:44em;border:1px solid #ccc"></iframe>'

    def json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"path": self.path, **self.metrics}


def report(
    runs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    device: str = "auto",
) -> Page:
    """One self-contained page of a run's folder, or of several side by side.

    out: the file; None: RUN/report.html (or .md), of several runs report.html in the current folder. format:
    html or md; None: by the ending of `out`, else html. Several runs are compared with the first one by a
    paired bootstrap over what they both held out, on `device`. metrics: {report, format, runs: [{name, kind,
    steps, best_step, loss, ...}], verdicts: [{run, other, says, why, measure, difference, interval, items}]}.
    Raises InputError for a folder that is no run, and for another format.
    """
    named = [runs] if isinstance(runs, (str, os.PathLike)) else list(runs)
    if not named:
        raise InputError("there is no run to report on", "name the run_dir of a run")
    found = [gather(Path(name)) for name in named]
    place, kind = _place(found, out, format)
    if len({run.folder.resolve() for run in found}) < len(found):
        raise InputError("the same run is named twice", "name each run once")
    names = Counter(run.name for run in found)
    found = [replace(run, name=str(run.folder)) if names[run.name] > 1 else run for run in found]
    with signals.caught():
        verdicts = _verdicts(found, device)
        text = _made(kind, found, verdicts)
        text = text.encode("utf-8", "backslashreplace").decode()  # halves of characters have no UTF-8
    files.make_folder(place.parent)
    files.write_text(place, text)
    progress.say(f"the report is in {place}")
    metrics = {
        "report": str(place),
        "format": kind,
        "runs": [contents.summary(run) for run in found],
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    return Page(str(place), metrics, "", text)


def _place(runs: Sequence[Run], out: Any, kind: str | None) -> tuple[Path, str]:
    endings = {".html": "html", ".htm": "html", ".md": "md"}
    if kind is not None and kind not in FORMATS:
        raise InputError(f"format: expected html or md, found {kind!r}")
    if out is None:
        kind = kind or "html"
        return (runs[0].folder if len(runs) == 1 else Path()) / f"report.{kind}", kind
    place = Path(out)
    if place.is_dir():
        raise InputError(f"{place} is a folder", f"name a file: --out {place / 'report.html'}")
    return place, kind or endings.get(place.suffix.lower(), "html")


def _verdicts(runs: Sequence[Run], device: str) -> list[Verdict]:
    found, scores = [], Scores(device)
    for run in runs[1:]:
        progress.say(f"comparing {run.name} with {runs[0].name}")
        signals.poll("the report was being made")
        with progress.silenced():
            found.append(compare(run, runs[0], scores))
    return found


def _made(kind: str, runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """The page; what a log or scores hold that nobody wrote so is told, since each line of it is shown."""
    from jinja2 import TemplateError

    try:
        return _render(kind, runs, verdicts)
    except (TemplateError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        files = ", ".join(str(run.folder / "metrics.jsonl") for run in runs)
        raise InputError(
            f"{files}, or the scores.json beside it, is not what was written ({error})",
            f"look for what is damaged: tane verify {runs[0].folder}",
        ) from error


def _render(kind: str, runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    from tane import __version__

    page = _environment(kind).get_template(FORMATS[kind])
    several = len(runs) > 1
    return page.render(
        title=" · ".join(run.name for run in runs),
        version=__version__,
        runs=[contents.of_run(run, kind) for run in runs],
        several=several,
        verdicts=verdicts,
        rows=contents.rows_of(runs) if several else [],
        beside=contents.beside(runs) if several and kind == "html" else [],
    )


def _environment(kind: str) -> Any:
    """Everything that comes from a text or a recipe is escaped for HTML; in markdown, cells of tables are."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tane.reporting"), autoescape=kind == "html", trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {
        "rounded": trained_on.rounded, "number": _number, "percent": _percent, "cell": _cell, "size": size,
        "signed": _signed,
    }  # fmt: skip
    return environment


# -------------------------------------------------------------------------------------------------- filters


def _number(value: Any, digits: int = 3) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "undefined" if value is None or isinstance(value, float) else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _cell(value: Any) -> str:
    """A value inside a cell of a markdown table."""
    text = " ".join(str(value).split())
    for mark in "\\`*_[]|~":
        text = text.replace(mark, f"\\{mark}")
    return html.escape(text, quote=False)
