"""How much a distribution wanders by itself: its design effect, over 1, 2, 4, ... pulses.

Requests hang together: one client sends a hundred like ones, the morning's users differ from the
evening's. A share then varies more than independent requests say, and what is independent at ten
seconds need not be at an hour. Neighbouring blocks of 2^s pulses are compared (Allan's variance;
batch means): the squared difference over what independent requests would give has mean 1 without,
and the design effect with. The largest over the scales is told. A change in the world is one pair
of blocks at every scale, and no pair counts for more than a few usual ones, so drift is not taken
for wandering; a slow wave of the day is, where it is not compared with the same hours
(`evidence.seasons`).

What is kept is small: per scale the last block, as its requests and the sums of D scores. The
scores are orthogonal polynomials of the bin (location and spread; `contrasts`), which see what
moves a cumulative share.
"""

from __future__ import annotations

import numpy as np

from sluice.evidence.formulas import BoolArray, FloatArray, Floats

SCALES = 10
MOST = 1e5
_SURE = 4.0  # pairs of a scale before it tells anything
_MEMORY = 400.0  # pairs that are remembered
_USUAL = 6.0  # a pair counts for at most so many usual ones
_CARE = 1.3  # as in evidence.spread: the tail is heavier than the divided likelihood says
_OPEN = 3.0  # before so many pairs of a scale, what is usual is told by the scale below:
_GROWTH = 8.0  # at most so many times its ratio (a wave gives 4 times per doubling, chance more)


def contrasts(q: FloatArray, degree: int = 2) -> FloatArray:
    """Scores (..., K, D) of the bins: orthogonal polynomials of their order, under shares `q`."""
    middle = np.cumsum(q, axis=-1) - 0.5 * q
    root = np.sqrt(q)[..., None]
    powers = np.stack([(middle - 0.5) ** d for d in range(degree + 1)], axis=-1)
    basis = np.linalg.qr(root * powers).Q[..., 1:]
    return np.where(root > 1e-12, basis / np.maximum(root, 1e-12), 0.0)


class Wander:
    """The state of N rollouts and F features (D scores), and what it tells.

    `blocks` (N, F, S, 1 + D): the last block of every scale, requests and sums of scores;
    `ratios` (N, F, S, D): mean squared differences over what independence gives; `pairs` (N, F, S):
    how many were compared; `odd` (N,) counts the pulses.
    """

    def __init__(self, size: int, features: int, scores: int, scales: int = SCALES) -> None:
        self.scales = scales
        self.fields: dict[str, Floats] = {
            "blocks": np.zeros((size, features, scales, 1 + scores), np.float32),
            "ratios": np.zeros((size, features, scales, scores), np.float32),
            "pairs": np.zeros((size, features, scales), np.float32),
            "odd": np.zeros(size, np.float64),
        }
        self._told = np.ones((size, features))

    def learn(
        self, rows: np.ndarray[tuple[int], np.dtype[np.intp]], now: FloatArray, variance: FloatArray
    ) -> None:
        """One more pulse of `rows`: `now` (B, F, 1 + D), and the variance of a score (B, F, D)."""
        fields = self.fields
        block, at = now.astype(np.float64), rows
        for scale in range(self.scales):
            # Every pulse closes a block of scale 0, every second one of scale 1, ...
            last = fields["blocks"][at, :, scale].astype(np.float64)
            self._compare(at, scale, last, block, variance)
            fields["blocks"][at, :, scale] = block
            step = int(2**scale)
            whole = (fields["odd"][at] // step) % 2 == 1
            if not whole.any():
                break
            block, variance, at = (last + block)[whole], variance[whole], at[whole]
        fields["odd"][rows] += 1
        self._told[rows] = self._factor(rows)

    def _compare(
        self,
        at: np.ndarray[tuple[int], np.dtype[np.intp]],
        scale: int,
        last: FloatArray,
        now: FloatArray,
        variance: FloatArray,
    ) -> None:
        n1, n2 = last[..., :1], now[..., :1]
        known = (n1 > 1.0) & (n2 > 1.0)
        m1, m2 = np.where(known, n1, 1.0), np.where(known, n2, 1.0)
        expected = np.maximum(variance, 1e-6) * (1.0 / m1 + 1.0 / m2)
        ratio = (last[..., 1:] / m1 - now[..., 1:] / m2) ** 2 / expected
        pairs = self.fields["pairs"][at, :, scale]
        mean = self.fields["ratios"][at, :, scale].astype(np.float64)
        most = _USUAL * np.maximum(mean, 1.0)
        if scale:
            finer = self.fields["ratios"][at, :, scale - 1].astype(np.float64)
            few = (pairs < _OPEN)[..., None]
            most = np.where(few, _GROWTH * np.maximum(finer, 1.0), most)
        else:
            most = np.where((pairs < _OPEN)[..., None], MOST, most)
        ratio = np.minimum(ratio, most)
        told = known[..., 0]
        pairs = np.minimum(pairs + told, _MEMORY)
        part = np.where(told, 1.0 / np.maximum(pairs, 1.0), 0.0)[..., None]
        self.fields["ratios"][at, :, scale] = mean + part * (ratio - mean)
        self.fields["pairs"][at, :, scale] = pairs

    def _factor(self, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
        pairs = self.fields["pairs"][rows].astype(np.float64)
        mean = self.fields["ratios"][rows].max(axis=-1).astype(np.float64)
        # Chance makes the largest of a few scores look larger than 1: one standard error less,
        # where there are enough pairs to have one.
        less = 1.6 * np.sqrt(2.0 / np.maximum(pairs, 1.0))
        lower = mean / (1.0 + less)
        factor = np.where(pairs >= _SURE, 1.0 + _CARE * (lower - 1.0), 1.0)
        out: FloatArray = np.clip(factor.max(axis=-1), 1.0, MOST)
        return out

    def told(self, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatArray:
        """The design effect (B, F), at least 1: what evidence is divided by."""
        return self._told[rows]

    def known(self, rows: np.ndarray[tuple[int], np.dtype[np.intp]], scale: int) -> BoolArray:
        """Shape (B, F): enough blocks of 2^scale pulses were compared to tell."""
        enough: BoolArray = self.fields["pairs"][rows, :, scale] >= _SURE
        return enough

    def fit(self, size: int) -> None:
        """Make room; the arrays of `fields` have grown already."""
        told = np.ones((size, self._told.shape[1]))
        told[: len(self._told)] = self._told[:size]
        self._told = told

    def recall(self, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        """After the state was restored."""
        self._told[rows] = self._factor(rows)
