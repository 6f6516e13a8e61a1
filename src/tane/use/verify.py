"""`tane verify PATH`: hash again what the manifests name, for data folders, runs, checkpoints and exports."""

from __future__ import annotations

from pathlib import Path

from tane import files, progress
from tane.errors import InputError, IntegrityError
from tane.types import Result

STAGES = ("corpus", "tokenizer", "shards", "words")  # folders of prepared data


def verify(path: str | Path, *, fast: bool = False) -> Result:
    """Check every published folder at or below `path`; `metrics` are {ok, checked, bad}. fast: sizes only.

    Raises InputError when nothing there has a manifest; what is bad is named, and is no exception here.
    """
    root = files.require_file(path, "the path").resolve()
    if not (root / files.MANIFEST).exists() and (root.parent / files.MANIFEST).exists():
        root = root.parent  # RUN/model: the checkpoint that it lies in
    folders = sorted(p.parent for p in root.rglob(files.MANIFEST) if not _hidden(p, root))
    expected = [root] if root.name.startswith("step-") else []  # a checkpoint that lost its manifest
    expected += [p for p in root.glob("**/checkpoints/step-*") if p.is_dir()]
    stages = (base / name for base in (root, root / "data") for name in STAGES)
    expected += [p for p in stages if p.is_dir()]
    folders = sorted({*folders, *expected})
    if not folders:
        raise InputError(
            f"{root} holds nothing that can be verified: expected a data folder, a run or an export"
        )
    checked, bad = 0, []
    for folder in folders:
        try:
            manifest = files.Manifest.read(folder)
        except IntegrityError as error:
            bad.append(str(folder / files.MANIFEST))
            progress.say(f"bad: {error.message}")
            continue
        checked += len(manifest.files) + 1
        wrong = [str(folder / name) for name in manifest.bad_files(folder, full=not fast)]
        for name in wrong:
            progress.say(f"bad: {name}")
        bad += wrong
    progress.say(f"{checked} files in {len(folders)} folders checked, {len(bad)} bad")
    return Result(str(root), {"ok": not bad, "checked": checked, "bad": bad})


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
