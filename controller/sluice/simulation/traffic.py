"""Requests, failures and latency buckets between two scrapes, many runs at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sluice.evidence import EDGES
from sluice.evidence.formulas import FloatArray
from sluice.simulation.scenario import Behaviour, Scenario, Side

CANDIDATE, STABLE = 0, 1
N, K, ABOVE = 0, 1, 2
"""Columns of the counts: requests, failures, slower than EDGES[0], EDGES[1], ..."""
COLUMNS = 2 + len(EDGES)

HISTORY_SECONDS = 3600.0
_MOST_HISTORY = 720

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """What is true between two scrapes, averaged over the requests in it.

    `requests` is the expected number of both sides; `failing` has shape (2,), `slower` (2, edges):
    the shares of each side's requests that fail, and that are slower than each bucket edge.
    `blind` says that the scrape at the end cannot be read.
    """

    start: float
    end: float
    requests: float
    failing: FloatArray
    slower: FloatArray
    blind: bool


def intervals(scenario: Scenario) -> list[Interval]:
    """One per scrape. An interval with an event's edge inside is the mixture of its parts."""
    step = scenario.scrape_interval
    return [_interval(scenario, i * step, (i + 1) * step) for i in range(scenario.scrapes)]


def history(rng: np.random.Generator, scenario: Scenario, runs: int) -> Ints:
    """What the stable did in the hour before: shape (T, runs, 2), requests and failures a scrape.

    As the scenario begins, but without its events; the controller reads as much from Prometheus.
    """
    quiet = scenario.model_copy(update={"events": []})
    first = _interval(quiet, 0.0, scenario.scrape_interval)
    scrapes = max(1, int(HISTORY_SECONDS / scenario.scrape_interval))
    n = rng.poisson(first.requests, (min(scrapes, _MOST_HISTORY), runs))
    k = _failures(rng, n, float(first.failing[STABLE]), scenario.overdispersion)
    return np.stack([n, k], axis=2)


def parts(scenario: Scenario, start: float, end: float) -> list[tuple[float, float]]:
    """The times between two scrapes in which nothing changes: when each begins, its requests."""
    moments = {load.at for load in scenario.requests_per_second}
    for event in scenario.events:
        moments |= {event.start, event.to}
    cuts = [start, *sorted(m for m in moments if start < m < end), end]
    return [
        (begin, max(_rate(scenario, begin) * (finish - begin), 1e-300))
        for begin, finish in pairwise(cuts)
    ]


def _interval(scenario: Scenario, start: float, end: float) -> Interval:
    failing = np.zeros(2)
    slower = np.zeros((2, len(EDGES)))
    total = 0.0
    for begin, weight in parts(scenario, start, end):
        total += weight
        for row, side in ((CANDIDATE, Side.CANDIDATE), (STABLE, Side.STABLE)):
            failing[row] += weight * _failing(scenario, side, begin)
            slower[row] += weight * _slower(scenario, side, begin)
    return Interval(start, end, total, failing / total, slower / total, scenario.blind(end))


def _rate(scenario: Scenario, at: float) -> float:
    return [load.value for load in scenario.requests_per_second if load.at <= at][-1]


def own(scenario: Scenario, side: Side) -> Behaviour:
    """What a side does without events."""
    return scenario.candidate if side is Side.CANDIDATE else scenario.stable


def _failing(scenario: Scenario, side: Side, at: float) -> float:
    rate = own(scenario, side).error_rate
    for event in scenario.events:
        if event.concerns(side) and event.start <= at < event.to and event.error_rate is not None:
            rate = event.error_rate
    return rate


def _slower(scenario: Scenario, side: Side, at: float) -> FloatArray:
    latency = own(scenario, side).latency
    median = latency.median
    for event in scenario.events:
        if event.concerns(side) and event.start <= at < event.to:
            median *= event.latency_factor or 1.0
    scale = latency.sigma * math.sqrt(2.0)
    return np.array([0.5 * math.erfc(math.log(edge / median) / scale) for edge in EDGES])


def draw(
    rng: np.random.Generator, interval: Interval, share: FloatArray, overdispersion: float
) -> Ints:
    """Counts of shape (runs, 2 sides, COLUMNS); `share` (runs,) is the candidate's, 0 to 1.

    Requests come as a Poisson process and the gateway sends each by its weights, so the two sides
    are independent Poisson counts. Buckets are drawn exactly, from the multinomial distribution.
    """
    total = rng.poisson(interval.requests, len(share))
    of_candidate = rng.binomial(total, share)
    counts = np.empty((len(share), 2, COLUMNS), dtype=np.int64)
    for side, n in ((CANDIDATE, of_candidate), (STABLE, total - of_candidate)):
        counts[:, side, N] = n
        counts[:, side, K] = _failures(rng, n, float(interval.failing[side]), overdispersion)
        counts[:, side, ABOVE:] = _above(rng, n, interval.slower[side])
    return counts


def _failures(rng: np.random.Generator, n: Ints, rate: float, overdispersion: float) -> Ints:
    if overdispersion <= 1.0 or not 0.0 < rate < 1.0:
        return rng.binomial(n, rate)
    # Beta-binomial: the variance is n p (1 - p) (1 + (n - 1) rho). A scrape of few requests cannot
    # have more than all of them fail together.
    rho = np.clip((overdispersion - 1.0) / np.maximum(n - 1, 1), 1e-9, 1.0 - 1e-6)
    strength = (1.0 - rho) / rho
    return rng.binomial(n, rng.beta(rate * strength, (1.0 - rate) * strength))


def _above(rng: np.random.Generator, n: Ints, slower: FloatArray) -> Ints:
    buckets = np.maximum(-np.diff(np.concatenate([[1.0], slower, [0.0]])), 0.0)
    drawn = rng.multinomial(n, buckets / buckets.sum())
    above: Ints = n[:, None] - np.cumsum(drawn[:, :-1], axis=1)
    return above
