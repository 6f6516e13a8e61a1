"""Spans of tag sequences: what entities a line of B-, I- and O labels names.

The rules are those of the CoNLL-2000 and 2003 evaluation, which reads any sequence, well formed or not:
a span of a type goes on as long as an I- of the same type follows; B- always opens a new one, and so does
an I- that has nothing to go on from. E- (the last of a span) and S- (a span of one) are read as well.
"""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"
OPENS, CLOSES = "BS", "ES"
PREFIXES = {"B", "I", "E", "S"}

Span = tuple[str, int, int]


def spans(labels: Sequence[str]) -> set[Span]:
    """The spans of one sequence as (type, start, end): positions start..end-1 bear the type.

    B- or S- opens a span, and so does I- or E- after O, after another type or after a closed span. A label
    with no such prefix, as `PER` or `名詞-一般`, is a type by itself and is read like I-; a bare `B` or `I`
    has the type "".
    """
    found: set[Span] = set()
    kind: str | None = None  # type of the span that is open
    start = 0
    for at, label in enumerate(labels):
        prefix, name = _parts(label)
        if kind is not None and (prefix in OPENS or name != kind):
            found.add((kind, start, at))
            kind = None
        if name is not None and kind is None:
            kind, start = name, at
        if kind is not None and prefix in CLOSES:
            found.add((kind, start, at + 1))
            kind = None
    if kind is not None:
        found.add((kind, start, len(labels)))
    return found


def _parts(label: str) -> tuple[str, str | None]:
    """Prefix and type of a label; no type for O."""
    if label == OUTSIDE:
        return OUTSIDE, None
    prefix, _, name = label.partition("-")
    return (prefix, name) if prefix in PREFIXES else ("I", label)
