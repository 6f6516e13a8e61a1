"""The log: whole lines, also after one that was torn, and a run that goes on where it cannot be written."""

import os
from pathlib import Path

import pytest

from tane.errors import ResourceError
from tane.training.tracker import LOG, Tracker, read_metrics


def tracker(folder: Path) -> Tracker:
    return Tracker(folder, tensorboard=False, total=100, step=0)


def test_a_torn_last_line_spoils_no_other(tmp_path: Path) -> None:
    first = tracker(tmp_path)
    first.event("step", 1, loss=1.0)
    first.close()
    with open(tmp_path / LOG, "a") as file:
        file.write('{"event": "st')
    second = tracker(tmp_path)
    second.event("start", 1)
    second.event("step", 2, loss=2.0)
    second.close()
    assert [event["loss"] for event in read_metrics(tmp_path, "step")] == [1.0, 2.0]
    assert len(read_metrics(tmp_path, "start")) == 1


def test_a_line_that_was_written_in_part_is_told_and_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, write = tracker(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:9]))
    log.event("step", 1, loss=1.0)
    log.event("step", 2, loss=2.0)
    monkeypatch.setattr(os, "write", write)
    log.event("step", 3, loss=3.0)
    log.close()
    assert [event["step"] for event in read_metrics(tmp_path, "step")] == [3]
    assert capsys.readouterr().err.count("the log cannot be written") == 1


def test_a_log_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / LOG).symlink_to("/dev/full/nowhere")
    with pytest.raises((ResourceError, NotADirectoryError)):
        tracker(tmp_path)
