"""What is read: the settings of the text stage, and how paths, folders and patterns become a list of files.

A file is read once. Named alone (`{path: a.txt, encoding: cp932}`) it wins over the folder or pattern that
matches it too, so one file of a folder can have settings of its own; named alone twice it is an error.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from pydantic import field_validator

from tane import files
from tane.errors import InputError
from tane.progress import say
from tane.settings import Settings, option
from tane.text import encoding as encodings
from tane.text import filters, near, saved, web
from tane.text import normalize as normalizers
from tane.text.filters import FilterSettings
from tane.text.packing import PACKINGS
from tane.text.raw import Raw, require_regular, shown
from tane.text.sources import Unit, source_for, source_name

READER_VERSION = "2"  # changes when the same files would give other documents
WILD = "*?["
HUB = "hf://"
DECISIVE = {
    "sha256", "role", "source", "unit", "encoding", "normalize", "columns", "sheet", "quoting", "format",
    "weight",
}  # fmt: skip


def _known_encoding(value: str | None) -> str | None:
    return value if value in (None, "auto") else encodings.codec_name(value)


def _number_as_name(value: Any) -> Any:
    """A column given by its number; YAML makes an int of it."""
    if isinstance(value, (list, tuple)):
        return [_number_as_name(one) for one in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class InputSettings(Settings):
    """One entry of `corpus.inputs`; what is not given here follows the corpus-wide key."""

    path: str = option(
        ..., "a file, a folder, a pattern such as texts/*.txt, a URL, hf://NAME/CONFIG, or a saved dataset"
    )
    column: str | list[str] | None = option(None, "the column with the text, or several, each a document")
    sheet: str | None = option(None, "the sheet of a workbook")
    split: str | None = option(None, "the split of a saved or hub data set")
    unit: Unit | None = option(None, "one document is: sentence, line, paragraph, record or file")
    weight: float = option(
        1.0, "how often its documents come in an epoch; a fraction takes that share, another each epoch",
        gt=0, le=100,
    )  # fmt: skip
    format: str | None = option(None, "the format, where the name's ending does not tell it, such as jsonl")
    quoting: Literal["standard", "none"] | None = option(
        None, "of csv and tsv: standard, or none where quotes are plain characters"
    )
    encoding: str | None = option(None, "auto, or the encoding of these files, such as cp932")
    normalize: normalizers.Name | None = option(None, "none, nfc, nfkc or aozora")
    sha256: str | None = option(
        None, "of a URL: the hash that the file must have", pattern="^[0-9a-fA-F]{64}$"
    )

    check_encoding = field_validator("encoding")(_known_encoding)
    name_column = field_validator("column", mode="before")(_number_as_name)


RUN = ("recipe.yaml", "requested.yaml")  # what every run's folder holds


class HowToRead(TypedDict, total=False):
    """Keys of a corpus that say how files are read; what is left out or None has its default."""

    column: str | Sequence[str] | None
    sheet: str | None
    split: str | None
    format: str | None
    quoting: str | None
    unit: str | None
    encoding: str | None
    normalize: str | None


class CorpusSettings(Settings):
    """Which text is read and how it becomes documents."""

    inputs: list[str | InputSettings] = option(
        [], "files, folders, patterns, URLs or data sets (hf://NAME/CONFIG), or mappings {path, column, "
        "sheet, split, unit, weight, format, quoting, encoding, normalize, sha256} with keys of their own",
    )  # fmt: skip
    column: str | list[str] | None = option(
        None, "the column with the text, or several, each a document; none: the only one, or `text`"
    )
    sheet: str | None = option(None, "the sheet of workbooks; none: the first one")
    split: str | None = option(None, "the split of saved or hub data sets; none: train, or the only one")
    format: str | None = option(None, "the format of all inputs, where names do not tell it, such as jsonl")
    quoting: Literal["standard", "none"] = option(
        "standard", "of csv and tsv: standard, or none where quotes are plain characters"
    )
    unit: Unit | None = option(
        None, "one document is: sentence, line, paragraph (between blank lines), record (of the format) or "
        "file; none: paragraph for plain text, record elsewhere"
    )  # fmt: skip
    encoding: str = option(
        "auto", "auto (found and printed), or a codec: utf-8, cp932, euc_jp, iso2022_jp, utf-16-le"
    )
    normalize: normalizers.Name = option(
        "nfkc", "none, nfc, nfkc, or aozora (Aozora Bunko files: no ruby, notes, header, colophon)"
    )
    filters: FilterSettings = option(FilterSettings(), "documents that are left out, by name and reason")
    dedup: Literal["exact", "normalized", "near", "none"] = option(
        "exact", "drop a document whose text came before: exact as it was read, normalized as it is kept, "
        "near also one much like it",
    )  # fmt: skip
    near_threshold: float = option(
        0.8, "near duplicates: the share of common character sequences from which on", gt=0.3, le=1
    )
    valid_fraction: float = option(
        0.02, "share of the documents for validation, chosen by a hash of their text; 0: none", ge=0, lt=1
    )
    valid_inputs: list[str | InputSettings] = option(
        [], "files for validation, instead of valid_fraction; what stands in both is not trained on"
    )
    max_document_chars: int = option(
        100_000,
        "longer documents are split at the end of a sentence or line into documents of their own",
        ge=1,
        le=1_000_000_000,
    )
    on_bad: Literal["stop", "skip"] = option(
        "stop", "what cannot be read (bytes, rows): stop with its place, or leave it out and count it"
    )

    check_encoding = field_validator("encoding")(_known_encoding)
    name_column = field_validator("column", mode="before")(_number_as_name)

    @field_validator("inputs", "valid_inputs", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        if value is None:
            return []
        return [value] if isinstance(value, (str, dict, InputSettings)) else value


@dataclass(frozen=True, slots=True)
class Input:
    """One file to read, with its settings resolved. name: what it is called; role: train or valid."""

    path: Path
    name: str
    role: str
    source: str
    unit: Unit
    encoding: str
    normalize: str
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    quoting: str = "standard"
    format: str = ""
    weight: float = 1.0

    def how(self) -> dict[str, Any]:
        """How this file is read: with its content, all that decides its documents."""
        return {
            "role": self.role, "source": self.source, "unit": self.unit, "encoding": self.encoding,
            "normalize": self.normalize, "columns": list(self.columns), "sheet": self.sheet,
            "quoting": self.quoting, "format": self.format, "weight": self.weight,
        }  # fmt: skip

    def state(self, size: int, sha256: str) -> dict[str, Any]:
        """The record of this file in the corpus: its content, how it is read; the path is for the person."""
        return {"path": self.name, "bytes": size, "sha256": sha256, **self.how()}


def expand(settings: CorpusSettings) -> list[Input]:
    """All files in the order in which they are read: validation inputs first, then inputs, each as listed.

    Folders and patterns are sorted by path. Raises InputError for what is missing, no file, or named alone
    twice.
    """
    if not settings.inputs:
        raise InputError(
            "there are no inputs", "name the text: --corpus.inputs my.txt (a file, folder or pattern)"
        )
    return [*_expand(settings, settings.valid_inputs, "valid"), *_expand(settings, settings.inputs, "train")]


def _expand(settings: CorpusSettings, entries: list[str | InputSettings], role: str) -> list[Input]:
    alone: dict[tuple[int, int], str] = {}
    found: list[tuple[_Found, InputSettings]] = []
    for entry in entries:
        wanted = entry if isinstance(entry, InputSettings) else InputSettings(path=entry)
        for one in _files(wanted, wanted.split or settings.split, wanted.format or settings.format):
            key = _identity(one.path)
            if one.alone and key in alone:
                raise InputError(
                    f"{one.name} stands twice among the inputs"
                    + (f" (also as {alone[key]})" if alone[key] != one.name else ""),
                    "name it once; several columns of it: {path: ..., column: [A, B]}",
                )
            if one.alone:
                alone[key] = one.name
            found.append((one, wanted))
    result, seen, again = [], set(), 0
    for one, wanted in found:
        key = _identity(one.path)
        if key in seen or (key in alone and not one.alone):
            again += 1
            continue
        seen.add(key)
        said = wanted.format or settings.format
        name, source = source_for(one.path, said)
        if wanted.column and name == "plain" and one.alone:
            raise InputError(f"{one.name} is plain text, which has no columns", "say what it is: format: tsv")
        column = wanted.column or settings.column or ()
        result.append(
            Input(
                path=one.path,
                name=one.name,
                role=role,
                source=name,
                unit=wanted.unit or settings.unit or source.unit,
                encoding=wanted.encoding or settings.encoding,
                normalize=wanted.normalize or settings.normalize,
                columns=(column,) if isinstance(column, str) else tuple(column),
                sheet=wanted.sheet or settings.sheet,
                quoting=wanted.quoting or settings.quoting,
                format=said or _ending(one.path),
                weight=wanted.weight,
            )
        )
    if again:
        say(f"{again:,} file(s) matched more than once among the inputs; each is read once")
    return result


def _ending(path: Path) -> str:
    """The ending of a file's name that tells its format, without packing."""
    return (Path(path.stem) if path.suffix.lower() in PACKINGS else path).suffix.lower().removeprefix(".")


class _Found(NamedTuple):
    """One file of an entry. name: what it is called; alone: whether the entry names this one file."""

    path: Path
    name: str
    alone: bool


def _identity(path: Path) -> tuple[int, int]:
    status = require_regular(path)
    return status.st_dev, status.st_ino


def _files(wanted: InputSettings, split: str | None, said: str | None) -> Iterator[_Found]:
    """The files of one entry; said: their format, where it was named."""
    text = os.path.expanduser(wanted.path)
    path, remote = Path(text), wanted.path.startswith(("http://", "https://"))
    if wanted.sha256 and not remote:
        raise InputError(f"{shown(text)}: sha256 is for URLs, and was not looked at", "leave it out")
    if wanted.split and not text.startswith(HUB) and not (path.is_dir() and saved.is_dataset(path)):
        raise InputError(f"{shown(text)} has no splits", "name the file, such as data/train.jsonl")
    if text.startswith(HUB):
        for number, file in enumerate(saved.from_hub(text.removeprefix(HUB), split)):
            yield _Found(file, f"{text}#{number}", False)
    elif remote:
        yield _Found(web.fetch(text, sha256=wanted.sha256), web.masked(text), True)
    elif path.is_dir() and saved.is_dataset(path):
        yield from (_Found(p, shown(p), False) for p in saved.arrow_files(path, split))
    elif path.is_dir():
        yield from (_Found(p, shown(p), False) for p in _folder(path, said))
    elif os.path.lexists(path):
        yield _Found(path, shown(path), True)
    elif any(c in text for c in WILD):
        matches = sorted(p for p in glob.glob(text, recursive=True))
        matches = [m for m in matches if not ("**" in text and os.path.isdir(m))]
        if not matches:
            raise InputError(f"no file matches {shown(text)}", f"looked from {Path.cwd()}")
        yield from (_Found(Path(m), shown(m), False) for m in matches)
    else:
        path = files.require_file(path, "the input")
        yield _Found(path, shown(path), True)


def _folder(folder: Path, said: str | None) -> list[Path]:
    """The files below a folder that a source can read, sorted; hidden ones skipped, unknown ones named. Where
    the format was said, those whose names have no ending are of it."""
    known: list[Path] = []
    unknown: list[Path] = []

    def stop(error: OSError) -> None:
        raise InputError(f"cannot read the folder {shown(error.filename)}: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=stop):
        ours = [f for f in folders if _is_ours(Path(parent, f))]
        if ours:  # an earlier corpus is no text of the person's
            say(f"{shown(folder)}: left out what tane made there: {', '.join(map(shown, sorted(ours)[:3]))}")
        folders[:] = [f for f in folders if not f.startswith(".") and f not in ours]
        unknown += [link for f in folders if (link := Path(parent, f)).is_symlink()]  # not followed
        for name in names:
            if not name.startswith("."):
                path = Path(parent, name)
                (known if source_name(path) or (said and not _ending(path)) else unknown).append(path)
    if unknown:
        kinds = Counter(p.suffix.lower() or "no suffix" for p in unknown)
        shortly = ", ".join(f"{count:,} x {kind}" for kind, count in kinds.most_common(6))
        first = ", ".join(shown(p.relative_to(folder)) for p in sorted(unknown)[:3])
        say(f"{shown(folder)}: left out {len(unknown):,} file(s) of unknown kind ({shortly}): {first}, ...")
    if not known:
        raise InputError(f"the folder {shown(folder)} holds no file that can be read",
                         "name files that end in .txt, or rename them")  # fmt: skip
    return sorted(known)


def _is_ours(folder: Path) -> bool:
    """Whether tane wrote a folder: a stage, a checkpoint, an export, or a run."""
    return files.is_published(folder) or all((folder / name).is_file() for name in RUN)


def input_state(settings: CorpusSettings) -> Iterator[dict[str, Any]]:
    """Path, bytes, SHA-256 and reading settings of each present input; reads every file once to hash it."""
    for item in expand(settings):
        raw = Raw(item.path)
        raw.finish()
        yield item.state(raw.bytes, raw.sha256)


def versions(settings: CorpusSettings, names: set[str]) -> dict[str, Any]:
    """Versions of the reader and of all else in use that decides the documents."""
    forms = [normalizers.version(name) for name in sorted(names)]
    found: dict[str, Any] = {"reader": READER_VERSION, "normalizers": forms}
    if settings.filters.active():
        found["filters"] = filters.VERSION
    if settings.dedup == "near":
        found["near"] = near.version()
    return found


def fingerprint(settings: CorpusSettings, state: Iterable[dict[str, Any]]) -> str:
    """Hash of all that decides the documents: contents and how they are read, never names, order or times."""
    return fingerprint_of(settings, state)[1]


def fingerprint_of(settings: CorpusSettings, state: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """(the versions in use, the fingerprint); of each input no more is held than a hash."""
    contents, names = [], set()
    for item in state:
        contents.append(files.digest({k: v for k, v in item.items() if k in DECISIVE}))
        names.add(item["normalize"])
    deciding = {"dedup", "valid_fraction", "max_document_chars", "on_bad", "filters"}
    deciding |= {"near_threshold"} if settings.dedup == "near" else set()
    options = settings.model_dump(include=deciding)
    used = versions(settings, names)
    return used, files.digest([options, sorted(contents), used])
