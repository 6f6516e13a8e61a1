"""The table of bad inputs, text and packed files: each row ends as it says, through the whole corpus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tane.errors import InputError
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.text.raw import Raw
from tane.text.sources import Reading
from tane.text.sources.plain import Plain
from tests.fuzz.mutations import survives
from tests.text.make_bad_texts import (
    LINE,
    TABLE,
    TEXTS,
    Bad,
    bad_byte,
    long_line,
    one_character,
    write_all,
)


def build(path: Path, **options: Any) -> Corpus:
    settings = {"inputs": str(path), "normalize": "none", "dedup": "none", "valid_fraction": 0, **options}
    settings.setdefault("max_document_chars", 2_000_000)
    build_corpus(CorpusSettings(**settings), path.parent / "corpus")
    return Corpus.open(path.parent / "corpus", full=True)


@pytest.mark.parametrize("bad", TABLE, ids=[f"{bad.row}-{bad.name}" for bad in TABLE])
def test_each_row_ends_as_it_says(bad: Bad, tmp_path: Path) -> None:
    path = tmp_path / bad.name
    bad.write(path)
    if bad.result == "refused":
        with pytest.raises(InputError, match=bad.said) as error:
            build(path)
        assert bad.name in str(error.value) and error.value.remedy
        assert not (tmp_path / "corpus").exists()
        return
    corpus = build(path)
    assert tuple(corpus.texts("train")) == bad.texts
    ledger = corpus.meta["ledger"]
    assert not ledger["dropped"]
    assert set(ledger["notes"]) == ({bad.said} if bad.result == "counted" else set())


def test_every_row_has_a_file(tmp_path: Path) -> None:
    rows = {bad.row for bad in TABLE}
    assert rows == {*(f"T{n}" for n in range(1, 25)), *(f"G{n}" for n in range(1, 8))}
    write_all(tmp_path / "bad")
    assert len(os.listdir(tmp_path / "bad")) == len(TABLE)


def test_t1_t16_shift_jis_means_windows(tmp_path: Path) -> None:
    for bad in TEXTS:
        if bad.row in ("T1", "T16"):
            path = tmp_path / bad.name
            bad.write(path)
            assert tuple(build(path, encoding="shift_jis").texts("train")) == bad.texts


def test_t5_marks_are_taken_away_and_booked(tmp_path: Path) -> None:
    for bad in TEXTS:
        if bad.row == "T5":
            path = tmp_path / bad.name
            bad.write(path)
            marks = {"mark.txt": 1, "marks.txt": 2}[bad.name]
            assert build(path).meta["ledger"]["change"] == {"bom": marks}


def test_t9_t10_bad_lines_are_left_out_and_counted_when_asked(tmp_path: Path) -> None:
    for bad, lines in ((b, {"T9": 2_000, "T10": 40}[b.row]) for b in TEXTS if b.row in ("T9", "T10")):
        path = tmp_path / bad.name
        bad.write(path)
        corpus = build(path, on_bad="skip", unit="line")
        assert corpus.meta["documents"]["train"] == lines
        ledger = corpus.meta["ledger"]
        assert ledger["notes"] == {"undecodable_lines": 1}
        assert ledger["dropped"]["undecodable"]["characters"] > 0


def test_t15_nfkc_composes(tmp_path: Path) -> None:
    path = tmp_path / "composed.txt"
    path.write_text("か\u3099くせい ｶﾞｸｾｲ")
    assert list(build(path, normalize="nfkc").texts("train")) == ["がくせい ガクセイ"]
    assert list(build(path, normalize="nfc").texts("train")) == ["がくせい ｶﾞｸｾｲ"]


def test_t22_a_file_without_rights() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "closed.txt")
        path.write_text(LINE)
        path.chmod(0)
        root = os.geteuid() == 0  # who may read everything
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(InputError, match="no right to read it"):
                list(Raw(path).chunks())
        finally:
            if root:
                os.seteuid(0)


# ----------------------------------------------------------------------------------------- large, damaged

APART = """
import json, sys
from tane.errors import InputError
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
path, folder, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
settings = CorpusSettings(inputs=path, normalize="none", dedup="none", valid_fraction=0, **options)
result = {"kinds": 0, "characters": 0}
try:
    build_corpus(settings, folder)
    texts = Corpus.open(folder).texts("train")
    kinds = set()
    for text in texts:
        kinds.add(hash(text))
        result["characters"] += len(text)
    result["kinds"] = len(kinds)
except InputError as error:
    result["error"] = str(error)
status = open("/proc/self/status").read().split("VmHWM:")[1]  # ru_maxrss would begin with the parent's
result["megabytes"] = int(status.split()[0]) // 1024
print(json.dumps(result))
"""


def build_apart(path: Path, **options: Any) -> dict[str, Any]:
    """A corpus built in a process of its own, so that its memory can be told."""
    command = [sys.executable, "-c", APART, str(path), str(path.parent / "corpus"), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["megabytes"] < 300
    return found


@pytest.mark.parametrize("megabytes", [8, pytest.param(1_000, marks=pytest.mark.slow)])
def test_t9_one_bad_byte_far_into_a_large_file(tmp_path: Path, megabytes: int) -> None:
    path = tmp_path / "byte.txt"
    bad_byte(path, megabytes)
    found = build_apart(path)
    place = f"byte {1_032_000 * megabytes + 9:,} (line {1_000 * megabytes + 1:,}) cannot be read as utf-8: ff"
    assert place in found["error"]


@pytest.mark.parametrize("megabytes", [30, pytest.param(1_000, marks=pytest.mark.slow)])
def test_t23_one_long_line(tmp_path: Path, megabytes: int) -> None:
    path = tmp_path / "line.txt"
    long_line(path, megabytes)
    found = build_apart(path)
    assert found["characters"] == path.stat().st_size // 3 and "error" not in found
    assert found["kinds"] <= 30, "cut after a sentence, and nowhere else"


@pytest.mark.parametrize("megabytes", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_t24_one_character(tmp_path: Path, megabytes: int) -> None:
    path = tmp_path / "character.txt"
    one_character(path, megabytes)
    assert build_apart(path)["characters"] == 1_000_000 * megabytes


GOOD = "".join(f"{n}番目の文です。高い山に、雨が降りました。\n" + "\n" * (n % 3 == 0) for n in range(25))


@pytest.mark.parametrize("codec", ["cp932", "utf-8", "euc_jp"])
def test_mutations_are_read_whole_or_refused(codec: str, tmp_path: Path) -> None:
    """2,000 damaged files: every character is accounted for, or one plain error says what is wrong."""
    found: list[tuple[int, str]] = []

    def taking(unit: str, on_bad: str) -> Callable[[Path], None]:
        def read(path: Path) -> None:
            reading = Reading(Raw(path), unit=unit, on_bad=on_bad)  # type: ignore[arg-type]
            kept = sum(len(record.text) for record in Plain().records(reading))
            ledger = reading.ledger
            dropped = sum(ledger.dropped_characters.values()) + sum(ledger.change.values())
            assert ledger.read == kept + dropped + ledger.separators
            found.append((reading.raw.bytes, reading.found["encoding"]))

        return read

    readers = [taking(unit, on_bad) for unit in ("line", "paragraph", "file") for on_bad in ("stop", "skip")]
    good, path = GOOD.encode(codec), tmp_path / "f.txt"
    kept = sum(survives(readers[number % 6], path, good, number) for number in range(400))
    assert 200 < kept < 400
    wrong = {encoding for size, encoding in found if size > 40 and encoding != codec}
    assert not wrong, "what is more than a few characters is never taken for another encoding"
