"""Small models, and playgrounds that serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tane.play.guard import Limits
from tane.play.server import Playground
from tests.play.speakers import speaker, talker
from tests.use.masked_models import save_bert, train_tokenizer
from tests.use.task_models import note, save

SAID = "家族は👨‍👩‍👧と𠮟る猫。\n<script>document.title='ran'</script><img src=x onerror=alert(1)>"
Serve = Callable[..., Playground]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("play")


@pytest.fixture(scope="session")
def says(place: Path) -> Path:
    """A causal model that says SAID."""
    return speaker(place / "says", SAID)


@pytest.fixture(scope="session")
def talks(place: Path) -> Path:
    """A causal model that does not end before 4,096 tokens."""
    return talker(place / "talks")


@pytest.fixture(scope="session")
def short(place: Path) -> Path:
    """A causal model with 64 positions."""
    return talker(place / "short", 64)


@pytest.fixture(scope="session")
def masked(place: Path, sample_text: Path) -> Path:
    """A masked model with MeCab's words."""
    text = sample_text.read_text(encoding="utf-8")[:40_000]
    return save_bert(place / "masked", train_tokenizer("mecab_wordpiece", place / "masked", text))


@pytest.fixture(scope="session")
def unigram(place: Path, sample_text: Path) -> Path:
    """A masked model with pieces that know no words."""
    text = sample_text.read_text(encoding="utf-8")[:40_000]
    return save_bert(place / "unigram", train_tokenizer("unigram", place / "unigram", text), seed=1)


@pytest.fixture(scope="session")
def labels(place: Path) -> Path:
    """A classifier of single texts."""
    folder = save(place / "labels", "SequenceClassification", "悪い", "普通", "良い")
    return note(folder, "classification")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(MODEL, ..., limits=...): a playground on a free port."""
    made: list[Playground] = []

    def started(*models: Path, limits: Limits | None = None) -> Playground:
        playground = Playground([str(model) for model in models], port=0, limits=limits)
        made.append(playground)
        playground.start()
        return playground

    yield started
    for playground in made:
        playground.close()


@pytest.fixture(scope="session")
def writers(says: Path, talks: Path) -> Iterator[Playground]:
    """A playground with the two causal models."""
    playground = Playground([str(says), str(talks)], port=0)
    playground.start()
    yield playground
    playground.close()
