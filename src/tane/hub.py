"""Names of models and tokenizers that people give: a local folder, or a hub id that is downloaded once.

`data_sets` looks through the data sets of the hub; reading one is the text stage's.

A hub id is fetched whole into the Hugging Face cache and then opened as a local folder, so that nothing is
resolved over the network later. Without network the cache is used at once, or one clear error is given.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult, urlparse

from tane.errors import InputError
from tane.resources import foreseen

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
PATIENCE = 20.0  # seconds in which a list must have come
PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]  # never a pickle, never code


def local_folder(name: str | os.PathLike[str], what: str) -> Path:
    """The local folder behind a path or hub id. Raises InputError when there is neither."""
    path = Path(name)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"{what} {path} is a file; expected a folder in Hugging Face's layout")
    if not _ID.fullmatch(str(name)) or str(name).startswith("."):
        raise InputError(f"{what} {path} does not exist", f"looked from {Path.cwd()}")
    return _download(str(name), what)


def reachable(timeout: float = 3.0) -> bool:
    """Whether the hub (or HF_ENDPOINT), or the proxy that stands before it, answers on its port within
    `timeout` seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")

    def connect() -> bool:
        url = _asked(endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
        with socket.create_connection((url.hostname or "", port), timeout):
            return True

    try:
        return _within(timeout, connect)
    except (OSError, ValueError):  # ValueError: a port that is none
        return False


def _asked(url: ParseResult) -> ParseResult:
    """The proxy that the environment names for a URL, else the URL itself."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.hostname or ""):
        return url
    return urlparse(proxy if "://" in proxy else f"http://{proxy}")


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What a call returns or raises; TimeoutError where it takes longer (its thread is then left behind).

    Looking up a name takes as long as the system likes, and the hub's library tries again and again.
    """
    done: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            done.append((True, call()))
        except BaseException as error:
            done.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    good, value = done[0]
    if good:
        return value
    raise value


def data_sets(search: str | None = None, *, limit: int = 20) -> list[dict[str, Any]]:
    """Data sets of the hub, those that are fetched most first: [{name, downloads, likes}].

    search: a word of their names; none: all; limit: at most so many. Raises InputError where the hub cannot
    be reached or does not answer.
    """
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not reachable():
        raise InputError(
            f"the hub ({endpoint}) cannot be reached, so its data sets cannot be listed",
            "connect to the network (HF_HUB_OFFLINE must not be set), or name a local file or folder",
        )
    from huggingface_hub import HfApi

    def listed() -> list[Any]:
        api = HfApi(endpoint=endpoint)
        return list(api.list_datasets(search=search, sort="downloads", limit=limit))

    try:
        found = _within(PATIENCE, listed)
    except (
        Exception
    ) as error:  # the library's own, those of its HTTP client, and of an answer that is no list
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"the hub ({endpoint}) did not list its data sets: {first}", "try again") from None
    return [{"name": one.id, "downloads": one.downloads, "likes": one.likes} for one in found]


def _download(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    online = reachable()
    try:
        return Path(snapshot_download(name, allow_patterns=PATTERNS, local_files_only=not online))
    except LocalEntryNotFoundError:
        state = "is not in the local cache, and the hub cannot be reached"
        remedy = (
            f"no folder of that name stands below {Path.cwd()}; give a local folder, or connect to the "
            "network"
        )
        raise InputError(f"{what} {name!r} {state}", remedy) from None
    except Exception as error:  # the library's own, and those of its HTTP client
        lacking = foreseen(error)
        if lacking is not None:  # of this machine, such as a full disk
            raise lacking from None
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{what} {name!r} could not be downloaded: {first}", "check the name on the hub"
        ) from None
