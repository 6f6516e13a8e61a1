"""What a stream of blocks is made of: texts that can be read again, and a function that encodes them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch.utils.data

from tane.text.encoding import Decoder
from tane.text.raw import Raw, require_regular
from tane.tokens.turns import require

BOM = "\ufeff"


class Lines:
    """The lines of a text file without their ends, read anew each time."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.path, self.encoding = path, encoding
        require_regular(path)

    def __iter__(self) -> Iterator[str]:
        raw, parts = Raw(self.path), [""]
        decoder = Decoder(raw.name, self.encoding, unpacked=raw.packing is not None)
        ends = io.IncrementalNewlineDecoder(None, translate=True)
        for chunk in chain(raw.chunks(), [None]):
            text = decoder.finish() if chunk is None else decoder.feed(chunk)
            first, *lines = str(ends.decode(text, chunk is None)).split("\n")
            parts.append(first)
            for line in lines:
                yield "".join(parts).removeprefix(BOM)  # at any line: files are put together with cat
                parts = [line]
        if any(parts):
            yield "".join(parts).removeprefix(BOM)

    def __repr__(self) -> str:
        return repr(str(self.path))


def check_texts(texts: Any) -> None:
    """Refuse what would be read wrongly, or only once."""
    name = type(texts).__name__
    one = isinstance(texts, (str, bytes, os.PathLike))
    remedy = "write texts=[text] for one text, BlockDataset.from_file(path=...) for a file"
    require(not one, f"texts is a single {name}, not a list of texts", remedy)
    once = isinstance(texts, Iterator)
    remedy = "give a list, or a function that begins anew: texts=lambda: read(...); a file to from_file"
    require(not once, f"texts is a {name}: it can be read once, a second epoch would be empty", remedy)
    readable = (callable(texts) or hasattr(texts, "__iter__")) and not isinstance(texts, Mapping)
    require(readable, f"texts is a {name}", "give a list of str, or a function that returns one")


def encoder_of(tokenizer: Any) -> Callable[[list[str]], list[list[int]]]:
    """A function that encodes texts without adding special tokens: as one by one, but faster where it can."""
    if torch.utils.data.get_worker_info():  # the threads of `tokenizers` do not survive a fork
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    library, backend = sys.modules.get("transformers"), tokenizer
    is_hf = library is not None and isinstance(tokenizer, library.PreTrainedTokenizerBase)
    if library is not None and is_hf:
        plain = library.PreTrainedTokenizerFast
        # a set with a mask finds it in texts by default, for those who ask for a fill
        as_text = tokenizer.split_special_tokens or tokenizer.mask_token is not None
        if any(getattr(type(tokenizer), n) is not getattr(plain, n) for n in ("encode", "_encode_plus")):
            # a Python tokenizer, or a class that encodes in a way of its own
            options = {"add_special_tokens": False, "verbose": False}
            options |= {"split_special_tokens": True} if as_text else {}
            return lambda texts: [tokenizer.encode(text, **options) for text in texts]
        backend = tokenizer.backend_tokenizer
    if not hasattr(backend, "encode_batch_fast"):
        return lambda texts: [[int(i) for i in tokenizer.encode(text)] for text in texts]

    def encode(texts: list[str]) -> list[list[int]]:
        cut, pad = backend.truncation, backend.padding  # still on if somebody's last call wanted them
        split = backend.encode_special_tokens
        backend.no_truncation()
        backend.no_padding()
        if is_hf:
            backend.encode_special_tokens = as_text
        try:
            return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
        finally:
            backend.encode_special_tokens = split
            if cut:
                backend.enable_truncation(**cut)
            if pad:
                backend.enable_padding(**pad)

    return encode
