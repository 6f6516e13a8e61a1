"""The plots show what the log, the fills and the scores hold, with Japanese glyphs."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from tane.errors import InputError
from tane.types import Result
from tane.use.plots import plot_confusion, plot_fills, plot_loss

TEXTS = ["秋には、[MASK]が木から落ちる。", "値段は$1と[MASK]$です。"]
FILLS = Result(
    "model",
    {
        "fills": [
            [
                {"token": "葉", "score": 0.5, "text": "秋には、葉が木から落ちる。"},
                {"token": "木の葉", "score": 0.25, "text": "秋には、木の葉が木から落ちる。"},
            ],
            [{"token": "$2$", "score": 0.1, "text": "値段は$1と$2$$です。"}],
        ],
        "masks": [{"text": 0, "start": 4, "end": 10}, {"text": 1, "start": 6, "end": 12}],
    },
)


def logged(folder: Path, *, masked: bool) -> Path:
    events: list[dict[str, Any]] = [{"event": "start", "step": 0}]
    for step in (1, 10, 20):
        events.append({"event": "step", "step": step, "loss": 8.0 / step})
    for step, share in (10, 0.25), (20, 0.5):
        bits = None if masked else 1.0
        events.append({"event": "eval", "step": step, "loss": 3.0, "bits_per_char": bits, "accuracy": share})
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n", encoding="utf-8")
    return folder


def curves(axes: Any) -> list[list[tuple[float, float]]]:
    return [list(zip(*line.get_data(), strict=True)) for line in axes.get_lines()]


def test_the_loss_of_a_causal_model(tmp_path: Path) -> None:
    figure = plot_loss(logged(tmp_path / "話", masked=False), tmp_path / "loss.png")
    (axes,) = figure.axes
    assert curves(axes) == [[(1, 8.0), (10, 0.8), (20, 0.4)], [(10, 3.0), (20, 3.0)]]
    assert axes.get_ylabel() == "loss (nats per token)"
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_masked_model_has_its_accuracy_beside_it(tmp_path: Path) -> None:
    loss, accuracy = plot_loss(logged(tmp_path / "run", masked=True)).axes
    assert len(curves(loss)) == 2 and "hidden" in loss.get_ylabel()
    assert curves(accuracy) == [[(10, 0.25), (20, 0.5)]]
    bottom, top = accuracy.get_ylim()
    assert bottom == 0 and top > 0.5


@pytest.mark.parametrize(
    ("scores", "shown"),
    [
        ({"accuracy": 0.5, "f1": 0.1, "f1_macro": 0.2}, "accuracy"),
        ({"precision": 0.1, "recall": 0.2, "f1": 0.5, "accuracy": 0.9}, "f1"),
        ({"pearson": 0.5, "rmse": 3.0}, "pearson"),
    ],
)
def test_a_task_has_its_score_beside_it(tmp_path: Path, scores: dict[str, float], shown: str) -> None:
    events = [{"event": "eval", "step": step, "loss": 1.0, **scores} for step in (10, 20)]
    del events[0][shown]  # undefined there, as the correlation of a constant is
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n", encoding="utf-8")
    loss, score = plot_loss(tmp_path).axes
    assert loss.get_ylabel() == "loss" and score.get_ylabel() == f"{shown} (validation)"
    assert curves(score) == [[(20, 0.5)]]


def test_a_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run"):
        plot_loss(tmp_path)


def test_fills_as_bars(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph that it lacks
        figure = plot_fills(FILLS, TEXTS, tmp_path / "fills.png")
    first, second = figure.axes
    assert [bar.get_width() for bar in first.patches] == [0.5, 0.25]
    assert [label.get_text() for label in first.get_yticklabels()] == ["葉", "木の葉"]
    assert first.get_title(loc="left") == "秋には、＿＿が木から落ちる。"
    assert second.get_title(loc="left") == "値段は$1と＿＿$です。"
    assert [text.get_text() for text in first.texts] == ["50.0%", "25.0%"]
    assert first.get_xlim() == second.get_xlim()  # to be compared by eye
    top, bottom = (bar.get_window_extent().y0 for bar in first.patches)
    assert top > bottom
    assert (tmp_path / "fills.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_text_is_shown_around_its_mask() -> None:
    text = f"{'あ' * 100}[MASK]{'い' * 100}"
    result = Result(
        "model",
        {"fills": [[{"token": "葉", "score": 0.5}]], "masks": [{"text": 0, "start": 100, "end": 106}]},
    )
    (axes,) = plot_fills(result, text).axes
    assert axes.get_title(loc="left") == f"{'あ' * 20}＿＿{'い' * 20}"


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no fills"):
        plot_fills(Result("model", {"texts": ["秋"]}), TEXTS)
    with pytest.raises(InputError, match="other texts"):
        plot_fills(FILLS, TEXTS[0])


REPORT = {
    "task": "pair-classification",
    "split": "test",
    "examples": 1212,
    "scores": {"accuracy": 0.99},
    "names": ["同じ", "違う$1$"],
    "confusion": [[1200, 0], [3, 9]],
}


def cells(axes: Any) -> dict[tuple[int, int], str]:
    """The numbers of a confusion by (row, column)."""
    placed = ((text.get_position(), text.get_text()) for text in axes.texts)
    return {(row, column): text for (column, row), text in placed}


def test_a_confusion_of_japanese_labels(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (axes,) = plot_confusion(REPORT, tmp_path / "confusion.png").axes
    assert cells(axes) == {(0, 0): "1,200", (0, 1): "0", (1, 0): "3", (1, 1): "9"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["同じ", "違う$1$"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["同じ", "違う$1$"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("gold", "predicted")
    (image,) = axes.get_images()  # the first row is the upper one, and its share is what is seen
    assert image.get_array().tolist() == [[1, 0], [0.25, 0.75]] and image.origin == "upper"
    colors = {text.get_text(): text.get_color() for text in axes.texts}
    assert (colors["1,200"], colors["3"], colors["9"]) == ("white", "black", "white")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_a_confusion_of_a_run_and_of_results(tmp_path: Path) -> None:
    valid = {**REPORT, "split": "valid", "confusion": [[1, 2], [3, 4]]}
    text = json.dumps({"valid": valid, "test": REPORT}, ensure_ascii=False)
    (tmp_path / "scores.json").write_text(text, encoding="utf-8")
    assert cells(plot_confusion(tmp_path).axes[0])[0, 0] == "1,200"
    assert cells(plot_confusion(str(tmp_path), split="valid").axes[0])[0, 1] == "2"
    trained = Result("run", {"run": "run", "valid": valid})
    assert cells(plot_confusion(trained).axes[0])[1, 1] == "4"
    assert cells(plot_confusion(Result("model", REPORT)).axes[0])[1, 1] == "9"


def test_many_labels_of_which_some_never_occur() -> None:
    names = [f"とても長い名前の分類その{number}" for number in range(30)]
    counts = [[2 * (row == column > 0) for column in range(30)] for row in range(30)]
    (axes,) = plot_confusion({**REPORT, "names": names, "confusion": counts}).axes
    assert not axes.texts
    assert {label.get_text() for label in axes.get_yticklabels()} == {"とても長い名前…"}
    assert axes.get_images()[0].get_array().sum() == 29


def test_no_confusion_to_draw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no scores\.json"):
        plot_confusion(tmp_path)
    with pytest.raises(InputError, match="regression has no labels"):
        plot_confusion({"task": "regression", "split": "valid", "examples": 3, "scores": {"rmse": 1.0}})
    with pytest.raises(InputError, match=r"no scores on test\s.*there are valid"):
        plot_confusion({"valid": REPORT}, split="test")
    with pytest.raises(InputError, match="there are no scores"):
        plot_confusion(Result("model", {"texts": ["秋"]}))
