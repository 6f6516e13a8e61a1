"""`tane plan`: what a recipe amounts to, before anything is paid for. Nothing is written.

What comes of the numbers is in forecast.py; the first blocks are spelled out in blocks.py; mistakes/ looks
for what often goes wrong.
"""

from __future__ import annotations

from tane import progress
from tane.errors import InputError
from tane.recipe import Recipe
from tane.types import Result
from tane.use import plan_page, screen
from tane.use.plan_task import plan_task
from tane.use.plan_text import plan_text

SHOWN = 3  # blocks, or examples of a task


class Plan(Result):
    """The result of a plan; a notebook shows it as a page."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return plan_page.html(self.metrics)


def plan(recipe: Recipe, *, probe: bool = False, show: int = SHOWN) -> Plan:
    """Parameters, steps, tokens, memory and disk of a recipe, the first blocks of its first step, and what
    often goes wrong: `metrics`.

    warnings: [{name, message, remedy, stops}], see `mistakes`; looked_at: how many documents they are of;
    first_blocks: as `blocks.ShownBlock.told` has them, or examples of a task; [] where the text is not
    prepared. probe: also train some steps on throw-away weights, and tell speed, time and the memory that
    they took. show: so many blocks or examples at most; 0: first_blocks is None.
    """
    if show < 0:
        raise InputError(f"--show {show}: expected 0 or more", "--show 3")
    values = plan_text(recipe, probe, show) if recipe.task is None else plan_task(recipe, probe, show)
    lines = plan_page.lines(
        values, columns=screen.columns(), colour=screen.colours(), blocks=not progress.in_notebook()
    )
    for line in lines:
        progress.say(line)
    return Plan(str(recipe.run_path), values)
