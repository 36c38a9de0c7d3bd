"""Blue-green without a shadow: green against blue's past, over many seeded runs.

Blue is watched until its past is known well enough, then all traffic is green's for a bake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from sluice.evidence import CheckPlan, EvidenceBank, Increment, Kind

NONE = np.zeros(0)
ERRORS = CheckPlan("errors", Kind.COMPARE_RATE)
RUNS = 1000


@dataclass
class Switched:
    """`back`: runs that were switched back in the bake; `waited`: blue's requests until then."""

    back: int
    waited: float
    rate: tuple[float, float]


def interval(events: int, runs: int, z: float = 2.576) -> tuple[float, float]:
    """Wilson interval, 99%."""
    p = events / runs
    middle = p + z * z / (2 * runs)
    spread = z * float(np.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs)))
    scale = 1 + z * z / runs
    return (middle - spread) / scale, (middle + spread) / scale


def one_increment(
    rng: np.random.Generator, runs: int, rate: float, requests: int
) -> tuple[np.ndarray, np.ndarray]:
    n = rng.poisson(requests, runs)
    return n, rng.binomial(n, rate)


def switched(
    blue: float, green: float, *, seed: int, plan: CheckPlan = ERRORS, requests: int = 300,
    increments: int = 40, runs: int = RUNS,
) -> Switched:  # fmt: skip
    rng = np.random.default_rng(seed)
    bank = EvidenceBank(skew=1.0)
    keys = [str(i) for i in range(runs)]
    for key in keys:
        bank.open(key, (plan,), ())
    waiting, waited = set(keys), 0.0
    for _ in range(400):
        n, k = one_increment(rng, runs, blue, requests)
        now = sorted(waiting, key=int)
        past = {key: Increment(0, 0, n[int(key)], k[int(key)], NONE, NONE) for key in now}
        bank.update(past, stable_only=now)
        waited += sum(float(n[int(key)]) for key in now)
        waiting = {key for key in now if bank.stable_left(key) != (0,)}
        if not waiting:
            break
    assert not waiting, f"{len(waiting)} still wait"
    for _ in range(increments):
        n, k = one_increment(rng, runs, green, requests)
        bake = {
            key: Increment(a, b, 0, 0, NONE, NONE) for key, a, b in zip(keys, n, k, strict=True)
        }
        bank.update(bake, baking=keys)
    back = int(bank.marks(keys)[:, 0, 0].sum())
    return Switched(back, waited / runs, interval(back, runs))


@pytest.mark.parametrize(("rate", "seed"), [(0.005, 1), (0.05, 2), (0.0004, 3)])
def test_a_healthy_green_is_rarely_switched_back(rate: float, seed: int) -> None:
    found = switched(rate, rate, seed=seed)
    assert found.rate[0] <= ERRORS.alpha
    assert found.rate[1] <= 2 * ERRORS.alpha


def test_a_green_at_the_acceptable_boundary_is_rarely_switched_back() -> None:
    plan = CheckPlan("errors", Kind.COMPARE_RATE, acceptable=1.5, unacceptable=2.0)
    assert switched(0.01, 0.015, seed=4, plan=plan).rate[1] <= 2 * plan.alpha


@pytest.mark.parametrize(("rate", "seed"), [(0.005, 5), (0.05, 6)])
def test_a_five_times_worse_green_is_switched_back_within_the_bake(rate: float, seed: int) -> None:
    found = switched(rate, 5 * rate, seed=seed)
    assert found.rate[0] >= 0.95


def test_what_nobody_fails_at_is_known_after_a_bounded_number_of_requests() -> None:
    found = switched(0.0, 0.02, seed=7, runs=200)
    assert found.waited < 4_000
    assert found.back == 200


def test_the_past_of_the_stable_waits_for_no_pair() -> None:
    """An outage that begins at the switch and hits both is no harm of the candidate's."""
    bank = EvidenceBank(skew=0.0)
    bank.open("a", (ERRORS,), ())
    for _ in range(50):
        bank.update({"a": Increment(0, 0, 300, 1, NONE, NONE)}, stable_only=["a"])
    bank.update({"a": Increment(150, 75, 150, 75, NONE, NONE)}, baking=["a"])
    assert not bank.results("a")[0].harmed
    assert bank.results("a")[0].n_s == 50 * 300 + 150


def test_a_candidate_without_users_has_no_counts_whatever_somebody_tries() -> None:
    bank = EvidenceBank(skew=0.0)
    bank.open("a", (ERRORS,), ())
    for _ in range(5):
        bank.update({"a": Increment(500, 400, 300, 1, NONE, NONE)}, stable_only=["a"])
    evidence = bank.results("a")[0]
    assert (evidence.n_c, evidence.n_s, evidence.harmed, evidence.passed) == (0, 1500, False, False)


def test_what_is_missing_shrinks_with_requests_and_limits_need_no_stable() -> None:
    plans = (ERRORS, CheckPlan("few", Kind.LIMIT_RATE, limit=0.02))
    bank = EvidenceBank()
    bank.open("a", plans, ())
    before = bank.stable_left("a")
    bank.update({"a": Increment(0, 0, 1000, 5, NONE, NONE)}, stable_only=["a"])
    after = bank.stable_left("a")
    assert before[1] == after[1] == 0
    # 92 failures make the bound 1.5 times the rate: 18,400 requests at half a percent.
    assert before[0] > 0
    assert 17_000 < after[0] < 17_500
