"""How the command line treats people: completion, whole recipes, consoles that lack signs, colour."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tane import cli
from tane.completion import completion
from tane.recipe import Recipe
from tane.use.written import written
from tane.verbs import SHELLS, VERBS
from tane.yamlio import parse_yaml

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("meanings", [False, True])
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_written_out_recipe_is_the_same_recipe(path: Path, meanings: bool) -> None:
    recipe = Recipe.load(path)
    text = written(recipe, meanings=meanings).metrics["text"]
    again = Recipe.from_mapping(parse_yaml(text, "text"))
    assert again == recipe and again.flat() == recipe.flat()
    assert ("# " in text) == meanings


def test_config_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "print", str(RECIPES[0]), "--train.duration", "7 steps"]) == 0
    shown = parse_yaml(capsys.readouterr().out, "shown")
    assert shown["train"]["duration"] == "7 steps"
    assert cli.main(["config", "print", "--json"]) == 0  # all defaults
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["recipe"]["objective"]["name"] == "causal"
    assert cli.main(["config", "print", "nowhere.yaml"]) == 2
    assert cli.main(["config"]) == 2
    assert "expected one of print" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_verb_and_setting(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    text = capsys.readouterr().out
    for name in VERBS:
        assert name.split()[-1] in text
    assert "train.duration" in text and "max-new-tokens" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_its_shell(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(completion(shell, VERBS), encoding="utf-8")
    subprocess.run([found, "-n", str(tmp_path / "script")], check=True)


def complete(words: list[str], folder: Path) -> list[str]:
    """What bash offers for the last word."""
    (folder / "script").write_text(completion("bash", VERBS), encoding="utf-8")
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source ./script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        "$(complete -p tane | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tane", "fin"], "finetune"),
        (["tane", "tokenizer", "co"], "compare"),
        (["tane", "generate", "--temp"], "--temperature"),
        (["tane", "train", "--train.dur"], "--train.duration"),
        (["tane", "completion", "z"], "zsh"),
    ],
)
def test_bash_completes(words: list[str], offered: str, tmp_path: Path) -> None:
    assert complete(words, tmp_path) == [offered]


# commands one after another, and after each its exit code on both streams
SEVERAL = """
import json, sys
from tane.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    for stream in (sys.stdout, sys.stderr):
        print(f"=={code}", file=stream, flush=True)
"""


@pytest.mark.parametrize("encoding", ["cp932", "ascii"])
def test_a_console_that_lacks_signs_is_no_error(encoding: str, tmp_path: Path) -> None:
    """é, ½ and 𠮷 are in no Japanese Windows console's encoding."""
    path = tmp_path / "种café½𠮷.txt"
    path.write_text("種をまく。café ½ 𠮷野家\n\n犬は骨が好きです。\n", encoding="utf-8")
    commands = [["data", str(path)], ["data", str(path), "--json"], ["train", str(tmp_path / "种½.yaml")]]
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL, json.dumps(commands)], capture_output=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    shown, as_json, _ = done.stdout.decode(encoding).split("==0")
    assert "2 documents" in shown
    assert json.loads(as_json.splitlines()[-1])["documents"]["train"] == 2
    refused = done.stderr.decode(encoding).split("==0")[-1]
    assert refused.lstrip().startswith("tane: ") and refused.rstrip().endswith("==2")
    assert "Traceback" not in refused


def test_no_colours_where_there_is_no_terminal(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "a.txt").write_text("種をまく。\n", encoding="utf-8")
    for words in (["--help"], ["data", str(tmp_path / "a.txt")], ["options"]):
        assert cli.main(words) == 0
        told = capsysbinary.readouterr()
        assert told.out and b"\x1b" not in told.out + told.err


def test_a_terminal_hears_something_before_the_libraries_are_loaded() -> None:
    """The first line comes before torch, which takes seconds; told by order, not by time."""
    code = (
        "import sys\n"
        "from tane import cli\n"
        "class Terminal:\n"
        "    encoding, early = 'utf-8', None\n"
        "    def isatty(self): return True\n"
        "    def flush(self): pass\n"
        "    def write(self, text):\n"
        "        if self.early is None: self.early = ('torch' in sys.modules, text)\n"
        "sys.stderr = Terminal()\n"
        "code = cli.main(['plan', 'nowhere.yaml'])\n"
        "print(code, *sys.stderr.early)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 False tane ")
