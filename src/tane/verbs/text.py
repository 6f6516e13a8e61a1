"""Verbs on text and tokenizers: prepare, data, tokenizer."""

from __future__ import annotations

from typing import Any

import tane
from tane.errors import InputError
from tane.verbs.table import FORMS, READING, Values, Verb, flag, load, reading

DICTIONARY = flag(
    "--dictionary", "--tokenizer.dictionary", dest="dictionary", choices=("ipadic", "unidic-lite", "sudachi"),
    help="whose words a bare vocab.txt takes",
)  # fmt: skip
AS = flag("--normalize", choices=FORMS, help="look at the text as normalised so (default: as it stands)")
LOOK = (
    AS,
    flag("--head", type=int, default=3, metavar="N", help="show N sentences as their tokens"),
    DICTIONARY,
)


def _prepare(values: Values, overrides: list[str]) -> Any:
    recipe = load(values, overrides)
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
            **reading(values),
        )
    if not values.json:
        print(report(result.metrics))
    return result


def _tokenizer_train(values: Values, overrides: list[str]) -> Any:
    if values.ram:
        overrides = [*overrides, f"tokenizer.ram={values.ram}"]
    return tane.train_tokenizer(load(values, overrides), out=values.out, rebuild=values.rebuild)


def _tokenizer_show(values: Values, _: list[str]) -> Any:
    result = tane.show_tokenizer(values.tokenizer, inputs=values.data or (), **_look(values))
    if not values.json:
        from tane.use.tokenizers import report_show

        print(report_show(result))
    return result


def _tokenizer_compare(values: Values, _: list[str]) -> Any:
    from tane.use.tokenizer_plot import check_target, plot_tokenizers

    if values.out:
        check_target(values.out)  # before minutes of counting
    result = tane.compare_tokenizers(*values.tokenizer, inputs=values.data, **_look(values))
    if not values.json:
        from tane.use.tokenizers import report_compare

        print(report_compare(result))
    if values.out:
        plot_tokenizers(result, values.out)
    return result


def _look(values: Values) -> dict[str, Any]:
    told = {"head": values.head, "dictionary": values.dictionary, "normalize": values.normalize}
    return {**reading(values), **told}


VERBS: dict[str, Verb] = {
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
            DICTIONARY,
            flag("--cache-dir", metavar="DIR", help="where data sets of the hub are kept (below HF_HOME)"),
            flag("--list", action="store_true", help="list data sets of the hub"),
            flag("--search", metavar="WORD", help="list those with WORD in their name"),
            AS,
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
            flag("--out", metavar="FILE", help="a picture of it, too: .png or .svg"),
            *READING,
            *LOOK,
        ),
    ),
}
