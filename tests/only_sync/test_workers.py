"""A crew in the blocking API: its threads, and what an interrupt does to the one that waits for them."""

import signal
import sys
import threading
import traceback

import pytest

from dreamlake._sync._workers import crew

PATIENCE = 20  # seconds after which a test that hangs fails


def called_in(thread: int) -> set[str]:
    """The functions that a thread is in."""
    return {frame.name for frame in traceback.extract_stack(sys._current_frames()[thread])}


def test_an_interrupted_crew_waits_for_the_one_it_was_waiting_for() -> None:
    stopping, interrupted, finished = threading.Event(), threading.Event(), threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def work() -> None:
        while not {"wait", "join"} & (names := called_in(main)) or "start" in names:
            pass  # until it waits for us
        signal.pthread_kill(main, signal.SIGINT)
        assert stopping.wait(PATIENCE)
        assert interrupted.wait(PATIENCE)  # set when the crew has gone on to wait again, or not at all
        finished.set()

    def stop() -> None:
        stopping.set()
        threading.Timer(0.2, interrupted.set).start()

    seen: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        crew(work, 1, stop, lambda: seen.append(finished.is_set()), PATIENCE)
    assert seen == [True]
