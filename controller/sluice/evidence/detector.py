"""Evidence for a change at an unknown time, with a bound on false alarms per week.

An *e-detector* (Shin, Ramdas & Rinaldo 2023) is a sum of e-processes that start at every moment:
M = (M + capital) L, L being one increment's likelihood ratio or bet, not expected to be above 1
while the null hypothesis holds. It is Shiryaev's and Roberts' statistic for a composite null.
M minus the capital put in is then not expected to grow, so with one unit of capital per week the
chance that M reaches 1/rate within T weeks is at most T times rate (optional stopping): the false
alarms per week are bounded, not only their mean distance. Averages over alternatives and sums over
features keep that bound. Memory: one number per alternative.
"""

from __future__ import annotations

import numpy as np

from sluice.evidence.formulas import FloatArray, Floats

WEEK = 7 * 86_400.0
"""Seconds."""
EMPTY = -60.0
"""ln M before the first increment, and its floor."""
GROWING = float(np.log(0.02))
"""ln M above which evidence counts as growing: what three hours of capital would be."""
BACK = 0.8
"""Below so many thresholds the window says that a change is over."""
_MOST = 300.0


def advance(log_m: Floats, gain: FloatArray, seconds: FloatArray) -> Floats:
    """ln M after an increment; shapes (..., J) with J alternatives of equal weight.

    `gain` is ln L, `seconds` (...) the length of the increment: one unit of capital comes in per
    week, split over the alternatives.
    """
    capital = np.log(np.maximum(seconds, 1e-9) / (WEEK * log_m.shape[-1]))[..., None]
    moved: Floats = np.clip(np.logaddexp(log_m, capital) + gain, EMPTY, _MOST).astype(log_m.dtype)
    return moved


def total(log_m: Floats) -> FloatArray:
    """ln of the sum over the alternatives; shape (...)."""
    out: FloatArray = np.logaddexp.reduce(log_m.astype(np.float64), axis=-1)
    return out


def cut_gain(k: FloatArray, n: FloatArray, bound: FloatArray, to: FloatArray) -> FloatArray:
    """ln L for "the share is `to` (> bound)" against "at most `bound`"; k of n. Shapes broadcast.

    The binomial likelihood ratio. k may be a sum of rewards between 0 and 1: the logarithm is
    concave, so that is less than the bet 1 + lambda (x - bound) of every single reward.
    """
    inside = (bound > 0.0) & (bound < 1.0)
    b = np.clip(np.where(inside, bound, 0.5), 1e-9, 1.0 - 1e-9)
    q = np.clip(np.where(inside, np.maximum(to, b), 0.5), 1e-9, 1.0 - 1e-6)
    q = np.maximum(q, b)
    out: FloatArray = k * np.log(q / b) + (n - k) * np.log((1.0 - q) / (1.0 - b))
    return np.where(inside, out, 0.0)
