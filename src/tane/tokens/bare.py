"""Tokenizer files that come without a configuration: what they are, and the Hugging Face folder of each.

A SentencePiece `.model`; a WordPiece `vocab.txt`; `vocab.json` with `merges.txt` (OpenAI's names are
encoder.json and vocab.bpe); a `tokenizer.json`.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tane import progress
from tane.errors import InputError
from tane.text import words
from tane.tokens import soundness, spm
from tane.tokens.kinds.mecab_wordpiece import word_config

Form = Literal["spm", "wordpiece", "bpe", "json"]
PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
JAPANESE = re.compile(r"[\u3041-\u30ff\u3400-\u9fff]")
# version 5 of transformers forgets the second for BertJapaneseTokenizer, which parts pairs of texts by it
BERT_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
SOME_JAPANESE = 0.05  # share of the pieces; the first English BERT has 1 in 50 too
FORMS = (
    "a Hugging Face folder or hub id, a SentencePiece .model, a vocab.txt, vocab.json with merges.txt, or a "
    "tokenizer.json"
)


@dataclass(frozen=True)
class Bare:
    """One tokenizer without configuration: its form and the files that make it."""

    form: Form
    files: tuple[Path, ...]


def find(path: Path) -> Bare | None:
    """What a file is, or the only such thing that a folder holds; None for a folder without one.

    Raises InputError for a file of another kind and for a folder with several.
    """
    if path.is_dir():
        return _in_folder(path)
    name = path.name.lower()
    for pair in PAIRS:
        if name in pair:
            return Bare("bpe", tuple(_beside(path, other) for other in pair))
    if name.endswith((".model", ".spm")):
        return Bare("spm", (path,))
    if name.endswith(".txt"):
        return Bare("wordpiece", (path,))
    if name.endswith(".json"):
        return of_json(path)
    raise InputError(f"the tokenizer {path} is no file of a known kind", f"give {FORMS}")


def of_json(path: Path) -> Bare:
    """A tokenizer.json, with the names of its special tokens if they stand beside it."""
    names = path.with_name("special_tokens_map.json")
    return Bare("json", (path, names) if names.is_file() else (path,))


def _beside(path: Path, name: str) -> Path:
    other = path.with_name(name)
    if not other.is_file():
        raise InputError(f"{path.name} needs {name} beside it, which is not in {path.parent}")
    return other


def _in_folder(folder: Path) -> Bare | None:
    models = [p for p in sorted(folder.iterdir()) if p.suffix in (".model", ".spm") and p.is_file()]
    found = [Bare("spm", (p,)) for p in models]
    pairs = [tuple(folder / name for name in pair) for pair in PAIRS]
    found += [Bare("bpe", pair) for pair in pairs if all(p.is_file() for p in pair)]
    if (folder / "vocab.txt").is_file():
        found.append(Bare("wordpiece", (folder / "vocab.txt",)))
    if len(found) > 1:
        names = ", ".join(p.name for bare in found for p in bare.files)
        raise InputError(f"{folder} holds several tokenizers: {names}", f"name the file: {found[0].files[0]}")
    return found[0] if found else None


def write(bare: Bare, folder: Path, dictionary: str | None) -> None:
    """Write the Hugging Face folder. Raises InputError for what is not sound or not told apart."""
    if bare.form == "spm":
        spm.save(bare.files[0], folder)
    elif bare.form == "wordpiece":
        _write_wordpiece(bare.files[0], folder, dictionary)
    elif bare.form == "bpe":
        _write_bpe(bare.files[0], bare.files[1], folder)
    else:
        _write_json(bare.files[0], folder, bare.files[1:])


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write `tokenizer_config.json`."""
    text = json.dumps(config, indent=1, ensure_ascii=False) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def _roles(pieces: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, spellings in spm.SPELLINGS.items():
        found |= {f"{role}_token": s for s in reversed(spellings) if s in pieces}
    return found


def _fast_config(pieces: set[str]) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # a name that every version of transformers has
        **_roles(pieces),
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
    }


# ------------------------------------------------------------------------------------------------- vocab.txt


def _write_wordpiece(path: Path, folder: Path, dictionary: str | None) -> None:
    pieces = lines_of(path)
    soundness.check_pieces(path, pieces)
    missing = [s for s in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") if s not in pieces]
    if missing:
        raise InputError(f"{path} is no vocabulary of WordPieces: it has no {' and no '.join(missing)}")
    japanese = sum(1 for piece in pieces if JAPANESE.search(piece))
    if japanese > SOME_JAPANESE * len(pieces) and dictionary is None:
        raise InputError(
            f"{path} holds Japanese ({japanese:,} of {len(pieces):,} pieces) but does not say who cuts words",
            "--tokenizer.dictionary unidic-lite (or ipadic, sudachi), as the model's page says",
        )
    config: dict[str, Any] = {"tokenizer_class": "BertTokenizer"}
    if dictionary is None:
        cased = any(piece != piece.lower() for piece in pieces if not piece.startswith("["))
        config["do_lower_case"] = not cased
        how = "as it is" if cased else "in lower case"
        progress.say(f"{path.name}: WordPieces of BERT, and text is read {how}, as are its pieces")
    else:
        words.segmenter(dictionary)  # its package must be there
        config = word_config(dictionary)
        if not any(piece.startswith("##") for piece in pieces):
            config["subword_tokenizer_type"] = "character"
            progress.say(f"{path.name} has no ##pieces: words are cut into characters")
    shutil.copyfile(path, folder / "vocab.txt")
    others = {"model_input_names": BERT_INPUTS, "clean_up_tokenization_spaces": False}
    write_config(folder, config | _roles(set(pieces)) | others)


def lines_of(path: Path) -> list[str]:
    """The lines of a vocabulary or of merges, as transformers reads them. Raises InputError."""
    try:
        with open(path, encoding="utf-8") as file:  # all line ends, as transformers reads it
            lines = [line.rstrip("\n") for line in file]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return lines


# --------------------------------------------------------------------------------- vocab.json and merges.txt


def _write_bpe(vocabulary: Path, merges: Path, folder: Path) -> None:
    from tokenizers import AddedToken

    tokenizer = byte_level(vocabulary, merges)
    pieces = set(tokenizer.get_vocab())
    config = _fast_config(pieces)
    config |= spm.as_text(config)  # "<|endoftext|>" in a text is text
    special = {t for name, t in config.items() if name.endswith("_token")}
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in sorted(special)])
    if "<|endoftext|>" in special:  # as GPT-2 has it
        config.setdefault("bos_token", "<|endoftext|>")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_config(folder, config)


def byte_level(vocabulary: Path, merges: Path) -> Any:
    """The `tokenizers.Tokenizer` of a byte-level BPE in GPT-2's two files. Raises InputError."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    ids = soundness.read_object(vocabulary)
    soundness.check_vocabulary(vocabulary, ids)
    lacking = [c for c in pre_tokenizers.ByteLevel.alphabet() if c not in ids]
    if lacking:
        raise InputError(
            f"{vocabulary} is no vocabulary of a byte-level BPE like GPT-2's: it lacks {len(lacking)} bytes",
            "give the folder with its tokenizer_config.json or tokenizer.json",
        )
    pairs = []
    for number, line in enumerate(lines_of(merges), 1):
        parts = line.split(" ")
        if (number == 1 and line.startswith("#version")) or not line:
            continue
        if len(parts) != 2 or not all(p in ids for p in (*parts, "".join(parts))):
            raise InputError(
                f"{merges} line {number}: the merge {line[:60]!r} names what is not in the vocabulary"
            )
        pairs.append((parts[0], parts[1]))
    try:
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=pairs))
    except Exception as error:  # whatever a foreign file provokes, it is the file's fault
        raise soundness.unreadable(vocabulary, error) from None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


# -------------------------------------------------------------------------------------------- tokenizer.json


def _write_json(path: Path, folder: Path, names: tuple[Path, ...]) -> None:
    tokenizer = soundness.open_tokenizer(path)
    named = soundness.read_object(names[0]) if names else {}
    named = {key: token["content"] if isinstance(token, dict) else token for key, token in named.items()}
    named = {key: token for key, token in named.items() if key.removesuffix("_token") in spm.SPELLINGS}
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special}
    shutil.copyfile(path, folder / "tokenizer.json")  # as it is: writing it anew would round its scores
    write_config(folder, _fast_config(special) | named)
