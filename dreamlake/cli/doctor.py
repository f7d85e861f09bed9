"""``dreamlake doctor``: what is wrong between here and the lake, and how to mend it."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.config import LakeAddress, current_lake, home
from dreamlake.core.wireupkeep import OrphansFound
from dreamlake.errors import AccessError, DreamlakeError

if TYPE_CHECKING:
    from dreamlake._async.lake import AsyncLake

__all__ = ["doctor"]

MAX_SKEW = 60.0  # seconds; presigned URLs of S3 hold for 15 minutes of it, those of a lake for less
LEAST_ROOM = 2 * 1024**3  # bytes
DECODERS = ("h264", "hevc", "av1", "vp9", "mpeg4", "aac", "opus", "flac", "mp3")
ENCODERS = ("libx264", "aac")
EXTRAS = {
    "hf": "datasets",
    "lake": "litestar",
    "postgres": "asyncpg",
    "s3": "aiobotocore",
    "tables": "pandas",
    "torch": "torch",
    "vectors": "lancedb",
}


@dataclass
class Finding:
    """What was looked at, whether it is well, and what was seen; None: it could not be told."""

    check: str
    ok: bool | None
    detail: str


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended: names and assets.")] = False,
    json: Json = False,
) -> None:
    """Look whether the lake is reachable, the key valid, the clock right, and what is needed is there."""
    lake = current_lake()
    findings = [*_here(), *finish(_there(lake, repair))]
    for finding in findings:
        if json:
            say(msgspec.to_builtins(finding))
        else:
            mark = {True: "ok  ", False: "FAIL", None: "?   "}[finding.ok]
            typer.echo(f"{mark}  {finding.check}: {finding.detail}")
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _here() -> list[Finding]:
    """Of this machine."""
    version = ".".join(map(str, sys.version_info[:3]))
    folder = home()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    missing = [name for name, module in EXTRAS.items() if find_spec(module) is None]
    without = f"; not installed: {', '.join(missing)} (`pip install 'dreamlake[…]'`)" if missing else ""
    return [
        Finding("python", sys.version_info >= (3, 11), version + without),
        Finding("disk", free >= LEAST_ROOM, f"{free / 1024**3:.1f} GiB are free in {folder}"),
        _codecs(),
    ]


def _codecs() -> Finding:
    import av
    from av.codec.codec import UnknownCodecError

    missing = []
    for mode, names in (("r", DECODERS), ("w", ENCODERS)):
        for name in names:
            try:
                av.Codec(name, mode)  # type: ignore[arg-type]  # (a Literal in a loop)
            except UnknownCodecError:
                missing.append(f"{name} ({'decoder' if mode == 'r' else 'encoder'})")
    said = f"missing: {', '.join(missing)}" if missing else "all that a lake reads and writes"
    return Finding("codecs", not missing, f"{said}; PyAV {av.__version__}")


async def _there(lake: LakeAddress, repair: bool) -> list[Finding]:
    """Of the lake."""
    from dreamlake._async.lake import AsyncLake

    client = AsyncLake(lake)
    begun = time.time()
    try:
        clock = await client.clock()
    except DreamlakeError as error:
        return [Finding("lake", False, str(error))]
    took = time.time() - begun
    findings = [Finding("lake", True, f"{lake} answers, in {took * 1000:.0f} ms")]
    # It says whole seconds, some time between the question and the answer.
    apart = max(0.0, clock - time.time(), begun - clock - 1)
    findings.append(Finding("clock", apart <= MAX_SKEW, f"{apart:.0f} s apart from the lake's"))
    try:
        me = await client.me()
        key = f"the key dlk_{me.key_id}…" if me.key_id else "no key, and none is needed"
        findings.append(Finding("access", True, f"{me.namespace}, to {me.scope}; {key}"))
        findings.append(await _names(client, repair=repair))
    except AccessError as error:
        findings.append(Finding("access", False, str(error)))
    except DreamlakeError as error:
        findings.append(Finding("names", None, str(error)))
    return findings


async def _names(client: AsyncLake, *, repair: bool) -> Finding:
    """Whether every asset has a name, and every name an asset."""
    if client.address.bss_url != client.address.remote:
        return Finding("names", None, "the storage service and the catalog are two servers, and cannot be compared")
    if repair:
        named = forgotten = 0
        while True:
            done = await client.repair()
            named, forgotten = named + done.named, forgotten + done.forgotten
            if not done.named and not done.forgotten:
                break
        said = f"{named} assets were named, {forgotten} empty names forgotten"
        return Finding("names", not done.problems, "; ".join([said, *done.problems[:5]]))
    found = await client.orphans()
    if not found.unnamed and not found.empty:
        return Finding("names", True, "every asset has one, and every name an asset")
    return Finding("names", False, f"{_counted(found)}; `dreamlake doctor --repair` mends it")


def _counted(found: OrphansFound) -> str:
    parts = [
        f"{len(orphans)}{'+' if len(orphans) == 100 else ''} {what}, such as {orphans[0].name} in "
        f"{orphans[0].namespace}@{orphans[0].space}"
        for orphans, what in ((found.unnamed, "assets without a name"), (found.empty, "names without an asset"))
        if orphans
    ]
    return "; ".join(parts)
