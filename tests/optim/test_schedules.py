"""Schedules are pure functions: known values, bounds, and no jump."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tane.optim.schedules import Schedule

NAMES = ["constant", "linear", "cosine", "wsd"]


@given(st.sampled_from(NAMES), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_rates_stay_positive_and_never_above_the_peak(
    name: str, total: int, warmup: float, decay: float, final: float
) -> None:
    schedule = Schedule(name=name, warmup=warmup, decay=decay, final=final)
    lengths = schedule.lengths(total, tokens_per_step=1, steps_per_epoch=1)
    rates = [schedule.multiplier(step, total, *lengths) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)  # every update does something, the last one too


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_rises_evenly(name: str) -> None:
    schedule = Schedule(name=name, final=1.0)
    rates = [schedule.multiplier(step, 100, 9, 50) for step in range(12)]
    assert rates[:9] == pytest.approx([0.1 * (i + 1) for i in range(9)]) and rates[9:] == [1, 1, 1]


def test_a_longer_wsd_run_has_the_same_past_until_its_decay_begins() -> None:
    schedule = Schedule(name="wsd")
    short = [schedule.multiplier(step, 100, 5, 50) for step in range(100)]
    long = [schedule.multiplier(step, 200, 5, 100) for step in range(200)]
    assert short[:50] == long[:50] and short[50] < 1 == long[50]


def test_lengths_take_fractions_and_durations() -> None:
    schedule = Schedule(warmup="2 epochs", decay=0.25)
    assert schedule.lengths(1000, tokens_per_step=10, steps_per_epoch=30) == (60, 250)
