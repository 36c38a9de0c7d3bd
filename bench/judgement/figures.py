"""From decisions to figures: rates with intervals, costs, and the limits of information."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.judgement.cells import ERRORS, SCRAPE, Cell
from bench.judgement.decisions import PROMOTED, ROLLED_BACK, UNDECIDED, Decisions
from bench.judgement.ours import balanced
from bench.judgement.peers import Rule
from bench.judgement.traffic import ABOVE, CANDIDATE, SCRAPES, Counts, K, N, above_shares, simulate
from sluice.evidence import EDGES, limits

FloatArray = NDArray[np.float64]
CHUNK = 1000  # runs held in memory at once
SHARE = 0.2


@dataclass(frozen=True)
class Rate:
    """How many of how many, with the 95% Wilson interval."""

    events: int
    runs: int

    @property
    def value(self) -> float:
        """The share."""
        return self.events / self.runs

    def wilson(self, z: float = 1.959964) -> tuple[float, float]:
        """Lower and upper end (Wilson 1927)."""
        p, n = self.value, self.runs
        middle, scale = p + z * z / (2 * n), 1 + z * z / n
        swing = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - swing) / scale), min(1.0, (middle + swing) / scale)


@dataclass(frozen=True)
class Outcome:
    """One rule in one cell.

    `bad` are the candidate's bad requests until the rollback, over the whole time where there was
    none (mean and 95th percentile over all runs). Times are medians in minutes, `requests` the
    median candidate requests from the beginning of the harm until the rollback.
    """

    cell: str
    rule: str
    rolled_back: Rate
    promoted: Rate
    undecided: Rate
    bad_mean: float
    bad_p95: float
    minutes_to_rollback: float | None
    minutes_to_promote: float | None
    requests: float | None
    limit_requests: float | None


@dataclass
class _Collected:
    outcome: list[NDArray[np.int8]] = field(default_factory=list)
    at: list[NDArray[np.int32]] = field(default_factory=list)
    bad: list[FloatArray] = field(default_factory=list)
    sent: list[FloatArray] = field(default_factory=list)

    def add(self, cell: Cell, counts: Counts, decisions: Decisions) -> None:
        column = ABOVE + EDGES.index(cell.bad_edge) if cell.bad_edge else K
        runs = np.arange(counts.shape[1])
        end = np.where(decisions.outcome == ROLLED_BACK, decisions.at, len(counts)) - 1
        begin = round(cell.harm_from * 60 / SCRAPE)
        sent = np.cumsum(counts[begin:, :, CANDIDATE, N], axis=0)
        bad = np.cumsum(counts[:, :, CANDIDATE, column], axis=0)
        self.outcome.append(decisions.outcome)
        self.at.append(decisions.at)
        self.bad.append(bad[end, runs].astype(np.float64))
        late = np.maximum(end - begin, 0)
        self.sent.append(np.where(end < begin, 0, sent[late, runs]).astype(np.float64))


def measure(
    cells: Iterable[Cell],
    rules: dict[str, Rule],
    *,
    runs: int,
    seed: int,
    tell: Callable[[str], None],
    share: float | FloatArray = SHARE,
    scrapes: int = SCRAPES,
) -> list[Outcome]:
    """Every rule over the same traffic, cell by cell."""
    found = []
    for cell in cells:
        collected = {name: _Collected() for name in rules}
        for chunk in range(math.ceil(runs / CHUNK)):
            size = min(CHUNK, runs - chunk * CHUNK)
            counts = simulate(cell, size, seed + chunk, share)[:scrapes]
            for name, rule in rules.items():
                collected[name].add(cell, counts, rule(cell, counts))
        found += [_outcome(cell, name, each) for name, each in collected.items()]
        tell(cell.name)
    return found


def _outcome(cell: Cell, rule: str, collected: _Collected) -> Outcome:
    outcome, at = np.concatenate(collected.outcome), np.concatenate(collected.at)
    bad, sent = np.concatenate(collected.bad), np.concatenate(collected.sent)
    back, forth = outcome == ROLLED_BACK, outcome == PROMOTED

    def median(values: NDArray[np.float64] | NDArray[np.int32], where: NDArray[np.bool_]) -> float:
        return float(np.median(values[where]))

    return Outcome(
        cell=cell.name,
        rule=rule,
        rolled_back=Rate(int(back.sum()), len(outcome)),
        promoted=Rate(int(forth.sum()), len(outcome)),
        undecided=Rate(int((outcome == UNDECIDED).sum()), len(outcome)),
        bad_mean=float(bad.mean()),
        bad_p95=float(np.quantile(bad, 0.95)),
        minutes_to_rollback=median(at, back) * SCRAPE / 60 if back.any() else None,
        minutes_to_promote=median(at, forth) * SCRAPE / 60 if forth.any() else None,
        requests=median(sent, back) if back.any() else None,
        limit_requests=limit(cell),
    )


def limit(cell: Cell, share: float = SHARE) -> float | None:
    """Candidate requests that no test with the policy's risk can undercut on average.

    Errors: the true ratio against the acceptable one. Latency: the best single edge. None where the
    harm is none or comes and goes. The policy's whole risk is used for the one check.
    """
    policy = balanced()
    alpha = policy.risk.false_rollback
    if cell.ratio > 1:
        acceptable = _acceptable("errors")
        events = limits.events_to_harm(cell.ratio, share, acceptable=acceptable, alpha=alpha)
        return events / _events_per_candidate_request(ERRORS, cell.ratio, share)
    factor = cell.times_latency(1800.0)
    if factor == 1.0 and cell.tail == 0.0:
        return None
    stable, candidate = above_shares(), above_shares(factor, cell.tail)
    needed = []
    for rate, mine in zip(stable, candidate, strict=True):
        if rate > 1e-12 and mine > rate:
            events = limits.events_to_harm(
                mine / rate, share, acceptable=_acceptable("latency"), alpha=alpha
            )
            needed.append(events / _events_per_candidate_request(rate, mine / rate, share))
    return min(needed)


def limit_minutes(cell: Cell, rps: float = 20.0) -> float:
    """Minutes that no test can undercut until the candidate like the stable is promoted."""
    policy = balanced()
    unacceptable = next(c.compare.unacceptable_ratio for c in policy.checks if c.compare)
    beta = policy.risk.false_promotion
    events = limits.events_to_pass(cell.ratio, SHARE, unacceptable=unacceptable, beta=beta)
    return (
        limits.seconds_of(events, ratio=cell.ratio, share=SHARE, stable_rate=ERRORS, rps=rps) / 60
    )


def _acceptable(check: str) -> float:
    return next(
        c.compare.acceptable_ratio for c in balanced().checks if c.name == check and c.compare
    )


def _events_per_candidate_request(rate: float, ratio: float, share: float) -> float:
    return rate * (ratio * share + 1 - share) / share
