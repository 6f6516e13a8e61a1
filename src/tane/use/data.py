"""`tane data`: look into a text before anything is made of it: documents, scripts, duplicates, examples."""

from __future__ import annotations

from collections.abc import Sequence

from tane.errors import InputError
from tane.settings import build
from tane.text.corpus import CorpusSettings
from tane.text.survey import report, survey
from tane.types import Result

__all__ = ["data", "report"]


def data(
    *inputs: str,
    column: str | Sequence[str] | None = None,
    unit: str | None = None,
    encoding: str = "auto",
    normalize: str = "none",
    split: str | None = None,
    head: int = 3,
) -> Result:
    """What a text holds: `metrics` are those of `text.survey.survey`; `report(metrics)` puts them on a page.

    inputs: as in `corpus.inputs`; split: of a saved dataset or hub data set; normalize: none looks at the
    text as it stands in the files. head: so many documents are shown. Equal documents are counted and shown
    as duplicates; nothing is put aside for validation. Writes nothing. Raises InputError as a corpus does.
    """
    if head < 0:
        raise InputError(f"--head: expected 0 or more, found {head}")
    named = [{"path": path, **({"split": split} if split else {})} for path in inputs]
    values = {
        "inputs": named, "column": column if column is None or isinstance(column, str) else list(column),
        "unit": unit, "encoding": encoding, "normalize": normalize,
        "valid_fraction": 0.0,
    }  # fmt: skip
    return Result(None, survey(build(CorpusSettings, values, "data"), head=head))
