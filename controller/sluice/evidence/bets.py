"""What to bet on against "the distance is at most the threshold", feature by feature.

All distances here are convex, so what lies within the threshold is a convex set C of distributions.
For a direction known beforehand (from the window of past requests) a half-space contains C:

- KS and TV: the share of one set A of bins, at most its training share plus the threshold
- PSI, KL, JS: at any point s, D(p) >= D(s) + slope(s) (p - s), so within the threshold t the mean
  of the score slope(s) is at most t - D(s) + slope(s) s

and the requests are bet against that: binomial likelihood ratios, or 1 + lambda (score - bound).
Whatever the direction, no distribution in C is expected to gain, also if it changes with time.
"""

from __future__ import annotations

import numpy as np

from sluice.evidence.detector import cut_gain
from sluice.evidence.distances import Distance, distance, slope
from sluice.evidence.formulas import FloatArray

TIMES = np.array([1.3, 2.0, 4.0])
"""The distances that are bet on, in thresholds."""
_CAREFUL = 0.8  # of the largest bet that cannot lose more than all
_REACH = (0.05, 8.0)  # how far the path to the boundary may be shortened or lengthened


def gains(
    kind: Distance, counts: FloatArray, window: FloatArray, q: FloatArray, threshold: FloatArray
) -> FloatArray:
    """ln L (n, J) of `counts` (n, K), in the direction of the shares `window` from `q` (n, K).

    `threshold` (n,). Divergences need smoothed shares without zeros, but for padding.
    """
    if kind.is_cut:
        share, k = _cut(kind, counts, window, q)
        n, bound = counts.sum(axis=-1)[:, None], (share + threshold)[:, None]
        to = share[:, None] + threshold[:, None] * TIMES
        return cut_gain(k[:, None], n, bound, np.minimum(to, 0.5 * (1.0 + bound)))
    return _tangent(kind, counts, window, q, threshold)


def _cut(
    kind: Distance, counts: FloatArray, window: FloatArray, q: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The training share of the set of bins that grew most, and its requests now."""
    more = window - q
    if kind is Distance.TV:
        grew = more > 0
        return np.where(grew, q, 0.0).sum(axis=-1), np.where(grew, counts, 0.0).sum(axis=-1)
    at = np.abs(np.cumsum(more, axis=-1)).argmax(axis=-1)[:, None]
    up = np.take_along_axis(np.cumsum(more, axis=-1), at, axis=-1)[:, 0] > 0
    share = np.take_along_axis(np.cumsum(q, axis=-1), at, axis=-1)[:, 0]
    below = np.take_along_axis(np.cumsum(counts, axis=-1), at, axis=-1)[:, 0]
    return (
        np.where(up, share, 1.0 - share),
        np.where(up, below, counts.sum(axis=-1) - below),
    )


def _path(q: FloatArray, ratio: FloatArray, far: FloatArray) -> FloatArray:
    """From q (far 0) through the window's shares (far 1) and beyond, within the simplex."""
    p = q * np.exp(np.clip(far[..., None] * ratio, -30.0, 30.0))
    out: FloatArray = p / np.maximum(p.sum(axis=-1, keepdims=True), 1e-300)
    return out


def _tangent(
    kind: Distance, counts: FloatArray, window: FloatArray, q: FloatArray, threshold: FloatArray
) -> FloatArray:
    there = (q > 0) & (window > 0)
    ratio = np.where(there, np.log(np.where(there, window, 1.0) / np.where(there, q, 1.0)), 0.0)
    far = np.sqrt(threshold / np.maximum(distance(kind, window, q), 1e-12))
    far = np.clip(far, *_REACH)
    point = _path(q, ratio, far)
    far = np.clip(far * np.sqrt(threshold / np.maximum(distance(kind, point, q), 1e-12)), *_REACH)
    point = _path(q, ratio, far)
    score = slope(kind, point, q)
    bound = threshold - distance(kind, point, q) + (score * point).sum(axis=-1)
    lowest = np.where(there, score, np.inf).min(axis=-1)
    largest = _CAREFUL / np.maximum(bound - lowest, 1e-9)
    lost = np.where(there, score - bound[:, None], 0.0)
    out = np.empty((len(counts), len(TIMES)))
    for j, times in enumerate(TIMES):
        truth = _path(q, ratio, far * np.sqrt(times))
        mean = (truth * lost).sum(axis=-1)
        square = (truth * lost**2).sum(axis=-1)
        bet = np.clip(mean / np.maximum(square, 1e-12), 0.0, largest)
        out[:, j] = (counts * np.log1p(bet[:, None] * lost)).sum(axis=-1)
    return out
