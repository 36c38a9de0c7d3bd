"""A uniform sample of a stream whose length nobody knows, bounded in number and in bytes.

Each request draws a number from [0, 1); those with the smallest are kept (bottom-k sampling: Cohen
and Kaplan, Summarizing data using bottom-k sketches, 2007). So whether a request is kept is known
before it is read, and any part of the sample in the order of these numbers is a sample as well.
"""

from __future__ import annotations

import heapq
from random import Random

MOST_BYTES = 32 * 1024 * 1024
"""Half of what a preflight reads of a file (`compare.lines`)."""


class Sample:
    """At most `keep` requests and `most_bytes` of them together. Not safe between threads.

    Where the bytes are what is short, those that go are drawn by lot as well, whatever their size.
    """

    def __init__(self, keep: int, most_bytes: int, rng: Random) -> None:
        self._keep, self._most_bytes, self._rng = keep, most_bytes, rng
        self._heap: list[tuple[float, bytes]] = []  # of -drawn: the first is the next to go
        # What has gone once does not come in again, or late requests would have better odds.
        self._below = 1.0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._heap)

    def draw(self) -> float | None:
        """The next request's number; None where it is not kept, and need not be looked at."""
        drawn = self._rng.random()
        if drawn >= self._below:
            return None
        if len(self._heap) >= self._keep and drawn >= -self._heap[0][0]:
            return None
        return drawn

    def add(self, drawn: float, body: bytes) -> bool:
        """Keep it. False where there was no place for it after all."""
        heapq.heappush(self._heap, (-drawn, body))
        self.bytes += len(body)
        while len(self._heap) > self._keep or self.bytes > self._most_bytes:
            negative, gone = heapq.heappop(self._heap)
            self.bytes -= len(gone)
            self._below = min(self._below, -negative)
        return drawn < self._below

    def bodies(self) -> list[bytes]:
        """The sample in its random order; the first n of it are a sample of n."""
        return [body for _, body in sorted(self._heap, reverse=True)]
