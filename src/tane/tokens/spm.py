"""SentencePiece models as `tokenizers.Tokenizer`s and Hugging Face folders that give the same ids.

Unigram and BPE, any normaliser, byte fallback, dummy prefix, user-defined symbols. What cannot be done
exactly is refused. In a unigram model one thing is beyond reach: SentencePiece adds scores up in 32 bits, the
`tokenizers` library in 64, so where two segmentations of a text score the same, rounding may make
SentencePiece take the other one. Of 40,295 paragraphs of Japanese, 3 and 1 came out so with two models of
8,000 and 32,000 pieces; SentencePiece's own versions 0.2.1 and 0.2.3 differ from each other on 25 and 6.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane import files
from tane.tokens import charsmap, spm_search
from tane.tokens.charsmap import quoted
from tane.tokens.spm_model import (
    BPE,
    BYTE,
    CONTROL,
    UNIGRAM,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Model,
    inexact,
    read,
)  # fmt: skip

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE = "▁"
SPELLINGS = {  # the usual ones of each special token, the surest first
    "pad": ("<pad>", "[PAD]", "<|pad|>", "<|padding|>"),
    "bos": ("<s>", "[BOS]", "<bos>", "<|begin_of_text|>", "<|startoftext|>"),
    "eos": ("</s>", "[EOS]", "<eos>", "<|endoftext|>", "<|end_of_text|>"),
    "unk": ("<unk>", "[UNK]"),
    "cls": ("[CLS]", "<cls>"),
    "sep": ("[SEP]", "<sep>"),
    "mask": ("[MASK]", "<mask>"),
}
ALL = 1_000_000  # spaces at most that are taken from the start of decoded text
LONGEST = 64  # characters of a piece that is tried together with others


def convert(model_path: Path) -> Tokenizer:
    """A `tokenizers.Tokenizer` with the ids of a SentencePiece model.

    Raises InputError for a file that is not sound or a model that cannot be converted exactly.
    """
    return tokenizer_of(read(model_path))


def tokenizer_of(model: Model) -> Tokenizer:
    """`convert` of a model that is read already."""
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers

    trainer, spec = model.proto.trainer_spec, model.proto.normalizer_spec
    if trainer.model_type not in (UNIGRAM, BPE):
        raise inexact(model.path, "it is of the word or character type")
    if trainer.treat_whitespace_as_suffix:
        raise inexact(model.path, "it writes spaces behind words (treat_whitespace_as_suffix)")
    if model.proto.denormalizer_spec.precompiled_charsmap:
        raise inexact(model.path, "it has rules that change the decoded text")
    try:
        before = _normalizers(model)
    except charsmap.UnreadableRules as error:
        raise inexact(model.path, str(error)) from None
    processor = model.processor()

    search, splits, muddled = (spm_search.bpe if trainer.model_type == BPE else spm_search.unigram)(model)
    tokenizer = Tokenizer(search)
    steps = before + [normalizers.Replace(text, other) for text, other in muddled.items()]
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    if splits:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    # "▁" last: a text without spaces may give it no piece, and then it comes as bytes
    after: list[Any] = [decoders.ByteFallback()] if model.byte_fallback else []
    after += [decoders.Fuse(), decoders.Replace(SPACE, " ")]
    if spec.add_dummy_prefix or spec.remove_extra_whitespaces:
        after.append(decoders.Strip(" ", ALL if spec.remove_extra_whitespaces else 1, 0))
    tokenizer.decoder = decoders.Sequence(after)
    special = model.of_type(CONTROL, UNKNOWN)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    _compare(model, tokenizer, processor)
    return tokenizer


def _normalizers(model: Model) -> list[Any]:
    """What SentencePiece does to a text before it looks for pieces: its rules, then its spaces."""
    from tokenizers import Regex, normalizers

    spec = model.proto.normalizer_spec
    space = SPACE if spec.escape_whitespaces else " "
    symbols = model.of_type(USER_DEFINED)
    if spec.remove_extra_whitespaces and any(" " in s for s in symbols):
        raise charsmap.UnreadableRules("a user-defined symbol has a space")
    steps: list[Any] = charsmap.normalizers(spec.precompiled_charsmap, symbols)
    if spec.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(r"\A +|(?<= ) +"), ""))
        steps += [normalizers.Prepend(space)] if spec.add_dummy_prefix else []
    elif spec.add_dummy_prefix:  # first, for a text that the rules make empty has it too
        steps.insert(0, normalizers.Prepend(" "))
    if spec.escape_whitespaces:
        steps.append(normalizers.Replace(" ", SPACE))
    if spec.remove_extra_whitespaces:
        steps.append(normalizers.Replace(Regex(quoted(space) + r"+\z"), ""))
    return steps


def _compare(model: Model, tokenizer: Tokenizer, processor: Any) -> None:
    """Raise InputError unless the tokenizer gives SentencePiece's ids on texts made of the model's pieces."""
    chance = random.Random(0)
    tokenizer.encode_special_tokens = True
    every = [piece.replace(SPACE, " ") for piece in model.visible()]
    # the search takes the square of a piece's length, so long ones are few and stand alone
    plain = [piece for piece in every if len(piece) <= LONGEST] or [piece[:LONGEST] for piece in every]
    short = [piece for piece in plain if len(piece) <= 3] or plain
    texts = chance.sample(plain, min(len(plain), 1000)) + [p for p in every if len(p) > LONGEST][:20]
    texts += ["".join(chance.choices(plain, k=8)) for _ in range(300)]
    texts += ["".join(chance.choices(chance.sample(short, min(2, len(short))), k=30)) for _ in range(300)]
    texts += [chance.choice(short) * chance.randrange(2, 30) for _ in range(300)]
    named = model.of_type(UNKNOWN, CONTROL, USER_DEFINED, UNUSED)[:300] + model.of_type(BYTE)[::16]
    texts += [before + name + after for name in named for before, after in _contexts(name, plain, chance)]
    found = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    for text, theirs, ours in zip(texts, processor.encode(texts), found, strict=True):
        if not same_ids(model, theirs, ours.ids):
            raise inexact(model.path, f"it differs on the text {text!r}")
    tokenizer.encode_special_tokens = False


def _contexts(name: str, plain: Sequence[str], chance: random.Random) -> Iterable[tuple[str, str]]:
    yield from (("", ""), (chance.choice(plain), chance.choice(plain)), (name[:1], name[-1:]), (name, name))


def same_ids(model: Model, theirs: Sequence[int], ours: Sequence[int]) -> bool:
    """Whether two segmentations of a text are the same, or in a unigram model score the same in 32 bits."""
    if list(theirs) == list(ours):
        return True
    unknown = [list(ids).count(model.unk_id) for ids in (theirs, ours)]
    if model.proto.trainer_spec.model_type != UNIGRAM or unknown[0] != unknown[1]:
        return False
    values = model.values()
    one, other = (sum(values[i] for i in ids) for ids in (theirs, ours))
    return abs(one - other) <= 4e-6 * max(1.0, abs(one))


def as_text(config: dict[str, Any]) -> dict[str, bool]:
    """What makes special tokens inside a text text, for a configuration with these roles.

    Not for a set with a mask: who asks for a fill writes it in a text, as `specials.Specials.config` says.
    """
    return {} if config.get("mask_token") else {"split_special_tokens": True}


def save(model_path: Path, folder: Path, *, padding_side: str = "left") -> None:
    """Write the Hugging Face folder of a SentencePiece model, with the `.model` beside it as spiece.model.

    `AutoTokenizer` gives SentencePiece's ids and adds none; a model with a mask is asked for them with
    split_special_tokens=True. Special tokens are the model's control pieces.
    """
    model = read(model_path)
    tokenizer_of(model).save(str(folder / "tokenizer.json"))
    trainer, control = model.proto.trainer_spec, model.of_type(CONTROL)
    own = {"pad": trainer.pad_piece, "bos": trainer.bos_piece, "eos": trainer.eos_piece}
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}  # every transformers has it
    for role, spellings in SPELLINGS.items():
        found = [piece for piece in (own.get(role, ""), *spellings) if piece in control]
        config |= {f"{role}_token": found[0]} if found else {}
    config |= {
        "unk_token": model.pieces[model.unk_id],
        "model_input_names": ["input_ids", "attention_mask"],
        **as_text(config),
        "clean_up_tokenization_spaces": False,
        "padding_side": padding_side,
    }
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (folder / "spiece.model").write_bytes(model.content)
    files.sync(folder)
