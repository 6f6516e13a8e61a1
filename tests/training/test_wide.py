"""One run on several processes (gloo): the same batches and masks, the same weights up to rounding, and a run
begun on two goes on on one or four."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tane.training.loop import Loop
from tane.yamlio import dump_yaml
from tests.training import wide_runs
from tests.training.conftest import masked_settings, settings

STEPS = 20
STILL = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
BERT = {"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
        "intermediate_size": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip


def command(processes: int, *arguments: str) -> list[str]:
    """How a module is run on several processes of this machine."""
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}",
            "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", *arguments]  # fmt: skip


def surroundings() -> dict[str, str]:
    """Where those processes find tane and its tests."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, f"{root}/src", os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def torchrun(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module on several processes to its end."""
    return subprocess.run(
        command(processes, *arguments), capture_output=True, text=True, env=surroundings(), timeout=300
    )


def recipe(data: Path, text: Path, run: Path, name: str) -> dict[str, Any]:
    """A recipe by its name: OBJECTIVE-OPTIMIZER-WAY."""
    objective, optimizer, way = name.split("-")[:3]
    values = (settings if objective == "causal" else masked_settings)(data, run, text)
    values["train"] |= {"duration": f"{STEPS} steps", "batch_tokens": 512, "micro_batch_tokens": 64,
                        "eval_every": "10 steps", "parallel": way}  # fmt: skip
    values["model"] = {"config": STILL if objective == "causal" else BERT}
    values["optim"] = {"name": optimizer, "lr": 1e-3}
    return values


NAMES = ["causal-adamw-ddp", "causal-adamw-fsdp", "causal-muon-fsdp", "masked-adamw-ddp", "masked-adamw-fsdp"]


class Ground:
    """The runs of all world sizes: `ground.run(name, size)` is a run's folder, made at first use."""

    def __init__(self, folder: Path, data: Path, masked: Path, text: Path) -> None:
        self.folder, self.text = folder, text
        self.data = {"causal": data, "masked": masked}

    def recipe(self, name: str, size: int) -> dict[str, Any]:
        return recipe(self.data[name.split("-")[0]], self.text, self.folder / f"{name}-{size}", name)

    def make(self, size: int, names: list[str]) -> list[list[dict[str, Any]]]:
        """Train all of these on `size` processes; what each process was told."""
        runs = self.folder / f"runs-{size}.json"
        jobs = [{"kind": "train", "recipe": self.recipe(name, size)} for name in names]
        return do(runs, jobs, size)


def do(runs: Path, jobs: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    """Do the jobs of `wide_runs` on `size` processes; what each process was told."""
    runs.write_text(json.dumps(jobs), encoding="utf-8")
    if size == 1:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Loop, "_gradients", wide_runs.watched(Loop._gradients))
            wide_runs.main(runs)
    else:
        done = torchrun(size, "tests.training.wide_runs", str(runs))
        assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(Path(f"{runs}.{size}.{rank}").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def ground(
    tmp_path_factory: pytest.TempPathFactory,
    data_dir: Path,
    masked_data: Path,
    sample_text: Path,
) -> Iterator[Ground]:
    found = Ground(tmp_path_factory.mktemp("wide"), data_dir, masked_data, sample_text)
    for size in (1, 2):
        told = found.make(size, NAMES)
        assert all("metrics" in one for rank in told for one in rank), told
    yield found


def seen(run: Path, size: int) -> dict[int, tuple[list[int], list[str]]]:
    """step -> (ids of its global batch, digests of its rows in the batch's order)."""
    lines = [
        [json.loads(line) for line in (run / f"seen-{rank}.jsonl").read_text().splitlines()]
        for rank in range(size)
    ]
    found = {}
    for parts in zip(*lines, strict=True):
        assert len({part["step"] for part in parts}) == 1
        assert all(part["ids"] == parts[0]["ids"] for part in parts)
        pieces = sorted((number, rows) for part in parts for number, rows in part["rows"])
        assert [number for number, _ in pieces] == list(range(len(pieces)))
        found[parts[0]["step"]] = (parts[0]["ids"], [row for _, rows in pieces for row in rows])
    return found


def losses(run: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["event"] == "step"}


def weights(run: Path, step: int = STEPS) -> dict[str, torch.Tensor]:
    return load_file(str(run / "checkpoints" / f"step-{step:09d}" / "model" / "model.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_on_the_same_to_the_same(ground: Ground, name: str) -> None:
    same(ground, name, 2)


@pytest.mark.slow
def test_so_do_four(ground: Ground) -> None:
    ground.make(4, NAMES)
    for name in NAMES:
        same(ground, name, 4)


def same(ground: Ground, name: str, size: int) -> None:
    alone, wide = ground.folder / f"{name}-1", ground.folder / f"{name}-{size}"
    one, many = seen(alone, 1), seen(wide, size)
    assert len(one) == STEPS and one == many
    first, other = losses(alone), losses(wide)
    assert abs(first[1] - other[1]) <= 1e-5 * first[1]
    assert set(weights(alone)) == set(weights(wide))
    if "muon" in name:  # its update is made in bf16, which enlarges the rounding of a sum
        assert all(abs(first[step] - other[step]) < 2e-3 * first[step] for step in first)
        return
    for key, value in weights(alone).items():
        assert (value - weights(wide)[key]).abs().max() <= 1e-4, key


def test_the_folder_of_a_sharded_run_opens_without_tane(ground: Ground) -> None:
    from transformers import AutoModelForCausalLM

    run = ground.folder / "causal-adamw-fsdp-2"
    model = AutoModelForCausalLM.from_pretrained(run / "model")
    stored = weights(run)
    assert all(torch.equal(value, stored[name]) for name, value in model.named_parameters())
    manifest = json.loads((run / "checkpoints" / f"step-{STEPS:09d}" / "manifest.json").read_text())
    assert manifest["meta"]["world_size"] == 2
    start = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert (start["processes"], start["parallel"]) == (2, "fsdp")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("causal-adamw-ddp", (1,)),
        pytest.param("causal-adamw-ddp", (4,), marks=pytest.mark.slow),
        pytest.param("causal-muon-fsdp", (1, 4), marks=pytest.mark.slow),
    ],
)
def test_a_run_of_two_goes_on_on_one_and_on_four(
    ground: Ground, name: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    source = ground.folder / f"{name}-2"
    whole = seen(source, 2)
    for size in sizes:
        run = tmp_path / f"{name}-{size}"
        shutil.copytree(source, run, symlinks=True)
        shutil.rmtree(run / "checkpoints" / f"step-{STEPS:09d}")
        (run / "model").unlink()
        for path in run.glob("seen-*"):
            path.unlink()
        recipe = {**ground.recipe(name, 2), "run_dir": str(run)}
        told = do(tmp_path / f"{size}.json", [{"kind": "train", "recipe": recipe}], size)[0][0]["metrics"]
        assert told["resumed_from"] == 10 and told["steps"] == STEPS
        assert seen(run, size) == {step: whole[step] for step in range(10, STEPS)}
        for key, value in weights(source).items():
            assert (value - weights(run)[key]).abs().max() <= (0.02 if "muon" in name else 1e-4), key


@pytest.mark.slow
def test_a_task_is_learnt_alike_on_two(pair_files: tuple[Path, Path], encoder: Path, tmp_path: Path) -> None:
    values = {
        "model": {"pretrained": str(encoder)},
        "task": {"kind": "pair-classification", "batch_examples": 15, "dropout": 0,
                 "data": {"train": str(pair_files[0]), "valid": str(pair_files[1])}},
        "optim": {"name": "adamw", "lr": 1e-3},
        "train": {"duration": "12 steps", "eval_every": "6 steps", "threads": 1, "precision": "fp32",
                  "tensorboard": False, "micro_batch_tokens": 64},
    }  # fmt: skip
    found = []
    for size, way in ((1, "ddp"), (2, "fsdp")):
        run = tmp_path / f"run-{size}"
        jobs = [
            {
                "kind": "finetune",
                "recipe": {**values, "run_dir": str(run)} | {"train": {**values["train"], "parallel": way}},
            }
        ]
        told = do(tmp_path / f"{size}.json", jobs, size)[0][0]["metrics"]
        found.append((told, losses(run)))
        assert (run / "scores.md").is_file()
    (alone, first), (wide, other) = found
    assert first.keys() == other.keys() and abs(first[1] - other[1]) <= 1e-5 * first[1]
    assert alone["metrics"].keys() == wide["metrics"].keys()
    assert alone["metrics"]["accuracy"] == pytest.approx(wide["metrics"]["accuracy"], abs=0.02)


def running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


class Started:
    """`tane train` on two processes, in the background, from a folder."""

    def __init__(self, folder: Path, values: dict[str, Any], *flags: str) -> None:
        recipe = folder / "recipe.yaml"
        recipe.write_text(dump_yaml(values), encoding="utf-8")
        self.run, self.log = Path(values["run_dir"]), folder / "log"
        self.begun = len(self.events())
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command(2, "tane", "train", str(recipe), *flags),
                stdout=out,
                stderr=out,
                env=surroundings(),
                cwd=folder,
            )

    def events(self) -> list[dict[str, Any]]:
        path = self.run / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ranks(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [pid for pid in map(int, children) if b"tane" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def trained(self, step: int) -> None:
        until(
            lambda: any(e["event"] == "step" and e["step"] >= step for e in self.events()[self.begun :]), 120
        )


@pytest.mark.slow
def test_signals_and_deaths_of_one_end_all_and_the_run_goes_on(
    data_dir: Path, sample_text: Path, tmp_path: Path
) -> None:
    values = recipe(data_dir, sample_text, tmp_path / "run", "causal-adamw-ddp")
    values["train"] |= {"duration": "100000 steps", "save_every": "20 steps"}
    values["optim"]["schedule"] = {"name": "constant"}
    one = Started(tmp_path, values)
    one.trained(20)
    ranks = one.ranks()
    assert len(ranks) == 2
    one.process.terminate()
    one.process.wait(60)
    assert "stopped by SIGTERM" in one.log.read_text() and one.events()[-1]["event"] == "stop"
    assert not any(map(running, ranks))
    stopped = one.events()[-1]["step"]

    one = Started(tmp_path, values)
    one.trained(stopped + 25)
    assert one.events()[one.begun]["step"] == stopped
    ranks = one.ranks()
    os.kill(ranks[1], signal.SIGKILL)
    assert one.process.wait(60) != 0
    assert "lost another process of this run" in one.log.read_text()
    assert not any(map(running, ranks))


@pytest.mark.slow
def test_the_death_of_the_launcher_ends_all_and_errors_are_told_once(
    data_dir: Path, sample_text: Path, tmp_path: Path
) -> None:
    values = recipe(data_dir, sample_text, tmp_path / "run", "causal-adamw-ddp")
    values["train"] |= {"duration": "100000 steps", "save_every": "20 steps"}
    one = Started(tmp_path, values)
    one.trained(5)
    ranks = one.ranks()
    one.process.kill()  # torchrun itself
    one.process.wait(10)
    until(lambda: not any(map(running, ranks)), 5)

    done = torchrun(2, "tane", "train", str(tmp_path / "recipe.yaml"), "--optim.schedule.nam", "linear")
    assert done.returncode != 0 and done.stderr.count("tane: ") == 1  # told once, by the first
    values["train"]["batch_tokens"] = 32
    values["run_dir"] = str(tmp_path / "small")
    (tmp_path / "small.yaml").write_text(dump_yaml(values), encoding="utf-8")
    done = torchrun(2, "tane", "train", str(tmp_path / "small.yaml"))
    assert done.stderr.count("a step has 1 blocks (train.batch_tokens) for 2 processes") == 1
