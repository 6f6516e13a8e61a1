"""What counts as a leap of the loss, and what does not."""

import math
import random

import pytest

from tane.training.spikes import leaps
from tane.types import TrainState


def seen(losses: list[float]) -> list[int]:
    state = TrainState()
    return [step for step, loss in enumerate(losses) if leaps(state, loss)]


def falling(steps: int, noise: float, seed: int = 0) -> list[float]:
    """A loss that falls from 10 towards 2, with noise in proportion."""
    chance = random.Random(seed)
    return [(2 + 8 * math.exp(-step / 50)) * (1 + noise * chance.gauss(0, 1)) for step in range(steps)]


def test_a_loss_ten_times_as_large_is_seen_once_and_changes_little() -> None:
    losses = falling(400, 0.03)
    for step in (30, 200, 399):
        spoiled = [*losses]
        spoiled[step] *= 10
        assert seen(spoiled) == [step]


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1, 0.2])
def test_noise_is_no_leap(noise: float) -> None:
    assert sum(len(seen(falling(1000, noise, seed))) for seed in range(10)) == 0


def test_nothing_is_unusual_before_anything_is_usual() -> None:
    assert seen([1.0, 50.0, 1.0]) == []


def test_a_loss_that_stays_high_becomes_usual() -> None:
    found = seen([1.0 + step % 2 * 0.1 for step in range(100)] + [30.0] * 200)
    assert found[0] == 100 and len(found) < 60


def test_small_losses_of_a_task_may_vary() -> None:
    chance = random.Random(0)
    assert len(seen([chance.expovariate(20) for _ in range(1000)])) <= 2
