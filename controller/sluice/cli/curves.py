"""What Prometheus counted of two predictors over a time, by the dialect's own queries."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import Dialect
from sluice.metrics.outcomes import Outcome
from sluice.metrics.queries import Target
from sluice.report.rollout import Curves

# As many points as a plot can show; each costs two queries.
POINTS = 60
LEAST_STEP_SECONDS = 5.0
_QUANTILE = 0.95
# A counter by pod and codes, or by pod and bucket edge.
Counters = Mapping[tuple[str, ...], float]


def read_curves(
    prometheus: PrometheusClient,
    dialect: Dialect,
    targets: Sequence[Target],
    began: float,
    ended: float,
) -> list[Curves]:
    """One set of curves for each target. Times are Unix seconds. Raises MetricsError."""
    step = max(LEAST_STEP_SECONDS, (ended - began) / POINTS)
    count = max(1, int((ended - began) / step))
    times = [began + step * n for n in range(count + 1)]
    readings = [_read(prometheus, dialect, targets, at) for at in times]
    return [
        _curves([reading[target] for reading in readings], dialect, times, began)
        for target in targets
    ]


def _read(
    prometheus: PrometheusClient, dialect: Dialect, targets: Sequence[Target], at: float
) -> dict[Target, tuple[Counters, Counters]]:
    counts: dict[Target, dict[tuple[str, ...], float]] = {target: {} for target in targets}
    buckets: dict[Target, dict[tuple[str, ...], float]] = {target: {} for target in targets}
    find = dialect.finder(targets)
    for store, query, names in (
        (counts, dialect.counts(targets), dialect.code_labels),
        (buckets, dialect.buckets(targets), ("le",)),
    ):
        for series in prometheus.query(query, at):
            target = find(series.labels)
            if target is not None:
                key = tuple(series.labels.get(name, "") for name in (dialect.pod_label, *names))
                store[target][key] = series.value
    return {target: (counts[target], buckets[target]) for target in targets}


def _curves(
    readings: Sequence[tuple[Counters, Counters]],
    dialect: Dialect,
    times: Sequence[float],
    began: float,
) -> Curves:
    requests, failed, tail = [], [], []
    counts, buckets = dict(readings[0][0]), dict(readings[0][1])
    for later, (start, end) in zip(readings[1:], itertools.pairwise(times), strict=True):
        grown = _growth(counts, later[0])
        by_outcome = dict.fromkeys(Outcome, 0.0)
        for (_, *codes), value in grown.items():
            by_outcome[dialect.outcome(tuple(codes))] += value
        judged = by_outcome[Outcome.GOOD] + by_outcome[Outcome.FAILED]
        requests.append(sum(by_outcome.values()) / (end - start))
        failed.append(by_outcome[Outcome.FAILED] / judged if judged else None)
        tail.append(_quantile(_growth(buckets, later[1]), dialect.edge_unit))
    seconds = [(a + b) / 2 - began for a, b in itertools.pairwise(times)]
    return Curves(seconds, requests, failed, tail)


def _growth(known: dict[tuple[str, ...], float], later: Counters) -> dict[tuple[str, ...], float]:
    """How far each counter has come since it was last seen, which `known` keeps up with.

    One that fell was restarted and counts from zero; one that misses a scrape is not taken for new
    when it comes back.
    """
    grown = {
        key: value - before if value >= (before := known.get(key, 0.0)) else value
        for key, value in later.items()
    }
    known.update(later)
    return grown


def _quantile(grown: Counters, unit: float) -> float | None:
    """The quantile by linear interpolation in its bucket, in seconds; None without requests."""
    cumulative: dict[float, float] = {}
    for (_, label), value in grown.items():
        cumulative[float(label)] = cumulative.get(float(label), 0.0) + value
    edges = sorted(cumulative)
    if not edges or cumulative[edges[-1]] <= 0:
        return None
    wanted = _QUANTILE * cumulative[edges[-1]]
    low, below = 0.0, 0.0
    for edge in edges:
        if cumulative[edge] >= wanted:
            if edge == float("inf"):
                return low * unit
            within = cumulative[edge] - below
            share = (wanted - below) / within if within > 0 else 1.0
            return (low + (edge - low) * share) * unit
        low, below = edge, cumulative[edge]
    return low * unit
