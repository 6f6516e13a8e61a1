"""All faults in the order of their rows, and those that cannot be tested yet, with the reason."""

from __future__ import annotations

import re

from . import (
    again,
    checkpoints,
    crash_points,
    damage,
    disk,
    inputs,
    keys,
    kills,
    numbers,
    processes,
    surroundings,
)
from .fault import Fault

_MODULES = (
    kills, crash_points, damage, checkpoints, disk, again, keys, numbers, processes, surroundings, inputs,
)  # fmt: skip


def _place(row: str) -> tuple[int, str]:
    number = re.match(r"\d+", row)
    assert number
    return int(number[0]), row


FAULTS: tuple[Fault, ...] = tuple(
    sorted((fault for module in _MODULES for fault in module.FAULTS), key=lambda fault: _place(fault.row))
)
NOT_TESTED = {
    "22": "another number of processes: by `pytest tests/training/test_wide.py`, once, not many times",
    "26": "one rank killed: by `pytest tests/training/test_wide.py`, once, not many times",
    "36": "requests from other sites: by `pytest tests/play/test_attacks.py`, once, not many times",
    "37": "requests too large or too slow: by `pytest tests/play/test_attacks.py`, once, not many times",
    "38": "many clients: by `pytest tests/play/test_clients.py`, once, not many times",
    "39": "paths and scripts in requests: by `pytest tests/play`, once, not many times",
}


def rows() -> set[int]:
    """Numbers of the rows that are measured."""
    return {_place(fault.row)[0] for fault in FAULTS}
