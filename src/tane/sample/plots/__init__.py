"""All plots of the sample corpus, in a fixed order."""

from __future__ import annotations

from tane.sample.plots import animals, home, knowledge, nature, school, town
from tane.sample.teller import Plot

PLOTS: tuple[tuple[str, Plot], ...] = tuple(
    (name, value)
    for module in (home, school, town, nature, animals, knowledge)
    for name, value in vars(module).items()
    if isinstance(value, Plot)
)
"""(name, plot) of every plot."""
