"""Verbs on this machine, and the demo: demo, doctor, verify."""

from __future__ import annotations

from typing import Any

import tane
from tane.errors import IntegrityError, ResourceError
from tane.verbs.table import Values, Verb, flag


def _demo(values: Values, _: list[str]) -> Any:
    from tane.demo import demo

    return demo(values.out, inputs=values.input)


def _doctor(values: Values, _: list[str]) -> Any:
    result = tane.doctor()
    if not values.json:
        from tane.use.doctor import report

        print(report(result.metrics))
    for trap in result.metrics["traps"]:
        if trap["stops"]:
            found = f"training is impossible here: {trap['found']}"
            raise ResourceError(found, trap["remedy"], result.json())
    return result


def _verify(values: Values, _: list[str]) -> Any:
    result = tane.verify(values.path, fast=values.fast)
    if not result.metrics["ok"]:
        count = len(result.metrics["bad"])
        raise IntegrityError(
            f"{values.path}: {count} files are damaged, missing, unknown or stale",
            "",
            result.json(),
        )
    return result


VERBS: dict[str, Verb] = {
    "demo": Verb(
        "offline, a few minutes: the bundled text, a small GPT and BERT, stories, filled blanks",
        _demo,
        (
            flag(
                "--out", default="runs/demo", metavar="DIR", help="where everything goes (default: runs/demo)"
            ),
            flag("--input", nargs="+", metavar="FILE", help="train on your own text instead"),
        ),
    ),
    "doctor": Verb("the state of this machine: what it has, known traps and their remedies", _doctor),
    "verify": Verb(
        "is it whole, and does it fit together? every file of a data folder, run or export",
        _verify,
        (
            flag("path", metavar="PATH", help="the folder"),
            flag("--fast", action="store_true", help="sizes only"),
        ),
    ),
}
