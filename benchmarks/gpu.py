"""tane beside its peers on one GPU, in one command of less than ten minutes; a short table comes last.

    python benchmarks/gpu.py [--out DIR] [--only SECTION ...] [--limit 400]
    python benchmarks/gpu.py --tiny --device cpu        every section at toy size, to see that it runs

It needs no network and no file but this repository (with src on PYTHONPATH where tane is not installed): the
tokens are drawn, as unequally frequent as words. The libraries: torch 2.11 or later, transformers 5.17 or
later with accelerate, tokenizers, numpy, safetensors, pyyaml, tqdm, and pydantic. A machine that has torch
and transformers but no pydantic wants four wheels: pydantic, pydantic_core, annotated_types and
typing_inspection (pip download; then, without a network, pip install --no-index --no-deps --target).

What the device is idle because of loading, and whether anything is compiled anew, stands below the table.
GPT-2 124M, T = 1024, steps of 65,536 tokens; BERT-base, sentences of 18 tokens. tane's figures are those of
its real loop with its real loading. A section that fails is told as failed, and the others go on; one whose
turn comes after --limit seconds is left out. DIR/gpu.json has all figures, and is written after each section.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as tane sets it; read at the first product
import torch

import gpu_causal as causal
import gpu_ground as ground
import gpu_masked as masked

TOKENS, SENTENCES = "tokens_per_s", "sentences_per_s"
WAITING = ("step_ms", "p99_over_p50", "batches_ms", "idle_percent", "busy_percent")
Section = tuple[str, Callable[[ground.Machine], dict[str, Any]]]


def sections(tiny: bool) -> dict[str, Section]:
    """Name -> (what it is, how it is measured), in the order in which they are run."""
    own, large = (2, 4) if tiny else (12, 64)
    return {
        "ceilings": ("copy and matrix product of this device", ground.ceilings),
        "gpt2-tane": ("tane, AdamW", partial(causal.tane, optimizer="adamw")),
        "gpt2-trainer": ("HF Trainer, bf16, compiled", causal.trainer_compiled),
        "gpt2-nanogpt": (f"nanoGPT way, batch {own}", partial(causal.nanogpt, batch=own)),
        "bert-tane": ("tane, packed, AdamW", masked.tane),
        "bert-trainer": ("HF Trainer, bf16, dynamic padding", masked.trainer),
        "bert-tutorial": ("tutorial's loop, bf16", partial(masked.tutorial, bf16=True)),
        "bert-tutorial-fp32": ("tutorial's loop, fp32", partial(masked.tutorial, bf16=False)),
        "gpt2-trainer-eager": ("HF Trainer, bf16, eager", causal.trainer_eager),
        "gpt2-trainer-fp32": ("HF Trainer, its defaults: fp32, batch 8", causal.trainer_defaults),
        "parity": ("loss, compiled bf16 beside eager fp32", causal.parity),
        "muon": ("Muon's update of all hidden matrices", causal.muon),
        "head": ("output matrix and loss", causal.head),
        "gpt2-tane-muon": ("tane, Muon", partial(causal.tane, optimizer="muon")),
        "gpt2-nanogpt-large": (f"nanoGPT way, batch {large}", partial(causal.nanogpt, batch=large)),
    }


def measure(machine: ground.Machine, wanted: list[str], limit: float, out: Path | None) -> dict[str, Any]:
    """Every wanted section's figures, or why it has none."""
    found: dict[str, Any] = {"machine": described(machine)}
    begin = time.perf_counter()
    for name, (_, section) in sections(machine.tiny).items():
        if name not in wanted:
            continue
        start = time.perf_counter()
        if start - begin > limit:
            found[name] = {"failed": f"left out: {limit:.0f} s were over"}
            continue
        try:
            machine.fresh()
            found[name] = section(machine)
        except Exception as error:  # whatever it is, the other sections are still worth their time
            told = f"{type(error).__name__}: {error}"[:300]
            found[name] = {"failed": told, "trace": traceback.format_exc()}
        gc.collect()
        found[name]["section_seconds"] = time.perf_counter() - start
        print(f"{name}: {json.dumps({k: v for k, v in found[name].items() if k != 'trace'})}", flush=True)
        if out is not None:
            (out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def described(machine: ground.Machine) -> dict[str, Any]:
    import transformers

    name = torch.cuda.get_device_name() if machine.device == "cuda" else platform.processor()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"device": name, "python": platform.python_version(), **versions, "tiny": machine.tiny}


def table(found: dict[str, Any], tiny: bool) -> list[str]:
    """The figures that decide, a line each; the ratio is tane's figure (AdamW) to the line's."""
    lines = [f"{'section':<20} {'':<42} {'figure':>12} {'tane is':>8} {'MFU':>6} {'of 989':>7} {'GB':>6}"]
    for name, (what, _) in sections(tiny).items():
        one = found.get(name)
        if one is None:
            continue
        if "failed" in one:
            lines.append(f"{name:<20} {what:<42} failed: {one['failed'][:60]}")
            continue
        unit = TOKENS if TOKENS in one else SENTENCES
        if unit in one:
            ours = found.get("gpt2-tane" if unit == TOKENS else "bert-tane", {}).get(unit)
            ratio = f"{ours / one[unit]:.2f}x" if ours else ""
            lines.append(
                f"{name:<20} {what:<42} {one[unit]:>10,.0f}/s {ratio:>8} {one['mfu_measured']:>6.1%} "
                f"{one['mfu_datasheet']:>7.1%} {one.get('peak_gb', 0):>6.1f}"
            )
        else:
            kept = {k: v for k, v in one.items() if k != "section_seconds"}
            told = ", ".join(f"{k} {v:.4g}" for k, v in kept.items() if isinstance(v, (int, float)))
            lines.append(f"{name:<20} {told}")
    for name in ("gpt2-tane", "gpt2-tane-muon", "bert-tane"):
        one = found.get(name, {})
        keys = (*WAITING, "graphs", "recompiles", "graph_breaks")
        if told := ", ".join(f"{k} {one[k]:.4g}" for k in keys if k in one):
            lines.append(f"{name:<20} {told}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(sections(False)), default=list(sections(False)))
    parser.add_argument("--limit", type=float, default=400.0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU that torch can use; --tiny --device cpu runs every section at toy size")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tane-gpu-") as place, contextlib.ExitStack() as stack:
        from tane import progress

        stack.enter_context(progress.silenced())
        machine = ground.Machine(args.device, args.tiny, Path(place))
        found = measure(machine, args.only, args.limit, args.out)
    print()
    print("\n".join(table(found, args.tiny)))


if __name__ == "__main__":
    main()
