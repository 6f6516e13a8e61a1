"""SentencePiece's normalisation rules: what the normalizers of a tokenizer.json make of any text."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tane.errors import InputError
from tane.tokens import charsmap, spm, spm_model
from tests.tokens import models


@pytest.fixture(scope="module")
def lines(sample_text: Path) -> list[str]:
    return sample_text.read_text(encoding="utf-8").split("\n")[:400]


def rules_of(path: Path) -> tuple[bytes, Any]:
    """The rules of a model, and SentencePiece doing nothing but them."""
    proto = models.read(path)
    spec = proto.normalizer_spec
    spec.add_dummy_prefix = spec.remove_extra_whitespaces = spec.escape_whitespaces = False
    bare = path.with_suffix(".rules")
    bare.write_bytes(proto.SerializeToString())
    return spec.precompiled_charsmap, models.processor(bare)


def marked_texts(sources: list[str], count: int) -> list[str]:
    """Texts of the rules' sources, their later characters, and whatever may join the character before it."""
    chance = random.Random(3)
    longer = [source for source in sources if len(source) > 1]
    tails = sorted({c for source in longer for c in source[1:]}) or ["x"]
    others = "abAB\r\n \t>(012-\U0010fffd\u200d🙂🏻ᄀ각\u0345\u034f\u0e33"
    pools: list[Any] = [sources, longer or sources, tails, tails, others]
    lengths = [chance.randrange(1, 8) for _ in range(count)]
    return ["".join(chance.choice(chance.choice(pools)) for _ in range(length)) for length in lengths]


def test_rules_are_done_as_sentencepiece_does_them(lines: list[str], tmp_path: Path) -> None:
    from tokenizers.normalizers import Sequence

    options = {"normalization_rule_name": "nmt_nfkc_cf", "user_defined_symbols": models.SYMBOLS}
    blob, theirs = rules_of(models.train(tmp_path / "m.model", lines, **options))
    rules = sorted(charsmap.read_rules(blob))
    ours = Sequence(charsmap.normalizers(blob, models.SYMBOLS))
    characters = [chr(c) for c in range(1, 0x20000, 7) if not 0xD800 <= c < 0xE000]
    for text in [*characters, *marked_texts(rules, 5000)]:
        assert ours.normalize_str(text) == theirs.normalize(text), ascii(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"])
def test_every_character_and_source_of_the_rules(lines: list[str], tmp_path: Path, name: str) -> None:
    from tokenizers.normalizers import Sequence

    blob, theirs = rules_of(models.train(tmp_path / "m.model", lines, normalization_rule_name=name))
    ours = Sequence(charsmap.normalizers(blob, []))
    rules = sorted(charsmap.read_rules(blob))
    characters = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    for text in [*characters, *rules, *marked_texts(rules, 50_000)]:
        assert ours.normalize_str(text) == theirs.normalize(text), ascii(text)


def test_rules_of_ones_own(lines: list[str], tmp_path: Path) -> None:
    rules = [
        "28 682A 29\t3231",
        "41\t61",
        "304B 3099\t304C",
        "65 301\tE9",
        "30A9 30A9\t30AA",
        "FF\t",
        "2460\t31 32",
    ]
    (tmp_path / "rules.tsv").write_text("\n".join(rules) + "\n", encoding="utf-8")
    path = models.train(tmp_path / "m.model", lines, normalization_rule_tsv=str(tmp_path / "rules.tsv"))
    chance = random.Random(0)
    letters = [*"(株)Aaかe\u3099\u0301ォÿ① \u212b\u0340", "(株)", "ォォ"]
    texts = ["".join(chance.choices(letters, k=7)) for _ in range(3000)]
    theirs = models.processor(path)
    model, ours = spm_model.read(path), spm.convert(path).encode_batch(texts)
    assert all(spm.same_ids(model, theirs.encode(t), o.ids) for t, o in zip(texts, ours, strict=True))


@pytest.mark.parametrize("damage", [b"", b"\x00" * 8, b"\xff\xff\xff\x7f" + bytes(2000)])
def test_damaged_rules(lines: list[str], tmp_path: Path, damage: bytes) -> None:
    proto = models.read(models.train(tmp_path / "m.model", lines))
    blob = proto.normalizer_spec.precompiled_charsmap
    for bad in (damage + b"1", blob[: len(blob) // 2], blob[:4] + bytes(1024) + damage * 200 + blob[4:]):
        proto.normalizer_spec.precompiled_charsmap = bad
        (tmp_path / "m.model").write_bytes(proto.SerializeToString())
        with pytest.raises(InputError, match="its normalisation rules are"):
            spm.convert(tmp_path / "m.model")
