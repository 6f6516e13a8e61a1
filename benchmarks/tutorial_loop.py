"""The peer: causal training as a tutorial has it, in our own writing.

A streaming dataset of Python lists (one tokenizer call a line), a shuffle buffer of 100 blocks, one loader
worker, GPT-2 from a config with its default dropout, Adam with a constant rate of 1e-4, fp32, whole logits.

    python benchmarks/tutorial_loop.py TOKENIZER TRAIN.txt VALID.txt --max-steps 40 [--seconds S] [--save DIR]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, tokenizer: object, path: str, length: int, buffer: int) -> None:
        self.tokenizer, self.path, self.length, self.buffer = tokenizer, path, length, buffer

    def blocks(self) -> Iterator[list[int]]:
        rest: list[int] = []
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                rest += self.tokenizer.encode(line.rstrip("\n"))
                while len(rest) > self.length:
                    yield rest[: self.length + 1]
                    rest = rest[self.length :]

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        held: list[list[int]] = []
        for block in self.blocks():
            held.append(block)
            if len(held) > self.buffer:
                place = random.randrange(len(held))
                held[place], held[-1] = held[-1], held[place]
                block = held.pop()
                yield {"input_ids": block[:-1], "labels": block[1:]}
        random.shuffle(held)
        for block in held:
            yield {"input_ids": block[:-1], "labels": block[1:]}


def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    return {k: torch.tensor([r[k] for r in rows]) for k in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("tokenizer", "train", "valid"):
        parser.add_argument(name)
    for name, default in (
        ("layers", 4),
        ("width", 256),
        ("heads", 4),
        ("block", 256),
        ("batch", 8),
        ("max-steps", 100),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--save")
    args = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=args.block,
        n_embd=args.width,
        n_layer=args.layers,
        n_head=args.heads,
    )
    model = GPT2LMHeadModel(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    score = torch.nn.CrossEntropyLoss()
    loader = torch.utils.data.DataLoader(
        Stream(tokenizer, args.train, args.block, 100),
        args.batch,
        collate_fn=collate,
        num_workers=1,
        prefetch_factor=10,
    )
    step, tokens, start = 0, 0, time.perf_counter()
    loss = torch.tensor(0.0)
    while step < args.max_steps and time.perf_counter() - start < args.seconds:
        for batch in loader:
            logits = model(input_ids=batch["input_ids"]).logits
            loss = score(logits.flatten(0, 1), batch["labels"].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            step, tokens = step + 1, tokens + batch["input_ids"].numel()
            if step >= args.max_steps or time.perf_counter() - start >= args.seconds:
                break
    seconds = time.perf_counter() - start
    if args.save:
        model.save_pretrained(args.save)
        tokenizer.save_pretrained(args.save)
    print(
        json.dumps({"tokens_per_s": tokens / seconds, "seconds": seconds, "steps": step, "loss": loss.item()})
    )


if __name__ == "__main__":
    main()
