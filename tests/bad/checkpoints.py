"""Ways to spoil a folder with a model: rows H1 to H12 and K1 of the list of bad inputs.

Each says how opening the folder must end: `refused` with one plain message, or `read` as if nothing were odd.
What a run's own checkpoints must survive is in resumed.py.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.bad.good import CONFIG, INDEX, TOKENIZER, WEIGHTS, edit_header, edit_json, edit_tensors

OUTSIDE = "../" * 12 + "etc/passwd"


class Spoilt(NamedTuple):
    """A way to spoil a folder. said: a pattern of the message; kind: of the model that is spoilt."""

    row: str
    name: str
    spoil: Callable[[Path], object]
    result: Literal["refused", "read"] = "refused"
    said: str = ""
    kind: str = "causal"
    read_by: tuple[str, ...] = ()  # ways that heed nothing of what is spoilt


class Thing:
    """Unpickled it would leave a mark: a folder named by the variable TANE_TEST_MARK."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ.get("TANE_TEST_MARK", "/tmp/tane-test-mark"),)


def pickled() -> bytes:
    """A pickle that runs something."""
    import pickle

    return pickle.dumps({"weights": Thing()})


def torch_file() -> bytes:
    """What torch.save writes of it: a zip file with a pickle."""
    import torch

    held = io.BytesIO()
    torch.save({"weights": Thing()}, held)
    return held.getvalue()


# -------------------------------------------------------------------------------- what happens to one file


def length(value: int, name: str = WEIGHTS) -> Callable[[Path], object]:
    """The header of a safetensors file says that it is of another length."""

    def spoil(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(struct.pack("<Q", value) + data[8:])

    return spoil


def header(change: Callable[[dict[str, Any]], object], name: str = WEIGHTS) -> Callable[[Path], object]:
    return lambda folder: edit_header(folder / name, change)


def tensors(change: Callable[[dict[str, Any]], object], name: str = WEIGHTS) -> Callable[[Path], object]:
    return lambda folder: edit_tensors(folder / name, change)


def content(data: bytes | Callable[[], bytes], name: str = WEIGHTS) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data())


def config(name: str = CONFIG, **values: Any) -> Callable[[Path], object]:
    return lambda folder: edit_json(folder / name, **values)


def matrix(found: dict[str, Any]) -> str:
    """The name of a tensor inside the model's layers, which is no square matrix."""
    sizes = {name: t.shape for name, t in found.items() if ".0." in name or "/" in name or ".1." in name}
    return next(name for name in sorted(sizes) if len(sizes[name]) == 2 and len({*sizes[name]}) == 2)


def overlapping(found: dict[str, Any]) -> None:
    """Two tensors lie on the same bytes."""
    names = sorted(name for name in found if name != "__metadata__")
    first = names[0]
    other = next(n for n in names[1:] if found[n]["shape"] == found[first]["shape"])
    found[other]["data_offsets"] = found[first]["data_offsets"]


def beyond(found: dict[str, Any]) -> None:
    name = max((n for n in found if n != "__metadata__"), key=lambda n: found[n]["data_offsets"][1])
    start, end = found[name]["data_offsets"]
    found[name]["data_offsets"] = [start, end + (1 << 40)]


def said_type(found: dict[str, Any]) -> None:
    """A tensor of fp32 is said to be of fp64."""
    name = sorted(n for n in found if n != "__metadata__")[0]
    found[name]["dtype"] = "F64"


def as_type(kind: str) -> Callable[[dict[str, Any]], object]:
    """A matrix in another type of number."""

    def change(found: dict[str, Any]) -> None:
        import torch

        name = matrix(found)
        found[name] = (found[name] * 100).to(getattr(torch, kind))

    return change


def transposed(found: dict[str, Any]) -> None:
    name = matrix(found)
    found[name] = found[name].T.contiguous()


def one_row(found: dict[str, Any]) -> None:
    """A matrix with one row, which would be copied to all rows if nobody looked."""
    name = matrix(found)
    found[name] = found[name][:1].contiguous()


def without(part: str) -> Callable[[dict[str, Any]], object]:
    """Take tensors with `part` in their name out."""

    def change(found: dict[str, Any]) -> None:
        for name in [n for n in found if part in n]:
            del found[name]

    return change


def one_more(found: dict[str, Any]) -> None:
    import torch

    found["somebody.elses.weight"] = torch.ones(3)


def more_layers(found: dict[str, Any]) -> None:
    """The file has a third layer, which the configuration does not tell of."""
    for name in [n for n in found if ".1." in n]:
        found[name.replace(".1.", ".2.")] = found[name].clone()


def value(number: float, kind: str = "float32") -> Callable[[dict[str, Any]], object]:
    """One value of a matrix becomes this."""

    def change(found: dict[str, Any]) -> None:
        import torch

        name = matrix(found)
        found[name] = found[name].to(getattr(torch, kind))
        found[name].view(-1)[3] = number

    return change


def index(found: Any, *, keep: bool = False) -> Callable[[Path], object]:
    """An index of the weights; keep: beside the weights, else instead of them."""

    def spoil(folder: Path) -> None:
        (folder / INDEX).write_text(json.dumps(found), encoding="utf-8")
        if not keep:
            (folder / WEIGHTS).unlink()

    return spoil


def renamed(name: str, data: Callable[[], bytes]) -> Callable[[Path], object]:
    """Another file in the place of the weights."""

    def spoil(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / name).write_bytes(data())

    return spoil


def polyglot(before: bool) -> Callable[[Path], object]:
    """A zip file and the weights in one file; before: the zip file comes first."""

    def spoil(folder: Path) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as archive:
            archive.writestr("archive/data.pkl", pickled())
        data = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(held.getvalue() + data if before else data + held.getvalue())

    return spoil


def head_alone(folder: Path) -> None:
    """The tied weights stand in the file under the name of the output, not of the input."""

    def change(found: dict[str, Any]) -> None:
        found["lm_head.weight"] = found.pop("transformer.wte.weight")

    edit_tensors(folder / WEIGHTS, change)


def untied(folder: Path) -> None:
    """The configuration says that input and output differ, and the file has the input alone."""
    edit_json(folder / CONFIG, tie_word_embeddings=False)


def longer_vocabulary(folder: Path) -> None:
    """The tokenizer has more pieces than the model has rows."""
    found = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    vocabulary = found["model"]["vocab"]
    vocabulary.update({f"##{letter}の": len(vocabulary) + n for n, letter in enumerate("猫犬鳥魚")})
    vocabulary.update({"海猫": len(vocabulary)})
    (folder / TOKENIZER).write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


# ------------------------------------------------------------------------------------------------ the table

ROWS = "rows, but .* pieces|pieces, but .* rows"
DAMAGED = r"model\.safetensors cannot be read: no sound safetensors file"
FOLDERS: list[Spoilt] = [
    Spoilt("H1", "header_2_63", length(1 << 63), said=DAMAGED),
    Spoilt("H1", "header_2_64", length((1 << 64) - 1), said=DAMAGED),
    Spoilt("H1", "header_of_a_terabyte", length(1 << 40), said=DAMAGED),
    Spoilt("H1", "header_longer_than_the_file", length(1 << 20), said=DAMAGED),
    Spoilt("H1", "header_no_json", content(struct.pack("<Q", 8) + b"nonsense"), said=DAMAGED),
    Spoilt("H1", "header_nested", content(struct.pack("<Q", 200_000) + b"[" * 200_000), said=DAMAGED),
    Spoilt("H2", "overlapping", header(overlapping), said=DAMAGED),
    Spoilt("H2", "beyond_the_end", header(beyond), said=DAMAGED),
    Spoilt("H3", "said_to_be_fp64", header(said_type), said=DAMAGED),
    Spoilt("H3", "integers", tensors(as_type("int32")), said="holds I32; expected floating point"),
    Spoilt("H3", "bytes", tensors(as_type("int8")), said="holds I8; expected floating point"),
    Spoilt("H3", "booleans", tensors(as_type("bool")), said="holds BOOL; expected floating point"),
    Spoilt("H3", "complex", tensors(as_type("complex64")), said="holds C64; expected floating point"),
    Spoilt("H3", "fp8", tensors(as_type("float8_e4m3fn")), said="holds F8_E4M3; expected floating point"),
    Spoilt("H3", "fp16", tensors(as_type("float16")), "read"),
    Spoilt("H3", "fp64", tensors(as_type("float64")), "read"),
    Spoilt("H3", "transposed", tensors(transposed), said="have another shape"),
    Spoilt("H3", "one_row", tensors(one_row), said="have another shape"),
    Spoilt("H3", "wider", config(n_embd=32), said="have another shape"),
    Spoilt("H3", "far_wider", config(n_embd=1 << 20), said="describes a model of .* numbers"),
    Spoilt("H3", "far_more_layers", config(n_layer=10**8), said="n_layer is 100,000,000"),
    Spoilt("H3", "far_more_rows", config(vocab_size=10**12), said="describes a model of .* numbers"),
    Spoilt("H3", "far_more_labels", config(num_labels=10**9), said="num_labels is 1,000,000,000"),
    Spoilt("H4", "missing", tensors(without("h.1.attn.c_attn.weight")), said="are missing"),
    Spoilt("H4", "all_missing", tensors(lambda found: found.clear()), said="are missing"),
    Spoilt("H4", "fewer_layers", config(n_layer=3), said="are missing"),
    Spoilt("H4", "one_more", tensors(one_more), "read"),
    Spoilt("H4", "more_layers", tensors(more_layers), said="layers that config.json does not tell of"),
    Spoilt("H5", "nan", tensors(value(float("nan"))), said="are not finite"),
    Spoilt("H5", "infinite", tensors(value(float("-inf"))), said="are not finite"),
    Spoilt("H5", "beyond_fp32", tensors(value(1e300, "float64")), said="are not finite"),
    Spoilt("H5", "nan_fp16", tensors(value(float("nan"), "bfloat16")), said="are not finite"),
    Spoilt("H6", "index_outside", index({"weight_map": {"a": OUTSIDE}}), said="outside the folder"),
    Spoilt("H6", "index_beside", index({"weight_map": {"a": OUTSIDE}}, keep=True), said="outside the folder"),
    Spoilt("H6", "index_absolute", index({"weight_map": {"a": "/etc/passwd"}}), said="outside the folder"),
    Spoilt("H6", "index_list", index([], keep=True), said="expected a JSON object"),
    Spoilt("H6", "index_number", index({"weight_map": {"a": 3}}, keep=True), said="not the index that"),
    Spoilt("H6", "index_empty", index({"weight_map": {}}, keep=True), said="not the index that"),
    Spoilt("H6", "index_without_map", index({"metadata": {}}, keep=True), said="not the index that"),
    Spoilt("H6", "index_of_nothing", index({"weight_map": {"a": "no.safetensors"}}), said="has no weights"),
    Spoilt("H6", "index_of_a_pickle", lambda folder: (
        index({"weight_map": {"a": "a.bin"}})(folder), content(pickled, "a.bin")(folder)),
        said="not the index that"),
    Spoilt("H7", "pickle", content(pickled), said=r"model\.safetensors is a pickle, .*does not read"),
    Spoilt("H7", "torch", content(torch_file), said=r"model\.safetensors is a zip file"),
    Spoilt("H7", "pytorch_model", renamed("pytorch_model.bin", torch_file), said="is a pickle, which tane"),
    Spoilt("H7", "model_pt", renamed("model.pt", pickled), said="is a pickle, which tane"),
    Spoilt("H7", "numpy", content(b"\x93NUMPY\1\0" + bytes(200)), said=DAMAGED),
    Spoilt("H8", "zip_behind", polyglot(False), said=DAMAGED),
    Spoilt("H8", "zip_before", polyglot(True), said=r"model\.safetensors is a zip file"),
    Spoilt("H9", "another_kind", config(model_type="llama"), said="describes a model of"),
    Spoilt("H9", "another_head", config(architectures=["BertForMaskedLM"]), said="describes no model",
           read_by=("generate", "train")),
    Spoilt("H10", "unknown_kind", config(model_type="gpt9"), said="no model_type 'gpt9'"),
    Spoilt("H10", "no_kind", config(model_type=None), said="model type `None`"),
    Spoilt("H11", "weights_empty", content(b""), said=r"model\.safetensors is empty"),
    Spoilt("H11", "config_empty", content(b"", CONFIG), said=r"config\.json is not valid JSON"),
    Spoilt("H11", "config_list", content(b"[]", CONFIG), said="expected a JSON object"),
    Spoilt("H11", "config_nested", content(b"[" * 100_000, CONFIG), said="is not valid JSON"),
    Spoilt("H11", "config_twice", content(b'{"n_layer": 1, "n_layer": 2}', CONFIG), said="stands twice"),
    Spoilt("H11", "tokenizer_empty", content(b"", TOKENIZER), said=r"tokenizer\.json is not valid JSON"),
    Spoilt("H11", "index_file_empty", content(b"", INDEX), said="is not valid JSON"),
    Spoilt("H12", "no_rows", tensors(without("wte")), said="are missing"),
    Spoilt("H12", "head_alone", head_alone, "read"),
    Spoilt("H12", "not_tied", untied, said="are missing.*lm_head"),
    Spoilt("H12", "no_head", tensors(without("classifier")), said="are missing", kind="labels",
           read_by=("finetune",)),
    Spoilt("K1", "vocabulary", longer_vocabulary, said=ROWS),
    Spoilt("K1", "masked_vocabulary", longer_vocabulary, said=ROWS, kind="masked"),
    Spoilt("K1", "labels_vocabulary", longer_vocabulary, said=ROWS, kind="labels"),
]  # fmt: skip
