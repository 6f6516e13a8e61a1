"""The demo walks its whole road, on the bundled text and on one's own; a second call begins nothing anew."""

from pathlib import Path

import pytest

from tane import demo as module
from tane.demo import demo
from tane.errors import ResourceError, TaneError
from tane.sample import CLOZE
from tane.text.corpus import Corpus
from tane.training.tracker import read_metrics

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def write_own(path: Path, sample_text: Path, stories: int) -> Path:
    """A text of one's own, to which the demo must come without the bundled one."""
    path.write_text(
        "\n\n".join(sample_text.read_text(encoding="utf-8").split("\n\n")[:stories]), encoding="utf-8"
    )
    return path


def test_on_the_bundled_text(place: Path, capsys: Captured) -> None:
    out = place / "bundled"
    result = demo(out, steps=4, bert_steps=4, pair_epochs=0.05)
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

    bert = metrics["bert"]
    evals = read_metrics(out / "bert", "eval")
    assert bert["model"] == str(out / "bert" / "model")
    assert bert["valid_loss"] == evals[-1]["loss"] < evals[0]["loss"]
    assert bert["valid_accuracy"] == evals[-1]["accuracy"]
    assert [(one["text"], tuple(one["right"])) for one in bert["fills"]] == list(CLOZE)
    assert all(len(one["fills"]) == 5 for one in bert["fills"])
    right = [[fill["token"] in one["right"] for fill in one["fills"]] for one in bert["fills"]]
    assert bert["cloze_top1"] == sum(row[0] for row in right) / len(CLOZE)
    assert bert["cloze_top5"] == sum(map(any, right)) / len(CLOZE) >= bert["cloze_top1"]
    first = bert["fills"][0]["fills"][0]
    assert f"{CLOZE[0][0]}\n    {first['token']} {first['score']:.1%}  " in told.out.replace("*", "")
    assert f"tane fill {out / 'bert'} '{CLOZE[0][0]}'" in told.out

    pairs = metrics["pairs"]
    assert pairs["model"] == str(out / "pairs" / "model") and pairs["split"] == "test"
    assert 0 < pairs["steps"] < 12 and abs(pairs["baseline"]["accuracy"] - 0.5) < 0.01
    assert f"{pairs['metrics']['accuracy']:.1%} are told right" in told.out
    assert f"tane predict {out / 'pairs'} --text " in told.out

    again = demo(out, steps=4, bert_steps=4, pair_epochs=0.05)
    assert again.metrics["already_finished"] and told_of_all(capsys)
    assert again.metrics["curve"] == metrics["curve"] and again.metrics["texts"] == metrics["texts"]
    assert again.metrics["bert"] == bert and again.metrics["pairs"]["metrics"] == pairs["metrics"]


def told_of_all(capsys: Captured) -> bool:
    """Whether all three runs are said to be finished."""
    return capsys.readouterr().err.count("is finished") == 3


def test_on_a_text_of_ones_own(place: Path, sample_text: Path, capsys: Captured) -> None:
    out, own = place / "own", write_own(place / "own.txt", sample_text, 300)
    result = demo(out, inputs=[str(own)], steps=2, bert_steps=2)
    told = capsys.readouterr()
    assert result.metrics["steps"] == 2 and len(result.metrics["texts"]) == 3
    assert result.metrics["pairs"] is None and not (out / "pairs").exists()
    assert not (out / "sample.txt").exists() and "the bundled text" not in told.err
    for run in ("gpt", "bert"):
        assert str(own) in (out / run / "requested.yaml").read_text(encoding="utf-8")
    assert "validation loss" in told.out and "finished sentences" in told.out
    valid = "".join(Corpus.open(out / "bert" / "data" / "corpus").texts("valid"))
    fills = result.metrics["bert"]["fills"]
    assert fills and len(fills) <= 100
    for one in fills:
        (word,) = one["right"]
        assert one["text"].replace("[MASK]", word) in valid and len(one["fills"]) == 5
    assert 0 <= result.metrics["bert"]["cloze_top1"] <= result.metrics["bert"]["cloze_top5"] <= 1
    other = write_own(place / "other.txt", sample_text, 200)
    with pytest.raises(TaneError) as caught:
        demo(out, inputs=[str(other)], steps=2, bert_steps=2)
    assert f"--out {out}-2" in caught.value.remedy


def test_without_a_sentence_to_put_a_blank_into(place: Path, capsys: Captured) -> None:
    own = place / "words.txt"
    own.write_text("\n\n".join(f"{n}番の犬と{n * 7}番の猫" for n in range(1000)), encoding="utf-8")
    bert = demo(place / "words", inputs=[str(own)], steps=2, bert_steps=2).metrics["bert"]
    assert bert["fills"] == [] and bert["cloze_top1"] is None and bert["cloze_top5"] is None
    assert "no sentence" in capsys.readouterr().out


def test_a_file_where_its_folder_is_due(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="a file stands where a folder is due"):
        demo(tmp_path / "file")


def test_pairs_that_were_half_written_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise TaneError("the pairs are there")

    monkeypatch.setattr(module, "_train", stop)
    (tmp_path / "pair-files").mkdir()
    (tmp_path / "pair-files" / "train.csv").touch()
    with pytest.raises(TaneError, match="are there"):
        module._pairs(tmp_path, str(tmp_path), 1)
    assert all(
        (tmp_path / "pair-files" / f"{name}.csv").stat().st_size for name in ("train", "valid", "test")
    )
