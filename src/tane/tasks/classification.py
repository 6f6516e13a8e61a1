"""A class for each text: sentiment, topic, spam."""

from __future__ import annotations

from typing import Literal

from tane.settings import option
from tane.tasks.classes import ClassTask


class Classification(ClassTask):
    """Single texts."""

    kind: Literal["classification"] = option("classification", "the task: a class for each text")
