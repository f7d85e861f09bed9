"""``import dreamlake`` is light: what is slow to import waits until it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "aiofiles",
    "alembic",
    "anyio",
    "asyncio",
    "av",
    "botocore",
    "datasets",
    "httpx",
    "huggingface_hub",
    "lancedb",
    "litestar",
    "pandas",
    "pyarrow",
    "rich",
    "sqlalchemy",
    "torch",
    "typer",
)


@pytest.mark.parametrize("module", ["dreamlake", "dreamlake.core.wire", "dreamlake.config", "dreamlake.io"])
def test_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


def test_the_async_api_does_not_load_them_either() -> None:
    heavy = [name for name in HEAVY if name not in ("aiofiles", "anyio", "asyncio")]
    code = f"import sys, dreamlake.aio; print(*sorted(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


LAKE = ("aiosqlite", "alembic", "litestar", "multipart", "prometheus_client", "sqlalchemy", "uvicorn")
OTHERS = ("aiobotocore", "asyncpg", "botocore", "datasets", "huggingface_hub", "lancedb", "torch")
TABLES = ("pandas", "pyarrow")

SCRIPT = """
import contextlib, io, sys
import numpy as np

for name in {hidden}:
    sys.modules[name] = None  # as if it were not installed

import dreamlake as dl
import dreamlake.aio
from dreamlake.cli import main
from dreamlake.io import RolloutSink, SourceRow, frames_from_hf, frames_from_s3
from tests.clips import real_clip

def command(*words):
    sys.argv = ["dreamlake", *words]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main()
    print("command", said.getvalue().strip())

def predict():
    row = SourceRow("row", b"", np.zeros((1, 3), np.float32))
    dl.Client(base_url="http://127.0.0.1:9").predict_many([row], RolloutSink.dir("out"), spec="mine")

def search():
    index = dl.vec_index("clips")
    index.add([1.0, 2.0], "a cup")
    index.flush()

tried = dict(
    lake=lambda: dl.load_video("v-0000000000000001"),
    torch=lambda: dl.load_video(real_clip("carphone_distorted.mp4"))[0].tensor(),
    s3=lambda: dl.load_video("s3://bucket/run.mp4"),
    rows_s3=lambda: list(frames_from_s3("s3://bucket/prefix")),
    rows_hf=lambda: list(frames_from_hf("owner/name", frame_field="frame", actions_field="actions")),
    sink_hf=lambda: RolloutSink.hf("owner/name"),
    sink_s3=lambda: RolloutSink.s3("s3://bucket/prefix"),
    io=predict,
    vectors=search,
    serve=lambda: command("serve", "--port", "0"),
    engine=lambda: command("engine", "serve", "--port", "0"),
)
for name in {names}:
    try:
        tried[name]()
    except Exception as error:
        print(type(error).__name__, error)
"""


def run_without(hidden: tuple[str, ...], names: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Try what names say in a process that has not all modules."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(hidden=hidden, names=names)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "DREAMLAKE_HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def extras_in(lines: str) -> list[str]:
    """What each line says that one should install."""
    return [line.rpartition("pip install ")[2] for line in lines.splitlines()]


def test_a_missing_extra_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    extras = {"lake": "lake", "torch": "torch", "s3": "s3", "rows_s3": "s3", "rows_hf": "hf", "sink_hf": "hf"}
    extras |= {"sink_s3": "s3", "io": "io", "vectors": "vectors", "serve": "lake", "engine": "lake"}
    done = run_without((*LAKE, *OTHERS, *TABLES), tuple(extras), tmp_path)
    assert extras_in(done.stdout) == [f"'dreamlake[{extra}]'" for extra in extras.values()]
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"MissingExtraError", "command"}
    assert done.stderr == ""


def test_a_lake_says_which_extra_it_lacks(tmp_path: Path) -> None:
    done = run_without(OTHERS, ("vectors",), tmp_path)
    assert done.stdout.startswith("RequestError")
    waiting = done.stderr  # the row is not lost without a word
    assert extras_in(done.stdout) == extras_in(waiting) == ["'dreamlake[vectors]'"]


def test_public_names_are_at_home_in_the_package() -> None:
    import dreamlake
    import dreamlake.aio

    for name in dreamlake.__all__:
        assert getattr(dreamlake, name).__module__ == "dreamlake"
    for name in ("AsyncVideo", "load_video", "upload"):
        assert getattr(dreamlake.aio, name).__module__ == "dreamlake.aio"
    names = {name.removeprefix("Async") for name in dreamlake.aio.__all__}
    assert names == set(dreamlake.__all__)
