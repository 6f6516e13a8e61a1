"""The registry: a short name is a file name, a user's own part is pkg.module:Class."""

from __future__ import annotations

from pathlib import Path

import pytest

import tane
from tane import registry
from tane.errors import InputError

KINDS = ("objectives", "optim", "text.sources")


class MyPart:
    pass


NO_CLASS = 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_names_are_the_files(kind: str) -> None:
    folder = Path(tane.__file__).parent.joinpath(*kind.split("."))
    names = registry.names(kind)
    files = {p.stem for p in folder.glob("*.py")} - {"__init__"}
    assert names and names == sorted(names) and set(names) <= files
    package = __import__(f"tane.{kind}", fromlist=["x"])
    assert files - set(names) == set(getattr(package, "NOT_PARTS", ())) & files, (
        "a file is a part or is said to be none"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_name_gives_a_class_of_its_own_file(kind: str) -> None:
    found = {name: registry.find(kind, name) for name in registry.names(kind)}
    assert len(set(found.values())) == len(found)
    for name, part in found.items():
        assert isinstance(part, type) and part.__module__ == f"tane.{kind}.{name}"
        assert part.__name__.lower() == name.replace("_", "").replace("-", "")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"unknown name 'causel' among objectives\n.*did you mean 'causal'\?"
    ):
        registry.find("objectives", "causel")
    with pytest.raises(InputError, match=r"choose one of: .*causal"):
        registry.find("objectives", "zzz")
    for name in ("groups", "schedules", "__init__", "Muon", "../muon", "os", ""):
        with pytest.raises(InputError, match="unknown name"):
            registry.find("optim", name)


def test_a_part_of_ones_own() -> None:
    assert registry.find("optim", f"{__name__}:MyPart") is MyPart


@pytest.mark.parametrize(
    "name",
    ["no.such.module:X", "os:NoSuch", ":X", "os:", "os:path", ".relative:X", "tests.test_registry", "a:b:c"],
)
def test_what_is_no_class_is_an_input_error(name: str) -> None:
    with pytest.raises(InputError):
        registry.find("optim", name)


def test_a_value_is_no_class() -> None:
    with pytest.raises(InputError, match="is a int"):
        registry.find("optim", f"{__name__}:NO_CLASS")
