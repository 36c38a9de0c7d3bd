"""How far two binned distributions are apart: definitions, small-sample noise, corrections.

Counts have shape (..., K): K bins fixed at training, the ordinary ones in order, then the bin for
categories that training never saw, then the one for missing values. Bins that a feature does not
have are padding: zero in both. Everything broadcasts over the leading axes (rollouts, features).

With p the live shares and q the training's:

- PSI = sum (p - q) ln(p/q), the population stability index (Jeffreys' divergence, nats)
- KL  = sum p ln(p/q), nats
- JS  = half KL(p, m) + half KL(q, m), m their mean; nats, at most ln 2
- KS  = the largest difference of the cumulative shares, 0 to 1
- TV  = half of the sum of |p - q|, the largest difference over all sets of bins, 0 to 1

All five are convex in p. Without any drift a distance of two samples is above 0: of n and m
requests, h = 1/n + 1/m, PSI/h, 2 KL/h and 8 JS/h are about chi-square with K - 1 degrees of freedom
(Yurdakul & Naranjo 2020 for PSI, Wilks 1938), sqrt(1/h) KS at most Kolmogorov's (on bins it is
stochastically smaller), and TV has mean sum sqrt(q (1 - q) h / (2 pi)).
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from sluice.evidence.formulas import BoolArray, FloatArray

_HALF = 0.5  # added to every bin (Krichevsky & Trofimov): no share is 0, whatever was not seen


class Distance(StrEnum):
    """What is measured."""

    PSI = "psi"
    KL = "kl"
    JS = "js"
    KS = "ks"
    TV = "tv"

    @property
    def is_cut(self) -> bool:
        """The distance is a difference of shares of one set of bins."""
        return self in (Distance.KS, Distance.TV)


_CHI = {Distance.PSI: 1.0, Distance.KL: 2.0, Distance.JS: 8.0}
"""What a divergence has to be multiplied with to be a chi-square times h."""


def shares(counts: FloatArray, bins: BoolArray | None = None) -> FloatArray:
    """Shares with half a request added to every bin; padding (`bins` False) stays 0."""
    there = np.ones(counts.shape, np.bool_) if bins is None else bins
    more = np.where(there, counts + _HALF, 0.0)
    out: FloatArray = more / np.maximum(more.sum(axis=-1, keepdims=True), 1e-300)
    return out


def plain_shares(counts: FloatArray) -> FloatArray:
    """Shares as they were counted; all 0 where nothing was."""
    out: FloatArray = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-300)
    return out


def distance(kind: Distance, p: FloatArray, q: FloatArray) -> FloatArray:
    """The distance of shares `p` from `q`. A divergence takes smoothed shares (`shares`)."""
    if kind is Distance.KS:
        ks: FloatArray = np.abs(np.cumsum(p - q, axis=-1)).max(axis=-1)
        return ks
    if kind is Distance.TV:
        tv: FloatArray = 0.5 * np.abs(p - q).sum(axis=-1)
        return tv
    if kind is Distance.PSI:
        psi: FloatArray = ((p - q) * _log_ratio(p, q)).sum(axis=-1)
        return psi
    if kind is Distance.KL:
        return _kl(p, q)
    middle = 0.5 * (p + q)
    return 0.5 * (_kl(p, middle) + _kl(q, middle))


def slope(kind: Distance, p: FloatArray, q: FloatArray) -> FloatArray:
    """The gradient of a divergence in p, bin by bin, up to a constant; 0 for padding."""
    if kind.is_cut:
        raise ValueError(f"{kind} has no gradient; a set of bins is its direction")
    if kind is Distance.PSI:
        with np.errstate(divide="ignore", invalid="ignore"):
            back = np.where(p > 0, q / np.where(p > 0, p, 1.0), 0.0)
        return np.where(p > 0, _log_ratio(p, q) - back, 0.0)
    if kind is Distance.KL:
        return _log_ratio(p, q)
    return 0.5 * _log_ratio(p, 0.5 * (p + q))


def noise(
    kind: Distance, q: FloatArray, live: FloatArray, training: FloatArray, bins: BoolArray
) -> FloatArray:
    """The distance to expect without drift, at `live` and `training` (effective) requests.

    For a divergence its mean, (K - 1) h over 1, 2 or 8. For KS the root of the mean square of the
    widest cut; for TV the mean.
    """
    h = 1.0 / np.maximum(live, 1e-9) + 1.0 / np.maximum(training, 1e-9)
    if kind is Distance.KS:
        cumulative = np.clip(np.cumsum(q, axis=-1), 0.0, 1.0)
        widest = (cumulative * (1.0 - cumulative)).max(axis=-1)
        ks: FloatArray = np.sqrt(widest * h)
        return ks
    if kind is Distance.TV:
        tv: FloatArray = np.sqrt(q * (1.0 - q) * h[..., None] / (2.0 * math.pi)).sum(axis=-1)
        return tv
    freedom = np.maximum(bins.sum(axis=-1) - 1, 0)
    mean: FloatArray = freedom * h / _CHI[kind]
    return mean


def corrected(kind: Distance, found: FloatArray, expected: FloatArray) -> FloatArray:
    """The distance without its small-sample part, at least 0.

    Divergences are squares of differences, so the noise adds to them; KS and TV are differences,
    and the squares add.
    """
    if kind.is_cut:
        out: FloatArray = np.sqrt(np.maximum(found**2 - expected**2, 0.0))
        return out
    return np.maximum(found - expected, 0.0)


def radius(
    kind: Distance, threshold: FloatArray, training: FloatArray, bins: BoolArray, risk: float = 0.01
) -> FloatArray:
    """`threshold` made larger by how far the profile of `training` requests may be off.

    KS: the inequality of Dvoretzky, Kiefer, Wolfowitz with Massart's constant; TV: its mean bound
    and McDiarmid's; divergences: roots add like lengths, chi-square quantile by Wilson & Hilferty.
    """
    m = np.maximum(training, 1.0)
    count = np.maximum(bins.sum(axis=-1), 1)
    if kind is Distance.KS:
        wider: FloatArray = threshold + np.sqrt(math.log(2.0 / risk) / (2.0 * m))
        return wider
    if kind is Distance.TV:
        spread: FloatArray = np.sqrt(count / (2.0 * math.pi * m))
        return threshold + spread + np.sqrt(math.log(1.0 / risk) / (2.0 * m))
    freedom = np.maximum(count - 1.0, 1.0)
    z = 2.326348 if risk == 0.01 else math.sqrt(2.0 * math.log(1.0 / risk))
    part = 2.0 / (9.0 * freedom)
    chi = freedom * (1.0 - part + z * np.sqrt(part)) ** 3
    longer: FloatArray = (np.sqrt(threshold) + np.sqrt(chi / (m * _CHI[kind]))) ** 2
    return longer


def ks_p_value(found: FloatArray, live: FloatArray, training: FloatArray) -> FloatArray:
    """Chance of a KS at least as large without drift, at one look (Kolmogorov; Stephens 1970).

    On binned data it is an upper bound. The small-sample factor is Stephens'.
    """
    n = live * training / np.maximum(live + training, 1e-300)
    root = np.sqrt(np.maximum(n, 1e-300))
    x = (root + 0.12 + 0.11 / root) * found
    k = np.arange(1, 101)
    terms = np.where(k % 2 == 1, 2.0, -2.0) * np.exp(-2.0 * (k * x[..., None]) ** 2)
    out: FloatArray = np.where(x < 0.2, 1.0, np.clip(terms.sum(axis=-1), 0.0, 1.0))
    return out


def _log_ratio(p: FloatArray, q: FloatArray) -> FloatArray:
    both = (p > 0) & (q > 0)
    out: FloatArray = np.log(np.where(both, p, 1.0) / np.where(both, q, 1.0))
    return out


def _kl(p: FloatArray, q: FloatArray) -> FloatArray:
    out: FloatArray = (p * _log_ratio(p, q)).sum(axis=-1)
    return out
