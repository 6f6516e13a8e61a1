"""The readers of tokenizers: each file of each form, as `tokenizer.path` and a model's folder take it."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader, inside, written
from tests.tokens import make_bad_tokenizers as bad

# mutations of a process, where a library gives back no memory:
BPE = 1_500  # `tokenizers` 0.23 keeps some 0.1 MB of each BPE that has encoded many texts at once
MECAB = 120  # and MeCab 2 MB of each tagger; transformers makes one for each tokenizer
PROBES = ["", "ab あいう", "日本語 </s> <unk> [MASK] a\nb", "ﾊﾞｽ①が 3.14", "a" * 50]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT_VOCAB = "\n".join([*SPECIAL, "a", "b", "ab", "##b", "##a", "hello", "world", "."]) + "\n"
WORDS_VOCAB = "\n".join([*SPECIAL, "猫", "犬", "が", "##る", "走", "走る", "。", "日本", "語"]) + "\n"


# ------------------------------------------------------------------------------------------ tokenizer.json


def _byte_level() -> dict[str, Any]:
    """A byte-level BPE with the parts of later models: a pattern, a template, added tokens."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    vocabulary = bad.byte_level()
    made = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    pattern = Regex(r"'s|\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+")
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace("〜", "~")])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    made.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", pair="$A <|endoftext|> $B:1 <|endoftext|>:1",
        special_tokens=[("<|endoftext|>", vocabulary["<|endoftext|>"])],
    )  # fmt: skip
    made.enable_truncation(64)
    made.enable_padding(pad_id=0, pad_token="a")
    content: dict[str, Any] = json.loads(made.to_str())
    return content


def _wordpiece() -> dict[str, Any]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({p: i for i, p in enumerate(BERT_VOCAB.split())}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(SPECIAL)
    content: dict[str, Any] = json.loads(made.to_str())
    return content


def _with_rules() -> dict[str, Any]:
    """A unigram model with SentencePiece's rules for characters in it."""
    import base64

    content = bad.unigram()
    with tempfile.TemporaryDirectory() as place:
        rules = _trained(Path(place) / "m.model", vocab_size=100).normalizer_spec.precompiled_charsmap
    steps = [
        {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rules).decode()},
        content["normalizer"],
    ]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return content


CONTENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "unigram": bad.unigram, "bpe": bad.bpe, "byte_level": _byte_level, "wordpiece": _wordpiece,
}  # fmt: skip
ROLES = {
    "byte_level": {"eos_token": "<|endoftext|>"},
    "wordpiece": {f"{token[1:-1].lower()}_token": token for token in SPECIAL},
}


def _folder(kind: str, folder: Path) -> None:
    """A tokenizer folder in Hugging Face's layout, with all the small files that one may have."""
    place = folder / "tok"
    bad.folder(CONTENTS[kind](), None)(place)
    roles = ROLES.get(kind, {"unk_token": "<unk>", "eos_token": "</s>"})
    flags = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    added = {"content": "</s>", **flags, "special": True}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", **roles, "model_max_length": 64, "padding_side": "left",
        "clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"],
        "added_tokens_decoder": {"1": added} if kind in ("unigram", "bpe") else {},
    }  # fmt: skip
    (place / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    (place / "special_tokens_map.json").write_text(json.dumps(roles))


def _json(kind: str, folder: Path) -> Path:
    content = {**CONTENTS, "rules": _with_rules}[kind]()
    return written("tokenizer.json", json.dumps(content, ensure_ascii=False))(folder)


def _open_json(path: Path) -> object:
    from tane.tokens import soundness

    tokenizer = soundness.open_tokenizer(path)
    tokenizer.no_padding()  # as whoever encodes with it does
    for text in PROBES:
        tokenizer.decode(tokenizer.encode(text).ids)
    return tokenizer


def _encode(path: Path) -> object:
    """Opens a folder by tane's own road and encodes with it."""
    from tane.text.words import insides
    from tane.tokens.encoder import Encoder

    encoder = Encoder(path.parent)
    found = encoder.encode_batch(PROBES)
    encoder.encode_words(PROBES, insides("script"))
    return encoder.vocabulary, [encoder.decode(ids) for ids in found], encoder.eos_token


def _take(path: Path, dictionary: str | None = None) -> object:
    """Takes a folder or a file as a recipe's tokenizer and encodes with what was made of it."""
    from tane import progress
    from tane.tokens import taken
    from tane.tokens.encoder import Encoder

    bare = path.suffix in (".model", ".txt") or path.name == "vocab.json"
    name = path if bare else path.parent
    with tempfile.TemporaryDirectory() as place, progress.silenced():
        target = Path(place) / "taken"
        target.mkdir()
        try:
            taken.take(name, target, dictionary=dictionary)
            return Encoder(target).encode_batch(PROBES)
        finally:
            taken.fingerprint(name, dictionary)


HF_FILES = ("tok/tokenizer_config.json", "tok/special_tokens_map.json", "tok/tokenizer.json")
JSON = (
    Reader(
        "tokenizer.json",
        tuple(functools.partial(_json, kind) for kind in (*CONTENTS, "rules")),
        _open_json,
        ("tane.tokens.soundness",),
        (mutate, damages.json_values, damages.json_values),
    ),
    Reader(
        "tokenizer-road",
        tuple(seed for kind in CONTENTS for seed in inside(functools.partial(_folder, kind), *HF_FILES)),
        _encode,
        ("tane.tokens.roads",),
        (mutate, damages.json_values),
        torch=True,
        fresh=BPE,
    ),
    Reader(
        "tokenizer-taken",
        tuple(seed for kind in CONTENTS for seed in inside(functools.partial(_folder, kind), *HF_FILES)),
        _take,
        ("tane.tokens.taken", "tane.tokens.tokenizer"),
        (damages.json_values, mutate),
        torch=True,
        fresh=BPE,
    ),
)


# ---------------------------------------------------------------------------------------------- bare files


def _words_folder(folder: Path) -> None:
    """A folder of BertJapaneseTokenizer."""
    from tane.tokens.kinds.mecab_wordpiece import word_config

    place = folder / "tok"
    place.mkdir(parents=True)
    (place / "vocab.txt").write_text(WORDS_VOCAB, encoding="utf-8")
    roles = ROLES["wordpiece"]
    config = {**word_config("ipadic"), **roles, "model_max_length": 64}
    (place / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def _pair(folder: Path) -> None:
    bad.pair(bad.byte_level(), "#version: 0.2\na b\n")(folder / "tok")


ODD_PIECES = ("", "[UNK]", "##", "\r", "\u2028", "\0", "あ" * 10_000, "[MASK]", " ", "a\rb", "\x85", "\ud800")
ODD_MERGES = ("", "a", "a b c", "b a", "a  b", "#version: 0.2", "\u0120 a", "a\tb", "\r", "a b\r", "ab ab")
BARE = (
    Reader(
        "vocab.txt",
        (written("vocab.txt", BERT_VOCAB),),
        _take,
        ("tane.tokens.bare",),
        (mutate, damages.lines(*ODD_PIECES)),
        torch=True,
    ),
    Reader(
        "vocab.txt-words",
        inside(_words_folder, "tok/vocab.txt", "tok/tokenizer_config.json"),
        _encode,
        ("tane.tokens.roads",),
        (mutate, damages.lines(*ODD_PIECES)),
        torch=True,
        fresh=MECAB,
    ),  # MeCab
    Reader(
        "merges.txt",
        inside(_pair, "tok/merges.txt"),
        _take,
        ("tane.tokens.bare",),
        (mutate, damages.lines(*ODD_MERGES)),
        torch=True,
        fresh=BPE,
    ),
    Reader(
        "vocab.json",
        inside(_pair, "tok/vocab.json"),
        _take,
        ("tane.tokens.bare",),
        (mutate, damages.json_values),
        torch=True,
        fresh=BPE,
    ),
)


# ------------------------------------------------------------------------------------------- SentencePiece


RULES = {
    "Ａ": "A",
    "ｶ": "カ",
    "ｶﾞ": "ガ",
    "①": "1",
    "㍻": "平成",
    "\u3000": " ",
    "か\u3099": "が",
    "\ufeff": "",
}


def _trained(path: Path, **options: Any) -> Any:
    """A trained model with few rules for characters (the usual ones take seconds); its protobuf."""
    from tests.tokens import models

    rules = path.with_suffix(".tsv")
    points = [" ".join(f"{ord(c):X}" for c in text) for pair in RULES.items() for text in pair]
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in zip(points[::2], points[1::2], strict=True)))
    return models.read(models.train(path, [], normalization_rule_tsv=str(rules), **options))


def _model(kind: str, folder: Path) -> Path:
    path = folder / "m.model"
    if kind == "made":
        bad.spm(path)
    else:
        size = 420 if kind == "bpe" else 100
        _trained(path, model_type=kind, vocab_size=size, byte_fallback=kind == "bpe")
    return path


def _spm_folder(name: str, folder: Path) -> None:
    place = folder / "tok"
    place.mkdir(parents=True)
    bad.spm(place / "spiece.model")
    if name == "XLMRobertaTokenizer":
        _trained(place / "spiece.model", vocab_size=100)
    config = {"tokenizer_class": name, "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"extra_ids": 3} if name == "T5Tokenizer" else {"add_bos_token": False}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    (place / "special_tokens_map.json").write_text('{"eos_token": "</s>", "unk_token": {"content": "<unk>"}}')
    if name == "LlamaTokenizer":
        size = len(bad.PIECES) + 256
        (place / "added_tokens.json").write_text(json.dumps({"<new>": size, "<newer>": size + 1}))
    (place / "config.json").write_text('{"model_type": "t5"}')


def _convert(path: Path) -> object:
    from tane.tokens import spm

    return [spm.convert(path).encode(text).ids for text in PROBES]


SPM_FILES = ("tok/tokenizer_config.json", "tok/special_tokens_map.json", "tok/config.json")
SPM = (
    Reader(
        "spm",
        tuple(functools.partial(_model, kind) for kind in ("made", "unigram", "bpe")),
        _convert,
        ("tane.tokens.spm_model",),
        (mutate, damages.proto_values),
        fresh=BPE // 10,
    ),
    Reader(
        "spm-folder",
        (
            *inside(functools.partial(_spm_folder, "T5Tokenizer"), *SPM_FILES),
            *inside(functools.partial(_spm_folder, "XLMRobertaTokenizer"), *SPM_FILES[:2]),
            *inside(functools.partial(_spm_folder, "LlamaTokenizer"), *SPM_FILES, "tok/added_tokens.json"),
        ),
        _take,
        ("tane.tokens.taken",),
        (damages.json_values, mutate),
        torch=True,
    ),
)

READERS: tuple[Reader, ...] = (*JSON, *BARE, *SPM)
