"""`tane report`: one page that holds everything, fetches nothing, and shows text as text."""

from __future__ import annotations

import json
import re
import shutil
import unittest.mock
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

import tane
from tane import cli, signals
from tane.errors import InputError, Interrupted
from tane.recipe import Recipe, train
from tane.reporting import charts, contents, page
from tane.reporting.gather import gather
from tane.reporting.versus import Scores, compare
from tane.use.evaluate import evaluate
from tane.use.finetune import finetune
from tane.use.per_document import causal_nats, masked_nats
from tane.use.verify import verify
from tane.yamlio import dump_yaml, read_yaml
from tests.training.conftest import masked_settings, settings

VOID = {"meta", "br", "img", "input", "link", "hr", "path", "use", "rect", "stop", "line", "circle"}


class Structure(HTMLParser):
    """Tags that are open, what refers to somewhere, and the text between the tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.refers: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                self.refers.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> tuple[Path, Path]:
    """Two causal runs on the same data: a longer one, and one that has hardly begun."""
    folder = tmp_path_factory.mktemp("runs")
    found = []
    for name, steps in (("long", 60), ("short", 4)):
        values = settings(folder / "data", folder / name, sample_text)
        values["train"] |= {
            "duration": f"{steps} steps",
            "batch_tokens": 1024,
            "eval_every": 0.25,
            "samples": True,
        }
        values["optim"] = {"lr": 1e-2}
        found.append(Path(train(Recipe.from_mapping(values)).path or ""))
    return found[0], found[1]


def test_the_page_of_a_run(runs: tuple[Path, Path]) -> None:
    result = tane.report(runs[0])
    text = (runs[0] / "report.html").read_text(encoding="utf-8")
    assert result.metrics["report"] == str(runs[0] / "report.html") and result.text == text
    found = Structure(text)
    assert found.open == []
    assert all(ref.startswith("#") for ref in found.refers)  # nothing is fetched from anywhere
    assert not found.tags & {"script", "link", "iframe", "img", "object", "form"}
    assert text.count("<svg") == 7 and "#0a" not in text  # every stand-in for a colour was replaced
    assert "var(--ink)" in text and "var(--c1)" in text
    log = gather(runs[0])
    best = log.best
    assert best is not None
    for told in (
        f"validation loss {best['loss']:.4f}", f"{best['bits_per_char']:.3f} bits per character",
        "finished at step 60 of 60", log.log["samples"][-1]["texts"][0]["prompt"],
        "line ends between documents", "hiragana", "tokenizers", "tane train", "-again", "transformers",
    ):  # fmt: skip
        assert told in found.text, told
    assert max((runs[0] / "report.html").stat().st_size, 0) < 1_000_000


def test_ids_of_a_page_point_to_one_place(runs: tuple[Path, Path]) -> None:
    found = Structure(tane.report(list(runs), out=runs[0].parent / "both.html").text)
    used = {ref[1:] for ref in found.refers}
    assert used <= set(found.ids)


def test_a_run_is_also_named_by_its_model_or_from_inside(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs[0] / "report.html").unlink(missing_ok=True)
    result = tane.report(runs[0] / "model")
    assert result.path == str(runs[0] / "report.html")
    assert not verify(runs[0]).metrics["bad"], "a checkpoint stays as it was written"
    monkeypatch.chdir(runs[0])
    text = Structure(tane.report(".").text).text
    assert f"--run-dir {runs[0].parent / 'long-again'}" in text


def test_the_text_of_a_run_is_found_from_another_folder(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(runs[1], tmp_path / "runs" / "a" / "b", symlinks=True)
    shutil.copytree(runs[0].parent / "data", tmp_path / "runs" / "data")
    recipe = tmp_path / "runs" / "a" / "b" / "recipe.yaml"
    values = read_yaml(recipe) | {"run_dir": "runs/a/b", "data_dir": "runs/data"}
    recipe.write_text(dump_yaml(values), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "runs" / "a")
    assert "Where every character went" in tane.report("b").text


def test_runs_of_one_name_are_told_apart(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for place in ("a", "b"):
        shutil.copytree(runs[1], tmp_path / place / "bert", symlinks=True)
    found = tane.report([tmp_path / "a" / "bert", tmp_path / "b" / "bert"], out=tmp_path / "x.html").metrics
    assert [one["name"] for one in found["runs"]] == [str(tmp_path / place / "bert") for place in "ab"]


def test_a_signal_ends_a_comparison(make: Callable[..., Recipe], tmp_path: Path) -> None:
    finetune(make("train.duration=2 steps", run="a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b", symlinks=True)
    with pytest.raises(Interrupted), unittest.mock.patch.object(signals, "_received", ["SIGINT"]):
        compare(gather(tmp_path / "a"), gather(tmp_path / "b"), Scores("cpu"))


def test_two_runs_side_by_side(runs: tuple[Path, Path], tmp_path: Path) -> None:
    result = tane.report(list(reversed(runs)), out=tmp_path / "deep" / "both.html")
    verdict = result.metrics["verdicts"][0]
    assert (verdict["run"], verdict["other"], verdict["says"]) == ("long", "short", "better")
    assert verdict["difference"] < 0 and verdict["interval"][1] < 0 and verdict["items"] >= 10
    text = Structure((tmp_path / "deep" / "both.html").read_text(encoding="utf-8")).text
    assert "better" in text and "train.duration" in text and "60 steps" in text and "4 steps" in text
    worse = tane.report(runs, out=tmp_path / "other.html").metrics["verdicts"][0]
    assert worse["says"] == "worse" and worse["difference"] == pytest.approx(-verdict["difference"])


def test_the_sums_over_documents_are_those_of_evaluate(runs: tuple[Path, Path], tmp_path: Path) -> None:
    texts = ["秋には葉が落ちます。", "犬は骨が好きです。", "雨の日は家で本を読む。"]
    (tmp_path / "text.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    whole = evaluate(runs[0], str(tmp_path / "text.txt")).metrics
    nats = causal_nats(runs[0], texts)
    assert len(nats) == 3 and nats.sum() == pytest.approx(whole["loss"] * whole["tokens"], rel=1e-6)


def test_markdown(runs: tuple[Path, Path], tmp_path: Path) -> None:
    tane.report(list(runs), out=tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) > 30 and "<svg" not in text
    width = 0
    for line in text.splitlines():  # every row of a table has as many cells as its head
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not width or cells == width, line
        width = cells
    assert "\n\n\n\n" not in text


def test_a_masked_run_shows_its_probes(tmp_path: Path, sample_text: Path) -> None:
    values = masked_settings(tmp_path / "data", tmp_path / "run", sample_text)
    train(Recipe.from_mapping(values, "train.samples=true"))
    page_text = tane.report(tmp_path / "run").text
    text = Structure(page_text).text
    assert '<span class="blank">1</span>' in page_text and 'aria-label="Hidden tokens' in page_text
    last = gather(tmp_path / "run").log["samples"][-1]["probes"]
    assert all(fill["truth"] in text and fill["fills"][0][0] in text for p in last for fill in p["fills"])
    texts = ["秋には葉が落ちます。", "犬は骨が好きです。"]
    (tmp_path / "text.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    whole = evaluate(tmp_path / "run", str(tmp_path / "text.txt")).metrics
    nats, hidden = masked_nats(tmp_path / "run", texts)
    assert hidden.sum() == whole["tokens"]
    assert nats.sum() == pytest.approx(whole["loss"] * whole["tokens"], rel=1e-6)


def test_a_task_shows_scores_confusion_and_wrong_answers(make: Callable[..., Recipe], tmp_path: Path) -> None:
    first = finetune(make(run="first"))
    finetune(make("optim.lr=1e-9", run="second"))
    result = tane.report([first.path or "", tmp_path / "second"], out=tmp_path / "task.html")
    text = Structure(result.text).text
    scores = json.loads((tmp_path / "first" / "scores.json").read_text(encoding="utf-8"))["valid"]
    assert "Scores on valid" in text and f"{scores['scores']['accuracy']:.3f}" in text
    assert "Gold (row) and predicted (column)" in text and scores["baseline_is"] in text
    assert result.metrics["verdicts"][0]["says"] in ("worse", "cannot tell")
    assert result.metrics["verdicts"][0]["items"] == scores["examples"]


def test_several_seeds_show_the_best_one_and_what_all_gave(
    make: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Also where a single run was made in the folder before."""
    finetune(make("train.duration=2 steps", run="seeds"))
    finetune(make(run="seeds"), seeds=2)
    best = gather(tmp_path / "seeds" / "model")
    assert best.folder == tmp_path / "seeds"
    assert best.own.parent == tmp_path / "seeds" / "trials" and best.steps > 2
    spread = json.loads((tmp_path / "seeds" / "scores.json").read_text(encoding="utf-8"))["valid"]["spread"]
    for kind in ("html", "md"):
        text = tane.report(tmp_path / "seeds", format=kind).text
        text = Structure(text).text if kind == "html" else text
        assert "Scores on valid" in text and "ver the seeds 0, 1" in text
        assert f"± {spread['accuracy']['std']:.3f}" in text


@pytest.mark.parametrize("seeds", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_an_old_run_was_worth_goes_with_it(
    make: Callable[..., Recipe], tmp_path: Path, seeds: int
) -> None:
    folder = tmp_path / "run"
    finetune(make("train.duration=2 steps"), seeds=seeds)
    assert (folder / "scores.json").exists() and (folder / "wrong-valid.csv").exists()
    with pytest.raises(InputError):  # it stops before there is anything to score
        finetune(make("train.duration=2 steps", "train.freeze=['nothing']"), seeds=seeds, fresh=True)
    left = {path.name for path in folder.iterdir()}
    assert not left & {"scores.json", "scores.md", "wrong-valid.csv", "model"}


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_wrong_answers_are_named_for_what_they_are(kind: str) -> None:
    wrong = [{"text": str(number), "score": 1.0} for number in range(30)]
    report = {"examples": 50, "metric": "m", "wrong": wrong, "scores": {"rmse": 1.0}}
    if kind == "classes":
        report |= {"scores": {"accuracy": 0.4}, "names": ["a", "b"], "confusion": [[10, 10], [20, 10]]}
    title = contents._scored("valid", report)["wrong_title"]
    if kind == "classes":
        assert title == "wrong examples: 20 of 30, the most confident first"
    else:
        assert title == "the largest errors: 20 of 50 examples"


def test_text_is_shown_as_text(runs: tuple[Path, Path]) -> None:
    """A prompt that is HTML stays a text, in the page and in markdown."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>|**x**"
    log = runs[1] / "metrics.jsonl"
    before = log.read_text(encoding="utf-8")
    event = {"event": "samples", "step": 4, "texts": [{"prompt": evil, "text": evil}]}
    log.write_text(before + json.dumps(event) + "\n", encoding="utf-8")
    try:
        found = Structure(tane.report(runs[1]).text)
        assert evil in found.text and not found.tags & {"script", "img"}
        text = tane.report(runs[1], format="md").text
        assert "<script>" not in text and "\\|\\*\\*x" in text
    finally:
        log.write_text(before, encoding="utf-8")


def test_a_notebook_shows_it_in_a_frame(runs: tuple[Path, Path]) -> None:
    shown = tane.report(runs[1])._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and shown.count("<") == 2


def test_a_run_whose_text_is_gone_still_has_a_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(runs[1], tmp_path / "moved", symlinks=True)
    recipe = tmp_path / "moved" / "recipe.yaml"
    gone = recipe.read_text(encoding="utf-8").replace(str(runs[0].parent / "data"), str(tmp_path / "gone"))
    recipe.write_text(gone, encoding="utf-8")
    result = tane.report([tmp_path / "moved", runs[0]], out=tmp_path / "page.html")
    assert "Where every character went" in result.text  # of the other one
    verdict = result.metrics["verdicts"][0]
    assert verdict["says"] == "cannot tell" and "gone" in verdict["why"]


def test_runs_of_different_kinds_cannot_be_compared(
    runs: tuple[Path, Path],
    make: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    finetune(make(run="task"))
    verdict = tane.report([runs[0], tmp_path / "task"], out=tmp_path / "x.html").metrics["verdicts"][0]
    assert verdict["says"] == "cannot tell" and "kind" in verdict["why"]


@pytest.mark.parametrize(
    ("names", "out", "told"),
    [
        ([], None, "no run"),
        (["nowhere"], None, "does not exist"),
        (["."], None, "is no run"),
        (["LONG", "LONG"], None, "twice"),
        (["LONG"], ".", "is a folder"),
    ],
)
def test_what_cannot_be_reported_on(
    names: list[str], out: str | None, told: str, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=told):
        page.report([str(runs[0]) if name == "LONG" else name for name in names], out)
    assert list(tmp_path.iterdir()) == []


def test_damaged_scores_are_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(runs[1], tmp_path / "run", symlinks=True)
    (tmp_path / "run" / "scores.json").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(InputError, match=r"scores\.json is damaged"):
        tane.report(tmp_path / "run")
    (tmp_path / "run" / "scores.json").write_text('{"valid": {"scores": 3}}', encoding="utf-8")
    with pytest.raises(InputError, match="is not what was written"):
        tane.report(tmp_path / "run")


def test_half_a_character_is_spelled_out(runs: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(runs[1], tmp_path / "run", symlinks=True)
    with (tmp_path / "run" / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"event": "samples", "step": 4, "texts": [{"prompt": "a", "text": "\\ud800"}]}\n')
    assert "\\ud800" in tane.report(tmp_path / "run").text


def test_the_command(runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", *map(str, runs), "--out", str(tmp_path / "a.html"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["report"] == found["path"] == str(tmp_path / "a.html")
    assert [run["name"] for run in found["runs"]] == ["long", "short"]
    assert cli.main(["report", str(tmp_path / "none"), "--json"]) == 2


def test_a_curve_leaves_out_what_is_undefined() -> None:
    events = [{"step": 1, "f1": 0.5}, {"step": 2, "f1": None}, {"step": 3}, {"step": 4, "f1": 0.75}]
    assert charts.curve(events, "f1") == ([1, 4], [0.5, 0.75])


def test_a_single_length_and_no_length_have_their_histogram() -> None:
    import numpy as np

    from tane.reporting.trained_on import _histogram

    one = _histogram(np.array([7, 7, 7]))
    assert one is not None and sum(one.counts) == 3 and one.median == 7
    assert _histogram(np.array([], dtype=np.int64)) is None
    many = _histogram(np.arange(1, 1001))
    assert many is not None and sum(many.counts) == 1000 and len(many.edges) == len(many.counts) + 1
