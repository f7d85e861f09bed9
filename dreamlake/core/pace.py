"""How fast a pool of requests goes, and when it had better stop. Values only: callers bring the clock.

The limit follows additive increase and multiplicative decrease, as congestion control has it (RFC 5681, 3.1): each 429
takes a quarter of it, and every 25 successes give one back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Breaker", "Pace", "Window"]

CUT = 0.75
SUCCESSES = 25
LONGEST_HOLD = 120.0


@dataclass
class Pace:
    """How many requests may be under way at once.

    Attributes:
        ceiling: the most that there may ever be.
        limit: how many there may be now; a fraction counts when it has become a whole.
        running: how many there are.
        held_until: before this time none may begin, because the engine asked for it.
    """

    ceiling: int
    limit: float = 0.0
    running: int = 0
    held_until: float = float("-inf")
    _successes: int = 0

    def __post_init__(self) -> None:
        self.limit = float(self.ceiling)

    @property
    def full(self) -> bool:
        """Whether another request has to wait until one of those under way has ended."""
        return self.running >= int(self.limit)

    def wait(self, now: float) -> float:
        """Seconds for which none may begin."""
        return max(0.0, self.held_until - now)

    def hold(self, now: float, seconds: float) -> None:
        """The engine asks for a pause, of no longer than 120 s."""
        self.held_until = max(self.held_until, now + min(seconds, LONGEST_HOLD))

    def refused(self) -> None:
        """A request was one too many (429)."""
        self.limit = max(1.0, self.limit * CUT)
        self._successes = 0

    def succeeded(self) -> None:
        """A request was answered."""
        self._successes += 1
        if self._successes >= SUCCESSES:
            self._successes = 0
            self.limit = min(float(self.ceiling), int(self.limit) + 1.0)


@dataclass
class Breaker:
    """Whether so many rows fail that going on would be waste.

    It breaks when half of all rows failed, of ten at least; and, however many had gone well before, when the engine
    failed half of the last fifty.
    """

    done: int = 0
    failed: int = 0
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=50))

    def note(self, *, ok: bool, engine: bool = False) -> None:
        """A row has ended.

        Args:
            ok: with a rollout.
            engine: without one, and because the engine failed, not the row.
        """
        self.done += 1
        self.failed += not ok
        self._recent.append(engine and not ok)

    @property
    def broken(self) -> bool:
        """Whether to stop."""
        most = self.done >= 10 and self.failed * 2 >= self.done
        return most or (len(self._recent) == self._recent.maxlen and sum(self._recent) * 2 >= len(self._recent))


@dataclass
class Window:
    """At most so many events within so many seconds, whichever seconds these are.

    Attributes:
        most: events.
        seconds: the length of the window.
        times: of the latest events, oldest first.
    """

    most: int
    seconds: float
    times: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until there may be another event."""
        while self.times and self.times[0] <= now - self.seconds:
            self.times.popleft()
        return 0.0 if len(self.times) < self.most else self.times[-self.most] + self.seconds - now

    def note(self, now: float) -> None:
        """There was one."""
        self.times.append(now)
