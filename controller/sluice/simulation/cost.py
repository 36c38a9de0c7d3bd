"""What a policy takes in requests and minutes at some traffic: the information limit, made real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.api.policy import CanaryPolicySpec, Risk
from sluice.evidence import EDGES, CheckPlan, plans_of
from sluice.simulation.bounds import Bound, least_to_harm, least_to_pass
from sluice.simulation.traffic import Interval

REALISTIC = 1.5
"""Times the information limit: a real test does not know the effect, and waits for scrapes."""
RATIOS = (2.0, 5.0)
LONGEST_DAYS = 400.0
_INTERVALS = 2000


@dataclass(frozen=True)
class Cost:
    """Candidate requests and minutes; None: never. `check` is the one that decides the time."""

    what: str
    requests: float | None
    minutes: float | None
    check: str


def costs(policy: CanaryPolicySpec, rps: float, error_rate: float) -> list[Cost]:
    """Promotion of a candidate like the stable, and rollback of ones with x2 and x5 the errors.

    How slow requests are is not known here, so latency checks count only where there is no other.
    """
    plans = [p for p in plans_of(policy) if not p.kind.of_latency] or list(plans_of(policy))
    found = [_promotion(policy, _to_pass(policy, plans, rps, error_rate))]
    for ratio in RATIOS:
        bound = _finest(lambda p, e: least_to_harm(p, e, plans), policy, rps, error_rate, ratio)
        found.append(_cost(f"rollback at x{ratio:g} errors", policy, bound))
    return found


def cost_to_pass(policy: CanaryPolicySpec, plan: CheckPlan, rps: float, error_rate: float) -> Cost:
    """Until one check passes for a candidate like the stable."""
    return _cost(plan.name, policy, _to_pass(policy, [plan], rps, error_rate))


def _to_pass(
    policy: CanaryPolicySpec, plans: Sequence[CheckPlan], rps: float, error_rate: float
) -> Bound | None:
    return _finest(lambda p, e: least_to_pass(p, e, plans), policy, rps, error_rate, 1.0)


def _promotion(policy: CanaryPolicySpec, bound: Bound | None) -> Cost:
    cost = _cost("promotion of a candidate like the stable", policy, bound)
    holds = sum(step.hold for step in policy.steps) / 60.0
    if cost.minutes is None or cost.minutes >= holds:
        return cost
    return Cost(cost.what, cost.requests, holds, "the holds of the steps")


def _cost(what: str, policy: CanaryPolicySpec, bound: Bound | None) -> Cost:
    if bound is None:
        return Cost(what, None, None, "")
    return Cost(what, bound.requests, (bound.seconds + policy.warmup) / 60.0, bound.check)


def _finest(
    least: Callable[[CanaryPolicySpec, list[Interval]], Bound | None],
    policy: CanaryPolicySpec,
    rps: float,
    error_rate: float,
    ratio: float,
) -> Bound | None:
    """Along grids from fine to coarse: some policies take minutes, others months."""
    risk = policy.risk
    # ln(1/r^x) = x ln(1/r): a risk to this power asks for that many times the information.
    longer = Risk(
        false_rollback=risk.false_rollback**REALISTIC,
        false_promotion=risk.false_promotion**REALISTIC,
    )
    stretched = policy.model_copy(update={"risk": longer})
    for days in (0.1, 10.0, LONGEST_DAYS):
        bound = least(stretched, _even(rps, error_rate, ratio, days))
        if bound is not None:
            return bound
    return None


def _even(rps: float, error_rate: float, ratio: float, days: float) -> list[Interval]:
    failing = np.array([min(error_rate * ratio, 1.0), error_rate])
    # Nobody is slow: the least that a latency check takes.
    slower = np.zeros((2, len(EDGES)))
    step = days * 86400.0 / _INTERVALS
    return [
        Interval(i * step, (i + 1) * step, rps * step, failing, slower, False)
        for i in range(_INTERVALS)
    ]
