"""Keys that wait to be looked at: each at most once in line, and never by two workers at a time."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from sluice.clock import Clock

K = TypeVar("K", bound=Hashable)

_FOREVER = 3600.0
_COMPACT_ABOVE = 64


class WorkQueue(Generic[K]):
    """A de-duplicating queue with delays and per-key backoff; safe to share between threads.

    A worker does ``key = get()``, works, and always ends with ``done(key)``; in between, `add` of
    that key is remembered and puts it back in line at `done`. After a failure it calls
    ``retry(key)``, after a success ``forget(key)``.

    Backoff: ``base * 2**failures`` seconds, at most `cap`; with `rng`, up to a fifth less, so that
    keys that failed together do not come back together.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        base: float = 0.1,
        cap: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._base = base
        self._cap = cap
        self._rng = rng
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ready: dict[K, float] = {}  # key -> since when (monotonic); oldest first
        self._busy: dict[K, float | None] = {}  # key -> since when it is wanted again
        self._due: dict[K, float] = {}  # key -> when its delay ends (monotonic)
        self._heap: list[tuple[float, int, K]] = []  # may hold superseded delays
        self._order = itertools.count()
        self._failures: dict[K, int] = {}
        self._closed = False

    def add(self, key: K) -> None:
        """Put `key` in line, if it is not there. Ignored after `shutdown`."""
        with self._lock:
            self._add(key, self._clock.monotonic())
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Put `key` in line in `seconds`; of several delays of a key the shortest holds."""
        with self._lock:
            now = self._clock.monotonic()
            if seconds <= 0:
                self._add(key, now)
            else:
                self._delay(key, now + seconds)
            self._wake.set()

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """Count a failure of `key` and add it after its backoff; returns that delay in seconds.

        `at_least`: what the server asked for (Retry-After).
        """
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            jitter = 1.0 - 0.2 * self._rng.random() if self._rng else 1.0
            # 2**30 is beyond any cap; the exponent must not grow without bound.
            delay = max(min(self._base * 2.0 ** min(failures, 30), self._cap) * jitter, at_least)
            self._delay(key, self._clock.monotonic() + delay)
            self._wake.set()
            return delay

    def forget(self, key: K) -> None:
        """Start the backoff of `key` anew."""
        with self._lock:
            self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Failures of `key` in a row."""
        with self._lock:
            return self._failures.get(key, 0)

    def get(self, timeout: float | None = None) -> K | None:
        """The next key, now in the caller's hands. None: `timeout` seconds passed, or shut down."""
        with self._lock:
            deadline = self._clock.monotonic() + (_FOREVER if timeout is None else timeout)
        while True:
            with self._lock:
                now = self._clock.monotonic()
                self._ripen(now)
                if self._closed:
                    return None
                if self._ready:
                    return self._take()
                if now >= deadline:
                    if timeout is not None:
                        return None
                    deadline = now + _FOREVER
                # Cleared only by one who goes to sleep knowing all there is to wait for.
                self._wake.clear()
                until = min(deadline, self._heap[0][0]) if self._heap else deadline
            self._clock.wait(self._wake, until - now)

    def done(self, key: K) -> None:
        """The caller has finished with `key`."""
        with self._lock:
            wanted = self._busy.pop(key, None)
            if wanted is not None:
                self._add(key, wanted)
                self._wake.set()

    def shutdown(self) -> None:
        """Every `get`, waiting or to come, returns None; adds are ignored."""
        with self._lock:
            self._closed = True
            self._ready.clear()
            self._due.clear()
            self._heap.clear()
            self._busy = dict.fromkeys(self._busy)
            self._wake.set()

    @property
    def closed(self) -> bool:
        """`shutdown` was called."""
        with self._lock:
            return self._closed

    @property
    def depth(self) -> int:
        """Keys in line now."""
        with self._lock:
            self._ripen(self._clock.monotonic())
            return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys whose delay has not ended."""
        with self._lock:
            self._ripen(self._clock.monotonic())
            return len(self._due)

    @property
    def in_flight(self) -> int:
        """Keys in workers' hands."""
        with self._lock:
            return len(self._busy)

    @property
    def longest_wait(self) -> float:
        """Seconds the first key has been in line; 0 when there is none."""
        with self._lock:
            now = self._clock.monotonic()
            self._ripen(now)
            return now - next(iter(self._ready.values()), now)

    # --- with the lock held

    def _add(self, key: K, since: float) -> None:
        if self._closed:
            return
        if key in self._busy:
            if self._busy[key] is None:
                self._busy[key] = since
        elif key not in self._ready:
            self._ready[key] = since

    def _delay(self, key: K, due: float) -> None:
        if self._closed or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        if len(self._heap) > 2 * len(self._due) + _COMPACT_ABOVE:
            self._heap = [(when, next(self._order), one) for one, when in self._due.items()]
            heapq.heapify(self._heap)

    def _ripen(self, now: float) -> None:
        while self._heap and (
            self._heap[0][0] <= now or self._due.get(self._heap[0][2]) != self._heap[0][0]
        ):
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._add(key, due)

    def _take(self) -> K:
        key = next(iter(self._ready))
        del self._ready[key]
        self._busy[key] = None
        if self._ready or self._heap:
            self._wake.set()  # another worker must take over the watch for what is left
        return key
