"""`tane verify`: nothing that was written goes unchecked, and every kind of damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tane import files
from tane.errors import InputError
from tane.use.verify import verify


def publish(target: Path, kind: str, *names: str) -> None:
    def write(folder: Path) -> dict[str, Any]:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(name.encode() * 100)
        return {}

    files.publish(target, kind, write)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder like a finished run: data, two checkpoints, a link to the best model, files without a
    manifest."""
    root = tmp_path / "run"
    publish(root / "data" / "corpus", "corpus", "train-00000.jsonl.zst")
    publish(root / "data" / "tokenizer", "tokenizer", "tokenizer.json", "tokenizer_config.json")
    publish(root / "data" / "shards", "shards", "train-00000.bin", "train-00000.idx")
    for step in (100, 200):
        publish(
            root / "checkpoints" / f"step-{step:09d}", "checkpoint", "model/config.json", "state/state.json"
        )
    (root / "model").symlink_to("checkpoints/step-000000200/model")
    (root / "metrics.jsonl").write_text("{}\n")
    (root / ".lock").touch()
    return root


FILES = 1 + 2 + 2 + 2 + 2
FOLDERS = 5


def test_a_sound_run(run: Path) -> None:
    for fast in (False, True):
        assert verify(run, fast=fast).metrics == {"ok": True, "checked": FILES + FOLDERS, "bad": []}
    assert verify(run / "data").metrics["checked"] == 8
    assert verify(run / "checkpoints" / "step-000000100").metrics == {"ok": True, "checked": 3, "bad": []}


def bad(path: Path, **settings: bool) -> list[str]:
    result = verify(path, **settings)
    assert result.metrics["ok"] == (not result.metrics["bad"])
    return [str(Path(name).relative_to(path)) for name in result.metrics["bad"]]


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[50] ^= 4
    path.write_bytes(raw)


BIN = "data/shards/train-00000.bin"
STEP = "checkpoints/step-000000100"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit": (lambda r: flip(r / BIN), BIN),
    "a cut file": (lambda r: (r / BIN).write_bytes(b""), BIN),
    "a missing file": (lambda r: (r / BIN).unlink(), BIN),
    "an extra file": (lambda r: (r / STEP / "model" / "more.bin").touch(), f"{STEP}/model/more.bin"),
    "a damaged manifest": (lambda r: flip(r / STEP / files.MANIFEST), f"{STEP}/manifest.json"),
    "an empty manifest": (lambda r: (r / STEP / files.MANIFEST).write_bytes(b""), f"{STEP}/manifest.json"),
    "a checkpoint without a manifest": (
        lambda r: (r / STEP / files.MANIFEST).unlink(),
        f"{STEP}/manifest.json",
    ),
    "an emptied checkpoint": (
        lambda r: (shutil.rmtree(r / STEP), (r / STEP).mkdir()),
        f"{STEP}/manifest.json",
    ),
    "data without a manifest": (
        lambda r: (r / "data" / "corpus" / files.MANIFEST).unlink(),
        "data/corpus/manifest.json",
    ),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_each_damage_is_found_and_named(run: Path, how: str) -> None:
    damage, name = DAMAGES[how]
    damage(run)
    assert bad(run) == [name]
    assert bad(run, fast=True) == ([] if how == "a flipped bit" else [name])


def test_each_single_file_counts(run: Path) -> None:
    for path in sorted(p for p in run.rglob("*") if p.is_file() and p.name not in ("metrics.jsonl", ".lock")):
        if "model" in path.relative_to(run).parts[:1]:
            continue  # the link
        kept = path.read_bytes()
        flip(path)
        assert bad(run) == [str(path.relative_to(run))]
        path.write_bytes(kept)
    assert bad(run) == []


def test_several_damages_are_all_named(run: Path) -> None:
    flip(run / BIN)
    (run / STEP / files.MANIFEST).unlink()
    (run / "data" / "tokenizer" / "new.json").touch()
    assert sorted(bad(run)) == sorted([BIN, f"{STEP}/manifest.json", "data/tokenizer/new.json"])


def test_a_checkpoint_or_data_folder_alone_that_lost_its_manifest(run: Path) -> None:
    (run / STEP / files.MANIFEST).unlink()
    assert bad(run / STEP) == ["manifest.json"]
    (run / "data" / "shards" / files.MANIFEST).unlink()
    assert bad(run / "data") == ["shards/manifest.json"]


def test_what_a_crash_left_behind_is_not_looked_at(run: Path) -> None:
    shutil.copytree(run / STEP, run / "checkpoints" / ".tmp-step-000000300-1-2")
    flip(run / "checkpoints" / ".tmp-step-000000300-1-2" / "model" / "config.json")
    (run / "data" / ".trash-x-1-2").mkdir()
    (run / "data" / ".trash-x-1-2" / files.MANIFEST).touch()
    assert bad(run) == []


def test_nothing_to_verify(tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    for path in (tmp_path, tmp_path / "text.txt"):
        with pytest.raises(InputError, match="holds nothing that can be verified"):
            verify(path)
    with pytest.raises(InputError, match="does not exist"):
        verify(tmp_path / "absent")
