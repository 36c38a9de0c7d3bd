"""The likelihood ratios behind every verdict, in logs (natural), with their sources.

An *e-process* starts at 1 and, while its null hypothesis holds, is expected never to grow; the
chance that it ever reaches 1/alpha is then at most alpha (Ville 1939), however often one looks.
Several alternatives are covered by a weighted average over a grid (a mixture), which is again an
e-process. Sources: Lindon & Malek, NeurIPS 2022 (conditional test of counting processes); Turner,
Ly & Grunwald, 2x2 safe tests; Howard, Ramdas et al., time-uniform Chernoff bounds; Shin, Ramdas &
Rinaldo, e-detectors (mixtures over start times).

Arrays: B rollouts, s streams (one for a rate, one per bucket edge for latency), J grid points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Floats = NDArray[Any]  # float32 or float64
BoolArray = NDArray[np.bool_]

# Largest log of anything kept: far beyond every threshold, far from overflow in float32.
CEILING = 1e6


def ratio_cost(to: FloatArray, base: FloatArray, share: FloatArray) -> FloatArray:
    """What each event of either side costs the claim "the ratio is `to`, not `base`".

    With rho the candidate's share of the requests and theta(R) = R rho / (R rho + 1 - rho), the
    candidate's events weigh ln(to/base) - cost and the stable's -cost; this form has no 0/0 where
    rho is 0 or 1. Shapes broadcast.

    Valid for any mixture of Bernoulli events: with a = theta(to)/theta(base) and b the stable's
    factor, E[product] <= exp(n_c p_c (a-1) + n_s p_s (b-1)) = 1 at p_c = base p_s, and for
    to > base it is less where p_c is smaller.
    """
    return np.log1p((to - 1.0) * share) - np.log1p((base - 1.0) * share)


def odds_cost(times: FloatArray, base: FloatArray) -> FloatArray:
    """What each request costs the claim "the odds are `times` those of `base`".

    With q/(1-q) = times * p0/(1-p0) the binomial likelihood ratio is k ln(times) - n * cost. For
    times > 1 it is an e-process against p <= p0, for times < 1 against p >= p0.
    """
    return np.log1p((times - 1.0) * base)


def log_sum(logs: Floats, axis: int = -1) -> Floats:
    """ln of the sum of exp, without overflow."""
    top = np.max(logs, axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        total = np.log(np.sum(np.exp(logs - top), axis=axis, keepdims=True))
    out: Floats = np.squeeze(top + total, axis=axis)
    return out


def log_mix(first: Floats, second: Floats, weight: float) -> Floats:
    """ln(weight e^first + (1 - weight) e^second)."""
    out: Floats = np.logaddexp(first + np.log(weight), second + np.log1p(-weight))
    return out


def late_start(log_e: Floats, index: FloatArray, reserve: float) -> Floats:
    """Put a part of the starting capital in now: harm may begin late.

    `reserve` is split over the start times t = 1, 2, ... as 1/(t (t+1)), which sums to 1. Without
    it an hour of good behaviour would have to be outweighed before late harm is seen.
    `index` has shape (B,), `log_e` (B, s, J).
    """
    part = np.log(reserve) - np.log(index * (index + 1.0))
    fresh = part[:, None, None].astype(np.float32)
    top = np.maximum(log_e, fresh)
    total: Floats = top + np.log1p(np.exp(-np.abs(log_e - fresh)))
    return total


def upper_rate(events: FloatArray, requests: FloatArray, log_risk: FloatArray) -> FloatArray:
    """Upper confidence bound of a rate; 1 where there are no requests.

    The Poisson Chernoff bound solved from above: mu - k - k ln(mu/k) >= ln(1/risk) holds at
    mu = k + L + sqrt(L^2 + 2 k L), L = ln(1/risk).
    """
    bound = events + log_risk + np.sqrt(log_risk * (log_risk + 2.0 * events))
    return np.minimum(bound / np.maximum(requests, 1e-9), 1.0)
