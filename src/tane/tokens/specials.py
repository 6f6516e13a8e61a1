"""The special tokens of a trained tokenizer; the objective names the set it needs.

A set's tokens take the first ids, in the order of its fields. In a text that is trained on they are never
found: what looks like one stays text.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Specials(NamedTuple):
    """The spellings of the special tokens; None: the set has no such token."""

    pad: str
    eos: str | None
    unk: str
    cls: str | None = None
    sep: str | None = None
    mask: str | None = None

    def tokens(self) -> list[str]:
        """The tokens in the order of their ids, which start at 0."""
        return [token for token in self if token is not None]

    def id(self, token: str) -> int:
        """The id of one of the tokens."""
        return self.tokens().index(token)

    def config(self) -> dict[str, Any]:
        """What `tokenizer_config.json` says of them, and on which side batches are padded."""
        named = {f"{role}_token": token for role, token in self._asdict().items() if token is not None}
        side = "right" if self.cls else "left"  # a causal model goes on at the right end
        # "</s>" inside a text is text; but who asks for a fill writes "[MASK]", which must then be the mask
        as_text = {} if self.mask else {"split_special_tokens": True}
        return {**named, "padding_side": side, **as_text}

    def template(self) -> Any:
        """The post-processor of `tokenizers` for add_special_tokens=True: [CLS] a [SEP] b [SEP], or None."""
        if self.cls is None or self.sep is None:
            return None
        from tokenizers import processors

        return processors.TemplateProcessing(
            single=f"{self.cls} $A {self.sep}",
            pair=f"{self.cls} $A {self.sep} $B:1 {self.sep}:1",
            special_tokens=[(token, self.id(token)) for token in (self.cls, self.sep)],
        )


CAUSAL = Specials(pad="<pad>", eos="</s>", unk="<unk>")
MASKED = Specials(pad="[PAD]", eos=None, unk="[UNK]", cls="[CLS]", sep="[SEP]", mask="[MASK]")
