"""The sections of gpu.py on BERT-base and sentences of 18 tokens: tane's real loop beside the usual ways."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_ground import (
    SPECIALS,
    Machine,
    best_flags,
    graphs,
    idle,
    laps_of,
    make_data,
    profiled,
    told,
    trainer_laps,
)

Figures = dict[str, Any]
SENTENCE = 18  # tokens on average, [CLS] and [SEP] among them
MASKED = 0.15


class Task:
    """BERT-base with 32,000 pieces; a toy of it where it is tiny."""

    def __init__(self, tiny: bool) -> None:
        self.layers, self.width, self.heads = (2, 64, 2) if tiny else (12, 768, 12)
        self.block, self.rows, self.pieces = (64, 4, 512) if tiny else (128, 512, 32_000)
        self.sentences, self.padded = (600, 32) if tiny else (400_000, 100)

    @property
    def flops(self) -> float:
        """Of one sentence, forward and backward, without padding: 3 times 3.2055 billion for BERT-base."""
        layers = self.layers * (24 * self.width**2 + 4 * SENTENCE * self.width)
        head = 2 * self.width**2 + 2 * self.width * self.pieces
        return 3 * SENTENCE * (layers + MASKED * head)

    def model(self, **more: Any) -> Any:
        from transformers import BertConfig, BertForMaskedLM

        return BertForMaskedLM(BertConfig(
            vocab_size=self.pieces, hidden_size=self.width, num_hidden_layers=self.layers,
            num_attention_heads=self.heads, intermediate_size=4 * self.width, **more,
        ))  # fmt: skip


@cache
def lengths(tiny: bool) -> np.ndarray:
    """Tokens of each sentence with one for its end: 18 on average with [CLS] and [SEP], 6 to 30."""
    drawn = np.random.default_rng(2).binomial(24, 0.5, Task(tiny).sentences)
    return (drawn + SENTENCE - 12 - 1).astype(np.int64)


@cache
def data(work: Path, tiny: bool) -> Path:
    return make_data(work / "bert", Task(tiny).pieces, lengths(tiny), seed=3)


def sentences(machine: Machine, count: int) -> list[list[int]]:
    """The first sentences as lists of ids, framed."""
    size = lengths(machine.tiny)[:count]
    path = data(machine.work, machine.tiny) / "train.bin"
    tokens = np.fromfile(path, dtype=np.uint16, count=int(size.sum()))
    begin, end = SPECIALS.index("[CLS]"), SPECIALS.index("[SEP]")
    return [[begin, *part[:-1].tolist(), end] for part in np.split(tokens, np.cumsum(size)[:-1])]


def tane(machine: Machine) -> Figures:
    """Whole steps of the real loop: packed segments, the head at the masked positions alone."""
    from ours import batches_of, started
    from tane.recipe import Recipe

    task = Task(machine.tiny)
    size = task.rows * task.block
    recipe = Recipe.from_mapping({
        "data_dir": str(data(machine.work, machine.tiny)),
        "model": {"config": {
            "model_type": "bert", "num_hidden_layers": task.layers, "hidden_size": task.width,
            "num_attention_heads": task.heads, "intermediate_size": 4 * task.width,
        }},
        "objective": {"name": "masked", "block_size": task.block, "whole_word": False, "mask_prob": MASKED},
        "optim": {"name": "adamw"},
        "train": {
            "batch_tokens": size, "micro_batch_tokens": size, "device": machine.device, "precision": "bf16",
            "compile": machine.compiled, "duration": "100000 steps",
        },
    })  # fmt: skip
    with started(recipe) as loop:
        batches = [batch for step in range(4) for batch in batches_of(loop, step)]
        packed = sum(int((batch.segments.amax(1) + 1).sum()) for batch in batches) / 4
        laps = laps_of(machine, loop._step, machine.warm, machine.steps)
        before = graphs()
        laps += laps_of(machine, loop._step, 0, machine.steps)
        found: Figures = told(laps, packed, "sentences", task.flops, machine.rate)
        after, way = graphs(), loop.work.settled.get("train.attention")
        found |= {"graphs": after[0], "recompiles": after[0] - before[0], "graph_breaks": after[1]}
        found |= {"attention": way, "sentences_a_step": packed, "peak_gb": machine.peak_gb()}
        return {**found, **idle(machine, loop), **profiled(machine, loop._step)}


def tutorial(machine: Machine, bf16: bool, batch: int = 16) -> Figures:
    """Every sentence padded to 100 tokens, masks drawn once, the head everywhere, batches of 16."""
    task = Task(machine.tiny)
    few = sentences(machine, 64 * batch if machine.tiny else 512 * batch)
    ids = torch.zeros(len(few), task.padded, dtype=torch.long)
    for row, sentence in enumerate(few):
        ids[row, : len(sentence)] = torch.tensor(sentence[: task.padded])
    mask = (ids != 0).long()
    chosen = (torch.rand(ids.shape) < MASKED) & (ids >= len(SPECIALS))
    inputs, labels = ids.masked_fill(chosen, SPECIALS.index("[MASK]")), ids.masked_fill(~chosen, -100)
    tensors = torch.utils.data.TensorDataset(inputs, mask, labels)
    loader = torch.utils.data.DataLoader(tensors, batch_size=batch, shuffle=True, drop_last=True)
    model = task.model().to(machine.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    rest = iter(loader)

    def step() -> None:
        nonlocal rest
        taken = next(rest, None)
        if taken is None:
            rest = iter(loader)
            taken = next(rest)
        ids, mask, labels = (tensor.to(machine.device) for tensor in taken)
        optimizer.zero_grad()
        autocast = torch.autocast(machine.device, torch.bfloat16) if bf16 else contextlib.nullcontext()
        with autocast:
            loss = model(ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        loss.item()

    laps = laps_of(machine, step, machine.warm, machine.steps)
    found = told(laps, batch, "sentences", task.flops, machine.rate)
    return {**found, "batch": batch, "peak_gb": machine.peak_gb()}


def trainer(machine: Machine) -> Figures:
    """HF Trainer, bf16, batches padded to their longest sentence, at the best of some batches."""
    from transformers import AutoTokenizer, DataCollatorForLanguageModeling

    task = Task(machine.tiny)
    tokenizer = AutoTokenizer.from_pretrained(data(machine.work, machine.tiny) / "tokenizer")
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
    tried = []
    for batch in (8, 16) if machine.tiny else (256, 1024, 4096):
        machine.fresh()
        rows = [{"input_ids": one} for one in sentences(machine, batch * 4 if machine.tiny else 100_000)]
        model = task.model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        try:
            laps = trainer_laps(
                machine, model, rows, batch, bf16=True, collator=collator, **best_flags(machine)
            )
        except torch.OutOfMemoryError:
            break
        found = told(laps, batch, "sentences", task.flops, machine.rate)
        tried.append({**found, "batch": batch, "peak_gb": machine.peak_gb()})
    best = max(tried, key=lambda found: found["sentences_per_s"])
    return {**best, "tried": {found["batch"]: round(found["sentences_per_s"]) for found in tried}}
