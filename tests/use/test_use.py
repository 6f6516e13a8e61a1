"""Evaluate, generate, export and plan on a small trained model."""

import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tane.errors import InputError, IntegrityError, Interrupted
from tane.recipe import Recipe, train
from tane.use.evaluate import evaluate
from tane.use.export import export
from tane.use.generate import Sampling, Writer, generate
from tane.use.plan import plan
from tests.training.conftest import settings
from tests.use.cards import check_languages


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, sample_text: Path) -> Path:
    folder = tmp_path_factory.mktemp("use")
    values = settings(folder / "data", folder / "run", sample_text)
    values["train"] |= {"duration": "60 steps", "batch_tokens": 512}
    return Path(train(Recipe.from_mapping(values)).path)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(
        "秋には葉が落ちます。\n風がふきます。\n\n犬は骨が好きです。\n\n犬は骨が好きです。\n", encoding="utf-8"
    )
    return path


# ---------------------------------------------------------------------------------------------- evaluate


def test_evaluation_equals_a_sum_by_hand(run: Path, text: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    result = evaluate(run, [str(text)]).metrics
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model").eval()
    documents = ["秋には葉が落ちます。\n風がふきます。", "犬は骨が好きです。", "犬は骨が好きです。"]
    stream = [1]
    for document in documents:
        stream += [*tokenizer.encode(document, add_special_tokens=False), 1]
    nats = 0.0
    for start in range(0, len(stream) - 1, 32):
        ids = torch.tensor([stream[start : start + 33]])
        with torch.no_grad():
            log_probs = model(input_ids=ids[:, :-1]).logits[0].log_softmax(-1)
        nats -= log_probs.gather(1, ids[0, 1:, None]).double().sum().item()
    chars, size = sum(map(len, documents)), sum(len(d.encode()) for d in documents)
    assert result["tokens"] == len(stream) - 1 and result["chars"] == chars
    assert result["loss"] == pytest.approx(nats / (len(stream) - 1), rel=1e-5)
    assert result["perplexity"] == pytest.approx(math.exp(result["loss"]), rel=1e-9)
    assert result["bits_per_char"] == pytest.approx(nats / math.log(2) / chars, rel=1e-5)
    assert result["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert result["bits_per_char_without_eos"] < result["bits_per_char"]


def test_two_evaluations_are_equal_to_the_bit_and_units_matter(run: Path, text: Path) -> None:
    assert evaluate(run, str(text)).metrics == evaluate(run, [str(text)]).metrics
    lines = evaluate(run, str(text), unit="line").metrics
    assert lines["documents"] == 4 and lines["chars"] == evaluate(run, str(text)).metrics["chars"] - 1


def test_evaluation_names_what_is_wrong(run: Path, text: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        evaluate(run, [str(tmp_path / "no.txt")])
    with pytest.raises(InputError, match="does not exist"):
        evaluate(tmp_path / "no-model", [str(text)])
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputError, match="0 usable documents"):
        evaluate(run, [str(tmp_path / "empty.txt")])


# ---------------------------------------------------------------------------------------------- generate


def test_texts_begin_with_their_prompts_in_order(run: Path) -> None:
    texts = generate(run, ["秋に", "犬は"], num=2, max_new_tokens=8).metrics["texts"]
    assert [t[:2] for t in texts] == ["秋に", "秋に", "犬は", "犬は"]


def test_a_seed_repeats_and_a_text_does_not_depend_on_its_neighbours(run: Path) -> None:
    first = generate(run, ["秋に", "犬は"], max_new_tokens=10, seed=3).metrics["texts"]
    assert first == generate(run, ["秋に", "犬は"], max_new_tokens=10, seed=3).metrics["texts"]
    assert first[0] == generate(run, ["秋に"], max_new_tokens=10, seed=3).metrics["texts"][0]
    assert first != generate(run, ["秋に", "犬は"], max_new_tokens=10, seed=4).metrics["texts"]


def test_greedy_is_the_likeliest_token_at_each_step(run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForCausalLM.from_pretrained(run / "model").eval()
    ids = [1, *tokenizer.encode("秋に", add_special_tokens=False)]
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1, : len(tokenizer)].argmax()))
    expected = tokenizer.decode(ids, skip_special_tokens=True)
    assert generate(run, "秋に", max_new_tokens=6, greedy=True).metrics["texts"] == [expected]


def test_settings_of_sampling_do_what_they_say(run: Path) -> None:
    greedy = generate(run, "秋に", max_new_tokens=10, greedy=True).metrics["texts"]
    assert generate(run, "秋に", max_new_tokens=10, top_k=1, top_p=1.0).metrics["texts"] == greedy
    assert generate(run, "秋に", max_new_tokens=10, temperature=1e-5).metrics["texts"] == greedy
    assert (
        generate(run, "秋に", max_new_tokens=10, greedy=True, repetition_penalty=5.0).metrics["texts"]
        != greedy
    )
    stopped = generate(run, "秋に", max_new_tokens=10, greedy=True, stop=[greedy[0][4]]).metrics["texts"][0]
    assert stopped == greedy[0][: 2 + greedy[0][2:].index(greedy[0][4])]


def test_a_prompt_over_the_context_is_said_and_its_end_is_read(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "秋には葉が落ちます。" * 40
    text = generate(run, long, max_new_tokens=5).metrics["texts"][0]
    assert text.startswith(long) and "32 positions" in capsys.readouterr().err


def test_an_empty_prompt_begins_a_text_and_special_strings_stay_text(run: Path) -> None:
    assert generate(run, "", max_new_tokens=5).metrics["texts"][0]
    assert generate(run, "</s>秋", max_new_tokens=3).metrics["texts"][0].startswith("</s>秋")


@pytest.mark.parametrize(
    "wrong",
    [{"num": 0}, {"temperature": 0}, {"top_p": 0}, {"top_p": 1.5}, {"top_k": -1}, {"max_new_tokens": 0}],
)
def test_wrong_sampling_settings_are_named(run: Path, wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong)).replace("_", "-")):
        generate(run, "秋", **wrong)


# ------------------------------------------------------------------------------------------------ export

PROCESS = """
import sys
for name in [n for n in sys.modules if n.startswith("tane")]:
    raise SystemExit("tane was imported")
sys.modules["tane"] = None  # importing it would fail
import json, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder).eval()
ids = tokenizer("秋には葉が", return_tensors="pt")
with torch.no_grad():
    logits = model(**ids).logits[0, -1, :8].tolist()
pipe = pipeline("text-generation", model=folder)
text = pipe("秋には", max_new_tokens=5, do_sample=True)[0]["generated_text"]
ids = ids["input_ids"][0].tolist()
print(json.dumps({"logits": logits, "text": text, "ids": ids, "eos": tokenizer.eos_token_id}))
"""


def test_the_export_opens_in_a_process_without_tane(run: Path, tmp_path: Path) -> None:
    from tane.model.build import open_model

    result = export(run, tmp_path / "out")
    assert result.metrics["ids_compared"] > 1000
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    with torch.no_grad():
        expected = open_model(run)(input_ids=torch.tensor([found["ids"]])).logits[0, -1, :8].tolist()
    assert found["logits"] == expected
    assert found["text"].startswith("秋には") and len(found["text"]) > 3
    assert found["eos"] == 1
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "bits per character" in card and "block_size: 32" in card and "read" in card
    assert "文字あたりのビット数" in check_languages(card)
    with pytest.raises(InputError, match="exists already"):
        export(run, tmp_path / "out")
    export(tmp_path / "out", tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        run / "model" / "model.safetensors"
    ).read_bytes()


def test_an_export_replaces_a_model_and_nothing_else(run: Path, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    export(run, letters)  # an empty folder is no obstacle
    export(run, letters, overwrite=True)
    (letters / "config.json").unlink()
    (letters / "手紙.txt").write_text("大切", encoding="utf-8")
    with pytest.raises(InputError, match="holds something else than a model"):
        export(run, letters, overwrite=True)
    assert (letters / "手紙.txt").read_text(encoding="utf-8") == "大切"
    assert [p.name for p in tmp_path.iterdir()] == ["letters"]


def test_an_export_that_is_stopped_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tane.use import export as module

    monkeypatch.setattr(module.signals, "_received", ["SIGTERM"])
    monkeypatch.setattr(module.signals, "caught", contextlib.nullcontext)
    with pytest.raises(Interrupted, match="stopped by SIGTERM: nothing was written"):
        export(run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_model_whose_weights_changed_is_not_used(run: Path, tmp_path: Path) -> None:
    out = Path(export(run, tmp_path / "out").path or "")
    weights = out / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.safetensors is damaged or was changed"):
        generate(out, prompts=["秋"])
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        export(out, tmp_path / "again")
    (out / "manifest.json").unlink()  # who changed it on purpose says so
    generate(out, prompts=["秋"], max_new_tokens=1)


def test_an_export_whose_tokenizer_gives_other_ids_is_not_published(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(run, copy, symlinks=True)
    recipe = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(recipe.replace(str(run), str(copy)))
    path = (copy / "model").resolve() / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[300], vocabulary[301] = vocabulary[301], vocabulary[300]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (path.parent.parent / "manifest.json").unlink()  # or it would be seen by its hash
    with pytest.raises(IntegrityError, match="other ids"):
        export(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------- plan


def test_the_plan_agrees_with_the_run(run: Path, sample_text: Path, tmp_path: Path) -> None:
    recipe = Recipe.load(run / "recipe.yaml")
    values = plan(recipe).metrics
    start = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert (values["parameters"], values["steps"]) == (start["parameters"], start["total"]) == (59264, 60)
    assert values["tokens_are"] == "counted"
    size = sum(p.stat().st_size for p in (run / "checkpoints").glob("step-000000060/**/*.safetensors"))
    assert values["checkpoint_bytes"] == pytest.approx(size, rel=0.15)
    unprepared = Recipe.from_mapping(settings(tmp_path / "data", tmp_path / "run", sample_text))
    estimate = plan(unprepared).metrics
    assert estimate["tokens_are"] == "estimated" and not (tmp_path / "data").exists()
    assert estimate["tokens"] == pytest.approx(values["tokens"], rel=0.35)


def test_the_penalty_of_repetition_spares_the_end_of_a_text(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands before each prompt, where it says nothing."""
    told: dict[str, Any] = {}
    writer = Writer(run, "cpu")

    def generate(**given: Any) -> torch.Tensor:
        told.update(given)
        return given["input_ids"]

    monkeypatch.setattr(writer.network, "generate", generate)
    prompt = writer.prompts(["秋"])[0]
    writer.go_on(prompt, Sampling(max_new_tokens=1, repetition_penalty=1.5))
    [penalty] = told["logits_processor"]
    scores = torch.ones(1, writer.encoder.vocab_size)
    changed = penalty(told["input_ids"], scores)[0]
    assert changed[writer.encoder.eos_id] == 1 and (changed[prompt.ids[1:]] < 1).all()
    writer.go_on(prompt, Sampling(max_new_tokens=1))
    assert not told["logits_processor"] and told["repetition_penalty"] == 1
