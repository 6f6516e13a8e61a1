"""Learning-rate schedules: pure functions from the step to a multiplier of `optim.lr`; nothing is stored.

constant; linear (to `final`); cosine (half a wave to `final`); wsd = warm-up, stable, decay (Hu et al.,
"MiniCPM", 2024): constant until the last part, then linear to `final`. All begin with a linear warm-up.
"""

from __future__ import annotations

import math
from typing import Literal

from tane.durations import Duration, Share
from tane.settings import Settings, option


class Schedule(Settings):
    """Shape of the learning rate over the run."""

    name: Literal["constant", "linear", "cosine", "wsd"] = option(
        "wsd", "shape of the learning rate", resume="free"
    )
    warmup: Share = option(0.05, "linear warm-up: a fraction of the run or a duration", resume="free")
    decay: Share = option(
        0.5, "wsd: its last part, in which the rate falls: a fraction or a duration", resume="free"
    )
    final: float = option(
        0.0, "where linear, cosine and wsd end, as a multiple of the rate", ge=0, le=1, resume="free"
    )

    def multiplier(self, step: int, total: int, warmup: int, decay: int) -> float:
        """Multiplier of the learning rate for the update number `step` (0-based) of `total`.

        `warmup` and `decay` are the resolved lengths in steps (see `lengths`).
        """
        rise = min(1.0, (step + 1) / (warmup + 1))
        if self.name == "constant":
            return rise
        start = total - decay if self.name == "wsd" else warmup
        done = min(
            1.0, max(0.0, (step + 1 - start) / (total - start + 1))
        )  # `final` comes after the last update
        if self.name == "cosine":
            done = 0.5 * (1 - math.cos(math.pi * done))
        return rise * (1 - (1 - self.final) * done)

    def lengths(self, total: int, *, tokens_per_step: int, steps_per_epoch: float) -> tuple[int, int]:
        """(warm-up, decay) in steps, for a run of `total` steps."""

        def resolve(value: float | Duration) -> int:
            if isinstance(value, Duration):
                return value.steps(tokens_per_step=tokens_per_step, steps_per_epoch=steps_per_epoch)
            return round(value * total)

        return min(total, resolve(self.warmup)), min(total, resolve(self.decay))
