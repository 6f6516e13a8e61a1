"""Data sets of the `datasets` library: saved folders, its cache, and a hub that answers on the loopback."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from tane.errors import InputError, ResourceError
from tane.text import saved
from tests.text import make_bad_binaries as bad
from tests.text.hub_server import serve
from tests.text.reads import read

TEXTS = [f"{n} 番目の文です。\n続き。" for n in range(200)]


@pytest.fixture(scope="session")
def dataset() -> Any:
    """The library: it takes over a second to import."""
    import datasets

    datasets.disable_progress_bars()
    return datasets


@pytest.fixture
def single(dataset: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "single"
    dataset.Dataset.from_dict({"text": TEXTS, "n": list(range(200))}).save_to_disk(folder, num_shards=3)
    return folder


@pytest.fixture
def several(dataset: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "several"
    splits = {name: dataset.Dataset.from_dict({"text": [name]}) for name in ("test", "train")}
    dataset.DatasetDict(splits).save_to_disk(folder)
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refused(folder: Path, split: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        saved.arrow_files(folder, split)
    return str(error.value)


def texts(paths: list[Path]) -> list[str]:
    return [record.text for path in paths for record in read(path, columns=("text",))[0]]


# ------------------------------------------------------------------------------------------- saved folders


def test_the_same_texts_from_every_format(single: Path, tmp_path: Path) -> None:
    table = pa.table({"text": TEXTS})
    (tmp_path / "a.parquet").write_bytes(bad.parquet(table, row_group_size=70))
    (tmp_path / "a.arrow").write_bytes(bad.stream(table, rows=30))
    book = openpyxl.Workbook()
    for text in ["text", *TEXTS]:
        book.active.append([text])
    book.save(tmp_path / "a.xlsx")
    for name in ("a.parquet", "a.arrow", "a.xlsx"):
        assert texts([tmp_path / name]) == TEXTS
    assert texts(saved.arrow_files(single, None)) == TEXTS


def test_the_order_is_that_of_the_state(single: Path) -> None:
    assert saved.is_dataset(single)
    files = saved.arrow_files(single, None)
    assert [file.name for file in files] == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    change(single / "state.json", _data_files=[{"filename": file.name} for file in reversed(files)])
    change(single / "state.json", _indices_files=[], _indices_data_files=None)
    assert saved.arrow_files(single, None) == files[::-1]


def test_splits(several: Path) -> None:
    assert saved.is_dataset(several)
    assert texts(saved.arrow_files(several, None)) == ["train"]
    assert texts(saved.arrow_files(several, "test")) == ["test"]
    assert "no split 'valid'; it has: 'test', 'train'" in refused(several, "valid")
    change(several / "dataset_dict.json", splits=["test"])
    assert texts(saved.arrow_files(several, None)) == ["test"]
    change(several / "dataset_dict.json", splits=["test", "other"])
    assert "no split 'train'; it has: 'test', 'other'" in refused(several)


def test_the_split_of_a_single_data_set(single: Path) -> None:
    assert "holds one data set without splits, not 'train'" in refused(single, "train")
    change(single / "state.json", _split="train")
    assert len(saved.arrow_files(single, "train")) == 3 == len(saved.arrow_files(single, None))
    assert "holds the split 'train' alone, not 'test'" in refused(single, "test")


@pytest.mark.parametrize("names", [[], ["state.json"], ["dataset_info.json", "data.arrow"]])
def test_other_folders_are_none(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    assert not saved.is_dataset(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "[" * 100_000, "\udcff"])
@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_damaged_json(several: Path, name: str, content: str) -> None:
    place = several / ("train/state.json" if name == "state.json" else name)
    place.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert name in refused(several)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"_data_files": None}, "expected a list of files under '_data_files'"),
        ({"_data_files": []}, "expected a list of files"),
        ({"_data_files": ["data.arrow"]}, "expected a 'filename' for each"),
        ({"_data_files": [{"filename": 1}]}, "expected a 'filename' for each"),
        ({"_data_files": [{"filename": "none.arrow"}]}, "it lists 'none.arrow', which is not there"),
        ({"_data_files": [{"filename": "data.arrow", "skip": 3}]}, "it takes only a part of a file (skip)"),
        ({"_data_files": [{"filename": "../several/state.json"}]}, "lies outside the folder"),
        ({"_data_files": [{"filename": "/etc/passwd"}]}, "'/etc/passwd' lies outside the folder"),
        ({"_data_files": [{"filename": "link.arrow"}]}, "'link.arrow' lies outside the folder"),
        ({"_data_files": [{"filename": "a\0b"}]}, "is no file name"),
        ({"_indices_files": [{"filename": "indices.arrow"}]}, "an index beside the files (_indices_files)"),
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, "(_indices_data_files)"),
    ],
)
def test_a_state_that_cannot_be_followed(single: Path, state: dict[str, Any], message: str) -> None:
    (single / "link.arrow").symlink_to("/etc/hostname")
    change(single / "state.json", **state)
    assert message in refused(single)


def test_splits_stay_inside_the_folder(several: Path) -> None:
    change(several / "dataset_dict.json", splits=["../several/train"])
    assert len(saved.arrow_files(several, None)) == 1
    for name in ("../single", "/etc"):
        change(several / "dataset_dict.json", splits=[name])
        assert f"{name!r} lies outside the folder" in refused(several)
    for splits in ([], "train", [1], None):
        change(several / "dataset_dict.json", splits=splits)
        assert "expected a list of names" in refused(several)


# ----------------------------------------------------------------------------------------------- the hub


@pytest.mark.parametrize(
    "name",
    ["", "a/b/c/d", "a//b", "../x", "a/..", "a b", "/a", "a/", "a..b", "-a", "a?b", "日本", "a\0", "x" * 99],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InputError, match="is no name of a data set"):
        saved.from_hub(name, None)


@pytest.fixture
def library(dataset: Any, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    """What load_dataset gives for (path, configuration), in place of the real one; exceptions are raised."""
    known: dict[tuple[str, str | None], Any] = {}

    def load(path: str, config: str | None, **_: Any) -> Any:
        found = known.get((path.removeprefix("hf://datasets/"), config))
        if found is None:
            raise dataset.exceptions.DatasetNotFoundError(f"Dataset '{path}' doesn't exist on the Hub")
        if isinstance(found, Exception):
            raise found
        return {
            split: SimpleNamespace(cache_files=[{"filename": n} for n in names])
            for split, names in found.items()
        }

    monkeypatch.setattr(dataset, "load_dataset", load)
    monkeypatch.setattr(saved.hub, "reachable", lambda: True)
    return known


def test_files_in_order_each_once(library: dict[tuple[str, str | None], Any]) -> None:
    library["a", "b"] = {"test": ["/t"], "train": ["/2", "/10", "/1", "/2"]}
    assert saved.from_hub("a/b", None) == [Path("/2"), Path("/10"), Path("/1")]
    assert saved.from_hub("a/b", "test") == [Path("/t")]
    with pytest.raises(InputError, match=r"no split 'x'; it has: 'test', 'train'"):
        saved.from_hub("a/b", "x")
    with pytest.raises(InputError, match="no split 'train"):
        saved.from_hub("a/b", "train[:1%]")
    library["a", "b"] = {"train": []}
    with pytest.raises(InputError, match="its split has no rows"):
        saved.from_hub("a/b", None)


def test_two_parts_are_a_user_or_a_configuration(library: dict[tuple[str, str | None], Any]) -> None:
    library["a", "b"] = {"train": ["/config"]}
    assert saved.from_hub("a/b", None) == [Path("/config")]
    library["a/b", None] = {"train": ["/user"]}
    assert saved.from_hub("a/b", None) == [Path("/user")]
    library["a/b", "c"] = {"train": ["/both"]}
    assert saved.from_hub("a/b/c", None) == [Path("/both")]
    library["a", None] = {"train": ["/alone"]}
    assert saved.from_hub("a", None) == [Path("/alone")]
    with pytest.raises(InputError, match="the hub has no data set x/y or x with the configuration y"):
        saved.from_hub("x/y", None)


def test_a_builder_of_local_files_is_no_data_set(library: dict[tuple[str, str | None], Any]) -> None:
    for name in ("csv", "text"):
        library[name, None] = library[name, "x"] = {"train": ["/local"]}
        for asked in (name, f"{name}/x"):
            with pytest.raises(InputError, match="the hub has no data set"):
                saved.from_hub(asked, None)


def test_errors_of_the_library(library: dict[tuple[str, str | None], Any]) -> None:
    library["a", None] = ValueError("Config name is missing.\nPlease pick one: ['x', 'y']")
    with pytest.raises(InputError, match=r"cannot be loaded: Config name is missing. Please pick one: \['x'"):
        saved.from_hub("a", None)
    library["a", None] = RuntimeError("Dataset scripts are no longer supported, but found a.py")
    with pytest.raises(InputError, match="scripts are no longer supported"):
        saved.from_hub("a", None)


def test_the_reason_beneath_an_error_of_the_library(library: dict[tuple[str, str | None], Any]) -> None:
    failed = RuntimeError("An error occurred while generating the dataset")
    failed.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/cache/x.arrow")
    library["a", None] = failed
    with pytest.raises(ResourceError, match=r"cannot write /cache/x\.arrow: No space left on device"):
        saved.from_hub("a", None)
    failed.__cause__ = ValueError("Trailing data in line 7")
    with pytest.raises(InputError, match="cannot be loaded: Trailing data in line 7"):
        saved.from_hub("a", None)


def test_the_library_is_offline_only_while_it_loads(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import config
    from huggingface_hub import constants

    monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    seen = []

    def load(*_: Any, **__: Any) -> Any:
        seen.append((config.HF_HUB_OFFLINE, constants.is_offline_mode()))
        raise ConnectionError("Couldn't reach it")

    monkeypatch.setattr("datasets.load_dataset", load)
    monkeypatch.setattr(saved.hub, "reachable", lambda: False)
    with pytest.raises(InputError, match="not in the local cache, and the hub cannot be reached"):
        saved.from_hub("a/b", None)
    assert seen == [(True, True)] * 2
    assert (config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == (False, False)


# --------------------------------------------------------------------------------- a hub on the loopback

ASK = """
import json, sys
from tane.errors import TaneError
from tane.text.saved import from_hub
for name, split in json.loads(sys.argv[1]):
    try:
        print(json.dumps([str(path) for path in from_hub(name, split)]))
    except TaneError as error:
        print(json.dumps(f"{error.code}: {error}"))
"""


@pytest.fixture
def endpoint() -> Iterator[str]:
    texts = {
        "train-00000-of-00002": TEXTS[:120],
        "train-00001-of-00002": TEXTS[120:],
        "test-00000-of-00001": ["試験"],
    }
    with serve(
        {f"data/{name}.parquet": bad.parquet(pa.table({"text": t})) for name, t in texts.items()}
    ) as url:
        yield url


def ask(home: Path, endpoint: str, *names: tuple[str, str | None], offline: bool = False) -> list[Any]:
    """What from_hub answers to each (name, split), in a process of its own."""
    environment = {
        **os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1",
        "HF_HUB_OFFLINE": "1" if offline else "0", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", ASK, json.dumps(names)]
    ran = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_data_set_of_the_hub_then_of_the_cache(tmp_path: Path, endpoint: str) -> None:
    local = tmp_path / "me" / "tiny"  # a folder of the same name must not stand in for it
    local.mkdir(parents=True)
    (local / "train.txt").write_text("手元の文\n")
    asked: list[tuple[str, str | None]] = [
        ("me/tiny", None), ("me/tiny/default", "test"), ("me/tiny", "x"), ("me/other", None), ("csv", None),
    ]  # fmt: skip
    online = ask(tmp_path, endpoint, *asked)
    assert texts([Path(path) for path in online[0]]) == TEXTS
    assert texts([Path(path) for path in online[1]]) == ["試験"]
    assert "no split 'x'; it has: 'train', 'test'" in online[2]
    assert "the hub has no data set me/other or me with the configuration other" in online[3]
    assert "the hub has no data set csv" in online[4]
    cached = ask(tmp_path, closed_port(), *asked[:2], ("me/tiny/none", None), ("me/other", None))
    assert cached[:2] == online[:2]
    assert "2: the data set me/tiny with the configuration none cannot be loaded" in cached[2]
    assert "hf://me/other is not in the local cache, and the hub cannot be reached" in cached[3]
    shutil.rmtree(tmp_path / "datasets")
    (again,) = ask(tmp_path, endpoint, ("me/tiny", None), offline=True)
    assert "hf://me/tiny is not in the local cache" in again
