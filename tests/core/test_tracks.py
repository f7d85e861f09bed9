"""The entries of label tracks and text tracks in their four formats (seed 3, "Input Format")."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.tracks import MAX_LINE, Entry, Lines, TrackFormat, parse_track
from dreamlake.errors import MediaError

from ._helpers import examples

SEED_3 = b"""\
{"ts": 0.0, "dt": 0.5, "label": "person", "confidence": 0.95, "bbox": [100, 50, 200, 150]}
{"ts": 0.5, "dt": 0.033, "fs": 15, "fe": 15, "label": "car", "bbox": [300, 200, 450, 350]}
{"ts": 1.0, "dt": 0.033, "fs": 30, "fe": 30, "label": "person", "bbox": [110, 55, 210, 155]}
"""


def parse(data: bytes, form: TrackFormat = "jsonl", *, text: bool = False) -> list[Entry]:
    return list(parse_track(Lines("track", io.BytesIO(data)), form, text=text))


def refused(data: bytes, form: TrackFormat = "jsonl", *, text: bool = False) -> str:
    with pytest.raises(MediaError) as caught:
        parse(data, form, text=text)
    message = str(caught.value)
    assert message.startswith("track: line ")
    assert len(message) < 250
    return message.removeprefix("track: line ")


def test_the_entries_of_seed_3() -> None:
    entries = parse(SEED_3)
    assert [(entry.ts, entry.dt, entry.fs, entry.fe) for entry in entries] == [
        (0.0, 0.5, None, None),
        (0.5, 0.033, 15, 15),
        (1.0, 0.033, 30, 30),
    ]
    assert entries[0].fields == {"label": "person", "confidence": 0.95, "bbox": [100, 50, 200, 150]}
    assert [entry.data for entry in entries] == SEED_3.splitlines()
    assert [entry.line for entry in entries] == [1, 2, 3]
    assert entries[1].end == 0.533


# -- JSONL ---------------------------------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.text().filter(lambda name: name not in {"ts", "dt", "fs", "fe", "st", "et", "sf", "ef"})
seconds = st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9)
frames = st.none() | st.integers(0, 2**53 - 1)


@examples(200)
@given(
    seconds, seconds.map(abs), frames, frames, st.dictionaries(names, values, max_size=4), st.booleans(), st.booleans()
)
def test_what_is_written_is_read(
    ts: float, dt: float, one: int | None, two: int | None, rest: dict[str, Any], ascii_only: bool, windows: bool
) -> None:
    first, last = sorted((one, two)) if one is not None and two is not None else (one, two)
    timing = {"ts": ts, "dt": dt, "fs": first, "fe": last}
    line = json.dumps({**rest, **timing}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    data = (b"\xef\xbb\xbf" if windows else b"") + line + (b"\r\n\r\n" if windows else b"")
    [entry] = parse(data)
    assert (entry.ts, entry.dt, entry.fs, entry.fe) == (ts, dt, first, last)
    assert entry.fields == rest
    assert json.loads(entry.data) == {**rest, **timing}


@examples(300)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_nothing_but_an_entry_or_a_refusal_comes_of_any_bytes(data: bytes) -> None:
    forms: list[TrackFormat] = ["jsonl", "csv", "vtt", "srt"]
    for form in forms:
        for text in (False, True):
            try:
                entries = parse(data, form, text=text)
            except MediaError as error:
                assert str(error).startswith("track: line ")
            else:
                for entry in entries:
                    assert math.isfinite(entry.end)
                    assert entry.dt >= 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "is not a JSON object"),
        (b"[0.0, 0.5]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"ts"', "is not a JSON object"),
        (b'{"ts": 1.0, "dt": 0.5', "is not a JSON object"),
        (b'{"ts": 1.0, "dt": 0.5} {}', "is not a JSON object"),
        (b'{"ts": 1.0, "dt": 0.5,}', "is not a JSON object"),
        (b'{"ts": 1.0, "dt": 0.5, "label": "\\ud800"}', "is not a JSON object"),
        (b'{"ts": NaN, "dt": 0.5}', "is not JSON: it holds NaN or Infinity"),
        (b'{"ts": 0.0, "dt": Infinity}', "is not JSON: it holds NaN or Infinity"),
        (b'{"ts": -Infinity, "dt": 1}', "is not JSON: it holds NaN or Infinity"),
        (b'{"ts": 0.0, "dt": 0.5, "confidence": NaN}', "is not JSON: it holds NaN or Infinity"),
        (b'{"ts": 1e999, "dt": 0.5}', "holds a number that is not finite"),
        (b'{"ts": 1' + b"0" * 400 + b', "dt": 0.5}', "ts is no finite number"),
        (b'{"ts": 1e308, "dt": 1e308}', "its end is no finite number"),
        (b'{"dt": 0.5}', "ts is missing"),
        (b'{"ts": null, "dt": 0.5}', "ts is missing"),
        (b'{"ts": 0.5}', "dt is missing"),
        (b'{"TS": 0.5, "dt": 1}', "ts is missing"),
        (b'{"ts": "0.5", "dt": 1}', "ts is not a number"),
        (b'{"ts": true, "dt": 1}', "ts is not a number"),
        (b'{"ts": 0.5, "dt": [1]}', "dt is not a number"),
        (b'{"ts": 0.5, "dt": -0.1}', "it ends before it begins (dt is -0.1)"),
        (b'{"st": 3, "et": 2}', "it ends before it begins (dt is -1)"),
        (b'{"ts": 0, "dt": 1, "fs": 1.5}', "fs is not a whole number"),
        (b'{"ts": 0, "dt": 1, "fe": "2"}', "fe is not a whole number"),
        (b'{"ts": 0, "dt": 1, "fs": -1}', "fs is not the number of a frame"),
        (b'{"ts": 0, "dt": 1, "fe": 1' + b"0" * 400 + b"}", "fe is not the number of a frame"),
        (b'{"ts": 0, "dt": 1, "fs": 5, "fe": 4}', "its last frame 4 is before its first frame 5"),
        (b'{"ts": 0, "dt": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        ('{"ts": 0, "dt": 1, "label": "é"}'.encode("latin-1"), "is not UTF-8 (byte 0xe9)"),
        ('{"ts": 0, "dt": 1}'.encode("utf-16"), "is not UTF-8 (byte 0xff)"),
    ],
)  # fmt: skip
def test_lines_that_are_no_entries(line: bytes, reason: str) -> None:
    assert refused(SEED_3 + b"\n" + line + b"\n").startswith(f"5: {reason}")


def test_a_line_may_be_long_but_not_endless() -> None:
    def line(size: int) -> bytes:
        head = b'{"ts": 0, "dt": 1, "mask": "'
        return head + b"a" * (size - len(head) - 2) + b'"}'

    assert len(parse(line(MAX_LINE))[0].fields["mask"]) > MAX_LINE - 100
    assert refused(SEED_3 + line(MAX_LINE + 1)) == "4: is longer than 16 MiB"


def test_times_and_frames_as_text_track_add_spells_them() -> None:
    """DESIGN: readers accept both spellings."""
    [entry] = parse(b'{"st": 10.0, "et": 12.5, "sf": 300, "ef": 375, "text": "a cup"}')
    assert (entry.ts, entry.dt, entry.fs, entry.fe) == (10.0, 2.5, 300, 375)
    assert entry.fields == {"text": "a cup"}
    [entry] = parse(b'{"ts": 1, "dt": 2, "st": "Bavaria", "et": null}')
    assert (entry.ts, entry.dt, entry.fields) == (1.0, 2.0, {"st": "Bavaria", "et": None})


def test_the_text_of_a_text_track() -> None:
    good = b'{"ts": 0, "dt": 1, "text": "a"}\n{"ts": 0, "dt": 1, "caption": "b"}\n{"ts": 0, "dt": 1, "text": ""}'
    assert len(parse(good, text=True)) == 3
    assert refused(b'{"ts": 0, "dt": 1}', text=True) == "1: text is missing"
    assert refused(b'{"ts": 0, "dt": 1, "text": 7}', text=True) == "1: text is not a text"


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"\r\n \t\r\n"])
def test_a_track_may_be_empty(data: bytes) -> None:
    assert parse(data) == parse(data, "csv") == parse(data, "vtt") == parse(data, "srt") == []


# -- CSV -----------------------------------------------------------------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    ["a\nb", 'say "x"', "1,2"]
)


@examples(100)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e9), frames, cells), max_size=5), st.booleans())
def test_rows_are_entries(rows: list[tuple[float, float, int | None, str]], windows: bool) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n" if windows else "\n")
    writer.writerow(["label", "ts", "dt", "fs"])
    writer.writerows([label, ts, dt, "" if fs is None else fs] for ts, dt, fs, label in rows)
    entries = parse((b"\xef\xbb\xbf" if windows else b"") + file.getvalue().encode(), "csv")
    assert [(entry.ts, entry.dt, entry.fs) for entry in entries] == [(ts, dt, fs) for ts, dt, fs, _ in rows]
    for entry, row in zip(entries, rows, strict=True):
        assert str(entry.fields.get("label", "")).strip() == row[3].strip() or float(row[3]) == entry.fields["label"]
        assert b"\n" not in entry.data


def test_cells_that_are_numbers_become_numbers() -> None:
    head = b"ts,dt,label,confidence,code,fs,note\n"
    [entry] = parse(head + b"0,0.5,person,0.95,007,15.0,\n", "csv")
    assert entry.fields == {"label": "person", "confidence": 0.95, "code": "007"}
    assert entry.fs == 15
    assert json.loads(entry.data) == {"ts": 0, "dt": 0.5, "fs": 15.0, **entry.fields}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"label,confidence\nperson,1\n", "1: the header names no ts"),
        (b"0.0,0.5,person\n", "1: the header names no ts"),
        (b"ts;dt\n0;1\n", "1: the header names no ts"),
        (b"ts,label\n0,a\n", "1: the header names no dt"),
        (b"ts,dt,ts\n0,1,2\n", "1: the header names a column twice"),
        (b"ts,dt\n0,1\n0\n", "3: has 1 columns, and the header has 2"),
        (b"ts,dt\n0,1,2\n", "2: has 3 columns, and the header has 2"),
        (b"ts,dt\n,1\n", "2: ts is missing"),
        (b"ts,dt\nnan,1\n", "2: ts is not a number"),
        (b"ts,dt\ninf,1\n", "2: ts is not a number"),
        (b"ts,dt\n1_0,1\n", "2: ts is not a number"),
        ("ts,dt\n\N{ARABIC-INDIC DIGIT ONE},1\n".encode(), "2: ts is not a number"),
        (b"ts,dt\n1e999,1\n", "2: holds a number that is not finite"),
        (b"ts,dt\n1,-1\n", "2: it ends before it begins"),
        (b'ts,dt\n0,"1\n0,1\n', "3: is not CSV (unexpected end of data)"),
        (b'ts,dt,x\n0,1,"a"b\n', "2: is not CSV"),
        ("ts,dt,x\n0,1,é\n".encode("latin-1"), "2: is not UTF-8 (byte 0xe9)"),
    ],
)  # fmt: skip
def test_rows_that_are_no_entries(data: bytes, reason: str) -> None:
    assert refused(data, "csv").startswith(reason)


def test_a_quote_that_never_ends_fills_no_memory() -> None:
    cell = b'"' + b"a" * 1000 + b'\n",'
    assert "a row is longer than 16 MiB" in refused(b"ts,dt\n" + cell * 20_000, "csv")
    assert "is not CSV (field larger than field limit" in refused(b'ts,dt\n"' + b"a\n" * 200_000, "csv")


# -- WebVTT and SubRip ---------------------------------------------------------------------------------------------

VTT = """\
WEBVTT - of a run
Kind: captions

STYLE
::cue { color: red }

NOTE times --
of the camera

intro
00:00.500 --> 00:02.000 align:start position:10%
A robot arm
reaches

01:00:00.000 --> 01:00:00.250
for a cup"""

SRT = """\
1
00:00:00,500 --> 00:00:02,000
A robot arm
reaches

2
01:00:00,000 --> 01:00:00,250
for a cup
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_cues(end: str, mark: bytes) -> None:
    data = mark + VTT.replace("\n", end).encode()
    one, two = parse(data, "vtt")
    assert (one.ts, one.dt, two.ts, two.dt) == (0.5, 1.5, 3600.0, 0.25)
    assert one.fields == {"id": "intro", "settings": "align:start position:10%", "text": "A robot arm\nreaches"}
    assert two.fields == {"text": "for a cup"}
    assert json.loads(one.data) == {"ts": 0.5, "dt": 1.5, **one.fields}
    if end != "\r":
        assert (one.line, two.line) == (10, 15)
    same = parse(mark + SRT.replace("\n", end).encode(), "srt")
    assert [(cue.ts, cue.dt, cue.fields) for cue in same] == [
        (0.5, 1.5, {"text": "A robot arm\nreaches"}),
        (3600.0, 0.25, {"text": "for a cup"}),
    ]


@examples(100)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), min_size=1, max_size=5))
def test_times_of_cues_are_exact(times: list[tuple[int, int]]) -> None:
    def spelt(milliseconds: int, point: str) -> str:
        seconds, rest = divmod(milliseconds, 1000)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"

    for form, point, head in (("vtt", ".", "WEBVTT\n\n"), ("srt", ",", "")):
        data = head + "".join(
            f"{number}\n{spelt(at, point)} --> {spelt(at + length, point)}\ntext\n\n"
            for number, (at, length) in enumerate(times)
        )
        cues = parse(data.encode(), form)  # type: ignore[arg-type] (the two formats of the loop)
        assert [(cue.ts, cue.dt) for cue in cues] == [(at / 1000, length / 1000) for at, length in times]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("hello", "1: is not the signature WEBVTT"),
        ("WEBVTTX\n", "1: is not the signature WEBVTT"),
        ("\nWEBVTT\n", "1: is not the signature WEBVTT"),
        (SRT, "1: is not the signature WEBVTT"),
        ("WEBVTT\n00:00.000 --> 00:01.000\ntext", "2: a blank line is missing between the header and the first cue"),
        ("WEBVTT\n\ntext", "3: a cue has no times"),
        ("WEBVTT\n\n00:00,000 --> 00:01,000\ntext", "3: '00:00,000 --> 00:01,000' are not the times of a cue"),
        ("WEBVTT\n\n1\n0:00.000 --> 00:01.000\ntext", "4: '0:00.000 --> 00:01.000' are not the times of a cue"),
        ("WEBVTT\n\n00:60.000 --> 00:61.000\ntext", "3: '00:60.000 --> 00:61.000' are not the times of a cue"),
        ("WEBVTT\n\n00:00.000 -->\ntext", "3: '00:00.000 -->' are not the times of a cue"),
        ("WEBVTT\n\n00:02.000 --> 00:01.000\ntext", "3: a cue ends before it begins"),
        (
            "WEBVTT\n\n00:00.000 --> 00:01.000\ntext\n00:01.000 --> 00:02.000\ntext",
            "5: a blank line is missing before this cue",
        ),
    ],
)
def test_cues_that_are_none(data: str, reason: str) -> None:
    assert refused(data.encode(), "vtt") == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("hello", "1: a cue has no times"),
        (VTT, "1: a cue has no times"),
        ("1\n00:00:00,000 -> 00:00:01,000\ntext", "1: a cue has no times"),
        ("1\n00:00:00,000 --> 00:00:01\ntext", "2: '00:00:00,000 --> 00:00:01' are not the times of a cue"),
        ("1\n00:00:02,000 --> 00:00:01,000\ntext", "2: a cue ends before it begins"),
        (SRT + "\n3\n", "10: a cue has no times"),
    ],
)
def test_subtitles_that_are_none(data: str, reason: str) -> None:
    assert refused(data.encode(), "srt") == reason


def test_subtitles_as_they_are_found() -> None:
    """Points for commas, no numbers, coordinates, and a blank line within a text: players show all of them."""
    data = "0:0:1.5 --> 0:0:2.25 X1:40 X2:600\nOne\n\nand more\n\n\n7\n00:00:03,000 --> 00:00:04,000\n\n"
    one, two = parse(data.encode(), "srt")
    assert (one.ts, one.dt, one.fields) == (1.5, 0.75, {"text": "One\n\nand more", "settings": "X1:40 X2:600"})
    assert (two.ts, two.fields) == (3.0, {"text": ""})


def test_a_cue_may_not_be_endless() -> None:
    endless = b"00:00:00.000 --> 00:00:01.000\n" + b"a" * 1000 + b"\n"
    for form, head in (("vtt", b"WEBVTT\n\n"), ("srt", b"")):
        data = head + endless + (b"b" * 1000 + b"\n") * 17_000
        assert "a cue is longer than 16 MiB" in refused(data, form)  # type: ignore[arg-type] (the two of the loop)
    assert "a cue is longer than 16 MiB" in refused(endless + (b"\n" + b"b" * 1000 + b"\n") * 17_000, "srt")
