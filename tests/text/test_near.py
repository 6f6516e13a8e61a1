"""Near duplicates: signatures estimate similarity, and what is dropped follows one law however it is read."""

from __future__ import annotations

import gzip
import math
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from tane.errors import InputError
from tane.text import near
from tane.text.near import PERMUTATIONS, banding, duplicates, signature


def grams(text: str) -> set[str]:
    bare = "".join(text.split())
    return {bare[start : start + near.NGRAM] for start in range(len(bare) - near.NGRAM + 1)} or {bare}


def similarity(one: str, other: str) -> float:
    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


def by_hand(signatures: np.ndarray, alive: np.ndarray, threshold: float) -> list[int]:
    """The law, document by document."""
    bands, rows = banding(threshold, signatures.shape[1])
    kept: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    dropped = []
    for doc in np.flatnonzero(alive).tolist():
        buckets = [
            (band, signatures[doc, band * rows : (band + 1) * rows].tobytes()) for band in range(bands)
        ]
        others = {other for bucket in buckets for other in kept[bucket][: near.FIRST]}
        agree = [np.mean(signatures[other] == signatures[doc]) for other in others]
        if any(share >= threshold for share in agree):
            dropped.append(doc)
        else:
            for bucket in buckets:
                kept[bucket].append(doc)
    return dropped


def planted(seed: int, count: int) -> np.ndarray:
    """Signatures (count, 32) with chains and crowds: many copy a part of some earlier one."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 2**32, (count, 32), dtype=np.uint32)
    for doc in range(1, count):
        if rng.random() < 0.8:
            source = (
                rng.integers(max(0, doc - 20), doc) if rng.random() < 0.5 else rng.integers(0, min(doc, 3))
            )
            same = rng.random(32) < rng.choice([0.6, 0.85, 0.95, 1.0])
            found[doc, same] = found[source, same]
    return found


# ---------------------------------------------------------------------- signatures


def test_signatures_are_the_same_in_another_process() -> None:
    text = "吾輩は猫である。名前はまだ無い。"
    code = f"from tane.text.near import signature\nprint(signature({text!r}).tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(signature(text).tolist())
    assert signature(text).dtype == np.uint32 and signature(text).shape == (PERMUTATIONS,)


def test_signatures_look_at_characters_alone() -> None:
    assert (signature("今日は 良い\n天気です") == signature("今日は良い天気\u3000です")).all()
    assert (signature("今日は良い天気です") != signature("明日は雨かも知れない")).all()
    twice = "今日は良い天気です。" * 2
    assert (signature(twice) == signature(twice * 5)).all()  # a set: how often does not matter


@pytest.mark.parametrize("text", ["", " ", "あ", "はい", "いいえ。", "ありがと"])
def test_short_texts_are_their_own_only_element(text: str) -> None:
    others = ["は", "あい", "はいは", "ありがとう", "おはようございます"]
    assert (signature(text) == signature(text + " ")).all()
    assert not any((signature(text) == signature(other)).any() for other in others)


def test_signatures_estimate_similarity(sample_text: Path) -> None:
    text = "".join(sample_text.read_text(encoding="utf-8").split())
    rng = random.Random(0)
    for size in (12, 60, 400):
        errors = []
        for _ in range(150):
            start, shift = rng.randrange(len(text) - 2 * size), rng.randrange(1, size // 4 + 1)
            one, other = text[start : start + size], text[start + shift : start + shift + size]
            errors.append(np.mean(signature(one) == signature(other)) - similarity(one, other))
        assert abs(np.mean(errors)) < 0.015
        assert np.std(errors) < 0.055


def test_without_rensa_the_person_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    assert near.version().startswith(near.RULES)
    monkeypatch.setitem(sys.modules, "rensa", None)
    for call in (near.version, lambda: signature("猫")):
        with pytest.raises(InputError, match="rensa") as caught:
            call()
        assert "tane[near]" in caught.value.remedy


# ---------------------------------------------------------------------- banding


def test_banding_finds_pairs_at_the_threshold() -> None:
    assert banding(0.8) == (18, 7)
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0):
        bands, rows = banding(threshold)
        assert bands * rows <= PERMUTATIONS
        assert 1 - (1 - threshold**rows) ** bands >= near.FOUND


def test_the_documented_curve() -> None:
    bands, rows = banding(0.8)
    probabilities = [1 - (1 - s**rows) ** bands for s in (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)]
    told = next(line for line in str(near.__doc__).splitlines() if line.strip().startswith("probability"))
    for probability, figure in zip(probabilities, told.split()[1:], strict=True):
        assert probability == pytest.approx(float(figure), abs=0.6 * 10.0 ** -len(figure.partition(".")[2]))


# ---------------------------------------------------------------------- the law


@pytest.mark.parametrize("seed", range(12))
def test_documents_are_dropped_by_the_law_however_they_are_read(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = [0, 1, 2, 60, 200][seed % 5]
    signatures = planted(seed, count)
    alive = np.random.default_rng(seed).random(count) < (1.0 if seed % 2 else 0.9)
    monkeypatch.setattr(near, "FIRST", 2 + seed % 3)
    threshold = [0.7, 0.8, 0.9, 1.0][seed % 4]
    expected = by_hand(signatures, alive, threshold)
    for chunk, slab, budget in ((1 << 16, 1 << 18, 1 << 28), (17, 30, 1), (200, 9, 5000), (5, 1000, 1)):
        monkeypatch.setattr(near, "CHUNK", chunk)
        monkeypatch.setattr(near, "SLAB", slab)
        monkeypatch.setattr(near, "BUDGET", budget)
        found = duplicates(signatures, alive, threshold)
        assert found.shape == (count,) and found.dtype == bool
        assert np.flatnonzero(found).tolist() == expected
    assert count < 60 or expected


def test_a_document_is_compared_with_kept_ones_only() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    second, third = first.copy(), first.copy()
    second[108:] += 1  # like the first in 108 of 128: dropped
    third[88:] += 1  # like the second in 108, like the first in 88 only: kept, for the second is not there
    third[88:108] += 1
    third[108:] = second[108:]
    signatures = np.stack([first, second, third])
    assert duplicates(signatures, np.ones(3, bool), 0.8).tolist() == [False, True, False]
    assert duplicates(signatures, np.array([False, True, True]), 0.8).tolist() == [False, False, True]


def test_the_first_of_many_copies_stays() -> None:
    signatures = np.repeat(planted(1, 5)[:1], 3000, axis=0)
    found = duplicates(signatures, np.ones(3000, bool), 0.8)
    assert not found[0] and found[1:].all()


def test_signatures_on_the_disk(tmp_path: Path) -> None:
    signatures = planted(3, 300)
    (tmp_path / "signatures").write_bytes(signatures.tobytes())
    mapped = np.memmap(tmp_path / "signatures", dtype=np.uint32, mode="r").reshape(300, -1)
    alive = np.ones(300, bool)
    assert (duplicates(mapped, alive, 0.8) == duplicates(signatures, alive, 0.8)).all()


# ---------------------------------------------------------------------- texts


def stack(texts: list[str]) -> np.ndarray:
    return np.stack([signature(text) for text in texts])


def test_copies_with_a_changed_sentence_are_found_and_nothing_else(sample_text: Path) -> None:
    stories = list(dict.fromkeys(sample_text.read_text(encoding="utf-8").split("\n\n")))[:1000]
    rng = random.Random(0)
    sources, copies = rng.sample(stories, 100), []
    for story in sources:
        cut = rng.randrange(len(story))
        copies.append(story[:cut] + "。それから雨が降った。" + story[cut:])
    found = duplicates(stack(stories + copies), np.ones(len(stories) + 100, bool), 0.8)
    assert not found[: len(stories)].any()
    for place, (source, copy) in enumerate(zip(sources, copies, strict=True)):
        if similarity(source, copy) >= 0.9:
            assert found[len(stories) + place]
    assert found[len(stories) :].mean() > 0.9


def test_real_paragraphs(real_data: Path) -> None:
    text = gzip.decompress((real_data / "ja/debian-docs-a.txt.gz").read_bytes()).decode()
    paragraphs = [line for line in text.splitlines() if line.strip()]
    signatures = stack(paragraphs)
    found = duplicates(signatures, np.ones(len(paragraphs), bool), 0.8)
    assert 0 < found.sum() < 0.01 * len(paragraphs)
    for doc in np.flatnonzero(found).tolist():
        assert max(similarity(paragraphs[doc], other) for other in paragraphs[:doc]) > 0.65
    need = math.ceil(0.8 * PERMUTATIONS)
    kept = np.flatnonzero(~found)
    for doc in kept[::20].tolist():
        earlier = kept[kept < doc]
        assert not (np.count_nonzero(signatures[earlier] == signatures[doc], axis=1) >= need).any()
