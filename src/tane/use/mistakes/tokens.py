"""Mistakes where tokenizer, text and model meet."""

from __future__ import annotations

from collections.abc import Iterator

from tane.training.finetuning import UNKNOWN_SHARE
from tane.use.mistakes.facts import Facts, Mistake

# Embeddings are padded up to multiples of 512 at most (Shoeybi et al., "Megatron-LM", 2019, pad to 128 times
# the number of parts); more rows, and a tenth of all, belong to another tokenizer.
UNUSED_ROWS, UNUSED_SHARE = 512, 0.1


def pad_is_eos(facts: Facts) -> Iterator[Mistake]:
    """A tokenizer that pads with the token that ends a text.

    Training here goes by lengths and is right all the same; the collators of transformers take every padding
    token out of the labels, and with it the end of each text.
    """
    one = facts.pieces
    if one is not None and one.pad == one.eos:
        yield Mistake(
            "pad-is-eos",
            f"the tokenizer {one.name} pads with {one.eos_token}, which also ends a text. Here that does no "
            "harm, but trained on elsewhere, where padding is no target, the model forgets how to end",
            "give it a padding token of its own (pad_token in tokenizer_config.json), or let tane train a "
            f"tokenizer: {_trained(facts)}",
        )


def _trained(facts: Facts) -> str:
    """What to type so that a tokenizer is trained that writes every character."""
    model, taken = facts.recipe.model, facts.recipe.tokenizer
    flags = ["--model.keep_tokenizer false"] if model.pretrained and model.keep_tokenizer else []
    flags += ["--tokenizer.path none"] if taken.path is not None else []
    return " ".join([*flags, "--tokenizer.kind unigram"])


def other_vocabulary(facts: Facts) -> Iterator[Mistake]:
    """An embedding with fewer rows than the tokenizer has pieces, or far more."""
    one, rows = facts.pieces, facts.rows
    if one is None:
        return
    unused = rows - one.size
    if unused < 0:
        yield Mistake(
            "vocabulary-and-embedding",
            f"the tokenizer has {one.size:,} pieces, but the model {rows:,} embedding rows: pieces from "
            f"{rows:,} on have none",
            "give a model folder whose tokenizer and weights belong together",
            stops=True,
        )
    elif unused >= UNUSED_ROWS and unused > UNUSED_SHARE * rows:
        lost = unused * facts.width
        own = facts.recipe.model.pretrained is None
        yield Mistake(
            "vocabulary-and-embedding",
            f"the model has {rows:,} embedding rows, but the tokenizer {one.size:,} pieces: {unused:,} rows "
            f"({lost:,} parameters) never stand for anything",
            "leave model.config.vocab_size out: it follows the tokenizer" if own
            else "give a model folder whose tokenizer and weights belong together",
        )  # fmt: skip


def unknown_tokens(facts: Facts) -> Iterator[Mistake]:
    """More than one token in a hundred is unknown: each is a character, or a whole word, that is lost."""
    one = facts.pieces
    if one is not None and one.unknown is not None and one.unknown > UNKNOWN_SHARE:
        yield Mistake(
            "unknown-tokens",
            f"{one.unknown:.1%} of the tokens are unknown to the tokenizer {one.name}: the model never sees "
            "what stands there",
            "take a model that was made for such text: --model.pretrained NAME"
            if facts.recipe.task is not None
            else f"take a kind that writes every character, such as {_trained(facts)}, or normalise "
            "first: --corpus.normalize nfkc",
        )
