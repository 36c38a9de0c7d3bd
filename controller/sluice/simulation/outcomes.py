"""From runs to the figures of a scenario."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sluice.simulation.bounds import Bound
from sluice.simulation.cohort import Ended
from sluice.simulation.scenario import Scenario, Truth

_Z = 1.959963984540054  # two-sided 95%


def wilson(events: int, runs: int) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson 1927)."""
    p, scale = events / runs, 1.0 + _Z * _Z / runs
    middle = (p + _Z * _Z / (2.0 * runs)) / scale
    swing = _Z * math.sqrt(p * (1.0 - p) / runs + _Z * _Z / (4.0 * runs * runs)) / scale
    low = 0.0 if events == 0 else max(0.0, middle - swing)
    high = 1.0 if events == runs else min(1.0, middle + swing)
    return low, high


def summary(scenario: Scenario, parts: Sequence[Ended], limit: Bound | None) -> dict[str, Any]:
    """The JSON of one scenario; docs/simulate.md says what each field means."""
    promoted = np.concatenate([part.promoted for part in parts])
    rolled_back = np.concatenate([part.rolled_back for part in parts])
    seconds = np.concatenate([part.seconds for part in parts])
    requests = np.concatenate([part.requests for part in parts])
    bad = np.concatenate([part.bad for part in parts])
    runs = len(promoted)
    # The limit is of the right answer: of harm for what is harmful, of Pass for what is healthy.
    right = rolled_back if scenario.truth is Truth.HARMFUL else promoted
    median = _at(requests[right], 50)
    bound = None if limit is None else round(limit.requests, 1)
    return {
        "name": scenario.name,
        "truth": scenario.truth.value,
        "runs": runs,
        "promoted": _rate(int(promoted.sum()), runs),
        "rolledBack": _rate(int(rolled_back.sum()), runs),
        "undecided": _rate(int(runs - promoted.sum() - rolled_back.sum()), runs),
        "secondsToRollback": _spread(seconds[rolled_back]),
        "candidateRequestsToRollback": _spread(requests[rolled_back]),
        "badRequestsToRollback": _spread(bad[rolled_back]),
        "secondsToPromote": _spread(seconds[promoted]),
        "limit": bound,
        "ratioToLimit": round(median / bound, 3) if bound and median is not None else None,
    }


def _rate(events: int, runs: int) -> dict[str, Any]:
    low, high = wilson(events, runs)
    return {"n": events, "rate": events / runs, "ci95": [round(low, 6), round(high, 6)]}


def _spread(values: NDArray[np.float64]) -> dict[str, float | None]:
    return {"p50": _at(values, 50), "p95": _at(values, 95)}


def _at(values: NDArray[np.float64], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 1) if len(values) else None
