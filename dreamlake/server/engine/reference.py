"""The reference model: no network, but the geometry of a camera, so that its rollouts can be checked by computation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReferenceCamera"]


class ReferenceCamera:
    """A pinhole camera that moves in front of a flat picture, one unit away from it at first.

    The first three numbers of an action are how far the camera moves to the right, down and towards the picture, in
    hundredths of that unit; the others are ignored, and seeds change nothing. It has the interface of the model that
    the documentation of bulk inference uses (384 numbers an action, 480 by 640 pixels, $0.0005 a frame), so that its
    datasets can be run through an engine without a GPU.

    Frame t of a rollout is looked up in the starting frame, whatever came between::

        x, y, z = actions[:t, :3].sum(0) / 100          z at most 0.9: the camera stays before the picture
        frame[t][i, j] = start[row, column]             of which what is outside is the nearest edge
        row    = round(ci + (i - ci) * (1 - z) + y * W) ci, cj = (H - 1) / 2, (W - 1) / 2
        column = round(cj + (j - cj) * (1 - z) + x * W) the focal length is W pixels
    """

    slug = "reference-camera"
    name = "Reference: analytic camera motion, not a learned model"
    provider = "dreamlake"
    action_dim = 384
    resolution = (480, 640)
    price = 0.0005
    chunk_size = 512  # the sum goes over all actions of a rollout, so a rollout is not cut
    max_batch = 4

    def predict(
        self, frames: NDArray[np.uint8], actions: NDArray[np.float32], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Predict rollouts, as ``WorldModel`` says."""
        del seeds
        batch, steps = actions.shape[:2]
        height, width = frames.shape[1:3]
        poses = np.cumsum(actions[:, :, :3], axis=1, dtype=np.float64) / 100
        found = np.empty((batch, steps, *frames.shape[1:]), np.uint8)
        for index, start in enumerate(frames):
            for step, (x, y, z) in enumerate(poses[index]):
                rows = _seen(height, y * width, z)
                columns = _seen(width, x * width, z)
                found[index, step] = start[rows[:, None], columns]
        return found


def _seen(size: int, shift: float, z: float) -> NDArray[np.intp]:
    """Which pixels of the picture are seen along one side of the camera's."""
    centre = (size - 1) / 2
    places = centre + (np.arange(size) - centre) * (1 - min(z, 0.9)) + shift
    found: NDArray[np.intp] = np.clip(np.rint(places), 0, size - 1).astype(np.intp)
    return found
