"""Bytes to text, strictly: the encoding is found from evidence, and what cannot be read is never passed over.

Order: byte order mark; UTF-16 without one (refused, with the name to type); ISO-2022-JP, which is valid ASCII
and so must come before UTF-8; UTF-8; cp932 against EUC-JP by how much the decoded text looks like Japanese.
That a codec raises no error is no evidence: cp932 accepts almost anything. A file is judged where its first
non-ASCII byte stands, however late that is, so memory stays bounded and 10 MB of ASCII before the first kana
do no harm.
"""

from __future__ import annotations

import codecs
import re

from tane.errors import InputError
from tane.text.plausible import MARK, plausibility

WINDOW = 1 << 18  # bytes from the first non-ASCII byte on that decide
BOMS = (  # UTF-32 before UTF-16: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
NAMES = {  # Python's codec name -> the codec used for it (Windows' superset: with ①, 髙 and ～)
    "shift_jis": "cp932",
    "utf-8-sig": "utf-8",
    "iso2022_jp": "iso2022_jp_ext",
}
REFUSED = {"utf_7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
JAPANESE = ("utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be")
ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\$\([DOPQ]|\([IJ])")
LONG_UTF8 = re.compile("[\u0800-\ud7ff\ue000-\U0010ffff]")
HIGH = re.compile(rb"[\x80-\xff]")
UTF8_AS_CP932 = re.compile("(?:[縺繧繝][^縺繧繝]{0,2}){5}")  # kana in UTF-8, read as cp932


def codec_name(encoding: str) -> str:
    """Python's name of a text codec that a person named; raises ValueError with what is expected."""
    try:
        info = codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise ValueError(f"expected auto or an encoding such as {', '.join(JAPANESE)}") from None
    if info.name.replace("-", "_") in REFUSED or not getattr(info, "_is_text_encoding", True):
        raise ValueError(
            f"{encoding} is no encoding of text files; expected one such as {', '.join(JAPANESE)}"
        )
    return NAMES.get(info.name, info.name)


# ------------------------------------------------------------------------------------------ error handlers


def _nec(error: UnicodeDecodeError) -> tuple[str, int] | None:
    """A code that EUC-JP and ISO-2022-JP lack, read as Windows does (row 13: ① Ⅲ ㎜; rows 89-92: 髙)."""
    pair = error.object[error.start : error.start + 2]
    row, cell = (b & 0x7F for b in pair) if len(pair) == 2 else (0, 0)
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E) or (pair[0] ^ pair[1]) & 0x80:
        return None
    lead = (row - 0x21 >> 1) + (0x81 if row < 0x5F else 0xC1)
    trail = cell + ((0x1F if cell < 0x60 else 0x20) if row & 1 else 0x7E)
    try:
        return bytes([lead, trail]).decode("cp932"), error.start + 2
    except UnicodeDecodeError:
        return None


def _strict(error: UnicodeError) -> tuple[str, int]:
    found = _nec(error) if isinstance(error, UnicodeDecodeError) else None
    if found is None:
        raise error
    return found


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    found = _nec(error) if error.encoding.startswith(("euc_jp", "iso2022")) else None
    return found or (MARK, error.end)


def _handler(codec: str, on_bad: str) -> str:
    """The name of the error handler for a codec, registered on first use."""
    codecs.register_error("tane.mark", _mark)
    codecs.register_error("tane.strict", _strict)
    if on_bad == "skip":
        return "tane.mark"
    return "tane.strict" if codec in ("euc_jp", "iso2022_jp_ext") else "strict"


def _marked(data: bytes, codec: str, final: bool) -> str:
    return codecs.getincrementaldecoder(codec)(_handler(codec, "skip")).decode(data, final)


# ------------------------------------------------------------------------------------------------ evidence


def _utf16_without_mark(data: bytes) -> str | None:
    """The codec of UTF-16 that lacks its mark, or None: kana (30 xx) and ASCII (00 xx) show on one side."""
    half = data[: len(data) // 2 * 2]
    for codec, side in (("utf-16-le", half[1::2]), ("utf-16-be", half[0::2])):
        if len(side) < 2 or side.count(0x30) + side.count(0) < 0.2 * len(side):
            continue
        text = half.decode(codec, "replace")
        ascii_share = sum("\t" <= c <= "~" for c in text) / len(text)
        if len(text) < 8 and half.isascii() and 0 not in half:  # such as "a0b0"
            continue
        odd = text.count("\ufffd") + text.count("\0")
        if odd <= 0.02 * len(text) and (
            ascii_share > 0.9 or (plausibility(text) > 0.7 and ascii_share < 0.9)
        ):
            return codec
    return None


def _looks_utf8(data: bytes, final: bool) -> bool:
    """UTF-8, whole or with some damage: well-formed sequences outnumber the faults two to one.

    Sequences of two bytes (Latin, Greek, Cyrillic) count little: EUC-JP's kanji form some by chance.
    """
    text = _marked(data, "utf-8", final)
    bad = text.count(MARK)
    if not bad:
        return True
    long = len(LONG_UTF8.findall(text))
    if bad == 1 and final and text.endswith(MARK) and long:
        return True  # cut inside its last character
    short = sum(c >= "\x80" for c in text) - bad - long
    return long + short / 8 >= 2 * bad


class Undecided(Exception):
    """No encoding is likely enough; the message says what was found, `remedy` what to type."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def detect(data: bytes, *, final: bool = True) -> str | None:
    """The codec of a text from its bytes, or None while they are pure ASCII. Raises Undecided.

    `final`: the data is the whole text, so it may not end inside a character.
    """
    return _detect_head(data) or _detect_body(data, final)


def _detect_head(data: bytes) -> str | None:
    """What the first bytes tell: a byte order mark; UTF-16 without one and binary data raise Undecided."""
    for mark, codec in BOMS:
        if data.startswith(mark):
            return codec
    sample = data[:WINDOW]
    unmarked = _utf16_without_mark(sample)
    if unmarked:
        raise Undecided(f"it looks like {unmarked} without a byte order mark", _remedy(unmarked))
    controls = sum(sample.count(c) for c in range(32) if c not in b"\t\n\r\f\v\x1b")
    if controls > 0.3 * len(sample):
        share = f"{100 * controls / len(sample):.0f} % of its first bytes are control codes"
        raise Undecided(f"it is no text: {share}", "leave it out of corpus.inputs")
    return None


def _detect_body(data: bytes, final: bool) -> str | None:
    if data.isascii():
        return "iso2022_jp_ext" if ISO_2022_JP.search(data) else None
    if _looks_utf8(data, final):
        return "utf-8"
    start = first_high(data)
    sample = data[start : start + WINDOW]
    whole = final and start + WINDOW >= len(data)
    texts = {codec: _marked(sample, codec, whole) for codec in ("cp932", "euc_jp")}
    scores = {codec: plausibility(text) for codec, text in texts.items()}
    (best, high), (_, low) = sorted(scores.items(), key=lambda item: -item[1])
    clean = MARK not in texts[best] and all(MARK in text for codec, text in texts.items() if codec != best)
    if high >= 0.3 and (clean or high - low >= 0.2):
        return best  # clean: it is the only one that can read the sample at all
    found = ", ".join(f"as {codec} {score:+.2f}" for codec, score in sorted(scores.items()))
    text = _marked(data, "utf-8", final)
    good = len(text[: text.index(MARK)].encode()) if MARK in text else 0
    mixed = f"; up to byte {good:,} of what was looked at it reads as UTF-8" if good > start else ""
    raise Undecided(
        f"its encoding cannot be told: no UTF-8{mixed}, and too little like Japanese (of 1: {found})"
        + _second_opinion(data),
        _remedy("cp932"),
    )


def first_high(data: bytes) -> int:
    """The place of the first non-ASCII byte; the length where there is none."""
    found = HIGH.search(data)
    return found.start() if found else len(data)


def _second_opinion(data: bytes) -> str:
    from charset_normalizer import from_bytes

    guess = from_bytes(data[:20_000]).best()
    return f"; charset-normalizer takes it for {guess.encoding}" if guess else ""


def _remedy(codec: str) -> str:
    return f"name its encoding: --corpus.encoding {codec}, or for one input {{path: ..., encoding: {codec}}}"


# ------------------------------------------------------------------------------------------------ decoding


class Decoder:
    """Bytes of one file to text, a chunk at a time. `found`: the codec, once it is known.

    `encoding`: auto or a codec; `on_bad`: "stop" raises InputError with byte offset and line at the first
    byte that cannot be read, "skip" puts MARK in its place. `unpacked` words the offsets for a packed file.
    """

    def __init__(
        self, name: str, encoding: str = "auto", on_bad: str = "stop", *, unpacked: bool = False
    ) -> None:
        self.name, self.on_bad = name, on_bad
        self.where = "byte {:,} of its unpacked text" if unpacked else "byte {:,}"
        self.fixed = None if encoding == "auto" else codec_name(encoding)
        self.found: str | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""
        self._started = False
        self._fed = 0
        self._line = 1

    def feed(self, chunk: bytes, final: bool = False) -> str:
        """The text of the next bytes; while the encoding is open, ASCII comes out, the rest is held."""
        if self._decoder is None:
            chunk = self._held + chunk
            self._held = b""
            if not self._started and len(chunk) < WINDOW and not final:
                self._held = chunk
                return ""
            ready, chunk = self._decide(chunk, final)
            if self._decoder is None:
                self._held = chunk
                return self._count(ready, ready.decode("ascii"))
        return self._decode(chunk, final)

    def finish(self) -> str:
        """The last text; raises InputError where the file ends inside a character."""
        text = self.feed(b"", True)
        self.found = self.found or "ascii"
        return text

    def _decide(self, data: bytes, final: bool) -> tuple[bytes, bytes]:
        """Choose the codec, or return the ASCII that can go out already and the bytes to hold back."""
        if self.fixed:
            self._choose(self._fixed_codec(self.fixed, data))
            return b"", data
        try:
            codec = None if self._started else _detect_head(data)
            self._started = True
            start = first_high(data)
            if codec is None and start < len(data) and len(data) - start < WINDOW and not final:
                return data[:start], data[
                    start:
                ]  # the evidence begins near the end of the chunk: wait for more
            codec = codec or _detect_body(data, final)
        except Undecided as reason:
            raise InputError(f"{self.name}: {reason}", reason.remedy) from None
        if codec:
            self._choose(codec)
            return b"", data
        keep = len(data) - data.rfind(b"\x1b") if b"\x1b" in data[-4:] and not final else 0
        return data[: len(data) - keep], data[
            len(data) - keep :
        ]  # ASCII; an escape sequence may be cut at the end

    def _fixed_codec(self, codec: str, data: bytes) -> str:
        if codec in ("utf-16", "utf-32"):
            for mark, name in BOMS:
                if name.startswith(codec) and data.startswith(mark):
                    return name
            raise InputError(
                f"{self.name}: {codec} was asked for, but the file has no byte order mark",
                f"say its byte order: {codec}-le or {codec}-be",
            )
        return codec

    def _choose(self, codec: str) -> None:
        self.found = codec.replace("_ext", "")
        self._decoder = codecs.getincrementaldecoder(codec)(_handler(codec, self.on_bad))

    def _decode(self, chunk: bytes, final: bool) -> str:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            self._fed += len(chunk)
            raise self._undecodable(error, final) from None
        if self.found == "cp932" and not self.fixed and any(c in text for c in "縺繧繝"):
            mixed = UTF8_AS_CP932.search(text)
            if mixed:
                line = self._line + line_ends(text[: mixed.start()])
                raise InputError(
                    f"{self.name} mixes encodings: it begins as cp932, from line {line:,} on it is UTF-8",
                    "mend the file, or insist: --corpus.encoding cp932",
                )
        return self._count(chunk, text)

    def _count(self, chunk: bytes, text: str) -> str:
        self._fed += len(chunk)
        self._line += line_ends(text)
        return text

    def _undecodable(self, error: UnicodeDecodeError, final: bool) -> InputError:
        data = error.object
        offset = self._fed - len(data) + error.start
        before = data[: error.start].decode(error.encoding, "replace")
        line = self._line + line_ends(before)
        shown = data[error.start : error.start + 4].hex(" ")
        place = f"{self.where.format(offset)} (line {line:,})"
        name = f"{self.found}"
        if final and error.end == len(data) and len(data) - error.start < 4 and "illegal" not in error.reason:
            return InputError(
                f"{self.name}: the file ends inside a character at {place}: {shown} begins one in {name}",
                "fetch the whole file again, or leave out such lines with --corpus.on_bad skip",
            )
        other = "cp932" if self.found != "cp932" else "utf-8"
        return InputError(
            f"{self.name}: {place} cannot be read as {name}: {shown}",
            f"if the whole file has another encoding: --corpus.encoding {other}, or for this input "
            f"{{path: ..., encoding: {other}}}; to leave out such lines, counted: --corpus.on_bad skip",
        )


def line_ends(text: str) -> int:
    r"""How many lines end in a text: at \n, \r\n and \r."""
    count = text.count("\n")
    return count + text.count("\r") - text.count("\r\n") if "\r" in text else count
