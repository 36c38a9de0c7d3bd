"""When the next request may leave, and whether the target is there: shared by all senders."""

from __future__ import annotations

import threading

from sluice.clock import Clock
from sluice.errors import SluiceError


class StoppedError(SluiceError):
    """The run is ending; what was being sent stays undone, and is done by the next run."""


class OutageError(SluiceError):
    """The target gave no usable answer to anyone for too long."""


class Pace:
    """At most `rate` requests a second (None: no limit), none before a time the server named."""

    def __init__(self, clock: Clock, rate: float | None, stop: threading.Event) -> None:
        self._clock = clock
        self._gap = 1.0 / rate if rate else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0

    def take(self) -> None:
        """Wait for one's turn. Raises StoppedError."""
        if self._stop.is_set():
            raise StoppedError("stopped")
        if not self._gap and not self._next:
            return
        with self._lock:
            now = self._clock.monotonic()
            mine = max(self._next, now)
            self._next = mine + self._gap if self._gap or mine > now else 0.0
        self.wait(mine - now)

    def hold(self, seconds: float) -> None:
        """Nobody sends for so long: the server is asking for it."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)

    def wait(self, seconds: float) -> None:
        """Raises StoppedError as soon as the run ends."""
        if seconds > 0 and self._clock.wait(self._stop, seconds):
            raise StoppedError("stopped")


class Weather:
    """When the target last answered. An outage is nobody's row's fault."""

    def __init__(self, clock: Clock, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._silent_since = 0.0
        self._answers = 0
        self.known: bytes | None = None
        """A request that was answered and may be sent again, to see whether the target is there."""
        self.trouble = ""
        """What goes wrong at present, "" if nothing does: for the progress line."""

    def answered(self) -> None:
        """A model answered somebody."""
        self._answers += 1
        self.trouble = ""

    @property
    def answers(self) -> int:
        """How many times a model answered so far."""
        return self._answers

    @property
    def patient(self) -> bool:
        """Whether an outage is waited for at all."""
        return self._limit > 0

    def away(self, reason: str) -> None:
        """Nobody answered this time. Raises OutageError when that has been so for too long."""
        if not self.trouble:
            self._silent_since = self._clock.monotonic()
        self.trouble = reason
        silent = self._clock.monotonic() - self._silent_since
        if self.patient and silent >= self._limit:
            raise OutageError(f"the target has not answered for {silent:.0f}s ({reason})")
