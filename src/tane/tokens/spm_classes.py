"""Hugging Face folders that hold a SentencePiece model and the name of a class, but no `tokenizer.json`.

Versions of transformers differ in what they make of them: version 5 rebuilds T5's with the unknown piece at 2
whatever the model says, takes a unigram model of Llama's for BPE, and leaves half-width voiced kana apart. So
the classes whose rule is known are converted here by that rule, and others are refused:

- PLAIN: the ids are SentencePiece's; added tokens follow behind (T5, Llama, Gemma, DeBERTa-v2).
- XLM-RoBERTa: four tokens first, and SentencePiece's ids from 3 on are one higher, as in fairseq.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tane import progress
from tane.errors import InputError
from tane.tokens import soundness, spm
from tane.tokens.bare import write_config
from tane.tokens.spm_model import CONTROL, UNKNOWN, Model, inexact, read

PLAIN = {
    "T5Tokenizer", "LlamaTokenizer", "GemmaTokenizer", "DebertaV2Tokenizer", "BertGenerationTokenizer",
}  # fmt: skip
XLM_ROBERTA = "XLMRobertaTokenizer"
MODEL_TYPES = {  # of config.json, where nothing else names the class
    "t5": "T5Tokenizer", "mt5": "T5Tokenizer", "llama": "LlamaTokenizer", "mistral": "LlamaTokenizer",
    "gemma": "GemmaTokenizer", "gemma2": "GemmaTokenizer", "deberta-v2": "DebertaV2Tokenizer",
    "xlm-roberta": XLM_ROBERTA,
}  # fmt: skip
_BERT = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
DEFAULTS = {  # special tokens that a class names by itself
    "T5Tokenizer": {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
    "LlamaTokenizer": {"bos": "<s>", "eos": "</s>", "unk": "<unk>"},
    "GemmaTokenizer": {"bos": "<bos>", "eos": "<eos>", "unk": "<unk>", "pad": "<pad>"},
    "DebertaV2Tokenizer": {**_BERT, "bos": "[CLS]", "eos": "[SEP]"},
    "BertGenerationTokenizer": {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
    XLM_ROBERTA: {
        "bos": "<s>", "eos": "</s>", "unk": "<unk>", "pad": "<pad>", "cls": "<s>", "sep": "</s>",
        "mask": "<mask>",
    },
}  # fmt: skip
FLAGS = ("lstrip", "rstrip", "single_word", "special")  # of an added token
KEPT = (  # keys of a configuration that stay as they are
    "model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces", "chat_template",
    "split_special_tokens", "additional_special_tokens",
)  # fmt: skip


def model_file(folder: Path) -> Path | None:
    """The SentencePiece model of a folder, None without one. Raises InputError where there are several."""
    found = sorted(p for p in folder.iterdir() if p.name.endswith((".model", ".spm")) and p.is_file())
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise InputError(f"{folder} holds several SentencePiece models: {names}", f"name one: {found[0]}")
    return found[0] if found else None


def class_name(folder: Path, config: dict[str, Any]) -> str | None:
    """The class that a folder names, without "Fast"; None where it names none."""
    path = folder / "config.json"
    model = soundness.read_object(path, code=True) if path.is_file() else {}
    name = config.get("tokenizer_class") or model.get("tokenizer_class")
    name = name or MODEL_TYPES.get(str(model.get("model_type")))
    return None if name is None else str(name).removesuffix("Fast")


def is_known(name: str) -> bool:
    """Whether the rule of a class is known here."""
    return name in PLAIN or name == XLM_ROBERTA


def convert(folder: Path, path: Path, config: dict[str, Any], target: Path) -> None:
    """Write the folder `target` with the ids of the class that `folder` names over the model at `path`.

    Raises InputError for a model that is not sound, and for settings that change ids in other ways.
    """
    from tokenizers import AddedToken, normalizers

    name = class_name(folder, config)
    assert name is not None and is_known(name)
    for key, usual in (("add_prefix_space", True), ("split_by_punct", False)):
        if config.get(key, usual) not in (usual, None):
            raise InputError(
                f"{folder}: tokenizer_config.json has {key}: {config[key]}, which changes the ids"
            )
    model = read(path)
    model = _shifted(model) if name == XLM_ROBERTA else model
    tokenizer = spm.tokenizer_of(model)
    if config.get("do_lower_case"):
        progress.say(f"{folder.name} asks for lower case (do_lower_case): all text becomes lower case")
        steps = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(steps)

    for number, token in sorted(_added(folder, config, name, model).items()):
        flags = {key: bool(token[key]) for key in FLAGS if key in token}
        tokenizer.add_tokens([AddedToken(token["content"], normalized=False, **flags)])
        if tokenizer.token_to_id(token["content"]) != number:
            raise InputError(f"{folder}: the added token {token['content']!r} cannot have the id {number}")
    tokens = {}
    for role, (spelling, asked) in _roles(folder, config, name).items():
        if tokenizer.token_to_id(spelling) is not None:
            tokens[role] = spelling
        elif asked:
            raise InputError(f"{folder}: {role}_token is {spelling!r}, which is no piece of {path.name}")
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in dict.fromkeys(tokens.values())])
    template = _template(name, config, tokens, tokenizer)
    if template is not None:
        tokenizer.post_processor = template

    tokenizer.save(str(target / "tokenizer.json"))
    (target / "spiece.model").write_bytes(model.content)
    write_config(target, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **{f"{role}_token": token for role, token in tokens.items()},
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **{key: config[key] for key in KEPT if config.get(key) is not None},
    })  # fmt: skip


def _shifted(model: Model) -> Model:
    """XLM-RoBERTa's own order of the pieces: four tokens, the model's pieces from 3 on, and <mask>."""
    if model.pieces[:3] != ["<unk>", "<s>", "</s>"] or model.types[:3] != [UNKNOWN, CONTROL, CONTROL]:
        raise inexact(model.path, "it does not begin with <unk>, <s>, </s>, as XLM-RoBERTa's does")
    if {"<pad>", "<mask>"} & set(model.pieces):
        raise inexact(model.path, "it has a <pad> or <mask> of its own, unlike XLM-RoBERTa's")
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    del proto.pieces[:]
    for piece, kind in (("<s>", CONTROL), ("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN)):
        proto.pieces.add(piece=piece, score=0.0, type=kind)
    proto.pieces.extend(model.proto.pieces[3:])
    proto.pieces.add(piece="<mask>", score=0.0, type=CONTROL)
    for role, number in (("bos", 0), ("pad", 1), ("eos", 2), ("unk", 3)):
        setattr(proto.trainer_spec, f"{role}_id", number)
    return replace(
        model, content=proto.SerializeToString(), proto=proto, pieces=[p.piece for p in proto.pieces],
        scores=[p.score for p in proto.pieces], types=[p.type for p in proto.pieces],
    )  # fmt: skip


def _added(folder: Path, config: dict[str, Any], name: str, model: Model) -> dict[int, dict[str, Any]]:
    """The tokens that a folder adds, by id. Raises InputError where they contradict the model's pieces."""
    listed = config.get("added_tokens_decoder")
    path = folder / "added_tokens.json"
    if not isinstance(listed, dict):
        tokens = soundness.read_object(path) if path.is_file() else {}
        if not all(isinstance(number, int) for number in tokens.values()):
            raise InputError(f"{path}: expected a number for each token")
        listed = {number: {"content": token} for token, number in tokens.items()}
    found: dict[int, dict[str, Any]] = {}
    for number, token in listed.items():
        content = token.get("content") if isinstance(token, dict) else None
        if not str(number).isdecimal() or not isinstance(content, str):
            raise InputError(f"{folder}: the added token {number!r} is not written as transformers writes it")
        found[int(number)] = token
    size = len(model.pieces)
    for number, token in found.items():
        if number < size and model.pieces[number] != token["content"]:
            raise InputError(
                f"{folder}: the added token {token['content']!r} has the id {number}, which the model gives "
                f"to {model.pieces[number]!r}"
            )
    behind = sorted(number for number in found if number >= size)
    if behind != list(range(size, size + len(behind))):
        raise InputError(f"{folder}: the ids of its added tokens do not follow the model's {size:,} pieces")
    if name == "T5Tokenizer" and not behind and "<extra_id_0>" not in model.pieces:
        extra = config.get("extra_ids", 100)  # the class's own default
        if not isinstance(extra, int) or not 0 <= extra <= 10_000:
            raise InputError(f"{folder}: extra_ids is {extra!r} in tokenizer_config.json")
        for k in range(extra):
            found[size + k] = {"content": f"<extra_id_{extra - 1 - k}>", "special": True}
    return found


def _roles(folder: Path, config: dict[str, Any], name: str) -> dict[str, tuple[str, bool]]:
    """Special tokens by role, and whether the folder itself names them."""
    path = folder / "special_tokens_map.json"
    own = {**(soundness.read_object(path) if path.is_file() else {}), **config}
    found: dict[str, tuple[str, bool]] = {}
    for role in spm.SPELLINGS:
        token = own.get(f"{role}_token", DEFAULTS[name].get(role))
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[role] = (token, f"{role}_token" in own)
    return found


def _template(name: str, config: dict[str, Any], tokens: dict[str, str], tokenizer: Any) -> Any:
    """What the class writes round a text with add_special_tokens=True; None for nothing."""
    from tokenizers import processors

    bos, eos, cls, sep = (tokens.get(role) for role in ("bos", "eos", "cls", "sep"))
    first = bos if config.get("add_bos_token", True) else None
    last = eos if config.get("add_eos_token", False) else None
    around = {
        "T5Tokenizer": (None, eos, None, eos),
        "LlamaTokenizer": (first, last, first, last),
        "GemmaTokenizer": (first, last, first, last),
        "DebertaV2Tokenizer": (cls, sep, None, sep),
        XLM_ROBERTA: (cls, sep, sep, sep),
    }.get(name, (None, None, None, None))
    if not any(around):
        return None
    single = " ".join(part for part in (around[0], "$A", around[1]) if part)
    second = " ".join(part for part in (around[2], "$B", around[3]) if part)
    special = [(token, tokenizer.token_to_id(token)) for token in sorted({t for t in around if t})]
    return processors.TemplateProcessing(single=single, pair=f"{single} {second}", special_tokens=special)
