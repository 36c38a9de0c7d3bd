"""The evidence of all rollouts: opened, moved on by increments, read, carried across restarts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.evidence.fleet import Fleet, shape_of
from sluice.evidence.formulas import BoolArray, FloatArray
from sluice.evidence.past import missing_requests
from sluice.evidence.spec import CheckPlan, Kind

EDGES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper edges of the Seldon executor's latency buckets, seconds."""


@dataclass(frozen=True)
class Increment:
    """What happened since the last increment, both sides over the same time.

    Requests `n` and failed requests `k` of the candidate (`_c`) and the stable (`_s`);
    `above_` of shape (len(edges),): answered requests slower than each bucket edge. Fractions are
    fine; what is negative or not a number counts as nothing, what exceeds `n` as `n`.
    `age`: seconds from the candidate's readiness to the beginning of the increment, for checks with
    a warm-up of their own.
    """

    n_c: float
    k_c: float
    n_s: float
    k_s: float
    above_c: FloatArray
    above_s: FloatArray
    age: float = math.inf


@dataclass(frozen=True)
class CheckEvidence:
    """What is known about one check.

    `log10_harm` and `log10_pass` are log10 of the evidence, to be compared with `harm_needed` and
    `pass_needed`. `candidate` and `stable` are pooled rates, for a quantile limit the interpolated
    quantile in seconds, for a latency comparison the share slower than `worst_edge` (seconds; `k_`
    are then those requests). `harmed` stays once it is true, `passed` says what holds now.
    `requests_left` estimates the candidate requests until Pass at the rates so far; None: never, or
    not before a billion. `passable` is False when the buckets can never show a Pass. `skipped` are
    candidate requests of the check's own warm-up, in none of the other numbers. The evidence was
    last divided by `dispersion`, the overdispersion learned from the stable (>= 1).
    """

    plan: CheckPlan
    log10_harm: float
    harm_needed: float
    log10_pass: float
    pass_needed: float
    candidate: float | None
    stable: float | None
    n_c: int
    n_s: int
    k_c: int
    k_s: int
    worst_edge: float | None
    harmed: bool
    passed: bool
    requests_left: int | None
    passable: bool = True
    skipped: int = 0
    dispersion: float = 1.0


class EvidenceBank:
    """Evidence by rollout key. Not thread-safe: one loop owns it.

    `skew` says how much of an increment the two sides' scrapes may be apart: scrape interval over
    the time between updates, at most 1. Events that such a shift could explain count one increment
    later, so an outage that both sides share is not taken for harm at its edge.
    """

    def __init__(self, *, skew: float = 1.0) -> None:
        if not 0.0 <= skew <= 1.0:
            raise ValueError(f"skew is a share of one increment between 0 and 1, found {skew:g}")
        self._skew = skew
        self._fleets: dict[object, Fleet] = {}
        self._where: dict[str, Fleet] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def keys(self) -> Collection[str]:
        """The open keys."""
        return self._where.keys()

    def open(
        self,
        key: str,
        plans: tuple[CheckPlan, ...],
        edges: tuple[float, ...] = EDGES,
        state: str | None = None,
    ) -> bool:
        """Begin to keep evidence for `key`; True if evidence was kept or restored.

        With the plans it is already open with, nothing changes. Plans that differ only in their
        risks keep the evidence. `state` comes from `export`; one of other checks, edges or of
        another layout is not used: then the evidence starts afresh (False).
        """
        fleet = self._where.get(key)
        if fleet is not None:
            if fleet.plans(key) == plans and fleet.shape.edges == edges:
                return True
            if state is None:
                state = fleet.export(key)
            self.close(key)
        shape = shape_of(plans, edges)
        fleet = self._fleets.setdefault(shape, Fleet(shape))
        self._where[key] = fleet
        return fleet.add(key, plans, state)

    def close(self, key: str) -> None:
        """Forget the key; unknown keys are fine."""
        fleet = self._where.pop(key, None)
        if fleet is not None:
            fleet.remove(key)
            if not len(fleet):
                del self._fleets[fleet.shape]

    def update(
        self,
        increments: Mapping[str, Increment],
        *,
        baking: Collection[str] = (),
        stable_only: Collection[str] = (),
    ) -> None:
        """Move the evidence on by one increment for every key given; all keys must be open.

        `baking`: rollouts whose stable has no traffic any more. `stable_only`: rollouts whose
        candidate has no users yet; the stable's counts become its past, the candidate's (somebody
        trying it) are nobody's and are left out. One vectorised pass per set of rollouts with
        checks of one shape. Raises KeyError for a key that is not open.
        """
        by_fleet: dict[Fleet, list[str]] = {}
        for key in increments:
            by_fleet.setdefault(self._where[key], []).append(key)
        bakes, alone = frozenset(baking), frozenset(stable_only)
        for fleet, keys in by_fleet.items():
            edges = len(fleet.shape.edges)
            table = _table([increments[key] for key in keys], edges)
            baking_now = np.array([key in bakes for key in keys])
            ages = np.array([increments[key].age for key in keys])
            only = np.array([key in alone for key in keys])
            table[only, 0] = 0.0
            fleet.update(keys, table, baking_now, ages, self._skew, stable_only=only)

    def remember(self, histories: Mapping[str, FloatArray]) -> None:
        """Learn how bunched each stable's failures are from what it did before the rollout.

        By key, shape (T, 2): requests and failed requests of T increments, oldest first; all of
        one length. It is no evidence. Raises KeyError for a key that is not open.
        """
        by_fleet: dict[Fleet, list[str]] = {}
        for key in histories:
            by_fleet.setdefault(self._where[key], []).append(key)
        for fleet, keys in by_fleet.items():
            fleet.remember(keys, np.stack([histories[key] for key in keys], axis=1))

    def results(self, key: str) -> tuple[CheckEvidence, ...]:
        """The evidence of every check, in the order of the plans. KeyError if not open."""
        fleet = self._where[key]
        return tuple(_evidence(plan, fleet, key, i) for i, plan in enumerate(fleet.plans(key)))

    def marks(self, keys: Sequence[str]) -> BoolArray:
        """Shape (len(keys), checks, 3): harmed, passed, any candidate request.

        With how fresh the metrics are, all that a verdict depends on: where these stay the same,
        so does the verdict, and `results` need not be asked. All keys must have as many checks.
        """
        return np.array([self._where[key].marks(key) for key in keys], dtype=np.bool_)

    def stable_left(self, key: str) -> tuple[int, ...]:
        """For every check: requests of the stable that its past still lacks (`evidence.past`)."""
        fleet = self._where[key]
        both = zip(fleet.plans(key), fleet.shape.streams, strict=True)
        return tuple(
            missing_requests(plan, streams, fleet.totals(key, i)[1], fleet.dispersion(key, i))
            for i, (plan, streams) in enumerate(both)
        )

    def export(self, key: str) -> str:
        """The evidence of one rollout as base64, for `open` in another process."""
        return self._where[key].export(key)


def _table(increments: list[Increment], edges: int) -> FloatArray:
    """Shape (B, 2, 2 + edges): per side (candidate, stable) n, k, above...; cleaned."""
    counts = np.array([(i.n_c, i.k_c, i.n_s, i.k_s) for i in increments], dtype=np.float64)
    table = np.empty((len(increments), 2, 2 + edges))
    table[:, :, :2] = counts.reshape(-1, 2, 2)
    table[:, 0, 2:] = _above((i.above_c for i in increments), edges)
    table[:, 1, 2:] = _above((i.above_s for i in increments), edges)
    table = np.clip(np.nan_to_num(table, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1e15)
    return np.minimum(table, table[:, :, :1])


def _above(rows: Iterable[FloatArray], edges: int) -> FloatArray:
    # A side without any latency series is told as an empty array.
    empty = np.zeros(edges)
    return np.array([row if len(row) else empty for row in rows], dtype=np.float64)


def _evidence(plan: CheckPlan, fleet: Fleet, key: str, check: int) -> CheckEvidence:
    totals = fleet.totals(key, check)
    log_harm, log_pass, left, worst, dispersion = fleet.outputs(key, check)
    streams = fleet.shape.streams[check]
    edges = fleet.shape.edges
    column = streams.columns[int(worst)] if streams.columns else 0
    n_c, n_s = totals[0, 0], totals[1, 0]
    k_c, k_s = totals[0, 1 + column], totals[1, 1 + column]
    if plan.kind is Kind.LIMIT_QUANTILE:
        candidate = _quantile(totals[0], edges, plan.quantile)
        stable = _quantile(totals[1], edges, plan.quantile)
    else:
        candidate = float(k_c / n_c) if n_c > 0 else None
        stable = float(k_s / n_s) if n_s > 0 else None
    passable = any(streams.passing)
    return CheckEvidence(
        plan=plan,
        log10_harm=float(log_harm / math.log(10)),
        harm_needed=-math.log10(plan.alpha),
        log10_pass=float(log_pass / math.log(10)),
        pass_needed=-math.log10(plan.beta),
        candidate=candidate,
        stable=stable,
        n_c=round(n_c),
        n_s=round(n_s),
        k_c=round(k_c),
        k_s=round(k_s),
        worst_edge=edges[column - 1] if plan.kind.of_latency and column else None,
        harmed=fleet.harmed(key, check),
        passed=passable and bool(log_pass >= -math.log(plan.beta)),
        requests_left=math.ceil(left) if left < 1e9 else None,
        passable=passable,
        skipped=round(fleet.skipped(key, check)),
        dispersion=float(dispersion),
    )


def _quantile(side: FloatArray, edges: tuple[float, ...], quantile: float) -> float | None:
    """The quantile in seconds, linear inside its bucket; the last edge if it lies beyond."""
    n = side[0]
    if n <= 0 or not edges:
        return None
    rank = quantile * n
    below, low = 0.0, 0.0
    for edge, above in zip(edges, side[2:], strict=True):
        count = n - above
        if count >= rank:
            part = (rank - below) / (count - below) if count > below else 1.0
            return float(low + (edge - low) * part)
        below, low = count, edge
    return float(edges[-1])
