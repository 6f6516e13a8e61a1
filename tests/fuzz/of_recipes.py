"""The readers of recipes: files, flags, and what a run recorded of its own."""

from __future__ import annotations

from pathlib import Path

from tane.errors import InputError
from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader, inside, written

RECIPE = """\
# a recipe with every kind of setting
run_dir: runs/a
seed: 1
corpus:
  inputs:
    - {path: texts/*.txt, encoding: cp932, unit: line}
    - data.csv
  column: text
  filters: {min_chars: 10}
  valid_fraction: 0.02
  on_bad: skip
tokenizer:
  kind: unigram
  vocab_size: 4000
  ram: 1GB
model:
  preset: gpt2-tiny
  config: {n_layer: 2, n_head: 2}
objective:
  name: masked
  mask_prob: 0.15
optim:
  lr: 1e-3
  schedule: {name: wsd, warmup: 0.02}
train:
  duration: 2 epochs
  batch_tokens: 16384
  eval_every: 500 steps
  early_stopping: {patience: 3}
"""
TASK_RECIPE = """\
run_dir: runs/b
model: {pretrained: bert}
task:
  kind: pair-classification
  text: a
  text_pair: b
  label: l
  label_names: [no, yes]
  data:
    train: {path: a.csv, format: tsv, sheet: s}
    valid: b.csv
optim:
  lr: 2e-5
train: {duration: 3 epochs, save_every: 5 minutes}
"""
FLAGS = (  # of flags of every type
    "corpus.inputs=[a.txt, {path: b.csv, column: text}]",
    "corpus.encoding=cp932",
    "train.duration=2 epochs",
    "optim.lr=1e-3",
    "objective.name=masked",
    "optim.schedule.warmup=0.02",
    "train.compile=false",
    "model.config={n_layer: 2}",
    "tokenizer.ram=2GB",
    "seed=3",
    "task={kind: classification, data: {train: a.csv}}",
    "train.early_stopping.patience=3",
)


def _load_recipe(path: Path) -> object:
    from tane.recipe import Recipe

    recipe = Recipe.load(path)
    return recipe.flat(), recipe.rules(), recipe.must_match(), recipe.data_path, recipe.sections()


def _flag(path: Path) -> object:
    """Takes the file as the text of one flag, as a shell would hand it over."""
    from tane.recipe import Recipe

    text = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "")
    try:
        return Recipe.from_mapping({"run_dir": "r", "corpus": {"inputs": ["a.txt"]}}, text).flat()
    except InputError as error:
        section = text.partition("=")[0].partition(".")[0].replace("-", "_")
        key = repr(section)[1:-1]  # as a message shows it
        if any(told in error.message for told in (section, key, repr(text)[1:-1])):  # it names the flag
            error.message += f" ({path.name})"
        raise


def _recorded(folder: Path) -> None:
    from tane.recipe import Recipe
    from tane.training import resume

    (folder / "run").mkdir()
    flat = Recipe.from_mapping({"run_dir": "r", "corpus": {"inputs": ["a.txt"]}}).flat()
    resume.write(folder / "run", flat, {**flat, "train.micro_batch_tokens": 4096})


def _resume(path: Path) -> object:
    from tane.recipe import Recipe
    from tane.settings import build
    from tane.training import resume

    recipe = Recipe.from_mapping({"run_dir": "r", "corpus": {"inputs": ["a.txt"]}})
    Recipe.load(path.parent / resume.RESOLVED)
    final, _ = resume.settle(path.parent, recipe.flat(), recipe.rules())
    return build(Recipe, resume.nest(final), str(path.parent))


READERS: tuple[Reader, ...] = (
    Reader(
        "recipe",
        (written("r.yaml", RECIPE), written("r.yaml", TASK_RECIPE)),
        _load_recipe,
        ("tane.yamlio",),
        (mutate, damages.yaml_values),
        torch=True,
    ),
    Reader(
        "flag",
        tuple(written("flag", flag) for flag in FLAGS),
        _flag,
        (),
        (mutate, damages.scalars),
        torch=True,
    ),
    Reader(
        "resume",
        inside(_recorded, "run/requested.yaml", "run/recipe.yaml"),
        _resume,
        ("tane.yamlio",),
        (mutate, damages.yaml_values),
        torch=True,
    ),
)
