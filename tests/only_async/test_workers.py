"""Work in the background is done: soon, when it is in a hurry, when its loop ends, and when the program does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from dreamlake._async._workers import Background

NEVER = 3600.0  # seconds

AWAITED = """
import asyncio
import sys
import dreamlake.aio as adl

async def main():
    index = adl.vec_index("exit")
    for number in range(10):
        await index.add([1, number], f"row {number}")

adl.connect(data=sys.argv[1])
if sys.argv[2] == "run":
    asyncio.run(main())
else:  # a loop that nobody ends, as in some notebooks
    asyncio.new_event_loop().run_until_complete(main())
"""
BLOCKING = """
import sys
import dreamlake as dl
dl.connect(data=sys.argv[1])
index = dl.vec_index("exit")
for number in range(10):
    index.add([1, number], f"row {number}")
if sys.argv[2] == "close":
    dl.close()
    index.add([1, 10], "row 9")
elif sys.argv[2] == "raise":
    raise SystemExit(0)
"""


async def test_it_is_called_in_time_and_in_a_hurry() -> None:
    called = asyncio.Event()

    async def call() -> None:
        called.set()

    Background(call, 0.001).ask()
    await asyncio.wait_for(called.wait(), 10)
    called.clear()
    slow = Background(call, NEVER)
    slow.ask()
    slow.ask()
    await asyncio.sleep(0)
    assert not called.is_set()
    slow.ask(now=True)
    await asyncio.wait_for(called.wait(), 10)


def test_it_is_called_when_the_loop_ends() -> None:
    called = []

    async def call() -> None:
        await asyncio.sleep(0)
        called.append(True)

    async def main() -> None:
        Background(call, NEVER).ask()
        await asyncio.sleep(0)

    asyncio.run(main())
    assert called == [True]


@pytest.mark.parametrize(
    ("code", "how", "rows"),
    [
        (AWAITED, "run", 10),
        (AWAITED, "leave", 10),
        (BLOCKING, "end", 10),
        (BLOCKING, "raise", 10),
        (BLOCKING, "close", 11),
    ],
)
def test_a_program_that_ends_has_committed_all(tmp_path: Path, code: str, how: str, rows: int) -> None:
    def python(program: str) -> str:
        command = [sys.executable, "-c", program, str(tmp_path), how]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout

    python(code)
    counted = "import sys, dreamlake as dl; dl.connect(data=sys.argv[1]); print(dl.vec_index('exit').count)"
    assert python(counted).strip() == str(rows)
