"""The information limit along a schedule: what no test can beat as weights and rates change.

A test that errs with probability `risk` needs ln(1/risk) nats on average (Wald 1945); each interval
adds its events times their divergence (`sluice.evidence.limits`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sluice.api.policy import CanaryPolicySpec
from sluice.evidence import EDGES, CheckPlan, Kind, plans_of
from sluice.evidence.check import streams_of
from sluice.evidence.formulas import FloatArray
from sluice.evidence.limits import divergence
from sluice.simulation.small_world import ends_of_holds
from sluice.simulation.traffic import CANDIDATE, STABLE, Interval, K


@dataclass(frozen=True)
class Bound:
    """The least a decision takes on average: seconds, candidate requests, and by which check.

    `column` is 0-based as in the counts (`K` for failures, else a bucket edge's).
    """

    seconds: float
    requests: float
    check: str
    column: int = K


def shares_over(policy: CanaryPolicySpec, every: Sequence[Interval]) -> FloatArray:
    """The candidate's share in each interval if every step ends with its hold; the last stays."""
    holds = ends_of_holds(policy)
    middles = [(i.start + i.end) / 2 for i in every]
    return np.array([next((s for s, end in holds if t < end), holds[-1][0]) for t in middles])


def least_to_harm(
    policy: CanaryPolicySpec, every: Sequence[Interval], plans: Sequence[CheckPlan] | None = None
) -> Bound | None:
    """The soonest any check can show harm at the policy's risk; None: not in this time."""
    return soonest(
        _reached(policy, every, plan, _harm_forms(plan, every, policy), policy.risk.false_rollback)
        for plan in (plans or plans_of(policy))
    )


def least_to_pass(
    policy: CanaryPolicySpec, every: Sequence[Interval], plans: Sequence[CheckPlan] | None = None
) -> Bound | None:
    """The soonest all checks can say Pass at the policy's risk; None: not in this time."""
    found = [
        _reached(policy, every, plan, _pass_forms(plan, every, policy), policy.risk.false_promotion)
        for plan in (plans or plans_of(policy))
    ]
    return latest(found)


def soonest(bounds: Iterable[Bound | None]) -> Bound | None:
    """The first of those that come; None: none does."""
    known = [bound for bound in bounds if bound is not None]
    return min(known, key=lambda b: b.seconds, default=None)


def latest(bounds: Iterable[Bound | None]) -> Bound | None:
    """The last of all; None: one does not come, or there is none."""
    found = list(bounds)
    known = [bound for bound in found if bound is not None]
    return max(known, key=lambda b: b.seconds) if known and len(known) == len(found) else None


# For each stream (column, and its ways to get there); each way is a list of informations per
# interval, all of which are needed.
Forms = list[tuple[int, list[list[FloatArray]]]]


def _harm_forms(plan: CheckPlan, every: Sequence[Interval], policy: CanaryPolicySpec) -> Forms:
    streams, shares = streams_of(plan, EDGES), shares_over(policy, every)
    forms: Forms = []
    for stream, harm in zip(streams.columns, streams.harm, strict=True):
        if not harm:
            continue
        if plan.kind.compares:
            ratio = _ratio(stream, plan.acceptable, every, shares, above=True)
            floor = _absolute(stream, plan.negligible, every, shares, above=True)
            forms.append((K + stream, [[ratio, floor]]))
        else:
            own = _absolute(stream, _boundary(plan), every, shares, above=True)
            forms.append((K + stream, [[own]]))
    return forms


def _pass_forms(plan: CheckPlan, every: Sequence[Interval], policy: CanaryPolicySpec) -> Forms:
    streams, shares = streams_of(plan, EDGES), shares_over(policy, every)
    ways: Forms = []
    for stream, passing in zip(streams.columns, streams.passing, strict=True):
        if not passing:
            continue
        if plan.kind.compares:
            ratio = _ratio(stream, plan.unacceptable, every, shares, above=False)
            floor = _absolute(stream, plan.negligible, every, shares, above=False)
            ways.append((K + stream, [[ratio], [floor]]))
        else:
            own = _absolute(stream, _boundary(plan), every, shares, above=False)
            ways.append((K + stream, [[own]]))
    # Every stream must pass: None of them may be left out.
    return [_slowest(ways, policy.risk.false_promotion)] if ways else []


def _slowest(ways: Forms, risk: float) -> tuple[int, list[list[FloatArray]]]:
    return max(ways, key=lambda way: min(_when(form, risk) for form in way[1]))


def _boundary(plan: CheckPlan) -> float:
    return plan.limit if plan.kind is Kind.LIMIT_RATE else 1.0 - plan.quantile


def _rates(interval: Interval, stream: int) -> tuple[float, float]:
    if stream == 0:
        return float(interval.failing[CANDIDATE]), float(interval.failing[STABLE])
    return (
        float(interval.slower[CANDIDATE, stream - 1]),
        float(interval.slower[STABLE, stream - 1]),
    )


def _ratio(
    stream: int, boundary: float, every: Sequence[Interval], shares: FloatArray, *, above: bool
) -> FloatArray:
    """Nats per interval of "the ratio is not `boundary`", conditional on the events."""
    found = np.zeros(len(every))
    for i, (interval, share) in enumerate(zip(every, shares, strict=True)):
        p_c, p_s = _rates(interval, stream)
        if (p_c > boundary * p_s) is not above or not 0.0 < share < 1.0:
            continue
        of_c, of_s = share * p_c, (1.0 - share) * p_s
        if of_c + of_s <= 0.0:
            continue
        null = boundary * share / (boundary * share + 1.0 - share)
        events = interval.requests * (of_c + of_s)
        found[i] = events * divergence(of_c / (of_c + of_s), null)
    return found


def _absolute(
    stream: int, boundary: float, every: Sequence[Interval], shares: FloatArray, *, above: bool
) -> FloatArray:
    """Nats per interval of "the candidate's rate is not `boundary`"."""
    found = np.zeros(len(every))
    for i, (interval, share) in enumerate(zip(every, shares, strict=True)):
        p_c, _ = _rates(interval, stream)
        if (p_c > boundary) is above and p_c != boundary:
            found[i] = interval.requests * share * divergence(p_c, boundary)
    return found


def _when(needed: list[FloatArray], risk: float) -> float:
    """After how many intervals (with a fraction) all of these have ln(1/risk); inf: never."""
    return max(crossing(nats, math.log(1.0 / risk)) for nats in needed)


def crossing(nats: FloatArray, level: float) -> float:
    """After how many intervals (with a fraction) so many nats are together; inf: never."""
    total = np.cumsum(nats)
    i = int(np.searchsorted(total, level))
    if i >= len(total):
        return math.inf
    before = float(total[i - 1]) if i else 0.0
    return i + (level - before) / float(nats[i])


def _reached(
    policy: CanaryPolicySpec, every: Sequence[Interval], plan: CheckPlan, forms: Forms, risk: float
) -> Bound | None:
    times = [(min(_when(form, risk) for form in ways), column) for column, ways in forms]
    when, column = min(times, default=(math.inf, K))
    return reached(policy, every, when, plan.name, column)


def reached(
    policy: CanaryPolicySpec, every: Sequence[Interval], when: float, check: str, column: int = K
) -> Bound | None:
    """The bound after `when` intervals (with a fraction); None for never."""
    if math.isinf(when):
        return None
    return Bound(_seconds(every, when), _requests(policy, every, when), check, column)


def _seconds(every: Sequence[Interval], when: float) -> float:
    whole = min(int(when), len(every) - 1)
    interval = every[whole]
    return interval.start + (when - whole) * (interval.end - interval.start)


def _requests(policy: CanaryPolicySpec, every: Sequence[Interval], when: float) -> float:
    sent = shares_over(policy, every) * np.array([interval.requests for interval in every])
    whole = min(int(when), len(every) - 1)
    return float(sent[:whole].sum() + (when - whole) * sent[whole])
