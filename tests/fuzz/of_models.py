"""The readers of model folders and checkpoints. All import torch; the models are as small as can be."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tane.errors import IntegrityError
from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.reader import Reader, inside
from tests.tokens import make_bad_tokenizers as bad

SMALL = {"vocab_size": 16, "n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 16}
WORDS = {"猫": 5, "犬": 6, "が": 7, "走": 8, "る": 9}
CONTENT = (mutate, damages.json_values, damages.json_values)
WEIGHTS = (damages.header_values, damages.steady, mutate)


# ------------------------------------------------------------------------------------------- model folders


def _decoder(shards: bool, folder: Path) -> None:
    """A GPT-2 with a tokenizer, its weights in one file or in two with an index."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SMALL, bos_token_id=1, eos_token_id=1, pad_token_id=1))
    bad.folder(bad.unigram(), None)(folder / "model")
    model.save_pretrained(folder / "model", max_shard_size=3_000 if shards else "1GB")


def _generate(path: Path) -> object:
    from tane.use.generate import generate

    return generate(path.parent, ["あい", ""], max_new_tokens=2, greedy=True, device="cpu").metrics["texts"]


def _classifier(folder: Path) -> None:
    """A BERT with labels, and the note of what it was trained for."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, **WORDS}
    inner = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    roles = {f"{name[1:-1].lower()}_token": name for name in list(pieces)[:5]}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=16, **roles).save_pretrained(
        folder / "model"
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16, id2label={0: "負", 1: "正"}, label2id={"負": 0, "正": 1},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder / "model")
    note = {
        "kind": "classification",
        "text": "text",
        "label": "label",
        "label_names": ["負", "正"],
        "max_length": 16,
    }
    (folder / "model" / "task.json").write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")


def _answer(path: Path) -> object:
    from tane.tasks.examples import Example
    from tane.use.classifier import open_classifier

    opened = open_classifier(path.parent, device="cpu", threads=1)
    return opened.names, opened.column_hint, opened.texts, Example


def _predict(path: Path) -> object:
    from tane.use.predict import predict

    return predict(path.parent, ["猫が走る", "犬"], device="cpu").metrics


def _masked(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    _classifier(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    (folder / "model" / "task.json").unlink()
    BertForMaskedLM(config).save_pretrained(folder / "model")


def _fill(path: Path) -> object:
    from tane.use.fill import fill_mask

    return fill_mask(path.parent, ["猫が[MASK]る"], device="cpu").metrics


def _export(path: Path) -> object:
    """Exports the folder: a copy, its card, the checks of both."""
    import tempfile

    from tane.use.export import export

    with tempfile.TemporaryDirectory() as place:
        return export(path.parent, Path(place) / "out")


def _of(make: Callable[[Path], None], *names: str) -> Any:
    return inside(make, *(f"model/{name}" for name in names))


ONE, TWO = functools.partial(_decoder, False), functools.partial(_decoder, True)
FOLDERS = (
    Reader(
        "config.json",
        _of(ONE, "config.json", "generation_config.json"),
        _generate,
        ("tane.model.build", "tane.model.folder"),
        CONTENT,
        torch=True,
    ),
    Reader(
        "model.safetensors",
        _of(ONE, "model.safetensors"),
        _generate,
        ("tane.model.build", "tane.model.folder"),
        WEIGHTS,
        torch=True,
    ),
    Reader(
        "index.json",
        _of(TWO, "model.safetensors.index.json", "model-00001-of-00002.safetensors"),
        _generate,
        ("tane.model.build", "tane.model.folder"),
        (mutate, damages.json_values, damages.steady),
        torch=True,
    ),
    Reader(
        "task.json",
        _of(_classifier, "task.json", "config.json"),
        _predict,
        ("tane.use.classifier", "tane.model.task_head"),
        CONTENT,
        torch=True,
    ),
    Reader(
        "masked",
        _of(_masked, "config.json", "tokenizer_config.json"),
        _fill,
        ("tane.use.masked",),
        CONTENT,
        torch=True,
    ),
    Reader(
        "export",
        _of(_classifier, "task.json", "config.json", "tokenizer_config.json"),
        _export,
        ("tane.use.card", "tane.use.export"),
        CONTENT,
        torch=True,
    ),
)


# --------------------------------------------------------------------------------------------- checkpoints


@functools.cache
def _parts(tokenizer: Path, adapters: bool) -> Any:
    """A model of one layer and its optimizer, one step old."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from tane.training.checkpoint import Parts

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**SMALL, bos_token_id=1, eos_token_id=1, pad_token_id=1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model(input_ids=torch.tensor([[1, 2]]), labels=torch.tensor([[1, 2]])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return Parts(model, [optimizer], tokenizer, 16, {"data": "d", "settings": "s"})


def _checkpoint(folder: Path) -> None:
    from tane.training import checkpoint
    from tane.types import TrainState

    bad.folder(bad.unigram(), None)(folder / "tok")
    step = checkpoint.save(
        folder, _parts(folder / "tok", False), TrainState(step=3, tokens=10, valid={"loss": 2.0})
    )
    shutil.move(step, folder / "step")


def _load(path: Path) -> object:
    """Goes on from a checkpoint whose files were not hashed again (`--verify fast`)."""
    from tane.training import checkpoint

    folder = next(p for p in path.parents if p.name == "step")
    run = folder.parent / "run"
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    place = checkpoint.folder_of(run, 3)
    if not place.is_symlink():
        place.symlink_to(folder)
    try:
        return checkpoint.load(run, 3, _parts(folder.parent / "tok", False))
    except IntegrityError as error:
        if place.name in error.message:  # the folder is what a person knows
            error.message += f" ({path.name})"
        raise


def _newest(path: Path) -> object:
    """Looks for the newest checkpoint that is whole; the only one is damaged, so there is none."""
    from tane.training import checkpoint

    run = path.parents[1] / "run"
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    place = checkpoint.folder_of(run, 3)
    if not place.is_symlink():
        place.symlink_to(next(p for p in path.parents if p.name == "step"))
    found = checkpoint.newest(run, {"data": "d", "settings": "s"}, full=False, strict=False)
    return found and checkpoint.load(run, found, _parts(path.parents[1] / "tok", False))


def _verify_contents(path: Path) -> object:
    """`tane verify` of a checkpoint whose manifest was made anew after the damage: its hashes fit."""
    from tane import files
    from tane.use.verify import verify

    folder = next(p for p in path.parents if p.name == "step")
    old = files.Manifest.read(folder)
    names = {name: ((folder / name).stat().st_size, files.sha256(folder / name)) for name in old.files}
    text = files.Manifest(old.kind, names, old.meta).text()
    (folder / files.MANIFEST).write_text(text, encoding="utf-8")
    return verify(folder)


CHECKPOINTS = (
    Reader(
        "verify-contents",
        inside(
            _checkpoint,
            "step/state/state.json",
            "step/state/optimizer.safetensors",
            "step/model/model.safetensors",
            "step/model/config.json",
            "step/model/tokenizer.json",
            "step/model/tokenizer_config.json",
        ),
        _verify_contents,
        ("tane.use.contents", "tane.use.verify"),
        (mutate, damages.json_values, damages.steady),
        ends=(),
        torch=True,
    ),
    Reader(
        "checkpoint",
        inside(
            _checkpoint,
            "step/state/state.json",
            "step/state/optimizer.safetensors",
            "step/model/model.safetensors",
        ),
        _load,
        ("tane.training.checkpoint", "tane.training.contents"),
        (mutate, damages.json_values, damages.steady),
        ends=(IntegrityError,),
        torch=True,
    ),
    Reader(
        "checkpoint-header",
        inside(_checkpoint, "step/state/optimizer.safetensors", "step/model/model.safetensors"),
        _load,
        ("tane.training.checkpoint", "tane.training.contents"),
        (damages.header_values,),
        ends=(IntegrityError,),
        torch=True,
    ),
    Reader(
        "checkpoint-manifest",
        inside(_checkpoint, "step/manifest.json"),
        _newest,
        ("tane.training.checkpoint", "tane.training.contents"),
        (mutate, damages.sealed),
        ends=(IntegrityError,),
        torch=True,
    ),
)

READERS: tuple[Reader, ...] = (*FOLDERS, *CHECKPOINTS)
