"""Scores of masked models: equal to plain transformers by hand, whatever the batches and the order."""

from __future__ import annotations

import json
import math
import shutil
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tane.cli import main
from tane.errors import InputError
from tane.objectives.masked import Masked
from tane.tokens.encoder import Encoder
from tane.tokens.order import key
from tane.types import IGNORE
from tane.use import evaluate_masked
from tane.use.evaluate import evaluate
from tests.tokens.small import japanese_bert
from tests.use.masked_models import POSITIONS, save_bert, save_gpt2, train_tokenizer

DOCUMENTS = 60


@pytest.fixture(scope="module")
def text(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:40_000]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text: str) -> Callable[[str], Path]:
    place = tmp_path_factory.mktemp("masked")

    @cache
    def made(kind: str) -> Path:
        return save_bert(place / kind, train_tokenizer(kind, place / kind, text))

    return made


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """Documents of 1 to some hundred characters in NFKC, one of them twice."""
    text = unicodedata.normalize("NFKC", text)
    stories = [story.replace("\n", "") for story in text.split("\n\n")[: DOCUMENTS - 3]]
    rows = [story[: 1 + 4 * number] for number, story in enumerate(stories)]
    path = tmp_path_factory.mktemp("text") / "lines.txt"
    path.write_text("\n".join([*rows, "犬", "犬は骨が好きです。", "犬は骨が好きです。"]), encoding="utf-8")
    return path


def score(model: Path, data: Path, **options: Any) -> dict[str, Any]:
    return evaluate(model, str(data), unit="line", **options).metrics


encoder_of = cache(Encoder)


def segments(model: Path, data: Path) -> list[tuple[list[int], list[int]]]:
    """The ids of each segment, and those that follow it in its document."""
    vocabulary = encoder_of(model).vocabulary
    cls, sep = vocabulary.cls_id, vocabulary.sep_id
    assert cls is not None and sep is not None
    room, found = POSITIONS - 2, []
    for ids in encoder_of(model).encode_batch(data.read_text(encoding="utf-8").split("\n")):
        for begin in range(0, len(ids), room):
            part, rest = ids[begin : begin + room].tolist(), ids[begin + room :].tolist()
            found.append(([cls, *part, sep], rest))
    return found


def hidden(model: Path, ids: list[int], rest: list[int], prob: float, whole_word: bool = False) -> list[int]:
    """Which places of a segment are to be predicted, if `rest` follows it."""
    encoder, row = encoder_of(model), np.array([ids])
    starts = np.ones(row.shape, dtype=bool)
    if whole_word:
        assert encoder.word_table is not None
        starts = encoder.word_table[row]
        starts[0, -1] = not rest or encoder.word_table[rest[0]]  # else the last word goes on
    seed = key("evaluate", row[0].astype("<i8").tobytes().hex())
    rule = Masked(block_size=POSITIONS, mask_prob=prob, whole_word=whole_word)
    found = rule.targets(row, np.zeros(row.shape, dtype=int), starts, [seed], encoder.vocabulary)
    return np.flatnonzero(found[0]).tolist()


@cache
def opened(model: Path) -> Any:
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(model).eval()


def by_hand(model: Path, ids: list[int], places: list[int]) -> tuple[float, int]:
    """(summed nats, how many are right) of a segment's places hidden together, by plain transformers."""
    inputs, labels = torch.tensor([ids]), torch.full((1, len(ids)), IGNORE)
    labels[0, places] = inputs[0, places]
    inputs[0, places] = encoder_of(model).vocabulary.mask_id or -1
    with torch.no_grad():
        answer = opened(model)(input_ids=inputs, labels=labels)
    right = answer.logits[0, places].argmax(-1) == labels[0, places]
    return answer.loss.item() * len(places), int(right.sum())


# ------------------------------------------------------------------------------------------ the measures


@pytest.mark.parametrize(("kind", "whole_word"), [("unigram", False), ("mecab_wordpiece", True)])
def test_the_loss_equals_plain_transformers(
    folder: Callable[[str], Path], lines: Path, kind: str, whole_word: bool
) -> None:
    model = folder(kind)
    found = score(model, lines, mask_prob=0.2, whole_word=whole_word)
    nats, right, targets = 0.0, 0, 0
    for ids, rest in segments(model, lines):
        places = hidden(model, ids, rest, 0.2, whole_word)
        if not places:
            continue  # nothing but unknown characters
        assert whole_word or len(places) == max(1, round(0.2 * sum(i >= 5 for i in ids)))
        more, hits = by_hand(model, ids, places)
        nats, right, targets = nats + more, right + hits, targets + len(places)
    assert found["tokens"] == targets and found["accuracy"] == right / targets
    assert found["loss"] == pytest.approx(nats / targets, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats / targets), rel=1e-4)
    assert found["chars"] == sum(map(len, lines.read_text(encoding="utf-8").split("\n")))
    assert found["documents"] == DOCUMENTS and found["block_size"] == POSITIONS
    assert found["bits_per_char"] is None and found["bits_per_byte"] is None
    assert found["mask_prob"] == 0.2 and found["whole_word"] is whole_word


def test_pseudo_perplexity_hides_each_token_alone(folder: Callable[[str], Path], tmp_path: Path) -> None:
    model, data = folder("unigram"), tmp_path / "two.txt"
    data.write_text("犬は骨が好きです。\n秋には葉が落ちます。", encoding="utf-8")
    found = score(model, data)
    nats, count = 0.0, 0
    for ids, _ in segments(model, data):
        for place in range(1, len(ids) - 1):
            nats, count = nats + by_hand(model, ids, [place])[0], count + 1
    assert found["pseudo_tokens"] == count
    assert found["pseudo_perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-5)


def test_pseudo_perplexity_of_a_longer_text_takes_a_fixed_choice(
    folder: Callable[[str], Path], lines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = folder("unigram")
    monkeypatch.setattr(evaluate_masked, "PSEUDO_TOKENS", 10**9)
    whole = score(model, lines)
    assert whole["pseudo_tokens"] == sum(i >= 5 for ids, _ in segments(model, lines) for i in ids)
    monkeypatch.setattr(evaluate_masked, "PSEUDO_TOKENS", 3000)
    first = score(model, lines)
    assert 3000 / POSITIONS <= first["pseudo_tokens"] < whole["pseudo_tokens"] / 2
    assert first["loss"] == whole["loss"]
    monkeypatch.setattr(evaluate_masked, "CHUNK_DOCUMENTS", 4)
    backwards = tmp_path / "backwards.txt"
    backwards.write_text("\n".join(reversed(lines.read_text(encoding="utf-8").split("\n"))), encoding="utf-8")
    again = score(model, backwards)
    assert again["pseudo_tokens"] == first["pseudo_tokens"]
    assert again["pseudo_perplexity"] == pytest.approx(first["pseudo_perplexity"], rel=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_scores_do_not_depend_on_batches_or_order(
    folder: Callable[[str], Path], lines: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: int
) -> None:
    model, data = folder("mecab_wordpiece"), tmp_path / "other.txt"
    expected = score(model, lines)
    split = lines.read_text(encoding="utf-8").split("\n")
    data.write_text("\n".join([*split[rows % 50 :], *split[: rows % 50]]), encoding="utf-8")
    monkeypatch.setattr(evaluate_masked, "BATCH_TOKENS", rows * POSITIONS if rows > 1 else 1)
    found = score(model, data)
    assert found["tokens"] == expected["tokens"] and found["accuracy"] == expected["accuracy"]
    for name in ("loss", "pseudo_perplexity"):
        assert found[name] == pytest.approx(expected[name], rel=1e-5)


def test_two_evaluations_are_equal_to_the_bit(folder: Callable[[str], Path], lines: Path) -> None:
    assert score(folder("bpe"), lines) == score(folder("bpe"), lines)


def test_two_models_of_one_tokenizer_are_asked_for_the_same_tokens(
    folder: Callable[[str], Path], lines: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder("unigram"), tmp_path / "other")
    save_bert(tmp_path / "other", Encoder(tmp_path / "other").vocab_size, seed=1, max_position_embeddings=96)
    one, other = score(folder("unigram"), lines), score(tmp_path / "other", lines, block_size=POSITIONS)
    assert one["tokens"] == other["tokens"] and one["loss"] != other["loss"]
    assert score(tmp_path / "other", lines)["block_size"] == 96


def test_unknown_tokens_are_no_targets(tmp_path: Path) -> None:
    model = save_bert(japanese_bert(tmp_path / "few", ["犬", "は"]), 7)
    data = tmp_path / "data.txt"
    data.write_text("犬は骨。", encoding="utf-8")
    found = score(model, data, mask_prob=0.9)
    assert found["tokens"] == found["pseudo_tokens"] == 2
    data.write_text("骨。", encoding="utf-8")
    with pytest.raises(InputError, match="no token that could be hidden"):
        score(model, data)


def test_models_that_count_positions_from_the_padding_are_used_to_the_last_one(
    folder: Callable[[str], Path], lines: Path, tmp_path: Path
) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    shutil.copytree(folder("unigram"), tmp_path / "roberta")
    config = RobertaConfig(
        vocab_size=Encoder(folder("unigram")).vocab_size, hidden_size=32, num_hidden_layers=1, pad_token_id=0,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=41,
    )  # fmt: skip
    RobertaForMaskedLM(config).save_pretrained(tmp_path / "roberta")
    found = score(tmp_path / "roberta", lines)
    assert found["block_size"] == 40 and found["tokens"] > 100 and math.isfinite(found["loss"])
    with pytest.raises(InputError, match="block_size is 41, but the model has 40 positions"):
        score(tmp_path / "roberta", lines, block_size=41)


# --------------------------------------------------------------------------- what is refused, and the CLI


def test_what_cannot_be_meant_is_told(
    folder: Callable[[str], Path], lines: Path, tmp_path: Path, text: str
) -> None:
    for prob in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(InputError, match="--mask-prob: expected above 0 and below 1"):
            score(folder("unigram"), lines, mask_prob=prob)
    with pytest.raises(InputError, match="block_size: expected at least 4, found 3"):
        score(folder("unigram"), lines, block_size=3)
    causal = save_gpt2(tmp_path / "gpt2", text)
    for options in ({"mask_prob": 0.15}, {"whole_word": True}):
        with pytest.raises(InputError, match=r"no masked language model(.|\n)*leave out --mask-prob"):
            score(causal, lines, **options)
    assert score(causal, lines)["bits_per_char"] > 0


def test_the_command_prints_what_is_not_there_as_a_dash(
    folder: Callable[[str], Path], lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", str(folder("unigram")), "--data", str(lines), "--unit", "line", "--whole-word"]
    assert main([*arguments, "--mask-prob", "0.3"]) == 0
    shown = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert shown["bits_per_char"] == "-" and shown["mask_prob"] == "0.3000" and shown["whole_word"] == "yes"
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bits_per_char"] is None and found["whole_word"] is True
    assert {"loss", "perplexity", "accuracy", "tokens", "chars", "pseudo_perplexity"} <= found.keys()
