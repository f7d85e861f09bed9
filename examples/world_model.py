"""A world model of your own behind the engine: a torch module that the GPU runs when there is one.

    cd examples
    dreamlake engine serve --model world_model:Drift

and from any other process:

    client = dl.Client()
    client.predict(frame, actions, spec="drift").save("rollout.mp4")

Run as a script, it serves itself, predicts a rollout, and checks it: ``python examples/world_model.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample


class Drift(torch.nn.Module):
    """What a camera sees that the first two numbers of each action pan, by bilinear sampling of the starting frame.

    A learned model has weights in its place; everything else stays.
    """

    slug = "drift"
    name = "Drift: a camera that pans"
    action_dim = 2
    resolution = (120, 160)
    price = 0.0001  # USD for each frame
    chunk_size = 16  # longer rollouts go on from the last frame
    max_batch = 8

    def predict(self, frames: torch.Tensor, actions: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 and (B, T, 2) float32 make (B, T, H, W, 3) uint8, all on this module's device."""
        del seeds  # of the noise, which this model has none of
        batch, steps = actions.shape[:2]
        height, width = self.resolution
        shift = actions.cumsum(1).reshape(-1, 2)
        view = torch.eye(2, 3, device=actions.device).repeat(batch * steps, 1, 1)
        view[:, :, 2] = shift * 2 / torch.tensor([width, height], device=actions.device)  # pixels, as grids have them
        grid = affine_grid(view, [batch * steps, 3, height, width], align_corners=False)
        start = frames.permute(0, 3, 1, 2).float().repeat_interleave(steps, 0)
        seen = grid_sample(start, grid, padding_mode="border", align_corners=False)
        return seen.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).reshape(batch, steps, height, width, 3)


def main() -> None:
    """Serve the model, ask it for a rollout, and compare that with the picture moved by hand."""
    import dreamlake as dl

    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", "world_model:Drift", "--port", "0", "--data", folder, "--encoding", "exact"]
        engine = subprocess.Popen(  # noqa: S603 (our own command)
            [sys.executable, "-m", "dreamlake.cli", "engine", "serve", *options],
            cwd=Path(__file__).parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            assert engine.stdout is not None
            url = re.search(r"http://\S+", engine.stdout.readline())
            assert url, "the engine did not start"
            frame = np.random.default_rng(0).integers(0, 256, (*Drift.resolution, 3), np.uint8)
            actions = np.tile(np.float32([[3, 0]]), (20, 1))  # three pixels to the right, twenty times
            with dl.Client(base_url=url[0]) as client:
                rollout = client.predict(frame, actions, spec="drift")
            assert np.array_equal(rollout.frames[0], frame)
            assert np.array_equal(rollout.frames[20][:, :90], frame[:, 60:150])
            print(f"{rollout.num_frames} frames for ${rollout.charge_usd:.4f}, as computed by hand")
        finally:
            engine.terminate()
            engine.wait(30)
            if engine.stdout is not None:
                engine.stdout.close()


if __name__ == "__main__":
    main()
