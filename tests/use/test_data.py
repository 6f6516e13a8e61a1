"""`tane data`: a look into a text before anything is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tane.errors import InputError
from tane.use import data as module
from tane.use.data import data, report


def test_a_text_is_looked_into_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("①匹の猫。\n\n犬\n\n①匹の猫。\n".encode("cp932"))
    before = sorted(tmp_path.iterdir())
    result = data(str(path), head=1)
    found = result.metrics
    assert json.loads(json.dumps(result.json(), allow_nan=False)) == result.json()
    assert found["documents"] == {"train": 2, "valid": 0} and found["characters"]["train"] == 6
    assert found["ledger"]["found"] == 3 and found["changes"] == {}
    assert found["examples"]["duplicate"][0]["copy_of"] == f"{path}:1"
    assert [one["text"] for one in found["head"]] == ["①匹の猫。"]
    assert "cp932" in report(found) and "①匹の猫。" in report(found)
    assert sorted(tmp_path.iterdir()) == before


def test_columns_units_and_normalising(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("ja\ten\nＡ猫\tcat\n犬\tdog\n", encoding="utf-8")
    found = data(str(path), column="ja", normalize="nfkc").metrics
    assert found["documents"]["train"] == 2 and found["head"][0]["text"] == "A猫"
    assert found["changes"]["nfkc"]["rows"] == [["Ａ", "A", 1]]
    assert data(str(path), column=("ja", "en")).metrics["documents"]["train"] == 4
    lines = tmp_path / "lines.txt"
    lines.write_text("一\n二\n", encoding="utf-8")
    assert data(str(lines), unit="line").metrics["documents"]["train"] == 2
    assert data(str(lines), str(path), column="ja").metrics["documents"]["train"] == 3


def test_the_split_of_a_dataset_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def survey(settings: Any, **options: Any) -> dict[str, Any]:
        seen.update(settings=settings, **options)
        return {}

    monkeypatch.setattr(module, "survey", survey)
    data("hf://glue/mrpc", split="validation", head=7)
    assert seen["settings"].inputs == ["hf://glue/mrpc"] and seen["settings"].split == "validation"
    assert seen["head"] == 7 and seen["settings"].valid_fraction == 0


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        data(str(tmp_path / "no.txt"))
    with pytest.raises(InputError, match="--head"):
        data(str(tmp_path), head=-1)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(InputError, match="0 usable documents"):
        data(str(tmp_path / "empty.txt"))
