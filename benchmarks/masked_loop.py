"""The peer: a masked language model as a tutorial trains it, in our own writing.

Every sentence padded to 100 tokens, masks drawn once before training, AdamW with a constant rate of 5e-5,
batches of 16, fp32, the head over all positions. --sane-labels scores masked positions alone; without it, as
such tutorials have it, the unmasked and the padded count too.

    python benchmarks/masked_loop.py TOKENIZER SENTENCES.txt --max-steps 40 [--seconds S] [--save DIR]
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("sentences")
    for name, default in (
        ("layers", 4),
        ("width", 256),
        ("heads", 4),
        ("max-length", 100),
        ("batch", 16),
        ("max-steps", 100),
        ("limit", 20_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--sane-labels", action="store_true")
    parser.add_argument("--save")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    with open(args.sentences, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()][: args.limit]
    encoded = tokenizer(
        lines, return_tensors="pt", max_length=args.max_length, truncation=True, padding="max_length"
    )
    labels = encoded.input_ids.clone()
    text = ~torch.isin(labels, torch.tensor(tokenizer.all_special_ids))
    chosen = text & (torch.rand(labels.shape) < 0.15)
    inputs = encoded.input_ids.masked_fill(chosen, tokenizer.mask_token_id)
    if args.sane_labels:
        labels = labels.masked_fill(~chosen, -100)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.width,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        intermediate_size=4 * args.width,
    )
    model = BertForMaskedLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5)
    data = torch.utils.data.TensorDataset(inputs, encoded.attention_mask, labels)
    loader = torch.utils.data.DataLoader(data, batch_size=args.batch, shuffle=True)
    step = sentences = tokens = 0
    start = time.perf_counter()
    while step < args.max_steps and time.perf_counter() - start < args.seconds:
        for ids, mask, wanted in loader:
            optimizer.zero_grad()
            loss = model(ids, attention_mask=mask, labels=wanted).loss
            loss.backward()
            optimizer.step()
            loss.item()
            step, sentences, tokens = step + 1, sentences + len(ids), tokens + int(mask.sum())
            if step >= args.max_steps or time.perf_counter() - start >= args.seconds:
                break
    seconds = time.perf_counter() - start
    if args.save:
        model.save_pretrained(args.save)
        tokenizer.save_pretrained(args.save)
    figures = {"sentences_per_s": sentences / seconds, "real_tokens_per_s": tokens / seconds}
    print(json.dumps({**figures, "seconds": seconds, "steps": step}))


if __name__ == "__main__":
    main()
