"""Which of two is better: the paired bootstrap, and what is said where nothing can be said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tane.reporting import versus
from tane.reporting.gather import Run


def items(gap: float, noise: float, n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(totals, others, weights): other + gap + noise, item by item, on items of very different hardness."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(20, 400, n).astype(np.float64)
    hard = rng.uniform(1, 8, n) * weights
    return hard + weights * (gap + rng.normal(0, noise, n)), hard, weights


def test_a_small_gap_is_seen_through_large_differences_between_items() -> None:
    found = versus.verdict_of("a", "b", "bits", True, *items(-0.05, 0.1))
    assert found.says == "better" and found.interval is not None and found.difference is not None
    assert found.interval[0] < -0.05 < found.interval[1] < 0
    assert versus.verdict_of("a", "b", "bits", True, *items(0.05, 0.1)).says == "worse"
    assert versus.verdict_of("a", "b", "accuracy", False, *items(0.05, 0.1)).says == "better"


def test_no_gap_is_no_verdict() -> None:
    says = [versus.verdict_of("a", "b", "bits", True, *items(0.0, 0.1, seed=s)).says for s in range(40)]
    assert says.count("cannot tell") >= 34  # 95 % of them in the long run


def test_the_interval_is_that_of_a_normal_mean() -> None:
    rng = np.random.default_rng(1)
    gap = rng.normal(0.3, 1.0, 400)
    difference, (low, high) = versus.paired(gap, np.zeros(400), np.ones(400))
    width = 2 * 1.96 * gap.std() / 20
    assert difference == pytest.approx(gap.mean()) and high - low == pytest.approx(width, rel=0.1)


def test_few_items_are_no_ground() -> None:
    found = versus.verdict_of("a", "b", "bits", True, *(part[:5] for part in items(-1.0, 0.1)))
    assert found.says == "cannot tell" and "5" in found.why and found.difference is None


def test_equal_models_cannot_be_told_apart() -> None:
    totals, _, weights = items(0.0, 0.0)
    assert versus.verdict_of("a", "b", "bits", True, totals, totals, weights).says == "cannot tell"


def test_a_book_is_cut_into_stretches_of_whole_lines() -> None:
    text = "\n".join(f"{number}行目です。" * 20 for number in range(40)) + "\n"
    found = list(versus.stretches(text))
    assert "\n".join(found) == text.strip("\n")
    assert all(versus.STRETCH <= len(part) < versus.STRETCH + 200 for part in found[:-1]) and len(found) > 5
    assert list(versus.stretches("一行")) == ["一行"] and list(versus.stretches("\n\n")) == []


def test_a_run_is_scored_once_beside_several_others() -> None:
    def nats(model: Path, texts: tuple[str, ...], device: str) -> str:
        calls.append(model)
        return f"{model} {texts} {device}"

    calls: list[Path] = []
    a, b = (Run(name, Path(name), Path(name), {}, {}, {}) for name in "ab")
    scores = versus.Scores("cpu")
    assert scores(nats, a, ("x",)) == scores(nats, a, ("x",)) == "a/model ('x',) cpu"
    assert scores(nats, b, ("x",)) != scores(nats, a, ("y",))
    assert calls == [a.model, b.model, a.model]
