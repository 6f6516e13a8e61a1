"""The work of `tane finetune`: labelled examples under a task.

A step's global batch is so many examples of the epoch's permutation. It is cut into micro-batches by length:
the examples are sorted, and as many of similar length go together as make `train.micro_batch_tokens` with
their padding. The gradient is that of the whole batch however it is cut, so nothing of the order is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from tane import files, progress
from tane.durations import Duration
from tane.errors import InputError
from tane.model import task_head
from tane.model.build import find_model, freeze, positions
from tane.ranks import ALONE, World
from tane.tasks.examples import Encoded
from tane.tasks.scores import better
from tane.tasks.settings import TaskSettings
from tane.tokens.encoder import Encoder
from tane.tokens.order import global_batch
from tane.tokens.spaced import wants_spaces
from tane.tokens.tokenizer import load_tokenizer
from tane.training import checkpoint
from tane.training.grouped import by_length, even
from tane.training.labelled import Data
from tane.training.runtime import Runtime
from tane.training.settings import Sections
from tane.training.wide import Inside, deal, require_rows, spread
from tane.training.work import Valid
from tane.types import Batch

LONGEST = 512  # tokens of an example at most, where nobody says more
CPU_TOKENS, GPU_TOKENS = 1024, 32_768  # padded tokens of a micro-batch
UNKNOWN_SHARE = 0.01  # of unknown tokens, from which on the tokenizer hardly fits the text


# ----------------------------------------------------------------------------------------------------- work


class Finetuning:
    """Encoded examples, task and model of one run; see `work.Work`."""

    def __init__(
        self, task: TaskSettings, model: Any, data: Data, encoded: dict[str, list[Encoded]], pad_id: int,
        sections: Sections, machine: Runtime, inside: Inside,
    ) -> None:  # fmt: skip
        self.inside, self.world = inside, machine.world
        self.task, self.model, self.data, self.pad_id, self.machine = task, model, data, pad_id, machine
        self.train, self.valid = encoded["train"], encoded["valid"]
        self.seed, self.budget = (
            sections.seed,
            micro_tokens(sections.train.micro_batch_tokens, machine.device),
        )
        self.names = data.train.names
        self.train_gold = [one.gold for one in data.train.items]
        self.valid_gold = [one.gold for one in data.valid.items]
        mean = sum(one.tokens for one in self.train) / len(self.train)
        wanted = task.batch_examples
        rows = max(1, round(sections.train.batch_tokens / mean)) if wanted == "auto" else wanted
        self.rows = min(rows, len(self.train))
        require_rows(self.rows, self.world, "examples (task.batch_examples)")
        self.tokens_per_step = mean * self.rows
        self.measures: tuple[str, ...] = ("loss", *task.measures)
        if task.decides == "f1" and "f1_macro" in task.measures and len(self.names) != 2:
            raise InputError(
                f"task.metric f1 is for two labels, and there are {len(self.names)}", "--task.metric f1_macro"
            )
        named = task.model_copy(update={"label_names": list(self.names) or None})  # those of the data
        weights = named.class_weights_of(self.train_gold, len(self.names))
        self.weights = None if weights is None else torch.tensor(weights, device=machine.device)
        self.settled: dict[str, Any] = {"task.batch_examples": self.rows}

    evaluates: ClassVar[bool] = True

    @property
    def valid_share(self) -> float:
        """How many global batches the validation examples make."""
        return len(self.valid) / self.rows

    def scale(self, duration: Duration) -> dict[str, Any]:
        """What durations need to become steps."""
        return {
            "tokens_per_step": self.tokens_per_step, "steps_per_epoch": len(self.train) / self.rows
        }  # fmt: skip

    def ids(self, step: int) -> list[int]:
        """The training examples of a step."""
        return global_batch(step, self.rows, len(self.train), self.seed)[1].tolist()

    def micro_batches(self, step: int) -> list[tuple[int, Batch]]:
        """This process' part of a step's examples: by length, as many together as the budget takes."""
        groups = even(by_length(self.train, self.ids(step), self.budget), self.world.size)
        return [
            (number, self.task.batch([self.train[i] for i in group], self.pad_id))
            for number, group in deal(groups, self.world)
        ]

    def lessen(self) -> dict[str, Any] | None:
        """Halve the budget of a micro-batch; None where it takes hardly one example."""
        if self.budget <= max(one.length * len(one.ids) for one in self.train):
            return None
        self.budget //= 2
        return {"train.micro_batch_tokens": self.budget}

    def loss(self, batch: Batch) -> torch.Tensor:
        """The task's loss."""
        return self.task.loss(self.model(**batch.inputs).logits, batch.labels, self.weights)

    def evaluate(self, stop: Callable[[], bool] = lambda: False) -> Valid | None:
        """Loss and scores of the validation examples."""
        found = run_examples(
            self.model, self.task, self.valid, self.pad_id, self.budget, self.machine, weights=self.weights,
            stop=stop, inside=self.inside, world=self.world,
        )  # fmt: skip
        if found is None:
            return None
        outputs, loss, targets = found
        scores = self.task.judge(self.train_gold, self.valid_gold, outputs, self.names, full=False).scores
        return {"loss": loss / targets, **scores, "targets": targets}

    def samples(self) -> dict[str, Any]:
        """Nothing: the wrong answers of the validation examples are told at the end."""
        return {}

    def score(self, valid: Valid) -> float:
        """The task's metric, the higher the better; one that is undefined is the worst."""
        metric = self.task.decides
        value = valid.get(metric)
        return -math.inf if value is None else better(metric) * value

    def told(self, valid: Valid) -> str:
        """The loss and the first scores."""
        some = [name for name in dict.fromkeys((self.task.decides, *self.task.measures)) if name in valid]
        return f"valid loss {valid['loss']:.4f}" + "".join(
            f", {name.replace('_', ' ')} {valid[name]:.3f}" for name in some[:3]
        )


def micro_tokens(wanted: int | str, device: str) -> int:
    """Padded tokens of a micro-batch."""
    return wanted if isinstance(wanted, int) else GPU_TOKENS if device == "cuda" else CPU_TOKENS


def run_examples(
    model: Any, task: TaskSettings, encoded: Sequence[Encoded], pad_id: int, budget: int, machine: Runtime,
    *, weights: torch.Tensor | None = None, stop: Callable[[], bool] = lambda: False,
    done: Callable[[int], object] = lambda count: None, inside: Inside | None = None,
    world: World = ALONE,
) -> tuple[list[np.ndarray], float, int] | None:  # fmt: skip
    """(each example's logits in their order, summed loss, targets); None where `stop` said so.

    The groups do not change what an example gets: padding is masked. Several processes share them; where they
    do not share out, some take one twice and it counts once.
    """
    found: list[Any] = [None] * len(encoded)
    loss, targets = 0.0, 0
    training = model.training
    model.eval()
    call = inside or Inside(model)
    groups = by_length(encoded, range(len(encoded)), budget)
    try:
        for first in range(0, len(groups), world.size):
            if stop():
                return None
            place = first + world.rank
            group = groups[min(place, len(groups) - 1)]
            rows = [encoded[i] for i in group]
            batch = task.batch(rows, pad_id).to(machine.device)
            with torch.no_grad(), machine.autocast():
                logits = call(lambda inputs: model(**inputs).logits, batch.inputs)
            if place >= len(groups):
                continue
            loss += task.loss(logits, batch.labels, weights).double().item()
            targets += batch.num_targets
            for i, output in zip(group, task.outputs(logits.float().cpu().numpy(), rows), strict=True):
                found[i] = output
            done(len(group))
    finally:
        model.train(training)
    if world.size > 1:
        own = [(i, one.shape, one.ravel().tolist()) for i, one in enumerate(found) if one is not None]
        for part in world.gather(own):
            for i, shape, values in part:
                found[i] = np.array(values, dtype=np.float32).reshape(shape)
    nats, count = world.sum(loss, targets)
    return found, nats, int(count)


# ---------------------------------------------------------------------------------------------------- start


class _Ready(NamedTuple):
    """What stands before a run on each process alone. max_length: tokens of an example at most."""

    task: TaskSettings
    model: Any
    wrapped: Any  # with adapters
    encoded: dict[str, list[Encoded]]
    pad_id: int
    max_length: int


def _ready(
    task: TaskSettings, model_settings: Any, sections: Sections, data: Data, tokenizer_dir: Path,
    machine: Runtime,
) -> _Ready:  # fmt: skip
    """Model with head, and encoded examples."""
    tokenizer = load_tokenizer(tokenizer_dir)
    vocabulary = Encoder(tokenizer_dir).vocabulary
    task = task.model_copy(update={"words": _words(task, tokenizer)})
    sides = {"train": data.train, "valid": data.valid}
    encoded = {side: task.encode(tokenizer, examples.items, None) for side, examples in sides.items()}
    wanted = LONGEST if task.max_length == "auto" else task.max_length
    model, has_head = task_head.build_task_model(
        model_settings, task.auto_model, task.head(data.train.names), vocabulary,
        seed=sections.seed, dropout=task.dropout, max_length=max(wanted, 16),
    )  # fmt: skip
    limit = positions(model)
    if limit is not None and wanted > limit:
        if task.max_length != "auto":
            raise InputError(f"task.max_length is {wanted}, but the model has {limit} positions")
        wanted = limit
    if any(one.length > wanted for rows in encoded.values() for one in rows):
        encoded = {side: task.encode(tokenizer, rows.items, wanted) for side, rows in sides.items()}
        cut = sum(one.cut for rows in encoded.values() for one in rows)
        progress.say(f"{cut:,} examples are longer than {wanted} tokens and are cut (task.max_length)")
    _warn_of_unknown(encoded["train"], Encoder(tokenizer_dir).unk_id)
    if not task_head.takes_types(model):
        encoded = {side: [one._replace(types=None) for one in rows] for side, rows in encoded.items()}
    if not has_head and task.head(data.train.names).get("problem_type") == "regression":
        task_head.start_at(model, float(np.mean([one.gold for one in data.train.items])))
    wrapped = None
    if task.lora is not None:
        lora = task.lora
        wrapped = task_head.adapt(
            model, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, targets=lora.targets,
            seed=sections.seed,
        )  # fmt: skip
    freeze(model, sections.train.freeze)
    model.to(machine.device)
    _set_attention(model, sections.train.attention, machine)
    return _Ready(task, model, wrapped, encoded, vocabulary.pad_id, wanted)


def start(
    task: TaskSettings, model_settings: Any, sections: Sections, data: Data, tokenizer_dir: Path,
    match: dict[str, Any], machine: Runtime,
) -> tuple[Finetuning, checkpoint.Parts]:  # fmt: skip
    """Tokenizer, encoded examples, model with head, optimizers. Settings must be resolved.

    match: the settings that must not change when the run goes on.
    """
    ready = machine.world.together(
        lambda: _ready(task, model_settings, sections, data, tokenizer_dir, machine)
    )
    task, model, wrapped, encoded, wanted = (
        ready.task, ready.model, ready.wrapped, ready.encoded, ready.max_length,
    )  # fmt: skip
    inside = spread(model, machine.parallel, machine.world, machine.device, adapted=wrapped is not None)
    work = Finetuning(task, model, data, encoded, ready.pad_id, sections, machine, inside)
    work.settled |= {
        "task.max_length": wanted,
        "task.words": task.words,
        "train.attention": model.config._attn_implementation,
    }
    if data.train.names:
        work.settled["task.label_names"] = list(data.train.names)
    settings = {**match, **{name: value for name, value in work.settled.items() if name in match}}
    fingerprints = {"data": data.fingerprint(), "settings": files.digest(settings)}
    fingerprints["tokenizer"] = files.Manifest.read(tokenizer_dir, "tokenizer").meta["fingerprint"]
    if model_settings.pretrained is not None:
        weights = sorted(find_model(model_settings.pretrained).glob("*.safetensors"))
        fingerprints["pretrained"] = files.digest([files.sha256(path) for path in weights])
    describes = {
        **task.model_dump(mode="json", exclude={"data", "lora", "grid", "batch_examples", "class_weights"}),
        "label_names": list(data.train.names), "max_length": wanted,
    }  # fmt: skip
    parts = checkpoint.Parts(
        model, sections.optim.build(model), tokenizer_dir, positions(model) or wanted, fingerprints,
        wrapped,
        {checkpoint.TASK: json.dumps(describes, ensure_ascii=False, indent=1) + "\n"}, machine.world,
        sections.optim.state_size(model),
    )  # fmt: skip
    return work, parts


def _words(task: TaskSettings, tokenizer: Any) -> str:
    """Whose words get spaces between them."""
    if task.words != "auto":
        return task.words
    if not wants_spaces(tokenizer.get_vocab()):
        return "none"
    progress.say("the tokenizer was made for text whose words stand apart: ipadic's do now (task.words)")
    return "ipadic"


def _warn_of_unknown(encoded: Sequence[Encoded], unk_id: int | None) -> None:
    total = sum(one.tokens for one in encoded)
    unknown = 0 if unk_id is None else sum(int((ids == unk_id).sum()) for one in encoded for ids in one.ids)
    if unknown > UNKNOWN_SHARE * total:
        progress.say(
            f"warning: {unknown / total:.1%} of the tokens are unknown to the tokenizer; was the model made "
            "for other text?"
        )


def _set_attention(model: Any, wanted: str, machine: Runtime) -> None:
    if wanted in ("varlen", "separate"):
        raise InputError(f"train.attention {wanted} is for packed texts", "--train.attention auto")
    # plain products beat torch's fused kernel on a CPU at such lengths: docs/LOG.md
    way = wanted if wanted != "auto" else "eager" if machine.device == "cpu" else "sdpa"
    try:
        model.set_attn_implementation(way)
    except ValueError as error:  # a model that knows one way only
        if wanted != "auto":
            raise InputError(f"train.attention {wanted}: {str(error).splitlines()[0]}") from None
