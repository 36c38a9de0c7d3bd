"""Requests, failures and latency buckets of many runs of one cell."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.judgement.cells import MEDIAN, MINUTES, SCRAPE, SIGMA, Cell
from sluice.evidence import EDGES

SCRAPES = int(MINUTES * 60 / SCRAPE)
CANDIDATE, STABLE = 0, 1
N, K, ABOVE = 0, 1, 2
"""Columns of the counts: requests, failures, slower than EDGES[0], EDGES[1], ..."""

Counts = NDArray[np.int32]
FloatArray = NDArray[np.float64]


def above_shares(factor: float = 1.0, tail: float = 0.0) -> FloatArray:
    """Shape (len(EDGES),): the share of requests slower than each edge."""

    def slower(by: float) -> FloatArray:
        z = [math.log(edge / (MEDIAN * by)) / SIGMA for edge in EDGES]
        return np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in z])

    mixed: FloatArray = (1 - tail) * slower(factor) + tail * slower(10 * factor)
    return mixed


def simulate(cell: Cell, runs: int, seed: int, share: float | FloatArray = 0.2) -> Counts:
    """Shape (SCRAPES, runs, 2 sides, 2 + edges), what happened between two scrapes.

    `share` is the candidate's part of the requests, one number or one per scrape.
    """
    rng = np.random.default_rng([seed, sum(map(ord, cell.name))])
    shares = np.broadcast_to(np.asarray(share, dtype=np.float64), (SCRAPES,))
    counts = np.zeros((SCRAPES, runs, 2, 2 + len(EDGES)), dtype=np.int32)
    for scrape in range(SCRAPES):
        middle = (scrape + 0.5) * SCRAPE
        total = rng.poisson(cell.rps(middle) * SCRAPE, runs)
        of_candidate = rng.binomial(total, shares[scrape])
        rate = cell.errors(middle)
        for side, n in ((CANDIDATE, of_candidate), (STABLE, total - of_candidate)):
            mine = side == CANDIDATE
            p = min(rate * cell.times_errors(middle), 1.0) if mine else rate
            factor = cell.times_latency(middle) if mine else 1.0
            out = counts[scrape, :, side]
            out[:, N] = n
            out[:, K] = _failures(rng, n, p, cell.fano)
            out[:, ABOVE:] = _slow(rng, n, above_shares(factor, cell.tail if mine else 0.0))
    return counts


def past(cell: Cell, counts: Counts) -> NDArray[np.int64]:
    """The stable's hour before these runs: shape (SCRAPES, runs, 2), requests and failures.

    As the cell begins. Drawn apart from the runs, but as repeatable as they are.
    """
    rng = np.random.default_rng([int(counts[0].sum()), sum(map(ord, cell.name))])
    n = rng.poisson(cell.rps(0.0) * SCRAPE, (SCRAPES, counts.shape[1]))
    k = _failures(rng, n, cell.errors(0.0), cell.fano)
    return np.stack([n, k], axis=2)


def _failures(
    rng: np.random.Generator, n: NDArray[np.int64], p: float, fano: float
) -> NDArray[np.int64]:
    if fano <= 1.0:
        return rng.binomial(n, p)
    # A gamma rate makes the counts negative binomial with mean n p and variance fano n p.
    spread = fano - 1.0
    mean = rng.gamma(np.maximum(n * p / spread, 1e-12), spread)
    failed: NDArray[np.int64] = np.minimum(rng.poisson(mean), n)
    return failed


def _slow(rng: np.random.Generator, n: NDArray[np.int64], shares: FloatArray) -> NDArray[np.int64]:
    buckets = -np.diff(np.concatenate([[1.0], shares, [0.0]]))
    drawn = rng.multinomial(n, buckets / buckets.sum())
    slower: NDArray[np.int64] = n[:, None] - np.cumsum(drawn[:, :-1], axis=1)
    return slower
