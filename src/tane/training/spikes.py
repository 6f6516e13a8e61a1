"""A loss that leaps far beyond what it was: seen at once, before the weights are updated with it.

Usual is a running mean of about the last 50 steps, and its spread the mean distance from it. The state is
part of the checkpoint, so a resumed run sees the same leaps.
"""

from __future__ import annotations

from tane.types import TrainState

_KEEP = 0.98  # of the running means at each step
_LEARN = 20  # steps before anything can be called unusual
_FAR = 10.0  # spreads above the mean; and at least twice the mean


def words(state: TrainState, loss: float, step: int) -> str:
    """What is said of a spike in a step."""
    usual = state.usual_loss
    return f"the loss leapt to {loss:.3f} at step {step}, where {usual:.3f} was usual"


def leaps(state: TrainState, loss: float) -> bool:
    """Note the loss of one step (nats per target); whether it is a spike. A spike moves what is usual only a
    little."""
    if state.usual_steps == 0:
        state.usual_loss = loss
    limit = max(state.usual_loss + _FAR * state.usual_spread, 2 * state.usual_loss)
    spike = state.usual_steps >= _LEARN and loss > limit
    noted = limit if spike else loss
    # a plain mean until there are enough steps for the running one
    keep = min(_KEEP, state.usual_steps / (state.usual_steps + 1))
    state.usual_spread = keep * state.usual_spread + (1 - keep) * abs(noted - state.usual_loss)
    state.usual_loss = keep * state.usual_loss + (1 - keep) * noted
    state.usual_steps += 1
    return spike
