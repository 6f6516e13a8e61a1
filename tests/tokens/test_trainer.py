"""The trainer: memory stays below the limit, samples are drawn by keys, errors and signals come through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tane import signals
from tane.errors import InputError, Interrupted, ResourceError
from tane.text.corpus import Corpus, CorpusSettings, build_corpus
from tane.tokens import trainer
from tane.tokens.specials import CAUSAL

KIND = '''
import os, sys, time
from pathlib import Path

class Greedy:
    """Takes as much memory as it is told, and notes how much text it sees each time."""
    bytes_per_char = 1.0

    def needs(self, job):
        return 0

    def train(self, texts, job):
        size = sum(map(len, texts))
        with open(job.dictionary, "a") as file:
            file.write(f"{size}\\n")
        (job.folder / "begun").write_text("x")
        hold = []
        for _ in range(size):
            hold.append(bytearray(1000))

class Sudden(Greedy):
    """Asks for all of its memory at once."""
    def train(self, texts, job):
        bytearray(100_000 * sum(map(len, texts)))

class Slow(Greedy):
    def train(self, texts, job):
        Path(job.dictionary).write_text(str(os.getpid()))
        time.sleep(60)

class Broken(Greedy):
    def train(self, texts, job):
        raise ZeroDivisionError("no such thing")

class Killed(Greedy):
    def train(self, texts, job):
        os.kill(os.getpid(), 9)

class Noisy(Greedy):
    def train(self, texts, job):
        os.write(1, b"a library prints this\\n" * 10_000)
        print("and this")
        sum(map(len, texts))
'''


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """398,000 characters in 2,000 documents, all for training."""
    folder = tmp_path_factory.mktemp("corpus")
    lines = (f"{i:06d}" + "あいうえお、かきくけこ。" * 16 + "ん" for i in range(2000))
    (folder / "source.txt").write_text("\n".join(lines), encoding="utf-8")
    chosen: dict[str, Any] = {"inputs": [str(folder / "source.txt")], "unit": "line", "valid_fraction": 0}
    build_corpus(CorpusSettings(**chosen), folder / "corpus")
    return folder / "corpus"


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kinds_of_test.py").write_text(KIND, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def train(kind: str, corpus: Path, folder: Path, ram: int, **values: Any) -> trainer.Trained:
    folder.mkdir()
    options: dict[str, Any] = {"vocab_size": 500, "coverage": 0.9995, "dictionary": "ipadic", **values}
    return trainer.train(kind, corpus, folder, specials=CAUSAL, ram=ram, **options)


linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells a process's memory"
)


@linux
@pytest.mark.parametrize(
    ("kind", "ram"), [("unigram", 100), ("bpe", 112), ("character", 95), ("mecab-wordpiece", 190)]
)
def test_memory_stays_below_a_tight_limit(kind: str, ram: int, corpus: Path, tmp_path: Path) -> None:
    limit = ram * 10**6
    trained = train(kind, corpus, tmp_path / "t", limit)
    assert 30_000_000 < trained.peak <= limit
    assert (tmp_path / "t" / "tokenizer_config.json").exists()
    if kind in ("unigram", "bpe"):
        assert 0 < trained.used < trained.characters == 398_000


def test_with_room_all_of_the_text_is_used(corpus: Path, tmp_path: Path) -> None:
    trained = train("unigram", corpus, tmp_path / "t", 10**9)
    assert trained.used == trained.characters and trained.share == 1


def test_the_same_limit_gives_the_same_sample_and_bytes(corpus: Path, tmp_path: Path) -> None:
    one, two = (train("bpe", corpus, tmp_path / name, 112 * 10**6) for name in ("one", "two"))
    assert one.used == two.used < one.characters
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("kind", ["unigram", "bpe", "character", "mecab-wordpiece"])
def test_too_low_a_limit_is_refused_with_the_least(kind: str, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"tokenizer\.ram is 50 MB, but training {kind} takes \d+MB"
    ) as caught:
        train(kind, corpus, tmp_path / "t", 50_000_000)
    least = int(caught.value.remedy.removeprefix("--tokenizer.ram ").removesuffix("MB"))
    trained = train(kind, corpus, tmp_path / "u", least * 10**6)
    assert trained.used > 0


@linux
@pytest.mark.usefixtures("kinds")
def test_a_trainer_that_meets_the_limit_gets_half_as_much(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = tmp_path / "seen"
    limit = trainer.BASE + 150_000_000  # it takes 1,000 bytes a character
    trained = train("kinds_of_test:Greedy", corpus, tmp_path / "t", limit, dictionary=str(seen))
    sizes = [int(size) for size in seen.read_text().split()]
    assert len(sizes) >= 3 and sizes[-1] == trained.used < 200_000 and trained.peak <= limit
    assert sizes == sorted(sizes, reverse=True)
    said = capsys.readouterr().err
    assert said.count("the tokenizer's trainer met tokenizer.ram (220 MB): using less of the text") >= 2


@linux
@pytest.mark.usefixtures("kinds")
def test_memory_asked_for_at_once_is_refused_by_the_system(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="on a small part of the text takes more"):
        train("kinds_of_test:Sudden", corpus, tmp_path / "t", trainer.BASE + 50_000_000)


@pytest.mark.usefixtures("kinds")
def test_faults_of_the_child_come_through(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError: no such thing"):
        train("kinds_of_test:Broken", corpus, tmp_path / "a", 10**9)
    with pytest.raises(ResourceError, match="killed by signal 9"):
        train("kinds_of_test:Killed", corpus, tmp_path / "b", 10**9)
    assert train("kinds_of_test:Noisy", corpus, tmp_path / "c", 10**9).share == 1
    with pytest.raises(InputError, match="unknown name 'nonsense'"):
        train("nonsense", corpus, tmp_path / "d", 10**9)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] == "Z"


def wait_for(path: Path) -> int:
    for _ in range(600):
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


@pytest.mark.usefixtures("kinds")
def test_a_signal_ends_the_child(corpus: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def interrupt() -> None:
        wait_for(note)
        os.kill(os.getpid(), signal.SIGTERM)

    with (
        signals.caught(),
        pytest.raises(Interrupted, match="stopped by SIGTERM: the tokenizer was being trained"),
    ):
        threading.Thread(target=interrupt).start()
        train("kinds_of_test:Slow", corpus, tmp_path / "t", 10**9, dictionary=str(note))
    assert gone(int(note.read_text()))


@linux
@pytest.mark.usefixtures("kinds")
def test_the_child_dies_with_its_parent(corpus: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import sys\nfrom pathlib import Path\nfrom tane.tokens import trainer\n"
        "from tane.tokens.specials import CAUSAL\nPath(sys.argv[2]).mkdir()\n"
        "trainer.train('kinds_of_test:Slow', Path(sys.argv[1]), Path(sys.argv[2]), vocab_size=500,"
        " coverage=1.0, dictionary=sys.argv[3], specials=CAUSAL, ram=10**9)"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(corpus), str(tmp_path / "t"), str(note)],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        child = wait_for(note)
    finally:
        parent.kill()
        parent.wait()
    for _ in range(100):
        if gone(child):
            return
        time.sleep(0.05)
    raise AssertionError("the child lives on")


# -------------------------------------------------------------------------------------------------- samples


def test_a_sample_is_drawn_by_document_and_fits() -> None:
    texts = [f"{i:04d}" + "あ" * 96 for i in range(5000)]
    sample = trainer.Sample(texts, 500_000, 100_000)
    drawn = list(sample)
    assert set(drawn) <= set(texts) and sample.used == 100 * len(drawn)
    assert 85_000 < sample.used <= 100_000
    places = [int(text[:4]) for text in drawn]
    assert places == sorted(places) and places[-1] > 4000, "over all of the text"
    smaller = set(trainer.Sample(texts, 500_000, 50_000))
    assert smaller < set(drawn), "less memory takes some of the same documents"
    assert list(trainer.Sample(texts, 500_000, 500_000)) == texts


def test_long_documents_are_cut_never_skipped() -> None:
    text = "これは一つの長い文書です。" * 20_000
    assert "".join(trainer.Sample([text], len(text), len(text))) == text
    sample = trainer.Sample([text], len(text), len(text) // 2)
    drawn = list(sample)
    assert len(drawn) > 3 and all(len(passage) <= trainer.PASSAGE for passage in drawn)
    assert 0 < sample.used <= len(text) // 2


def test_the_corpus_is_read_as_it_is(corpus: Path) -> None:
    total = Corpus.open(corpus).manifest.meta["characters"]["train"]
    sample = trainer.Sample(Corpus.open(corpus).texts("train"), total, total)
    assert sum(map(len, sample)) == sample.used == total
