"""Lakes behind a proxy, and retries that do not wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import dreamlake as dl
from dreamlake._sync import connection as client
from tests.conftest import serving
from tests.faults import FaultProxy

from ._lab import Lab


@pytest.fixture(scope="package")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    data = tmp_path_factory.mktemp("lab")
    with serving(data) as url, FaultProxy(url) as proxy:
        yield Lab(url, proxy, data)


@pytest.fixture
def lab(_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A served lake, in use through its proxy, by a client with a home of its own that hardly waits between tries."""
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "PATIENT", replace(client.PATIENT, base=0.002, cap=0.02))
    monkeypatch.setattr(client, "HASTY", replace(client.HASTY, base=0.002))
    _lab.proxy.reset()
    dl.connect(_lab.proxy.url)
    yield _lab
    dl.connect()
    _lab.proxy.calm()
    _lab.proxy.deliver()
