"""One figure, one JSON line on stdout; notes for people go to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

PULSE_SECONDS = 10.0


def cpu_target(n: int) -> float:
    """CPU seconds a minute: 4 at 500 active rollouts, 8 at 1,000."""
    return 0.008 * n


def memory_target(n: int) -> float:
    """MiB: 150 at 500, 200 at 1,000."""
    return 100 + 0.1 * n


def moved_target(n: int) -> float:
    """Seconds from the tipping scrape, all failing: one pulse and 1 / 3 / 5 s at 50 / 500 / 1,000.

    Linear between these.
    """
    more = 1 + 2 * (n - 50) / 450 if n <= 500 else 3 + 2 * (n - 500) / 500
    return PULSE_SECONDS + max(1.0, more)


FEW_TARGET = PULSE_SECONDS + 1
START_TARGET = 5.0
ACTIVE_REQUESTS_TARGET = 1.5
IDLE_REQUESTS_TARGET = 0.0
QUERIES_TARGET = 4.0  # two for each of the two metric families


@dataclass(frozen=True)
class Figure:
    """`target` is the most it may be."""

    name: str
    n: int
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.value <= self.target + 1e-9

    def line(self) -> str:
        """As JSON."""
        body: dict[str, object] = {
            "name": self.name,
            "n": self.n,
            "value": round(self.value, 3),
            "unit": self.unit,
        }
        if self.target is not None:
            body |= {"target": round(self.target, 3), "met": self.met}
        return json.dumps(body)


class Report:
    """Prints figures as they come, and keeps them for the summary."""

    def __init__(self, only: str | None) -> None:
        self.only = only
        self.figures: list[Figure] = []
        self._began = time.monotonic()

    def wants(self, *names: str) -> bool:
        """Whether any of these figures was asked for."""
        return self.only is None or any(self.only in name for name in names)

    def add(self, name: str, n: int, value: float, unit: str, target: float | None = None) -> None:
        """Print one figure, if it was asked for."""
        if self.wants(name):
            figure = Figure(name, n, value, unit, target)
            self.figures.append(figure)
            print(figure.line(), flush=True)

    def note(self, text: str) -> None:
        """For whoever watches."""
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def summary(self) -> None:
        """Which targets are not met."""
        missed = [figure for figure in self.figures if figure.met is False]
        with_target = [figure for figure in self.figures if figure.met is not None]
        self.note(f"{len(with_target) - len(missed)} of {len(with_target)} targets met")
        for figure in missed:
            self.note(
                f"NOT met: {figure.name} at {figure.n}: {figure.value:.3g} {figure.unit}, "
                f"target {figure.target:.3g}"
            )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
