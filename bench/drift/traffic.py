"""Requests of many models in bins, pulse by pulse, and their feedback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BINS, SPECIAL = 10, 2
"""Deciles of the training, then unseen and missing values."""
MISSING = 0.01
RPS = 10.0
TRAINING = 10_000
DAY = 86_400.0

_EDGES = np.array([NormalDist().inv_cdf(i / BINS) for i in range(1, BINS)])
_STEP, _MOST = 0.005, 3.0


def shares(shift: float) -> FloatArray:
    """Shares of the bins when a standard normal feature has moved by `shift` sd."""
    normal = NormalDist(shift)
    cumulative = np.array([0.0, *(normal.cdf(e) for e in _EDGES), 1.0])
    return np.concatenate([np.diff(cumulative) * (1 - MISSING), [0.0, MISSING]])


_TABLE = np.array([shares(s) for s in np.arange(-_MOST, _MOST + _STEP / 2, _STEP)])


def looked_up(shift: FloatArray) -> FloatArray:
    """`shares` of an array of shifts, to the nearest two-hundredth of a standard deviation."""
    at = np.rint((np.clip(shift, -_MOST, _MOST) + _MOST) / _STEP).astype(np.intp)
    return _TABLE[at]


@dataclass(frozen=True)
class World:
    """How requests vary while nothing changes.

    `fano`: variance of a bin's requests per pulse over their mean (bunches of like requests of
    one client). `swing` (sd): the mean of every feature goes up and down once a day, `busy` the
    part by which traffic does. `wander` (sd) and `memory` (s): a stationary AR(1) of the means.
    """

    name: str
    what: str
    fano: float = 1.0
    swing: float = 0.0
    busy: float = 0.0
    wander: float = 0.0
    memory: float = 3600.0
    rps: float = RPS


def profile(world: World, rng: np.random.Generator, models: int, features: int) -> FloatArray:
    """Training counts (models, features, bins): whole days of the same world."""
    if world.swing:
        phases = np.linspace(0, 2 * math.pi, 200, endpoint=False)
        weights = 1 + world.busy * np.sin(phases)
        mixed = looked_up(world.swing * np.sin(phases + 1.0))
        p = (weights[:, None] * mixed).sum(axis=0) / weights.sum()
    else:
        spread = math.sqrt(1 + world.wander**2)
        inner = np.diff([0.0, *(NormalDist(0, spread).cdf(e) for e in _EDGES), 1.0])
        p = np.concatenate([inner * (1 - MISSING), [0.0, MISSING]])
    return rng.multinomial(TRAINING, p, size=(models, features)).astype(np.float64)


def pulses(
    world: World,
    rng: np.random.Generator,
    models: int,
    features: int,
    seconds: float,
    count: int,
    moved: FloatArray | None = None,
    begin: float = 0.0,
) -> Iterator[FloatArray]:
    """Counts (models, features, bins) of `count` pulses.

    `moved` (count, features): by how many sd a feature has moved from its training. `begin`:
    the time of day of the first pulse, seconds.
    """
    latent = rng.normal(0, world.wander or 1.0, (models, features)) if world.wander else None
    keep = math.exp(-seconds / world.memory)
    usual = np.broadcast_to(_TABLE[len(_TABLE) // 2], (models, features, BINS + SPECIAL))
    for i in range(count):
        angle = 2 * math.pi * (begin + i * seconds) / DAY
        n = world.rps * seconds * (1 + world.busy * math.sin(angle))
        shift = np.zeros((models, features))
        if world.swing:
            shift += world.swing * math.sin(angle + 1.0)
        if latent is not None:
            fresh = rng.normal(0, world.wander, (models, features))
            latent = keep * latent + math.sqrt(1 - keep**2) * fresh
            shift += latent
        if moved is not None:
            shift += moved[i]
        p = looked_up(shift) if shift.any() else usual
        yield drawn(rng, n * p, world.fano)


def drawn(rng: np.random.Generator, mean: FloatArray, fano: float) -> FloatArray:
    """Poisson counts, or negative binomial ones with variance `fano` times the mean."""
    if fano <= 1.0:
        return rng.poisson(mean).astype(np.float64)
    rate = rng.gamma(np.maximum(mean / (fano - 1.0), 1e-12), fano - 1.0)
    return rng.poisson(rate).astype(np.float64)
