"""What the playground answers is what the commands answer; texts stream as whole characters (row 35)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.play.cutting import Cutter
from tane.play.models import UNSETTLED, Unfolding
from tane.play.server import Playground
from tane.tokens.encoder import Encoder
from tane.use.fill import fill_mask
from tane.use.generate import generate
from tane.use.predict import predict
from tests.play.clients import Answer, post
from tests.play.conftest import SAID, Serve
from tests.tokens.small import byte_fallback, byte_level
from tests.use.task_models import note, save


def streamed(answer: Answer) -> tuple[str, dict[str, Any]]:
    """The text that the events make together, and the last event's answer."""
    assert answer.status == 200, answer
    text = ""
    for event in answer.lines():
        text = event["all"] if "all" in event else text + event.get("text", "")
    return text, answer.lines()[-1]["done"]


# ------------------------------------------------------------------------------------------- generating


@pytest.mark.parametrize(
    "asked",
    [
        {"seed": 7}, {"greedy": True}, {"seed": 3, "temperature": 0.5, "top_k": 20, "top_p": 1.0},
        {"seed": 1, "repetition_penalty": 3.0},
    ],
)  # fmt: skip
def test_a_text_is_the_one_of_the_command(writers: Playground, talks: Path, asked: dict[str, Any]) -> None:
    asked = {"max_new_tokens": 12, **asked}
    _, done = streamed(post(writers, "/api/generate", {"model": 1, "prompt": "秋の朝、", **asked}))
    assert ["秋の朝、" + done["text"]] == generate(talks, "秋の朝、", **asked).metrics["texts"]
    assert done["tokens"] == 12 and done["end"] == "length" and "cut" not in done


def test_a_text_streams_in_whole_characters(writers: Playground) -> None:
    answer = post(writers, "/api/generate", {"prompt": "", "max_new_tokens": 500, "greedy": True})
    text, done = streamed(answer)
    assert text == done["text"] == SAID and done["end"] == "eos"
    assert "\ufffd" not in answer.body.decode("utf-8")
    told = [event["text"] for event in answer.lines() if "text" in event]
    assert len(told) > 40 and {"👨", "𠮟"} <= set(told)  # four tokens each


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
@given(
    text=st.text(st.sampled_from("あ猫a 。\n👨‍👩‍👧𠮟é\u0301ﾊﾟ"), max_size=12),
    more=st.lists(st.integers(2, 250), max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_what_unfolds_is_the_text_and_no_half_character(
    tmp_path_factory: pytest.TempPathFactory, kind: str, text: str, more: list[int]
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"unfolding-{kind}"
    if not folder.exists():
        byte_level(folder) if kind == "byte_level" else byte_fallback(folder, ["あ", "猫", "▁a"])
    encoder = Encoder(folder)
    ids = [*encoder.encode_batch([text])[0].tolist(), *more]  # bytes that make no character, too
    unfolding, shown = Unfolding(encoder.decode), ""
    for count in range(1, len(ids) + 1):
        event = unfolding.grow(ids[:count])
        shown = event["all"] if "all" in event else shown + event.get("text", "")
        if not more:
            assert "\ufffd" not in shown
        assert not shown.endswith("\ufffd")
    assert shown == UNSETTLED.sub("", encoder.decode(ids))


def test_a_prompt_over_the_context_is_cut_and_it_is_said(serve: Serve, short: Path) -> None:
    playground = serve(short)
    prompt = "秋には葉が落ちます。" * 40
    _, done = streamed(post(playground, "/api/generate", {"prompt": prompt, "max_new_tokens": 5}))
    total = len(Encoder(short).encode_batch([prompt])[0]) + 1
    assert (done["cut"], done["read"], done["tokens"]) == (total, 32, 5)
    million = post(playground, "/api/generate", {"prompt": "a" * 1_000_000, "max_new_tokens": 2})
    assert streamed(million)[1]["cut"] == 1_000_001
    assert post(playground, "/api/generate", {"prompt": "a" * 1_000_001}).status == 413
    assert post(playground, "/api/generate", {"prompt": "あ" * 1_000_000}).status == 413


def test_a_text_of_special_tokens_stays_text(writers: Playground, talks: Path, masked: Path) -> None:
    for text in ("</s>", "</s></s>[CLS][SEP]<|endoftext|>"):
        asked = {"prompt": text, "max_new_tokens": 4, "seed": 2}
        _, done = streamed(post(writers, "/api/generate", {"model": 1, **asked}))
        assert [text + done["text"]] == generate(talks, text, max_new_tokens=4, seed=2).metrics["texts"]
        pieces = post(writers, "/api/tokens", {"text": text}).json()["tokens"]
        assert "".join(one["piece"] for one in pieces) == text and all(one["id"] for one in pieces)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"prompt": 1}', 400), (b"\xff\xfe{}", 400),
        (b'{"prompt": "\\ud800"}', 400), (b'{"path": "/etc/passwd"}', 400), (b"[" * 200_000, 400),
        (b'{"temperature": NaN}', 400), (b'{"temperature": 1e999}', 400), (b'{"temperature": 0}', 400),
        (b'{"max_new_tokens": 1000000}', 400), (b'{"max_new_tokens": true}', 400), (b'{"model": 2}', 400),
        (b'{"model": "/etc/passwd"}', 400), (b'{"seed": ' + b"9" * 5000 + b"}", 400), (b'{"top_p": 2}', 400),
        ("{}".encode("utf-16"), 400),
    ],
)  # fmt: skip
def test_what_is_no_request_is_named(writers: Playground, body: bytes, status: int) -> None:
    before = writers.decoding.ended
    answer = post(writers, "/api/generate", body)
    if answer.status == 200:  # it was queued, and refused by what reads prompts
        assert answer.lines()[-1]["status"] == status and writers.decoding.ended == before + 1
    else:
        assert answer.status == status and answer.json()["error"] and writers.decoding.ended == before


# ---------------------------------------------------------------------------------------------- filling


def test_fills_are_those_of_the_command(serve: Serve, masked: Path, unigram: Path) -> None:
    playground = serve(masked, unigram)
    for number, folder in enumerate((masked, unigram)):
        for text, more in (
            ("秋には[MASK]が＿から落ちる。", {}),
            ("犬は___が好き。", {"whole_word": True, "top_k": 3}),
        ):
            answer = post(playground, "/api/fill", {"model": number, "text": text, **more})
            assert answer.json() == {"fills": fill_mask(folder, text, **more).metrics["fills"]}
    none = post(playground, "/api/fill", {"text": "犬は猫。"})
    assert none.status == 400 and "no mask" in none.json()["error"]
    many = post(playground, "/api/fill", {"text": "[MASK] " * 17})
    assert many.status == 400 and "at most 16" in many.json()["error"]
    long = post(playground, "/api/fill", {"text": "犬は走る。" * 100 + "[MASK]"}).json()
    assert long["cut"] > 64 and len(long["fills"][0]) == 5
    assert post(playground, "/api/fill", {"text": "あ" * 10_001}).status == 413
    wrong = post(playground, "/api/generate", {"prompt": "秋"})
    assert wrong.status == 400 and "does not generate" in wrong.json()["error"]


# ------------------------------------------------------------------------------------------- classifying


def test_labels_are_those_of_the_command(serve: Serve, place: Path, labels: Path) -> None:
    pair = note(
        save(place / "pair", "SequenceClassification", "違う", "同じ"), "pair-classification",
        text="sentence1", text_pair="sentence2",
    )  # fmt: skip
    playground = serve(labels, pair)
    assert post(playground, "/api/label", {"text": "猫 が 走る"}).json() == predicted(labels, "猫 が 走る")
    two = post(playground, "/api/label", {"model": 1, "text": "猫", "pair": "犬"}).json()
    assert two == predicted(pair, "猫", "犬")
    one = post(playground, "/api/label", {"model": 1, "text": "猫"})
    assert one.status == 400 and "pairs" in one.json()["error"]
    assert post(playground, "/api/label", {"text": " "}).status == 400
    assert post(playground, "/api/label", {"text": "猫 " * 200}).json()["cut"] is True


def test_answers_of_the_other_tasks(serve: Serve, place: Path) -> None:
    number = save(place / "number", "SequenceClassification", num_labels=1, problem_type="regression")
    note(number, "regression", text="sentence1", text_pair="sentence2")
    choice = note(save(place / "choice", "MultipleChoice"), "multiple-choice")
    tags = note(save(place / "tags", "TokenClassification", "O", "B-動物"), "token-classification")
    foreign = save(place / "foreign", "SequenceClassification", "negative", "positive")
    first, second = serve(number, choice), serve(tags, foreign)
    scored = post(first, "/api/label", {"text": "猫", "pair": "犬"}).json()
    assert scored == predicted(number, "猫", "犬") and isinstance(scored["label"], float)
    chosen = post(first, "/api/label", {"model": 1, "text": "猫", "choices": ["犬", "魚 が"]}).json()
    assert chosen == predicted(choice, "猫", ["犬", "魚 が"]) and chosen["answer"] in ("犬", "魚 が")
    tagged = post(second, "/api/label", {"text": "猫 が 走る"}).json()
    assert tagged == predicted(tags, "猫 が 走る") and tagged["words"] == ["猫", "が", "走る"]
    for more in ({}, {"pair": "犬"}):  # a foreign folder does not say whether its texts are pairs
        found = post(second, "/api/label", {"model": 1, "text": "猫", **more}).json()
        assert found == predicted(foreign, "猫", *more.values())


def predicted(folder: Path, *given: Any) -> dict[str, Any]:
    """What `tane predict` gives for one example."""
    found: dict[str, Any] = predict(folder, *given).metrics["predictions"][0]
    return json.loads(json.dumps(found))


# ----------------------------------------------------------------------------------- words and tokens


def test_tokens_are_those_of_the_tokenizer(masked: Path, unigram: Path) -> None:
    text = "秋には、赤い葉が木から落ちます。"
    for folder in (masked, unigram):
        cutter, encoder = Cutter(folder), Encoder(folder)
        found = cutter.tokens(text)
        assert [one["id"] for one in found] == encoder.encode_batch([text])[0].tolist()
        assert "".join(one["piece"] for one in found).replace("▁", "") == text
        assert found[0]["starts"] and cutter.tokens("") == []


@given(st.text(st.sampled_from("秋には赤い葉が落ちる。 \u3000\n\0a1＿_[MASK]👨‍👩"), max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_parts_of_a_text_make_it_up(masked: Path, text: str) -> None:
    parts = cutter(masked).parts(text)
    assert "".join(one["text"] for one in parts) == text
    assert all(one["text"] for one in parts)


_cutters: dict[Path, Cutter] = {}


def cutter(folder: Path) -> Cutter:
    """The cutter of a masked model, made once."""
    from tane.tokens.tokenizer import load_tokenizer

    return _cutters.setdefault(folder, _cutters.get(folder) or Cutter(folder, load_tokenizer(folder)))


def test_parts_are_words_and_masks(masked: Path) -> None:
    found = cutter(masked).parts("赤い葉が ＿から[MASK]。")
    assert [(one["text"], one["kind"]) for one in found] == [
        ("赤い", "word"), ("葉", "word"), ("が", "word"), (" ", "space"), ("＿", "mask"), ("から", "word"),
        ("[MASK]", "mask"), ("。", "word"),
    ]  # fmt: skip
