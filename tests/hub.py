"""A local stand-in for the Hub: its API for datasets that are made, listed, uploaded to and committed to.

It keeps files in memory and takes what ``huggingface_hub`` sends: LFS objects by their SHA-256, and commits as NDJSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """Datasets on a free port.

    Attributes:
        files: content by path, of the one dataset that there is.
        commits: paths that each commit has added and deleted.
        failures: statuses to answer the next commits with.
        token: that has to be sent; empty for none.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)
    failures: deque[int] = field(default_factory=deque)
    token: str = ""
    private: bool | None = None

    def __enter__(self) -> Self:
        hub = self
        self.objects: dict[str, bytes] = {}
        self.lock = threading.Lock()

        class Handler(_Handler):
            hub_state = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub_state: Hub

    def do_GET(self) -> None:
        hub = self.hub_state
        if "/tree/" in urlsplit(self.path).path:
            found = [
                {"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in hub.files.items()
            ]
            self._json(200, found)
        else:
            self._json(404, {"error": f"GET {self.path}"})

    def do_PUT(self) -> None:
        body = self._body()
        name = self.path.rsplit("/", 1)[-1]
        assert hashlib.sha256(body).hexdigest() == name
        self.hub_state.objects[name] = body
        self._json(200, {})

    def do_POST(self) -> None:
        hub, path, body = self.hub_state, unquote(urlsplit(self.path).path), self._body()
        if hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
            self._json(401, {"error": "unknown token"})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            assert asked["type"] == "dataset"
            hub.private = asked.get("private", asked.get("visibility") == "private")
            self._json(200, {"url": f"{hub.url}/datasets/{asked['organization']}/{asked['name']}"})
        elif path == "/api/validate-yaml":
            self._json(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(("mp4", "parquet")) else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self._json(200, {"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": item["oid"],
                    "size": item["size"],
                    "actions": {"upload": {"href": f"{hub.url}/objects/{item['oid']}", "header": {}}},
                }
                for item in json.loads(body)["objects"]
            ]
            self._json(200, {"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            self._commit(body)
        else:
            self._json(404, {"error": f"POST {self.path}"})

    def _commit(self, body: bytes) -> None:
        hub = self.hub_state
        with hub.lock:
            if hub.failures:
                self._json(hub.failures.popleft(), {"error": "not now"})
                return
            changed = []
            for line in body.splitlines():
                operation = json.loads(line)
                value = operation["value"]
                if operation["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.objects[value["oid"]]
                elif operation["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "deletedFile":
                    del hub.files[value["path"]]
                else:
                    assert operation["key"] == "header", operation
                    continue
                changed.append(value["path"])
            hub.commits.append(changed)
            oid = f"{len(hub.commits):040x}"
        self._json(200, {"commitUrl": f"{hub.url}/datasets/me/out/commit/{oid}", "commitOid": oid, "hookOutput": ""})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _json(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
