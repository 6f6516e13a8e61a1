"""Data sets of the `datasets` library: saved folders, and the hub's."""

from __future__ import annotations

from pathlib import Path


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk` (a Dataset or a DatasetDict)."""
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()


def arrow_files(folder: Path, split: str | None) -> list[Path]:
    """The Arrow files of a saved data set in order."""
    raise NotImplementedError


def from_hub(name: str, split: str | None) -> list[Path]:
    """The Arrow files of a data set on the hub ("NAME/CONFIG"), downloaded once."""
    raise NotImplementedError
