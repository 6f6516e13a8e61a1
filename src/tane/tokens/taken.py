"""Somebody's tokenizer: opened safely, or made into a Hugging Face folder that gives exactly its ids.

What is taken: a Hugging Face folder, run folder or hub id, and the bare files that `bare` knows. The folder
written names the class PreTrainedTokenizerFast wherever there is a `tokenizer.json`: that class reads it as
it is, in transformers 4 and 5, while others, such as T5Tokenizer of version 5, build it anew by their rules.
At the end the folder is opened, and its ids are compared with those of the original.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tane import files, hub
from tane.errors import InputError
from tane.tokens import bare, soundness, spm, spm_classes

JSON, CONFIG, MODEL_CONFIG = "tokenizer.json", "tokenizer_config.json", "config.json"
DECIDING = (  # how the names of files begin that decide on ids
    "tokenizer", "special_tokens", "vocab", "merges", "spiece", "added_tokens", "spm", "sentencepiece",
)  # fmt: skip
MODELS = (".model", ".spm")  # of SentencePiece, whatever they are called
WHAT = "the tokenizer"
PROBES = (  # texts on which tokenizers that differ tend to differ
    "", " ", "a", "Hello world", " Hello  WORLD ", "it's 3.14!\n\n## #$", "東京都に住んでいます。", "▁x ▁",
    "ﾊﾞｽとＡＢＣ１２３、㍻①", "か\u3099き", "e\u0301 é", "\u3000全角　空白\t", "\u200d🙂👨\u200d👩", "x\r\ny",
    "wwwwwwwwwwwwwwwwwwwwww 0000000000", "def f(x):\n    return x", "ー" * 9, "「あ」（い）・…", "\ufeff.",
    "\u1234\U0002000b",
)  # fmt: skip


def folder(name: str | os.PathLike[str]) -> Path:
    """The local folder of a tokenizer in Hugging Face's layout, its files checked.

    name: a folder, the folder of a run (its model's is taken) or a hub id. Raises InputError, also for bare
    files, which `take` makes such a folder of.
    """
    if Path(name).is_file():
        what = f"{WHAT} {name} is a file; expected a folder in Hugging Face's layout"
        raise InputError(what, _take_it(name))
    found = _with_model(hub.local_folder(name, WHAT))
    soundness.check_links(found)
    if not any((found / file).is_file() for file in (JSON, CONFIG)):
        what_else = bare.find(found)
        only = f"only {what_else.files[0].name}" if what_else else "no tokenizer.json"
        only += ", whose ids transformers would guess" if what_else and what_else.form == "spm" else ""
        raise InputError(
            f"{found}: expected a tokenizer in Hugging Face's layout, found {only}",
            _take_it(what_else.files[0]) if what_else else f"give {bare.FORMS}",
        )
    soundness.read_config(found / CONFIG)
    if (found / MODEL_CONFIG).is_file():
        soundness.read_model_config(found / MODEL_CONFIG)
    if (found / JSON).is_file():
        soundness.open_tokenizer(found / JSON)
    return found


def _take_it(name: str | os.PathLike[str]) -> str:
    return f"take it as a recipe's tokenizer: --tokenizer.path {name}"


def _with_model(found: Path) -> Path:
    """A folder, or the model's folder in it where it is a run's."""
    run = not (found / CONFIG).exists() and (found / "model" / CONFIG).exists()
    return found / "model" if run else found


def load(name: str | os.PathLike[str]) -> Any:
    """Open a tokenizer folder, run folder or hub id by transformers, without running any code of its own.

    The ids are those of its `tokenizer.json`, or of the class's known rule over its SentencePiece model.
    Raises InputError for whatever is wrong with the files.
    """
    found = folder(name)
    config = soundness.read_config(found / CONFIG)
    model = None if (found / JSON).is_file() else spm_classes.model_file(found)
    if model is not None and _is_converted(found, config):
        with tempfile.TemporaryDirectory(prefix="tane-") as place:
            _write_converted(found, model, config, Path(place))
            tokenizer = _open(Path(place))
        tokenizer.name_or_path = str(found)
        return tokenizer
    tokenizer = _open(found) if model is None else _open_model(found, model)
    if (found / JSON).is_file():
        written = soundness.open_tokenizer(found / JSON)
        if not _is_as_written(tokenizer, written):
            # the class's own special tokens too, but none that would be new to the file
            roles = {r: t for r, t in _roles(tokenizer).items() if written.token_to_id(t) is not None}
            tokenizer = _open(found, fast={**roles, "model_input_names": tokenizer.model_input_names})
    return tokenizer


def _is_converted(found: Path, config: dict[str, Any]) -> bool:
    """Whether the rule of a folder's class over its model is known; without a class it is SentencePiece's."""
    name = spm_classes.class_name(found, config)
    return name is None or spm_classes.is_known(name)


def _write_converted(found: Path, model: Path, config: dict[str, Any], target: Path) -> None:
    if spm_classes.class_name(found, config) is None:
        spm.save(model, target)
    else:
        spm_classes.convert(found, model, config, target)


def _open_model(found: Path, model: Path) -> Any:
    """A folder with a SentencePiece model, if its class reads that by SentencePiece itself."""
    try:
        tokenizer = _open(found)
        if not tokenizer.is_fast:
            return tokenizer
    except InputError:
        pass  # of a model that its class cannot rebuild
    raise InputError(
        f"{found}: its class reads {model.name} by rules of its own, which may give other ids",
        f"give a folder with its tokenizer.json, or if its plain ids are meant the file: {model}",
    )


def _roles(tokenizer: Any) -> dict[str, str]:
    named = {f"{role}_token": getattr(tokenizer, f"{role}_token") for role in spm.SPELLINGS}
    return {role: str(token) for role, token in named.items() if token is not None}


def _open(place: Path, fast: dict[str, Any] | None = None) -> Any:
    """A folder by the class it names, or with `fast` values by the one that takes tokenizer.json as it is."""
    from transformers import AutoTokenizer, BertJapaneseTokenizer, PreTrainedTokenizerFast

    opened: Any = AutoTokenizer if fast is None else PreTrainedTokenizerFast
    if (
        fast is None
        and soundness.read_config(place / CONFIG).get("tokenizer_class") == "BertJapaneseTokenizer"
    ):
        opened = BertJapaneseTokenizer  # which AutoTokenizer passes over beside models such as ModernBERT
    try:
        return opened.from_pretrained(
            str(place), trust_remote_code=False, local_files_only=True, **(fast or {})
        )
    except BaseException as error:  # whatever a foreign file provokes, it is the file's fault
        if not isinstance(error, Exception) and not soundness.is_panic(error):
            raise
        raise soundness.unreadable(place, error) from None


def _is_as_written(tokenizer: Any, written: Any) -> bool:
    """Whether a tokenizer's parts are those of its file, and not rebuilt by its class."""
    if not tokenizer.is_fast:
        return False
    theirs = json.loads(written.to_str())
    ours = json.loads(tokenizer.backend_tokenizer.to_str())
    return all(ours[part] == theirs[part] for part in ("normalizer", "pre_tokenizer", "model", "decoder"))


def take(name: str | os.PathLike[str], target: Path, *, dictionary: str | None = None) -> None:
    """Write into the empty folder `target` a Hugging Face folder with exactly the ids of a tokenizer.

    name: a folder, file or hub id, as bare.FORMS says. dictionary: "ipadic", "unidic-lite" or "sudachi",
    whose words a vocab.txt with Japanese needs. Raises InputError for what is unsound, or cannot be exact.
    """
    one, found = _source(name)
    if dictionary is not None and (one is None or one.form != "wordpiece"):
        raise InputError(f"tokenizer.dictionary is {dictionary}, but {name} is no vocab.txt", "leave it out")
    if one is not None:
        bare.write(one, target, dictionary)
        load(target)
        files.sync(target)
        return
    assert found is not None
    original = load(found)
    config = soundness.read_config(found / CONFIG)
    model = None if (found / JSON).is_file() else spm_classes.model_file(found)
    if model is not None and _is_converted(found, config):
        _write_converted(found, model, config, target)
    elif original.is_fast:
        _write_fast(original, found, config, target)
    else:
        _write_slow(original, config, target)
    _compare(original, target)
    files.sync(target)


def _source(name: str | os.PathLike[str]) -> tuple[bare.Bare | None, Path | None]:
    """What a name stands for: a bare tokenizer, or a folder in Hugging Face's layout."""
    path = Path(name)
    if path.is_file():
        return bare.find(path), None
    found = _with_model(hub.local_folder(name, WHAT))
    soundness.check_links(found)
    if (found / CONFIG).is_file():
        return None, found
    if (found / JSON).is_file():
        return bare.of_json(found / JSON), None
    one = bare.find(found)
    if one is None:
        raise InputError(f"{found} holds no tokenizer", f"give {bare.FORMS}")
    return one, None


def _write_fast(original: Any, found: Path, config: dict[str, Any], target: Path) -> None:
    """Write tokenizer.json, as it is where nothing is added to it, and a configuration for all versions."""
    if (found / JSON).is_file():
        shutil.copyfile(found / JSON, target / JSON)  # writing it anew would round its scores
        _complete(original, target / JSON, config)
    else:
        original.backend_tokenizer.save(str(target / JSON))
    kept = {key: config[key] for key in spm_classes.KEPT if config.get(key) is not None}
    extra = config.get("extra_special_tokens")  # what version 5 writes as a list, 4 reads under another name
    if isinstance(extra, list) and extra:
        kept["additional_special_tokens"] = extra
    bare.write_config(target, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **_roles(original),
        "model_input_names": list(original.model_input_names),
        "clean_up_tokenization_spaces": False,
        **kept,
    })  # fmt: skip
    if (found / "chat_template.jinja").is_file():  # text like any other: nothing here renders it
        shutil.copyfile(found / "chat_template.jinja", target / "chat_template.jinja")


def _write_slow(original: Any, config: dict[str, Any], target: Path) -> None:
    """Write a tokenizer of a class in Python, such as BertJapaneseTokenizer."""
    original.save_pretrained(target)
    written = soundness.read_config(target / CONFIG)
    extra = written.pop("extra_special_tokens", None)  # a list, where version 4 wants another form
    if extra:
        written["additional_special_tokens"] = extra
    if written["tokenizer_class"] == "BertJapaneseTokenizer":
        written["model_input_names"] = config.get("model_input_names", bare.BERT_INPUTS)
    bare.write_config(target, written)


def _complete(original: Any, path: Path, config: dict[str, Any]) -> None:
    """Write into a tokenizer.json what its folder's other files add: tokens, and what stands round a text."""
    content = json.loads(path.read_text(encoding="utf-8"))
    ours = json.loads(original.backend_tokenizer.to_str())
    parts = ["added_tokens"]
    if content.get("post_processor") or {"add_bos_token", "add_eos_token"} & config.keys():
        parts.append("post_processor")
    changed = {part: ours[part] for part in parts if ours[part] and ours[part] != content.get(part)}
    if changed:
        path.write_text(json.dumps({**content, **changed}, ensure_ascii=False), encoding="utf-8")


def _compare(original: Any, target: Path) -> None:
    """Raise InputError unless the folder gives the ids of the original."""
    taken = load(target)
    some = original.convert_ids_to_tokens(list(range(0, len(original), max(1, len(original) // 200))))
    texts = [*PROBES, *(piece for piece in some if piece)]
    if len(original) != len(taken):
        counts = f"{len(original)} and {len(taken)} ids"
        raise InputError(f"{target}: the tokenizer cannot be taken exactly: {counts}")
    for special in (False, True):
        for text in texts:
            one, other = (t(text, add_special_tokens=special)["input_ids"] for t in (original, taken))
            if one != other:
                raise InputError(f"{target}: the tokenizer cannot be taken exactly: it differs on {text!r}")


def fingerprint(name: str | os.PathLike[str], dictionary: str | None = None) -> str:
    """Hash of the files that decide on the ids of a tokenizer for `take`; "" where it would take nothing."""
    try:
        one, found = _source(name)
    except InputError:
        return ""  # `take` says what is wrong with it
    chosen: Sequence[Path] = one.files if one is not None else ()
    if found is not None:
        decide = (p for p in found.iterdir() if p.name.startswith(DECIDING) or p.suffix in MODELS)
        chosen = sorted(p for p in decide if p.is_file())
    form = one.form if one is not None else "folder"
    return files.digest([form, dictionary, *([p.name, files.sha256(p)] for p in chosen)])
