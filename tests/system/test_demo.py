"""The demo walks its whole road, on the bundled text and on one's own; a second call begins nothing anew."""

from pathlib import Path

import pytest

from tane.training.tracker import read_metrics
from tane.use.demo import demo

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def test_on_the_bundled_text(place: Path, capsys: Captured) -> None:
    out = place / "bundled"
    result = demo(out, steps=4)
    told = capsys.readouterr()
    metrics = result.metrics
    assert result.path == str(out) and metrics["steps"] == 4 and not metrics["already_finished"]
    assert (out / "sample.txt").stat().st_size > 1_000_000
    assert [step for step, _, _ in metrics["curve"]] == [e["step"] for e in read_metrics(out / "gpt", "eval")]
    assert metrics["curve"][-1][1] < metrics["curve"][0][1]  # it learns
    assert len(metrics["texts"]) == 3 and metrics["texts"][0].startswith("ある秋の日、")
    assert 0 <= metrics["verbatim_share"] <= 1 and 0 <= metrics["outside_share"] <= 1
    for step, _, _ in metrics["curve"]:
        assert f"step {step:>5} " in told.out
    for text in metrics["texts"]:
        assert text.strip() in told.out
    assert "finished sentences" in told.out and f"tane generate {out / 'gpt'}" in told.out
    assert "the bundled text" in told.err
    again = demo(out, steps=4)
    assert again.metrics["already_finished"] and "is finished" in capsys.readouterr().err
    assert again.metrics["curve"] == metrics["curve"] and again.metrics["texts"] == metrics["texts"]


def test_on_a_text_of_ones_own(place: Path, sample_text: Path, capsys: Captured) -> None:
    out, own = place / "own", place / "own.txt"
    own.write_text("\n\n".join(sample_text.read_text(encoding="utf-8").split("\n\n")[:300]), encoding="utf-8")
    result = demo(out, inputs=[str(own)], steps=2)
    told = capsys.readouterr()
    assert result.metrics["steps"] == 2 and len(result.metrics["texts"]) == 3
    assert not (out / "sample.txt").exists() and "the bundled text" not in told.err
    assert str(own) in (out / "gpt" / "requested.yaml").read_text(encoding="utf-8")
    assert "validation loss" in told.out and "finished sentences" in told.out
