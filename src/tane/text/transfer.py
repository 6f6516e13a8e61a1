"""One request over HTTP(S): connected in time, never waited for in vain, its body whole or an error.

The standard library speaks the protocol, follows redirects and honours proxy variables. Added to it: a limit
for connecting that holds for the look-up of the name and all addresses together, a limit for silence instead
of one for the whole, an ear for signals while waiting, and no trust in the length that a server announces.
"""

from __future__ import annotations

import base64
import http.client
import io
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urlsplit

from tane import signals
from tane.errors import InputError

CONNECT = 5.0  # seconds until a host answers, however many addresses it has
STALL = 20.0  # seconds without a byte
GRACE = 0.5  # seconds in which bytes after the announced end may show
TICK = 0.2  # seconds between two looks at whether a signal came
CHUNK = 1 << 18  # bytes of a body at a time
LEFT = "the download is not finished, and goes on from where it is"


class Unreachable(OSError):
    """No connection came about."""


class Status(Exception):
    """The server answered, but not with the file: `code` and its words."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code


class Cut(Exception):
    """The answer broke off or stalled; asking again may help."""


class TooLong(Exception):
    """More bytes came than the server had announced."""


# -------------------------------------------------------------------------------------------- connections


def _connect(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
    """A connection within CONNECT seconds over all; the look-up of a name cannot be given a limit itself."""
    found: list[socket.socket | OSError] = []

    def work() -> None:
        try:
            known = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
            each = timeout / min(len(known), 2)  # a second address shall have its chance
            found.append(socket.create_connection(address, each, source))
        except OSError as error:
            found.append(error)
        except UnicodeError:  # a redirect to a host with an impossible name
            found.append(OSError("its name is none that a host can have"))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    end = time.monotonic() + timeout
    while worker.is_alive() and time.monotonic() < end:
        worker.join(TICK)
        signals.poll(LEFT, resumable=True)
    if not found:
        raise TimeoutError
    if isinstance(found[0], OSError):
        raise found[0]
    found[0].settimeout(timeout)  # for a proxy's answer and the handshake of TLS
    return found[0]


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified ({error.verify_message})"
    return error.strerror or str(error)


def _broken(error: BaseException | str) -> str:
    """What broke an answer off, in words."""
    if isinstance(error, ssl.SSLEOFError):
        return "the connection ended without TLS's sign that it was to end"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class _Patient(io.RawIOBase):
    """Bytes of a socket; while none comes, signals are looked for, and after `patience` s TimeoutError."""

    def __init__(self, held: io.RawIOBase, sock: socket.socket) -> None:
        self._held, self._sock = held, sock  # held: it keeps the socket open until we are closed
        self.patience = STALL

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        before, end = self._sock.gettimeout(), time.monotonic() + self.patience
        self._sock.settimeout(min(TICK, self.patience))
        try:
            while True:
                try:
                    return self._sock.recv_into(buffer)
                except TimeoutError:
                    signals.poll(LEFT, resumable=True)
                    if time.monotonic() >= end:
                        raise TimeoutError(f"no byte came for {self.patience:g} s") from None
        finally:
            self._sock.settimeout(before)

    def close(self) -> None:
        self._held.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer whose bytes come through _Patient."""

    def __init__(self, sock: socket.socket, *args: Any, **keys: Any) -> None:
        super().__init__(sock, *args, **keys)
        self.patient = _Patient(cast(io.BufferedReader, self.fp).detach(), sock)
        self.fp = io.BufferedReader(self.patient)


class _InTime(http.client.HTTPConnection):
    """What both kinds of connection share."""

    response_class = Response

    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self._create_connection = _connect

    def connect(self) -> None:
        try:
            super().connect()
        except OSError as error:
            raise Unreachable(_reason(error)) from None


class _Secure(_InTime, http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        cast(Any, self.sock).suppress_ragged_eofs = False  # an end without TLS's own sign of it is a cut


class _Handler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Response:
        return cast(Response, self.do_open(_InTime, req))


class _SecureHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> Response:
        return cast(Response, self.do_open(_Secure, req))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To http and https only, never from https back to http; credentials go to the same host only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        fp.close()  # its body could be endless
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
            raise InputError(
                f"{old.hostname} redirects from {old.scheme} to {new.scheme}: that is not followed",
                "name the URL where the file really is",
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        credentials = req.unredirected_hdrs.get("Authorization")
        if request and credentials and (old.scheme, old.netloc) == (new.scheme, new.netloc):
            request.add_unredirected_header("Authorization", credentials)
        return request


# ------------------------------------------------------------------------------------------------ requests


def ask(url: str, headers: dict[str, str]) -> Response:
    """The answer (200 or 206) to a GET request; the caller closes it.

    Raises Unreachable, Status, Cut, and InputError for a URL or a redirect that is not followed.
    """
    address, credentials = request_url(url)
    request = urllib.request.Request(
        address, headers={"User-Agent": "tane", "Accept": "*/*", "Accept-Encoding": "identity", **headers}
    )
    if credentials:
        request.add_unredirected_header("Authorization", credentials)
    opener = urllib.request.OpenerDirector()
    opener.addheaders = []
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Handler(), _SecureHandler(),
        urllib.request.HTTPDefaultErrorHandler(), _Redirects(), urllib.request.HTTPErrorProcessor(),
    ):  # fmt: skip
        opener.add_handler(handler)
    try:
        response = cast(Response, opener.open(request, timeout=CONNECT))
    except urllib.error.HTTPError as error:
        error.close()
        raise Status(error.code, error.reason) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, Unreachable):
            raise error.reason from None
        raise Cut(_broken(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise Cut(_broken(error)) from None
    if response.status not in (200, 206):
        response.close()
        raise Status(response.status, response.reason)
    return response


def request_url(url: str) -> tuple[str, str | None]:
    """(the URL as it is sent, in ASCII and without credentials; the Authorization header, if it has them).

    Raises InputError for what is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        raise InputError(f"{masked(url)} is no URL: its host or port cannot be read") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(
            f"{masked(url)} is no URL that is fetched", "expected http://HOST/... or https://HOST/..."
        )
    safe = "%/:@!$&'()*+,;=~"
    place = f"[{host}]" if ":" in host else host
    place += f":{port}" if port is not None else ""
    query = f"?{quote(parts.query, safe + '?[]')}" if parts.query else ""
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        credentials = "Basic " + base64.b64encode(pair).decode()
    return f"{parts.scheme}://{place}{quote(parts.path or '/', safe)}{query}", credentials


def masked(url: str) -> str:
    """A URL for messages and ids: without user, password and what looks like a key in its query."""
    start, mark, query = url.partition("?")
    start = re.sub(r"//[^/?#]*@", "//***@", start)
    secret = r"(?i)((?:^|&)[^=&]*(?:token|key|sig|passw|secret|auth|credential)[^=&]*=)[^&#]*"
    return start + mark + re.sub(secret, r"\1***", query)


def body(response: Response, expected: int | None) -> Iterator[bytes]:
    """The bytes of an answer in pieces of at most CHUNK; expected: their number, None if it is not known.

    Raises Cut where fewer come or an unknown number does not end cleanly (over TLS: without its close_notify,
    since anybody on the way can end a connection), and TooLong where more do.
    """
    if not response.chunked:
        response.length = None  # the library would stop there and never see what follows
    got = 0
    while expected is None or got < expected or response.chunked:
        size = CHUNK if expected is None or response.chunked else min(CHUNK, expected - got)
        try:
            piece = response.read1(size)
        except (OSError, http.client.HTTPException) as error:
            raise Cut(_broken(error)) from None
        if not piece:
            break
        got += len(piece)
        yield piece
    if expected is None:
        return
    if got < expected:
        raise Cut(f"the connection ended after {got:,} of {expected:,} bytes")
    response.patient.patience = GRACE
    try:
        more = got > expected or bool(response.read1(1))
    except (OSError, http.client.HTTPException):
        return
    if more:
        raise TooLong


def offered_name(headers: Message) -> str:
    """The file name in Content-Disposition, or nothing."""
    name = headers.get_filename() or ""
    try:
        return name.encode("latin-1").decode()  # UTF-8 that was sent bare
    except UnicodeError:
        return name
