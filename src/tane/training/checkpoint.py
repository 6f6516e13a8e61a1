"""Checkpoints: a plain Hugging Face folder, the optimizer's tensors, and a manifest written last. No pickle.

    checkpoints/step-000000500/
        model/      config.json, model.safetensors, tokenizer files: opens without tane
        state/      optimizer.safetensors, state.json
        manifest.json

Saved by `files.publish`, so a folder of that name is whole. A damaged one is said aloud and passed over. The
files hold whole tensors whatever the number of processes, so that any other number can go on from them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import torch

from tane import files, progress, resources
from tane.errors import DivergedError, IntegrityError
from tane.model.folder import first_line, hushed
from tane.model.task_head import merged
from tane.optim.sharded import like, own
from tane.ranks import ALONE, World
from tane.tokens.tokenizer import copy_tokenizer
from tane.training import contents, gathered
from tane.types import TrainState

NAME = re.compile(r"step-(\d{9})")
KIND = "checkpoint"
ADAPTERS = "trained"  # the stem of its file
STATELESS = "parameters_without_state"  # in the manifest, by name: those that never got a gradient
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
    world: World = ALONE  # the processes that train it
    kept: int | None = None  # values that the optimizers keep; None: two for each parameter

    def plain_model(self) -> Any:
        """The model as others open it: with adapters merged into a copy."""
        return self.model if self.adapted is None else merged(self.adapted)

    def trained(self) -> dict[str, torch.Tensor]:
        """The parameters that are trained, by name."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        """{"0/NAME": {"exp_avg": ..}}: the live state of every trained parameter, by the parameter's name."""
        return {name: optimizer.state[parameter] for name, optimizer, parameter in self.optimized()}

    def optimizer_shapes(self) -> dict[str, torch.Size]:
        """{"0/NAME": shape}: what the optimizers' state of each trained parameter is shaped as."""
        return {name: parameter.shape for name, _, parameter in self.optimized()}

    def optimized(self) -> Iterator[tuple[str, torch.optim.Optimizer, torch.Tensor]]:
        """("NUMBER OF THE OPTIMIZER/NAME", optimizer, parameter) of every trained parameter."""
        names = {p: n for n, p in self.model.named_parameters()}
        for number, optimizer in enumerate(self.optimizers):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield f"{number}/{names[parameter]}", optimizer, parameter


def size_on_disk(parts: Parts) -> int:
    """Bytes that one checkpoint will take: weights, what the optimizers keep of them, and some for the
    rest."""
    parameters = list(parts.model.parameters())
    weights = sum(p.numel() * p.element_size() for p in parameters)
    kept = 2 * sum(p.numel() for p in parameters) if parts.kept is None else parts.kept
    if parts.adapted is not None:
        kept += sum(p.numel() for p in parameters if p.requires_grad)  # a file of their own
    return weights + 4 * kept + sum(p.stat().st_size for p in parts.tokenizer.iterdir()) + 100_000


def save(run_dir: Path, parts: Parts, state: TrainState) -> Path:
    """Publish the checkpoint of `state.step`; all processes of the run call it. Refuses weights that are not
    finite."""
    target = folder_of(run_dir, state.step)
    bad = (name for name, p in parts.model.named_parameters() if not torch.isfinite(own(p)).all())
    for name in filter(None, parts.world.gather(next(bad, None))):
        raise parts.world.alike(
            DivergedError(f"the weights {name} are not finite at step {state.step}; nothing was saved")
        )
    kept = parts.optimizer_state()
    stateless = sorted(name for name, values in kept.items() if not values) if any(kept.values()) else []
    shares = _shares(parts)
    weights = shares.pop("model", None)
    apart = [*shares.values(), *([weights] if weights is not None and weights.several else [])]

    def make(fill: Callable[[Path], None]) -> None:
        def write(folder: Path) -> dict[str, Any]:
            write_model(folder / "model", parts, weights)
            (folder / "state").mkdir()
            fill(folder)
            text = json.dumps(asdict(state), indent=1) + "\n"
            (folder / "state" / "state.json").write_text(text, encoding="utf-8")
            meta = {"step": state.step, "world_size": parts.world.size, **parts.fingerprints}
            return {**meta, STATELESS: stateless} if stateless else meta

        files.publish(target, KIND, write, needs=size_on_disk(parts))

    gathered.publish(parts.world, apart, make)
    return target


def _shares(parts: Parts) -> dict[str, gathered.Share]:
    """What this process writes of the weights (where each holds a part of them), the optimizers' state and
    the adapters."""
    moments = {
        f"{name}/{key}": value
        for name, values in parts.optimizer_state().items()
        for key, value in values.items()
    }
    found = {"optimizer": gathered.share(parts.world, moments, "state/optimizer")}
    if parts.adapted is not None:  # model/ holds them merged, rounded with the weights below them
        found["trained"] = gathered.share(parts.world, parts.trained(), f"state/{ADAPTERS}")
    if gathered.is_parted(parts.model):
        found["model"] = gathered.share(parts.world, gathered.tensors_of(parts.model), "model/model")
    return found


def write_model(folder: Path, parts: Parts, share: gathered.Share | None = None) -> None:
    """Write a plain Hugging Face folder: config, generation config, weights, tokenizer.

    share: the weights, where the model's own are parted among processes; several files are written apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if share is not None and share.several:
        parts.model.config.save_pretrained(str(folder))
        if parts.model.can_generate():
            parts.model.generation_config.save_pretrained(str(folder))
    else:
        given = {} if share is None else {"state_dict": share.tensors}
        parts.plain_model().save_pretrained(str(folder), max_shard_size="1000GB", **given)
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
        stem = "model/model" if parts.adapted is None else f"state/{ADAPTERS}"
        stored, moments = (contents.files_of(folder / one) for one in (stem, "state/optimizer"))
        weights, kept = contents.kinds(stored), contents.kinds(moments)
        state = _read_state(folder / "state" / "state.json")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"{folder} cannot be read: {error}", "delete it, or start anew with --fresh"
        ) from None
    named = dict(parts.model.named_parameters()) | dict(parts.model.named_buffers())
    stated = set(parts.model.state_dict())
    needed = dict(parts.model.named_parameters()) if parts.adapted is None else parts.trained()
    sources: Iterator[dict[str, torch.Tensor]] = map(contents.read_tensors, stored)
    if parts.adapted is None and (set(weights) - stated or set(needed) - set(weights)):
        renamed = _as_transformers_names_them(folder / "model", parts.model)
        weights = {name: (value.shape, value.dtype) for name, value in renamed.items()}
        sources = iter([renamed])
    unknown = set(weights) - stated
    absent = {name for name in needed if name not in weights}
    if unknown or absent:
        raise IntegrityError(
            f"{folder}: weights do not fit the model: {', '.join(sorted(unknown | absent)[:3])}"
        )
    odd = sorted(
        name
        for name, kind in weights.items()
        if name in named and kind != (named[name].shape, named[name].dtype)
    )
    if odd:
        raise IntegrityError(
            f"{folder}: weights have other shapes or types than the model: {', '.join(odd[:3])}",
            contents.AGAIN,
        )
    if state.step != step:
        raise IntegrityError(f"{folder} holds the state of step {state.step:,}", contents.AGAIN)
    live = parts.optimizer_state()
    owners = {name.rpartition("/")[0] for name in kept}
    stateless = files.Manifest.read(folder, KIND).meta.get(STATELESS) or []
    if owners and owners | {*map(str, stateless)} != set(live):
        odd = sorted(owners ^ set(live))
        raise IntegrityError(f"{folder}: the optimizer's state does not fit the model: {', '.join(odd[:3])}")
    _check_optimizer(folder, kept, parts.optimizer_shapes())
    with torch.no_grad():
        for tensors in sources:
            for name, value in tensors.items():
                if name in named:
                    named[name].copy_(like(value, named[name]))
    places = {name: parameter for name, _, parameter in parts.optimized()}
    for path in moments:
        for name, value in contents.read_tensors(path).items():
            owner, _, key = name.rpartition("/")
            live[owner][key] = like(value, places[owner].detach())
    return state


def _as_transformers_names_them(folder: Path, model: Any) -> dict[str, torch.Tensor]:
    """The weights in a model folder by the names of the model in memory. Some families have others in their
    files (BERT's LayerNorm.gamma, GPT-NeoX' embed_out), which transformers writes again and knows to read."""
    with hushed():
        try:
            stored, notes = type(model).from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True, ignore_mismatched_sizes=True,
            )  # fmt: skip
        except Exception as error:  # whatever a damaged folder provokes
            raise IntegrityError(f"{folder} cannot be read: {first_line(error)}", contents.AGAIN) from None
    odd = [
        str(name) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for name in notes[kind]
    ]
    if odd:
        told = ", ".join(sorted(odd)[:3])
        raise IntegrityError(f"{folder.parent}: weights do not fit the model: {told}")
    return dict(stored.state_dict())


def _read_state(path: Path) -> TrainState:
    """The state in a file. Raises ValueError, TypeError or RecursionError for what was not written so."""
    from pydantic import ConfigDict, TypeAdapter, create_model

    told = asdict(TrainState(**json.loads(path.read_text(encoding="utf-8"))))
    kinds: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(TrainState).items()}
    model = create_model("State", __config__=ConfigDict(strict=True), **kinds)
    return TrainState(**TypeAdapter(model).validate_python(told).model_dump())


def _check_optimizer(folder: Path, kept: dict[str, contents.Kind], shapes: dict[str, torch.Size]) -> None:
    """Raise IntegrityError where an optimizer's stored tensors are not what its next step would work with."""
    groups: dict[str, dict[str, contents.Kind]] = {}
    for name, kind in kept.items():
        owner, _, key = name.rpartition("/")
        groups.setdefault(owner, {})[key] = kind
    keys: dict[str, set[str]] = {}  # number of the optimizer -> what it keeps of each parameter
    for owner, values in groups.items():
        same = keys.setdefault(owner.partition("/")[0], set(values)) == set(values)
        shaped = all(k[0] == (() if key == "step" else shapes[owner]) for key, k in values.items())
        if not (same and shaped and all(k[1].is_floating_point for k in values.values())):
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
    if known and (run_dir / "model").resolve() != (folder_of(run_dir, wanted) / "model").resolve():
        point_model(run_dir, wanted)


def point_model(run_dir: Path, step: int) -> None:
    """Let RUN/model be the model of a step, swapped by rename."""
    link, temporary = run_dir / "model", run_dir / f"{files.TEMPORARY}model-{os.getpid()}"
    with resources.writing(link):
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("checkpoints") / folder_of(run_dir, step).name / "model")
        os.replace(temporary, link)
        files.sync(run_dir)
