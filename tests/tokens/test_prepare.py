"""What a failed first `prepare` leaves: nothing that it made, and everything that was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tane import files, locks
from tane.errors import InputError
from tane.text.corpus import CorpusSettings
from tane.tokens import tasks
from tane.tokens.prepare import prepare_data
from tane.tokens.tokenizer import TokenizerSettings


def prepare(folder: Path, text: Path) -> None:
    prepare_data(CorpusSettings(inputs=[str(text)]), TokenizerSettings(), folder)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A text that cannot be read."""
    (tmp_path / "damaged.txt").write_bytes("一つ目の文です。".encode()[:-1])
    return tmp_path / "damaged.txt"


@pytest.mark.parametrize("text", ["absent.txt", "damaged.txt"])
def test_nothing_is_left_of_a_folder_that_it_made(tmp_path: Path, damaged: Path, text: str) -> None:
    with pytest.raises(InputError):
        prepare(tmp_path / "runs" / "mine" / "data", tmp_path / text)
    assert list(tmp_path.iterdir()) == [damaged]


def test_what_was_there_stays(tmp_path: Path, damaged: Path) -> None:
    (tmp_path / "runs" / "other").mkdir(parents=True)
    (tmp_path / "made").mkdir()
    for folder in (tmp_path / "runs" / "mine" / "data", tmp_path / "made"):
        with pytest.raises(InputError):
            prepare(folder, damaged)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"] and (tmp_path / "made").is_dir()


def test_what_was_read_stays_for_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n\n")
    with pytest.raises(InputError, match="0 usable documents"):
        prepare(tmp_path / "data", tmp_path / "blank.txt")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [".lock", ".pieces"]


def test_what_a_kill_left_after_the_last_stage_is_cleared(tmp_path: Path, sample_text: Path) -> None:
    data = tmp_path / "data"
    prepare(data, sample_text)
    made = files.Manifest.read(data / "shards").meta["fingerprint"]
    work = tasks.work_of(data / "shards", made)
    others = data / ".parts-0123456789abcdef"  # of words that are found in parts: not finished
    for place in (work, others, data / ".pieces"):
        place.mkdir()
        (place / "x").touch()
    with locks.locked(data, shared=True):
        prepare(data, sample_text)  # somebody works there: nothing is touched
        assert work.exists()
    prepare(data, sample_text)
    left = {p.name for p in data.iterdir()}
    assert left == {".lock", others.name, "corpus", "shards", "tokenizer"}
