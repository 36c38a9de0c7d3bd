"""Predictions and slices of a candidate beside the stable: verdicts within an hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.drift.traffic import FloatArray, drawn
from sluice.evidence.cuts import by_cut, cuts
from sluice.evidence.difference import DifferenceFleet, DifferencePlan

SCRAPE, PULSES = 15.0, 240
RPS, SHARE = 20.0, 0.2
_CHANGE = 4  # the pulse from which on both are asked something else


@dataclass(frozen=True)
class Canary:
    """Class shares of both sides; `slices`: rates of errors by slice of `weights` instead.

    `after`: what both are asked from the fifth pulse on; the candidate's scrape shows it a whole
    pulse before the stable's. `truth`: "acceptable" (harm is wrong), "unacceptable" (Pass is wrong)
    or "between".
    """

    name: str
    candidate: tuple[float, ...]
    stable: tuple[float, ...]
    truth: str
    acceptable: float = 0.02
    unacceptable: float = 0.05
    weights: tuple[float, ...] = ()
    fano: float = 1.0
    past: bool = True
    after: tuple[float, ...] = ()
    runs: int = 2000


THREE, MANY = (0.7, 0.2, 0.1), (0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.03, 0.02)
SLICES, ERRORS = (0.5, 0.3, 0.15, 0.05), (0.01,) * 4


def canary_cells() -> list[Canary]:
    """Alike first, then different."""
    return [
        Canary("3 classes, alike", THREE, THREE, "acceptable"),
        Canary("8 classes, alike", MANY, MANY, "acceptable"),
        Canary("3 classes, alike, bunches", THREE, THREE, "acceptable", fano=8.0),
        Canary("3 classes, alike, bunches, no history", THREE, THREE, "acceptable", fano=8.0,
               past=False),
        Canary("3 classes, alike, all asked otherwise, seen a pulse apart", THREE, THREE,
               "acceptable", after=(0.05, 0.05, 0.9)),
        Canary("3 classes, at the acceptable 2 points", (0.68, 0.22, 0.1), THREE, "acceptable"),
        Canary("3 classes, at the unacceptable 5 points", (0.65, 0.25, 0.1), THREE, "unacceptable"),
        Canary("3 classes, 10 points", (0.6, 0.3, 0.1), THREE, "unacceptable"),
        Canary("8 classes, the rarest 2% to 5%", (0.27, *MANY[1:7], 0.05), MANY, "between",
               acceptable=0.01),
        Canary("4 slices, errors alike", ERRORS, ERRORS, "acceptable", 0.0, 0.03, SLICES),
        Canary("4 slices, the rarest (5%) 1% to 10% errors", (0.01, 0.01, 0.01, 0.1), ERRORS,
               "unacceptable", 0.0, 0.03, SLICES),
    ]  # fmt: skip


def run_canary(cell: Canary, seed: int) -> dict[str, object]:
    """Harm and Pass within an hour, and their median minutes."""
    rng = np.random.default_rng([seed, sum(map(ord, cell.name))])
    runs, sliced = cell.runs, bool(cell.weights)
    sets = cuts(len(cell.stable)) if not sliced else np.eye(len(cell.stable), dtype=np.bool_)
    fleet, keys = DifferenceFleet(len(sets), runs), [str(run) for run in range(runs)]
    names = tuple(str(s) for s in range(len(sets)))
    plan = DifferencePlan(names, cell.acceptable, cell.unacceptable, two_sided=not sliced)
    for key in keys:
        fleet.open(key, plan)

    def one(shares: tuple[float, ...], part: float) -> tuple[FloatArray, FloatArray]:
        requests = RPS * SCRAPE * part
        if not sliced:
            p = np.tile(np.array(shares) * requests, (runs, 1))
            return by_cut(drawn(rng, p, cell.fano), sets)
        n = rng.poisson(np.tile(np.array(cell.weights) * requests, (runs, 1)))
        return n.astype(np.float64), rng.binomial(n, shares).astype(np.float64)

    if cell.past:
        past = [one(cell.stable, 1.0) for _ in range(PULSES)]
        fleet.remember(keys, *(np.stack([pair[i] for pair in past]) for i in (0, 1)))
    rows = fleet.slots.rows(keys)
    harm, passed = np.full(runs, np.inf), np.full(runs, np.inf)
    for i in range(PULSES):
        candidate = cell.after if cell.after and i >= _CHANGE else cell.candidate
        stable = cell.after if cell.after and i > _CHANGE else cell.stable
        fleet.update(rows, *one(candidate, SHARE), *one(stable, 1.0 - SHARE))
        minute = (i + 1) * SCRAPE / 60
        harmed, passing = fleet.verdicts(rows)
        # A verdict ends a rollout: what comes later is not looked at.
        is_open = np.isinf(harm) & np.isinf(passed)
        harm[is_open & harmed] = minute
        passed[is_open & ~harmed & passing] = minute
    out: dict[str, object] = {"cell": cell.name, "truth": cell.truth, "runs": runs}
    for name, at in (("harm", harm), ("pass", passed)):
        found = np.isfinite(at)
        out[name] = int(found.sum())
        out[f"{name}Minutes"] = float(np.median(at[found])) if found.any() else None
    return out
