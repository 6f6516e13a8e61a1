"""The benchmarks run: every peer and every section at toy size, and the page of results."""

from __future__ import annotations

import importlib
import json
import math
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TOY = ["--layers", "1", "--width", "32", "--heads", "2", "--block", "32", "--batch", "2"]


@pytest.fixture(scope="session")
def benchmarks() -> Iterator[None]:
    """The folder of benchmarks on the path, as for a script in it."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="session")
def data(sample_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of the sample with 800 pieces; beside it train.bin, train.txt and valid.txt."""
    from tane import progress
    from tane.recipe import Recipe, prepare
    from tane.text.corpus import Corpus
    from tane.tokens.shards import Shards

    folder = tmp_path_factory.mktemp("benchmarks") / "data"
    with progress.silenced():
        prepare(Recipe.from_mapping({
            "data_dir": str(folder), "run_dir": str(folder.parent / "run"),
            "corpus": {"inputs": [str(sample_text)], "valid_fraction": 0.1},
            "tokenizer": {"kind": "unigram", "vocab_size": 800},
        }))  # fmt: skip
    tokens = Shards(folder / "shards", "train")
    np.asarray(tokens.read(0, len(tokens)), dtype=np.uint16).tofile(folder.parent / "train.bin")
    for split in ("train", "valid"):
        texts = "\n\n".join(Corpus.open(folder / "corpus").texts(split))
        (folder.parent / f"{split}.txt").write_text(texts, encoding="utf-8")
    return folder


def found(capsys: pytest.CaptureFixture[str], name: str, *arguments: Any) -> dict[str, Any]:
    """What a script's `main` prints last, as the object that it is; all its figures must be finite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        capsys.readouterr()
        importlib.import_module(name).main()
    values = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert all(math.isfinite(value) for value in values.values() if isinstance(value, (int, float)))
    return values


@pytest.mark.usefixtures("benchmarks")
@pytest.mark.slow
class TestPeers:
    def test_the_trainer(self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tokens = data.parent / "train.bin"
        flags = ["--max-steps", 2, "--schedule", "wsd", "--save", tmp_path / "model"]
        values = found(capsys, "causal_trainer", data / "tokenizer", tokens, *TOY, *flags)
        assert values["steps"] == 5 and values["tokens_per_s"] > 0
        scored = found(
            capsys, "stream_loss", tmp_path / "model", data / "tokenizer", data.parent / "valid.txt",
            "--block", 32, "--limit", 500,
        )  # fmt: skip
        assert 0 < scored["loss"] < 2 * math.log(800) and scored["tokens"] % 32 == 0

    def test_the_trainer_with_its_defaults_ends_in_time(
        self, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flags = ["--defaults", "--seconds", 0.5, "--max-steps", 100_000]
        values = found(capsys, "causal_trainer", data / "tokenizer", data.parent / "train.bin", *TOY, *flags)
        assert 3 < values["steps"] < 100_000

    def test_the_nanogpt_way(self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        flags = ["--max-steps", 4, "--save", tmp_path / "model"]
        values = found(capsys, "nanogpt_way", data / "tokenizer", data.parent / "train.bin", *TOY, *flags)
        assert values["steps"] == 4 and values["loss"] < 2 * math.log(832)
        assert (tmp_path / "model" / "model.safetensors").is_file()

    def test_the_tutorials_loop(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        texts = [data.parent / f"{split}.txt" for split in ("train", "valid")]
        values = found(capsys, "tutorial_loop", data / "tokenizer", *texts, *TOY, "--max-steps", 2)
        assert values["steps"] == 2 and values["tokens_per_s"] > 0

    def test_weights_of_the_nanogpt_way_are_the_same_model_in_transformers(self) -> None:
        import torch
        from torch.nn.functional import cross_entropy

        nanogpt = importlib.import_module("nanogpt_way")
        own = nanogpt.GPT(nanogpt.Shape(layers=2, width=32, heads=2, block=16, vocabulary=64))
        ids = torch.randint(64, (2, 17))
        inputs, labels = ids[:, :-1], ids[:, 1:]
        theirs = nanogpt.as_gpt2(own).eval()(input_ids=inputs).logits
        assert torch.allclose(own(inputs, labels), cross_entropy(theirs.flatten(0, 1), labels.flatten()))

    @pytest.mark.parametrize("side", ["tane", "windows", "rows", "stream"])
    def test_the_ways_of_loading(self, side: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = {"tane": data, "stream": data.parent / "train.txt"}.get(side, data.parent / "train.bin")
        size = ["--block", 32, "--tokens", 128, "--seconds", 0.05, "--tokenizer", data / "tokenizer"]
        assert found(capsys, "loading", side, source, *size)["tokens_per_s"] > 0

    @pytest.mark.parametrize("side", ["library", "pieces", "lines", "calls", "shards"])
    def test_the_ways_of_tokenising(self, side: str, data: Path, benchmarks: None) -> None:
        preparing = importlib.import_module("preparing")
        values = preparing.SIDES[side](data / "tokenizer", data.parent / "valid.txt")
        assert values["tokens"] > 100 and values["mb_per_s"] > 0


@pytest.mark.usefixtures("benchmarks")
def test_the_parts_of_a_step_make_the_whole(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["model.config.n_layer=1", "model.config.n_embd=32", "model.config.n_head=2"]
    small = ["objective.block_size=32", "train.batch_tokens=128", "train.precision=fp32"]
    values = found(
        capsys, "loop_cost", data, "--steps", 3, "--set", *shape, *small, "train.tensorboard=false"
    )
    parts = importlib.import_module("loop_cost").PARTS
    assert sum(values[f"{part}_percent"] for part in (*parts, "other")) == pytest.approx(100)
    assert all(
        values[f"{part}_percent"] > 0 for part in ("batches", "forward", "backward", "optimizer", "log")
    )
    assert values["step_s"] > 0 and values["bare_s"] > 0


class TestResults:
    @pytest.fixture
    def runner(self, benchmarks: None) -> ModuleType:
        return importlib.import_module("runner")

    def test_sides_take_turns_and_the_page_has_them(
        self, runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "RESULTS", tmp_path)
        log = tmp_path / "turns"
        code = "import json, sys; open(sys.argv[1], 'a').write(sys.argv[2]); print(json.dumps({'speed': %d}))"
        sides = [
            runner.Side(name, [sys.executable, "-c", code % speed, str(log), name], "speed")
            for name, speed in (("a", 6), ("b", 2))
        ]
        result = runner.interleave("Race", sides, rounds=2, notes="Of two.")
        assert log.read_text() == "abab"
        assert [row["ratio"] for row in result["rows"]] == [3, 1]
        assert all(row["peak_mb"] > 1 for row in result["rows"])
        page = runner.write([result], "python race.py")
        runner.write([result], "python race.py")
        text = page.read_text(encoding="utf-8")
        assert text.count("## Race") == 2 and "| a | speed | 6 | 6 to 6 | 3.00 (3.00 to 3.00) |" in text
        assert len(json.loads(page.with_suffix(".json").read_text())) == 2

    def test_what_a_side_says_of_its_peak_counts(self, runner: ModuleType) -> None:
        values = runner.measured([sys.executable, "-c", "print('{\"peak_mb\": 7}')"])
        assert values["peak_mb"] == 7 and values["wall_seconds"] >= 0

    def test_a_side_that_fails_ends_the_race_with_its_message(self, runner: ModuleType) -> None:
        side = runner.Side("broken", [sys.executable, "-c", "raise SystemExit('no such thing')"], "speed")
        with pytest.raises(SystemExit, match=r"broken failed \(1\).*\n*no such thing"):
            side.run()

    def test_prose_is_cut_at_a_document(
        self, benchmarks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TANE_TEST_DATA", raising=False)
        (tmp_path / "text.txt").write_text("あいう\n\nかきく\n\nさしす\n", encoding="utf-8")
        parts = importlib.import_module("causal_parts")
        made = parts.prose(tmp_path, str(tmp_path / "text.txt"), size=10)
        assert made.read_text(encoding="utf-8") == "あいう\n\nかきく\n"

    def test_the_time_to_a_loss_ends_with_the_first_run_that_has_it(
        self, benchmarks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        parts = importlib.import_module("causal_parts")
        losses = iter([5.0, 5.5, 4.9])
        monkeypatch.setattr(parts, "stream_loss", lambda bench, model: next(losses))

        def measured(command: list[str]) -> dict[str, Any]:
            ours = command[0] == "ours"
            steps = int(command[-1].split()[0]) if ours else int(command[2])
            return {
                "steps": steps, "seconds": 200.0 * steps / 300, "wall_seconds": 210.0, "tokens": steps * 2048,
                "tokens_per_second": 2048.0,
            }  # fmt: skip

        monkeypatch.setattr(parts.runner, "measured", measured)
        bench = Namespace(
            work=tmp_path,
            theirs=lambda *flags: ["theirs", *flags],
            ours=lambda *flags: ["ours", "--run-dir", "x", *flags],
        )
        args = Namespace(target_steps=300, steps=[20, 25, 30])
        result = parts.time_to_loss(bench, 3, args)
        [row] = result["rows"]
        assert row["tried"] == {20: 5.5, 25: 4.9} and row["steps"] == 25
        assert row["times"] == [(200.0, 25.0)] * 3  # later rounds make a fifth of the 300 steps
        assert row["tokens_ratio"] == 12 and row["time_ratio"] == 8
        assert "the last has the tutorial's loss" in result["notes"] and len(result["markdown"]) == 4


QUICK = ("ceilings", "gpt2-tane", "gpt2-nanogpt", "bert-tane", "bert-tutorial", "parity", "muon", "head")


def check_sections(out: Path, capsys: pytest.CaptureFixture[str], wanted: tuple[str, ...]) -> dict[str, Any]:
    """Run sections of gpu.py at toy size; each must have a figure and a line in the table. The figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gpu", "--tiny", "--device", "cpu", "--out", str(out), "--only", *wanted])
        importlib.import_module("gpu").main()
    figures, shown = json.loads((out / "gpu.json").read_text()), capsys.readouterr().out
    assert [figures[name] for name in wanted if "failed" in figures[name]] == []
    for name in wanted:
        rate = figures[name].get("tokens_per_s", figures[name].get("sentences_per_s", 1.0))
        assert math.isfinite(rate) and rate > 0
        assert f"\n{name} " in shown.partition("tane is")[2]
    return figures


@pytest.mark.usefixtures("benchmarks")
def test_the_gpus_sections_run_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = check_sections(tmp_path, capsys, QUICK)
    assert figures["parity"]["largest_gap"] < 0.02
    assert figures["gpt2-tane"]["graphs"] == 0 and "idle_percent" in figures["gpt2-tane"]


@pytest.mark.slow
@pytest.mark.usefixtures("benchmarks")
def test_the_other_sections_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = importlib.import_module("gpu").sections(True)
    check_sections(tmp_path, capsys, tuple(name for name in every if name not in QUICK))


@pytest.mark.usefixtures("benchmarks")
class TestFigures:
    def test_operations_are_those_that_are_known(self) -> None:
        causal, masked = importlib.import_module("gpu_causal"), importlib.import_module("gpu_masked")
        assert causal.Task(False).flops / 1e6 == pytest.approx(854.7, abs=0.1)
        assert masked.Task(False).flops / 3e9 == pytest.approx(3.2055, abs=0.001)

    def test_sentences_have_the_length_that_is_told(self) -> None:
        masked = importlib.import_module("gpu_masked")
        assert masked.lengths(False).mean() + 1 == pytest.approx(masked.SENTENCE, abs=0.05)

    def test_a_section_that_fails_does_not_end_the_others(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        gpu, ground = importlib.import_module("gpu"), importlib.import_module("gpu_ground")

        def broken(machine: Any) -> dict[str, Any]:
            raise RuntimeError("no kernel")

        some = {"first": ("fails", broken), "second": ("works", lambda machine: {"tokens": 1})}
        monkeypatch.setattr(gpu, "sections", lambda tiny: some)
        figures = gpu.measure(ground.Machine("cpu", True, tmp_path), ["first", "second"], 60, None)
        assert figures["first"]["failed"] == "RuntimeError: no kernel" and figures["second"]["tokens"] == 1
        assert any("failed: RuntimeError" in line for line in gpu.table(figures, True))
