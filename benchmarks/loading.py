"""The sides of the part `load` of run.py, from a text to batches; each prints one JSON object.

    python benchmarks/loading.py tane DATA [--block 256] [--tokens 2048] [--seconds 4]    tane's own batches
    python benchmarks/loading.py windows TOKENS.bin ...               nanoGPT's random windows of a memory map
    python benchmarks/loading.py rows TOKENS.bin ...                  rows of lists and transformers' collator
    python benchmarks/loading.py stream TEXT.txt --tokenizer T ...    the tutorial's stream of lists

DATA is a folder that `tane prepare` made. `tane` takes the road of training, `Pretraining.micro_batches`; it
also prints the seconds until the first block, in which the index of the blocks is made.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

WARM = 3  # batches before the clock starts


def ours(args: argparse.Namespace) -> tuple[Iterator[int], float]:
    """Tokens of one step's batches after another, and the seconds until the first."""
    from ours import batches_of, started
    from tane.objectives.causal import Causal
    from tane.recipe import Recipe
    from tane.tokens.encoder import Encoder
    from tane.tokens.shards import Shards

    vocabulary = Encoder(f"{args.source}/tokenizer").vocabulary
    begin = time.perf_counter()
    stream = Shards(f"{args.source}/shards", "train")
    _ = Causal(block_size=args.block).blocks(stream, vocabulary)[0]
    index = time.perf_counter() - begin
    recipe = Recipe.from_mapping({
        "data_dir": args.source,
        "objective": {"name": "causal", "block_size": args.block},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 1}},
        "train": {"batch_tokens": args.tokens, "precision": "fp32", "device": "cpu", "duration": "1M steps"},
    })  # fmt: skip

    def batches() -> Iterator[int]:
        with started(recipe) as loop:
            step = 0
            while True:
                yield sum(batch.num_tokens for batch in batches_of(loop, step))
                step += 1

    return batches(), index


def windows(args: argparse.Namespace) -> Iterator[int]:
    from nanogpt_way import windows

    tokens = np.memmap(args.source, dtype=np.uint16, mode="r")
    while True:
        yield windows(tokens, args.tokens // args.block, args.block, "cpu")[0].numel()


def again(loader: Any) -> Iterator[int]:
    """Tokens of each batch of a loader, epoch after epoch."""
    while True:
        for batch in loader:
            yield batch["input_ids"].numel()


def rows(args: argparse.Namespace) -> Iterator[int]:
    from transformers import default_data_collator

    tokens = np.fromfile(args.source, dtype=np.uint16).tolist()
    blocks = [tokens[a : a + args.block] for a in range(0, len(tokens) - args.block, args.block)]
    data = [{"input_ids": block, "labels": block} for block in blocks]
    batch = args.tokens // args.block
    return again(torch.utils.data.DataLoader(data, batch, shuffle=True, collate_fn=default_data_collator))


def stream(args: argparse.Namespace) -> Iterator[int]:
    from transformers import AutoTokenizer

    from tutorial_loop import Stream, collate

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    data = Stream(tokenizer, args.source, args.block, 100)
    batch = args.tokens // args.block
    return again(
        torch.utils.data.DataLoader(data, batch, collate_fn=collate, num_workers=1, prefetch_factor=10)
    )


PEERS: dict[str, Callable[[argparse.Namespace], Iterator[int]]] = {
    "windows": windows, "rows": rows, "stream": stream,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["tane", *PEERS])
    parser.add_argument("source")
    parser.add_argument("--tokenizer")
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=2048, help="of a step")
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    index = 0.0
    if args.side == "tane":
        batches, index = ours(args)
    else:
        batches = PEERS[args.side](args)
    for _ in range(WARM):
        next(batches)
    tokens, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < args.seconds:
        tokens += next(batches)
    print(json.dumps({"tokens_per_s": tokens / seconds, "index_seconds": index}))


if __name__ == "__main__":
    main()
