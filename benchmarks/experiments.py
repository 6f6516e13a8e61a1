"""What benchmarks/sweep.py runs: its stages, and the experiments of each.

An experiment is a mapping of settings that differ from the stage's; the first of a stage is the default.
Letters name sets of changes that are tried together. `TrialMuon` is Muon with settings that the program does
not have; a recipe finds it as "experiments:TrialMuon" where this folder is on the path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tane.optim.muon import Muon
from tane.settings import option


class TrialMuon(Muon):
    """Muon with what the program has no setting for; at its defaults it is Muon itself."""

    name: Literal["experiments:TrialMuon"] = option("experiments:TrialMuon", "the optimizer")
    embedding_scale: float = option(1.0, "multiple of the rate for embeddings and head")
    vector_scale: float = option(1.0, "multiple of the rate for biases and norms")
    embedding_decay: float | None = option(None, "weight decay of embeddings and head; none: as all matrices")
    embedding_std: float | None = option(None, "spread of the embeddings at the start")
    zero_residual: bool = option(False, "projections back into the residual stream start at zero")
    frequencies: str | None = option(None, "the first prediction is the tokens' frequencies in these shards")
    bias: float = option(1.0, "what the last norm's bias begins at, with frequencies")

    def build(self, model: torch.nn.Module) -> list[torch.optim.Optimizer]:
        """Muon's optimizers with other scales; the weights are changed too, before the first step."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if self.zero_residual and name.endswith("c_proj.weight"):
                    parameter.zero_()
                if self.embedding_std is not None and name.endswith("wte.weight"):
                    parameter.mul_(self.embedding_std / parameter.std())
            if self.frequencies is not None:
                start_at_frequencies(model, Path(self.frequencies), self.bias)
        found = super().build(model)
        tables, vectors = found[-1].param_groups
        tables["scale"], vectors["scale"] = self.embedding_scale, self.vector_scale
        if self.embedding_decay is not None:
            tables["weight_decay"] = self.embedding_decay
        return found


def start_at_frequencies(model: Any, shards: Path, bias: float) -> None:
    """Change new weights so that the first prediction is how often each token stands in `shards`.

    With a bias in the head that is the bias. GPT-2 has none: the last norm's bias becomes `bias` in
    every place, and each row of the tied embeddings gets its logarithm divided by bias times width. The norms
    before take the mean of a position away, so nothing else sees it.
    """
    from tane.tokens.shards import Shards

    tokens = Shards(shards, "train")
    counts = np.bincount(tokens.read(0, len(tokens)), minlength=model.config.vocab_size) + 1.0
    logs = torch.from_numpy(np.log(counts / counts.sum())).float()
    head = model.get_output_embeddings()
    if head.bias is not None:
        head.bias.copy_(logs)
        return
    model.transformer.ln_f.bias.fill_(bias)
    head.weight.add_((logs - logs.mean())[:, None] / (bias * head.weight.shape[1]))


@dataclass(frozen=True)
class Stage:
    """One question: a recipe, what all its runs share, and what each experiment changes."""

    title: str
    recipe: str
    base: dict[str, Any]
    experiments: dict[str, dict[str, Any]]
    default: str = "default"
    ramps: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> (steps, their batch tokens)


TWO_LAYERS = {"model.config.n_layer": 2, "model.config.n_embd": 128, "model.config.n_head": 2,
              "objective.block_size": 128, "train.eval_tokens": 40_960}  # fmt: skip


def _trial(**settings: Any) -> dict[str, Any]:
    return {"optim.name": "experiments:TrialMuon", **{f"optim.{k}": v for k, v in settings.items()}}


def _rates(*rates: float, **more: Any) -> dict[str, dict[str, Any]]:
    return {f"lr {rate:g}": {"optim.lr": rate, **more} for rate in rates}


SMALL: dict[str, dict[str, Any]] = {
    "default": {},
    **_rates(2.5e-3, 1e-2, 1.5e-2, 2e-2),
    **{f"adamw {lr:g}": {"optim.name": "adamw", "optim.lr": lr} for lr in (1e-3, 3e-3, 1e-2)},
    "linear": {"optim.schedule.name": "linear"},
    "cosine": {"optim.schedule.name": "cosine"},
    **{f"decay {d}": {"optim.schedule.decay": d} for d in (0.3, 0.7, 0.95)},
    **{f"warm-up {w}": {"optim.schedule.warmup": w} for w in (0.0, 0.02, 0.1)},
    "final 0.1": {"optim.schedule.final": 0.1},
    **{f"weight decay {w}": {"optim.weight_decay": w} for w in (0.0, 0.05, 0.2)},
    **{f"momentum {m}": {"optim.momentum": m} for m in (0.85, 0.9, 0.98)},
    "beta1 0.8": {"optim.beta1": 0.8},
    **{f"beta2 {b}": {"optim.beta2": b} for b in (0.9, 0.99)},
    "no clipping": {"optim.clip": "none"},
    **{f"embedding lr x{s:g}": _trial(embedding_scale=s) for s in (0.3, 2, 3, 10)},
    **{f"vector lr x{s:g}": _trial(vector_scale=s) for s in (0.3, 3)},
    "embedding decay 0": _trial(embedding_decay=0.0),
    **{f"init {i:g}": {"model.config.initializer_range": i} for i in (0.01, 0.04, 0.08)},
    "residual from 0": _trial(zero_residual=True),
    "embedding std 0.1": _trial(embedding_std=0.1),
    "untied": {"model.config.tie_word_embeddings": False},
    "4 heads": {"model.config.n_head": 4},
    "1 head": {"model.config.n_head": 1},
    "relu": {"model.config.activation_function": "relu"},
    "squared relu": {"model.config.activation_function": "relu2"},
    "batch 1,024": {"train.batch_tokens": 1024, "train.duration": "200 steps"},
    "batch 1,024, lr 3.5e-3": {"train.batch_tokens": 1024, "train.duration": "200 steps", "optim.lr": 3.5e-3},
    "batch 4,096": {"train.batch_tokens": 4096, "train.duration": "50 steps"},
    "batch 4,096, lr 7e-3": {"train.batch_tokens": 4096, "train.duration": "50 steps", "optim.lr": 7e-3},
    "batch 1,024 first": {"train.duration": "130 steps"},
}  # fmt: skip

FREQUENCIES = _trial(frequencies="of the data")
A = {**FREQUENCIES, "optim.schedule.warmup": 0.0, "optim.lr": 1e-2}
C = _trial(embedding_scale=3, vector_scale=0.3)
D = {**C, "optim.beta1": 0.8}
F = {**C, "optim.beta1": 0.6, "optim.momentum": 0.9}
UNTIED = {"model.config.tie_word_embeddings": False}
B = {**FREQUENCIES, "optim.schedule.warmup": 0.0, "optim.embedding_scale": 3, "optim.vector_scale": 0.3}
COMBINED: dict[str, dict[str, Any]] = {
    "default": {},
    "lr 0.01": {"optim.lr": 1e-2},
    "frequencies": FREQUENCIES,
    "frequencies, lr 0.01": {**FREQUENCIES, "optim.lr": 1e-2},
    "frequencies, lr 0.02": {**FREQUENCIES, "optim.lr": 2e-2},
    "lr 0.01, decay 0.3": {"optim.lr": 1e-2, "optim.schedule.decay": 0.3},
    "lr 0.01, warm-up 0": {"optim.lr": 1e-2, "optim.schedule.warmup": 0.0},
    "lr 0.01, linear": {"optim.lr": 1e-2, "optim.schedule.name": "linear"},
    "lr 0.02, linear": {"optim.lr": 2e-2, "optim.schedule.name": "linear"},
    "embedding x3, vector x0.3": _trial(embedding_scale=3, vector_scale=0.3),
    "B: frequencies, warm-up 0, embedding x3, vector x0.3": B,
    "A: frequencies, warm-up 0, lr 0.01": A,
    "A, vector x0.3": {**A, "optim.vector_scale": 0.3},
    "A, vector x0.1": {**A, "optim.vector_scale": 0.1},
    "C: embedding x3, vector x0.3; frequencies 0.3": {**C, **FREQUENCIES, "optim.bias": 0.3},
    "C: embedding x3, vector x0.3; frequencies 0.1": {**C, **FREQUENCIES, "optim.bias": 0.1},
    "C: embedding x3, vector x0.3; untied": {**C, **UNTIED},
    "C: embedding x3, vector x0.3; lr 0.01": {**C, "optim.lr": 1e-2},
    "C: embedding x3, vector x0.3; momentum 0.9": {**C, "optim.momentum": 0.9},
    "C: embedding x3, vector x0.3; beta1 0.8": D,
    "C: embedding x3, vector x0.3; momentum 0.9, beta1 0.8": {**D, "optim.momentum": 0.9},
    "C: embedding x3, vector x0.3; decay 0.3": {**C, "optim.schedule.decay": 0.3},
    "A, vector x0.3, embedding x2": {**A, "optim.vector_scale": 0.3, "optim.embedding_scale": 2},
    "B, beta1 0.8": {**B, "optim.beta1": 0.8},
    "D, beta1 0.6": {**D, "optim.beta1": 0.6},
    "D, frequencies 0.1": {**D, **FREQUENCIES, "optim.bias": 0.1},
    "D, untied": {**D, **UNTIED},
    "F (C, beta1 0.6, momentum 0.9)": F,
    "F, beta1 0.4": {**F, "optim.beta1": 0.4},
    "F, embedding x6": {**F, "optim.embedding_scale": 6},
    "F, untied": {**F, **UNTIED},
    "F, frequencies 0.1": {**F, **FREQUENCIES, "optim.bias": 0.1},
}  # fmt: skip

WIDE: dict[str, dict[str, Any]] = {
    "default": {},
    **_rates(2.5e-3, 1e-2),
    "F": F,
    "F, embedding x1": {**F, "optim.embedding_scale": 1},
    "F, embedding x1.5": {**F, "optim.embedding_scale": 1.5},
    "F, vector x1": {**F, "optim.vector_scale": 1},
    "F, beta1 0.8": {**F, "optim.beta1": 0.8},
    "F, untied": {**F, **UNTIED},
    "F, frequencies 0.1": {**F, **FREQUENCIES, "optim.bias": 0.1},
    "F, embedding x1, vector x1": {**F, "optim.embedding_scale": 1, "optim.vector_scale": 1},
    "F, lr 0.0025": {**F, "optim.lr": 2.5e-3},
}
WIDE |= {
    f"momentum {momentum}, beta1 {beta1}": {"optim.momentum": momentum, "optim.beta1": beta1}
    for momentum, beta1 in ((0.95, 0.6), (0.9, 0.4))
}
G = {"optim.momentum": 0.9, "optim.beta1": 0.6}
TUTORIAL = {
    "optim.name": "adamw", "optim.lr": 1e-4, "optim.weight_decay": 0.0, "optim.beta2": 0.999,
    "optim.clip": "none", "optim.schedule.name": "constant", "optim.schedule.warmup": 0.0,
    "model.config.resid_pdrop": 0.1, "model.config.embd_pdrop": 0.1, "model.config.attn_pdrop": 0.1,
}  # fmt: skip
FREQUENT = {**F, **FREQUENCIES, "optim.bias": 0.1}
SHORT = {
    f"{name}, {steps} steps": {**settings, "train.duration": f"{steps} steps"}
    for name, settings, lengths in (
        ("default", {}, (50, 40)),
        ("G", G, (60, 50, 40)),
        ("F", F, (50, 40, 30, 20)),
        ("F, lr 0.01", {**F, "optim.lr": 1e-2}, (40,)),
        ("G, batch 1,024", {**G, "train.batch_tokens": 1024}, (80,)),
        ("F, frequencies 0.1", FREQUENT, (10, 5)),
        ("G, frequencies 1", {**FREQUENCIES, **G}, (40,)),
        ("G, frequencies 0.3", {**FREQUENCIES, **G, "optim.bias": 0.3}, (40, 30)),
    )
    for steps in lengths
}

STAGES = {
    "small": Stage(
        "2 layers of 128, 100 steps", "aozora-gpt.yaml",
        {**TWO_LAYERS, "train.duration": "100 steps", "train.batch_tokens": 2048}, SMALL,
        ramps={"batch 1,024 first": (60, 1024)},
    ),
    "combined": Stage(
        "2 layers of 128, 100 steps: several changes at once", "aozora-gpt.yaml",
        {**TWO_LAYERS, "train.duration": "100 steps", "train.batch_tokens": 2048}, COMBINED,
    ),
    "confirm": Stage(
        "4 layers of 256, blocks of 256, 300 steps of 2,048 tokens", "aozora-gpt.yaml", {},
        {"default": {}, "tutorial's optimizer": TUTORIAL, "G": G, "F": F},
    ),
    "wide": Stage(
        "4 layers of 256, blocks of 256, 100 steps of 2,048 tokens", "aozora-gpt.yaml",
        {"train.duration": "100 steps", "train.eval_tokens": 40_960}, WIDE,
    ),
    "short": Stage(
        "4 layers of 256, blocks of 256: a few steps of 2,048 tokens", "aozora-gpt.yaml", {},
        SHORT, default="default, 50 steps",
    ),
    "long": Stage(
        "2 layers of 128, 700 steps (one epoch)", "aozora-gpt.yaml",
        {**TWO_LAYERS, "train.duration": "700 steps", "train.batch_tokens": 2048},
        {"default": {}, "G": G, "F": F},
    ),
    "masked": Stage(
        "masked: BERT, 4 layers of 256, sentences, 150 steps of 2,048 tokens", "snow-bert.yaml",
        {"train.duration": "150 steps"},
        {"default": {}, "G": G, "G, lr 0.006": {**G, "optim.lr": 6e-3}, "frequencies": FREQUENCIES},
    ),
}  # fmt: skip
