"""The plan of a recipe that trains on text: its figures, its first blocks, and what often goes wrong.

Tokens are known where the data is prepared; before that they are estimated from the size of the files.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from tane import files
from tane.errors import InputError, IntegrityError
from tane.model.attention import usual_way
from tane.model.build import PAD_TO, build_config, check_head, find_model, freeze, hushed
from tane.model.folder import check_size, check_weights, first_line, open_config
from tane.recipe import Recipe, tokenizer_settings
from tane.text.corpus import Corpus, fingerprint, input_state
from tane.text.inputs import InputSettings
from tane.tokens.encoder import Encoder
from tane.tokens.mix import Mix, mixed
from tane.tokens.prepare import tokenizer_fingerprint
from tane.tokens.shards import Shards
from tane.training import memory, pretraining, run
from tane.training import probe as probing
from tane.training.pretraining import batch_rows, scale_of
from tane.types import Vocabulary
from tane.use import blocks, forecast
from tane.use.mistakes import documents, find_mistakes, gather
from tane.use.mistakes.facts import Looked, Pieces
from tane.use.tokenizers import opened

# UTF-8 bytes of Japanese text for each piece of a unigram tokenizer with 8,000 (8.0 MB of prose gave 1.54 M)
BYTES_PER_TOKEN = 5.2
TRIED = 200_000  # characters of text that is not prepared, on which a given tokenizer is tried


class Text(NamedTuple):
    """What is known of the text. tokens: of an epoch of training; stored: the same, each document once;
    valid: of validation; counted: whether the data is prepared, else all are estimated; sizes: blocks by
    epoch; padding: share of their positions that hold nothing; pieces: of its tokenizer, if that is there."""

    tokens: int
    stored: int
    valid: int
    vocabulary: Vocabulary
    counted: bool
    sizes: Any
    padding: float | None = None
    pieces: Pieces | None = None


def plan_text(recipe: Recipe, probe: bool, show: int) -> dict[str, Any]:
    """The values of `plan`. Raises InputError as training would."""
    with contextlib.ExitStack() as held:
        text, encoder = _prepared(recipe), None
        if text is None:
            encoder = held.enter_context(_given(recipe))
            text = _estimated(recipe, encoder)
        values, model = _figures(recipe, text, probe)
        looked = _looked(recipe, text)
        pieces = text.pieces if encoder is None else _tried(recipe, encoder, looked)
    facts = gather(
        recipe, values, model, looked, tokens=text.stored, pieces=pieces, padding=text.padding,
        passes=_passes(recipe, values["epochs"]), written=0 if text.counted else 2 * text.stored,
    )  # fmt: skip
    ready = show and text.counted and _has_words(recipe)
    shown = [one.told() for one in blocks.first_blocks(recipe, show)] if ready else []
    warned = [one._asdict() for one in find_mistakes(facts)]
    return {
        **values, "looked_at": looked.told(), "warnings": warned, "first_blocks": shown if show else None
    }  # fmt: skip


def _figures(recipe: Recipe, text: Text, probe: bool) -> tuple[dict[str, Any], Any]:
    """The figures, and the model without memory."""
    size, vocabulary = recipe.objective.block_size, text.vocabulary
    rows = batch_rows(recipe.sections())
    if rows < 1:
        raise InputError(f"train.batch_tokens is {recipe.train.batch_tokens}, less than one block of {size}")
    recipe = recipe.with_values(run.resolve_machine(recipe.train))
    model = _blueprint(recipe, vocabulary)
    if not text.counted and _keeps_vocabulary(recipe):
        vocabulary = probing.made_up_vocabulary(model.config.vocab_size)
    base, way = forecast.base_of(recipe.train.device), recipe.train.attention
    if way == "auto":
        way = usual_way(recipe.train.device, recipe.train.precision, recipe.objective.packs_segments, size)
    micro = memory.micro_rows(recipe.sections(), model, way, rows)
    recipe = recipe.with_values({"train.micro_batch_tokens": micro * size})
    even = -(-rows // -(-rows // micro))  # as the global batch is cut
    estimate = memory.peak_of_rows(recipe.sections(), model, way, even, rows)
    measured = None
    if probe:
        measured = _probe(recipe, vocabulary, model, text)
        recipe = recipe.with_values(probing.in_steps(recipe.sections(), measured))
    scale = scale_of(recipe.sections(), recipe.train.duration, text.sizes)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    parameters, kept = sum(p.numel() for p in model.parameters()), recipe.optim.state_size(model)
    checkpoint_bytes = 4 * (parameters + kept)  # all fp32
    steps = forecast.steps_of(recipe, scale, trained * rows * size)
    varies = recipe.objective.packs_segments
    return {
        "parameters": parameters,
        "trained_parameters": trained,
        "tokens": text.tokens,
        "valid_tokens": text.valid,
        "tokens_are": "counted" if text.counted else "estimated",
        "pieces": vocabulary.size,
        "blocks": max(1, round(scale["steps_per_epoch"] * rows)),
        "duration": str(recipe.train.duration),
        "tokens_per_step": rows * size,
        "micro_batch_tokens": micro * size,
        "micro_batches_per_step": -(-rows // micro),
        **steps,
        "checkpoint_bytes": checkpoint_bytes,
        "disk_bytes": checkpoint_bytes * (recipe.train.keep + 2) + text.stored * 2,
        "state_memory_bytes": 4 * (parameters + trained + kept),  # weights, gradients, optimizer
        **forecast.memory_of(recipe, estimate, base, measured, steps["steps"], varies=varies),
        **forecast.time_of(recipe, scale, measured, checkpoint_bytes, evaluates=text.valid > 1),
    }, model


def _probe(recipe: Recipe, vocabulary: Vocabulary, model: Any, text: Text) -> probing.Measured:
    """Its speed on the prepared text, or on made-up tokens where there is none yet."""
    sections, data = recipe.sections(), recipe.data_path
    start: run.Start = functools.partial(pretraining.start, sections, data, {})
    if not (text.counted and _has_words(recipe)):
        start = probing.made_up(sections, vocabulary, model, text.valid)
    return probing.measure(sections, start, run.runtime_of(recipe.train))


def _has_words(recipe: Recipe) -> bool:
    """Whether the prepared data knows words as far as the objective asks for them."""
    return recipe.objective.word_starts is None or (recipe.data_path / "words").is_dir()


def _passes(recipe: Recipe, epochs: float | None) -> float | None:
    """How often the input of the largest weight is read."""
    weights = [one.weight if isinstance(one, InputSettings) else 1.0 for one in recipe.corpus.inputs]
    return None if epochs is None else epochs * max(weights, default=1.0)


# ------------------------------------------------------------------------------------------------- the text


def _prepared(recipe: Recipe) -> Text | None:
    """The text as it is prepared; None where it is not, or from other files or settings."""
    folder = recipe.data_path
    try:
        corpus = files.Manifest.read(folder / "corpus", "corpus")
        if recipe.corpus.inputs:
            now = fingerprint(recipe.corpus, input_state(recipe.corpus))
            if now != corpus.meta["fingerprint"]:
                return None
        taken, specials = tokenizer_settings(recipe), recipe.objective.specials
        now = tokenizer_fingerprint(taken, specials, corpus.fingerprint)
        if now != files.Manifest.read(folder / "tokenizer", "tokenizer").meta["fingerprint"]:
            return None
        shards = Shards(folder / "shards", "train")
        source = mixed(shards, recipe.seed)
        tokens = int(source.mean_tokens) if isinstance(source, Mix) else len(source)
        encoder = Encoder(folder / "tokenizer")
        found = recipe.objective.blocks(source, encoder.vocabulary)
        valid = len(Shards(folder / "shards", "valid"))
    except IntegrityError:
        return None
    counts = shards.meta["splits"]["train"]
    name = recipe.tokenizer.path or str(folder / "tokenizer")
    pieces = Pieces.of(encoder, name, counts["unknown"] / max(1, counts["tokens"]))
    return Text(
        tokens, len(shards), valid, encoder.vocabulary, True, found.sizes, _padding(found), pieces
    )  # fmt: skip


def _padding(found: Any) -> float | None:
    """Share of the positions of the first epoch's blocks that hold nothing; None where they do not tell."""
    first = found.at(0)
    if hasattr(first, "filled"):
        return 1.0 - first.filled
    if hasattr(first, "tokens_of"):
        return 1.0 - first.tokens_of(np.arange(len(first))) / max(1, len(first) * first.block_size)
    return None


def _estimated(recipe: Recipe, encoder: Encoder | None) -> Text:
    """The text by the size of its files. encoder: of the tokenizer, if that is there."""
    weighted = stored = valid = 0.0
    share = 0.0 if recipe.corpus.valid_inputs else recipe.corpus.valid_fraction
    for one in input_state(recipe.corpus):
        size = one["bytes"] * (3 if one["path"].endswith((".gz", ".zst")) else 1) / BYTES_PER_TOKEN
        mine = size if one["role"] == "valid" else share * size
        valid += mine
        stored += size - mine
        weighted += one["weight"] * (size - mine)
    count = max(1, -(-(int(weighted) - 1) // recipe.objective.block_size))
    pieces = recipe.tokenizer.vocab_size if encoder is None else encoder.vocab_size
    # a tokenizer that is trained pads with a token of its own
    known = Pieces("of the recipe", pieces, 0, 1, "") if encoder is None else None
    vocabulary = probing.made_up_vocabulary(pieces)
    return Text(int(weighted), int(stored), int(valid), vocabulary, False, count, None, known)


@contextlib.contextmanager
def _given(recipe: Recipe) -> Iterator[Encoder | None]:
    """The tokenizer that the recipe takes; None where it trains one."""
    name = recipe.model.pretrained if _keeps_vocabulary(recipe) else recipe.tokenizer.path
    if name is None:
        yield None
        return
    with opened(name, recipe.tokenizer.dictionary) as encoder:
        yield encoder


def _keeps_vocabulary(recipe: Recipe) -> bool:
    model, taken = recipe.model, recipe.tokenizer
    return model.pretrained is not None and model.keep_tokenizer and taken.path is None


def _looked(recipe: Recipe, text: Text) -> Looked:
    if text.counted:
        return documents.of_corpus(Corpus.open(recipe.data_path / "corpus"))
    return documents.of_inputs(recipe.corpus)


def _tried(recipe: Recipe, encoder: Encoder, looked: Looked) -> Pieces:
    """A given tokenizer, tried on some of the text."""
    texts: list[str] = []
    size = 0
    for _, text in looked.train:
        texts.append(text[: TRIED - size])
        size += len(texts[-1])
        if size >= TRIED:
            break
    found = encoder.encode_batch(texts)
    unknown = sum(int((ids == encoder.unk_id).sum()) for ids in found) if encoder.unk_id is not None else 0
    share = unknown / max(1, sum(len(ids) for ids in found))
    return Pieces.of(encoder, recipe.tokenizer.path or str(recipe.model.pretrained), share)


# ------------------------------------------------------------------------------------------------ the model


def _blueprint(recipe: Recipe, vocabulary: Vocabulary) -> Any:
    """The recipe's model on torch's meta device: shapes without memory. Raises InputError where there is no
    such model."""
    import transformers

    auto, where = getattr(transformers, recipe.objective.auto_model), "model.config"
    if recipe.model.pretrained is not None:
        folder = find_model(recipe.model.pretrained)
        where, config = str(folder), open_config(folder)
        with hushed():
            check_size(folder, config, auto, check_weights(folder))
        if not _keeps_vocabulary(recipe):
            config.vocab_size = -(-vocabulary.size // PAD_TO) * PAD_TO
    else:
        config = build_config(
            recipe.model, recipe.objective.block_size, vocabulary, recipe.objective.default_preset
        )
        check_head(config, recipe.objective.auto_model)
    try:
        with torch.device("meta"), hushed():
            model = auto.from_config(config)
    except Exception as error:  # sizes that do not go together, or that no number counts
        raise InputError(f"{where}: {first_line(error)}") from None
    freeze(model, recipe.train.freeze)
    return model
