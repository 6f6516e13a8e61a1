"""What stands round a text and between a pair, where a tokenizer has nothing of the kind.

A decoder's tokenizer joins the two texts of a pair as if they were one; with the end-of-text token after
each, the model can tell them apart. It reads its answer at the last token that is no padding: at the
end-of-text token, the same for every text, where padding is another token; where the end-of-text token also
pads, at the last token of the text itself, since the one after it passes for padding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tane import progress
from tane.tokens.tokenizer import load_tokenizer

JSON = "tokenizer.json"


def part_pairs(folder: Path) -> bool:
    """Let the tokenizer of a folder put its end-of-text token after each text, if it puts nothing anywhere;
    whether it was changed. The change stands in tokenizer.json, so it goes wherever the model goes."""
    tokenizer = load_tokenizer(folder)
    mark = tokenizer.eos_token
    if tokenizer.num_special_tokens_to_add(pair=True) or mark is None or not (folder / JSON).is_file():
        return False
    content = json.loads((folder / JSON).read_text(encoding="utf-8"))
    number = tokenizer.eos_token_id
    template: dict[str, Any] = {
        "type": "TemplateProcessing",
        "single": [_text("A", 0), _mark(mark, 0)],
        "pair": [_text("A", 0), _mark(mark, 0), _text("B", 1), _mark(mark, 1)],
        "special_tokens": {mark: {"id": mark, "ids": [number], "tokens": [mark]}},
    }
    before = content.get("post_processor")
    steps = before["processors"] if before and before["type"] == "Sequence" else [before] if before else []
    content["post_processor"] = {"type": "Sequence", "processors": [*steps, template]} if steps else template
    (folder / JSON).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    changed = bool(load_tokenizer(folder).num_special_tokens_to_add(pair=True))
    if changed:
        progress.say(f"the tokenizer parts no pairs: {mark} is put after each text")
    return changed


def _text(which: str, kind: int) -> dict[str, Any]:
    return {"Sequence": {"id": which, "type_id": kind}}


def _mark(token: str, kind: int) -> dict[str, Any]:
    return {"SpecialToken": {"id": token, "type_id": kind}}
