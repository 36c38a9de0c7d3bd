"""No bet gains on a distribution within the threshold, whatever its direction: checked exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.evidence.bets import gains
from sluice.evidence.detector import WEEK, advance, cut_gain, total
from sluice.evidence.distances import Distance, distance, shares

weights = st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4)


def normed(values: list[float]) -> np.ndarray:
    one = np.array(values)
    return one / one.sum()


@settings(deadline=None)
@given(weights, weights, weights, st.floats(0.01, 0.4), st.sampled_from(list(Distance)))
def test_one_request_is_not_expected_to_gain(
    truth: list[float], seen: list[float], training: list[float], threshold: float, kind: Distance
) -> None:
    q, window, p = normed(training), normed(seen), normed(truth)
    # The nearest to the truth on the way home that the threshold allows.
    for _ in range(60):
        if distance(kind, p, q) <= threshold:
            break
        p = 0.9 * p + 0.1 * q
    each = np.eye(4)
    out = gains(kind, each, np.tile(window, (4, 1)), np.tile(q, (4, 1)), np.full(4, threshold))
    assert (p @ np.exp(out) <= 1 + 1e-9).all()


@pytest.mark.parametrize("kind", list(Distance))
def test_a_bet_in_the_right_direction_gains(kind: Distance) -> None:
    q = np.full((1, 5), 0.2)
    p = shares(np.array([[10.0, 15, 20, 30, 60]]))
    threshold = np.array([0.3 * float(distance(kind, p, q)[0])])
    gained = gains(kind, 1000 * p, p, q, threshold)
    assert gained.max() > 5


def test_bets_are_linear_in_the_counts() -> None:
    q, window = np.full((1, 4), 0.25), np.array([[0.4, 0.3, 0.2, 0.1]])
    one, two = np.array([[5.0, 1, 0, 2]]), np.array([[1.0, 1, 7, 2]])
    for kind in Distance:
        both = gains(kind, one + two, window, q, np.array([0.1]))
        parts = sum(gains(kind, c, window, q, np.array([0.1])) for c in (one, two))
        assert both == pytest.approx(parts)


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_rewards_between_0_and_1_weigh_less_than_their_bets(
    bound: float, to: float, x: float
) -> None:
    """What is said in the docstring: k ln(q/b) + (1 - k) ln(..) <= ln(1 + lambda (x - b))."""
    b, q = bound, max(bound, to)
    bet = (q / b - 1.0) / (1.0 - b)
    exact = np.log1p(bet * (x - b))
    one = float(cut_gain(np.array(x), np.array(1.0), np.array(b), np.array(q)))
    assert one <= exact + 1e-9


def test_capital_comes_in_by_the_week() -> None:
    log_m = np.full((1, 2), -60.0)
    for _ in range(7):
        log_m = advance(log_m, np.zeros((1, 2)), np.array([86_400.0]))
    assert np.exp(total(log_m))[0] == pytest.approx(1.0)
    assert WEEK == 604_800


def test_a_detector_alarms_no_more_often_than_promised_at_the_boundary() -> None:
    """The hardest null: the share lies on the bound. 1,000 unit-capital weeks, rate 1 in 10."""
    rng = np.random.default_rng(84)
    log_m, alarmed = np.full((1000, 2), -60.0), np.zeros(1000, np.bool_)
    bound, to = np.array([[0.3]]), np.array([[0.33, 0.4]])
    for _ in range(300):
        k = rng.binomial(50, 0.3, 1000)[:, None].astype(float)
        step = cut_gain(k, np.array([[50.0]]), bound, to)
        log_m = advance(log_m, step, np.full(1000, WEEK / 300))
        alarmed |= total(log_m) >= np.log(10)
    assert 0.005 < alarmed.mean() <= 0.1
