"""What predictors did before: requests and failures by moment, from one range query.

It tells how bunched a stable's failures are (`sluice.evidence.spread`); nothing of it is evidence.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Protocol

import numpy as np

from sluice.metrics.dialects import Dialect, Outcome, Target, codes_of
from sluice.metrics.source import FIRST_BIN, Floats

SECONDS = 3600.0
"""How far back is looked, for as many predictors as there usually begin at a time."""
_LEAST_SECONDS = 600.0
_USUALLY = 100  # predictors; more share the same amount of data


class RangeClient(Protocol):
    """What is needed of `PrometheusClient`."""

    def matrix(
        self, promql: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]: ...


def read_history(
    client: RangeClient, dialect: Dialect, targets: Collection[Target], end: float, step: float
) -> dict[Target, Floats]:
    """Requests and failed requests of every `step` seconds before Unix time `end`, oldest first.

    Arrays of shape (T, 2), one T for all; a predictor without any request is left out. One query.
    Raises MetricsError.
    """
    seconds = max(_LEAST_SECONDS, SECONDS * min(1.0, _USUALLY / max(len(targets), 1)))
    moments = int(seconds / step) + 1
    start = end - (moments - 1) * step
    pods: dict[tuple[Target, str], tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]] = {}
    find = dialect.finder(targets)
    for element in client.matrix(dialect.counts(targets), start, end, step):
        labels = element["metric"]
        target = find(labels)
        if target is None:
            continue
        key = (target, labels.get(dialect.pod_label, ""))
        if key not in pods:
            pods[key] = np.zeros((moments, FIRST_BIN)), np.zeros(moments, dtype=np.bool_)
        counted, seen = pods[key]
        outcome = dialect.outcome(codes_of(dialect, labels))
        for time, text in element["values"]:
            at, value = round((float(time) - start) / step), float(text)
            if 0 <= at < moments and math.isfinite(value):
                counted[at, outcome] += value
                seen[at] = True
    found: dict[Target, Floats] = {}
    for (target, _), (counted, seen) in pods.items():
        growth = growth_between(counted, seen)
        failed = growth[:, Outcome.FAILED]
        both = np.stack([growth[:, Outcome.GOOD] + failed, failed], axis=1)
        found[target] = found[target] + both if target in found else both
    return found


def growth_between(counted: Floats, seen: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats:
    """What was added between moments at which the pod was seen; a counter that fell began anew."""
    growth = np.diff(counted, axis=0)
    fell = (growth < 0).any(axis=1)
    growth[fell] = counted[1:][fell]
    growth[~(seen[1:] & seen[:-1])] = 0.0
    return growth
