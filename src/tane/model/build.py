"""A model by preset, by config, or from a pretrained folder; and where a MODEL that a person names lies.

A config takes the keys of transformers' own config class and no others. What makes small models train well
and fast is filled in where the person said nothing: no dropout, one-kernel GELU, a vocabulary padded to 64.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
from pathlib import Path
from typing import Any

import torch
from pydantic import model_validator

from tane import files, hub, progress
from tane.errors import InputError, IntegrityError
from tane.model.folder import CONFIG, check_opened, check_size, check_weights, first_line, hushed, open_config
from tane.model.vocabulary import change_vocabulary
from tane.settings import Settings, option
from tane.tokens import soundness
from tane.tokens.order import key
from tane.types import Vocabulary

PRESETS: dict[str, dict[str, Any]] = {
    "gpt2-tiny": {"model_type": "gpt2", "n_layer": 4, "n_embd": 256, "n_head": 4},
    "gpt2-mini": {"model_type": "gpt2", "n_layer": 6, "n_embd": 384, "n_head": 6},
    "gpt2-medium-small": {"model_type": "gpt2", "n_layer": 8, "n_embd": 512, "n_head": 8},
    "gpt2-small": {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12},
    "llama-tiny": {
        "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 704, "tie_word_embeddings": True,
    },
    "llama-small": {
        "model_type": "llama", "num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12,
        "num_key_value_heads": 12, "intermediate_size": 2048, "tie_word_embeddings": True,
    },
    "bert-tiny": {
        "model_type": "bert", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
        "intermediate_size": 1024,
    },
    "bert-base": {
        "model_type": "bert", "num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
    "roformer-tiny": {
        "model_type": "roformer", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
        "intermediate_size": 1024, "embedding_size": 256,
    },
    "modernbert-tiny": {
        "model_type": "modernbert", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
        "intermediate_size": 384,
    },
}  # fmt: skip
# families whose positions begin after the number of the padding token, which takes a row of their table
SHIFTED = (
    "roberta", "xlm-roberta", "camembert", "roberta-prelayernorm", "xlm-roberta-xl", "data2vec-text", "esm",
    "ibert", "longformer", "luke", "mpnet",
)  # fmt: skip
PAD_TO = 64  # rows of the embedding come in multiples of this, for the matrix kernels
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout", "dropout",
             "hidden_dropout_prob", "attention_probs_dropout_prob", "activation_dropout")  # fmt: skip


class ModelSettings(Settings):
    """Which model is trained: a preset, a config, or a pretrained folder."""

    preset: str | None = option(
        None, f"a ready shape: {', '.join(PRESETS)}; none: gpt2-tiny or roformer-tiny, by the objective"
    )
    config: dict[str, Any] = option({}, "keys of the model's config class in transformers; refines a preset")
    pretrained: str | None = option(None, "go on from this model: a folder or hub id")
    keep_tokenizer: bool = option(
        True,
        "go on with the pretrained model's own tokenizer, unless tokenizer.path names one; false: with the "
        "recipe's, whose new pieces start at the mean of the old ones",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSettings:
        if self.pretrained is not None and (self.preset is not None or self.config):
            raise ValueError("give either pretrained, or preset and config")
        if self.preset is not None and self.preset not in PRESETS:
            near = difflib.get_close_matches(self.preset, PRESETS, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(PRESETS)}"
            raise ValueError(f"no preset {self.preset!r}: {hint}")
        return self

    def wanted(self, default_preset: str) -> dict[str, Any]:
        """The config keys that preset and config give together."""
        base = (
            {}
            if "model_type" in self.config and self.preset is None
            else PRESETS[self.preset or default_preset]
        )
        return {**base, **self.config}


def build_config(
    settings: ModelSettings, block_size: int, vocabulary: Vocabulary, default_preset: str = "gpt2-tiny"
) -> Any:
    """The transformers config of a new model. Raises InputError for a key that its class does not have."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    wanted = settings.wanted(default_preset)
    model_type = str(wanted.pop("model_type", ""))
    if model_type not in CONFIG_MAPPING:
        near = difflib.get_close_matches(model_type, list(CONFIG_MAPPING), 1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else "it is the name that transformers uses, such as gpt2 or llama"
        )
        raise InputError(f"model.config.model_type: unknown model {model_type!r}", hint)
    config_class = CONFIG_MAPPING[model_type]
    blank = config_class()
    names = {**{k: k for k in blank.to_dict()}, **config_class.attribute_map}
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = (
                f"did you mean model.config.{near[0]}?"
                if near
                else f"see transformers' {config_class.__name__}"
            )
            raise InputError(f"model.config: {config_class.__name__} has no key {name!r}", hint)
    soundness.check_counts("model.config", wanted, "see a preset for the usual numbers")
    given = {names[k] for k in wanted}
    defaults: dict[str, Any] = {"vocab_size": -(-vocabulary.size // PAD_TO) * PAD_TO}
    defaults |= {
        "bos_token_id": vocabulary.eos_id,
        "eos_token_id": vocabulary.eos_id,
        "pad_token_id": vocabulary.pad_id,
    }
    defaults |= {name: 0.0 for name in DROPOUTS if name in names}
    if names.get("max_position_embeddings", "max_position_embeddings") in blank.to_dict():
        more = _before_positions(model_type, vocabulary.pad_id)
        defaults[names.get("max_position_embeddings", "max_position_embeddings")] = block_size + more
    own = {"cls_token_id": vocabulary.cls_id, "sep_token_id": vocabulary.sep_id}
    defaults |= {name: number for name, number in own.items() if name in names}
    if getattr(blank, "activation_function", None) == "gelu_new":
        defaults["activation_function"] = "gelu_pytorch_tanh"  # the same function in one kernel, not seven
    try:
        config = config_class(**{k: v for k, v in defaults.items() if k not in given}, **wanted)
    except Exception as error:  # transformers validates with classes of its own
        raise InputError(f"model.config: {first_line(error)}") from None
    if config.vocab_size < vocabulary.size:
        raise InputError(
            f"model.config.vocab_size is {config.vocab_size}, but the tokenizer has {vocabulary.size} pieces",
            "leave model.config.vocab_size out",
        )
    return config


def build_model(
    settings: ModelSettings, auto_model: str, block_size: int, vocabulary: Vocabulary, seed: int,
    *, default_preset: str = "gpt2-tiny", tokenizer_dir: Path | None = None,
) -> Any:  # fmt: skip
    """A new or pretrained model in fp32 on the CPU, ready to train; weights are a function of the seed.

    tokenizer_dir: the tokenizer of the run, for a pretrained model that knows another one.
    """
    import transformers

    auto = getattr(transformers, auto_model)
    if settings.pretrained is not None:
        if tokenizer_dir is None:
            raise ValueError("a pretrained model is built for a tokenizer; tokenizer_dir is missing")
        folder = find_model(settings.pretrained)
        model = open_model(folder, auto_model)
        model = change_vocabulary(model, auto_model, folder, tokenizer_dir, vocabulary, PAD_TO)
    else:
        config = build_config(settings, block_size, vocabulary, default_preset)
        check_head(config, auto_model)
        if tokenizer_dir is not None:
            check_tokenizer(config, tokenizer_dir)
        torch.manual_seed(key(seed, "init"))
        try:
            model = auto.from_config(config)
        except Exception as error:
            raise InputError(f"model.config: {first_line(error)}") from None
    longest = positions(model)
    if longest is not None and block_size > longest:
        raise InputError(f"objective.block_size is {block_size}, but the model has {longest} positions")
    extra = list(range(vocabulary.size, model.get_input_embeddings().weight.shape[0]))
    if extra and model.can_generate():
        model.generation_config.suppress_tokens = extra  # rows of padding are never sampled
    return model


def check_head(config: Any, auto_model: str) -> None:
    """Raise InputError where transformers has no model of this kind with the objective's head."""
    import transformers

    known = getattr(transformers, auto_model)._model_mapping
    if type(config) not in known:
        what = auto_model.removeprefix("AutoModelFor")
        other = {"CausalLM": "masked", "MaskedLM": "causal"}.get(what, "causal")
        usual = {"CausalLM": "gpt2 or llama", "MaskedLM": "bert, roberta or modernbert"}.get(what, "bert")
        raise InputError(
            f"model.config.model_type: {config.model_type} has no {what} head in transformers",
            f"take {usual}, or --objective.name {other}",
        )


def check_tokenizer(config: Any, folder: Path) -> None:
    """Raise InputError where AutoTokenizer would not open the tokenizer beside a model of this kind.

    For some kinds transformers 5 passes over the class that a folder names and wants a tokenizer.json, which
    one that cuts words by MeCab or Sudachi cannot have.
    """
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    usual = TOKENIZER_MAPPING_NAMES.get(config.model_type)
    if usual == "TokenizersBackend" and not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"transformers does not open a tokenizer of MeCab's words beside a {config.model_type} model",
            "--tokenizer.kind unigram, or a bert model",
        )


def positions(model: Any) -> int | None:
    """The longest input of a model, or None where its config does not say."""
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None:
        longest -= _before_positions(model.config.model_type, model.config.pad_token_id)
    return longest


def _before_positions(model_type: str, pad_id: int | None) -> int:
    """Rows of the table of positions before the one of the first position."""
    if model_type not in SHIFTED:
        return 0
    return 2 if model_type == "mpnet" else (pad_id or 0) + 1  # MPNet takes 1 for the padding's, come what may


def freeze(model: torch.nn.Module, patterns: list[str]) -> int:
    """Stop training parameters whose name matches a pattern (`transformer.wte*`); returns how many were
    frozen."""
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, 1, 0.3)
            raise InputError(
                f"train.freeze: no parameter matches {pattern!r}",
                f"names look like {near[0] if near else names[0]!r}",
            )
    frozen = [
        p for n, p in model.named_parameters() if any(fnmatch.fnmatch(n, pattern) for pattern in patterns)
    ]
    for parameter in frozen:
        parameter.requires_grad_(False)
    if len(frozen) == len(names):
        raise InputError("train.freeze: the patterns freeze every parameter; nothing would be trained")
    return len(frozen)


def find_model(name: str | os.PathLike[str]) -> Path:
    """The folder with config.json behind a MODEL: a run, a checkpoint, an export, any HF folder, or a hub id.

    Raises IntegrityError where a file beside the weights of a checkpoint is not what was written, InputError
    for one that cannot be read.
    """
    try:
        return _find_model(name)
    except OSError as error:
        raise InputError(f"cannot read the model {name}: {error.strerror or error}") from error


def _find_model(name: str | os.PathLike[str]) -> Path:
    folder = hub.local_folder(name, "the model")
    for place in (folder, folder / "model"):
        if (place / CONFIG).is_file():
            files.require_as_written(place, weights=False)
            return place
    if os.path.lexists(folder / "model"):
        raise IntegrityError(
            f"{folder / 'model'} has no {CONFIG}: it is damaged", "train again, or use another checkpoint"
        )
    for place in sorted((folder / "checkpoints").glob("step-*/model"), reverse=True):
        if (place / CONFIG).is_file():
            files.require_as_written(place, weights=False)
            progress.say(f"{folder} has no best model yet (it was not evaluated): using {place.parent.name}")
            return place
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
    raise InputError(f"{folder} holds no model: expected {CONFIG}, found {found}")


def open_model(name: str | os.PathLike[str], auto_model: str = "AutoModelForCausalLM") -> Any:
    """Open a model folder in fp32 without running any code of its own and without reading any pickle."""
    import transformers

    folder = find_model(name)
    auto = getattr(transformers, auto_model)
    config = open_config(folder)
    with hushed():
        check_size(folder, config, auto, check_weights(folder))
    try:
        with hushed():
            model, notes = auto.from_pretrained(
                str(folder),
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that their names and shapes are told below
            )
    except Exception as error:  # whatever a foreign folder provokes, it is the folder's fault
        raise InputError(f"{folder}: the model cannot be read: {first_line(error)}") from None
    missing = sorted(set(notes["missing_keys"]))
    if missing or notes["mismatched_keys"]:
        other = [f"{name} {list(found)}, not {list(due)}" for name, found, due in notes["mismatched_keys"]]
        names = ", ".join([*missing, *sorted(other)][:3])
        raise InputError(f"{folder}: weights are missing or have another shape: {names}")
    check_opened(folder, model, notes)
    keep_fixed(model)
    return model


def keep_fixed(model: Any) -> None:
    """Freeze what a new model of this class does not train, such as RoFormer's table of sines: opened from a
    folder it would count as trained, and never get a gradient."""
    with torch.device("meta"), hushed():
        new = type(model)(model.config)
    fixed = {name for name, parameter in new.named_parameters() if not parameter.requires_grad}
    for name, parameter in model.named_parameters():
        if name in fixed:
            parameter.requires_grad_(False)
