"""Every row of the list of bad inputs has a file here, and each file's result is checked by a test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad import checkpoints, corpus, good, hostile, recipes, resumed
from tests.bad.__main__ import main

ROOT = Path(__file__).parents[1]
CHECKED_BY = {  # where the files stand -> the tests that open each of them
    "text/": ("text/test_bad_text.py", "in TABLE"),
    "rows/": ("text/sources/test_jsonl.py", "BadFile"),
    "recipes/": ("bad/test_recipes.py", "RECIPES"),
    "tokenizers/": ("tokens/test_soundness.py", "bad.rows()"),
    "models/": ("bad/test_checkpoints.py", "FOLDERS"),
}


def wanted() -> set[str]:
    return {f"{section}{n}" for section, count in corpus.ROWS.items() for n in range(1, count + 1)}


def test_every_row_has_a_file() -> None:
    rows = {entry.row for entry in corpus.entries()} | {d.row for d in resumed.CHECKPOINTS}
    assert wanted() <= rows, sorted(wanted() - rows)
    assert {f"H{n}" for n in range(1, 13)} == {s.row for s in checkpoints.FOLDERS if s.row != "K1"}
    assert {f"H{n}" for n in range(1, 13)} == {d.row for d in resumed.CHECKPOINTS}
    assert {f"Y{n}" for n in range(1, 11)} == {r.row for r in recipes.RECIPES}


def test_no_file_stands_twice() -> None:
    names = [entry.file for entry in corpus.entries()]
    assert len(set(names)) == len(names)
    places = [(one.group, one.name) for one in hostile.table()]
    assert len(set(places)) == len(places)


def test_each_result_is_checked_by_a_test() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOT.rglob("test_*.py")]
    for entry in corpus.entries():
        place = next((place for place in CHECKED_BY if entry.file.startswith(place)), None)
        if place is None:  # a workbook or Parquet file: a test of its reader names it
            name = entry.file.removeprefix("binary/")
            assert any(name in source or entry.row.lower() in source for source in sources), entry.file
        else:
            path, word = CHECKED_BY[place]
            assert word in (ROOT / path).read_text(encoding="utf-8"), place


def test_all_are_written_with_what_is_expected(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [e for e in corpus.entries() if not any(name in e.file for name in ("huge", "bomb", "p5", "T9-"))]
    monkeypatch.setattr(corpus, "entries", lambda: [*small[::7], *small[-3:]])
    monkeypatch.setattr(hostile, "table", lambda: [*hostile.MODELS[:2], *hostile.RECIPES])
    monkeypatch.setattr(good, "write_model", _copier(models))
    main(tmp_path / "bad")
    told = json.loads((tmp_path / "bad" / "expected.json").read_text(encoding="utf-8"))
    assert str(len(told)) in capsys.readouterr().out
    for one in told:
        assert one["row"] and one["expected"]
        path = tmp_path / "bad" / one["file"]
        assert one["file"].startswith("a run's") or path.exists() or path.is_symlink()


def _copier(models: Path) -> Callable[[Path, str], object]:
    return lambda folder, kind: shutil.copytree(models / kind, folder)
