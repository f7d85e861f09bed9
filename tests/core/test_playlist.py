"""HLS VOD playlists: `stream/*.m3u8`, played by ffmpeg, hls.js and Chromium (seed 2; RFC 8216)."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dreamlake.core.playlist import Playlist, parse_playlist, render_playlist, rewrite_uris
from dreamlake.errors import MediaError

from ._helpers import examples

hashes = st.integers(0, 2**64 - 1).map("{:016x}".format)
uris = st.one_of(
    hashes.map(lambda name: f"chunks/{name}.ts"),
    hashes.map(lambda name: f"https://lake.example.com/chunks/{name}.m4s?expires=1&signature={name}"),
    st.text("aZ09/._~%?&=:+,;@!$'()*#-", min_size=1, max_size=20).filter(lambda uri: not uri.startswith("#")),
)
durations = st.one_of(st.floats(0, 20), st.sampled_from([0.0, 0.5, 1.5, 2.0, 2.002, 3.9999999, 4.0, 4.0000004, 4.5]))


@st.composite
def playlists(draw: st.DrawFn, *, least: int = 0) -> Playlist:
    segments = draw(st.lists(st.tuples(uris, durations), min_size=least, max_size=5))
    init = draw(st.one_of(st.none(), uris))
    return Playlist([uri for uri, _ in segments], [seconds for _, seconds in segments], init, draw(st.booleans()))


def test_a_playlist_of_transport_stream_chunks() -> None:
    playlist = Playlist(["chunks/da2321b20fbcf81e.ts", "chunks/0123456789abcdef.ts"], [4.0, 1.966667])
    assert render_playlist(playlist) == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:3\n"
        "#EXT-X-TARGETDURATION:4\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-PLAYLIST-TYPE:VOD\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXTINF:4.000000,\n"
        "chunks/da2321b20fbcf81e.ts\n"
        "#EXTINF:1.966667,\n"
        "chunks/0123456789abcdef.ts\n"
        "#EXT-X-ENDLIST\n"
    )


def test_a_playlist_of_fragmented_mp4_names_the_section_that_its_segments_share() -> None:
    text = render_playlist(Playlist(["chunks/b.m4s"], [2.0], init="chunks/a.mp4", independent=False))
    assert '#EXT-X-MAP:URI="chunks/a.mp4"\n' in text
    assert text.index("#EXT-X-MAP") < text.index("#EXTINF")  # it applies to what follows it
    assert int(re.findall(r"#EXT-X-VERSION:(\d+)", text)[0]) >= 6  # EXT-X-MAP outside of I-frame playlists
    assert "INDEPENDENT" not in text


# -- there and back


@examples(80)
@given(playlists())
def test_a_playlist_comes_back(playlist: Playlist) -> None:
    back = parse_playlist(render_playlist(playlist))
    assert (back.uris, back.init, back.independent) == (playlist.uris, playlist.init, playlist.independent)
    assert back.durations == pytest.approx(playlist.durations, abs=1e-6)
    assert parse_playlist(render_playlist(back)) == back


@examples(100)
@given(playlists())
def test_line_endings_and_blank_lines_do_not_matter(playlist: Playlist) -> None:
    text = render_playlist(playlist)
    assert parse_playlist(text.replace("\n", "\r\n")) == parse_playlist(text)
    assert parse_playlist(text.replace("\n", "\n\n")) == parse_playlist(text)
    assert parse_playlist(text + "# a comment\n") == parse_playlist(text)


# -- RFC 8216


@examples(80)
@given(playlists(least=1))
def test_what_players_rely_on(playlist: Playlist) -> None:
    text = render_playlist(playlist)
    lines = text.split("\n")
    assert lines[0] == "#EXTM3U"
    assert lines[-2:] == ["#EXT-X-ENDLIST", ""]
    tags = [line.split(":")[0] for line in lines if line.startswith("#EXT")]
    once = {"#EXTM3U", "#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-PLAYLIST-TYPE"}
    assert all(tags.count(tag) == 1 for tag in (*once, "#EXT-X-ENDLIST"))
    assert once >= set(tags[: tags.index("#EXTINF")]) - {"#EXT-X-INDEPENDENT-SEGMENTS", "#EXT-X-MAP"}
    target = int(re.findall(r"#EXT-X-TARGETDURATION:(\d+)$", text, re.MULTILINE)[0])
    written = [float(value) for value in re.findall(r"#EXTINF:([\d.]+),$", text, re.MULTILINE)]
    assert len(written) == len(playlist.uris)
    assert all(int(seconds + 0.5) <= target for seconds in written)  # "rounded to the nearest integer"
    assert target <= max(1, max(written) + 1)
    for at, line in enumerate(lines):
        if line.startswith("#EXTINF"):
            assert not lines[at + 1].startswith("#")


@pytest.mark.parametrize(
    ("seconds", "target"), [(0.0, 1), (0.4, 1), (1.0, 1), (2.0, 2), (3.999, 4), (4.0, 4), (4.000001, 5), (9.5, 10)]
)
def test_the_target_duration_is_never_below_a_segments(seconds: float, target: int) -> None:
    assert f"#EXT-X-TARGETDURATION:{target}\n" in render_playlist(Playlist(["a.ts"], [seconds]))


def test_segments_and_durations_must_match() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        render_playlist(Playlist(["a.ts", "b.ts"], [4.0]))


# -- signing every URI


@examples(80)
@given(playlists(), uris)
def test_every_uri_is_replaced_and_nothing_else(playlist: Playlist, base: str) -> None:
    def signed(uri: str) -> str:
        return f"{base}/{uri}"

    text = render_playlist(playlist)
    back = parse_playlist(rewrite_uris(text, signed))
    assert back.uris == [signed(uri) for uri in playlist.uris]
    assert back.init == (None if playlist.init is None else signed(playlist.init))
    assert (back.durations, back.independent) == (parse_playlist(text).durations, playlist.independent)
    assert rewrite_uris(text, lambda uri: uri) == text


def test_a_signed_uri_keeps_its_backslashes_and_groups() -> None:
    text = render_playlist(Playlist(["a.m4s"], [1.0], init="init.mp4"))
    assert parse_playlist(rewrite_uris(text, lambda uri: rf"\1\g<0>{uri}")).init == r"\1\g<0>init.mp4"


@pytest.mark.parametrize("attributes", ['BYTERANGE="720@0",URI="init.mp4"', 'URI="init.mp4",BYTERANGE="720@0"'])
def test_the_shared_section_is_found_in_any_order_of_attributes(attributes: str) -> None:
    text = f"#EXTM3U\n#EXT-X-MAP:{attributes}\n#EXTINF:1.0,\na.m4s\n#EXT-X-ENDLIST\n"
    assert parse_playlist(text).init == "init.mp4"
    assert parse_playlist(rewrite_uris(text, lambda uri: f"x/{uri}")).init == "x/init.mp4"


# -- malformed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "hello",
        "<html><body>502 Bad Gateway</body></html>",
        "\ufeff#EXTM3U\n#EXT-X-ENDLIST\n",
        "#EXTM3UX\n#EXT-X-ENDLIST\n",
        "#EXTINF:1.0,\na.ts\n#EXTM3U\n#EXT-X-ENDLIST\n",
        "#EXTM3U\na.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:1.0,\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:1.0,\na.ts\nb.ts\n#EXT-X-ENDLIST\n",
    ],
)
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(MediaError):
        parse_playlist(text)


@pytest.mark.parametrize("duration", ["", "abc", "1.0.0", "nan", "inf", "-1.0", "1e999", ",", "0x10"])
def test_a_duration_that_is_none_is_refused(duration: str) -> None:
    with pytest.raises(MediaError):
        parse_playlist(f"#EXTM3U\n#EXTINF:{duration},\na.ts\n#EXT-X-ENDLIST\n")


def test_a_duration_belongs_to_the_segment_below_it() -> None:
    with pytest.raises(MediaError):
        parse_playlist("#EXTM3U\n#EXTINF:1.0,\n#EXTINF:2.0,\na.ts\nb.ts\n#EXT-X-ENDLIST\n")


@examples(80)
@given(playlists(least=1), st.data())
def test_a_playlist_that_was_cut_short_is_refused(playlist: Playlist, data: st.DataObject) -> None:
    text = render_playlist(playlist).rstrip("\n")
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(MediaError):
        parse_playlist(text[:cut])


@examples(80)
@given(st.lists(st.sampled_from(["#EXTM3U", "#EXTINF:1.0,", "#EXTINF:x", "#EXTINF:", "a.ts", "", "#EXT-X-MAP:", "#"])))
def test_any_lines_are_a_playlist_or_refused(lines: list[str]) -> None:
    try:
        playlist = parse_playlist("\n".join(["#EXTM3U", *lines, "#EXT-X-ENDLIST"]))
    except MediaError:
        return
    assume(playlist.uris)
    assert set(playlist.uris) == {"a.ts"}
    assert len(playlist.uris) == len(playlist.durations) == lines.count("a.ts") == lines.count("#EXTINF:1.0,")
