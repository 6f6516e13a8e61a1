"""One run on several processes (gloo): the same batches and masks, the same weights up to rounding, and a run
begun on two goes on on one or four."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tane.recipe import Recipe, train
from tane.training import gathered
from tests.labelled import pair_files
from tests.training.conftest import settings
from tests.training.test_masked_runs import masked_data, masked_settings  # noqa: F401 - a fixture

STEPS = 20
STILL = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
BERT = {"model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
        "intermediate_size": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # fmt: skip


def torchrun(processes: int, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a module on several processes of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}",
               "--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", *arguments]  # fmt: skip
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, f"{root}/src", os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, **more
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
        runs = self.folder / f"runs-{size}-{len(list(self.folder.iterdir()))}.json"
        jobs = [{"kind": "train", "recipe": self.recipe(name, size)} for name in names]
        runs.write_text(json.dumps(jobs), encoding="utf-8")
        done = torchrun(size, "tests.training.wide_runs", str(runs), timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(Path(f"{runs}.{size}.{rank}").read_text()) for rank in range(size)]


@pytest.fixture(scope="module")
def ground(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path, masked_data: Path, sample_text: Path
) -> Iterator[Ground]:
    found = Ground(tmp_path_factory.mktemp("wide"), data_dir, masked_data, sample_text)
    for size in (1, 2, 4):
        told = found.make(size, NAMES)
        assert all("metrics" in one for rank in told for one in rank), told
    yield found


def seen(run: Path, size: int) -> dict[int, tuple[list[int], list[str]]]:
    """step -> (ids of its global batch, digests of its rows in the batch's order)."""
    lines = [
        [json.loads(line) for line in (run / f"seen-{rank}.jsonl").read_text().splitlines()] for rank in range(size)
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


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_processes_trains_on_the_same_to_the_same(ground: Ground, name: str, size: int) -> None:
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


@pytest.mark.parametrize("name", ["causal-adamw-ddp", "causal-muon-fsdp"])
def test_a_run_of_two_goes_on_on_one_and_on_four(ground: Ground, name: str, tmp_path: Path) -> None:
    source = ground.folder / f"{name}-2"
    whole = seen(source, 2)
    for size in (1, 4):
        run = tmp_path / f"{name}-{size}"
        shutil.copytree(source, run, symlinks=True)
        shutil.rmtree(run / "checkpoints" / f"step-{STEPS:09d}")
        if (run / "model").is_symlink():
            (run / "model").unlink()
        for path in run.glob("seen-*"):
            path.unlink()
        values = {**ground.recipe(name, 2), "run_dir": str(run)}
        runs = tmp_path / f"{size}.json"
        runs.write_text(json.dumps([{"kind": "train", "recipe": values}]), encoding="utf-8")
        done = torchrun(size, "tests.training.wide_runs", str(runs), timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
        told = json.loads(Path(f"{runs}.{size}.0").read_text())[0]["metrics"]
        assert told["resumed_from"] == 10 and told["steps"] == STEPS
        again = seen(run, size)
        assert again == {step: whole[step] for step in range(10, STEPS)}
        for key, value in weights(source).items():
            assert (value - weights(run)[key]).abs().max() <= (0.02 if "muon" in name else 1e-4), key
