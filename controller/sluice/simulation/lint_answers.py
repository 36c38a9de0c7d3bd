"""What is wrong with checks of answers, and what they take."""

from __future__ import annotations

import math

from sluice.api.base import format_duration
from sluice.api.policy import CanaryPolicySpec, Check, Metric
from sluice.api.rollout import RolloutSpec
from sluice.simulation.cost import LONGEST_DAYS, Cost
from sluice.simulation.findings import Finding, Level

# Several shares must pass, and none knows in advance how it will. Medians of 200 simulated rollouts
# at worst shares of a half and weights of 20 and 50 lie within 15% of the answer with this
# (tests/unit/simulation/test_answers.py).
_REALISTIC = 1.8
_MANY = 50_000.0


def answers_needed(check: Check, beta: float, share: float) -> float:
    """Candidate answers until a version like the stable passes, at the worst share, a half.

    `share` is the candidate's part of the traffic. From the difference of two binomial shares: at
    `unacceptable` apart, ln(1/beta) nats are (u^2 / 2v) n for n of each side's variance v.
    """
    if check.difference is None or not 0.0 < share < 1.0:
        return math.inf
    variance = 0.25 * (1.0 + share / (1.0 - share))
    nats = math.log(1.0 / beta)
    return _REALISTIC * 2.0 * variance * nats / check.difference.unacceptable**2


def lint_answers(where: str, check: Check, policy: CanaryPolicySpec) -> list[Finding]:
    """About one check of a policy, wherever it is used."""
    found = []
    at_half = answers_needed(check, policy.risk.false_promotion, 0.5)
    if at_half > _MANY and check.difference is not None:
        what = (
            f"{_points(check.difference.unacceptable)} are so few that a version like the stable "
            f"takes about {at_half:,.0f} answers to pass, even at a weight of 50"
        )
        fix = "take a larger unacceptable: 0.1 takes about 500"
        found.append(Finding(Level.WARNING, f"{where}.difference.unacceptable", what, fix))
    if policy.bake > 0 and policy.bake_weight == 100:
        what = "while baking the old revision has no traffic, so answers are not compared then"
        fix = "give it some (bakeHoldback: 5), or accept that"
        found.append(Finding(Level.NOTE, where, what, fix))
    return found


def cost_of_answers(policy: CanaryPolicySpec, check: Check, rps: float) -> Cost:
    """Until the check passes for a candidate like the stable, along the steps; the last one stays.

    Of feedback only the answers are told: how often truths come is not known.
    """
    what = f"{check.name}: Pass of a candidate like the stable"
    beta, seconds, answers = policy.risk.false_promotion, policy.warmup, 0.0
    done = 0.0
    for number, step in enumerate(policy.steps):
        share = min(step.weight, 99) / 100
        needed, rate = answers_needed(check, beta, share), rps * share
        last = number == len(policy.steps) - 1
        takes = (1.0 - done) * needed / rate if rate else math.inf
        if not last and takes > step.hold:
            done += step.hold * rate / needed
            answers += step.hold * rate
            seconds += step.hold
            continue
        answers += takes * rate if rate else math.inf
        seconds += takes
        break
    if check.metric is Metric.FEEDBACK:
        return Cost(what, answers_needed(check, beta, policy.steps[-1].weight / 100), None, "")
    if seconds > LONGEST_DAYS * 86400:
        return Cost(what, None, None, check.name)
    return Cost(what, answers, seconds / 60.0, check.name)


def lint_time(where: str, policy: CanaryPolicySpec, check: Check, rps: float) -> list[Finding]:
    """Whether there is time enough at this traffic."""
    if check.metric is Metric.FEEDBACK:
        return []
    cost = cost_of_answers(policy, check, rps)
    given = (sum(s.hold for s in policy.steps[:-1]) + policy.on_undecided.after) / 60.0
    if cost.minutes is not None and cost.minutes <= given:
        return []
    takes = "too long" if cost.minutes is None else f"about {cost.minutes:,.0f} minutes"
    what = (
        f"at {rps:g} requests/s a candidate like the stable takes {takes} to pass, but "
        f"onUndecided.after is {format_duration(policy.on_undecided.after)}: it will be given up"
    )
    fix = "take a larger unacceptable, a larger last weight, or a longer onUndecided.after"
    return [Finding(Level.ERROR, where, what, fix)]


def lint_strategy(spec: RolloutSpec, policy: CanaryPolicySpec) -> list[Finding]:
    """Where a rollout's strategy leaves its checks of answers without anything to compare."""
    names = [check.name for check in policy.checks if check.metric.of_answers]
    truths = [check.name for check in policy.checks if check.metric is Metric.FEEDBACK]
    asked = spec.strategy.blue_green
    if asked is None or not names:
        return []
    where = "spec.strategy.blueGreen"
    if asked.shadow is None:
        what = (
            f"answers are compared only side by side, and here one version has all the traffic: "
            f"{', '.join(names)} can never pass, and never roll back"
        )
        return [Finding(Level.WARNING, where, what, "add a shadow, or take a canary")]
    if not truths:
        return []
    what = f"nobody sees a shadow's answers, so no truth comes about them: {', '.join(truths)} can "
    what += "never pass, and never roll back"
    return [Finding(Level.WARNING, f"{where}.shadow", what, "compare feedback in a canary")]


def _points(share: float) -> str:
    return f"{share * 100:.3g} points"
