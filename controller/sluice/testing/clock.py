"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading

# A waiter also looks at its event this often (real seconds): an Event set without the clock moving
# cannot notify it.
_LOOK_SECONDS = 0.002


class ManualClock:
    """A `sluice.clock.Clock` under a test's control; safe to use from several threads.

    `wait` returns when `advance` has moved the clock far enough, or its event is set.
    """

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._moved = threading.Condition()
        self._deadlines: list[float] = []

    def now(self) -> float:
        with self._moved:
            return self._now

    def monotonic(self) -> float:
        with self._moved:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and wake whoever waits for it."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance({seconds})")
        with self._moved:
            self._now += seconds
            self._monotonic += seconds
            self._moved.notify_all()

    def set_wall_time(self, now: float) -> None:
        """Step the wall clock alone, as an NTP correction does."""
        with self._moved:
            self._now = now

    @property
    def waiting(self) -> list[float]:
        """How many seconds each waiter still has to wait, shortest first.

        Those whose time has come are left out, also before their threads have noticed.
        """
        with self._moved:
            left = (deadline - self._monotonic for deadline in self._deadlines)
            return sorted(seconds for seconds in left if seconds > 0)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        with self._moved:
            deadline = self._monotonic + max(0.0, seconds)
            self._deadlines.append(deadline)
            try:
                while not event.is_set() and self._monotonic < deadline:
                    self._moved.wait(_LOOK_SECONDS)
            finally:
                self._deadlines.remove(deadline)
        return event.is_set()
