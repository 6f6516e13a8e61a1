"""Which of several tokenizers to take: what counting on a text can tell, with the reason; and where it
cannot, how small models settle it.

The rules, in their order:

1. A tokenizer that leaves more than one token in a hundred unknown is out: what it loses, no model finds.
2. One whose vocabulary is larger than the text bears is out: of its pieces fewer than half occur, or each
   comes fewer than EACH times on average. Frequencies fall with the rank (Zipf): at 50 on average the rarest
   of 8,000 pieces comes about five times; Gowda and May ("Finding the Optimal Vocabulary Size for Neural
   Machine Translation", 2020) ask for a hundred of almost all. Where the text bears none of them, it is too
   short to say so of any: it may be a sample.
3. Of the others the one that writes the fewest tokens a character is taken: a block holds more text, and a
   step reads more. It must be TIE below the next: fewer tokens alone make no better model. And
   where the text is too short for rule 2, it must not be the one with the larger vocabulary, which always
   writes fewer tokens.

Else nothing is recommended. Bits per character compare models of different tokenizers, tokens do not.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from tane.tokens.encoder import Encoder
from tane.training.finetuning import UNKNOWN_SHARE

EACH, USED = 50, 0.5
TIE = 0.05
WIDTH = 256  # of the models of the recipes, by which rows become parameters
TRIED = 3  # tokenizers with which small models are trained, those of the fewest tokens
WORST, LEAST, LONGEST = 3, 10, 80  # documents that are shown; characters of one, at least; of its excerpt

Found = dict[str, Any]  # what `tokenizers.compare_tokenizers` finds of one tokenizer


def worst(encoder: Encoder, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The documents for which a tokenizer takes the most tokens a character: [{text, characters, tokens}],
    the text cut. Of texts under LEAST characters only where there are no longer ones."""
    long = [text for text in texts if len(text) >= LEAST] or list(texts)
    counts = [len(ids) for ids in encoder.encode_batch(long)]
    ranked = sorted(range(len(long)), key=lambda i: -counts[i] / max(1, len(long[i])))
    return [
        {"text": long[i].strip()[:LONGEST], "characters": len(long[i]), "tokens": counts[i]}
        for i in ranked[:WORST]
    ]


def recommend(found: Sequence[Found], share: float = 1.0) -> dict[str, Any]:
    """{choice: a name or None, reason, out: [{name, reason}], settle: lines to type}.

    found: of each tokenizer; share: of the text that was looked at.
    """
    out = [{"name": one["name"], "reason": why} for one in found if (why := _unknown(one))]
    left = [one for one in found if not _unknown(one)]
    if not left:
        reason = f"each leaves over {UNKNOWN_SHARE:.0%} of its tokens unknown: take none of them"
        return {"choice": None, "reason": reason, "out": out, "settle": []}
    bearing = [one for one in left if not _too_large(one, share)]
    short = not bearing
    if bearing:
        out += [{"name": one["name"], "reason": _too_large(one, share)} for one in left if one not in bearing]
        left = bearing
    first, *others = sorted(left, key=_tokens)
    settle = _settle([first, *others][:TRIED]) if others else []
    told = f"{first['name']} writes {_tokens(first):.3f} tokens a character"
    if not others:
        reason = f"{told}, and is the only one that fits"
        return {"choice": first["name"], "reason": reason, "out": out, "settle": settle}
    fewer = 1 - _tokens(first) / max(1e-9, _tokens(others[0]))
    if fewer < TIE:
        more = fewer / (1 - fewer)
        reason = (
            f"counting cannot tell: {others[0]['name']} needs only {more:.1%} more than {first['name']}"
            if fewer
            else f"counting cannot tell: {first['name']} and {others[0]['name']} write equally few tokens"
        )
        return {"choice": None, "reason": reason, "out": out, "settle": settle}
    if short and any(one["vocabulary"] < first["vocabulary"] for one in others):
        characters = round(first["text"]["characters"] / share)
        reason = (
            f"counting cannot tell: {told}, {fewer:.1%} fewer than the next, but has the larger vocabulary, "
            f"and {characters:,} characters are too few to say whether the text bears it; compare on the "
            "whole training text"
        )
        return {"choice": None, "reason": reason, "out": out, "settle": settle}
    reason = f"{told}, {fewer:.1%} fewer than the next, {others[0]['name']}"
    if not short:
        reason += f"; {first['text']['used_share']:.0%} of its pieces are used"
    return {"choice": first["name"], "reason": reason, "out": out, "settle": settle}


def _tokens(one: Found) -> float:
    """Tokens a character."""
    share: float = one["text"]["tokens"] / max(1, one["text"]["characters"])
    return share


def _unknown(one: Found) -> str:
    share = one["text"]["unknown_share"]
    return f"{share:.1%} of its tokens are unknown" if share > UNKNOWN_SHARE else ""


def _too_large(one: Found, share: float) -> str:
    """Why the text does not bear the vocabulary, "" where it does."""
    each, used = one["text"]["tokens"] / share / max(1, one["vocabulary"]), one["text"]["used_share"]
    if each < EACH:
        return f"its {one['vocabulary']:,} pieces come {each:,.0f} times each on average, under {EACH}"
    return f"only {used:.0%} of its {one['vocabulary']:,} pieces are used" if used < USED else ""


def _settle(found: Sequence[Found]) -> list[str]:
    """What to type to compare small models: each reads the same text once, in a data folder of its own, and
    is scored on the text that all held out."""
    runs = [f"runs/try-{number}" for number in range(1, len(found) + 1)]
    lines = [
        f"tane train RECIPE --tokenizer.path {shlex.quote(one['name'])} --run-dir {run} "
        f'--data-dir {run}/data --train.duration "1 epochs"'
        for one, run in zip(found, runs, strict=True)
    ]
    return [*lines, f"tane report {' '.join(runs)} --out tokenizers.html"]
