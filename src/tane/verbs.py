"""The verbs of the command line: for each its meaning, its flags, and the call it makes. No logic here.

The table is what `tane --help` prints; nothing heavy is imported before a verb is called.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import tane
from tane.errors import InputError, IntegrityError, ResourceError

Values = argparse.Namespace


class Flag(NamedTuple):
    """One argument of a verb: its names and what argparse is told."""

    names: tuple[str, ...]
    settings: dict[str, Any]


def flag(*names: str, **settings: Any) -> Flag:
    """An argument as argparse takes it."""
    return Flag(names, settings)


class Verb(NamedTuple):
    """One row of the table."""

    meaning: str
    run: Callable[
        [Values, list[str]], Any
    ]  # (parsed flags, dotted overrides) -> Result, or None when printed
    flags: tuple[Flag, ...] = ()
    recipe: bool = False  # takes a RECIPE and dotted overrides
    optional: bool = False  # the RECIPE may be left out
    wide: bool = False  # all processes of a run do it together, else the first alone


def _load(values: Values, overrides: list[str]) -> Any:
    from tane.recipe import Recipe

    if values.recipe is None:
        return Recipe.from_mapping({}, *overrides, where="flags")
    return Recipe.load(values.recipe, *overrides)


def _prepare(values: Values, overrides: list[str]) -> Any:
    recipe = _load(values, overrides)
    if not values.dry_run:
        return tane.prepare(recipe, rebuild=values.rebuild, part=values.part, join=values.join)
    from tane.text.survey import report, survey
    from tane.types import Result

    found = survey(recipe.corpus)
    if not values.json:
        print(report(found))
    return Result(None, {"dry_run": True, **found})


def _data(values: Values, _: list[str]) -> Any:
    from tane.use.data import list_data, report

    if values.list or values.search is not None:
        if values.spec:
            raise InputError("a list of the hub takes no SPEC", "leave out --list and --search, or SPEC")
        result = list_data(values.search, limit=20 if values.head is None else values.head)
    else:
        result = tane.show_data(
            *values.spec,
            head=3 if values.head is None else values.head,
            where=values.where or (),
            label=values.label,
            label_names=values.label_names,
            tokenizer=values.tokenizer,
            dictionary=values.dictionary,
            cache_dir=values.cache_dir,
            normalize=values.normalize,
            **_reading(values),
        )
    if not values.json:
        print(report(result.metrics))
    return result


def _tokenizer_train(values: Values, overrides: list[str]) -> Any:
    if values.ram:
        overrides = [*overrides, f"tokenizer.ram={values.ram}"]
    return tane.train_tokenizer(_load(values, overrides), out=values.out, rebuild=values.rebuild)


def _tokenizer_show(values: Values, _: list[str]) -> Any:
    result = tane.show_tokenizer(values.tokenizer, inputs=values.data or (), **_look(values))
    if not values.json:
        from tane.use.tokenizers import report_show

        print(report_show(result))
    return result


def _tokenizer_compare(values: Values, _: list[str]) -> Any:
    result = tane.compare_tokenizers(*values.tokenizer, inputs=values.data, **_look(values))
    if not values.json:
        from tane.use.tokenizers import report_compare

        print(report_compare(result))
    return result


def _look(values: Values) -> dict[str, Any]:
    return {**_reading(values), "head": values.head, "dictionary": values.dictionary}


def _reading(values: Values) -> dict[str, Any]:
    names = ("column", "sheet", "split", "format", "quoting", "unit", "encoding")
    return {name: getattr(values, name) for name in names}


def _train(values: Values, overrides: list[str]) -> Any:
    from tane import ranks

    with ranks.joined() as world:
        return tane.train(
            world.together(lambda: _load(values, overrides)),
            fresh=values.fresh,
            rebuild=values.rebuild,
            verify=values.verify,
            strict=values.strict,
        )


def _finetune(values: Values, overrides: list[str]) -> Any:
    from tane import ranks

    with ranks.joined() as world:
        result = tane.finetune(
            world.together(lambda: _load(values, overrides)),
            seeds=values.seeds,
            fresh=values.fresh,
            verify=values.verify,
            strict=values.strict,
        )
    if not values.json:
        from tane.use.score_page import page

        for side in ("valid", "test"):
            if side in result.metrics:
                print(page(result.metrics[side]))
    return result


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


def _plan(values: Values, overrides: list[str]) -> Any:
    return tane.plan(_load(values, overrides), probe=values.probe)


def _evaluate(values: Values, _: list[str]) -> Any:
    result = tane.evaluate(
        values.model,
        values.data,
        mask_prob=values.mask_prob,
        whole_word=values.whole_word,
        normalize=values.normalize,
        label=values.label,
        **_reading(values),
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


def _fill(values: Values, _: list[str]) -> Any:
    result = tane.fill_mask(values.model, values.text, top_k=values.top_k, whole_word=values.whole_word)
    if not values.json:
        from tane.use.fill import report

        print(report(result, values.text))
    return result


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


def _export(values: Values, _: list[str]) -> Any:
    return tane.export(values.run, values.dir, overwrite=values.overwrite)


def _verify(values: Values, _: list[str]) -> Any:
    result = tane.verify(values.path, fast=values.fast)
    if not result.metrics["ok"]:
        count = len(result.metrics["bad"])
        raise IntegrityError(
            f"{values.path}: {count} files are damaged, missing, unknown or stale",
            "",
            result.json(),
        )
    return result


def _doctor(values: Values, _: list[str]) -> Any:
    result = tane.doctor()
    if not values.json:
        from tane.use.doctor import report

        print(report(result.metrics))
    for trap in result.metrics["traps"]:
        if trap["stops"]:
            found = f"training is impossible here: {trap['found']}"
            raise ResourceError(found, trap["remedy"], result.json())
    return result


def _demo(values: Values, _: list[str]) -> Any:
    from tane.use.demo import demo

    return demo(values.out, inputs=values.input)


def _options(values: Values, _: list[str]) -> Any:
    from tane.recipe import options
    from tane.types import Result

    rows = list(options(values.section.replace("-", "_")))
    if not rows:
        raise InputError(
            f"there is no section or setting {values.section!r}", "see them all with: tane options"
        )
    for name, kind, default, meaning in rows if not values.json else ():
        print(f"{name}  ({kind}; default {default})\n    {meaning}")
    keys = ("name", "type", "default", "meaning")
    return Result(None, {"options": [dict(zip(keys, row, strict=True)) for row in rows]})


UNITS = ("sentence", "line", "paragraph", "record", "file")
FORMS = ("none", "nfc", "nfkc", "aozora")
READING = (
    flag("--column", nargs="+", metavar="NAME", help="the column with the text, or several"),
    flag("--sheet", metavar="NAME", help="the sheet of a workbook"),
    flag("--split", metavar="NAME", help="the split of a saved or hub data set"),
    flag("--format", metavar="NAME", help="what the files are, where their names do not tell, such as tsv"),
    flag("--quoting", choices=("standard", "none"), help="of csv and tsv"),
    flag("--unit", choices=UNITS, help="what one document is"),
    flag("--encoding", default="auto", help="of the files; auto finds it"),
)

LOOK = (
    flag("--head", type=int, default=3, metavar="N", help="show N sentences as their tokens"),
    flag("--dictionary", "--tokenizer.dictionary", dest="dictionary",
         choices=("ipadic", "unidic-lite", "sudachi"), help="whose words a bare vocab.txt takes"),
)  # fmt: skip

VERBS: dict[str, Verb] = {
    "demo": Verb(
        "offline, a few minutes: the bundled text, a small GPT and BERT, stories, filled blanks",
        _demo,
        (
            flag(
                "--out", default="runs/demo", metavar="DIR", help="where everything goes (default: runs/demo)"
            ),
            flag("--input", nargs="+", metavar="FILE", help="train on your own text instead"),
        ),
    ),
    "prepare": Verb(
        "corpus, tokenizer, shards; keeps what is current, refuses what is stale",
        _prepare,
        (
            flag(
                "--dry-run",
                action="store_true",
                help="read all, write nothing: what would be kept, dropped, changed, with examples",
            ),
            flag("--rebuild", action="store_true", help="make the data anew"),
            flag("--part", metavar="I/N", help="make one part of n, beside other processes or machines"),
            flag("--join", action="store_true", help="put together what the parts made"),
        ),
        recipe=True,
    ),
    "train": Verb(
        "prepare what is missing, train, go on by itself where it was cut off",
        _train,
        (
            flag("--fresh", action="store_true", help="delete the old run and start anew"),
            flag("--rebuild", action="store_true", help="make the data anew"),
            flag(
                "--verify",
                choices=("full", "fast"),
                default="full",
                help="hash shards and checkpoint, or sizes only",
            ),
            flag("--strict", action="store_true", help="a damaged checkpoint is an error, not passed over"),
        ),
        recipe=True,
        wide=True,
    ),
    "finetune": Verb(
        "learn a labelled task on a pretrained model, with scores; goes on where it was cut off",
        _finetune,
        (
            flag("--seeds", type=int, default=1, metavar="N", help="so many runs: mean and spread"),
            flag("--fresh", action="store_true", help="delete the old run and start anew"),
            flag(
                "--verify",
                choices=("full", "fast"),
                default="full",
                help="hash the checkpoint, or compare sizes only",
            ),
            flag("--strict", action="store_true", help="a damaged checkpoint is an error, not passed over"),
        ),
        recipe=True,
        wide=True,
    ),
    "predict": Verb(
        "labels and their probabilities for texts, pairs, or a file of them",
        _predict,
        (
            flag("model", metavar="MODEL", help="a run, checkpoint, export, Hugging Face folder or hub id"),
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
            flag("model", metavar="MODEL", help="a run, checkpoint, export, Hugging Face folder or hub id"),
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
            flag("model", metavar="MODEL", help="a run, checkpoint, export, Hugging Face folder or hub id"),
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
            flag("model", metavar="MODEL", help="a run, checkpoint, export, Hugging Face folder or hub id"),
            flag(
                "text", nargs="+", metavar="TEXT", help="a text with masks, such as 秋には＿が木から落ちる。"
            ),
            flag("--top-k", type=int, default=5, metavar="K", help="so many fills for each mask"),
            flag("--whole-word", action="store_true", help="whole words of one to four tokens"),
        ),
    ),
    "data": Verb(
        "look into a data set or a text: size, features, labels, lengths, examples",
        _data,
        (
            flag(
                "spec",
                nargs="*",
                metavar="SPEC",
                help="a file, folder, pattern or URL, or a data set of the hub such as glue/mrpc",
            ),
            flag("--head", type=int, metavar="N", help="show the first N examples (3), or N data sets (20)"),
            flag("--where", nargs="+", metavar="COND", help="only these, such as label=equivalent or id<100"),
            flag("--label", metavar="NAME", help="the column with the labels"),
            flag("--label-names", nargs="+", metavar="NAME", help="what the labels 0, 1, ... are called"),
            flag("--tokenizer", metavar="TOKENIZER", help="lengths in tokens too: a folder, file or hub id"),
            LOOK[1],
            flag("--cache-dir", metavar="DIR", help="where data sets of the hub are kept (below HF_HOME)"),
            flag("--list", action="store_true", help="list data sets of the hub"),
            flag("--search", metavar="WORD", help="list those with WORD in their name"),
            flag("--normalize", choices=FORMS, help="look at the text as normalised so"),
            *READING,
        ),
    ),
    "tokenizer train": Verb(
        "train a recipe's tokenizer alone, or one for --corpus.inputs FILE... --out DIR",
        _tokenizer_train,
        (
            flag("--ram", metavar="SIZE", help="memory that training may take, such as 2GB"),
            flag("--out", metavar="DIR", help="the new folder (default: the recipe's data folder)"),
            flag("--rebuild", action="store_true", help="make the data anew"),
        ),
        recipe=True,
        optional=True,
    ),
    "tokenizer show": Verb(
        "what a tokenizer is, and what it does to a text",
        _tokenizer_show,
        (
            flag("tokenizer", metavar="TOKENIZER", help="a folder, file or hub id"),
            flag("--data", nargs="+", metavar="FILE", help="files with text to try it on"),
            *READING,
            *LOOK,
        ),
    ),
    "tokenizer compare": Verb(
        "several tokenizers side by side on a text",
        _tokenizer_compare,
        (
            flag("tokenizer", nargs="+", metavar="TOKENIZER", help="folders, files or hub ids"),
            flag("--data", nargs="+", required=True, metavar="FILE", help="files with text"),
            *READING,
            *LOOK,
        ),
    ),
    "plan": Verb(
        "derived values of a recipe: parameters, steps, memory, disk; with --probe time",
        _plan,
        (
            flag(
                "--probe", action="store_true", help="train some steps, keep nothing, and tell speed and time"
            ),
        ),
        recipe=True,
    ),
    "options": Verb(
        "every setting with type, default and meaning",
        _options,
        (
            flag(
                "section",
                nargs="?",
                default="",
                metavar="SECTION",
                help="only these, such as train or optim.schedule",
            ),
        ),
    ),
    "doctor": Verb("the state of this machine: what it has, known traps and their remedies", _doctor),
    "verify": Verb(
        "is it whole, and does it fit together? every file of a data folder, run or export",
        _verify,
        (
            flag("path", metavar="PATH", help="the folder"),
            flag("--fast", action="store_true", help="sizes only"),
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

COMMON = (
    flag(
        "--json", action="store_true", help="print one JSON object as the last line on stdout, on errors too"
    ),
    flag("--quiet", action="store_true", help="no messages and no bars"),
    flag("--debug", action="store_true", help="show the traceback of an error"),
)
