"""Writes the pages of all settings, docs/en/options.md and docs/ja/options.md, from the settings themselves.

    python tools/option_page.py           # writes both
    python tools/option_page.py --check   # exit code 1 where one is not what it would write

`tane options` prints the same fields. Meanings are English; docs/ja/options.tsv has their Japanese, and
what it lacks stays English.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tane.recipe import Recipe, options
from tane.settings import RESUME, all_leaves

DOCS = Path(__file__).parents[1] / "docs"
WORDS = DOCS / "ja" / "options.tsv"
ROOT = "run"  # the section of what stands in none

TEXTS = {
    "en": {
        "title": "All settings",
        "other": "[日本語](../ja/options.md)",
        "about": """\
Each of them is a key of a recipe (`optim: {lr: 1e-3}`) and a flag (`--optim.lr 1e-3`). In the
terminal `tane options` prints them, `tane options optim` those of one section.

In the last column: **free** may be changed when a run goes on; all others must be what they were.
This page is made by `python tools/option_page.py`.""",
        "head": "| key | type | default | meaning | on the way |",
        "free": "free",
        "next": "Back to [the book](README.md).",
        ROOT: "Where the run goes",
        "corpus": "corpus: which text",
        "tokenizer": "tokenizer: text to ids",
        "model": "model: which shape",
        "objective": "objective: what is predicted",
        "optim": "optim: how weights are updated",
        "task": "task: labelled data",
        "train": "train: how long, on what",
    },
    "ja": {
        "title": "すべての設定",
        "other": "[English](../en/options.md)",
        "about": """\
どの設定も、レシピの項目(`optim: {lr: 1e-3}`)であり、フラグ(`--optim.lr 1e-3`)でもあります。端末では
`tane options` で、一つの節だけなら `tane options optim` のようにして見られます。

最後の列が**可**のものは、途中で変えて学習を続けられます。ほかは、始めたときと同じでなければなりません。
このページは `python tools/option_page.py` が作っています。""",
        "head": "| 項目 | 型 | 既定値 | 意味 | 途中の変更 |",
        "free": "可",
        "next": "[目次](README.md)に戻る。",
        ROOT: "学習の置き場所",
        "corpus": "corpus: どの文章か",
        "tokenizer": "tokenizer: 文章を ID に",
        "model": "model: モデルの形",
        "objective": "objective: 何を当てさせるか",
        "optim": "optim: 重みの動かし方",
        "task": "task: ラベル付きのデータ",
        "train": "train: 長さと計算機",
    },
}


class Row(NamedTuple):
    """One setting as the page shows it; free: whether a run may change it when it goes on."""

    name: str
    kind: str
    default: str
    meaning: str
    free: bool


def rows() -> Iterator[Row]:
    """Every setting, in the order of `tane options`."""
    for told, (name, info, _) in zip(options(), all_leaves(Recipe), strict=True):
        assert told[0] == name
        yield Row(*told, free=info.json_schema_extra[RESUME] == "free")


def page(language: str) -> str:
    """The page in a language, "en" or "ja"."""
    texts, words = TEXTS[language], read_words() if language == "ja" else {}
    lines = [f"# {texts['title']}", "", texts["other"], "", texts["about"]]
    section = ""
    for row in rows():
        place = row.name.partition(".")[0] if "." in row.name else ROOT
        place = place if place in texts else row.name  # a section that is new
        if place != section:
            section = place
            lines += ["", f"## {texts.get(section, section)}", "", texts["head"], "|---|---|---|---|---|"]
        cells = [f"`{row.name}`", row.kind, _default(row.default), translated(row.meaning, words)]
        lines.append("| " + " | ".join(map(_cell, [*cells, texts["free"] if row.free else ""])) + " |")
    return "\n".join([*lines, "", texts["next"], ""])


def translated(meaning: str, words: dict[str, str]) -> str:
    """A meaning in the words of a table: as a whole, else with what is in brackets behind it as it is."""
    if meaning in words:
        return words[meaning]
    found = re.fullmatch(r"(.+?)( \((?:[\w-]+|with a task: .+)\))", meaning)
    if found and found[1] in words:
        return words[found[1]] + found[2].replace("with a task: ", "task では ")
    return meaning


def read_words() -> dict[str, str]:
    """English meaning -> Japanese."""
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def _default(text: str) -> str:
    return f"`{text}`" if text and "`" not in text else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str] | None = None) -> int:
    """Write both pages, or with --check compare them; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes the pages of all settings.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where one is stale")
    check, stale = parser.parse_args(arguments).check, []
    for language in TEXTS:
        path, text = DOCS / language / "options.md", page(language)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'is stale: python tools/option_page.py' if check else 'written'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
