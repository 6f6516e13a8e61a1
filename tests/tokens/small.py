"""Small tokenizers of each kind, made by hand, whose figures can be counted by eye."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

UNK, EOS = "[UNK]", "</s>"
ROLES = {"unk_token": UNK, "eos_token": EOS}


def save(tokenizer: Any, folder: Path, **roles: str) -> Path:
    """A Hugging Face folder of a tokenizer made with the library `tokenizers`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def characters(folder: Path, letters: str, normalizer: Any = None) -> Path:
    """Each of the letters is a piece; all else is unknown."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate([UNK, EOS, *letters])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([UNK, EOS])
    return save(tokenizer, folder, **ROLES)


def wordpiece(folder: Path, pieces: list[str]) -> Path:
    """Words between spaces, ## before what goes on with a word; decoding joins words by a space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {piece: number for number, piece in enumerate([UNK, EOS, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.add_special_tokens([UNK, EOS])
    return save(tokenizer, folder, **ROLES)


def byte_fallback(folder: Path, pieces: list[str], *, llama: bool = False) -> Path:
    """A unigram model with a piece for each byte, spaces as ▁, and a space put before the text; llama: all by
    the normaliser."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    scores = [(UNK, 0.0), (EOS, 0.0), *((f"<0x{byte:02X}>", -20.0) for byte in range(256))]
    scores += [(piece, -float(number)) for number, piece in enumerate(pieces, 1)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("〜", "~")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    steps = [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always", split=False)]
    if llama:
        marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *marks])
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
        steps = [decoders.Replace("▁", " "), steps[0], decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens([UNK, EOS])
    return save(tokenizer, folder, **ROLES)


def byte_level(folder: Path, eos: str = EOS) -> Path:
    """BPE over bytes: the 256 of them, and あ as one piece."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("ã", "ģ"), ("ãģ", "Ĥ")]
    vocabulary = {piece: number for number, piece in enumerate([eos, *letters, "ãģ", "ãģĤ"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([eos])
    return save(tokenizer, folder, eos_token=eos)


def japanese_bert(folder: Path, vocabulary: list[str], **options: Any) -> Path:
    """transformers' own BertJapaneseTokenizer: MeCab (ipadic), then WordPiece."""
    from transformers import BertJapaneseTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *vocabulary]) + "\n", encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(folder / "vocab.txt"), word_tokenizer_type="mecab", subword_tokenizer_type="wordpiece",
        mecab_kwargs={"mecab_dic": "ipadic"}, **options,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return folder
