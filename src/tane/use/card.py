"""The model card of an export: what the model is, how it was trained, how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tane import files
from tane.errors import IntegrityError
from tane.tokens.words import OWN
from tane.training import checkpoint
from tane.training.resume import RESOLVED
from tane.training.tracker import LOG, read_metrics
from tane.use.masked import architecture, is_masked
from tane.yamlio import dump_yaml, read_yaml

JAPANESE_CLASS = "BertJapaneseTokenizer"
SHOWN = ("mask_prob", "mask_share", "random_share", "whole_word", "words", "span")  # of a masked objective


def model_card(
    folder: Path, tokenizer: Any, usage: list[str], run_dir: Path | None, source: Path, version: str
) -> str:
    """README.md of an export.

    folder: the export; tokenizer: its tokenizer; usage: the lines of `use_of`; source: the model folder that
    it was copied from, and run_dir the run of that, if it is one's; version: of tane.
    """
    config, masked = read_json(folder / "config.json"), is_masked(folder)
    task = read_json(folder / checkpoint.TASK)
    lines = [
        "---",
        *(["language: ja"] if _is_japanese(tokenizer) else []),
        "library_name: transformers",
        f"pipeline_tag: {pipeline_of(folder)}",
        "tags: [tane]",
        "---",
        "",
        f"# {run_dir.name if run_dir else folder.name}",
        "",
        f"A {config.get('model_type')} model with {len(tokenizer):,} pieces, trained with tane {version}.",
        "",
        *usage,
    ]
    if run_dir is not None and (run_dir / LOG).exists():
        recipe = read_yaml(run_dir / RESOLVED)
        if task:
            lines += _task_scores(run_dir, task)
        else:
            lines += _scores(run_dir, source, masked)
            lines += _objective(run_dir, recipe) if masked else []
            ledger = _ledger(data_of(run_dir, recipe))
            lines += ["## Text", "", "```", ledger, "```", ""] if ledger else []
        if task:  # what only text is prepared by
            recipe = {name: value for name, value in recipe.items() if name not in ("corpus", "objective")}
        lines += ["## Recipe", "", "```yaml", dump_yaml(recipe).strip(), "```", ""]
    lines += ["## Limits", "", "It repeats what its training text says, mistakes and biases included."]
    lines += ["The licence of the model depends on that text; fill it in before you share it.", ""]
    return "\n".join(lines)


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


def _task_scores(run_dir: Path, task: dict[str, Any]) -> list[str]:
    """What `tane finetune` wrote beside the run, of a trial beside the run above it."""
    lines = [
        "## Task",
        "",
        f"{task['kind']}; labels: {', '.join(task.get('label_names') or []) or 'numbers'}",
        "",
    ]
    for place in (run_dir, run_dir.parent.parent):
        for split, report in read_json(place / "scores.json").items():
            lines += [f"Scores on {split} ({report['examples']:,} examples):", ""]
            lines += ["| metric | score | 95 % interval | constant answer |", "|---|---|---|---|"]
            for name, value in report["scores"].items():
                low, high = report["intervals"].get(name, (None, None))
                between = "" if low is None else f"{low:.3f} to {high:.3f}"
                base = report["baseline"].get(name)
                lines += [f"| {name} | {value:.3f} | {between} | {'' if base is None else f'{base:.3f}'} |"]
            lines += [""]
    return lines


def example(tokenizer: Any) -> str:
    """A sentence with one mask, of nobody's text."""
    text = "今日は{}がいい。" if _is_japanese(tokenizer) else "The weather is {} today."
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


def data_of(run_dir: Path, recipe: dict[str, Any]) -> Path:
    """Where the prepared data of a run with this recipe lie."""
    return Path(recipe["data_dir"]) if recipe.get("data_dir") else run_dir / "data"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a model folder; {} where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _is_japanese(tokenizer: Any) -> bool:
    pieces = tokenizer.get_vocab()  # those of English BERT have some kana too
    return sum(any("ぁ" <= c <= "ヶ" for c in piece) for piece in pieces) > 0.02 * len(pieces)


def use_of(folder: Path, tokenizer: Any, automatic: bool) -> list[str]:
    """How to use a model folder, as lines: the packages that it needs, and some Python.

    automatic: whether AutoTokenizer opens its tokenizer.
    """
    kind = pipeline_of(folder)
    needed = packages(read_json(folder / "tokenizer_config.json"))
    names, more, opened = "pipeline", "", []
    if not automatic:
        names, more = f"{JAPANESE_CLASS}, pipeline", ", tokenizer=tokenizer"
        opened = [f'tokenizer = {JAPANESE_CLASS}.from_pretrained("THIS_FOLDER")']
    task = read_json(folder / checkpoint.TASK)
    if kind == "fill-mask":
        asked = [
            f'for fill in pipe("{example(tokenizer)}"):',
            '    print(fill["token_str"], fill["score"])',
        ]
    elif kind == "multiple-choice":
        return ["Use it with `tane predict`, or with transformers' AutoModelForMultipleChoice.", ""]
    elif kind == "text-classification":
        text = "今日は天気がいい。" if _is_japanese(tokenizer) else "The weather is fine today."
        given = f'{{"text": "{text}", "text_pair": "{text}"}}' if task.get("text_pair") else f'"{text}"'
        asked = [f"print(pipe({given}, top_k=None))"]
    elif kind == "token-classification":
        asked = [
            'print(pipe("夏目漱石は東京に生まれた。"))'
            if _is_japanese(tokenizer)
            else 'print(pipe("A text."))'
        ]
    else:
        asked = ['print(pipe("吾輩は", max_new_tokens=50, do_sample=True)[0]["generated_text"])']
    return [
        *([f"Its tokenizer needs `pip install {' '.join(needed)}`.", ""] if needed else []),
        "```python",
        f"from transformers import {names}",
        *opened,
        f'pipe = pipeline("{kind}", model="THIS_FOLDER"{more})',
        *asked,
        "```",
        "",
    ]


def _scores(run_dir: Path, source: Path, masked: bool) -> list[str]:
    """What the validation of the exported step measured, and by which machine."""
    lines: list[str] = []
    step = checkpoint.step_of(source)
    for best in (e for e in read_metrics(run_dir, "eval") if e["step"] == step):
        per = "masked token" if masked else "token"
        lines += ["## Scores", "", "| measure | value |", "|---|---|"]
        lines += [f"| validation loss (nats per {per}) | {best['loss']:.4f} |"]
        if masked:
            lines += [f"| accuracy at masked tokens | {best['accuracy']:.2%} |"]
        else:
            lines += [f"| bits per character | {best['bits_per_char']:.4f} |"]
        lines += [f"| step | {best['step']:,} |", ""]
    for start in read_metrics(run_dir, "start")[:1]:
        told = f"{start['parameters']:,} parameters; torch {start['torch']}; {start['precision']}."
        lines += [told, ""]
    return lines


def _objective(run_dir: Path, recipe: dict[str, Any]) -> list[str]:
    """How a masked model's tokens were hidden."""
    settings = {name: recipe["objective"].get(name) for name in SHOWN}
    settings["words"] = _words(data_of(run_dir, recipe), settings)
    rows = [f"| {name} | {_plain(value)} |" for name, value in settings.items() if value is not None]
    return ["## Objective", "", "| masked | value |", "|---|---|", *rows, ""]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(data: Path, settings: dict[str, Any]) -> str | None:
    """Whose words were hidden as wholes, by the data where they are at hand, else as the recipe says."""
    if not settings["whole_word"]:
        return None
    try:
        meta = files.Manifest.read(data / "words", "words").meta
    except IntegrityError:
        return settings["words"]
    return "the tokenizer's own" if meta["dictionary"] == OWN else f"{meta['dictionary']} ({meta['version']})"


def _ledger(data: Path) -> str:
    from tane.text.ledger import Ledger

    try:
        return Ledger.from_json(files.Manifest.read(data / "corpus", "corpus").meta["ledger"]).table()
    except IntegrityError:
        return ""
