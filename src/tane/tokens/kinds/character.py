"""One token a character, and one a byte for the characters that are too rare to have their own.

With special tokens for masked models a rare character is unknown, as BERT's users expect, and no ids go to
bytes; else every text comes back as it was. The model is a BPE without merges: it looks each character up and
falls back to its bytes, in time linear in the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tane.tokens.kinds import Job, most_common, write_config

BYTES = [f"<0x{value:02X}>" for value in range(256)]


class Character:
    """Trains by counting."""

    bytes_per_char = 0.0

    def needs(self, job: Job) -> int:
        """About 120 bytes for each of Unicode's 150,000 assigned characters, and those of the vocabulary."""
        return 20_000_000 + 400 * job.vocab_size

    def train(self, texts: Iterable[str], job: Job) -> None:
        """Count the characters and write `tokenizer.json`."""
        from tokenizers import AddedToken, Tokenizer, decoders, models

        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        names = job.specials.tokens() + ([] if job.specials.mask else BYTES)
        names += most_common(counts, job.coverage)[: job.vocab_size - len(names)]
        vocabulary = {name: number for number, name in enumerate(names)}
        fallback = job.specials.mask is None
        model = models.BPE(vocabulary, [], unk_token=job.specials.unk, byte_fallback=fallback)
        tokenizer = Tokenizer(model)
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
        special = [AddedToken(token, special=True, normalized=False) for token in job.specials.tokens()]
        tokenizer.add_special_tokens(special)
        template = job.specials.template()
        if template is not None:
            tokenizer.post_processor = template
        tokenizer.save(str(job.folder / "tokenizer.json"))
        write_config(job.folder, job.specials)
