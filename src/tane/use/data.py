"""`tane data`: look into a text before anything is made of it: documents, scripts, duplicates, examples."""

from __future__ import annotations

from typing import Unpack

from tane.errors import InputError
from tane.settings import build
from tane.text.corpus import CorpusSettings
from tane.text.inputs import HowToRead
from tane.text.survey import report, survey
from tane.types import Result

__all__ = ["data", "report"]


def data(*inputs: str, head: int = 3, **reading: Unpack[HowToRead]) -> Result:
    """What a text holds: `metrics` are those of `text.survey.survey`; `report(metrics)` puts them on a page.

    inputs: as in `corpus.inputs`; reading: column, sheet, split, format, quoting, unit, encoding, normalize,
    as in a recipe's corpus, but without `normalize` the text is looked at as it stands in the files. head: so
    many documents are shown. Equal documents are counted and shown as duplicates; nothing is put aside for
    validation. Writes nothing. Raises InputError as a corpus does.
    """
    if head < 0:
        raise InputError(f"--head: expected 0 or more, found {head}")
    given = {name: value for name, value in reading.items() if value is not None}
    values = {"inputs": list(inputs), "normalize": "none", "valid_fraction": 0.0, **given}
    return Result(None, survey(build(CorpusSettings, values, "data"), head=head))
