"""An engine for a test: the real application over TCP in this process, and models that a test can look into."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamlake.core.wireengine import ACTIONS, FRAME
from dreamlake.server.engine.app import Engine
from dreamlake.server.engine.models import serve_model
from dreamlake.server.engine.reference import ReferenceCamera
from dreamlake.server.engine.serve import EngineServer
from dreamlake.server.engine.settings import EngineSettings
from tests.server._lake import WAIT, until

SIZE = (32, 48)


class Small(ReferenceCamera):
    """The reference model with few pixels."""

    slug = "small"
    action_dim = 4
    resolution = SIZE
    chunk_size = 8


class Counting(Small):
    """It remembers its calls, and waits in each until it is let go."""

    slug = "counting"

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[int]]] = []
        self.go = threading.Event()
        self.go.set()

    def predict(self, frames: Any, actions: Any, seeds: Any, num_steps: int = 1, guidance: float = 1.0) -> Any:
        self.calls.append((len(frames), [int(seed) for seed in seeds]))
        assert self.go.wait(WAIT)
        return super().predict(frames, actions, seeds)

    @property
    def rollouts(self) -> int:
        return sum(number for number, _ in self.calls)


@dataclass
class Client:
    """A client of an engine, and the engine itself."""

    http: httpx.AsyncClient
    server: EngineServer
    url: str

    @property
    def engine(self) -> Engine:
        engine: Engine = self.server.app.state.engine
        return engine

    async def predict(
        self, frame: bytes, actions: bytes | Sequence[bytes], key: str | None = None, **fields: Any
    ) -> httpx.Response:
        batch = not isinstance(actions, bytes)
        several = actions if not isinstance(actions, bytes) else [actions]
        files = [(FRAME, ("frame.png", frame, "image/png"))]
        files += [(ACTIONS, (f"{number}.npy", one, "application/octet-stream")) for number, one in enumerate(several)]
        headers = {} if key is None else {"Idempotency-Key": key}
        data = {name: str(value) for name, value in fields.items()}
        return await self.http.post(f"/v1/predict{'/batch' * batch}", files=files, data=data, headers=headers)


@asynccontextmanager
async def engine(data: Path, *models: Any, **settings: Any) -> AsyncIterator[Client]:
    """An engine that is served while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    ready = asyncio.Event()
    served = [serve_model(model) for model in models or [Small()]]
    server = EngineServer(EngineSettings(data, **settings), served, url, ready.set)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait_for(ready.wait(), WAIT)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=WAIT) as http:
            yield Client(http, server, url)
    finally:
        server.should_exit = True
        await running


async def soon(check: Callable[[], Any], what: str) -> None:
    """Wait until something of this process is so."""

    async def ask() -> Any:
        return check()

    await until(ask, what)


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A smooth picture, (H, W, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))


def png(pixels: NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    """Its file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def moves(seed: int = 0, steps: int = 6, dim: int = 4) -> NDArray[np.float32]:
    """Actions."""
    return np.random.default_rng(seed).normal(size=(steps, dim)).astype(np.float32)


def npy(array: NDArray[Any]) -> bytes:
    """Its file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype.hasobject)
    return file.getvalue()


def own(pixels: NDArray[np.uint8], actions: NDArray[np.float32], chunk: int = Small.chunk_size) -> NDArray[np.uint8]:
    """What the reference model is documented to predict, by the formula of its docstring and not by its code."""
    height, width = pixels.shape[:2]
    start, frames = pixels, [pixels]
    for first in range(0, len(actions), chunk):
        part = actions[first : first + chunk].astype(np.float64)
        for t in range(1, len(part) + 1):
            x, y, z = part[:t, :3].sum(0) / 100
            scale = 1 - min(z, 0.9)
            frame = np.empty_like(start)
            for i in range(height):
                row = round((height - 1) / 2 + (i - (height - 1) / 2) * scale + y * width)
                columns = [round((width - 1) / 2 + (j - (width - 1) / 2) * scale + x * width) for j in range(width)]
                frame[i] = start[min(max(row, 0), height - 1), np.clip(columns, 0, width - 1)]
            frames.append(frame)
        start = frames[-1]
    return np.stack(frames)
