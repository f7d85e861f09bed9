"""Uploads into a lake whose bytes are in S3, while that S3 fails: the client that sends, and the lake itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given

import dreamlake as dl
from dreamlake._sync import connection as client
from tests.conftest import serving
from tests.faults import Answer, Cut, FaultProxy, Lose, expired, failed_in_200, slow_down
from tests.s3server import JuiceServer

from ._lab import PART, PARTS, Lab, video_of
from ._plans import ANY, Fault, Plan, plans, survive, thorough

SIZE = 2 * PART + PART // 2
SENDING = ("PUT", "partNumber=")
BEGINNING, LISTING, COMPLETING = ("POST", r"[?&]uploads"), ("GET", "uploadId="), ("POST", r"[?&]uploadId=")
PLACES = [ANY, SENDING, SENDING, BEGINNING, LISTING, COMPLETING]
numbers = count(1)


@pytest.fixture(scope="module")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    data = tmp_path_factory.mktemp("lake")
    with (
        pytest.MonkeyPatch.context() as patch,
        JuiceServer(tmp_path_factory.mktemp("juicefs"), port) as server,
        FaultProxy(server.url) as proxy,
    ):
        server.authorize(patch)
        patch.setenv("DREAMLAKE_STORAGE", server.location("lake", proxy.url))
        with serving(data) as url:
            yield Lab(url, proxy, data)


@pytest.fixture
def store(_store: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A served lake in S3, in use; the proxy is in front of the S3 server, for the client and for the lake."""
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "PATIENT", replace(client.PATIENT, base=0.002, cap=0.02))
    _store.proxy.reset()
    dl.connect(_store.url)
    yield _store
    dl.connect()
    _store.proxy.calm()
    _store.proxy.deliver()


@given(plan=plans(PLACES, SENDING))
@example(plan=Plan((Fault(failed_in_200(), COMPLETING),)))
@example(plan=Plan((Fault(failed_in_200(delivered=True), COMPLETING),)))
@example(plan=Plan((Fault(Lose(), COMPLETING), Fault(slow_down("0"), SENDING), Fault(Cut(PART // 2), SENDING, 2))))
@thorough(5)
def test_nothing_acknowledged_is_lost_in_s3(store: Lab, tmp_path: Path, plan: Plan) -> None:
    number = next(numbers)
    path = video_of(SIZE, tmp_path / "run.mp4", number)
    survive(store, path, f"s3-{number}", plan)


def test_a_url_that_has_expired_is_signed_anew(store: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "expired")
    store.proxy.fault(expired(), *SENDING, nth=2)
    dl.upload(path, space="s3-expired@alice", progress=False, **PARTS)
    store.check(path, "alice", "s3-expired")
    assert len(store.proxy.parts()) == 4
    refused = next(seen for seen in store.proxy.parts() if seen.action == expired())
    assert [seen.acknowledged for seen in store.proxy.parts() if seen.part == refused.part] == [False, True]


def test_what_a_store_refuses_for_good_is_no_endless_loop(store: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "refused")
    store.proxy.fault(Answer(403), *SENDING, forever=True)
    with pytest.raises(dl.DreamlakeError):
        dl.upload(path, space="s3-refused@alice", progress=False, **PARTS)
    assert len(store.proxy.parts()) <= 3 * 4
    assert store.videos("alice", "s3-refused") == []
    store.proxy.calm()
    dl.upload(path, space="s3-refused@alice", progress=False, **PARTS)
    store.check(path, "alice", "s3-refused")
