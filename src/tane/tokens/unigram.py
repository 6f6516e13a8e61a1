"""Train a unigram tokenizer with SentencePiece and turn it into a `tokenizer.json` that gives the same ids.

Unigram language model with byte fallback (Kudo, "Subword Regularization", 2018): every character can be
written, so nothing is ever unknown. Text is taken as it is (the corpus has normalised it), white space and
newlines included, so decoding gives the text back. Training runs in a child process: its memory goes with it,
and Ctrl-C works.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane import files, signals
from tane.errors import InputError, Interrupted, ResourceError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"  # ids 0, 1, 2
BYTES_PER_CHAR = (
    60  # memory that SentencePiece's trainer takes a character of text (46 measured; see docs/LOG.md)
)
LONGEST = 2000  # characters a sentence handed to the trainer; longer ones are cut, never skipped
THREADS = 4  # fixed, since the sums of the EM steps depend on it, and with them the pieces
_SENTENCE = re.compile(r"[^。！？\n]*(?:[。！？]+[」』）)]*|\n|$)")


def sentences(text: str) -> Iterator[str]:
    """Cut a document at sentence ends for the trainer."""
    for found in _SENTENCE.finditer(text):
        sentence = found.group().strip("\n")
        for start in range(0, len(sentence), LONGEST):
            yield sentence[start : start + LONGEST]


def train(corpus_folder: Path, model_path: Path, *, vocab_size: int, coverage: float, ram: int) -> None:
    """Write a SentencePiece model trained on a corpus, using at most about `ram` bytes."""
    job = {"corpus": str(corpus_folder), "model": str(model_path), "vocab_size": vocab_size}
    job |= {"coverage": coverage, "max_chars": max(100_000, ram // BYTES_PER_CHAR)}
    code = "from tane.tokens.unigram import _child; _child()"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "OMP_NUM_THREADS": "1",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(job)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    try:
        while child.poll() is None:
            if signals.requested():
                raise Interrupted(f"stopped by {signals.requested()} while training the tokenizer")
            time.sleep(0.05)
    finally:
        if child.poll() is None:
            child.kill()
        _, errors = child.communicate()
    if child.returncode:
        last = errors.strip().splitlines()[-1] if errors.strip() else f"exit status {child.returncode}"
        if child.returncode < 0:
            raise ResourceError(
                f"the tokenizer's trainer was killed by signal {-child.returncode}", "lower tokenizer.ram"
            )
        needed = re.search(r"required_chars\. (\d+) vs (\d+)", last)
        if needed:
            raise InputError(
                f"tokenizer.vocab_size is {needed[1]}, but the characters of the text and the 256 "
                "bytes alone need "
                f"{needed[2]}",
                f"--tokenizer.vocab_size {2 * int(needed[2])}, or fewer characters: "
                "--tokenizer.coverage 0.99",
            )
        raise InputError(
            f"the tokenizer could not be trained: {last}", "give more text or a smaller tokenizer.vocab_size"
        )


def _child() -> None:
    signals.die_with_parent()
    import sentencepiece

    from tane.text.corpus import Corpus
    from tane.tokens.order import key

    job = json.loads(sys.argv[1])
    corpus = Corpus.open(Path(job["corpus"]))
    total = corpus.manifest.meta["characters"]["train"]
    share = min(1.0, job["max_chars"] / max(1, total))

    def stream() -> Iterator[str]:
        for number, text in enumerate(corpus.texts("train")):
            if share == 1.0 or key("tokenizer", number) / 2**63 < share:
                yield from sentences(text)

    with open(job["model"], "wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=stream(), model_writer=out, model_type="unigram", vocab_size=job["vocab_size"],
            character_coverage=job["coverage"], byte_fallback=True, hard_vocab_limit=False,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece=PAD, eos_piece=EOS, unk_piece=UNK,
            max_sentence_length=LONGEST * 4 + 16, num_threads=THREADS, minloglevel=2,
        )  # fmt: skip


def convert(model_path: Path) -> Tokenizer:
    """A `tokenizers.Tokenizer` with the ids of a SentencePiece unigram model made by `train`.

    SentencePiece keeps control and byte pieces out of its search; here they are ordinary entries of the
    vocabulary. So text that spells one out, such as "</s>" or "<0x0A>", is split behind its "<" and stays
    text.
    """
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    proto: Any = getattr(sentencepiece_model_pb2, "ModelProto")()  # noqa: B009 - a name made at run time
    proto.ParseFromString(model_path.read_bytes())
    pieces = [(p.piece, p.score) for p in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id, byte_fallback=True))
    spelled = pre_tokenizers.Split(Regex(r"<(?=0x[0-9A-F]{2}>|/s>|pad>|unk>)"), "isolated")
    spaces = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spelled, spaces])
    # "▁" last: a text without spaces gives it no piece, and it comes as bytes
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace("▁", " ")]
    )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in (PAD, EOS, UNK)])
    return tokenizer


def save(model_path: Path, folder: Path) -> None:
    """Write the Hugging Face folder of a trained model: what `AutoTokenizer` needs, and the `.model` beside
    it."""
    convert(model_path).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": EOS,
        "unk_token": UNK,
        "split_special_tokens": True,  # "</s>" inside a text is text
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / "spiece.model").write_bytes(model_path.read_bytes())
    files.sync(folder)
