"""When frames are shown, and what containers make of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.packet import Packet

from tests.corpus.gops import OPEN, x265
from tests.corpus.traps import film, remux, shifted, trap

NTSC = Fraction(30_000, 1001)
B = {"g": "10", "x264-params": "bframes=3:b-adapt=0:scenecut=0"}  # the second picture in decode order is shown fourth


def _moved(path: Path, seconds: Fraction, count: int = 50, **muxer: str) -> None:
    """A clip with B-frames whose times are moved."""
    whole = film(path.with_name(f"whole-{path.stem}.mkv"), options=B, count=count)
    remux(whole, path, shifted(seconds), muxer=muxer)


@trap(".mp4")
def mp4_start_time(path: Path) -> None:
    """Begins at 5 s, by an empty edit."""
    _moved(path, Fraction(5))


@trap(".mkv")
def mkv_start_time(path: Path) -> None:
    """Begins at an hour."""
    _moved(path, Fraction(3600))


@trap(".ts")
def ts_start_time(path: Path) -> None:
    """FFmpeg lets a transport stream begin at 1.4 s."""
    _moved(path, Fraction(7, 5), 100)


@trap(".ts")
def ts_wrap(path: Path) -> None:
    """The 33 bits of the times run over in the midst: it was recorded for 26.5 hours."""
    _moved(path, Fraction(2**33, 90_000) - Fraction(8, 5), 100)


@trap(".mp4")
def mp4_edit_list_in_a_gop(path: Path) -> None:
    """An edit list leaves out the first key frame, and begins at a picture that needs it."""
    _moved(path, Fraction(-1, 2), avoid_negative_ts="disabled")


@trap(".mp4")
def mp4_edit_list_at_a_b_frame(path: Path) -> None:
    """An edit list leaves out the leading pictures of an open GOP too."""
    whole = film(path.with_name(f"whole-{path.stem}.mkv"), options=OPEN, count=60)
    remux(whole, path, shifted(Fraction(-11, 30)), muxer={"avoid_negative_ts": "disabled"})


@trap(".mp4")
def mp4_edit_list_hevc(path: Path) -> None:
    """The same with CRA pictures."""
    whole = x265(path.with_name(f"whole-{path.stem}.mkv"), "keyint=12:min-keyint=12:bframes=3:b-adapt=0", 60)
    remux(whole, path, shifted(Fraction(-2, 3)), muxer={"avoid_negative_ts": "disabled"})


@trap(".mp4")
def mp4_ends_early(path: Path) -> None:
    """An edit list that leaves out the end: the duration in it is patched to be shorter."""
    film(path, options=B, count=50)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    half = int.from_bytes(data[at : at + 4], "big") // 2
    data[at : at + 4] = half.to_bytes(4, "big")
    path.write_bytes(data)


@trap(".mp4")
def mp4_without_edit_list(path: Path) -> None:
    """The delay of the B-frames is not edited away: it begins late."""
    film(path, options=B, muxer={"use_editlist": "0"})


@trap(".mp4")
def mp4_negative_offsets(path: Path) -> None:
    """Composition offsets below zero: pictures are shown before they are decoded, as it were."""
    film(path, options=B, muxer={"movflags": "negative_cts_offsets"})


@trap(".mkv")
def mkv_negative_dts(path: Path) -> None:
    """Matroska has no decoding times; those that FFmpeg makes begin below zero."""
    film(path, options=B)


@trap(".mp4")
def ntsc_film_mp4(path: Path) -> None:
    """23.976 frames a second."""
    film(path, options=B, rate=Fraction(24_000, 1001))


@trap(".mkv")
def ntsc_film_mkv(path: Path) -> None:
    """23.976 frames a second in whole milliseconds."""
    film(path, options=B, rate=Fraction(24_000, 1001))


@trap(".ts")
def ntsc_film_ts(path: Path) -> None:
    """23.976 frames a second in ticks of 1/90000 s: 3753 and 3754 in turn."""
    film(path, options=B, rate=Fraction(24_000, 1001))


@trap(".mp4")
def ntsc_mp4(path: Path) -> None:
    """29.97 frames a second."""
    film(path, options=B, rate=NTSC)


@trap(".avi")
def ntsc_avi(path: Path) -> None:
    """29.97 frames a second in AVI."""
    film(path, options={"g": "10", "bf": "0"}, rate=NTSC)


@trap(".mp4")
def fps_1000(path: Path) -> None:
    """1000 frames a second."""
    film(path, options=B, rate=Fraction(1000), count=60)


@trap(".mkv")
def fps_1000_mkv(path: Path) -> None:
    """1000 frames a second: a tick of Matroska each."""
    film(path, options=B, rate=Fraction(1000), count=60)


@trap(".mp4")
def vfr_mp4(path: Path) -> None:
    """Gaps of 1 ms to 3 s."""
    film(path, options=B, pts=_uneven, base=Fraction(1, 1000))


@trap(".mkv")
def vfr_mkv(path: Path) -> None:
    """The same in Matroska."""
    film(path, options=B, pts=_uneven, base=Fraction(1, 1000))


@trap(".mp4")
def vfr_fine(path: Path) -> None:
    """A time base of a microsecond, and gaps that no rate divides."""
    film(path, options=B, pts=lambda n: n * 33_333 + n * n % 7 * 1009, base=Fraction(1, 1_000_000))


def _uneven(number: int) -> int:
    return number + number // 4 * 40 + number // 13 * 3000


@trap(".mkv")
def duplicate_times_mkv(path: Path) -> None:
    """2000 frames a second do not fit into milliseconds: two frames share each."""
    film(path, options={"g": "10", "bf": "0"}, rate=Fraction(2000), count=50)


@trap(".mkv")
def duplicate_key_times_mkv(path: Path) -> None:
    """A key frame has the time of the frame before it, which is a key frame too."""
    film(path, options={"g": "1"}, rate=Fraction(2000), count=50)


@trap(".avi")
def avi_b_frames(path: Path) -> None:
    """An AVI holds no times, and B-frames are not in the order in which they are shown."""
    film(path, options=B)


@trap(".mkv")
def still_at_the_end(path: Path) -> None:
    """The last picture comes 10 s after the one before it."""
    film(path, options=B, pts=lambda n: n if n < 39 else n + 300)


def _in_decode_order(path: Path) -> None:
    whole = film(path.with_name(f"whole-{path.stem}.mkv"), options=B)

    def edit(number: int, packet: Packet) -> list[Packet]:
        packet.time_base = Fraction(1, 30)
        packet.pts = packet.dts = number
        return [packet]

    remux(whole, path, edit)


@trap(".mp4")
def mp4_in_decode_order(path: Path) -> None:
    """Made from bare packets: the times are those of decoding, and only a decoder knows the order."""
    _in_decode_order(path)


@trap(".mkv")
def mkv_in_decode_order(path: Path) -> None:
    """The same in Matroska."""
    _in_decode_order(path)
