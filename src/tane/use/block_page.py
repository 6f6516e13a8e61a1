"""How blocks and examples look: as plain text, in a terminal, in a notebook.

A block is what `ShownBlock.told` gives: title, between (what stands between two positions), answer, and
segments of positions [seen, truth, kind]. Each document, or part of one, has a bar of its own. All of it
reads on a light ground as on a dark one: a coloured ground brings its own dark letters, all else takes the
colours that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import chain
from typing import Any, NamedTuple

from tane.text.columns import fit, pad, width

Told = dict[str, Any]
Position = Sequence[str]  # seen, truth, kind


class Look(NamedTuple):
    """How a kind of target looks: its ground (HTML, and the number among a terminal's 256 colours), the line
    under it (seen without colours too), and what a legend says."""

    ground: str
    number: int
    line: str
    says: str


LOOKS = {
    "masked": Look("#ffd591", 222, "solid", "shown as [MASK]"),
    "replaced": Look("#ffadd2", 218, "double", "shown as a random token"),
    "kept": Look("#b7eb8f", 150, "dashed", "shown as it is"),
    "labelled": Look("#bae0ff", 153, "solid", "the label of a word"),
}
HIDDEN = ("masked", "replaced", "kept")
LINES, FEW = 12, 2  # of one block in a terminal; the others are counted, unless they are few
NARROWEST = 20  # columns that are filled, however few there are
ALIGNED = 10  # tokens of a causal block that stand above what must be said there
OPEN, ON = "▌ ", "│ "  # before the first line of a segment, and before its next ones


# ---------------------------------------------------------------------------------------------- plain text


def plain(block: Told) -> list[str]:
    """A block as lines of any length: its title, each segment, its label."""
    lines = [block["between"].join(map(_bracketed, segment)) for segment in block["segments"]]
    return [block["title"], *lines, *([f"label: {block['answer']}"] if block["answer"] else [])]


def _bracketed(position: Position) -> str:
    seen, truth, kind = position
    if kind in ("masked", "replaced"):
        return f"[{truth} → {seen}]"
    if kind == "labelled":
        return f"{seen}/{truth}"
    return f"[{truth}]" if kind == "kept" else seen


# ---------------------------------------------------------------------------------------------- a terminal


class Piece(NamedTuple):
    """Some text in one style: the parameters of its escape sequence, "" for none."""

    text: str
    style: str = ""


Cell = list[Piece]  # what is not parted at the end of a line
GREY, BLUE, BOLD = "38;5;244", "38;5;75", "1"


def terminal(blocks: Sequence[Told], columns: int, *, colour: bool) -> list[str]:
    """Blocks as lines of at most so many columns, with what their signs mean; without colour, targets stand
    in brackets."""
    columns = max(NARROWEST, columns)
    lines = _wrapped(_legend(blocks, colour), " ", columns)
    for number, block in enumerate(blocks):
        lines += [[], *_wrapped(_words(block["title"], BOLD), " ", columns)]
        inside: list[Cell] = []
        for segment in block["segments"]:
            cells = [_cell(position, colour) for position in segment]
            inside += _wrapped(cells, block["between"], columns, OPEN, ON)
        shown = LINES if len(inside) > LINES + FEW else len(inside)
        lines += inside[:shown]
        if shown < len(inside):
            lines.append([Piece(f"… {len(inside) - shown:,} more lines", GREY)])
        if block["answer"]:
            lines += _wrapped([[Piece("label:")], [_chip(block["answer"], "labelled")]], " ", columns)
        if not number:
            lines += _aligned(block, columns)
    return ["".join(_painted(piece, colour) for piece in line).rstrip() for line in lines]


def _painted(piece: Piece, colour: bool) -> str:
    return f"\x1b[{piece.style}m{piece.text}\x1b[0m" if colour and piece.style else piece.text


def _chip(text: str, kind: str) -> Piece:
    return Piece(text, f"38;5;16;48;5;{LOOKS[kind].number}")


def _cell(position: Position, colour: bool) -> Cell:
    seen, truth, kind = position
    if kind == "special":
        return [Piece(seen, GREY)]
    if kind == "labelled" and colour:
        return [Piece(seen), _chip(truth, kind)]
    if kind not in LOOKS or not colour:
        return [Piece(_bracketed(position))]
    return [_chip(f"{truth}→{seen}" if kind == "replaced" else truth, kind)]


def _legend(blocks: Sequence[Told], colour: bool) -> list[Cell]:
    """What the signs of some blocks mean."""
    kinds = {position[2] for position in chain.from_iterable(s for b in blocks for s in b["segments"])}
    what = "a text." if kinds.intersection((*HIDDEN, "next")) else "what the model reads at once."
    told: list[Cell] = [[Piece(OPEN.strip(), BLUE)], *_words(f"begins {what}")]
    if kinds.intersection(HIDDEN) and colour:
        for kind in HIDDEN:
            example = "due→seen" if kind == "replaced" else "due"
            told += [[_chip(example, kind)], *_words(LOOKS[kind].says)]
    elif kinds.intersection(HIDDEN):
        told += _words("[due → seen]: what was there, and what is shown there; [due]: shown as it is")
    elif "next" in kinds:
        told += _words("Each token is the label of the one before it.")
    elif "labelled" in kinds:
        told += [[Piece("token"), _chip("label", "labelled")] if colour else [Piece("token/label")]]
        told += _words("of the word that begins there.")
    return told


def _words(text: str, style: str = "") -> list[Cell]:
    return [[Piece(word, style)] for word in text.split(" ")]


def _aligned(block: Told, columns: int) -> list[Cell]:
    """The first tokens of a causal block above what the model must say at each of them."""
    rows: tuple[Cell, Cell] = [Piece("sees  ", GREY)], [Piece("says  ", GREY)]
    used = width("sees  ")
    positions = [p for segment in block["segments"] for p in segment]
    for seen, truth, _ in positions[:ALIGNED] if block["between"] == "|" else ():
        size = max(width(seen), width(truth))
        used += size + 1
        if used > columns:
            break
        for row, text in zip(rows, (seen, truth), strict=True):
            row += [Piece(pad(text, size)), Piece("|", GREY)]
    return list(rows) if len(rows[0]) > 1 else []


def _wrapped(
    cells: Iterable[Cell], between: str, columns: int, first: str = "", then: str = ""
) -> list[Cell]:
    """Cells on lines of at most so many columns; `first` and `then` stand before them."""
    room = columns - width(first)
    lines: list[Cell] = []
    line: Cell = [Piece(first, BLUE)]
    used = 0
    for cell in cells:
        size = sum(width(piece.text) for piece in cell)
        if size > room:
            cell, size = [Piece(fit("".join(piece.text for piece in cell), room), cell[0].style)], room
        if used and used + width(between) + size > room:
            lines.append(line)
            line, used = [Piece(then, BLUE)], 0
        if used:
            line.append(Piece(between, GREY if between.strip() else ""))
            used += width(between)
        line += cell
        used += size
    return [*lines, line]


# ---------------------------------------------------------------------------------------------- a notebook

PAGE = "padding:.4em 0;line-height:2.6;max-width:56em;overflow-wrap:anywhere"
FAINT = "opacity:.65"
ABOVE = "font-size:75%;line-height:2"  # less, and it touches what it stands above
SEGMENT = "border-left:4px solid #4096ff;margin:.3em 0;padding-left:.6em"
EDGE = "border-right:1px solid rgba(128,128,128,.6);padding:0 .12em"


def html(blocks: Sequence[Told]) -> str:
    """Blocks for a notebook, on whatever ground it has."""
    return "".join(_block(block) for block in blocks)


def _block(block: Told) -> str:
    positions = [position for segment in block["segments"] for position in segment]
    legend = "".join(
        f"{_marked(kind, look.says)} {sum(p[2] == kind for p in positions):,}&emsp;"
        for kind, look in LOOKS.items()
        if any(p[2] in HIDDEN for p in positions) and kind in HIDDEN
    )
    title = f"<div style='line-height:1.6'>{escape(block['title'])}<br>{legend}</div>"
    close = block["between"] == "|"  # tokens stand side by side, with an edge between them
    rows = (
        f"<div style='{SEGMENT}'>{('' if close else ' ').join(_html(p, close) for p in segment)}</div>"
        for segment in block["segments"]
    )
    label = f"<div>label: {_marked('labelled', block['answer'])}</div>" if block["answer"] else ""
    return f"<div style='{PAGE}'>{title}{''.join(rows)}{label}</div>"


def _html(position: Position, close: bool) -> str:
    seen, truth, kind = position
    if kind in LOOKS:  # ruby: what is due stands above what the model sees
        due = f"<rt style='{ABOVE}'>{escape(truth)}</rt>"
        return f"<ruby style='ruby-align:center'>{_marked(kind, seen)}{due}</ruby>"
    style = f"{FAINT};font-size:80%" if kind == "special" else ""
    if close:
        return f"<span style='{EDGE};{style}' title='label: {escape(truth)}'>{escape(seen)}</span>"
    return f"<span style='{style}'>{escape(seen)}</span>" if style else escape(seen)


def _marked(kind: str, text: str) -> str:
    look = LOOKS[kind]
    style = f"background:{look.ground};color:#222;border-bottom:3px {look.line} #555;padding:0 .15em"
    return f"<span style='{style};white-space:nowrap'>{escape(text)}</span>"
