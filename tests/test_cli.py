"""The command line: what it answers, with which exit status, and what a script can rely on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tane
from tane import cli, files, locks
from tane.cli import VERBS, main
from tane.errors import InputError, TaneError

Capture = pytest.CaptureFixture[str]


def answer(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """(exit status, stdout, stderr) of a command in this process."""
    capsys.readouterr()
    code = main(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err or "--debug" in arguments
    return code, out, err


def last_json(out: str) -> dict[str, Any]:
    assert out.endswith("\n")
    found = json.loads(out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "tane", *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        **settings,
    )


def recipe(folder: Path, text: str = "", **values: str) -> Path:
    """A recipe over a small text, whose run lies in `folder`."""
    (folder / "text.txt").write_text("".join(f"{i}番の文です。\n\n" for i in range(60)), encoding="utf-8")
    path = folder / "r.yaml"
    lines = {"run_dir": str(folder / "run"), "corpus": f"{{inputs: [{folder / 'text.txt'}]}}", **values}
    path.write_text("".join(f"{k}: {v}\n" for k, v in lines.items()) + text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------------- help


def test_help_is_complete_and_light() -> None:
    code = (
        "import sys\nfrom tane.cli import main\nmain(['--help'])\n"
        "print(*sorted({n.split('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    wide = {**os.environ, "COLUMNS": "110"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=wide)
    assert not set(done.stderr.split()) & {"torch", "transformers", "numpy", "pydantic", "yaml", "tqdm"}
    for name, verb in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(verb.meaning)}$", done.stdout, re.MULTILINE)
    for number in (0, 1, 2, 3, 4, 5, 6, 75, 130):
        assert re.search(rf"\b{number} [a-z]", done.stdout), f"exit code {number} is explained"
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_the_table_of_verbs_is_folded_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    table = cli.usage().split("\n\n")[2]
    assert max(map(len, table.splitlines())) <= 60
    for name, verb in VERBS.items():
        assert f"{name} {verb.meaning}" in " ".join(table.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_in_all_its_spellings(capsys: Capture, arguments: list[str]) -> None:
    code, out, err = answer(capsys, *arguments)
    assert code == 0 and out == cli.usage() + "\n" and err == ""


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_tells_its_flags(capsys: Capture, verb: str) -> None:
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert err == "" and f"usage: tane {verb}" in out
    wanted = [*VERBS[verb].flags, *cli.COMMON]
    for flag in wanted:
        assert all(name in out for name in flag.names if name.startswith("-")), flag.names
        assert flag.settings.get("help"), f"{flag.names} has no help"
    assert ("RECIPE" in out) == VERBS[verb].recipe


def test_the_version(capsys: Capture) -> None:
    assert answer(capsys, "--version") == (0, f"tane {tane.__version__}\n", "")
    assert answer(capsys, "train", "--version")[0] == 0


# ------------------------------------------------------------------------------- 2: bad input and settings


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "unknown verb 'trian'\n  -> did you mean: tane train"),
        (["zzz"], "unknown verb 'zzz'\n  -> see: tane --help"),
        (["--quiet"], "unknown verb '--quiet'"),
        (["generate"], "the following arguments are required: MODEL"),
        (["generate", "m", "--tmeperature", "1"], "unrecognized arguments: --tmeperature"),
        (["generate", "m", "--temp", "1"], "unrecognized arguments: --temp"),
        (["generate", "m", "--num", "many"], "invalid int value: 'many'"),
        (["generate", "m", "--prompt", "-x"], "follows an equals sign: '--prompt=-x'"),
        (["predict", "m", "--text", "--3"], "follows an equals sign: '--text=--3'"),
        (["predict", "m", "--text", "--quiet"], "one argument\n  -> see: tane predict --help"),
        (["fill", "m", "-x[MASK]"], "follows a bare -- at the end: tane fill MODEL -- '-...'"),
        (["verify"], "the following arguments are required: PATH"),
        (["verify", "a", "b"], "unrecognized arguments: b"),
        (["verify", "no-such-folder"], "the path no-such-folder does not exist"),
        (["verify", "x" * 300], "cannot be looked at"),
        (["train"], "the following arguments are required: RECIPE"),
        (["train", "no-such.yaml"], "the recipe no-such.yaml does not exist"),
        (["train", "r.yaml", "--frehs"], "unknown flag --frehs"),
        (["train", "r.yaml", "--train.keep"], "--train.keep has no value"),
        (["train", "r.yaml", "--verify", "half"], "invalid choice: 'half'"),
        (["options", "trian"], "there is no section or setting 'trian'"),
        (["generate", "./no-such-model", "--prompt", "a"], "no-such-model"),
        (["generate", "m", "--prompt-file", "no-such.txt"], "the prompt file no-such.txt does not exist"),
        (["evaluate", "m"], "the following arguments are required: --data"),
        (["data"], "there is nothing to look into"),
        (["data", "no-such.csv"], "the input no-such.csv does not exist"),
        (["data", "a.csv", "--list"], "a list of the hub takes no SPEC"),
        (["data", "a.csv", "--search", "b"], "a list of the hub takes no SPEC"),
        (["data", "--list", "--head", "0"], "--head: expected 1 or more, found 0"),
    ],
)
def test_what_is_not_understood(capsys: Capture, arguments: list[str], told: str) -> None:
    code, out, err = answer(capsys, *arguments)
    assert code == 2 and out == "" and err.startswith("tane: ") and told in err


@pytest.mark.parametrize(
    ("arguments", "name", "texts"),
    [
        (["predict", "m", "--text", "-3度"], "text", ["-3度"]),
        (
            ["predict", "m", "--text", "暑い", "-3度", "- あ", "-", "--quiet"],
            "text",
            ["暑い", "-3度", "- あ", "-"],
        ),
        (["predict", "m", "--text", "暑い", "--text-pair", "-3度", "-1"], "text_pair", ["-3度", "-1"]),
        (["predict", "m", "--text=--x"], "text", ["--x"]),
        (
            ["generate", "m", "--prompt", "-3度の", "-「はい」", "--num", "2"],
            "prompt",
            ["-3度の", "-「はい」"],
        ),
        (["generate", "m", "--stop", "-。"], "stop", ["-。"]),
        (["fill", "m", "-3度は[MASK]。"], "text", ["-3度は[MASK]。"]),
        (["fill", "m", "--top-k", "2", "--", "-x[MASK]"], "text", ["-x[MASK]"]),
    ],
)
def test_texts_may_begin_with_a_dash(arguments: list[str], name: str, texts: list[str]) -> None:
    assert getattr(cli.parse(arguments)[1], name) == texts


def test_settings_are_checked_before_anything_is_written(tmp_path: Path, capsys: Capture) -> None:
    path = recipe(tmp_path)
    for flags, told in (
        (["--train.duraton", "1 step"], "did you mean 'train.duration'?"),
        (["--train.keep", "1"], "train.keep: "),
        (["--optim.lr", "inf"], "optim.lr: input should be a finite number"),
        (["--optim.name", "adamv"], "did you mean 'adamw'?"),
        (["--corpus.inputs", "[a"], "--corpus.inputs, line 1: not valid YAML"),
        (["--tokenizer.ram", "much"], "tokenizer.ram: expected a size"),
    ):
        for verb in ("prepare", "train", "plan"):
            code, out, err = answer(capsys, verb, str(path), *flags)
            assert (code, out) == (2, "") and told in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.yaml", "text.txt"]


def test_a_broken_recipe_is_told_with_file_and_line(tmp_path: Path, capsys: Capture) -> None:
    path = recipe(tmp_path, "train: {keep: 3}\ntrain: {keep: 4}\n")
    code, _, err = answer(capsys, "plan", str(path))
    assert code == 2 and f"{path}, line 4: not valid YAML: the key 'train' stands twice" in err


# ------------------------------------------------------------------------------ 3, 4, 5: folders and data


@pytest.mark.parametrize("place", ["file", "file/run", "/proc/run"])
def test_a_folder_that_cannot_be_made_is_3(tmp_path: Path, capsys: Capture, place: str) -> None:
    path = recipe(tmp_path)
    (tmp_path / "file").write_text("mine")
    target = place if place.startswith("/") else str(tmp_path / place)
    for verb in ("prepare", "train"):
        code, out, err = answer(capsys, verb, str(path), "--run-dir", target)
        assert (code, out) == (3, "") and "cannot make the folder" in err and "\n  -> " in err
    assert (tmp_path / "file").read_text() == "mine"


def test_damage_is_4_and_names_the_file(tmp_path: Path, capsys: Capture) -> None:
    files.publish(tmp_path / "t", "corpus", lambda folder: (folder / "a").write_text("x") and None)
    assert answer(capsys, "verify", str(tmp_path / "t"))[0] == 0
    (tmp_path / "t" / "a").write_text("y")
    code, out, err = answer(capsys, "verify", str(tmp_path / "t"), "--json")
    assert code == 4 and f"bad: {tmp_path / 't' / 'a'}" in err
    found = last_json(out)
    assert found["ok"] is False and found["bad"] == [str(tmp_path / "t" / "a")] and found["checked"] == 2
    assert found["code"] == 4 and "1 files are damaged" in found["error"]


def test_stale_data_is_4_and_says_what_changed(tmp_path: Path, capsys: Capture) -> None:
    path = recipe(tmp_path, tokenizer="{vocab_size: 300}")
    code, out, err = answer(capsys, "prepare", str(path), "--json")
    assert code == 0, err
    found = last_json(out)
    assert (
        found["pieces"] <= 300 and found["splits"]["train"]["tokens"] > 0 and found["path"].endswith("data")
    )
    (tmp_path / "text.txt").write_text("ほかの文です。\n\n" * 3 + "別。\n", encoding="utf-8")
    code, _, err = answer(capsys, "prepare", str(path))
    assert code == 4 and "text.txt was edited" in err and "--rebuild" in err
    code, _, err = answer(capsys, "prepare", str(path), "--corpus.unit", "line", "--corpus.dedup", "none")
    assert code == 4 and "corpus.unit: None -> line" in err and "corpus.dedup: exact -> none" in err


def test_a_folder_in_use_is_5_and_names_the_owner(tmp_path: Path, capsys: Capture) -> None:
    path = recipe(tmp_path)
    with locks.locked(tmp_path / "run"):
        code, out, err = answer(capsys, "train", str(path), "--json")
    assert code == 5 and f"is in use by pid {os.getpid()} on " in err
    assert last_json(out)["code"] == 5 and str(os.getpid()) in last_json(out)["error"]
    with locks.locked(tmp_path / "run" / "data"):
        assert answer(capsys, "prepare", str(path))[0] == 5


def test_the_error_classes_carry_the_exit_codes_of_the_contract() -> None:
    from tane import errors

    found = {
        c.__name__: c.code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, TaneError)
    }
    assert found == {
        "TaneError": 1,
        "InputError": 2,
        "ResourceError": 3,
        "IntegrityError": 4,
        "LockedError": 5,
        "DivergedError": 6,
        "Stopped": 75,
        "Interrupted": 130,
    }


# ------------------------------------------------------------------------------------------- 130: Ctrl-C


def test_an_interrupt_with_nothing_to_resume_is_130() -> None:
    with start("generate", "no-such-model", "--prompt-file", "-", "--json") as child:  # waits for its prompts
        assert child.stderr is not None and child.stdout is not None
        deadline = time.monotonic() + 20
        while (
            b"\0generate\0" not in Path(f"/proc/{child.pid}/cmdline").read_bytes()
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 130 and err == "tane: interrupted; what was saved before is as it was\n"
    assert last_json(out)["code"] == 130


# ------------------------------------------------------------------------------------------------- --json


def test_json_is_the_last_line_on_success(capsys: Capture, tmp_path: Path) -> None:
    code, out, _ = answer(capsys, "options", "--json")
    assert code == 0 and len(out.splitlines()) == 1
    rows = last_json(out)["options"]
    assert {"name", "type", "default", "meaning"} == set(rows[0]) and len(rows) > 50
    files.publish(tmp_path / "種", "corpus", lambda folder: None)
    code, out, err = answer(capsys, "verify", str(tmp_path / "種"), "--json")
    assert code == 0 and len(out.splitlines()) == 1 and "checked" in err
    expected = {"path": str(tmp_path / "種"), "ok": True, "checked": 1, "bad": []}
    assert last_json(out).items() >= expected.items()
    assert "種" in out, "Japanese as it is"


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["verify", "no-such"], ["train", "no-such.yaml"], ["options", "nothing"], ["generate"]],
)
def test_json_is_the_last_line_on_errors(capsys: Capture, arguments: list[str]) -> None:
    code, out, err = answer(capsys, *arguments, "--json")
    assert len(out.splitlines()) == 1
    assert last_json(out) == {"error": err.removeprefix("tane: ").rstrip("\n"), "code": code} and code == 2


def test_json_of_a_plan(capsys: Capture, tmp_path: Path) -> None:
    path = recipe(tmp_path)
    code, out, err = answer(capsys, "plan", str(path), "--train.duration", "10 steps", "--json")
    assert code == 0, err
    found = last_json(out)
    assert found["steps"] == 10 and found["parameters"] > 1e6 and found["tokens_are"] == "estimated"
    assert not (tmp_path / "run").exists(), "a plan writes nothing"


def test_file_names_that_are_no_text_do_not_break_json() -> None:
    with start("verify", os.fsdecode(b"\xff\xfe"), "--json") as child:
        out, err = child.communicate(timeout=30)
    assert child.returncode == 2 and last_json(out)["code"] == 2 and "Traceback" not in err


def test_quiet_says_nothing_but_errors(capsys: Capture, tmp_path: Path) -> None:
    files.publish(tmp_path / "t", "corpus", lambda folder: None)
    assert answer(capsys, "verify", str(tmp_path / "t"), "--quiet") == (0, "", "")
    code, out, err = answer(capsys, "verify", "no-such", "--quiet")
    assert code == 2 and out == "" and err.startswith("tane: ")


def test_options_for_people(capsys: Capture) -> None:
    code, out, _ = answer(capsys, "options", "optim.schedule")
    assert code == 0 and out.count("optim.schedule.") == 4
    assert "optim.schedule.warmup  (fraction or duration; default 0.05)\n    linear warm-up" in out
    assert answer(capsys, "options", "run-dir")[1].startswith("run_dir  (text; default runs/tane)")


def test_a_reader_that_goes_away_is_no_error() -> None:
    with start("options") as child:
        assert child.stdout is not None and child.stderr is not None and child.stdin is not None
        child.stdout.close()
        child.wait(timeout=30)
        assert child.returncode == 0 and child.stderr.read() == ""


# ------------------------------------------------------------------------------- 1: what nobody foresaw


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[BaseException], None]:
    """Make `tane verify` raise; temporary files go to a folder of the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def breaks(error: BaseException) -> None:
        def run(*_: Any) -> Any:
            raise error

        monkeypatch.setitem(VERBS, "verify", VERBS["verify"]._replace(run=run))

    return breaks


def test_an_unforeseen_error_writes_its_traceback_to_a_file(
    capsys: Capture, broken: Callable[[BaseException], None], tmp_path: Path
) -> None:
    broken(ZeroDivisionError("nobody thought of 種"))
    code, out, err = answer(capsys, "verify", ".", "--json")
    assert code == 1 and "unforeseen error: ZeroDivisionError: nobody thought of 種" in err
    [path] = tmp_path.glob("tane-error-*.txt")
    assert str(path) in err and last_json(out)["code"] == 1 and str(path) in last_json(out)["error"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("Traceback") and "test_cli.py" in text and "nobody thought of 種" in text


def test_a_traceback_is_shown_on_request_only(
    capsys: Capture, broken: Callable[[BaseException], None]
) -> None:
    for error, words in ((KeyError("k"), "KeyError"), (InputError("bad", "do this"), "InputError")):
        broken(error)
        assert "Traceback" not in answer(capsys, "verify", ".")[2]
        assert "Traceback" in (shown := answer(capsys, "verify", ".", "--debug")[2]) and words in shown


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError(), 3, "out of memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            3,
            "out of memory",
        ),
        (OSError(28, "No space left on device", "out.bin"), 3, "out.bin: the disk is full"),
        (OSError(24, "Too many open files"), 3, "too many open files"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, ""),
        (InputError("found x", "type y"), 2, "tane: found x\n  -> type y"),
    ],
)
def test_errors_of_the_system_have_their_codes(
    capsys: Capture,
    broken: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    told: str,
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # which a broken pipe closes
    broken(error)
    capsys.readouterr()
    assert main(["verify", "."]) == code
    assert told in capsys.readouterr().err
