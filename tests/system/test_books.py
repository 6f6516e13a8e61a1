"""Both books say the same, and what they say works: each command, recipe and snippet of docs/ is run.

One reader walks through the English book in a folder of his own; that the Japanese one has the same fences
is tested. A page that goes on from others (NEEDS) finds what they left. Trainings are made short (APPENDED).
"""

from __future__ import annotations

import csv
import datetime
import email.message
import fnmatch
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from tools import option_page

from tane import cli
from tane.recipe import Recipe
from tane.yamlio import parse_yaml
from tests import pages

DOCS = pages.ROOT / "docs"
BOOKS = {language: DOCS / language for language in ("en", "ja")}
INDEX, OPTIONS = "README.md", "options.md"
# in the order in which they are read
PAGES = (
    "getting-started.md", "one-sentence.md", "recipes.md", "own-data.md", "tokenizers.md",
    "masked-or-causal.md", "fine-tuning.md", "one-gpu.md", "many-nodes.md", "out-of-memory.md",
    "tutorials.md", "peers.md",
)  # fmt: skip
NEEDS = {
    "one-sentence.md": ["getting-started.md"],
    "recipes.md": ["getting-started.md"],
    "tokenizers.md": ["getting-started.md"],
    "fine-tuning.md": ["masked-or-causal.md"],
    "many-nodes.md": ["getting-started.md"],
    "out-of-memory.md": ["one-gpu.md"],
}
SLOW: tuple[str, ...] = ()
OF_NOVELS = ("getting-started.md", "own-data.md")  # what these show was printed for the real novels
ASKING = ("tane doctor", "tane plan ")  # these change nothing: what an earlier page has run is not run again
LONGEST = 175  # lines of a page that is written by hand

SHORT = '--train.duration "4 steps" --train.batch_tokens 256'
SMALL = "--model.config.n_layer 1 --model.config.n_embd 32 --model.config.n_head 2"
SMALL_BERT = (
    "--model.config.num_hidden_layers 1 --model.config.hidden_size 32 --model.config.embedding_size 32 "
    "--model.config.num_attention_heads 2 --model.config.intermediate_size 64"
)
# the beginning of a command that would take long -> what is appended here, and only here
APPENDED = {
    "tane train novels.yaml*": f"{SHORT} {SMALL}",
    "tane train novels.yaml --train.duration *": '--train.duration "6 steps"',
    "tane train sample-gpt.yaml": f"{SHORT} {SMALL}",
    "tane train causal.yaml": f"{SHORT} {SMALL} --objective.block_size 64 --corpus.dedup none",
    "tane train recipes/sample-bert.yaml": f"{SHORT} {SMALL_BERT}",
    "tane finetune *": SHORT,
    "tane generate *": "--max-new-tokens 4",
    "python -m tane.sample --out *": "--count 300",
    "tane evaluate runs/sample-bert *": "--data new.txt",
    "tane evaluate runs/sample-gpt *": "--data new.txt",
}
REPLACED = {"max_new_tokens=40": "max_new_tokens=4"}
# verbs that a page may name before they are there
LATER = ("report", "play", "config")


def path_of(page: str, language: str = "en") -> Path:
    return BOOKS[language] / page


def is_there(line: str) -> bool:
    """Whether the program has the verb of a command; a verb that it lacks must be one of LATER."""
    words = shlex.split(line)
    if words[0] == "torchrun":
        words = words[words.index("tane") :]
    if words[0] != "tane" or words[1] in {name.split()[0] for name in cli.VERBS}:
        return True
    assert words[1] in LATER, line
    return False


# ---------------------------------------------------------------------------------------------- in step


def test_both_books_have_the_same_pages() -> None:
    found = {language: {path.name for path in folder.glob("*")} for language, folder in BOOKS.items()}
    assert found["en"] == {INDEX, OPTIONS, *PAGES} == found["ja"] - {option_page.WORDS.name}


@pytest.mark.parametrize("page", [INDEX, *PAGES, OPTIONS])
def test_the_books_are_in_step(page: str) -> None:
    ours, theirs = (path_of(page, language) for language in BOOKS)
    assert [level for level, _ in pages.headings(ours)] == [level for level, _ in pages.headings(theirs)]
    fences = [[(f.language, f.text, f.note) for f in pages.fences(path)] for path in (ours, theirs)]
    assert fences[0] == fences[1]
    rows = [[line.count("|") for line in path.read_text("utf-8").splitlines() if line[:1] == "|"]
            for path in (ours, theirs)]  # fmt: skip
    assert rows[0] == rows[1], "tables of other sizes"
    assert all(f.language in ("sh", "yaml", "python", "text") for f in pages.fences(ours))
    assert f"(../ja/{page})" in ours.read_text("utf-8") and f"(../en/{page})" in theirs.read_text("utf-8")
    lines = max(path.read_text(encoding="utf-8").count("\n") for path in (ours, theirs))
    assert page == OPTIONS or lines <= LONGEST, f"{page}: {lines} lines"


@pytest.mark.parametrize("language", BOOKS)
def test_the_index_names_every_page_in_order(language: str) -> None:
    text = path_of(INDEX, language).read_text(encoding="utf-8")
    table = re.findall(r"^\| \[.+?\]\(([\w-]+\.md)\)", text, re.MULTILINE)
    assert table == [*PAGES, OPTIONS]
    for page, after in zip(PAGES, [*PAGES[1:], OPTIONS], strict=True):
        assert f"({after})" in pages.prose(path_of(page, language)).rstrip().rpartition("\n\n")[2], page


@pytest.mark.parametrize("language", BOOKS)
@pytest.mark.parametrize("page", [INDEX, *PAGES, OPTIONS])
def test_links_lead_somewhere(page: str, language: str) -> None:
    path = path_of(page, language)
    for link in pages.links(path):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists() and target.is_relative_to(pages.ROOT), f"{page}: {link}"
        if anchor:
            assert anchor in {pages.slug(title) for _, title in pages.headings(target)}, f"{page}: {link}"


@pytest.mark.parametrize("language", BOOKS)
@pytest.mark.parametrize("page", [INDEX, *PAGES])
def test_what_a_page_names_exists(page: str, language: str) -> None:
    pages.check_names(path_of(page, language), later=LATER)


@pytest.mark.parametrize("verb", LATER)
def test_verbs_that_pages_name_before_they_are_there(verb: str) -> None:
    if verb not in {name.split()[0] for name in cli.VERBS}:
        pytest.skip(f"tane {verb} is not there yet; the pages' lines with it run when it is")
    lines = pages.lines_of(path_of(page) for page in PAGES)
    assert any(line.startswith(f"tane {verb} ") for line in lines)


def test_the_pages_of_all_settings_are_those_of_the_program() -> None:
    for language in BOOKS:
        assert path_of(OPTIONS, language).read_text("utf-8") == option_page.page(language), (
            "type: python tools/option_page.py"
        )
    shown = pages.prose(path_of(OPTIONS))
    assert all(f"`{row.name}`" in shown for row in option_page.rows())


def test_the_japanese_of_the_settings_is_of_settings_that_there_are() -> None:
    words, meanings = option_page.read_words(), {row.meaning for row in option_page.rows()}
    stale = [one for one in words if not any(meaning.startswith(one) for meaning in meanings)]
    assert not stale, stale


@pytest.mark.parametrize("language", BOOKS)
def test_figures_beside_peers_were_measured(language: str) -> None:
    results = "".join(p.read_text("utf-8") for p in (pages.ROOT / "benchmarks" / "results").glob("*.md"))
    text = path_of("peers.md", language).read_text(encoding="utf-8")
    figures = re.findall(r"(?<=\| )\d[\d,.]*(?= \|)", text)
    assert len(figures) > 5 and all(f"| {figure} |" in results for figure in figures)


# ------------------------------------------------------------------------------------------- the reader


NOVELS = {
    "rashomon_127_ruby_150.txt": ("羅生門", "ある日の暮方の事である。"),
    "ginga_tetsudo_456_ruby_145.txt": ("銀河鉄道の夜", "ではみなさんは。"),
    "kokoro_773_ruby_5968.txt": ("こころ", "私はその人を常に先生と呼んでいた。"),
}
NOVEL = """{title}
作者の名

-------------------------------------------------------
【テキスト中に現れる記号について】

《》：ルビ
（例）下人《げにん》
-------------------------------------------------------

　{begin}一人の下人《げにん》が、羅生門《らしょうもん》の下で雨やみを待っていた。
　{body}

底本：「本」本の店
"""
MAILS = (  # subject, text, encoding, whether it is a page of the web
    (
        "来週の打ち合わせ",
        "鈴木様\n\nお世話になっております。来週の打ち合わせは、火曜日の午後でいかがでしょうか。\n"
        "ご都合が悪ければ、sato@example.com までお知らせください。\n"
        "> 先日はありがとうございました。\n-- \n佐藤\n",
        "iso-2022-jp", False,
    ),
    (
        "Re: 来週の打ち合わせ",
        "佐藤様\n\n火曜日の午後で結構です。電話は 03-1234-5678 です。\n",
        "utf-8", False,
    ),
    ("お知らせ", "<p>新しい本が出ました。</p>", "utf-8", True),
)  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> dict[str, Any]:
    """The reader's folder, with the files that the pages tell him to have; which pages he has read, and the
    questions that were answered."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("recipes", "deploy"):
        (folder / name).symlink_to(pages.ROOT / name)
    stories = sample_text.read_text(encoding="utf-8").split("\n\n")
    real = _novels(folder / "aozora", stories)
    _own_data(folder, stories)
    for name, first, last in ("train", 600, 900), ("valid", 900, 950):
        (folder / "data").mkdir(exist_ok=True)
        lines = "\n".join(line for story in stories[first:last] for line in story.split("\n") if line)
        (folder / "data" / f"{name}.txt").write_text(lines, encoding="utf-8")
    (folder / "new.txt").write_text("\n\n".join(stories[950:970]), encoding="utf-8")
    return {"folder": folder, "real": real, "read": set(), "asked": set()}


def _novels(folder: Path, stories: list[str]) -> bool:
    """The three novels as they are downloaded; where they are not at hand stand-ins of the same kind."""
    folder.mkdir()
    raw = Path(os.environ.get("TANE_TEST_DATA", "")) / "raw"
    real = bool(os.environ.get("TANE_TEST_DATA")) and all((raw / name).is_file() for name in NOVELS)
    for number, (name, (title, begin)) in enumerate(NOVELS.items()):
        if real:
            shutil.copyfile(raw / name, folder / name)
            continue
        body = "\n　".join(stories[number * 100 : number * 100 + 100])
        text = NOVEL.format(title=title, begin=begin, body=body).replace("\n", "\r\n")
        (folder / name).write_bytes(text.encode("cp932"))
    return real


def _own_data(folder: Path, stories: list[str]) -> None:
    """A colleague's workbook, an old file, articles, mails, and labelled tables."""
    book = Workbook()
    sheet = book.active
    sheet.title = "文"
    told = [story.split("。")[0].replace("\n", "") + "。" for story in stories[300:420]]
    sheet.append(["番号", "題", "やさしい日本語", "確認日"])
    for number, text in enumerate(told, 1):
        sheet.append([number, f"文{number}", text, datetime.date(2026, 1, 5) + datetime.timedelta(number)])
    book.save(folder / "colleague.xlsx")
    (folder / "old").mkdir()
    (folder / "old" / "letter.txt").write_bytes("\n\n".join(stories[420:430]).encode("euc_jp"))
    (folder / "wiki" / "AA").mkdir(parents=True)
    articles = [
        json.dumps({"id": str(i), "url": f"https://example.org/{i}", "title": f"記事{i}", "text": text},
                   ensure_ascii=False)
        for i, text in enumerate(stories[430:480])
    ]  # fmt: skip
    (folder / "wiki" / "AA" / "wiki_00").write_text("\n".join(articles) + "\n", encoding="utf-8")
    with (folder / "mails.mbox").open("wb") as file:
        for subject, text, encoding, web in MAILS:
            mail = email.message.EmailMessage()
            mail["From"], mail["Subject"] = "sato@example.com", subject
            mail["Date"] = "Mon, 2 Nov 2026 09:00:00 +0900"
            mail.set_content(text, subtype="html" if web else "plain", charset=encoding)
            file.write(b"From sato@example.com Mon Nov  2 09:00:00 2026\n" + mail.as_bytes() + b"\n\n")
    for name, first, last, labelled in ("reviews", 0, 80, True), ("unread", 80, 100, False):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["本文", "評価"] if labelled else ["本文"])
            for i, text in enumerate(told[first:last]):
                rows.writerow([text, ["よい", "わるい"][i % 3 == 0]] if labelled else [text])


# ---------------------------------------------------------------------------------------- page after page


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in PAGES]
)
def test_what_a_page_shows_works(page: str, reader: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reader["folder"])
    read(page, reader)


def read(page: str, reader: dict[str, Any]) -> None:
    """Do what a page says, after the pages that it needs; each page once."""
    if page in reader["read"]:
        return
    for before in NEEDS.get(page, ()):
        read(before, reader)
    reader["read"].add(page)
    printed, names = "", {"__name__": "page"}
    for fence in pages.fences(path_of(page)):
        where, reason = f"{page}, line {fence.line}", fence.note.removeprefix(pages.ELSEWHERE)
        if fence.language == "yaml":
            name = re.match(r"# (\S+\.yaml)\n", fence.text)
            assert name, f"{where}: the first line must name the file"
            Path(name[1]).write_text(fence.text, encoding="utf-8")
        elif fence.note.startswith(pages.ELSEWHERE):
            assert reason
            for line in fence.text.splitlines() if fence.language == "sh" else ():
                if is_there(line):
                    pages.understand(line)
            if fence.language == "python":
                compile(fence.text, where, "exec")
        elif fence.language == "python":
            printed = pages.run_snippet(fence.text, where, REPLACED, names)
        elif fence.language == "sh":
            code = int(fence.note.removeprefix("exit: ")) if fence.note else 0
            lines = [line for line in fence.text.splitlines() if is_there(line)]
            lines = [line for line in lines if not pages.check_target(line)]
            lines = [line for line in lines if line not in reader["asked"]]
            reader["asked"].update(line for line in lines if line.startswith(ASKING))
            told = [pages.run_command(line, where, APPENDED, code) for line in lines]
            printed = "".join(one.out + one.err for one in told)
        elif fence.note == pages.OUTPUT and (reader["real"] or page not in OF_NOVELS):
            pages.check_output(fence.text, printed, where)


@pytest.mark.parametrize("page", PAGES)
def test_recipes_load(page: str) -> None:
    for fence in pages.fences(path_of(page)):
        if fence.language == "yaml":
            recipe = Recipe.from_mapping(parse_yaml(fence.text, page))
            assert recipe.corpus.inputs or recipe.task


def test_what_is_appended_is_of_lines_that_there_are() -> None:
    lines = pages.lines_of(path_of(page) for page in PAGES)
    assert all(fnmatch.filter(lines, pattern) for pattern in APPENDED)
    text = "".join(path_of(page).read_text(encoding="utf-8") for page in PAGES)
    assert all(old in text for old in REPLACED)
