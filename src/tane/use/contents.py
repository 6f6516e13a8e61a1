"""What hashes do not tell of published folders: whether they fit one another, and weights are finite.

A file can be what was written and wrong all the same: by a fault of the program, or because somebody made a
new manifest for it. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tane.errors import IntegrityError
from tane.files import MANIFEST, Manifest, digest

Finding = tuple[str, str]  # relative path, and what is wrong with it
CHUNK = 1 << 24  # bytes read at once
EXPONENTS = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0x7F80_0000), "F16": ("<u2", 0x7C00),
             "BF16": ("<u2", 0x7F80)}  # fmt: skip
EMBEDDINGS = ("wte.weight", "word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight",
              "shared.weight")  # fmt: skip


def wrong(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """What is wrong inside a folder whose files are those that the manifest names. Raises OSError."""
    for name in sorted(manifest.files):
        if name.endswith(".safetensors"):
            yield from _weights(folder, name)
    if manifest.kind in ("checkpoint", "export"):
        yield from _model(folder, "model/" if manifest.kind == "checkpoint" else "", manifest)
    if manifest.kind == "checkpoint":
        yield from _state(folder, manifest)
    if manifest.kind == "shards":
        yield from _shards(folder, manifest)


def mapping(path: Path) -> dict[str, Any] | None:
    """The JSON mapping that a file holds, or None where it holds none. Raises OSError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


# --------------------------------------------------------------------------------------------------- models


def header(path: Path) -> dict[str, dict[str, Any]]:
    """{tensor: {dtype, shape, data_offsets}} of a safetensors file. Raises IntegrityError for any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy"):  # checks that the offsets fit the file
            pass
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(length))
    except (SafetensorError, ValueError, RecursionError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise IntegrityError(f"it is no safetensors file ({first})") from None
    return {name: told for name, told in found.items() if name != "__metadata__"}


def _weights(folder: Path, name: str) -> Iterator[Finding]:
    import numpy as np

    try:
        tensors = header(folder / name)
    except IntegrityError as error:
        yield name, error.message
        return
    with open(folder / name, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        for tensor, told in tensors.items():
            if told["dtype"] not in EXPONENTS:
                continue
            kind, mask = EXPONENTS[told["dtype"]]
            begin, end = told["data_offsets"]
            file.seek(start + begin)
            while begin < end:
                part = np.frombuffer(file.read(min(CHUNK, end - begin)), dtype=kind)
                begin += part.nbytes or end
                if bool((part & part.dtype.type(mask) == mask).any()):
                    yield name, f"{tensor} is not finite"
                    return


def _model(folder: Path, prefix: str, manifest: Manifest) -> Iterator[Finding]:
    config = f"{prefix}config.json"
    if config not in manifest.files:
        yield config, "is missing: a model folder needs it"
        return
    told = mapping(folder / config)
    if told is None:
        yield config, "it holds no JSON mapping"
        return
    rows = told.get("vocab_size")
    weights = f"{prefix}model.safetensors"
    if weights in manifest.files:
        try:
            tensors = header(folder / weights)
        except IntegrityError:
            return  # told already
        shapes = [one["shape"] for name, one in tensors.items() if name.endswith(EMBEDDINGS)]
        rows = shapes[0][0] if shapes else rows
    for name, most in _largest_ids(folder, prefix, manifest):
        if most is None:
            yield name, "it holds no tokenizer"
        elif isinstance(rows, int) and most >= rows:
            yield name, f"it has the id {most:,}, and the model's embedding {rows:,} rows"


def _largest_ids(folder: Path, prefix: str, manifest: Manifest) -> Iterator[tuple[str, int | None]]:
    """(file, its largest id or None) of the tokenizer's files of a model folder."""
    for name in (f"{prefix}tokenizer.json", f"{prefix}vocab.txt"):
        if name not in manifest.files:
            continue
        if name.endswith(".txt"):
            yield name, (folder / name).read_bytes().rstrip(b"\n").count(b"\n")
            continue
        told = mapping(folder / name) or {}
        try:
            pieces = told["model"]["vocab"]
            ids = [*pieces.values()] if isinstance(pieces, dict) else [len(pieces) - 1]
            yield name, max([*ids, *(one["id"] for one in told.get("added_tokens") or ())])
        except (KeyError, TypeError, ValueError):
            yield name, None


def _state(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    name = "state/state.json"
    told = mapping(folder / name) if name in manifest.files else None
    if told is None:
        yield name, "it holds no state of a training"
    elif told.get("step") != manifest.meta.get("step"):
        yield (
            name,
            f"it is of step {told.get('step')}, and the checkpoint of step {manifest.meta.get('step')}",
        )


# --------------------------------------------------------------------------------------------------- tokens


def _shards(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    import numpy as np

    from tane.tokens.shards import SPLITS, read_index

    meta = manifest.meta
    counts = {split: [0, 0] for split in SPLITS}  # tokens and documents
    for name in sorted(name for name in manifest.files if name.endswith(".bin")):
        index = f"{name.removesuffix('.bin')}.idx"
        if index not in manifest.files:
            yield index, f"is missing: it is the index of {name}"
            continue
        try:
            lengths, dtype = read_index(folder / index)
        except IntegrityError as error:
            yield index, error.message
            continue
        total = int(lengths.sum())
        size = (folder / name).stat().st_size
        if size != total * dtype.itemsize or str(dtype) != meta.get("dtype") or (lengths < 1).any():
            yield index, f"it does not fit {name}, which has {size:,} bytes"
            continue
        sums = counts.setdefault(name.partition("-")[0], [0, 0])
        sums[0] += total
        sums[1] += len(lengths)
        if not total:
            continue
        tokens = np.memmap(folder / name, dtype=dtype, mode="r")
        most = int(tokens.max())
        if not 0 <= int(tokens.min()) <= most < meta["vocab_size"]:
            yield name, f"it has the id {most:,}, and the tokenizer {meta['vocab_size']:,} pieces"
        elif bool((tokens[np.cumsum(lengths) - 1] != meta["eos_id"]).any()):
            yield index, f"a document of {name} does not end with the token that ends a text"
    for split, (total, documents) in counts.items():
        told = meta["splits"].get(split, {})
        if (total, documents) != (told.get("tokens", 0), told.get("documents", 0)):
            yield MANIFEST, f"{split} has {total:,} tokens in {documents:,} documents, and others are listed"


def stale(
    corpus: Manifest | None, tokenizer: Manifest | None, shards: Manifest | None, words: Manifest | None
) -> Iterator[Finding]:
    """(stage, why) of each stage of a data folder that was not made from those before it; None: not known."""
    if corpus and tokenizer and not _trained_on(tokenizer, corpus):
        yield "tokenizer", "it was trained on another corpus"
    if corpus and tokenizer and shards:
        from tane.tokens.tokenise import VERSION

        made_from = digest([corpus.fingerprint, tokenizer.fingerprint, VERSION])
        if shards.meta.get("fingerprint") != made_from:
            yield "shards", "it was made from another corpus, tokenizer or version of tane"
    if shards and words and words.meta.get("shards") != shards.fingerprint:
        yield "words", "it was made for other shards"


def _trained_on(tokenizer: Manifest, corpus: Manifest) -> bool:
    """Whether a tokenizer was trained on this corpus; one that was taken from elsewhere fits any."""
    from tane.tokens.specials import CAUSAL, MASKED

    settings = tokenizer.meta["settings"]
    if settings["path"] is not None:
        return True
    kept = {name: value for name, value in settings.items() if name != "path"}
    known = [digest([kept, list(specials), corpus.fingerprint]) for specials in (CAUSAL, MASKED)]
    return tokenizer.meta["fingerprint"] in known


def bits_fit(words: Path, of_words: Manifest, shards: Path, of_shards: Manifest) -> Iterator[Finding]:
    """Files of one bit a token that have not as many bits as the shards have tokens."""
    width = 2 if of_shards.meta["dtype"] == "uint16" else 4
    for name, (size, _) in sorted(of_words.files.items()):
        tokens = f"{name.removesuffix('.bits')}.bin"
        if size != -(-of_shards.files.get(tokens, (-1, ""))[0] // width // 8):
            yield name, f"it has not one bit for each token of {shards / tokens}"
