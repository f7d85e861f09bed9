"""``dreamlake jobs``: bulk inference that the engine does on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from dreamlake._sync.client import Client
    from dreamlake._sync.jobs import Job

__all__ = ["jobs"]

JobId = Annotated[str, typer.Argument(help="The id of the job.")]

jobs = typer.Typer(name="jobs", help="Bulk inference that the engine does on its own.", no_args_is_help=True)


@jobs.command()
def create(
    source: Annotated[str, typer.Argument(help=f"Where the engine finds the rows: {SOURCES}.")],
    sink: Annotated[str, typer.Argument(help="Where it puts rollouts: as SOURCE, or lake://space/prefix.")],
    spec: Spec,
    concurrency: Concurrency = 4,
    on_error: OnError = "skip",
    max_cost: MaxCost = None,
    seed: Seed = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    frame_field: FrameField = "start_frame",
    actions_field: ActionsField = "action_sequence",
    split: Split = "train",
    json: Json = False,
) -> None:
    """Begin a job; this machine may be off while the engine works on it."""
    rows = source_at(source, frame_field=frame_field, actions_field=actions_field, split=split)
    with _client() as client:
        job = client.jobs.create(
            rows, sink_at(sink), spec=spec, concurrency=concurrency, on_error=on_error, max_cost_usd=max_cost, seed=seed
        )
        _ended(job, wait=wait, json=json)


@jobs.command("ls")
def listing(json: Json = False) -> None:
    """List the jobs of this key, newest first."""
    with _client() as client:
        found = list(client.jobs.list())
    if json:
        for job in found:
            say(msgspec.to_builtins(job.info))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("job", "status", "ok", "failed", "rows", "cost", "created", box=None, header_style="dim")
    for job in found:
        info = job.info
        total = "" if info.counts.total is None else str(info.counts.total)
        cost = f"${info.cost_usd:.4f}"
        table.add_row(job.id, job.status, str(info.counts.ok), str(info.counts.failed), total, cost, info.created_at)
    Console().print(table)


@jobs.command()
def show(
    job_id: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")] = False,
    json: Json = False,
) -> None:
    """Say how far a job is."""
    with _client() as client:
        _ended(client.jobs.get(job_id), wait=wait, json=json)


@jobs.command()
def cancel(job_id: JobId, json: Json = False) -> None:
    """Have the engine begin no more rows of a job; what is done stays."""
    with _client() as client:
        _ended(client.jobs.cancel(job_id), wait=False, json=json)


def _ended(job: Job, *, wait: bool, json: bool) -> None:
    """Say how a job stands; the exit status is 9 for one that was waited for and failed, or has rows that failed."""
    if wait:
        try:
            job.wait()
        except KeyboardInterrupt:
            typer.echo(f"dreamlake: {job.id} goes on without this command", err=True)
            raise typer.Exit(130) from None
    info = job.info
    if json:
        say(msgspec.to_builtins(info))
    else:
        total = "" if info.counts.total is None else f" of {info.counts.total}"
        typer.echo(
            f"{job.id}: {info.status}, {info.counts.ok} ok, {info.counts.failed} failed{total}, ${info.cost_usd:.4f}"
        )
        for row in info.failures:
            typer.echo(f"{row.row_id}: {row.error} ({row.attempts} attempts)", err=True)
        if info.error:
            typer.echo(info.error, err=True)
        if info.output_uri:
            typer.echo(f"output_uri: {info.output_uri}")
    if wait and (info.status != "succeeded" or info.counts.failed):
        raise typer.Exit(9)


def _client() -> Client:
    from dreamlake._sync.client import Client

    return Client()
