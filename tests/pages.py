"""Pages of documentation as tests see them: headings, fences, links, and commands that are run here.

A fence is one fenced block. An HTML comment in the line before it says what a test does with it:

    <!-- run: REASON -->   commands or code that cannot be run here: they are only understood
    <!-- output -->        what the commands of the fence before print: each line is looked for in it
"""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tane import cli
from tane.recipe import Recipe, options
from tane.sample import __main__ as sample

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^(?:<!-- ([^\n]+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = "run: "  # a note that begins so gives the reason why a fence is not run here
OUTPUT = "output"
LEFT_OUT = "..."  # a line of an output that stands for others


class Fence(NamedTuple):
    """One fenced block of a page: its language, its text, its first line in the page, the note before it."""

    language: str
    text: str
    line: int
    note: str = ""


class Told(NamedTuple):
    """What a command printed."""

    code: int
    out: str
    err: str


# ------------------------------------------------------------------------------------------------ the page


def fences(path: Path) -> list[Fence]:
    """The fenced blocks of a page, in their order."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        line = text[: match.start(2)].count("\n") + 1
        found.append(Fence(match[2], match[3], line, match[1] or ""))
    return found


def headings(path: Path) -> list[tuple[str, str]]:
    """(signs of the level, text) of each heading."""
    return re.findall(r"^(#+) (.+)$", prose(path), re.MULTILINE)


def prose(path: Path) -> str:
    """A page without its fences."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> list[str]:
    """Where the links of a page lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(path))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def check_names(path: Path, later: Iterable[str] = ()) -> None:
    """What a page names in passing exists: verbs, settings, targets of make, extras of pip.

    later: verbs that may be missing still.
    """
    text = path.read_text(encoding="utf-8")
    verbs = {word for name in cli.VERBS for word in (name, name.split()[0])} | {*later}
    for verb in re.findall(r"`tane (\w+)", text):
        assert verb in verbs, f"{path.name}: tane {verb}"
    for line in re.findall(r"`((?:make|pip|tensorboard) [^`]+)`", text):
        assert check_target(line), f"{path.name}: {line}"
    names = {name for name, *_ in options()}
    for key in re.findall(r"`(?:--)?((?:corpus|tokenizer|objective|optim|task|train)\.[\w.]+)", text):
        known = key in names or any(name.startswith(f"{key}.") for name in names)
        assert known, f"{path.name}: {key}"


# -------------------------------------------------------------------------------------------- its commands


def lines_of(paths: Iterable[Path]) -> list[str]:
    """The lines of all sh fences of pages."""
    found = (fence for path in paths for fence in fences(path) if fence.language == "sh")
    return [line for fence in found for line in fence.text.splitlines()]


def check_target(line: str) -> bool:
    """For a line that is not run here: whether what it names exists. False: the line is to be run."""
    words = shlex.split(line)
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), line
    elif words[:2] == ["git", "clone"]:
        assert words[2:] == ["URL", "tane"], line
    elif words[0] == "cd":
        assert words[1:] == ["tane"], line
    elif words[0] == ".":
        assert words[1] == ".venv/bin/activate", line
        assert '".venv"' in (ROOT / "tools" / "install.py").read_text(encoding="utf-8"), line
    elif words[0] == "pip":
        extra = re.search(r"\[(\w+)\]", line)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert words[1] == "install" and extra and extra[1] in project["optional-dependencies"], line
    elif words[0] == "tensorboard":
        assert importlib.util.find_spec("tensorboard"), line
    else:
        return False
    return True


def understand(line: str) -> None:
    """Take apart a command that is not run here; its flags must be known and its recipe must load.

    Recipes are looked for in the working folder; of a model nothing is asked.
    """
    words = shlex.split(line)
    words = words[next(i for i, word in enumerate(words) if "=" not in word) :]  # without A=b before it
    if words[:2] == ["bash", "deploy/slurm.sh"]:
        assert words[2] in ("submit", "submit-train"), line
        words = ["tane", "train", *words[3:]]
    if words[0] == "torchrun":
        words = ["tane", *words[words.index("tane") + 1 :]]
    assert words[0] == "tane", line
    _, values, overrides = cli.parse(words[1:])
    if getattr(values, "recipe", None) is not None:
        Recipe.load(values.recipe, *overrides)


def run_command(line: str, where: str, appended: Mapping[str, str], code: int = 0) -> Told:
    """Run one line in the working folder, with what `appended` puts behind lines of its patterns.

    Fails unless the exit code is `code` and something was said.
    """
    more = [text for pattern, text in appended.items() if fnmatch.fnmatchcase(line, pattern)]
    words = shlex.split(" ".join([line, *more]))
    if words[0] == "torchrun":
        command = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        told = Told(done.returncode, done.stdout, done.stderr)
    else:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if words[:3] == ["python", "-m", "tane.sample"]:
                status = sample.main(words[3:])
            else:
                assert words[0] == "tane", f"{where}: {line}"
                status = cli.main(words[1:])
        told = Told(status, out.getvalue(), err.getvalue())
    assert told.code == code, f"{where}: {line}: exit code {told.code}\n{told.err[-2000:]}"
    assert told.out or told.err, f"{where}: {line} said nothing"
    return told


def run_snippet(text: str, where: str, replaced: Mapping[str, str], names: dict[str, Any]) -> str:
    """Run Python with some of its parts replaced, in these names; returns what it printed."""
    for old, new in replaced.items():
        text = text.replace(old, new)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(text, where, "exec"), names)
    return out.getvalue()


def check_output(shown: str, printed: str, where: str) -> None:
    """Each line that is shown stands in what was printed, in this order; `...` stands for any lines."""
    rest = [line.strip() for line in printed.splitlines()]
    for line in (line.strip() for line in shown.splitlines()):
        if not line or line == LEFT_OUT:
            continue
        assert line in rest, f"{where}: not printed: {line}\n" + "\n".join(rest[:60])
        rest = rest[rest.index(line) + 1 :]
