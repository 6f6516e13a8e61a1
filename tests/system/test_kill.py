"""Killed anywhere with -9 and started again: the same bits as the run that nothing stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tane.recipe import Recipe, prepare
from tane.training import checkpoint
from tane.yamlio import dump_yaml
from tests.training.conftest import settings, weights_hash

STEPS = 60


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """A recipe of 60 small steps, saved every 5, its data prepared."""
    folder = tmp_path_factory.mktemp("kill")
    values = settings(folder / "data", folder / "whole", sample_text)
    values["train"] |= {"duration": f"{STEPS} steps", "save_every": "5 steps", "eval_every": "20 steps"}
    prepare(Recipe.from_mapping(values))
    path = folder / "recipe.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    return path


def start(recipe: Path, run: Path, verb: str = "train", **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tane", verb, str(recipe), "--run-dir", str(run), "--quiet"]
    return subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, process_group=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(recipe: Path) -> str:
    """The weights of the uninterrupted run."""
    run = recipe.parent / "whole"
    process = start(recipe, run)
    assert process.wait() == 0, process.stderr.read().decode()
    return weights_hash(run, STEPS)


def kill_until_done(
    recipe: Path, run: Path, number: int, stretch: str, verb: str = "train"
) -> tuple[int, int]:
    """Kill the run at a random moment, several times, then let it end; (kills, kills inside a save)."""
    chance, kills, inside = random.Random(number), 0, 0
    for _ in range(3):
        # the save window is stretched, so that a good share of the kills falls into it
        process = start(recipe, run, verb, TANE_FAILPOINT=f"{stretch}=sleep:0.3")
        deadline = time.monotonic() + 60
        while not (run / "checkpoints").is_dir() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 2.5))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
            process.wait()
            inside += any(p.name.startswith(".tmp-") for p in (run / "checkpoints").glob(".*"))
    process = start(recipe, run, verb)
    assert process.wait() == 0, process.stderr.read().decode()
    return kills, inside


STRETCH = ("publish.before_write", "publish.before_manifest", "publish.before_rename", "publish.after_rename")


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] if n else []) for n in range(20)]
)
def test_killed_at_random_moments_the_weights_are_the_same(
    recipe: Path, whole: str, tmp_path: Path, number: int, record_property: object
) -> None:
    run = tmp_path / "run"
    kills, inside = kill_until_done(recipe, run, number, STRETCH[number % len(STRETCH)])
    record_property("kills", kills)
    record_property("inside_a_save", inside)
    assert kills >= 1
    assert weights_hash(run, STEPS) == whole
    assert not [p for p in (run / "checkpoints").glob(".*")]  # nothing is left lying about
    assert len(checkpoint.steps_in(run)) >= 2


def test_sigterm_saves_and_the_same_command_goes_on(recipe: Path, whole: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(recipe, run)
    while not (run / "checkpoints" / "step-000000005").is_dir():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 75
    assert b"run the same command again" in process.stderr.read()
    process = start(recipe, run)
    assert process.wait() == 0, process.stderr.read().decode()
    assert weights_hash(run, STEPS) == whole


def test_a_second_run_on_the_same_folder_is_refused(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = start(recipe, run)
    while not (run / ".lock").exists() or not (run / ".lock").read_text():
        time.sleep(0.02)
    second = start(recipe, run)
    assert second.wait() == 5
    message = second.stderr.read().decode()
    assert f"pid {first.pid}" in message and "Traceback" not in message
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    third = start(recipe, run)
    time.sleep(1.0)
    os.killpg(third.pid, signal.SIGKILL)
    assert third.wait() == -signal.SIGKILL  # not 5: the dead owner's lock was free


# ------------------------------------------------------------------------------------------------ fine-tuning


@pytest.fixture
def task_recipe(tmp_path: Path, encoder: Path, pair_files: tuple[Path, Path]) -> Path:
    """A task of 40 small steps with adapters, saved every 4."""
    values = {
        "model": {"pretrained": str(encoder)},
        "task": {
            "kind": "pair-classification", "data": {"train": str(pair_files[0]), "valid": str(pair_files[1])},
            "batch_examples": 16, "lora": {"rank": 2},
        },
        "train": {
            "duration": "40 steps", "eval_every": "10 steps", "save_every": "4 steps", "threads": 1,
            "precision": "fp32", "tensorboard": False,
        },
    }  # fmt: skip
    path = tmp_path / "task.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_to_the_same_bits(task_recipe: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = start(task_recipe, whole, verb="finetune")
    assert process.wait() == 0, process.stderr.read().decode()
    kills, _ = kill_until_done(task_recipe, cut, 3, "publish.before_rename", verb="finetune")
    assert kills >= 1
    assert weights_hash(cut, 40) == weights_hash(whole, 40)
    assert (cut / "scores.json").read_text() == (whole / "scores.json").read_text().replace(
        str(whole), str(cut)
    )
