"""How much more the stable's counts vary than independent requests would: its overdispersion.

Failures come in bunches (one broken client, one full queue), and bunches of the candidate would
look like harm. The stable's own history says how strong they are: the Fano factor, variance over
mean, of its events per increment. Neighbouring increments are compared with each other, so a level
that drifts over the day is no overdispersion; one that jumps (an outage) counts for two pairs, and
no pair may count for more than a few usual ones.

Dividing by more than 1 makes no valid test invalid, whatever the number depends on: it only asks
for more. Source: quasi-likelihood (Wedderburn 1974, McCullagh & Nelder 1989, ch. 4): dividing the
log likelihood by the dispersion. Given the sum K of two increments with N requests, the first one's
events are hypergeometric with variance K theta (1 - theta) (N - K) / (N - 1), theta = n1/N, so the
ratio of squared deviation and that variance has mean 1 where requests are independent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sluice.evidence.formulas import FloatArray, Floats

MOST = 16.0
"""The largest factor that is told; one pair says at most this."""
_LEAST_PAIRS = 3.0
_USUAL = 4.0  # a pair weighs at most so many usual ones
# The tail of bunched counts is heavier than the divided likelihood says: by simulation with Fano
# factors of 2 to 8 (docs/decisions.md), this keeps the stated risk.
_CARE = 1.3
_LEAST_CAP = 3.0  # before it is known what is usual, in units of that variance

# Columns of the state: weighted ratios, weights, pairs that can tell.
RATIOS, WEIGHTS, PAIRS = 0, 1, 2


def learn(state: Floats, last: Floats, now: FloatArray) -> Floats:
    """The state after one more increment of the stable.

    `state` has shape (B, c, 3), `last` and `now` (B, 1 + c): requests, then events of c kinds.
    A pair of increments counts if both have requests; events that are not finite are not known.
    """
    n1, n2 = last[:, :1].astype(np.float64), now[:, :1]
    k1, k2 = last[:, 1:].astype(np.float64), now[:, 1:]
    both, events = n1 + n2, k1 + k2
    theta = n1 / np.maximum(both, 1e-9)
    variance = events * theta * (1.0 - theta) * (both - events) / np.maximum(both - 1.0, 1.0)
    known = (n1 > 0) & (n2 > 0) & np.isfinite(events) & (variance > 1e-9)
    variance = np.where(known, variance, 1.0)
    ratio = np.minimum((np.where(known, k1 - events * theta, 0.0)) ** 2 / variance, MOST)
    usual = _USUAL * state[..., WEIGHTS] / np.maximum(state[..., PAIRS], 1.0)
    weight = np.where(known, np.minimum(variance, np.maximum(usual, _LEAST_CAP)), 0.0)
    moved = state.copy()
    moved[..., RATIOS] += ratio * weight
    moved[..., WEIGHTS] += weight
    # A single event lies in one of the two increments whatever the dispersion.
    moved[..., PAIRS] += known & (events > 1.5)
    return moved


def factor(state: Floats) -> NDArray[np.float64]:
    """The Fano factor to divide evidence by, 1 to MOST; shape (B, c).

    One standard error below the estimate, so that chance alone does not slow a decision down.
    """
    pairs = state[..., PAIRS].astype(np.float64)
    estimate = state[..., RATIOS] / np.maximum(state[..., WEIGHTS], 1e-9)
    lower = estimate - np.sqrt(2.0 / np.maximum(pairs, 1.0))
    careful = 1.0 + _CARE * (lower - 1.0)
    told: NDArray[np.float64] = np.where(pairs >= _LEAST_PAIRS, np.clip(careful, 1.0, MOST), 1.0)
    return told
