"""`tane config print`: a recipe with every setting written out, which is a recipe again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tane.recipe import Recipe, options
from tane.training import resume
from tane.types import Result
from tane.yamlio import dump_yaml

KEY = re.compile(r"( *)([\w-]+):(?: |$)")


def written(recipe: Recipe, *, meanings: bool = False) -> Result:
    """The recipe as YAML, with what it leaves to the defaults; metrics: {recipe: a mapping, text}.

    meanings: what a setting means stands as a comment behind it.
    """
    tree = resume.nest(recipe.flat())
    text = dump_yaml(tree)
    if meanings:
        text = "\n".join(_commented(text)) + "\n"
    return Result(None, {"recipe": tree, "text": text})


def _commented(text: str) -> Iterator[str]:
    known: dict[str, str] = {}
    for name, _, _, meaning in options():
        known.setdefault(name, meaning)  # of variants the first one's: what they share means the same
    above: list[tuple[int, str]] = []  # (indentation, key) of the mappings around a line
    for line in text.splitlines():
        found = KEY.match(line)
        if found is None:
            yield line
            continue
        indent = len(found[1])
        above = [(depth, key) for depth, key in above if depth < indent] + [(indent, found[2])]
        meaning = known.get(".".join(key for _, key in above), "")
        # text over several lines would take the comment as its own
        yield line if not meaning or line.endswith(("|-", ">-", "|", ">")) else f"{line}  # {meaning}"
