"""Spoilt folders and checkpoints: one plain message, or read rightly; never bad weights."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tane.cli import main
from tane.model.build import open_model
from tests.bad import good, resumed
from tests.bad.checkpoints import FOLDERS, Spoilt
from tests.bad.resumed import CHECKPOINTS, LONGER, STEPS, Damaged
from tests.bad.ways import Ground

SLOW_WAYS = ("train", "finetune")  # and this row is opened by them too, for each check that they pass
SAMPLED = ("header_2_63", "integers", "nan", "missing", "one_row", "far_wider", "index_outside", "pickle",
           "weights_empty", "fp16", "no_head", "labels_vocabulary", "vocabulary", "more_layers")  # fmt: skip


@pytest.mark.parametrize("kind", good.KINDS)
def test_the_sound_models_are_opened_by_every_way(
    kind: str, models: Path, ground: Ground, tmp_path: Path
) -> None:
    for way, command in ground.ways(models / kind, kind, tmp_path).items():
        assert main(command) == 0, way


@pytest.mark.parametrize("spoilt", FOLDERS, ids=[f"{s.row}-{s.name}" for s in FOLDERS])
def test_a_spoilt_folder_ends_as_its_row_says(
    spoilt: Spoilt, models: Path, ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / spoilt.name
    shutil.copytree(models / spoilt.kind, folder)
    spoilt.spoil(folder)
    for way, command in ground.ways(folder, spoilt.kind, tmp_path / "out").items():
        if way in SLOW_WAYS and spoilt.name not in SAMPLED:
            continue
        capsys.readouterr()
        code, said = main(command), capsys.readouterr().err
        if spoilt.result == "read" or way in spoilt.read_by:
            assert code == 0, (way, said)
            continue
        assert code == 2 and re.search(spoilt.said, said), (way, code, said)
        assert spoilt.name in said and said.count("tane: ") == 1 and "Traceback" not in said
        assert not (tmp_path / "out" / "export").exists()


def test_what_is_read_gives_the_same_weights(models: Path, tmp_path: Path) -> None:
    sound = open_model(models / "causal").state_dict()
    for spoilt in FOLDERS:
        if spoilt.name in ("one_more", "head_alone"):
            folder = tmp_path / spoilt.name
            shutil.copytree(models / "causal", folder)
            spoilt.spoil(folder)
            found = open_model(folder).state_dict()
            assert all(torch.equal(found[name], value) for name, value in sound.items())


# ------------------------------------------------------------------------------------ a run's checkpoints


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory, ground: Ground) -> Callable[..., int]:
    """train(run, steps, *flags): the exit code of `tane train`."""
    command = resumed.recipe(tmp_path_factory.mktemp("recipe"), ground.text)

    def call(run: Path, steps: int, *flags: str) -> int:
        return main([*command, "--run-dir", str(run), "--train.duration", f"{steps} steps", *flags])

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, train: Callable[..., int]) -> Path:
    """A run of STEPS steps."""
    folder = tmp_path_factory.mktemp("run") / "good"
    assert train(folder, STEPS) == 0
    return folder


@pytest.fixture(scope="module")
def uninterrupted(run: Path, train: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights after LONGER steps of the run that nothing befell."""
    copy = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(run, copy, symlinks=True)
    assert train(copy, LONGER) == 0
    return resumed.result_of(copy)


IDS = [f"{d.row}-{d.name}{'-signed' * d.signed}" for d in CHECKPOINTS]


@pytest.mark.parametrize("damaged", CHECKPOINTS, ids=IDS)
def test_a_run_never_goes_on_from_a_spoilt_checkpoint(
    damaged: Damaged, run: Path, train: Callable[..., int], uninterrupted: bytes, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    copy = tmp_path / "run"
    shutil.copytree(run, copy, symlinks=True)
    resumed.spoil(damaged, copy / "checkpoints" / f"step-{STEPS:09d}")
    capsys.readouterr()
    assert train(copy, LONGER, "--strict") == 4
    said = capsys.readouterr().err
    assert re.search(damaged.said, said) and f"step-{STEPS:09d}" in said
    code, said = train(copy, LONGER), capsys.readouterr().err
    assert re.search(damaged.said, said) and f"step-{STEPS:09d}" in said and "Traceback" not in said
    if damaged.result == "refused":
        assert code == 4
        return
    assert code == 0 and "falling back" in said
    assert resumed.result_of(copy) == uninterrupted
