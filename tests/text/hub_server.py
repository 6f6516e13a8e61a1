"""The part of the hub's interface that a list, and downloading one data set, need; on the loopback."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "a" * 40
CARD = b"---\nlicense: cc0-1.0\n---\n"
LISTED = (
    {"id": "me/tiny", "downloads": 7, "likes": 0},
    {"id": "you/日本語-stories", "downloads": 12345, "likes": 6},
    {"id": "you/日本語-news", "downloads": 890, "likes": 1},
)


class _Hub(BaseHTTPRequestHandler):
    """A hub whose list has LISTED, and whose only data set with files is me/tiny."""

    protocol_version = "HTTP/1.1"
    files: Mapping[str, bytes]

    def log_message(self, *_: Any) -> None:
        return

    def _answer(self, status: int, content: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content_Length": str(len(content))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/api/datasets":
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            found = [one for one in LISTED if asked.get("search", "") in one["id"]]
            found.sort(key=lambda one: -one[asked["sort"]])
            content = json.dumps(found[: int(asked["limit"])]).encode()
            self._answer(200, content, Content_Type="application/json")
        elif path.startswith("/api/datasets/me/tiny/tree/"):
            folder = path.partition("/tree/")[2].partition("/")[2]
            found = [
                {"type": "file", "path": name, "oid": hashlib.sha1(data).hexdigest(), "size": len(data)}
                for name, data in self.files.items()
                if os.path.dirname(name) == folder
            ]
            found += [] if folder else [{"type": "directory", "path": "data", "oid": COMMIT, "size": 0}]
            self._answer(200, json.dumps(found).encode(), Content_Type="application/json")
        elif path.startswith("/api/datasets/me/tiny"):
            names = [{"rfilename": name} for name in self.files]
            found = {"id": "me/tiny", "sha": COMMIT, "siblings": names, "private": False, "tags": []}
            self._answer(200, json.dumps(found).encode(), Content_Type="application/json")
        elif path.startswith("/datasets/me/tiny/resolve/"):
            name = path.partition("/resolve/")[2].partition("/")[2]
            if name in self.files:
                tag = f'"{hashlib.sha1(self.files[name]).hexdigest()}"'
                self._answer(200, self.files[name], ETag=tag, X_Repo_Commit=COMMIT, Accept_Ranges="bytes")
            else:
                self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        else:
            self._answer(404, X_Error_Code="RepoNotFound")

    do_HEAD = do_GET


@contextlib.contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub whose only data set has these files; all else is not found."""
    handler = type("Hub", (_Hub,), {"files": {"README.md": CARD, **files}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
