"""Labels for texts, pairs and files: in order, with the probabilities of the plain model, nothing lost."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.cli import main
from tane.errors import InputError, Interrupted, ResourceError
from tane.text.rows import RowsSettings, read_table
from tane.training import finetuning
from tane.use import answers, classifier
from tane.use.predict import predict
from tests.labelled import write_csv
from tests.use.masked_models import save_bert, save_gpt2
from tests.use.task_models import POSITIONS, edit, note, save

TEXTS = ["猫 が 走る", "大きい 山", "犬"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def single(place: Path) -> Path:
    return note(save(place / "single", "SequenceClassification", "悪い", "普通", "良い"), "classification")


@pytest.fixture(scope="module")
def pair(place: Path) -> Path:
    folder = save(place / "pair", "SequenceClassification", "違う", "同じ")
    return note(folder, "pair-classification", text="sentence1", text_pair="sentence2")


@pytest.fixture(scope="module")
def number(place: Path) -> Path:
    folder = save(place / "number", "SequenceClassification", num_labels=1, problem_type="regression")
    return note(folder, "regression", text="sentence1", text_pair="sentence2")


@pytest.fixture(scope="module")
def choice(place: Path) -> Path:
    return note(save(place / "choice", "MultipleChoice"), "multiple-choice")


@pytest.fixture(scope="module")
def tags(place: Path) -> Path:
    return note(save(place / "tags", "TokenClassification", "O", "B-動物"), "token-classification")


@pytest.fixture(scope="module")
def foreign(place: Path) -> Path:
    """A classifier that somebody else trained."""
    return save(place / "foreign", "SequenceClassification", "negative", "positive")


def found(model: Path, *arguments: Any, **values: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = predict(model, *arguments, **values).metrics["predictions"]
    return rows


def probabilities(folder: Path, text: str, text_pair: str | None = None) -> list[float]:
    """What transformers alone gives."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**AutoTokenizer.from_pretrained(folder)(text, text_pair, return_tensors="pt")).logits
    row: list[float] = logits[0].double().softmax(0).tolist()
    return row


def refused(model: Path, *arguments: Any, **values: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        predict(model, *arguments, **values)
    return caught.value


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


# ---------------------------------------------------------------------------------------------------- texts


def test_the_probabilities_are_those_of_the_plain_model(single: Path, pair: Path) -> None:
    for text, one in zip(TEXTS, found(single, TEXTS), strict=True):
        assert list(one["scores"]) == ["悪い", "普通", "良い"]
        assert list(one["scores"].values()) == pytest.approx(probabilities(single, text), abs=1e-6)
        assert one["label"] == max(one["scores"], key=one["scores"].__getitem__)
    one = found(pair, "猫 が 走る", "犬")[0]
    assert list(one["scores"].values()) == pytest.approx(probabilities(pair, "猫 が 走る", "犬"), abs=1e-6)
    other = found(pair, "犬", "猫 が 走る")[0]
    assert other["scores"]["同じ"] != pytest.approx(one["scores"]["同じ"], abs=1e-4), "the order matters"


def test_a_number_has_no_probabilities(number: Path) -> None:
    one = found(number, ["猫"], ["犬"])[0]
    assert isinstance(one["label"], float) and one["scores"] == {}


def test_a_choice_is_told_with_its_text(choice: Path) -> None:
    choices = ["山", "川 海", "空", "花", "木 木"]
    one = found(choice, "大きい", choices)[0]
    assert list(one["scores"]) == [f"choice{n}" for n in range(5)]
    assert sum(one["scores"].values()) == pytest.approx(1)
    assert one["answer"] == choices[int(one["label"][-1])]
    few = found(choice, "大きい", choices[:2])[0]
    assert list(few["scores"]) == ["choice0", "choice1"]
    ratio = few["scores"]["choice0"] / few["scores"]["choice1"]
    assert ratio == pytest.approx(one["scores"]["choice0"] / one["scores"]["choice1"], rel=1e-4)


def test_words_are_those_of_mecab_where_nobody_cut_them(
    tags: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ["白い猫が走る。", "白い猫 が走る", "猫は走る。　犬は見る。", "a cat runs"]
    rows = found(tags, text)
    assert [row["words"] for row in rows] == [
        ["白い", "猫", "が", "走る", "。"],
        ["白い猫", "が走る"],  # words with spaces between are those of the person
        ["猫", "は", "走る", "。", "犬", "は", "見る", "。"],
        ["a", "cat", "runs"],
    ]
    assert all(len(row["label"]) == len(row["scores"]) == len(row["words"]) for row in rows)
    assert "cut by fugashi" in capsys.readouterr().err


def test_words_that_were_cut_off_have_no_label(tags: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = found(tags, " ".join(["猫"] * 80))[0]
    assert len(one["words"]) == len(one["label"]) == 80
    assert one["label"][61] is not None and one["label"][62:] == [None] * 18
    assert f"longer than {POSITIONS} tokens and are cut" in capsys.readouterr().err


def test_a_long_text_is_cut_and_that_is_said(single: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, short = found(single, ["猫 " * 500, "猫 " * 62])
    assert long["scores"] == pytest.approx(short["scores"], abs=1e-6)
    assert "1 of 2 texts are longer than 64 tokens" in capsys.readouterr().err


def test_a_text_without_text_has_no_label(single: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = found(single, ["", "猫", "　\n"])
    assert [row["label"] is None for row in rows] == [True, False, True] and rows[0]["scores"] == {}
    assert rows[1] == found(single, "猫")[0]
    assert "2 of 3 texts have no text and get no label: text 1, 3" in capsys.readouterr().err
    assert "no text to label" in refused(single, "").message


@pytest.mark.parametrize(
    ("values", "message", "remedy"),
    [
        ({}, "found neither texts nor a file", "--text"),
        ({"texts": "猫", "file": "a.csv"}, "found texts and a file", "leave out"),
        ({"file": "a.csv", "pairs": "犬"}, "--text-pair goes with --text", "--column FIRST SECOND"),
        ({"texts": "猫", "columns": ["text"]}, "no file is named", "--file"),
        ({"texts": "猫", "rows": RowsSettings(format="tsv")}, "no file is named", "--file"),
        ({"texts": "猫", "pairs": "犬"}, "trained on single texts", "leave --text-pair out"),
        ({"texts": ["猫", "\udcff"]}, "text 2 holds bytes that are no UTF-8", "UTF-8"),
    ],
)
def test_flags_that_do_not_go_together(
    single: Path, values: dict[str, Any], message: str, remedy: str
) -> None:
    error = refused(single, **values)
    assert message in error.message and remedy in error.remedy


def test_pairs_and_choices_must_be_complete(pair: Path, choice: Path) -> None:
    assert "--text-pair TEXT" in refused(pair, "猫").remedy
    assert "2 texts and 1 second texts" in refused(pair, ["猫", "犬"], ["山"]).message
    assert "found 1 and 0" in refused(choice, "猫").message
    assert "found 2 and 2" in refused(choice, ["猫", "犬"], ["山", "川"]).message


# ---------------------------------------------------------------------------------------------------- files


def test_a_file_comes_back_with_labels_in_its_order(pair: Path, tmp_path: Path) -> None:
    rows = [("猫 猫 猫 白い", "犬", "違う"), ("山", "川", "同じ"), ("空 海", "花 木", "違う")]
    source = write_csv(tmp_path / "a.csv", ("sentence1", "sentence2", "label"), rows)
    result = predict(pair, file=source, out=tmp_path / "new" / "b.csv")
    expected = found(pair, [row[0] for row in rows], [row[1] for row in rows])
    assert result.metrics["predictions"] == expected and result.metrics["out"] == str(tmp_path / "new/b.csv")
    for row, one, given_row in zip(read_csv(tmp_path / "new/b.csv"), expected, rows, strict=True):
        assert tuple(row.values())[:3] == given_row and row["predicted"] == one["label"]
        assert float(row["p(同じ)"]) == one["scores"]["同じ"]


def test_columns_of_other_names(single: Path, pair: Path, choice: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", ("q", "a", "b"), [("猫", "山", "川"), ("犬 犬", "空", "海")])
    assert found(single, file=source, columns=["q"]) == found(single, ["猫", "犬 犬"])
    assert found(pair, file=source, columns=["q", "b"]) == found(pair, ["猫", "犬 犬"], ["川", "海"])
    one = found(choice, file=source, columns=["q", "a", "b"])[1]
    assert set(one["scores"]) == {"a", "b"} and one["answer"] == {"a": "空", "b": "海"}[one["label"]]


def test_a_missing_column_names_those_that_are_there(
    single: Path, pair: Path, choice: Path, foreign: Path, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "a.csv", ("body", "n"), [("猫", 1)])
    error = refused(single, file=source)
    assert "no column 'text'" in error.message and "body (text), n (integer)" in error.message
    assert "--column" in error.remedy
    assert refused(pair, file=source).remedy.endswith("--column FIRST SECOND")
    assert refused(choice, file=source).remedy.endswith("--column QUESTION A B C ...")
    assert "for pairs two" in refused(foreign, file=source).remedy
    error = refused(pair, file=source, columns=["body"])
    assert "reads 2 column(s) of text, and 1 are named" in error.message
    lists = write_jsonl(tmp_path / "b.jsonl", [{"text": ["猫", "犬"]}])
    assert "holds list of text; expected text" in refused(single, file=lists).message


def test_rows_without_text_keep_their_place(
    pair: Path, tags: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("猫", "犬"), ("", "犬"), ("山", " "), ("川", "海")]
    source = write_csv(tmp_path / "a.csv", ("sentence1", "sentence2"), rows)
    predict(pair, file=source, out=tmp_path / "b.csv")
    written = read_csv(tmp_path / "b.csv")
    assert [bool(row["predicted"]) for row in written] == [True, False, False, True]
    assert [row["sentence1"] for row in written] == ["猫", "", "山", "川"]
    assert written[1]["p(同じ)"] == ""
    assert "2 of 4 rows have no text and get no label" in (told := capsys.readouterr().err)
    assert "a.csv, line 3, 4" in told
    words = write_jsonl(tmp_path / "c.jsonl", [{"tokens": ["猫"]}, {"tokens": []}, {"tokens": ["犬", "山"]}])
    assert [row["label"] is None for row in found(tags, file=words)] == [False, True, False]
    predict(tags, file=words, out=tmp_path / "d.csv")
    assert [len(row["predicted"].split()) for row in read_csv(tmp_path / "d.csv")] == [1, 0, 2]


def test_an_empty_file_and_one_with_a_header_only(single: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    assert "holds no rows" in refused(single, file=tmp_path / "a.csv").message
    (tmp_path / "b.csv").write_text("text,label\n")
    assert "has columns and no rows" in refused(single, file=tmp_path / "b.csv").message
    (tmp_path / "c.csv").write_text("text,label\n,x\n ,y\n")
    assert "no text to label" in refused(single, file=tmp_path / "c.csv").message
    assert "does not exist" in refused(single, file=tmp_path / "none.csv").message


def test_what_a_spreadsheet_wrote_opens_in_it_again(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a BOM a spreadsheet takes UTF-8 for the system's encoding."""
    import openpyxl

    text = "髙い山①で、猫が走っているのを見た。"
    (tmp_path / "sjis.csv").write_bytes(f"text,n\n{text},1\n".encode("cp932"))
    (tmp_path / "bom.csv").write_bytes(f"\ufefftext,n\n{text},1\n".encode())
    (tmp_path / "plain.csv").write_bytes(f"text,n\n{text},1\n".encode())
    book = openpyxl.Workbook()
    for row in (("text", "n"), (text, 1)):
        book.active.append(row)
    book.save(tmp_path / "book.xlsx")
    rows = []
    for name in ("sjis.csv", "bom.csv", "book.xlsx", "plain.csv"):
        out = tmp_path / f"{name}.out.csv"
        predict(single, file=tmp_path / name, out=out)
        assert out.read_bytes().startswith(b"\xef\xbb\xbf") == (name != "plain.csv"), name
        rows.append(read_table(str(out)).data[0])
    assert all(row == rows[0] for row in rows) and rows[0]["text"] == text
    assert "sjis.csv: encoding cp932" in capsys.readouterr().err
    (tmp_path / "short.csv").write_bytes("text\n猫①髙\n".encode("cp932"))
    assert "--encoding cp932" in refused(single, file=tmp_path / "short.csv").remedy
    assert found(single, file=tmp_path / "short.csv", rows=RowsSettings(encoding="cp932"))[0]["label"]


ODD = [
    'say "猫", 犬',
    "two\nlines",
    "cr\ronly",
    "crlf\r\nend",
    "tab\tinside",
    "=1+1",
    " space ",
    "👨\u200d👩",
    "a\u2028b",
]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_odd_texts_come_back_whole(single: Path, tmp_path: Path, ending: str) -> None:
    source = write_csv(tmp_path / "a.csv", ("id", "text"), list(enumerate(ODD)))
    out = tmp_path / f"b{ending}"
    predict(single, file=source, out=out)
    rows = read_jsonl(out) if ending == ".jsonl" else read_csv(out, "\t" if ending == ".tsv" else ",")
    assert [row["text"] for row in rows] == ODD and all(row["predicted"] for row in rows)
    again = read_table(str(out)).data
    assert again["text"] == ODD and again["id"] == list(range(len(ODD)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2),
    st.booleans(),
)
def test_any_cells_come_back_from_a_line(cells: list[str], tabs: bool) -> None:
    line = answers._line(cells, ".tsv" if tabs else ".csv")
    assert line.endswith("\n")
    rows = list(csv.reader(io.StringIO(line, newline=""), delimiter="\t" if tabs else ","))
    assert rows == [cells]


def test_numbers_and_objects_come_back_as_they_stood(single: Path, tmp_path: Path) -> None:
    cells = [("1.10", "1", "007", "猫"), ("1.2", "2.5", "08", "犬"), ("1.3", "", "9", "山")]
    source = write_csv(tmp_path / "a.csv", ("section", "v", "code", "text"), cells)
    predict(single, file=source, out=tmp_path / "b.csv")
    assert [tuple(row.values())[:4] for row in read_csv(tmp_path / "b.csv")] == cells
    predict(single, file=source, out=tmp_path / "b.jsonl")
    rows = read_jsonl(tmp_path / "b.jsonl")
    assert [row["section"] for row in rows] == ["1.10", "1.2", "1.3"], "sections are no numbers"
    assert [row["v"] for row in rows] == [1.0, 2.5, None] and rows[0]["code"] == "007"
    nested = [
        {"text": "猫", "meta": {"x": 1, "y": [1, 2]}, "k": 1},
        {"text": "犬", "meta": {"z": "あ"}, "k": 2.5},
        {"text": "山", "meta": 3, "k": None},
    ]
    predict(single, file=write_jsonl(tmp_path / "c.jsonl", nested), out=tmp_path / "d.jsonl")
    assert [
        {name: row[name] for name in ("text", "meta", "k")} for row in read_jsonl(tmp_path / "d.jsonl")
    ] == nested
    predict(single, file=tmp_path / "c.jsonl", out=tmp_path / "d.csv")
    written = read_csv(tmp_path / "d.csv")
    assert json.loads(written[0]["meta"]) == nested[0]["meta"] and written[1]["k"] == "2.5"


def test_parquet_with_types_and_numbers_that_json_lacks(single: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"text": ["猫", "犬"], "x": [float("nan"), 1.5], "day": pa.array([0, 1], pa.date32())})
    parquet.write_table(table, tmp_path / "a.parquet")
    predict(single, file=tmp_path / "a.parquet", out=tmp_path / "b.jsonl")
    rows = read_jsonl(tmp_path / "b.jsonl")
    assert [row["x"] for row in rows] == [None, 1.5] and rows[1]["day"] == "1970-01-02"


def test_plain_text_is_labelled_line_by_line(
    single: Path, tags: Path, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("猫 が 走る\n犬\n\n 山\n", encoding="utf-8")
    predict(single, file=tmp_path / "a.txt", out=tmp_path / "b.csv")
    rows = read_csv(tmp_path / "b.csv")
    assert [row["text"].strip() for row in rows] == ["猫 が 走る", "犬", "山"]
    assert [row["predicted"] for row in rows] == [
        one["label"] for one in found(single, ["猫 が 走る", "犬", "山"])
    ]
    assert "1 blank lines" in capsys.readouterr().err
    assert len(found(tags, file=tmp_path / "a.txt")) == 3
    assert "has no column 'sentence1'" in refused(pair, file=tmp_path / "a.txt").message


def test_labels_of_a_saved_data_set_are_written_by_name(single: Path, tmp_path: Path) -> None:
    import datasets

    data = datasets.Dataset.from_dict({"text": ["猫", "犬", "山"], "label": [1, 0, None]})
    data.cast_column("label", datasets.ClassLabel(names=["x", "y"])).save_to_disk(str(tmp_path / "data"))
    predict(single, file=tmp_path / "data", out=tmp_path / "a.jsonl")
    assert [row["label"] for row in read_jsonl(tmp_path / "a.jsonl")] == ["y", "x", None]


def test_columns_that_are_there_already_stay(single: Path, tmp_path: Path) -> None:
    source = write_csv(
        tmp_path / "a.csv", ("text", "predicted", "p(良い)"), [("猫", "?", "0.1"), ("犬", "!", "0.2")]
    )
    predict(single, file=source, out=tmp_path / "b.csv")
    rows = read_csv(tmp_path / "b.csv")
    assert [row["predicted"] for row in rows] == ["?", "!"] and [row["p(良い)"] for row in rows] == [
        "0.1",
        "0.2",
    ]
    assert {row["predicted_2"] for row in rows} <= {"悪い", "普通", "良い"} and "p(良い)_2" in rows[0]


def test_words_are_written_with_spaces_between(tags: Path, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"tokens": ["白い", "猫"], "tags": ["O", "B-動物"]}])
    predict(tags, file=source, out=tmp_path / "b.csv")
    row = read_csv(tmp_path / "b.csv")[0]
    assert row["tokens"] == "白い 猫" and row["tags"] == "O B-動物" and len(row["predicted"].split()) == 2
    assert "words" not in row, "the words stand in the file"
    assert found(tags, file=tmp_path / "b.csv") == found(tags, file=source)
    raw = write_csv(tmp_path / "c.csv", ("tokens", "n"), [("白い猫が走る。", 1), ("山 川", 2)])
    predict(tags, file=raw, out=tmp_path / "d.csv")
    rows = read_csv(tmp_path / "d.csv")
    assert [row["words"] for row in rows] == ["白い 猫 が 走る 。", "山 川"]
    predict(tags, file=raw, out=tmp_path / "d.jsonl")
    assert read_jsonl(tmp_path / "d.jsonl")[0]["words"] == ["白い", "猫", "が", "走る", "。"]


def test_texts_are_written_under_the_columns_of_the_training(
    pair: Path, choice: Path, tags: Path, tmp_path: Path
) -> None:
    predict(pair, ["猫"], ["犬"], out=tmp_path / "a.tsv")
    assert list(read_csv(tmp_path / "a.tsv", "\t")[0])[:3] == ["sentence1", "sentence2", "predicted"]
    predict(choice, "猫", ["山", "川"], out=tmp_path / "b.csv")
    row = read_csv(tmp_path / "b.csv")[0]
    assert (row["question"], row["choice0"], row["choice1"]) == ("猫", "山", "川")
    assert row["answer"] in ("山", "川")
    predict(tags, "猫 犬", out=tmp_path / "c.csv")
    assert read_csv(tmp_path / "c.csv")[0]["words"] == "猫 犬"


# ------------------------------------------------------------------------------------------------- the target


def test_what_is_there_is_not_written_over(single: Path, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", ("text",), [("猫",), ("犬",)])
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    for out in (source, tmp_path / "link.csv", tmp_path / "." / "a.csv"):
        error = refused(single, file=source, out=out, overwrite=True)
        assert "is the file that is read" in error.message and source.read_bytes() == before
    assert (
        "is the file that is read"
        in refused(single, file=tmp_path / "*.csv", out=source, overwrite=True).message
    )
    out = tmp_path / "mine.csv"
    out.write_text("corrected by hand")
    error = refused(single, file=source, out=out)
    assert "exists already" in error.message and "--overwrite" in error.remedy
    assert out.read_text() == "corrected by hand"
    predict(single, file=source, out=out, overwrite=True)
    assert len(read_csv(out)) == 2


def test_a_target_that_cannot_be(single: Path, tmp_path: Path) -> None:
    assert ".csv, .tsv, .jsonl" in refused(single, "猫", out=tmp_path / "a.xlsx").message
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refused(single, "猫", out=tmp_path / "folder.csv").message
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError):
        predict(single, "猫", out=tmp_path / "file" / "a.csv")


def test_a_stop_leaves_nothing(single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_csv(tmp_path / "a.csv", ("text",), [("猫",)] * 50)
    original = finetuning.run_examples

    def stopped(*arguments: Any, **values: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments, **values)

    monkeypatch.setattr(classifier, "run_examples", stopped)
    with pytest.raises(Interrupted, match="nothing was written"):
        predict(single, file=source, out=tmp_path / "out" / "b.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


# ------------------------------------------------------------------------------------------- kinds of models


def test_models_that_others_trained(foreign: Path, place: Path, tmp_path: Path) -> None:
    assert found(foreign, "猫")[0]["label"] in ("negative", "positive")
    assert set(found(foreign, "猫", "犬")[0]["scores"]) == {"negative", "positive"}
    source = write_csv(tmp_path / "a.csv", ("text", "other"), [("猫", "犬")])
    assert found(foreign, file=source) == found(foreign, "猫")
    assert found(foreign, file=source, columns=["text", "other"]) == found(foreign, "猫", "犬")
    plain = save(place / "plain", "SequenceClassification", num_labels=3)
    assert list(found(plain, "猫")[0]["scores"]) == ["LABEL_0", "LABEL_1", "LABEL_2"]
    one = save(place / "one", "SequenceClassification", num_labels=1)
    assert isinstance(found(one, "猫")[0]["label"], float)
    assert isinstance(found(one, "猫", "犬")[0]["label"], float)
    choices = found(save(place / "choices", "MultipleChoice"), "猫", ["犬", "山", "川"])[0]
    assert len(choices["scores"]) == 3
    named = found(save(place / "named", "TokenClassification", "O", "X", "Y"), "猫 犬")[0]
    assert len(named["label"]) == 2


def test_several_labels_at_once(place: Path, tmp_path: Path) -> None:
    model = save(
        place / "several", "SequenceClassification", "a", "b", "c", problem_type="multi_label_classification"
    )
    one = found(model, "猫 が 走る")[0]
    assert one["label"] == [name for name, p in one["scores"].items() if p >= 0.5]
    chances = torch.tensor(list(one["scores"].values()))
    expected = torch.tensor(probabilities(model, "猫 が 走る"))
    assert torch.logit(chances).softmax(0).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    predict(model, "猫 が 走る", out=tmp_path / "a.csv")
    assert json.loads(read_csv(tmp_path / "a.csv")[0]["predicted"]) == one["label"]


def test_labels_of_one_name_are_told_apart(place: Path) -> None:
    model = save(place / "twice", "SequenceClassification", "x", "y", "x")
    assert list(found(model, "猫")[0]["scores"]) == ["x (0)", "y", "x (2)"]


def test_a_model_with_one_type_of_token(place: Path) -> None:
    """RoBERTa's table has one row, and a tokenizer of BERT's form gives the second text of a pair type 1."""
    model = save(place / "one-type", "SequenceClassification", "x", "y", type_vocab_size=1)
    assert found(model, "猫", "犬")[0]["label"] in ("x", "y")


def test_a_decoder_without_padding(place: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    from tests.labelled import write_tokenizer

    folder = place / "decoder"
    write_tokenizer(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3)
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    edit(folder, "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    together = found(folder, TEXTS)
    assert together[0]["scores"] == pytest.approx(found(folder, TEXTS[0])[0]["scores"], abs=1e-6)
    expected = probabilities(folder, TEXTS[0])
    assert list(together[0]["scores"].values()) == pytest.approx(expected, abs=1e-6)


def test_models_without_labels(place: Path, sample_text: Path, tmp_path: Path) -> None:
    text = sample_text.read_text(encoding="utf-8")[:20_000]
    error = refused(save_gpt2(place / "gpt", text), "猫")
    assert "no head for labels: it is a GPT2LMHeadModel" in error.message and "tane generate" in error.remedy
    error = refused(save_bert(tmp_path / "bert", 50), "猫")
    assert "BertForMaskedLM" in error.message and "tane fill" in error.remedy
    (tmp_path / "empty").mkdir()
    assert "holds no model" in refused(tmp_path / "empty", "猫").message
    assert "does not exist" in refused(Path("/no/such/folder"), "猫").message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, "another shape: classifier.bias [3], not [2]"),
        ({"num_labels": 5}, "id2label names 3 labels, and num_labels is 5"),
        ({"id2label": {"1": "a", "2": "b", "3": "c"}}, "with the numbers from 0, found 1, 2, 3"),
        ({"id2label": ["a", "b", "c"]}, "with the numbers from 0, found a, b, c"),
        ({"id2label": {"zero": "a", "1": "b", "2": "c"}}, "with the numbers from 0, found zero, 1, 2"),
        ({"architectures": None}, "names no architecture"),
    ],
)
def test_a_config_that_contradicts_itself(
    single: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    folder = edit(shutil.copytree(single, tmp_path / "model"), **values)
    assert message in refused(folder, "猫").message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "task.json is damaged"),
        ("[1]", "task.json is damaged"),
        ("{}", "task.json is damaged"),
        ("[" * 100_000, "task.json is damaged"),
        ('{"kind": "poetry"}', "there is no task 'poetry'"),
        ('{"kind": "os:system"}', "there is no task 'os:system'"),
        ('{"kind": "token-classification"}', "says token-classification, but the model has a head for class"),
        ('{"kind": "regression"}', "says regression, but the model has 3 outputs"),
        ('{"kind": "classification", "text": 5}', "task.json: text: "),
    ],
)
def test_a_damaged_note_of_the_task(single: Path, tmp_path: Path, text: str, message: str) -> None:
    folder = Path(shutil.copytree(single, tmp_path / "model"))
    (folder / "task.json").write_text(text)
    assert message in refused(folder, "猫").message


def test_a_length_that_the_model_does_not_have_is_not_believed(single: Path, tmp_path: Path) -> None:
    folder = note(Path(shutil.copytree(single, tmp_path / "model")), "classification", max_length=100_000)
    edit(folder, "tokenizer_config.json", model_max_length=10**30)
    assert found(folder, "猫 " * 500)[0]["label"]


# -------------------------------------------------------------------------------------------------- commands


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_command_prints_a_table_or_json(
    single: Path, choice: Path, tags: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "predict", single, "--text", *TEXTS)
    assert code == 0 and [line.split("  ")[0] for line in out.splitlines()] == TEXTS and "%" in out
    code, out, _ = run(capsys, "predict", single, "--text", *TEXTS, "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["predictions"] == found(single, TEXTS)
    _, out, _ = run(capsys, "predict", choice, "--text", "猫", "--text-pair", "山", "川")
    label = found(choice, "猫", ["山", "川"])[0]
    assert f"{label['label']}: {label['answer']}" in out
    _, out, _ = run(capsys, "predict", tags, "--text", "白い猫が走る。")
    assert [part.split("/")[0] for part in out.split()] == ["白い", "猫", "が", "走る", "。"]


def test_the_command_shows_the_first_rows_of_a_file(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "a.csv", ("text",), [(f"猫 {n}",) for n in range(50)])
    code, out, _ = run(capsys, "predict", single, "--file", source)
    assert code == 0 and len(out.splitlines()) == 21 and out.splitlines()[3].startswith("猫 3 ")
    assert "30 more rows; --out FILE" in out
    code, out, err = run(capsys, "predict", single, "--file", source, "--out", tmp_path / "b.tsv")
    assert code == 0 and out == "" and "50 predictions" in err
    code, out, err = run(capsys, "predict", single, "--file", source, "--out", tmp_path / "b.tsv", "--json")
    assert code == 2 and json.loads(out.splitlines()[-1])["code"] == 2 and "--overwrite" in err
    assert (
        run(capsys, "predict", single, "--file", source, "--out", tmp_path / "b.tsv", "--overwrite")[0] == 0
    )


def test_errors_are_one_message(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--text", "猫"], [], ["--file", tmp_path / "no.csv"], ["--text", "a", "--sheet", "x"]):
        code, out, err = run(capsys, "predict", pair, *arguments)
        assert code == 2 and out == "" and "Traceback" not in err and "->" in err


# ---------------------------------------------------------------------------------------------------- scores


def test_evaluate_scores_a_labelled_file(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("sentence1", "sentence2", "label")
    rows = [
        (text, other, ("違う", "同じ")[n % 2])
        for n, (text, other) in enumerate(zip(TEXTS * 4, ODD, strict=False))
    ]
    source = write_csv(tmp_path / "a.csv", names, rows)
    code, out, _ = run(capsys, "evaluate", pair, "--data", source)
    assert (
        code == 0 and out.startswith("pair-classification: scores on a labelled file") and "baseline" in out
    )
    code, out, _ = run(capsys, "evaluate", pair, "--data", source, "--json")
    value = json.loads(out)
    answered = [row["label"] for row in found(pair, file=source)]
    right = sum(answer == row[2] for answer, row in zip(answered, rows, strict=True))
    assert code == 0 and value["accuracy"] == pytest.approx(right / len(rows)) == value["scores"]["accuracy"]
    other = write_csv(tmp_path / "b.csv", ("a", "b", "gold"), rows)
    code, out, _ = run(
        capsys, "evaluate", pair, "--data", other, "--column", "a", "b", "--label", "gold", "--json"
    )
    assert code == 0 and json.loads(out)["accuracy"] == value["accuracy"]


def test_evaluate_scores_what_others_trained(
    foreign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "a.csv", ("text", "label"), [("猫", 0), ("犬", 1), ("山", 1)])
    code, _, err = run(capsys, "evaluate", foreign, "--data", source)
    assert code == 2 and "--column TEXT [TEXT2] --label LABEL" in err
    code, out, _ = run(capsys, "evaluate", foreign, "--data", source, "--column", "text", "--json")
    assert code == 0 and json.loads(out)["examples"] == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--label", "gold"], "--label"),
        (["--unit", "line"], "--unit does not apply"),
        (["--mask-prob", "0.1"], "leave out --mask-prob"),
        (["--column", "text", "label"], "reads 1 column(s) of text, and 2 are named"),
        (["--column", "txt"], "no column 'txt'"),
    ],
)
def test_evaluate_says_what_does_not_apply(
    single: Path, tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "a.csv", ("text", "label"), [("猫", "良い"), ("犬", "悪い")])
    code, _, err = run(capsys, "evaluate", single, "--data", source, *flags)
    assert code == 2 and message in err and "--task." not in err


def test_evaluate_names_a_label_that_it_does_not_know(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_csv(tmp_path / "a.csv", ("text", "label"), [("猫", "良い"), ("犬", "まあまあ")])
    code, _, err = run(capsys, "evaluate", single, "--data", source)
    assert code == 2 and "line 3: the label 'まあまあ'" in err and "--task." not in err
    empty = write_csv(tmp_path / "b.csv", ("text", "label"), [("", "良い")])
    code, _, err = run(capsys, "evaluate", single, "--data", empty)
    assert code == 2 and "no labelled example" in err


def test_one_example_gives_scores_that_json_can_hold(
    single: Path, number: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_csv(tmp_path / "a.csv", ("text", "label"), [("猫", "良い")])
    assert run(capsys, "evaluate", single, "--data", one, "--json")[0] == 0
    other = write_csv(tmp_path / "b.csv", ("sentence1", "sentence2", "label"), [("猫", "犬", 1.5)])
    for flags in ([], ["--json"]):
        assert run(capsys, "evaluate", number, "--data", other, *flags)[0] == 0
