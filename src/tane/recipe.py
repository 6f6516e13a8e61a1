"""The recipe: the root of all settings, and the verbs that bind its sections to the stages.

    recipe = Recipe.load("recipes/aozora-gpt.yaml", "train.duration=1k steps")
    tane.train(recipe)

Flags of the command line (`--train.duration "1k steps"`) and the strings given to `load` are the same thing:
dotted overrides, merged into the YAML mapping before it is validated.
"""

from __future__ import annotations

import copy
import functools
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tane import files, progress, running
from tane.errors import InputError, Interrupted, Stopped
from tane.model.build import ModelSettings
from tane.objectives.causal import Causal  # noqa: F401 - the default of a part chosen by name
from tane.optim.groups import OptimSettings
from tane.settings import (
    RESUME,
    Settings,
    all_leaves,
    build,
    default_of,
    leaves,
    option,
    override,
    part,
    part_of,
    type_name,
)
from tane.tasks.settings import DEFAULTS, TaskSettings, option_of, with_defaults
from tane.text import corpus as text
from tane.tokens.prepare import prepare_data, share
from tane.tokens.tokenizer import TokenizerSettings
from tane.training import finetuning, labelled, pretraining, resume, run
from tane.training.settings import Sections, TrainSettings
from tane.types import Result
from tane.yamlio import parse_yaml, read_yaml

if TYPE_CHECKING:
    Objective = Any
    Optim = OptimSettings
    Task = TaskSettings | None
else:
    Objective = part("objectives", "causal")
    Optim = part("optim", "muon")
    Task = part("tasks", "classification", key="kind", optional=True)


class Recipe(Settings):
    """Everything that one run depends on."""

    run_dir: str = option(
        "runs/tane", "where the run goes: recipe, metrics, checkpoints, model", resume="free"
    )
    data_dir: str | None = option(
        None, "where corpus, tokenizer and shards go; none: RUN_DIR/data", resume="free"
    )
    seed: int = option(0, "seed of weights, order, masks and dropout", ge=0, lt=2**63)
    corpus: text.CorpusSettings = option(text.CorpusSettings(), "the text")
    tokenizer: TokenizerSettings = option(TokenizerSettings(), "text to ids")
    model: ModelSettings = option(ModelSettings(), "the model")
    objective: Objective = option(
        {"name": "causal"}, "what the model learns to predict", validate_default=True
    )
    optim: Optim = option({"name": "muon"}, "how weights are updated", validate_default=True)
    task: Task = option(None, "what is learnt from labelled examples, for tane finetune")
    train: TrainSettings = option(TrainSettings(), "how long, how large, on what")

    @classmethod
    def load(cls, path: str | Path, *overrides: str) -> Recipe:
        """Read a YAML file and merge overrides such as "train.duration=1k steps". Raises InputError."""
        path = files.require_file(path, "the recipe")
        if path.is_dir():
            raise InputError(
                f"the recipe {path} is a folder", f"give a YAML file, such as {path / 'recipe.yaml'}"
            )
        return cls.from_mapping(read_yaml(path), *overrides, where=str(path))

    @classmethod
    def from_mapping(cls, values: dict[str, Any], *overrides: str, where: str = "recipe") -> Recipe:
        """The same from a mapping, for notebooks."""
        bare = [o for o in overrides if "=" not in o]
        if bare:
            raise InputError(f"{bare[0]!r} is no setting with a value", 'write it as "section.field=value"')
        given = {name.replace("-", "_"): value for name, _, value in (o.partition("=") for o in overrides)}
        values = copy.deepcopy(values)
        switched = {}
        for name, info in cls.model_fields.items():
            marker = part_of(info.metadata)
            before = values.get(name) if marker else None
            if marker and isinstance(before, dict) and f"{name}.{marker.key}" in given:
                switched[name] = dict(before)
        for dotted, value in given.items():
            override(values, dotted, _value(value, f"--{dotted}"))
        for name, before in switched.items():
            _switch(values, name, before, given)
        if values.get("task") not in (None, "none"):
            values = with_defaults(values)
        return build(cls, values, where)

    @property
    def run_path(self) -> Path:
        """The run's folder."""
        return Path(self.run_dir)

    @property
    def data_path(self) -> Path:
        """The data folder."""
        return Path(self.data_dir) if self.data_dir is not None else self.run_path / "data"

    def flat(self) -> resume.Flat:
        """Every setting by its dotted name, as plain values."""
        return resume.flatten(
            self.model_dump(mode="json"), [name for name, _ in leaves(type(self), value=self)]
        )

    def rules(self) -> dict[str, str]:
        """Dotted name -> "match" or "free": which settings a run may change when it goes on."""
        return {name: info.json_schema_extra[RESUME] for name, info in leaves(type(self), value=self)}

    def must_match(self) -> resume.Flat:
        """The settings that must be the same when a run goes on."""
        rules = self.rules()
        return {name: value for name, value in self.flat().items() if rules[name] == "match"}

    def sections(self) -> Sections:
        """The parts that training takes."""
        return Sections(self.seed, self.model, self.objective, self.optim, self.train)

    @classmethod
    def of(cls, flat: resume.Flat, where: str = "recipe") -> Recipe:
        """The recipe of settings by their dotted names, as `flat` gives them."""
        return build(cls, resume.nest(flat), where)

    def with_values(self, values: dict[str, Any]) -> Recipe:
        """A copy with some dotted settings replaced."""
        return self.of({**self.flat(), **values})


def _value(raw: str, where: str) -> Any:
    if raw.lower() == "none":
        return "none"
    if raw.startswith(("#", "*", "&", "!", "%", "@", "`")):  # a column, a glob: text, not YAML's own signs
        return raw
    value = parse_yaml(raw, where)
    return raw if isinstance(value, dict) and not raw.startswith("{") else value


def _switch(values: dict[str, Any], name: str, before: dict[str, Any], given: dict[str, str]) -> None:
    """When a flag chooses another variant, drop the keys of the old one that the new one does not have."""
    from tane import registry

    marker = part_of(Recipe.model_fields[name].metadata)
    assert marker is not None
    chosen = registry.find(marker.text, values[name][marker.key])
    for key in before:
        if key not in chosen.model_fields and f"{name}.{key}" not in given:
            del values[name][key]
            progress.say(f"{name}.{key} of the recipe does not apply to {values[name][marker.key]}: left out")


def options(section: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(dotted name, type, default, meaning) of every setting, or of those that begin with `section`."""
    for name, info, variant in all_leaves(Recipe):
        if name == section or name.startswith(f"{section}.") or not section:
            default = default_of(info)
            text = default.model_dump() if isinstance(default, Settings) else default
            kind = next((m.text for m in info.metadata if hasattr(m, "text")), type_name(info.annotation))
            only = f" ({variant})" if variant else ""
            usual = _of_task(name)
            only += f" (with a task: {usual})" if usual is not None and not variant else ""
            shown, meaning = option_of(name, "none" if text is None else str(text), info.description)
            yield name, kind, shown, meaning + only


def _of_task(name: str) -> Any:
    """The default of a setting in a recipe with a task, where it is another one."""
    place: Any = DEFAULTS
    for key in name.split("."):
        place = place.get(key) if isinstance(place, dict) else None
    return place


# -------------------------------------------------------------------------------------------------- verbs


def prepare(
    recipe: Recipe, *, rebuild: bool = False, full: bool = True, part: str | None = None, join: bool = False
) -> Result:
    """Corpus, tokenizer and shards in `data_dir`; what is current is kept, what is stale is refused.

    part: "i/n" makes the i-th of n parts of what can be made at present, for a cluster's jobs or several
    machines that share the folder. join: put together what the parts made; stops before the shards, and
    before the words where the objective asks for them, since that work can be divided next.
    """
    folder, taken, words = recipe.data_path, tokenizer_settings(recipe), recipe.objective.word_starts
    if part is not None:
        if rebuild or join:
            raise InputError("--part makes one part alone", "use --rebuild and --join without it")
        return share(recipe.corpus, taken, folder, recipe.objective.specials, *_part(part), words=words)
    until = "words"
    if join and (rebuild or not (folder / "corpus").exists()):
        until = "tokenizer"
    elif join and words is not None and not (folder / "shards").exists():
        until = "shards"
    result = prepare_data(
        recipe.corpus, taken, folder, recipe.objective.specials, rebuild=rebuild, full=full, until=until,
        words=words,
    )  # fmt: skip
    if until != "words":
        made = "corpus and tokenizer" if until == "tokenizer" else "the tokens"
        progress.say(f"{made} are there; next: --part i/n again, or no --part to finish here")
    return result


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--part {text}: expected i/n with i from 1 to n", "write it as --part 1/3")
    return int(found[1]), int(found[2])


def tokenizer_settings(recipe: Recipe) -> TokenizerSettings:
    """The tokenizer of a recipe, which a pretrained model may bring."""
    taken, model = recipe.tokenizer, recipe.model
    if model.pretrained is not None and model.keep_tokenizer and taken.path is None:
        taken = taken.model_copy(update={"path": model.pretrained})
    return taken


def train_tokenizer(recipe: Recipe, *, out: str | Path | None = None, rebuild: bool = False) -> Result:
    """Train (or take) the recipe's tokenizer alone: in `data_dir`, or with `out` as that folder, which must
    not exist yet; then nothing else is left."""
    taken, specials = tokenizer_settings(recipe), recipe.objective.specials
    if out is None:
        return prepare_data(
            recipe.corpus, taken, recipe.data_path, specials, rebuild=rebuild, until="tokenizer"
        )
    target = Path(out)
    if target.exists():
        raise InputError(f"{target} exists already", "choose another --out, or delete it")
    files.make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY, dir=target.parent) as place:
        try:
            result = prepare_data(recipe.corpus, taken, Path(place), specials, until="tokenizer")
        except Stopped as error:  # what was kept goes with the folder
            raise Interrupted(error.message.partition(";")[0]) from None
        shutil.move(Path(place) / "tokenizer", target)
    return Result(str(target), {**result.metrics, "data": None}, result.fingerprint)


def train(
    recipe: Recipe, *, fresh: bool = False, rebuild: bool = False, verify: str = "full", strict: bool = False
) -> Result:
    """Prepare what is missing, train, and go on by itself where a run was cut off.

    fresh: delete the old run first. rebuild: make the data anew. verify: "full" hashes shards and checkpoint,
    "fast" compares sizes only. strict: a damaged checkpoint is an error, not a reason to fall back.
    """
    if recipe.task is not None:
        raise InputError("this recipe has a task", "type: tane finetune RECIPE")

    def ready(recipe: Recipe, full: bool) -> dict[str, str]:
        data = prepare(recipe, rebuild=rebuild, full=full)
        return {"data": data.fingerprint}

    def starter(recipe: Recipe, fingerprints: dict[str, str]) -> run.Start:
        matching = {**fingerprints, "settings": files.digest(recipe.must_match())}
        return functools.partial(pretraining.start, recipe.sections(), recipe.data_path, matching)

    return running.run_recipe(recipe, ready, starter, fresh=fresh, full=verify == "full", strict=strict)


def finetune_once(
    recipe: Recipe, data: labelled.Data, *, fresh: bool = False, verify: str = "full", strict: bool = False
) -> Result:
    """One run of a recipe with a task on examples that were read: trains, or goes on where it was cut off.

    `use.finetune.finetune` is the whole verb.
    """
    if recipe.task is None:
        raise InputError("this recipe has no task", 'add one, such as "task: {kind: classification, ...}"')

    def ready(recipe: Recipe, full: bool) -> dict[str, str]:
        labelled.prepare_tokenizer(recipe.model, recipe.tokenizer, recipe.run_path / "tokenizer")
        return {}

    def starter(recipe: Recipe, fingerprints: dict[str, str]) -> run.Start:
        assert recipe.task is not None
        return functools.partial(
            finetuning.start, recipe.task, recipe.model, recipe.sections(), data,
            recipe.run_path / "tokenizer", recipe.must_match(),
        )  # fmt: skip

    return running.run_recipe(recipe, ready, starter, fresh=fresh, full=verify == "full", strict=strict)
