"""Checkpoints: a plain Hugging Face folder, the optimizer's tensors, and a manifest written last. No pickle.

    checkpoints/step-000000500/
        model/      config.json, model.safetensors, tokenizer files: opens with `from_pretrained`, without
        tane state/      optimizer.safetensors, state.json manifest.json

Saved by `files.publish`, so a folder of that name is whole. A damaged one is said aloud and passed over.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors.torch import save_file

from tane import files, progress, resources
from tane.errors import DivergedError, IntegrityError
from tane.model.task_head import merged
from tane.optim.muon import SplitMuon
from tane.tokens.tokenizer import copy_tokenizer
from tane.training import contents
from tane.types import TrainState

NAME = re.compile(r"step-(\d{9})")
KIND = "checkpoint"
ADAPTERS = "trained.safetensors"
TASK = "task.json"  # in a model folder: what its head was trained for


def folder_of(run_dir: Path, step: int) -> Path:
    """The checkpoint folder of a step."""
    return run_dir / "checkpoints" / f"step-{step:09d}"


def step_of(model: Path) -> int | None:
    """The step of the checkpoint that a model folder lies in, or None."""
    found = NAME.fullmatch(model.resolve().parent.name)
    return int(found[1]) if found else None


def steps_in(run_dir: Path) -> list[int]:
    """Steps that have a checkpoint folder, ascending; only full-match names count."""
    root = run_dir / "checkpoints"
    found = (NAME.fullmatch(p.name) for p in root.iterdir()) if root.is_dir() else ()
    return sorted(int(m[1]) for m in found if m)


@dataclass(frozen=True)
class Parts:
    """What a checkpoint holds and restores."""

    model: Any
    optimizers: list[torch.optim.Optimizer]
    tokenizer: Path
    max_length: int
    fingerprints: dict[str, str]  # of the run's must-match settings and of its data
    adapted: Any = None  # peft's wrapper of the model, where adapters are trained instead of it
    beside: dict[str, str] = field(default_factory=dict)  # more files of the model folder: name -> text

    def plain_model(self) -> Any:
        """The model as others open it: with adapters merged into a copy."""
        return self.model if self.adapted is None else merged(self.adapted)

    def trained(self) -> dict[str, torch.Tensor]:
        """The parameters that are trained, by name."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        """{"0/NAME": {"exp_avg": ..}}: the live state of every trained parameter, by the parameter's name."""
        return {name: optimizer.state[parameter] for name, optimizer, parameter in self._optimized()}

    def optimizer_shapes(self) -> dict[str, torch.Size]:
        """{"0/NAME": shape}: what the optimizers' state of each trained parameter is shaped as."""
        return {name: parameter.shape for name, _, parameter in self._optimized()}

    def _optimized(self) -> Iterator[tuple[str, torch.optim.Optimizer, torch.Tensor]]:
        names = {p: n for n, p in self.model.named_parameters()}
        for number, optimizer in enumerate(self.optimizers):
            own = optimizer.view_names if isinstance(optimizer, SplitMuon) else {}
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield f"{number}/{own.get(parameter) or names[parameter]}", optimizer, parameter


def size_on_disk(parts: Parts) -> int:
    """Bytes that one checkpoint will take: weights, up to two moments of each, and some for the rest."""
    weights = sum(p.numel() * p.element_size() for p in parts.model.parameters())
    return 3 * weights + sum(p.stat().st_size for p in parts.tokenizer.iterdir()) + 100_000


def save(run_dir: Path, parts: Parts, state: TrainState) -> Path:
    """Publish the checkpoint of `state.step`. Refuses weights that are not finite."""
    target = folder_of(run_dir, state.step)
    for name, parameter in parts.model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise DivergedError(f"the weights {name} are not finite at step {state.step}; nothing was saved")

    def write(folder: Path) -> dict[str, Any]:
        write_model(folder / "model", parts)
        (folder / "state").mkdir()
        tensors = {
            f"{name}/{key}": value.detach().cpu().contiguous()
            for name, values in parts.optimizer_state().items()
            for key, value in values.items()
        }
        save_file(tensors, str(folder / "state" / "optimizer.safetensors"))
        if parts.adapted is not None:  # model/ holds them merged, rounded with the weights below them
            own = {name: value.cpu().contiguous() for name, value in parts.trained().items()}
            save_file(own, str(folder / "state" / ADAPTERS))
        text = json.dumps(asdict(state), indent=1) + "\n"
        (folder / "state" / "state.json").write_text(text, encoding="utf-8")
        return {"step": state.step, "world_size": 1, **parts.fingerprints}

    files.publish(target, KIND, write, needs=size_on_disk(parts))
    return target


def write_model(folder: Path, parts: Parts) -> None:
    """Write a plain Hugging Face folder: config, generation config, weights, tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    parts.plain_model().save_pretrained(str(folder), max_shard_size="1000GB")
    copy_tokenizer(parts.tokenizer, folder, parts.max_length)
    for name, text in parts.beside.items():
        (folder / name).write_text(text, encoding="utf-8")


def newest(
    run_dir: Path, fingerprints: dict[str, str], *, below: int | None = None, full: bool, strict: bool
) -> int | None:
    """The newest step whose checkpoint is intact and belongs to this run; damaged ones are said aloud.

    below: only steps up to this one. strict: raise IntegrityError instead of falling back. A damaged one for
    which another stands in is set aside under a hidden name, so that it no more counts among those kept.
    """
    damaged: list[tuple[Path, str]] = []
    for step in reversed(steps_in(run_dir)):
        if below is not None and step > below:
            continue
        folder = folder_of(run_dir, step)
        try:
            manifest = files.check(folder, KIND, full=full)
            if full:
                contents.check_tensors(folder)
        except IntegrityError as error:
            if strict:
                raise
            damaged.append((folder, error.message))
            continue
        for name, value in fingerprints.items():
            if not isinstance(manifest.meta, dict) or manifest.meta.get(name) != value:
                raise IntegrityError(
                    f"{folder} belongs to another run: its {name} are not those of this run",
                    "start anew with --fresh",
                )
        for other, message in damaged:
            aside = files.set_aside(other)
            progress.say(f"warning: {message}; falling back to {folder.name} (set aside as {aside.name})")
        return step
    for _, message in damaged:
        progress.say(f"warning: {message}")
    return None


def load(run_dir: Path, step: int, parts: Parts) -> TrainState:
    """Restore model and optimizers in place; returns the state. The folder has been checked by `newest`."""
    folder = folder_of(run_dir, step)
    try:
        stored = folder / ("model/model.safetensors" if parts.adapted is None else f"state/{ADAPTERS}")
        weights = contents.read_tensors(stored)
        tensors = contents.read_tensors(folder / "state" / "optimizer.safetensors")
        state = _read_state(folder / "state" / "state.json")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"{folder} cannot be read: {error}", "delete it, or start anew with --fresh"
        ) from None
    named = dict(parts.model.named_parameters()) | dict(parts.model.named_buffers())
    unknown = set(weights) - set(parts.model.state_dict())
    needed = dict(parts.model.named_parameters()) if parts.adapted is None else parts.trained()
    absent = {name for name in needed if name not in weights}
    if unknown or absent:
        raise IntegrityError(
            f"{folder}: weights do not fit the model: {', '.join(sorted(unknown | absent)[:3])}"
        )
    odd = sorted(
        name
        for name, value in weights.items()
        if name in named and (value.shape, value.dtype) != (named[name].shape, named[name].dtype)
    )
    if odd:
        raise IntegrityError(
            f"{folder}: weights have other shapes or types than the model: {', '.join(odd[:3])}",
            contents.AGAIN,
        )
    if state.step != step:
        raise IntegrityError(f"{folder} holds the state of step {state.step:,}", contents.AGAIN)
    with torch.no_grad():
        for name, value in weights.items():
            if name in named:
                named[name].copy_(value)
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        owner, _, key = name.rpartition("/")
        groups.setdefault(owner, {})[key] = value
    live = parts.optimizer_state()
    if groups and set(groups) != set(live):
        odd = sorted(set(groups) ^ set(live))
        raise IntegrityError(f"{folder}: the optimizer's state does not fit the model: {', '.join(odd[:3])}")
    _check_optimizer(folder, groups, parts.optimizer_shapes())
    for owner, values in groups.items():
        device = next(p.device for p in parts.model.parameters())
        live[owner].update({key: value.to(device) for key, value in values.items()})
    return state


def _read_state(path: Path) -> TrainState:
    """The state in a file. Raises ValueError, TypeError or RecursionError for what was not written so."""
    from pydantic import ConfigDict, TypeAdapter, create_model

    told = asdict(TrainState(**json.loads(path.read_text(encoding="utf-8"))))
    kinds: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(TrainState).items()}
    model = create_model("State", __config__=ConfigDict(strict=True), **kinds)
    return TrainState(**TypeAdapter(model).validate_python(told).model_dump())


def _check_optimizer(
    folder: Path, groups: dict[str, dict[str, torch.Tensor]], shapes: dict[str, torch.Size]
) -> None:
    """Raise IntegrityError where an optimizer's stored tensors are not what its next step would work with."""
    kinds: dict[str, set[str]] = {}  # number of the optimizer -> what it keeps of each parameter
    for owner, values in groups.items():
        same = kinds.setdefault(owner.partition("/")[0], set(values)) == set(values)
        shaped = all(v.shape == (() if key == "step" else shapes[owner]) for key, v in values.items())
        if not (same and shaped and all(v.is_floating_point() for v in values.values())):
            raise IntegrityError(f"{folder}: the optimizer's state of {owner} does not fit the parameter")


def retain(run_dir: Path, keep: int, pinned: set[int]) -> None:
    """Delete old checkpoints but the last `keep` and the pinned ones (the best; where a decay began)."""
    steps = steps_in(run_dir)
    for step in steps[:-keep]:
        if step not in pinned:
            files.delete(folder_of(run_dir, step))


def require_best(run_dir: Path, state: TrainState, *, full: bool, strict: bool) -> None:
    """Let RUN/model be a model that is whole: the best of the state, or where that is damaged or gone the one
    of the state's own step, and the best is looked for anew."""
    best, steps = state.best_step, steps_in(run_dir)
    if best is not None and best != state.step and best in steps:
        try:
            files.check(folder_of(run_dir, best), KIND, full=full)
        except IntegrityError as error:
            if strict:
                raise
            aside = files.set_aside(folder_of(run_dir, best))
            progress.say(f"warning: the best checkpoint is lost: {error.message} (set aside as {aside.name})")
            steps.remove(best)
    if best not in steps:  # damaged, or it made way for a better one of the run's old length
        state.best_step = state.best_score = None
    # a kill may have come between a save and the swap of the link
    wanted = state.best_step if state.best_step is not None else state.step
    known = state.best_step is not None or state.finished or os.path.lexists(run_dir / "model")
    if known and step_of(run_dir / "model") != wanted:
        point_model(run_dir, wanted)


def point_model(run_dir: Path, step: int) -> None:
    """Let RUN/model be the model of a step, swapped by rename."""
    link, temporary = run_dir / "model", run_dir / f"{files.TEMPORARY}model-{os.getpid()}"
    with resources.writing(link):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("checkpoints") / folder_of(run_dir, step).name / "model")
        os.replace(temporary, link)
        files.sync(run_dir)
