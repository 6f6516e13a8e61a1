"""Verbs on recipes: train, finetune, plan, options, config print."""

from __future__ import annotations

from typing import Any

import tane
from tane.errors import InputError
from tane.verbs.table import Values, Verb, flag, load


def _spikes(values: Values, overrides: list[str]) -> list[str]:
    return [*overrides, "train.stop_on_spike=true"] if values.stop_on_spike else overrides


def _train(values: Values, overrides: list[str]) -> Any:
    from tane import ranks

    with ranks.joined() as world:
        return tane.train(
            world.together(lambda: load(values, _spikes(values, overrides))),
            fresh=values.fresh,
            rebuild=values.rebuild,
            verify=values.verify,
            strict=values.strict,
        )


def _finetune(values: Values, overrides: list[str]) -> Any:
    from tane import ranks

    with ranks.joined() as world:
        result = tane.finetune(
            world.together(lambda: load(values, _spikes(values, overrides))),
            seeds=values.seeds,
            fresh=values.fresh,
            verify=values.verify,
            strict=values.strict,
        )
    if not values.json:
        from tane.use.score_page import page

        for side in ("valid", "test"):
            if side in result.metrics:
                print(page(result.metrics[side]))
    return result


def _plan(values: Values, overrides: list[str]) -> Any:
    return tane.plan(load(values, overrides), probe=values.probe, show=values.show)


def _options(values: Values, _: list[str]) -> Any:
    from tane.recipe import options
    from tane.types import Result

    rows = list(options(values.section.replace("-", "_")))
    if not rows:
        raise InputError(
            f"there is no section or setting {values.section!r}", "see them all with: tane options"
        )
    for name, kind, default, meaning in rows if not values.json else ():
        print(f"{name}  ({kind}; default {default})\n    {meaning}")
    keys = ("name", "type", "default", "meaning")
    return Result(None, {"options": [dict(zip(keys, row, strict=True)) for row in rows]})


def _config_print(values: Values, overrides: list[str]) -> Any:
    from tane.use.written import written

    result = written(load(values, overrides), meanings=values.meanings)
    if not values.json:
        print(result.metrics["text"], end="")
    return result


GOING_ON = (
    flag("--fresh", action="store_true", help="delete the old run and start anew"),
    flag(
        "--verify",
        choices=("full", "fast"),
        default="full",
        help="hash shards and checkpoint, or compare sizes only",
    ),
    flag("--strict", action="store_true", help="a damaged checkpoint is an error, not passed over"),
    flag("--stop-on-spike", action="store_true", help="stop where the loss leaps far beyond what was usual"),
)

VERBS: dict[str, Verb] = {
    "train": Verb(
        "prepare what is missing, train, go on by itself where it was cut off",
        _train,
        (
            flag("--rebuild", action="store_true", help="make the data anew"),
            *GOING_ON,
        ),
        recipe=True,
        wide=True,
    ),
    "finetune": Verb(
        "learn a labelled task on a pretrained model, with scores; goes on where it was cut off",
        _finetune,
        (
            flag("--seeds", type=int, default=1, metavar="N", help="so many runs: mean and spread"),
            *GOING_ON,
        ),
        recipe=True,
        wide=True,
    ),
    "plan": Verb(
        "what a recipe comes to, and its common mistakes",
        _plan,
        (
            flag(
                "--probe", action="store_true", help="train some steps, keep nothing, and tell speed and time"
            ),
            flag("--show", type=int, default=3, metavar="N", help="show N blocks, or examples (3)"),
        ),
        recipe=True,
    ),
    "options": Verb(
        "every setting with type, default and meaning",
        _options,
        (
            flag(
                "section",
                nargs="?",
                default="",
                metavar="SECTION",
                help="only these, such as train or optim.schedule",
            ),
        ),
        quick=True,
    ),
    "config print": Verb(
        "a recipe with every setting written out, defaults included",
        _config_print,
        (flag("--meanings", action="store_true", help="with what each setting means"),),
        recipe=True,
        optional=True,
        quick=True,
    ),
}
