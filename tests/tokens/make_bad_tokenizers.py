"""Writes the bad tokenizer files that loading must meet rightly, one folder or file each.

    python -m tests.tokens.make_bad_tokenizers FOLDER

The rows (K2, K3, ...) are those of the project's list of bad inputs. Each bad one says what the InputError of
`taken.take` must hold, or None where it is taken all the same.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.tokens import models
from tests.tokens.models import BYTE, CONTROL, NORMAL, UNKNOWN

Content = dict[str, Any]
PIECES = ["<unk>", "</s>", "▁", "a", "b", "ab", "あ", "い", "あい"]
HOSTILE = "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for x in range(10**9) %}{% endfor %}"
ENDLESS = {"Regex": r"(\w+\s?)+$"}


class Bad(NamedTuple):
    """One bad tokenizer; error: a pattern of the InputError of taking it, None where there is none."""

    row: str
    name: str  # its folder, or its file
    write: Callable[[Path], None]
    error: str | None


def unigram() -> Content:
    """A sound tokenizer.json of a unigram model."""
    special = {
        "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True,
    }  # fmt: skip
    vocabulary = [[piece, -float(i)] for i, piece in enumerate(PIECES)]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": PIECES[i], **special} for i in (0, 1)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocabulary, "byte_fallback": False},
    }  # fmt: skip


def bpe() -> Content:
    """A sound tokenizer.json of a BPE model."""
    model = {
        "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
        "vocab": {piece: i for i, piece in enumerate(PIECES)}, "merges": [["a", "b"], ["あ", "い"]],
    }  # fmt: skip
    return {**unigram(), "model": model}


def config(**values: Any) -> Content:
    """A sound tokenizer_config.json."""
    names = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "</s>"}
    return {**names, **values}


def folder(content: Content | bytes, settings: Content | bytes | None = None) -> Callable[[Path], None]:
    """Writes a folder with a tokenizer.json and its configuration."""

    def write(path: Path) -> None:
        path.mkdir(parents=True)
        for name, part in (("tokenizer.json", content), ("tokenizer_config.json", settings or config())):
            raw = part if isinstance(part, bytes) else json.dumps(part, ensure_ascii=False).encode()
            (path / name).write_bytes(raw)

    return write


def file(data: bytes) -> Callable[[Path], None]:
    """Writes one file."""
    return lambda path: path.write_bytes(data) and None


def changed(content: Content, *keys: str, value: Any) -> Content:
    """The content with the value at keys[0] / keys[1] / ... replaced."""
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return content


def spm(path: Path) -> bytes:
    """A sound SentencePiece model, written to `path` and read again."""
    pieces = [("<unk>", 0.0, UNKNOWN), ("</s>", 0.0, CONTROL)]
    pieces += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    pieces += [(piece, -1.0 - i, NORMAL) for i, piece in enumerate(PIECES[2:])]
    return models.build(path, pieces, byte_fallback=True).read_bytes()


def _model(change: Callable[[Any], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        spm(path)
        proto = models.read(path)
        change(proto)
        path.write_bytes(proto.SerializeToString())

    return write


def _cut(share: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        data = spm(path)
        path.write_bytes(data[: int(len(data) * share)])

    return write


def pair(vocabulary: Content, merges: str) -> Callable[[Path], None]:
    """Writes a folder with vocab.json and merges.txt."""

    def write(path: Path) -> None:
        path.mkdir(parents=True)
        (path / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        (path / "merges.txt").write_text(merges, encoding="utf-8")

    return write


def byte_level() -> Content:
    """The vocabulary of a byte-level BPE with "ab" and the end of a text."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {piece: i for i, piece in enumerate([*letters, "ab", "<|endoftext|>"])}


def _twice(content: Content) -> bytes:
    text = json.dumps(content, ensure_ascii=False)
    return text.replace('"ab": 5', '"ab": 5, "ab": 8').encode()


def rows() -> list[Bad]:
    """All of them."""
    good, random_bytes = json.dumps(unigram()).encode(), random.Random(9).randbytes(5000)
    split: Content = {"type": "Split", "pattern": ENDLESS, "behavior": "Isolated", "invert": False}
    replace = {"type": "Replace", "pattern": ENDLESS, "content": ""}
    moved = unigram()
    moved["added_tokens"][1]["id"] = 2
    letters = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"])
    return [
        Bad("K2", "unigram_piece_twice", folder(changed(unigram(), "model", "vocab", value=[
            *unigram()["model"]["vocab"], ["あ", -3.0]])), "'あ' has two ids, 6 and 9"),
        Bad("K2", "bpe_id_twice", folder(changed(bpe(), "model", "vocab", "い", value=6)),
            "'あ' and 'い' share the id 6"),
        Bad("K2", "bpe_piece_twice", folder(_twice(bpe())), "'ab' stands twice"),
        Bad("K2", "added_token_moved", folder(moved), "'</s>' is said to have the id 2"),
        Bad("K2", "vocab.txt", file(f"{letters}\na\n".encode()), "'a' has two ids, 5 and 7"),
        Bad("K2", "pair_id_twice", pair({**byte_level(), "ab": 3}, "a b\n"), "share the id 3"),
        Bad("K2", "piece_twice.model", _model(lambda p: p.pieces.add(piece="あ", score=-1.0)),
            "'あ' stands in it twice"),
        Bad("K3", "merge_of_unknown", folder(changed(bpe(), "model", "merges", value=[["a", "zz"]])),
            "cannot be read: .*zz"),
        Bad("K3", "merge_into_unknown", folder(changed(bpe(), "model", "merges", value=[["b", "a"]])),
            "cannot be read: .*ba"),
        Bad("K3", "pair_merge", pair(byte_level(), "#version: 0.2\na b\nb a\n"), "line 3: the merge 'b a'"),
        Bad("K3", "pair_cut", pair(byte_level(), "#version: 0.2\na"), "line 2: the merge 'a'"),
        Bad("K4", "no_eos", folder(unigram(), {"tokenizer_class": "PreTrainedTokenizerFast"}), None),
        Bad("K5", "split_backtracks", folder(changed(unigram(), "pre_tokenizer", value=split)), "backtracks"),
        Bad("K5", "replace_backtracks", folder(changed(unigram(), "normalizer", value={
            "type": "Sequence", "normalizers": [replace]})), "backtracks"),
        Bad("K5", "decoder_backtracks", folder(changed(bpe(), "decoder", value=replace)), "backtracks"),
        Bad("K5", "bad_pattern", folder(changed(bpe(), "decoder", value={
            "type": "Replace", "pattern": {"Regex": "(a"}, "content": ""})), "cannot be read"),
        Bad("K6", "cut", folder(good[: len(good) // 2]), "tokenizer.json is not valid JSON"),
        Bad("K6", "empty", folder(b""), "tokenizer.json is not valid JSON"),
        Bad("K6", "cut_config", folder(unigram(), b'{"tokenizer_class": "PreTr'), "config.json is not valid"),
        Bad("K6", "deep", folder(b"[" * 100_000), "tokenizer.json is not valid JSON"),
        Bad("K6", "cut.json", file(good[:-1]), "cut.json is not valid JSON"),
        Bad("K7", "auto_map", folder(unigram(), config(auto_map={"AutoTokenizer": ["evil.T", None]})),
            r"auto_map\), which tane never does"),
        Bad("K7", "auto_map_in_json", folder({**unigram(), "auto_map": {}}), "auto_map"),
        Bad("K7", "class_of_another_kind", folder(unigram(), config(tokenizer_class="AutoModel")),
            "'AutoModel', which is no tokenizer's class"),
        Bad("K8", "hostile_template", folder(unigram(), config(chat_template=HOSTILE)), None),
        Bad("K9", "random.model", file(random_bytes), "no sound SentencePiece model"),
        Bad("K9", "empty.model", file(b""), "no sound SentencePiece model"),
        Bad("K9", "cut_early.model", _cut(0.3), "no sound SentencePiece model"),
        Bad("K9", "cut_late.model", _cut(0.95), "no sound SentencePiece model"),
        Bad("K9", "text.model", file("これはモデルではない。\n".encode() * 50), "no sound SentencePiece"),
        Bad("K9", "nan.model", _model(lambda p: setattr(p.pieces[260], "score", float("nan"))),
            "a score is not a sensible number"),
        Bad("K9", "no_unknown.model", _model(lambda p: setattr(p.pieces[0], "type", CONTROL)),
            "it lacks an unknown piece"),
        Bad("K9", "no_byte.model", _model(lambda p: setattr(p.pieces[7], "type", NORMAL)), "256 bytes"),
        Bad("K9", "empty_piece.model", _model(lambda p: setattr(p.pieces[260], "piece", "")), "is empty"),
        Bad("K9", "rules.model", _model(lambda p: setattr(
            p.normalizer_spec, "precompiled_charsmap", b"\0\4\0\0" + b"\xff" * 2000)), "rules are damaged"),
        Bad("K9", "rules_in_json", folder(changed(unigram(), "normalizer", value={
            "type": "Precompiled", "precompiled_charsmap": "AAQAAP////8="})), "rules are damaged"),
    ]  # fmt: skip


def main() -> None:
    """Write all of them below a folder."""
    target = Path(sys.argv[1])
    for bad in rows():
        place = target / bad.row
        place.mkdir(parents=True, exist_ok=True)
        bad.write(place / bad.name)


if __name__ == "__main__":
    main()
