"""Time, as something that is handed in: so that a test can move it, and nothing sleeps for real."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the loops know about time. `sluice.testing.clock.ManualClock` is the one tests move."""

    def now(self) -> float:
        """Unix seconds: for timestamps that people and other machines read."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start, never set back: for durations and deadlines."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Return when `event` is set (True) or `seconds` have passed (False)."""
        ...


# Counts the time a machine was suspended, which CLOCK_MONOTONIC leaves out on Linux: a lease must
# not look valid after a nap.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.clock_gettime(_STEADY)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))
