"""Made-up answers to score: random ones for laws, and drawn ones with a known share of mistakes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

Answers = tuple[np.ndarray, np.ndarray, int]


@st.composite
def answers(draw: st.DrawFn, most: int = 40) -> Answers:
    """Classes as gold and predicted, and how many classes there are."""
    count = draw(st.integers(2, 5))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), min_size=1, max_size=most))
    gold, predicted = np.array(pairs).T
    return gold, predicted, count


COLUMN = st.floats(-1e6, 1e6, width=32) | st.integers(0, 5).map(float)
COLUMNS = st.lists(st.tuples(COLUMN, COLUMN), min_size=1, max_size=25).map(lambda pairs: np.array(pairs).T)
SEQUENCE = st.lists(st.tuples(*[st.sampled_from(["O", "B-人", "I-人", "I-所"])] * 2), min_size=1, max_size=6)


def simulated(n: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, of which `share` are answered right."""
    rng = np.random.default_rng(seed)
    gold = (rng.random(n) < 0.67).astype(np.int64)
    return gold, np.where(rng.random(n) < share, gold, 1 - gold)


def correlated(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gold from 0 to 5 with many ties, and noisy answers."""
    rng = np.random.default_rng(seed)
    gold = np.round(rng.uniform(0, 5, n), 1)
    return gold, gold + rng.normal(0, 1, n)
