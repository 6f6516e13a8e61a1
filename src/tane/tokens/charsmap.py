"""SentencePiece's normalisation rules ("precompiled charsmap"), done exactly by a tokenizer.json.

SentencePiece replaces, from left to right, the longest source that it finds at a place by its target. The
normalizer of the `tokenizers` library that reads the same rules looks at grapheme clusters instead, and so it
leaves half-width "ﾊ" + "ﾞ" or "か" + U+3099 apart, and drops the accent of "Ａ" + U+0301. Here it is made to
see one character at a time. Most sources of more than one character have as target the Unicode composition
(NFC) of what their characters become, so NFC does them; the others get a code of their own. Marks that stand
for nothing, written into the text first and taken out at the end, keep apart what is not to be joined.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer

ESCAPE = "\U0010fffd"  # a private-use character that begins every mark; in a text KEPT is put behind it
KEPT, APART, END = "0", "1", "2"  # the character itself; a border inside a source; the end of a source
FIRST_CODE = 0x100000  # private-use characters that stand behind ESCAPE for a protected text
PROTECTED = 256  # texts that get such a code, at most
DAMAGED = "its normalisation rules are damaged"
LONGEST_SOURCE, MOST_SOURCES = 128, 2_000_000  # bytes of a source; sources
# Characters that may join the one before them, by composing or in a grapheme cluster: marks, formats, vowels
# and finals of Hangul, what later Unicode versions may add, skin tones, and letters with such a nature.
_JOINING = (
    r"\p{M}\p{Cf}\p{Cn}\x{1160}-\x{11FF}\x{D7B0}-\x{D7FF}\x{0E33}\x{0EB3}\x{FF9E}\x{FF9F}"
    r"\x{1F3FB}-\x{1F3FF}\x{16D63}\x{16D67}-\x{16D6A}"
)


class UnreadableRules(ValueError):
    """The rules are damaged, or of a kind that cannot be done exactly. Its text says which."""


def check(blob: bytes) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Units and offsets, int64 (n,), of a precompiled charsmap's double-array trie (Darts), and its targets.

    Raises UnreadableRules where a search in the trie could leave it, or a target is no text.
    """
    size = int.from_bytes(blob[:4], "little")
    if size < 1024 or size % 1024 or 4 + size >= len(blob):
        raise UnreadableRules(DAMAGED)
    units = np.frombuffer(blob, dtype="<u4", count=size // 4, offset=4).astype(np.int64)
    offsets = np.arange(len(units)) ^ ((units >> 10) << ((units & 0x200) >> 6))
    nodes = units < 0x80000000  # the others are values: places of targets
    if not nodes[0] or (offsets[nodes] | 255).max() >= len(units):
        raise UnreadableRules(DAMAGED)
    targets = blob[4 + size :]
    places = units[offsets[nodes & (units >> 8 & 1 > 0)]] & 0x7FFFFFFF
    ends = np.flatnonzero(np.frombuffer(targets, dtype=np.uint8) == 0)
    if not len(ends) or not np.isin(places, np.append(ends[:-1] + 1, 0)).all():
        raise UnreadableRules(DAMAGED)
    try:
        targets.decode()
    except UnicodeDecodeError:
        raise UnreadableRules("its normalisation rules are not UTF-8") from None
    return units, offsets, targets


def read_rules(blob: bytes) -> dict[str, str]:
    """Source to target of a precompiled charsmap. Raises UnreadableRules for a damaged one."""
    if not blob:
        return {}
    units, offsets, targets = check(blob)
    children: dict[int, list[tuple[bytes, int]]] = defaultdict(list)  # by the offset of their parent
    for child in np.flatnonzero((units < 0x80000000) & (units & 0xFF > 0)).tolist():
        label = int(units[child]) & 0xFF
        children[child ^ label].append((bytes([label]), child))
    ends, offset_of, values = (units >> 8 & 1).tolist(), offsets.tolist(), (units & 0x7FFFFFFF).tolist()
    rules: dict[bytes, str] = {}
    level = [(b"", 0)]
    for _ in range(LONGEST_SOURCE):
        following = []
        for key, node in level:
            if ends[node]:
                place = values[offset_of[node]]
                rules[key] = targets[place : targets.index(b"\0", place)].decode()
            following += [(key + label, child) for label, child in children.get(offset_of[node], ())]
        if not following or len(following) > MOST_SOURCES:  # damage may make endlessly many
            break
        level = following
    if following or not rules or b"" in rules:
        raise UnreadableRules(DAMAGED)
    try:
        return {source.decode(): target for source, target in rules.items()}
    except UnicodeDecodeError:
        raise UnreadableRules("its normalisation rules are not UTF-8") from None


def normalizers(blob: bytes, symbols: Sequence[str]) -> list[Normalizer]:
    """Normalizers that together do what SentencePiece does with these rules and user-defined `symbols`.

    Symbols are left as they stand. Raises UnreadableRules for rules that cannot be done exactly.
    """
    from tokenizers import Regex
    from tokenizers import normalizers as library

    rules = read_rules(blob)
    if not rules:
        return []
    ordered = sorted(symbols, key=lambda s: (-len(s), s))  # the longest first
    singles = {source: target for source, target in rules.items() if len(source) == 1}
    multiple = {source: target for source, target in rules.items() if len(source) > 1}
    few = len(multiple) + len(symbols) <= PROTECTED
    kept = [] if few else _kept(multiple, singles)
    alone = multiple.keys() if few else multiple.keys() - _composing(multiple, singles, kept)
    longest = max(map(len, rules))
    protected = {s: s for s in ordered if normalise(s, rules, longest) != s}
    protected |= {s: multiple[s] for s in sorted(alone - protected.keys())}
    codes = {s: ESCAPE + chr(FIRST_CODE + i) for i, s in enumerate([*protected, *kept])}
    _check(rules, singles, protected, composing=len(multiple) > len(alone))
    joining = _joining([*multiple, *protected], singles)
    end = quoted(ESCAPE + END)

    steps: list[Any] = [library.Replace(ESCAPE, ESCAPE + KEPT)]
    if ordered and multiple:  # what follows a symbol does not compose with it
        steps.append(library.Replace(Regex(rf"(?>{'|'.join(map(quoted, ordered))})\K"), ESCAPE + END))
    if multiple or protected:
        start = rf"(?:\G(?=[{joining}])|(?=[^{joining}][{joining}]))"
        taken = [*(quoted(s) for s in ordered if s in protected), *_sources(multiple), "(?m:.)"]
        segment = "(?>" + "|".join(taken) + ")"
        steps.append(library.Replace(Regex(rf"{start}{segment}(?=[{joining}])\K"), ESCAPE + END))
    for source in protected:
        begun = rf"(?:(?=[^{joining}])|\A|(?<={end}))"
        steps.append(library.Replace(Regex(f"{begun}{quoted(source)}(?![{joining}])"), codes[source]))
    for mark in kept:
        steps.append(library.Replace(Regex(rf"(?!\A)(?<!{end}){quoted(mark)}"), codes[mark]))
    removed = [source for source, target in singles.items() if not target]
    if removed:
        steps.append(library.Replace(Regex(char_class(removed)), ESCAPE + END))
    # never before the first character: the library's alignments do not bear an insertion there
    steps.append(library.Replace(Regex(rf"(?!\A)(?=[{joining}])|(?<=\r)(?=\n)"), ESCAPE + APART))
    steps += [library.Precompiled(blob), library.Replace(ESCAPE + APART, "")]
    steps += [library.Replace(codes[mark], mark) for mark in kept]
    steps += [library.NFC()] if len(multiple) > len(alone) else []
    steps.append(library.Replace(ESCAPE + END, ""))
    steps += [library.Replace(codes[source], target) for source, target in protected.items()]
    return [*steps, library.Replace(ESCAPE + KEPT, ESCAPE)]


def normalise(text: str, rules: dict[str, str], longest: int) -> str:
    """What the rules, of at most `longest` characters, make of a text."""
    found, place = [], 0
    while place < len(text):
        lengths = range(min(longest, len(text) - place), 0, -1)
        length = next((n for n in lengths if text[place : place + n] in rules), 0)
        found.append(rules[text[place : place + length]] if length else text[place])
        place += length or 1
    return "".join(found)


def _composing(multiple: dict[str, str], singles: dict[str, str], kept: Iterable[str]) -> set[str]:
    """The sources whose target is the composition of what their characters become, `kept` ones left alone."""
    from tokenizers import normalizers as library

    mapped = {c: t for c, t in singles.items() if c not in set(kept)}
    parts = ["".join(mapped.get(c, c) for c in source) for source in multiple]
    composed = library.NFC().normalize_str(ESCAPE.join(parts)).split(ESCAPE)
    return {s for (s, target), found in zip(multiple.items(), composed, strict=True) if found == target}


def _kept(multiple: dict[str, str], singles: dict[str, str]) -> list[str]:
    """Characters that, inside a source, must compose as they are, such as U+0345 where case is folded."""
    composing = _composing(multiple, singles, [])
    tails = {c for source in multiple.keys() - composing for c in source[1:] if c in singles}
    found = []
    for mark in sorted(tails):
        having = {source: target for source, target in multiple.items() if mark in source[1:]}
        better = _composing(having, singles, [mark])
        if better >= having.keys() & composing and len(better) > len(having.keys() & composing):
            found.append(mark)
    return found


def _check(
    rules: dict[str, str], singles: dict[str, str], protected: dict[str, str], *, composing: bool
) -> None:
    """Raise UnreadableRules where the passes of `normalizers` would differ from SentencePiece's one pass."""
    from tokenizers import normalizers as library

    if any(c in source for source in rules for c in (ESCAPE, KEPT, APART, END)):
        raise UnreadableRules("its normalisation rules replace digits or private-use characters")
    if any("  " in target for target in rules.values()):
        raise UnreadableRules("its normalisation rules write several spaces")
    if len(protected) > PROTECTED:
        raise UnreadableRules(f"it has {len(protected):,} normalisation rules or symbols of its own")
    if composing:
        characters = [chr(c) for c in range(0x30000) if not 0xD800 <= c < 0xE000]  # none composes behind that
        after = ESCAPE.join(singles.get(c, c) for c in characters)
        if library.NFC().normalize_str(after) != after:
            raise UnreadableRules("its normalisation rules leave or write decomposed characters")


def _joining(sources: Sequence[str], singles: dict[str, str]) -> str:
    """The class of `_JOINING`, with the sources whose target begins so and all that continues a source."""
    own = {c for source in sources for c in source[1:]}
    for source, target in singles.items():
        if target and (unicodedata.category(target[0])[0] in "MC" or "\u1160" <= target[0] <= "\u11ff"):
            own.add(source)
    listed = [c for c in own if unicodedata.category(c)[0] != "M"]
    return _JOINING + char_class(listed)[1:-1] if listed else _JOINING


def _sources(multiple: Iterable[str]) -> list[str]:
    """Patterns of which one takes the longest source at a place: first characters with the same
    continuations stand together."""
    continuations: dict[str, list[str]] = defaultdict(list)
    for source in multiple:
        continuations[source[0]].append(source[1:])
    firsts: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for first, tails in continuations.items():
        firsts[tuple(sorted(tails))].append(first)
    groups = []
    for shared, starts in sorted(firsts.items(), key=lambda item: min(item[1])):
        lasts: dict[str, list[str]] = defaultdict(list)
        for tail in shared:
            lasts[tail[:-1]].append(tail[-1])
        longest = sorted(lasts.items(), key=lambda item: (-len(item[0]), item[0]))
        following = "|".join(quoted(start) + char_class(ends) for start, ends in longest)
        groups.append(f"{char_class(starts)}(?:{following})")
    return groups


def quoted(text: str) -> str:
    """A text as a pattern that matches it alone."""
    return "".join(c if c.isalnum() and c.isascii() else f"\\x{{{ord(c):X}}}" for c in text)


def char_class(characters: Iterable[str]) -> str:
    """A pattern for one of these characters, in ranges."""
    points = sorted(map(ord, set(characters)))
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    parts = (f"\\x{{{a:X}}}" + (f"-\\x{{{b:X}}}" if b > a else "") for a, b in ranges)
    return "[" + "".join(parts) + "]"
