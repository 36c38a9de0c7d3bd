"""How much shares wander is learned at several time scales; a change is not taken for it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sluice.evidence.wander import Wander, contrasts

ROWS = np.arange(20)
N, PULSES = 300, 2880


def told(level: np.ndarray, *, seed: int, fano: float = 1.0) -> np.ndarray:
    """The design effect of a share that follows `level` (T,) or (T, 20) for 20 models."""
    rng = np.random.default_rng(seed)
    wander = Wander(len(ROWS), 1, 1)
    for at in level:
        mean = N * np.broadcast_to(at, (len(ROWS),))
        k = rng.poisson(mean) if fano == 1 else rng.negative_binomial(mean / (fano - 1), 1 / fano)
        k = np.minimum(k, N).astype(float)
        now = np.stack([np.full(len(ROWS), float(N)), k], axis=-1)[:, None]
        variance = np.full((len(ROWS), 1, 1), 0.3)  # Poisson: p, not p (1 - p)
        wander.learn(ROWS, now, variance)
    return wander.told(ROWS)[:, 0]


def ar1(sd: float, memory: float, seed: int) -> np.ndarray:
    rng, keep, x = np.random.default_rng(seed), math.exp(-1 / memory), np.zeros(len(ROWS))
    out = []
    for _ in range(PULSES):
        x = keep * x + math.sqrt(1 - keep**2) * rng.normal(0, sd, len(ROWS))
        out.append(np.clip(0.3 + x, 0.01, 0.99))
    return np.array(out)


def test_independent_requests_have_a_design_effect_of_about_one() -> None:
    assert np.median(told(np.full(PULSES, 0.3), seed=131)) < 1.6


@pytest.mark.parametrize("fano", [4.0, 8.0])
def test_bunches_within_a_pulse(fano: float) -> None:
    assert fano < np.median(told(np.full(PULSES, 0.3), seed=132, fano=fano)) < 2.2 * fano


def test_what_hangs_together_for_an_hour_is_seen_though_neighbours_look_independent() -> None:
    """At 30 s, 3 points with a memory of an hour add 2% to the variance of neighbours."""
    assert np.median(told(ar1(0.03, 120, 133), seed=133)) > 20


def test_one_change_is_no_wandering() -> None:
    level = np.full(PULSES, 0.3)
    level[1500:] = 0.5
    assert np.median(told(level, seed=134)) < 8


def test_scores_are_orthonormal_under_the_training() -> None:
    q = np.array([0.1, 0.3, 0.2, 0.15, 0.25])
    scores = contrasts(q)
    assert q @ scores == pytest.approx(np.zeros(2), abs=1e-12)
    assert scores.T @ (q[:, None] * scores) == pytest.approx(np.eye(2))
