"""The verbs of the command line: for each its meaning, its flags, and the call it makes. No logic here.

The table is what `tane --help` prints, in this order; nothing heavy is imported before a verb is called.

table.py     what a row is, and flags that several verbs share
text.py, training.py, models.py, machine.py   the rows, by what they work on
"""

from __future__ import annotations

from typing import Any

from tane.verbs import machine, models, text, training
from tane.verbs.table import COMMON, Values, Verb, flag

SHELLS = ("bash", "zsh", "fish", "tcsh")


def _completion(values: Values, _: list[str]) -> Any:
    from tane.completion import completion
    from tane.types import Result

    script = completion(values.shell, VERBS)
    if not values.json:
        print(script)
    return Result(None, {"shell": values.shell, "text": script})


_ROWS = {**machine.VERBS, **text.VERBS, **training.VERBS, **models.VERBS}
_ROWS["completion"] = Verb(
    "what a shell needs to complete verbs, flags and settings",
    _completion,
    (flag("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}"),),
    quick=True,
)
_ORDER = (
    "demo", "prepare", "train", "finetune", "predict", "evaluate", "generate", "fill", "play", "report",
    "export", "data", "tokenizer train", "tokenizer show", "tokenizer compare", "plan", "options",
    "config print", "completion", "doctor", "verify",
)  # fmt: skip
VERBS: dict[str, Verb] = {name: _ROWS[name] for name in _ORDER}

__all__ = ["COMMON", "SHELLS", "VERBS", "Values", "Verb"]
