"""The information limit of checks of answers: as `bounds`, of the difference of two shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from sluice.api.policy import CanaryPolicySpec, Metric
from sluice.evidence.answer_bank import waited
from sluice.evidence.answers import Counted, Incomparable, Streams, streams_of
from sluice.evidence.formulas import FloatArray
from sluice.evidence.spec import AnswerPlan, answer_plans_of
from sluice.simulation.answer_cohort import counted_by, sliced_by
from sluice.simulation.answer_traffic import AnswerScenario
from sluice.simulation.bounds import Bound, crossing, reached, shares_over
from sluice.simulation.scenario import Scenario
from sluice.simulation.traffic import CANDIDATE, STABLE, Interval

_GRID = 2000


def answers_to_harm(
    policy: CanaryPolicySpec, scenario: Scenario, every: Sequence[Interval]
) -> Bound | None:
    """The soonest any check of answers can show harm at the policy's risk; None: not in this time,
    or no such check.
    """
    level = math.log(1.0 / policy.risk.false_rollback)
    whens = []
    for plan, streams, counts in _counted(policy, scenario, every):
        ways = _ways(plan, streams, counts, plan.acceptable, beyond=True)
        when = min((crossing(nats, level) for nats in ways), default=math.inf)
        whens.append((when, plan.name))
    return reached(policy, every, *min(whens, default=(math.inf, "")))


def answers_to_pass(
    policy: CanaryPolicySpec, scenario: Scenario, every: Sequence[Interval]
) -> Bound | None:
    """The soonest all checks of answers can say Pass; None: not in this time, or no such check."""
    level = math.log(1.0 / policy.risk.false_promotion)
    whens = []
    for plan, streams, counts in _counted(policy, scenario, every):
        ways = _ways(plan, streams, counts, plan.unacceptable, beyond=False)
        whens.append((max(crossing(nats, level) for nats in ways), plan.name))
    return reached(policy, every, *max(whens, default=(math.inf, "")))


def _counted(
    policy: CanaryPolicySpec, scenario: Scenario, every: Sequence[Interval]
) -> Iterable[tuple[AnswerPlan, Streams, FloatArray]]:
    """Of each check its streams, and what is expected of their cells: (intervals, 2, C)."""
    plans = answer_plans_of(policy)
    content = AnswerScenario(scenario, counted_by(plans), sliced_by(plans))
    expected = _expected(content, every, shares_over(policy, every))
    for plan in plans:
        streams = streams_of(plan, content.shown, content.shown)
        if not isinstance(streams, Incomparable):
            at = [content.cells.index(cell) for cell in streams.cells]
            yield plan, streams, expected[:, :, at]


def _expected(content: AnswerScenario, every: Sequence[Interval], shares: FloatArray) -> FloatArray:
    parts = np.zeros((len(every), 2))
    parts[:, CANDIDATE], parts[:, STABLE] = shares, 1.0 - shares
    mixes = [content.mix(interval) for interval in every]
    found = np.zeros((len(every), 2, len(content.cells)))
    places = {
        (counted, name): [
            i for i, c in enumerate(content.cells) if (c.counted, c.slice) == (counted, name)
        ]
        for counted in Counted
        for name in ("", *content.slices)
    }
    for i, interval in enumerate(every):
        mix, then = mixes[i], i + content.delay  # when the truths come
        answers = interval.requests * parts[i] * (1.0 - interval.failing)
        said = answers[:, None] * mix.predictions
        found[i][:, places[Counted.PREDICTION, ""]] = said
        for name, where in zip(content.slices, mix.where, strict=True):
            spread = (said[:, :, None] * where).reshape(2, -1)
            found[i][:, places[Counted.PREDICTION, name]] = spread
        if then >= len(every) or not content.truths:
            continue
        told = answers * mix.told * (parts[then] if content.sent_by_weight else 1.0)
        by_truth = told[:, None] * mix.truths
        wrong = by_truth * mix.wrong
        found[then][:, places[Counted.OUTCOME, ""]] = np.concatenate(
            [wrong, by_truth - wrong], axis=1
        )
        both = np.stack([wrong.sum(axis=1), (by_truth - wrong).sum(axis=1)], axis=1)
        for name, where in zip(content.slices, mix.where_wrong, strict=True):
            spread = (both[:, :, None] * where).reshape(2, -1)
            found[then][:, places[Counted.OUTCOME, name]] = spread
    return found


def _ways(
    plan: AnswerPlan, streams: Streams, counts: FloatArray, bound: float, *, beyond: bool
) -> list[FloatArray]:
    """Nats by interval for each stream, and for each direction in which it may be harm."""
    n, k = counts @ streams.base.T, counts @ streams.events.T
    awaited = waited(plan, streams.places, n[:, STABLE].sum(axis=0, keepdims=True))[0]
    ways = []
    for stream in range(n.shape[2]):
        if not beyond and not awaited[stream]:
            continue
        for more in (True, False) if plan.metric is not Metric.FEEDBACK else (True,):
            rows = zip(n[:, :, stream].tolist(), k[:, :, stream].tolist(), strict=True)
            ways.append(np.array([_nats(n_, k_, bound, more, beyond) for n_, k_ in rows]))
    return ways


def _nats(n: list[float], k: list[float], bound: float, more: bool, beyond: bool) -> float:
    if min(n) <= 0.0:
        return 0.0
    shares = [k[side] / n[side] if more else 1.0 - k[side] / n[side] for side in (0, 1)]
    if (shares[CANDIDATE] - shares[STABLE] > bound) is not beyond:
        return 0.0
    rate = n[CANDIDATE] / n[STABLE]
    return n[CANDIDATE] * _least(
        *(round(x, 12) for x in (shares[CANDIDATE], shares[STABLE], rate, bound))
    )


@lru_cache(maxsize=4096)
def _least(p_c: float, p_s: float, rate: float, bound: float) -> float:
    """Nats for each answer of the candidate, of `rate` to one of the stable, that the shares do not
    lie `bound` apart: the smallest over all that do.
    """
    x = np.linspace(0.0, 1.0 - bound, _GRID + 1)[1:-1]
    nats = _divergences(p_c, x + bound) + _divergences(p_s, x) / rate
    return float(nats.min())


def _divergences(p: float, q: FloatArray) -> FloatArray:
    total = np.zeros_like(q)
    if p > 0:
        total += p * np.log(p / q)
    if p < 1:
        total += (1.0 - p) * np.log((1.0 - p) / (1.0 - q))
    return total
