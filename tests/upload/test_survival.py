"""Uploads through a network that fails in ways that Hypothesis thinks of: nothing acknowledged is ever lost.

``UPLOAD_EXAMPLES=500 pytest tests/upload/test_survival.py`` looks for longer, at other plans each time.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from hypothesis import example, given

from tests.faults import Cut, Late, Lose

from ._lab import PART, Lab, video_of
from ._plans import ANY, Fault, Plan, plans, survive, thorough

SIZE = 3 * PART + PART // 2
SENDING = ("PUT", "/uploads/")
PLACES = [
    ANY, SENDING, ("POST", "multipart/init$"), ("POST", "multipart/parts$"), ("POST", "multipart/complete$"),
    ("GET", "multipart/parts-done"), ("POST", "/videos/?$"), ("POST", "/assets/"), ("POST", "/lambdas/"),
    ("GET", "/videos/[^/]+$"), ("GET", "frames.npz"),
]  # fmt: skip
numbers = count(1)


@given(plan=plans(PLACES, SENDING))
@example(plan=Plan((Fault(Lose(), ("POST", "multipart/complete$"), forever=True),)))
@example(plan=Plan((Fault(Late(0), ("POST", "multipart/complete$")), Fault(Cut(0), ANY, 8, forever=True))))
@example(plan=Plan((Fault(Late(100), SENDING, 2), Fault(Cut(PART // 2), SENDING, 6, forever=True)), late=True))
@thorough(12)
def test_nothing_acknowledged_is_lost(lab: Lab, tmp_path: Path, plan: Plan) -> None:
    number = next(numbers)
    path = video_of(SIZE, tmp_path / "run.mp4", number)
    survive(lab, path, f"run-{number}", plan)
