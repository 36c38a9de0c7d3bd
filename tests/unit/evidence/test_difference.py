"""Candidate beside stable: predictions by class, errors by slice."""

from __future__ import annotations

import numpy as np
import pytest
from bench.drift.traffic import drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.evidence.cuts import by_cut, cuts
from sluice.evidence.difference import (
    DifferenceFleet,
    DifferencePlan,
    harmed_streams,
)

RUNS = 200


def played(
    candidate: list[float],
    stable: list[float],
    *,
    seed: int,
    minutes: float = 60.0,
    fano: float = 1.0,
    past: bool = True,
    **plan: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Minutes until harm and until Pass; 20 predictions/s, a fifth of the candidate."""
    sets, rng = cuts(len(stable)), np.random.default_rng(seed)
    fleet = DifferenceFleet(len(sets))
    names = tuple(str(s) for s in range(len(sets)))
    keys = [str(r) for r in range(RUNS)]
    for key in keys:
        fleet.open(key, DifferencePlan(names, **plan))
    c, s = (np.tile(np.array(p) * n, (RUNS, 1)) for p, n in ((candidate, 60), (stable, 240)))
    if past:
        fleet.remember(keys, *by_cut(drawn(rng, np.tile(s, (240, 1, 1)), fano), sets))
    harm, passed = np.full(RUNS, np.inf), np.full(RUNS, np.inf)
    for i in range(round(minutes * 4)):
        fleet.update(keys, *by_cut(drawn(rng, c, fano), sets), *by_cut(drawn(rng, s, fano), sets))
        found = [fleet.results(key) for key in keys] if i % 8 == 7 else []
        for run, streams in enumerate(found):
            if any(e.harmed for e in streams):
                harm[run] = min(harm[run], (i + 1) / 4)
            if all(e.passed for e in streams):
                passed[run] = min(passed[run], (i + 1) / 4)
    return harm, passed


def test_alike_predictions_pass_and_are_hardly_ever_harm() -> None:
    harm, passed = played([0.7, 0.2, 0.1], [0.7, 0.2, 0.1], seed=121)
    assert np.isfinite(harm).mean() <= 0.02
    assert np.median(passed) <= 10


def test_predictions_beyond_the_margin_are_harm_and_do_not_pass() -> None:
    harm, passed = played([0.6, 0.3, 0.1], [0.7, 0.2, 0.1], seed=122, acceptable=0.02)
    assert np.median(harm) <= 10
    assert np.isfinite(passed).mean() <= 0.05


def test_at_the_acceptable_difference_no_harm_and_at_the_unacceptable_no_pass() -> None:
    harm, _ = played([0.75, 0.25], [0.7, 0.3], seed=123, acceptable=0.05, unacceptable=0.1)
    _, passed = played([0.75, 0.25], [0.7, 0.3], seed=124, unacceptable=0.05)
    assert np.isfinite(harm).mean() <= 0.02
    assert np.isfinite(passed).mean() <= 0.06


def test_a_minority_class_is_not_averaged_away() -> None:
    common = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.03]
    harm, _ = played([0.29, *common[1:], 0.03], [*common, 0.02], seed=125, minutes=30)
    assert np.isfinite(harm).mean() > 0.5


def test_bunches_are_no_harm() -> None:
    harm, _ = played([0.7, 0.2, 0.1], [0.7, 0.2, 0.1], seed=126, fano=8.0)
    assert np.isfinite(harm).mean() <= 0.02


@settings(deadline=None)
@given(
    st.floats(0.02, 0.6), st.floats(0.0, 0.3), st.integers(1, 30), st.integers(1, 30),
    st.floats(0.05, 0.95),
)  # fmt: skip
def test_one_increment_is_not_expected_to_gain_at_the_margin(
    p_s: float, margin: float, n_c: int, n_s: int, base: float
) -> None:
    """Exactly, over all binomial outcomes of both sides, whatever base was guessed."""
    p_c = p_s + margin
    outcomes = [(i, j) for i in range(n_c + 1) for j in range(n_s + 1)]
    fleet = DifferenceFleet(1, len(outcomes))
    for o in range(len(outcomes)):
        fleet.open(str(o), DifferencePlan(("x",), margin, margin + 0.01))
    fields, rows = fleet.slots.fields, fleet.slots.rows([str(o) for o in range(len(outcomes))])
    fields["totals"][:, 1, 0], fields["totals"][:, 1, 1] = 1e6, 1e6 * base
    i, j = np.array(outcomes, dtype=float).T[:, :, None]
    fleet.update(rows, np.full_like(i, n_c), i, np.full_like(j, n_s), j)
    weights = binomial(n_c, p_c)[i[:, 0].astype(int)] * binomial(n_s, p_s)[j[:, 0].astype(int)]
    e = np.exp(fields["harm"][rows, 0, 0].astype(float))
    assert (weights @ e <= 1 + 1e-5).all()


def binomial(n: int, p: float) -> np.ndarray:
    out = np.array([1.0])
    for _ in range(n):
        out = np.convolve(out, [1 - p, p])
    return out


@pytest.mark.parametrize("requests", [60, 6000])
@pytest.mark.parametrize("when", [0, 1, 10])
def test_a_sudden_change_that_one_side_shows_an_increment_early_is_no_harm(
    requests: int, when: int
) -> None:
    sets, rng = cuts(3), np.random.default_rng(129)
    fleet, keys = DifferenceFleet(len(sets)), [str(run) for run in range(50)]
    before, after = [0.4, 0.3, 0.3], [0.05, 0.05, 0.9]
    for key in keys:
        fleet.open(key, DifferencePlan(tuple("abc"), 0.02, 0.1))
    past = rng.multinomial(2 * requests, before, (60, len(keys))).astype(float)
    fleet.remember(keys, *by_cut(past, sets))
    for i in range(when + 20):
        c = rng.multinomial(requests, after if i >= when else before, len(keys))
        s = rng.multinomial(requests, after if i > when else before, len(keys))
        fleet.update(keys, *by_cut(c.astype(float), sets), *by_cut(s.astype(float), sets))
        assert not fleet.verdicts(keys)[0].any(), f"increment {i}"


def test_slices_have_one_risk_and_the_rare_one_stays_undecided() -> None:
    names = ("eu", "us", "rare")
    fleet = DifferenceFleet(3)
    plan = DifferencePlan(names, 0.0, 0.03, two_sided=False)
    fleet.open("r", plan)
    rng = np.random.default_rng(127)
    for _ in range(200):
        n_c, n_s = np.array([[40.0, 15, 0.0]]), np.array([[160.0, 60, 1]])
        k_c = rng.binomial(n_c.astype(int), [0.01, 0.08, 0.0]).astype(float)
        k_s = rng.binomial(n_s.astype(int), [0.01, 0.01, 0.01]).astype(float)
        fleet.update(["r"], n_c, k_c, n_s, k_s)
    eu, us, rare = fleet.results("r")
    assert (eu.harmed, eu.passed) == (False, True)
    assert (us.harmed, us.passed) == (True, False)
    assert (rare.harmed, rare.passed, rare.candidate) == (False, False, None)
    assert us.harm_needed == pytest.approx(np.log10(3 / 0.01))
    assert harmed_streams((eu, us, rare), plan.alpha) == ("us",)


def test_a_slice_with_a_request_now_and_then_can_be_harm_too() -> None:
    fleet = DifferenceFleet(1)
    fleet.open("r", DifferencePlan(("rare",), 0.0, 0.05, two_sided=False))
    rng = np.random.default_rng(128)
    for _ in range(600):
        n_c, n_s = (rng.binomial(1, p, (1, 1)).astype(float) for p in (0.2, 0.6))
        fleet.update(["r"], n_c, n_c * rng.binomial(1, 0.6), n_s, n_s * rng.binomial(1, 0.05))
    assert fleet.results("r")[0].harmed


def test_fewer_errors_are_no_harm_where_only_more_is() -> None:
    fleet = DifferenceFleet(1)
    fleet.open("r", DifferencePlan(("all",), 0.0, 0.05, two_sided=False))
    for _ in range(60):
        fleet.update(["r"], *(np.array([[float(v)]]) for v in (60, 0, 240, 48)))
    assert not fleet.results("r")[0].harmed
    assert fleet.results("r")[0].passed


def test_up_to_five_classes_pass_bounds_the_total_variation() -> None:
    assert len(cuts(2)) == 1
    assert len(cuts(3)) == 3
    assert len(cuts(5)) == 15
    assert cuts(12).sum() == 12


def test_an_exported_state_goes_on() -> None:
    fleet, plan = DifferenceFleet(2), DifferencePlan(("a", "b"))
    fleet.open("r", plan)
    step = [
        np.array([[60.0, 60]]),
        np.array([[9.0, 4]]),
        np.array([[240.0, 240]]),
        np.array([[20.0, 9]]),
    ]
    for _ in range(10):
        fleet.update(["r"], *step)
    other = DifferenceFleet(2)
    assert other.open("r", plan, fleet.export("r"))
    for one in (fleet, other):
        one.update(["r"], *step)
    assert other.results("r") == fleet.results("r")


def test_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="acceptable < unacceptable"):
        DifferencePlan(("a",), 0.1, 0.1)
