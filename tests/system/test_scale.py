"""Memory does not grow with the text: twice the documents or files, or a line of twice the length.

The sizes by which the work is cut up are made a tenth and less here, so that small inputs go through as many
rounds as gigabytes do. The smaller input fills each buffer once, so that what the larger one takes beside it
is growth. The full sizes are a fault of the suite in faults/ (see faults/scale.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.faults.scale import DOCUMENTS, FILES, LINE, write_input

# prepares the inputs one after another, and tells after each the most memory that was taken so far
PREPARE = """
import json, sys
from pathlib import Path
from tane import progress, workers
from tane.text import corpus, fates, parts, pieces
from tane.tokens import encoder, tasks
from tane.tokens.prepare import prepare_data
from tane.tokens.tokenizer import TokenizerSettings
from tane.tokens.trainer import memory

workers.cores = lambda: 1
fates.STEP, fates.LIMIT = 2_000, 5_000
parts.PART_BYTES, parts._BATCH = 4_000_000, 1 << 14
pieces.FRAGMENT, pieces.PIECE_FILES = 1 << 16, 100
encoder.BATCH_CHARS = tasks.BATCH_CHARS = 100_000
read_only = sys.argv[1] == "read"
for number, values in enumerate(json.loads(sys.argv[2])):
    folder = Path(sys.argv[3], str(number))
    settings = corpus.CorpusSettings(max_document_chars=20_000, **values)
    with progress.silenced():
        if read_only:
            corpus.build_corpus(settings, folder / "corpus")
            corpus.fingerprint(settings, corpus.input_state(settings))
        else:
            prepare_data(settings, TokenizerSettings(kind="character"), folder)
    found = corpus.Corpus.open(folder / "corpus").meta["documents"]
    print(json.dumps([memory("self", "VmHWM"), sum(found.values())]), flush=True)
"""
WARM = 6_000_000  # bytes that a second round of the same size may take: the allocator's own
# what to do; bytes, documents or files; bytes of memory that each more of them may take
CASES = {
    "a line": (LINE, "all", 12_000_000, 0.25),
    "documents": (DOCUMENTS, "all", 60_000, 150),  # which a part holds for a moment
    "files": (FILES, "read", 2_000, 3_000),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")
@pytest.mark.parametrize("name", CASES)
def test_twice_the_text_takes_no_more_memory(tmp_path: Path, name: str) -> None:
    kind, what, size, each = CASES[name]
    inputs: list[dict[str, Any]] = []
    for number, count in enumerate((size, 2 * size)):
        path, values = write_input(tmp_path / f"in-{number}", kind, count)
        inputs.append({"inputs": [str(path)], **values})
    command = [sys.executable, "-c", PREPARE, what, json.dumps(inputs), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (small, few), (large, many) = map(json.loads, done.stdout.splitlines())
    assert 1.8 * few < many < 2.2 * few
    assert large - small < WARM + size * each
