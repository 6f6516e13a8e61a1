"""A URL as an input: downloaded once, resumed, checked, published by rename.

The file lies in `$TANE_CACHE` (else `~/.cache/tane`) under `downloads/`, in a folder that is named by the
hash of its URL. Beside it stands a record of what was fetched; before that, the part that has come and what
the server said of the file: it goes on from there only while the server vouches that the file is the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from tane import files, locks, resources, signals
from tane.errors import InputError, IntegrityError, LockedError, ResourceError
from tane.progress import bar, say
from tane.text import transfer
from tane.text.transfer import LEFT, Cut, Response, Status, TooLong, Unreachable, masked

RETRIES = 3  # after a cut or a stall; counted anew when at least GAIN bytes came in between
GAIN = 1 << 20
PAUSE = 1.0  # seconds before the first retry; the second waits twice as long
RECORD = ".fetched.json"  # names of our own begin with a dot, those of downloaded files never do
PARTIAL = ".partial"
STATE = ".partial.json"
LONGEST_NAME = 200  # bytes of UTF-8
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
PACKED_AS_NAMED = {
    ".gz": ("gzip", "x-gzip"),
    ".zst": ("zstd",),
}  # servers that take the file's own packing for theirs

__all__ = ["fetch", "masked"]


def fetch(url: str, *, sha256: str | None = None) -> Path:
    """The local file of an http or https URL, from the cache or downloaded now.

    sha256: 64 hex digits that the file must have. The second call needs no network. Raises InputError for
    what cannot be fetched (what has come is kept, and the next call goes on from there), IntegrityError for
    another hash or a damaged cached file that cannot be fetched again, ResourceError where the cache cannot
    be written.
    """
    transfer.request_url(url)
    folder = cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:32]
    job = _Download(url, folder, sha256.lower() if sha256 else None)
    with resources.writing(folder):
        path = job.cached()
        if path is None:
            with _alone(folder, job.shown):
                path = job.cached() or job.run()
    return path


def cache_folder() -> Path:
    """Where downloads are kept: `$TANE_CACHE`, else `tane` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if own := os.environ.get("TANE_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path("~/.cache").expanduser()) / "tane"


def safe_name(text: str) -> str:
    """A file name out of what a URL or a server says: no folders, nothing hidden, nothing unprintable.

    Empty where nothing is left. Of a name that is too long the end stays, since the format follows from it.
    """
    name = re.split(r"[/\\]", text)[-1].strip()
    name = "".join(c if c.isprintable() and c not in ':*?"<>|' else "_" for c in name).lstrip(". ")
    if len(name.encode()) > LONGEST_NAME:
        ending = "".join(PurePosixPath(name).suffixes[-2:])
        ending = ending if len(ending.encode()) <= 30 else ""
        start = name.encode()[: LONGEST_NAME - len(ending.encode())].decode("utf-8", "ignore")
        name = start + ending
    return name


@contextlib.contextmanager
def _alone(folder: Path, shown: str) -> Iterator[None]:
    """Hold the folder, waiting for another process that downloads the same URL."""
    with contextlib.ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(locks.locked(folder))
                break
            except LockedError:
                if not told:
                    say(f"another process downloads {shown}: waiting for it")
                told = True
                _wait(0.3)
        yield


def _wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        signals.poll(LEFT, resumable=True)
        time.sleep(min(left, transfer.TICK))


def _json(path: Path) -> dict[str, Any]:
    """What stands in a small file of ours; nothing where it is absent or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    texts = (found.get(name) for name in ("name", "sha256", "etag", "modified"))
    sound = all(text is None or isinstance(text, str) for text in texts)
    return found if sound and (found.get("size") is None or type(found["size"]) is int) else {}


class _StartOver(Exception):
    """What is here does not go with what the server has now."""


class _Download:
    """One URL and its folder. shown: the URL for people; damaged: what is wrong with the cached file."""

    def __init__(self, url: str, folder: Path, wanted: str | None) -> None:
        self.url, self.folder, self.wanted = url, folder, wanted
        self.shown = masked(url)
        self.partial, self.state = folder / PARTIAL, folder / STATE
        self.damaged = ""
        self.named = safe_name(unquote(urlsplit(url).path.rpartition("/")[2])) or "download"

    # ---------------------------------------------------------------------------------------- what is here

    def cached(self) -> Path | None:
        """The file that a call before left whole, or that a person put there; None if there is none."""
        record = _json(self.folder / RECORD)
        path = self.folder / (safe_name(str(record.get("name", ""))) or self.named)
        if not path.is_file():
            return None
        size = path.stat().st_size
        if not record:
            return self._put_by_hand(path, size)
        if size != record.get("size"):
            self.damaged = f"{path} has {size:,} bytes, not {record.get('size') or 0:,} as it was fetched"
        elif self.wanted and (found := files.sha256(path)) != self.wanted:
            self.damaged = f"{path} has the SHA-256 {found}, not {self.wanted}"
        else:
            return path
        return None

    def _put_by_hand(self, path: Path, size: int) -> Path | None:
        """A whole file without a record: only a person puts one there (ours come by rename)."""
        found = files.sha256(path)
        if self.wanted and found != self.wanted:
            self.damaged = f"{path} has the SHA-256 {found}, not {self.wanted}"
            return None
        say(f"{self.shown}: taking {path}, which was put there")
        with contextlib.suppress(ResourceError):  # a cache that is only read is fine
            self._write_record(path, {}, size, found)
        return path

    def _begun(self) -> tuple[int, dict[str, Any]]:
        """(bytes that are here, what the server said of the file), or (0, {}) where that cannot be used."""
        state = _json(self.state)
        state["name"] = safe_name(str(state.get("name", ""))) or self.named
        size = self.partial.stat().st_size if self.partial.is_file() else 0
        total = state.get("size")
        if not size or not (state.get("etag") or state.get("modified")) or (total and size > total):
            self._drop()
            return 0, {}
        return size, state

    def _drop(self) -> None:
        self.partial.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    # -------------------------------------------------------------------------------------------- fetching

    def run(self) -> Path:
        """Download until the file is whole; call it while holding the folder."""
        tries = best = 0
        while True:
            try:
                return self._attempt()
            except _StartOver:
                self._drop()
                continue
            except Status as status:
                raise InputError(
                    f"{self.shown} cannot be fetched: the server answered {status}", self._by_hand()
                ) from None
            except TooLong:
                self._drop()
                raise InputError(
                    f"{self.shown}: the server sends more bytes than it announces", self._by_hand()
                ) from None
            except Unreachable as error:
                if not tries:
                    raise self._unreachable(str(error)) from None
                reason = str(error)
            except Cut as cut:
                reason = str(cut)
            have = self.partial.stat().st_size if self.partial.is_file() else 0
            tries = 1 if have >= best + GAIN else tries + 1
            best = max(best, have)
            if tries > RETRIES:
                raise InputError(
                    f"{self.shown}: broken off {tries} times, at last after {have:,} bytes: {reason}",
                    "run the same command again: it goes on from there",
                )
            say(f"{self.shown}: {reason}; trying again ({tries} of {RETRIES})")
            _wait(PAUSE * tries)

    def _unreachable(self, reason: str) -> InputError | IntegrityError:
        host = urlsplit(self.url).hostname
        if self.damaged:
            return IntegrityError(f"{self.damaged}, and {host} cannot be reached: {reason}", self._by_hand())
        return InputError(f"{self.shown}: {host} cannot be reached: {reason}", self._by_hand())

    def _by_hand(self) -> str:
        return f"look at the network and the URL, or put the file at {self.folder / self.named} yourself"

    def _attempt(self) -> Path:
        """One request; what comes is added to what is here."""
        have, state = self._begun()
        if have and have == state.get("size"):  # all had come, but it was not published
            return self._publish(state)
        headers = {}
        if have:
            headers = {"Range": f"bytes={have}-", "If-Range": state.get("etag") or state["modified"]}
        try:
            response = transfer.ask(self.url, headers)
        except Status as status:
            if have and status.code == 416:
                raise _StartOver from None
            raise
        with response:
            start, total, expected = self._agreed(response, have, state)
            if not start:
                state = self._new_state(response, total)
            size = "" if total is None else f" ({total / 1e6:,.1f} MB)"
            resumed = f", going on at {start / 1e6:,.1f} MB" if start else ""
            say(f"downloading {self.shown}{size} to {self.folder / state['name']}{resumed}")
            with (
                open(self.partial, "ab" if start else "wb") as file,
                bar(total, state["name"], "B", initial=start) as progress,
            ):
                for piece in transfer.body(response, expected):
                    file.write(piece)
                    progress.update(len(piece))
                    signals.poll(LEFT, resumable=True)
        have = self.partial.stat().st_size
        if total is not None and have != total:  # the server sent a part of the part
            raise Cut(f"{have:,} of {total:,} bytes came")
        return self._publish(state)

    def _agreed(
        self, response: Response, have: int, state: dict[str, Any]
    ) -> tuple[int, int | None, int | None]:
        """(where the body goes, bytes of the whole file, bytes of the body) of an answer that fits."""
        packing = (response.headers.get("Content-Encoding") or "identity").strip().lower()
        usual = PACKED_AS_NAMED.get(PurePosixPath(self.named).suffix.lower(), ())
        if packing not in ("identity", *usual):
            raise InputError(
                f"{self.shown}: the server sends it packed as {packing}, though it was asked not to",
                self._by_hand(),
            )
        length = None if response.chunked else response.length
        if response.status == 200:
            return 0, length, length
        range_ = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not have:
            raise InputError(f"{self.shown}: the server sends a part, though the whole was asked for",
                             self._by_hand())  # fmt: skip
        if range_ is None:
            raise _StartOver
        first, last = int(range_[1]), int(range_[2])
        total = known = state.get("size")
        if range_[3] != "*":
            total = int(range_[3])
        key, name = ("etag", "ETag") if state.get("etag") else ("modified", "Last-Modified")
        same = response.headers.get(name, state[key]).strip() == state[key]
        whole = last - first + 1
        fits = first == have and same and known in (None, total) and length in (None, whole)
        if not fits or total is None:  # without a total, a part of the part would look like its end
            raise _StartOver
        return first, total, whole

    def _new_state(self, response: Response, total: int | None) -> dict[str, Any]:
        """Note what the server says of the file before its first byte is kept."""
        self._drop()
        etag = (response.headers.get("ETag") or "").strip()
        state: dict[str, Any] = {
            "name": self._name(response),
            "size": total,
            "etag": "" if etag.startswith("W/") else etag,  # a weak one vouches for no bytes
            "modified": (response.headers.get("Last-Modified") or "").strip(),
        }
        files.write_text(self.state, json.dumps(state, ensure_ascii=False))
        return state

    def _name(self, response: Response) -> str:
        """The URL's own file name; where that has no ending, the first that has one."""
        final = unquote(urlsplit(response.url).path.rpartition("/")[2])
        others = [safe_name(transfer.offered_name(response.headers)), safe_name(final)]
        return next((name for name in (self.named, *others) if PurePosixPath(name).suffix), self.named)

    def _publish(self, state: dict[str, Any]) -> Path:
        """The whole file under its name; until its record is written, it counts as put there."""
        path, record = self.folder / state["name"], self.folder / RECORD
        found = files.sha256(self.partial)
        if self.wanted and found != self.wanted:
            self._drop()
            raise IntegrityError(
                f"{self.shown} has the SHA-256 {found}, not {self.wanted}",
                "look at whether the file there changed, or at the sha256 of this input",
            )
        files.sync(self.partial)
        size = self.partial.stat().st_size
        record.unlink(missing_ok=True)
        os.replace(self.partial, path)
        files.sync(self.folder)
        self.state.unlink(missing_ok=True)
        self._write_record(path, state, size, found)
        return path

    def _write_record(self, path: Path, state: dict[str, Any], size: int, sha256: str) -> None:
        record = {
            "url": self.shown,
            "name": path.name,
            "size": size,
            "sha256": sha256,
            "etag": state.get("etag", ""),
            "modified": state.get("modified", ""),
            "fetched": datetime.now(UTC).isoformat(timespec="seconds") if state else None,
        }
        files.write_text(self.folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
