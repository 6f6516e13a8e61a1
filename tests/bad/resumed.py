"""Ways to spoil the newest checkpoint of a run: rows H1 to H12, for `tane train` that would resume from it.

`fallback`: a warning that names it, the checkpoint before it, and the weights of a run that nothing befell.
`refused`: exit 4. Either way nothing of it is ever taken. A signed one has a manifest that fits what is in
it, so that hashes alone would let it pass.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.bad import checkpoints as bad
from tests.bad.good import edit_header, edit_tensors

STEPS, LONGER = 6, 8
MODEL, OPTIMIZER, STATE = "model/model.safetensors", "state/optimizer.safetensors", "state/state.json"


class Damaged(NamedTuple):
    """A way to spoil a checkpoint folder. said: a pattern of what is said of it."""

    row: str
    name: str
    spoil: Callable[[Path], object]
    signed: bool
    said: str
    result: Literal["fallback", "refused"] = "fallback"


def recipe(folder: Path, text: Path) -> list[str]:
    """The command line of a run that keeps a checkpoint every other step."""
    values = {
        "corpus": {"inputs": [str(text)], "valid_fraction": 0.1},
        "tokenizer": {"kind": "character", "vocab_size": 400},
        "model": {"config": {"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2}},
        "objective": {"name": "causal", "block_size": 16},
        "optim": {"name": "adamw", "schedule": {"name": "constant"}},
        "train": {
            "batch_tokens": 64, "eval_every": "100 steps", "save_every": "2 steps", "keep": 3, "threads": 1,
            "precision": "fp32", "tensorboard": False,
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    return ["train", str(path), "--data-dir", str(folder / "data")]


def sign(folder: Path) -> None:
    """Write the manifest anew, so that it fits the files as they are."""
    from tane.files import MANIFEST, Manifest, listing, sha256

    old = Manifest.read(folder)
    files = {name: ((folder / name).stat().st_size, sha256(folder / name)) for name in listing(folder)}
    manifest = Manifest(old.kind, files, old.meta, old.format_version)
    (folder / MANIFEST).write_text(manifest.text(), encoding="utf-8")


def edit_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Change a manifest's body; its hash of itself fits."""

    def spoil(folder: Path) -> None:
        from tane.files import MANIFEST, digest

        body = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        del body["self"]
        change(body)
        body["self"] = digest(body)
        (folder / MANIFEST).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", "utf-8")

    return spoil


def tensors(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    return lambda folder: edit_tensors(folder / name, change)


def linked(folder: Path) -> None:
    """The weights are a link to the same bytes outside the run."""
    outside = folder.parent.parent.parent / f"outside-{folder.parent.parent.name}.safetensors"
    shutil.move(folder / MODEL, outside)
    (folder / MODEL).symlink_to(outside)


def replaced(name: str, data: bytes | Callable[[], bytes]) -> Callable[[Path], object]:
    return bad.content(data, name)


def of_another_run(folder: Path) -> None:
    """The manifest says that the checkpoint was made of other data."""
    edit_manifest(lambda body: body["meta"].update(data="0" * 64))(folder)


def of_another_step(folder: Path) -> None:
    """A copy of the checkpoint before under the newest one's name."""
    before = sorted(p for p in folder.parent.iterdir() if p != folder)[-1]
    shutil.rmtree(folder)
    shutil.copytree(before, folder)


SPOILT = "damaged or changed since it was written"
UNREADABLE = r"\.safetensors cannot be read"
WEIGHTS: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("H1", "header_2_63", bad.length(1 << 63, MODEL), UNREADABLE),
    ("H1", "optimizer_header_2_63", bad.length(1 << 63, OPTIMIZER), UNREADABLE),
    ("H2", "overlapping", lambda f: edit_header(f / MODEL, bad.overlapping), UNREADABLE),
    ("H2", "optimizer_beyond", lambda f: edit_header(f / OPTIMIZER, bad.beyond), UNREADABLE),
    ("H3", "integers", tensors(MODEL, bad.as_type("int32")), "expected floating point"),
    ("H3", "optimizer_booleans", tensors(OPTIMIZER, bad.as_type("bool")), "expected floating point"),
    ("H5", "nan", tensors(MODEL, bad.value(float("nan"))), "is not finite"),
    ("H5", "optimizer_infinite", tensors(OPTIMIZER, bad.value(float("inf"))), "is not finite"),
    ("H7", "pickle", replaced(MODEL, bad.pickled), UNREADABLE),
    ("H7", "optimizer_torch", replaced(OPTIMIZER, bad.torch_file), UNREADABLE),
    ("H8", "zip_behind", lambda f: (f / MODEL).open("ab").write(bad.torch_file()), UNREADABLE),
    ("H11", "empty", replaced(MODEL, b""), UNREADABLE),
    ("H11", "optimizer_empty", replaced(OPTIMIZER, b""), UNREADABLE),
]
FITTING: list[tuple[str, str, Callable[[Path], object], str]] = [  # sound files of a model of another shape
    ("H3", "fp64", tensors(MODEL, bad.as_type("float64")), "other shapes or types than the model"),
    ("H3", "transposed", tensors(MODEL, bad.transposed), "other shapes or types than the model"),
    ("H3", "one_row", tensors(MODEL, bad.one_row), "other shapes or types than the model"),
    ("H3", "optimizer_one_row", tensors(OPTIMIZER, bad.one_row), "does not fit the parameter"),
    ("H4", "missing", tensors(MODEL, bad.without("h.1.attn.c_attn.weight")), "do not fit the model"),
    ("H4", "one_more", tensors(MODEL, bad.one_more), "do not fit the model"),
    ("H4", "optimizer_missing", tensors(OPTIMIZER, bad.without("h.1.attn.c_attn.weight")), "does not fit"),
    ("H9", "another_step", of_another_step, "holds the state of step"),
    ("H11", "state_empty", replaced(STATE, b""), "cannot be read"),
    ("H11", "state_list", replaced(STATE, b"[]"), "cannot be read"),
    ("H12", "no_rows", tensors(MODEL, bad.without("wte")), "do not fit the model"),
]
CHECKPOINTS: list[Damaged] = [
    *(Damaged(row, name, spoil, True, said) for row, name, spoil, said in WEIGHTS),
    *(Damaged(row, name, spoil, False, SPOILT) for row, name, spoil, _ in [*WEIGHTS, *FITTING]
      if name != "another_step"),
    *(Damaged(row, name, spoil, True, said, "refused") for row, name, spoil, said in FITTING),
    Damaged("H6", "linked", linked, False, SPOILT),
    Damaged("H6", "linked_signed", linked, True, SPOILT),
    Damaged("H6", "manifest_outside", edit_manifest(
        lambda body: body["files"].update({bad.OUTSIDE: [1, "0" * 64]})), False, "damaged"),
    Damaged("H9", "another_run", of_another_run, False, "belongs to another run", "refused"),
    Damaged("H9", "another_kind", edit_manifest(lambda body: body.update(kind="export")), False,
            "holds a export|holds an export|not a checkpoint"),
    Damaged("H10", "newer", edit_manifest(lambda body: body.update(format_version=99)), False,
            "has format version 99"),
    Damaged("H11", "manifest_empty", replaced("manifest.json", b""), False, "is damaged"),
    Damaged("H11", "config_empty", replaced("model/config.json", b""), False, SPOILT),
]  # fmt: skip


def spoil(damaged: Damaged, folder: Path) -> None:
    """Spoil a checkpoint folder, and sign it where that is asked for."""
    damaged.spoil(folder)
    if damaged.signed:
        sign(folder)


def result_of(run: Path) -> bytes:
    """The weights of the last step."""
    return (run / "checkpoints" / f"step-{LONGER:09d}" / MODEL).read_bytes()
