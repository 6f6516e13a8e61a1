"""Writing tensors of which each process holds a part: put together one by one, dealt out to files.

Each file is written by one process, so no machine holds a whole model; a file holds whole tensors, so that
any other number of processes, and Hugging Face's own loader, can read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tane.optim.sharded import own, whole
from tane.ranks import World

FILE_BYTES = 5_000_000_000  # of one file, about


@dataclass
class Share:
    """What this process writes of some tensors: those of file `number` of `count`, none where number is 0."""

    stem: str  # the file's path in its folder, without its ending
    number: int
    count: int
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)  # name -> number of its file
    total: int = 0  # bytes of all files

    @property
    def several(self) -> bool:
        """Whether there are several files."""
        return self.count > 1

    def file(self, number: int) -> str:
        """The path of a file in the folder."""
        ending = f"-{number:05d}-of-{self.count:05d}" if self.several else ""
        return f"{self.stem}{ending}.safetensors"


def is_parted(model: torch.nn.Module) -> bool:
    """Whether each process holds a part of the weights alone."""
    return any(own(p) is not p for p in model.parameters())


def tensors_of(model: Any) -> dict[str, torch.Tensor]:
    """What a model's file holds, by name; a weight that is used twice once."""
    named, stored = dict(model.named_parameters()), model.state_dict()
    buffers = {name: value for name, value in model.named_buffers() if name in stored}
    return {name: value.detach() for name, value in {**named, **buffers}.items()}


def share(world: World, tensors: Mapping[str, torch.Tensor], stem: str) -> Share:
    """Put the tensors together, in turn, on the processes that write them; all processes call it.

    Only tensors that are parted are divided among processes; what every process has, the first one writes.
    """
    parted = any(own(value) is not value for value in tensors.values())
    sizes = {name: value.numel() * value.element_size() for name, value in tensors.items()}
    total = sum(sizes.values())
    count = min(world.size, max(1, -(-total // FILE_BYTES))) if parted else 1
    found = Share(stem, world.rank + 1 if world.rank < count else 0, count, total=total)
    done = 0
    for name, value in tensors.items():
        place = min(count, 1 + done * count // max(1, total))
        done += sizes[name]
        found.places[name] = place
        full = whole(value)
        if place == found.number:
            found.tensors[name] = full.detach().cpu().contiguous()
    return found


def publish(world: World, shares: Sequence[Share], make: Callable[[Callable[[Path], None]], object]) -> None:
    """Let rank 0 make a folder, and all write their shares there when it calls `make`'s argument with it.

    All processes call this; an error anywhere is one of all, after which the folder is not there.
    """
    met: list[Path] = []

    def write(folder: Path) -> None:
        met.append(folder)
        world.tell(str(folder))
        world.together(lambda: _write(folder, shares))

    def lead() -> None:
        try:
            make(write)
        finally:
            if not met:
                world.tell(None)

    def follow() -> None:
        folder = world.tell()
        if folder is not None:
            world.together(lambda: _write(Path(folder), shares))

    world.together(lead if world.leads else follow)


def _write(folder: Path, shares: Sequence[Share]) -> None:
    """This process' files."""
    for one in shares:
        if one.number:
            path = folder / one.file(one.number)
            save_file(one.tensors, str(path), metadata={"format": "pt"})
        if one.number == 1 and one.several:
            names = {name: Path(one.file(number)).name for name, number in one.places.items()}
            index = {"metadata": {"total_size": one.total}, "weight_map": names}
            path = folder / f"{one.stem}.safetensors.index.json"
            path.write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
