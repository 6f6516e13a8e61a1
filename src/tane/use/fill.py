"""`tane fill`: what a masked model puts in the place of a mask.

The folder's own tokenizer encodes the text, and the softmax runs over all rows of the model's head: so the
scores are those of transformers' fill-mask pipeline. Never offered are special tokens and the rows of the
head beyond the tokenizer's pieces. A text is read as it was given; only its masks are spelled as the
tokenizer spells them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tane import progress, signals
from tane.errors import InputError
from tane.model.build import find_model, hushed, open_model, positions
from tane.model.folder import check_rows, running
from tane.tokens.tokenizer import load_tokenizer
from tane.training.runtime import choose_device
from tane.types import Result
from tane.use.candidates import Candidates, Pieces
from tane.use.given import require_unicode
from tane.use.masked import require_masked

MASK = r"\[MASK\]|＿+|_{3,}"  # how a person writes a mask, besides the tokenizer's own spelling
MOST_FILLS = 1000
MOST_PIECES = 4  # of a whole word
BEAMS = 10  # beginnings of words of one length that are followed up


class Mask(NamedTuple):
    """Where a mask stands: the number of its text, and the characters [start, end) of it."""

    text: int
    start: int
    end: int


class Question(NamedTuple):
    """An input of the model, [CLS] and [SEP] included, and where the masks stand that are asked about."""

    ids: list[int]
    places: list[int]


class Filler:
    """A masked model that is open, to fill the masks of many texts; its weights are read at the first one.

    Raises InputError for a model that is no masked language model.
    """

    def __init__(self, model: str | os.PathLike[str], device: str = "auto") -> None:
        self.folder = find_model(model)
        require_masked(self.folder)
        self.tokenizer = load_tokenizer(self.folder)
        self.device = device

    @cached_property
    def network(self) -> Any:
        """The model."""
        with hushed(), running(self.folder):
            network = open_model(self.folder, "AutoModelForMaskedLM").to(choose_device(self.device)).eval()
        check_rows(self.folder, network, len(self.tokenizer))
        return network

    @cached_property
    def _pieces(self) -> Pieces:
        return Pieces(self.tokenizer)

    def fill(
        self, texts: Sequence[str], *, top_k: int = 5, whole_word: bool = False,
        left: Callable[[], bool] = lambda: False,
    ) -> Filled:  # fmt: skip
        """What `fill_mask` finds in these texts. Raises InputError for a text without a mask, Interrupted
        where `left` says, when it is asked between two batches, that nobody waits any more."""
        if not 1 <= top_k <= MOST_FILLS:
            raise InputError(f"--top-k: expected 1 to {MOST_FILLS:,}, found {top_k}")
        masks = find_masks(texts, self.tokenizer)
        longest, spare = positions(self.network), MOST_PIECES - 1 if whole_word else 0
        with hushed(), running(self.folder):
            encoded = _encode(texts, masks, self.tokenizer)
            questions = _questions(encoded, self.tokenizer, longest, spare)
            candidates = Candidates(self.network, self.tokenizer, left)
            if whole_word:
                found = _words(questions, self._pieces, candidates, longest, self.tokenizer, top_k)
            else:
                asked = [(question.ids, question.places) for question in questions]
                best = candidates.best(asked, self._pieces.ordinary, top_k)
                found = [[Fill((number,), log) for number, log in row] for row in best]
        fills = [
            [_entry(texts[mask.text], mask, fill, self._pieces) for fill in row]
            for mask, row in zip(masks, found, strict=True)
        ]
        cut = {n: len(ids) for n, ids in enumerate(encoded) if longest and len(ids) + spare > longest}
        return Filled(fills, masks, cut)


class Filled(NamedTuple):
    """For each mask its fills, likeliest first, and where it stands; cut: of each text that is longer than
    the model's positions, by its number, how many tokens it has."""

    fills: list[list[dict[str, Any]]]
    masks: list[Mask]
    cut: dict[int, int]


class Fill(NamedTuple):
    """A candidate: its pieces, and the logarithm of its probability."""

    pieces: tuple[int, ...]
    log: float


def fill_mask(
    model: str | os.PathLike[str],
    texts: str | Sequence[str],
    *,
    top_k: int = 5,
    whole_word: bool = False,
    device: str = "auto",
) -> Result:
    """The likeliest fills of each mask: [MASK], a run of ＿, ___ (three _ or more), or the tokenizer's own.

    `metrics["fills"]`: for each mask, over all texts in order, a list of {token, score, text}: the fill, its
    probability, and the text with it in that place, where the other masks stay as they were written. It is
    shorter than top_k only where the tokenizer has no more. `metrics["masks"]`: for each mask {text, start,
    end}, the number of its text and its characters. The masks of a text are filled independently.

    whole_word: fills that are whole words of one to four pieces. For each of these lengths a beam search puts
    pieces from left to right into as many masks. score is the product of their conditional probabilities, the
    probability of a word given its number of pieces, and fills are ranked by it: beforehand each length is
    as likely as another. What is a word, `candidates.Pieces` tells.

    Of a text longer than the model's positions, only what stands around each mask is read. Raises InputError
    for a text without a mask, and for a model that is no masked language model.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    require_unicode("TEXT", texts)
    with signals.caught():
        filler = Filler(model, device)
        found = filler.fill(texts, top_k=top_k, whole_word=whole_word)
    masks = [mask._asdict() for mask in found.masks]
    return Result(str(filler.folder), {"fills": found.fills, "masks": masks})


def report(result: Result, texts: Sequence[str]) -> str:
    """What `tane fill` prints: for each mask its text, and the fills by rank, with score and text."""
    blocks = []
    masks = result.metrics["masks"]
    for mask, fills in zip(masks, result.metrics["fills"], strict=True):
        several = sum(other["text"] == mask["text"] for other in masks) > 1
        which = f"  (the mask after {mask['start']:,} characters)" if several else ""
        lines = [_one_line(texts[mask["text"]]) + which]
        for rank, fill in enumerate(fills, 1):
            token, text = _one_line(fill["token"]), _one_line(fill["text"])
            lines.append(f"{rank:>4}  {token}  {fill['score']:.3f}  {text}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _one_line(text: str) -> str:
    """A text without what a terminal would not show, or would act upon."""
    return "".join(
        c if c.isprintable() or c == "\u3000" else c.encode("unicode_escape").decode() for c in text
    )


def _entry(text: str, mask: Mask, fill: Fill, pieces: Pieces) -> dict[str, Any]:
    token = pieces.spelled(fill.pieces)
    written = text[: mask.start] + pieces.without_mark(token) + text[mask.end :]
    return {"token": token, "score": math.exp(fill.log), "text": written}


# ------------------------------------------------------------------------------------- from texts to inputs


def mask_pattern(tokenizer: Any) -> re.Pattern[str]:
    """What a mask looks like in a text."""
    return re.compile(f"{re.escape(tokenizer.mask_token)}|{MASK}")


def find_masks(texts: Sequence[str], tokenizer: Any) -> list[Mask]:
    """The masks of all texts in order. Raises InputError where a text has none, or is no text."""
    if tokenizer.mask_token is None or tokenizer.mask_token_id is None:
        raise InputError(f"{tokenizer.name_or_path}: the tokenizer has no mask token")
    if not texts:
        raise InputError("there is no text to fill", "give one with a mask, such as: 秋には[MASK]が落ちる。")
    found: list[Mask] = []
    for number, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"text {number + 1} is no valid Unicode (character {error.start + 1})") from None
        here = [Mask(number, *place.span()) for place in mask_pattern(tokenizer).finditer(text)]
        if not here:
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            raise InputError(f"this text has no mask: {shown!r}", "write the mask as [MASK], ＿ or ___")
        found += here
    return found


def _encode(texts: Sequence[str], masks: Sequence[Mask], tokenizer: Any) -> list[list[int]]:
    """Each text's ids with [CLS] and [SEP], by the folder's own tokenizer, which sees to the masks."""
    pattern = mask_pattern(tokenizer)
    spelled = [pattern.sub(lambda _: tokenizer.mask_token, text) for text in texts]
    encoded: list[list[int]] = tokenizer(spelled, split_special_tokens=False, verbose=False)["input_ids"]
    for number, ids in enumerate(encoded):
        expected = sum(mask.text == number for mask in masks)
        if ids.count(tokenizer.mask_token_id) != expected:
            raise InputError(
                f"text {number + 1} has {expected:,} masks, but the tokenizer of {tokenizer.name_or_path} "
                f"finds {ids.count(tokenizer.mask_token_id):,}",
                "put a space before and after each mask",
            )
    return encoded


def _questions(
    encoded: Sequence[list[int]], tokenizer: Any, longest: int | None, spare: int
) -> list[Question]:
    """One question a text, or where it is too long one a mask; spare: positions that must be left over."""
    head, tail = _ends(tokenizer)
    questions: list[Question] = []
    for number, ids in enumerate(encoded):
        places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
        if longest is None or len(ids) + spare <= longest:
            questions.append(Question(ids, places))
            continue
        progress.say(
            f"warning: text {number + 1} has {len(ids):,} tokens and the model {longest:,} positions: "
            "only what stands around each mask is read"
        )
        room = max(1, longest - spare - len(head) - len(tail))
        body = ids[len(head) : len(ids) - len(tail)]
        for place in places:
            begin = max(0, min(place - len(head) - room // 2, len(body) - room))
            window = [*head, *body[begin : begin + room], *tail]
            questions.append(Question(window, [place - begin]))
    return questions


def _ends(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The ids that the tokenizer puts before and behind a text."""
    mask = tokenizer.mask_token_id
    ids = tokenizer(tokenizer.mask_token, split_special_tokens=False)["input_ids"]
    return ids[: ids.index(mask)], ids[ids.index(mask) + 1 :]


# --------------------------------------------------------------------------------------------- whole words


def _words(
    questions: Sequence[Question],
    pieces: Pieces,
    candidates: Candidates,
    longest: int | None,
    tokenizer: Any,
    top_k: int,
) -> list[list[Fill]]:
    """For each place of the questions in order, the likeliest words."""
    asked = [(question.ids, place) for question in questions for place in question.places]
    found: list[list[Fill]] = [[] for _ in asked]
    best = candidates.best([(ids, [place]) for ids, place in asked], pieces.beginnings, max(top_k, BEAMS))
    for words, row in zip(found, best, strict=True):
        words += [Fill((number,), log) for number, log in row]
    lengths = range(2, MOST_PIECES + 1)
    fits = [longest or len(ids) + MOST_PIECES for ids, _ in asked]
    begun = {
        (number, length): [Fill((), 0.0)]
        for length in lengths
        for number, (ids, _) in enumerate(asked)
        if len(ids) + length - 1 <= fits[number]
    }
    for step in range(MOST_PIECES):
        going = {slot: fills for slot, fills in begun.items() if slot[1] > step}
        rows = []
        for (number, length), fills in going.items():
            ids, place = asked[number]
            for fill in fills:
                masks = [tokenizer.mask_token_id] * (length - step)
                rows.append(([*ids[:place], *fill.pieces, *masks, *ids[place + 1 :]], [place + step]))
        allowed = pieces.continuations if step else pieces.openings
        answers = iter(candidates.best(rows, allowed, BEAMS))
        for slot, fills in going.items():
            longer = [
                Fill((*fill.pieces, piece), fill.log + log) for fill in fills for piece, log in next(answers)
            ]
            begun[slot] = sorted(longer, key=lambda fill: -fill.log)[:BEAMS]
    for (number, _), fills in begun.items():
        found[number] += fills
    return [_distinct(words, pieces)[:top_k] for words in found]


def _distinct(words: list[Fill], pieces: Pieces) -> list[Fill]:
    """Words by rank, each spelling once; what cannot be seen, or is a part of a character, is none."""
    kept: dict[str, Fill] = {}
    for word in sorted(words, key=lambda fill: -fill.log):
        spelled = pieces.spelled(word.pieces)
        if spelled.strip() and spelled.isprintable() and "\ufffd" not in spelled:
            kept.setdefault(spelled, word)
    return list(kept.values())
