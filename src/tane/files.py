"""Files that are whole or absent: publishing by rename, and manifests with hashes.

Every folder that tane writes (corpus, tokenizer, shards, checkpoint, export) is written under a temporary
name, synced, described by a `manifest.json` that is written last, and renamed into place. A reader accepts a
folder only if its manifest is intact; `verify` re-hashes what the manifest names. Deleting is renaming to a
trash name first. No modification time and no size ever decides anything.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tane.errors import InputError, IntegrityError, ResourceError
from tane.resources import LACKS, existing_parent, lack, writing

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
LEFTOVERS = TEMPORARY, TRASH, REPLACED = ".tmp-", ".trash-", ".old-"
DAMAGED = ".damaged-"  # set aside, never deleted by us
# every place where a test may stop, delay or break the process; off unless TANE_FAILPOINT names one
FAILPOINTS = (
    "publish.before_write",
    "publish.before_manifest",
    "publish.before_rename",
    "publish.between_renames",
    "publish.after_rename",
    "publish.before_delete",
)


def failpoint(name: str) -> None:
    """Kill, delay or fail here when TANE_FAILPOINT says so: `NAME=kill`, `NAME=sleep:0.2`, `NAME=ENOSPC`."""
    wanted, _, action = os.environ.get("TANE_FAILPOINT", "").partition("=")
    if wanted != name:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action.startswith("sleep:"):
        time.sleep(float(action[6:]))
    else:
        number = getattr(errno, action)
        raise OSError(number, os.strerror(number), name)


def make_folder(path: Path) -> None:
    """Make a folder for our outputs, with its parents, and force their names to the disk; raises
    ResourceError where that cannot be."""
    try:
        above = existing_parent(path)
        path.mkdir(parents=True, exist_ok=True)
        made = path.absolute()
        while made != above:  # or a power cut takes the folder, and what was synced in it
            made = made.parent
            sync(made)
    except OSError as error:
        lacking, remedy = (error.strerror or "it cannot be made").lower(), "choose another folder"
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            lacking = "a file stands where a folder is due"
        elif error.errno in LACKS:
            lacking, remedy = lack(error.errno, path)
        raise ResourceError(f"cannot make the folder {path}: {lacking}", remedy) from error


def sync(path: Path) -> None:
    """Force a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Fingerprint of a JSON-like value: SHA-256 of its canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write one small file so that readers see the old or the new content, never a torn one."""
    with writing(path):
        temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            sync(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


@dataclass(frozen=True)
class Manifest:
    """What a published folder holds: `files` maps relative path -> [bytes, sha256]; `meta` is the stage's
    own."""

    kind: str
    files: dict[str, tuple[int, str]]
    meta: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def text(self) -> str:
        """Canonical JSON that carries its own hash, so that any changed byte is seen."""
        body = {
            "format_version": self.format_version,
            "kind": self.kind,
            "meta": self.meta,
            "files": {k: list(v) for k, v in sorted(self.files.items())},
        }
        body["self"] = digest(body)
        return json.dumps(body, indent=1, ensure_ascii=False) + "\n"

    @property
    def fingerprint(self) -> str:
        """Hash of kind, meta and all file hashes: equal fingerprints mean equal content."""
        return digest([self.kind, self.meta, {k: list(v) for k, v in self.files.items()}])

    @classmethod
    def read(cls, folder: Path, kind: str | None = None) -> Manifest:
        """Read and check a folder's manifest (not yet the files). Raises IntegrityError, also when it is
        absent."""
        path = folder / MANIFEST
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise IntegrityError(
                f"{folder} has no {MANIFEST}: it was not finished, or is no folder of tane"
            ) from None
        try:
            text = raw.decode("utf-8")
            body = json.loads(text)
            manifest = cls(
                kind=body["kind"],
                files={k: (int(v[0]), str(v[1])) for k, v in body["files"].items()},
                meta=body["meta"],
                format_version=int(body["format_version"]),
            )
            intact = manifest.text() == text
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, OverflowError):
            raise IntegrityError(f"{path} is damaged: it is not the JSON that was written") from None
        if manifest.format_version > FORMAT_VERSION:
            raise IntegrityError(
                f"{path} has format version {manifest.format_version}; this tane reads up to "
                f"{FORMAT_VERSION}",
                "install a newer tane",
            )
        if not intact:
            raise IntegrityError(f"{path} is damaged: its content does not match its own hash")
        if kind is not None and manifest.kind != kind:
            raise IntegrityError(f"{folder} holds a {manifest.kind}, not a {kind}")
        return manifest

    def bad_files(self, folder: Path, *, full: bool = True) -> list[str]:
        """Relative paths that are missing, of another size, or (full) of another hash, or that the manifest
        lacks."""
        bad = []
        for name, (size, expected) in sorted(self.files.items()):
            path = folder / name
            inside = path.is_file() and path.resolve().is_relative_to(folder.resolve())
            if not inside or path.stat().st_size != size or (full and sha256(path) != expected):
                bad.append(name)
        return bad + sorted(set(listing(folder)) - set(self.files))


def listing(folder: Path) -> list[str]:
    """Relative paths of all files below a folder but its manifest and temporary ones."""
    found = (p.relative_to(folder) for p in folder.rglob("*") if not p.is_dir() or p.is_symlink())
    return sorted(
        str(p) for p in found if str(p) != MANIFEST and not any(s.startswith(LEFTOVERS) for s in p.parts)
    )


def check(folder: Path, kind: str | None = None, *, full: bool = True, remedy: str = "") -> Manifest:
    """Read the manifest and verify the files; raises IntegrityError that names the first bad ones."""
    manifest = Manifest.read(folder, kind)
    bad = manifest.bad_files(folder, full=full)
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise IntegrityError(
            f"{folder}: damaged or changed since it was written: {', '.join(bad[:3])}{more}", remedy
        )
    return manifest


def require_as_written(model: Path, *, weights: bool) -> None:
    """Hash files of a model folder that we published, alone or in a checkpoint; raises IntegrityError where
    they are not what was written. A folder without a manifest of ours is left alone.

    weights: its weights, else all others, which in an export are anybody's to change.
    """
    folder = next((f for f in (model, model.resolve().parent) if is_published(f)), None)
    if folder is None:
        return
    prefix, manifest = "" if folder == model else f"{model.resolve().name}/", Manifest.read(folder)
    if not prefix and not weights:
        return
    for name, (size, expected) in manifest.files.items():
        if not name.startswith(prefix) or name.endswith(".safetensors") != weights:
            continue
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or sha256(path) != expected:
            raise IntegrityError(
                f"{path} is damaged or was changed since it was written",
                f"take another copy; if you changed it yourself, delete {folder / MANIFEST}",
            )


def is_published(folder: Path) -> bool:
    """Whether a folder looks like one that `publish` made; nothing of it is checked."""
    try:
        return '"format_version"' in (folder / MANIFEST).read_text(encoding="utf-8")[:100]
    except (OSError, ValueError):
        return False


def publish(
    target: Path, kind: str, write: Callable[[Path], dict[str, Any] | None], *, needs: int | None = None
) -> Manifest:
    """Write a folder under a temporary name, hash it, and rename it into place; an older one makes way.

    `write(folder)` fills the folder and may return the manifest's meta. needs: the bytes that it takes,
    about, for the message of a full disk. After an error at any point the target is what it was or the new
    folder, whole. So it is after a crash, but for one between the two renames of a replacement: there the
    target is absent, and `sweep` puts the old folder back.
    """
    target, old = Path(target), None
    if os.path.lexists(target) and not os.path.isdir(target):
        raise ResourceError(
            f"cannot write {target}: a file stands where a folder is due", "choose another name"
        )
    temporary = target.parent / f"{TEMPORARY}{target.name}-{os.getpid()}-{time.time_ns():x}"
    make_folder(temporary)
    with writing(target, needs):
        try:
            failpoint("publish.before_write")
            meta = write(temporary) or {}
            names = listing(temporary)
            for name in names:
                sync(temporary / name)
            files = {name: ((temporary / name).stat().st_size, sha256(temporary / name)) for name in names}
            manifest = Manifest(kind, files, meta)
            failpoint("publish.before_manifest")
            (temporary / MANIFEST).write_text(manifest.text(), encoding="utf-8")
            sync(temporary / MANIFEST)
            for folder in (temporary, *(p for p in temporary.rglob("*") if p.is_dir())):
                sync(folder)
            failpoint("publish.before_rename")
            if target.exists():
                old = target.parent / f"{REPLACED}{target.name}-{os.getpid()}-{time.time_ns():x}"
                os.rename(target, old)
                sync(target.parent)
            failpoint("publish.between_renames")
            os.rename(temporary, target)
            sync(target.parent)
            failpoint("publish.after_rename")
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            if old is not None and old.exists() and not target.exists():
                os.rename(old, target)
            raise
        if old is not None:
            shutil.rmtree(retire(old), ignore_errors=True)
    return manifest


def retire(folder: Path) -> Path:
    """Take a folder out of sight in one step (a rename); the caller deletes what is returned."""
    trash = _hide(folder, TRASH)
    failpoint("publish.before_delete")
    return trash


def set_aside(folder: Path) -> Path:
    """Give a damaged folder a hidden name, so that no reader takes it for a whole one; nothing is deleted."""
    with writing(folder):
        return _hide(folder, DAMAGED)


def _hide(folder: Path, prefix: str) -> Path:
    hidden = folder.parent / f"{prefix}{folder.name}-{os.getpid()}-{time.time_ns():x}"
    os.rename(folder, hidden)
    sync(folder.parent)
    return hidden


def delete(folder: Path) -> None:
    """Delete a published folder so that no reader ever sees half of it."""
    with writing(folder):
        shutil.rmtree(retire(folder), ignore_errors=True)


def sweep(parent: Path, name: str | None = None) -> list[str]:
    """Remove what a crash left behind in `parent`, or only what belongs to the folder `name` there; call it
    only while holding a lock.

    A folder that was set aside and whose successor did not come is put back.
    """
    left = [p for p in parent.glob(".*") if p.name.startswith(LEFTOVERS)] if parent.is_dir() else []
    if name is not None:
        own = re.compile(rf"\.(?:tmp|trash|old)-{re.escape(name)}-\d+-[0-9a-f]+")
        left = [p for p in left if own.fullmatch(p.name)]
    for path in left:
        owner = parent / path.name.removeprefix(REPLACED).rsplit("-", 2)[0]
        if path.name.startswith(REPLACED) and not owner.exists():
            os.rename(path, owner)
            sync(parent)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [p.name for p in left]


def require_file(path: str | os.PathLike[str], what: str) -> Path:
    """The path of a file that a person named; raises InputError with near names when it is not there."""
    path = Path(path)
    try:
        if path.exists():
            return path
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:  # a name that is too long, a folder without rights
        raise InputError(f"{what} {path} cannot be looked at: {error.strerror}") from None
    import difflib

    near = difflib.get_close_matches(path.name, siblings, 1)
    hint = f"did you mean {path.parent / near[0]}?" if near else f"looked from {Path.cwd()}"
    raise InputError(f"{what} {path} does not exist", hint)
