"""What a request asks for, out of bytes that anybody may have made: nothing is decoded before its size is known."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

import numpy as np
from multipart import MultipartError, PushMultipartParser, parse_options_header
from numpy.typing import NDArray
from PIL.Image import Resampling

from dreamlake.core.npy import read_npy_head
from dreamlake.core.wireengine import ACTIONS, FRAME, GUIDANCE, MODEL, NUM_STEPS, SEED
from dreamlake.errors import UsageError
from dreamlake.media.images import read_picture

__all__ = ["Asked", "read_actions", "read_form", "read_frame"]

T = TypeVar("T")

TEXTS = (SEED, NUM_STEPS, GUIDANCE, MODEL)
MAX_TEXT = 1024
MAX_PARTS = 100  # besides the actions: fields of other clients, which are ignored
MAX_STEPS = 10_000
ASPECT = 0.01  # by which a frame's shape may be off, relative to the model's

_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True)
class Asked:
    """A form, as it came.

    Attributes:
        frame: a PNG or JPEG.
        actions: ``.npy`` files, one for each rollout.
        seed: of the noise.
        num_steps: None for the model's own.
        guidance: None for the model's own.
        model: its slug; None for the engine's first.
        digest: of all that, whatever boundary the form had.
    """

    frame: bytes = field(repr=False)
    actions: tuple[bytes, ...] = field(repr=False)
    seed: int
    num_steps: int | None
    guidance: float | None
    model: str | None
    digest: str


def read_form(body: bytes, content_type: str, *, rollouts: int) -> Asked:
    """Take a form apart.

    Args:
        body: of the request.
        content_type: of the request.
        rollouts: how many ``actions`` there may be.

    Raises:
        UsageError: it is not such a form.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise UsageError("a prediction is asked for by multipart/form-data, with a frame and actions")
    files: dict[str, list[bytes]] = {FRAME: [], ACTIONS: []}
    texts: dict[str, list[bytes]] = {name: [] for name in TEXTS}
    try:
        for name, value in _parts(body, options["boundary"], rollouts + MAX_PARTS):
            (files.get(name) if name in files else texts.get(name, [])).append(value)  # type: ignore[union-attr]  # (it is in)
    except MultipartError as error:
        raise UsageError(f"the form cannot be read: {error}") from None
    if len(files[FRAME]) != 1:
        raise UsageError(f"a prediction has one frame, and not {len(files[FRAME])}")
    if not 1 <= len(files[ACTIONS]) <= rollouts:
        raise UsageError(f"there are {len(files[ACTIONS])} actions, and 1 to {rollouts} are taken here")
    said = {name: _text(name, values) for name, values in texts.items()}
    return Asked(
        frame=files[FRAME][0],
        actions=tuple(files[ACTIONS]),
        seed=_whole(SEED, said[SEED], 0, 2**63 - 1) or 0,
        num_steps=_whole(NUM_STEPS, said[NUM_STEPS], 1, MAX_STEPS),
        guidance=_number(GUIDANCE, said[GUIDANCE]),
        model=said[MODEL],
        digest=_digest([*files[FRAME], *files[ACTIONS], *((said[name] or "").encode() for name in TEXTS)]),
    )


def read_frame(data: bytes, size: tuple[int, int], max_pixels: int) -> NDArray[np.uint8]:
    """The picture that a rollout starts from, in the model's resolution.

    A picture of another size is scaled if it has the same shape; nothing is stretched or cut.

    Args:
        data: PNG or JPEG.
        size: height and width that the model has, pixels.
        max_pixels: that it may have.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        MediaError: it is no picture.
        UsageError: its shape is another.
    """
    picture = read_picture(data, FRAME, max_pixels)
    height, width = size
    if abs(picture.width * height / (picture.height * width) - 1) > ASPECT:
        raise UsageError(
            f"the frame has {picture.height} by {picture.width} pixels, and the model {height} by {width}: "
            "cut it to that shape"
        )
    if picture.size != (width, height):
        picture = picture.resize((width, height), Resampling.LANCZOS)
    return np.asarray(picture)


def read_actions(data: bytes, action_dim: int, max_actions: int) -> NDArray[np.float32]:
    """The actions of a rollout.

    Args:
        data: a ``.npy`` file of (T, A) numbers.
        action_dim: A.
        max_actions: the largest T.

    Returns:
        (T, A) float32.

    Raises:
        UsageError: something else is in the file.
    """
    try:
        head = read_npy_head(data)
    except Exception as error:  # numpy has Python's own tokenizer read it, which raises whatever it meets
        raise UsageError(f"actions are a .npy file of floats, and this is none: {error}") from error
    shape, dtype = head.shape, head.dtype
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise UsageError(f"actions are float32, and not {dtype}")
    if len(shape) != 2 or shape[1] != action_dim:
        raise UsageError(f"actions are (T, {action_dim}), and not {shape}")
    if not 1 <= shape[0] <= max_actions:
        raise UsageError(f"a rollout has 1 to {max_actions} actions, and not {shape[0]}")
    if len(data) - head.offset != shape[0] * shape[1] * dtype.itemsize:
        raise UsageError("the .npy file of the actions is cut short, or has something after its end")
    found = np.frombuffer(data, dtype, offset=head.offset).reshape(shape, order="F" if head.fortran else "C")
    with np.errstate(over="ignore"):  # what does not fit is infinite, and said below
        actions = np.ascontiguousarray(found, np.float32)
    if not np.isfinite(actions).all():
        raise UsageError("actions are finite numbers, and some are not, or not in float32")
    return actions


def _parts(body: bytes, boundary: str, most: int) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    name, pieces = "", bytearray()
    with PushMultipartParser(boundary, max_segment_count=most, strict=True) as parser:
        for event in [*parser.parse(body), *parser.parse(b"")]:
            if event is None:
                found.append((name, bytes(pieces)))
            elif isinstance(event, bytes | bytearray):
                pieces += event
            else:
                name, pieces = event.name or "", bytearray()
    return found


def _text(name: str, values: list[bytes]) -> str | None:
    if len(values) > 1:
        raise UsageError(f"the form says {name} {len(values)} times")
    if not values or not values[0]:
        return None
    try:
        text = values[0].decode("ascii") if len(values[0]) <= MAX_TEXT else ""
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        raise UsageError(f"{name} is up to {MAX_TEXT} characters of ASCII")
    return text


def _whole(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
        raise UsageError(f"{name} is a whole number from {least} to {most}")
    return int(text)


def _number(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} is a finite number")
    return number


def _digest(values: list[bytes]) -> str:
    whole = sha256()
    for value in values:
        whole.update(len(value).to_bytes(8))
        whole.update(value)
    return whole.hexdigest()
