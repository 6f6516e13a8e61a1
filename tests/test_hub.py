"""Whether the hub can be reached, with and without a proxy before it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tane import hub

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HF_HUB_OFFLINE", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine on which something answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_endpoint_is_asked(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert hub.reachable()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub.reachable()


@pytest.mark.parametrize(
    "endpoint", [f"http://127.0.0.1:{closed_port()}", "http://127.0.0.1:99999", "http://"],
    ids=["closed", "impossible", "none"],
)  # fmt: skip
def test_what_does_not_answer_is_not_reachable(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert not hub.reachable()


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://me:secret@127.0.0.1:{}/", "127.0.0.1:{}"])
def test_the_proxy_is_asked_in_its_place(
    monkeypatch: pytest.MonkeyPatch, port: int, name: str, form: str
) -> None:
    """Behind a proxy no name outside is known and no way leads there, yet the hub can be reached."""
    closed = closed_port()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed}")
    monkeypatch.setenv(name, form.format(port))
    assert hub.reachable()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert not hub.reachable()
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv(name, form.format(closed))
    assert not hub.reachable(), "the hub's library would ask the proxy, too"
