"""`tane data`: a look into a data set or a text before anything is made of it."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tane
from tane.cli import main
from tane.errors import InputError
from tane.text.columns import width
from tane.use import data as module
from tane.use.data import data, list_data, report, show_data
from tests.text.hub_server import serve
from tests.tokens.small import characters

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
NAMES = ["not_equivalent", "equivalent"]
ROWS = [
    {"sentence1": "猫がいる。", "sentence2": "犬がいる。", "label": 0, "idx": 10},
    {"sentence1": "雨だ。", "sentence2": "雨が降る。", "label": 1, "idx": 11},
    {"sentence1": "a", "sentence2": "a", "label": 1, "idx": 12},
]


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), encoding="utf-8")
    return str(path)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


# ------------------------------------------------------------------------------------------------ from Python


def test_a_data_set_from_python(pairs: str) -> None:
    found = tane.data(pairs)
    assert isinstance(found, datasets.Dataset) and found.to_list() == ROWS
    named = tane.data(pairs, label_names=NAMES, where=["label=equivalent", "idx<12"])
    assert named.features["label"].names == NAMES and named.to_list() == ROWS[1:2]
    assert tane.data(pairs, label="idx", where="sentence2=a")["idx"][:] == [12]
    assert tane.data(Path(pairs)).num_rows == 3


def test_what_python_is_refused(pairs: str, tmp_path: Path) -> None:
    assert "did you mean: --label label" in refused(lambda: data(pairs, label="lable"))
    assert "quoting" in refused(lambda: data(pairs, quoting="some"))
    (tmp_path / "x.csv").write_text("a,b\nx,1\n")
    assert "no column called label" in refused(lambda: data(tmp_path / "x.csv", label_names=["a", "b"]))
    (tmp_path / "bad.tsv").write_text('a\tb\n1\t"x"y\n')
    message = refused(lambda: data(tmp_path / "bad.tsv"))
    assert "--quoting none" in message and "on_bad" not in message
    assert data(tmp_path / "bad.tsv", quoting="none")["b"][:] == ['"x"y']


# ------------------------------------------------------------------------------------------------ the figures


def test_the_figures_of_a_data_set(pairs: str) -> None:
    result = show_data(pairs, label_names=NAMES, where=["label=1"], head=1)
    assert json.loads(json.dumps(result.json(), allow_nan=False)) == result.json()
    lengths = {"min": 1, "p5": 1, "median": 1, "p95": 3, "max": 3}
    assert result.metrics == {
        "name": pairs, "examples": 2, "total": 3, "where": ["label=1"],
        "features": {
            "sentence1": {"type": "text"}, "sentence2": {"type": "text"},
            "label": {"type": "label", "names": NAMES}, "idx": {"type": "integer"},
        },
        "labels": {"label": {"not_equivalent": 0, "equivalent": 2}},
        "lengths": {
            "sentence1": {"characters": lengths},
            "sentence2": {"characters": lengths | {"p95": 5, "max": 5}},
        },
        "head": [ROWS[1]],
        "found": {"encoding": "utf-8"},
        "reading": {},
    }  # fmt: skip


def test_the_page_of_a_data_set(pairs: str) -> None:
    page = report(show_data(pairs, label_names=NAMES).metrics)
    assert f"{pairs}: 3 examples" in page and "0 not_equivalent, 1 equivalent" in page
    assert "  label  not_equivalent  1  33.3 %\n         equivalent      2  66.7 %" in page
    assert '  - sentence1: "猫がいる。"\n    sentence2: "犬がいる。"\n    label: 0 (not_equivalent)\n' in page
    assert "label: 1 (equivalent)\n    idx: 11" in page
    assert f"tane data {pairs} --column sentence2" in page
    some = report(show_data(pairs, where=["label=1"], head=1).metrics)
    assert f"{pairs}: 2 of 3 examples, where label=1" in some and "the first example\n" in some
    assert "the first" not in report(show_data(pairs, head=0).metrics)


def test_lines_fit_into_a_terminal(tmp_path: Path) -> None:
    names = [f"label number {n}" for n in range(30)]
    rows = [
        {"text": "とても長い文。" * 100, "t": "word " * 200, "label": n, "x\n": "\u200b\t"} for n in range(30)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    page = report(show_data(str(path), label_names=names).metrics)
    lines = [line for line in page.splitlines() if str(path) not in line]
    assert max(map(width, lines)) <= 100 and "\u200b" not in page and "\t" not in page
    assert "3 label number 3 and 26 more" in page and "… 10 more" in page and "<U+200B>\\t" in page
    assert sum("長い" in line for line in lines) == 3 * 4 and page.count("…") >= 6


def test_nothing_that_fits_the_conditions(pairs: str) -> None:
    result = show_data(pairs, label_names=NAMES, where=["label=1", "idx>50"])
    assert result.metrics["examples"] == 0 and result.metrics["total"] == 3 and result.metrics["head"] == []
    assert result.metrics["labels"] == {"label": {"not_equivalent": 0, "equivalent": 0}}
    page = report(result.metrics)
    assert "no example of 3, where label=1 and idx>50" in page and "label  not_equivalent, equivalent" in page
    assert "no example fits: see all without --where" in page
    assert "its labels: not_equivalent, equivalent" in refused(
        lambda: show_data(pairs, label_names=NAMES, where=["label=both"])
    )


def test_a_header_alone_has_no_examples(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\n")
    result = show_data(str(tmp_path / "x.csv"))
    assert result.metrics["examples"] == 0 and result.metrics["lengths"] == {}
    assert "0 examples" in report(result.metrics)


def test_which_columns_are_counted(tmp_path: Path) -> None:
    rows = [
        {"kind": "ab"[n % 2], "ok": n > 1, "text": f"text {n}", "n": n, "long": "x" * 50} for n in range(40)
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, {"text": "none"}])))
    labels = show_data(str(path)).metrics["labels"]
    assert labels == {"kind": {"a": 20, "b": 20, "none": 1}, "ok": {"false": 2, "true": 38, "none": 1}}
    assert list(show_data(str(path), label="n").metrics["labels"]) == ["n"]  # all 40 of the asked one
    (tmp_path / "many.jsonl").write_text("\n".join(json.dumps({"label": f"t{n}"}) for n in range(1001)))
    assert show_data(str(tmp_path / "many.jsonl")).metrics["labels"] == {}


def test_a_column_of_scores_is_told_by_its_range(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("text,label\n" + "".join(f"t,{n / 4}\n" for n in range(21)) + "t,\n")
    result = show_data(str(path))
    assert len(result.metrics["labels"]["label"]) == 22 and result.metrics["labels"]["label"]["none"] == 1
    assert "label  0 to 5, mean 2.5, 21 different" in report(result.metrics)


def test_values_of_every_kind(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B"])), "raw": datasets.Value("binary"),
            "when": datasets.Value("timestamp[s]"), "x": datasets.Value("float64"),
            "label": datasets.ClassLabel(names=["a"]), "o": {"k": datasets.Value("int64")},
        }
    )  # fmt: skip
    row = {"tags": [0, 1, 1], "raw": b"abc", "when": datetime.datetime(2020, 1, 7), "x": float("nan"),
           "label": -1, "o": {"k": 1}}  # fmt: skip
    datasets.Dataset.from_list([row], features=features).to_parquet(tmp_path / "x.parquet")
    result = show_data(str(tmp_path / "x.parquet"))
    json.dumps(result.json(), allow_nan=False)
    head = result.metrics["head"][0]
    assert head["raw"] == "<3 bytes>" and head["x"] == "nan" and head["when"].startswith("2020-01-07")
    assert result.metrics["labels"] == {"tags": {"O": 1, "B": 2}, "label": {"-1": 1, "a": 0}}
    assert result.metrics["features"]["tags"] == {"type": "list of label", "names": ["O", "B"]}
    page = report(result.metrics)
    assert "tags: [0 (O), 1 (B), 1 (B)]" in page and "label: -1\n" in page and 'o: {"k": 1}' in page


def test_lengths_in_tokens(pairs: str, tmp_path: Path) -> None:
    folder = characters(tmp_path / "tokenizer", "猫犬がいる。")  # each character is a token, known or not
    result = show_data(pairs, tokenizer=str(folder))
    lengths = result.metrics["lengths"]["sentence1"]
    assert lengths["tokens"] == lengths["characters"] == {"min": 1, "p5": 1, "median": 3, "p95": 5, "max": 5}
    assert "             tokens        1    1       3     5    5" in report(result.metrics)
    assert "does not exist" in refused(lambda: show_data(pairs, tokenizer="./nowhere"))
    assert "vocab.txt" in refused(lambda: show_data(pairs, tokenizer=str(folder), dictionary="ipadic"))


def test_one_data_set_at_a_time(pairs: str) -> None:
    message = refused(lambda: show_data(pairs, pairs))
    assert "expected one data set, found 2" in message and "--column NAME" in message
    assert "nothing to look into" in refused(show_data)
    assert "--head" in refused(lambda: show_data(pairs, head=-1))


def test_splits_and_what_is_typed_next(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.tsv").write_text(f"文\tn\n{split}の文\t1\n", encoding="utf-8")
    result = show_data(str(tmp_path), split="test", format="tsv")
    assert result.metrics["found"]["split"] == "test" and result.metrics["head"][0]["文"] == "testの文"
    page = report(result.metrics)
    assert f"tane data {tmp_path}/test.tsv --format tsv --column 文" in page and "delimiter tab" in page


# ------------------------------------------------------------------------------------------------------- text


def test_a_text_is_looked_into_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("①匹の猫。\n\n犬\n\n①匹の猫。\n".encode("cp932"))
    before = sorted(tmp_path.iterdir())
    result = show_data(str(path), head=1)
    found = result.metrics
    assert json.loads(json.dumps(result.json(), allow_nan=False)) == result.json()
    assert found["documents"] == {"train": 2, "valid": 0} and found["characters"]["train"] == 6
    assert found["ledger"]["found"] == 3 and found["changes"] == {}
    assert found["examples"]["duplicate"][0]["copy_of"] == f"{path}:1"
    assert [one["text"] for one in found["head"]] == ["①匹の猫。"]
    assert "cp932" in report(found) and "①匹の猫。" in report(found)
    assert sorted(tmp_path.iterdir()) == before
    assert tane.data(path).to_dict() == {"text": ["①匹の猫。", "犬", "①匹の猫。"]}


def test_columns_units_and_normalising(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("ja\ten\nＡ猫\tcat\n犬\tdog\n", encoding="utf-8")
    found = show_data(str(path), column="ja", normalize="nfkc").metrics
    assert found["documents"]["train"] == 2 and found["head"][0]["text"] == "A猫"
    assert found["changes"]["nfkc"]["rows"] == [["Ａ", "A", 1]]
    assert show_data(str(path), column=("ja", "en")).metrics["documents"]["train"] == 4
    lines = tmp_path / "lines.txt"
    lines.write_text("一\n二\n", encoding="utf-8")
    assert show_data(str(lines), unit="line").metrics["documents"]["train"] == 2
    assert show_data(str(lines), str(path), column="ja").metrics["documents"]["train"] == 3


def test_the_split_of_a_dataset_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def survey(settings: Any, **options: Any) -> dict[str, Any]:
        seen.update(settings=settings, **options)
        return {}

    monkeypatch.setattr(module, "survey", survey)
    for name in ("hf://glue/mrpc", "glue/mrpc"):
        show_data(name, split="validation", column="sentence1", head=7)
        assert seen["settings"].inputs == ["hf://glue/mrpc"] and seen["settings"].split == "validation"
        assert seen["head"] == 7 and seen["settings"].valid_fraction == 0


def test_what_is_for_rows_is_refused_for_a_text(tmp_path: Path, pairs: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x\ty\n1\t2\n")
    assert "--where is for rows with columns" in refused(lambda: show_data(str(path), where=["x=1"]))
    assert "--label is for rows" in refused(lambda: show_data(pairs, column="sentence1", label="label"))
    assert show_data(str(path), where=["x=1"], format="tsv").metrics["examples"] == 1


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        show_data(str(tmp_path / "no.txt"))
    with pytest.raises(InputError, match="--head"):
        show_data(str(tmp_path), head=-1)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(InputError, match="0 usable documents"):
        show_data(str(tmp_path / "empty.txt"))


def test_what_is_left_out_of_a_folder_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.png").write_bytes(b"x")
    show_data(str(tmp_path))
    assert capsys.readouterr().err.count("unknown kind") == 1


# ----------------------------------------------------------------------------------------------- the command


def test_the_command_prints_a_page_or_one_object(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--label-names", *NAMES, "--where", "label=equivalent", "idx<12", "--head", "1"]
    assert main(["data", pairs, *named]) == 0
    assert "1 of 3 examples, where label=equivalent and idx<12" in capsys.readouterr().out
    assert main(["data", pairs, *named, "--json"]) == 0
    printed = capsys.readouterr().out
    expected = show_data(pairs, label_names=NAMES, where=["label=equivalent", "idx<12"], head=1).metrics
    assert json.loads(printed) == expected and "猫" not in printed and "雨だ。" in printed
    assert main(["data", pairs, "--column", "sentence1"]) == 0
    assert "3 documents" in capsys.readouterr().out
    assert main(["data", pairs, "--where", "labl=1", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == 2


# --------------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serve({}) as endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        yield endpoint


def test_a_list_of_the_hub(hub: str) -> None:
    found = list_data().metrics
    assert [one["name"] for one in found["datasets"]] == ["you/日本語-stories", "you/日本語-news", "me/tiny"]
    assert found["datasets"][0] == {"name": "you/日本語-stories", "downloads": 12345, "likes": 6}
    some = list_data("日本語", limit=1).metrics
    assert some == {"datasets": found["datasets"][:1], "search": "日本語"}
    page = report(list_data("日本語").metrics).splitlines()
    assert page[:2] == ["data set            downloads  likes", "you/日本語-stories     12,345      6"]
    assert page[-1] == "look into one: tane data you/日本語-stories"
    assert report(list_data("nothing").metrics) == "the hub has no data set with 'nothing' in its name"
    assert "--head" in refused(lambda: list_data(limit=0))


def test_without_network_one_error_at_once(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "(http://127.0.0.1:9) cannot be reached, so its data sets cannot be listed" in refused(list_data)
    assert "not in the local cache, and the hub cannot be reached" in refused(lambda: show_data("glue/mrpc"))


def test_a_name_that_is_looked_up_for_ever_ends(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(module.hub.reachable, "__defaults__", (0.1,))
    assert "cannot be reached" in refused(list_data)


def test_a_hub_that_never_answers(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.hub, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "did not list its data sets: no answer within 0.2 seconds" in refused(list_data)


def test_a_hub_that_answers_nonsense(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"{hub}/elsewhere")
    assert "did not list its data sets: " in refused(list_data)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tane", "data", *arguments], capture_output=True, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", **environment},
    )  # fmt: skip


def test_the_command_with_a_hub_and_without(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=NAMES)}
    )
    rows = {"text": ["一", "二"], "label": [0, 1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    home, cache = tmp_path / "home", tmp_path / "cache"
    arguments = ("me/tiny", "--split", "test", "--where", "label=equivalent", "--cache-dir", str(cache))
    with serve({"data/test-00000-of-00001.parquet": content}) as endpoint:
        done = run(*arguments, "--json", HF_ENDPOINT=endpoint, HF_HOME=str(home))
    found = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and found["name"] == "hf://me/tiny" and found["examples"] == 1
    assert found["head"] == [{"text": "二", "label": 1}] and found["labels"]["label"]["equivalent"] == 1
    assert found["features"]["label"] == {"type": "label", "names": NAMES}
    assert any(cache.rglob("*.arrow")) and not any(home.rglob("*.arrow"))
    begun = time.monotonic()
    done = run("other/data", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(home))
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 2
    assert "the hub cannot be reached" in done.stderr and time.monotonic() - begun < 60


# -------------------------------------------------------------------------------------------------- real data


def test_the_four_looks_at_mrpc(real_data: Path) -> None:
    path = str(real_data / "pairs/mrpc/msr_paraphrase_train.txt")
    how: dict[str, Any] = {"format": "tsv", "quoting": "none"}
    label: dict[str, Any] = {"label": "Quality", "label_names": NAMES}
    found = data(path, **how, **label)
    assert len(found) == 4076
    assert found[0]["Quality"] == 1 and found[0]["#1 String"].startswith("Amrozi accused his brother")
    assert found.features["Quality"] == datasets.ClassLabel(names=NAMES)
    firsts = {name: data(path, **how, **label, where=[f"Quality={name}"])[0] for name in NAMES}
    assert firsts["equivalent"] == found[0]
    assert firsts["not_equivalent"]["#1 String"].startswith("Yucaipa owned Dominick's")
    shown = show_data(path, **how, **label, where=["Quality=not_equivalent"], head=1)
    assert shown.metrics["examples"] == 1323 and shown.metrics["total"] == 4076
    assert "- Quality: 0 (not_equivalent)" in report(shown.metrics)


def test_japanese_sets(real_data: Path) -> None:
    jsts = show_data(str(real_data / "pairs/jsts"), split="valid").metrics
    assert jsts["examples"] == 1457 and jsts["features"]["label"]["type"] == "number"
    questions = show_data(str(real_data / "pairs/jcommonsenseqa/valid-v1.3.json")).metrics
    assert sum(questions["labels"]["label"].values()) == 1119
    assert "マザーボード" in report(questions)
    snow = show_data(str(real_data / "short/snow-t15-shared.xlsx"), head=1).metrics
    assert snow["examples"] == 40_000 and snow["labels"] == {}
