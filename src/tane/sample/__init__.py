"""A sample corpus of easy Japanese, of our own writing (CC0), to train and try small models on.

    stories(seed, count)      short stories, made by a generator from our own sentences
    write_corpus(path)        the same as a text file
    CLOZE                     held-out sentences with a blank, for facts that the corpus states
    write_pairs(folder)       labelled pairs of sentences that say the same, or do not, as csv files
    check_stories(texts, c)   how much of generated text is copied, and how much is not of the corpus

The names are loaded when they are first used: importing the package does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tane.sample.check import StoryCheck, check_stories
    from tane.sample.cloze import CLOZE
    from tane.sample.generate import DEFAULT, stories, write_corpus
    from tane.sample.pairs import write_pairs

__all__ = ["CLOZE", "DEFAULT", "StoryCheck", "check_stories", "stories", "write_corpus", "write_pairs"]

_HOME = {
    "CLOZE": "cloze",
    "DEFAULT": "generate",
    "StoryCheck": "check",
    "check_stories": "check",
    "stories": "generate",
    "write_corpus": "generate",
    "write_pairs": "pairs",
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its module."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
