"""The parts of `make bench` on masked language models: speed, and loss at equal time.

The text is the easy sentences of SNOW T15 where TANE_TEST_DATA has them, else the sentences of the bundled
sample. All sides train BERT with 4 layers of 256 and 8,000 pieces of one tokenizer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import runner

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "snow-bert.yaml"
TANE = [sys.executable, "-m", "tane"]
STEPS = 40  # of each side in a round of the speed part


class MaskedBench:
    """The prepared sentences, their tokenizer, and the command lines of the sides."""

    def __init__(self, baseline: Path, work: Path) -> None:
        from tane.files import Manifest
        from tane.text.corpus import Corpus

        self.work, self.baseline, self.count = work, baseline, 0
        real = os.environ.get("TANE_TEST_DATA")
        if real:
            self.text = f"{real}/short/snow-t15-shared.xlsx"
            reading = ["--corpus.column", "#やさしい日本語"]
        else:
            from tane.sample import write_corpus

            self.text = str(work / "sentences.txt")
            write_corpus(self.text)
            reading = ["--corpus.column", "none", "--corpus.max-document-chars", "40"]
        data = work / "masked"
        self.common = ["--corpus.inputs", self.text, *reading, "--data-dir", str(data)]
        self.common += ["--corpus.valid-fraction", "0.025"]
        subprocess.run([*TANE, "prepare", str(RECIPE), *self.common], check=True)
        self.tokenizer = str(data / "tokenizer")
        self.lines = {split: work / f"{split}-lines.txt" for split in ("train", "valid")}
        for split, path in self.lines.items():
            texts = Corpus.open(data / "corpus").texts(split)
            path.write_text("".join(t.replace("\n", " ") + "\n" for t in texts), encoding="utf-8")
        counts = Manifest.read(data / "shards", "shards").meta["splits"]["train"]
        # [CLS] and [SEP] count as tokens; the shards end each sentence with one token
        self.tokens_per_sentence = counts["tokens"] / counts["documents"] + 1

    def run_dir(self) -> Path:
        """A run's folder, another one at each call."""
        self.count += 1
        return self.work / f"masked-run{self.count}"

    def ours(self, *overrides: str) -> list[str]:
        """A command that trains in a folder of its own, deleting what is there."""
        return [
            *TANE, "train", str(RECIPE), *self.common, "--run-dir", str(self.run_dir()), "--fresh", "--json",
            "--quiet", *overrides,
        ]  # fmt: skip

    def sentences(self, command: list[str]) -> list[str]:
        """The command's tokens a second told as sentences a second."""
        code = (
            "import json, subprocess, sys; "
            "done = subprocess.run(sys.argv[2:], check=True, stdout=subprocess.PIPE, text=True); "
            "values = json.loads(done.stdout.splitlines()[-1]); "
            "speed = values['tokens_per_second'] / float(sys.argv[1]); "
            "print(json.dumps(dict(sentences_per_s=speed, valid_loss=values['valid_loss'])))"
        )
        return [sys.executable, "-c", code, f"{self.tokens_per_sentence:.4f}", *command]

    def tutorial(self, *flags: str) -> list[str]:
        """The tutorial's loop."""
        return [sys.executable, str(self.baseline), self.tokenizer, str(self.lines["train"]), *flags]

    def trainer(self, *flags: str) -> list[str]:
        """transformers' Trainer."""
        script = str(HERE / "masked_trainer.py")
        return [sys.executable, script, self.tokenizer, str(self.lines["train"]), *flags]

    def score(self, model: Path | str) -> dict[str, Any]:
        """The held-out sentences, the same masks for every model."""
        data = [str(self.lines["valid"]), "--unit", "line"]
        return _last([*TANE, "evaluate", str(model), "--data", *data, "--json", "--quiet"])


def _last(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def speed(bench: MaskedBench, rounds: int) -> dict[str, Any]:
    """Sentences a second: ours, the Trainer at its best batch, the tutorial's loop."""
    tried = {b: _last(bench.trainer("--batch", str(b), "--max-steps", "12")) for b in (16, 32, 64, 128, 256)}
    best = max(tried, key=lambda batch: tried[batch]["sentences_per_s"])
    still = ("--train.eval-every", "1000 steps", "--train.duration", f"{STEPS} steps")
    still += ("--train.tensorboard", "false")
    adamw, muon = (bench.sentences(bench.ours("--optim.name", n, *still)) for n in ("adamw", "muon"))
    sides = [
        runner.Side("tane (AdamW)", adamw, "sentences_per_s", ("valid_loss",)),
        runner.Side("tane (Muon)", muon, "sentences_per_s", ("valid_loss",)),
        runner.Side(
            f"transformers' Trainer, bf16, dynamic padding, batch {best}",
            bench.trainer("--batch", str(best), "--max-steps", str(STEPS * 64 // best + 4)),
            "sentences_per_s",
        ),
        runner.Side("tutorial loop", bench.tutorial("--max-steps", "30"), "sentences_per_s"),
    ]
    batches = ", ".join(f"{b}: {v['sentences_per_s']:.0f}" for b, v in tried.items())
    notes = (
        f"BERT, 4 layers of 256, 8,000 pieces, {bench.tokens_per_sentence:.1f} tokens a sentence with [CLS] "
        f"and [SEP]. The Trainer's batches, sentences a second in a first try: {batches}."
    )
    return runner.interleave("Masked training, sentences a second", sides, rounds, notes)


def quality(bench: MaskedBench, rounds: int) -> dict[str, Any]:
    """Loss and accuracy at masked tokens of held-out sentences: the recipe, and the others given as long."""
    run = bench.ours()
    ours = _last(run)
    rows = [("tane, recipes/snow-bert.yaml", ours["model"], ours["seconds"])]
    limit = str(ours["seconds"])
    for name, flags in (("tutorial, its labels mended", ["--sane-labels"]), ("tutorial as written", [])):
        folder = str(bench.run_dir())
        more = ["--max-steps", "1000000", "--limit", "1000000", "--seconds", limit, "--save", folder]
        rows.append((name, folder, _last(bench.tutorial(*more, *flags))["seconds"]))
    table = [
        "| side | training seconds | loss, nats | accuracy | pseudo-perplexity |",
        "|---|---|---|---|---|",
    ]
    kept = []
    for name, model, seconds in rows:
        found = bench.score(model)
        values = {key: found[key] for key in ("loss", "accuracy", "pseudo_perplexity", "tokens")}
        kept.append({"side": name, "seconds": seconds, "command": [], **values})
        table.append(
            f"| {name} | {seconds:.0f} | {values['loss']:.3f} | {values['accuracy']:.1%} | "
            f"{values['pseudo_perplexity']:,.0f} |"
        )
    notes = (
        f"One run each; {kept[0]['tokens']:,} masked tokens of held-out sentences, the same for all. Lower "
        "loss is better."
    )
    return {
        "title": "Held-out sentences after equal time",
        "rounds": 1,
        "notes": notes,
        "rows": kept,
        "markdown": table,
    }


PARTS = {"masked": speed, "masked-quality": quality}
