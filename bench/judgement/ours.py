"""Sluice's own rule: the shipped evidence under the shipped policy `balanced`.

The engine's part is short here: Harm rolls back; after the holds and with every check at Pass the
candidate is promoted; what was served during the warm-up or without metrics decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from bench.judgement.cells import SCRAPE, Cell
from bench.judgement.decisions import PROMOTED, ROLLED_BACK, Decisions
from bench.judgement.peers import blind
from bench.judgement.traffic import Counts, past
from sluice.api.policy import CanaryPolicySpec
from sluice.evidence import EDGES, plans_of
from sluice.evidence.fleet import Fleet, shape_of

POLICY = Path(__file__).parents[2] / "canary_policies" / "balanced.yaml"
SKEW = 1.0  # as in the controller


def balanced() -> CanaryPolicySpec:
    """The policy file as the controller reads it."""
    return CanaryPolicySpec.model_validate(yaml.safe_load(POLICY.read_text())["spec"])


def sluice(
    cell: Cell,
    counts: Counts,
    *,
    warm: bool = True,
    skew: float = SKEW,
    learns: bool = True,
) -> Decisions:
    """The decisions of `balanced`, promotion after all its holds at the earliest.

    What is not given is as shipped. Without `warm` everything counts from the first second; without
    `learns` nothing is known of the stable's hour before.
    """
    policy = balanced()
    unjudged = policy.warmup if warm else 0.0
    plans = tuple(replace(p, warmup=p.warmup if warm else 0.0) for p in plans_of(policy))
    runs = counts.shape[1]
    fleet = Fleet(shape_of(plans, EDGES))
    keys = [str(run) for run in range(runs)]
    for key in keys:
        fleet.add(key, plans, None)
    if learns:
        fleet.remember(keys, past(cell, counts).astype(np.float64))
    decisions = Decisions.none(runs)
    hold = sum(step.hold for step in policy.steps)
    unseen, since = np.zeros(counts.shape[1:]), unjudged
    for end in range(1, len(counts) + 1):
        live = np.flatnonzero(decisions.open)
        if not len(live):
            break
        if end * SCRAPE <= unjudged:
            continue
        unseen += counts[end - 1]
        if blind(cell, end, 1):
            continue  # the counters go on: the first scrape after the outage brings all of it
        baking, ages = np.zeros(len(live), np.bool_), np.full(len(live), since)
        fleet.update([keys[i] for i in live], unseen[live], baking, ages, skew)
        unseen[:], since = 0, end * SCRAPE
        harm, passed = np.zeros((2, runs), dtype=np.bool_)
        passed[live] = end * SCRAPE >= hold
        for check, plan in enumerate(plans):
            outputs = np.array([fleet.outputs(keys[i], check)[:2] for i in live])
            harm[live] |= outputs[:, 0] >= -math.log(plan.alpha)
            passed[live] &= outputs[:, 1] >= -math.log(plan.beta)
        decisions.decide(harm, ROLLED_BACK, end)
        decisions.decide(passed, PROMOTED, end)
    return decisions
