"""A URL source whose server dies in the middle ends with the right file or none."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest

from tane import signals
from tane.errors import InputError, IntegrityError, ResourceError, Stopped
from tane.text import transfer, web
from tane.text.web import PARTIAL, RECORD, cache_folder, fetch, masked, safe_name
from tests.text.server import Answer, Server, serving

DATA = random.Random(0).randbytes(3_000_000)
GOOD = Answer(DATA)
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no proxies, no pause, and patience that no busy machine exhausts."""
    monkeypatch.setenv("TANE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("CONNECT", "STALL", "GRACE"):
        monkeypatch.setattr(transfer, name, 30.0)
    monkeypatch.setattr(web, "PAUSE", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def impatient_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer may be silent for 0.4 s; from the first retry on, silence is borne."""
    patient = transfer.STALL

    def wait(seconds: float) -> None:
        monkeypatch.setattr(transfer, "STALL", patient)

    monkeypatch.setattr(transfer, "STALL", 0.4)
    monkeypatch.setattr(web, "_wait", wait)


def refused(url: str, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        fetch(url, **options)
    return str(error.value)


def leftovers(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.rglob("*") if p.is_file() and p.name != ".lock")


# ---------------------------------------------------------------------------------------- whole and cached


def test_downloaded_once(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(GOOD) as server:
        url = f"{server.url}/texts/x.jsonl.gz?version=2#part"
        path = fetch(url)
        assert path.read_bytes() == DATA
        assert path == cache / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32] / "x.jsonl.gz"
        assert server.requests[0][0] == "/texts/x.jsonl.gz?version=2"
        assert server.requests[0][1]["Accept-Encoding"] == "identity"
        assert fetch(url) == fetch(url, sha256=HASH.upper()) == path and len(server.requests) == 1
    assert fetch(url) == path, "without any network"
    told = capsys.readouterr().err.replace("\r", "\n").split("\n")  # a bar may follow
    assert [line for line in told if line.startswith("downloading http")] == [
        f"downloading {url} (3.0 MB) to {path}"
    ]
    record = json.loads((path.parent / RECORD).read_text())
    assert (record["url"], record["size"], record["sha256"], record["etag"]) == (
        url,
        len(DATA),
        HASH,
        '"one"',
    )
    assert record["fetched"].startswith("20")
    assert leftovers(cache) == [RECORD, "x.jsonl.gz"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TANE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tane"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache_folder() == tmp_path / "me" / ".cache" / "tane"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(DATA, chunked=True),
        Answer(DATA, length=False),
        Answer(DATA, etag="", modified=""),
        Answer(b""),
        Answer(b"\n", length=False),
    ],
    ids=["chunked", "unknown length", "no validators", "empty", "one byte"],
)
def test_other_ways_of_sending(answer: Answer) -> None:
    with serving(answer) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == answer.content


def test_a_damaged_cached_file_is_fetched_again(cache: Path) -> None:
    with serving(GOOD) as server:
        url = server.url + "/a.txt"
        path = fetch(url)
        path.write_bytes(DATA[:-1])
        assert fetch(url).read_bytes() == DATA and len(server.requests) == 2
        path.write_bytes(b"x" + DATA[1:])
        assert fetch(url) == path and len(server.requests) == 2, "of the same size: only the hash tells"
        assert fetch(url, sha256=HASH).read_bytes() == DATA and len(server.requests) == 3
    path.write_bytes(DATA[:-1])
    with pytest.raises(IntegrityError, match=r"has 2,999,999 bytes, not 3,000,000.*cannot be reached"):
        fetch(url)
    path.write_bytes(b"x" + DATA[1:])
    with pytest.raises(IntegrityError, match="has the SHA-256"):
        fetch(url, sha256=HASH)


def test_a_wrong_hash_is_never_published(cache: Path) -> None:
    with serving(GOOD, Answer(DATA, cut=2_000_000), GOOD) as server:
        for _ in range(2):  # whole, and resumed
            with pytest.raises(IntegrityError, match=f"has the SHA-256 {HASH}, not {'0' * 64}"):
                fetch(server.url + "/a.txt", sha256="0" * 64)
            assert leftovers(cache) == []
        assert fetch(server.url + "/a.txt", sha256=HASH).read_bytes() == DATA


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_file_that_a_person_put_there(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{closed_port()}/a%20b.txt"
    place = Path(refused(url).partition("put the file at ")[2].removesuffix(" yourself"))
    assert place.name == "a b.txt"
    place.write_bytes(DATA)
    with pytest.raises(IntegrityError, match="cannot be reached"):
        fetch(url, sha256="0" * 64)
    assert fetch(url, sha256=HASH) == fetch(url) == place
    assert capsys.readouterr().err.count("which was put there") == 1


# ---------------------------------------------------------------------------------------- cut and resumed


@pytest.mark.parametrize("how", ["reset", "silent", "ended early", "chunked"])
@pytest.mark.parametrize(
    "validator", [{"etag": '"a"'}, {"etag": "", "modified": "Mon, 01 Jan 2024 00:00:00 GMT"}]
)
def test_cut_in_the_middle_then_resumed(
    cache: Path, how: str, validator: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if how == "silent":
        request.getfixturevalue("impatient_once")
    bad = {
        "reset": Answer(DATA, cut=1_000_000, **validator),
        "silent": Answer(DATA, silent=1_000_000, **validator),
        "ended early": Answer(DATA, cut=1_000_000, reset=False, **validator),
        "chunked": Answer(DATA, cut=1_000_000, chunked=True, **validator),
    }[how]
    with serving(bad, Answer(DATA, **validator)) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA
        (_, first), (_, second) = server.requests
        start = int(str(second["Range"]).removeprefix("bytes=").removesuffix("-"))
        assert first["Range"] is None and 0 < start <= 1_000_000
        assert second["If-Range"] == (validator["etag"] or validator["modified"])
    assert leftovers(cache) == [RECORD, "a.txt"]


def test_cut_again_and_again(cache: Path) -> None:
    """Each answer breaks off, but every one brings more than GAIN: all goes on until the file is whole."""
    broken = Answer(DATA * 3, cut=1_200_000, reset=False)
    with serving(*[broken] * 7, Answer(DATA * 3)) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA * 3
        assert server.ranges() == [None, *(f"bytes={n}-" for n in range(1_200_000, 9_000_000, 1_200_000))]


def test_the_server_dies_for_good(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Answer(DATA, cut=800_000), Answer(DATA, cut=0)) as server:
        url = server.url + "/a.txt"
        message = refused(url)
        assert "broken off 4 times" in message and "it goes on from there" in message
        assert len(server.requests) == 4
    assert capsys.readouterr().err.count("trying again") == 3
    part = next(cache.rglob(PARTIAL)).read_bytes()
    assert 0 < len(part) <= 800_000 and DATA.startswith(part)
    assert "connection refused" in refused(url)
    assert leftovers(cache) == [PARTIAL, web.STATE], "no file"
    with serving(GOOD, port=server.port) as again:
        assert fetch(url).read_bytes() == DATA
        assert again.ranges() == [f"bytes={len(part)}-"]
    assert "going on at" in capsys.readouterr().err


def test_a_server_that_says_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL", 0.4)
    with serving(Answer(DATA, silent=0, ranges=False)) as server:
        assert "no byte came for 0.4 s" in refused(server.url + "/a.txt")
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections, never answers
    with listener:
        assert "no byte came for 0.4 s" in refused(f"http://127.0.0.1:{listener.getsockname()[1]}/a.txt")
    assert not list(cache.rglob("a.txt"))


@pytest.mark.parametrize(
    ("second", "requests"),
    [
        (Answer(DATA[::-1], etag='"two"'), 2),
        (Answer(DATA[::-1], etag='"two"', range_as="bytes {start}-2999999/3000000"), 3),
        (Answer(DATA, ranges=False), 2),
        (Answer(DATA, range_from=5), 3),
        (Answer(DATA, range_as="bytes {start}-2999999/4000000"), 3),
        (Answer(DATA, range_as="bytes {start}-2999998/3000000"), 3),
        (Answer(DATA, range_as="nonsense"), 3),
        (Answer(DATA[:10]), 3),
    ],
    ids=["changed", "changed, yet a part", "no ranges", "another place", "another size", "another end",
         "nonsense", "416"],
)  # fmt: skip
def test_what_does_not_fit_starts_over(second: Answer, requests: int) -> None:
    """Right bytes whatever the server says: what is here is dropped, or replaced by a whole answer."""
    with serving(Answer(DATA, cut=1_000_000), second) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == second.content
        assert server.ranges() == [None, server.ranges()[1], None][:requests]
        assert str(server.ranges()[1]).startswith("bytes=")


@pytest.mark.parametrize("given", ["bytes {start}-2999999/*", "bytes {start}-2999999/3000000"])
def test_a_file_of_unknown_length_is_resumed_when_the_part_tells_it(given: str) -> None:
    broken = Answer(DATA, cut=1_000_000, chunked=True, reset=False)
    with serving(broken, Answer(DATA, range_as=given, chunked=True)) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA
        assert server.ranges() == [None, "bytes=1000000-", None][: 3 if given.endswith("*") else 2]


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_without_a_strong_validator_nothing_is_resumed(etag: str) -> None:
    with serving(Answer(DATA, etag=etag, cut=1_000_000), Answer(DATA[::-1], etag=etag)) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA[::-1]
        assert server.ranges() == [None, None]


def test_a_whole_part_is_published_without_asking_again(cache: Path) -> None:
    with serving(Answer(DATA, cut=1_000_000)) as server:
        url = server.url + "/a.txt"
        refused(url)
    next(cache.rglob(PARTIAL)).write_bytes(DATA)  # as if it was killed between the last byte and the rename
    assert fetch(url, sha256=HASH).read_bytes() == DATA


@pytest.mark.parametrize(
    "state", [None, "{", "[]", '{"size": 1, "etag": "x"}', '{"name": "../x", "etag": ""}']
)
def test_a_part_without_a_state_that_fits_is_dropped(cache: Path, state: str | None) -> None:
    # so little that all tries together do not bring the whole file, also when one of them is reset
    with serving(Answer(DATA, cut=500_000)) as server:
        refused(server.url + "/a.txt")
    place = next(cache.rglob(web.STATE))
    place.unlink()
    if state is not None:
        place.write_text(state)
    with serving(GOOD, port=server.port) as again:
        assert fetch(again.url + "/a.txt").read_bytes() == DATA and again.ranges() == [None]


def test_a_state_chooses_no_place(cache: Path) -> None:
    with serving(Answer(DATA, cut=500_000)) as server:
        refused(server.url + "/a.txt")
    place = next(cache.rglob(web.STATE))
    place.write_text(json.dumps({**json.loads(place.read_text()), "name": "../../../x.txt"}))
    with serving(GOOD, port=server.port) as again:
        assert fetch(again.url + "/a.txt") == place.parent / "x.txt" and again.ranges() != [None]


# ---------------------------------------------------------------------------------------- lies and refusals


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_more_bytes_than_announced(cache: Path, size: int) -> None:
    data = DATA[:size]
    for answer in (Answer(data, announced=size - 5), Answer(data, announced=0), Answer(data, extra=b"x")):
        with serving(answer) as server:
            assert "more bytes than it announces" in refused(server.url + "/a.txt")
        assert leftovers(cache) == []


def test_fewer_bytes_than_announced(cache: Path) -> None:
    with serving(Answer(DATA[:5_000], announced=6_000, ranges=False)) as server:
        assert "broken off 4 times, at last after 5,000 bytes" in refused(server.url + "/a.txt")
        assert len(server.requests) == 4 and not list(cache.rglob("a.txt"))


def test_chunks_that_never_end_properly(cache: Path) -> None:
    with serving(Answer(DATA, chunked=True, cut=len(DATA), ranges=False)) as server:
        assert "broken off" in refused(server.url + "/a.txt") and not list(cache.rglob("a.txt"))


def test_a_connection_that_stays_open_after_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "GRACE", 0.1)
    with serving(Answer(DATA, silent=len(DATA))) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA


def test_a_part_that_nobody_asked_for() -> None:
    with serving(Answer(DATA, status=206, headers=(("Content-Range", "bytes 0-2999999/9999999"),))) as server:
        assert "sends a part" in refused(server.url + "/a.txt")


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 416, 500, 503])
def test_other_statuses(status: int, cache: Path) -> None:
    with serving(Answer(b"<html>no</html>" * (status not in (204, 304)), status=status)) as server:
        assert f"the server answered {status}" in refused(server.url + "/a.txt")
        assert len(server.requests) == 1 and not list(cache.rglob("a.txt"))


def test_packed_on_the_way() -> None:
    packed = gzip.compress(DATA)
    with serving(Answer(packed, headers=(("Content-Encoding", "gzip"),))) as server:
        assert "packed as gzip, though it was asked not to" in refused(server.url + "/a.txt")
        # servers that take a file's own packing for one of the way send the file as it is
        assert fetch(server.url + "/a.txt.gz").read_bytes() == packed
        assert "packed as gzip" in refused(server.url + "/a.txt.zst")


def test_what_does_not_speak_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail server ready\r\n")

        threading.Thread(target=greet, daemon=True).start()
        assert "broken off 4 times" in refused(f"http://127.0.0.1:{listener.getsockname()[1]}/a.txt")
        listener.shutdown(socket.SHUT_RDWR)


# ---------------------------------------------------------------------------------------- hosts and URLs


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.txt",
        "http://",
        "http:///a.txt",
        "http://h:x/",
        "http://[::1/",
    ],
)
def test_what_is_no_url_to_fetch(url: str) -> None:
    assert "is no URL" in refused(url)


def test_an_unreachable_host_is_one_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(f"http://127.0.0.1:{closed_port()}/a.txt")
    assert "127.0.0.1 cannot be reached: connection refused" in message and "put the file at" in message

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    def hang(*_: object, **__: object) -> None:  # such as a name server that is silent
        time.sleep(30)
        raise OSError

    monkeypatch.setattr(transfer.socket, "getaddrinfo", unknown)
    assert "example.com cannot be reached: its name is not known" in refused("http://example.com/a.txt")
    monkeypatch.setattr(transfer, "CONNECT", 0.3)
    monkeypatch.setattr(transfer.socket, "getaddrinfo", hang)
    assert "example.com cannot be reached: no answer within 0.3 s" in refused("http://example.com/a.txt")


def test_credentials_are_used_and_never_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Answer(DATA, status=403), GOOD) as server:
        url = server.url.replace("//", "//me:s%40cret@") + "/a.txt?id=3&api_key=abcd&X-Amz-Signature=ef#x"
        message = refused(url)
        path = fetch(url)
        assert server.requests[1][1]["Authorization"] == "Basic bWU6c0BjcmV0"  # me:s@cret
        assert server.requests[1][1]["Host"] in server.url
        assert server.requests[1][0].endswith("id=3&api_key=abcd&X-Amz-Signature=ef")
    said = message + capsys.readouterr().err + (path.parent / RECORD).read_text()
    assert "//***@127" in said and "id=3&api_key=***&X-Amz-Signature=***" in said
    assert not any(word in said for word in ("cret", "me:", "abcd", "=ef"))
    assert masked("https://a/b?c=d") == "https://a/b?c=d" and masked("http://u@h/") == "http://***@h/"
    assert masked("http://h/p@q?x@y") == "http://h/p@q?x@y"


def test_redirects(cache: Path) -> None:
    with serving(GOOD) as goal:

        def to(place: str) -> Answer:
            return Answer(b"moved" * 1_000, status=302, headers=(("Location", place),))

        with serving(to("/b.txt"), to(goal.url + "/データ.txt".encode().decode("latin-1"))) as server:
            url = server.url.replace("//", "//me:secret@") + "/get?id=3"
            path = fetch(url)
            assert path.read_bytes() == DATA and path.name == "データ.txt"
            assert [h["Authorization"] is not None for _, h in server.requests] == [True, True]
            assert goal.requests[0][1]["Authorization"] is None, "another host"
        impossible = f"http://{'a' * 64}.example/"
        for place, message in (
            ("file:///etc/passwd", "answered 302"), ("ftp://h/a", "to ftp"), ("http://h:x/a", "broken off"),
            (impossible, "its name is none that a host can have"),
        ):  # fmt: skip
            with serving(to(place)) as server:
                assert message in refused(server.url + "/a.txt")
    with serving(Answer(status=301, headers=(("Location", "/a.txt"),))) as server:
        assert "answered 301" in refused(server.url + "/a.txt") and len(server.requests) < 12


def test_a_resumed_download_is_redirected_too() -> None:
    with serving(Answer(DATA, cut=1_000_000), GOOD) as goal:
        moved = Answer(status=307, headers=(("Location", goal.url + "/a.txt"),))
        with serving(moved) as server:
            assert fetch(server.url + "/x.txt").read_bytes() == DATA
        assert goal.ranges()[0] is None and str(goal.ranges()[1]).startswith("bytes=")


def test_a_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(GOOD) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetch("http://example.com/a.txt").read_bytes() == DATA
        assert proxy.requests[0][0] == "http://example.com/a.txt"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with serving(GOOD) as server:
            assert fetch(server.url + "/a.txt").read_bytes() == DATA
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    assert "cannot be reached: connection refused" in refused("https://example.com/a.txt")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", "-", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    path.write_text(made.stdout)
    return path


def test_https(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Answer(DATA, cut=1_000_000), GOOD, certificate=certificate) as server:
        assert "certificate cannot be verified" in refused(server.url + "/a.txt")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(server.url + "/a.txt").read_bytes() == DATA and len(server.requests) == 2
    with serving(GOOD) as plain:
        down = Answer(status=302, headers=(("Location", plain.url + "/a.txt"),))
        with serving(down, certificate=certificate) as server:
            assert "redirects from https to http" in refused(server.url + "/a.txt")
            up = Answer(status=302, headers=(("Location", server.url + "/a.txt"),))
            server.answers[:] = [GOOD]
            plain.answers[:] = [up]
            assert fetch(plain.url + "/a.txt").read_bytes() == DATA


def test_silence_over_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch, impatient_once: None) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(Answer(DATA, silent=1_000_000), GOOD, certificate=certificate) as server:
        assert fetch(server.url + "/a.txt").read_bytes() == DATA and len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (Answer(DATA), True),
        (Answer(DATA, chunked=True), True),
        (Answer(DATA, length=False, farewell=True), True),
        (Answer(DATA, length=False, ranges=False), False),
    ],
    ids=["announced", "chunked", "TLS says so", "nobody says so"],
)
def test_an_end_over_tls_needs_a_voucher(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, taken: bool
) -> None:
    """Anybody on the way can end a connection: where nothing says that the file is whole, it is not taken."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(answer, certificate=certificate) as server:
        if taken:
            assert fetch(server.url + "/a.txt").read_bytes() == DATA and len(server.requests) == 1
        else:
            message = refused(server.url + "/a.txt")
            assert (
                "broken off 4 times, at last after 3,000,000 bytes: the connection ended without" in message
            )
            assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("path", "disposition", "expected"),
    [
        ("/a.jsonl.gz", 'attachment; filename="b.txt"', "a.jsonl.gz"),
        ("/%E3%83%87%E3%83%BC%E3%82%BF.txt", "", "データ.txt"),
        ("/データ 集.txt", "", "データ 集.txt"),
        ("/..%2F..%2Fetc%2Fpasswd", "", "passwd"),
        ("/%2e%2e%5c.hidden.txt", "", "hidden.txt"),
        ("/a%00b%0A%1b.txt", "", "a_b__.txt"),
        ("/" + "長" * 200 + ".jsonl.zst", "", "長" * 63 + ".jsonl.zst"),
        ("/", "", "download"),
        ("/", 'attachment; filename="../../b.csv"', "b.csv"),
        ("/export?format=csv", 'attachment; filename="..b.csv"', "b.csv"),
        ("/export", "attachment; filename*=UTF-8''%E8%A1%A8.xlsx", "表.xlsx"),
        ("/export", 'attachment; filename="表.xlsx"', "表.xlsx"),
        ("/export", 'attachment; filename="/"', "export"),
        ("/.fetched.json", "", "fetched.json"),
        ("/...", "", "download"),
    ],
)
def test_names(path: str, disposition: str, expected: str) -> None:
    sent = disposition.encode().decode("latin-1")
    headers = (("Content-Disposition", sent),) if sent else ()
    with serving(Answer(DATA, headers=headers)) as server:
        found = fetch(server.url + path)
        assert found.name == expected and found.read_bytes() == DATA
        assert fetch(server.url + path) == found and len(server.requests) == 1


def test_names_are_safe() -> None:
    for text in ("", ".", "..", "/", "a/..", "\0", ". . ."):
        assert safe_name(text) in ("", "_")
    assert safe_name("a:b?.txt") == "a_b_.txt"
    assert len(safe_name("x." + "y" * 500).encode()) <= web.LONGEST_NAME


# ---------------------------------------------------------------------------------------- the process


def test_a_signal_leaves_the_part(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL", 30.0)
    with serving(Answer(DATA, silent=1_000_000), GOOD) as server, signals.caught():
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(Stopped, match="goes on from where it is"):
            fetch(server.url + "/a.txt")
        timer.join()
        assert leftovers(cache) == [PARTIAL, web.STATE]


def test_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import resource, sys\nfrom tane.errors import ResourceError\nfrom tane.text.web import fetch\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))\n"
        "try:\n    fetch(sys.argv[1])\nexcept ResourceError as error:\n    print(error.message)\n"
    )
    with serving(GOOD) as server:
        url = server.url + "/a.txt"
        done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
        assert "size limit" in done.stdout
        assert next(cache.rglob(PARTIAL)).stat().st_size == 1_500_000
        assert fetch(url, sha256=HASH).read_bytes() == DATA
        assert server.ranges() == [None, "bytes=1500000-"]
    blocked = cache.parent / "file"
    blocked.touch()
    monkeypatch.setenv("TANE_CACHE", str(blocked))
    with pytest.raises(ResourceError, match="a file stands where a folder is due"):
        fetch(url)


def start_fetch(server: Server, said: IO[str]) -> subprocess.Popen[str]:
    code = "import sys\nfrom tane.text.web import fetch\nprint(fetch(sys.argv[1]))"
    command = [sys.executable, "-c", code, server.url + "/a.txt"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)


@pytest.mark.parametrize("at", [0, 40_000, 1_500_000, 3_000_000])
def test_killed_in_the_middle(cache: Path, at: int) -> None:
    slow = Answer(DATA, silent=at)
    with serving(slow, GOOD) as server:
        process = start_fetch(server, sys.stderr)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            part = next(cache.rglob(PARTIAL), None) if cache.exists() else None
            if part and part.stat().st_size >= at - 10_000:
                break
            time.sleep(0.02)
        process.kill()
        process.communicate()
        assert fetch(server.url + "/a.txt", sha256=HASH).read_bytes() == DATA
    assert leftovers(cache) == [RECORD, "a.txt"]


def test_killed_before_the_record(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is whole by then; a record of an older one must not stay beside it."""
    with serving(GOOD, Answer(DATA[::-1])) as server:
        url = server.url + "/a.txt"
        fetch(url).write_bytes(b"damaged")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(web._Download, "_write_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            fetch(url)
        assert leftovers(cache) == ["a.txt"]
    assert fetch(url).read_bytes() == DATA[::-1]


def test_two_processes_fetch_it_once(tmp_path: Path) -> None:
    with serving(Answer(DATA, silent=1_000_000), GOOD) as server:
        said = [tmp_path / f"{number}.txt" for number in range(2)]
        processes = []
        for path in said:
            with path.open("w") as file:
                processes.append(start_fetch(server, file))
        deadline = time.monotonic() + 30
        while "waiting for it" not in "".join(path.read_text() for path in said):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.closing.set()  # the first answer breaks off; its process goes on while the other one waits
        paths = {process.communicate(timeout=30)[0].strip() for process in processes}
        assert len(paths) == 1 and Path(paths.pop()).read_bytes() == DATA
        assert len(server.requests) == 2
        assert sum("waiting for it" in path.read_text() for path in said) == 1


def test_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import resource, sys\nfrom tane.text.web import fetch\nfrom tane.progress import bar\n"
        "import ssl, urllib.request\nbar(1, 'x', 'B').close()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nfetch(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    for answer in (Answer(bytes(60_000_000)), Answer(bytes(60_000_000), chunked=True)):
        with serving(answer) as server:
            done = subprocess.run(
                [sys.executable, "-c", code, server.url + "/a.txt"],
                capture_output=True,
                text=True,
                check=True,
            )
        assert int(done.stdout) < 12_000, "kilobytes beyond what was loaded"


def test_an_input_of_a_corpus() -> None:
    from tane.text.corpus import Corpus, CorpusSettings, build_corpus

    text = "一つ目の段落です。\n\n二つ目の段落です。\n"
    with serving(
        Answer(gzip.compress(text.encode("cp932")), cut=30), Answer(gzip.compress(text.encode("cp932")))
    ) as server:
        settings = CorpusSettings(inputs=[server.url + "/a.txt.gz"], valid_fraction=0)
        folder = Path(os.environ["TANE_CACHE"]).parent / "corpus"
        build_corpus(settings, folder)
    assert list(Corpus.open(folder).texts("train")) == ["一つ目の段落です。", "二つ目の段落です。"]
    assert next(Corpus.open(folder).inputs())["path"] == server.url + "/a.txt.gz"
