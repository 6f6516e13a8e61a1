"""Batches that are made ahead are those that would be made."""

import threading

import torch

from tane.training.ahead import Ahead, Pieces
from tane.types import Batch


def pieces(step: int) -> Pieces:
    return [(0, Batch({"input_ids": torch.full((1, 2), step)}, torch.zeros(1, 2), 2, 2))]


def test_each_step_gets_its_own_and_the_next_one_is_made_by_another_thread() -> None:
    made: list[tuple[int, str]] = []

    def make(step: int) -> Pieces:
        made.append((step, threading.current_thread().name))
        return pieces(step)

    ahead = Ahead(make, on=True)
    for step in (3, 4, 9, 10):  # a jump, as after a resume
        assert ahead(step)[0][1].inputs["input_ids"].tolist() == [[step, step]]
        ahead.begin(step + 1)
        ahead.begin(step + 1)  # begun already
    ahead.forget()
    assert ahead(11)[0][1].inputs["input_ids"][0, 0] == 11
    ahead.close()
    here = threading.current_thread().name
    assert [step for step, name in made if name == here] == [3, 9, 11]
    assert {4, 10} <= {step for step, name in made if name != here}


def test_off_it_makes_what_is_asked_for_alone() -> None:
    made: list[int] = []
    ahead = Ahead(lambda step: (made.append(step), pieces(step))[1], on=False)
    ahead(1), ahead(2)
    ahead.close()
    assert made == [1, 2]
