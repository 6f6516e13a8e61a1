"""The machine: device, precision, threads, compile. Everything `auto` is decided here, once, and recorded.

A resumed run reuses what was recorded, since bits depend on it: threads, precision, micro-batch, eager or
compiled.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tane import progress
from tane.errors import InputError
from tane.ranks import ALONE, World

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
CPU_MICRO_TOKENS, GPU_MICRO_TOKENS = 4096, 65_536


def choose_device(wanted: str, name: str = "device") -> str:
    """cuda, mps or cpu. name: what the person calls it: an argument of Python, or the setting train.device.

    Raises InputError when the wanted device is not there.
    """
    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in have.items() if there)
    remedy = f"--{name} cpu" if "." in name else f'{name}="cpu"'
    if wanted not in have:
        raise InputError(f"{name} is {wanted!r}; expected auto, {', '.join(have)}", remedy)
    if not have[wanted]:
        raise InputError(f"{name} is {wanted}, but this machine has none that torch can use", remedy)
    return wanted


def choose_threads(wanted: int | str, world: World) -> int:
    """CPU threads of all processes of a machine."""
    if isinstance(wanted, int):
        return wanted
    if world.size == 1:
        return torch.get_num_threads()
    # torchrun sets OMP_NUM_THREADS to 1 for each of its processes
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores, world.local_size)


def choose_precision(wanted: str, device: str) -> str:
    """bf16 where it is faster, else fp32: on a GPU by its kind, on a CPU by its instructions and a short
    race."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device == "cpu" and _bf16_wins() else "fp32"


def _bf16_wins(size: int = 512, rounds: int = 20) -> bool:
    # without avx512_bf16, amx or Arm's bf16 instructions bf16 is emulated and slower; the race settles it.
    # In turn and on one thread, so that other work on the machine does not decide it.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = torch.randn(size, size)
        factors = {dtype: x.to(dtype) for dtype in (torch.float32, torch.bfloat16)}
        best = dict.fromkeys(factors, float("inf"))
        for _ in range(rounds):
            for dtype, factor in factors.items():
                start = time.perf_counter()
                factor @ factor
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return best[torch.bfloat16] < 0.8 * best[torch.float32]


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next one.

    By default it gives memory back to the system as soon as a little of it is free at the end, and each step
    takes the same hundreds of megabytes again, page by page: 7 to 13 % of a step of GPT-2 4 x 256 on two
    cores. Pieces of 32 MB and more, the most that glibc takes here, are still given back. The settings are of
    the process and stay (mallopt(3)); other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def choose_micro_rows(wanted: int | str, device: str, block_size: int, batch_rows: int) -> int:
    """Rows of a micro-batch; never more than the global batch has."""
    tokens = wanted if isinstance(wanted, int) else GPU_MICRO_TOKENS if device == "cuda" else CPU_MICRO_TOKENS
    return max(1, min(batch_rows, tokens // block_size))


@dataclass(frozen=True)
class Runtime:
    """The decided machine settings of a run."""

    device: str
    precision: str
    compiled: bool
    threads: int  # of a whole machine: its processes share them
    world: World = ALONE
    parallel: str = "ddp"  # how several processes share a model

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Forward passes run in this; fp32 means that no autocast is entered at all."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, DTYPES[self.precision])

    def gives_up_bits(self, error: Exception) -> bool:
        """Whether an error says that an operation of the model has no way that repeats its bits: then it is
        taken as it is from here on, which is said once."""
        if "use_deterministic_algorithms" not in str(error):
            return False
        torch.use_deterministic_algorithms(True, warn_only=True)
        progress.say(f"warning: a resumed run will not have equal bits: {str(error).partition('. ')[0]}")
        return True

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Set what torch keeps process-wide, and put it back afterwards."""
        threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        warned = torch.is_deterministic_algorithms_warn_only_enabled()
        matmul = torch.get_float32_matmul_precision()
        collecting = gc.isenabled()
        memory: Any = torch.utils.deterministic
        filled = memory.fill_uninitialized_memory
        if self.device == "cpu":
            keep_freed_memory()
        gc.disable()  # or it stops a step for a while when it likes; the loop collects at fixed steps
        torch.set_num_threads(max(1, self.threads // self.world.local_size))
        if self.compiled or self.device == "cuda":  # else atomic adds make runs differ
            torch.use_deterministic_algorithms(True)
            # or every new tensor is filled first, which nothing of ours reads
            memory.fill_uninitialized_memory = False
        if self.device == "cuda":
            # cuBLAS repeats its bits with a fixed workspace; this is read at the first product
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.set_float32_matmul_precision("high")
        try:
            yield
        finally:
            if collecting:
                gc.enable()
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warned)
            memory.fill_uninitialized_memory = filled
            torch.set_float32_matmul_precision(matmul)
