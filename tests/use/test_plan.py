"""`tane plan`: what it predicts is there before and after the text is prepared, and it writes nothing."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import tane
from tane import progress
from tane.durations import Duration
from tane.errors import InputError
from tane.recipe import Recipe, prepare
from tane.text.columns import width
from tane.training import memory, probe
from tane.use import forecast, plan_page, screen

GPT = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2}
BERT = {
    "model_type": "bert", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip
CONTRACT = {
    "parameters", "steps", "tokens", "memory_bytes", "memory", "micro_batch_tokens", "disk_bytes", "warnings",
    "looked_at", "first_blocks",
}  # fmt: skip
MEASURED = {"seconds_per_step", "tokens_per_second", "seconds", "probe_memory_bytes"}


@pytest.fixture(autouse=True)
def short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LEAST_SECONDS", 0.01)


@pytest.fixture
def small_text(tmp_path: Path, sample_text: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(sample_text.read_text(encoding="utf-8")[:60_000], encoding="utf-8")
    return path


def recipe(text: Path, *overrides: str, masked: bool = False) -> Recipe:
    values: dict[str, Any] = {
        "run_dir": str(text.parent / "run"),
        "corpus": {"inputs": [str(text)], "valid_fraction": 0.1},
        "tokenizer": {"kind": "character" if masked else "unigram", "vocab_size": 1000},
        "model": {"config": BERT if masked else GPT},
        "objective": {"name": "masked" if masked else "causal", "block_size": 32},
        "train": {"duration": "20 steps", "batch_tokens": 256, "precision": "fp32", "threads": 1},
    }
    if masked:
        values["objective"]["words"] = "script"
    return Recipe.from_mapping(values, *overrides)


def everything(folder: Path) -> dict[str, float]:
    """Every file below a folder, and when it was written."""
    found: Iterator[Path] = (Path(at) / name for at, _, names in os.walk(folder) for name in names)
    return {str(path): path.stat().st_mtime for path in found}


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "masked"])
def test_a_text_that_is_not_prepared(small_text: Path, masked: bool) -> None:
    before = everything(small_text.parent)
    found = tane.plan(recipe(small_text, masked=masked), probe=True).metrics
    assert set(found) >= CONTRACT | MEASURED
    assert found["tokens_are"] == "estimated" and found["steps"] == 20 and found["evaluations"] == 10
    assert found["memory_bytes"] == sum(found["memory"].values())
    assert found["tokens_per_second"] > 0 and found["probe_memory_bytes"] > 1e7
    assert found["seconds"] == pytest.approx(
        found["training_seconds"] + found["evaluation_seconds"] + found["save_seconds"], abs=0.2
    )
    assert everything(small_text.parent) == before, "a plan writes nothing"


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "masked"])
def test_a_text_that_is_prepared(small_text: Path, masked: bool) -> None:
    made = recipe(small_text, masked=masked)
    prepare(made)
    before = everything(small_text.parent)
    plain, probed = (tane.plan(made, probe=p).metrics for p in (False, True))
    assert plain["tokens_are"] == "counted" and not MEASURED & set(plain)
    same = set(plain) - {"memory", "memory_bytes"}  # what the libraries take by now belongs to it
    assert {name: plain[name] for name in same} == {name: probed[name] for name in same}
    assert set(probed) >= MEASURED and probed["probe_steps"] >= 5
    assert everything(small_text.parent) == before


def test_text_that_was_prepared_with_another_tokenizer_counts_for_nothing(small_text: Path) -> None:
    prepare(recipe(small_text))
    assert tane.plan(recipe(small_text)).metrics["tokens_are"] == "counted"
    other = tane.plan(recipe(small_text, "tokenizer.vocab_size=700")).metrics
    assert other["tokens_are"] == "estimated" and other["pieces"] == 700


def test_minutes_become_steps_by_the_measured_speed(
    small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(small_text, "train.duration=2 minutes", "train.eval_every=0.5")
    assert tane.plan(made).metrics["steps"] is None
    told = probe.Measured(0.5, 512.0, 10.0, 0.1, 10**8, 5)
    monkeypatch.setattr(probe, "measure", lambda *_: told)
    found = tane.plan(made, probe=True).metrics
    assert found["steps"] == 200, "120 s less two evaluations of 10 s, at 0.5 s a step"
    assert found["training_seconds"] == 100 and found["evaluation_seconds"] == 20
    assert found["seconds_per_step"] == 0.5 and found["eval_every_steps"] == 100


def test_every_duration_in_minutes_is_turned_into_steps(small_text: Path) -> None:
    made = recipe(
        small_text, "train.duration=1 minutes", "train.eval_every=30 seconds",
        "optim.schedule.warmup=6 seconds", "optim.schedule.decay=0.5",
    )  # fmt: skip
    told = probe.Measured(0.1, 1.0, 0.0, 0.0, None, 5)
    found = probe.in_steps(made.sections(), told)
    assert {k: Duration.parse(v).amount for k, v in found.items()} == {
        "train.duration": 600, "train.eval_every": 300, "optim.schedule.warmup": 60,
    }  # fmt: skip
    assert tane.plan(made).metrics["steps"] is None


def test_a_micro_batch_never_changes_the_global_batch(
    small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for free in (1, 1 << 40):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        found.append(tane.plan(recipe(small_text)).metrics)
    assert [one["micro_batch_tokens"] for one in found] == [32, 256]
    assert [one["micro_batches_per_step"] for one in found] == [8, 1]
    assert len({one["tokens_per_step"] for one in found}) == 1
    assert len({one["steps_per_epoch"] for one in found}) == 1


def test_a_recipe_with_a_task(make: Callable[..., Recipe], tmp_path: Path) -> None:
    made = make()
    before = everything(tmp_path)
    found = tane.plan(made, probe=True).metrics
    assert set(found) >= CONTRACT | MEASURED and found["examples"] == 200 and found["labels"] == 2
    assert found["memory_bytes"] == sum(found["memory"].values()) and found["seconds"] > 0
    assert found["steps"] == 12 and found["evaluations"] == 2
    assert everything(tmp_path) == before and not made.run_path.exists()
    less = tane.plan(make("task.lora={rank: 2}")).metrics
    assert less["trained_parameters"] < found["trained_parameters"]
    assert less["memory"]["optimizer"] < found["memory"]["optimizer"]


def test_a_pretrained_model_keeps_its_vocabulary(small_text: Path, tmp_path: Path) -> None:
    made = recipe(small_text, f"run_dir={tmp_path / 'gpt'}", "train.duration=1 steps")
    result = tane.train(made).metrics
    values = {
        "run_dir": str(tmp_path / "more"), "corpus": {"inputs": [str(small_text)]},
        "model": {"pretrained": result["model"]}, "objective": {"name": "causal", "block_size": 32},
        "train": {"duration": "1 epochs", "batch_tokens": 256, "precision": "fp32", "threads": 1},
    }  # fmt: skip
    kept = tane.plan(Recipe.from_mapping(values), probe=True).metrics
    assert kept["parameters"] == tane.plan(made).metrics["parameters"] and kept["seconds"] > 0
    other = tane.plan(Recipe.from_mapping(values, "model.keep_tokenizer=false")).metrics
    assert other["pieces"] == 8000 and other["parameters"] > kept["parameters"]


def test_probing_leaves_the_random_numbers_alone(small_text: Path) -> None:
    before = torch.random.get_rng_state()
    tane.plan(recipe(small_text), probe=True)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_batch_of_less_than_a_block_is_refused(small_text: Path) -> None:
    with pytest.raises(InputError, match="less than one block of 32"):
        tane.plan(recipe(small_text, "train.batch_tokens=16"))


def test_a_model_that_cannot_be_played_is_planned_without_its_memory(
    small_text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "peak", lambda *_, **__: None)
    found = tane.plan(recipe(small_text)).metrics
    assert found["memory_bytes"] is None and found["memory"] is None and found["state_memory_bytes"] > 0


# --------------------------------------------------------------------------------------------- what is told


def test_it_is_told_by_what_it_is_about(small_text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "say", told.append)
    tane.plan(recipe(small_text, "train.duration=2 minutes"), probe=True)
    groups = [line.split()[0] for line in told if not line.startswith(" ")]
    assert groups == ["text", "model", "training", "memory", "disk", "time", "blocks", "warnings"]
    page = "\n".join(told)
    assert "parameters" in page and "fp32 on cpu" in page and "estimated from the size" in page
    assert not any(line != line.rstrip() for line in told)
    told.clear()
    tane.plan(recipe(small_text, "train.duration=2 minutes"))
    assert any("2 minutes: --probe tells how many steps they are" in line for line in told)
    assert not any("tokens a second" in line for line in told), "no speed is claimed that was not measured"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"), (7_260, "2 h 1 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_seconds_as_a_person_reads_them(seconds: float, text: str) -> None:
    assert plan_page.time_of(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (12_340_000, "12.3 MB"), (999_600, "1.0 MB"), (480e6, "480 MB"),
     (1.62e9, "1.6 GB"), (3e15, "3,000 TB")],
)  # fmt: skip
def test_bytes_as_a_person_reads_them(count: float, text: str) -> None:
    assert plan_page.size(count) == text


def test_what_the_libraries_take_is_not_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "resident", lambda: 500)
    assert forecast.base_of("cpu", held=120) == 380
    monkeypatch.setattr(probe, "resident", lambda: None)
    assert forecast.base_of("cpu") is None


# ------------------------------------------------------------------------------- blocks, warnings, the screen


ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("masked", [False, True], ids=["causal", "masked"])
def test_three_blocks_are_shown_where_the_text_is_prepared(
    small_text: Path, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(progress, "say", told.append)
    made = recipe(small_text, masked=masked)
    assert tane.plan(made).metrics["first_blocks"] == []
    prepare(made)
    told.clear()
    values = tane.plan(made).metrics
    found = values["first_blocks"]
    assert len(found) == 3 and all(found) and json.loads(json.dumps(found)) == found
    assert any("→" in line for line in told) == masked and sum("block " in line for line in told) == 3
    assert not any("\x1b" in line for line in told), "no colours where there is no terminal"
    assert any("\x1b" in line for line in plan_page.lines(values, colour=True))
    assert tane.plan(made, show=5).metrics["first_blocks"][:3] == found
    assert tane.plan(made, show=0).metrics["first_blocks"] is None
    with pytest.raises(InputError, match="expected 0 or more"):
        tane.plan(made, show=-1)


def test_no_line_is_wider_than_the_terminal(small_text: Path) -> None:
    made = recipe(small_text, "train.duration=200 epochs", "optim.lr=1", masked=True)
    before = tane.plan(made).metrics
    prepare(made)
    for values, columns, colour in itertools.product(
        (before, tane.plan(made).metrics), (40, 60, 100), (False, True)
    ):
        lines = [ESCAPE.sub("", one) for one in plan_page.lines(values, columns=columns, colour=colour)]
        assert max(map(width, lines)) <= max(columns, plan_page.HEAD + plan_page.LEAST)
        told = " ".join(line.strip() for line in lines)
        assert "-> --optim.lr" in told and "learning-rate: optim.lr is 1" in told


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert screen.colours() and screen.columns()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not screen.colours()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not screen.colours()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: False))
    assert not screen.colours() and screen.columns() is None


def test_a_notebook_shows_a_page(small_text: Path) -> None:
    made = recipe(small_text, "optim.lr=1", masked=True)
    for shown in (False, True):
        page = tane.plan(made)._repr_html_()
        assert "parameters" in page and "<b>learning-rate</b>" in page and ("<ruby" in page) == shown
        prepare(made)


def test_examples_of_a_task_are_shown_with_their_labels(make: Callable[..., Recipe]) -> None:
    found = tane.plan(make()).metrics
    assert len(found["first_blocks"]) == 3 and not found["warnings"]
    assert {one["answer"] for one in found["first_blocks"]} <= {"同じ", "違う"}
    for one in found["first_blocks"]:
        (row,) = one["segments"]
        assert row[0] == ["[CLS]", "[CLS]", "special"] and [seen for seen, *_ in row].count("[SEP]") == 2
    lines = list(plan_page.lines(found, columns=60))
    assert sum(line.startswith("label: ") for line in lines) == 3
