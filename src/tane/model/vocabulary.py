"""Another tokenizer for a pretrained model: the rows of its embeddings and its output are made anew.

A piece that the old vocabulary has keeps its row. A new piece starts at the mean of the rows of the old
pieces into which the old tokenizer splits its text; one that the old tokenizer cannot write, at the mean of
all. A special token takes the row of the old one of its role. Vocabularies that spell alike (both with ##,
both with ▁, both by bytes) are compared by spelling, others by what their pieces say.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tane import progress
from tane.errors import InputError
from tane.text import japanese
from tane.tokens import taken
from tane.tokens.describe import Spelling
from tane.tokens.encoder import Encoder
from tane.types import Vocabulary

# the roles of special tokens, and the old ones that stand in for each; of several roles the first counts
ROLES = {
    "eos": ("eos", "sep"), "bos": ("bos", "cls"), "unk": ("unk",), "cls": ("cls", "bos"),
    "sep": ("sep", "eos"), "mask": ("mask",), "pad": ("pad",),
}  # fmt: skip
OWN = "go on with its own tokenizer: --model.keep_tokenizer true, and no --tokenizer.path"


class Origins(NamedTuple):
    """Where the row of each of N new pieces comes from.

    ids: old pieces of all new ones, one after another (int64); counts (N,) int64: how many each has, 0 for
    the mean of all; kept (N,) bool: it is the row of the same piece.
    """

    ids: np.ndarray
    counts: np.ndarray
    kept: np.ndarray


def change_vocabulary(
    model: Any, auto_model: str, old: Path, new: Path, vocabulary: Vocabulary, multiple: int
) -> Any:
    """The model for the tokenizer in `new`; itself, untouched, where that has the pieces of the model's own.

    model: in fp32 on the CPU, opened from the folder `old`, which has its tokenizer too; auto_model: the
    class of transformers that opened it; vocabulary: of `new`; multiple: rows are padded to one of this.
    Raises InputError where a tokenizer is missing or does not belong to its model.
    """
    before, after = _own(old), _Pieces(new)
    rows = model.get_input_embeddings().weight.shape[0]
    if before.size > rows:
        raise InputError(
            f"{old}: the model has {rows:,} embedding rows, but its tokenizer has {before.size:,} pieces",
            "give a folder whose tokenizer and weights belong together",
        )
    if before.spelled == after.spelled:
        return model
    found = origins(before, after)
    kept, composed = int(found.kept.sum()), int(((found.counts > 0) & ~found.kept).sum())
    progress.say(
        f"the new tokenizer has {after.size:,} pieces: {kept:,} keep their rows, {composed:,} start at the "
        f"mean of old pieces, {after.size - kept - composed:,} at the mean of all"
    )
    return _rebuild(model, auto_model, found, before.size, after, vocabulary, multiple)


def _own(folder: Path) -> _Pieces:
    """The pieces of a model's own tokenizer, also where it lies there as a bare file."""
    try:
        return _Pieces(folder)
    except InputError as error:
        first = error
    for dictionary in (None, "ipadic"):  # who cuts words matters little to the parts of single pieces
        with tempfile.TemporaryDirectory(prefix="tane-") as place:
            try:
                taken.take(folder, Path(place), dictionary=dictionary)
                return _Pieces(Path(place))
            except InputError:
                continue
    raise InputError(
        f"{folder}: the tokenizer with which the model was trained is needed to know its rows: "
        f"{first.message}",
        f"put its tokenizer.json and tokenizer_config.json into {folder}",
    )


class _Pieces:
    """A tokenizer's pieces: how they are spelled, what they say, and whether they begin a word.

    style: vocabularies of one style spell the same text alike; marked: it tells pieces that begin a word from
    others, by ## or by a space.
    """

    def __init__(self, folder: Path) -> None:
        self.encoder = Encoder(folder)
        tokenizer = self.encoder.tokenizer
        spelling = self.spelling = Spelling(tokenizer)
        self.spelled = spelling.pieces
        self.size = len(self.spelled)
        self.numbers = {piece: number for number, piece in enumerate(self.spelled) if piece}
        self.roles = {role: getattr(tokenizer, f"{role}_token_id") for role in ROLES}
        added = tokenizer.added_tokens_decoder.items()
        self.special = set(spelling.special) | {number for number, token in added if token.special}
        self.style = (spelling.byte_level, spelling.prefix, spelling.suffix, spelling.spaces)
        self.words = bool(spelling.prefix)
        self.marked = self.words or spelling.byte_level or spelling.spaces
        self.said: dict[tuple[str, bool], int] = {}
        self.bytes: dict[bytes, int] = {}
        for number in range(self.size):
            if number in self.special or not self.spelled[number]:
                continue
            text = spelling.text(number)
            if text is None or spelling.byte_level:
                self.bytes.setdefault(self.code(number), number)
            if text is not None:
                self.said.setdefault(self.key(number), number)
        firsts = self.encode(["a", "の"]) if spelling.spaces or spelling.byte_level else []
        # whether the tokenizer itself puts a space before a text
        self.prepends = any(len(ids) and self.text(ids[0]).startswith(" ") for ids in firsts)

    def text(self, number: int) -> str:
        """The text of a piece, "" where it is bytes."""
        return self.spelling.text(number) or ""

    def key(self, number: int) -> tuple[str, bool]:
        """(text without its mark, whether the piece begins a word)."""
        text = self.text(number)
        if self.words:
            return text, not self._goes_on(number)
        bare = text.removeprefix(" ") if self.marked else text
        return (bare, True) if bare and bare != text else (text, False)

    def _goes_on(self, number: int) -> bool:
        prefix, piece = self.spelling.prefix, self.spelled[number]
        return piece.startswith(prefix) and piece != prefix

    def code(self, number: int) -> bytes:
        """The bytes of a piece."""
        text = self.spelling.text(number)
        if text is not None:
            return text.encode("utf-8", "surrogatepass")
        return bytes.fromhex(self.spelling.shown(number)[1:-1])  # shown as <E3 81>

    def cover(self, code: bytes) -> list[int]:
        """Pieces that together are these bytes, the longest first; none where some byte has no piece."""
        found: list[int] = []
        start = 0
        while start < len(code):
            ends = range(len(code), start, -1)
            end = next((end for end in ends if code[start:end] in self.bytes), None)
            if end is None:
                return []
            found.append(self.bytes[code[start:end]])
            start = end
        return found

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Ids of each text, without those for what is unknown."""
        unknown = -1 if self.encoder.unk_id is None else self.encoder.unk_id
        return [ids[ids != unknown] for ids in self.encoder.encode_batch(texts)]


def origins(old: _Pieces, new: _Pieces) -> Origins:
    """Where each row of the new vocabulary comes from; a function of the two tokenizers alone."""
    parts: list[Any] = [()] * new.size
    kept = np.zeros(new.size, dtype=bool)
    waiting: list[int] = []
    for number, piece in enumerate(new.spelled):
        same = _special(old, new, number) if number in new.special else _same(old, new, number)
        if same is not None:
            parts[number], kept[number] = (same,), True
        elif piece and number not in new.special:
            if new.spelling.text(number) is None:
                parts[number] = old.cover(new.code(number))
            else:
                waiting.append(number)
    for number, ids in zip(waiting, _split(old, new, waiting), strict=True):
        parts[number] = ids
    counts = np.fromiter(map(len, parts), np.int64, new.size)
    every = np.fromiter((i for part in parts for i in part), np.int64, int(counts.sum()))
    return Origins(every, counts, kept)


def _special(old: _Pieces, new: _Pieces, number: int) -> int | None:
    """The old token of a special token's role, or of its spelling."""
    for role, likes in ROLES.items():
        if new.roles[role] == number:
            found = next((old.roles[like] for like in likes if old.roles[like] is not None), None)
            if found is not None:
                return found
    return old.numbers.get(new.spelled[number])


def _same(old: _Pieces, new: _Pieces, number: int) -> int | None:
    """The old piece that is a new one, if there is one."""
    if old.style == new.style:
        found = old.numbers.get(new.spelled[number])
        return None if found in old.special else found
    if new.spelling.text(number) is None:
        return old.bytes.get(new.code(number))
    text, _ = new.key(number)
    begins = _begins(old, new, number)
    alike = old.marked and new.marked and old.words == new.words  # both write the space
    marks = (begins,) if alike else (begins, not begins)
    return next((old.said[text, mark] for mark in marks if (text, mark) in old.said), None)


def _begins(old: _Pieces, new: _Pieces, number: int) -> bool:
    """Whether a new piece, written in the old way, is one that begins a word.

    Where words are not parted by spaces, ## says that a word goes on, but no space says nothing: 東京 of a
    SentencePiece model is 東京 and not ##東京 of a WordPiece one.
    """
    text, begins = new.key(number)
    if old.words != new.words and text and japanese.kind(text[0]) in japanese.JAPANESE:
        return old.words
    return begins if new.marked else old.words


def _split(old: _Pieces, new: _Pieces, numbers: list[int]) -> Iterator[list[int]]:
    """The old pieces of the texts of new ones, the first with the mark that the new one has."""
    keys = [(new.key(number)[0], _begins(old, new, number)) for number in numbers]
    leads = [" " if begins and not (old.words or old.prepends) else "" for _, begins in keys]
    encoded = old.encode([lead + text for lead, (text, _) in zip(leads, keys, strict=True)])
    for (text, begins), found in zip(keys, encoded, strict=True):
        ids = [int(i) for i in found]
        if ids and old.marked and ids[0] not in old.special:
            first, mark = old.key(ids[0])
            if first == " " and not text.startswith(" ") and (not begins or len(ids) == 1):
                ids = ids[1:]  # the space that the tokenizer puts before a text; what follows may be unknown
            elif mark != begins and old.spelling.text(ids[0]) is not None:
                ids[0] = old.said.get((first, begins), ids[0])
        yield ids


# ------------------------------------------------------------------------------------------- the model's rows


def _rebuild(
    model: Any, auto_model: str, found: Origins, pieces: int, after: _Pieces, vocabulary: Vocabulary,
    multiple: int,
) -> Any:  # fmt: skip
    """A model of the changed config with all weights of the old one but the rows, which are made anew.

    Built from its config and not resized in place: it is what opening the saved folder will give.
    """
    import transformers

    config, state = copy.deepcopy(model.config), model.state_dict()
    new_pad = vocabulary.pad_id
    old_pad: Any = getattr(config, "pad_token_id", None)
    config.vocab_size = -(-after.size // multiple) * multiple
    _set_ids(config, after, vocabulary)
    weights, biases = _tables(model)
    for name in weights | biases:
        state[name] = _rows(state[name][:pieces], found, config.vocab_size, lowest=name in biases)
    places = _counted_positions(model) if new_pad != old_pad else []
    for name in places:
        table = state[f"{name}.weight"]
        if new_pad >= len(table):
            raise _far_padding(model, new_pad)
        state[f"{name}.weight"] = torch.cat([table[old_pad].expand(new_pad + 1, -1), table[old_pad + 1 :]])
    if places:
        config.max_position_embeddings += new_pad - old_pad
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
        fresh = getattr(transformers, auto_model).from_config(config)
    if any(fresh.get_submodule(name).padding_idx != new_pad for name in places):
        raise _far_padding(model, new_pad)
    try:
        fresh.load_state_dict(state)
    except RuntimeError:
        what = f"{type(model).__name__} has more by its vocabulary than the rows of its pieces"
        raise InputError(what, OWN) from None
    if model.can_generate():
        fresh.generation_config = copy.deepcopy(model.generation_config)
        _set_ids(fresh.generation_config, after, vocabulary)
    return fresh.train(model.training)


def _tables(model: Any) -> tuple[set[str], set[str]]:
    """The names of what has a row for each piece: (weights, biases), tied ones by each of their names."""
    head = model.get_output_embeddings()
    owners = [head] if head is not None else []
    owners += [m for m in model.modules() if head is not None and any(c is head for c in m.children())]
    rows = model.get_input_embeddings().weight.shape[0]
    weights = {id(getattr(m, "weight", None)) for m in (model.get_input_embeddings(), head)}
    biases = {id(m._parameters["bias"]) for m in owners if m._parameters.get("bias") is not None}
    named = [(n, p) for n, p in model.named_parameters(remove_duplicate=False) if p.shape[0:1] == (rows,)]
    return {n for n, p in named if id(p) in weights}, {n for n, p in named if id(p) in biases and p.ndim == 1}


def _rows(table: torch.Tensor, found: Origins, rows: int, *, lowest: bool) -> torch.Tensor:
    """The new rows (rows, ...) from those of the old pieces; lowest: padding gets the minimum, not the
    mean."""
    flat = table.reshape(len(table), -1)  # (old pieces, H)
    ids, counts = torch.from_numpy(found.ids), torch.from_numpy(found.counts)
    mean = flat.mean(0)
    made = torch.nn.functional.embedding_bag(ids, flat, counts.cumsum(0) - counts, mode="mean")
    made[counts == 0] = mean
    single = counts == 1
    made[single] = flat[ids[(counts.cumsum(0) - counts)[single]]]  # to the bit
    rest = flat.amin(0) if lowest else mean
    return torch.cat([made, rest.expand(rows - len(made), -1)]).reshape(rows, *table.shape[1:])


def _set_ids(config: Any, after: _Pieces, vocabulary: Vocabulary) -> None:
    """Write the new tokenizer's ids over those that a config or generation config names; no other stays."""
    fallback = {"pad": vocabulary.pad_id, "eos": vocabulary.eos_id, "bos": vocabulary.eos_id}
    for key in list(config.to_dict()):
        role = key.removesuffix("_token_id")
        if role != key and (getattr(config, key) is not None or after.roles.get(role) is not None):
            number = after.roles.get(role)
            setattr(config, key, fallback.get(role) if number is None else number)
        elif key in ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"):
            setattr(config, key, None)


def _counted_positions(model: Any) -> list[str]:
    """The position tables of a family that counts positions from the padding token's id, as RoBERTa does."""
    return [
        name
        for name, module in model.named_modules()
        if name.endswith(".position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]


def _far_padding(model: Any, pad_id: int) -> InputError:
    return InputError(
        f"{type(model).__name__} counts positions from the id of its padding token, and cannot from "
        f"{pad_id:,}, which is that of the new tokenizer",
        f"give a tokenizer whose padding token is the id {model.config.pad_token_id}, or {OWN}",
    )
