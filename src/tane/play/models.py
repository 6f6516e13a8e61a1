"""The models of a playground: each is opened once, by what it can do, and answers one request at a time.

What they answer is what `tane generate`, `fill` and `predict` give for the same text and settings.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from tane.errors import InputError
from tane.model.build import find_model, positions
from tane.play.cutting import Cutter
from tane.play.jobs import Job
from tane.play.requests import Fill, Generate, Label
from tane.use.classifier import Classifier, is_classifier, open_classifier
from tane.use.fill import Filler, find_masks
from tane.use.generate import Sampling, Writer, require_prompts
from tane.use.given import require_unicode
from tane.use.masked import is_masked
from tane.use.predict import label

MOST_MASKS = 16  # of one request
# what may still change at the end of a text: space, and what stands for bytes that make no whole character
UNSETTLED = re.compile(r"[\s\ufffd]+\Z")


class Player(Protocol):
    """A model that is open. name: as it was given; does: what it can do; cutter: its tokenizer at work."""

    name: str
    does: str
    cutter: Cutter

    def about(self) -> dict[str, Any]:
        """What the page tells of it, and needs to know."""
        ...

    def answer(self, asked: Any, job: Job) -> dict[str, Any]:
        """The answer to a request of its kind."""
        ...


def open_player(name: str, device: str = "auto") -> Player:
    """Open a MODEL. Raises InputError for one that cannot be played with."""
    folder = find_model(name)
    if is_classifier(folder):
        return Labeller(name, device)
    return Blanks(name, device) if is_masked(folder) else Author(name, device)


def _about(name: str, network: Any, cutter: Cutter, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "family": str(network.config.model_type), "positions": positions(network),
        "parameters": sum(p.numel() for p in network.parameters()), "pieces": cutter.pieces, **more,
    }  # fmt: skip


class Author:
    """A causal model: it goes on with a text."""

    does = "generate"

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.writer = Writer(name, device)
        self.cutter = Cutter(self.writer.folder)

    def about(self) -> dict[str, Any]:
        """As Player says."""
        return _about(self.name, self.writer.network, self.cutter, does=self.does)

    def answer(self, asked: Generate, job: Job) -> dict[str, Any]:
        """{text, tokens, seconds, end: "eos", "length" or "stopped", and where the prompt was cut {cut: its
        tokens, read: those that were read}}; meanwhile {"text": more} or, where what was told changes,
        {"all": all of it}."""
        how = Sampling(
            asked.max_new_tokens, asked.temperature, asked.top_k, asked.top_p, asked.repetition_penalty,
            asked.seed, asked.greedy,
        )  # fmt: skip
        require_prompts([asked.prompt])
        prompt = self.writer.prompts([asked.prompt])[0]
        unfolding = Unfolding(self.writer.encoder.decode)

        def watch(ids: list[int]) -> bool:
            event = unfolding.grow(ids)
            if event:
                job.tell({**event, "tokens": len(ids)})
            return job.cancelled

        begin = time.monotonic()
        ids = self.writer.go_on(prompt, how, watch=watch)[0]
        found: dict[str, Any] = {
            "text": self.writer.encoder.decode(ids), "tokens": len(ids),
            "seconds": time.monotonic() - begin, "end": self._end(ids, job),
        }  # fmt: skip
        if prompt.total > len(prompt.ids):
            found |= {"cut": prompt.total, "read": len(prompt.ids)}
        return found

    def _end(self, ids: list[int], job: Job) -> str:
        if ids[-1:] == [self.writer.encoder.eos_id]:
            return "eos"
        return "stopped" if job.cancelled else "length"


class Unfolding:
    """The text of ids that grow. What may still change is held back: a character whose bytes have not all
    come, and white space at the end, which some decoders take away again."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self.decode = decode
        self.told = ""

    def grow(self, ids: list[int]) -> dict[str, str]:
        """What is new: {"text": more}, {"all": the whole text} where an earlier part changed, or {}."""
        certain = UNSETTLED.sub("", self.decode(ids))
        before, self.told = self.told, certain
        if certain.startswith(before):
            more = certain[len(before) :]
            return {"text": more} if more else {}
        return {"all": certain}


class Blanks:
    """A masked model: it fills masks."""

    does = "fill"

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.filler = Filler(name, device)
        self.cutter = Cutter(self.filler.folder, self.filler.tokenizer)

    def about(self) -> dict[str, Any]:
        """As Player says."""
        return _about(self.name, self.filler.network, self.cutter, does=self.does)

    def answer(self, asked: Fill, job: Job) -> dict[str, Any]:
        """{fills: for each mask [{token, score, text}], and cut: tokens of a text that is too long}."""
        require_unicode("the text", [asked.text])
        masks = len(find_masks([asked.text], self.filler.tokenizer))
        if masks > MOST_MASKS:
            raise InputError(f"the text has {masks:,} masks: at most {MOST_MASKS} are filled at once")
        found = self.filler.fill(
            [asked.text], top_k=asked.top_k, whole_word=asked.whole_word, left=lambda: job.cancelled
        )
        return {"fills": found.fills, **({"cut": found.cut[0]} if found.cut else {})}


class Labeller:
    """A model with the head of a task: it gives labels."""

    does = "label"

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.device = device
        self.opened: dict[bool, Classifier] = {False: open_classifier(name, device=device)}
        self.cutter = Cutter(self.opened[False].folder)

    def about(self) -> dict[str, Any]:
        """As Player says; task, texts: what it reads (1 or 2, choices: 3), optional: whether the second text
        may be left out, several: whether each label holds or not by itself."""
        one = self.opened[False]
        choices = one.task.kind == "multiple-choice"
        more = {
            "task": one.task.kind, "texts": 3 if choices else len(one.texts), "several": one.several,
            "optional": not one.given and one.task.kind in ("classification", "regression"),
        }  # fmt: skip
        return _about(self.name, one.model, self.cutter, does=self.does, **more)

    def answer(self, asked: Label, job: Job) -> dict[str, Any]:
        """{label, scores, and of some tasks words or answer, as `tane predict` gives them}, and cut: true
        where the text is longer than what the model reads."""
        require_unicode("the text", [asked.text, asked.pair or "", *asked.choices])
        two = asked.pair is not None and self.about()["optional"]
        if two not in self.opened:
            self.opened[two] = open_classifier(self.name, pairs=two, device=self.device)
        seconds = list(asked.choices) or (None if asked.pair is None else [asked.pair])
        found, cut = label(self.opened[two], [asked.text], seconds)
        return {**found[0], **({"cut": True} if cut else {})}
