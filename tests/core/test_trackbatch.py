"""Entries by the thousand are what they are one by one, and captions are written as they are read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.cues import chunk_head, chunk_text, parse_chunk, srt_text, vtt_text
from dreamlake.core.trackbatch import Batch, read_batches
from dreamlake.core.tracks import MAX_LINE, Lines, TrackFormat, parse_track
from dreamlake.errors import MediaError

from ._helpers import examples

LINE = b'{"ts": 1.5, "dt": 0.5, "label": "a", "bbox": [1, 2]}\n'


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    file = io.BytesIO(data)
    while block := file.read(size):
        yield block + (b"" if block.endswith(b"\n") else file.readline())


def batched(data: bytes, size: int, *, text: bool = False, skip_bad: bool = False) -> tuple[list[Batch], Lines]:
    lines = Lines("track", skip_bad=skip_bad)
    return list(read_batches(lines, blocks(data, size), "jsonl", text=text)), lines


def outcome(data: bytes, size: int | None, *, text: bool, skip_bad: bool) -> Any:
    """What is read, or why not: by batches, or one by one."""
    lines = Lines("track", io.BytesIO(data), skip_bad=skip_bad)
    try:
        if size is None:
            entries = list(parse_track(lines, "jsonl", text=text))
            frames = [frame for entry in entries for frame in (entry.fs, entry.fe) if frame is not None]
            return (
                [(entry.data.strip(), entry.ts, entry.end) for entry in entries],
                (min(frames), max(frames)) if frames else None,
                {name for entry in entries for name in entry.fields},
                lines.skipped,
            )
        batches, lines = batched(data, size, text=text, skip_bad=skip_bad)
    except MediaError as error:
        return str(error)
    found = [
        (line.strip(), ts, end)
        for batch in batches
        for line, ts, end in zip(batch.data.split(b"\n"), batch.ts.tolist(), batch.end.tolist(), strict=False)
    ]
    for batch in batches:
        assert [batch.data[a:b][-1:] for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)] == [b"\n"] * len(
            batch
        )
    extents = [frame for batch in batches if batch.frames for frame in batch.frames]
    fields = {name for batch in batches for name in batch.fields}
    return found, (min(extents), max(extents)) if extents else None, fields, lines.skipped


odd = st.sampled_from(
    [
        b"",
        b" ",
        b"\r",
        b"{}",
        b"[]",
        b'{"ts": 1, "dt": 2} {"ts": 1, "dt": 2}',
        b'{"ts": 1, "dt": 2,',
        b'"x": 1}',
        b"}",
        b"{",
        b'{"ts": NaN, "dt": 1}',
        b'{"ts": 1, "dt": -1}',
        b'{"ts": 1, "dt": 1, "fs": 3, "fe": 2}',
        b'{"dt": 1}',
        b'{"ts": 1, "dt": 1, "fs": null, "fe": 2}',
        b'{"ts": 1, "dt": 1, "fs": 3.0}',
        b'{"st": 1, "et": 3, "label": "b"}',
        b'{"ts": 1, "dt": 1, "new": "\xc3\xa9"}',
        b'{"ts": 1, "dt": 1, "label": "\xe9"}',
        b'{"ts": 1, "dt": 1, "a\\"b": 1}',
        b'{"ts": 1, "dt": 1, "label": 1e999}',
        b'{"ts": 1e300, "dt": 1}',
        b' {"ts": 1, "dt": 1} ',
        b'{"ts":\r1, "dt": 1}\r',
        b'{"ts": true, "dt": 1}',
        b'{"ts": 1, "ts": 2, "dt": 1}',
        b'{"ts": 2, "dt": 1, "text": "said"}',
        b'{"ts": 2, "dt": 1, "text": 3}',
        b'{"ts": 2, "dt": 1, "text": null, "caption": "c"}',
        b'{"ts": 2, "dt": 1, "caption": "c"}',
        b"not JSON",
        b'{"ts": 1, "dt": 1, "label": "\\ud800"}',
        b'{"ts": 1, "dt": 1, "label": "\\x"}',
        b'{"ts": 1, "dt": 1, "label": [1E5, 1e400]}',
        b'{"ts": 1, "dt": 1, "label": 1' + b"0" * 310 + b"}",
        b'{"ts": 1, "dt": 1, "fe": -1}',
    ]
)


@examples(400)
@given(
    st.lists(odd | st.just(LINE.strip()) | st.just(b'{"ts": 2, "dt": 1, "text": "said"}'), max_size=12),
    st.integers(1, 120),
    st.booleans(),
    st.booleans(),
)
def test_batches_hold_what_one_by_one_is_found(lines: list[bytes], size: int, text: bool, skip_bad: bool) -> None:
    data = b"\n".join(lines)
    assert outcome(data, size, text=text, skip_bad=skip_bad) == outcome(data, None, text=text, skip_bad=skip_bad)


def test_the_usual_is_read_at_once() -> None:
    [first, rest], _ = batched(LINE * 1000, 60 * len(LINE))[0][:1] + batched(LINE * 1000, 60 * len(LINE))[0][-1:], None
    assert (len(first), len(rest)) == (60, 1000 % 60)
    assert rest.fields == frozenset()  # nothing that the first ones did not have


def test_long_lines() -> None:
    long = b'{"ts": 0, "dt": 1, "mask": "' + b"a" * MAX_LINE + b'"}\n'
    with pytest.raises(MediaError, match=r"track: line 3: is longer than 16 MiB"):
        batched(LINE * 2 + long, 100)
    batches, lines = batched(LINE * 2 + long + LINE, 100, skip_bad=True)
    assert (sum(map(len, batches)), lines.skipped, lines.number) == (3, 1, 4)


@pytest.mark.parametrize("form", ["csv", "vtt", "srt"])
def test_bad_lines_of_other_formats_are_counted(form: TrackFormat) -> None:
    data = {
        "csv": b"ts,dt\n0,1\n0,one\n0,1,2\n\xff,1\n2,1\n",
        "vtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\na\n\nbad\n\n"
        b"00:0x.000 --> 00:01.000\nb\n\n00:02.000 --> 00:01.000\nc\n\n"
        b"00:02.000 --> 00:03.000\nd\n",
        "srt": b"1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:00:0x,000 --> 00:00:02,000\nb\n\n"
        b"3\n00:00:03,000 --> 00:00:02,000\nc\n\n4\n00:0:00,0 --> 1\nx\n\n5\n00:00:02,000 --> 00:00:03,000\nd\n",
    }[form]  # fmt: skip
    lines = Lines("track", io.BytesIO(data), skip_bad=True)
    assert [entry.ts for entry in parse_track(lines, form)] == [0.0, 2.0]
    assert lines.skipped == 3
    with pytest.raises(MediaError, match=r"track: line \d+: "):
        list(parse_track(Lines("track", io.BytesIO(data)), form))


# -- captions ------------------------------------------------------------------------------------------------------

HEAD = ["Kind: captions", "STYLE\n::cue { color: red }", "REGION\nid:r1"]
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12) | st.sampled_from(
    [
        "AT&T",
        "a < b > c",
        "<i>so</i>",
        "&amp;",
        "&nbsp;",
        "x --> y",
        '<font color="red">r</font>',
        "<3",
        "&lt;b&gt;",
        "-->",
    ]
)
said = st.lists(words.filter(lambda word: word.strip() != ""), min_size=1, max_size=3).map("\n".join)
cues = st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6), said), max_size=5)


@examples(200)
@given(cues, st.booleans())
def test_a_chunk_of_subrip_is_read_as_it_was(found: list[tuple[int, int, str]], blank: bool) -> None:
    entries = [
        {"ts": at / 1000, "dt": lasts / 1000, "text": text.replace("\n", "\n\n") if blank else text}
        for at, lasts, text in found
    ]
    chunk = chunk_text(entries, [], "srt")
    assert "\n\n-->" not in chunk
    assert parse_chunk(chunk.encode(), "chunk", "srt") == entries
    there = [entry for entry in entries if "-->" not in entry["text"]]  # which no SubRip file can say
    again = parse_track(Lines("again", io.BytesIO(srt_text(there, "srt").encode())), "srt")
    assert [(entry.ts, entry.dt, entry.fields["text"].strip()) for entry in again] == [
        (entry["ts"], entry["dt"], entry["text"].strip()) for entry in there
    ]


def test_a_chunk_of_webvtt() -> None:
    entries = [
        {"ts": 1.0, "dt": 2.0, "text": "<v Bob>Hi & <i>you</i>", "id": "one", "settings": "line:0 region:r1"},
        {"ts": 3600.5, "dt": 0.0, "text": ""},
    ]
    chunk = chunk_text(entries, HEAD, "vtt")
    assert chunk == (
        "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\nKind: captions\n\nSTYLE\n::cue { color: red }\n\n"
        "REGION\nid:r1\n\none\n00:00:01.000 --> 00:00:03.000 line:0 region:r1\n<v Bob>Hi & <i>you</i>\n\n"
        "01:00:00.500 --> 01:00:00.500\n\n"
    )
    assert parse_chunk(chunk.encode(), "chunk", "vtt") == entries
    assert chunk_head(chunk.encode(), "chunk") == HEAD
    assert vtt_text(entries, HEAD, "vtt").startswith("WEBVTT\nKind: captions\n\nSTYLE\n")
    assert srt_text(entries[:1], "vtt") == "1\n00:00:01,000 --> 00:00:03,000\nHi & <i>you</i>\n"


def test_what_has_no_text_of_its_own() -> None:
    entries = [{"ts": 0, "dt": 1, "caption": "a < b"}, {"ts": 1, "dt": 1, "label": "cup"}, {"ts": 2, "dt": 1, "n": 3}]
    assert srt_text(entries, "jsonl").split("\n\n")[2].endswith("\nn: 3\n")
    assert "a &lt; b" in vtt_text(entries, [], "jsonl")


@pytest.mark.parametrize("data", [json.dumps({"ts": 0, "dt": 1, "a": 1}).encode() + b"\n"] * 1)
def test_entries_in_another_order(data: bytes) -> None:
    [batch], _ = batched(data + data.replace(b'"ts": 0', b'"ts": 10') + data.replace(b'"ts": 0', b'"ts": 5'), 1000)
    turned = batch.reordered(np.array([0, 2, 1]))
    assert turned.ts.tolist() == [0, 5, 10]
    assert [json.loads(line)["ts"] for line in turned.data.splitlines()] == [0, 5, 10]
    assert turned.data[turned.offsets[1] : turned.offsets[2]].startswith(b'{"ts": 5')
