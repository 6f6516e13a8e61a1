"""Twelve common mistakes, each found by a look at the facts before anything is paid for.

A check takes the Facts and yields a Mistake for what it finds. Its bounds stand beside it with their reason:
far enough out that a sound recipe, small as it may be, has no warning.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

from tane import resources
from tane.model.build import positions
from tane.recipe import Recipe
from tane.training import checkpoint
from tane.use.mistakes import sizes, texts, tokens
from tane.use.mistakes.facts import Facts, Looked, Mistake, Pieces
from tane.use.mistakes.leaks import copies

CHECKS: tuple[Callable[[Facts], Iterator[Mistake]], ...] = (
    texts.mojibake,
    texts.validation_in_training,
    texts.near_duplicates,
    tokens.pad_is_eos,
    tokens.other_vocabulary,
    tokens.unknown_tokens,
    sizes.too_little_text,
    sizes.learning_rate,
    sizes.mostly_padding,
    sizes.block_beyond_positions,
    sizes.too_many_epochs,
    sizes.full_disk,
)


def find_mistakes(facts: Facts) -> list[Mistake]:
    """Every mistake that the facts show, those that stop the training first."""
    return sorted((one for check in CHECKS for one in check(facts)), key=lambda one: not one.stops)


def gather(
    recipe: Recipe, values: dict[str, Any], model: Any, looked: Looked, *, tokens: int, pieces: Pieces | None,
    padding: float | None, passes: float | None, written: int = 0,
) -> Facts:  # fmt: skip
    """The facts of a recipe; see `facts.Facts`.

    values: those of its plan; model: its model, which may be without memory; written: bytes of the data that
    is not prepared yet.
    """
    table = model.get_input_embeddings().weight
    kept = min(len(checkpoint.steps_in(recipe.run_path)), recipe.train.keep + 1)
    each = values["checkpoint_bytes"] * (recipe.train.keep + 2)
    needs = each * values.get("runs", 1) - values["checkpoint_bytes"] * kept + written
    try:
        free = shutil.disk_usage(resources.existing_parent(recipe.run_path)).free
    except OSError:
        free = None
    return Facts(
        recipe, values, looked, copies(looked), tokens, pieces, table.shape[0], table.shape[1],
        positions(model), padding, passes, needs, free,
    )  # fmt: skip
