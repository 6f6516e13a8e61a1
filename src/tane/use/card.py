"""The model card of an export, in English and Japanese: what the model is, how it was made, how to use it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane import files
from tane.errors import InputError, IntegrityError
from tane.text.rows import RowsSettings
from tane.tokens.words import OWN
from tane.training import checkpoint
from tane.training.resume import RESOLVED
from tane.training.tracker import LOG, read_metrics
from tane.use.card_words import ENGLISH, JAPANESE, Words
from tane.use.classifier import is_classifier
from tane.use.finetune import TRIALS
from tane.use.masked import architecture, is_masked
from tane.use.verify import data_of
from tane.yamlio import dump_yaml, read_yaml

if TYPE_CHECKING:
    from tane.text.ledger import Ledger

JAPANESE_CLASS = "BertJapaneseTokenizer"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
MOST_LABELS = 50
BAR = "&#124;"  # | in a cell of a markdown table
SHOWN = ("mask_prob", "mask_share", "random_share", "whole_word", "words", "span")  # of a masked objective


def model_card(
    folder: Path, tokenizer: Any, usage: list[str], run_dir: Path | None, source: Path, version: str,
    *, name: str = "",
) -> str:  # fmt: skip
    """README.md of an export: English, then Japanese, which points to the Python and the recipe above it.

    folder: the export; tokenizer: its tokenizer; usage: the lines of `use_of`; source: the model folder that
    it was copied from, and run_dir the run of that, if it is one's; version: of tane; name: of the model,
    where it is of no run.
    """
    config, task = read_json(folder / "config.json"), read_json(folder / checkpoint.TASK)
    _check_task(folder / checkpoint.TASK, task)
    run = run_dir if run_dir is not None and (run_dir / LOG).exists() else None
    recipe = read_yaml(run / RESOLVED) if run is not None else {}
    base = recipe.get("model", {}).get("pretrained")

    def what(words: Words) -> str:
        """The first sentence."""
        how = words("exported" if run is None else "fine-tuned" if task else "trained")
        told = "A {type} model with {pieces} pieces" + (" for {kind}" if task else "")
        told += ", {how} with tane {version}" + (" from {base}" if task and base else "") + "."
        return words(
            told, type=config.get("model_type"), pieces=f"{len(tokenizer):,}", kind=task.get("kind"), how=how,
            version=version, base=base if not base or _is_hub_id(base) else Path(base).name,
        )  # fmt: skip

    def about(words: Words) -> list[str]:
        """What it is for, its scores, and how it was trained."""
        lines = _task(task, words) if task else _labels(folder, config, words)
        if run is not None:
            masked = is_masked(folder)
            lines += _task_scores(run, source, words) if task else _scores(run, source, masked, words)
            lines += _machine(run, words)
            if not task:
                lines += _objective(run, recipe, words) if masked else []
                lines += _text(data_of(run, recipe), words)
        return lines

    def limits(words: Words) -> list[str]:
        """What it cannot do."""
        does = "answers as the examples of its training do"
        does = does if is_classifier(folder) else "repeats what its training text says"
        told = words(f"It {does}, mistakes and biases included.")
        licence = words("The licence of the model depends on that text; fill it in before you share it.")
        return [words.heading("Limits"), "", told, licence, ""]

    recipe_shown = []
    if run is not None:
        told = dump_yaml(_task_recipe(recipe) if task else recipe).strip()
        recipe_shown = ["## Recipe", "", "```yaml", told, "```", ""]
    shows = "The Python above shows how to use it"
    return "\n".join([
        "---",
        *(["language: ja"] if is_japanese(tokenizer) else []),
        "library_name: transformers",
        f"pipeline_tag: {pipeline_of(folder)}",
        *([f"base_model: {base}"] if base and _is_hub_id(base) else []),
        "tags: [tane]",
        "---",
        "",
        f"# {run_dir.name if run_dir else name or folder.name}",
        "",
        "[日本語](#日本語)",
        "",
        what(ENGLISH),
        "",
        *usage,
        *about(ENGLISH),
        *recipe_shown,
        *limits(ENGLISH),
        "## 日本語",
        "",
        what(JAPANESE),
        JAPANESE(f"{shows}; the recipe above trains it again." if run is not None else f"{shows}."),
        "",
        *about(JAPANESE),
        *limits(JAPANESE),
    ])  # fmt: skip


def _is_hub_id(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and not Path(name).exists()


def pipeline_of(folder: Path) -> str:
    """The pipeline of transformers that a model folder is for."""
    if is_masked(folder):
        return "fill-mask"
    name = architecture(folder)
    ends = {
        "ForSequenceClassification": "text-classification",
        "ForTokenClassification": "token-classification",
        "ForMultipleChoice": "multiple-choice",
    }
    return next((tag for end, tag in ends.items() if name.endswith(end)), "text-generation")


def _labels(folder: Path, config: dict[str, Any], words: Words) -> list[str]:
    """The labels of a classifier that says no more of what it was trained for."""
    names = list((config.get("id2label") or {}).values())
    told = ", ".join(map(str, names[:MOST_LABELS]))
    if len(names) > MOST_LABELS:
        told = words("{names} and {more} more", names=told, more=f"{len(names) - MOST_LABELS:,}")
    shown = names and len(names) > 1 and is_classifier(folder)
    return [words.heading("Labels"), "", told, ""] if shown else []


def _task(task: dict[str, Any], words: Words) -> list[str]:
    """What a model was fine-tuned for."""
    texts = [task.get("text"), task.get("text_pair"), *(task.get("choices") or ())]
    rows = [("task", task.get("kind")), ("columns with text", ", ".join(name for name in texts if name))]
    rows += [("column with the answer", task.get("label"))]
    if task.get("kind") == "regression":
        rows += [("answer", words("a number"))]
    elif task.get("kind") != "multiple-choice":
        rows += [("labels", ", ".join(filter(None, task.get("label_names") or [])))]
    longest = words("{length} tokens; what is longer is cut", length=task.get("max_length"))
    rows += [("longest input", longest)]
    told = [f"| {words(what)} | {str(value).replace('|', BAR)} |" for what, value in rows]
    return [words.heading("Task"), "", "| | |", "|---|---|", *told, ""]


def _task_scores(run_dir: Path, source: Path, words: Words) -> list[str]:
    """What `tane finetune` wrote of the model that is exported, in its run or, of a trial, in that above."""
    above = run_dir.parent.parent if run_dir.parent.name == TRIALS else run_dir
    place = next((p for p in (run_dir, above) if (p / "scores.json").is_file()), None)
    if place is None or (place / "model").resolve() != source.resolve():
        return []  # another checkpoint or trial than the one that was scored
    lines = []
    for split, report in read_json(place / "scores.json").items():
        count, file = f"{report['examples']:,}", Path(report["file"]).name
        lines += [words.heading("Scores on {split}", split=split), ""]
        lines += [words("{count} examples of {file}", count=count, file=file), ""]
        lines += [_row(*map(words, ("metric", "score", "95 % interval", "baseline"))), "|---|---:|---|---:|"]
        for name, value in report["scores"].items():
            low, high = map(_number, report["intervals"].get(name) or (None, None))
            between = words("{low} to {high}", low=low, high=high) if low and high else ""
            base = _number(report["baseline"].get(name))
            lines += [_row(name, _number(value) or words("undefined"), between, base)]
        what = report["baseline_is"]
        if what.startswith("always ") and ";" not in what:  # a constant answer, and nothing beside it
            lines += ["", words("Baseline: always {what}.", what=what.removeprefix("always "))]
        else:
            lines += ["", words("Baseline: {what}.", what=what)]
        if report.get("spread"):
            told = [
                f"{name} {found['mean']:.3f} ± {found['std']:.3f}" for name, found in report["spread"].items()
            ]
            seeds = ", ".join(map(str, report["seeds"]))
            lines += [words("Over the seeds {seeds}: {scores}.", seeds=seeds, scores=", ".join(told))]
        lines += [""]
    return lines


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _task_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with a task without what only text is prepared by, and what is said twice."""
    told = {name: value for name, value in recipe.items() if name not in ("corpus", "objective", "data_dir")}
    if told.get("tokenizer", {}).get("path") is None:
        told.pop("tokenizer", None)
    else:
        told["tokenizer"] = {name: told["tokenizer"][name] for name in ("path", "dictionary")}
    if told["model"].get("pretrained") is not None:
        told["model"] = {"pretrained": told["model"]["pretrained"]}
    data = dict(told["task"]["data"])
    usual = RowsSettings().model_dump()
    for split in ("train", "valid", "test"):
        file = data.get(split) or {}
        own = {name: value for name, value in file.items() if name == "path" or value != data.get(name)}
        if own:
            data[split] = own if len(own) > 1 else own["path"]
    kept = {name: value for name, value in data.items() if name not in usual or value != usual[name]}
    told["task"] = {**told["task"], "data": kept}
    return told


def example(tokenizer: Any) -> str:
    """A sentence with one mask, of nobody's text."""
    text = "今日は{}がいい。" if is_japanese(tokenizer) else "The weather is {} today."
    return text.format(tokenizer.mask_token)


def packages(config: dict[str, Any]) -> list[str]:
    """What pip must install for a tokenizer beyond transformers, by its tokenizer_config.json."""
    if config.get("tokenizer_class") != JAPANESE_CLASS:
        return []
    words = config.get("word_tokenizer_type", "basic")
    if words == "mecab":
        dictionary = (config.get("mecab_kwargs") or {}).get("mecab_dic", "unidic_lite")
        found = ["fugashi", *([dictionary.replace("_", "-")] if dictionary else [])]
    elif words == "sudachi":
        kind = (config.get("sudachi_kwargs") or {}).get("sudachi_dict_type", "core")
        found = ["sudachipy", f"sudachidict-{kind}"]
    else:
        found = ["rhoknp"] if words == "jumanpp" else []
    return found + (["sentencepiece"] if config.get("subword_tokenizer_type") == "sentencepiece" else [])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a model folder; {} where there is none. Raises InputError where it holds no mapping."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged", "put it back, or delete it if it may be left out")
    return found


def _check_task(path: Path, task: dict[str, Any]) -> None:
    """Raise InputError where the note of what a model was trained for holds what no note does."""
    texts = [task.get(name) for name in ("kind", "text", "text_pair", "label")]
    for name in ("choices", "label_names"):
        value = task.get(name)
        texts += value if isinstance(value, list) else [value]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise InputError(f"{path} is damaged", "put it back, or delete it")


def is_japanese(tokenizer: Any) -> bool:
    """Whether a tokenizer is one for Japanese, by its pieces."""
    pieces = tokenizer.get_vocab()  # those of English BERT have some kana too
    return sum(any("ぁ" <= c <= "ヶ" for c in piece) for piece in pieces) > 0.02 * len(pieces)


def _scores(run_dir: Path, source: Path, masked: bool, words: Words) -> list[str]:
    """What the validation of the exported step measured."""
    lines: list[str] = []
    step = checkpoint.step_of(source)
    for best in (e for e in read_metrics(run_dir, "eval") if e["step"] == step):
        per = "masked token" if masked else "token"
        rows = [(f"validation loss (nats per {per})", f"{best['loss']:.4f}")]
        if masked:
            rows += [("accuracy at masked tokens", f"{best['accuracy']:.2%}")]
        else:
            rows += [("bits per character", f"{best['bits_per_char']:.4f}")]
        rows += [("step", f"{best['step']:,}")]
        lines += [words.heading("Scores"), "", _row(words("measure"), words("value")), "|---|---|"]
        lines += [*(_row(words(what), value) for what, value in rows), ""]
    return lines


def _machine(run_dir: Path, words: Words) -> list[str]:
    """How large the model is, and by what it was trained."""
    lines = []
    for start in read_metrics(run_dir, "start")[:1]:
        count, told = f"{start['parameters']:,}", "{count} parameters; torch {torch}; {precision}."
        lines += [words(told, count=count, torch=start["torch"], precision=start["precision"]), ""]
    return lines


def _objective(run_dir: Path, recipe: dict[str, Any], words: Words) -> list[str]:
    """How a masked model's tokens were hidden."""
    settings = {name: recipe["objective"].get(name) for name in SHOWN}
    settings["words"] = _words(data_of(run_dir, recipe), settings, words)
    rows = [_row(name, _plain(value)) for name, value in settings.items() if value is not None]
    head = _row(words("masked"), words("value"))
    return [words.heading("Objective"), "", head, "|---|---|", *rows, ""]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(data: Path, settings: dict[str, Any], words: Words) -> str | None:
    """Whose words were hidden as wholes, by the data where they are at hand, else as the recipe says."""
    if not settings["whole_word"]:
        return None
    try:
        meta = files.Manifest.read(data / "words", "words").meta
    except IntegrityError:
        return settings["words"]
    own = meta["dictionary"] == OWN
    return words("the tokenizer's own") if own else f"{meta['dictionary']} ({meta['version']})"


def _text(data: Path, words: Words) -> list[str]:
    """What was read, and what became of it; the table stands once."""
    ledger = _ledger(data)
    if ledger is None:
        return []
    read, kept = f"{ledger.read:,}", f"{ledger.kept_characters:,}"
    told = [
        words("{read} characters were read, {kept} kept.", read=read, kept=kept),
        words("What became of the others stands in this ledger:"),
        "",
    ]
    table = ["```", ledger.table(), "```", ""] if words is ENGLISH else []
    return [words.heading("Text"), "", *told, *table]


def _ledger(data: Path) -> Ledger | None:
    """The ledger of prepared data, where they are at hand."""
    from tane.text.ledger import Ledger

    try:
        return Ledger.from_json(files.Manifest.read(data / "corpus", "corpus").meta["ledger"])
    except IntegrityError:
        return None
