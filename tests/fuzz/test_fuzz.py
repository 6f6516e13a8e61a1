"""Some mutations of every reader (`make fuzz` does 10,000 of each), and no module that reads is left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tane
from tane import progress
from tests.fuzz.child import attempt
from tests.fuzz.readers import EXCEPTIONS, READERS

COUNT, SLOW_COUNT = 30, 10
SLOW = ("spm", "pieces")  # and those that import torch
ROOT = Path(tane.__file__).parent
CALLS = {  # names of functions that read a file, whoever has them
    "read_text", "read_bytes", "fromfile", "memmap", "load_file", "safe_open", "from_pretrained", "from_file",
    "ZipFile", "ParquetFile", "open_stream", "open_file", "MemoryMappedTable",
}  # fmt: skip


@pytest.fixture
def quiet() -> Iterator[None]:
    with progress.silenced():
        yield


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("quiet")
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    made: dict[int, tuple[Path, bytes]] = {}
    faults = []
    for number in range(SLOW_COUNT if reader.torch or name in SLOW else COUNT):
        at, damage = reader.pick(number)
        if at not in made:
            (tmp_path / str(at)).mkdir()
            target = reader.seeds[at](tmp_path / str(at))
            made[at] = target, target.read_bytes()
            assert not reader.outcome(target).refused, "the good file is read"
        target, good = made[at]
        end = attempt(reader, target, damage(good, number))
        if end.kind:
            faults.append(f"mutation {number}: {end.kind}: {end.what}")
    assert not faults, "\n".join(faults)


# --------------------------------------------------------------------------------- nothing is left out


def reads(source: str) -> set[int]:
    """The lines on which a module opens a file for reading."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {call.lineno for call in calls if _reads(call)}


def _reads(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    constants = [value.value for value in values if isinstance(value, ast.Constant)]
    literals = [value for value in constants if isinstance(value, str)]
    writes = any(set(text) <= set("wabx+tr") and set(text) & set("wax") for text in literals)
    if name == "open" and isinstance(call.func, ast.Name):
        return not writes
    if name == "open":  # path.open("rb"), os.open(path, os.O_RDONLY)
        return any(text in ("r", "rb") for text in literals) or "O_RDONLY" in ast.unparse(call)
    return name in CALLS and not writes


def test_the_walker_sees_every_way_to_read() -> None:
    opened = ("open(p)", 'open(p, "rb")', 'open(p, "w")', 'p.open("rb")', 'p.open("wb")', "Corpus.open(p)")
    assert reads("\n".join(opened)) == {1, 2, 4}
    others = ("p.read_text()", 'np.memmap(p, mode="r")', 'np.memmap(p, mode="w+")', "os.open(p, os.O_RDONLY)")
    assert reads("\n".join(others)) == {1, 2, 4}
    assert reads("AutoModel.from_pretrained(f)\nzipfile.ZipFile(f)\nsubprocess.Popen(f)") == {1, 2}


def test_every_module_that_reads_files_is_in_the_table_or_excepted() -> None:
    covered = {module for reader in READERS.values() for module in reader.modules}
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("tane", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        if lines := reads(path.read_text(encoding="utf-8")):
            found[module] = sorted(lines)
    missing = {module: lines for module, lines in found.items() if module not in covered | EXCEPTIONS.keys()}
    assert not missing, "fuzz their readers, or say why not in EXCEPTIONS"
    assert not EXCEPTIONS.keys() - found.keys(), "they read nothing any more"
    assert not EXCEPTIONS.keys() & covered
