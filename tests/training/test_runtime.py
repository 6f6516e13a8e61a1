"""What the machine is asked for, and what it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tane
from tane.errors import InputError
from tane.recipe import Recipe
from tane.training.runtime import choose_device


@pytest.fixture(autouse=True)
def only_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_device_is_what_there_is() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("call", "folder"),
    [
        (lambda name: tane.fill_mask(name, ["猫[MASK]"], device="cuda"), "encoder"),
        (lambda name: tane.generate(name, ["猫"], device="cuda"), "decoder"),
    ],
    ids=["fill", "generate"],
)
def test_an_argument_is_called_by_its_name(
    call: Callable[[str], Any], folder: str, request: pytest.FixtureRequest
) -> None:
    model: Path = request.getfixturevalue(folder)
    with pytest.raises(InputError, match=r"^device is cuda, but this machine has none") as error:
        call(str(model))
    assert error.value.remedy == 'device="cpu"'


def test_a_setting_is_called_by_its_name(make: Callable[..., Recipe]) -> None:
    with pytest.raises(InputError, match=r"^train\.device is cuda, but this machine has none") as error:
        tane.finetune(make("train.device=cuda"))
    assert error.value.remedy == "--train.device cpu"


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="device is 'gpu'; expected auto, cuda, mps, cpu"):
        choose_device("gpu")
