"""What the sections of gpu.py share: the machine's ceilings, laps of steps, counts of compiling, a text.

Steps are timed by the device's own events, behind steps that warm up; figures are medians.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

DATASHEET = 989e12  # bf16 operations a second of an H100 or H200, dense
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>")


@dataclass
class Machine:
    """Where and how large: `rate` is the measured one of a bf16 matrix product, operations a second."""

    device: str
    tiny: bool
    work: Path
    rate: float = DATASHEET

    @property
    def compiled(self) -> bool:
        """Whether sides that compile do so here."""
        return self.device == "cuda" and not self.tiny

    @property
    def warm(self) -> int:
        """Steps before the clock starts."""
        return 2 if self.tiny else 20

    @property
    def steps(self) -> int:
        """Steps that are timed."""
        return 3 if self.tiny else 40

    def sync(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def fresh(self) -> None:
        """Forget what the section before left: its memory, its compiled graphs, its peak."""
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        if self.device == "cuda":
            import gc

            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_gb(self) -> float:
        """The most memory of the device that was held since `fresh`."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.device == "cuda" else 0.0


class Laps:
    """Marks on the device's own time line: `mark()` after each step, `seconds()` in the end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.marks: list[Any] = []

    def mark(self) -> None:
        if self.machine.device == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Between neighbouring marks."""
        self.machine.sync()
        pairs = zip(self.marks, self.marks[1:], strict=False)
        if self.machine.device == "cuda":
            return [a.elapsed_time(b) / 1000 for a, b in pairs]
        return [b - a for a, b in pairs]


def laps_of(machine: Machine, step: Callable[[], Any], warm: int, count: int) -> list[float]:
    """Seconds of `count` steps after `warm` others."""
    for _ in range(warm):
        step()
    machine.sync()
    laps = Laps(machine)
    laps.mark()
    for _ in range(count):
        step()
        laps.mark()
    return laps.seconds()


def told(laps: list[float], per_step: float, unit: str, flops: float, rate: float) -> dict[str, float]:
    """The figures of a row of steps: flops are those of one unit, forward and backward."""
    middle = statistics.median(laps)
    found = {f"{unit}_per_s": per_step / middle, "step_ms": 1000 * middle}
    found["p99_over_p50"] = float(np.quantile(laps, 0.99)) / middle
    found["mfu_measured"] = flops * per_step / middle / rate
    found["mfu_datasheet"] = flops * per_step / middle / DATASHEET
    return found


def idle(machine: Machine, loop: Any) -> dict[str, Any]:
    """What loading costs one of tane's loops: milliseconds of making a step's batches, and the percent of a
    step in which the device waits for them.

    The latter from steps with real loading and, in turn with them, steps whose batches lie on the device.
    """
    from tane.training.ahead import Ahead

    real, cached, loaded = loop.batches, [], []
    start = time.perf_counter()
    made = [loop.work.micro_batches(step) for step in range(3)]
    found: dict[str, Any] = {"batches_ms": 1000 * (time.perf_counter() - start) / 3}
    held = [(number, batch.to(machine.device)) for number, batch in made[0]]
    try:
        for _ in range(2):
            loop.batches = Ahead(lambda step: held, on=False)
            cached += laps_of(machine, loop._step, 3, machine.steps // 2 + 1)
            loop.batches = real
            loaded += laps_of(machine, loop._step, 3, machine.steps // 2 + 1)
    except Exception as error:  # the figures before it stand all the same
        loop.batches = real
        return {**found, "idle_failed": f"{type(error).__name__}: {error}"[:200]}
    return {**found, "idle_percent": 100 * (1 - statistics.median(cached) / statistics.median(loaded))}


def profiled(machine: Machine, step: Callable[[], Any], count: int = 3) -> dict[str, Any]:
    """Where the device's time goes: the percent of some steps' wall time in which it worked, and the percent
    of that work of each of the largest kernels (on a CPU: of the operations); or why that is not known."""
    try:
        return _profiled(machine, step, count)
    except Exception as error:  # the figures before it stand all the same
        return {"profile_failed": f"{type(error).__name__}: {error}"[:200]}


def _profiled(machine: Machine, step: Callable[[], Any], count: int) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    on_gpu = machine.device == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    machine.sync()
    with profile(activities=kinds) as found:
        start = time.perf_counter()
        for _ in range(count):
            step()
        machine.sync()
        wall = 1e6 * (time.perf_counter() - start)
    field = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    spent = {
        event.key: float(getattr(event, field))
        for event in found.key_averages()
        # an operation's time on the device is that of its kernels, which stand there too; so do annotations
        if not on_gpu or (event.device_type == torch.autograd.DeviceType.CUDA and "#" not in event.key)
    }
    whole = sum(spent.values()) or 1.0
    largest = sorted(spent, key=lambda name: -spent[name])[:15]
    shares = {name[:90]: round(100 * spent[name] / whole, 1) for name in largest}
    return {"busy_percent": 100 * whole / wall, "kernels_percent": shares}


def graphs() -> tuple[int, int]:
    """(graphs compiled since `fresh`, breaks in them)."""
    counters = torch._dynamo.utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def ceilings(machine: Machine) -> dict[str, float]:
    """Bytes a second of a copy on the device, read and written, and operations a second of a product."""
    size, side, count = (1 << 20, 256, 5) if machine.tiny else (1 << 31, 8192, 40)
    source = torch.randint(0, 99, (size,), dtype=torch.int16, device=machine.device)
    target = torch.empty_like(source)
    copy = statistics.median(laps_of(machine, lambda: target.copy_(source), 5, count))
    a, b = (torch.randn(side, side, device=machine.device).bfloat16() for _ in range(2))
    out = torch.empty_like(a)
    product = statistics.median(laps_of(machine, lambda: torch.mm(a, b, out=out), 5, count))
    machine.rate = 2 * side**3 / product
    return {"copy_tb_per_s": 2 * 2 * size / copy / 1e12, "matmul_tflop_per_s": machine.rate / 1e12}


# ----------------------------------------------------------------------------------------------- made-up text


def make_data(folder: Path, pieces: int, lengths: np.ndarray, seed: int) -> Path:
    """A data folder as `tane prepare` leaves it, of drawn tokens that are as unequally frequent as words are.

    lengths (D,): tokens of each document, its end included. Also there: `train.bin`, the tokens in one row.
    """
    from tane import files
    from tane.tokens.shards import token_dtype, write_index

    made = np.random.default_rng(seed)
    shares = np.cumsum(1 / (np.arange(pieces - len(SPECIALS)) + 10.0))
    drawn = made.random(int(lengths.sum())) * shares[-1]
    tokens = (np.searchsorted(shares, drawn) + len(SPECIALS)).astype(token_dtype(pieces))
    end = SPECIALS.index("</s>")
    tokens[np.cumsum(lengths) - 1] = end
    files.make_folder(folder)
    tokens.tofile(folder / "train.bin")
    _make_tokenizer(folder / "tokenizer", pieces)

    def write(place: Path) -> dict[str, Any]:
        tokens.tofile(place / "train-00000.bin")
        write_index(place / "train-00000.idx", lengths, tokens.dtype)
        counts = {"documents": len(lengths), "tokens": len(tokens), "characters": 2 * len(tokens)}
        counts["unknown"] = 0
        return {
            "fingerprint": "0" * 64, "eos_id": end, "vocab_size": pieces, "dtype": str(tokens.dtype),
            "splits": {"train": counts, "valid": dict.fromkeys(counts, 0)},
        }  # fmt: skip

    files.publish(folder / "shards", "shards", write)
    return folder


def _make_tokenizer(folder: Path, pieces: int) -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    words = [*SPECIALS, *(f"w{number}" for number in range(pieces - len(SPECIALS)))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIALS])
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"mask_token": "[MASK]", "eos_token": "</s>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


# ----------------------------------------------------------------------------------- transformers' Trainer


def trainer_laps(
    machine: Machine, model: Any, rows: Any, batch: int, *, bf16: bool, compiled: bool = False,
    collator: Any = None, count: int | None = None, **flags: Any,
) -> list[float]:  # fmt: skip
    """Seconds of the steps of transformers' Trainer, from the end of one step to that of the next."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    laps, warm = Laps(machine), machine.warm

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step >= warm:
                laps.mark()

    steps = machine.steps if count is None else count
    settings = TrainingArguments(
        output_dir=str(machine.work / "trainer"),
        use_cpu=machine.device == "cpu",
        bf16=bf16,
        torch_compile=compiled,
        per_device_train_batch_size=batch,
        max_steps=warm + steps,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **flags,
    )
    Trainer(model, settings, train_dataset=rows, data_collator=collator, callbacks=[Clock()]).train()
    return laps.seconds()


def best_flags(machine: Machine) -> dict[str, Any]:
    """The Trainer's flags that make it fast."""
    return {
        "dataloader_num_workers": 0 if machine.device == "cpu" else 4,
        "logging_nan_inf_filter": False,
        "optim": "adamw_torch_fused",
    }
