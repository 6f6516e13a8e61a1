"""The sections of gpu.py on GPT-2: tane's real loop, HF Trainer, the nanoGPT way, parity, Muon's own time."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from gpu_ground import Machine, best_flags, graphs, idle, laps_of, make_data, profiled, told, trainer_laps

Figures = dict[str, Any]


class Task:
    """GPT-2 124M at T = 1024 on a vocabulary of 50,257, padded to 50,304; a toy of it where it is tiny."""

    def __init__(self, tiny: bool) -> None:
        self.layers, self.width, self.heads = (2, 64, 2) if tiny else (12, 768, 12)
        self.block, self.rows, self.pieces = (32, 4, 500) if tiny else (1024, 64, 50_257)
        self.tokens = 20_000 if tiny else 16_000_000
        self.vocabulary = -(-self.pieces // 64) * 64

    @property
    def flops(self) -> float:
        """Of one token, forward and backward: 854.7 million for GPT-2 124M."""
        matrices = self.layers * 12 * self.width**2 + self.vocabulary * self.width
        return 6 * matrices + 12 * self.layers * self.width * self.block

    def config(self, **more: Any) -> dict[str, Any]:
        return {"n_layer": self.layers, "n_embd": self.width, "n_head": self.heads, **more}

    def model(self, *, best: bool = True) -> Any:
        """transformers' GPT-2, with the settings that make it fast or its own."""
        from transformers import GPT2Config, GPT2LMHeadModel

        fast: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        fast |= {"use_cache": False, "activation_function": "gelu_pytorch_tanh"}
        config = GPT2Config(
            vocab_size=self.vocabulary, n_positions=self.block, bos_token_id=0, eos_token_id=0,
            **self.config(), **(fast if best else {}),
        )  # fmt: skip
        return GPT2LMHeadModel(config)


@cache
def data(work: Path, tiny: bool) -> Path:
    task = Task(tiny)
    size = 50 if tiny else 800  # tokens of a document
    return make_data(work / "gpt2", task.pieces, np.full(task.tokens // size, size, np.int64), seed=1)


def recipe(machine: Machine, optimizer: str, **train: Any) -> Any:
    """tane's own settings for the task; `train` overrides that section."""
    from tane.recipe import Recipe

    task = Task(machine.tiny)
    size = task.rows * task.block
    usual = {
        "batch_tokens": size, "micro_batch_tokens": size, "duration": "100000 steps",
        "device": machine.device, "precision": "bf16", "compile": machine.compiled,
    }  # fmt: skip
    return Recipe.from_mapping({
        "data_dir": str(data(machine.work, machine.tiny)),
        "model": {"config": {"model_type": "gpt2", **task.config()}},
        "objective": {"name": "causal", "block_size": task.block},
        "optim": {"name": optimizer},
        "train": {**usual, **train},
    })  # fmt: skip


def tane(machine: Machine, optimizer: str) -> Figures:
    """Whole steps of the real loop with its real loading, then the same with one batch that lies there."""
    from ours import started

    task = Task(machine.tiny)
    with started(recipe(machine, optimizer)) as loop:
        laps = laps_of(machine, loop._step, machine.warm, machine.steps)
        before = graphs()
        laps += laps_of(machine, loop._step, 0, machine.steps)
        found: Figures = told(laps, task.rows * task.block, "tokens", task.flops, machine.rate)
        after = graphs()
        found |= {"graphs": after[0], "recompiles": after[0] - before[0], "graph_breaks": after[1]}
        found["peak_gb"] = machine.peak_gb()
        return {**found, **idle(machine, loop), **profiled(machine, loop._step)}


def trainer(machine: Machine, *, compiled: bool, batch: int) -> Figures:
    """HF Trainer in bf16 with its best flags."""
    from causal_trainer import Rows

    task = Task(machine.tiny)
    rows = Rows(str(data(machine.work, machine.tiny) / "train.bin"), task.block)
    laps = trainer_laps(
        machine, task.model(), rows, batch, bf16=True, compiled=compiled, **best_flags(machine)
    )
    found = told(laps, batch * task.block, "tokens", task.flops, machine.rate)
    return {**found, "batch": batch, "peak_gb": machine.peak_gb()}


def trainer_eager(machine: Machine) -> Figures:
    """The best of some batches, eager."""
    tried = []
    for batch in (2, 4) if machine.tiny else (16, 32, 64):
        machine.fresh()
        try:
            tried.append(trainer(machine, compiled=False, batch=batch))
        except torch.OutOfMemoryError:
            break
    best = max(tried, key=lambda found: found["tokens_per_s"])
    return {**best, "tried": {found["batch"]: round(found["tokens_per_s"]) for found in tried}}


def trainer_compiled(machine: Machine) -> Figures:
    """At the largest batch, compiled."""
    return trainer(machine, compiled=machine.compiled, batch=Task(machine.tiny).rows)


def trainer_defaults(machine: Machine) -> Figures:
    """fp32 and batches of 8: what one gets who sets nothing."""
    from causal_trainer import Rows

    task = Task(machine.tiny)
    rows = Rows(str(data(machine.work, machine.tiny) / "train.bin"), task.block)
    laps = trainer_laps(machine, task.model(best=False), rows, 8, bf16=False)
    return told(laps, 8 * task.block, "tokens", task.flops, machine.rate)


def nanogpt(machine: Machine, batch: int) -> Figures:
    """The nanoGPT way: an own model, compiled."""
    from nanogpt_way import Shape, Trainer

    task = Task(machine.tiny)
    tokens = np.memmap(data(machine.work, machine.tiny) / "train.bin", dtype=np.uint16, mode="r")
    shape = Shape(task.layers, task.width, task.heads, task.block, task.vocabulary)
    loop = Trainer(
        shape, tokens, batch=batch, lr=6e-4, total=1000, device=machine.device, compiled=machine.compiled
    )
    laps = laps_of(machine, lambda: loop.step().item(), machine.warm, machine.steps)
    found = told(laps, batch * task.block, "tokens", task.flops, machine.rate)
    return {**found, "batch": batch, "graphs": graphs()[0], "peak_gb": machine.peak_gb()}


def parity(machine: Machine) -> Figures:
    """The losses of some steps as they are trained, compiled and in bf16, beside eager fp32: nats a token."""
    from ours import started
    from tane.training.tracker import Untold

    class Noting(Untold):
        def __init__(self) -> None:
            self.losses: list[float] = []

        def advance(self, step: int, loss: float, tokens_per_second: float) -> None:
            self.losses.append(loss)

    task, steps = Task(machine.tiny), 5 if machine.tiny else 50
    tokens = 8 * task.block
    curves = []
    for train in ({}, {"precision": "fp32", "compile": False}):
        machine.fresh()
        own = recipe(machine, "adamw", batch_tokens=tokens, micro_batch_tokens=tokens, **train)
        with started(own) as loop:
            if own.train.precision == "fp32":
                torch.set_float32_matmul_precision("highest")  # training takes TF32
            noting = Noting()
            loop.tracker = noting
            for _ in range(steps):
                loop._step()
            loop._settle()  # on a GPU the last step is judged late
            curves.append(noting.losses)
    gaps = [abs(a - b) for a, b in zip(*curves, strict=True)]
    return {
        "steps": steps, "last_loss": curves[0][-1], "last_loss_fp32": curves[1][-1],
        "mean_gap": statistics.fmean(gaps), "largest_gap": max(gaps),
        "last_gap": abs(statistics.fmean(curves[0][-5:]) - statistics.fmean(curves[1][-5:])),
    }  # fmt: skip


def muon(machine: Machine) -> Figures:
    """Milliseconds of one update of the hidden matrices: tane's Muon, and torch's, matrix by matrix."""
    from tane.optim.muon import Muon

    task = Task(machine.tiny)
    model = task.model().to(machine.device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    ours = next(one for one in Muon().build(model) if not isinstance(one, torch.optim.AdamW))
    side, wide = task.width, 4 * task.width
    shapes = [(side, side)] * 4 + [(side, wide), (wide, side)]  # query, key, value, output, up, down
    apart = [torch.nn.Parameter(torch.randn(s, device=machine.device)) for s in shapes * task.layers]
    for parameter in apart:
        parameter.grad = torch.randn_like(parameter)
    plain = torch.optim.Muon(apart, lr=1e-3, adjust_lr_fn="match_rms_adamw")
    values = {}
    for name, optimizer in (("tane_ms", ours), ("torch_ms", plain)):
        laps = laps_of(machine, optimizer.step, machine.warm, machine.steps)
        values[name] = 1000 * statistics.median(laps)
    return {**values, "matrices": len(apart)}


def head(machine: Machine) -> Figures:
    """Milliseconds of output matrix and loss, forward and backward: tane's, by the megabytes of logits that
    it holds at once, eager and compiled, and the plain product with torch's cross-entropy, compiled."""
    from tane.model import loss

    task = Task(machine.tiny)
    rows = task.rows * task.block
    hidden = torch.randn(rows, task.width, device=machine.device, requires_grad=True)
    weight = torch.nn.Parameter(0.02 * torch.randn(task.vocabulary, task.width, device=machine.device))
    labels = torch.randint(task.pieces, (rows,), device=machine.device)

    def plain() -> torch.Tensor:
        with torch.autocast(machine.device, torch.bfloat16):
            logits = torch.nn.functional.linear(hidden, weight)
        return torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")

    def ours(piece: loss.Piece) -> torch.Tensor:
        return loss._LinearCrossEntropy.apply(hidden, weight, None, labels, torch.bfloat16, piece)

    def lap(forward: Callable[[], torch.Tensor]) -> float:
        def both() -> None:
            hidden.grad = weight.grad = None
            (forward() / rows).backward()

        return 1000 * statistics.median(laps_of(machine, both, 3, machine.steps // 2 + 1))

    name = "GPU_CHUNK_BYTES" if machine.device == "cuda" else "CHUNK_BYTES"
    usual = loss._compiled_piece() if machine.compiled else loss._piece
    found: Figures = {"usual_mb": getattr(loss, name) / (1 << 20), "tane_ms": lap(partial(ours, usual))}
    found["tane_eager_ms"] = lap(partial(ours, loss._piece))
    for megabytes in (1,) if machine.tiny else (128, 1024, 4096):
        with mock.patch.object(loss, name, megabytes << 20):
            found[f"tane_{megabytes}mb_ms"] = lap(partial(ours, usual))
    found["compiled_ms"] = lap(torch.compile(plain) if machine.compiled else plain)
    return found
