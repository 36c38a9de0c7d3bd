"""Is the stable's past known well enough to hold a candidate against it, with nothing beside it?

The bake calls harm what is beyond `unacceptable` times an upper confidence bound of the stable's
rate (see `CheckRows._advance_bake`). With few requests that bound is far above the rate, and hardly
anything would ever be harm. So before a switch that nothing preceded, the bound must be at most
1.5 times the rate seen (then, at the default ratios, a rate five times the stable's is well beyond
the boundary), or so low that ten times the negligible rate would be beyond it.

When to stop counting then depends on what is counted. The bound holds at a number of requests and,
with the same risk, at a number of events (the time of the k-th event of a Poisson process is Gamma
distributed, with the same Chernoff exponent), so the risk is at most doubled: from 5% to 10% of the
check's part of a false rollback, which the 90% that a comparison would take leave room for.
"""

from __future__ import annotations

import math

import numpy as np

from sluice.evidence.check import BAKE, Streams
from sluice.evidence.formulas import FloatArray
from sluice.evidence.spec import CheckPlan

TIMES_SEEN = 1.5
TIMES_NEGLIGIBLE = 10.0


def missing_requests(
    plan: CheckPlan, streams: Streams, stable: FloatArray, dispersion: float = 1.0
) -> int:
    """How many more requests of the stable are needed, at its rates so far; 0: it is known.

    `stable` has shape (2 + edges,): n, k, above..., so far. Bunched events (`dispersion` above 1)
    tell less, so as many times more are needed. Limits need no stable: 0.
    """
    if not plan.kind.compares or not streams.columns:
        return 0
    n = float(stable[0])
    rate = stable[1 + np.array(streams.columns)] / max(n, 1.0)
    risk = -math.log(plan.alpha) - math.log(BAKE) + math.log(len(streams.columns))
    # bound <= t k/n from k = 2 risk t / (t - 1)^2 on, bound <= low from n = 2 risk low /
    # (low - rate)^2 on: `upper_rate` solved for k and for n.
    low = TIMES_NEGLIGIBLE * plan.negligible / plan.unacceptable
    with np.errstate(divide="ignore"):
        by_events = 2 * risk * TIMES_SEEN / (TIMES_SEEN - 1.0) ** 2 / rate
        by_requests = np.where(rate < low, 2 * risk * low / np.square(low - rate), np.inf)
    needed = dispersion * float(np.minimum(by_events, by_requests).max())
    return max(0, math.ceil(needed - n))
