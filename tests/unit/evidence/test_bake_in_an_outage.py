"""All traffic moved in the middle of an outage of both sides: that is no harm of the candidate."""

from __future__ import annotations

import numpy as np

from sluice.evidence import EDGES, EvidenceBank, Increment
from sluice.evidence.spec import CheckPlan, Kind

PLAN = CheckPlan("errors", Kind.COMPARE_RATE, 1.0, 2.0, 0.001, alpha=0.005, beta=0.05)
NONE = np.zeros(len(EDGES))


def harmed(rate_before: float, rate_in_bake: float) -> bool:
    """20 calm increments, two at `rate_before` on both sides, then ten of a bake."""
    bank = EvidenceBank()
    bank.open("r", (PLAN,), EDGES)
    for rate in [0.005] * 20 + [rate_before] * 2:
        bank.update({"r": Increment(200, 200 * rate, 200, 200 * rate, NONE, NONE)})
    for _ in range(10):
        increment = Increment(400, 400 * rate_in_bake, 0, 0, NONE, NONE)
        bank.update({"r": increment}, baking=["r"])
    return bank.results("r")[0].harmed


def test_an_outage_that_began_before_the_promotion_is_not_the_candidates() -> None:
    assert not harmed(rate_before=0.2, rate_in_bake=0.2)


def test_failures_that_begin_in_the_bake_are() -> None:
    assert harmed(rate_before=0.005, rate_in_bake=0.2)
