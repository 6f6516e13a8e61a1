"""Verbs on models and runs: predict, evaluate, generate, fill, play, report, export."""

from __future__ import annotations

import sys
from typing import Any

import tane
from tane.errors import InputError
from tane.verbs.table import FORMS, MODEL, READING, Values, Verb, flag, reading


def _predict(values: Values, _: list[str]) -> Any:
    from tane.settings import build
    from tane.text.rows import RowsSettings
    from tane.use.answers import report
    from tane.use.predict import ask

    how = {name: getattr(values, name) for name in RowsSettings.model_fields if hasattr(values, name)}
    rows = build(RowsSettings, {name: value for name, value in how.items() if value is not None}, "flags")
    result, examples = ask(
        values.model, values.text or (), values.text_pair, file=values.file, out=values.out,
        overwrite=values.overwrite, columns=values.column, rows=rows,
    )  # fmt: skip
    if not values.json and values.out is None:
        print(report(result, examples, most=20 if values.file else None))
    return result


def _evaluate(values: Values, _: list[str]) -> Any:
    result = tane.evaluate(
        values.model,
        values.data,
        mask_prob=values.mask_prob,
        whole_word=values.whole_word,
        normalize=values.normalize,
        label=values.label,
        **reading(values),
    )
    if not values.json and "task" in result.metrics:
        from tane.use.score_page import page

        print(page(result.metrics))
    elif not values.json:
        for name, value in result.metrics.items():
            print(f"{name:>26}  {_figure(value)}")
    return result


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def _generate(values: Values, _: list[str]) -> Any:
    prompts = list(values.prompt or [])
    if values.prompt_file:
        prompts += _prompt_lines(values.prompt_file)
    result = tane.generate(
        values.model,
        prompts or [""],
        num=values.num,
        max_new_tokens=values.max_new_tokens,
        temperature=values.temperature,
        top_k=values.top_k,
        top_p=values.top_p,
        repetition_penalty=values.repetition_penalty,
        stop=values.stop or (),
        seed=values.seed,
        greedy=values.greedy,
    )
    for text in result.metrics["texts"] if not values.json else ():
        print(text, end="\n\n" if "\n" in text else "\n")
    return result


def _prompt_lines(name: str) -> list[str]:
    from tane.files import require_file

    try:
        text = (
            sys.stdin.read()
            if name == "-"
            else require_file(name, "the prompt file").read_text(encoding="utf-8-sig")
        )
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 (byte {error.start})", "save the prompts as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from None
    return [line for line in text.split("\n") if line.strip()]


def _fill(values: Values, _: list[str]) -> Any:
    result = tane.fill_mask(values.model, values.text, top_k=values.top_k, whole_word=values.whole_word)
    if not values.json:
        from tane.use.fill import report

        print(report(result, values.text))
    return result


def _play(values: Values, _: list[str]) -> Any:
    from tane.play.server import play

    return play(values.model, port=values.port)


def _report(values: Values, _: list[str]) -> Any:
    return tane.report(values.run, values.out, format=values.format)


def _export(values: Values, _: list[str]) -> Any:
    return tane.export(values.run, values.dir, overwrite=values.overwrite)


VERBS: dict[str, Verb] = {
    "predict": Verb(
        "labels and their probabilities for texts, pairs, or a file of them",
        _predict,
        (
            flag("model", metavar="MODEL", help=MODEL),
            flag("--text", nargs="+", metavar="TEXT", help="texts to label"),
            flag("--text-pair", nargs="+", metavar="TEXT", help="the second text of each, or all choices"),
            flag("--file", metavar="FILE", help="a table instead: csv, tsv, jsonl, json, xlsx, parquet"),
            flag("--out", metavar="FILE", help="a new .csv, .tsv or .jsonl: the rows and their labels"),
            flag("--overwrite", action="store_true", help="replace the --out that is there already"),
            flag("--column", nargs="+", metavar="NAME", help="columns with text, if not those of training"),
            flag("--sheet", metavar="NAME", help="the sheet of a workbook"),
            flag("--split", metavar="NAME", help="the split of a saved or hub data set"),
            flag("--format", metavar="NAME", help="what the file is, if its name does not tell, such as tsv"),
            flag("--quoting", choices=("standard", "none"), help="of csv and tsv"),
            flag("--encoding", default="auto", help="of the file; auto finds it"),
        ),
    ),
    "evaluate": Verb(
        "loss, perplexity and bits per character of a text, or a classifier's scores on labels",
        _evaluate,
        (
            flag("model", metavar="MODEL", help=MODEL),
            flag("--data", nargs="+", required=True, metavar="FILE", help="files with text, or labelled"),
            flag("--label", metavar="NAME", help="of a classifier: the column with the answer"),
            flag("--normalize", choices=FORMS, help="default: as the model's run"),
            flag(
                "--mask-prob", type=float, metavar="P", help="of masked models: share of hidden tokens (0.15)"
            ),
            flag("--whole-word", action="store_true", help="of masked models: hide words as wholes"),
            *READING,
        ),
    ),
    "generate": Verb(
        "let a model go on from prompts",
        _generate,
        (
            flag("model", metavar="MODEL", help=MODEL),
            flag("--prompt", nargs="+", metavar="TEXT", help="what the texts begin with; none: a new text"),
            flag("--prompt-file", metavar="F", help="one prompt a line; - is standard input"),
            flag("--num", type=int, default=1, help="texts for each prompt"),
            flag("--max-new-tokens", type=int, default=100, help="at most so many tokens more"),
            flag("--temperature", type=float, default=1.0, help="below 1: safer, above: wilder"),
            flag("--top-k", type=int, default=0, help="draw from the k likeliest tokens; 0: off"),
            flag(
                "--top-p",
                type=float,
                default=0.95,
                help="draw from the likeliest tokens of this mass; 1: off",
            ),
            flag("--repetition-penalty", type=float, default=1.0, help="above 1: fewer repetitions"),
            flag("--stop", nargs="+", metavar="S", help="a text ends before any of these"),
            flag("--seed", type=int, default=0, help="the same seed gives the same texts"),
            flag("--greedy", action="store_true", help="always the likeliest token"),
        ),
    ),
    "fill": Verb(
        "what a masked model puts in the place of each [MASK], ＿ or ___",
        _fill,
        (
            flag("model", metavar="MODEL", help=MODEL),
            flag(
                "text", nargs="+", metavar="TEXT", help="a text with masks, such as 秋には＿が木から落ちる。"
            ),
            flag("--top-k", type=int, default=5, metavar="K", help="so many fills for each mask"),
            flag("--whole-word", action="store_true", help="whole words of one to four tokens"),
        ),
    ),
    "play": Verb(
        "a page on this machine to try a model, or two side by side",
        _play,
        (
            flag(
                "model",
                nargs="+",
                metavar="MODEL",
                help=f"{MODEL}; two are compared",
            ),
            flag("--port", type=int, metavar="N", help="of 127.0.0.1 (7860, or the next free one); 0: any"),
        ),
    ),
    "report": Verb(
        "one page of a run, or of several side by side: curves, samples, scores, the text",
        _report,
        (
            flag("run", nargs="+", metavar="RUN", help="run folders; the others are compared with the first"),
            flag("--out", metavar="FILE", help="the page (default: RUN/report.html)"),
            flag("--format", choices=("html", "md"), help="default: by the ending of --out, else html"),
        ),
    ),
    "export": Verb(
        "a plain Hugging Face folder with a model card, checked by opening it",
        _export,
        (
            flag("run", metavar="RUN", help="a run or any model folder"),
            flag("dir", metavar="DIR", help="the new folder"),
            flag("--overwrite", action="store_true", help="replace DIR if it exists"),
        ),
    ),
}
