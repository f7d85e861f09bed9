"""What ``predict`` and ``jobs`` share: sources and sinks by their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dreamlake.errors import UsageError

if TYPE_CHECKING:
    from dreamlake.io import IterableSource, RolloutSink

__all__ = [
    "ActionsField", "Concurrency", "FrameField", "MaxCost", "OnError", "Seed", "Spec", "Split", "sink_at", "source_at",
]  # fmt: skip

SOURCES = "a folder, s3://bucket/prefix, or hf://owner/name of a dataset"

Spec = Annotated[str, typer.Option(help="The model.")]
Concurrency = Annotated[int, typer.Option(help="Requests under way at once.", min=1, max=256)]
OnError = Annotated[Literal["skip", "halt"], typer.Option(help="What to do about a row that fails.")]
MaxCost = Annotated[float | None, typer.Option(help="USD that it may cost.", min=0)]
Seed = Annotated[int | None, typer.Option(help="Of the noise.", min=0)]
FrameField = Annotated[str, typer.Option(help="The column of the frames, in a dataset.")]
ActionsField = Annotated[str, typer.Option(help="The column of the actions.")]
Split = Annotated[str, typer.Option(help="Of the dataset.")]


def source_at(name: str, *, frame_field: str, actions_field: str, split: str) -> IterableSource:
    """The source that a name means.

    Args:
        name: a folder, ``s3://bucket/prefix`` or ``hf://owner/name``.
        frame_field: of a dataset.
        actions_field: of a dataset.
        split: of a dataset.
    """
    from dreamlake.io import frames_from_dir, frames_from_hf, frames_from_s3

    if name.startswith("hf://"):
        repo = name.removeprefix("hf://").removeprefix("datasets/")
        return frames_from_hf(repo, frame_field=frame_field, actions_field=actions_field, split=split)
    return frames_from_s3(name) if name.startswith("s3://") else frames_from_dir(name)


def sink_at(name: str) -> RolloutSink:
    """The sink that a name means: as a source, or ``lake://space/prefix``.

    Raises:
        UsageError: a name that means none.
    """
    from dreamlake.io import RolloutSink

    scheme, _, rest = name.partition("://")
    if scheme == "hf" and rest:
        return RolloutSink.hf(rest.removeprefix("datasets/"))
    if scheme == "s3" and rest:
        return RolloutSink.s3(name)
    if scheme == "lake":
        space, _, prefix = rest.partition("/")
        return RolloutSink.lake(space or None, f"/{prefix}" if prefix else None)
    if "://" in name:
        raise UsageError(
            f"{name!r} is no place for rollouts: a folder, s3://bucket/prefix, hf://owner/name, lake://space"
        )
    return RolloutSink.dir(Path(name))
