"""The shape of a fault and of what one trial of it comes to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from .ground import Ground


@dataclass
class Outcome:
    """One trial. failure: what promise was broken, or nothing; figures: measured values by name."""

    failure: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    cases: int = 1  # how many injuries this trial made; all of them count
    skipped: str = ""  # why this machine cannot make the injury

    def require(self, kept: object, failure: str) -> None:
        """Note a broken promise; the first one stands."""
        if not kept and not self.failure:
            self.failure = failure


@dataclass(frozen=True)
class Fault:
    """A row of the table. trial: (ground, number) -> Outcome; the same number makes the same injury."""

    row: str  # of the list of faults; "3b" for a second way of the same row
    name: str
    injection: str
    promise: str
    trial: Callable[[Ground, int], Outcome]
    full: int  # trials of `make faults`
    fast: int  # trials of `make test`
    first: int = 0  # so many before any fault goes beyond its own; 0: a third

    @property
    def quota(self) -> int:
        """Trials that come before the others of `full`, for a suite that is bounded in time."""
        return self.first or -(-self.full // 3)

    def told(self, outcomes: list[Outcome]) -> str:
        """The figures of all trials: median and most of each."""
        names = dict.fromkeys(name for o in outcomes for name in o.figures)
        found = {name: [o.figures[name] for o in outcomes if name in o.figures] for name in names}
        return "; ".join(_figure(name, values) for name, values in found.items())


def _figure(name: str, values: list[float]) -> str:
    if name.startswith("n "):  # a count of things: the sum is what is told
        return f"{name[2:]} {sum(values):,.0f}"
    if name.startswith("least "):
        return f"{name} {min(values):,.3g}"
    low, high = statistics.median(values), max(values)
    return f"{name} {low:,.3g}" if low == high else f"{name} {low:,.3g} (most {high:,.3g})"


def bound(failures: int, trials: int) -> float:
    """Upper end of the one-sided 95 % interval for a share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    return 1.0 if failures >= trials else float(beta.ppf(0.95, failures + 1, trials - failures))
