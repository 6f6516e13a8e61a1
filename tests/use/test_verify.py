"""`tane verify`: nothing that was written goes unchecked, every kind of damage is named, none raises."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import tane
from tane import cli, files, locks
from tane.errors import InputError
from tane.sample import write_corpus
from tane.use import contents
from tane.use import verify as module
from tane.use.verify import verify
from tests.training.conftest import masked_settings

SETTINGS = (
    "corpus.inputs=text.txt", "tokenizer.kind=character", "tokenizer.vocab_size=1500",
    "train.duration=4 steps", "train.batch_tokens=128", "objective.block_size=64",
    "train.eval_every=2 steps", "train.tensorboard=false", "train.precision=fp32",
)  # fmt: skip
GPT = "model.config={n_layer: 1, n_embd: 16, n_head: 2}"
BERT = "model.config={num_hidden_layers: 1, hidden_size: 16, num_attention_heads: 2, intermediate_size: 16}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`runs/gpt` with its data in `data`, `runs/bert` with its own and words, and `export`."""
    place, before = tmp_path_factory.mktemp("made"), Path.cwd()
    os.chdir(place)
    try:
        write_corpus(Path("text.txt"), count=120)
        values = {"run_dir": "runs/gpt", "data_dir": "data"}
        tane.train(tane.Recipe.from_mapping(dict(values), *SETTINGS, GPT))
        values = {"run_dir": "runs/bert", "objective": {"name": "masked"}}
        tane.train(tane.Recipe.from_mapping(dict(values), *SETTINGS, BERT))
        tane.export("runs/gpt", "export")
    finally:
        os.chdir(before)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "place", symlinks=True))


@pytest.fixture
def gpt(place: Path) -> Path:
    return place / "runs" / "gpt"


@pytest.fixture
def bert(place: Path) -> Path:
    return place / "runs" / "bert"


def bad(path: Path, **settings: bool) -> list[str]:
    """What is bad, named from the place on."""
    metrics = verify(path, **settings).metrics
    assert metrics["ok"] == (not metrics["bad"]) and list(metrics["reasons"]) == metrics["bad"]
    assert all(metrics["reasons"].values())
    top = next(parent for parent in (path, *path.parents) if (parent / "text.txt").exists())
    return [str(Path(name).relative_to(top)) for name in metrics["bad"]]


def why(path: Path, **settings: bool) -> str:
    return "\n".join(verify(path, **settings).metrics["reasons"].values())


def notes(path: Path) -> str:
    return "\n".join(verify(path).metrics["notes"])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw)


def reseal(folder: Path, **meta: Any) -> None:
    """Make the manifest fit the files again, as nobody but an attacker or a fault of the program does."""
    before = files.Manifest.read(folder)
    names = files.listing(folder)
    listed = {name: ((folder / name).stat().st_size, files.sha256(folder / name)) for name in names}
    after = files.Manifest(before.kind, listed, {**before.meta, **meta})
    (folder / files.MANIFEST).write_text(after.text(), encoding="utf-8")


def newest(run: Path) -> Path:
    return sorted((run / "checkpoints").iterdir())[-1]


# ----------------------------------------------------------------------------------------------- it is whole


def test_sound_folders(place: Path, gpt: Path, bert: Path) -> None:
    for path in (
        gpt,
        bert,
        place / "data",
        place / "export",
        gpt / "model",
        newest(bert),
        place / "runs",
        place,
    ):
        for fast in (False, True):
            metrics = verify(path, fast=fast).metrics
            assert metrics["ok"] and metrics["bad"] == [] and metrics["notes"] == [], path
    listed = [len(files.Manifest.read(path.parent).files) + 1 for path in place.rglob(files.MANIFEST)]
    of_runs = 2 * len(("recipe.yaml", "requested.yaml", "metrics.jsonl", "model"))
    assert verify(place).metrics["checked"] == sum(listed) + of_runs


def test_the_data_of_a_run_is_verified_wherever_it_lies(
    place: Path, gpt: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flip(place / "data" / "shards" / "train-00000.bin")
    assert bad(gpt) == ["data/shards/train-00000.bin"]
    monkeypatch.chdir(place)
    assert bad(Path("runs/gpt").resolve()) == ["data/shards/train-00000.bin"]
    shutil.move(gpt, tmp_path / "moved")  # the names in its recipe start where it was trained
    assert verify(tmp_path / "moved").metrics["bad"] == [str(place / "data" / "shards" / "train-00000.bin")]


def test_nothing_is_written(place: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        found = [path.lstat() for path in sorted(place.rglob("*"))]
        return [(str(one), one.st_mtime_ns, one.st_ctime_ns) for one in found]

    before = state()
    verify(place)
    assert [names[1:] for names in state()] == [names[1:] for names in before]


def test_each_single_file_counts(bert: Path) -> None:
    published = [path.parent for path in bert.rglob(files.MANIFEST)]
    paths = [folder / name for folder in published for name in [*files.listing(folder), files.MANIFEST]]
    assert len(paths) > 20
    for path in paths:
        kept = path.read_bytes()
        flip(path)
        assert str(path.relative_to(bert.parents[1])) in bad(bert)
        path.write_bytes(kept)
    assert bad(bert) == []


BIN = "data/shards/train-00000.bin"
STEP = "checkpoints/step-000000002"
DAMAGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a flipped bit": (lambda r: flip(r / BIN), BIN, "not what was written"),
    "a cut file": (lambda r: (r / BIN).write_bytes(b""), BIN, "it has 0 bytes"),
    "a missing file": (lambda r: (r / BIN).unlink(), BIN, "missing"),
    "a folder for a file": (lambda r: ((r / BIN).unlink(), (r / BIN).mkdir()), BIN, "no file"),
    "a pipe for a file": (lambda r: ((r / BIN).unlink(), os.mkfifo(r / BIN)), BIN, "no file"),
    "a link out of the folder": (
        lambda r: (shutil.move(r / BIN, r / "x"), (r / BIN).symlink_to(r / "x")), BIN, "out of its folder"
    ),
    "an extra file": (lambda r: (r / STEP / "more.bin").touch(), f"{STEP}/more.bin", "tane did not write it"),
    "a damaged manifest": (lambda r: flip(r / STEP / files.MANIFEST), f"{STEP}/manifest.json", "damaged"),
    "an empty manifest": (
        lambda r: (r / STEP / files.MANIFEST).write_bytes(b""), f"{STEP}/manifest.json", "damaged"
    ),
    "no manifest": (lambda r: (r / STEP / files.MANIFEST).unlink(), f"{STEP}/manifest.json", "missing"),
    "an emptied checkpoint": (
        lambda r: (shutil.rmtree(r / STEP), (r / STEP).mkdir()), f"{STEP}/manifest.json", "missing"
    ),
    "data without a manifest": (
        lambda r: (r / "data/words" / files.MANIFEST).unlink(), "data/words/manifest.json", "missing"
    ),
    "a manifest that is a pipe": (
        lambda r: ((r / STEP / files.MANIFEST).unlink(), os.mkfifo(r / STEP / files.MANIFEST)),
        f"{STEP}/manifest.json", "no file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGES)
def test_each_damage_is_found_and_named(bert: Path, how: str) -> None:
    damage, name, reason = DAMAGES[how]
    damage(bert)
    assert f"runs/bert/{name}" in bad(bert) and reason in why(bert)
    assert (f"runs/bert/{name}" in bad(bert, fast=True)) == (how != "a flipped bit")


def test_several_damages_are_all_named(bert: Path) -> None:
    flip(bert / BIN)
    (bert / STEP / files.MANIFEST).unlink()
    (bert / "data" / "tokenizer" / "new.json").touch()
    assert set(bad(bert)) >= {f"runs/bert/{name}" for name in
                              (BIN, f"{STEP}/manifest.json", "data/tokenizer/new.json")}  # fmt: skip


def test_a_checkpoint_or_data_folder_alone_that_lost_its_manifest(bert: Path) -> None:
    (bert / STEP / files.MANIFEST).unlink()
    assert bad(bert / STEP) == [f"runs/bert/{STEP}/manifest.json"]
    (bert / "data" / "shards" / files.MANIFEST).unlink()
    assert "runs/bert/data/shards/manifest.json" in bad(bert / "data")


def test_what_cannot_be_read_is_bad_and_no_error(gpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = files.sha256

    def sha256(path: Path) -> str:
        if path.name == "model.safetensors":
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(files, "sha256", sha256)
    assert "it cannot be read: permission denied" in why(newest(gpt))


def test_a_checkpoint_that_a_run_deletes_meanwhile_is_not_bad(
    gpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files.sha256

    def sha256(path: Path) -> str:
        if path.is_relative_to(gpt / STEP):
            shutil.rmtree(gpt / STEP)
        return whole(path)

    monkeypatch.setattr(files, "sha256", sha256)
    metrics = verify(gpt).metrics
    assert metrics["ok"] and "was deleted while it was being read" in metrics["notes"][0]


# ------------------------------------------------------------------------------------ what hashes do not tell


def spoil(run: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = newest(run) / "model" / "model.safetensors"
    tensors = dict(load_file(path))
    change(tensors)
    save_file(tensors, path)
    return path


def edit(path: Path, **values: Any) -> None:
    before = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**before, **values}), encoding="utf-8")


def not_finite(run: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["transformer.ln_f.weight"] = np.array([1.0] * 15 + [np.nan], dtype=np.float32)

    spoil(run, change)


def half_infinite(run: Path) -> None:
    value = np.array([1.0, np.inf], dtype=np.float16)
    spoil(run, lambda tensors: tensors.update(extra=value))


def other_ids(run: Path) -> None:
    path = newest(run) / "model" / "tokenizer.json"
    added = {"id": 99_999, "content": "x", "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}  # fmt: skip
    edit(path, added_tokens=[*json.loads(path.read_text(encoding="utf-8"))["added_tokens"], added])


WEIGHTS, PIECES, CONFIG = "model/model.safetensors", "model/tokenizer.json", "model/config.json"
STATE, MOMENTS = "state/state.json", "state/optimizer.safetensors"


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda run: (newest(run) / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda run: (newest(run) / name).unlink()


MODELS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "not a number": (not_finite, WEIGHTS, "transformer.ln_f.weight is not finite"),
    "infinite fp16": (half_infinite, WEIGHTS, "extra is not finite"),
    "a pickle of that name": (write(WEIGHTS, b"\x80\x02}q\x00."), WEIGHTS, "no safetensors file"),
    "a header of 2^63 bytes": (write(MOMENTS, b"\xff" * 64), MOMENTS, "no safetensors file"),
    "empty weights": (write(WEIGHTS, b""), WEIGHTS, "no safetensors file"),
    "ids beyond the embedding": (other_ids, PIECES, "the id 99,999, and the model's embedding"),
    "no tokenizer": (write(PIECES, b"[]"), PIECES, "no tokenizer"),
    "deep JSON": (write(PIECES, b"[" * 200_000), PIECES, "no tokenizer"),
    "no config": (write(CONFIG, b"x"), CONFIG, "no JSON"),
    "a config that is gone": (remove(CONFIG), CONFIG, "missing"),
    "another step": (
        lambda r: edit(newest(r) / STATE, step=3),
        STATE,
        "step 3, and the checkpoint of step 4",
    ),
    "no state": (remove(STATE), STATE, "no state"),
}


@pytest.mark.parametrize("how", MODELS)
def test_a_model_whose_hashes_are_right_and_whose_content_is_not(gpt: Path, how: str) -> None:
    damage, name, reason = MODELS[how]
    damage(gpt)
    reseal(newest(gpt))
    assert bad(newest(gpt)) == [f"runs/gpt/checkpoints/{newest(gpt).name}/{name}"]
    assert reason in why(newest(gpt)) and bad(newest(gpt), fast=True) == []


def test_adapters_and_exports_are_looked_into_too(place: Path, gpt: Path) -> None:
    save_file({"lora_A": np.array([np.inf], dtype=np.float32)}, newest(gpt) / "state" / "trained.safetensors")
    reseal(newest(gpt))
    assert bad(gpt)[0].endswith("state/trained.safetensors")
    (place / "export" / "README.md").write_text("my own words", encoding="utf-8")
    assert bad(place / "export") == ["export/README.md"]


def test_bf16_is_looked_at_as_it_is_stored(tmp_path: Path) -> None:
    raw = np.array([0x3F80, 0x7F80], dtype="<u2").tobytes()  # 1, infinity
    head = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + raw)
    manifest = files.Manifest("weights", {"a.safetensors": (0, "")})
    assert list(contents.wrong(tmp_path, manifest)) == [("a.safetensors", "w is not finite")]


def cut_shard(data: Path) -> None:
    path = data / "shards" / "train-00000.bin"
    path.write_bytes(path.read_bytes()[:-2])


def set_tokens(data: Path, place: int, value: int) -> None:
    path = data / "shards" / "train-00000.bin"
    tokens = np.fromfile(path, dtype=np.uint16)
    tokens[place] = value
    tokens.tofile(path)


def index_of(data: Path) -> Path:
    return data / "shards" / "train-00000.idx"


TOKENS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "an index that does not fit": (cut_shard, "train-00000.idx", "does not fit train-00000.bin"),
    "no index": (lambda d: index_of(d).unlink(), "train-00000.idx", "missing"),
    "another index": (lambda d: index_of(d).write_bytes(b"x" * 100), "train-00000.idx", "no Megatron index"),
    "a cut index": (lambda d: os.truncate(index_of(d), 60), "train-00000.idx", "cut"),
    "ids beyond the vocabulary": (lambda d: set_tokens(d, 5, 60_000), "train-00000.bin", "the id 60,000"),
    "a document without an end": (lambda d: set_tokens(d, -1, 4), "train-00000.idx", "does not end with"),
}  # fmt: skip


@pytest.mark.parametrize("how", TOKENS)
def test_shards_whose_hashes_are_right_and_whose_content_is_not(place: Path, how: str) -> None:
    damage, name, reason = TOKENS[how]
    damage(place / "data")
    reseal(place / "data" / "shards")
    assert f"data/shards/{name}" in bad(place / "data") and reason in why(place / "data")


def test_meta_that_tane_does_not_write(place: Path) -> None:
    reseal(place / "data" / "shards", splits=None, vocab_size="many")
    reseal(place / "data" / "tokenizer", settings=[])
    assert "what tane does not write" in why(place / "data")


# --------------------------------------------------------------------------------- what does not fit together

STALE = {
    "corpus": {"runs/bert/data/tokenizer", "runs/bert/data/shards"},
    "tokenizer": {"runs/bert/data/shards"},
    "shards": {"runs/bert/data/words", "runs/bert/data/shards"},
    "words": {"runs/bert/data/shards"},
}


@pytest.mark.parametrize("stage", STALE)
def test_a_stage_that_was_made_anew_makes_the_later_ones_stale(bert: Path, stage: str) -> None:
    reseal(bert / "data" / stage, note="another one")
    assert set(bad(bert)) == STALE[stage] | {"runs/bert/data/shards"}
    assert "it is stale" in why(bert, fast=True)


def test_a_run_whose_data_were_exchanged(place: Path, gpt: Path) -> None:
    shutil.rmtree(place / "data")
    shutil.copytree(place / "runs" / "bert" / "data", place / "data")
    assert bad(place / "data") == []
    assert bad(gpt) == ["data/shards"] and "was trained on other data" in why(gpt)


def test_words_with_too_few_bits(bert: Path) -> None:
    path = bert / "data" / "words" / "train-00000.bits"
    path.write_bytes(path.read_bytes()[:-1])
    reseal(bert / "data" / "words")
    assert "runs/bert/data/words/train-00000.bits" in bad(bert)


def test_data_that_are_gone_are_told(place: Path, gpt: Path, bert: Path) -> None:
    shutil.rmtree(place / "data")
    shutil.rmtree(bert / "data" / "corpus")
    assert bad(gpt) == [] and "has no shards: the run cannot go on" in notes(gpt)
    assert bad(bert) == [] and "corpus is not there, so tokenizer cannot be compared" in notes(bert)


def relink(run: Path, target: str) -> None:
    (run / "model").unlink()
    (run / "model").symlink_to(target)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def insert(path: Path, line: str, number: int) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([*lines[:number], line, *lines[number:]]), encoding="utf-8")


def put(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(content)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


LOG = "metrics.jsonl"
RUNS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a checkpoint that is gone": (lambda r: relink(r, "checkpoints/step-9/model"), "model", "leads nowhere"),
    "a link out of the run": (lambda r: relink(r, f"../bert/{STEP}/model"), "model", "leads out of the run"),
    "a link to no checkpoint": (lambda r: relink(r, "checkpoints"), "model", "which is no checkpoint"),
    "a link to itself": (lambda r: relink(r, "model"), "model", "leads nowhere"),
    "a folder for the link": (lambda r: ((r / "model").unlink(), (r / "model").mkdir()), "model", "no link"),
    "no YAML": (put("recipe.yaml", b"a: [1"), "recipe.yaml", "not valid YAML"),
    "a recipe in cp932": (put("requested.yaml", "# 種".encode("cp932")), "requested.yaml", "not UTF-8"),
    "an empty recipe": (put("recipe.yaml", b""), "recipe.yaml", "is empty"),
    "a recipe that is gone": (lambda r: (r / "recipe.yaml").unlink(), "recipe.yaml", "is missing"),
    "a request that is gone": (lambda r: (r / "requested.yaml").unlink(), "requested.yaml", "is missing"),
    "an unknown setting": (lambda r: rewrite(r / "recipe.yaml", "seed: 0", "sead: 0"), "recipe.yaml", "sead"),
    "another seed": (
        lambda r: rewrite(r / "recipe.yaml", "seed: 0", "seed: 1"),
        "recipe.yaml",
        "not those of",
    ),
    "a torn line": (lambda r: insert(r / LOG, '{"event": "ev', 2), LOG, "line 3 is no event"),
    "a line that is no event": (lambda r: insert(r / LOG, "5", 1), LOG, "line 2 is no event"),
    "zeros after a power cut": (lambda r: insert(r / LOG, "\0" * 40, 2), LOG, "line 3 is no event"),
    "scores that are cut": (put("scores.json", b'{"valid": {'), "scores.json", "no JSON"),
    "a log that is gone": (lambda r: (r / LOG).unlink(), LOG, "missing"),
    "a log that is a pipe": (lambda r: pipe(r / LOG), LOG, "no file"),
}


@pytest.mark.parametrize("how", RUNS)
def test_what_a_run_has_beside_its_checkpoints(gpt: Path, how: str) -> None:
    damage, name, reason = RUNS[how]
    damage(gpt)
    assert bad(gpt) == [f"runs/gpt/{name}"] and reason in why(gpt)


def test_a_trial_is_a_run_too(place: Path, gpt: Path) -> None:
    trial = place / "runs" / "grid" / "trials" / "seed-0"
    shutil.copytree(gpt, trial, symlinks=True)
    (trial.parents[1] / "model").symlink_to("trials/seed-0/model")
    assert bad(trial.parents[1]) == []
    flip(newest(trial) / "model" / "config.json")
    insert(trial / "metrics.jsonl", "torn", 1)
    assert len(bad(trial.parents[1])) == 2


# ------------------------------------------------------------------------------------------ told, and not bad


def test_a_torn_line_after_a_crash_is_told(gpt: Path) -> None:
    log = gpt / "metrics.jsonl"
    start = log.read_text(encoding="utf-8").split("\n")[0]
    with log.open("a", encoding="utf-8") as file:
        file.write('{"event": "ev\n' + start + "\n" + '{"event": "st' + start + "\n" + '{"event"')
    assert bad(gpt) == [] and notes(gpt).count("torn, as after a crash") == 3


def test_what_a_crash_left_behind_is_told_and_not_looked_at(bert: Path) -> None:
    shutil.copytree(bert / STEP, bert / "checkpoints" / ".tmp-step-000000300-1-2")
    flip(bert / "checkpoints" / ".tmp-step-000000300-1-2" / "model" / "config.json")
    (bert / "data" / ".trash-x-1-2").mkdir()
    (bert / "data" / ".trash-x-1-2" / files.MANIFEST).touch()
    (bert / "data" / ".old-gone-1-2").mkdir()
    (bert / "data" / ".old-corpus-1-2").mkdir()
    (bert / "data" / ".parts-0123").mkdir()
    files.set_aside(bert / STEP)
    (bert / "checkpoints" / ".lock-export").touch()
    assert bad(bert) == []
    told = notes(bert)
    assert told.count("a crash left it; the next start removes it") == 3
    assert "set aside because it is damaged" in told
    assert "the next start makes it gone again" in told and "work that was cut off is kept" in told


def test_a_run_in_use_is_told(gpt: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for listed in (module.LOCKS, tmp_path / "a system without such a list"):
        monkeypatch.setattr(module, "LOCKS", listed)
        with locks.locked(gpt):
            assert bad(gpt) == [] and "is in use by" in notes(gpt)
            assert not listed.exists() or f"is in use by pid {os.getpid()}" in notes(gpt)
        assert notes(gpt) == ""


def test_without_a_torch_that_works_all_else_is_verified(gpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tane.recipe", None)
    assert bad(gpt) == [] and "recipe.yaml was not compared with the checkpoints" in notes(gpt)
    flip(newest(gpt) / "model" / "config.json")
    assert len(bad(gpt)) == 1


def test_a_model_that_no_evaluation_has_chosen_yet(gpt: Path) -> None:
    (gpt / "model").unlink()
    assert bad(gpt) == [] and "follows an evaluation" in notes(gpt)


# --------------------------------------------------------------------------------------------- never an error


def replacements(path: Path) -> list[Callable[[], object]]:
    return [
        lambda: path.mkdir(),
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("nowhere"),
        lambda: path.symlink_to(path.name),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"\xff\xfe\0" * 100),
        lambda: path.write_text("[" * 100_000, encoding="utf-8"),
        lambda: path.write_text('{"kind": 5, "files": {"../x": [1, "y"]}, "meta": []}', encoding="utf-8"),
        lambda: None,
    ]


def test_no_damage_raises(place: Path) -> None:
    paths = sorted(p for p in place.rglob("*") if p.is_file() and p.name not in ("text.txt", ".lock"))
    paths = [p for p in paths if "model" not in p.relative_to(place).parts[2:3]]  # the link
    for number, path in enumerate(paths):
        kept = path.read_bytes()
        path.unlink()
        replacements(path)[number % 9]()
        empty_log = path.name == LOG and path.is_file() and not path.stat().st_size  # as after a full disk
        assert verify(place).metrics["ok"] == empty_log, path
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(kept)
    assert bad(place) == []


def test_nothing_to_verify(tmp_path: Path) -> None:
    (tmp_path / "text.txt").touch()
    (tmp_path / "corpus").mkdir()  # somebody's own
    (tmp_path / "recipe.yaml").write_text("run_dir: x\n")
    for path in (tmp_path, tmp_path / "text.txt"):
        with pytest.raises(InputError, match="holds nothing that can be verified"):
            verify(path)
    with pytest.raises(InputError, match="does not exist"):
        verify(tmp_path / "absent")


def test_exit_codes_and_json(gpt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(gpt), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["ok"]
    flip(newest(gpt) / "model" / "config.json")
    assert cli.main(["verify", str(gpt), "--json"]) == 4
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (
        told["code"] == 4
        and not told["ok"]
        and len(told["bad"]) == 1
        and list(told["reasons"]) == told["bad"]
    )
    assert cli.main(["verify", str(tmp_path / "absent")]) == 2


def test_data_of_a_tokenizer_with_a_dictionary_is_sound(tmp_path: Path, sample_text: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text(sample_text.read_text(encoding="utf-8")[:20_000], encoding="utf-8")
    tane.prepare(tane.Recipe.from_mapping(masked_settings(tmp_path / "data", tmp_path / "run", few)))
    assert verify(tmp_path / "data").metrics["ok"]
