"""Data sets of the `datasets` library: folders that it saved, and those of the hub, as lists of Arrow files.

A saved folder is read without the library: its JSON says which files it has, in which order. A data set of
the hub is downloaded by the library once, into its own cache; no code of a data set is ever run. Without
network the cache is used at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tane import hub
from tane.errors import InputError, ResourceError
from tane.text.raw import shown

LARGEST_STATE = 64 << 20  # bytes of a folder's JSON
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
TRAIN = "train"  # the split that is taken when none is named
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # faults of the cache's disk


# ------------------------------------------------------------------------------------------- saved folders


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk` (a Dataset or a DatasetDict)."""
    single = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()


def arrow_files(folder: Path, split: str | None) -> list[Path]:
    """The Arrow files of a saved data set in order.

    split: one of a DatasetDict; none: train, or the only one. Raises InputError for a damaged folder, a split
    that is not there, and files that lie outside the folder.
    """
    if (folder / "dataset_dict.json").is_file():
        place = folder / "dataset_dict.json"
        splits = _json(place).get("splits")
        if not (isinstance(splits, list) and splits and all(isinstance(s, str) for s in splits)):
            raise _damaged(place, "expected a list of names under 'splits'")
        folder = _inside(folder, _split(splits, split, shown(folder)), place)
        return _listed(_json(folder / "state.json"), folder)
    state = _json(folder / "state.json")
    kept = state.get("_split")
    if split is not None and split != kept:
        has = f"the split {kept!r} alone" if kept else "one data set without splits"
        raise InputError(f"{shown(folder)} holds {has}, not {split!r}", "leave split out for this folder")
    return _listed(state, folder)


def _listed(state: dict[str, Any], folder: Path) -> list[Path]:
    place = folder / "state.json"
    for key, value in state.items():
        if key.startswith("_indices") and value:
            raise InputError(
                f"{shown(place)}: an index beside the files ({key}) says which rows count, which is not read",
                "load it with datasets, call flatten_indices(), and save it again",
            )
    entries = state.get("_data_files")
    if not (isinstance(entries, list) and entries):
        raise _damaged(place, "expected a list of files under '_data_files'")
    found = []
    for entry in entries:
        if not (isinstance(entry, dict) and isinstance(entry.get("filename"), str)):
            raise _damaged(place, "expected a 'filename' for each of its '_data_files'")
        if more := sorted(entry.keys() - {"filename"}):
            raise _damaged(place, f"it takes only a part of a file ({more[0]})")
        path = _inside(folder, entry["filename"], place)
        try:
            there = path.is_file()
        except OSError:  # a name that no system takes
            there = False
        if not there:
            raise _damaged(place, f"it lists {entry['filename'][:80]!r}, which is not there")
        found.append(path)
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_STATE + 1)
        value = json.loads(data.decode()) if len(data) <= LARGEST_STATE else None
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it is no JSON: {str(error)[:100]}") from None
    if not isinstance(value, dict):
        raise _damaged(path, "expected one JSON object")
    return value


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{shown(path)}: {reason}", "save the data set again, or name its .arrow files")


def _inside(folder: Path, name: str, place: Path) -> Path:
    """A file or folder that must lie inside `folder`, wherever links lead."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise _damaged(place, f"{name[:80]!r} lies outside the folder")
    except (OSError, ValueError, RuntimeError):  # NUL bytes, loops of links
        raise _damaged(place, f"{name[:80]!r} is no file name") from None
    return folder / name


def _split(splits: list[str], wanted: str | None, name: str) -> str:
    if wanted is None:
        if TRAIN in splits:
            return TRAIN
        if len(splits) == 1:
            return splits[0]
    elif wanted in splits:
        return wanted
    what = f"no split {wanted or TRAIN!r}"
    listed = ", ".join(map(repr, splits[:12]))
    raise InputError(f"{name} has {what}; it has: {listed}", f"name one: {{path: ..., split: {splits[0]}}}")


# ----------------------------------------------------------------------------------------------- the hub


class _Named(NamedTuple):
    """One meaning of a name: a repository on the hub, and one of its configurations or none."""

    repository: str
    config: str | None

    def __str__(self) -> str:
        return self.repository + (f" with the configuration {self.config}" if self.config else "")


def from_hub(name: str, split: str | None) -> list[Path]:
    """The Arrow files of a data set on the hub, downloaded once into the cache of `datasets`.

    name: NAME, USER/NAME, NAME/CONFIG or USER/NAME/CONFIG; with two parts USER/NAME is tried first. Raises
    InputError for what is not there, and without network (within seconds) for what is not in the cache.
    """
    parts = name.split("/")
    if len(parts) > 3 or not all(PART.fullmatch(part) and ".." not in part for part in parts):
        raise InputError(
            f"hf://{name[:120]} is no name of a data set", "write hf://NAME/CONFIG or hf://USER/NAME/CONFIG"
        )
    meanings = [_Named("/".join(parts[:2]), parts[2] if len(parts) == 3 else None)]
    if len(parts) == 2:
        meanings.append(_Named(parts[0], parts[1]))
    online = hub.reachable()
    with _offline(not online):
        for meaning in meanings:
            loaded = _load(meaning, online)
            if loaded is not None:
                return _cached(loaded, split, f"hf://{name}")
    tried = " or ".join(map(str, meanings))
    if online:
        raise InputError(
            f"the hub has no data set {tried}", "check the name, and log in if it is a private one"
        )
    raise InputError(
        f"hf://{name} is not in the local cache, and the hub cannot be reached (tried {tried})",
        "connect to the network once, or name local files",
    )


@contextlib.contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep `datasets` and the hub's library from waiting for a network that is not there.

    Both read the environment when they are imported, which may have been long ago; so their own flags are
    set, and put back.
    """
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if wanted:
        config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _load(meaning: _Named, online: bool) -> Any:
    """The data set with all its splits, or None where there is none of that name."""
    import datasets
    from datasets import exceptions, packaged_modules

    repository, config = meaning
    if repository in getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", ()):
        return None  # csv, text and so on: the library would read files of the working folder
    try:
        # the prefix keeps it from a local folder of the same name
        return datasets.load_dataset(f"hf://datasets/{repository}", config, keep_in_memory=False)
    except exceptions.DatasetNotFoundError as error:
        if "gated" in str(error):
            raise _failed(meaning, error) from None
        return None
    except ConnectionError as error:
        if not online:
            return None
        raise _failed(meaning, error) from None
    except Exception as error:  # whatever the files and the card of a stranger's repository lead to
        beneath: BaseException = error
        while beneath.__cause__ is not None:  # the library wraps what really happened
            beneath = beneath.__cause__
        if isinstance(beneath, OSError) and beneath.errno in OURS:
            where = shown(beneath.filename) if beneath.filename else "the cache"
            raise ResourceError(
                f"cannot write {where}: {beneath.strerror}",
                "free some space, or name another place: HF_HOME=DIR",
            ) from None
        raise _failed(meaning, beneath) from None


def _failed(meaning: _Named, error: BaseException) -> InputError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return InputError(f"the data set {meaning} cannot be loaded: {reason}", "write hf://USER/NAME/CONFIG")


def _cached(loaded: Any, split: str | None, name: str) -> list[Path]:
    """The files of a split, each once, in order."""
    chosen = loaded[_split(list(loaded), split, name)]
    paths = list(dict.fromkeys(Path(entry["filename"]) for entry in chosen.cache_files))
    if not paths:
        raise InputError(f"{name}: its split has no rows", "choose another split")
    return paths
