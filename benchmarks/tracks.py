"""Label tracks: cutting a million entries, entries/s, against plain Python; and ten seconds out of ten hours, requests.

Plain Python does the same with ``json.loads``, line by line: times, frames, fields, windows of 30 s, a file and a
SHA-256 for each. A loop that only parses the lines is shown beside it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import dreamlake as dl
from benchmarks.bench import Bench
from benchmarks.measure import MILLISECONDS, Contender, Row, Unit, compare, interleave
from dreamlake._sync.lake import Lake
from dreamlake.core.kinds import LABEL_TRACK

__all__ = ["measure"]

ENTRIES = Unit("entries/s", "higher")
HOURS = 10
MOST_REQUESTS = 2
OURS, PLAIN, PARSED, WHOLE = "label-process", "plain Python", "json.loads alone", "the whole file"


def measure(bench: Bench) -> list[Row]:
    """Cutting, and reading a little of what was cut."""
    count = 1_000_000  # fewer would be as many files
    path, folder = _written(bench.folder / "labels.jsonl", count), bench.folder / "label-chunks"

    def contender(name: str, run: Callable[[], object]) -> Contender:
        return Contender(name, run, folder.mkdir, partial(shutil.rmtree, folder))

    contenders = [
        contender(OURS, partial(_ours, path, folder)),
        contender(PLAIN, partial(_plain, path, folder)),
        contender(PARSED, partial(_parsed, path)),
    ]
    seconds = interleave(contenders, bench.pick(3, 1))
    cut = [
        compare("cut a label track into windows", ENTRIES, count, seconds, OURS, PLAIN, goal=3),
        compare("cut a label track into windows", ENTRIES, count, seconds, OURS, PARSED),
    ]
    dl.connect(data=bench.lake)
    return [*cut, *_questions(bench, dl.upload(path, progress=False), path)]


def _questions(bench: Bench, track: Any, path: Path) -> list[Row]:
    begin = HOURS * 1800.0 + 3
    asked = 0
    send = Lake.send

    def counted(self: Lake, *arguments: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        return send(self, *arguments, **options)

    def question() -> None:
        found = dl.load(track.id)[begin : begin + 10.0].to_list()
        assert found

    def filtered() -> None:
        with path.open("rb") as file:
            entries = map(json.loads, file)
            assert [entry for entry in entries if begin - 1 < entry["ts"] < begin + 10]

    loaded = dl.load(track.id)
    Lake.send = counted  # type: ignore[method-assign]  # (to count; it is put back below)
    try:
        loaded[begin : begin + 10.0].to_list()
    finally:
        Lake.send = send  # type: ignore[method-assign]  # (as above)
    contenders = [Contender("a question", question), Contender(WHOLE, filtered)]
    seconds = interleave(contenders, bench.pick(5, 3))
    requests = Row(
        f"requests for 10 s out of {HOURS} h", str(asked), f"goal: {MOST_REQUESTS}", better="lower",
        goal=f"≤ {MOST_REQUESTS}", met=asked <= MOST_REQUESTS,
    )  # fmt: skip
    return [requests, compare(f"load, and read 10 s out of {HOURS} h", MILLISECONDS, 1, seconds, "a question", WHOLE)]


def _written(path: Path, count: int) -> Path:
    """Detections all through the hours."""
    step = HOURS * 3600 / count
    with path.open("w") as file:
        for number in range(count):
            entry = {
                "ts": round(number * step, 3), "dt": 0.033, "fs": number, "fe": number, "label": "person",
                "confidence": 0.95, "bbox": [100 + number % 7, 50, 200, 150],
            }  # fmt: skip
            file.write(json.dumps(entry) + "\n")
    return path


def _ours(path: Path, folder: Path) -> None:
    from dreamlake.media.tracksplit import TrackSplitter

    for _ in TrackSplitter(path, LABEL_TRACK, path.name, folder).chunks(lambda _: None):
        pass


def _plain(path: Path, folder: Path) -> None:
    windows: dict[int, list[bytes]] = {}
    fields: set[str] = set()
    start, end, first, last = float("inf"), 0.0, float("inf"), 0
    with path.open("rb") as file:
        for line in file:
            entry = json.loads(line)
            ts, dt = entry.pop("ts"), entry.pop("dt")
            start, end = min(start, ts), max(end, ts + dt)
            if (frame := entry.pop("fs", None)) is not None:
                first = min(first, frame)
            if (frame := entry.pop("fe", None)) is not None:
                last = max(last, frame)
            fields.update(entry)
            window = int(ts // 30)
            while window * 30 < ts + dt:
                windows.setdefault(window, []).append(line)
                window += 1
    for lines in windows.values():
        data = b"".join(lines)
        (folder / f"{sha256(data).hexdigest()[:16]}.jsonl").write_bytes(data)


def _parsed(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
