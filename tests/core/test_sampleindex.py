"""The sample index: what it names, and that it refuses what contradicts itself."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.sampleindex import SampleIndex, SoundHeader
from dreamlake.errors import IntegrityError

HEADER = SoundHeader(
    codec="aac", stored="aac", sample_rate=48_000, channels=2, layout="stereo", dtype="float32", bits=32, samples=700,
    extradata=b"\x11\x90", peak_samples=256,
)  # fmt: skip


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


INDEX = SampleIndex(
    HEADER,
    packet_bytes=ints(5, 6, 7, 8, 9, 10),
    packet_start=ints(0, 0, 100, 200, 400, 500),  # nothing is heard between 300 and 400
    packet_samples=ints(0, 100, 100, 100, 100, 200),
    packet_skip=ints(100, 24, 0, 0, 0, 0),
    segment_packet=ints(0, 3, 6),
    segment_entry=ints(0, 2),
    segment_offset=ints(50, 60),
    segment_sha256=np.arange(64, dtype=np.uint8).reshape(2, 32),
    segment_size=ints(68, 87),
    peaks=np.zeros((3, 2, 2), np.float16),
)


def test_it_comes_back_as_it_was() -> None:
    data = INDEX.to_bytes()
    again = SampleIndex.from_bytes(data)
    assert again.header == HEADER
    for name in SampleIndex.__dataclass_fields__:
        if name != "header":
            assert np.array_equal(getattr(again, name), getattr(INDEX, name)), name
    assert again.to_bytes() == data


def test_where_packets_lie() -> None:
    assert INDEX.packet_at.tolist() == [50, 55, 61, 60, 68, 77]
    assert INDEX.span == (0, 700)
    assert INDEX.segment_spans().tolist() == [[0, 200], [200, 700]]
    assert [INDEX.segment_of(packet) for packet in range(6)] == [0, 0, 0, 1, 1, 1]


@given(st.integers(-50, 800), st.integers(0, 800))
def test_runs_give_every_sample_once(start: int, count: int) -> None:
    stop = start + count
    given_samples = []
    for run in INDEX.runs(start, stop):
        assert run.entry == INDEX.segment_entry[run.segments[-1]]
        assert run.segments[0] == INDEX.segment_of(run.entry)
        assert run.segments[-1] == INDEX.segment_of(run.first) == INDEX.segment_of(run.stop - 1)
        for packet in range(run.first, run.stop):
            given_samples += range(INDEX.packet_start[packet], INDEX.packet_end[packet])
    there = [number for number in range(700) if not 300 <= number < 400]
    assert len(given_samples) == len(set(given_samples))
    assert set(given_samples) >= {number for number in there if start <= number < stop}


def test_packets_that_stand_alone_are_decoded_alone() -> None:
    index = replace(INDEX, header=msgspec.structs.replace(HEADER, stored="flac"))
    [run] = index.runs(420, 430)
    assert (run.segments, run.entry, run.first, run.stop) == (range(1, 2), 4, 4, 5)


CONTRADICTIONS = {
    "a packet too many": {"packet_bytes": ints(5, 6, 7, 8, 9)},
    "overlapping": {"packet_start": ints(0, 0, 90, 200, 400, 500)},
    "negative": {"packet_samples": ints(0, 100, 100, 100, 100, -1)},
    "empty segment": {"segment_packet": ints(0, 6, 6)},
    "entry ahead": {"segment_entry": ints(0, 4)},
    "beyond the chunk": {"segment_size": ints(68, 86)},
    "no digest": {"segment_sha256": np.zeros((1, 32), np.uint8)},
    "peaks of another": {"peaks": np.zeros((3, 1, 2), np.float16)},
    "no channels": {"header": msgspec.structs.replace(HEADER, channels=0)},
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_contradictions_are_refused(what: str) -> None:
    with pytest.raises(IntegrityError, match="sample index"):
        SampleIndex.from_bytes(replace(INDEX, **CONTRADICTIONS[what]).to_bytes())


def test_another_version_is_refused() -> None:
    newer = replace(INDEX, header=msgspec.structs.replace(HEADER, version=99))
    with pytest.raises(IntegrityError, match="version 99"):
        SampleIndex.from_bytes(newer.to_bytes())


@pytest.mark.parametrize("data", [b"", b"nonsense", INDEX.to_bytes()[:-30], INDEX.to_bytes()[:200]])
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        SampleIndex.from_bytes(data)


def test_no_code_is_read() -> None:
    out = BytesIO()
    np.savez(out, header=np.array([{"a": 1}], object))
    with pytest.raises(IntegrityError):
        SampleIndex.from_bytes(out.getvalue())
