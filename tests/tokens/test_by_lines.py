"""The road by lines: the ids of tokenizer.json for every text, taken only where that is proven."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane import workers
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.tokens import spm, spm_model, tasks
from tane.tokens.by_lines import ByLines
from tane.tokens.encoder import Encoder
from tane.tokens.kinds import Job, unigram
from tane.tokens.specials import CAUSAL, MASKED, Specials
from tane.tokens.tasks import make_slice, part_name
from tane.tokens.tokenise import Tokens, write_shards

WORDS = [
    "東京",
    "大学",
    "吾輩は猫である。",
    "the cat ",
    "ｆｕｌｌ　幅",
    "x\ty",
    "名前は",
    "まだ無い",
    "１２３",
]
ODD = [
    "", "\n", "\n\n\n", "\r\n龘", "▁", "a▁b", " ▁ ", "\0", "a\0b\nc", "\x01\x1f\x7f\x85\u2028",
    "\ufeff東", "\ufffd", "▅", "⁇", "</s>", "<pad>a</s>", "<unk>", "<0x0A>", "<0xE3>x<0x", "<0x", "<s",
    "[MASK]", "[CLS]", "  a  b ", "\t", "\u3000東\u3000", "龘\n靐", "龘靐龘靐", "é\u0301", "ﾊﾝｶｸ㍻①",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "😀" * 30, "𠮷野家", "\U0010fffc", "\ue000",
]  # fmt: skip
LONG = [
    "東" * 1999 + "\n" + "京" * 2000, "東京" * 3000, "東京大学\n" * 3000, "龘" * 2000 + "\nx", "\n" * 5000,
]  # fmt: skip


def _train(folder: Path, specials: Specials) -> Path:
    chance = random.Random(0)
    folder.mkdir()
    texts = ["".join(chance.choices([*WORDS, "\n", "犬", " "], k=40)) for _ in range(200)]
    unigram.Unigram().train(texts, Job(folder, 400, 0.999, "ipadic", specials, memory=0))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train(tmp_path_factory.mktemp("trained") / "t", CAUSAL)


@pytest.fixture(scope="module")
def encoder(trained: Path) -> Encoder:
    return Encoder(trained)


def _lines(encoder: Encoder) -> ByLines:
    assert encoder.lines is not None
    return encoder.lines


def _same(encoder: Encoder, texts: Sequence[str]) -> None:
    ours, theirs = _lines(encoder).encode_batch(texts), encoder.encode_batch(texts)
    differing = [t for t, a, b in zip(texts, ours, theirs, strict=True) if not np.array_equal(a, b)]
    assert differing == []
    assert all(ids.dtype == np.int64 for ids in ours)


letters = st.sampled_from([*WORDS, *ODD, *"東京大学吾輩は猫であるabc <>/s0xE龘😀\n\n\n\r　ｆ"])
mixed = st.lists(letters | st.text(max_size=6), max_size=60).map("".join)


@given(st.lists(mixed, max_size=8))
@settings(max_examples=300, deadline=None)
def test_ids_are_those_of_tokenizer_json(encoder: Encoder, texts: list[str]) -> None:
    _same(encoder, texts)


def test_odd_texts_alone_and_in_one_batch(encoder: Encoder) -> None:
    _same(encoder, ODD + LONG)
    for text in ODD:
        _same(encoder, [text])
    _same(encoder, ["\n".join(ODD), *WORDS])
    _same(encoder, [])


def test_a_set_with_cls_and_mask(tmp_path: Path) -> None:
    encoder = Encoder(_train(tmp_path / "t", MASKED))
    _same(encoder, ODD)


def test_what_spells_a_hidden_piece_or_the_sign_for_a_space_is_left_out(encoder: Encoder) -> None:
    lines = _lines(encoder)
    for text in ("a▁", "\0", "<0x41>", *CAUSAL.tokens()):
        assert lines.cut(f"東京\n{text}") is None
    assert lines.cut("東京\n") == ["東京\n"]


def test_texts_are_cut_behind_newlines(encoder: Encoder) -> None:
    lines = _lines(encoder)
    most = lines.longest
    text = ("東" * 150 + "\n") * 100
    parts = lines.cut(text)
    assert parts is not None and "".join(parts) == text
    assert all(len(part) <= most for part in parts)
    assert all(part.endswith("\n") for part in parts[:-1])
    assert lines.cut("東" * most) is not None
    assert lines.cut("東" * (most + 1)) is None
    assert lines.cut("東" * (most - 1) + "\n京") is not None
    assert lines.cut("東" * most + "\n京") is None


def test_a_trained_model_has_scores_whose_sums_are_exact(trained: Path, encoder: Encoder) -> None:
    model = spm_model.read(trained / "spiece.model")
    assert all((score / unigram.STEP).is_integer() for score in model.scores)
    worst = (10 - min(model.scores)) * _lines(encoder).longest / unigram.STEP
    assert worst <= 2**24
    vocabulary = json.loads((trained / "tokenizer.json").read_text())["model"]["vocab"]
    assert [score for _, score in vocabulary] == model.scores


# ------------------------------------------------------------------------------------------------------ ties


def _by_hand(folder: Path, pieces: dict[str, float], like: Path) -> Encoder:
    """A tokenizer as trained ones are, with these pieces."""
    model = spm_model.read(like / "spiece.model")
    proto = model.proto
    kept = [p for p, kind in zip(proto.pieces, model.types, strict=True) if kind != spm_model.NORMAL]
    rest = [type(kept[0]).FromString(p.SerializeToString()) for p in kept]
    del proto.pieces[:]
    proto.pieces.extend(rest)
    for piece, score in pieces.items():
        proto.pieces.add(piece=piece, score=score)
    folder.mkdir()
    (folder / "spiece.model").write_bytes(proto.SerializeToString())
    unigram.save(Job(folder, len(proto.pieces), 1.0, "ipadic", CAUSAL, memory=0))
    return Encoder(folder)


@pytest.mark.parametrize("seed", range(12))
def test_equal_sums_are_chosen_between_alike(tmp_path: Path, trained: Path, seed: int) -> None:
    chance = random.Random(seed)
    signs = "ab▁東"
    names = {"▁", "a"} | {"".join(chance.choices(signs, k=chance.randint(1, 5))) for _ in range(25)}
    if seed % 2:  # single characters without a piece: the unknown competes
        names -= {"b", "東"}
    values = [-1.0, -2.0, -3.0, -1.5, -4.0] if seed % 3 else [-1.0, -2.0]
    encoder = _by_hand(tmp_path / "t", {name: chance.choice(values) for name in sorted(names)}, trained)
    texts = ["".join(chance.choices("aab 東\n龘", k=chance.randint(1, 60))) for _ in range(800)]
    texts += ["".join(chance.choices("ab", k=2500)) + "\n" + "ab" * 900 for _ in range(3)]
    texts += ["".join(chance.choices("ab 東", k=1990)) + "\n" + "ab" * 900 for _ in range(3)]
    _same(encoder, texts)


def test_long_stretches_of_the_largest_scores(tmp_path: Path, trained: Path) -> None:
    step = unigram.STEP
    pieces = {
        "a": -45.0 + step,
        "b": -45.0,
        "ab": -90.0 + 2 * step,
        "ba": -90.0 + step,
        "aba": -99.0,
        "▁": -1.0,
    }
    encoder = _by_hand(tmp_path / "t", pieces, trained)
    most = _lines(encoder).longest
    assert most < 1000  # fewer characters, as their sums are larger
    chance = random.Random(0)
    texts = ["".join(chance.choices("ab", k=size)) for size in (most - 1, most, most) for _ in range(20)]
    assert all(_lines(encoder).cut(text) is not None for text in texts)
    _same(encoder, [*texts, "龘" * most, *("\n".join(texts[i:]) for i in range(3))])


# ----------------------------------------------------------------------------------- where it is not taken


def test_scores_as_they_came_from_the_trainer_keep_the_other_road(tmp_path: Path, trained: Path) -> None:
    model = spm_model.read(trained / "spiece.model")
    model.proto.pieces[-1].score += 1e-4
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(model.proto.SerializeToString())
    unigram.save(Job(folder, 400, 1.0, "ipadic", CAUSAL, memory=0))
    assert Encoder(folder).lines is None


def _change_score(content: dict[str, Any]) -> None:
    content["model"]["vocab"][-1][1] -= unigram.STEP


def _normalise(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "NFKC"}


def _add_token(content: dict[str, Any]) -> None:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    content["added_tokens"].append({"id": len(content["model"]["vocab"]), "content": "東京都", **plain})


@pytest.mark.parametrize("change", [_change_score, _normalise, _add_token])
def test_a_tokenizer_json_that_is_not_the_models(tmp_path: Path, trained: Path, change: Any) -> None:
    folder = shutil.copytree(trained, tmp_path / "t")
    content = json.loads((folder / "tokenizer.json").read_text())
    change(content)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert Encoder(folder).lines is None


def test_a_folder_without_the_model_or_with_a_damaged_one(tmp_path: Path, trained: Path) -> None:
    folder = shutil.copytree(trained, tmp_path / "t")
    (folder / "spiece.model").write_bytes(b"\x0a\xff")
    assert Encoder(folder).lines is None
    (folder / "spiece.model").unlink()
    assert Encoder(folder).lines is None


def test_a_converted_model_of_somebody_else(tmp_path: Path, trained: Path) -> None:
    spm.save(trained / "spiece.model", tmp_path)  # its spaces are signs
    assert Encoder(tmp_path).lines is None


# ---------------------------------------------------------------------------------------------------- shards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    chance = random.Random(3)
    texts = ["".join(chance.choices([*WORDS, "\n", "▁", "</s>"], k=30)) for _ in range(300)]
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    inputs = [str(folder / "a.jsonl")]
    build_corpus(
        CorpusSettings(inputs=inputs, normalize="none", dedup="none", valid_fraction=0.1), folder / "corpus"
    )
    return Corpus.open(folder / "corpus")


def _shards(corpus: Corpus, encoder: Encoder, folder: Path) -> tuple[dict[str, bytes], Any]:
    manifest = write_shards(corpus, encoder, folder, "0" * 64)
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".bin", ".idx")}, manifest.meta


def test_shards_are_the_same_by_either_road(
    tmp_path: Path, trained: Path, corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    fast, slow = Encoder(trained), Encoder(trained)
    assert fast.lines is not None
    slow.__dict__["lines"] = None
    assert _shards(corpus, fast, tmp_path / "fast") == _shards(corpus, slow, tmp_path / "slow")
    assert "warning" not in capsys.readouterr().err


def test_a_difference_is_told_and_the_part_made_again(
    tmp_path: Path, trained: Path, corpus: Corpus, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong:
        calls = 0

        def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
            self.calls += 1
            return [np.array([5, 6, 7], np.int64) for _ in texts]

    wrong, slow = Encoder(trained), Encoder(trained)
    road = wrong.__dict__["lines"] = Wrong()
    slow.__dict__["lines"] = None
    assert _shards(corpus, wrong, tmp_path / "wrong") == _shards(corpus, slow, tmp_path / "slow")
    assert road.calls
    assert "warning" in capsys.readouterr().err


def test_processes_that_share_a_part(
    tmp_path: Path, trained: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Encoder(trained)
    slow.__dict__["lines"] = None
    alone = _shards(corpus, slow, tmp_path / "alone")
    monkeypatch.setattr(tasks, "ALONE", 0)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    assert _shards(corpus, Encoder(trained), tmp_path / "shared") == alone


def test_one_process_that_saw_a_difference_has_the_whole_part_made_again(
    tmp_path: Path, trained: Path, corpus: Corpus
) -> None:
    task, part = Tokens(corpus, Encoder(trained)), corpus.parts()[0]
    job = {"part": 0, "first": 0, "last": part.counts["documents"], "name": part_name(part)}
    made = []
    for name, changes in (("as-is", {}), ("again", {"differ": True})):
        folder = tmp_path / name
        folder.mkdir()
        result = make_slice(task, {**job, "folder": str(folder)}, lambda size: None)
        if changes:
            for path in folder.glob("*.bin"):
                path.write_bytes(b"")
        counts = task.finish(folder, part, [{**result, **changes}])
        made.append((counts, {path.name: path.read_bytes() for path in folder.iterdir()}))
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["knbc-blogs-a.txt", "wikipedia-jsquad-valid.txt"])
def test_real_text(tmp_path: Path, real_data: Path, name: str) -> None:
    texts = (real_data / "ja" / name).read_text(encoding="utf-8").split("\n\n")[:1500]
    folder = tmp_path / "t"
    folder.mkdir()
    unigram.Unigram().train(texts[:300], Job(folder, 3000, 0.9995, "ipadic", CAUSAL, memory=0))
    encoder = Encoder(folder)
    lines = _lines(encoder)
    _same(encoder, [*texts, "\n".join(texts[:300])])
    assert sum(lines.cut(text) is not None for text in texts) > 0.99 * len(texts)
