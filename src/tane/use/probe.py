"""What only the heavy libraries can tell, asked in a child process of `tane doctor`.

A library that is broken, crashes or hangs when it is imported ends the child and not `tane doctor`. The
answer is the last line of its output, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

MARK = "tane-probe:"


def torch_facts() -> dict[str, Any]:
    """Its build, devices and threads, and what tane would choose with them."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        import torch

        seconds = time.perf_counter() - start
        cuda = torch.cuda.is_available()
        shared = _shares_arrays(torch)
    found: dict[str, Any] = {
        "version": torch.__version__,
        "seconds": round(seconds, 1),
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "kernels": torch.cuda.get_arch_list() if cuda else [],
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
        "capability": list(torch.cuda.get_device_capability()) if cuda else None,
        "bf16": _has_bf16(torch),
        "mps": torch.backends.mps.is_available(),
        "numpy": shared,
        "warnings": [str(one.message).strip().splitlines()[0] for one in told if str(one.message).strip()],
    }
    from tane.training.runtime import choose_device, choose_precision

    device = choose_device("auto")
    return {**found, "device": device, "precision": choose_precision("auto", device)}


def _has_bf16(torch: Any) -> bool | None:
    """Whether the processor has instructions for bf16; None where torch does not tell."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):
        return None


def _shares_arrays(torch: Any) -> str | None:
    """Why torch and numpy do not work together, or None where they do."""
    try:
        import numpy

        torch.from_numpy(numpy.zeros(1))
    except (ImportError, RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def transformers_facts() -> dict[str, Any]:
    """Whether model classes can be imported, which bring far more with them than `import transformers`."""
    start = time.perf_counter()
    import transformers

    for name in ("AutoTokenizer", "BertForMaskedLM", "GPT2LMHeadModel"):
        getattr(transformers, name)
    return {"version": transformers.__version__, "seconds": round(time.perf_counter() - start, 1)}


def mecab_facts() -> dict[str, Any]:
    """Whether MeCab cuts words with its dictionary."""
    import fugashi
    import ipadic

    words = fugashi.GenericTagger(ipadic.MECAB_ARGS)("すもももももももものうち")
    return {"words": [word.surface for word in words]}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": torch_facts,
    "transformers": transformers_facts,
    "mecab": mecab_facts,
}


def fault(error: BaseException) -> dict[str, Any]:
    """{error: what was raised at first, culprit: the package whose file raised it}.

    transformers hides the first error behind one of its own that names nothing.
    """
    ours = {*sys.stdlib_module_names, "__main__", "torch", "transformers", "tane"}
    foreign: list[str] = []
    while True:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        names = [str(frame.f_globals.get("__name__")).split(".")[0] for frame in frames]
        foreign = [name for name in names if name not in ours] or foreign
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    message = next(iter(str(error).strip().splitlines()), "")
    return {"error": f"{type(error).__name__}: {message}", "culprit": foreign[0] if foreign else None}


def main() -> None:
    """Answer one of PROBES, named on the command line."""
    try:
        answer = PROBES[sys.argv[1]]()
    except BaseException as error:  # a library may raise anything, SystemExit too: it is what is asked for
        answer = fault(error)
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)
