"""What `tests/training/test_wide.py` runs under torchrun: several runs in each process, one after the other.

    torchrun --nproc-per-node=N -m tests.training.wide_runs RUNS.json

RUNS.json lists {"recipe": mapping, "kind": "train" or "finetune"}. What each step trained on goes to
RUN/seen-RANK.jsonl: its number, the ids of its global batch, and a digest of each micro-batch by number.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tane import ranks
from tane.recipe import Recipe, train
from tane.training.loop import Loop
from tane.types import Batch
from tane.use.finetune import finetune


def digests(batch: Batch) -> list[str]:
    """A digest of each row: its ids and its labels."""
    inputs, labels = batch.inputs["input_ids"].numpy(), batch.labels.numpy()
    return [
        hashlib.sha256(np.append(row, label).tobytes()).hexdigest()[:16]
        for row, label in zip(inputs, labels, strict=True)
    ]


def watched(gradients: Callable[..., float | None]) -> Callable[..., float | None]:
    """`Loop._gradients` that writes down what it works on."""

    def watching(self: Loop, batches: list[tuple[int, Batch]], factor: float) -> float | None:
        step, rank = self.state.step, self.world.rank
        line = {"step": step, "ids": self.work.ids(step), "rows": [[n, digests(b)] for n, b in batches]}
        with (self.run_dir / f"seen-{rank}.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        return gradients(self, batches, factor)

    return watching


def main(runs: Path) -> None:
    """Do the jobs of a file."""
    told = []
    with ranks.joined() as world:
        for one in json.loads(runs.read_text(encoding="utf-8")):
            verb = finetune if one["kind"] == "finetune" else train
            told.append({"metrics": verb(Recipe.from_mapping(one["recipe"])).metrics})
        path = Path(f"{runs}.{world.size}.{world.rank}")
        path.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    setattr(Loop, "_gradients", watched(Loop._gradients))  # noqa: B010
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # torch's threads may take a second to end
