"""Tracks cut into windows and read back: whatever is cut, a question finds what a filter over the file finds."""

from __future__ import annotations

import json
import random
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamlake.core import windows
from dreamlake.core.cues import parse_chunk
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, Kind
from dreamlake.core.playlist import Playlist, parse_playlist, render_playlist
from dreamlake.core.windows import chunks_between, counts
from dreamlake.errors import MediaError
from dreamlake.media import tracksplit
from dreamlake.media.tracksplit import TrackSplitter

Entry = dict[str, Any]


@contextmanager
def limits(*, window: int = 30, memory: int = 1 << 26, chunk: int = 1 << 24, block: int = 256) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "WINDOW", window)
        patch.setattr(tracksplit, "MEMORY", memory)
        patch.setattr(tracksplit, "CHUNK_BYTES", chunk)
        patch.setattr(tracksplit, "BLOCK", block)
        yield


class Cut:
    """A file that was cut: its chunks by name, its playlists, and what is said of it."""

    def __init__(self, data: bytes, name: str = "a.jsonl", kind: Kind = LABEL_TRACK, **options: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(data)
            (Path(folder) / "work").mkdir()
            splitter = TrackSplitter(path, kind, name, Path(folder) / "work", **options)
            self.chunks = {chunk.digest: chunk.path.read_bytes() for chunk in splitter.chunks(lambda _: None)}
            playlists = splitter.playlists(lambda digest: digest)
            self.playlists = [parse_playlist(render_playlist(playlist)) for playlist in playlists]
            self.summary = splitter.summary
            assert not any((Path(folder) / "work").glob("tmp*"))  # nothing is left beside the chunks

    def between(self, start: float, stop: float) -> list[Entry]:
        found = []
        for playlist in self.playlists:
            assert playlist.window is not None
            for number, window in chunks_between(playlist, start, stop):
                found += [
                    entry
                    for entry in self.parsed(playlist, number)
                    if counts(entry["ts"], entry["ts"] + entry["dt"], window, playlist.window, start, stop)
                ]
        return found

    def parsed(self, playlist: Playlist, number: int) -> list[Entry]:
        data = self.chunks[playlist.uris[number]]
        if self.summary.format in ("vtt", "srt"):
            return parse_chunk(data, "chunk", self.summary.format)  # type: ignore[arg-type]  # (it is one of them)
        return [json.loads(line) for line in data.splitlines()]


def lines(entries: Sequence[Entry]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def filtered(entries: Sequence[Entry], start: float, stop: float) -> list[Entry]:
    return [
        entry for entry in entries if entry["ts"] < stop and (entry["ts"] + entry["dt"] > start or entry["ts"] >= start)
    ]


def same(found: Sequence[Entry], wanted: Sequence[Entry]) -> bool:
    return Counter(json.dumps(entry, sort_keys=True) for entry in found) == Counter(
        json.dumps(entry, sort_keys=True) for entry in wanted
    )


seconds = st.floats(-500, 500) | st.integers(-500, 500) | st.integers(-20, 20).map(lambda number: number * 30.0)
lasting = st.just(0) | st.floats(0, 90) | st.integers(0, 20_000) | st.sampled_from([30.0, 60.0, 1e-12, 1e7])
entries_of = st.lists(
    st.builds(
        lambda ts, dt, label: {"ts": ts, "dt": dt, "label": label},
        seconds,
        lasting,
        st.sampled_from("abc") | st.integers(),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries_of,
    st.lists(st.tuples(seconds, seconds | st.just(float("inf"))), min_size=1, max_size=6),
    st.sampled_from([30, 1, 7, 1000]),
    st.sampled_from([1 << 26, 500, 0]),
    st.sampled_from([1 << 24, 100]),
)
def test_what_is_read_is_what_a_filter_finds(
    entries: list[Entry], questions: list[tuple[float, float]], window: int, memory: int, chunk: int
) -> None:
    with limits(window=window, memory=memory, chunk=chunk):
        cut = Cut(lines(entries))
        assert cut.summary.entries == len(entries)
        for start, stop in [*questions, (float("-inf"), float("inf"))]:
            assert same(cut.between(start, stop), filtered(entries, start, stop))
        for playlist in cut.playlists:
            for number, _ in chunks_between(playlist, float("-inf"), float("inf")):
                times = [entry["ts"] for entry in cut.parsed(playlist, number)]
                assert times == sorted(times)
    assert sum(map(len, cut.chunks.values())) <= (windows.SPAN + 1) * len(lines(entries))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 60_000)), max_size=20), st.sampled_from(["vtt", "srt"])
)
def test_captions_too(times: list[tuple[int, int]], form: str) -> None:
    mark = "." if form == "vtt" else ","

    def clock(milliseconds: int) -> str:
        return f"00:{milliseconds // 60_000:02}:{milliseconds // 1000 % 60:02}{mark}{milliseconds % 1000:03}"

    cues = [f"{clock(at)} --> {clock(at + lasts)}\ntext {at}\n" for at, lasts in times]
    cues = [f"{number}\n{cue}" for number, cue in enumerate(cues)] if form == "srt" else ["WEBVTT\n", *cues]
    cut = Cut("\n".join(cues).encode(), f"a.{form}", TEXT_TRACK)
    entries = [{"ts": at / 1000, "dt": lasts / 1000, "text": f"text {at}"} for at, lasts in times]
    for start, stop in ((0.0, 1e9), (29.0, 31.0), (60.0, 60.001), (100.0, 150.0)):
        assert same(cut.between(start, stop), filtered(entries, start, stop))
    assert all(data.startswith(b"WEBVTT\nX-TIMESTAMP-MAP=") for data in cut.chunks.values())


def test_an_entry_that_spans_a_thousand_windows() -> None:
    entries = [{"ts": 0.5, "dt": 30_000.0, "label": "sunny"}, *({"ts": at * 10.0, "dt": 1.0} for at in range(3000))]
    cut = Cut(lines(entries))
    assert [playlist.window for playlist in cut.playlists] == [30, 12_000]
    assert [len(playlist.uris) for playlist in cut.playlists] == [1000, 3]
    assert sum(map(len, cut.chunks.values())) < 2 * len(lines(entries))
    assert [entry["label"] for entry in cut.between(20_000.0, 20_000.5) if "label" in entry] == ["sunny"]


def test_hours_without_entries() -> None:
    entries = [{"ts": 1.0, "dt": 1.0}, {"ts": 36_000.0, "dt": 1.0}]
    cut = Cut(lines(entries))
    [playlist] = cut.playlists
    assert playlist.durations == [30, 35_970, 30]
    assert playlist.gaps == {1}
    assert len(cut.chunks) == 2
    clock = Cut(lines([{"ts": 1_780_000_000.0, "dt": 1.0}]))
    assert (clock.playlists[0].start, clock.playlists[0].durations) == (1_780_000_000 // 30 * 30, [30])


def test_players_begin_at_zero() -> None:
    cut = Cut(b"WEBVTT\n\n01:00:00.000 --> 01:00:01.000\na\n", "a.vtt", TEXT_TRACK)
    [playlist] = cut.playlists
    assert (playlist.start, playlist.durations, playlist.gaps) == (0, [3600, 30], {0})


def test_a_window_of_any_size_in_any_order() -> None:
    """More than is sorted at once: runs are merged, and equal times stay in the order of the file."""
    order = [(number % 7, number) for number in range(3000)]
    random.Random(4).shuffle(order)
    with limits(memory=20_000, chunk=5_000):
        cut = Cut(lines([{"ts": ts, "dt": 1, "n": number} for ts, number in order]))
    [playlist] = cut.playlists
    assert len(playlist.uris) > 10
    assert sum(playlist.durations) == 30
    found = [entry["n"] for number in range(len(playlist.uris)) for entry in cut.parsed(playlist, number)]
    assert found == [number for ts, number in sorted(order, key=lambda pair: pair[0])]


def test_the_same_entry_twice_stays_twice() -> None:
    entry = {"ts": 29.5, "dt": 1.0, "label": "a"}
    cut = Cut(lines([entry, entry]))
    assert [len(data.splitlines()) for data in cut.chunks.values()] == [2]  # both windows hold the same
    assert len(cut.playlists[0].uris) == 2
    assert cut.between(0.0, 60.0) == [entry, entry]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    entries = [{"ts": at * 7919 % 3600 + 0.5, "dt": 0.4, "mask": "x" * 1000} for at in range(10_000)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(entries))
    (tmp_path / "work").mkdir()
    with limits(memory=500_000, block=16 * 1024):
        splitter = TrackSplitter(path, LABEL_TRACK, path.name, tmp_path / "work")
        tracemalloc.start()
        try:
            for chunk in splitter.chunks(lambda _: None):
                chunk.path.unlink()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert splitter.summary.entries == 10_000
    assert peak < 3_000_000 < path.stat().st_size


def test_bad_lines() -> None:
    data = lines([{"ts": 0, "dt": 1}]) + b'{"ts": 1}\nnonsense\n' + lines([{"ts": 40, "dt": 1}])
    with pytest.raises(MediaError, match=r"a.jsonl: line 2: dt is missing"):
        Cut(data)
    cut = Cut(data, skip_bad=True)
    assert (cut.summary.entries, cut.summary.skipped) == (2, 2)
    assert len(cut.chunks) == 2


def test_times_that_cannot_be_seconds() -> None:
    with pytest.raises(MediaError, match=r"line 1: it lasts from 1.78e\+12 to 1.78e\+12, which cannot be seconds"):
        Cut(lines([{"ts": 1_780_000_000_000, "dt": 1}]))


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_track(data: bytes) -> None:
    cut = Cut(data)
    assert (cut.summary.entries, cut.playlists, cut.chunks) == (0, [], {})
