"""Sound models and what the ways to open them need, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad import good, ways


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    for kind in good.KINDS:
        good.write_model(folder / kind, kind)
    return folder


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> ways.Ground:
    return ways.Ground(tmp_path_factory.mktemp("ground"))
