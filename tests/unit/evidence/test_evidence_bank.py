"""What the bank promises whatever it is fed: restarts, odd counts, silence, the bake."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.evidence import EDGES, CheckEvidence, CheckPlan, EvidenceBank, Increment, Kind
from sluice.evidence.check import CheckRows
from sluice.evidence.formulas import FloatArray

PLANS = (
    CheckPlan("errors", Kind.COMPARE_RATE, alpha=0.005),
    CheckPlan("latency", Kind.COMPARE_LATENCY, 1.1, 2.0, 0.005, alpha=0.005),
    CheckPlan("objective", Kind.LIMIT_RATE, limit=0.02),
    CheckPlan("p99", Kind.LIMIT_QUANTILE, limit=0.5, quantile=0.99),
)
NOTHING = np.zeros(len(EDGES))


def slower(n: float, median: float) -> FloatArray:
    """Requests above each edge for a lognormal latency of sigma 0.6, in expectation, rounded."""
    z = np.log(np.array(EDGES) / median) / 0.6
    above: FloatArray = np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in z])
    return np.round(n * above)


def increment(n_c: float, k_c: float, n_s: float, k_s: float, *, median: float = 0.05) -> Increment:
    return Increment(n_c, k_c, n_s, k_s, slower(n_c, median), slower(n_s, 0.05))


def opened(*plans: CheckPlan, key: str = "a") -> EvidenceBank:
    bank = EvidenceBank()
    bank.open(key, plans or PLANS, EDGES)
    return bank


def only(bank: EvidenceBank, key: str = "a") -> CheckEvidence:
    (result,) = bank.results(key)
    return result


COUNTS = st.one_of(
    st.floats(0, 1e4),
    st.integers(0, 50).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, -3.0, 1e15, 1e300]),
)
SIDES = st.lists(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(SIDES)
def test_any_counts_give_finite_evidence_and_sticky_harm(steps: list[tuple[float, ...]]) -> None:
    bank = opened()
    before = [False] * len(PLANS)
    for n_c, k_c, n_s, k_s, slow, baking in steps:
        above = np.full(len(EDGES), slow)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            bank.update(
                {"a": Increment(n_c, k_c, n_s, k_s, above, above)}, baking=["a"] if baking else []
            )
        for i, result in enumerate(bank.results("a")):
            assert math.isfinite(result.log10_harm)
            assert math.isfinite(result.log10_pass)
            assert result.harmed or not before[i]
            assert 0 <= result.k_c <= result.n_c
            before[i] = result.harmed


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=10))
def test_nothing_passes_or_harms_without_a_candidate_request(
    stable: list[tuple[float, float]],
) -> None:
    bank = opened()
    for n_s, k_s in stable:
        bank.update({"a": Increment(0, 0, n_s, k_s, NOTHING, np.full(len(EDGES), k_s))})
    assert not any(r.passed or r.harmed for r in bank.results("a"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 59), st.integers(1, 60), st.integers(1, 30))
def test_more_failures_never_weaken_harm_nor_strengthen_pass(
    fewer: int, more: int, rounds: int
) -> None:
    few, many = sorted((fewer, more))
    bank = EvidenceBank()
    for key in ("few", "many"):
        bank.open(key, (PLANS[0], PLANS[2]), EDGES)
    for _ in range(rounds):
        bank.update({"few": increment(60, few, 240, 5), "many": increment(60, many, 240, 5)})
    for less, worse in zip(bank.results("few"), bank.results("many"), strict=True):
        assert worse.log10_harm >= less.log10_harm - 1e-6
        assert worse.log10_pass <= less.log10_pass + 1e-6


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 240), st.booleans()), max_size=8),
    st.integers(0, 8),
)
def test_a_restart_continues_bit_for_bit(
    steps: list[tuple[int, int, bool]], restart_after: int
) -> None:
    straight, restarted = opened(), opened()
    for i, (n_c, n_s, baking) in enumerate(steps):
        if i == restart_after:
            state = restarted.export("a")
            restarted = EvidenceBank()
            assert restarted.open("a", PLANS, EDGES, state)
        step = increment(n_c, n_c // 7, n_s, n_s // 50)
        for bank in (straight, restarted):
            bank.update({"a": step}, baking=["a"] if baking else [])
    assert straight.results("a") == restarted.results("a")
    assert straight.export("a") == restarted.export("a")


def test_a_state_of_two_checks_stays_under_three_kilobytes() -> None:
    rng = np.random.default_rng(3)
    bank = opened(*PLANS[:2])
    for i in range(200):
        numbers = rng.poisson((60, 1, 240, 2))
        bank.update({"a": increment(*map(float, numbers))}, baking=["a"] if i > 180 else [])
    assert len(bank.export("a")) < 3000


@pytest.mark.parametrize("spoil", ["", "not base64!", "AAAA", "cut", "other checks", "other edges"])
def test_a_state_that_does_not_fit_starts_afresh(spoil: str) -> None:
    bank = opened()
    bank.update({"a": increment(60, 60, 240, 0)})
    state = {"cut": bank.export("a")[:-20], "other checks": bank.export("a")}.get(spoil, spoil)
    plans: tuple[CheckPlan, ...] = PLANS
    edges: tuple[float, ...] = EDGES
    if spoil == "other checks":
        plans = (PLANS[0],)
    if spoil == "other edges":
        state, edges = bank.export("a"), EDGES[1:]
    fresh = EvidenceBank()
    assert fresh.open("a", plans, edges, state) is False
    assert all(r.n_c == 0 and not r.harmed for r in fresh.results("a"))


def test_opening_again_keeps_the_evidence_and_closing_forgets_it() -> None:
    bank = opened()
    bank.update({"a": increment(60, 3, 240, 5)})
    assert bank.open("a", PLANS, EDGES) is True
    assert bank.results("a")[0].n_c == 60
    bank.close("a")
    bank.close("a")
    assert "a" not in bank
    assert bank.open("a", PLANS, EDGES) is False
    assert bank.results("a")[0].n_c == 0


def test_rollouts_do_not_touch_each_other() -> None:
    alone, crowd = opened(PLANS[0]), EvidenceBank()
    for i in range(9):
        crowd.open(str(i), (PLANS[0],) if i % 2 else PLANS, EDGES)
    crowd.close("4")
    crowd.open("a", (PLANS[0],), EDGES)
    for _ in range(5):
        alone.update({"a": increment(60, 2, 240, 2)})
        crowd.update(
            {
                key: increment(60, 2, 240, 2) if key == "a" else increment(60, 60, 240, 0)
                for key in list(crowd.keys())
            }
        )
    assert crowd.results("a") == alone.results("a")


def test_no_errors_at_all_pass_by_the_absolute_form() -> None:
    """Published: ln(1/beta)/p requests, 298 at 1%; the mixture may take half as many again."""
    plan = CheckPlan("errors", Kind.LIMIT_RATE, limit=0.01)
    bank = opened(plan)
    sent = 0
    while not only(bank).passed:
        sent += 10
        bank.update({"a": increment(10, 0, 90, 0)})
    assert 298 <= sent <= 450


def test_requests_left_foretells_the_pass() -> None:
    bank = opened(PLANS[0])
    for _ in range(4):
        bank.update({"a": increment(200, 1, 800, 4)})
    told = only(bank).requests_left
    sent = 0
    while not only(bank).passed:
        sent += 200
        bank.update({"a": increment(200, 1, 800, 4)})
    assert told is not None
    assert sent / 2 <= told <= sent * 2


def test_a_slower_candidate_is_harm_and_the_worst_edge_is_named() -> None:
    bank = opened(PLANS[1])
    for _ in range(30):
        bank.update({"a": increment(60, 0, 240, 0, median=0.1)})
    result = only(bank)
    assert result.harmed
    assert result.worst_edge in (0.1, 0.25)
    assert result.candidate is not None
    assert result.stable is not None
    assert result.candidate > 2 * result.stable


def test_a_candidate_as_fast_as_the_stable_passes_every_edge() -> None:
    bank = opened(PLANS[1])
    for _ in range(80):
        bank.update({"a": increment(150, 0, 150, 0)})
    assert only(bank).passed
    assert not only(bank).harmed


@pytest.mark.parametrize(("median", "harmed", "passed"), [(0.05, False, True), (0.3, True, False)])
def test_a_quantile_limit_is_judged_by_bucket_counts(
    median: float, harmed: bool, passed: bool
) -> None:
    bank = opened(PLANS[3])
    for _ in range(40):
        bank.update({"a": increment(60, 0, 240, 0, median=median)})
    assert (only(bank).harmed, only(bank).passed) == (harmed, passed)


def test_a_quantile_limit_between_edges_is_judged_on_the_safe_side() -> None:
    """All requests take between 0.25 and 0.5 s: against 0.3 s neither side can be shown."""
    bank = opened(CheckPlan("p99", Kind.LIMIT_QUANTILE, limit=0.3, quantile=0.99))
    above = np.where(np.array(EDGES) < 0.5, 100.0, 0.0)
    for _ in range(30):
        bank.update({"a": Increment(100, 0, 0, 0, above, NOTHING)})
    assert not only(bank).harmed
    assert not only(bank).passed


def test_a_quantile_limit_below_the_first_edge_says_that_it_cannot_pass() -> None:
    bank = opened(CheckPlan("p99", Kind.LIMIT_QUANTILE, limit=0.001, quantile=0.99))
    bank.update({"a": Increment(1000, 0, 0, 0, NOTHING, NOTHING)})
    assert only(bank).passable is False
    assert not only(bank).passed


def test_the_quantile_is_interpolated_in_its_bucket() -> None:
    bank = opened(CheckPlan("p50", Kind.LIMIT_QUANTILE, limit=0.5, quantile=0.5))
    above = np.where(np.array(EDGES) < 0.05, 100.0, 0.0)
    bank.update({"a": Increment(100, 0, 0, 0, above, NOTHING)})
    assert only(bank).candidate == pytest.approx(0.0375)


def test_a_side_whose_scrape_comes_later_is_paired_with_its_own_time() -> None:
    together, apart = opened(PLANS[0]), opened(PLANS[0])
    for _ in range(20):
        together.update({"a": increment(60, 6, 240, 2)})
        apart.update({"a": increment(60, 6, 0, 0)})
        apart.update({"a": increment(0, 0, 240, 2)})
    assert only(together).harmed
    assert only(apart).harmed


def test_harm_in_the_bake_is_found_without_a_stable_to_compare_with() -> None:
    bank = opened(PLANS[0])
    for _ in range(20):
        bank.update({"a": increment(60, 0, 240, 1)})
    for _ in range(3):
        bank.update({"a": increment(300, 90, 0, 0)}, baking=["a"])
    assert only(bank).harmed


def test_a_bake_as_good_as_the_stable_was_is_no_harm() -> None:
    bank = opened(*PLANS[:2])
    for _ in range(20):
        bank.update({"a": increment(60, 0, 240, 2)})
    for _ in range(100):
        bank.update({"a": increment(300, 3, 0, 0)}, baking=["a"])
    assert not any(r.harmed for r in bank.results("a"))


def test_differences_below_negligible_are_no_harm() -> None:
    plan = CheckPlan("errors", Kind.COMPARE_RATE, negligible=0.01)
    bank = opened(plan)
    for _ in range(50):
        bank.update({"a": increment(200, 1, 800, 0)})
    assert not only(bank).harmed
    assert only(bank).passed


def test_overdispersed_failures_count_for_less() -> None:
    calm = CheckPlan("errors", Kind.COMPARE_RATE)
    bursty = CheckPlan("errors", Kind.COMPARE_RATE, overdispersion=4.0)
    bank = EvidenceBank()
    bank.open("calm", (calm,), EDGES)
    bank.open("bursty", (bursty,), EDGES)
    for _ in range(20):
        bank.update({key: increment(60, 3, 240, 2) for key in ("calm", "bursty")})
    assert only(bank, "calm").log10_harm > 2 * only(bank, "bursty").log10_harm


def test_ten_thousand_rollouts_are_one_vectorised_pass_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    advance = CheckRows.advance

    def counted(*arguments: Any) -> None:
        calls.append(1)
        advance(*arguments)

    monkeypatch.setattr(CheckRows, "advance", counted)
    tracemalloc.start()
    bank = EvidenceBank()
    for i in range(10_000):
        bank.open(str(i), PLANS[1:], EDGES)
    one = increment(60, 1, 240, 2)
    bank.update({str(i): one for i in range(10_000)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 * 2**20
    assert len(calls) <= 3 * 20
