"""The file writer, the command, and that importing is cheap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tane.sample
from tane.errors import ResourceError
from tane.sample import stories, write_corpus
from tane.sample.__main__ import main

SRC = Path(__file__).resolve().parents[2] / "src"
NEEDS_PROC = pytest.mark.skipif(not Path("/proc").is_dir(), reason="a place where nobody can write")


def test_write_corpus(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    assert write_corpus(path, seed=5, count=30) == 30
    data = path.read_bytes()
    assert b"\r" not in data
    assert data.decode("utf-8") == "\n\n".join(stories(5, 30)) + "\n"
    assert list(tmp_path.iterdir()) == [path]


def test_write_corpus_replaces_a_file_and_takes_a_string(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("old", encoding="utf-8")
    write_corpus(str(path), count=2)
    assert path.read_text("utf-8").count("\n") == 3


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text("old", encoding="utf-8")

    def broken(seed: int, count: int):  # type: ignore[no-untyped-def]
        yield "一つ。"
        raise OSError("no space left")

    monkeypatch.setattr("tane.sample.generate.stories", broken)
    with pytest.raises(ResourceError, match=r"cannot write .*corpus.txt: no space"):
        write_corpus(path)
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_command_prints_stories(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "4", "--count", "3"]) == 0
    assert capsys.readouterr().out == "\n".join(stories(4, 3)) + "\n"


def test_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.txt"
    assert main(["--count", "3", "--out", str(path)]) == 0
    assert "3 stories" in capsys.readouterr().out
    assert path.read_text("utf-8") == "\n\n".join(stories(0, 3)) + "\n"


def test_command_writes_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--pairs", str(tmp_path / "pairs")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote ") and out.count("\n") == 1, "no story beside it"
    for name in ("train.csv", "valid.csv", "test.csv"):
        assert (tmp_path / "pairs" / name).exists() and name in out


def test_command_writes_stories_and_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "3", "--out", str(tmp_path / "out.txt"), "--pairs", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out.txt", "train.csv", "valid.csv", "test.csv"}


@pytest.mark.parametrize("arguments", [["--count", "-1"], ["--count", "5", "--pairs", "pairs"]])
def test_command_refuses_a_count_that_means_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and list(tmp_path.iterdir()) == []


def test_the_seed_is_also_that_of_the_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("0", "1"):
        assert main(["--seed", seed, "--pairs", str(tmp_path / seed)]) == 0
    assert main(["--pairs", str(tmp_path / "default")]) == 0
    for name in ("train.csv", "valid.csv", "test.csv"):
        zero, one, default = ((tmp_path / seed / name).read_bytes() for seed in ("0", "1", "default"))
        assert zero == default and zero != one


@pytest.mark.parametrize(
    ("flag", "place", "message"),
    [
        ("--out", "file/x.txt", "a file stands where a folder is due"),
        ("--out", "folder", "a folder stands where a file is due"),
        ("--out", "", "a folder stands where a file is due"),
        pytest.param("--out", "/proc/x.txt", "cannot write /proc/x.txt", marks=NEEDS_PROC),
        ("--out", "long" * 100, "too long"),
        ("--pairs", "file", "a file stands where a folder is due"),
        ("--pairs", "folder", "a folder stands where a file is due"),
        pytest.param("--pairs", "/proc/x", "cannot make the folder /proc/x", marks=NEEDS_PROC),
    ],
)
def test_a_place_that_cannot_be_written_is_one_message(
    flag: str,
    place: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "train.csv").mkdir(parents=True)
    assert main([flag, place, *(["--count", "2"] if flag == "--out" else [])]) == 3
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err
    assert printed.err.startswith("python -m tane.sample: ") and "Traceback" not in printed.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "train.csv"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-m", "tane.sample", "--count", "2000"]
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_the_folder_of_a_corpus_is_made(tmp_path: Path) -> None:
    assert main(["--count", "2", "--out", str(tmp_path / "new" / "corpus.txt")]) == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["corpus.txt"]


def test_import_is_light() -> None:
    code = (
        "import sys, tane.sample; "
        "heavy = [m for m in sys.modules if m.startswith('tane.sample.') "
        "or m in ('fugashi', 'ipadic', 'torch', 'numpy')]; "
        "print(heavy)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "[]"


def test_exports() -> None:
    for name in tane.sample.__all__:
        assert getattr(tane.sample, name) is not None
    with pytest.raises(AttributeError, match="nothing_here"):
        tane.sample.nothing_here  # noqa: B018
