"""Both READMEs say the same, and what they say works: each command, recipe and snippet is run."""

import glob
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from tane import cli
from tane.recipe import Recipe

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "README.ja.md")
SMALL = (
    '--train.duration "6 steps" --train.batch_tokens 256 --objective.block_size 128 '
    "--model.config.n_layer 1 --model.config.n_embd 32 --model.config.n_head 2"
)
# a command that would take long -> what is appended here, and only here
APPENDED = {
    "tane train my.yaml": SMALL,
    "tane train my.yaml --run-dir runs/patient --data-dir runs/my/data --train.early_stopping.patience 5": SMALL,
    "tane generate runs/my --prompt 春になると、 --num 3": "--max-new-tokens 8",
}
# a part of a snippet that would take long -> what stands there in the test
REPLACED = {
    '"train.duration=1k steps"': '"train.duration=6 steps", "train.batch_tokens=256", "objective.block_size=128", '
    '"model.config.n_layer=1", "model.config.n_embd=32", "model.config.n_head=2"',
    "max_new_tokens=50": "max_new_tokens=5",
    "num=3": "num=1",
}


class Fence(NamedTuple):
    """One fenced block of a page: its language, its text, its first line in the page."""

    language: str
    text: str
    line: int


def fences(page: str) -> list[Fence]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(m[1], m[2], text[: m.start()].count("\n") + 1) for m in found]


def headings(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for fence in fences(page):
        text = text.replace(fence.text, "")
    return re.findall(r"^(#+) .+$", text, re.MULTILINE)


def commands() -> list[str]:
    """The lines of all sh blocks of both pages in their order, each once where the pages agree."""
    ours, theirs = ([f.text for f in fences(page) if f.language == "sh"] for page in PAGES)
    blocks = ours if ours == theirs else ours + theirs
    return [line for block in blocks for line in block.splitlines()]


def test_the_pages_are_in_step() -> None:
    ours, theirs = map(headings, PAGES)
    assert ours == theirs
    for language in ("sh", "yaml", "python"):
        ours, theirs = ([f.text for f in fences(page) if f.language == language] for page in PAGES)
        assert ours == theirs and ours, language
    assert all(f.language for page in PAGES for f in fences(page))


def test_the_links_to_files_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        names = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
        names += re.findall(r"`((?:benchmarks|notebooks|docs|recipes)/[^`*]*|[A-Z]+\.md)`", text)
        assert names
        for name in names:
            assert (ROOT / name).exists(), f"{page}: {name}"


def check_target(line: str) -> bool:
    """For a line that is not run here: whether what it names exists. False: the line is to be run."""
    words = shlex.split(line)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), line
    elif words[:2] == ["git", "clone"]:
        assert words[2] == "URL", line
    elif words[0] == "cd":
        assert f"git clone URL {words[1]}" in commands(), line
    elif words[0] == ".":
        assert words[1] == ".venv/bin/activate" and '".venv"' in (ROOT / "tools" / "install.py").read_text(), line
    elif words[0] == "pip":
        extra = re.search(r"\[(\w+)\]", line)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert words[1] == "install" and extra and extra[1] in project["optional-dependencies"], line
    elif words[0] == "tensorboard":
        assert importlib.util.find_spec("tensorboard"), line
    else:
        return False
    return True


def test_inline_commands_exist() -> None:
    verbs = set(cli.VERBS)
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for verb in re.findall(r"`tane (\w+)", text):
            assert verb in verbs, f"{page}: tane {verb}"
        for line in re.findall(r"`((?:make|pip|tensorboard) [^`]+)`", text):
            assert check_target(line), f"{page}: {line}"
        names = {name for name, *_ in options()}
        for key in re.findall(r"`(?:--)?((?:corpus|tokenizer|objective|optim|train)\.[\w.]+)", text):
            assert key in names, f"{page}: {key}"


def options() -> list[tuple[str, str, str, str]]:
    from tane.recipe import options

    return list(options())


def test_exit_codes_are_those_of_the_program() -> None:
    from tane import errors

    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.TaneError)]
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert {int(c) for c in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {0, *(k.code for k in kinds)}


@pytest.mark.parametrize("page", PAGES)
def test_recipes_load(page: str) -> None:
    for fence in fences(page):
        if fence.language == "yaml":
            from tane.settings import parse_yaml

            Recipe.from_mapping(parse_yaml(fence.text, f"{page}, line {fence.line}"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """What a reader has at hand: a folder of texts, a file that is not among them, a folder of Aozora files."""
    from tests.system.aozora_file import STORY

    folder = tmp_path_factory.mktemp("reader")
    stories = sample_text.read_text(encoding="utf-8").split("\n\n")
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("\n\n".join(stories[:250]), encoding="utf-8")
    (folder / "texts" / "b.txt").write_text("\n\n".join(stories[250:400]), encoding="utf-8")
    (folder / "new.txt").write_text("\n\n".join(stories[400:430]), encoding="utf-8")
    (folder / "aozora").mkdir()
    (folder / "aozora" / "story.txt").write_bytes(STORY.encode("cp932"))
    return folder


def test_commands_and_snippets_work_in_their_order(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    done = 0
    for page in dict.fromkeys(PAGES if fences(PAGES[0]) != fences(PAGES[1]) else PAGES[:1]):
        for fence in fences(page):
            where = f"{page}, line {fence.line}"
            if fence.language == "yaml":
                name = re.match(r"# (\S+\.yaml)\n", fence.text)
                assert name, f"{where}: the first line must name the file"
                Path(name[1]).write_text(fence.text, encoding="utf-8")
            elif fence.language == "python":
                run_snippet(fence.text, where)
            elif fence.language == "sh":
                for line in fence.text.splitlines():
                    if not check_target(line):
                        run_command(line, where, capsys)
                        done += 1
        if sum(f.language == "sh" for f in fences(page)):
            break_if_same(page)
            break
    assert done >= 10


def run_command(line: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(f"{line} {APPENDED.get(line, '')}")
    assert words[0] == "tane", f"{where}: {line}"
    words = [w for word in words[1:] for w in (sorted(glob.glob(word)) if "*" in word else [word])]
    code = cli.main(words)
    told = capsys.readouterr()
    assert code == 0, f"{where}: {line}: exit code {code}\n{told.err[-2000:]}"


def run_snippet(text: str, where: str) -> None:
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    exec(compile(text, where, "exec"), {"__name__": "snippet"})


def break_if_same(page: str) -> None:
    """The other page has the same blocks (its own test says so), so its commands have just been run."""
    assert page == PAGES[0]
