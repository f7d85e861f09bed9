"""How pixels are asked for: type, size, layout, padding, a place of the caller's own. Values, not only shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import dreamlake.aio as adl
from dreamlake.errors import FrameIndexError, MediaError, UsageError
from tests.clips import Clip, decode_plain

Made = Callable[[str], Path]


def plain(path: Path, form: str = "rgb24", size: tuple[int, int] | None = None) -> np.ndarray:
    """(N, H, W, 3) every frame as PyAV itself converts and scales it."""
    height, width = size or (None, None)
    with av.open(str(path)) as container:
        return np.stack([
            frame.reformat(width=width, height=height, format=form).to_ndarray() for frame in container.decode(video=0)
        ])  # fmt: skip


# -- shapes


async def test_shapes_of_arrays(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips, firsts = video.chunk(2.0), video.chunk(2.0)[:, 0]
    expected = plain(made("seed")).reshape(6, 10, 240, 360, 3)
    for pixels in (await clips.numpy(), await clips.tensor(), await clips.numpy(keepdims=True)):
        assert np.array_equal(pixels, expected)
    assert np.array_equal(await clips.numpy(layout="NCHW"), np.moveaxis(expected, -1, 2))
    assert np.array_equal(await clips.tensor(layout="NCHW"), np.moveaxis(expected, -1, 2))
    assert np.array_equal(await firsts.numpy(), expected[:, 0])
    assert np.array_equal(await firsts.numpy(keepdims=True), expected[:, :1])
    assert np.array_equal(await firsts.tensor(layout="NCHW"), np.moveaxis(expected[:, 0], -1, 1))
    assert np.array_equal(await firsts.tensor(keepdims=True, layout="NCHW"), np.moveaxis(expected[:, :1], -1, 2))
    assert np.array_equal(await clips[:1].numpy(), expected[:1])
    assert np.array_equal(await firsts[:1].numpy(), expected[:1, 0])
    assert np.array_equal(await clips[::-1, [9, 0, 9]].numpy(), expected[::-1, [9, 0, 9]])


async def test_shapes_of_a_video(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    expected = plain(made("seed"))
    assert np.array_equal(await video.numpy(layout="NCHW"), np.moveaxis(expected, -1, 1))
    assert np.array_equal(await video.tensor(), np.moveaxis(expected, -1, 1))
    assert np.array_equal(await video.tensor(layout="NHWC"), expected)
    assert np.array_equal(await video[7].numpy(layout="NCHW"), np.moveaxis(expected[7], -1, 0))
    assert np.array_equal(await video[7].tensor(), expected[7])
    assert np.array_equal(await video[7].tensor(layout="NCHW"), np.moveaxis(expected[7], -1, 0))
    assert np.array_equal(await video[7].tensor(keepdims=True, layout="NHWC"), expected[7:8])
    assert np.array_equal(await video[[7, 3, 7]].numpy(), expected[[7, 3, 7]])
    assert np.array_equal(await video[0.0:12.0:0.5].numpy(), expected[np.floor(np.arange(24) * 2.5).astype(int)])
    assert np.array_equal(await video.played_at([1, 0.5]).numpy(), expected[[5, 2]])
    assert (await video[7].tensor(device="cpu")).device.type == "cpu"
    assert (await video[7].tensor(device="meta")).shape == (240, 360, 3)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
async def test_pictures_belong_to_the_caller(made: Made, layout: str) -> None:
    """Arrays can be written to, and nothing that is written shows up elsewhere."""
    video = await adl.load_video(made("seed"))
    expected = plain(made("seed"))
    for clip, pictures in ((video[3], expected[3]), (video[3:5], expected[3:5]), (video[[3, 3]], expected[[3, 3]])):
        first = await clip.numpy(layout=layout)
        second = await clip.numpy(layout=layout)
        first[...] = 0
        assert np.array_equal(second if layout == "NHWC" else np.moveaxis(second, -3, -1), pictures)


async def test_empty_clips_have_shapes(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    assert (await video[:0].numpy()).shape == (0, 240, 360, 3)
    assert (await video[:0].tensor(size=(4, 6), dtype=torch.float32)).shape == (0, 3, 4, 6)
    assert (await video.chunk(2.0)[:, :0].numpy()).shape == (6, 0, 240, 360, 3)
    assert (await video[:0].numpy(out=np.empty((0, 240, 360, 3), np.uint8))).shape == (0, 240, 360, 3)
    assert video[:0].chunk(1.0) == video.chunk(2.0)[:0] == adl.AsyncVideoArray([])
    with pytest.raises(UsageError, match="no clips"):
        await video.chunk(2.0)[:0].numpy()
    with pytest.raises(FrameIndexError):
        await video[:0].thumbnail


@pytest.mark.parametrize("layout", ["CHW", "nhwc", "", 1, ["NCHW"]])
async def test_what_is_no_layout(made: Made, layout: Any) -> None:
    video = await adl.load_video(made("other-size"))
    for reader in (video.numpy, video.tensor, video.chunk(1.0).numpy, video.chunk(1.0).tensor):
        with pytest.raises(UsageError, match="layout"):
            await reader(layout=layout)


# -- clips that differ


async def test_clips_of_different_lengths(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips = video.chunk(5.0)
    expected = plain(made("seed"))
    for reader in (clips.numpy, clips.tensor):
        with pytest.raises(UsageError, match="clip 0 has 25 frames, clip 2 has 10 frames; pad"):
            await reader()
    last = await clips.numpy(pad="last")
    assert np.array_equal(last, expected[[range(25), range(25, 50), [*range(50, 60), *[59] * 15]]])
    zero = await clips.tensor(pad="zero", dtype="float32")
    assert zero.shape == (3, 25, 240, 360, 3)
    assert np.array_equal(zero[2, :10], await clips[2].numpy(dtype="float32"))
    assert not zero[2, 10:].any()
    assert np.array_equal(await clips[:2].numpy(pad="last"), expected[:50].reshape(2, 25, 240, 360, 3))
    out = np.full((3, 25, 3, 240, 360), 99, np.uint8)
    assert np.array_equal(np.moveaxis(await clips.numpy(pad="last", layout="NCHW", out=out), 2, -1), last)


async def test_many_lengths_are_named_in_short(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips = adl.AsyncVideoArray([video[:length] for length in (1, 2, 2, 3, 4, 5, 6)])
    with pytest.raises(
        UsageError, match=r"clip 0 has 1 frames, clip 1 has 2 frames, clip 3 has 3 .* clip 4 .*, …; pad"
    ):
        await clips.numpy()


async def test_padding_what_is_empty(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips = adl.AsyncVideoArray([video[3:5], video[:0], video[5]])
    black = await clips.numpy(pad="zero")
    assert not black[1].any()
    assert np.array_equal(black[[0, 2], 0], plain(made("seed"))[[3, 5]])
    with pytest.raises(UsageError, match="clip 1 has no frame to repeat"):
        await clips.numpy(pad="last")
    one = await clips[1:].numpy(pad="zero")  # a single picture to decode, which is not the first
    assert not one[0].any()
    assert np.array_equal(one[1], plain(made("seed"))[5])


@pytest.mark.parametrize("pad", ["first", "", 0, True])
async def test_what_is_no_padding(made: Made, pad: Any) -> None:
    with pytest.raises(UsageError, match="pad"):
        await (await adl.load_video(made("seed"))).chunk(2.0).numpy(pad=pad)


async def test_videos_of_different_sizes(made: Made) -> None:
    seed, other = await adl.load_video(made("seed")), await adl.load_video(made("other-size"))
    clips = seed[:4].chunk(0.4) + other[:4].chunk(2 / 30)
    with pytest.raises(UsageError, match=r"clip 0 has 240x360 .*clip 2 has 64x96 .*size=\(height, width\)"):
        await clips.numpy()
    pixels = await clips.numpy(size=(50, 80))
    assert pixels.shape == (4, 2, 50, 80, 3)
    assert np.array_equal(pixels[:2].reshape(4, 50, 80, 3), plain(made("seed"), size=(50, 80))[:4])
    assert np.array_equal(pixels[2:].reshape(4, 50, 80, 3), plain(made("other-size"), size=(50, 80))[:4])


# -- sizes


@pytest.mark.parametrize("size", [(120, 180), (97, 33), (480, 720), (240, 360), (1, 1), np.array([64, 64])], ids=str)
async def test_pictures_are_scaled_as_pyav_scales_them(made: Made, size: Any) -> None:
    video = await adl.load_video(made("seed"))
    height, width = (int(side) for side in size)
    expected = plain(made("seed"), size=(height, width))
    assert np.array_equal(await video[3].numpy(size=size), expected[3])
    assert np.array_equal(await video.numpy(size=size), expected)
    assert np.array_equal(
        await video[10:20].chunk(1.0).tensor(size=size), expected[10:20].reshape(2, 5, *expected[0].shape)
    )
    deep = plain(made("seed"), "rgb48le", (height, width))
    assert np.array_equal(await video[5:7].numpy(size=size, dtype="uint16"), deep[5:7])


async def test_a_turned_video_is_scaled_to_what_is_displayed(tmp_path: Path, made: Made) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(made("other-size"))) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    video = await adl.load_video(path)
    assert (video.width, video.height) == (64, 96)
    for size, decoded in (((90, 50), plain(path, size=(50, 90))), (None, plain(path))):
        turned = np.stack([np.rot90(picture, 1) for picture in decoded])
        assert np.array_equal(await video.numpy(size=size), turned)
        assert np.array_equal(await video[4].numpy(size=size), turned[4])
        assert np.array_equal(
            await video[4:5].chunk(1.0).numpy(size=size, layout="NCHW"), np.moveaxis(turned[4:5], -1, 1)
        )


@pytest.mark.parametrize(
    "size", [3, (3,), (3, 4, 5), (3.5, 4), (0, 4), (-1, 4), "ab", (None, 4), (10**9, 4), (float("inf"), 4), ("3", "4")]
)
async def test_what_is_no_size(made: Made, size: Any) -> None:
    video = await adl.load_video(made("other-size"))
    for reader in (video.numpy, video[0].tensor, video.chunk(1.0).numpy):
        with pytest.raises(UsageError, match=r"size|picture"):
            await reader(size=size)


async def test_what_the_scaler_cannot_do_is_an_error_of_ours(made: Made) -> None:
    video = await adl.load_video(made("other-size"))
    with pytest.raises(MediaError, match="96x64 cannot be scaled to 32768x32768"):
        await video[0].numpy(size=(32768, 32768))


# -- types


@pytest.mark.parametrize("name", ["seed", "10-bit", "full-range"])
async def test_samples_of_sixteen_bits_are_pyavs(made: Made, name: str) -> None:
    video = await adl.load_video(made(name))
    expected = plain(made(name), "rgb48le")
    for dtype in ("uint16", np.uint16, np.dtype("uint16"), torch.uint16):
        assert np.array_equal(await video[3:5].numpy(dtype=dtype), expected[3:5])
    pixels = await video.numpy(dtype="uint16")
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, expected)
    assert (await video[3].tensor(dtype=torch.uint16)).dtype == torch.uint16
    assert np.array_equal(await video[3].numpy(dtype="uint16"), expected[3])


@pytest.mark.parametrize(("name", "form", "most"), [("seed", "rgb24", 255), ("10-bit", "rgb48le", 65535)])
async def test_fractions_are_the_integers_divided(made: Made, name: str, form: str, most: int) -> None:
    video = await adl.load_video(made(name))
    exact = plain(made(name), form) / most
    for dtype, alike, tolerance in ((np.float32, torch.float32, 2**-23), (np.float16, torch.float16, 2**-11)):
        pixels = await video.numpy(dtype=dtype)
        assert pixels.dtype == dtype
        assert np.array_equal(await video[3:5].numpy(dtype=alike), pixels[3:5])
        assert np.abs(pixels - exact).max() <= tolerance
        assert 0 <= pixels.min() < pixels.max() <= 1
    assert (await video[3].tensor(dtype=torch.float16)).dtype == torch.float16
    single = await video[3].numpy(dtype="float32")
    assert np.array_equal(single, (await video.numpy(dtype="float32"))[3])


async def test_ten_bits_are_more_than_eight(tmp_path: Path) -> None:
    """A grey ramp over 1280 pixels has 877 levels in ten bits, of which 220 are left in eight."""
    levels = {}
    for pix_fmt in ("yuv420p10le", "yuv420p"):
        path = tmp_path / f"{pix_fmt}.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "qp": "0"})
            stream.width, stream.height, stream.pix_fmt = 1280, 16, pix_fmt
            ramp = np.tile(np.linspace(0, 65535, 1280).astype(np.uint16)[None, :, None], (16, 1, 3))
            frame = av.VideoFrame.from_ndarray(ramp, format="rgb48le")
            output.mux(stream.encode(frame.reformat(format=pix_fmt)))
            output.mux(stream.encode(None))
        video = await adl.load_video(path)
        levels[pix_fmt] = len(np.unique((await video.numpy(dtype="uint16"))[..., 1]))
        assert len(np.unique(await video.numpy())) <= 256
    assert levels["yuv420p10le"] > 3 * levels["yuv420p"]
    assert levels["yuv420p10le"] > 256


@pytest.mark.parametrize(
    "dtype", ["int8", "float64", float, int, "bool", "nonsense", torch.bfloat16, torch.int64, object()]
)
async def test_what_pictures_do_not_come_as(made: Made, dtype: Any) -> None:
    video = await adl.load_video(made("other-size"))
    for reader in (video.numpy, video[0].tensor, video.chunk(1.0).numpy):
        with pytest.raises(UsageError, match="pictures come as uint8, uint16, float16, float32, not as"):
            await reader(dtype=dtype)


# -- a place of the caller's own


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
async def test_out_is_written_to_and_returned(made: Made, layout: str, dtype: str) -> None:
    video = await adl.load_video(made("seed"))
    clips = video[:20].chunk(2.0)
    for reader in (clips.numpy, video[3:5].numpy, video[3].numpy, clips[:, 0].numpy):
        expected = await reader(layout=layout, dtype=dtype)
        out = np.full(expected.shape, 77, dtype)
        assert await reader(layout=layout, out=out) is out  # of the type that `out` has
        assert np.array_equal(out, expected)
    for read in (clips.tensor, video[3:5].tensor, video[3].tensor):
        expected = await read(layout=layout, dtype=dtype)
        tensor = torch.full(expected.shape, 7, dtype=getattr(torch, dtype))
        assert await read(layout=layout, dtype=dtype, out=tensor) is tensor
        assert torch.equal(tensor, expected)


async def test_out_may_be_a_part_of_something_larger(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    expected = plain(made("seed"))
    batch = torch.zeros(4, 3, 240, 360, dtype=torch.uint8)
    for place, number in enumerate((7, 59, 0, 7)):
        await video[number : number + 1].tensor(keepdims=True, out=batch[place : place + 1])
    assert np.array_equal(batch.permute(0, 2, 3, 1), expected[[7, 59, 0, 7]])
    shared = torch.zeros(2, 240, 360, 3, dtype=torch.uint8).share_memory_()
    assert np.array_equal(await video[[5, 5]].tensor(layout="NHWC", out=shared), expected[[5, 5]])


SHAPE = (2, 240, 360, 3)


def _read_only() -> np.ndarray:
    out = np.zeros(SHAPE, np.uint8)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (np.zeros((3, 240, 360, 3), np.uint8), r"uint8 \(2, 240, 360, 3\), not uint8 \(3, 240, 360, 3\)"),
        (np.zeros((2, 3, 240, 360), np.uint8), "not uint8"),
        (np.zeros((240, 360, 3), np.uint8), "not uint8"),
        (np.zeros(SHAPE, np.int32), "int32"),
        (np.zeros(SHAPE, np.float64), "float64"),
        (_read_only(), "writeable"),
        (np.zeros((2, 240, 720, 3), np.uint8)[:, :, ::2], "contiguous"),
        (np.zeros((360, 240, 2, 3), np.uint8).transpose(2, 1, 0, 3), "contiguous"),
        ([0, 1], "not list"),
        (bytearray(2 * 240 * 360 * 3), "not bytearray"),
        (torch.zeros(SHAPE, dtype=torch.uint8), "not Tensor"),
    ],
)  # fmt: skip
async def test_what_out_cannot_be(made: Made, out: Any, why: str) -> None:
    video = await adl.load_video(made("seed"))
    for reader in (video[:2].numpy, video[:2].chunk(0.2).numpy):
        with pytest.raises(UsageError, match=why):
            await reader(out=out)


async def test_out_of_another_type_than_asked_for(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    with pytest.raises(UsageError, match=r"out has to be an array of float32 .* not uint8"):
        await video[:2].numpy(dtype="float32", out=np.zeros(SHAPE, np.uint8))
    with pytest.raises(UsageError, match=r"out has to be an array of uint8 .* not float32"):
        await video[:2].chunk(0.2).numpy(dtype="uint8", out=np.zeros(SHAPE, np.float32))


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (torch.zeros(2, 3, 240, 360, dtype=torch.uint8, device="meta"), "main memory"),
        (torch.zeros(2, 3, 240, 360, dtype=torch.bfloat16), "main memory"),
        (np.zeros((2, 3, 240, 360), np.uint8), "main memory"),
        (torch.zeros(2, 3, 240, 360, dtype=torch.int64), "int64"),
        (torch.zeros(2, 240, 360, 3, dtype=torch.uint8), "not uint8"),
        (torch.zeros(2, 240, 360, 3, dtype=torch.uint8).permute(0, 3, 1, 2), "contiguous"),
        (torch.zeros(1, 3, 240, 360, dtype=torch.uint8).expand(2, 3, 240, 360), "contiguous"),
    ],
)
async def test_what_a_tensor_to_write_to_cannot_be(made: Made, out: Any, why: str) -> None:
    video = await adl.load_video(made("seed"))
    with pytest.raises(UsageError, match=why):
        await video[:2].tensor(out=out)
    with pytest.raises(UsageError, match=why):
        await video[:2].chunk(0.2).tensor(layout="NCHW", out=out)


# -- decoders are shared between videos


async def test_a_decoder_keeps_nothing_of_the_video_before(tmp_path: Path) -> None:
    """Videos of one size and codec may get each other's decoders: their colours and depths stay their own."""
    tagged = {"x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"}
    kinds = {
        "plain": Clip(options={"preset": "veryfast", "g": "4"}, frames=8),
        "bt709": Clip(options={"preset": "veryfast", "g": "4", **tagged}, frames=8),
        "full": Clip(options={"preset": "veryfast", "g": "4"}, pix_fmt="yuvj420p", frames=8),
        "deep": Clip(options={"preset": "veryfast", "g": "4"}, pix_fmt="yuv420p10le", frames=8),
        "4:4:4": Clip(options={"preset": "veryfast", "g": "4"}, pix_fmt="yuv444p", frames=8),
    }
    expected = {name: decode_plain(clip.make(tmp_path / f"{name}.mp4")) for name, clip in kinds.items()}
    assert not np.array_equal(expected["plain"], expected["bt709"])
    videos = {}
    for name in kinds:
        source = tmp_path / f"{name}.mp4"
        videos[name] = [await adl.load_video(source), await adl.upload(source, prefix="/pixels", progress=False)]
    for number in (7, 0, 5):
        for name, same in videos.items():
            for video in same:
                assert np.array_equal(await video[number].numpy(), expected[name][number]), f"{name}, frame {number}"
