"""The promised risks, over many seeded runs, at the boundary where they are hardest to keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sluice.evidence import CheckPlan, EvidenceBank, Increment, Kind

NONE = np.zeros(0)
ERRORS = CheckPlan("errors", Kind.COMPARE_RATE)
Rate = float | Callable[[int], float]


def rate_at(rate: Rate, pulse: int) -> float:
    return rate(pulse) if callable(rate) else rate


def ended(
    candidate: Rate,
    stable: Rate,
    *,
    plan: CheckPlan = ERRORS,
    runs: int,
    seed: int,
    share: Rate = 0.2,
    requests: int = 300,
    pulses: int = 120,
    skew: float = 1.0,
) -> tuple[int, int, float]:
    """Runs ever harmed, runs ever passed, median candidate requests until harm (inf: none)."""
    rng = np.random.default_rng(seed)
    bank = EvidenceBank(skew=skew)
    keys = [str(i) for i in range(runs)]
    for key in keys:
        bank.open(key, (plan,), ())
    harmed = np.full(runs, np.inf)
    passed = np.zeros(runs, dtype=bool)
    sent = np.zeros(runs)
    for pulse in range(pulses):
        n = rng.poisson(requests, runs)
        n_c = rng.binomial(n, rate_at(share, pulse))
        k_c = rng.binomial(n_c, rate_at(candidate, pulse))
        k_s = rng.binomial(n - n_c, rate_at(stable, pulse))
        sent += n_c
        sides = zip(keys, n_c, k_c, n - n_c, k_s, strict=True)
        bank.update({key: Increment(a, b, c, d, NONE, NONE) for key, a, b, c, d in sides})
        results = [bank.results(key)[0] for key in keys]
        now = np.array([result.harmed for result in results])
        harmed = np.where(now, np.minimum(harmed, sent), harmed)
        passed |= [result.passed for result in results]
    return int(np.isfinite(harmed).sum()), int(passed.sum()), float(np.median(harmed))


def wilson_low(events: int, runs: int, z: float = 2.576) -> float:
    """Lower end of the Wilson interval (99%): a promised bound is refuted if it lies below."""
    p = events / runs
    middle = p + z * z / (2 * runs)
    spread = z * float(np.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs)))
    return (middle - spread) / (1 + z * z / runs)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_candidate_like_the_stable_is_rarely_rolled_back(share: float) -> None:
    harmed, _, _ = ended(0.005, 0.005, runs=600, seed=11, share=share)
    assert wilson_low(harmed, 600) <= ERRORS.alpha


def test_a_candidate_at_the_acceptable_boundary_is_rarely_rolled_back() -> None:
    plan = CheckPlan("errors", Kind.COMPARE_RATE, acceptable=1.5, unacceptable=3.0)
    harmed, _, _ = ended(0.015, 0.01, plan=plan, runs=600, seed=12)
    assert wilson_low(harmed, 600) <= plan.alpha


def test_an_unacceptable_candidate_is_rarely_passed() -> None:
    _, passed, _ = ended(0.01, 0.005, runs=600, seed=13)
    assert wilson_low(passed, 600) <= ERRORS.beta
    _, passed, _ = ended(0.025, 0.005, runs=600, seed=14, pulses=40)
    assert passed == 0


def test_a_rate_at_the_limit_is_rarely_rolled_back_and_rarely_passed() -> None:
    plan = CheckPlan("errors", Kind.LIMIT_RATE, limit=0.02)
    harmed, passed, _ = ended(0.02, 0.0, plan=plan, runs=600, seed=15)
    assert wilson_low(harmed, 600) <= plan.alpha
    assert wilson_low(passed, 600) <= plan.beta


def test_weights_that_change_carry_the_evidence_without_breaking_the_risk() -> None:
    share = lambda pulse: (0.05, 0.2, 0.5)[min(pulse // 20, 2)]  # noqa: E731
    harmed, passed, _ = ended(0.005, 0.005, runs=400, seed=16, share=share)
    assert wilson_low(harmed, 400) <= ERRORS.alpha
    assert passed > 350


def test_an_outage_shared_by_both_sides_is_not_harm() -> None:
    outage = lambda pulse: 0.2 if 20 <= pulse < 30 else 0.005  # noqa: E731
    harmed, _, _ = ended(outage, outage, runs=400, seed=17, pulses=60)
    assert wilson_low(harmed, 400) <= ERRORS.alpha


def test_an_outage_that_one_sides_scrapes_show_an_increment_late_is_not_harm() -> None:
    early = lambda pulse: 1.0 if 20 <= pulse < 30 else 0.005  # noqa: E731
    late = lambda pulse: 1.0 if 21 <= pulse < 31 else 0.005  # noqa: E731
    harmed, _, _ = ended(early, late, runs=300, seed=18, pulses=40)
    assert wilson_low(harmed, 300) <= ERRORS.alpha
    harmed, _, _ = ended(early, late, runs=300, seed=18, pulses=40, skew=0.0)
    assert harmed == 300, "without the guard this is what would happen"


@pytest.mark.parametrize(
    ("ratio", "share", "limit", "pulses_beyond"),
    [(2.0, 0.2, 3140, 10), (5.0, 0.2, 335, 4), (20.0, 0.2, 42, 3), (5.0, 0.05, 250, 8)],
)
def test_harm_is_found_near_the_information_limit(
    ratio: float, share: float, limit: float, pulses_beyond: float
) -> None:
    """`limit`: candidate requests that no test at alpha 1% can beat (sluice.evidence.limits)."""
    _, _, median = ended(0.005 * ratio, 0.005, runs=200, seed=19, share=share, pulses=160)
    assert median <= limit + pulses_beyond * 300 * share


def test_late_harm_is_found_after_hours_of_good_behaviour() -> None:
    late = lambda pulse: 0.005 if pulse < 480 else 0.05  # noqa: E731
    harmed, _, median = ended(late, 0.005, runs=100, seed=20, pulses=500)
    assert harmed >= 99
    assert median <= (480 + 12) * 300 * 0.2


def test_a_candidate_whose_requests_all_fail_is_rolled_back_in_two_increments() -> None:
    harmed, passed, median = ended(1.0, 0.005, runs=50, seed=21, pulses=3)
    assert (harmed, passed) == (50, 0)
    assert median <= 2.3 * 300 * 0.2
    harmed, _, _ = ended(1.0, 0.005, runs=50, seed=21, pulses=1, skew=0.34)
    assert harmed == 50, "more than a shifted scrape explains: one increment is enough"
