"""Training on inputs with weights: exact to the epoch, the same bits after any resume, and nothing changed
where every weight is 1."""

import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tane import files, signals
from tane.errors import InputError, Stopped
from tane.recipe import Recipe, train
from tane.tokens.blocks import MixedBlocks
from tane.tokens.shards import Shards
from tane.training import run
from tane.training.build import build
from tane.training.loop import Loop
from tane.training.pretraining import start
from tane.training.runtime import Runtime

from .conftest import settings, weights_hash
from .test_loop import make_loop

Make = Callable[..., Recipe]


@pytest.fixture
def weighted(data_dir: Path, sample_text: Path, tmp_path: Path) -> Callable[..., Make]:
    """weighted(*weights): a make_recipe whose training documents have these weights, as many each."""

    def weigh(*weights: float) -> Make:
        data = tmp_path / "data"
        shutil.copytree(data_dir, data)
        found = Shards(data / "shards", "train")
        cuts = [len(found.lengths) * i // len(weights) for i in range(len(weights) + 1)]
        runs = [[w, cuts[i + 1] - cuts[i]] for i, w in enumerate(weights)]

        def fill(temporary: Path) -> dict[str, Any]:
            for name in files.Manifest.read(data_dir / "shards").files:
                os.link(data_dir / "shards" / name, temporary / name)
            return {**found.meta, "weights": runs}

        files.publish(data / "shards", "shards", fill)
        return lambda *overrides, run="run": Recipe.from_mapping(
            settings(data, tmp_path / run, sample_text), *overrides
        )

    return weigh


MIXED = (1, 2.25, 0.5)


def blocks_of(recipe: Recipe) -> MixedBlocks:
    blocks = build(recipe.sections(), recipe.data_path).train_blocks
    assert isinstance(blocks, MixedBlocks)
    return blocks


def test_a_weighted_run_resumes_to_the_same_bits(
    weighted: Callable[..., Make], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = weighted(1.25, *[0.02] * 19)  # little text, so that 24 steps are four epochs
    sizes = blocks_of(make()).sizes
    assert not isinstance(sizes, int)
    rows = sizes.begin(3) // 18  # epochs end inside steps
    overrides = (f"train.batch_tokens={rows * 32}", "train.micro_batch_tokens=2048")
    whole = train(make(*overrides, run="whole"))
    original, stops = Loop._step, [3, sizes.begin(1) // rows, sizes.begin(1) // rows + 1, 14, 16, 21]
    assert sizes.begin(2) < 14 * rows < 16 * rows < sizes.begin(3) < 21 * rows, "epochs 2 and 3"

    def step(self: Loop) -> bool:
        done = original(self)
        if stops and self.state.step == stops[0]:
            signals._received.append("SIGTERM")
            stops.pop(0)
        return done

    monkeypatch.setattr(Loop, "_step", step)
    for _ in range(6):
        with pytest.raises(Stopped):
            train(make(*overrides, run="cut"))
    result = train(make(*overrides, run="cut"))
    assert result.metrics["resumed_from"] == 21 and not stops
    assert weights_hash(whole.path, 24) == weights_hash(result.path, 24)
    assert whole.metrics["valid_loss"] == result.metrics["valid_loss"]


def test_weights_of_one_train_to_the_same_bits_as_none(
    weighted: Callable[..., Make], make_recipe: Make
) -> None:
    plain, ones = train(make_recipe(run="plain")), train(weighted(1, 1.0)(run="ones"))
    assert weights_hash(plain.path, 24) == weights_hash(ones.path, 24)


def test_weights_and_seed_decide_what_is_trained_on(
    weighted: Callable[..., Make], make_recipe: Make, tmp_path: Path
) -> None:
    make = weighted(*MIXED)
    first = [make_loop(recipe, tmp_path).work.micro_batches(0)[0][1].labels.numpy()
             for recipe in (make(), make(), make("seed=1"), make_recipe())]  # fmt: skip
    assert np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2]) and not np.array_equal(first[0], first[3])


def test_every_token_of_the_epochs_is_a_target_once_in_the_loop(
    weighted: Callable[..., Make], tmp_path: Path
) -> None:
    loop = make_loop(weighted(*MIXED)("train.duration=2 epochs", "train.batch_tokens=4096"), tmp_path)
    assert isinstance(loop.work.train_blocks, MixedBlocks)
    seen: Counter[int] = Counter()
    for step in range(loop.plan.total):
        for _, batch in loop.work.micro_batches(step):
            seen.update(batch.labels[batch.labels >= 0].tolist())
    rest = loop.plan.total * loop.work.rows - sum(len(loop.work.train_blocks.at(e)) for e in (0, 1))
    assert 0 <= rest < loop.work.rows, "the last step is filled up from epoch 2"
    expected: Counter[int] = Counter()
    for epoch in (0, 1):
        stream = loop.work.train_blocks.at(epoch).stream
        expected.update(stream.read(1, len(stream)).tolist())
    assert not expected - seen
    assert (seen - expected).total() == 32 * rest or rest == 0


@pytest.mark.parametrize(("weights", "amount"), [(MIXED, 1), (MIXED, 2), (MIXED, 3.5), ((3, 1, 2), 2)])
def test_epochs_as_a_duration_are_exact_to_the_step(
    weighted: Callable[..., Make], weights: tuple[float, ...], amount: float
) -> None:
    recipe = weighted(*weights)(f"train.duration={amount} epochs", "train.batch_tokens=32")
    sections = recipe.sections()
    work, _ = start(sections, recipe.data_path, {}, Runtime("cpu", "fp32", False, 1))
    plan = run.make_plan(sections, work)
    lengths = [len(work.train_blocks.at(epoch)) for epoch in range(math.ceil(amount))]
    whole = math.floor(amount)
    assert plan.total == math.ceil(sum(lengths[:whole]) + (amount - whole) * sum(lengths[whole:]))


def test_text_that_its_weights_make_too_small_is_refused(weighted: Callable[..., Make]) -> None:
    with pytest.raises(InputError, match=r"gives \d+ tokens an epoch by its weights, fewer than one block"):
        train(weighted(0.001)("objective.block_size=512", "train.batch_tokens=512"))
