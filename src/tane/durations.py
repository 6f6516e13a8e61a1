"""Amounts of training as people write them: "2 epochs", "10k steps", "1.5B tokens", "20 minutes"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from tane.settings import Named

UNITS = ("epochs", "steps", "tokens", "minutes")
_ALIASES = {"epoch": "epochs", "step": "steps", "token": "tokens", "minute": "minutes", "min": "minutes"}
_SECONDS = {"second": 1 / 60, "seconds": 1 / 60, "s": 1 / 60, "hour": 60.0, "hours": 60.0, "h": 60.0}
_SCALE = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_WORDS = "|".join(sorted({*UNITS, *_ALIASES, *_SECONDS}, key=len, reverse=True))
_NUMBER = r"[0-9][0-9_]*\.?[0-9]*(?:e[+-]?[0-9]+)?"
_DURATION = re.compile(rf"\s*({_NUMBER})\s*([kmb]?)\s*({_WORDS})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Duration:
    """An amount of training, such as "2 epochs", "10k steps", "1.5B tokens" or "20 minutes"."""

    amount: float
    unit: str

    @classmethod
    def parse(cls, value: Any) -> Duration:
        """Read a duration; raises ValueError that says what is expected."""
        if isinstance(value, Duration):
            return value
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found and not (found[2] and found[3].lower() in ("s", "h")):  # "500 ms" is no 500 million seconds
            unit = found[3].lower()
            amount = float(found[1].replace("_", "")) * _SCALE[found[2].lower()]
            amount, unit = (amount * _SECONDS[unit], "minutes") if unit in _SECONDS else (amount, unit)
            unit = _ALIASES.get(unit, unit)
            if unit in UNITS and 0 < amount < 1e18:
                return cls(amount, unit)
        if isinstance(value, list):
            raise ValueError('expected a duration such as "2 epochs", in quotes')
        raise ValueError('expected a duration such as "2 epochs", "10k steps", "1.5B tokens" or "20 minutes"')

    def __str__(self) -> str:
        return f"{repr(float(self.amount)).removesuffix('.0')} {self.unit}"

    def steps(
        self, *, tokens_per_step: int, steps_per_epoch: float, seconds_per_step: float | None = None
    ) -> int:
        """The duration in optimizer steps, rounded up, at least 1. Minutes need a measured
        `seconds_per_step`."""
        if self.unit == "epochs":
            return max(1, int(self.amount * steps_per_epoch + 1 - 1e-9))
        per_step = {"steps": 1.0, "tokens": tokens_per_step}
        if self.unit == "minutes":
            if not seconds_per_step:
                raise ValueError("a duration in minutes has no steps before the speed is measured")
            per_step["minutes"] = seconds_per_step / 60
        steps = self.amount / per_step[self.unit]
        return max(1, int(steps + 1 - 1e-9))


AnyDuration = Annotated[
    Duration, BeforeValidator(Duration.parse), PlainSerializer(str, return_type=str), Named("duration")
]


def _share(value: Any) -> float | Duration:
    try:
        number = float("true or false" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        try:
            return Duration.parse(value)
        except ValueError:
            raise ValueError('expected a fraction such as 0.02 or a duration such as "500 steps"') from None
    if not 0 <= number <= 1:
        raise ValueError(
            f'expected a fraction between 0 and 1 or a duration such as "500 steps", found {value}'
        )
    return number


Share = Annotated[
    Any,
    BeforeValidator(_share),
    PlainSerializer(lambda v: v if isinstance(v, float) else str(v), return_type=Any),
    Named("fraction or duration"),
]
