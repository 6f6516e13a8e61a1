"""The corpus: nothing lost, nothing moved, no validation text trained on, the same bytes again."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tane import files, signals
from tane.errors import InputError, IntegrityError, Interrupted, ResourceError
from tane.settings import RESUME, build, leaves
from tane.text import parts
from tane.text import pieces as piece_module
from tane.text.corpus import Corpus, CorpusSettings, build_corpus, fingerprint, input_state
from tane.text.ledger import Ledger
from tane.text.split import cut, pieces, shares
from tane.types import Document

DATA = os.environ.get("TANE_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TANE_TEST_DATA names no folder of real text")
SENTENCES = [f"これは{n}番目の文です。" for n in range(400)]


def make(folder: Path, **options: Any) -> Corpus:
    """Build and open a corpus, the ledger's law checked against the parts."""
    target = folder / "corpus"
    manifest = build_corpus(CorpusSettings(**options), target)
    corpus = Corpus.open(target, full=True)
    check_law(corpus)
    assert manifest.meta == corpus.meta
    return corpus


def check_law(corpus: Corpus) -> None:
    ledger, meta = corpus.meta["ledger"], corpus.meta
    documents = {split: list(corpus.documents(split)) for split in ("train", "valid")}
    characters = {split: sum(len(d.text) for d in docs) for split, docs in documents.items()}
    assert meta["documents"] == {split: len(docs) for split, docs in documents.items()}
    assert meta["characters"] == characters
    kept = sum(characters.values())
    dropped = sum(d["characters"] for d in ledger["dropped"].values())
    assert ledger["kept"]["characters"] == kept
    assert ledger["read"] == kept + sum(ledger["change"].values()) + ledger["separators"] + dropped
    gone = sum(d["documents"] for d in ledger["dropped"].values())
    assert ledger["found"] == sum(map(len, documents.values())) + gone
    ids = [d.id for docs in documents.values() for d in docs]
    assert len(set(ids)) == len(ids)
    assert sum(i["ledger"]["read"] for i in corpus.inputs()) == ledger["read"]


def write(path: Path, data: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def split_of(corpus: Corpus) -> dict[str, str]:
    return {text: split for split in ("train", "valid") for text in corpus.texts(split)}


# ---------------------------------------------------------------------- the law

PIECES = [
    "猫である。",
    "あ",
    "　",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\ufeff",
    "ｶﾞ",
    "①",
    "か\u3099",
    "《るび》",
    "［＃注］",
    "同じ行\n",
    "㌔",
    "\u2028",
    "\0",
    "<s>",
    "※［＃「謎」］",
    "｜",
    "底本：「本」\n",
    "😀",
    "---------------\n",
]


@given(
    st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), min_size=1, max_size=3),
    st.sampled_from(["line", "paragraph", "record", "file"]),
    st.sampled_from(["none", "nfc", "nfkc", "aozora"]),
    st.sampled_from(["normalized", "exact", "none"]),
    st.sampled_from([0.0, 0.02, 0.5, 0.95]),
    st.sampled_from([1, 7, 100_000]),
    st.sampled_from(["utf-8", "utf-8-sig", "bad"]),
)
@settings(max_examples=150, deadline=None)
def test_every_character_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    unit: str,
    form: str,
    dedup: str,
    share: float,
    limit: int,
    codec: str,
) -> None:
    folder = tmp_path_factory.mktemp("law")
    data = [t.encode("utf-8" if codec == "bad" else codec) for t in texts]
    if codec == "bad":
        data = [d.replace("😀".encode(), b"\xff\xfe") for d in data]
    paths = [write(folder / f"{i}.txt", d) for i, d in enumerate(data)]
    options = dict(
        inputs=paths,
        unit=unit,
        normalize=form,
        dedup=dedup,
        valid_fraction=share,
        max_document_chars=limit,
        on_bad="skip",
        encoding="utf-8",
    )
    try:
        corpus = make(folder, **options)
    except InputError as error:
        assert "0 usable documents" in str(error)
        return
    read = sum(len(d.decode("utf-8", "replace")) for d in data)
    assert corpus.meta["ledger"]["read"] == read
    kept = [t for split in ("train", "valid") for t in corpus.texts(split)]
    assert all(t.strip() for t in kept)
    if dedup == "normalized" and not corpus.meta["split"]["moved"]:
        assert len(set(kept)) == len(kept)
    if form in ("nfc", "nfkc"):
        for text in kept:
            assert limit < 9 or unicodedata.is_normalized(form.upper(), text)  # type: ignore[arg-type]
    assert all(len(t) <= limit for t in kept)
    if share and len(kept) > 1:
        assert all(corpus.meta["documents"].values())


def test_a_lost_character_stops_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece_module, "cut_text", lambda text, limit: [text[:3]])
    path = write(tmp_path / "a.txt", "十文字より長い文です。ほんとうに。")
    with pytest.raises(RuntimeError, match=r"characters and .* unaccounted for"):
        build_corpus(CorpusSettings(inputs=path, max_document_chars=10), tmp_path / "c")
    assert not (tmp_path / "c").exists() and not list(tmp_path.glob(".tmp*"))


def test_the_ledger_prints_itself() -> None:
    ledger = Ledger()
    ledger.read, ledger.kept_characters, ledger.kept_documents, ledger.found = 100, 70, 3, 5
    ledger.separators = 5
    ledger.change["nfkc"] = -5
    ledger.drop("duplicate", 30, 2)
    ledger.notes["nul_characters"] = 1
    ledger.check("test")
    lines = ledger.table().split("\n")
    assert len({len(line) for line in lines[1:3]}) == 1 and "70.00 %" in lines[2]
    assert "duplicate" in ledger.table() and "-5" in ledger.table() and "nul characters: 1" in ledger.table()
    both = Ledger()
    both.add(ledger)
    both.add(ledger)
    assert both.json()["dropped"] == {"duplicate": {"characters": 60, "documents": 4}}
    both.read += 1
    with pytest.raises(RuntimeError):
        both.check("test")


# ---------------------------------------------------------------------- the split


def test_adding_and_reordering_files_never_moves_a_document(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.txt", "\n".join(SENTENCES[100 * i : 100 * i + 100])) for i in range(4)]
    options: dict[str, Any] = {"unit": "line", "valid_fraction": 0.1}
    first = split_of(make(tmp_path, inputs=paths[:2], **options))
    more = split_of(make(tmp_path, inputs=paths, **options))
    turned = split_of(make(tmp_path, inputs=paths[::-1], **options))
    assert len(first) == 200 and len(more) == 400
    assert all(more[text] == split for text, split in first.items())
    assert turned == more
    assert 20 <= Counter(more.values())["valid"] <= 65
    wider = split_of(make(tmp_path, inputs=paths, unit="line", valid_fraction=0.3))
    assert all(wider[text] == "valid" for text, split in more.items() if split == "valid")


def test_the_split_is_of_the_normalised_text_alone(tmp_path: Path) -> None:
    a = write(tmp_path / "a.txt", "\n".join(SENTENCES))
    b = write(tmp_path / "deep/b.txt", "\r\n\r\n".join(SENTENCES).encode("cp932"))
    options: dict[str, Any] = {"valid_fraction": 0.1}
    assert split_of(make(tmp_path, inputs=a, unit="line", **options)) == split_of(
        make(tmp_path, inputs=b, **options)
    )


def test_validation_of_few_documents(tmp_path: Path) -> None:
    two = write(tmp_path / "two.txt", "一つ目の文書です。\n\n二つ目の文書です。\n")
    corpus = make(tmp_path, inputs=two, valid_fraction=0.3)
    assert corpus.meta["documents"] == {"train": 1, "valid": 1} or corpus.meta["split"]["moved"]
    assert all(corpus.meta["documents"].values())

    novel = "".join(f"第{n}の出来事があって、人々は驚いた。" for n in range(5000))
    one = write(tmp_path / "novel.txt", novel)
    corpus = make(tmp_path, inputs=one, unit="file", max_document_chars=1_000_000)
    train, valid = "".join(corpus.texts("train")), "".join(corpus.texts("valid"))
    assert train + valid == novel and train.endswith("。") and valid.startswith("第")
    assert 0.015 <= len(valid) / len(novel) <= 0.03
    assert "no document's hash fell there" in corpus.meta["split"]["moved"]
    assert [d.id for d in corpus.documents("valid")] == [f"{one}:1#valid"]

    again = make(tmp_path, inputs=one, unit="file", max_document_chars=1_000_000)
    assert again.manifest.fingerprint == corpus.manifest.fingerprint


def test_a_long_document_is_not_given_away_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "two.txt", "短い文書です。\n\n" + "長い文書の一文です。" * 3000)
    corpus = make(tmp_path, inputs=path, valid_fraction=0.001)
    assert corpus.meta["characters"]["valid"] < 0.01 * corpus.meta["characters"]["train"]


@pytest.mark.parametrize("share", [0.02, 0.98])
def test_one_short_document(tmp_path: Path, share: float) -> None:
    corpus = make(tmp_path, inputs=write(tmp_path / "a.txt", "短い。文。"), valid_fraction=share)
    assert "".join([*corpus.texts("train"), *corpus.texts("valid")]) in ("短い。文。", "文。短い。")
    assert all(corpus.meta["documents"].values())
    for char in "字文a一":  # whichever side the hash puts it on, it is trained on
        corpus = make(tmp_path, inputs=write(tmp_path / "b.txt", char), valid_fraction=share)
        assert corpus.meta["documents"] == {"train": 1, "valid": 0} and corpus.meta["split"]["moved"]
    assert make(tmp_path, inputs=str(tmp_path / "a.txt"), valid_fraction=0).meta["documents"]["valid"] == 0


def test_valid_inputs_are_never_trained_on(tmp_path: Path) -> None:
    train = write(tmp_path / "train.txt", "\n".join(SENTENCES[:100]))
    valid = write(tmp_path / "valid.txt", "\n".join(SENTENCES[90:120]))
    for dedup in ("exact", "none"):
        corpus = make(tmp_path, inputs=train, valid_inputs=valid, unit="line", dedup=dedup)
        assert set(corpus.texts("valid")) == set(SENTENCES[90:120])
        assert list(corpus.texts("train")) == SENTENCES[:90]
        assert corpus.meta["ledger"]["dropped"]["in_validation"]["documents"] == 10
    blank = write(tmp_path / "blank.txt", "\n \n")
    with pytest.raises(InputError, match=r"0 usable documents in corpus\.valid_inputs"):
        make(tmp_path, inputs=train, valid_inputs=blank)
    with pytest.raises(InputError, match="0 usable documents in the inputs"):
        make(tmp_path, inputs=valid, valid_inputs=str(tmp_path / "valid.txt"))


# ---------------------------------------------------------------------- dedup, cutting


def test_exact_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "同じ文。\n同じ文。\nＡ。\nA。\n別の文。\n")
    corpus = make(tmp_path, inputs=path, unit="line", valid_fraction=0)
    assert list(corpus.texts("train")) == ["同じ文。", "A。", "A。", "別の文。"]
    assert corpus.meta["ledger"]["dropped"]["duplicate"] == {"characters": 4, "documents": 1}
    corpus = make(tmp_path, inputs=path, unit="line", valid_fraction=0, dedup="normalized")
    assert list(corpus.texts("train")) == ["同じ文。", "A。", "別の文。"]
    assert corpus.meta["ledger"]["dropped"]["duplicate"] == {"characters": 6, "documents": 2}
    corpus = make(tmp_path, inputs=path, unit="line", valid_fraction=0, dedup="none")
    assert len(list(corpus.texts("train"))) == 5


def test_long_documents_are_split_at_sentences(tmp_path: Path) -> None:
    text = "".join(f"「文が{n}回続く。」と言った！" for n in range(400))
    corpus = make(tmp_path, inputs=write(tmp_path / "a.txt", text), max_document_chars=1000, valid_fraction=0)
    documents = list(corpus.documents("train"))
    assert all(d.text.endswith(("」", "!", "！")) and len(d.text) <= 1000 for d in documents)
    ledger = corpus.meta["ledger"]
    assert ledger["notes"]["documents_split"] == 1 and ledger["found"] > 5
    assert documents[0].id == f"{tmp_path}/a.txt:1" and documents[1].id == f"{tmp_path}/a.txt:1#2"


@given(st.text(st.sampled_from("あ字。！」\n a\u3099\u200d😀\ufe0f")), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_cutting_loses_nothing(text: str, limit: int) -> None:
    parts_of = list(pieces(text, limit))
    assert "".join(parts_of) == text and all(len(p) <= limit for p in parts_of)
    if len(text) > limit:
        assert 1 <= cut(text, limit) <= limit and all(parts_of)
    for tail in (True, False):
        both = shares(text, limit, tail=tail)
        assert (both is None) == (len(text.strip()) < 2)
        if both:
            assert (
                both[0].strip()
                and both[1].strip()
                and (both[0] + both[1] if tail else both[1] + both[0]) == text
            )


def test_cuts_never_part_a_character() -> None:
    assert cut("か\u3099" * 50, 51) == 50 and cut("👩\u200d👩\u200d👧" * 9, 8) == 5
    assert cut("彼は言った。」そして。また続く文", 9) == 7


# ---------------------------------------------------------------------- parts, manifest, integrity


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 20_000)
    monkeypatch.setattr(parts, "_BATCH", 1000)
    path = write(tmp_path / "a.txt", "\n".join(f"{s}{i}" for i, s in enumerate(SENTENCES * 5)))
    options: dict[str, Any] = {"inputs": path, "unit": "line"}
    first = make(tmp_path / "x", **options)
    second = make(tmp_path / "y", **options)
    assert first.manifest.files == second.manifest.files
    paths = [part.path for part in first.parts()]
    assert [p.name for p in paths][:2] == ["part-00000.jsonl.zst", "part-00001.jsonl.zst"] and len(paths) > 3
    raw = zstandard.ZstdDecompressor().decompress(paths[0].read_bytes(), max_output_size=10**7)
    row = json.loads(raw.decode().split("\n")[0])
    assert row == {"id": f"{path}:1", "text": SENTENCES[0] + "0"}
    assert isinstance(next(first.documents("train")), Document)


def test_a_corpus_whose_manifest_holds_the_inputs_is_read(tmp_path: Path) -> None:
    """As 0.1 wrote it."""
    paths = [write(tmp_path / f"{n}.txt", f"{n}番の文です。".encode()) for n in range(3)]
    new = make(tmp_path, inputs=paths, unit="line")
    records = list(new.inputs())

    def write_old(folder: Path) -> dict[str, Any]:
        for path in new.folder.iterdir():
            if path.name not in (files.MANIFEST, "inputs.jsonl"):
                shutil.copyfile(path, folder / path.name)
        return {**new.meta, "inputs": records}

    files.publish(tmp_path / "old", "corpus", write_old)
    old = Corpus.open(tmp_path / "old", full=True)
    assert list(old.inputs()) == records and [r["path"] for r in records] == paths
    assert list(old.texts("train")) == list(new.texts("train"))
    settings = CorpusSettings(inputs=list(paths), unit="line")
    assert fingerprint(settings, old.inputs()) == fingerprint(settings, input_state(settings))
    assert old.meta["fingerprint"] == fingerprint(settings, input_state(settings))


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damaged_records_of_the_inputs_are_told(tmp_path: Path, damage: str) -> None:
    corpus = make(tmp_path, inputs=[write(tmp_path / "a.txt", "文です。\n\n次です。".encode())])
    path = corpus.folder / "inputs.jsonl"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:-9] if damage == "cut" else b"[1]\n")
    with pytest.raises(IntegrityError, match=r"inputs\.jsonl is damaged or missing"):
        list(corpus.inputs())
    with pytest.raises(IntegrityError, match=r"inputs\.jsonl"):
        Corpus.open(corpus.folder)


def test_the_manifest_says_how_it_was_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "日本語の文です。\n\n次の文です。".encode("cp932"))
    corpus = make(tmp_path, inputs=[{"path": path, "unit": "line"}])
    [item], meta = corpus.inputs(), corpus.meta
    assert item["path"] == path and item["found"] == {"encoding": "cp932"} and item["unit"] == "line"
    assert item["bytes"] == Path(path).stat().st_size and item["sha256"] == files.sha256(Path(path))
    assert meta["settings"]["normalize"] == "nfkc" and meta["settings"]["inputs"][0]["path"] == path
    assert meta["versions"]["reader"] == "2" and meta["versions"]["unidata"] == unicodedata.unidata_version
    assert meta["versions"]["normalizers"][0]["name"] == "nfkc"


def test_damaged_parts_are_refused(tmp_path: Path) -> None:
    corpus = make(tmp_path, inputs=write(tmp_path / "a.txt", "\n".join(SENTENCES)), unit="line")
    path = corpus.parts()[0].path
    good = path.read_bytes()
    rng = random.Random(1)
    for _ in range(30):
        place = rng.randrange(len(good))
        broken = bytearray(good)
        broken[place] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(IntegrityError):
            Corpus.open(tmp_path / "corpus", full=True)
        with pytest.raises(IntegrityError):  # the frame's checksum sees it too
            list(Corpus.open(tmp_path / "corpus").texts("train"))
    for data in (good[:-1], good[: len(good) // 2], b"", good + b"x", good + good):
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            Corpus.open(tmp_path / "corpus")
        with pytest.raises(IntegrityError):
            list(parts.read_part(path))
    path.unlink()
    with pytest.raises(IntegrityError):
        list(corpus.texts("train"))
    with pytest.raises(IntegrityError, match="has no manifest"):
        Corpus.open(tmp_path)


def test_a_failed_build_leaves_the_old_corpus(tmp_path: Path) -> None:
    good = write(tmp_path / "a.txt", "よい文です。\n\n二つ目です。")
    before = make(tmp_path, inputs=good).manifest
    bad = write(tmp_path / "b.txt", "よい文です。\n".encode() * 9 + b"\xff\n")
    with pytest.raises(InputError):
        build_corpus(CorpusSettings(inputs=[good, bad]), tmp_path / "corpus")
    assert Corpus.open(tmp_path / "corpus").manifest == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_the_disk_being_full_is_our_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "よい文です。")
    monkeypatch.setenv("TANE_FAILPOINT", "publish.before_manifest=ENOSPC")
    with pytest.raises(ResourceError, match="the disk is full"):
        build_corpus(CorpusSettings(inputs=path), tmp_path / "corpus")


def test_a_signal_stops_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "よい文です。")
    monkeypatch.setattr(signals, "_received", ["SIGTERM"])
    with pytest.raises(Interrupted, match="reading the text is not finished"):
        build_corpus(CorpusSettings(inputs=path), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


# ---------------------------------------------------------------------- inputs


@pytest.mark.parametrize("data", ["", "\ufeff", " \n　\n", "\n\n"])
@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
@pytest.mark.parametrize("form", ["nfkc", "aozora"])
def test_nothing_to_read(tmp_path: Path, data: str, unit: str, form: str) -> None:
    path = write(tmp_path / "a.txt", data)
    with pytest.raises(InputError, match=r"0 usable documents .*empty: ") as error:
        build_corpus(CorpusSettings(inputs=path, unit=unit, normalize=form), tmp_path / "corpus")  # type: ignore[arg-type]
    assert f"{len(data)} characters read" in str(error.value) and path in str(error.value)
    assert not (tmp_path / "corpus").exists()


def test_inputs_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "novel.txt", "文。")
    for inputs, words in {
        (): "there are no inputs",
        (str(tmp_path / "nowel.txt"),): "did you mean .*novel.txt",
        (str(tmp_path / "*.text"),): "no file matches",
        (path, path): "stands twice",
        (path, f"{tmp_path}/./novel.txt"): "stands twice",
        (f"{tmp_path}/*",): "is a folder, not a file",
        (f"{tmp_path}/empty",): "holds no file that can be read",
    }.items():
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=words):
            build_corpus(CorpusSettings(inputs=list(inputs)), tmp_path / "corpus")


def test_folders_patterns_and_one_file_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "texts"
    for name in ("b.txt", "a.txt", "sub/c.md", ".hidden/d.txt", "e.pdf", "f.docx"):
        write(base / name, f"{name}の文です。")
    write(base / "old.txt", "古い文です。".encode("utf-16-le"))
    with pytest.raises(InputError, match="utf-16-le"):
        make(tmp_path, inputs=str(base))
    one = {"path": str(base / "old.txt"), "encoding": "utf-16-le", "normalize": "none"}
    corpus = make(tmp_path, inputs=[str(base), one], valid_fraction=0)
    assert list(corpus.texts("train")) == [
        "a.txtの文です。",
        "b.txtの文です。",
        "sub/c.mdの文です。",
        "古い文です。",
    ]
    said = capsys.readouterr().err
    assert "left out 2 file(s) of unknown kind" in said and "e.pdf" in said and "utf-16-le" in said
    pattern = make(tmp_path, inputs=[f"{base}/[ab].txt", f"{base}/**/*.md"], valid_fraction=0)
    assert pattern.meta["documents"]["train"] == 3


def test_records_are_freed_of_ruby_too(tmp_path: Path) -> None:
    path = write(tmp_path / "works.jsonl", '{"text": "吾輩《わがはい》は猫である。［＃改ページ］"}\n')
    corpus = make(tmp_path, inputs=path, normalize="aozora", valid_fraction=0)
    assert list(corpus.texts("train")) == ["吾輩は猫である。"]


@pytest.mark.parametrize(
    ("name", "keys", "told"),
    [
        ("a.txt", {"sha256": "0" * 64}, "sha256 is for URLs"),
        ("", {"split": "train"}, "has no splits"),
        ("a.txt", {"column": "2"}, "plain text, which has no columns"),
    ],
)
def test_keys_that_do_not_apply_are_refused(
    tmp_path: Path, name: str, keys: dict[str, str], told: str
) -> None:
    write(tmp_path / "texts" / "a.txt", "一つの文です。")
    with pytest.raises(InputError, match=told):
        make(tmp_path, inputs=[{"path": str(tmp_path / "texts" / name), **keys}])


def test_a_run_inside_its_own_text_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "texts" / "a.txt", "一つの文です。")
    for name in ("recipe.yaml", "requested.yaml", "metrics.jsonl", "scores.md"):
        write(tmp_path / "texts" / "runs" / "x" / name, '{"event": "start"}')
    corpus = make(tmp_path, inputs=str(tmp_path / "texts"), valid_fraction=0)
    assert list(corpus.texts("train")) == ["一つの文です。"]


def test_in_a_folder_files_without_an_ending_have_the_format_that_was_said(tmp_path: Path) -> None:
    base = tmp_path / "wiki"
    write(base / "AA/wiki_00", '{"text": "一つ目の記事です。"}\n')
    write(base / "AB/wiki_01.gz", gzip.compress('{"text": "二つ目の記事です。"}\n'.encode()))
    write(base / "AB/notes.pdf", "これは読みません。")
    with pytest.raises(InputError, match="no file that can be read"):
        make(tmp_path, inputs=str(base))
    said = make(tmp_path, inputs=str(base), format="jsonl", valid_fraction=0)
    assert list(said.texts("train")) == ["一つ目の記事です。", "二つ目の記事です。"]


def test_names_that_are_no_utf8_or_japanese(tmp_path: Path) -> None:
    write(tmp_path / "日本語 名.txt", "一つ。")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.txt")
    Path(odd).write_text("二つ。", encoding="utf-8")
    corpus = make(tmp_path / "out", inputs=str(tmp_path), valid_fraction=0)
    assert {d.id.rsplit("/", 1)[1] for d in corpus.documents("train")} == {
        "日本語 名.txt:1",
        "\\xff\\xfe.txt:1",
    }


def test_settings() -> None:
    assert CorpusSettings(inputs="a.txt").inputs == ["a.txt"]
    assert CorpusSettings(inputs={"path": "a"}).inputs[0].path == "a"  # type: ignore[union-attr]
    assert CorpusSettings(encoding="Shift_JIS").encoding == "cp932"
    assert CorpusSettings(unit="none").unit is None and CorpusSettings(normalize="none").normalize == "none"
    for wrong in (
        {"encoding": "nothing"},
        {"valid_fraction": 1},
        {"valid_fraction": -0.1},
        {"unit": "word"},
        {"dedup": True},
        {"max_document_chars": 0},
        {"inputs": [{"path": "a", "encodnig": "x"}]},
        {"on_bad": "ignore"},
    ):
        with pytest.raises(ValidationError):
            CorpusSettings(**wrong)
    with pytest.raises(InputError, match="expected auto or an encoding such as utf-8"):
        build(CorpusSettings, {"encoding": "sjif"}, "recipe")
    assert all(info.json_schema_extra[RESUME] == "match" for _, info in leaves(CorpusSettings))
    again = CorpusSettings(inputs=["a", {"path": "b", "unit": "line"}])
    assert CorpusSettings(**again.model_dump()) == again


# ---------------------------------------------------------------------- fingerprints


def test_fingerprints(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.txt", "一つ目。\n\n二つ目。"), write(tmp_path / "b.txt", "三つ目。")

    def mark(**options: Any) -> str:
        wanted = CorpusSettings(**options)
        return fingerprint(wanted, input_state(wanted))

    first = mark(inputs=[a, b])
    assert make(tmp_path, inputs=[a, b]).meta["fingerprint"] == first
    os.utime(a, (0, 0))
    renamed = write(tmp_path / "sub/z.txt", Path(a).read_bytes())
    assert mark(inputs=[b, a]) == first and mark(inputs=[renamed, b]) == first
    different = [
        mark(inputs=[a]),
        mark(inputs=[a, b], normalize="nfc"),
        mark(inputs=[a, b], unit="line"),
        mark(inputs=[a, b], dedup="none"),
        mark(inputs=[a, b], valid_fraction=0.1),
        mark(inputs=[a], valid_inputs=[b]),
        mark(inputs=[a, b], max_document_chars=10),
        mark(inputs=[a, b], on_bad="skip"),
        mark(inputs=[a, {"path": b, "encoding": "utf-8"}]),
    ]
    size = Path(b).stat().st_size
    Path(b).write_text("参つ目。", encoding="utf-8")
    assert Path(b).stat().st_size == size
    assert len({first, mark(inputs=[a, b]), *different}) == len(different) + 2


# ---------------------------------------------------------------------- real files


@needs_data
@pytest.mark.parametrize(
    "name", ["rashomon_127_ruby_150", "kokoro_773_ruby_5968", "ginga_tetsudo_456_ruby_145"]
)
@pytest.mark.parametrize("unit", ["line", "paragraph", "file"])
def test_aozora_works(tmp_path: Path, name: str, unit: str) -> None:
    path = f"{DATA}/raw/{name}.txt"
    corpus = make(tmp_path, inputs=path, normalize="aozora", unit=unit)
    text = "\n".join([*corpus.texts("train"), *corpus.texts("valid")])
    assert not re.search("《|［＃|※", text)
    assert corpus.meta["ledger"]["read"] == len(Path(path).read_bytes().decode("cp932"))
    assert next(corpus.inputs())["found"]["encoding"] == "cp932"
    assert all(d.meta["title"] and d.meta["author"] for d in corpus.documents("train"))
    assert all(corpus.meta["documents"].values())


@needs_data
def test_the_prose_corpus(tmp_path: Path) -> None:
    path = f"{DATA}/ja/aozora-a.txt.gz"
    corpus = make(tmp_path, inputs=path, max_document_chars=10_000_000, normalize="none")
    assert corpus.meta["ledger"]["found"] == 219
    plain = gzip.decompress(Path(path).read_bytes()).decode()
    assert corpus.meta["ledger"]["read"] == len(plain) == 2_659_498
    theirs = {d.strip("\n") for d in plain.split("\n\n")}
    assert {*corpus.texts("train"), *corpus.texts("valid")} == theirs
    cut_up = make(tmp_path, inputs=path)
    assert cut_up.meta["ledger"]["notes"]["documents_split"] == 6 and cut_up.meta["documents"]["valid"] > 0


@needs_data
@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak is read from /proc; getrusage counts the parent's"
)
def test_memory_stays_bounded(tmp_path: Path) -> None:
    lines = (Path(str(DATA)) / "ja/wikipedia-jsquad-valid.txt").read_text(encoding="utf-8").split("\n")
    with open(tmp_path / "big.txt", "w", encoding="utf-8") as out:
        for turn in range(60):
            out.writelines(f"{line}{turn}\n" for line in lines)
        out.write("一" * 10_000_000)
    code = (
        "import re, sys; from tane.text.corpus import *; from tane.progress import silenced\n"
        "with silenced(): build_corpus(CorpusSettings(inputs=sys.argv[1], unit='line'), sys.argv[2])\n"
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "big.txt"), str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak = int(done.stdout) * 1024
    assert peak < 300e6, f"{peak / 1e6:.0f} MB for a file of 63 MB"


# ------------------------------------------------------------------------------------------ hostile, imports


def test_damaged_files_give_a_corpus_or_one_plain_error(tmp_path: Path) -> None:
    text = 30 * (
        "羅生門\n芥川龍之介\n\n　ある日の暮方の事である。一人の下人《げにん》が、"
        "雨やみを待っていた。\n\n底本：「全集」\n"
    )
    encoded = [text.encode(codec) for codec in ("cp932", "utf-8", "euc_jp", "iso2022_jp", "utf-16")]
    good = {"a.txt": encoded, "a.txt.gz": [gzip.compress(data, mtime=0) for data in encoded]}
    rng = random.Random(5)
    built = 0
    for _ in range(250):
        name = rng.choice(sorted(good))
        data = bytearray(rng.choice(good[name]))
        for _ in range(rng.choice([1, 1, 3, 20])):
            place = rng.randrange(len(data) + 1)
            how = rng.randrange(3)
            if how == 0:
                data[place : place + 1] = rng.choice([b"\0", b"\x1b", b"\r", b"\xff", b"\x80", b"$", b""])
            elif how == 1:
                del data[place : place + rng.randrange(1, 100)]
            else:
                data[place:place] = rng.randbytes(rng.randrange(1, 30))
        options = {
            "inputs": write(tmp_path / name, bytes(data)),
            "normalize": rng.choice(["none", "nfkc", "aozora"]),
            "unit": rng.choice(["line", "paragraph", "file"]),
            "on_bad": rng.choice(["stop", "skip"]),
        }
        try:
            make(tmp_path, **options)
            built += 1
        except InputError as error:
            assert name in str(error)
    assert 20 < built < 230


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, tane.text.pieces, tane.text.sources.plain\n"
        "heavy = ('torch', 'transformers', 'zstandard', 'charset_normalizer', 'numpy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
