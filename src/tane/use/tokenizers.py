"""`tane tokenizer show` and `compare`: what a tokenizer is, and what several make of the same text.

tane tokenizer show runs/demo --data my.txt
tane tokenizer compare data/snow/tokenizer tohoku-nlp/bert-base-japanese-v3 --data my.txt
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from tane import progress
from tane.errors import InputError
from tane.settings import build
from tane.text.columns import fit, fit_end, named, table
from tane.text.corpus import CorpusSettings
from tane.text.inputs import HowToRead
from tane.text.survey import temporary_corpus
from tane.tokens import bare, taken
from tane.tokens.describe import Spelling, describe
from tane.tokens.encoder import Encoder
from tane.tokens.measure import measure
from tane.types import Result
from tane.use.tokenizer_choice import WIDTH, recommend, worst

MOST = 5_000_000  # characters of text that a tokenizer is tried on
SENTENCE = re.compile(r"\s*([^。！？!?\n]*[。！？!?]*)")
LONGEST = 80  # characters of an example
WITHOUT_TEXT = "今日は東京で、ＡＢＣマートの①番を見た。"  # what is cut where no text is given
COLUMNS = 100
EXCERPT = 50  # columns of a document that takes many tokens


def show_tokenizer(
    name: str | os.PathLike[str],
    *,
    inputs: Sequence[str] | str = (),
    head: int = 3,
    dictionary: str | None = None,
    **reading: Unpack[HowToRead],
) -> Result:
    """What a tokenizer is and, given text, what it does to it; `report_show` puts it on a page.

    name: a folder, run, file or hub id. `metrics`: {name, ...} as `tokens.describe.describe` has it; text: as
    `tokens.measure.measure` has it, or None without inputs; examples: [{text, tokens}], the first sentence of
    `head` documents as its pieces. dictionary: "ipadic", "unidic-lite" or "sudachi", whose words a vocab.txt
    with Japanese needs. inputs, reading: as in a recipe's corpus. The text is read as it stands where
    `normalize` is not given, duplicates too; at most MOST characters of it, evenly taken. Raises InputError.
    """
    check_dictionary(dictionary, [name])
    texts = _texts(inputs, reading)[0] if inputs else []
    sentences = _sentences(texts, head) if texts else [WITHOUT_TEXT]
    return Result(str(name), _look(name, dictionary, texts, sentences))


def compare_tokenizers(
    *names: str | os.PathLike[str],
    inputs: Sequence[str] | str,
    head: int = 3,
    dictionary: str | None = None,
    **reading: Unpack[HowToRead],
) -> Result:
    """Two or more tokenizers on the same text; `report_compare` puts them side by side.

    `metrics`: tokenizers: what `show_tokenizer` finds of each, in the order of the names, and further worst,
    the documents that take the most tokens a character [{text, characters, tokens}], and
    embedding_parameters, at a width of 256; fewest_tokens: the name of the one that writes the text in the
    fewest tokens; lossy: the names of those that cannot write all of it; recommendation {choice, reason, out,
    settle}: see tokenizer_choice.py.
    The other arguments are those of `show_tokenizer`. Raises InputError.
    """
    if len(names) < 2:
        remedy = "name two or more; of one alone: tane tokenizer show"
        raise InputError(f"expected tokenizers to compare, found {len(names)}", remedy)
    if not inputs:
        raise InputError("there is no text to compare them on", "name it: --data my.txt")
    check_dictionary(dictionary, names)
    texts, share = _texts(inputs, reading)
    sentences = _sentences(texts, head)
    found = [_look(name, dictionary, texts, sentences) for name in names]
    best = min(found, key=lambda one: one["text"]["tokens"])
    lossy = [one["name"] for one in found if one["text"]["lossy"]]
    recommendation = recommend(found, share)
    metrics = {"tokenizers": found, "fewest_tokens": best["name"], "lossy": lossy}
    return Result(None, {**metrics, "recommendation": recommendation})


def _look(
    name: str | os.PathLike[str], dictionary: str | None, texts: list[str], sentences: list[str]
) -> dict[str, Any]:
    with opened(name, dictionary) as encoder:
        spelling = Spelling(encoder.tokenizer)
        examples = [
            {"text": sentence, "tokens": [spelling.shown(number) for number in ids.tolist()]}
            for sentence, ids in zip(sentences, encoder.encode_batch(sentences), strict=True)
        ]
        about = describe(encoder.tokenizer)
        return {
            "name": str(name), **about, "text": measure(encoder, texts) if texts else None,
            "examples": examples, "worst": worst(encoder, texts) if texts else [],
            "embedding_parameters": about["vocabulary"] * WIDTH,
        }  # fmt: skip


@contextlib.contextmanager
def opened(name: str | os.PathLike[str], dictionary: str | None) -> Iterator[Encoder]:
    """The encoder of a tokenizer; of bare files while a folder is made of them."""
    if not _is_bare(name):
        yield Encoder(name)
        return
    with tempfile.TemporaryDirectory(prefix="tane-") as place:
        taken.take(name, Path(place), dictionary=dictionary if _takes_words(name) else None)
        yield Encoder(place)


def _is_bare(name: str | os.PathLike[str]) -> bool:
    """Whether a name stands for files without a configuration."""
    path = Path(name)
    return path.exists() and not any((place / taken.CONFIG).is_file() for place in (path, path / "model"))


def _takes_words(name: str | os.PathLike[str]) -> bool:
    """Whether a tokenizer is a vocab.txt, whose pieces are of words that a dictionary gives."""
    found = bare.find(Path(name)) if _is_bare(name) else None
    return found is not None and found.form == "wordpiece"


def check_dictionary(dictionary: str | None, names: Sequence[str | os.PathLike[str]]) -> None:
    """Raise InputError for a dictionary where no tokenizer takes one."""
    if dictionary is not None and not any(map(_takes_words, names)):
        raise InputError(f"the dictionary {dictionary} is for a vocab.txt, and none is given", "leave it out")


def _texts(inputs: Sequence[str] | str, reading: HowToRead) -> tuple[list[str], float]:
    """(documents of the inputs, or every n-th of them where they hold more than MOST characters; their share
    of all characters).

    Not normalised, since what the tokenizer itself changes or loses shall be seen; with duplicates, since the
    figures are of this text and not of what a corpus would keep of it.
    """
    given = {name: value for name, value in reading.items() if value is not None}
    values = {
        "inputs": [inputs] if isinstance(inputs, str) else list(inputs), "normalize": "none", "dedup": "none",
        "valid_fraction": 0.0, **given,
    }  # fmt: skip
    settings = build(CorpusSettings, values, "tokenizer")
    with temporary_corpus(settings) as corpus:
        total = corpus.meta["characters"]["train"]
        step = -(-total // MOST)
        texts = [text for number, text in enumerate(corpus.texts("train")) if not number % step]
    some = sum(map(len, texts))
    if step > 1:
        told = f"the text has {total:,} characters: the figures are of {some:,} of them"
        progress.say(f"{told}, one document in {step:,}")
    return texts, some / max(1, total)


def _sentences(texts: list[str], count: int) -> list[str]:
    """The first sentence of each of the first documents, cut at LONGEST characters."""
    found = []
    for text in texts[: max(0, count)]:
        sentence = SENTENCE.match(text)
        found.append((sentence[1] if sentence and sentence[1] else text.strip())[:LONGEST])
    return found


# ------------------------------------------------------------------------------------------------ the pages


def report_show(result: Result) -> str:
    """What `show_tokenizer` found, as text for a person."""
    found = result.metrics
    lines = [found["name"], table(_about(found))]
    if found["text"]:
        told = found["text"]
        size = f"{told['documents']:,} documents, {told['characters']:,} characters, {told['bytes']:,} bytes"
        lines += ["", f"on the text: {size}", table(_figures(told) + _characters(told))]
    return "\n".join([*lines, "", *_borders(found)])


def report_compare(result: Result) -> str:
    """What `compare_tokenizers` found, as text for a person: a column for each tokenizer."""
    found = result.metrics["tokenizers"]
    told = found[0]["text"]
    names = [fit_end(one["name"], 28) for one in found]
    columns = [[*_about(one)[:2], _rows(one), *_figures(one["text"])] for one in found]
    rows = [["", *names]]
    rows += [[row[0][0], *(cell for _, cell in row)] for row in zip(*columns, strict=True)]
    size = f"{told['documents']:,} documents, {told['characters']:,} characters, {told['bytes']:,} bytes"
    lines = [f"on the text: {size}", table(rows, right=range(1, len(rows[0]))), "", _fewest(found)]
    for one in found:
        if one["text"]["lossy"]:
            more = [f"{what} {cell}" for what, cell in _characters(one["text"], FEW) if what in LOSSES]
            lines.append(f"warning: {one['name']} cannot write all of this text: {'; '.join(more)}")
    for number, example in enumerate(found[0]["examples"]):
        lines += ["", fit(example["text"], COLUMNS)]
        pairs = zip(names, (_borders(one)[number] for one in found), strict=True)
        lines.append(table([[f"  {name}", cut] for name, cut in pairs]))
    rows = [
        [f"  {name}" if not number else "", f"{one['tokens'] / max(1, one['characters']):.2f}", one["text"]]
        for name, tokenizer in zip(names, found, strict=True)
        for number, one in enumerate(tokenizer["worst"])
    ]
    lines += ["", "the documents that take the most tokens a character"]
    lines.append(table([[*row[:2], fit(row[2], EXCERPT)] for row in rows]))
    return "\n".join([*lines, "", *_recommended(result.metrics["recommendation"])])


def _recommended(found: dict[str, Any]) -> list[str]:
    """The recommendation with its reason, and how to settle it by small models."""
    choice = found["choice"]
    lines = [f"recommended: {choice}" if choice else "recommended: none", f"  {found['reason']}"]
    lines += [f"  out: {one['name']}: {one['reason']}" for one in found["out"]]
    if found["settle"]:
        sure = "to make sure" if choice else "to settle it"
        lines.append(f"{sure}, train a small causal model with each; the fewest bits per character win:")
    return lines + [f"  {line}" for line in found["settle"]]


def _rows(found: dict[str, Any]) -> list[str]:
    return [f"parameters at width {WIDTH}", f"{found['embedding_parameters']:,}"]


FEW = 5  # characters that a warning names
LOSSES = ("unknown", "lost")


def _about(found: dict[str, Any]) -> list[list[str]]:
    """Rows on the tokenizer itself; kind and vocabulary come first."""
    more = ["byte-level"] * found["byte_level"] + ["byte fallback"] * found["byte_fallback"]
    special = [
        f"{one['id']} {one['token']}{' (' + ', '.join(one['roles']) + ')' if one['roles'] else ''}"
        for one in found["special_tokens"]
    ]
    few = special[:12] + ([f"and {len(special) - 12:,} more"] if len(special) > 12 else [])
    shares = [f"{name} {_percent(share)}" for name, share in found["scripts"].items()]
    return [
        ["kind", ", ".join([found["kind"], *more])],
        ["pieces", f"{found['vocabulary']:,}"],
        ["class", found["class"]],
        ["special tokens", "  ".join(few) or "none"],
        ["normaliser", fit(found["normalizer"], COLUMNS)],
        ["cut before", fit(found["pre_tokenizer"], COLUMNS)],
        ["scripts", "  ".join(shares)],
        ["longest pieces", fit("  ".join(found["longest"]), COLUMNS)],
    ]


def _figures(told: dict[str, Any]) -> list[list[str]]:
    """Rows of figures on a text."""
    total = told["documents"]
    return [
        ["tokens", f"{told['tokens']:,}"],
        ["tokens per document", f"{told['tokens_per_document']:,.1f}"],
        ["characters per token", f"{told['characters_per_token']:.3f}"],
        ["bytes per token", f"{told['bytes_per_token']:.3f}"],
        ["unknown tokens", f"{told['unknown_tokens']:,} ({_percent(told['unknown_share'])})"],
        ["byte tokens", f"{told['byte_tokens']:,} ({_percent(told['byte_share'])})"],
        ["pieces used", f"{told['pieces_used']:,} ({_percent(told['used_share'])})"],
        ["decoded exactly", f"{told['exact']:,} of {total:,}"],
        ["  after its normaliser", f"{told['exact_normalized']:,} of {total:,}"],
        ["characters lost", f"{told['lost_characters']:,}"],
        ["characters added", f"{told['added_characters']:,}"],
        ["characters a second", f"{told['characters_per_second']:,.0f}"],
        ["megabytes a second", f"{told['megabytes_per_second']:.2f}"],
    ]


def _characters(told: dict[str, Any], most: int = 12) -> list[list[str]]:
    """Rows that name characters, at most so many of each; only those where there are some."""
    lists = {
        "unknown": "unknown_characters", "lost": "lost", "added": "added",
        "normalised away": "normalized_characters",
    }  # fmt: skip
    return [
        [
            what,
            ", ".join([f"{named(char)}: {count:,}" for char, count in told[key][:most]])
            + (", …" if len(told[key]) > most else ""),
        ]
        for what, key in lists.items()
        if told[key]
    ]


def _fewest(found: list[dict[str, Any]]) -> str:
    ranked = sorted(found, key=lambda one: one["text"]["tokens"])
    least = ranked[0]["text"]["tokens"]
    best = [one["name"] for one in ranked if one["text"]["tokens"] == least]
    share = least / ranked[0]["text"]["characters"]
    if len(best) > 1:
        return f"{' and '.join(best)} write equally few tokens: {share:.3f} a character"
    other = ranked[1]["text"]
    more = 100 * (other["tokens"] / max(1, least) - 1)
    return f"{best[0]} writes the fewest tokens: {share:.3f} a character; the next takes {more:.1f} % more"


def _borders(found: dict[str, Any]) -> list[str]:
    return [fit("|".join(example["tokens"]), 2 * COLUMNS) for example in found["examples"]]


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 0.00005 or not share else "< 0.01 %"
