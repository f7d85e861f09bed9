"""An engine for the tests of its client: real HTTP, real mp4s, idempotency keys that count, and faults on demand.

The number of a row is its first action, so that the engine knows which row a request is for.
"""

from __future__ import annotations

import io
import json
import socket
import struct
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

SPEC = "dreamdojo-2b-gr1"
PRICE = 0.0005
STEPS = 3  # actions of a row
SIZE = 32  # pixels


@dataclass(frozen=True)
class Status:
    """Another answer than a rollout; nothing is billed."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    detail: Any = "because the test wants it"


@dataclass(frozen=True)
class Reset:
    """The connection is reset: before anything was done, or when all of it was done and billed."""

    committed: bool = False


@dataclass(frozen=True)
class Late:
    """All of it is done and billed, and the answer comes after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Cut:
    """Half of the mp4, as if that were all of it; or with the head of a whole answer."""

    honest: bool = True


Fault = Status | Reset | Late | Cut


@dataclass(frozen=True)
class Request:
    """A prediction that was asked for."""

    row: int
    key: str
    status: int  # 0: none was heard
    at: float


@dataclass
class Engine:
    """An engine on a free port.

    Attributes:
        faults: asked before each prediction with the row and how many requests there were for it before.
        seconds: that each prediction takes.
        slots: predictions at once; what is more is answered with 429.
        api_key: that has to be sent; empty for none.
        requests: for predictions, as they were answered.
        billed: how often each row was predicted and billed.
    """

    faults: Callable[[int, int], Fault | None] = lambda _row, _before: None
    seconds: float = 0.0
    slots: int = 1000
    retry_after: str = "0"
    api_key: str = ""
    requests: list[Request] = field(default_factory=list)
    billed: Counter[int] = field(default_factory=Counter)
    running: int = 0
    most_running: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        engine = self
        self.lock = threading.Lock()
        self._seen: Counter[int] = Counter()
        self._answers: dict[str, bytes] = {}

        class Handler(_Handler):
            engine_state = engine

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                pass  # clients go when they like

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Of the engine."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def tries(self, row: int) -> list[int]:
        """The statuses of the requests for a row, in order."""
        return [request.status for request in self.requests if request.row == row]

    def keys(self, row: int) -> set[str]:
        """The keys of the requests for a row."""
        return {request.key for request in self.requests if request.row == row}

    def rows(self) -> set[int]:
        """The rows that were asked for."""
        return {request.row for request in self.requests}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine_state: Engine

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        engine = self.engine_state
        path = urlsplit(self.path)
        if not self._allowed():
            return
        if path.path == "/v1/specs":
            specs = [{"slug": SPEC, "price_per_frame_usd": PRICE, "more": 1}]
            self._json(200, {"specs": specs, "default_price_usd_per_frame": 0.01})
        elif path.path == "/v1/models":
            spec = {
                "action_dim": 2, "resolution": [SIZE, SIZE], "chunk_size": 12, "default_num_steps": 10,
                "default_guidance": 1.5,
            }  # fmt: skip
            model = {"slug": SPEC, "name": "DreamDojo", "provider": "x", "price_per_frame_usd": PRICE, "active": True}
            self._json(200, {"data": [{**model, "spec": spec}]})
        elif path.path == "/v1/status":
            self._json(200, {"status": "ok", "queued": engine.running})
        elif path.path == "/v1/jobs":
            jobs = list(reversed(engine.jobs.values()))
            at = int(parse_qs(path.query).get("cursor", ["0"])[0])
            self._json(200, {"data": jobs[at : at + 2], "next_cursor": str(at + 2) if len(jobs) > at + 2 else None})
        elif path.path.startswith("/v1/jobs/"):
            job = engine.jobs.get(path.path.rsplit("/", 1)[-1])
            if job is not None and job["status"] == "running":
                job["polled"] = job.get("polled", 0) + 1
                if job["polled"] >= 2:
                    job |= {"status": "succeeded", "counts": {"ok": 15, "failed": 1, "total": 16}, "cost_usd": 0.3675}
            self._json(200, job) if job else self._json(404, {"detail": "no such job"})
        else:
            self._json(404, {"detail": "no such route"})

    def do_POST(self) -> None:
        engine = self.engine_state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._allowed():
            return
        if self.path == "/v1/jobs":
            asked = json.loads(body)
            number = f"job-{len(engine.jobs)}"
            source, sink = ({**asked[part]} for part in ("source", "sink"))
            source.pop("token", None), sink.pop("token", None)
            engine.jobs[number] = {
                **asked, "source": source, "sink": sink, "id": number, "status": "running", "sent": asked,
                "output_uri": "hf://datasets/me/out",
                "failures": [{"row_id": "row-3", "error": "422", "attempts": 1}],
            }  # fmt: skip
            self._json(202, {"id": number, "status": "running"})
        elif self.path.endswith("/cancel"):
            job = engine.jobs[self.path.split("/")[-2]]
            job["status"] = "cancelled"
            self._json(200, {"id": job["id"], "status": "cancelled"})
        else:
            self._predict(body)

    def _predict(self, body: bytes) -> None:
        engine = self.engine_state
        frame, sequences, fields = _form(self.headers["Content-Type"], body)
        row = int(sequences[0][0, 0])
        key = self.headers["Idempotency-Key"]
        with engine.lock:
            before = engine._seen[row]
            engine._seen[row] += 1
            engine.forms.append(fields)
            full = engine.running >= engine.slots
            engine.running += not full
            engine.most_running = max(engine.most_running, engine.running)
        if full:
            self._note(row, key, 429)
            self._json(429, {"detail": "too many"}, (("Retry-After", engine.retry_after),))
            return
        try:
            self._answer(row, key, engine.faults(row, before), frame, sequences)
        finally:
            with engine.lock:
                engine.running -= 1

    def _answer(self, row: int, key: str, fault: Fault | None, frame: bytes, sequences: list[NDArray[Any]]) -> None:
        engine = self.engine_state
        if isinstance(fault, Status):
            self._note(row, key, fault.status)
            self._json(fault.status, {"detail": fault.detail}, fault.headers)
            return
        if fault == Reset():
            self._note(row, key, 0)
            self._reset()
            return
        assert frame[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")
        time.sleep(engine.seconds)
        with engine.lock:
            if key not in engine._answers:
                engine._answers[key] = rollout(row, len(sequences[0]))
                engine.billed[row] += 1
        if isinstance(fault, Late):
            time.sleep(fault.seconds)
        if isinstance(fault, Reset):
            self._note(row, key, 0)
            self._reset()
            return
        video = engine._answers[key]
        frames = sum(len(actions) + 1 for actions in sequences)
        headers = [
            ("X-DreamEngine-Request-Id", f"request-{row}"),
            ("X-DreamEngine-Engine-Wall-Ms", "12.5"),
            ("X-DreamEngine-Estimated-Charge-USD", f"{frames * PRICE:.6f}"),
            ("X-DreamEngine-Customer-Id", "me"),
        ]
        if self.path.endswith("/batch"):
            video = tar([mp4(len(actions) + 1, int(actions[0, 0])) for actions in sequences])
            headers.append(("X-DreamEngine-Batch-Size", str(len(sequences))))
        self._note(row, key, 200)
        kind = "application/x-tar" if self.path.endswith("/batch") else "video/mp4"
        if isinstance(fault, Cut):
            part = video[: len(video) // 2]
            self._send(200, kind, part, headers, len(part) if fault.honest else len(video))
            self.close_connection = not fault.honest
        else:
            self._send(200, kind, video, headers)

    def _allowed(self) -> bool:
        key = self.engine_state.api_key
        if key and self.headers["Authorization"] != f"Bearer {key}":
            self._json(401, {"detail": "unknown key"})
            return False
        return True

    def _note(self, row: int, key: str, status: int) -> None:
        with self.engine_state.lock:
            self.engine_state.requests.append(Request(row, key, status, time.monotonic()))

    def _json(self, status: int, value: Any, headers: Any = ()) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), headers)

    def _send(self, status: int, kind: str, body: bytes, headers: Any, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass


def _form(kind: str, body: bytes) -> tuple[bytes, list[NDArray[Any]], dict[str, str]]:
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    frame, sequences, fields = b"", [], {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if name == "frame":
            frame = content
        elif name == "actions":
            sequences.append(np.load(io.BytesIO(content), allow_pickle=False))
        else:
            fields[str(name)] = content.decode()
    return frame, sequences, fields


def rollout(row: int, steps: int = STEPS) -> bytes:
    """The rollout of a row: one video for all of them, with the number in a box that players skip."""
    return mp4(steps + 1) + struct.pack(">I4sI", 12, b"free", row)


@lru_cache
def mp4(frames: int, shade: int = 0) -> bytes:
    """A video of so many frames, all of one shade."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 10, options={"preset": "ultrafast", "threads": "1"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        picture = np.full((SIZE, SIZE, 3), shade % 200, np.uint8)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def tar(files: list[bytes]) -> bytes:
    """Files one after the other."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for number, content in enumerate(files):
            member = tarfile.TarInfo(f"rollout-{number:03d}.mp4")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


@lru_cache
def png() -> bytes:
    """A picture."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


def actions(row: int, steps: int = STEPS) -> NDArray[np.float32]:
    """Actions by which the engine knows the row."""
    return np.full((steps, 2), row, np.float32)


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of a source."""
    return [
        {"row_id": f"run-{row:04d}", "frame": png(), "actions": actions(row), "robot": f"arm-{row % 3}"}
        for row in range(first, first + count)
    ]


def metadata(folder: Path) -> list[dict[str, Any]]:
    """The lines of the metadata of an output folder."""
    import pyarrow.parquet

    lines: list[dict[str, Any]] = pyarrow.parquet.read_table(folder / "metadata.parquet").to_pylist()
    return lines
