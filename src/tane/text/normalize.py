"""The normalisers: named functions with versions, each telling how many characters it took away.

none leaves the text, nfc and nfkc are Unicode's forms (NFKC: ｶﾞ to ガ, Ａ to A, ① to 1, the full-width space
to a space), aozora reads a whole Aozora Bunko file (see aozora.py) and ends with NFC. A version changes
whenever the same input would give other text; it stands in the corpus's fingerprint, with the version of
Python's Unicode tables.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

Name = Literal["none", "nfc", "nfkc", "aozora"]
VERSIONS: dict[str, str] = {"none": "1", "nfc": "1", "nfkc": "1", "aozora": "2"}
FORMS: dict[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}
# these read a file of plain text as one; the others, and of other files all, work on each document alone
WHOLE_FILE = frozenset({"aozora"})


def version(name: str) -> dict[str, str]:
    """What identifies a normaliser's result: its version and that of the Unicode tables."""
    tables = {} if name == "none" else {"unidata": unicodedata.unidata_version}
    return {"name": name, "version": VERSIONS[name], **tables}


def normalize(text: str, name: str) -> tuple[str, dict[str, int]]:
    """(normalised text, characters taken away by part; negative where some were added) of one whole text."""
    if name == "aozora":
        from tane.text.aozora import clean

        cleaned = clean(text)
        return cleaned.text, cleaned.removed
    form = FORMS.get(name)
    if form is None or unicodedata.is_normalized(form, text):
        return text, {}
    after = unicodedata.normalize(form, text)
    return after, {name: len(text) - len(after)} if len(text) != len(after) else {}
