"""The peer: a causal language model by transformers' Trainer.

Its best flags on a CPU: bf16, the fused AdamW, packed blocks, no dropout, one-kernel GELU, the vocabulary
padded to 64, no check of the loss at each step, nothing saved or logged. --defaults: those of its example
script for causal models, run_clm: fp32, the dropout of GPT-2's config, AdamW without decay at 5e-5, linear,
batches of 8.

    python benchmarks/causal_trainer.py TOKENIZER TOKENS.bin --max-steps 40 [--seconds S] [--save DIR]
                                        [--defaults]

TOKENS.bin holds uint16 tokens and nothing else. With --seconds training ends then, and a schedule that falls
falls over that time.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

WARM = 3  # steps before the clock starts


class Rows(torch.utils.data.Dataset):
    """Blocks of T tokens one after another; the model shifts the labels."""

    def __init__(self, path: str, block: int) -> None:
        self.tokens, self.block = np.memmap(path, dtype=np.uint16, mode="r"), block

    def __len__(self) -> int:
        return len(self.tokens) // self.block

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.tokens[i * self.block : (i + 1) * self.block].astype(np.int64))
        return {"input_ids": ids, "labels": ids}


class Clock(TrainerCallback):
    """Seconds of the steps after the first few; ends the training when its time is over."""

    def __init__(self, limit: float) -> None:
        self.limit, self.begin, self.start, self.seconds, self.steps = limit, 0.0, 0.0, 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.begin = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        now = time.perf_counter()
        if state.global_step == WARM:
            self.start = now
        self.steps, self.seconds = state.global_step, now - (self.start or now)
        if now - self.begin >= self.limit:
            control.should_training_stop = True


class Scheduled(Trainer):
    """Trainer with a schedule over steps, or over seconds where those are given."""

    schedule, warmup, clock = "linear", 0.0, Clock(math.inf)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        def multiplier(step: int) -> float:
            done = step / num_training_steps
            if self.clock.limit < math.inf and self.clock.begin:
                done = min(1.0, (time.perf_counter() - self.clock.begin) / self.clock.limit)
            rise = min(1.0, (step + 1) / (self.warmup * num_training_steps + 1))
            if self.schedule == "constant":
                return rise
            if self.schedule == "cosine":
                return rise * 0.5 * (1 + math.cos(math.pi * done))
            return rise * min(1.0, 2 * (1 - done) if self.schedule == "wsd" else 1 - done)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, multiplier)
        return self.lr_scheduler


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("tokens")
    for name, default in (("layers", 4), ("width", 256), ("heads", 4), ("block", 256), ("batch", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--max-steps", type=int, default=100, help="steps timed, after the first few")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--schedule", choices=("linear", "cosine", "wsd", "constant"), default="linear")
    parser.add_argument("--fp32", action="store_true")
    parser.add_argument("--defaults", action="store_true")
    parser.add_argument("--save")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    size = len(tokenizer) if args.defaults else -(-len(tokenizer) // 64) * 64
    shape = {"n_positions": args.block, "n_embd": args.width, "n_layer": args.layers, "n_head": args.heads}
    best: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
    best["activation_function"] = "gelu_pytorch_tanh"
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=size, bos_token_id=end, eos_token_id=end, **shape, **({} if args.defaults else best)
    )
    model, clock = GPT2LMHeadModel(config), Clock(args.seconds)
    recipe: dict[str, Any] = {"adam_beta2": 0.95, "weight_decay": 0.1, "logging_nan_inf_filter": False}
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            bf16=not (args.defaults or args.fp32),
            per_device_train_batch_size=args.batch,
            max_steps=args.max_steps + WARM,
            learning_rate=args.lr or (5e-5 if args.defaults else 3e-3),
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **({} if args.defaults else recipe),
        )
        trainer = Scheduled(model, settings, train_dataset=Rows(args.tokens, args.block), callbacks=[clock])
        trainer.schedule, trainer.clock = args.schedule, clock
        trainer.warmup = 0.0 if args.defaults else 0.05
        done = trainer.train()
        if args.save:
            model.save_pretrained(args.save)
            tokenizer.save_pretrained(args.save)
    tokens = (clock.steps - WARM) * args.batch * args.block
    found = {"tokens_per_s": tokens / clock.seconds, "seconds": done.metrics["train_runtime"]}
    print(json.dumps({**found, "steps": clock.steps, "mean_loss": done.training_loss}))


if __name__ == "__main__":
    main()
