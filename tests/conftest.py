"""What many tests share: real text where it is at hand, and a small text of our own."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # before torch is imported: threads must not spin on busy cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts commands behind & so
    signal.signal(signal.SIGINT, signal.default_int_handler)  # or no child would ever see Ctrl-C

from tests.labelled import decoder, encoder, make, pair_files  # noqa: F401 - fixtures


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real text that TANE_TEST_DATA names."""
    folder = os.environ.get("TANE_TEST_DATA")
    if not folder:
        pytest.skip("TANE_TEST_DATA is not set: no real text at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def sample_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with 1,200 stories of the bundled sample corpus."""
    from tane.sample import write_corpus

    path = tmp_path_factory.mktemp("sample") / "sample.txt"
    write_corpus(path, count=1200)
    return path
