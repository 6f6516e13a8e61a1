"""What a run notes of its model at each evaluation: fixed texts; training does not change by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tane.recipe import Recipe, train
from tane.text.corpus import Corpus
from tane.training.samples import COUNT, FILLS, HIDDEN
from tane.training.tracker import read_metrics
from tane.use.fill import fill_mask
from tests.training.conftest import masked_settings, weights_hash

ON = "train.samples=true"


def looks(run: Path) -> list[dict[str, Any]]:
    """The notes of a run, one for each evaluation."""
    found = read_metrics(run, "samples")
    assert [event["step"] for event in found] == [event["step"] for event in read_metrics(run, "eval")]
    return found


def test_the_same_beginnings_are_continued_at_each_evaluation(
    make_recipe: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    train(make_recipe(ON))
    found = looks(tmp_path / "run")
    prompts = [[one["prompt"] for one in event["texts"]] for event in found]
    assert len(found) == 3 and prompts[0] == prompts[1] == prompts[2] and len(prompts[0]) == COUNT
    valid = list(Corpus.open(data_dir / "corpus").texts("valid"))
    for prompt in prompts[0]:
        assert any(text.startswith(prompt) for text in valid)
    written = [[one["text"] for one in event["texts"]] for event in found]
    assert written[0] != written[-1]  # the model has learned something


def test_training_is_to_the_bit_what_it_is_without(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(make_recipe(ON))
    train(make_recipe(run="without"))
    assert weights_hash(tmp_path / "run", 24) == weights_hash(tmp_path / "without", 24)
    assert read_metrics(tmp_path / "without", "samples") == []


def test_the_same_model_says_the_same(make_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    for name in ("run", "again"):
        train(make_recipe(ON, "train.duration=8 steps", run=name))
    assert [e["texts"] for e in looks(tmp_path / "run")] == [e["texts"] for e in looks(tmp_path / "again")]


def test_hidden_words_are_filled_as_tane_fill_does(
    masked_data: Path, sample_text: Path, tmp_path: Path
) -> None:
    values = masked_settings(masked_data, tmp_path / "run", sample_text)
    train(Recipe.from_mapping(values, ON, "train.eval_every=24 steps"))
    probes = looks(tmp_path / "run")[-1]["probes"]
    assert 1 <= len(probes) <= COUNT
    for probe in probes:
        assert probe["text"].count(HIDDEN) == len(probe["fills"])
        for fill in probe["fills"]:
            assert len(fill["fills"]) == FILLS and fill["truth"]
            shares = [share for _, share in fill["fills"]]
            assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.0001
    alone = next((p for p in probes if len(p["fills"]) == 1), None)
    if alone is not None:  # one hidden word: nothing but the segment's context decides
        fills = fill_mask(tmp_path / "run", alone["text"], top_k=FILLS).metrics["fills"][0]
        torch.testing.assert_close(
            [share for _, share in alone["fills"][0]["fills"]], [one["score"] for one in fills],
            atol=0.02, rtol=0.1,
        )  # fmt: skip


def test_a_block_too_short_for_a_beginning_shows_nothing(
    make_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(make_recipe(ON, "objective.block_size=8", "train.duration=4 steps", "train.eval_every=4 steps"))
    assert read_metrics(tmp_path / "run", "samples") == []
