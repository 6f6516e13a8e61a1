"""Exports of fine-tuned models: in plain transformers they answer with the scores of `tane predict`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tane import files
from tane.errors import InputError
from tane.recipe import Recipe
from tane.text import words
from tane.tokens.specials import CAUSAL
from tane.training.resume import RESOLVED
from tane.use.export import export
from tane.use.finetune import finetune
from tane.use.predict import predict
from tane.use.verify import verify
from tane.yamlio import parse_yaml
from tests.use.cards import check_languages
from tests.use.masked_models import POSITIONS, SPREAD, save_bert, train_tokenizer
from tests.use.task_models import save

COUNT = 24  # training examples
MODELS = {  # run -> its tokenizer, and the task
    "single": ("unigram", "classification"),
    "pair": ("mecab_wordpiece", "pair-classification"),
    "number": ("unigram", "regression"),
    "choice": ("mecab_wordpiece", "multiple-choice"),
    "words": ("mecab_wordpiece", "token-classification"),
    "pieces": ("unigram", "token-classification"),
    "decoder": ("unigram", "pair-classification"),
}
TEXTS = ["白い猫が、庭で走っています。", "今日は天気がいい。", "😀 hello", "猫。" * 100]
PROCESS = """
import contextlib, io, json, sys
sys.modules["tane"] = None  # so that it cannot be imported
import torch
found = []
for code, kind, asked in json.loads(sys.stdin.read()):
    names, told = {}, io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(code, names)
    cut = {"truncation": True, "max_length": 64}
    answers = []
    for one in asked:
        if kind == "multiple-choice":
            inputs = names["tokenizer"](*one, padding=True, return_tensors="pt", **cut)
            with torch.no_grad():
                logits = names["model"](**{name: value[None] for name, value in inputs.items()}).logits[0]
            answers.append(logits.softmax(0).tolist())
        elif kind == "token-classification":
            more = {"is_split_into_words": True} if isinstance(one, list) else {}
            rows = names["pipe"](one, ignore_labels=[], **more)
            rows = rows[0] if more else rows
            answers.append([[row["word"], row["entity"], float(row["score"]), row["start"]] for row in rows])
        else:
            rows = names["pipe"](one, top_k=None, **cut)
            answers.append({row["label"]: row["score"] for row in rows})
    found.append([told.getvalue(), answers])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def text(sample_text: Path) -> str:
    return sample_text.read_text(encoding="utf-8")[:30_000]


def rows_of(task: str, sentences: list[str]) -> list[dict[str, Any]]:
    cut = words.segmenter("ipadic").words
    rows: list[dict[str, Any]] = []
    for n in range(COUNT):
        one, other = sentences[2 * n : 2 * n + 2]
        if task == "classification":
            rows.append({"text": one, "label": ("悪い", "普通", "良い")[n % 3]})
        elif task == "multiple-choice":
            rows.append({"question": one, "a": other, "b": sentences[0], "c": sentences[1], "label": n % 3})
        elif task == "token-classification":
            parts = cut(one)
            rows.append({"tokens": parts, "tags": ["O" if len(part) < 2 else "B-長い" for part in parts]})
        else:
            label = float(n % 5) if task == "regression" else ("違う", "同じ")[n % 2]
            rows.append({"sentence1": one, "sentence2": other, "label": label})
    return rows


def save_gpt2(folder: Path, text: str) -> Path:
    """A random GPT-2 with a unigram tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    pieces = train_tokenizer("unigram", folder, text, CAUSAL)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=pieces, n_layer=2, n_embd=32, n_head=2, n_positions=POSITIONS, initializer_range=SPREAD
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def recipe_of(place: Path, name: str, base: Path, task: str) -> Recipe:
    file = str(place / f"{task}.jsonl")
    more = {"choices": ["a", "b", "c"]} if task == "multiple-choice" else {}
    return Recipe.from_mapping({
        "run_dir": str(place / name),
        "model": {"pretrained": str(base)},
        "task": {"kind": task, "data": {"train": file, "valid": file}, "batch_examples": 8, **more},
        "train": {
            "duration": "2 steps", "eval_every": "1 steps", "save_every": "1 steps", "threads": 1,
            "precision": "fp32", "tensorboard": False,
        },
    })  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, text: str) -> dict[str, Path]:
    """Fine-tuned runs by name."""
    place = tmp_path_factory.mktemp("export_tasks")
    sentences = [line for line in re.split(r"(?<=。)", text.replace("\n", "")) if 4 < len(line) < 40]
    for task in {task for _, task in MODELS.values()}:
        rows = rows_of(task, sentences)
        told = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (place / f"{task}.jsonl").write_text(told, encoding="utf-8")
    bases = {"decoder": save_gpt2(place / "gpt2", text)}
    for kind in ("unigram", "mecab_wordpiece"):
        bases[kind] = save_bert(place / kind, train_tokenizer(kind, place / kind, text))
    for name, (kind, task) in MODELS.items():
        finetune(recipe_of(place, name, bases.get(name, bases[kind]), task))
    return {name: place / name for name in MODELS}


@pytest.fixture(scope="module")
def exports(runs: dict[str, Path]) -> dict[str, Path]:
    return {name: Path(export(run, run.parent / f"{name}-export").path or "") for name, run in runs.items()}


@pytest.fixture(scope="module")
def ours(runs: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    """What `tane predict` answers from the runs."""
    others = [*TEXTS[1:], TEXTS[0]]
    found = {}
    for name, (_, task) in MODELS.items():
        if task == "multiple-choice":
            result = [predict(runs[name], one, TEXTS[:3]).metrics["predictions"][0] for one in TEXTS]
        elif task in ("classification", "token-classification"):
            result = predict(runs[name], TEXTS).metrics["predictions"]
        else:
            result = predict(runs[name], TEXTS, others).metrics["predictions"]
        found[name] = result
    return found


@pytest.fixture(scope="module")
def theirs(
    exports: dict[str, Path], ours: dict[str, list[dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a process without tane is told by the lines of each card, and its answers to the same texts."""
    asked: dict[str, list[Any]] = {}
    for name, (kind, task) in MODELS.items():
        if task == "multiple-choice":
            asked[name] = [[[one] * 3, TEXTS[:3]] for one in TEXTS]
        elif task == "token-classification":  # a tokenizer that cuts words itself takes the text
            asked[name] = [one["words"] for one in ours[name]] if kind == "unigram" else TEXTS
        elif task == "classification":
            asked[name] = TEXTS
        else:
            asked[name] = [
                {"text": a, "text_pair": b} for a, b in zip(TEXTS, [*TEXTS[1:], TEXTS[0]], strict=True)
            ]
    work = [[code_of(folder), MODELS[name][1], asked[name]] for name, folder in exports.items()]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], input=json.dumps(work), capture_output=True, text=True, check=True,
        cwd=tmp_path_factory.mktemp("elsewhere"), env=environment,
    )  # fmt: skip
    return dict(zip(exports, json.loads(done.stdout.splitlines()[-1]), strict=True))


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def prose(card: str) -> str:
    """A card without its Python."""
    return re.sub(r"```python\n.*?```", "", card, flags=re.DOTALL)


def code_of(folder: Path) -> str:
    found = re.search(r"```python\n(.*?)```", card_of(folder), re.DOTALL)
    assert found
    return found[1].replace("THIS_FOLDER", str(folder))


# -------------------------------------------------------------------------------------------- in transformers


@pytest.mark.parametrize("name", ["single", "pair", "decoder"])
def test_texts_get_the_probabilities_of_predict(ours: Any, theirs: Any, name: str) -> None:
    for one, other in zip(ours[name], theirs[name][1], strict=True):
        assert one["scores"] == pytest.approx(other, abs=1e-6)
    assert len({round(one["scores"][one["label"]], 4) for one in ours[name]}) > 2, "or it proves nothing"


def test_numbers_are_those_of_predict(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours["number"], theirs["number"][1], strict=True):
        assert list(other.values()) == [pytest.approx(one["label"], abs=1e-6)]


def test_choices_get_the_probabilities_of_predict(ours: Any, theirs: Any) -> None:
    for one, other in zip(ours["choice"], theirs["choice"][1], strict=True):
        assert list(one["scores"].values()) == pytest.approx(other, abs=1e-6)
        assert one["answer"] == TEXTS[max(range(3), key=other.__getitem__)]


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_words_get_the_labels_of_predict(ours: Any, theirs: Any, name: str) -> None:
    """The first token of a word bears its label; the pipeline tells all tokens."""
    for one, tokens in zip(ours[name], theirs[name][1], strict=True):
        if name == "words":
            first = [token for token in tokens if not token[0].startswith("##")]
        else:
            starts, at = [], 0
            for word in one["words"]:
                starts.append(at)
                at += len(word) + 1
            by_start = {
                token[3]: token for token in reversed(tokens)
            }  # of the bytes of a character the first
            first = [by_start[start] for start in starts if start in by_start]
        known = [(label, p) for label, p in zip(one["label"], one["scores"], strict=True) if label]
        assert [token[1] for token in first[: len(known)]] == [label for label, _ in known]
        assert [token[2] for token in first[: len(known)]] == pytest.approx([p for _, p in known], abs=1e-6)
        assert len(known) > 1


def test_the_export_answers_predict_as_the_run_does(exports: Any, ours: Any) -> None:
    assert predict(exports["single"], TEXTS).metrics["predictions"] == ours["single"]
    assert predict(exports["words"], TEXTS).metrics["predictions"] == ours["words"]
    assert verify(exports["pair"]).metrics["ok"]


# --------------------------------------------------------------------------------------------------- the card


@pytest.mark.parametrize("name", MODELS)
def test_the_lines_of_the_card_run_as_they_stand(theirs: Any, name: str) -> None:
    told = theirs[name][0].splitlines()
    count = {"single": 3, "pair": 2, "decoder": 2, "number": 1, "choice": 3}.get(name)
    assert (len(told) == count) if count else (len(told) >= 6)
    for line in told:
        assert re.search(r"-?\d+(\.\d+)?(e-?\d+)?$", line), line


def test_the_card_tells_what_the_model_is_for(exports: dict[str, Path]) -> None:
    expected = {
        "single": ("text-classification", "| labels | 悪い, 普通, 良い |", "| columns with text | text |"),
        "pair": ("text-classification", "pip install fugashi ipadic", "sentence1, sentence2"),
        "number": ("text-classification", "| answer | a number |", "pearson"),
        "choice": (
            "multiple-choice",
            "AutoModelForMultipleChoice",
            "question, a, b, c",
            "pip install fugashi",
        ),
        "words": ("token-classification", "| labels | O, B-長い |", "pip install fugashi ipadic"),
        "pieces": ("token-classification", "is_split_into_words=True", "column with the answer | tags"),
        "decoder": ("text-classification", "A gpt2 model", "for pair-classification, fine-tuned with tane"),
    }
    for name, (tag, *parts) in expected.items():
        card = card_of(exports[name])
        assert f"pipeline_tag: {tag}\n" in card and "language: ja" in card and f"# {name}\n" in card
        for part in [*parts, "## Scores on valid", "Baseline: always", "max_length: 64", "## Limits"]:
            assert part in card, (name, part)
        assert "None" not in prose(card) and "nan" not in card and "THIS_FOLDER" in card
        assert "corpus:" not in card and "objective:" not in card and "vocab_size" not in card
        assert "### 課題" in check_languages(card), name
        assert not re.search(r"\.tmp-", card)


def test_the_scores_of_the_card_are_those_of_the_run(runs: dict[str, Path], exports: dict[str, Path]) -> None:
    report = json.loads((runs["single"] / "scores.json").read_text())["valid"]
    low, high = report["intervals"]["accuracy"]
    row = f"| accuracy | {report['scores']['accuracy']:.3f} | {low:.3f} to {high:.3f} |"
    assert f"{row} {report['baseline']['accuracy']:.3f} |" in card_of(exports["single"])
    assert f"{COUNT} examples of classification.jsonl" in card_of(exports["single"])


@pytest.mark.parametrize("name", ["number", "choice"])
def test_the_recipe_of_the_card_is_one(runs: dict[str, Path], exports: dict[str, Path], name: str) -> None:
    """It stands for the same run: what was left out is said by the defaults."""
    found = re.search(r"```yaml\n(.*?)```", card_of(exports[name]), re.DOTALL)
    assert found
    recipe = Recipe.from_mapping(parse_yaml(found[1], "card"))
    whole = Recipe.load(runs[name] / RESOLVED)
    assert recipe.task == whole.task and recipe.optim == whole.optim and recipe.train == whole.train


def test_a_checkpoint_that_was_not_scored_has_no_scores(runs: dict[str, Path], tmp_path: Path) -> None:
    run = runs["single"]
    best = (run / "model").resolve()
    other = next(p / "model" for p in sorted((run / "checkpoints").iterdir()) if p != best.parent)
    export(other, tmp_path / "out")
    card = card_of(tmp_path / "out")
    assert "## Scores" not in card and "fine-tuned with" in card and "## Recipe" in card


def test_the_best_of_several_seeds(runs: dict[str, Path], text: str, tmp_path: Path) -> None:
    place = runs["single"].parent
    recipe = recipe_of(place, "seeds", place / "unigram", "classification")
    finetune(recipe, seeds=2)
    export(place / "seeds", tmp_path / "out")
    card = card_of(tmp_path / "out")
    assert "Over the seeds 0, 1: accuracy " in card and "## Scores on valid" in card
    assert "乱数の種 0, 1 での平均とばらつき: accuracy " in check_languages(card)
    best = (place / "seeds" / "model").resolve()
    other = next(p for p in (place / "seeds" / "trials").iterdir() if not best.is_relative_to(p))
    export(other, tmp_path / "other")
    assert "## Scores" not in card_of(tmp_path / "other"), "these are the scores of its neighbour"


# ---------------------------------------------------------------------------------------------- other folders


def test_the_card_of_a_model_that_others_trained(tmp_path: Path) -> None:
    folder = save(tmp_path / "theirs", "SequenceClassification", "負", "中", "正")
    (folder / "README.md").write_text("# A fine model\n\nLicence: CC BY 4.0\n", encoding="utf-8")
    export(folder, tmp_path / "copy")
    card = card_of(tmp_path / "copy")
    assert "# copy\n" in card and "## Labels\n\n負, 中, 正\n" in card and "exported with tane" in card
    for nonsense in ("trained with", "fine-tuned", "## Scores", "## Recipe", "## Task", ".tmp-", "None"):
        assert nonsense not in prose(card)
    assert "### ラベル\n\n負, 中, 正\n" in check_languages(card)
    assert "CC BY 4.0" in (tmp_path / "copy" / "README.source.md").read_text(encoding="utf-8")
    export(tmp_path / "copy", tmp_path / "again")
    assert "CC BY 4.0" in (tmp_path / "again" / "README.source.md").read_text(encoding="utf-8")
    one = predict(folder, "猫").metrics["predictions"]
    assert predict(tmp_path / "again", "猫").metrics["predictions"] == one


def test_an_export_is_exported_again(exports: dict[str, Path], tmp_path: Path) -> None:
    export(exports["pair"], tmp_path / "again")
    for name in ("model.safetensors", "config.json", "task.json", "tokenizer_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (exports["pair"] / name).read_bytes()
    card = card_of(tmp_path / "again")
    assert "| labels | 同じ, 違う |" in card and "## Scores" not in card
    assert "## Scores on valid" in (tmp_path / "again" / "README.source.md").read_text(encoding="utf-8")


def test_a_damaged_note_is_not_published(exports: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exports["single"], tmp_path / "model"))
    for text in ("{", "[1]"):
        (folder / "task.json").write_text(text)
        with pytest.raises(InputError, match=r"task\.json is damaged"):
            export(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(f"{files.TEMPORARY}*"))
