"""The processor, the cores and the memory that this process may really take, and the versions of libraries.
Nothing heavy is imported.

Limits of a container count: its control groups say how many cores and how much memory there are.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CGROUP, PROC = Path("/sys/fs/cgroup"), Path("/proc")


def processor() -> str:
    """The name of the processor, without that of the host."""
    with contextlib.suppress(OSError):
        for line in (PROC / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that may limit it, the innermost first."""
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, names, path = line.split(":", 2)
            if names == "" or controller in names.split(","):
                root = CGROUP / controller if names else CGROUP
                place = root / path.lstrip("/")
                yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(root))


def _number(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(path.read_text(encoding="utf-8").split()[0])
    return None


def core_limit() -> float | None:
    """How many cores the control groups allow, or None."""
    found = []
    for group in _groups("cpu"):
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        if quota is None:
            with contextlib.suppress(OSError, ValueError):  # "max 100000" where there is no limit
                quota, period = map(int, (group / "cpu.max").read_text(encoding="utf-8").split())
        if quota is not None and period and quota > 0:
            found.append(quota / period)
    return min(found, default=None)


def cores() -> dict[str, Any]:
    """{machine, affinity, limit: of the container or None, usable}: counts of cores."""
    machine = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    limit = core_limit()
    usable = affinity if limit is None else max(1, min(affinity, math.ceil(limit)))
    return {"machine": machine, "affinity": affinity, "limit": limit, "usable": usable}


def memory() -> dict[str, Any]:
    """{total, available (None: unknown), limit: of the container or None}: bytes."""
    total, available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    with contextlib.suppress(OSError, ValueError):
        text = (PROC / "meminfo").read_text(encoding="utf-8")
        lines = dict(line.split(":", 1) for line in text.splitlines())
        total, available = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    limit = None
    for group in _groups("memory"):
        most = next((n for f in ("memory.max", "memory.limit_in_bytes") if (n := _number(group / f))), None)
        if most is None or most >= total:
            continue
        used = next((n for f in ("memory.current", "memory.usage_in_bytes") if (n := _number(group / f))), 0)
        free = max(0, most - used + _reclaimable(group))
        limit = most if limit is None else min(limit, most)
        available = free if available is None else min(available, free)
    return {"total": total, "available": available, "limit": limit}


def _reclaimable(group: Path) -> int:
    """Bytes of a group's memory that are only kept copies of files."""
    with contextlib.suppress(OSError, ValueError):
        text = (group / "memory.stat").read_text(encoding="utf-8")
        lines = dict(line.split() for line in text.splitlines())
        return int(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    return 0


def versions() -> dict[str, str]:
    """Of Python, tane, and the libraries that decide what a run computes."""
    found = {"python": platform.python_version()}
    for name in ("tane", "torch", "transformers", "tokenizers", "sentencepiece", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
