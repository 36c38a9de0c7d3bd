"""The same hours of the days before, to compare with where the world has a daily rhythm.

The first `days` days fill a profile for every hour of the day; then it is kept as it is, so that
slow drift is not learned away. A feature is not looked at in hours that have no profile yet.
"""

from __future__ import annotations

import numpy as np

from sluice.evidence.formulas import FloatArray
from sluice.evidence.slots import Rows

HOURS = 24
_HOUR = 3600.0


class Seasons:
    """Counts by hour of N rollouts, F features, K bins.

    `days`: how many days fill it. `fields` are the arrays of the state, first axis rollouts: 24
    times as much as a profile, so keep it only where it is asked for.
    """

    def __init__(self, size: int, features: int, bins: int, days: int = 3) -> None:
        if days < 1:
            raise ValueError(f"expected at least 1 day to compare with, found {days}")
        self.days = days
        self.fields = {
            "hours": np.zeros((size, HOURS, features, bins), np.float32),
            "filled": np.zeros((size, HOURS), np.float32),  # seconds
        }

    def learn(self, rows: Rows, counts: FloatArray, time: FloatArray, seconds: FloatArray) -> None:
        """Add increments (B, F, K) that began at `time` (B,), seconds since any midnight."""
        hour = (time // _HOUR).astype(np.intp) % HOURS
        room = self.fields["filled"][rows, hour] < self.days * _HOUR
        rows, hour = rows[room], hour[room]
        self.fields["hours"][rows, hour] += counts[room]
        self.fields["filled"][rows, hour] += seconds[room]

    def reference(self, rows: Rows, time: FloatArray) -> FloatArray:
        """Counts (B, F, K) to compare increments at `time` with: zero where an hour is not full.

        Between the middles of two hours both are mixed, so that no share jumps at the full hour.
        """
        place = time / _HOUR - 0.5
        first = np.floor(place)
        part = (place - first)[:, None, None]
        one, two = first.astype(np.intp) % HOURS, (first.astype(np.intp) + 1) % HOURS
        hours, filled = self.fields["hours"], self.fields["filled"]
        full = self.days * _HOUR - 1e-3
        ready = (filled[rows, one] >= full) & (filled[rows, two] >= full)
        mixed = (1.0 - part) * hours[rows, one] + part * hours[rows, two]
        out: FloatArray = np.where(ready[:, None, None], mixed, 0.0).astype(np.float64)
        return out
