"""The exact index: `videos/{id}/frames.npz` answers what there is to ask about time and frames (DESIGN, 4)."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from bisect import bisect_right
from collections import Counter
from fractions import Fraction
from io import BytesIO
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, FrameIndex, IndexHeader
from dreamlake.errors import DreamlakeError, IntegrityError

from ._helpers import examples, frame_index, frame_indexes

ARRAYS = ["pts", "frame_packet", "packet_flags", "segment_packet", "segment_sha256", "segment_size"]

# I P B B | I(open GOP) B B P, shown as I B B P B B I P; two segments.
FLAGS = [KEY, 0, DROPPABLE, DROPPABLE, KEY, LEADING | DROPPABLE, LEADING | DROPPABLE, 0]
SMALL = frame_index(FLAGS, [0, 2, 3, 1, 5, 6, 4, 7], cuts=[0, 4], time_base=(1, 30))


def same(one: FrameIndex, other: FrameIndex) -> bool:
    return one.header == other.header and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ARRAYS
    )


def changed(index: FrameIndex, **fields: Any) -> FrameIndex:
    """The same index with other arrays, or with other fields of the header."""
    names = {field.name for field in msgspec.structs.fields(IndexHeader)}
    header = msgspec.structs.replace(index.header, **{name: fields.pop(name) for name in names & fields.keys()})
    return dataclasses.replace(index, header=header, **fields)


# -- there and back


@examples(60)
@given(frame_indexes())
def test_an_index_comes_back_from_its_bytes(index: FrameIndex) -> None:
    back = FrameIndex.from_bytes(index.to_bytes())
    assert same(back, index)
    assert len(back) == len(index) == len(index.pts)
    assert back.segments == index.segments == len(index.segment_size)


@examples(30)
@given(frame_indexes())
def test_the_same_index_always_gives_the_same_bytes(index: FrameIndex) -> None:
    data = index.to_bytes()
    assert index.to_bytes() == data
    assert FrameIndex.from_bytes(data).to_bytes() == data
    assert dataclasses.replace(index, pts=index.pts.copy()).to_bytes() == data
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_every_field_of_the_header_comes_back() -> None:
    header = IndexHeader(
        codec="av1",
        container="mp4",
        width=1919,
        height=1081,
        rotation=270,
        time_base=(1001, 30_000),
        end_pts=2**40,
        fps=(30_000, 1001),
        init_hash="ab" * 32,
        transcoded_from="mjpeg",
        has_audio=True,
    )
    assert FrameIndex.from_bytes(dataclasses.replace(SMALL, header=header).to_bytes()).header == header


def test_a_file_that_is_read_as_it_is_has_no_digests() -> None:
    index = dataclasses.replace(
        SMALL,
        segment_packet=np.array([0, 8], np.int64),
        segment_sha256=np.zeros((0, 32), np.uint8),
        segment_size=np.zeros(0, np.int64),
    )
    back = FrameIndex.from_bytes(index.to_bytes())
    assert same(back, index)
    assert back.segments == 1


def test_an_hour_of_video_takes_little_space() -> None:
    count = 108_000
    flags = [KEY if packet % 30 == 0 else DROPPABLE * (packet % 2) for packet in range(count)]
    index = frame_index(flags, list(range(count)), pts=list(range(0, count * 512, 512)), cuts=list(range(0, count, 60)))
    assert len(index.to_bytes()) - index.segment_sha256.nbytes < 20_000


# -- damage


def outcome(data: bytes) -> str:
    """How reading these bytes went; only the first two are right."""
    try:
        return "unharmed" if same(FrameIndex.from_bytes(data), SMALL) else "taken for another index"
    except IntegrityError:
        return "refused"
    except Exception as error:  # noqa: BLE001  # which one escaped is what is counted
        return type(error).__name__


def test_an_index_that_was_cut_short_is_refused() -> None:
    data = SMALL.to_bytes()
    assert Counter(outcome(data[:cut]) for cut in range(len(data))) == {"refused": len(data)}


@pytest.mark.parametrize("first", [0, 5])
def test_a_flipped_bit_is_refused_or_without_effect(first: int) -> None:
    data = SMALL.to_bytes()
    outcomes: Counter[str] = Counter()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (first + at) % 8
        outcomes[outcome(bytes(damaged))] += 1
    assert set(outcomes) == {"refused", "unharmed"}
    assert outcomes["refused"] > outcomes["unharmed"]  # dates and such carry no data


@examples(200)
@given(st.integers(0, 2000), st.binary(max_size=12), st.integers(0, 12))
def test_damaged_bytes_are_refused_or_without_effect(at: int, patch: bytes, gone: int) -> None:
    data = SMALL.to_bytes()
    at %= len(data)
    assert outcome(data[:at] + patch + data[at + gone :]) in ("refused", "unharmed")


def npy(array: Any) -> bytes:
    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    out = BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def archive(**members: bytes) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


FOREIGN = {
    "empty": b"",
    "text": b"<html><body>502 Bad Gateway</body></html>",
    "zeros": bytes(1000),
    "an array": npy(np.arange(3)),
    "a pickle": pickle.dumps({"pts": [1, 2, 3]}),
    "an empty archive": archive(),
    "an archive of text": archive(header=b"{}", pts=b"1"),
    "other arrays": npz(a=np.arange(3)),
    "one array too few": npz(header=np.frombuffer(b"{}", np.uint8), pts=np.arange(3)),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        FrameIndex.from_bytes(data)
    assert isinstance(caught.value, DreamlakeError)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("an index was unpickled",)


def test_an_index_never_runs_code() -> None:
    with zipfile.ZipFile(BytesIO(SMALL.to_bytes())) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members["pts.npy"] = npy(np.array([Trap()], dtype=object))
    with pytest.raises(IntegrityError):
        FrameIndex.from_bytes(archive(**members))


@pytest.mark.parametrize("version", [2, 3, 1000])
def test_the_index_of_a_newer_dreamlake_is_refused_by_its_version(version: int) -> None:
    with pytest.raises(IntegrityError, match=rf"version {version}\b.*up to 1"):
        FrameIndex.from_bytes(changed(SMALL, version=version).to_bytes())


def test_fields_that_a_newer_dreamlake_adds_do_not_hide_its_version() -> None:
    header = msgspec.json.decode(msgspec.json.encode(SMALL.header)) | {"version": 2, "layout": "new"}
    arrays = {"header": np.frombuffer(msgspec.json.encode(header), np.uint8), "anything": np.arange(3)}
    with pytest.raises(IntegrityError, match="version 2"):
        FrameIndex.from_bytes(npz(**arrays))


ints = np.int64
CONTRADICTIONS: dict[str, FrameIndex] = {
    "no frames": dataclasses.replace(SMALL, pts=np.zeros(0, ints), frame_packet=np.zeros(0, ints)),
    "more times than packets of frames": dataclasses.replace(SMALL, frame_packet=SMALL.frame_packet[:-1]),
    "fewer times than packets of frames": dataclasses.replace(SMALL, pts=SMALL.pts[:-1]),
    "a packet that is not there": dataclasses.replace(SMALL, frame_packet=np.array([0, 2, 3, 1, 5, 6, 4, 8])),
    "a packet before the first": dataclasses.replace(SMALL, frame_packet=np.array([-1, 2, 3, 1, 5, 6, 4, 7])),
    "two frames of one packet": dataclasses.replace(SMALL, frame_packet=np.array([0, 2, 2, 1, 5, 6, 4, 7])),
    "time that runs back": dataclasses.replace(SMALL, pts=np.array([0, 1, 2, 3, 4, 6, 5, 7])),
    "an end before the last frame": changed(SMALL, end_pts=7),
    "no time base": changed(SMALL, time_base=(1, 0)),
    "a frame rate of nothing": changed(SMALL, fps=(30, 0)),
    "no packets": dataclasses.replace(SMALL, packet_flags=np.zeros(0, np.uint8), segment_packet=np.array([0])),
    "segments that end early": dataclasses.replace(SMALL, segment_packet=np.array([0, 4, 7])),
    "segments that begin late": dataclasses.replace(SMALL, segment_packet=np.array([1, 4, 8])),
    "segments that run back": dataclasses.replace(SMALL, segment_packet=np.array([0, 9, 8])),
    "an empty segment": dataclasses.replace(SMALL, segment_packet=np.array([0, 8, 8])),
    "no segments": dataclasses.replace(SMALL, segment_packet=np.zeros(0, ints)),
    "a digest too few": dataclasses.replace(SMALL, segment_sha256=SMALL.segment_sha256[:1]),
    "digests cut short": dataclasses.replace(SMALL, segment_sha256=SMALL.segment_sha256[:, :16]),
    "a size too few": dataclasses.replace(SMALL, segment_size=SMALL.segment_size[:1]),
    "flags that are fractions": dataclasses.replace(SMALL, packet_flags=SMALL.packet_flags.astype(np.float32)),
    "flags in two dimensions": dataclasses.replace(SMALL, packet_flags=SMALL.packet_flags.reshape(-1, 1)),
    "digests of wide numbers": dataclasses.replace(SMALL, segment_sha256=SMALL.segment_sha256.astype(np.int64)),
    "fractions": dataclasses.replace(SMALL, pts=SMALL.pts + 0.5),
}


@pytest.mark.parametrize("index", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_an_index_that_contradicts_itself_is_refused(index: FrameIndex) -> None:
    with pytest.raises(IntegrityError):
        FrameIndex.from_bytes(index.to_bytes())


# -- what is derived, against plain Python


@examples(60)
@given(frame_indexes())
def test_the_entry_of_every_packet(index: FrameIndex) -> None:
    flags = index.packet_flags.tolist()
    for packet, entry in enumerate(index.packet_entry.tolist()):
        keys = [number for number in range(packet + 1) if flags[number] & KEY]
        leading = bool(flags[packet] & LEADING)
        assert entry == (keys[-2] if leading and len(keys) > 1 else keys[-1])


def test_the_entries_of_an_open_gop() -> None:
    assert SMALL.packet_entry.tolist() == [0, 0, 0, 0, 4, 0, 0, 4]


def test_packets_before_any_key_packet_decode_from_the_first() -> None:
    assert frame_index([0, 0, KEY, 0], [0, 1, 2, 3]).packet_entry.tolist() == [0, 0, 2, 2]
    assert frame_index([0, 0, 0], [0, 1, 2]).packet_entry.tolist() == [0, 0, 0]
    assert frame_index([KEY, LEADING, 0], [1, 0, 2]).packet_entry.tolist() == [0, 0, 0]


@examples(60)
@given(frame_indexes())
def test_the_frame_of_every_packet(index: FrameIndex) -> None:
    display = index.frame_packet.tolist()
    expected = [display.index(packet) if packet in display else -1 for packet in range(len(index.packet_flags))]
    assert index.packet_frame.tolist() == expected


@examples(60)
@given(frame_indexes())
def test_times_are_seconds_from_the_first_frame_exactly(index: FrameIndex) -> None:
    tick, begin = Fraction(*index.header.time_base), int(index.pts[0])
    assert index.timeline.times.tolist() == [float((pts - begin) * tick) for pts in index.pts.tolist()]
    assert index.timeline.end == float((index.header.end_pts - begin) * tick)
    assert len(index.timeline) == len(index)
    assert index.timeline.times[0] == 0.0


def test_an_end_of_a_day_is_exact_in_nanoseconds() -> None:
    day = 86_400 * 10**9
    index = frame_index([KEY, 0], [0, 1], pts=[-5, day - 5], time_base=(1, 10**9), last=33_366_667)
    assert index.timeline.times.tolist() == [0.0, 86_400.0]
    assert index.timeline.end == float(Fraction(day + 33_366_667, 10**9))


@examples(100)
@given(frame_indexes())
def test_segments_cover_the_video_without_a_gap(index: FrameIndex) -> None:
    spans = index.segment_spans()
    assert len(spans) == index.segments
    check_cover(index, spans)
    bounds = index.segment_packet.tolist()
    for frame, packet in enumerate(index.frame_packet.tolist()):
        begin, _ = spans[bisect_right(bounds, packet) - 1]
        assert begin <= index.timeline.times[frame]


def check_cover(index: FrameIndex, spans: list[tuple[float, float]]) -> None:
    """From 0.0 to the end, each where the one before it ends."""
    assert spans[0][0] == 0.0
    for (begin, seconds), (after, _) in zip(spans, [*spans[1:], (index.timeline.end, 0.0)], strict=True):
        assert seconds >= 0
        assert begin + seconds == pytest.approx(after, abs=1e-9)


@pytest.mark.parametrize("hidden", [{0, 1}, {2, 3}, {4, 5}, {0, 1, 2, 3}, {2, 3, 4, 5}])
def test_segments_of_which_nothing_is_shown_leave_no_gap_and_no_overlap(hidden: set[int]) -> None:
    """An edit list may hide whole GOPs, at the beginning, at the end or between."""
    display = [packet for packet in range(6) if packet not in hidden]
    index = frame_index([KEY, 0] * 3, display, cuts=[0, 2, 4])
    spans = index.segment_spans()
    check_cover(index, spans)
    assert sum(seconds for _, seconds in spans) == pytest.approx(index.timeline.end)
    for segment in range(3):
        if {2 * segment, 2 * segment + 1} <= hidden:
            assert spans[segment][1] == 0.0


@examples(60)
@given(frame_indexes())
def test_the_segment_of_every_packet(index: FrameIndex) -> None:
    for segment, (first, last) in enumerate(zip(index.segment_packet[:-1], index.segment_packet[1:], strict=True)):
        assert {index.segment_of(packet) for packet in range(first, last)} == {segment}


def test_a_segment_is_named_by_the_first_16_hex_digits_of_its_digest() -> None:
    assert SMALL.segment_name(0) == bytes(SMALL.segment_sha256[0]).hex()[:16]
    assert SMALL.segment_name(1) == bytes(SMALL.segment_sha256[1]).hex()[:16]
    assert len(SMALL.segment_name(0)) == 16
    assert SMALL.segment_name(0) != SMALL.segment_name(1)


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (1920, 1080)), (90, (1080, 1920)), (180, (1920, 1080)), (270, (1080, 1920))]
)
def test_rotation_is_applied_to_the_size(rotation: int, size: tuple[int, int]) -> None:
    assert changed(SMALL, rotation=rotation).display_size == size


def test_frames_per_second() -> None:
    assert SMALL.fps == 30.0
    assert changed(SMALL, fps=(30_000, 1001)).fps == float(Fraction(30_000, 1001))
