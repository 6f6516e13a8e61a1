"""How SentencePiece searches for pieces, said in the models of `tokenizers`: unigram and BPE.

SentencePiece leaves control, byte and unused pieces out of its search. In a tokenizer.json they are ordinary
entries, so a text that spells one is cut inside it, at a place where no other piece could have stood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tane.tokens.charsmap import quoted
from tane.tokens.spm_model import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Model, inexact

NEVER = -1e9  # a score below all sums of scores that a sensible text has
ABSENT = "\U0010fffc"  # a private-use character that no piece holds


def unigram(model: Model) -> tuple[Any, list[Any], dict[str, str]]:
    """The search of a unigram model: the library's model, splits of the text that it needs, and texts to be
    replaced by others before. Raises InputError for what cannot be exact."""
    from tokenizers import models

    lowest = min(s for s, kind in zip(model.scores, model.types, strict=True) if kind == NORMAL)
    # the score of the unknown lies below the lowest of all, so none may be lower
    scores = {piece: max(score, lowest) for piece, score in zip(model.pieces, model.values(), strict=True)}
    cuts, muddled, rest = _hide(model, model.of_type(UNKNOWN, CONTROL, UNUSED, BYTE))
    if rest:  # where every character has a piece, the score of the unknown does not matter
        singles = model.singles()
        if any(c not in singles for piece in (*rest, *model.visible()) for c in piece):
            raise inexact(model.path, f"nothing keeps {rest[0]!r} in a text from becoming that piece")
        scores |= dict.fromkeys(rest, NEVER)
    search = models.Unigram(list(scores.items()), unk_id=model.unk_id, byte_fallback=model.byte_fallback)
    return search, cuts, muddled


def bpe(model: Model) -> tuple[Any, list[Any], dict[str, str]]:
    """The same of a BPE model, whose merges are all pairs of pieces that make a piece, the best first."""
    from tokenizers import Regex, models, pre_tokenizers

    if UNUSED in model.types:
        raise inexact(model.path, "it has pieces that are marked as unused")
    singles = model.singles()
    normal = {p: s for p, s, t in zip(model.pieces, model.scores, model.types, strict=True) if t == NORMAL}
    groups: dict[float, list[tuple[str, str]]] = defaultdict(list)
    for piece, score in normal.items():
        if len(piece) > 1 and any(c not in singles for c in piece):
            raise inexact(model.path, f"a character of its piece {piece!r} is no piece")
        pairs = ((piece[:k], piece[k:]) for k in range(1, len(piece)))
        groups[score] += [(left, right) for left, right in pairs if left in normal and right in normal]
    merges = [
        pair for score in sorted(groups, reverse=True) for pair in _leftmost_first(model, groups[score])
    ]
    options: dict[str, Any] = {
        "vocab": {piece: i for i, piece in enumerate(model.pieces)}, "merges": merges, "fuse_unk": True,
        "unk_token": model.pieces[model.unk_id], "byte_fallback": model.byte_fallback,
    }  # fmt: skip
    hidden = model.of_type(UNKNOWN, CONTROL, BYTE)
    symbols = sorted(model.of_type(USER_DEFINED), key=lambda s: (-len(s), s))
    if not symbols:
        cuts, muddled, rest = _hide(model, [piece for piece in hidden if len(piece) == 1])
    else:  # they stand alone, and what stands alone and is a piece is taken without merges
        cuts, muddled, rest = _hide(model, hidden)
        plain = models.BPE(**options)
        rest += [piece for piece in normal if len(plain.tokenize(piece)) > 1]
        cuts.insert(0, pre_tokenizers.Split(Regex("|".join(map(quoted, symbols))), "isolated"))
    if rest:
        raise inexact(model.path, f"nothing keeps {rest[0]!r} in a text from becoming that piece")
    return models.BPE(**options, ignore_merges=bool(symbols)), cuts, muddled


def _leftmost_first(model: Model, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Order merges of the same score so that of two that overlap in a text the left one comes first.

    SentencePiece takes the leftmost of equal scores; in a tokenizer.json every merge has a rank of its own.
    """
    if len(pairs) < 2:
        return pairs
    by_left: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs:
        by_left[pair[0]].append(pair)
    before = {pair: {after for after in by_left[pair[1]] if after != pair} for pair in pairs}
    waiting = {pair: sum(pair in afters for afters in before.values()) for pair in pairs}
    ordered: list[tuple[str, str]] = []
    while waiting:
        free = [pair for pair, count in waiting.items() if not count]
        if not free:
            if len({left + right for left, right in waiting}) > 1:
                raise inexact(model.path, "several of its pieces have the same score and may overlap")
            free = [min(waiting, key=lambda pair: len(pair[0]))]  # "aa" + "a": never beside "a" + "aa"
        for pair in free:
            del waiting[pair]
            for after in before[pair] & waiting.keys():
                waiting[after] -= 1
        ordered += free
    return ordered


def _hide(model: Model, hidden: Sequence[str]) -> tuple[list[Any], dict[str, str], list[str]]:
    """What keeps hidden pieces out of a text's ids: cuts inside them; texts to be changed in one unknown
    character; and the pieces for which there is neither."""
    from tokenizers import Regex, pre_tokenizers

    singles = model.singles()
    wanted = {piece[k : k + 2] for piece in hidden for k in range(len(piece) - 1)}
    wanted |= {c for piece in hidden for c in piece if c not in singles}
    places: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for piece in model.visible():
        for start in range(len(piece)):
            for end in (start + 1, start + 2):
                if piece[start:end] in wanted and end <= len(piece):
                    places[piece[start:end]].append((piece, start))

    def held(text: str, start: int, end: int) -> bool:
        """Whether a piece may stand over text[start:end], wherever it begins and ends."""
        for piece, at in places[text[start:end]]:
            left, right = min(at, start), min(len(piece) - at, len(text) - start)
            if piece[at - left : at + right] == text[start - left : start + right]:
                return True
        return False

    def free(text: str, k: int) -> bool:
        """Whether a cut before character k parts no piece and no run of unknown characters."""
        return not held(text, k - 1, k + 1) and (
            model.byte_fallback or not singles.isdisjoint(text[k - 1 : k + 1])
        )

    cuts: dict[str, list[str]] = defaultdict(list)
    muddled, rest = {}, []
    for piece in hidden:
        cut = next((k for k in range(1, len(piece)) if free(piece, k)), None)
        unknown = (k for k, c in enumerate(piece) if c not in singles and not held(piece, k, k + 1))
        place = None if model.byte_fallback else next(unknown, None)
        if cut is not None:
            cuts[piece[:cut]].append(piece[cut:])
        elif place is not None:
            muddled[piece] = piece[:place] + ABSENT + piece[place + 1 :]
        else:
            rest.append(piece)
    patterns = []
    for left, rights in sorted(cuts.items()):
        behind = f"(?<={quoted(left[:-1])})" if left[:-1] else ""
        patterns.append(f"{behind}{quoted(left[-1])}(?={_any_of(rights)})")
    splits = [pre_tokenizers.Split(Regex("|".join(patterns)), "merged_with_previous")] if patterns else []
    return splits, muddled, rest


def _any_of(texts: Sequence[str]) -> str:
    bytes_ = {f"0x{b:02X}>" for b in range(256)}
    if bytes_ <= set(texts):
        return "|".join(["0x[0-9A-F]{2}>", *(quoted(t) for t in texts if t not in bytes_)])
    return "|".join(map(quoted, texts))
