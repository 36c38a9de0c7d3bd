"""The rules of other tools over the counts of one cell, from their documentation.

Every rule gets the counts of all runs and answers with `Decisions`. A rule without a criterion for
promotion promotes when the time is over. Window k ends at scrape k * per; windows that touch the
metrics outage have no data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judgement.cells import SCRAPE, Cell
from bench.judgement.decisions import PROMOTED, ROLLED_BACK, Decisions
from bench.judgement.traffic import ABOVE, CANDIDATE, STABLE, Counts, K, N
from sluice.evidence import EDGES

FloatArray = NDArray[np.float64]
Rule = Callable[[Cell, Counts], Decisions]
MINUTE = round(60 / SCRAPE)
SLOW = EDGES.index(0.25)


def blind(cell: Cell, end: int, per: int) -> bool:
    """No metrics at the end of this window."""
    if cell.outage is None:
        return False
    start, stop = (minute * MINUTE for minute in cell.outage)
    return start < end <= stop and end - per < stop


def quantile(side: FloatArray, q: float) -> FloatArray:
    """Prometheus's histogram_quantile, linear inside a bucket: (..., 2 + edges) -> (...)."""
    n = side[..., N]
    edges = np.array([0.0, *EDGES])
    below = np.concatenate([np.zeros((*n.shape, 1)), n[..., None] - side[..., ABOVE:]], axis=-1)
    rank = (q * n)[..., None]
    index = np.minimum((below < rank).sum(axis=-1), len(EDGES))
    upper = np.take_along_axis(below, index[..., None], -1)[..., 0]
    lower = np.take_along_axis(below, index[..., None] - 1, -1)[..., 0]
    part = np.clip((q * n - lower) / np.maximum(upper - lower, 1e-9), 0, 1)
    seconds: FloatArray = edges[index - 1] + part * (edges[index] - edges[index - 1])
    return seconds


@dataclass(frozen=True)
class Thresholds:
    """Argo Rollouts and Flagger: look at the candidate's window, count the failed looks.

    `limit`: this many failed looks are allowed. `empty_fails`: no data is a failed look (Flagger:
    advancement halts and the failed checks count up); else an error, and `errors` of them in a row
    abort (Argo Rollouts: consecutiveErrorLimit 4). `p99` in seconds; None: not looked at.
    """

    minutes: int
    success: float
    limit: int
    p99: float | None = None
    empty_fails: bool = False
    errors: int = 4

    def __call__(self, cell: Cell, counts: Counts) -> Decisions:
        """See the module."""
        runs = counts.shape[1]
        decisions = Decisions.none(runs)
        failed, unknown = np.zeros(runs), np.zeros(runs)
        per = self.minutes * MINUTE
        for end in range(per, len(counts) + 1, per):
            side = counts[end - per : end, :, CANDIDATE].sum(axis=0).astype(np.float64)
            empty = side[:, N] == 0
            if blind(cell, end, per):
                empty[:] = True
            bad = (side[:, N] - side[:, K]) < self.success * side[:, N]
            if self.p99 is not None:
                bad |= quantile(side, 0.99) > self.p99
            failed += (bad & ~empty) | (empty & self.empty_fails)
            unknown = np.where(empty & (not self.empty_fails), unknown + 1, 0)
            decisions.decide((failed > self.limit) | (unknown > self.errors), ROLLED_BACK, end)
        decisions.decide(decisions.open, PROMOTED, len(counts))
        return decisions


@dataclass(frozen=True)
class Kayenta:
    """Mann-Whitney on one-minute aggregates, everything so far, every `interval` minutes.

    High: the lower end of the 98% interval of the shift exceeds a quarter of the Hodges-Lehmann
    estimate, and the means grew. Two groups (failures, p99) of equal weight, so one High metric
    scores 50: below the marginal 75, rolled back.
    """

    interval: int
    z: float = 2.3263

    def __call__(self, cell: Cell, counts: Counts) -> Decisions:
        """See the module."""
        runs = counts.shape[1]
        decisions = Decisions.none(runs)
        shape = (len(counts) // MINUTE, MINUTE, *counts.shape[1:])
        minutes = counts.reshape(shape).sum(axis=1).astype(np.float64)
        seen = [m for m in range(len(minutes)) if not blind(cell, (m + 1) * MINUTE, MINUTE)]
        for end in range(self.interval, len(minutes) + 1, self.interval):
            part = minutes[[m for m in seen if m < end]]
            if not len(part):
                continue
            rates = part[..., K] / np.maximum(part[..., N], 1)
            high = self._high(rates) | self._high(quantile(part, 0.99))
            decisions.decide(high, ROLLED_BACK, end * MINUTE)
        decisions.decide(decisions.open, PROMOTED, len(counts))
        return decisions

    def _high(self, values: FloatArray) -> NDArray[np.bool_]:
        """`values` of shape (minutes, runs, 2 sides)."""
        candidate, stable = values[:, :, CANDIDATE].T, values[:, :, STABLE].T
        m = candidate.shape[1]
        shifts = np.sort((candidate[:, :, None] - stable[:, None, :]).reshape(len(candidate), -1))
        estimate = np.median(shifts, axis=1)
        spread = self.z * math.sqrt(m * m * (2 * m + 1) / 12)
        lower = shifts[:, max(math.floor(m * m / 2 - spread), 0)]
        grew = candidate.mean(axis=1) >= stable.mean(axis=1)
        high: NDArray[np.bool_] = (lower > 0.25 * np.abs(estimate)) & grew & (lower > 0)
        return high


@dataclass(frozen=True)
class SafeRollout:
    """GrowthBook: one-sided asymptotic confidence sequence of a difference of means, per minute.

    Guardrails: failures and mean latency (from the buckets' geometric middles). The sequence of
    Waudby-Smith et al., tightest at 5,000 units (the documented tuning parameter).
    """

    alpha: float = 0.05
    tuned: float = 5000.0
    skipped: int = 0  # scrapes at the beginning that do not count: a warm-up, which it has not

    def __call__(self, cell: Cell, counts: Counts) -> Decisions:
        """See the module."""
        decisions = Decisions.none(counts.shape[1])
        total = np.zeros(counts.shape[1:])
        for end in range(MINUTE, len(counts) + 1, MINUTE):
            total += counts[max(end - MINUTE, self.skipped) : end].sum(axis=0)
            if blind(cell, end, MINUTE):
                continue
            n = np.maximum(total[:, :, N], 1e-9)
            rate = total[:, :, K] / n
            failing = self._worse(n, rate, rate * (1 - rate))
            slow = self._worse(n, *_latency(total))
            decisions.decide(failing | slow, ROLLED_BACK, end)
        decisions.decide(decisions.open, PROMOTED, len(counts))
        return decisions

    def _worse(self, n: FloatArray, mean: FloatArray, variance: FloatArray) -> NDArray[np.bool_]:
        both = n.sum(axis=1)
        log_a = -2 * math.log(2 * self.alpha)
        rho2 = (log_a + math.log(log_a + 1)) / self.tuned
        spread = both * (variance / n).sum(axis=1)
        grown = both * rho2 + 1
        width = np.sqrt(
            2 * grown / (both**2 * rho2) * np.log1p(np.sqrt(grown) / (2 * self.alpha)) * spread
        )
        able = (n >= 1).all(axis=1) & (variance > 0).all(axis=1)
        worse: NDArray[np.bool_] = able & (mean[:, CANDIDATE] - mean[:, STABLE] > width)
        return worse


def _latency(total: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the latency, seconds, shape (runs, 2)."""
    edges = np.array([EDGES[0] / 2, *EDGES, EDGES[-1] * 2])
    middles = np.sqrt(edges[1:] * edges[:-1])
    above = np.concatenate(
        [total[:, :, N : N + 1], total[:, :, ABOVE:], np.zeros((*total.shape[:2], 1))], axis=2
    )
    shares = -np.diff(above, axis=2) / np.maximum(total[:, :, N : N + 1], 1e-9)
    mean = shares @ middles
    return mean, np.maximum(shares @ middles**2 - mean**2, 0)


@dataclass(frozen=True)
class Iter8:
    """Beta(.1 + k, .1 + n - k) per version; the winner is best with P > .99, looked at per minute.

    The stable wins (rollback) on failures or on requests slower than 250 ms; the candidate
    (promotion) on failures. No winner: undecided.
    """

    certain: float = 0.99

    def __call__(self, cell: Cell, counts: Counts) -> Decisions:
        """See the module."""
        decisions = Decisions.none(counts.shape[1])
        total = np.zeros(counts.shape[1:])
        for end in range(MINUTE, len(counts) + 1, MINUTE):
            total += counts[end - MINUTE : end].sum(axis=0)
            if blind(cell, end, MINUTE):
                continue
            live = np.flatnonzero(decisions.open)
            if not len(live):
                break
            failing = _probably_greater(total[live, :, K], total[live, :, N])
            slow = _probably_greater(total[live, :, ABOVE + SLOW], total[live, :, N])
            worse, better = np.zeros((2, counts.shape[1]), dtype=np.bool_)
            worse[live] = (failing > self.certain) | (slow > self.certain)
            better[live] = failing < 1 - self.certain
            decisions.decide(worse, ROLLED_BACK, end)
            decisions.decide(better, PROMOTED, end)
        return decisions


# Fine where rates lie, coarse down to where a posterior without any event still has mass.
_LOG_P = np.concatenate(
    [np.linspace(-92.0, -11.5, 60, endpoint=False), np.linspace(-11.5, -1e-4, 360)]
)


def _probably_greater(k: FloatArray, n: FloatArray) -> FloatArray:
    """P(rate of the candidate > rate of the stable), shape (runs,), by sums over a grid."""
    width = np.gradient(_LOG_P)
    density = (0.1 + k)[:, :, None] * _LOG_P + (0.1 + n - k - 1)[:, :, None] * np.log1p(
        -np.exp(_LOG_P)
    )
    density = np.exp(density - density.max(axis=2, keepdims=True)) * width
    density /= density.sum(axis=2, keepdims=True)
    below = np.cumsum(density[:, STABLE], axis=1) - 0.5 * density[:, STABLE]
    greater: FloatArray = (density[:, CANDIDATE] * below).sum(axis=1)
    return greater


PEERS: dict[str, Rule] = {
    "Argo Rollouts, documented": Thresholds(5, 0.95, 3),
    "Argo Rollouts, strict": Thresholds(1, 0.99, 3, p99=0.3),
    "Flagger, documented": Thresholds(1, 0.99, 9, p99=0.5, empty_fails=True),
    "Flagger, strict": Thresholds(1, 0.99, 0, p99=0.3, empty_fails=True),
    "Kayenta, every 10 min": Kayenta(10),
    "Kayenta, once an hour": Kayenta(60),
    "GrowthBook Safe Rollouts": SafeRollout(),
    "GrowthBook, alpha 1%": SafeRollout(alpha=0.01),
    "Iter8 Bayes": Iter8(),
}
