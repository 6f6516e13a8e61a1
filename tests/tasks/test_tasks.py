"""The contract of every task, and what each makes of rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tane import registry
from tane.errors import InputError
from tane.settings import build
from tane.tasks.settings import TaskSettings
from tane.tokens.tokenizer import load_tokenizer
from tane.training.labelled import read_data, read_examples
from tane.types import IGNORE
from tests.labelled import write_csv

TASKS = registry.names("tasks")
ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [{"text": "猫 山", "label": "a"}, {"text": "川", "label": "b"}],
    "pair_classification": [
        {"sentence1": "猫", "sentence2": "犬 山", "label": 0},
        {"sentence1": "川 海", "sentence2": "空", "label": 1},
    ],
    "regression": [
        {"sentence1": "猫", "sentence2": "犬 山", "label": 0.5},
        {"sentence1": "川 海", "sentence2": "空", "label": 4},
    ],
    "multiple_choice": [
        {"question": "猫", **{f"choice{i}": w for i, w in enumerate("山川海空花")}, "label": 3},
        {"question": "犬 白い", **{f"choice{i}": w for i, w in enumerate("火石木花空")}, "label": 0},
    ],
    "token_classification": [
        {"tokens": ["大きい", "猫", "山"], "tags": ["O", "B-ANI", "I-ANI"]},
        {"tokens": ["川"], "tags": ["O"]},
    ],
}  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def make(name: str, path: Path, **values: Any) -> TaskSettings:
    task: TaskSettings = build(registry.find("tasks", name), {"data": {"train": str(path)}, **values}, "task")
    return task


def test_there_are_rows_for_every_task() -> None:
    assert set(ROWS) == set(TASKS) and len(TASKS) == 5


@pytest.mark.parametrize("name", TASKS)
def test_the_contract_of_a_task(name: str, tmp_path: Path, encoder: Path) -> None:
    task = make(name, write(tmp_path / "a.jsonl", ROWS[name]))
    assert task.kind == name.replace("_", "-") and task.measures and task.decides == task.measures[0]
    examples = read_examples(task, task.data.train, None)
    assert len(examples) == 2 and examples.items[0].position == 1 and not examples.left_out
    tokenizer = load_tokenizer(encoder)
    encoded = task.encode(tokenizer, examples.items, None)
    batch = task.batch(encoded, 0)
    assert batch.num_tokens == sum(one.tokens for one in encoded) == int(batch.inputs["attention_mask"].sum())
    assert batch.num_targets == int((batch.labels != IGNORE).sum())
    import torch
    import transformers

    config = transformers.BertConfig(
        vocab_size=128, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        **{k: v for k, v in task.head(examples.names).items() if k != "num_labels"},
    )  # fmt: skip
    model = getattr(transformers, task.auto_model).from_config(config).eval()
    with torch.no_grad():
        logits = model(**batch.inputs).logits
    loss = task.loss(logits, batch.labels, None)
    assert loss.ndim == 0 and torch.isfinite(loss)
    outputs = task.outputs(logits.numpy(), encoded)
    answers = task.answers(outputs, examples.names)
    assert len(answers) == 2 and all(set(one) == {"label", "scores"} for one in answers)
    gold = [one.gold for one in examples.items]
    judged = task.judge(gold, gold, outputs, examples.names)
    assert set(judged.scores) <= set(task.measures) and set(judged.baseline) <= set(task.measures)
    assert judged.baseline_is.startswith("always")
    perfect = [_perfect(one, len(examples.names)) for one in gold]
    right = task.judge(gold, gold, perfect, examples.names)
    assert right.scores[task.decides] == pytest.approx(1) or not right.wrong


def _perfect(gold: Any, count: int) -> np.ndarray:
    if isinstance(gold, list):
        return np.eye(count)[gold]
    return np.array([gold]) if isinstance(gold, float) else np.eye(count)[gold]


def test_the_ids_are_those_of_the_tokenizer(tmp_path: Path, encoder: Path) -> None:
    task = make("pair_classification", write(tmp_path / "a.jsonl", ROWS["pair_classification"]))
    tokenizer = load_tokenizer(encoder)
    one = task.encode(tokenizer, read_examples(task, task.data.train, None).items, None)[0]
    expected = tokenizer("猫", "犬 山")
    assert one.ids[0].tolist() == expected["input_ids"] and one.types is not None
    assert one.types[0].tolist() == expected["token_type_ids"] == [0, 0, 0, 1, 1, 1]


def test_words_are_parted_where_the_tokenizer_expects_it(tmp_path: Path, encoder: Path) -> None:
    rows = [{"text": "白い猫を見る", "label": 0}, {"text": "川", "label": 1}]
    path, tokenizer = write(tmp_path / "a.jsonl", rows), load_tokenizer(encoder)
    ids = {}
    for words in ("none", "ipadic"):
        task = make("classification", path, words=words)
        ids[words] = task.encode(tokenizer, read_examples(task, task.data.train, None).items, None)[0].ids[0]
    assert ids["ipadic"].tolist() == tokenizer("白い 猫 を 見る")["input_ids"] != ids["none"].tolist()


def test_long_texts_are_cut_and_counted(tmp_path: Path, encoder: Path) -> None:
    rows = [
        {"sentence1": "猫 " * 30, "sentence2": "犬", "label": 0},
        {"sentence1": "a", "sentence2": "b", "label": 1},
    ]
    task = make("pair_classification", write(tmp_path / "a.jsonl", rows))
    encoded = task.encode(load_tokenizer(encoder), read_examples(task, task.data.train, None).items, 12)
    assert [one.cut for one in encoded] == [True, False] and encoded[0].length == 12


def test_words_bear_labels_at_their_first_token(tmp_path: Path, encoder: Path) -> None:
    task = make("token_classification", write(tmp_path / "a.jsonl", ROWS["token_classification"]))
    examples = read_examples(task, task.data.train, None)
    assert examples.names == ("O", "B-ANI", "I-ANI")
    tokenizer = load_tokenizer(encoder)
    one = task.encode(tokenizer, examples.items, None)[0]
    pieces = tokenizer.convert_ids_to_tokens(one.ids[0].tolist())
    assert pieces == ["[CLS]", "大", "##き", "##い", "猫", "山", "[SEP]"]
    assert one.label.tolist() == [IGNORE, 0, IGNORE, IGNORE, 1, 2, IGNORE]
    short = task.encode(tokenizer, examples.items, 6)[0]
    assert short.cut and short.label.tolist() == [IGNORE, 0, IGNORE, IGNORE, 1, IGNORE]
    judged = task.judge([], [examples.items[0].gold], [np.eye(3)[[0, 1]]], examples.names, full=False)
    assert judged.scores["accuracy"] == pytest.approx(2 / 3), "a word that was cut off counts as O"


def test_words_in_a_table_stand_with_spaces_between(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ("tokens", "tags"), [("白い 猫", "O B-X"), ("川", "O")])
    examples = read_examples(
        make("token_classification", path), make("token_classification", path).data.train, None
    )
    assert examples.items[0].words == ("白い", "猫") and examples.items[0].gold == [0, 1]


# --------------------------------------------------------------------------------------------- what is wrong


def pair_task(path: Path, **values: Any) -> TaskSettings:
    return make("pair_classification", path, **values)


def refused(task: TaskSettings) -> InputError:
    with pytest.raises(InputError) as error:
        read_data(task)
    return error.value


NAMES = ("sentence1", "sentence2", "label")


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv", ("sentence_1", "sentence2", "label"), [("猫", "犬", 1), ("a", "b", 0)]
    )
    error = refused(pair_task(path))
    assert (
        "sentence1" in error.message
        and "sentence_1 (text)" in error.message
        and "label (integer)" in error.message
    )
    assert "--task.text sentence_1" in error.remedy


def test_an_unknown_label_of_validation_is_named_with_its_line(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", "yes"), ("a", "b", "no")])
    valid = write_csv(tmp_path / "b.csv", NAMES, [("猫", "犬", "yes"), ("a", "b", "maybe")])
    error = refused(pair_task(train, data={"train": str(train), "valid": str(valid)}))
    assert "line 3" in error.message and "'maybe'" in error.message and "'no', 'yes'" in error.message


def test_one_class_teaches_nothing(tmp_path: Path) -> None:
    error = refused(pair_task(write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", "yes"), ("a", "b", "yes")])))
    assert "only the label 'yes'" in error.message and "--task.label" in error.remedy


def test_rows_without_text_or_label_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("猫", "犬", "x"),
        ("", "b", "y"),
        ("猫", " ", "x"),
        ("山", "川", ""),
        ("空", "海", "y"),
        ("石", "木", "x"),
    ]
    path = write_csv(tmp_path / "a.csv", NAMES, rows)
    data = read_data(pair_task(path, data={"train": str(path), "valid": str(path)}))
    assert [one.position for one in data.train.items] == [2, 6, 7]
    assert data.train.left_out == {"without text": 2, "without label": 1}
    told = capsys.readouterr().err
    assert "3 examples; left out: 1 without label, 2 without text" in told
    assert "warning: 3 of the 3 examples" in told, "the same file on both sides is a leak"


def test_labels_of_mixed_types_are_refused(tmp_path: Path) -> None:
    rows = [{"text": "猫", "label": 1}, {"text": "犬", "label": "two"}]
    error = refused(make("classification", write(tmp_path / "a.jsonl", rows)))
    assert "mixed types" in error.message and "line 2" in error.message


def test_fractions_are_no_classes_and_names_no_numbers(tmp_path: Path) -> None:
    rows = [{"text": "猫", "label": 1.5}, {"text": "犬", "label": 2.25}]
    error = refused(make("classification", write(tmp_path / "a.jsonl", rows)))
    assert "fractions" in error.message and "regression" in error.remedy
    rows = [{"text": "猫", "label": "good"}, {"text": "犬", "label": "bad"}]
    error = refused(make("regression", write(tmp_path / "b.jsonl", rows), text="text", text_pair=None))
    assert "expected a number" in error.message and "line 1" in error.message


def test_three_rows_are_too_few_to_split(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", 0), ("a", "b", 1), ("c", "d", 0)])
    error = refused(pair_task(path))
    assert "3 examples" in error.message and "--task.data.valid" in error.remedy


def test_labels_that_are_hidden_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", -1), ("a", "b", -1)])
    error = refused(pair_task(path))
    assert "-1" in error.message and "split" in error.remedy


def test_names_of_numbers_and_of_texts(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", 1), ("a", "b", 0)])
    examples = read_examples(task := pair_task(path, label_names=["no", "yes"]), task.data.train, None)
    assert examples.names == ("no", "yes") and [one.gold for one in examples.items] == [1, 0]
    stars = write_csv(tmp_path / "b.csv", NAMES, [("猫", "犬", 5), ("a", "b", 1), ("c", "d", 3)])
    examples = read_examples(task := pair_task(stars), task.data.train, None)
    assert examples.names == ("1", "3", "5") and [one.gold for one in examples.items] == [2, 0, 1]
    with pytest.raises(InputError, match="twice"):
        pair_task(path, label_names=["a", "a"])
    with pytest.raises(InputError, match=r"task\.metric"):
        pair_task(path, metric="bleu")


def test_choices_are_named_by_place_or_column(tmp_path: Path) -> None:
    rows = [dict(ROWS["multiple_choice"][0]), {**ROWS["multiple_choice"][1]}]
    task = make("multiple_choice", write(tmp_path / "a.jsonl", rows))
    assert [one.gold for one in read_examples(task, task.data.train, None).items] == [3, 0]
    rows = [{**row, "label": name} for row, name in zip(rows, ("choice4", "choice1"), strict=True)]
    task = make("multiple_choice", write(tmp_path / "b.jsonl", rows))
    assert [one.gold for one in read_examples(task, task.data.train, None).items] == [4, 1]


def test_weights_of_classes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", NAMES, [("猫", "犬", 1), ("a", "b", 0)])
    gold = [0, 0, 0, 1]
    balanced = pair_task(path, class_weights="balanced").class_weights_of(gold, 2)
    assert balanced == pytest.approx([4 / 6, 2]) and np.mean([balanced[g] for g in gold]) == pytest.approx(1)
    named = pair_task(path, class_weights={"1": 3.0}).class_weights_of(gold, 2)
    assert named is not None and named[1] / named[0] == pytest.approx(3)
    assert np.mean([named[g] for g in gold]) == pytest.approx(1)
    with pytest.raises(InputError, match="names 'two'"):
        pair_task(path, class_weights={"two": 3.0}).class_weights_of(gold, 2)


def test_the_split_by_hash_keeps_what_was_there(tmp_path: Path) -> None:
    rows = [(f"猫{n}", f"犬{n}", n % 2) for n in range(300)]
    first = read_data(pair_task(write_csv(tmp_path / "a.csv", NAMES, rows[:200])))
    more = read_data(pair_task(write_csv(tmp_path / "b.csv", NAMES, rows)))
    assert 8 < len(first.valid) < 40 and len(first.train) + len(first.valid) == 200
    assert {one.key for one in first.valid.items} <= {one.key for one in more.valid.items}
    assert not {one.key for one in more.valid.items} & {one.key for one in more.train.items}
