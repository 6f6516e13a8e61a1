"""Signals: the first asks, the second leaves, handlers are put back, other threads see nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tane import signals
from tane.errors import Interrupted, Stopped

BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def same_handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in BOTH]
    yield
    assert [signal.getsignal(number) for number in BOTH] == before
    assert signals.requested() is None


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # the handler runs between two bytecodes of the main thread


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_sets_the_flag_and_no_more(number: signal.Signals) -> None:
    with signals.caught():
        assert signals.requested() is None
        signals.poll("nothing was asked")
        send(number)
        assert signals.requested() == number.name
        with pytest.raises(Interrupted, match=f"stopped by {number.name}: half of it is left") as caught:
            signals.poll("half of it is left")
        assert caught.value.code == 130
        assert signals.requested() == number.name, "asking does not forget"


def test_handlers_are_put_back_after_an_error() -> None:
    with pytest.raises(RuntimeError), signals.caught():
        send(signal.SIGTERM)
        raise RuntimeError


def test_a_use_inside_another_keeps_the_flag() -> None:
    with signals.caught():
        with signals.caught():
            send(signal.SIGINT)
        assert signals.requested() == "SIGINT"
        with signals.caught():
            assert signals.requested() == "SIGINT"


def test_a_new_use_begins_without_a_flag() -> None:
    with signals.caught():
        send(signal.SIGTERM)
    with signals.caught():
        assert signals.requested() is None


def test_other_threads_change_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with signals.caught():
            seen.extend(signal.getsignal(number) for number in BOTH)

    before = [signal.getsignal(number) for number in BOTH]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
    with signals.caught():
        send(signal.SIGTERM)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signals.requested() == "SIGTERM", "a thread that ends does not clear the flag of the main one"


CHILD = """
import time
from tane import signals
with signals.caught():
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
"""


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGINT)])
def test_the_second_signal_leaves_at_once(numbers: tuple[int, int]) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        child.send_signal(numbers[0])
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.3)
        start = time.monotonic()
        child.send_signal(numbers[1])
        assert child.wait(timeout=10) == 130
        assert time.monotonic() - start < 5 and child.stdout.read() == "", "nothing more is done"


ORPHAN = """
import os, subprocess, sys
code = (
    "import os, time; from tane import signals; signals.die_with_parent(os.getppid()); "
    "print('born', flush=True); time.sleep(60)"
)
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the kernel of Linux alone tells a child that its parent died"
)
def test_a_child_dies_with_its_parent_and_not_by_the_parents_signals() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        for number in BOTH:
            os.kill(child, number)
        time.sleep(0.1)
        assert alive(child), "a child leaves SIGTERM and SIGINT to its parent"
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_was_kept_makes_an_interruption_a_stop(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), signals.kept(tmp_path / "gone"):
        raise Interrupted("stopped by SIGTERM: x")
    with pytest.raises(Stopped) as stopped, signals.kept(tmp_path / "gone", tmp_path):
        raise Interrupted("stopped by SIGTERM: x")
    assert stopped.value.code == 75 and stopped.value.message == "stopped by SIGTERM: x"
    assert "run the same command again" in stopped.value.remedy
