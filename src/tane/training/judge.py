"""Whether what a step measured is sound: finite, not leaping, and in fp16 not beyond its range."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tane import progress
from tane.errors import DivergedError
from tane.training import spikes
from tane.training.made import Made

if TYPE_CHECKING:
    from tane.training.loop import Loop


def judge(loop: Loop, made: Made) -> bool:
    """Read a step's figures; False where its update must not be made. Raises DivergedError.

    On a GPU this comes one step late, so that it never waits; what such a step did is never saved.
    """
    state, world = loop.state, loop.world
    nats, norm = made.read()
    made.nats_of_all, loop.norm = world.sum(nats)[0], norm
    loss_finite, norm_finite = math.isfinite(made.nats_of_all), math.isfinite(norm)
    if loop.runtime.precision == "fp16" and loss_finite and not norm_finite and state.loss_scale > 1:
        # an overflow of fp16, not of the training
        state.loss_scale, state.good_steps = state.loss_scale / 2, 0
        return False
    lower = f"lower the learning rate: --optim.lr {loop.optim.lr / 3:.2g}"
    left = "nothing of it was saved" if loop.delayed else "nothing was updated"
    left += f", the newest checkpoint is of step {loop.saved_step}"
    if not (loss_finite and norm_finite):
        what, ids = "loss" if not loss_finite else "gradient", loop.work.ids(made.step - 1)[:8]
        told = f"the {what} is not finite at step {made.step} ({ids}...); {left}"
        raise world.alike(DivergedError(told, lower))
    loss = made.nats_of_all / made.targets
    if spikes.leaps(state, loss):
        told = spikes.words(state, loss, made.step)
        loop.tracker.event("spike", made.step, loss=loss, usual=state.usual_loss)
        if loop.plan.stop_on_spike:
            way = f"{lower}; to train on all the same: --train.stop-on-spike false"
            raise world.alike(DivergedError(f"{told}; {left}", way))
        progress.say(f"warning: {told}; training goes on (--train.stop-on-spike true stops there)")
    return True
