"""Uploads through a network that fails in ways that Hypothesis thinks of: nothing acknowledged is ever lost.

``UPLOAD_EXAMPLES=500 pytest tests/upload/test_survival.py`` looks for longer, at other plans each time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

import dreamlake as dl
from dreamlake.errors import AccessError, LakeUnreachableError, ServerError, UploadPausedError
from tests.faults import (
    Action,
    Answer,
    Cut,
    CutAnswer,
    Late,
    Lose,
    Stall,
    Twice,
    expired,
    in_seconds,
    slow_down,
)

from ._lab import PART, PARTS, Lab, video_of

EXAMPLES = int(os.environ.get("UPLOAD_EXAMPLES", "0"))
PAUSED = (UploadPausedError, LakeUnreachableError, ServerError)
SIZE = 3 * PART + PART // 2
SENDING = ("PUT", "/uploads/")
ANY = ("", "")
PLACES = [
    ANY, SENDING, ("POST", "multipart/init$"), ("POST", "multipart/parts$"), ("POST", "multipart/complete$"),
    ("GET", "multipart/parts-done"), ("POST", "/videos/?$"), ("POST", "/assets/"), ("POST", "/lambdas/"),
    ("GET", "/videos/[^/]+$"), ("GET", "frames.npz"),
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Something that happens to the nth request at a place."""

    action: Action
    place: tuple[str, str]
    nth: int = 1
    forever: bool = False


@dataclass(frozen=True)
class Plan:
    """What happens to one upload.

    Attributes:
        faults: in its first run.
        late: whether what was held back comes before the second run, else after it.
    """

    faults: tuple[Fault, ...]
    late: bool = False


def actions(place: tuple[str, str]) -> st.SearchStrategy[Action]:
    """What can happen at a place."""
    within = st.integers(0, PART)
    common: list[st.SearchStrategy[Action]] = [
        st.builds(Cut, st.sampled_from([0, 50, 1 << 30]) if place != SENDING else within),
        st.builds(CutAnswer, st.integers(0, 60), st.booleans()),
        st.builds(Stall, st.just(0.05), st.none() | within),
        st.sampled_from([Answer(500), Answer(502, b"<html>bad gateway</html>"), slow_down("0"), slow_down("0.1")]),
        st.builds(lambda: slow_down(in_seconds(-5))),
        st.just(Lose()),
        st.builds(Twice, st.booleans()),
        st.builds(Late, st.integers(0, 12)),
    ]
    if place == SENDING:
        common.append(st.builds(expired))
    return st.one_of(common)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """One to six faults; the last one may be the end of everything, until the next run."""
    faults = []
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.sampled_from(PLACES))
        faults.append(Fault(draw(actions(place)), place, draw(st.integers(1, 30 if place == ANY else 4))))
    if draw(st.booleans()):
        gone = draw(st.sampled_from([Cut(0), Answer(503), Lose()]))
        faults[-1] = Fault(gone, draw(st.sampled_from([ANY, SENDING])), draw(st.integers(1, 16)), forever=True)
    return Plan(tuple(faults), draw(st.booleans()))


numbers = count(1)


@given(plan=plans())
@example(plan=Plan((Fault(Lose(), ("POST", "multipart/complete$"), forever=True),)))
@example(plan=Plan((Fault(Late(0), ("POST", "multipart/complete$")), Fault(Cut(0), ANY, 8, forever=True))))
@example(plan=Plan((Fault(Late(100), SENDING, 2), Fault(Cut(PART // 2), SENDING, 6, forever=True)), late=True))
@settings(
    max_examples=EXAMPLES or 12,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
def test_nothing_acknowledged_is_lost(lab: Lab, tmp_path: Path, plan: Plan) -> None:
    number = next(numbers)
    project = f"run-{number}"
    path = video_of(SIZE, tmp_path / "run.mp4", number)
    proxy = lab.proxy
    proxy.reset()
    for fault in plan.faults:
        proxy.fault(fault.action, *fault.place, fault.nth, forever=fault.forever)

    def send() -> None:
        dl.upload(path, space=f"{project}@alice", progress=False, **PARTS)

    try:
        send()
    except PAUSED:
        done = False
    except AccessError:  # a URL that is too old as soon as it was signed anew
        assert sum(seen.action == expired() for seen in proxy.log) > 1
        done = False
    else:
        done = True
    event("done in the first run" if done else "went on in a second run")
    if done:
        lab.check(path, "alice", project)
    proxy.calm()
    if plan.late:
        proxy.deliver()
    if not done:
        there = {part: size for (_, part), size in proxy.acknowledged().items()}
        before = len(proxy.log)
        send()
        again = [seen for seen in proxy.log[before:] if seen.part is not None]
        assert not {seen.part[1] for seen in again if seen.part} & there.keys()
        assert sum(seen.body for seen in again) == SIZE - sum(there.values())
        lab.check(path, "alice", project)
    proxy.deliver()
    lab.check(path, "alice", project)
    # And what the storage has is not sent again.
    before = len(proxy.log)
    send()
    assert not [seen for seen in proxy.log[before:] if seen.part is not None]
    path.unlink()
