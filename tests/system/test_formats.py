"""The same text in every format gives the same token files; real sheets and tables read as they are."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tane import files
from tane.sample import stories
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.tokens.prepare import prepare_data
from tane.tokens.tokenizer import TokenizerSettings

ODD = ["ｶﾞｷﾞｸﾞ ①②③ と㍻。", "二行の\n文章です。", 'カンマ, と "引用" と\tタブ', '=HYPERLINK("x")', "00123"]
TEXTS = [*stories(count=300), *ODD, "おなじ文です。", "おなじ文です。"]


def txt(path: Path) -> None:
    path.write_text("\n\n".join(TEXTS) + "\n", encoding="utf-8")


def txt_of_excel_times(path: Path) -> None:
    path.write_text("\r\n\r\n".join(t.replace("\n", "\r\n") for t in TEXTS), encoding="cp932", newline="")


def table(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(["id", "story", "note"])
        writer.writerows([number, text, "x"] for number, text in enumerate(TEXTS))


def jsonl(path: Path) -> None:
    import zstandard

    lines = "".join(
        json.dumps({"id": n, "story": t}, ensure_ascii=n % 2 == 0) + "\n" for n, t in enumerate(TEXTS)
    )
    data = lines.encode()
    if path.suffix == ".zst":
        half = len(data) // 2
        data = b"".join(zstandard.ZstdCompressor().compress(d) for d in (data[:half], data[half:]))
    if path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(data)


def xlsx(path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    book.create_sheet("表紙").append(["何もない"])
    sheet = book.create_sheet("本文")
    sheet.append(["番号", "story"])
    for number, text in enumerate(TEXTS):
        cell = WriteOnlyCell(sheet, value=text)
        cell.data_type = "s"  # "=..." is text here
        sheet.append([number, cell])
    book.save(path)


def parquet(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = pyarrow.table({"story": TEXTS, "n": list(range(len(TEXTS)))})
    pyarrow.parquet.write_table(rows, path, row_group_size=100)


def saved(path: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"story": TEXTS}).save_to_disk(path)


def saved_splits(path: Path) -> None:
    from datasets import Dataset, DatasetDict

    other = Dataset.from_dict({"story": ["ほかの文です。"]})
    DatasetDict({"train": Dataset.from_dict({"story": TEXTS}), "test": other}).save_to_disk(path)


FORMS: dict[str, tuple[Callable[[Path], None], dict[str, Any]]] = {
    "a.txt": (txt, {}),
    "b.txt": (txt_of_excel_times, {}),
    "a.csv": (table, {"column": "story"}),
    "a.tsv": (table, {"column": "story"}),
    "a.jsonl": (jsonl, {"column": "story"}),
    "a.jsonl.zst": (jsonl, {"column": "story"}),
    "a.jsonl.gz": (jsonl, {"column": "story"}),
    "a.xlsx": (xlsx, {"column": "story", "sheet": "本文"}),
    "a.parquet": (parquet, {"column": "story"}),
    "saved": (saved, {}),
    "splits": (saved_splits, {"split": "train"}),
}


def prepared(folder: Path, name: str, tokenizer: str | None) -> Path:
    """The data folder made from the texts in one format."""
    make, keys = FORMS[name]
    make(folder / name)
    settings = CorpusSettings(inputs=[{"path": str(folder / name), **keys}], valid_fraction=0.1)  # type: ignore[list-item]
    taken = TokenizerSettings(vocab_size=800, path=tokenizer)
    prepare_data(settings, taken, folder / f"data-{name}")
    return folder / f"data-{name}"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("plain"), "a.txt", None)


@pytest.mark.parametrize("name", [name for name in FORMS if name != "a.txt"])
def test_the_same_text_gives_the_same_token_files(tmp_path: Path, plain: Path, name: str) -> None:
    data = prepared(tmp_path, name, str(plain / "tokenizer"))
    mine, theirs = files.check(data / "shards"), files.check(plain / "shards")
    assert mine.files == theirs.files and set(mine.files) >= {"train-00000.bin", "valid-00000.bin"}
    corpus = Corpus.open(data / "corpus")
    assert corpus.meta["ledger"]["dropped"]["duplicate"]["documents"] == 1
    wanted = {'カンマ, と "引用" と\tタブ', "二行の\n文章です。", "00123"}
    assert wanted <= {*corpus.texts("train"), *corpus.texts("valid")}


def test_the_sheet_of_snow_t15(real_data: Path, tmp_path: Path) -> None:
    path = str(real_data / "short" / "snow-t15-shared.xlsx")
    manifest = build_corpus(CorpusSettings(inputs=[path], column="#やさしい日本語"), tmp_path / "corpus")
    ledger = manifest.meta["ledger"]
    assert ledger["found"] == 40_000 and ledger["kept"]["documents"] == 39_657
    assert ledger["dropped"] == {"duplicate": ledger["dropped"]["duplicate"]}
    assert ledger["dropped"]["duplicate"]["documents"] == 40_000 - 39_657
    both = CorpusSettings(inputs=[path], column=["#やさしい日本語", "#日本語(原文)"])
    assert build_corpus(both, tmp_path / "both").meta["ledger"]["found"] == 80_000


def test_inputs_of_several_kinds_in_one_recipe(real_data: Path, tmp_path: Path) -> None:
    """Each with its own column, unit, weight and encoding."""
    inputs = [
        {"path": str(real_data / "short" / "snow-t15-shared.xlsx"), "column": "#やさしい日本語", "weight": 2},
        {"path": str(real_data / "short" / "jec-basic-sentences.tsv"), "column": "ja"},
        {"path": str(real_data / "pairs" / "jsts" / "valid-v1.3.json"), "column": ["sentence1", "sentence2"]},
        {"path": str(real_data / "raw" / "*.txt"), "normalize": "aozora", "unit": "file"},
        {"path": str(real_data / "ja" / "aozora-a.txt.gz"), "unit": "line", "weight": 0.5},
        {"path": str(real_data / "pairs" / "mrpc" / "msr_paraphrase_test.txt"), "format": "tsv",
         "quoting": "none", "column": "#1 String"},
    ]  # fmt: skip
    meta = build_corpus(CorpusSettings(inputs=inputs), tmp_path / "corpus").meta  # type: ignore[arg-type]
    records = Corpus.open(tmp_path / "corpus").inputs()
    found = {Path(i["path"]).name: i["ledger"] for i in records}
    assert found["snow-t15-shared.xlsx"]["documents"] == 40_000
    assert found["jec-basic-sentences.tsv"]["documents"] == 5304
    assert found["valid-v1.3.json"]["documents"] == 2 * 1457
    assert found["msr_paraphrase_test.txt"]["documents"] == 1725
    assert sum(count for _, count in meta["weights"]) == meta["documents"]["train"]
    assert [weight for weight, _ in meta["weights"]] == [2, 1, 0.5, 1]
