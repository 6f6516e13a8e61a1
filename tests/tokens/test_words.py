"""The words of prepared data: bits as the encoder has them, shards untouched, work that is cut goes on."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tane import files, locks, signals, workers
from tane.errors import InputError, IntegrityError, Stopped
from tane.recipe import Recipe, prepare
from tane.text import parts
from tane.text.corpus import Corpus, CorpusSettings
from tane.text.words import insides, version
from tane.tokens import tasks
from tane.tokens import words as module
from tane.tokens.encoder import Encoder
from tane.tokens.prepare import prepare_data, share
from tane.tokens.shards import SPLITS, Shards
from tane.tokens.tokenizer import TokenizerSettings
from tane.tokens.words import WordStarts, describe, resolve
from tane.types import Result

from . import small

TEXTS = [f"私は{i}番目の学校へ行きました。" + "山あ🙂川\t食べる" * (i % 7) for i in range(300)]
PIECES = [
    "私",
    "は",
    "番",
    "##目",
    "学",
    "##校",
    "学校",
    "へ",
    "行き",
    "まし",
    "た",
    "。",
    "の",
    "山",
    "1",
    "2",
]


def own(folder: Path) -> Path:
    """A tokenizer that cuts words itself."""
    return small.japanese_bert(folder, PIECES)


class Data:
    """A data folder, and the settings it is made from."""

    def __init__(self, root: Path, make: Callable[[Path], Path], texts: list[str]) -> None:
        (root / "text.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        self.folder = root / "data"
        self.corpus = CorpusSettings(
            inputs=[str(root / "text.txt")], unit="line", normalize="none", valid_fraction=0.1
        )
        self.tokenizer = TokenizerSettings(path=str(make(root / "tokenizer")))

    def prepare(self, words: str | None = None, **options: object) -> Result:
        return prepare_data(self.corpus, self.tokenizer, self.folder, words=words, **options)  # type: ignore[arg-type]

    def share(self, part: int, count: int, words: str | None) -> Result:
        from tane.tokens.specials import CAUSAL

        return share(self.corpus, self.tokenizer, self.folder, CAUSAL, part, count, words=words)

    def encoder(self) -> Encoder:
        return Encoder(self.folder / "tokenizer")

    def task(self, dictionary: str = "ipadic") -> WordStarts:
        return WordStarts(dictionary, Corpus.open(self.folder / "corpus"), self.encoder(), self.folder)

    def stages(self) -> set[str]:
        return {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}

    def bits(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.folder / "words").glob("*.bits"))}

    def drop(self) -> None:
        files.delete(self.folder / "words")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Shards of several small parts, without words."""
    data = Data(tmp_path_factory.mktemp("base"), small.byte_level, TEXTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", 12_000)
        patch.setattr(parts, "_BATCH", 200)
        data.prepare()
    assert 4 <= len(Corpus.open(data.folder / "corpus").parts()) <= 6
    return data


@pytest.fixture
def prepared(base: Data, tmp_path: Path) -> Data:
    """A copy of them that a test may change."""
    data = copy.copy(base)
    data.folder = tmp_path / "data"
    shutil.copytree(base.folder, data.folder)
    return data


def expected(data: Data, split: str, dictionary: str) -> list[bool]:
    """Where words start, text by text."""
    encoder, corpus = data.encoder(), Corpus.open(data.folder / "corpus")
    found = encoder.encode_words(list(corpus.texts(split)), insides(dictionary))
    return [bool(start) for _, starts in found for start in [*starts, True]]


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -------------------------------------------------------------------------------------------------- the bits


@pytest.mark.parametrize("dictionary", ["ipadic", "unidic-lite", "sudachi", "script"])
def test_the_bits_are_those_of_each_text(
    prepared: Data, dictionary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dictionary == "sudachi":
        pytest.importorskip("sudachipy")
    monkeypatch.setattr(tasks, "BATCH_CHARS", 500)  # many batches a part
    kept = {stage: all_bytes(prepared.folder / stage) for stage in prepared.stages()}
    prepared.prepare(dictionary)
    assert {stage: all_bytes(prepared.folder / stage) for stage in kept} == kept, "nothing else is touched"
    manifest = files.check(prepared.folder / "words", "words")
    assert manifest.meta["dictionary"].startswith(dictionary)
    assert manifest.meta["version"] == version(dictionary)
    for split in SPLITS:
        rows = expected(prepared, split, dictionary)
        found = Shards(prepared.folder / "shards", split, prepared.folder / "words")
        assert found.read_starts(0, len(found)).tolist() == rows and len(rows) > 100
        assert manifest.meta["splits"][split] == {"tokens": len(rows), "starts": sum(rows)}
        assert found.read_starts(0, len(found))[found.ends - 1].all(), "an EOS starts a word"
    assert describe(manifest).startswith(f"words ({manifest.meta['dictionary']}): train: ")
    assert not list(prepared.folder.glob(".parts-*")), "the work folder is gone"


def test_dictionaries_give_other_words(prepared: Data) -> None:
    found = set()
    for dictionary in ("ipadic", "script"):
        prepared.prepare(dictionary)
        found.add(tuple(prepared.bits().items()))
        prepared.drop()
    assert len(found) == 2


@pytest.mark.parametrize("chunk", [8, 1 << 22])
def test_a_tokenizer_with_words_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    data = Data(tmp_path, own, [*TEXTS[:150], "##目の山"])
    data.prepare()
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(Corpus, "part", None)  # no text is read
    result = data.prepare("sudachi" if chunk == 8 else "auto")
    monkeypatch.undo()
    table = data.encoder().word_table
    assert table is not None and not table.all() and resolve("sudachi", data.encoder()) == "tokenizer"
    for split in SPLITS:
        found = Shards(data.folder / "shards", split, data.folder / "words")
        assert found.read_starts(0, len(found)).tolist() == expected(data, split, "ipadic")
    assert result.metrics["words"]["dictionary"] == "tokenizer"
    assert "the tokenizer's own" in describe(files.check(data.folder / "words", "words"))
    assert data.prepare("ipadic").fingerprint == result.fingerprint, "whatever dictionary is asked for"


def test_any_stretch_is_read(prepared: Data) -> None:
    prepared.prepare("ipadic")
    found = Shards(prepared.folder / "shards", "train", prepared.folder / "words")
    whole = np.array(expected(prepared, "train", "ipadic"))
    borders = found._starts.tolist()
    rng = np.random.default_rng(0)
    pairs = [(b + i, b + j) for b in borders for i in (-9, -1, 0, 1) for j in (-1, 0, 1, 8, 9)]
    pairs += [tuple(sorted(rng.integers(0, len(found), 2).tolist())) for _ in range(300)]
    pairs += [(borders[1] - 1, borders[-2] + 1)]
    for start, stop in pairs:
        if 0 <= start < stop <= len(found):
            starts = found.read_starts(start, stop)
            assert starts.dtype == bool and np.array_equal(starts, whole[start:stop]), (start, stop)


def test_a_split_without_documents(tmp_path: Path) -> None:
    data = Data(tmp_path, small.byte_level, ["山", "川"])
    data.corpus = data.corpus.model_copy(update={"valid_fraction": 0.0})
    data.prepare("ipadic")
    assert [*data.bits()] == ["train-00000.bits"]
    assert len(Shards(data.folder / "shards", "valid", data.folder / "words")) == 0


def test_it_is_a_fault_to_ask_shards_without_words(prepared: Data) -> None:
    with pytest.raises(ValueError, match="without the folder of their words"):
        Shards(prepared.folder / "shards", "train").read_starts(0, 1)


# ----------------------------------------------------------------------------------------------- the stage


def test_words_are_made_only_when_asked_for_and_kept(prepared: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = prepared.prepare()
    assert prepared.stages() == {"corpus", "tokenizer", "shards"} and "words" not in plain.metrics
    made = prepared.prepare("ipadic")
    assert made.metrics["words"]["splits"]["train"]["starts"] > 100 and made.fingerprint != plain.fingerprint
    monkeypatch.setattr(WordStarts, "write", None)
    monkeypatch.setattr(locks, "locked", None)  # what is complete is only read
    assert prepared.prepare("ipadic") == made == prepared.prepare("auto")
    assert prepared.prepare() == plain and "words" in prepared.stages(), "left alone"


def test_all_stages_at_once_are_the_same_as_one_after_another(prepared: Data) -> None:
    prepared.prepare(rebuild=True)  # in one part, as this test makes it
    result = prepared.prepare("ipadic")
    first = prepared.bits()
    for stage in prepared.stages():
        files.delete(prepared.folder / stage)
    assert prepared.prepare("ipadic", until="shards").metrics.keys() == {"data", "ledger", "pieces", "splits"}
    assert "words" not in prepared.stages()
    assert prepared.prepare("ipadic") == result and prepared.bits() == first
    assert prepared.prepare("script", rebuild=True).metrics["words"]["dictionary"] == "script"


def test_another_dictionary_is_refused(prepared: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.prepare("ipadic")
    before = prepared.bits()
    with pytest.raises(
        IntegrityError, match=r"objective\.words: ipadic -> script\n.*delete .*words .*--rebuild"
    ):
        prepared.prepare("script")
    monkeypatch.setattr(module, "version", lambda dictionary: "fugashi 9, ipadic 9")
    with pytest.raises(IntegrityError, match=r"those of fugashi 1.* and here is fugashi 9, ipadic 9"):
        prepared.prepare("ipadic")
    assert prepared.bits() == before
    prepared.drop()
    assert prepared.prepare("script").metrics["words"]["dictionary"] == "script"


@pytest.mark.parametrize("asked", ["", "mecab", "sudachi-tiny", "tokenizer"])
def test_an_unknown_dictionary_is_refused(prepared: Data, asked: str) -> None:
    with pytest.raises(InputError, match=r"objective\.words is .*\n.*choose one of: auto, ipadic"):
        prepared.prepare(asked)


def test_damage_is_told(prepared: Data) -> None:
    prepared.prepare("ipadic")
    folder = prepared.folder / "words"
    path = folder / "train-00001.bits"
    raw = path.read_bytes()
    path.write_bytes(bytes(len(raw)))
    with pytest.raises(IntegrityError, match=r"train-00001\.bits\n.*delete .*words"):
        prepared.prepare("ipadic")
    prepared.prepare("ipadic", full=False)
    for wrong in (raw[:-1], raw + b"\0", b""):
        path.write_bytes(wrong)
        with pytest.raises(IntegrityError, match=r"train-00001\.bits does not have one bit for each"):
            Shards(prepared.folder / "shards", "train", folder)
    path.unlink()
    with pytest.raises(IntegrityError, match=r"train-00001\.bits is missing"):
        Shards(prepared.folder / "shards", "train", folder)


def test_words_of_other_shards_are_refused(prepared: Data, tmp_path: Path) -> None:
    prepared.prepare("ipadic")
    (tmp_path / "other").mkdir()
    other = Data(tmp_path / "other", small.byte_level, [*TEXTS[:-1], "別の文です。"])
    other.prepare()
    with pytest.raises(IntegrityError, match="was made for other tokens"):
        Shards(other.folder / "shards", "train", prepared.folder / "words")


@pytest.mark.parametrize("cores", [1, 2])
def test_tokens_that_are_not_those_of_the_shards_are_refused(
    prepared: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(tasks, "ALONE", 0)
    monkeypatch.setattr(workers, "cores", lambda: cores)
    path = small.byte_level(tmp_path / "changed") / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["merges"] = []  # the same number of pieces, but あ is never one
    path.write_text(json.dumps(content), encoding="utf-8")
    changed = Encoder(path.parent)
    assert changed.vocab_size == prepared.encoder().vocab_size
    task = WordStarts("script", Corpus.open(prepared.folder / "corpus"), changed, prepared.folder)
    with pytest.raises(IntegrityError, match=r"train-0000\d\.bin: the tokenizer does not give these tokens"):
        task.write()
    assert "words" not in prepared.stages()


# -------------------------------------------------------------------------- work that is cut or divided


def test_several_processes_write_the_same_bytes(prepared: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, first = prepared.prepare("ipadic"), prepared.bits()
    monkeypatch.setattr(tasks, "ALONE", 0)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    prepared.drop()
    assert prepared.prepare("ipadic") == alone and prepared.bits() == first


def test_two_parts_are_the_bytes_of_one(prepared: Data) -> None:
    alone, first = prepared.prepare("ipadic"), prepared.bits()
    with pytest.raises(InputError, match="nothing to divide"):
        prepared.share(1, 2, "ipadic")
    prepared.drop()
    with pytest.raises(InputError, match="nothing to divide"):
        prepared.share(1, 2, None)
    count = len(Corpus.open(prepared.folder / "corpus").parts())
    told = [prepared.share(part, 2, "ipadic").metrics for part in (1, 2)]
    assert [t["stage"] for t in told] == ["words"] * 2 and sum(t["mine"] for t in told) == count
    assert "words" not in prepared.stages()
    assert prepared.prepare("ipadic") == alone and prepared.bits() == first
    assert not list(prepared.folder.glob(".parts-*"))


def test_words_of_the_tokenizer_are_not_divided(tmp_path: Path) -> None:
    data = Data(tmp_path, own, TEXTS[:20])
    data.prepare()
    with pytest.raises(InputError, match="its tokenizer's own: there is nothing to divide"):
        data.share(1, 2, "ipadic")


def test_a_recipe_divides_each_stage(base: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {
        "run_dir": str(tmp_path / "run"), "corpus": base.corpus.model_dump(exclude={"valid_inputs"}),
        "tokenizer": {"path": base.tokenizer.path}, "objective": {"name": "masked", "words": "script"},
    }  # fmt: skip
    recipe, told = Recipe.from_mapping(values), []
    for _ in range(3):
        told += [prepare(recipe, part=f"{part}/2").metrics["stage"] for part in (1, 2)]
        prepare(recipe, join=True)
        told += sorted(path.name for path in recipe.data_path.iterdir() if not path.name.startswith("."))
    assert told == [
        "read", "read", "corpus", "tokenizer",
        "tokenise", "tokenise", "corpus", "shards", "tokenizer",
        "words", "words", "corpus", "shards", "tokenizer", "words",
    ]  # fmt: skip
    errors = capsys.readouterr().err
    assert errors.count("put them together: tane prepare RECIPE --join") == 4
    assert "corpus and tokenizer are there; next: --part i/n" in errors
    assert "the tokens are there; next: --part i/n" in errors
    token_wise = recipe.with_values({"objective.whole_word": False})
    assert "words" not in prepare(token_wise).metrics and "words" in prepare(recipe).metrics


CHILD = """
import sys
from pathlib import Path
from tane import files
from tane.text.corpus import Corpus
from tane.tokens.encoder import Encoder
from tane.tokens.words import WordStarts
real, count = files.failpoint, 0
def failpoint(name):  # at the chosen one of the publishes, not at the first
    global count
    count += name == "publish.before_write"
    if count > 2:
        real(name)
files.failpoint = failpoint
data = Path(sys.argv[1])
WordStarts("ipadic", Corpus.open(data / "corpus"), Encoder(data / "tokenizer"), data).write()
"""


@pytest.mark.parametrize("point", ["before_manifest", "after_rename"])
def test_finished_parts_are_kept_when_the_work_is_killed(
    prepared: Data, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, first = prepared.prepare("ipadic"), prepared.bits()
    prepared.drop()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(prepared.folder)],
        env={**os.environ, "TANE_FAILPOINT": f"publish.{point}=kill"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "words" not in prepared.stages()
    [work] = prepared.folder.glob(".parts-*")
    kept = [path.name for path in work.iterdir() if not path.name.startswith(".")]
    assert len(kept) == (2 if point == "before_manifest" else 3)
    made: list[int] = []
    read = Corpus.part
    monkeypatch.setattr(
        Corpus, "part", lambda self, part, *n: (made.append(part.number), read(self, part, *n))[1]
    )
    assert prepared.prepare("ipadic") == alone and prepared.bits() == first
    assert made == list(range(len(kept), len(Corpus.open(prepared.folder / "corpus").parts())))


def test_a_signal_stops_the_work_and_says_how_to_go_on(prepared: Data) -> None:
    with signals.caught():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match=r"stopped by SIGTERM: finding words .* 0 of \d+ parts are kept"):
            prepared.task().write()
    assert "words" not in prepared.stages()
