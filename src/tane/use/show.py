"""A packed block as training sees it: which tokens are hidden, how, and where one text ends.

tane.show_masks(recipe)          # the last line of a notebook's cell: in colour
print(tane.show_masks(recipe))   # as plain text
"""

from __future__ import annotations

from tane.errors import InputError
from tane.recipe import Recipe
from tane.use.blocks import MaskedBlock, Prepared, Shown

__all__ = ["MaskedBlock", "Shown", "show_masks"]


def show_masks(recipe: Recipe, number: int | None = None, *, epoch: int = 0) -> MaskedBlock:
    """A block of the training text with its masks, exactly as training with this recipe sees it.

    number: of the block in its epoch, a negative one from behind, where the shortest texts are; None: the one
    that the epoch begins with. The same block has other masks in each epoch. Raises InputError for another
    objective, where the data has not been prepared, and where there is no such block.
    """
    if recipe.objective.scores_all_text:
        raise InputError(
            f"the objective {recipe.objective.name} hides no tokens", "take objective.name=masked"
        )
    if epoch < 0:
        raise InputError(f"epoch: expected 0 or more, found {epoch}")
    prepared = Prepared(recipe)
    count = prepared.count(epoch)
    if number is None:
        number = prepared.first(epoch, 1)[0]
    if not -count <= number < count:
        raise InputError(f"there is no block {number:,}: epoch {epoch:,} has {count:,}, from 0 on")
    shown = prepared.show(epoch, number % count)
    assert isinstance(shown, MaskedBlock)
    return shown
