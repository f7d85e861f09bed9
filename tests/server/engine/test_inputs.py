"""Hostile input: each is one clear 4xx, none is computed, and the engine goes on."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamlake.errors import MediaError
from dreamlake.media.images import read_picture
from dreamlake.media.rollout import decode_mp4

from ._engine import SIZE, Client, Counting, Small, engine, moves, npy, own, picture, png

FRAME, ACTIONS = png(picture()), npy(moves())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A small PNG of many pixels."""
    packer = zlib.compressobj(9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    line = bytes(1 + width // 8)
    data = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    """A .npy file with a header of one's own."""
    raw = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(raw)) + raw + data


def wide(values: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


FRAMES = {
    "nothing": b"",
    "text": b"not a picture",
    "a gif": b"GIF89a" + bytes(100),
    "half": FRAME[: len(FRAME) // 2],
    "a header alone": FRAME[:33],
    "flipped": FRAME[:60] + b"\xff" + FRAME[61:],
    "no pixels": bomb(0, 0),
    "a bomb": bomb(30_000, 30_000),
    "16 bits": wide(np.zeros(SIZE, np.uint16)),
    "another shape": png(picture(size=(32, 32))),
    "text chunks without end": FRAME[:33]
    + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 * 1024**2), 9))
    + FRAME[33:],
}
FLOATS = moves()
NPYS = {
    "nothing": b"",
    "text": b"[[1, 2, 3, 4]]",
    "pickle": npy(np.array([[{}] * 4], dtype=object)),
    "a bare pickle": b"cos\nsystem\n(S'false'\ntR.",
    "one dimension": npy(FLOATS[0]),
    "three dimensions": npy(FLOATS[None]),
    "another width": npy(FLOATS[:, :3]),
    "no rows": npy(FLOATS[:0]),
    "too many rows": npy(np.zeros((513, 4), np.float32)),
    "nan": npy(np.where(np.arange(24).reshape(6, 4) == 7, np.nan, FLOATS).astype(np.float32)),
    "infinite": npy(np.full((2, 4), np.inf, np.float32)),
    "too large for float32": npy(np.full((2, 4), 1e300)),
    "text values": npy(np.full((2, 4), "abc")),
    "complex": npy(np.ones((2, 4), np.complex64)),
    "long doubles": npy(np.ones((2, 4), np.longdouble)),
    "a record": npy(np.zeros((2, 4), [("a", "f4")])),
    "cut": ACTIONS[:-1],
    "more behind": ACTIONS + b"\0",
    "claims terabytes": header("{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 4), }"),
    "claims a negative": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }", bytes(16)),
    "code for a header": header("__import__('os').abort()"),
    "deep header": header("(" * 5000),
    "version 9": header("{}", version=9),
    "a zip": b"PK\x03\x04" + bytes(100),
}
FIELDS = [
    {"seed": -1},
    {"seed": "9" * 30},
    {"seed": "1.5"},
    {"num_steps": 0},
    {"num_steps": "ten"},
    {"guidance": "nan"},
    {"guidance": "1e999"},
    {"model": "x" * 2000},
    {"model": "ü"},
]


async def refused(client: Client, *what: Any, **fields: Any) -> str:
    answer = await client.predict(*what, **fields)
    assert answer.status_code == 422, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert "x-dreamengine-request-id" in answer.headers
    detail: str = problem["detail"]
    assert detail
    return detail


async def test_all_of_it(tmp_path: Path) -> None:
    """One engine bears all of it, and predicts nothing."""
    model = Counting()
    async with engine(tmp_path, model) as client:
        for name, data in FRAMES.items():
            assert "frame" in await refused(client, data, ACTIONS), name
        for name, data in NPYS.items():
            detail = await refused(client, FRAME, data)
            assert "actions" in detail, (name, detail)
            # One that is wrong spoils its batch.
            await refused(client, FRAME, [ACTIONS, data])
        for fields in FIELDS:
            assert next(iter(fields)) in await refused(client, FRAME, ACTIONS, **fields)
        await refused(client, FRAME, [])
        await refused(client, FRAME, [ACTIONS] * 33)
        assert model.calls == []
        assert (await client.predict(FRAME, ACTIONS)).status_code == 200


async def test_forms_that_are_none(tmp_path: Path) -> None:
    line = b"--x\r\nContent-Disposition: form-data; name="
    bodies = {
        b"": "multipart/form-data; boundary=x",
        b"{}": "application/json",
        b"frame=1&actions=2": "application/x-www-form-urlencoded",
        line + b'"frame"\r\n\r\nabc': "multipart/form-data; boundary=x",
        line + b'"frame"\r\n\r\nabc\r\n--x--\r\n': "multipart/form-data",
        line + b'"other"\r\n\r\nabc\r\n--x--\r\n': "multipart/form-data; boundary=x",
        (line + b'"seed"\r\n\r\n1\r\n') * 200 + b"--x--\r\n": "multipart/form-data; boundary=x",
        line + b'"frame"\r\nA: ' + b"b" * 100_000 + b"\r\n\r\n\r\n--x--\r\n": "multipart/form-data; boundary=x",
    }
    async with engine(tmp_path, max_body_bytes=1024**2) as client:
        for body, kind in bodies.items():
            answer = await client.http.post("/v1/predict", content=body, headers={"Content-Type": kind})
            assert answer.status_code == 422, (body[:80], answer.text)
        large = await client.predict(FRAME + bytes(1024**2), ACTIONS)
        assert large.status_code == 413
        twice = [("frame", ("a.png", FRAME)), ("frame", ("b.png", FRAME)), ("actions", ("a.npy", ACTIONS))]
        assert (await client.http.post("/v1/predict", files=twice)).status_code == 422
        seeds = [("seed", (None, "1")), ("seed", (None, "2")), *twice[1:]]
        assert "seed" in (await client.http.post("/v1/predict", files=seeds)).json()["detail"]


async def test_what_a_model_does_not_have(tmp_path: Path) -> None:
    async with engine(tmp_path, Small()) as client:
        assert "num_steps" in await refused(client, FRAME, ACTIONS, num_steps=4)
        assert "guidance" in await refused(client, FRAME, ACTIONS, guidance=4)
        assert (await client.predict(FRAME, ACTIONS, something="else", score="true")).status_code == 200


async def test_forms_of_the_same_input(tmp_path: Path) -> None:
    """JPEG, palettes, transparency, larger pictures, other floats, columns first: all of it is taken for what it is."""
    pixels, actions = picture(), moves()
    large = picture(size=(64, 96))
    palette = Image.fromarray(pixels).convert("P")
    file = io.BytesIO()
    palette.save(file, "PNG")
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # it is shown turned clockwise
    upright = io.BytesIO()
    turned.save(upright, "PNG", exif=exif)
    transparent = np.dstack([pixels, np.full(SIZE, 7, np.uint8)])
    async with engine(tmp_path, encoding="exact") as client:

        async def start(frame: bytes) -> Any:
            return decode_mp4((await client.predict(frame, ACTIONS)).raise_for_status().content)[0]

        assert np.array_equal(await start(png(transparent)), pixels)
        assert np.array_equal(await start(upright.getvalue()), pixels)
        assert np.array_equal(await start(file.getvalue()), np.asarray(palette.convert("RGB")))
        jpeg = png(pixels, "JPEG", quality=90)
        assert np.array_equal(await start(jpeg), np.asarray(Image.open(io.BytesIO(jpeg))))
        scaled = np.asarray(Image.fromarray(large).resize((SIZE[1], SIZE[0]), Image.Resampling.LANCZOS))
        assert np.array_equal(await start(png(large)), scaled)
        expected = own(pixels, actions)
        for form in (actions.astype(">f4"), actions.astype(np.float64), np.asfortranarray(actions)):
            answer = await client.predict(FRAME, npy(form))
            assert np.array_equal(decode_mp4(answer.raise_for_status().content), expected)
        halves = actions.astype(np.float16)
        answer = await client.predict(FRAME, npy(halves))
        assert np.array_equal(decode_mp4(answer.content), own(pixels, halves.astype(np.float32)))


def test_a_bomb_costs_no_memory() -> None:
    """Its header is enough to refuse it."""
    data = bomb(20_000, 20_000)
    tracemalloc.start()
    with pytest.raises(MediaError, match="too large"):
        read_picture(data, "frame", 16 * 1024**2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024**2
