"""What goes on beside its caller, the blocking side: in threads that keep no process from ending.

The hand-written twin of `dreamlake/_async/_workers.py`: the same names and signatures.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

__all__ = ["Background", "crew"]


def crew(
    work: Callable[[], None],
    count: int,
    stop: Callable[[], None],
    finish: Callable[[], None],
    patience: float,
) -> None:
    """Have several workers do the same work at once until they are done, and then finish.

    An error of one is raised when the others have ended too. When the caller is interrupted, it finishes all the same.

    Args:
        work: What each of them does.
        count: How many there are.
        stop: Called after an error or an interruption: lets workers end soon, of themselves.
        finish: Called once, when all have ended.
        patience: Seconds that workers have to end after an interruption. Threads cannot be stopped: those that have
            not ended are left behind, and keep no process from ending.
    """
    failures: list[BaseException] = []
    # Not `Thread.join`: until Python 3.13 an interrupted one takes its thread for ended, and nobody would wait for it.
    ended = [threading.Event() for _ in range(count)]

    def run(number: int) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised below, in the caller)
            failures.append(error)
            stop()
        finally:
            ended[number].set()

    # Not an executor's threads: the interpreter waits for these at its end.
    workers = [
        threading.Thread(target=copy_context().run, args=(run, number), name=f"dreamlake-crew-{number}", daemon=True)
        for number in range(count)
    ]
    try:
        for worker in workers:
            worker.start()
        for end in ended:
            end.wait()
    except BaseException:
        stop()
        deadline = time.monotonic() + patience
        for worker, end in zip(workers, ended, strict=True):
            if worker.ident is not None:
                end.wait(max(0.0, deadline - time.monotonic()))
        finish()
        raise
    finish()
    if failures:
        raise failures[0]


class Background:
    """Calls a function beside its caller, some time after it was asked for, and never twice at once.

    What was asked for is done: when the interpreter ends, it is done then. A forked child leaves it to its parent.

    Args:
        fn: What to call. It raises nothing, and bears that the end of the interpreter calls it while it runs.
        seconds: How long it may take until it is called.
    """

    def __init__(self, fn: Callable[[], None], seconds: float) -> None:
        self._fn = fn
        self._seconds = seconds
        self._now: threading.Event | None = None  # of the call that has not begun

    def ask(self, *, now: bool = False) -> None:
        """Have it called: within the time that was said, or at once; and once more when it runs already."""
        with _asked_lock:
            event = self._now
            if event is None:
                event = self._now = threading.Event()
                begun = self not in _asked
                _asked[self] = event
                if begun:
                    # Anew, so that it comes before the end of a lake that was opened meanwhile.
                    atexit.unregister(_finish)
                    atexit.register(_finish)
                    context = copy_context()
                    run = partial(context.run, self._run)
                    threading.Thread(target=run, name="dreamlake-background", daemon=True).start()
        if now:
            event.set()

    def _run(self) -> None:
        while True:
            with _asked_lock:
                event = self._now
                if event is None:
                    del _asked[self]
                    return
            event.wait(self._seconds)
            with _asked_lock:
                self._now = None  # whoever asks from here on wants another call
            try:
                self._fn()
            except BaseException:
                with _asked_lock:
                    del _asked[self]
                raise


_asked: dict[Background, threading.Event] = {}
_asked_lock = threading.Lock()


def _finish() -> None:
    """Make the calls that are still to be made: threads end with the interpreter."""
    for one in list(_asked):
        one._fn()


def _start_anew() -> None:
    """A forked child leaves to its parent what was asked for there."""
    global _asked_lock
    _asked_lock = threading.Lock()
    for one in _asked:
        one._now = None  # or nobody would begin what is asked for here
    _asked.clear()


os.register_at_fork(after_in_child=_start_anew)
