"""The whole list of bad inputs: every row of every section with its files, and what each must give.

The sections are made by the modules that know them; here they are put side by side.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.bad import checkpoints, good, recipes, resumed
from tests.text import make_bad_inputs, make_bad_texts
from tests.tokens import make_bad_tokenizers

ROWS = {  # section -> how many rows the list has of it
    "T": 24, "J": 12, "C": 9, "X": 8, "P": 7, "G": 7, "Y": 10, "K": 9, "H": 12,
}  # fmt: skip
BINARIES = {  # what make_bad_binaries writes that is no error; what is refused says so in its own tests
    "x4-formula.xlsx": "counted: a formula without a value", "x5-blank.xlsx": "read",
    "x6-outside.xlsx": "read: nothing is unpacked to disk", "x8-merged.xlsx": "read",
    "x9-far.xlsx": "read", "x10-one-string.xlsx": "read", "p4-null.parquet": "counted: no text",
    "p5-row-group.parquet": "read: a row group is never held whole",
}  # fmt: skip


class Entry(NamedTuple):
    """One file of the list: where it stands, what makes it, and what is expected of reading it."""

    row: str
    file: str
    write: Callable[[Path], object]
    expected: str


def entries() -> list[Entry]:
    """All of them, but those of a run's checkpoints, which need a run."""
    found = [Entry(b.row, f"text/{b.row}-{b.name}", b.write, _text(b)) for b in make_bad_texts.TABLE]
    for made in (*make_bad_inputs.jsonl(), *make_bad_inputs.table()):
        told = f"refused: {made.stop}" if isinstance(made.stop, str) else f"read: {len(made.stop)} texts"
        found.append(Entry(made.row, f"rows/{made.row}-{made.name}", _writes(made.data), told))
    found += _binaries()
    for recipe in recipes.RECIPES:
        told = f"refused: {recipe.said}" if recipe.said else f"read: {recipe.value}"
        found.append(Entry(recipe.row, f"recipes/{recipe.row}-{recipe.name}", _writes(recipe.data), told))
    for one in make_bad_tokenizers.rows():
        told = f"refused: {one.error}" if one.error else "read"
        found.append(Entry(one.row, f"tokenizers/{one.row}/{one.name}", one.write, told))
    for spoilt in checkpoints.FOLDERS:
        told = "read" if spoilt.result == "read" else f"refused: {spoilt.said}"
        found.append(Entry(spoilt.row, f"models/{spoilt.row}-{spoilt.name}", _model(spoilt), told))
    return found


def _text(bad: make_bad_texts.Bad) -> str:
    return bad.result if not bad.said else f"{bad.result}: {bad.said}"


def _writes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _binaries() -> list[Entry]:
    from tests.text import make_bad_binaries

    found = []
    for name, make in {**make_bad_binaries.MAKERS, "p5-row-group.parquet": row_group}.items():
        told = BINARIES.get(name, "refused")
        found.append(
            Entry(
                name.split("-")[0].upper(),
                f"binary/{name}",
                lambda path, make=make: path.write_bytes(make()),
                told,
            )
        )
    return found


def row_group() -> bytes:
    """P5: one row group of 200 MB in a file of a few hundred KB."""
    import pyarrow as pa

    from tests.text.make_bad_binaries import parquet

    text = pa.array(["長い文です。" * 2_000] * 5_000)
    return parquet(pa.table({"text": text}), row_group_size=5_000, compression="zstd", use_dictionary=False)


def _model(spoilt: checkpoints.Spoilt) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        sound = path.parent / f".good-{spoilt.kind}"
        if not sound.exists():
            good.write_model(sound, spoilt.kind)
        shutil.copytree(sound, path)
        spoilt.spoil(path)

    return write


def write_all(folder: Path) -> list[dict[str, str]]:
    """Write every file below a folder; returns [{row, file, expected}], also of what needs a run."""
    told = []
    for entry in entries():
        path = folder / entry.file
        path.parent.mkdir(parents=True, exist_ok=True)
        entry.write(path)
        told.append({"row": entry.row, "file": entry.file, "expected": entry.expected})
    for sound in folder.glob("models/.good-*"):
        shutil.rmtree(sound)
    for damaged in resumed.CHECKPOINTS:
        told.append({
            "row": damaged.row, "file": f"a run's checkpoint: {damaged.name}{' (signed)' * damaged.signed}",
            "expected": f"{damaged.result}: {damaged.said}",
        })  # fmt: skip
    return told
