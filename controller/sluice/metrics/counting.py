"""From counters that restart, come and go, to what was added. One predictor's pods at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sluice.metrics.source import Floats, Reading

_NEVER = -math.inf


@dataclass
class _Pod:
    last: Floats
    scraped_at: float
    released_at: float = _NEVER
    """Scrape time at the last release."""
    starts_at: float = _NEVER
    """Its first scrape from this time on becomes its baseline; nothing before it counts."""
    excused: bool = False
    """It was waited for in vain: not again until it is scraped."""
    live: bool = True


@dataclass
class Side:
    """The counters of one predictor, `columns` wide, and what they grew by since `take`.

    Pods are remembered for as long as the side is: one that comes back is no new pod.
    """

    columns: int
    pending: Floats = field(init=False)
    ever_seen: bool = False
    starts_at: float = _NEVER
    gap: float = 0.0
    """Longest time between two scrapes of a pod, of late (seconds)."""
    _pods: dict[str, _Pod] = field(default_factory=dict)
    _excused: bool = False

    def __post_init__(self) -> None:
        self.pending = np.zeros(self.columns)

    def begin(self, readings: Mapping[str, Reading]) -> None:
        """Take these as what had been counted before; pods not among them start from 0."""
        for name, reading in readings.items():
            self.ever_seen = True
            self._pods[name] = _Pod(
                reading.values,
                reading.scraped_at,
                released_at=reading.scraped_at,
                starts_at=self.starts_at,
                live=False,
            )

    def widen(self, columns: int) -> None:
        """Make room for counters that appear later; until then they stood at 0."""
        extra = np.zeros(columns - self.columns)
        self.columns = columns
        self.pending = np.concatenate([self.pending, extra])
        for pod in self._pods.values():
            pod.last = np.concatenate([pod.last, extra])

    def restart(self, at: float) -> None:
        """Forget what was counted; each pod's first scrape from `at` on is its new baseline."""
        self.pending = np.zeros(self.columns)
        self.starts_at = at
        for pod in self._pods.values():
            pod.starts_at = at

    def add(self, readings: Mapping[str, Reading]) -> None:
        """Add what a snapshot says beyond the one before."""
        for pod in self._pods.values():
            pod.live = False
        for name, reading in readings.items():
            self.ever_seen = True
            if name not in self._pods:
                self._pods[name] = self._met(reading)
            self._advance(self._pods[name], reading)

    def _met(self, reading: Reading) -> _Pod:
        """A pod that was not there at the baseline: it starts from 0, unless it comes too early."""
        if reading.scraped_at < self.starts_at:
            return _Pod(reading.values, reading.scraped_at, starts_at=self.starts_at)
        return _Pod(np.zeros(self.columns), reading.scraped_at)

    def _advance(self, pod: _Pod, reading: Reading) -> None:
        pod.live = True
        if reading.scraped_at < pod.scraped_at:
            return  # older than what is known: the clock was set back, or another replica answered
        if reading.scraped_at > pod.scraped_at:
            pod.excused = False
            self._excused = False
            self.gap = max(reading.scraped_at - pod.scraped_at, 0.9 * self.gap)
        growth = reading.values - pod.last
        if (growth < 0).any():
            # A counter never falls, so the process is a new one, and with it all its counters.
            growth = reading.values
        pod.last = reading.values
        pod.scraped_at = reading.scraped_at
        if pod.starts_at > _NEVER:
            if reading.scraped_at >= pod.starts_at:
                pod.starts_at = _NEVER
            return
        self.pending = self.pending + growth

    @property
    def live(self) -> list[float]:
        """Scrape times of the pods in the last snapshot."""
        return [pod.scraped_at for pod in self._pods.values() if pod.live]

    @property
    def fresh(self) -> bool:
        """Whether each live pod was scraped since the last release, so that all is counted."""
        live = [pod for pod in self._pods.values() if pod.live]
        if not live:
            # A side without any request yet holds nothing up; one that has vanished does.
            return self._excused or not self.ever_seen
        return all(pod.excused or pod.scraped_at > pod.released_at for pod in live)

    def take(self) -> Floats:
        """What was added since the last time. Shape (columns,)."""
        taken, self.pending = self.pending, np.zeros(self.columns)
        live = False
        for pod in self._pods.values():
            live = live or pod.live
            pod.excused = pod.live and pod.scraped_at <= pod.released_at
            pod.released_at = pod.scraped_at
        self._excused = not live
        return taken
