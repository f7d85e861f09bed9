"""predict_many against an engine that fails in all the ways that engines and networks do."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamlake.aio as adl
from dreamlake._async._runtime import gather
from dreamlake.core.bulk import BulkEvent
from dreamlake.errors import (
    BrokenSourceError,
    CostLimitError,
    EngineError,
    EngineUnreachableError,
    RowError,
    SinkError,
    TooManyFailuresError,
    UsageError,
)
from dreamlake.io import IterableSource, RolloutSink, SourceRow, frames_from_dir
from tests.faults import in_seconds
from tests.predictions import (
    PRICE,
    SPEC,
    STEPS,
    Cut,
    Engine,
    Fault,
    Late,
    Reset,
    Status,
    actions,
    metadata,
    png,
    rollout,
    rows,
)

COST = (STEPS + 1) * PRICE


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> adl.AsyncClient:
    return adl.AsyncClient(base_url=engine.url)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(out: Path) -> set[str]:
    return {path.stem for path in (out / "videos").iterdir()}


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ids(out: Path) -> list[str]:
    return [line["row_id"] for line in metadata(out)]


def first(fault: Fault | None, *which: int, tries: int = 1) -> Any:
    """A fault of the first tries of some rows."""
    return lambda row, before: fault if row in which and before < tries else None


async def test_every_row_becomes_a_video_and_a_line_in_the_order_of_the_source(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    engine.faults = lambda row, before: Status(503) if row % 7 == 0 and not before else None  # so that some are late
    result = await client.predict_many(rows(30), RolloutSink.dir(out), spec=SPEC, concurrency=4)
    assert (result.ok, result.failed, result.failures, result.resumed) == (30, 0, [], 0)
    assert result.output_uri == str(out)
    assert result.cost_usd == pytest.approx(30 * COST)
    assert ids(out) == [f"run-{row:04d}" for row in range(30)]
    assert (out / "videos" / "run-0003.mp4").read_bytes() == rollout(3)
    line = metadata(out)[7]
    assert line.pop("bytes") == len(rollout(7))
    assert line == {
        "row_id": "run-0007",
        "file_name": "videos/run-0007.mp4",
        "source_id": "run-0007",
        "source_index": 7,
        "spec": SPEC,
        "frames": STEPS + 1,
        "request_id": "request-7",
        "engine_wall_ms": 12.5,
        "estimated_charge_usd": COST,
        "attempts": 2,
        "metadata": '{"robot":"arm-1"}',
    }
    assert all(form["model"] == SPEC for form in engine.forms)
    assert set(engine.billed.values()) == {1}
    assert listed(out) == {"videos", "metadata.parquet", ".dreamlake"}


async def test_no_more_requests_than_asked_for_and_no_more_rows_in_memory_than_twice_that(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    engine.seconds = 0.02
    alive, most, lock = 0, 0, threading.Lock()

    class Counted:
        def __init__(self, row: int) -> None:
            nonlocal alive, most
            self.row = row
            with lock:
                alive += 1
                most = max(most, alive)

        def __call__(self) -> Any:
            return actions(self.row)

        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    def source() -> Iterator[SourceRow]:
        for row in range(60):
            yield SourceRow(str(row), png(), Counted(row))

    result = await client.predict_many(IterableSource(source), RolloutSink.dir(out), spec=SPEC, concurrency=3)
    assert result.ok == 60
    assert engine.most_running == 3
    assert most <= 2 * 3 + 2  # one that the source is making, and one that it still has


FAULTS: list[Fault] = [
    Status(500), Status(502), Status(503), Status(504), Status(429), Reset(), Reset(committed=True), Cut(),
    Cut(honest=False), Status(503, (("Retry-After", "0"),)), Status(409, (("Retry-After", "0"),)), Status(408),
]  # fmt: skip


@pytest.mark.parametrize("on_error", ["skip", "halt"])
async def test_what_passes_costs_no_row_and_no_money(
    client: adl.AsyncClient, engine: Engine, out: Path, on_error: str
) -> None:
    chance = random.Random(7)
    plan = {row: [FAULTS[row // 2], *([chance.choice(FAULTS)] if row % 8 == 0 else [])] for row in range(0, 24, 2)}
    engine.faults = lambda row, before: dict(enumerate(plan.get(row, []))).get(before)
    result = await client.predict_many(rows(24), RolloutSink.dir(out), spec=SPEC, concurrency=8, on_error=on_error)
    assert (result.ok, result.failed) == (24, 0)
    assert ids(out) == [f"run-{row:04d}" for row in range(24)]
    assert engine.billed == dict.fromkeys(range(24), 1)
    for row in range(24):
        assert len(engine.tries(row)) == 1 + len(plan.get(row, []))
        assert len(engine.keys(row)) == 1
    assert [line["attempts"] for line in metadata(out)] == [1 + len(plan.get(row, [])) for row in range(24)]
    assert len({key for row in range(24) for key in engine.keys(row)}) == 24


async def test_an_answer_that_comes_too_late_is_not_billed_again(engine: Engine, out: Path) -> None:
    engine.faults = first(Late(1.2), 2, 5)
    client = adl.AsyncClient(base_url=engine.url, timeout=0.5)
    result = await client.predict_many(rows(8), RolloutSink.dir(out), spec=SPEC)
    assert (result.ok, result.failed) == (8, 0)
    assert engine.billed == dict.fromkeys(range(8), 1)


async def test_rows_that_fail_three_times_or_for_good_are_skipped_and_told(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    plan: dict[int, Fault] = {
        3: Status(422, detail="17 joints"),
        9: Status(500),
        14: Reset(),
        20: Cut(),
        25: Status(429),
    }
    engine.faults = lambda row, _: plan.get(row)
    result = await client.predict_many(rows(40), RolloutSink.dir(out), spec=SPEC, concurrency=4)
    assert (result.ok, result.failed) == (35, 5)
    kinds = [(row.row_id, type(row.error), row.attempts) for row in result.failures]
    assert kinds == [
        ("run-0003", adl.ValidationError, 1),
        ("run-0009", EngineError, 3),
        ("run-0014", EngineUnreachableError, 3),
        ("run-0020", EngineError, 3),
        ("run-0025", adl.RateLimitError, 3),
    ]
    assert "17 joints" in str(result.failures[0].error)
    good = [f"run-{row:04d}" for row in range(40) if row not in plan]
    assert ids(out) == good
    assert written(out) == set(good)
    assert engine.billed == dict.fromkeys({*range(40)} - {*plan}, 1) | {20: 1}


async def test_halt_stops_at_the_first_row_that_fails_and_keeps_what_was_under_way(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    engine.seconds = 0.05
    engine.faults = first(Status(422), 10)
    with pytest.raises(adl.ValidationError) as caught:
        await client.predict_many(rows(60), RolloutSink.dir(out), spec=SPEC, concurrency=4, on_error="halt")
    result = caught.value.result
    assert [(row.row_id, row.attempts) for row in result.failures] == [("run-0010", 1)]
    assert result.ok < 10 + 2 * 4
    assert len(engine.requests) == result.ok + 1  # all that was begun was waited for
    assert len(ids(out)) == result.ok
    assert written(out) == set(ids(out))


@pytest.mark.parametrize("on_error", ["skip", "halt"])
@pytest.mark.parametrize(
    ("status", "error"), [(402, adl.InsufficientCreditsError), (401, adl.AuthError), (403, adl.AuthError)]
)
async def test_keys_and_credits_stop_it_whatever_on_error_says(
    client: adl.AsyncClient, engine: Engine, out: Path, on_error: str, status: int, error: type[Exception]
) -> None:
    engine.seconds = 0.02
    lent = itertools.count()
    engine.faults = lambda _row, _before: Status(status) if next(lent) >= 12 else None  # so much was paid for
    with pytest.raises(error) as caught:
        await client.predict_many(rows(80), RolloutSink.dir(out), spec=SPEC, concurrency=4, on_error=on_error)
    result = caught.value.result
    assert (result.ok, result.failed) == (12, 0)  # rows that were not done are not failed either
    assert len(ids(out)) == 12
    assert sum(request.status == status for request in engine.requests) <= 4
    engine.faults = lambda _row, _before: None
    assert (await client.predict_many(rows(80), RolloutSink.dir(out), spec=SPEC)).ok == 80
    assert set(engine.billed.values()) == {1}


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_what_the_engine_asks_of_one_all_of_them_wait_for(
    client: adl.AsyncClient, engine: Engine, out: Path, form: str
) -> None:
    def storm(row: int, before: int) -> Fault | None:
        if row != 5 or before:
            return None
        # A date has whole seconds, so that one second from now can be much less; two cannot.
        return Status(429, (("Retry-After", "1" if form == "seconds" else in_seconds(1)),))

    engine.faults = storm
    engine.seconds = 0.01
    result = await client.predict_many(rows(40), RolloutSink.dir(out), spec=SPEC, concurrency=4)
    assert (result.ok, result.failed) == (40, 0)
    refused = next(request.at for request in engine.requests if request.status == 429)
    begun_later = [request for request in engine.requests if request.at > refused + 0.2]
    assert len(engine.requests) - len(begun_later) <= 6 + 4  # what was under way ended
    assert min(request.at for request in begun_later) >= refused + 0.9
    assert engine.tries(5) == [429, 200]


async def test_a_storm_of_429_loses_no_row_and_calms_down(client: adl.AsyncClient, engine: Engine, out: Path) -> None:
    engine.slots, engine.seconds, engine.retry_after = 2, 0.01, "0"
    result = await client.predict_many(rows(120), RolloutSink.dir(out), spec=SPEC, concurrency=16)
    assert (result.ok, result.failed) == (120, 0)
    assert set(engine.billed.values()) == {1}
    later = engine.requests[len(engine.requests) // 2 :]
    assert sum(request.status == 429 for request in later) <= 0.05 * len(later)


async def test_when_all_rows_fail_it_stops_soon(client: adl.AsyncClient, engine: Engine, out: Path) -> None:
    engine.faults = lambda _row, _before: Status(404, detail="no such model")
    with pytest.raises(TooManyFailuresError, match=r"10 of 10 rows failed.*no such model") as caught:
        await client.predict_many(rows(500), RolloutSink.dir(out), spec="gone", concurrency=2)
    assert 10 <= caught.value.result.failed <= 14  # with those that were under way or read: twice the concurrency
    assert len(engine.requests) == caught.value.result.failed


async def test_an_engine_that_is_gone_is_not_asked_for_every_row(unused_port: int, out: Path) -> None:
    client = adl.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}")
    with pytest.raises(TooManyFailuresError):
        await client.predict_many(rows(500), RolloutSink.dir(out), spec=SPEC, concurrency=16)
    assert metadata(out) == []


# Sources


class Uneven(IterableSource):
    """A source of one's own, some of whose rows cannot be had."""

    def __init__(self, bad: set[int]) -> None:
        self._bad = bad

    def __iter__(self) -> Any:
        outer = self

        class Rows:
            number = -1

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> SourceRow:
                self.number += 1
                if self.number >= 30:
                    raise StopIteration
                if self.number in outer._bad:
                    raise OSError("unreadable sector")
                return SourceRow(f"run-{self.number:04d}", png(), actions(self.number))

        return Rows()


async def test_a_row_that_cannot_be_read_is_a_row_that_fails(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    result = await client.predict_many(Uneven({4, 11}), RolloutSink.dir(out), spec=SPEC)
    assert (result.ok, result.failed) == (28, 2)
    assert [(row.row_id, row.attempts) for row in result.failures] == [("row-000004", 0), ("row-000011", 0)]
    assert isinstance(result.failures[0].error, RowError)
    assert "unreadable sector" in str(result.failures[0].error)
    assert [line["source_index"] for line in metadata(out)] == [row for row in range(30) if row not in (4, 11)]


async def test_bad_frames_and_actions_are_rows_that_fail(
    client: adl.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    for row in range(12):
        (tmp_path / f"{row}.png").write_bytes(png() if row != 3 else b"not a picture")
        if row != 5:
            (tmp_path / f"{row}.npy").write_bytes(b"\x93NUMPY" if row == 7 else _npy(row))
    source = frames_from_dir(tmp_path)
    assert source.rows_hint == 12
    result = await client.predict_many(source, RolloutSink.dir(tmp_path / "out"), spec=SPEC)
    assert {row.row_id: row.attempts for row in result.failures} == {"3": 0, "5": 0, "7": 0}, result.failures
    assert (result.ok, result.failed) == (9, 3)
    assert engine.rows() == {*range(12)} - {3, 5, 7}


def _npy(row: int) -> bytes:
    from dreamlake.io.rows import encode_actions

    return encode_actions(actions(row))


async def test_a_source_that_breaks_is_no_end_of_the_source(client: adl.AsyncClient, out: Path) -> None:
    def source() -> Iterator[Any]:
        yield from rows(6)
        raise OSError("the disk is gone")

    with pytest.raises(BrokenSourceError, match="the disk is gone") as caught:
        await client.predict_many(IterableSource(source), RolloutSink.dir(out), spec=SPEC)
    assert (caught.value.result.ok, caught.value.result.failed) == (6, 1)
    assert len(metadata(out)) == 6


async def test_ids_are_made_safe_and_none_takes_the_place_of_another(
    client: adl.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    names = ["../../escape", "ep1/cam0", "ep1_cam0", "same", "same", "Same", "", "con", "x" * 300, "é", None]
    source = [{"row_id": name, "frame": png(), "actions": actions(row)} for row, name in enumerate(names)]
    out = tmp_path / "deep" / "out"
    result = await client.predict_many(source, RolloutSink.dir(out), spec=SPEC)
    assert (result.ok, result.failed) == (len(names), 0)
    lines = metadata(out)
    assert [line["source_id"] for line in lines] == [*names[:-1], "row-000010"]
    assert len({line["row_id"].lower() for line in lines}) == len(names)
    assert written(out) == {line["row_id"] for line in lines}
    assert listed(tmp_path) == {"deep"}
    assert (lines[2]["row_id"], lines[3]["row_id"], lines[4]["row_id"]) == ("ep1_cam0", "same", "same-2")
    again = await client.predict_many(source, RolloutSink.dir(out), spec=SPEC)
    assert (again.ok, again.resumed) == (len(names), len(names))
    assert set(engine.billed.values()) == {1}


async def test_rows_may_be_mappings_or_pairs_and_nothing_else(client: adl.AsyncClient, out: Path) -> None:
    source = [(png(), actions(0)), {"frame": png(), "actions": actions(1)}, *rows(6, 2), 17, {"frame": png()}]
    result = await client.predict_many(source, RolloutSink.dir(out), spec=SPEC)
    assert (result.ok, result.failed) == (8, 2)
    assert ids(out)[:2] == ["row-000000", "row-000001"]
    with pytest.raises(UsageError, match="iterable of rows"):
        await client.predict_many(5, RolloutSink.dir(out), spec=SPEC)  # type: ignore[arg-type]


# Again


async def test_the_same_call_again_sends_nothing_that_is_done(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    engine.faults = lambda row, _: Status(422) if row == 4 else Status(500) if row == 8 else None
    sink = RolloutSink.dir(out)
    assert (await client.predict_many(rows(30), sink, spec=SPEC)).failed == 2
    sent = len(engine.requests)
    again = await client.predict_many(rows(30), sink, spec=SPEC, retry_failed=False)
    assert (again.ok, again.failed, again.resumed) == (28, 2, 28)
    assert [type(row.error) for row in again.failures] == [adl.ValidationError, EngineError]
    assert len(engine.requests) == sent
    engine.faults = lambda _row, _before: None
    again = await client.predict_many(rows(34), sink, spec=SPEC)  # and the source has become longer
    assert (again.ok, again.failed, again.resumed) == (34, 0, 28)
    assert ids(out) == [f"run-{row:04d}" for row in range(34)]
    assert set(engine.billed.values()) == {1}
    assert again.cost_usd == pytest.approx(34 * COST)


async def test_a_rollout_that_was_deleted_is_made_again_and_not_billed(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    await client.predict_many(rows(10), RolloutSink.dir(out), spec=SPEC)
    (out / "videos" / "run-0006.mp4").unlink()
    again = await client.predict_many(rows(10), RolloutSink.dir(out), spec=SPEC)
    assert (again.ok, again.resumed) == (10, 9)
    assert engine.tries(6) == [200, 200]
    assert len(engine.keys(6)) == 1
    assert engine.billed[6] == 1


async def test_another_row_of_the_same_name_is_not_taken_for_it(
    client: adl.AsyncClient, engine: Engine, out: Path
) -> None:
    source = [{"frame": png(), "actions": actions(row)} for row in range(4)]
    await client.predict_many(source, RolloutSink.dir(out), spec=SPEC)
    before = (out / "videos" / "row-000001.mp4").read_bytes()
    other = [{"frame": png(), "actions": actions(row)} for row in (0, 100, 2, 3)]
    again = await client.predict_many(other, RolloutSink.dir(out), spec=SPEC)
    assert [(row.row_id, row.attempts) for row in again.failures] == [("row-000001", 0)]
    assert "another row" in str(again.failures[0].error)
    assert (out / "videos" / "row-000001.mp4").read_bytes() == before
    assert 100 not in engine.rows()


async def test_a_folder_has_one_run(client: adl.AsyncClient, engine: Engine, out: Path, tmp_path: Path) -> None:
    await client.predict_many(rows(3), RolloutSink.dir(out), spec=SPEC, seed=1)
    sent = len(engine.requests)
    with pytest.raises(UsageError, match="another run, whose seed is '1' and not '2'"):
        await client.predict_many(rows(3), RolloutSink.dir(out), spec=SPEC, seed=2)
    with pytest.raises(UsageError, match="whose spec is"):
        await client.predict_many(rows(3), RolloutSink.dir(out), spec="other", seed=1)
    with pytest.raises(UsageError, match="whose source is"):
        await client.predict_many(IterableSource(rows(3), name="b"), RolloutSink.dir(out), spec=SPEC, seed=1)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "metadata.parquet").write_bytes(b"of others")
    with pytest.raises(SinkError, match="no journal knows"):
        await client.predict_many(rows(3), RolloutSink.dir(tmp_path / "foreign"), spec=SPEC)
    assert (tmp_path / "foreign" / "metadata.parquet").read_bytes() == b"of others"
    assert len(engine.requests) == sent


async def test_two_calls_at_once_do_not_share_a_folder(client: adl.AsyncClient, engine: Engine, out: Path) -> None:
    engine.seconds = 0.05
    outcomes: list[Any] = []

    async def call() -> None:
        try:
            outcomes.append(await client.predict_many(rows(20), RolloutSink.dir(out), spec=SPEC))
        except UsageError as error:
            outcomes.append(error)

    await gather(call, call)
    refused, done = sorted(outcomes, key=lambda outcome: isinstance(outcome, adl.PredictResult))
    assert "is written to by another call" in str(refused)
    assert done.ok == 20
    assert engine.billed == dict.fromkeys(range(20), 1)


# Money


async def test_it_stops_before_it_costs_more_than_it_may(client: adl.AsyncClient, engine: Engine, out: Path) -> None:
    bound = 10 * COST
    with pytest.raises(CostLimitError, match="max_cost_usd") as caught:
        await client.predict_many(rows(50), RolloutSink.dir(out), spec=SPEC, concurrency=4, max_cost_usd=bound)
    assert caught.value.result.ok == 10
    assert sum(engine.billed.values()) == 10
    with pytest.raises(CostLimitError):  # of the run, not of the call
        await client.predict_many(rows(50), RolloutSink.dir(out), spec=SPEC, max_cost_usd=bound)
    assert sum(engine.billed.values()) == 10
    assert (await client.predict_many(rows(50), RolloutSink.dir(out), spec=SPEC, max_cost_usd=50 * COST)).ok == 50
    with pytest.raises(adl.ModelNotFoundError):
        await client.predict_many(rows(1), RolloutSink.dir(out), spec="unknown", max_cost_usd=1.0)


async def test_progress_tells_rows_and_cost(client: adl.AsyncClient, engine: Engine, out: Path) -> None:
    engine.faults = lambda row, _: Status(422) if row == 4 else None
    events: list[BulkEvent] = []
    await client.predict_many(rows(20), RolloutSink.dir(out), spec=SPEC, progress=events.append)
    last = events[-1]
    assert (last.ok, last.failed, last.resumed, last.total, last.seen) == (19, 1, 0, 20, 20)
    assert last.cost_usd == pytest.approx(19 * COST)
    assert len(events) == 20
    await client.predict_many(rows(20), RolloutSink.dir(out), spec=SPEC, progress=events.append)
    assert (events[-1].ok, events[-1].failed, events[-1].resumed, events[-1].cost_usd) == (0, 1, 19, 0.0)


# Sinks


class Full(RolloutSink):
    """A sink of one's own, which is full after some rollouts."""

    uri = "memory://full"

    def __init__(self, room: int) -> None:
        self.room = room
        self.videos: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}

    def write(self, row_id: str, video: bytes, record: Any) -> None:
        if len(self.videos) >= self.room:
            raise OSError("no space left")
        self.videos[row_id] = video

    def write_metadata(self, name: str, path: Path) -> None:
        self.files[name] = path.read_bytes()


async def test_a_sink_that_is_full_stops_it_and_the_row_is_not_billed_again(
    client: adl.AsyncClient, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    sink = Full(room=9)
    with pytest.raises(SinkError, match="no space left") as caught:
        await client.predict_many(rows(40), sink, spec=SPEC, concurrency=4)
    assert (caught.value.result.ok, caught.value.result.failed) == (9, 0)
    assert list(sink.files) == ["metadata.parquet"]
    sink.room = 100
    assert (await client.predict_many(rows(40), sink, spec=SPEC)).ok == 40
    assert set(engine.billed.values()) == {1}
    assert len(sink.videos) == 40


async def test_arguments_that_cannot_mean_anything(client: adl.AsyncClient, out: Path) -> None:
    sink = RolloutSink.dir(out)
    wrong: list[dict[str, Any]] = [
        {"concurrency": 0}, {"on_error": "retry"}, {"max_cost_usd": -1.0}, {"num_steps": 0}, {"guidance": float("nan")},
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(UsageError):
            await client.predict_many(rows(1), sink, spec=SPEC, **arguments)
    with pytest.raises(UsageError, match="RolloutSink"):
        await client.predict_many(rows(1), str(out), spec=SPEC)  # type: ignore[arg-type]
    assert not listed(out.parent)
