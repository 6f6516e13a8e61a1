"""Bad recipes end as their row says, read as a file and through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tane.cli import main
from tane.errors import InputError
from tane.recipe import Recipe
from tests.bad.recipes import RECIPES, BadRecipe


@pytest.mark.parametrize("bad", RECIPES, ids=[f"{bad.row}-{bad.name}" for bad in RECIPES])
def test_each_row_ends_as_it_says(
    bad: BadRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / bad.name
    path.write_bytes(bad.data)
    if bad.value is not None:
        name, value = bad.value
        assert Recipe.load(path).flat()[name] == value
        return
    assert bad.said is not None
    with pytest.raises(InputError, match=bad.said):
        Recipe.load(path)
    assert main(["prepare", str(path)]) == 2
    said = capsys.readouterr().err
    assert bad.name in said and said.count("tane: ") == 1 and len(said) < 2000
    assert sorted(p.name for p in tmp_path.iterdir()) == [bad.name]
