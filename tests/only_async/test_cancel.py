"""An upload that is cancelled closes what it has open itself, and leaves nothing of it to chance."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

import dreamlake.aio as adl
from tests.faults import FaultProxy, Stall


async def test_an_upload_that_is_cancelled(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"ts": 0, "dt": 1, "note": "{"x" * 2**20}"}}\n' * 30)  # more than a connection buffers
    left: list[str] = []
    hooks = sys.get_asyncgen_hooks()

    def finalize(generator: AsyncGenerator[Any, Any]) -> None:
        """Nobody has closed it, and the end of the program may come before the collector's turn."""
        if Path(generator.ag_code.co_filename).is_relative_to(Path(adl.__file__).parent):
            left.append(generator.__qualname__)
        assert hooks.finalizer is not None
        hooks.finalizer(generator)

    with FaultProxy(served) as proxy:
        proxy.fault(Stall(60, after=100_000), "PUT")
        adl.connect(proxy.url)
        sys.set_asyncgen_hooks(finalizer=finalize)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(adl.upload, path)
                while not proxy.parts() or proxy.parts()[0].body < 100_000:  # noqa: ASYNC110 (of another thread)
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            adl.connect()
    gc.collect()
    assert left == []
