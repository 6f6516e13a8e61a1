"""`tane play`: its address, its port, its end, and what it says when it cannot begin."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tane.cli import main
from tane.errors import InputError
from tane.play import server
from tane.play.server import Playground
from tests.play.clients import exchange, head, post
from tests.play.conftest import Serve


@pytest.mark.parametrize("end", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_command_serves_until_it_is_ended(short: Path, masked: Path, end: signal.Signals) -> None:
    flags = ["--port", "0", "--json", "--quiet"]
    command = [sys.executable, "-m", "tane", "play", str(short), str(masked), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr and process.stdout
        line = process.stderr.readline()
        found = re.fullmatch(r"open (http://127\.0\.0\.1:(\d+)/)\?token=([\w-]{32})\n", line)
        assert found, line
        with socket.create_connection(("127.0.0.1", int(found[2])), 10) as page:
            own = f"Host: 127.0.0.1:{found[2]}"
            page.sendall(f"GET / HTTP/1.1\r\n{own}\r\nConnection: close\r\n\r\n".encode())
            assert page.recv(15) == b"HTTP/1.1 200 OK"
        process.send_signal(end)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err  # this is how it ends: nothing was interrupted
    told = json.loads(out.splitlines()[-1])
    assert told["url"] == found[1] and told["models"] == [str(short), str(masked)]
    assert told["decoded"] == 0 and found[3] not in out and "Traceback" not in err


def test_a_port_that_is_taken(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["play", str(short), "--port", str(port), "--json"]) == 3
    told = capsys.readouterr()
    assert f"cannot serve on port {port}: another program uses it\n  -> --port 0" in told.err
    assert json.loads(told.out)["code"] == 3


def test_without_a_port_the_usual_one_or_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(server, "PORT", taken)
        with server._listen(None) as found:
            assert found.getsockname()[1] != taken


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none(short: Path, port: int) -> None:
    with pytest.raises(InputError, match="--port: expected 0"):
        Playground([str(short)], port=port)


def test_it_cannot_be_told_to_listen_elsewhere(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--host", "--bind", "--listen"):
        assert main(["play", str(short), flag, "0.0.0.0"]) == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_one_model_or_two(short: Path) -> None:
    with pytest.raises(InputError, match="one model, or two to compare, found 3"):
        Playground([str(short)] * 3, port=0)


def test_a_model_that_is_none_leaves_no_port(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(InputError, match="does not exist"):
        Playground([str(tmp_path / "none")], port=port)
    server._listen(port).close()


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = importlib.util.find_spec

    def without(name: str, *more: Any) -> Any:
        return None if name == missing else inner(name, *more)

    monkeypatch.setattr(server.importlib.util, "find_spec", without)
    assert main(["play", "nowhere"]) == 2
    told = f"needs {missing}, which is not installed\n  -> pip install 'tane[play]'"
    assert told in capsys.readouterr().err


def test_what_the_page_is_told_of_the_models(serve: Serve, short: Path, masked: Path) -> None:
    playground = serve(short, masked)
    first, second = post(playground, "/api/models", {}).json()["models"]
    assert first["does"] == "generate" and second["does"] == "fill"
    assert first["positions"] == 64 and first["name"] == str(short) and first["pieces"] > 256
    assert second["parameters"] > 1000 and second["family"] == "bert"


def test_the_page_comes_whole_and_names_no_other_host(serve: Serve, short: Path) -> None:
    playground = serve(short)
    page = exchange(playground, head(playground, "/?token=x", {"Origin": None}, method="GET"))
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    asked = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert "/app.js" in asked and "/style.css" in asked
    files = [exchange(playground, head(playground, path, {"Origin": None}, method="GET")) for path in asked]
    assert [one.status for one in files] == [200] * len(asked)
    for text in (page.body.decode(), *(one.body.decode() for one in files)):
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
        assert "innerHTML" not in text and "eval(" not in text and "onclick" not in text
        assert "insertAdjacentHTML" not in text and "document.write" not in text
    assert "<style" not in page.body.decode() and " style=" not in page.body.decode()
