"""The readers of labelled rows, saved data sets, and corpora of tane's own. None of them imports torch."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tane.errors import InputError, IntegrityError
from tests.fuzz import damages
from tests.fuzz.mutations import mutate
from tests.fuzz.of_text import ARROWS, PROSE, arrow, csv_text, jsonl_text, parquet, xlsx
from tests.fuzz.reader import Reader, inside, written

# ------------------------------------------------------------------------------------ labelled rows, folders


def _saved(folder: Path) -> None:
    """Two splits as `datasets` saves them, without the library: it would take seconds to import."""
    for split in ("train", "test"):
        place = folder / "saved" / split
        place.mkdir(parents=True)
        arrow("stream")(place).rename(place / "data-00000-of-00001.arrow")
        state = {
            "_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": "0",
            "_format_columns": None,
            "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": split,
        }  # fmt: skip
        (place / "state.json").write_text(json.dumps(state))
        (place / "dataset_info.json").write_text('{"citation": "", "features": {}}')
    (folder / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')


def _read_saved(path: Path) -> object:
    """Reads the folder as labelled rows; both splits, and what the corpus would take of it."""
    from tane.text.inputs import CorpusSettings, expand
    from tane.text.rows import RowsSettings, read_table

    folder = path if path.name == "saved" else next(p for p in path.parents if p.name == "saved")
    with _naming(path, "saved"):
        for split in ("train", "test"):
            read_table(str(folder), RowsSettings(split=split)).data[:]
        return expand(CorpusSettings.model_validate({"inputs": [str(folder)], "split": "train"}))


@contextlib.contextmanager
def _naming(path: Path, other: str) -> Iterator[None]:
    """Of a folder, its own name is as good in a message as that of the damaged file in it."""
    try:
        yield
    except InputError as error:
        if other in error.message and path.name not in error.message:
            error.message = f"{error.message} ({path.name})"
        raise


def _read_rows(path: Path) -> object:
    """Reads labelled rows to their end: values, names of the labels, a condition."""
    from tane.text.rows import RowsSettings, name_labels, read_table, where

    table = read_table(str(path), RowsSettings(on_bad=("stop", "skip")[path.read_bytes()[-1:] > b"a"]))
    table.data[:]
    if "label" in table.data.column_names:
        with _naming(path, "'label=正'"):  # which knows the rows alone
            where(table.data, ["label=正"])
        name_labels(table, "label", ["負", "正"])
    return table


def _labels_parquet(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {
        "label": {"names": ["負", "正"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    told = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    table = pa.table({"label": pa.array([0, 1, 0], pa.int64()), "text": ["一", "二", "三"]})
    pq.write_table(
        table.replace_schema_metadata({"huggingface": told}), folder / "f.parquet", compression="none"
    )
    return folder / "f.parquet"


LABELLED = (
    Reader(
        "saved",
        inside(
            _saved,
            "saved/dataset_dict.json",
            "saved/train/state.json",
            "saved/test/state.json",
            "saved/train/dataset_info.json",
            "saved/train/data-00000-of-00001.arrow",
        ),
        _read_saved,
        ("tane.text.saved", "tane.text.arrowrows"),
        (mutate, damages.steady),
    ),
    Reader(
        "rows",
        (
            written("f.csv", csv_text(",")),
            written("f.tsv", csv_text("\t")),
            written("f.jsonl", jsonl_text()),
            xlsx,
            parquet(compression="zstd"),
            _labels_parquet,
            *ARROWS,
        ),
        _read_rows,
        ("tane.text.arrowrows",),
        (mutate, damages.steady),
    ),
    Reader("rows-json", (written("f.jsonl", jsonl_text()),), _read_rows, (), (damages.json_lines,)),
)


# ------------------------------------------------------------------------------------------ a corpus of ours


def _corpus(folder: Path) -> None:
    """A published corpus of a few documents, with duplicates, one of them cut for validation."""
    from tane import progress
    from tane.text.corpus import CorpusSettings, build_corpus

    (folder / "in.txt").write_text(PROSE, encoding="utf-8")
    with progress.silenced():
        build_corpus(
            CorpusSettings(inputs=[str(folder / "in.txt")], valid_fraction=0.1), folder / "corpus", tell=False
        )


def _read_corpus(path: Path) -> object:
    """Reads a corpus as training a tokenizer and encoding do, and as `tane data` looks at it."""
    from tane.text.corpus import Corpus

    corpus = Corpus.open(path.parent)
    for split in ("train", "valid"):
        list(corpus.documents(split))
    return [corpus.meta[key] for key in ("settings", "documents", "characters", "fingerprint")], list(
        corpus.inputs()
    )


def _read_part(path: Path) -> object:
    from tane.text.parts import read_part

    return [document.text.encode() for document in read_part(path)]


def _pieces(folder: Path) -> None:
    """What an interrupted reading of the inputs leaves: a piece beside the corpus that is not there yet."""
    from tane import progress
    from tane.text.corpus import CorpusSettings, read_part_of

    (folder / "in.txt").write_text(PROSE, encoding="utf-8")
    with progress.silenced():
        read_part_of(CorpusSettings(inputs=[str(folder / "in.txt")]), folder / "corpus", 1, 1)
    next((folder / ".pieces").iterdir()).rename(folder / "piece")


def _read_pieces(path: Path) -> object:
    """Builds the corpus beside a piece that was damaged meanwhile: it is taken, or made anew."""
    from tane import progress
    from tane.text import pieces
    from tane.text.corpus import CorpusSettings, build_corpus
    from tane.text.inputs import expand

    settings = CorpusSettings(inputs=[str(path.parent.parent / "in.txt")])
    with tempfile.TemporaryDirectory() as place, progress.silenced():
        name = pieces.plan(settings, expand(settings))[0].name
        shutil.copytree(path.parent, Path(place) / ".pieces" / name)
        return build_corpus(settings, Path(place) / "corpus", tell=False)


CORPUS = (
    Reader(
        "corpus",
        inside(
            _corpus,
            "corpus/manifest.json",
            "corpus/fates.bin",
            "corpus/part-00000.jsonl.zst",
            "corpus/inputs.jsonl",
        ),
        _read_corpus,
        ("tane.text.corpus", "tane.text.parts", "tane.text.survey", "tane.files"),
        (mutate, damages.steady),
        ends=(IntegrityError,),
    ),
    Reader(
        "corpus-part",
        inside(_corpus, "corpus/part-00000.jsonl.zst"),
        _read_part,
        ("tane.text.parts",),
        (mutate, damages.steady, damages.in_zstd(mutate), damages.in_zstd(damages.json_lines)),
        ends=(IntegrityError,),
    ),
    Reader(
        "corpus-manifest",
        inside(_corpus, "corpus/manifest.json"),
        _read_corpus,
        ("tane.files",),
        (damages.sealed, damages.json_values),
        ends=(IntegrityError,),
    ),
    Reader(
        "pieces",
        inside(
            _pieces,
            "piece/manifest.json",
            "piece/rows.bin",
            "piece/part-00000.jsonl.zst",
            "piece/inputs.jsonl",
        ),
        _read_pieces,
        ("tane.text.fates", "tane.text.join", "tane.text.pieces"),
        (mutate, damages.steady),
        ends=(InputError, IntegrityError),
    ),
)

READERS: tuple[Reader, ...] = (*LABELLED, *CORPUS)
