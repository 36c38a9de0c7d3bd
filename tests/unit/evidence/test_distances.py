"""Distances of binned distributions against hand-made values, and their small-sample noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.evidence.distances import (
    Distance,
    corrected,
    distance,
    ks_p_value,
    noise,
    plain_shares,
    radius,
    shares,
    slope,
)

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
ALL = np.ones(3, np.bool_)


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [
        (Distance.PSI, 0.1 * math.log(1.25) - 0.1 * math.log(0.75)),
        (Distance.KL, 0.5 * math.log(1.25) + 0.3 * math.log(0.75)),
        (
            Distance.JS,
            0.5 * (0.5 * math.log(0.5 / 0.45) + 0.3 * math.log(0.3 / 0.35))
            + 0.5 * (0.4 * math.log(0.4 / 0.45) + 0.4 * math.log(0.4 / 0.35)),
        ),
        (Distance.KS, 0.1),
        (Distance.TV, 0.1),
    ],
)
def test_definitions(kind: Distance, by_hand: float) -> None:
    assert distance(kind, P, Q) == pytest.approx(by_hand)


def test_half_a_standard_deviation_in_deciles_is_a_psi_of_a_quarter_and_a_ks_of_a_fifth() -> None:
    """Jeffreys' divergence of two normals is the squared distance, .25; bins lose a little."""
    from bench.drift.traffic import shares as of_normal

    p, q = of_normal(0.5) / 0.99, of_normal(0.0) / 0.99
    p, q = p[:10], q[:10]
    assert 0.22 < distance(Distance.PSI, p, q) < 0.25
    assert distance(Distance.KS, p, q) == pytest.approx(0.1915, abs=0.01)


def test_empty_and_padded_bins_are_finite() -> None:
    live, training = np.array([5.0, 0, 3, 0]), np.array([0.0, 9, 3, 0])
    there = np.array([True, True, True, False])
    p, q = shares(live, there), shares(training, there)
    assert p.tolist() == pytest.approx([5.5 / 9.5, 0.5 / 9.5, 3.5 / 9.5, 0.0])
    for kind in Distance:
        assert np.isfinite(distance(kind, p, q))
    assert plain_shares(np.zeros(4)).tolist() == [0.0] * 4


@pytest.mark.parametrize("kind", list(Distance))
@pytest.mark.parametrize("n", [100, 1000])
def test_the_noise_without_drift_is_what_is_taken_off(kind: Distance, n: int) -> None:
    rng = np.random.default_rng(81)
    q, m = np.full(10, 0.1), 5000
    live, training = rng.multinomial(n, q, 4000), rng.multinomial(m, q, 4000)
    make = plain_shares if kind.is_cut else shares
    found = distance(kind, make(live.astype(float)), make(training.astype(float)))
    expected = float(noise(kind, q, np.array(n), np.array(m), np.ones(10, np.bool_)))
    if kind is Distance.KS:  # the root of the mean square of one cut: the largest of nine is more
        assert expected < found.mean() < 1.8 * expected
    else:
        assert found.mean() == pytest.approx(expected, rel=0.08)  # half a request a bin shrinks
    assert corrected(kind, found, np.array(expected)).min() >= 0.0


@pytest.mark.parametrize("kind", list(Distance))
def test_the_threshold_is_widened_by_at_least_what_a_profile_may_be_off(kind: Distance) -> None:
    rng = np.random.default_rng(82)
    q, m = np.full(10, 0.1), 2000
    training = rng.multinomial(m, q, 4000).astype(float)
    off = distance(kind, np.broadcast_to(q, training.shape), plain_shares(training))
    wider = float(radius(kind, np.array(0.0), np.array(m), np.ones(10, np.bool_)))
    assert (off > wider).mean() <= 0.015


def test_kolmogorovs_quantiles() -> None:
    """The 95% and 99% points of sqrt(n) D are 1.358 and 1.628 for large n."""
    n, many = np.array(1e8), np.array(1e12)
    assert ks_p_value(1.3581 / np.sqrt(n), n, many) == pytest.approx(0.05, abs=2e-4)
    assert ks_p_value(1.6276 / np.sqrt(n), n, many) == pytest.approx(0.01, abs=1e-4)
    assert ks_p_value(np.array(0.0), n, many) == 1.0


def test_the_ks_p_value_is_an_upper_bound_on_bins() -> None:
    rng = np.random.default_rng(83)
    q = np.full(10, 0.1)
    one, two = (plain_shares(rng.multinomial(200, q, 4000).astype(float)) for _ in range(2))
    p = ks_p_value(distance(Distance.KS, one, two), np.array(200.0), np.array(200.0))
    assert (p <= 0.05).mean() <= 0.055


counts = st.lists(st.integers(0, 500), min_size=4, max_size=4).filter(lambda c: sum(c) > 0)


@settings(deadline=None)
@given(counts, counts, counts, st.floats(0.0, 1.0))
def test_distances_are_never_negative_zero_at_home_and_convex(
    a: list[int], b: list[int], c: list[int], part: float
) -> None:
    p, r, q = (shares(np.array(x, dtype=float)) for x in (a, b, c))
    for kind in Distance:
        assert distance(kind, p, q) >= -1e-12
        assert abs(distance(kind, q, q)) < 1e-12
        between = distance(kind, part * p + (1 - part) * r, q)
        ends = part * distance(kind, p, q) + (1 - part) * distance(kind, r, q)
        assert between <= ends + 1e-9


@settings(deadline=None)
@given(counts, counts, counts)
def test_a_tangent_lies_below_what_the_bets_rely_on(
    a: list[int], b: list[int], c: list[int]
) -> None:
    p, at, q = (shares(np.array(x, dtype=float)) for x in (a, b, c))
    for kind in (Distance.PSI, Distance.KL, Distance.JS):
        tangent = distance(kind, at, q) + (slope(kind, at, q) * (p - at)).sum()
        assert distance(kind, p, q) >= tangent - 1e-9


def test_a_cut_has_no_gradient() -> None:
    with pytest.raises(ValueError, match="set of bins"):
        slope(Distance.KS, P, Q)
