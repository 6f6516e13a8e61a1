"""Names of models and tokenizers that people give: a local folder, or a hub id that is downloaded once.

A hub id is fetched whole into the Hugging Face cache and then opened as a local folder, so that nothing is
resolved over the network later. Without network the cache is used at once, or one clear error is given.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from urllib.parse import urlparse

from tane.errors import InputError

_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
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
    """Whether the hub (or HF_ENDPOINT) answers on its port."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    url = urlparse(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
        with socket.create_connection((url.hostname or "", port), timeout):
            return True
    except OSError:
        return False


def _download(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

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
    except (HfHubHTTPError, OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise InputError(
            f"{what} {name!r} could not be downloaded: {first}", "check the name on the hub"
        ) from None
