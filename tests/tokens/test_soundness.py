"""Tokenizer files that are damaged or hostile: an InputError, and no code is run and nothing hangs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tane.errors import InputError
from tane.tokens import soundness, spm, taken
from tests.fuzz.mutations import survives
from tests.tokens import make_bad_tokenizers as bad
from tests.tokens import models


@pytest.fixture(scope="module")
def lines(sample_text: Path) -> list[str]:
    return sample_text.read_text(encoding="utf-8").split("\n")[:300]


# --------------------------------------------------------------------------------------------- bad tokenizers


@pytest.mark.parametrize("row", bad.rows(), ids=lambda row: f"{row.row}-{row.name}")
def test_bad_tokenizers(tmp_path: Path, row: bad.Bad) -> None:
    row.write(tmp_path / row.name)
    (tmp_path / "taken").mkdir()
    if row.error is None:
        taken.take(tmp_path / row.name, tmp_path / "taken")
        assert taken.load(tmp_path / "taken")("ab")["input_ids"] == [5]
        return
    with pytest.raises(InputError, match=row.error) as caught:
        taken.take(tmp_path / row.name, tmp_path / "taken")
    assert row.name in str(caught.value) and len(str(caught.value)) < 600
    if (tmp_path / row.name / "tokenizer.json").is_file():
        with pytest.raises(InputError, match=row.error):
            taken.load(tmp_path / row.name)


def test_loading_runs_and_writes_nothing(tmp_path: Path) -> None:
    settings_ = bad.config(
        chat_template=bad.HOSTILE, tokenizer_file="/etc/hostname", vocab_file="/etc/hostname"
    )
    bad.folder(bad.unigram(), settings_)(tmp_path / "source")
    (tmp_path / "source" / "evil.py").write_text("raise SystemExit", "utf-8")
    taken.load(tmp_path / "source")  # imports what it needs
    seen: list[tuple[str, Any]] = []
    watching = True
    sys.addaudithook(lambda event, arguments: seen.append((event, arguments)) if watching else None)
    taken.load(tmp_path / "source")
    watching = False
    opened = [arguments for event, arguments in seen if event == "open"]
    forbidden = ("subprocess", "os.system", "os.exec", "os.remove", "socket.connect")
    assert opened and not [event for event, _ in seen if event.startswith(forbidden)]
    assert not [a for a in opened if isinstance(a[1], str) and set(a[1]) & set("wax+")]
    assert not [a for event, a in seen if event in ("exec", "compile", "open") and "evil" in str(a)]
    assert not [a for a in opened if "hostname" in str(a[0])]


# ------------------------------------------------------------------------------------------------- mutations


def json_reader(path: Path) -> None:
    soundness.open_tokenizer(path).encode("ab あい </s>")


@pytest.mark.parametrize("make", [bad.unigram, bad.bpe])
def test_mutated_tokenizer_json(tmp_path: Path, make: Any) -> None:
    good = json.dumps(make(), ensure_ascii=False).encode()
    read = [survives(json_reader, tmp_path / "tokenizer.json", good, number) for number in range(200)]
    assert 10 < read.count(True) < 190, "some are harmless, most are not"


def test_mutated_sentencepiece_models(tmp_path: Path) -> None:
    good = bad.spm(tmp_path / "good.model")
    read = [survives(spm.convert, tmp_path / "m.model", good, number) for number in range(200)]
    assert 5 < read.count(True) < 190


@pytest.mark.slow
def test_mutated_models_with_rules(tmp_path: Path, lines: list[str]) -> None:
    path = models.train(tmp_path / "good.model", lines[:50], vocab_size=400)
    good = path.read_bytes()
    for number in range(300):
        survives(spm.convert, tmp_path / "m.model", good, number)
