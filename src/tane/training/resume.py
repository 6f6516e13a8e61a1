"""A run's memory of its settings: what was asked for, what `auto` became, and what may change when it goes
on.

`requested.yaml` holds the recipe as it was asked for, `recipe.yaml` as it was resolved: every `auto` and
every duration in minutes is a concrete value there, and it is reused on resume. A setting marked "match" must
not change; one marked "free" may, and the change is said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tane import files
from tane.errors import InputError
from tane.yamlio import dump_yaml, read_yaml

RESOLVED, REQUESTED = "recipe.yaml", "requested.yaml"
Flat = dict[str, Any]  # dotted name -> value, for every leaf of the recipe


def run_of(folder: Path) -> Path | None:
    """The run that a model folder lies in, or None."""
    for parent in folder.resolve().parents:
        if (parent / RESOLVED).is_file() and (parent / "checkpoints").is_dir():
            return parent
    return None


def nest(flat: Flat) -> dict[str, Any]:
    """Dotted names back to mappings."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return tree


def flatten(tree: dict[str, Any], names: list[str]) -> Flat:
    """Values of the dotted names that the tree has."""
    flat: Flat = {}
    for name in names:
        place: Any = tree
        for part in name.split("."):
            if not isinstance(place, dict) or part not in place:
                break
            place = place[part]
        else:
            flat[name] = place
    return flat


def leaves_of(tree: dict[str, Any], known: Flat, prefix: str = "") -> Flat:
    """Every value of a recorded recipe by its dotted name; a mapping that is one setting stays whole."""
    flat: Flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        whole = name in known or not isinstance(value, dict) or not value
        flat |= {name: value} if whole else leaves_of(value, known, f"{name}.")
    return flat


def write(run_dir: Path, requested: Flat, resolved: Flat) -> None:
    """Record both; the resolved one is a recipe that can be run. The requested one comes last: only with it
    is a run known as one, so a kill between the two leaves a start that is made again."""
    files.write_text(run_dir / RESOLVED, dump_yaml(nest(resolved)))
    files.write_text(run_dir / REQUESTED, dump_yaml(nest(requested)))


def settle(run_dir: Path, requested: Flat, rules: dict[str, str]) -> tuple[Flat, list[str]]:
    """(the settings to go on with, lines that tell what changed) for a run that was recorded before.

    A value that was not touched keeps what it was resolved to. Raises InputError with the difference when a
    setting that must match was changed. `rules` maps dotted names to "match" or "free".
    """
    before = leaves_of(read_yaml(run_dir / REQUESTED), requested)
    resolved = leaves_of(read_yaml(run_dir / RESOLVED), requested)
    final: Flat = {}
    changed: list[str] = []
    refused: list[str] = []
    for name, value in requested.items():
        old = resolved.get(name, before.get(name))
        if name in before and value in (before[name], old):
            final[name] = old
            continue
        final[name] = value
        line = f"{name}: {old!r} -> {value!r}"
        (refused if rules.get(name, "match") == "match" and name in before else changed).append(line)
    for name in (
        before.keys() - requested.keys()
    ):  # such as the parts of `early_stopping` when it is taken out
        line = f"{name}: {before[name]!r} -> gone"
        (refused if rules.get(name, "free") == "match" else changed).append(line)
    if refused:
        raise InputError(
            f"{run_dir} holds a run with other settings: {'; '.join(refused)}",
            "put them back, choose another --run-dir, or start anew with --fresh (which deletes the old run)",
        )
    return final, changed
