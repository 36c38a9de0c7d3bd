"""Keys that wait for a pass: each at most once, a failed one again after a growing pause."""

from __future__ import annotations

import threading

from sluice.clock import Clock

from .mirror import Key

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 20.0


class Work:
    """A set of keys with a time each. `next` blocks until one is due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Wants a pass over `key` in `after` seconds, or earlier if one is wanted already."""
        due = self._clock.monotonic() + after
        with self._changed:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify()

    def again(self, key: Key) -> None:
        """Wants another try after a failure: 20 ms, doubling up to 20 s."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add(key, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures, 16)))

    def succeeded(self, key: Key) -> None:
        self._failures.pop(key, None)

    def next(self) -> Key | None:
        """The key that has been due longest; None once closed."""
        with self._changed:
            while not self._closed:
                now = self._clock.monotonic()
                if self._due:
                    key = min(self._due, key=lambda each: self._due[each])
                    if self._due[key] <= now:
                        del self._due[key]
                        return key
                    self._changed.wait(self._due[key] - now)
                else:
                    self._changed.wait()
            return None

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
