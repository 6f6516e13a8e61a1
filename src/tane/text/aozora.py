"""Aozora Bunko files to plain text: header, colophon, ruby and notes go, gaiji become characters.

The annotation is the one of https://www.aozora.gr.jp/annotation/: 《ruby》 with an optional ｜ before its
base, notes ［＃…］ (which may hold others), characters outside JIS X 0208 as ※［＃…］ with a JIS X 0213 code
or a U+ number, and accents as 〔e'tude〕. Title and author leave the text and become `meta`. A gaiji without
a code becomes 〓 and is counted; small kana without a code (小書き平仮名ん) become the plain letter. Each
character taken away is counted by its part.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

GETA = "〓"  # the mark that printers set for a character they lack
RULE = re.compile(r"-{10,}\s*")
LEGEND = "【テキスト中に現れる記号について】"
COLOPHON = re.compile(r"底本[：:]")
JIS_X_0213 = re.compile(r"第[34]水準\s*([12])-(\d{1,2})-(\d{1,2})|、\s*([12])-(\d{1,2})-(\d{1,2})(?![\d-])")
UNICODE = re.compile(r"U\+([0-9A-Fa-f]{4,6})")
SMALL_KANA = re.compile(r"小書き(?:平仮名|片仮名)(?:の)?「?([ぁ-んァ-ヺ])」?")
PAGE_BREAK = re.compile(r"［＃改(?:ページ|丁|段|見開き)")
TOKEN = re.compile(r"[｜《〔]|※?［＃")
ACCENTED = re.compile(r"(?=.*[A-Za-z])[\x20-\x7e’]+")
LIGATURES = {"AE&": "Æ", "ae&": "æ", "OE&": "Œ", "oe&": "œ", "s&": "ß"}
ACCENTS = {  # mark -> letters it may follow, combining character
    "`": ("aeiouAEIOU", "\u0300"),
    "'": ("aceilnorsuyzACEILNORSUYZ", "\u0301"),
    "^": ("aceghijosuwyACEGHIJOSUWY", "\u0302"),
    "~": ("anoiuANOIU", "\u0303"),
    ":": ("aeiouyAEIOUY", "\u0308"),
    "&": ("aAuU", "\u030a"),
    ",": ("cstCST", "\u0327"),
    "_": ("aeiouAEIOU", "\u0304"),
}
STROKES = {"o/": "ø", "O/": "Ø", "l/": "ł", "L/": "Ł", "d/": "đ", "D/": "Đ"}
VOWELS = "aeiouyhAEIOUYH"
CONTRACTED = re.compile(r"(?:[stdm]|ll|re|ve)(?![A-Za-z])")


@dataclass
class Cleaned:
    """A work without its annotation. lines: its lines; numbers: for each, its line in the file (from 1)."""

    lines: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    unresolved: int = 0
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def clean(text: str) -> Cleaned:
    """Read one whole file, its line ends being line feeds; what was removed and what is left is all of it."""
    done = Cleaned()
    lines = text.split("\n")
    end = _colophon(lines)
    body, head = _header(lines[:end], framed=end < len(lines))
    done.removed["aozora.header"] = sum(map(len, lines[:body])) + body
    done.removed["aozora.colophon"] = sum(map(len, lines[end:])) + len(lines) - end
    done.meta = _meta([_inline(line, Cleaned()) for line in head])
    for number in range(body, end):
        line = lines[number]
        if "［" in line or "《" in line or "〔" in line or "｜" in line:
            notes = done.removed["aozora.notes"]
            after = _inline(line, done)
            if not PAGE_BREAK.match(line) and done.removed["aozora.notes"] - notes == len(line):
                done.removed["aozora.notes"] += 1  # a line of nothing but notes goes with its line end
                continue
            line = after
        composed = unicodedata.normalize("NFC", line)
        done.removed["nfc"] += len(line) - len(composed)
        done.lines.append(composed)
        done.numbers.append(number + 1)
    if not done.lines:  # each line that went took its line end along, but the last one has none
        last = "aozora.colophon" if end < len(lines) else "aozora.header" if body else "aozora.notes"
        done.removed[last] -= 1
    return done


def _colophon(lines: list[str]) -> int:
    """The index of the line where the colophon begins; the number of lines where there is none."""
    starts = [i for i, line in enumerate(lines) if COLOPHON.match(line)]
    if not starts:
        return len(lines)
    begin = starts[-1]
    for earlier in reversed(starts[:-1]):  # collections name several: one block, its parts near one another
        if begin - earlier > 40:
            break
        begin = earlier
    return begin


def _header(lines: list[str], *, framed: bool) -> tuple[int, list[str]]:
    """(index of the body's first line, the lines of title and author). `framed`: the file has a colophon."""
    rules = [i for i, line in enumerate(lines[:200]) if RULE.fullmatch(line)][:2]
    legend = len(rules) == 2 and any(LEGEND in line for line in lines[rules[0] : rules[1]])
    if not legend and not framed:
        return 0, []
    limit = rules[0] if legend else min(len(lines), 8)
    first = next((i for i in range(limit) if lines[i].strip()), limit)
    stop = next((i for i in range(first, limit) if not lines[i].strip()), limit)
    if legend:
        return rules[1] + 1, lines[first:stop]
    if not 2 <= stop - first <= 6 or stop == limit:  # no title block that ends with a blank line
        return 0, []
    return stop, lines[first:stop]


def _meta(head: list[str]) -> dict[str, str]:
    """Title and author (and translator) from the lines before the first blank one."""
    lines = [line.strip() for line in head if line.strip()]
    if not lines:
        return {}
    meta = {"title": lines[0]}
    people = lines[1:]
    if people and people[-1].endswith("訳"):
        meta["translator"] = people.pop()
    if people:
        meta["author"] = people.pop()
    if people:
        meta["subtitle"] = " ".join(people)
    return meta


def _inline(line: str, done: Cleaned) -> str:
    """One line without ruby and notes, gaiji and accents resolved; what was taken is counted in `done`."""
    out: list[str] = []
    place = 0
    while found := TOKEN.search(line, place):
        start, mark = found.start(), found[0]
        out.append(line[place:start])
        if mark == "｜":
            used = re.match(r"｜[^｜《》]*《", line[start:])
            end, text, part = start + 1, "" if used else mark, "aozora.ruby"
        elif mark == "《":
            close = _ruby_end(line, start)
            base = line[start - 1 : start]
            end, text, part = start + 1, mark, ""
            if close and base not in _NO_BASE:
                end, text, part = close, "", "aozora.ruby"
        elif mark == "〔":
            end, text = _accents(line, start)
            part = "aozora.accents"
        else:
            close = _note_end(line, start + len(mark) - 2)
            if not close:
                end, text, part = start + len(mark), mark, ""
            elif mark[0] == "※":
                end, text, part = close, gaiji(line[start + 3 : close - 1]), "aozora.gaiji"
                done.unresolved += text == GETA
            else:
                end, text, part = close, "", "aozora.notes"
        if end - start != len(text):
            done.removed[part] += end - start - len(text)
        out.append(text)
        place = end
    out.append(line[place:])
    return "".join(out)


_NO_BASE = ("", " ", "　", "「", "『", "（", "(", "《")  # ruby needs something to stand on; else 《 is text


def _ruby_end(line: str, start: int) -> int:
    """The index after the 》 that closes the 《 at `start`, 0 where none does; notes inside are skipped."""
    place = start + 1
    while place < len(line):
        if line[place] == "》":
            return place + 1
        if line[place] == "《":
            return 0
        place = (_note_end(line, place) or place + 1) if line.startswith("［＃", place) else place + 1
    return 0


def _note_end(line: str, start: int) -> int:
    """The index after the ］ that closes the ［＃ at `start`, nested ones counted; 0 where none does."""
    depth = 0
    for place in range(start, len(line)):
        if line[place] == "［":
            depth += 1
        elif line[place] == "］":
            depth -= 1
            if depth == 0:
                return place + 1
    return 0


def gaiji(note: str) -> str:
    """The character that a note names, as in 「てへん＋劣」、第3水準1-84-77; 〓 where it has no code."""
    found = JIS_X_0213.search(note)
    if found:
        plane, row, cell = (int(n) for n in found.groups() if n)
        if 1 <= row <= 94 and 1 <= cell <= 94:
            code = bytes([0xA0 + row, 0xA0 + cell])
            try:
                return (code if plane == 1 else b"\x8f" + code).decode("euc_jis_2004")
            except UnicodeDecodeError:
                pass
    found = UNICODE.search(note)
    if found:
        number = int(found[1], 16)
        if number < 0x110000 and unicodedata.category(chr(number)) not in ("Cs", "Cc", "Cn"):
            return chr(number)
    found = SMALL_KANA.match(note)
    return found[1] if found else GETA


def _accents(line: str, start: int) -> tuple[int, str]:
    """(index after it, text) of the 〔…〕 at `start`: Latin letters with marks composed, else as it is."""
    close = line.find("〕", start)
    inner = line[start + 1 : close] if close > 0 else ""
    if not ACCENTED.fullmatch(inner):
        return start + 1, "〔"
    resolved = _compose(inner)
    return (start + 1, "〔") if resolved == inner else (close + 1, resolved)


def _compose(text: str) -> str:
    out, place = [], 0
    while place < len(text):
        ligature = next((k for k in (text[place : place + 3], text[place : place + 2]) if k in LIGATURES), "")
        pair = text[place : place + 2]
        if ligature:
            out.append(LIGATURES[ligature])
            place += len(ligature)
        elif pair in STROKES:
            out.append(STROKES[pair])
            place += 2
        elif len(pair) == 2 and _accent(pair, text[place + 2 : place + 5]):
            out.append(unicodedata.normalize("NFC", pair[0] + ACCENTS[pair[1]][1]))
            place += 2
        else:
            out.append(text[place])
            place += 1
    return "".join(out)


def _accent(pair: str, rest: str) -> bool:
    """Whether the second character is an accent of the first, not an apostrophe (l'ami), comma or colon."""
    letter, mark = pair[0], pair[1]
    if mark not in ACCENTS or letter not in ACCENTS[mark][0]:
        return False
    if mark in ",:":
        return rest[:1].isalpha()
    elided = (rest and rest[0] in VOWELS) or CONTRACTED.match(rest)
    return not (mark == "'" and letter not in "aeiouyAEIOUY" and elided)
