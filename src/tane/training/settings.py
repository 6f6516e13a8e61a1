"""The `train` section of a recipe: how long, how large, on what, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from tane.durations import AnyDuration, Duration, Share
from tane.model.attention import Way
from tane.model.build import ModelSettings
from tane.optim.groups import OptimSettings
from tane.settings import Settings, option

AtLeastOne = Annotated[int, Field(ge=1)]


class EarlyStopping(Settings):
    """When to stop before the end."""

    patience: int = option(5, "evaluations without a better validation loss", gt=0, resume="free")
    min_delta: float = option(0.0, "how much lower (nats) counts as better", ge=0, resume="free")


class TrainSettings(Settings):
    """How long, how large, on what, and what is kept."""

    duration: AnyDuration = option(
        Duration(5, "epochs"), "how long: epochs, steps, tokens or minutes", resume="free"
    )
    batch_tokens: int = option(4096, "tokens of one optimizer step", gt=0)
    micro_batch_tokens: AtLeastOne | Literal["auto"] = option(
        "auto", "tokens of one forward pass", resume="free"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to train", resume="free")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = option("auto", "of forward passes; weights are fp32")
    attention: Way | Literal["auto"] = option(
        "auto", "how attention is computed; auto: the fastest that is right", resume="free"
    )
    parallel: Literal["auto", "ddp", "fsdp"] = option(
        "auto",
        "how several processes (torchrun) share the model: ddp, each has it whole; fsdp, each has a part; "
        "auto: ddp where it fits",
        resume="free",
    )
    compile: bool | Literal["auto"] = option(
        "auto", "torch.compile of each layer and of the loss; auto: on a GPU"
    )
    threads: AtLeastOne | Literal["auto"] = option(
        "auto", "CPU threads, of all processes of a machine together", resume="free"
    )
    gradient_checkpointing: bool = option(False, "less memory for more time")
    freeze: list[str] = option([], "name patterns of parameters that are not trained")
    eval_every: Share = option(0.1, "between evaluations: a fraction of the run or a duration", resume="free")
    eval_tokens: int | None = option(
        250_000, "validation tokens used, always the same; none: all", gt=0, resume="free"
    )
    samples: bool = option(
        True, "note with each evaluation how fixed texts are continued or filled", resume="free"
    )
    save_every: AnyDuration = option(Duration(5, "minutes"), "between checkpoints", resume="free")
    keep: int = option(2, "last checkpoints kept, beside the best", ge=2, resume="free")
    early_stopping: EarlyStopping | None = option(None, "stop when validation no longer gains", resume="free")
    stop_on_spike: bool = option(False, "stop where the loss leaps far beyond what was usual", resume="free")
    tensorboard: bool = option(True, "write TensorBoard files", resume="free")


@dataclass(frozen=True)
class Sections:
    """The parts of a recipe that training needs."""

    seed: int
    model: ModelSettings
    objective: Any
    optim: OptimSettings
    train: TrainSettings
