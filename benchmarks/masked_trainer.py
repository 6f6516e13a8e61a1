"""The peer: a masked language model by transformers' Trainer with its best flags on a CPU.

bf16, batches padded to their longest sentence, dynamic masks (DataCollatorForLanguageModeling), the fused
AdamW, no dropout, the vocabulary padded to 64, no check of the loss at each step.

    python benchmarks/masked_trainer.py TOKENIZER SENTENCES.txt --batch 64 --max-steps 40 [--save DIR]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

WARM = 3  # steps before the clock starts


class Clock(TrainerCallback):
    """Seconds of the steps after the first few."""

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == WARM:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenizer")
    parser.add_argument("sentences")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-steps", type=int, default=40)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--save")
    args = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    with open(args.sentences, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    rows = [{"input_ids": ids} for ids in tokenizer(lines[:20_000])["input_ids"]]
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
            max_position_embeddings=128,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            use_cpu=True,
            bf16=True,
            per_device_train_batch_size=args.batch,
            max_steps=args.max_steps + WARM,
            learning_rate=args.lr,
            lr_scheduler_type="linear",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            logging_nan_inf_filter=False,
            disable_tqdm=True,
        )
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        trainer = Trainer(model, settings, train_dataset=rows, data_collator=collator, callbacks=[clock])
        trainer.train()
        if args.save:
            model.save_pretrained(args.save)
            tokenizer.save_pretrained(args.save)
    print(
        json.dumps({"sentences_per_s": args.max_steps * args.batch / clock.seconds, "seconds": clock.seconds})
    )


if __name__ == "__main__":
    main()
