"""`tane evaluate`: how well a model predicts a text, in nats, perplexity, bits per character and per byte.

Summed nats over summed targets, never a mean of means. Each document ends with EOS, and the stream begins
with one, so that every token of the text is a target exactly once. Bits per character count the characters of
the normalised text; comparing models of different tokenizers is fair only by them. Masked models, which have
no such probability of a text, are scored in evaluate_masked.py.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from tane.errors import InputError
from tane.model.build import find_model, hushed
from tane.settings import build
from tane.text.corpus import CorpusSettings
from tane.text.inputs import HowToRead
from tane.text.rows import RowsSettings
from tane.text.survey import temporary_corpus
from tane.training.labelled import read_examples
from tane.training.resume import RESOLVED, run_of
from tane.types import Result
from tane.use.classifier import is_classifier, open_classifier
from tane.use.evaluate_masked import MASK_PROB, Setup, score
from tane.use.finetune import SHOWN, report_of
from tane.use.masked import is_masked
from tane.use.per_document import Scorer, open_scorer, stream_of, target_nats
from tane.use.predict import as_flags
from tane.yamlio import read_yaml


def evaluate(
    model: str | os.PathLike[str],
    data: str | Sequence[str],
    *,
    block_size: int | None = None,
    mask_prob: float | None = None,
    whole_word: bool = False,
    label: str | None = None,
    device: str = "auto",
    **reading: Unpack[HowToRead],
) -> Result:
    """Score a model on text files; its config.json tells whether it is causal or masked. One with the head of
    a task is scored on a labelled file instead, whose columns are those of its training, or `column` (texts,
    in their order) and `label` (the answer): `evaluate_labels` says what comes back.

    reading: column, sheet, split, format, quoting, unit, encoding, normalize, as in a recipe's corpus; what
    is not given is that of the run that the model belongs to (but for encoding and format), else the default.
    block_size: positions of context; None takes the model's own. Duplicates are scored, not dropped.

    `metrics`, losses in nats: {loss, perplexity, bits_per_char, bits_per_byte, tokens (targets), chars,
    documents, block_size}, and of a causal model bits_per_char_without_eos. Of a masked model the bits are
    None, and there are: accuracy, mask_prob, whole_word, and pseudo_perplexity of pseudo_tokens tokens, each
    hidden alone and the rest of its segment shown: all tokens, or of a longer text a fixed choice of them.
    mask_prob, whole_word (masked models only): the share of tokens that are hidden, 0.15 if None, and whether
    words are hidden as wholes: the tokenizer's own, else ipadic's.
    """
    folder = find_model(model)
    if is_classifier(folder):
        if mask_prob is not None or whole_word or block_size is not None:
            raise InputError(
                f"{folder} labels texts: it has no tokens to hide", "leave out --mask-prob and --whole-word"
            )
        return _labelled(folder, [data] if isinstance(data, str) else list(data), label, reading, device)
    if label is not None:
        raise InputError(f"{folder} has no head for labels", "leave out --label")
    masked = is_masked(folder)
    if not masked and (mask_prob is not None or whole_word):
        raise InputError(
            f"{folder} is no masked language model: it has no tokens to hide",
            "leave out --mask-prob and --whole-word",
        )
    if mask_prob is not None and not 0 < mask_prob < 1:
        raise InputError(f"--mask-prob: expected above 0 and below 1, found {mask_prob}")
    settings = _text_settings(folder, [data] if isinstance(data, str) else list(data), reading)
    scorer = open_scorer(folder, masked=masked, device=device, length=block_size)
    with hushed(), temporary_corpus(settings, tell=True) as corpus:
        if masked:
            prob = MASK_PROB if mask_prob is None else mask_prob
            setup = Setup(scorer.loss, scorer.encoder, scorer.length, prob, whole_word, scorer.device)
            return Result(str(folder), score(setup, corpus))
        return Result(str(folder), _causal(scorer, list(corpus.texts("train"))))


def _causal(scorer: Scorer, texts: list[str]) -> dict[str, Any]:
    """The metrics of a causal model."""
    stream, _ = stream_of(texts, scorer.encoder)
    ends, targets = stream[1:] == scorer.encoder.eos_id, len(stream) - 1
    nats = eos_nats = 0.0
    for start, part in target_nats(scorer, stream):
        nats += float(part.sum())
        eos_nats += float(part[ends[start : start + len(part)]].sum())
    chars, size = sum(map(len, texts)), sum(len(t.encode()) for t in texts)
    return {
        "loss": nats / targets,
        "perplexity": math.exp(min(700.0, nats / targets)),
        "bits_per_char": nats / math.log(2) / chars,
        "bits_per_byte": nats / math.log(2) / size,
        "tokens": targets,
        "chars": chars,
        "documents": len(texts),
        "bits_per_char_without_eos": (nats - eos_nats) / math.log(2) / chars,
        "block_size": scorer.length,
    }


def _labelled(folder: Path, data: list[str], label: str | None, reading: HowToRead, device: str) -> Result:
    """The scores of a model with the head of a task."""
    if len(data) != 1:
        raise InputError(f"{folder} is scored on one labelled file, and {len(data)} are named", "--data FILE")
    given: dict[str, Any] = {name: value for name, value in reading.items() if value is not None}
    columns = given.pop("column", None)
    other = sorted(given.keys() - RowsSettings.model_fields.keys())
    if other:
        raise InputError(f"{folder} reads rows with labels: --{other[0]} does not apply", "leave it out")
    return evaluate_labels(
        folder, data[0], build(RowsSettings, given, "flags"), label=label, device=device,
        columns=[columns] if isinstance(columns, str) else columns,
    )  # fmt: skip


def evaluate_labels(
    model: str | os.PathLike[str],
    file: str,
    rows: RowsSettings | None = None,
    *,
    columns: Sequence[str] | None = None,
    label: str | None = None,
    device: str = "auto",
) -> Result:
    """The scores of a model with the head of a task on a labelled file.

    columns, label: its columns with text, in their order, and with the answer, if not those of the training.
    metrics: those of the report that `score_page.page` shows (scores, intervals, baseline, confusion, up to
    200 wrong examples), and each score by its name.
    """
    classifier = open_classifier(model, pairs=columns is not None and len(columns) == 2, device=device)
    if classifier.several:
        raise InputError(
            f"{classifier.folder} gives a text several labels, which have no scores here",
            "label the file with tane predict",
        )
    if not classifier.given and columns is None:
        raise InputError(
            f"{classifier.folder} does not say which columns it was trained on",
            "name those with text, and the one with the answer: --column TEXT [TEXT2] --label LABEL",
        )
    if columns is not None:
        classifier = classifier.with_columns(columns)
    task = classifier.task
    data = task.data.model_copy(update=(rows or RowsSettings()).model_dump())
    task = task.model_copy(update={"data": data, "label": label or task.label})
    try:
        examples = read_examples(task, type(data.train)(path=file), classifier.names)
    except InputError as error:
        error.remedy = _as_flags(error.remedy, classifier.column_hint)
        raise
    if not examples.items:
        raise InputError(f"no labelled example ({examples.told()})", "look at the file: is it the right one?")
    found = report_of(replace(classifier, task=task), examples, [], "a labelled file", metric=task.decides)
    found["wrong"] = found["wrong"][:SHOWN]
    return Result(str(classifier.folder), {**found, **found["scores"]})


def _as_flags(remedy: str, hint: str) -> str:
    """A remedy in the words of a recipe in those of this verb. hint: how to name columns with text."""
    remedy = as_flags(remedy)
    if re.search(r"--task\.(text_pair|text|choices)\b", remedy):
        return hint or re.sub(r"--task\.\w+", "--column", remedy)
    remedy = re.sub("mend it, or name all labels:.*", "mend it, or leave the row out", remedy)
    return remedy.replace("--task.label ", "--label ")


def _text_settings(folder: Path, data: list[str], reading: HowToRead) -> CorpusSettings:
    run_dir = run_of(folder)
    own = read_yaml(run_dir / RESOLVED).get("corpus", {}) if run_dir else {}
    of_files = {"encoding", "format"}  # of the run's own files, not of these
    kept = {name: own[name] for name in HowToRead.__annotations__.keys() - of_files if own.get(name)}
    given = {name: value for name, value in reading.items() if value is not None}
    values = {"inputs": data, "valid_fraction": 0.0, "dedup": "none", **kept, **given}
    return build(CorpusSettings, values, "evaluate")
