"""Every way of the command line to open a model folder, by the kind of its model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

FAST = ["--train.duration", "1 steps", "--train.threads", "1", "--train.precision", "fp32",
        "--train.tensorboard", "false"]  # fmt: skip
LABELLED = "text,label\n" + "".join(f"猫は走る。{n},LABEL_{n % 2}\n" for n in range(24))
TEXT = "".join(f"猫が山で{n}を見る。\n" for n in range(60))


class Ground:
    """A folder with the text, the labelled file and the recipes that the ways need."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.text, self.labelled = folder / "text.txt", folder / "labelled.csv"
        self.text.write_text(TEXT, encoding="utf-8")
        self.labelled.write_text(LABELLED, encoding="utf-8")
        data = {"train": str(self.labelled), "valid": str(self.labelled)}
        task = {"kind": "classification", "batch_examples": 8, "data": data}
        self.task = self._write("task.yaml", {"task": task})
        corpus = {"inputs": [str(self.text)], "valid_fraction": 0.1}
        objective = {"name": "causal", "block_size": 16}
        more = {"train": {"batch_tokens": 64, "eval_every": "10 steps"}}
        self.going_on = self._write("train.yaml", {"corpus": corpus, "objective": objective, **more})

    def _write(self, name: str, values: object) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    def ways(self, model: Path, kind: str, out: Path) -> dict[str, list[str]]:
        """Command lines by the name of the way; what they write goes below `out`."""
        name = str(model)
        found = {"export": ["export", name, str(out / "export")]}
        if kind == "causal":
            found |= {
                "generate": ["generate", name, "--prompt", "猫", "--max-new-tokens", "4", "--num", "1"],
                "evaluate": ["evaluate", name, "--data", str(self.text)],
                "train": self._run(["train", str(self.going_on)], name, out / "run"),
            }
        elif kind == "masked":
            found |= {
                "fill": ["fill", name, "猫が[MASK]を見る。"],
                "evaluate": ["evaluate", name, "--data", str(self.text)],
                "finetune": self._run(["finetune", str(self.task)], name, out / "run"),
            }
        else:
            found |= {
                "predict": ["predict", name, "--text", "猫は走る。"],
                "evaluate": [
                    "evaluate",
                    name,
                    "--data",
                    str(self.labelled),
                    "--column",
                    "text",
                    "--label",
                    "label",
                ],
                "finetune": self._run(["finetune", str(self.task)], name, out / "run"),
            }
        return found

    def _run(self, verb: Sequence[str], model: str, out: Path) -> list[str]:
        return [*verb, "--run-dir", str(out), "--model.pretrained", model, *FAST]
