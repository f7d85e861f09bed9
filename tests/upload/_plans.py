"""Plans of what happens to an upload, and what must hold whatever happened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, event, settings
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

from ._lab import PART, PARTS, Lab

EXAMPLES = int(os.environ.get("UPLOAD_EXAMPLES", "0"))
PAUSED = (UploadPausedError, LakeUnreachableError, ServerError)
Place = tuple[str, str]  # method and path, as the proxy wants them
ANY = ("", "")


def thorough(examples: int) -> settings:
    """So many plans, always the same; or as many others as the environment asks for."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        print_blob=True,
    )


@dataclass(frozen=True)
class Fault:
    """Something that happens to the nth request at a place."""

    action: Action
    place: Place
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


def actions(place: Place, sending: Place) -> st.SearchStrategy[Action]:
    """What can happen at a place, and more where parts are sent."""
    within = st.integers(0, PART)
    common: list[st.SearchStrategy[Action]] = [
        st.builds(Cut, st.sampled_from([0, 50, 1 << 30]) if place != sending else within),
        st.builds(CutAnswer, st.integers(0, 60), st.booleans()),
        st.builds(Stall, st.just(0.05), st.none() | within),
        st.sampled_from([Answer(500), Answer(502, b"<html>bad gateway</html>"), slow_down("0"), slow_down("0.1")]),
        st.builds(lambda: slow_down(in_seconds(-5))),
        st.just(Lose()),
        st.builds(Twice, st.booleans()),
        st.builds(Late, st.integers(0, 12)),
    ]
    if place == sending:
        common.append(st.builds(expired))
    return st.one_of(common)


@st.composite
def plans(draw: st.DrawFn, places: Sequence[Place], sending: Place) -> Plan:
    """One to six faults; the last one may be the end of everything, until the next run.

    Args:
        draw: of Hypothesis.
        places: where they happen.
        sending: where parts are sent.
    """
    faults = []
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.sampled_from(places))
        faults.append(Fault(draw(actions(place, sending)), place, draw(st.integers(1, 30 if place == ANY else 4))))
    if draw(st.booleans()):
        gone = draw(st.sampled_from([Cut(0), Answer(503), Lose()]))
        faults[-1] = Fault(gone, draw(st.sampled_from([ANY, sending])), draw(st.integers(1, 16)), forever=True)
    return Plan(tuple(faults), draw(st.booleans()))


def survive(lab: Lab, path: Path, project: str, plan: Plan) -> None:
    """Upload a file while the plan happens, again if it paused, and assert that nothing was lost or sent in vain."""
    size = path.stat().st_size
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
        there = {part: sent for (_, part), sent in proxy.acknowledged().items()}
        before = len(proxy.log)
        send()
        again = [seen for seen in proxy.log[before:] if seen.part is not None]
        assert not {seen.part[1] for seen in again if seen.part} & there.keys()
        assert sum(seen.body for seen in again) == size - sum(there.values())
        lab.check(path, "alice", project)
    proxy.deliver()
    lab.check(path, "alice", project)
    # And what the storage has is not sent again.
    before = len(proxy.log)
    send()
    assert not [seen for seen in proxy.log[before:] if seen.part is not None]
