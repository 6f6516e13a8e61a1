"""All plots of the sample corpus, in a fixed order."""

from __future__ import annotations

from tane.sample.plots import (
    animals,
    family,
    forest,
    friends,
    home,
    hours,
    knowledge,
    nature,
    outings,
    people,
    pets,
    school,
    town,
    walks,
)
from tane.sample.teller import Plot

_MODULES = (
    home,
    hours,
    family,
    school,
    friends,
    town,
    people,
    pets,
    nature,
    outings,
    walks,
    animals,
    forest,
    knowledge,
)

PLOTS: tuple[tuple[str, Plot], ...] = tuple(
    (name, value) for module in _MODULES for name, value in vars(module).items() if isinstance(value, Plot)
)
"""(name, plot) of every plot."""
