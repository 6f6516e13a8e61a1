"""The peer: a small GPT trained the way of nanoGPT, in our own writing.

An own module with one Linear for query, key and value, torch's causal attention kernel, layer norms before,
the head tied to the table; AdamW (0.9, 0.95), fused, decay on matrices alone, the gradient clipped to 1,
cosine; random windows from a memory map of 16-bit tokens; bf16 by autocast, torch.compile with --compile.

    python benchmarks/nanogpt_way.py TOKENIZER TOKENS.bin --max-steps 40 [--device cuda] [--compile]
                                     [--save DIR]

TOKENS.bin holds uint16 tokens and nothing else. --save writes the weights as GPT-2's of transformers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

WARM = 3  # steps before the clock starts


@dataclass(frozen=True)
class Shape:
    """layers, width H, heads, block T, vocabulary V."""

    layers: int
    width: int
    heads: int
    block: int
    vocabulary: int


class Layer(nn.Module):
    """Attention and a feed-forward net, each with a norm before and a way past it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        parts = self.qkv(self.norm_1(x)).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, T, D) each
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """ids (B, T), labels (B, T) -> mean nats a token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.block, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into = name.endswith(("out.weight", "down.weight"))  # the ways that add up over the layers
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers) if into else 0.02)

    def forward(self, ids: Tensor, labels: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.reshape(-1))


def optimizer_of(model: nn.Module, lr: float) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=True)


def windows(tokens: np.ndarray, batch: int, block: int, device: str) -> tuple[Tensor, Tensor]:
    """Random windows: inputs and labels, (B, T) int64 each, on the device."""
    begins = torch.randint(len(tokens) - block - 1, (batch,)).tolist()
    rows = [torch.from_numpy(tokens[a : a + block + 1].astype(np.int64)) for a in begins]
    inputs, labels = torch.stack([r[:-1] for r in rows]), torch.stack([r[1:] for r in rows])
    if device == "cpu":
        return inputs, labels
    return (
        inputs.pin_memory().to(device, non_blocking=True),
        labels.pin_memory().to(device, non_blocking=True),
    )


def rate(step: int, total: int, warmup: int, peak: float) -> float:
    """Linear warm-up, then half a cosine to a tenth."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


class Trainer:
    """The loop's state: `step()` makes one update and returns the loss on the device."""

    def __init__(
        self, shape: Shape, tokens: np.ndarray, *, batch: int, lr: float, total: int, device: str,
        compiled: bool, bf16: bool = True,
    ) -> None:  # fmt: skip
        self.model = GPT(shape).to(device)
        self.run: Any = torch.compile(self.model) if compiled else self.model
        self.optimizer = optimizer_of(self.model, lr)
        self.tokens, self.batch, self.lr, self.total, self.device = tokens, batch, lr, total, device
        self.bf16, self.done = bf16, 0
        self.next = windows(tokens, batch, shape.block, device)

    def step(self) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.done, self.total, max(1, self.total // 20), self.lr)
        autocast = torch.autocast(self.device, torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with autocast:
            loss = self.run(*self.next)
        self.next = windows(self.tokens, self.batch, self.model.shape.block, self.device)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.done += 1
        return loss.detach()


def as_gpt2(model: GPT) -> Any:
    """The same function as transformers' GPT-2, whose matrices are (in, out) and whose biases are zero."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = model.shape
    config = GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.block, n_embd=shape.width, n_layer=shape.layers,
        n_head=shape.heads, activation_function="gelu", bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    theirs = GPT2LMHeadModel(config)
    own = {
        "wte.weight": model.tokens.weight,
        "wpe.weight": model.places.weight,
        "ln_f.weight": model.norm.weight,
    }
    for number, layer in enumerate(model.layers):
        own |= {
            f"h.{number}.ln_1.weight": layer.norm_1.weight, f"h.{number}.ln_2.weight": layer.norm_2.weight,
            f"h.{number}.attn.c_attn.weight": layer.qkv.weight.t(),
            f"h.{number}.attn.c_proj.weight": layer.out.weight.t(),
            f"h.{number}.mlp.c_fc.weight": layer.up.weight.t(),
            f"h.{number}.mlp.c_proj.weight": layer.down.weight.t(),
        }  # fmt: skip
    with torch.no_grad():
        for name, parameter in theirs.transformer.named_parameters():
            parameter.copy_(own[name].detach().cpu()) if name in own else parameter.zero_()
    return theirs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("tokens")
    for name, default in (("layers", 4), ("width", 256), ("heads", 4), ("block", 256), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--max-steps", type=int, default=100)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--fp32", action="store_true")
    parser.add_argument("--save")
    args = parser.parse_args()
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    shape = Shape(args.layers, args.width, args.heads, args.block, -(-len(tokenizer) // 64) * 64)
    tokens = np.memmap(args.tokens, dtype=np.uint16, mode="r")
    trainer = Trainer(
        shape, tokens, batch=args.batch, lr=args.lr, total=args.max_steps, device=args.device,
        compiled=args.compile, bf16=not args.fp32,
    )  # fmt: skip
    laps, losses = [], []
    for _ in range(args.max_steps):
        start = time.perf_counter()
        losses.append(trainer.step().item())
        laps.append(time.perf_counter() - start)
    if args.save:
        as_gpt2(trainer.model).save_pretrained(args.save)
        tokenizer.save_pretrained(args.save)
    timed = laps[WARM:] or laps
    found = {
        "tokens_per_s": len(timed) * args.batch * args.block / sum(timed),
        "seconds": sum(laps),
        "seconds_per_step": statistics.median(timed),
        "steps": len(laps),
        "loss": statistics.fmean(losses[-10:]),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
