"""``import dreamlake`` is light: what is slow to import waits until it is needed."""

from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize(("hidden", "extra"), [("litestar", "lake"), ("torch", "torch")])
def test_a_missing_extra_is_one_line_that_says_what_to_install(hidden: str, extra: str, tmp_path: object) -> None:
    code = f"""
import sys
sys.modules[{hidden!r}] = None  # as if it were not installed
import dreamlake as dl
try:
    if {extra!r} == "torch":
        from tests.clips import real_clip
        dl.load_video(real_clip("carphone_distorted.mp4"))[0].tensor()
    else:
        dl.load_video("v-0000000000000001")
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("MissingExtraError")
    assert f"pip install 'dreamlake[{extra}]'" in done.stdout
    assert done.stderr == ""


def test_public_names_are_at_home_in_the_package() -> None:
    import dreamlake
    import dreamlake.aio

    for name in dreamlake.__all__:
        assert getattr(dreamlake, name).__module__ == "dreamlake"
    for name in ("AsyncVideo", "load_video", "upload"):
        assert getattr(dreamlake.aio, name).__module__ == "dreamlake.aio"
    names = {name.removeprefix("Async") for name in dreamlake.aio.__all__}
    assert names == set(dreamlake.__all__)
