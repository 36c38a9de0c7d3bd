"""How bunched the stable's failures are is learned from its own counts, and only used to ask for
more evidence."""

from __future__ import annotations

import numpy as np
import pytest

from sluice.evidence import EDGES, CheckPlan, EvidenceBank, Increment, Kind
from sluice.evidence.spread import MOST, factor, learn

NONE = np.zeros(0)
PLAN = CheckPlan("errors", Kind.COMPARE_RATE)


def told(counts: np.ndarray) -> float:
    """The factor after these (n, k) of one stable, oldest first."""
    state = np.zeros((1, 1, 3), dtype=np.float32)
    last = np.zeros((1, 2), dtype=np.float32)
    for row in counts:
        now = row[None, :].astype(np.float64)
        state = learn(state, last, now)
        last = now.astype(np.float32)
    return float(factor(state)[0, 0])


def bunched(rng: np.random.Generator, fano: float, mean: float, moments: int) -> np.ndarray:
    """Negative binomial failures among 300 requests each; Poisson where fano is 1."""
    if fano > 1:
        shape = mean / (fano - 1)
        failed = rng.negative_binomial(shape, 1 / fano, moments)
    else:
        failed = rng.poisson(mean, moments)
    return np.stack([np.full(moments, 300), np.minimum(failed, 300)], axis=1)


@pytest.mark.parametrize(
    ("fano", "mean", "low", "high"),
    [
        (1, 1.5, 1.0, 1.25),
        (1, 30, 1.0, 1.25),
        (2, 1.5, 1.7, 3.0),
        (4, 1.5, 3.0, 6.5),
        (4, 30, 3, 6),
    ],
)
def test_the_fano_factor_is_told_within_its_care(
    fano: float, mean: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(71)
    factors = [told(bunched(rng, fano, mean, 240)) for _ in range(60)]
    assert low <= float(np.median(factors)) <= high
    assert all(1.0 <= one <= MOST for one in factors)


def test_a_level_that_drifts_is_no_overdispersion() -> None:
    rng = np.random.default_rng(72)
    rates = 3.0 * (1.0 + 0.8 * np.sin(np.linspace(0, 2 * np.pi, 240)))
    assert told(np.stack([np.full(240, 300), rng.poisson(rates)], axis=1)) < 1.3


def test_an_outage_in_the_past_counts_for_little() -> None:
    rng = np.random.default_rng(73)
    counts = bunched(rng, 1, 1.5, 240)
    counts[100:120, 1] = rng.binomial(300, 0.5, 20)
    assert told(counts) < 2.0


def test_too_few_pairs_tell_nothing() -> None:
    assert told(np.array([[300, 9], [300, 0], [300, 9]])) == 1.0
    assert told(np.array([[0, 0], [0, 0], [0, 0], [0, 0], [0, 0]])) == 1.0


def bank_with(history: np.ndarray | None) -> EvidenceBank:
    bank = EvidenceBank()
    bank.open("r", (PLAN,), ())
    if history is not None:
        bank.remember({"r": history.astype(np.float64)})
    return bank


def test_evidence_is_divided_by_what_history_says_and_history_is_no_evidence() -> None:
    calm = bank_with(bunched(np.random.default_rng(74), 1, 1.5, 240))
    wild = bank_with(bunched(np.random.default_rng(74), 6, 1.5, 240))
    before = wild.results("r")[0]
    assert (before.n_s, before.log10_harm) == (0, 0.0)
    assert before.dispersion > 3
    for bank in (calm, wild):
        for _ in range(2):
            bank.update({"r": Increment(60, 6, 240, 1, NONE, NONE)})
    assert 0 < wild.results("r")[0].log10_harm < calm.results("r")[0].log10_harm / 2


def test_what_was_learned_survives_a_restart() -> None:
    wild = bank_with(bunched(np.random.default_rng(75), 6, 1.5, 240))
    other = EvidenceBank()
    assert other.open("r", (PLAN,), (), state=wild.export("r"))
    assert other.results("r")[0].dispersion == wild.results("r")[0].dispersion


def slow(share: float, n: int) -> np.ndarray:
    """All requests below 50 ms but this share, which takes longer than every edge."""
    return np.array([n if edge < 0.025 else share * n for edge in EDGES])


def test_a_check_with_its_own_warm_up_ignores_what_comes_before_and_says_so() -> None:
    latency = CheckPlan("latency", Kind.COMPARE_LATENCY, negligible=0.005, warmup=90.0)
    bank = EvidenceBank()
    bank.open("r", (PLAN, latency), EDGES)
    for age in (30.0, 45.0, 60.0, 75.0):
        bank.update({"r": Increment(60, 0, 240, 1, slow(0.9, 60), slow(0.01, 240), age)})
    errors, cold = bank.results("r")
    assert errors.n_c == 240
    assert (cold.n_c, cold.skipped, cold.harmed) == (0, 240, False)
    for age in (90.0, 105.0, 120.0):
        bank.update({"r": Increment(60, 0, 240, 1, slow(0.01, 60), slow(0.01, 240), age)})
    cold = bank.results("r")[1]
    assert (cold.n_c, cold.skipped, cold.harmed) == (180, 240, False)
    assert cold.candidate == pytest.approx(0.01), "the numbers are those that count"
    for age in (135.0, 150.0):
        bank.update({"r": Increment(60, 0, 240, 1, slow(0.9, 60), slow(0.01, 240), age)})
    assert bank.results("r")[1].harmed, "after it slowness is harm"
