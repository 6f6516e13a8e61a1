"""Shards: every token in its place, Megatron's layout to the byte, work that goes on where it was cut."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane import files, signals, workers
from tane.errors import InputError, IntegrityError, Stopped
from tane.text import parts
from tane.text.corpus import Corpus, CorpusSettings, Part, build_corpus
from tane.tokens import tasks
from tane.tokens.encoder import Encoder
from tane.tokens.shards import Shards, read_index, token_dtype, write_index
from tane.tokens.tokenise import describe, write_shards

FINGERPRINT = "0123456789abcdef" * 4


def byte_tokenizer(folder: Path, vocab_size: int = 257) -> Path:
    """A tokenizer folder with one token a byte and EOS as its last id, so that ids can be known by hand."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: i for i, sign in enumerate(signs)}
    vocabulary |= {f"unused {i}": i for i in range(256, vocab_size - 1)}
    vocabulary["<eos>"] = vocab_size - 1
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<eos>", special=True)])
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(byte_tokenizer(tmp_path_factory.mktemp("byte") / "t"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(byte_tokenizer(tmp_path_factory.mktemp("wide") / "t", vocab_size=70_000))


TEXTS = [f"{i}番目の文です。" + "あ🙂<eos>\t" * (i % 7) for i in range(300)]


def make_corpus(folder: Path, texts: list[str], **options: Any) -> Corpus:
    source = folder / "source.txt"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("\n".join(texts) + "\n", encoding="utf-8")
    chosen = {"inputs": [str(source)], "unit": "line", "normalize": "none", "valid_fraction": 0.1, **options}
    build_corpus(CorpusSettings(**chosen), folder / "corpus")
    return Corpus.open(folder / "corpus")


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 4000)
    monkeypatch.setattr(parts, "_BATCH", 200)


@pytest.fixture
def corpus(tmp_path: Path, small_parts: None) -> Corpus:
    found = make_corpus(tmp_path, TEXTS)
    assert len(found.parts()) >= 3 and sum(part.counts["valid"] > 0 for part in found.parts()) >= 2
    return found


def expected_rows(corpus: Corpus, split: str, encoder: Encoder) -> list[list[int]]:
    return [[*encoder.encode_batch([text])[0].tolist(), encoder.eos_id] for text in corpus.texts(split)]


# ------------------------------------------------------------------------------------------ tokens in == out


@pytest.mark.parametrize("kind", ["encoder", "wide"])
def test_tokens_in_are_tokens_out(
    tmp_path: Path, corpus: Corpus, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = request.getfixturevalue(kind)
    monkeypatch.setattr(tasks, "BATCH_CHARS", 500)  # many batches a part
    manifest = write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    files.check(tmp_path / "shards", "shards")
    assert manifest.meta["dtype"] == ("uint16" if kind == "encoder" else "int32")
    for split in ("train", "valid"):
        rows = expected_rows(corpus, split, encoder)
        found = Shards(tmp_path / "shards", split)
        filled = [part for part in corpus.parts() if part.counts[split]]
        assert len(found._parts) == len(filled) and found.eos_id == encoder.eos_id
        assert [row.tolist() for row in found.documents()] == rows
        assert found.read(0, len(found)).tolist() == [i for row in rows for i in row]
        assert found.lengths.tolist() == [len(row) for row in rows]
        assert found.ends.tolist() == np.cumsum(found.lengths).tolist() and found.ends[-1] == len(found)
        counts = manifest.meta["splits"][split]
        assert counts["tokens"] == len(found) and counts["documents"] == len(rows)
        assert counts["characters"] == corpus.meta["characters"][split]
        assert counts["unknown"] == 0 and counts["changed_by_round_trip"] == 0 and counts["checked"] >= 1
        assert [encoder.decode(row[:-1]) for row in found.documents()] == list(corpus.texts(split))
    assert not list(tmp_path.glob(".parts-*")), "the work folder is gone"
    assert "tokens" in describe(manifest) and "unknown" not in describe(manifest)


def test_a_special_token_in_a_text_is_text(tmp_path: Path, encoder: Encoder) -> None:
    corpus = make_corpus(tmp_path, ["<eos>" * 3, "a<eos>b"], valid_fraction=0)
    write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    found = Shards(tmp_path / "shards", "train")
    assert (found.read(0, len(found)) == encoder.eos_id).sum() == 2
    assert len(found) == 15 + 1 + 7 + 1


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path, corpus: Corpus, encoder: Encoder) -> None:
    one = write_shards(corpus, encoder, tmp_path / "one", FINGERPRINT)
    two = write_shards(corpus, encoder, tmp_path / "two", FINGERPRINT)
    assert one.fingerprint == two.fingerprint and one.files == two.files


def test_reading_over_the_borders_of_files(tmp_path: Path, corpus: Corpus, encoder: Encoder) -> None:
    write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    found = Shards(tmp_path / "shards", "train")
    whole = np.concatenate(list(found.documents()))
    borders = found._starts.tolist()
    rng = np.random.default_rng(0)
    pairs = [(b + i, b + j) for b in borders for i in (-2, -1, 0, 1) for j in (-1, 0, 1, 2)]
    pairs += [tuple(sorted(rng.integers(0, len(found), 2).tolist())) for _ in range(200)]
    pairs += [(0, len(found)), (borders[1] - 1, borders[-2] + 1)]
    for start, stop in pairs:
        if 0 <= start < stop <= len(found):
            assert np.array_equal(found.read(start, stop), whole[start:stop]), (start, stop)
    inside = found.read(0, 5)
    assert isinstance(inside.base, np.memmap) or isinstance(inside, np.memmap), "a view, not a copy"


def test_a_split_without_documents(tmp_path: Path, encoder: Encoder) -> None:
    corpus = make_corpus(tmp_path, ["a", "b"], valid_fraction=0)
    manifest = write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    found = Shards(tmp_path / "shards", "valid")
    assert len(found) == 0 and len(found.lengths) == 0 and list(found.documents()) == []
    assert "valid: 0 tokens, 0 documents" in describe(manifest)


def test_a_tokenizer_that_does_not_give_the_text_back_is_told(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "t").mkdir()
    tokenizer.save(str(tmp_path / "t" / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}
    (tmp_path / "t" / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    corpus = make_corpus(tmp_path, ["a  c b d", "a b"], valid_fraction=0)
    manifest = write_shards(corpus, Encoder(tmp_path / "t"), tmp_path / "shards", FINGERPRINT)
    assert manifest.meta["splits"]["train"]["unknown"] == 2
    assert "2 unknown tokens" in describe(
        manifest
    ) and "1 of 1 documents looked at do not decode" in describe(manifest)


# ---------------------------------------------------------------------------------------- Megatron's layout


def test_the_type_of_tokens_changes_where_megatron_changes_it() -> None:
    assert token_dtype(65_499) == np.uint16 and token_dtype(65_500) == np.int32


@pytest.mark.parametrize(("dtype", "code", "width"), [(np.uint16, 8, 2), (np.int32, 4, 4)])
def test_the_index_byte_by_byte(tmp_path: Path, dtype: type, code: int, width: int) -> None:
    write_index(tmp_path / "x.idx", np.array([3, 1, 5]), np.dtype(dtype))
    expected = b"MMIDIDX\x00\x00" + struct.pack("<Q", 1) + bytes([code])  # magic, version, type
    expected += struct.pack("<QQ", 3, 4)  # sequences, document borders
    expected += struct.pack("<3i", 3, 1, 5)  # lengths
    expected += struct.pack("<3q", 0, 3 * width, 4 * width)  # pointers in bytes
    expected += struct.pack("<4q", 0, 1, 2, 3)  # documents begin at these sequences
    assert (tmp_path / "x.idx").read_bytes() == expected
    lengths, found = read_index(tmp_path / "x.idx")
    assert lengths.tolist() == [3, 1, 5] and lengths.dtype == np.int64 and found == dtype


@given(st.lists(st.integers(1, 2**20), max_size=50), st.sampled_from([np.uint16, np.int32]))
@settings(max_examples=40, deadline=None)
def test_an_index_reads_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], dtype: type
) -> None:
    path = tmp_path_factory.mktemp("idx") / "x.idx"
    write_index(path, np.array(lengths, dtype=np.int64), np.dtype(dtype))
    found, kind = read_index(path)
    assert found.tolist() == lengths and kind == dtype


@pytest.mark.parametrize("kind", ["encoder", "wide"])
def test_megatron_reads_every_document(
    tmp_path: Path, corpus: Corpus, kind: str, request: pytest.FixtureRequest
) -> None:
    dataset = pytest.importorskip("megatron.core.datasets.indexed_dataset", exc_type=ImportError)
    encoder = request.getfixturevalue(kind)
    write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    rows = iter(expected_rows(corpus, "train", encoder))
    for path in sorted((tmp_path / "shards").glob("train-*.idx")):
        theirs = dataset.IndexedDataset(str(path.with_suffix("")))
        count = len(read_index(path)[0])
        assert len(theirs) == count and theirs.document_indices.tolist() == list(range(count + 1))
        for i in range(count):
            assert theirs[i].tolist() == next(rows)
    assert next(rows, None) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"MMIDIDX\x00\x00", b"x" * 100, b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 2, 8, 0, 1) + bytes(8),
        b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 99, 0, 1) + bytes(8),
        b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 8, 2**60, 1) + bytes(8),
    ],
)  # fmt: skip
def test_another_layout_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "x.idx").write_bytes(raw)
    with pytest.raises(IntegrityError, match=r"x\.idx"):
        read_index(tmp_path / "x.idx")


# --------------------------------------------------------------------------------------------------- damage


@pytest.fixture
def written(tmp_path: Path, corpus: Corpus, encoder: Encoder) -> Path:
    write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    return tmp_path / "shards"


def test_a_token_file_of_another_length_is_refused_at_open(written: Path) -> None:
    path = written / "train-00001.bin"
    size = path.stat().st_size
    for wrong in (size - 1, size - 2, 1, 0, size + 1, size + 2):
        os.truncate(path, wrong)
        with pytest.raises(IntegrityError, match=r"train-00001\.bin does not have the length"):
            Shards(written, "train")
    os.truncate(path, size)
    assert len(Shards(written, "valid")) > 0


@pytest.mark.parametrize("name", ["train-00001.bin", "train-00001.idx"])
def test_a_missing_file_is_refused_at_open(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(IntegrityError, match=r"train-00001\.(bin|idx) is missing"):
        Shards(written, "train")


def test_a_cut_index_is_refused_at_open(written: Path) -> None:
    path = written / "train-00000.idx"
    raw = path.read_bytes()
    needed = 34 + 4 * len(read_index(path)[0])  # header and lengths; the rest is for Megatron
    for size in range(0, len(raw), 7):
        path.write_bytes(raw[:size])
        with pytest.raises(IntegrityError):
            files.check(written, full=False)
        if size < needed:
            with pytest.raises(IntegrityError, match=r"train-00000\.idx"):
                Shards(written, "train")


def test_a_folder_without_a_manifest_is_refused(written: Path) -> None:
    (written / files.MANIFEST).unlink()
    with pytest.raises(IntegrityError, match=r"has no manifest\.json"):
        Shards(written, "train")


# ----------------------------------------------------------------------------------------- work that is cut

CHILD = """
import sys
from pathlib import Path
from tane import files
from tane.text.corpus import Corpus
from tane.tokens.tokenise import write_shards
from tane.tokens.encoder import Encoder
real, count = files.failpoint, 0
def failpoint(name):  # at the chosen one of the publishes, not at the first
    global count
    count += name == "publish.before_write"
    if count > int(sys.argv[3]):
        real(name)
files.failpoint = failpoint
root = Path(sys.argv[1])
write_shards(Corpus.open(root / "corpus"), Encoder(sys.argv[2]), root / "shards", "0123456789abcdef" * 4)
"""


def parts_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of every part of the corpus that is read from now on."""
    numbers: list[int] = []
    read = Corpus.part

    def noted(self: Corpus, part: Part, *limits: int) -> Any:
        numbers.append(part.number)
        return read(self, part, *limits)

    monkeypatch.setattr(Corpus, "part", noted)
    return numbers


@pytest.mark.parametrize("point", ["before_manifest", "after_rename"])
def test_finished_parts_are_kept_when_the_work_is_killed(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory, point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tokenizer = byte_tokenizer(tmp_path_factory.mktemp("t") / "t")
    expected = write_shards(corpus, encoder, tmp_path / "whole", FINGERPRINT)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), str(tokenizer), "2"],
        env={**os.environ, "TANE_FAILPOINT": f"publish.{point}=kill"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "shards").exists()
    [work] = tmp_path.glob(".parts-*")
    finished = sorted(p.name for p in work.iterdir() if not p.name.startswith("."))
    assert finished == [f"part-{i:05d}" for i in range(2 if point == "before_manifest" else 3)]
    encoded = parts_read(monkeypatch)
    again = write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    assert encoded == list(range(len(finished), len(corpus.parts())))
    assert again.files == expected.files and again.meta == expected.meta
    assert not list(tmp_path.glob(".parts-*"))


def cut_work(tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stop the work in the last part by an error; returns the work folder."""

    read = Corpus.part

    def stop(self: Corpus, part: Part, *limits: int) -> Any:
        if part == corpus.parts()[-1]:
            raise InputError("stopped here")
        return read(self, part, *limits)

    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "part", stop)
        with pytest.raises(InputError, match="stopped here"):
            write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    [work] = tmp_path.glob(".parts-*")
    return work


def test_a_finished_part_that_was_damaged_is_made_again(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = write_shards(corpus, encoder, tmp_path / "whole", FINGERPRINT)
    work = cut_work(tmp_path, corpus, encoder, monkeypatch)
    path = work / "part-00001" / "train-00001.bin"
    path.write_bytes(bytes(path.stat().st_size))
    shutil.rmtree(work / "part-00002")
    (work / "part-00002").mkdir()
    assert write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT).files == expected.files


def test_parts_of_another_fingerprint_are_thrown_away(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = cut_work(tmp_path, corpus, encoder, monkeypatch)
    made = parts_read(monkeypatch)
    write_shards(corpus, encoder, tmp_path / "shards", "f" * 64)
    assert not work.exists() and len(made) == len(corpus.parts())


def test_a_signal_stops_the_work_and_says_how_to_go_on(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "BATCH_CHARS", 100)
    with signals.caught():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(
            Stopped, match=r"stopped by SIGTERM: .* 0 of \d+ parts are kept\n.*the same command"
        ) as caught:
            write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    assert caught.value.code == 75 and not (tmp_path / "shards").exists()
    write_shards(corpus, encoder, tmp_path / "shards", FINGERPRINT)
    assert [r.tolist() for r in Shards(tmp_path / "shards", "train").documents()] == expected_rows(
        corpus, "train", encoder
    )


def test_several_processes_write_the_same_bytes(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = write_shards(corpus, encoder, tmp_path / "alone", FINGERPRINT)
    monkeypatch.setattr(tasks, "ALONE", 0)
    for count in (2, 3):
        monkeypatch.setattr(workers, "cores", lambda count=count: count)
        assert write_shards(corpus, encoder, tmp_path / str(count), FINGERPRINT) == alone
    assert not list(tmp_path.glob(".parts-*"))


def test_a_disk_without_links(
    tmp_path: Path, corpus: Corpus, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = write_shards(corpus, encoder, tmp_path / "one", FINGERPRINT)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert write_shards(corpus, encoder, tmp_path / "two", FINGERPRINT).files == expected.files
