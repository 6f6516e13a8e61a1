"""What both languages of a model card must have in common."""

import re

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"\d[\d,]*(?:\.\d+)?%?")


def check_languages(card: str) -> str:
    """The Japanese part holds the parts, tables and figures of the English one; returns it."""
    english, _, japanese = card.partition("\n## 日本語\n")
    assert japanese and "[日本語](#日本語)" in english and "```" not in japanese
    english = FENCE.sub("", english.partition("\n# ")[2])
    headings = [title for title in re.findall(r"^## (.+)$", english, re.MULTILINE) if title != "Recipe"]
    assert len(headings) == len(re.findall(r"^### ", japanese, re.MULTILINE))
    ours, theirs = (re.findall(r"^\|.+\|$", part, re.MULTILINE) for part in (english, japanese))
    assert [FIGURE.findall(row) for row in ours] == [FIGURE.findall(row) for row in theirs]
    assert {*FIGURE.findall(english)} == {*FIGURE.findall(japanese)} and "{" not in japanese
    return japanese
