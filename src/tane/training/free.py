"""How much memory training may still take, by the card, the machine, and the limits of a container."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def free_memory(device: str) -> int | None:
    """Bytes that training may still take on a device; None where the system does not tell.

    cuda: of the current card, with what torch keeps at hand there. Else of the machine, or of the container
    where its control group allows less.
    """
    if device == "cuda":
        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return torch.cuda.mem_get_info()[0] + kept
    try:
        lines = dict(line.split(":", 1) for line in (PROC / "meminfo").read_text("utf-8").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        return None
    return min([free, *_group_limits()])


def _group_limits() -> list[int]:
    """Bytes that each control group of this process still allows."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for line in (PROC / "self" / "cgroup").read_text("utf-8").splitlines():
            _, names, path = line.split(":", 2)
            if names and "memory" not in names.split(","):
                continue
            root = CGROUP / "memory" if names else CGROUP
            files = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes")
                if names
                else ("memory.max", "memory.current")
            )
            place = root / path.lstrip("/")
            for folder in (place, *place.parents):
                if folder.is_relative_to(root):
                    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
                        limit, used = (int((folder / name).read_text("utf-8")) for name in files)
                        found.append(max(0, limit - used + _reclaimable(folder)))
    return found


def _reclaimable(group: Path) -> int:
    """Bytes of a control group that are only kept copies of files."""
    with contextlib.suppress(OSError, ValueError):
        lines = dict(line.split() for line in (group / "memory.stat").read_text("utf-8").splitlines())
        return int(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    return 0
