"""Bulk inference, rows/s: an engine of 50 ms a rollout, beside what that allows and beside dream-engine; memory.

The engine is a process of its own, answers with 100 kB, and does nothing but wait. What it allows, the ideal, is as
many rows in 50 ms as there may be requests at once. Memory is that of a process which works through all rows, looked at
after the first thousand and at the end.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dreamlake as dl
from benchmarks.bench import Bench
from benchmarks.measure import Contender, Row, Unit, compare, interleave
from dreamlake.io import IterableSource, RolloutSink, SourceRow

__all__ = ["measure"]

ROWS = Unit("rows/s", "higher")
SPEC = "dreamdojo-2b-gr1"
SECONDS = 0.05  # of a rollout
ANSWER = 100_000  # bytes of a rollout
SIZE = (480, 640)  # of a frame
STEPS, DIMENSIONS = 48, 44  # of its actions
OF_IDEAL, OF_PEER, GROWTH = 0.95, 1.0, 1.05
FIRST, STATUS = 1000, Path("/proc/self/status")
OURS, PEER = "dreamlake", "dream-engine"


def measure(bench: Bench) -> list[Row]:
    """Four and sixteen requests at once, and the memory of many rows."""
    rows = []
    with _engine(SECONDS) as url:
        for concurrency, count in ((4, bench.pick(400, 160)), (16, bench.pick(1600, 480))):
            folder = bench.folder / f"predict-{concurrency}"
            again = partial(shutil.rmtree, folder, ignore_errors=True)
            contenders = [
                Contender(OURS, partial(_ours, url, folder, count, concurrency), again, again),
                Contender(PEER, _peer(url, folder, count, concurrency), again, again),
            ]
            seconds = interleave(contenders, bench.pick(5, 2))
            seconds["ideal"] = [count / concurrency * SECONDS for _ in seconds[OURS]]
            work = f"predict_many, {concurrency} at once"
            ideal = OF_IDEAL if concurrency == 4 else None
            rows.append(compare(work, ROWS, count, seconds, OURS, "ideal", ideal))
            rows.append(compare(work, ROWS, count, seconds, OURS, PEER, OF_PEER))
    return [*rows, _memory(bench)]


def _memory(bench: Bench) -> Row:
    count = bench.pick(20_000, 4000)
    with _engine(0.0) as url:
        command = [
            sys.executable,
            "-m",
            "benchmarks.predict",
            "many",
            url,
            str(bench.folder / "predict-many"),
            str(count),
        ]
        first, last = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    what, ratio = f"RSS after {count:,} rows of predict_many", last / first
    return Row(
        what,
        f"{last:.0f} MB",
        f"after {FIRST:,}: {first:.0f} MB",
        f"{ratio:.2f}",
        better="lower",
        goal=f"≤ {GROWTH:g}",
        met=ratio <= GROWTH,
    )


def _ours(url: str, folder: Path, count: int, concurrency: int) -> None:
    frame, actions = _inputs()
    source = IterableSource(lambda: (SourceRow(f"row-{row:06d}", frame, actions) for row in range(count)))
    client = dl.Client(base_url=url)
    result = client.predict_many(source, RolloutSink.dir(folder), spec=SPEC, concurrency=concurrency, progress=False)
    assert result.ok == count, result.failures


def _peer(url: str, folder: Path, count: int, concurrency: int) -> Any:
    """The same with dream-engine; None where it is not installed."""
    try:
        import dream
        from dream import io
    except ImportError:
        return None
    frame, actions = _inputs()

    class Source(io.IterableSource):  # type: ignore[misc] (it has no types)
        rows_hint = count

        def __iter__(self) -> Iterator[Any]:
            return (io.SourceRow(f"row-{row:06d}", frame, actions) for row in range(count))

    def run() -> None:
        with dream.Client(base_url=url) as client:
            sink = io.RolloutSink.dir(folder)
            result = client.predict_many(Source(), sink, spec=SPEC, concurrency=concurrency, progress=False)
        assert result.ok == count, result.failures

    return run


def _inputs() -> tuple[bytes, bytes]:
    """A frame as PNG, and actions as .npy."""
    import io

    import numpy as np
    from PIL import Image

    frame, actions = io.BytesIO(), io.BytesIO()
    shade = np.linspace(0, 255, SIZE[1]).astype(np.uint8)
    Image.fromarray(np.broadcast_to(shade[None, :, None], (*SIZE, 3)).copy()).save(frame, "PNG")
    np.save(actions, np.zeros((STEPS, DIMENSIONS), np.float32))
    return frame.getvalue(), actions.getvalue()


@contextmanager
def _engine(seconds: float) -> Iterator[str]:
    """An engine in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "benchmarks.predict", "engine", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


async def _serve(seconds: float) -> None:
    """Answer every request with the same rollout, after so many seconds."""
    from tests.predictions import mp4

    video = mp4(STEPS + 1)
    video += (ANSWER - len(video)).to_bytes(4) + b"free" + bytes(ANSWER - len(video) - 8)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nX-DreamEngine-Request-Id: 1\r\n"
        "X-DreamEngine-Engine-Wall-Ms: 50\r\n"
        f"X-DreamEngine-Estimated-Charge-USD: 0.0245\r\nContent-Length: {len(video)}\r\n\r\n"
    )
    answer = head.encode() + video

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: (\d+)", asked)
                await reader.readexactly(int(found[1]) if found else 0)
                await asyncio.sleep(seconds)
                writer.write(answer)
                await writer.drain()
        except (EOFError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _many(url: str, folder: Path, count: int) -> None:
    """Work through many rows; print the memory after the first thousand and at the end, MB."""
    seen: list[float] = []

    def look(event: Any) -> None:
        if event.ok in (FIRST, count):
            seen.append(_resident())

    frame, actions = _inputs()
    source = IterableSource(lambda: (SourceRow(f"row-{row:06d}", frame, actions) for row in range(count)))
    dl.Client(base_url=url).predict_many(source, RolloutSink.dir(folder), spec=SPEC, concurrency=16, progress=look)
    print(json.dumps([seen[0], seen[-1]]))
    shutil.rmtree(folder)


def _resident() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found[1]) / 1000


if __name__ == "__main__":
    if sys.argv[1] == "engine":
        asyncio.run(_serve(float(sys.argv[2])))
    else:
        _many(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
