"""What a person sees of scores: the page and the markdown, with Japanese labels and odd texts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tane.text.columns import width
from tane.use.score_page import markdown, page

Report = dict[str, Any]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def pairs() -> Report:
    """Two classes, the second of them the commoner."""
    return {
        "task": "pair-classification", "split": "test", "file": "dev.csv", "examples": 1725,
        "metric": "accuracy",
        "scores": {"f1": 0.8, "accuracy": 0.78964, "mcc": -0.0001},
        "intervals": {"accuracy": [0.77, 0.81], "f1": (0.79, 0.82), "mcc": [-0.03, -0.01]},
        "baseline": {"accuracy": 0.665, "f1": 0.799, "mcc": 0.0}, "baseline_is": "always 同義",
        "names": ["同義ではない", "同義"], "confusion": [[400, 178], [185, 962]],
        "wrong": [
            {
                "row": 17, "gold": "同義", "predicted": "同義ではない", "score": 0.93,
                "文1": "猫" * 300, "文2": "a|b\nc",
            },
            {"row": 4, "gold": "同義ではない", "predicted": "同義", "score": 0.9, "文1": "短い", "文2": ""},
        ],
    }  # fmt: skip


@pytest.fixture
def similarity() -> Report:
    """Numbers: the model's answers are worse than the baseline in one metric and undefined in another."""
    return {
        "task": "similarity", "split": "valid", "file": "v.json", "examples": 1, "metric": "pearson",
        "scores": {"rmse": 1.2, "mae": 1.0}, "intervals": {"rmse": [1.1, 1.3], "mae": [0.9, 1.1]},
        "baseline": {"rmse": 1.4, "mae": 0.8, "pearson": 0.6}, "baseline_is": "the training mean",
        "wrong": [{"row": 0, "gold": 4.8, "predicted": 0.25, "score": 4.55, "sentence1": "あ"}],
    }  # fmt: skip


def many_classes(count: int, name: str = "クラス") -> Report:
    """Each class is taken for the next one as often as its number says."""
    table = [[9 if at == to else at if to == at + 1 else 0 for to in range(count)] for at in range(count)]
    return {
        "task": "classification", "split": "test", "file": "t.csv", "examples": 9, "metric": "accuracy",
        "scores": {"accuracy": 0.9}, "names": [f"{name}{at}" for at in range(count)], "confusion": table,
    }  # fmt: skip


def line(text: str, start: str) -> str:
    """The one line that begins so."""
    (found,) = [one for one in text.split("\n") if one.startswith(start)]
    return found


# ---------------------------------------------------------------------------------------------- the terminal


def test_each_metric_stands_beside_its_interval_and_the_baseline(pairs: Report) -> None:
    text = page(pairs)
    assert text.startswith("pair-classification: scores on test\ndev.csv, 1,725 examples\n")
    assert line(text, "accuracy") == "accuracy  0.790  0.770 to 0.810       0.665  better"
    assert line(text, "f1").split()[-1] == "tell" and "0.799" in line(text, "f1")
    assert line(text, "mcc").split()[1] == "0.000"  # nobody wants to see -0.000
    assert line(text, "mcc").endswith("worse")
    assert text.index("\naccuracy") < text.index("\nf1")  # what decided stands first
    assert "decided by accuracy\nbaseline: always 同義\nbetter: the whole interval beats the baseline" in text


def test_of_errors_less_is_better(similarity: Report) -> None:
    text = page(similarity)
    assert line(text, "rmse").endswith("better") and line(text, "mae").endswith("worse")
    assert line(text, "pearson").split() == ["pearson", "undefined", "0.600"]
    assert "1 example\n" in text and "confusion" not in text
    assert "the largest errors: 1 of 1 examples\nrow 0: gold 4.800, predicted 0.250, score 4.550" in text


@pytest.mark.parametrize(("low", "high"), [(0.665, 0.7), (0.6, 0.665), (0.6, 0.7), (0.665, 0.665)])
def test_an_interval_that_touches_the_baseline_tells_nothing(pairs: Report, low: float, high: float) -> None:
    pairs["intervals"]["accuracy"] = [low, high]
    assert line(page(pairs), "accuracy").endswith("cannot tell")


def test_without_intervals_baseline_or_number_nothing_is_said_of_them(pairs: Report) -> None:
    pairs["scores"]["f1"], pairs["scores"]["mcc"] = None, math.nan
    pairs["intervals"]["f1"] = [math.nan, math.nan]
    del pairs["intervals"]["accuracy"], pairs["baseline"]["mcc"]
    text = page(pairs)
    assert line(text, "accuracy").split() == ["accuracy", "0.790", "0.665"]
    assert line(text, "f1").split() == ["f1", "undefined", "0.799"]
    assert line(text, "mcc").split() == ["mcc", "undefined", "-0.030", "to", "-0.010"]
    assert "nan" not in text + markdown(pairs) and "better" not in text + markdown(pairs)
    bare = {key: pairs[key] for key in ("task", "split", "file", "examples", "metric", "scores")}
    assert page(bare).endswith("decided by accuracy") and markdown(bare).endswith("- decided by accuracy\n")


def test_the_confusions_are_aligned_under_japanese_names(pairs: Report) -> None:
    lines = page(pairs).split("\n")
    at = lines.index("confusions: a row is gold, a column what was predicted")
    table = lines[at + 1 : at + 4]
    assert [one.split() for one in table] == [
        ["同義ではない", "同義"], ["同義ではない", "400", "178"], ["同義", "185", "962"],
    ]  # fmt: skip
    assert len({width(one) for one in table}) == 1


def test_where_the_names_do_not_fit_the_columns_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = page(many_classes(12, "とても長い名前のクラス"))
    table = text[text.index("confusions") :].split("\n")[1:]
    assert table[0].split() == [str(number) for number in range(1, 13)]
    assert (
        table[12].startswith("12 とても") and table[12].split()[-1] == "9" and table[11].split()[-1] == "10"
    )
    assert max(map(width, table)) <= 60 and len({width(one) for one in table}) == 1


@pytest.mark.parametrize(("columns", "count"), [(40, 12), (100, 13)])
def test_where_nothing_fits_and_of_many_classes_the_commonest_are_listed(
    columns: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    report = many_classes(count)
    report["confusion"][1][0] = 1200
    text = page(report)
    table = text[text.index("the commonest confusions\n") :].split("\n")[1:]
    assert len(table) == 11 and max(map(width, table)) <= columns
    assert table[0].split() == ["gold", "predicted", "count", "of", "gold"]
    assert table[1].split() == ["クラス1", "クラス0", "1,200", "99", "%"]
    assert table[2].split()[:3] == [f"クラス{count - 2}", f"クラス{count - 1}", str(count - 2)]


def test_many_classes_without_a_mistake() -> None:
    report = many_classes(14)
    report["confusion"] = [[int(at == to) for to in range(14)] for at in range(14)]
    assert page(report).endswith("confusions: none, every answer is right")
    assert "confusions" not in markdown(report)


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_examples_keep_to_the_width(pairs: Report, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    pairs["wrong"][0]["gold"] = "長い名前" * 30
    text = page(pairs)
    found = text[text.index("wrong examples: 2 of 363, the most confident first\n") :].split("\n")
    assert max(map(width, found[1:])) <= columns
    assert found[1].startswith("row 17: gold 長い") and "…, predicted 同" in found[1]
    assert found[2].startswith("  文1  猫猫") and found[2].endswith("猫…") and found[3] == "  文2  a|b⏎c"
    if columns >= 60:
        assert found[4:] == ["row 4: gold 同義ではない, predicted 同義, score 0.900", "  文1  短い", "  文2"]


def test_only_ten_examples_are_shown(pairs: Report) -> None:
    pairs["wrong"] *= 6
    text = page(pairs)
    assert text.count("\nrow ") == 10 and "wrong examples: 10 of 363" in text
    pairs["wrong"] = []
    assert page(pairs).endswith("\n\nno wrong examples")


def test_tags_stand_under_their_words() -> None:
    report = {
        "task": "tagging", "split": "test", "file": "t.jsonl", "examples": 3, "metric": "f1",
        "scores": {"f1": 0.5},
        "wrong": [
            {"row": 2, "gold": ["B-人", "O"], "predicted": ["O", "O"], "score": 0.5, "words": ["漱石", "は"]}
        ],
    }  # fmt: skip
    assert page(report).endswith(
        "wrong examples: 1, the worst first\n"
        "row 2: score 0.500\n"
        "  words      漱石  は\n"
        "  gold       B-人  O\n"
        "  predicted  O     O"
    )
    assert "| 2 | B-人 O | O O | 0.500 | 漱石 は |" in markdown(report)


def test_rows_that_were_left_out_are_told(pairs: Report) -> None:
    assert "left out" not in page(pairs | {"left_out": {}}) + markdown(pairs)
    pairs["left_out"] = {"no text": 1200, "no label": 3}
    assert "\nrows left out: 1,200 no text, 3 no label\n" in page(pairs)
    assert "\n- rows left out: 1,200 no text, 3 no label\n" in markdown(pairs)


def test_several_seeds(pairs: Report) -> None:
    pairs["seeds"] = [0, 1, 2]
    pairs["spread"] = {"accuracy": {"mean": 0.785, "std": 0.0061, "min": 0.779, "max": 0.79}}
    assert "over the seeds 0, 1, 2\nmetric     mean           least   most\n" in page(pairs)
    assert "accuracy  0.785  ± 0.006  0.779  0.790" in page(pairs)
    assert "| accuracy | 0.785 | ± 0.006 | 0.779 | 0.790 |" in markdown(pairs)


def test_what_a_terminal_would_obey_is_written_out(pairs: Report) -> None:
    evil = "\x1b[2J\r\u202e"
    pairs |= {"names": [f"a{evil}", "b"], "file": evil, "baseline_is": evil}
    pairs["wrong"][0] |= {"gold": evil, "文1": evil, f"k{evil}": evil}
    for text in (page(pairs), markdown(pairs)):
        assert all(char.isprintable() or char == "\n" for char in text)


# ----------------------------------------------------------------------------------------------- the markdown


def test_markdown_has_the_same_parts(pairs: Report) -> None:
    text = markdown(pairs)
    assert text.startswith(
        "# pair-classification: scores on test\n\ndev.csv, 1,725 examples.\n\n| metric | score |"
    )
    assert "| accuracy | 0.790 | 0.770 to 0.810 | 0.665 | better |" in text
    assert "- decided by accuracy\n- baseline: always 同義\n" in text
    assert (
        "| gold ↓ predicted → | 同義ではない | 同義 |\n| --- | ---: | ---: |\n| 同義ではない | 400 | 178 |"
        in text
    )
    assert "## wrong examples: 2 of 363, the most confident first\n\n| row | gold |" in text
    assert r" | a\|b⏎c |" in text and f"| {'猫' * 199}… |" in text
    assert text.endswith("| 短い |  |\n")


def test_markdown_of_many_classes_and_of_many_examples(pairs: Report) -> None:
    report = many_classes(13) | {"wrong": pairs["wrong"] * 30}
    text = markdown(report)
    assert "## the commonest confusions" in text and "| クラス11 | クラス12 | 11 | 55 % |" in text
    assert text.count("\n| 17 |") + text.count("\n| 4 |") == 50 and "50 of 66" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>&amp;", "&lt;script&gt;&amp;amp;"),
        ("*a* _b_ `c` [d](e) ~f~ \\", r"\*a\* \_b\_ \`c\` \[d\](e) \~f\~ \\"),
        ("not_equivalent 猫_犬 1 * 2", r"not_equivalent 猫_犬 1 \* 2"),
        ("a\r\nb\tc", "a&lt;U+000D&gt;⏎b&lt;U+0009&gt;c"),
        (r"\| |", r"\\\| \|"),
    ],
)
def test_markdown_shows_texts_as_they_stand(pairs: Report, text: str, shown: str) -> None:
    pairs["wrong"][0]["文2"] = text
    assert f" | {shown} |\n" in markdown(pairs)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_whatever_a_text_holds_a_row_stays_a_row(text: str) -> None:
    report = {
        "task": "t", "split": "s", "file": "f", "examples": 1, "metric": "accuracy",
        "scores": {"accuracy": 0.0}, "names": [text, "b"], "confusion": [[0, 1], [0, 0]],
        "wrong": [{"row": 1, "gold": text, "predicted": text, "text": text}],
    }  # fmt: skip
    rows = [one for one in markdown(report).split("\n") if one.startswith("| 1 |")]
    assert len(rows) == 1
    assert rows[0].replace("\\\\", "").replace("\\|", "").count("|") == 5
    head = page(report).split("wrong examples")[1].split("\n")[1:]
    assert len(head) == 2 and all(width(one) <= 100 for one in head)
