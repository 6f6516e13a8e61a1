"""Both READMEs say the same, and what they say works: each command, recipe and snippet is run."""

import csv
import fnmatch
import json
import re
from pathlib import Path

import pytest
import zstandard
from openpyxl import Workbook

from tane import cli, errors, registry
from tane.recipe import Recipe
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.text.ledger import Ledger
from tane.training.tracker import read_metrics
from tane.yamlio import parse_yaml
from tests import pages

ROOT = pages.ROOT
PAGES = ("README.md", "README.ja.md")
SMALL = (
    '--train.duration "6 steps" --train.batch_tokens 256 --objective.block_size 128 '
    "--model.config.n_layer 1 --model.config.n_embd 32 --model.config.n_head 2"
)
SHORT = '--train.duration "4 steps" --train.batch_tokens 256'
SMALL_BERT = (
    f"{SHORT} --model.config.num_hidden_layers 1 --model.config.hidden_size 32 "
    "--model.config.num_attention_heads 2 --model.config.intermediate_size 64"
)
# a command that would take long (or its beginning, with a *) -> what is appended here, and only here
APPENDED = {
    "tane train my.yaml": SMALL,
    "torchrun *": f"{SMALL} --train.device cpu",
    "tane train my.yaml --run-dir runs/patient *": SMALL,
    "tane train my.yaml --run-dir runs/wider *": SMALL,
    "tane generate *": "--max-new-tokens 8",
    "python -m tane.sample --out *": "--count 300",
    "tane train recipes/sample-bert.yaml": SMALL_BERT,
    "tane train further.yaml": SHORT,
    "tane finetune *": SHORT,
}
# a part of a snippet that would take long -> what stands there in the test
REPLACED = {
    '"train.duration=1k steps"': '"train.duration=6 steps", "train.batch_tokens=256", '
    '"objective.block_size=128", "model.config={n_layer: 1, n_embd: 32, n_head: 2}"',
    "max_new_tokens=50": "max_new_tokens=5",
    "num=3": "num=1",
    '"run_dir=runs/api-pairs"': '"run_dir=runs/api-pairs", "train.duration=4 steps"',
}


def fences(page: str) -> list[pages.Fence]:
    return pages.fences(pages.ROOT / page)


def headings(page: str) -> list[str]:
    return [level for level, _ in pages.headings(pages.ROOT / page)]


def test_the_pages_are_in_step() -> None:
    ours, theirs = map(headings, PAGES)
    assert ours == theirs
    for language in ("sh", "yaml", "python"):
        ours, theirs = ([f.text for f in fences(page) if f.language == language] for page in PAGES)
        assert ours == theirs and ours, language
    assert all(f.language for page in PAGES for f in fences(page))


def test_the_links_to_files_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        names = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
        names += re.findall(r"`((?:benchmarks|notebooks|docs|recipes)/[^`*]*|[A-Z]+\.md)`", text)
        assert names
        for name in names:
            assert (ROOT / name).exists(), f"{page}: {name}"


def test_inline_commands_exist() -> None:
    for page in PAGES:
        pages.check_names(ROOT / page)


def test_exit_codes_are_those_of_the_program() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.TaneError)]
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
        assert {int(code) for code in codes} == {0, *(kind.code for kind in kinds)}


@pytest.mark.parametrize("page", PAGES)
def test_the_tasks_are_those_of_the_program(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` (\|.*)$", text, re.MULTILINE))
    assert rows.keys() == {name.replace("_", "-") for name in registry.names("tasks")}
    for kind, told in rows.items():
        task = registry.find("tasks", kind)
        if kind != "regression":  # of which the page says that it has the same columns as the one before
            assert f"`{task.model_fields['text'].default}`" in told
        assert ("text_pair" in told) == ("text_pair" in task.model_fields)
        assert ("choices" in told) == ("choices" in task.model_fields)


@pytest.mark.parametrize("page", PAGES)
def test_recipes_load(page: str) -> None:
    texts = [f"{f.text}" for f in fences(page) if f.language == "yaml"]
    assert len(texts) >= 2
    for text in texts:
        recipe = Recipe.from_mapping(parse_yaml(text, page))
        assert recipe.corpus.inputs or recipe.task


AOZORA = """花の話
作者不明

-------------------------------------------------------
【テキスト中に現れる記号について】

《》：ルビ
（例）桜《さくら》
-------------------------------------------------------

　山に桜《さくら》が咲いた。［＃「咲いた」に傍点］
　子どもたちは川《かわ》まで走った。水は冷たく、空は青かった。
　BODY

底本：「花の本」花の店
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    """What a reader has at hand: the recipes, a folder of texts, files and tables beside it, Aozora files."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    stories = sample_text.read_text(encoding="utf-8").split("\n\n")
    for name, first, last in ("texts/a.txt", 0, 250), ("texts/b.txt", 250, 400), ("new.txt", 400, 430):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("\n\n".join(stories[first:last]), encoding="utf-8")
    book = Workbook()
    sheet = book.active
    sheet.title = "文"
    for row in [["番号", "やさしい日本語"], *enumerate(stories[800:900])]:
        sheet.append(row)
    book.save(folder / "sentences.xlsx")
    pairs = zip(stories[900:950], stories[950:1000], strict=True)
    rows = [json.dumps({"question": q, "answer": a}, ensure_ascii=False) + "\n" for q, a in pairs]
    (folder / "talks.jsonl.zst").write_bytes(zstandard.compress("".join(rows).encode()))
    told = [story.split("。")[0] + "。" for story in stories[1000:1120]]
    labels = ["同じ", "違う"] * 60
    labelled = zip(told, told[1:] + told[:1], labels, strict=True)
    table = [f"{first},{second},{label}\n" for first, second, label in labelled]
    for name, first, last in ("pairs.csv", 0, 80), ("test.csv", 80, 120):
        (folder / name).write_text("".join(["文1,文2,判定\n", *table[first:last]]), encoding="utf-8")
    unlabelled = [row.rpartition(",")[0] + "\n" for row in table[80:]]
    (folder / "new.csv").write_text("".join(["文1,文2\n", *unlabelled]), encoding="utf-8")
    story = AOZORA.replace("BODY", "\n　".join(stories[500:700])).replace("\n", "\r\n")
    (folder / "aozora").mkdir()
    (folder / "aozora" / "story.txt").write_bytes(story.encode("cp932"))
    return folder


@pytest.mark.parametrize(("page", "heading"), zip(PAGES, ("## Speed", "## 速さ"), strict=True))
def test_figures_of_speed_were_measured(page: str, heading: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8").split(heading)[1].split("\n## ")[0]
    results = "".join(p.read_text("utf-8") for p in (ROOT / "benchmarks" / "results").glob("*.md"))
    figures = re.findall(r"\d+,\d{3}", text)
    assert len(figures) == 4 and all(f"| {figure} |" in results for figure in figures)


def test_commands_and_snippets_work_in_their_order(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    seen, ran = set(), []
    for page in PAGES:
        for fence in fences(page):
            if fence[:2] in seen:  # the other page has it too
                continue
            seen.add(fence[:2])
            where = f"{page}, line {fence.line}"
            if fence.language == "yaml":
                name = re.match(r"# (\S+\.yaml)\n", fence.text)
                assert name, f"{where}: the first line must name the file"
                Path(name[1]).write_text(fence.text, encoding="utf-8")
            elif fence.language == "python":
                pages.run_snippet(fence.text, where, REPLACED, {"__name__": "snippet"})
            elif fence.language == "sh":
                lines = [line for line in fence.text.splitlines() if not pages.check_target(line)]
                if fence.note.startswith(pages.ELSEWHERE):
                    for line in lines:
                        pages.understand(line)
                    continue
                for line in lines:
                    pages.run_command(line, where, APPENDED)
                ran += lines
    assert all(fnmatch.filter(ran, pattern) for pattern in APPENDED)
    names = {" ".join(line.split()[1:3]) for line in ran} | {line.split()[1] for line in ran}
    [start] = [e for e in read_metrics("runs/wide", "start")]
    assert start["processes"] == 2
    elsewhere = {"demo", "play", "completion"}  # test_demo.py, tests/play and test_manners.py run them
    assert names >= set(cli.VERBS) - elsewhere
    assert Recipe.load("runs/further/recipe.yaml").train.freeze  # a pretrained model with a tokenizer of ours
    assert Recipe.load("runs/lora/recipe.yaml").flat()["task.lora.rank"] == 8
    assert len(list(Path("runs/tried/trials").iterdir())) == 4  # of two rates the better one with three seeds
    with Path("labels.csv").open(encoding="utf-8") as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == 40 and {row["predicted"] for row in predicted} <= {"同じ", "違う"}
    assert Path("confusion.png").stat().st_size
    corpus = Corpus.open(Recipe.load("aozora.yaml").data_path / "corpus")
    kept = "".join(text for split in ("train", "valid") for text in corpus.texts(split))
    assert "山に桜が咲いた" in kept and "《" not in kept and "底本" not in kept


@pytest.mark.parametrize("page", PAGES)
def test_the_ledger_is_the_one_that_the_program_prints(page: str, real_data: Path, tmp_path: Path) -> None:
    path = real_data / "raw" / "rashomon_127_ruby_150.txt"
    settings = CorpusSettings(inputs=[str(path)], normalize="aozora", unit="file")
    table = Ledger.from_json(build_corpus(settings, tmp_path / "corpus").meta["ledger"]).table()
    assert f"{table}\n" in [f.text for f in fences(page) if f.language == "text"]
