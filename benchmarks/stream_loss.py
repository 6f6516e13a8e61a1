"""Nats a token of a text by the measure of the tutorial: the lines' ids in one row, cut into blocks.

    python benchmarks/stream_loss.py MODEL TOKENIZER TEXT.txt [--block 256] [--limit 60000]

Line ends and ends of texts are left out, since the tutorial's loop never sees them: a measure that favours
it. The same for every model, in fp32.
"""

from __future__ import annotations

import argparse
import json

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model", "tokenizer", "text"):
        parser.add_argument(name)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--limit", type=int, default=60_000, help="tokens of the text that are scored")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    ids: list[int] = []
    with open(args.text, encoding="utf-8") as lines:
        for line in lines:
            ids += tokenizer.encode(line.rstrip("\n"))
            if len(ids) > args.limit:
                break
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    size, count = args.block, max(1, (min(len(ids), args.limit) - 1) // args.block)
    total = tokens = 0.0
    with torch.no_grad():
        for first in range(0, count, 8):
            rows = [ids[i * size : (i + 1) * size + 1] for i in range(first, min(count, first + 8))]
            block = torch.tensor(rows)
            logits = model(input_ids=block[:, :-1]).logits.float()
            wanted = block[:, 1:]
            nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum")
            total, tokens = total + nats.item(), tokens + wanted.numel()
    print(json.dumps({"loss": total / tokens, "tokens": int(tokens)}))


if __name__ == "__main__":
    main()
