"""Numbers that others have published, computed again from their formulas.

They show that the family of tests behind Sluice's verdicts is understood as its authors mean it,
and what the fixed-look rules that it replaces do when looked at repeatedly. The information limits
have a file of their own (test_evidence_limits.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sluice.evidence.formulas import ratio_cost

Array = NDArray[np.float64]


# Lindon & Malek, NeurIPS 2022: Bayes factor of a Dirichlet(k theta0) mixture against theta0


def log_beta(a: Array) -> float:
    return sum(math.lgamma(x) for x in a) - math.lgamma(float(a.sum()))


def likeliest_under_order(counts: Array, rho: Array) -> Array:
    """The likeliest cell probabilities if the first group's rate is no less than any other's.

    Groups that break the order are pooled with the first, the worst one first (order of a tree).
    """
    rates = counts / rho
    pool, level = [0], rates[0]
    for i in sorted(range(1, len(rho)), key=lambda i: -rates[i]):
        if rates[i] > level:
            pool.append(i)
            level = counts[pool].sum() / rho[pool].sum()
    rates[pool] = level
    cells: Array = rho * rates / (rho @ rates)
    return cells


def first_rejection(
    events: NDArray[np.int64], theta0: Array, *, ordered: bool = False, k: float = 100
) -> tuple[int, float]:
    """The first event at which the sequential p-value is at most .05, and that p-value."""
    prior = k * theta0
    counts = np.zeros(len(theta0))
    for n, event in enumerate(events, start=1):
        counts += event
        null = likeliest_under_order(counts, theta0) if ordered else theta0
        seen = counts > 0
        log_null = float((counts[seen] * np.log(null[seen])).sum())
        p = math.exp(log_null - log_beta(prior + counts) + log_beta(prior))
        if p <= 0.05:
            return n, p
    raise AssertionError("never rejected")


def drawn(theta: Array, size: int) -> NDArray[np.int64]:
    return np.random.RandomState(1).multinomial(1, theta, size=size).astype(np.int64)


def test_the_published_poisson_canary_is_stopped_at_210_errors() -> None:
    rho = np.array([0.8, 0.2])
    rates = rho * np.exp([1.5, 2.0])
    n, p = first_rejection(drawn(rates / rates.sum(), 1500), rho)
    assert (n, round(p, 6)) == (210, 0.045580)


def test_the_published_multinomial_example_rejects_at_402() -> None:
    found = first_rejection(drawn(np.array([0.1, 0.3, 0.6]), 1000), np.array([0.1, 0.4, 0.5]))
    assert (found[0], round(found[1], 6)) == (402, 0.048456)


def test_the_published_bernoulli_example_rejects_at_302() -> None:
    rho = np.array([0.1, 0.3, 0.6])
    rates = rho * np.array([0.2, 0.3, 0.4])
    n, p = first_rejection(drawn(rates / rates.sum(), 5250), rho, ordered=True)
    assert (n, round(p, 6)) == (302, 0.049235)


def test_the_canary_would_be_harm_by_our_form_too_and_with_fewer_errors() -> None:
    """The same 1,500 draws: ours knows the direction, the published test looks both ways."""
    rho, rates = 0.2, np.array([0.8, 0.2]) * np.exp([1.5, 2.0])
    events = np.cumsum(drawn(rates / rates.sum(), 1500), axis=0)
    grid = np.array([1.35, 1.8, 2.4, 4.0, 8.0, 25.0])
    cost = ratio_cost(grid, np.array(1.0), np.array(rho))
    logs = events[:, 1:] * np.log(grid) - events.sum(axis=1, keepdims=True) * cost
    evidence = np.exp(logs).mean(axis=1)
    assert np.argmax(evidence >= 20) + 1 < 210


# Turner, Ly & Grunwald: safe 2x2 test, Beta(.18, .18) priors, blocks of na and nb outcomes

BLOCKS = 400


def stopped(
    theta_a: float, theta_b: float, *, runs: int, seed: int, na: int = 1, blocks: int = BLOCKS
) -> Array:
    """The block at which E first reaches 20; inf: not within `blocks`. One outcome of b a block."""
    rng = np.random.default_rng(seed)
    k_a, k_b, log_e = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    stop = np.full(runs, np.inf)
    for block in range(blocks):
        a, b = (0.18 + k_a) / (0.36 + block * na), (0.18 + k_b) / (0.36 + block)
        y_a, y_b = rng.binomial(na, theta_a, runs), rng.binomial(1, theta_b, runs)
        log_e += gain(y_a, y_b, a, b, na)
        stop = np.where((log_e >= math.log(20)) & np.isinf(stop), block + 1, stop)
        k_a += y_a
        k_b += y_b
    return stop


def gain(y_a: NDArray[Any], y_b: NDArray[Any], a: Array, b: Array, na: int) -> Array:
    """The log likelihood ratio of a block: rates (a, b) against their common weighted mean."""
    both = (na * a + b) / (na + 1)
    total: Array = y_a * np.log(a / both) + (na - y_a) * np.log((1 - a) / (1 - both))
    total += y_b * np.log(b / both) + (1 - y_b) * np.log((1 - b) / (1 - both))
    return total


def worst_case(delta: float, *, na: int = 1) -> tuple[float, float]:
    """Blocks for 80% power and blocks expected if one stops there, at the worst base rate."""
    planned, expected = [], []
    for i, theta_a in enumerate(np.linspace(0.001, 0.999 - delta, 11)):
        stop = stopped(theta_a, theta_a + delta, runs=1000, seed=i, na=na)
        planned.append(float(np.quantile(stop, 0.8)))
        expected.append(float(np.minimum(stop, planned[-1]).mean()))
    return max(planned), max(expected)


def test_the_safe_two_by_two_test_needs_the_published_blocks() -> None:
    planned, expected = worst_case(0.3)
    assert planned == pytest.approx(95, abs=8)  # published +- 5, both are simulated
    assert planned == pytest.approx(98.2, rel=0.06)
    assert expected == pytest.approx(56, rel=0.06)


@pytest.mark.parametrize(
    ("delta", "planned", "expected"), [(0.557, 24, 14.6), (0.386, None, 33), (0.9, 7.2, 5.3)]
)
def test_larger_differences_need_the_published_blocks(
    delta: float, planned: float | None, expected: float
) -> None:
    found = worst_case(delta)
    # The published 7.2 is an average of whole numbers; the published worst case for .386, 69, comes
    # out as 55 here although its expected number fits.
    if planned is not None:
        assert found[0] == pytest.approx(planned, rel=0.1, abs=1.3)
    assert found[1] == pytest.approx(expected, rel=0.06, abs=0.6)


def test_two_outcomes_to_one_need_the_published_blocks() -> None:
    assert worst_case(0.3, na=2)[0] == pytest.approx(79, rel=0.12)


def test_knowing_the_difference_needs_the_published_blocks() -> None:
    """Prior only over (a, a + .3): the restricted alternative, published as 54 blocks."""
    runs, delta = 400, 0.3
    rng = np.random.default_rng(3)
    grid = np.linspace(0, 1 - delta, 302)[1:-1]
    log_w = np.tile((0.18 - 1) * (np.log(grid) + np.log(1 - delta - grid)), (runs, 1))
    log_e, stop = np.zeros(runs), np.full(runs, np.inf)
    for block in range(150):
        weights = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        a = weights @ grid / weights.sum(axis=1)
        y_a, y_b = rng.binomial(1, 0.35, runs), rng.binomial(1, 0.65, runs)
        log_e += gain(y_a, y_b, a, a + delta, 1)
        stop = np.where((log_e >= math.log(20)) & np.isinf(stop), block + 1, stop)
        log_w += np.log(np.where(y_a[:, None] == 1, grid, 1 - grid))
        log_w += np.log(np.where(y_b[:, None] == 1, grid + delta, 1 - delta - grid))
    assert np.quantile(stop, 0.8) == pytest.approx(54, abs=6)


def test_the_safe_test_keeps_its_level_where_peeking_at_fisher_does_not() -> None:
    """No difference, rate .5, a look after every block up to 95: .0235 and .196."""
    safe = np.isfinite(stopped(0.5, 0.5, runs=4000, seed=5, blocks=95)).mean()
    assert safe == pytest.approx(0.0235, abs=0.01)
    rng = np.random.default_rng(6)
    wins = np.cumsum(rng.binomial(1, 0.5, (2, 2000, 95)), axis=2)
    fired = np.zeros(2000, dtype=np.bool_)
    for n in range(5, 96):  # the published simulation looks from the fifth block on
        table = fisher_rejects(n)
        fired |= table[wins[0, :, n - 1], wins[1, :, n - 1]]
    assert fired.mean() == pytest.approx(0.196, abs=0.03)


def fisher_rejects(n: int, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Whether Fisher's exact test (two-sided) rejects, by successes of both groups of n."""
    logs = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
                     for i in range(n + 1)])  # fmt: skip
    rejects = np.zeros((n + 1, n + 1), dtype=np.bool_)
    for total in range(2 * n + 1):
        a = np.arange(max(0, total - n), min(n, total) + 1)
        weights = np.exp(logs[a] + logs[total - a] - (logs[a] + logs[total - a]).max())
        weights /= weights.sum()
        p = np.where(weights[None, :] <= weights[:, None] * (1 + 1e-7), weights[None, :], 0).sum(1)
        rejects[a, total - a] = p <= alpha
    return rejects


# PyFixest's guide to sequential tests (t mixture of Lindon, Ham, Tingley & Bojinov)


def radius(g: float, n: int) -> float:
    """Half-width of the 95% confidence sequence in standard errors, n observations, 2 terms."""
    freedom, ratio = n - 2, g / (g + n)
    edge = (0.05**2 * ratio) ** (1 / (freedom + 1))
    return math.sqrt(freedom * (1 - edge) / (edge - ratio)) if edge > ratio else math.inf


def best_precision(n: int) -> float:
    """The mixture precision that is narrowest at n observations."""
    grid = np.exp(np.linspace(0, math.log(n), 4000))
    return float(min(grid, key=lambda g: radius(g, n)))


def effects(rate: float, candidate: float, size: int, looks: int, seed: int) -> tuple[Array, Array]:
    """Difference of the rates and its robust standard error after every batch (HC1)."""
    rng = np.random.default_rng(seed)
    wins = np.zeros((2, looks))
    for look in range(looks):
        wins[0, look] = rng.binomial(1, rate, size).sum()
        wins[1, look] = rng.binomial(1, candidate, size).sum()
        rng.permutation(2 * size)  # the guide shuffles; only the stream of numbers matters here
    n = size * np.arange(1, looks + 1)
    p = np.cumsum(wins, axis=1) / n
    variance = (p * (1 - p)).sum(axis=0) / n * (2 * n) / (2 * n - 2)
    return p[1] - p[0], np.sqrt(variance)


def test_pyfixests_harmful_canary_is_rolled_back_in_hour_15() -> None:
    hours, size = 48, 500
    effect, error = effects(0.10, 0.07, size, hours, seed=8)
    g = best_precision(2 * size * hours)
    widths = np.array([radius(g, 2 * size * hour) for hour in range(1, hours + 1)])
    assert int(np.argmax(effect + widths * error < -0.01)) + 1 == 15


def test_pyfixests_a_a_tests_alarm_in_25_percent_when_peeking_and_in_1_when_anytime_valid() -> None:
    days, size, runs = 20, 200, 500
    g = best_precision(2 * size * days)
    widths = np.array([radius(g, 2 * size * day) for day in range(1, days + 1)])
    naive = valid = 0
    for run in range(runs):
        effect, error = effects(0.10, 0.10, size, days, seed=42 + run)
        naive += bool((np.abs(effect) >= 1.962 * error).any())
        valid += bool((np.abs(effect) >= widths * error).any())
    assert naive / runs == pytest.approx(0.25, abs=0.02)
    assert valid / runs == pytest.approx(0.010, abs=0.003)


# Drift with fixed looks


def test_a_bare_psi_threshold_fires_42_percent_without_drift() -> None:
    """Ten equal bins, 100 samples against 2,000, PSI > .1."""
    psi = simulated_psi()
    assert (psi > 0.1).mean() == pytest.approx(0.42, abs=0.015)


def test_the_gate_on_the_scaled_chi_square_keeps_its_level() -> None:
    """max(.1, h chi2_9 at 99%): about the 1% promised (the chi-square is asymptotic), not 42%."""
    scale = 1 / 100 + 1 / 2000
    assert (simulated_psi() > max(0.1, scale * 21.666)).mean() < 0.03


def simulated_psi() -> Array:
    rng = np.random.default_rng(2)
    few = np.maximum(rng.multinomial(100, [0.1] * 10, 20_000), 1e-2) / 100
    many = rng.multinomial(2000, [0.1] * 10, 20_000) / 2000
    psi: Array = ((few - many) * np.log(few / many)).sum(axis=1)
    return psi
