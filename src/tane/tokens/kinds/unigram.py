"""A unigram tokenizer by SentencePiece, with byte fallback, so that nothing is ever unknown.

Unigram language model (Kudo, "Subword Regularization", 2018). The training itself also serves `bpe`, whose
trainer is SentencePiece's too. Text is taken as it is (the corpus has normalised it), with its white space
and newlines, so decoding gives every text back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from tane.errors import InputError
from tane.tokens import spm, spm_model
from tane.tokens.kinds import Job, write_config

LONGEST = 2000  # characters a sentence handed to the trainer; longer ones are cut, never skipped
STEP = 2.0**-8  # scores are multiples of it, so that sums of them are exact also in 32 bits: see by_lines.py
THREADS = 4  # fixed, since the sums of the EM steps depend on it, and with them the pieces
_SENTENCE = re.compile(r"[^。！？\n]*(?:[。！？]+[」』）)]*|\n|$)")


class Unigram:
    """Trains by expectation maximisation over substrings that occur often."""

    bytes_per_char = 70.0  # 0.1 to 3.7 million characters took 16 MB and 45 for each

    def needs(self, job: Job) -> int:
        """What the trainer's threads and vocabulary take."""
        return 20_000_000 + 1000 * job.vocab_size

    def train(self, texts: Iterable[str], job: Job) -> None:
        """Train and write the model and its `tokenizer.json`."""
        train_sentencepiece("unigram", texts, job)


def sentences(text: str) -> Iterator[str]:
    """Cut a document at sentence ends for the trainer."""
    for found in _SENTENCE.finditer(text):
        sentence = found.group().strip("\n")
        for start in range(0, len(sentence), LONGEST):
            yield sentence[start : start + LONGEST]


def train_sentencepiece(kind: Literal["unigram", "bpe"], texts: Iterable[str], job: Job) -> None:
    """Train a SentencePiece model and write it with its `tokenizer.json` into the job's folder.

    Raises InputError where the text does not bear a tokenizer of this size.
    """
    import sentencepiece

    model = job.folder / "spiece.model"
    stream = (sentence for text in texts for sentence in sentences(text))
    try:
        with open(model, "wb") as out:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=stream, model_writer=out, model_type=kind, vocab_size=job.vocab_size,
                character_coverage=job.coverage, byte_fallback=True, hard_vocab_limit=False,
                normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
                required_chars="▁",  # a space is one piece, also where the text has few or none
                max_sentence_length=LONGEST * 4 + 16, num_threads=THREADS, minloglevel=2, **_special(job),
            )  # fmt: skip
    except RuntimeError as error:
        raise _explained(str(error), job) from None
    if kind == "unigram":
        _round_scores(model)
    save(job)


def _round_scores(path: Path) -> None:
    """Round the scores of a unigram model to multiples of STEP.

    A probability changes by 0.2% at most. The libraries that read the model then all choose the same pieces:
    they add up the same numbers, whether in 32 bits or in 64.
    """
    proto = spm_model.read(path).proto
    for piece in proto.pieces:
        piece.score = round(piece.score / STEP) * STEP
    path.write_bytes(proto.SerializeToString())


def _special(job: Job) -> dict[str, Any]:
    """SentencePiece's names and ids of the special tokens: bos and eos stand for [CLS] and [SEP]."""
    specials = job.specials
    first, last = (specials.cls, specials.sep) if specials.cls else (None, specials.eos)
    named = {"pad": specials.pad, "unk": specials.unk, "bos": first, "eos": last}
    found: dict[str, Any] = {}
    for role, token in named.items():
        found[f"{role}_id"] = -1 if token is None else specials.id(token)
        if token is not None:
            found[f"{role}_piece"] = token
    if specials.mask:  # gets the first id that is free
        found["control_symbols"] = [specials.mask]
    return found


def _explained(message: str, job: Job) -> InputError:
    needed = re.search(r"required_chars\. \d+ vs (\d+)", message)
    if needed:
        return InputError(
            f"tokenizer.vocab_size is {job.vocab_size}, but the characters of the text and the 256 bytes "
            f"alone need {needed[1]}",
            f"--tokenizer.vocab_size {2 * int(needed[1])}, or fewer characters: --tokenizer.coverage 0.99",
        )
    last = message.strip().splitlines()[-1] if message.strip() else "SentencePiece does not say why"
    return InputError(
        f"the tokenizer could not be trained: {last}", "give more text or a smaller tokenizer.vocab_size"
    )


def save(job: Job) -> None:
    """Write `tokenizer.json` and the configuration for the job's `spiece.model`.

    The ids are SentencePiece's but for one thing: in a text, its sign for a space, U+2581, is the same to it
    as a space. Here pieces hold spaces as they are, so that the sign comes as its bytes, and back.
    """
    tokenizer = spm.convert(job.folder / "spiece.model")
    template = job.specials.template()
    if template is not None:
        tokenizer.post_processor = template
    content = with_plain_spaces(json.loads(tokenizer.to_str()))
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"  # not through `tokenizers`: it rounds
    (job.folder / "tokenizer.json").write_text(text, encoding="utf-8")
    write_config(job.folder, job.specials)


def with_plain_spaces(content: dict[str, Any]) -> dict[str, Any]:
    """A converted tokenizer without SentencePiece's sign for a space."""
    to_sign = {"type": "Replace", "pattern": {"String": " "}, "content": spm.SPACE}
    to_space = {"type": "Replace", "pattern": {"String": spm.SPACE}, "content": " "}
    content["normalizer"]["normalizers"].remove(to_sign)
    content["decoder"]["decoders"].remove(to_space)
    if not content["normalizer"]["normalizers"]:
        content["normalizer"] = None
    model = content["model"]
    if model["type"] == "BPE":
        model["vocab"] = {_spaced(piece): number for piece, number in model["vocab"].items()}
        model["merges"] = [[_spaced(left), _spaced(right)] for left, right in model["merges"]]
    else:
        model["vocab"] = [[_spaced(piece), score] for piece, score in model["vocab"]]
    return content


def _spaced(piece: str) -> str:
    return piece.replace(spm.SPACE, " ")
