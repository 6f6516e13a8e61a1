"""Whether a tokenizer wants Japanese words with spaces between them, as those trained on parted text do.

Some checkpoints for Japanese were trained on text that a morphological analyser had parted into words; their
tokenizers do not part it themselves, and give rare pieces for running text. It shows in the vocabulary: where
words stood apart, most pieces of several characters begin a word (▁東京), else next to none do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SHARE = 0.25  # of the Japanese pieces; 0.61 where the text was parted, 0.01 to 0.02 where it was not
LEAST = 200  # Japanese pieces without which nothing is said
BEGIN = "▁"
JAPANESE = re.compile("[\u3041-\u30ff\u4e00-\u9fff]")


def wants_spaces(pieces: Iterable[str]) -> bool:
    """Whether a SentencePiece vocabulary is one of words that spaces parted."""
    begin = inside = 0
    for piece in pieces:
        if JAPANESE.search(piece):
            if piece.startswith(BEGIN):
                begin += len(piece) > 2
            else:
                inside += len(piece) > 1
    return begin + inside >= LEAST and begin > SHARE * (begin + inside)
