"""``dreamlake predict``: a rollout for every row of a source."""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec
import typer

from dreamlake.cli.bulk import (
    SOURCES,
    ActionsField,
    Concurrency,
    FrameField,
    MaxCost,
    OnError,
    Seed,
    Spec,
    Split,
    sink_at,
    source_at,
)
from dreamlake.cli.common import Json, say
from dreamlake.core.bulk import BulkEvent

__all__ = ["predict"]


def predict(
    source: Annotated[str, typer.Argument(help=f"Where the rows are: {SOURCES}.")],
    sink: Annotated[str, typer.Argument(help="Where rollouts go: as SOURCE, or lake://space/prefix.")],
    spec: Spec,
    concurrency: Concurrency = 4,
    on_error: OnError = "skip",
    max_cost: MaxCost = None,
    seed: Seed = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would cost.")] = False,
    frame_field: FrameField = "start_frame",
    actions_field: ActionsField = "action_sequence",
    split: Split = "train",
    json: Json = False,
) -> None:
    """Predict a rollout for every row. Run it again to go on where it stopped.

    Exit status: 0 when every row has one, 9 when rows failed.
    """
    from dreamlake._sync.client import Client

    logging.getLogger("dreamlake").addHandler(logging.StreamHandler())
    rows = source_at(source, frame_field=frame_field, actions_field=actions_field, split=split)
    with Client() as client:
        if estimate:
            cost = client.estimate_cost(rows, spec=spec)
            if json:
                say({"event": "estimate", **{name: getattr(cost, name) for name in cost.__dataclass_fields__}})
                return
            typer.echo(f"rows:           {_known(cost.rows)}")
            typer.echo(f"frames_per_row: {cost.frames_per_row}")
            typer.echo(f"total_frames:   {_known(cost.total_frames)}")
            typer.echo(f"total_usd:      {_known(None if cost.total_usd is None else f'${cost.total_usd:.4f}')}")
            return
        try:
            result = client.predict_many(
                rows,
                sink_at(sink),
                spec=spec,
                concurrency=concurrency,
                on_error=on_error,
                max_cost_usd=max_cost,
                seed=seed,
                progress=_say_progress if json else None,
            )
        except KeyboardInterrupt:
            typer.echo("dreamlake: interrupted; run it again to go on", err=True)
            raise typer.Exit(130) from None
    for row in result.failures:
        if json:
            say({"event": "failed", "row_id": row.row_id, "error": str(row.error), "attempts": row.attempts})
        else:
            typer.echo(f"{row.row_id}: {row.error} ({row.attempts} attempts)", err=True)
    if json:
        cost_usd = result.cost_usd
        say(
            {
                "event": "done",
                "ok": result.ok,
                "failed": result.failed,
                "cost_usd": cost_usd,
                "output_uri": result.output_uri,
            }
        )
    else:
        typer.echo(f"ok: {result.ok}\nfailed: {result.failed}\noutput_uri: {result.output_uri}")
    if result.failed:
        raise typer.Exit(9)


def _known(value: object) -> str:
    return "unknown" if value is None else str(value)


def _say_progress(event: BulkEvent) -> None:
    say({"event": "progress", **msgspec.to_builtins(event)})
