"""Optimizers: one file each, chosen by `optim.name`; schedules are pure functions of the step."""

NOT_PARTS = ("groups", "schedules", "sharded")
