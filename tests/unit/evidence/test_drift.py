"""Drift after promotion: shown, not suspected; whatever hangs together is learned first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bench.drift.traffic import BINS, SPECIAL, World, profile, pulses
from bench.drift.traffic import shares as of_normal

from sluice.evidence.distances import Distance
from sluice.evidence.drift import DriftFleet
from sluice.evidence.features import DriftPlan, Feature
from sluice.evidence.seasons import Seasons
from sluice.evidence.slots import gained

K = BINS + SPECIAL
HOUR = 3600.0
USUAL = 10_000 * of_normal(0.0)


def fleet_of(
    models: int,
    features: int = 3,
    kind: Distance = Distance.KS,
    threshold: float = 0.1,
    learning: float = HOUR,
) -> tuple[DriftFleet, list[str]]:
    fleet = DriftFleet(features, K)
    keys = [f"r{m}" for m in range(models)]
    each = tuple(Feature(f"x{f}", tuple(USUAL), kind, threshold) for f in range(features))
    for key in keys:
        fleet.open(key, DriftPlan(each, learning=learning))
    return fleet, keys


def play(
    fleet: DriftFleet,
    keys: list[str],
    pulses_: int,
    *,
    seed: int,
    shift: float = 0.0,
    rps: float = 10.0,
    fano: float = 1.0,
) -> np.ndarray:
    """Minutes until the first feature has drifted, by model; inf: not."""
    world = World("test", "", fano=fano, rps=rps)
    moved = np.zeros((pulses_, fleet.features))
    moved[:, 0] = shift
    at = np.full(len(keys), np.inf)
    rng = np.random.default_rng(seed)
    stream = pulses(world, rng, len(keys), fleet.features, 30.0, pulses_, moved)
    for i, counts in enumerate(stream):
        now = fleet.update(keys, counts, np.full(len(keys), 30.0))
        at = np.where(now[:, 0] & np.isinf(at), (i + 1) / 2, at)
    return at


@pytest.mark.parametrize(
    ("kind", "threshold"), [(Distance.KS, 0.1), (Distance.TV, 0.1), (Distance.PSI, 0.1),
                            (Distance.KL, 0.05), (Distance.JS, 0.0125)]
)  # fmt: skip
def test_half_a_standard_deviation_is_seen_within_ten_minutes(
    kind: Distance, threshold: float
) -> None:
    fleet, keys = fleet_of(30, kind=kind, threshold=threshold)
    assert np.isinf(play(fleet, keys, 240, seed=91)).all(), "nothing before"
    assert np.median(play(fleet, keys, 40, seed=92, shift=0.5)) <= 10
    first, *others = fleet.results("r0")
    assert first.drifted
    assert first.value > first.threshold
    assert first.log10_evidence > first.needed
    assert 10 * 60 < first.since < 25 * 60
    assert not any(f.drifted or f.since for f in others)


def test_a_shift_below_the_threshold_is_tolerated_however_long_it_lasts() -> None:
    fleet, keys = fleet_of(20)
    play(fleet, keys, 130, seed=93)
    assert np.isinf(play(fleet, keys, 2000, seed=94, shift=0.2)).all()  # KS .08


def test_what_comes_back_is_no_longer_drifted() -> None:
    fleet, keys = fleet_of(5)
    play(fleet, keys, 240, seed=95)
    play(fleet, keys, 60, seed=96, shift=1.0)
    assert fleet.results("r0")[0].drifted
    play(fleet, keys, 600, seed=97)
    found = fleet.results("r0")[0]
    assert not found.drifted
    assert found.since is None


def test_missing_values_and_unseen_categories_are_drift_too() -> None:
    for special in (BINS, BINS + 1):
        fleet, keys = fleet_of(1, features=1)
        play(fleet, keys, 240, seed=98)
        p = of_normal(0.0) * 0.7
        p[special] += 0.3
        for _ in range(40):
            drifted = fleet.update(keys, (300 * p)[None, None], np.array([30.0]))
        assert drifted.all()


def test_nothing_is_declared_while_learning_and_history_shortens_it() -> None:
    fleet, keys = fleet_of(5, learning=6 * HOUR)
    assert np.isinf(play(fleet, keys, 120, seed=99, shift=1.0)).all()
    assert not fleet.results("r0")[0].learned
    other, keys = fleet_of(5, learning=6 * HOUR)
    past = np.stack(list(pulses(World("t", ""), np.random.default_rng(5), 5, 3, 30.0, 720)))
    other.remember(keys, past, 30.0)
    assert other.results("r0")[0].learned
    assert other.results("r0")[0].log10_evidence < -10, "history is no evidence"
    assert np.isfinite(play(other, keys, 20, seed=100, shift=1.0)).all()


def test_bunches_of_like_requests_are_learned_and_cost_time_instead_of_alarms() -> None:
    calm, keys = fleet_of(20)
    wild, _ = fleet_of(20)
    assert np.isinf(play(calm, keys, 600, seed=101)).all()
    assert np.isinf(play(wild, keys, 600, seed=102, fano=8.0)).all()
    assert calm.results("r0")[0].design_effect < 2
    assert 6 < wild.results("r0")[0].design_effect < 20
    heavy, _ = fleet_of(20)
    assert np.isinf(play(heavy, keys, 1000, seed=110, rps=3.0, fano=40.0)).all()
    evidence = [f.log10_evidence - f.needed for key in keys for f in heavy.results(key)]
    assert max(evidence) < -1, "nor are they near it"
    slow = np.median(play(wild, keys, 400, seed=103, shift=0.5, fano=8.0))
    assert np.median(play(calm, keys, 40, seed=104, shift=0.5)) < slow < 120


def test_stationary_models_do_not_drift_for_weeks() -> None:
    """40 models for a day each, 10 features: 5.7 model-weeks; the bench has thousands."""
    fleet, keys = fleet_of(40, features=10)
    assert np.isinf(play(fleet, keys, 2880, seed=105)).all()
    largest = max(f.log10_evidence - f.needed for key in keys for f in fleet.results(key))
    assert largest < -3, "nor are they near it"


def test_a_rhythm_of_the_day_is_compared_with_the_same_hours() -> None:
    world = World("strong", "", swing=0.5, busy=0.5)
    rng = np.random.default_rng(106)
    training = profile(world, rng, 1, 1)[0, 0]
    plan = DriftPlan((Feature("x", tuple(training)),), learning=HOUR)
    fleet, seasons = DriftFleet(1, K), Seasons(1, 1, K, days=1)
    fleet.open("r", plan)
    rows = fleet.slots.rows(["r"])
    dt, drifted, days = np.array([120.0]), [], 4
    moved = np.zeros((days * 720, 1))
    moved[-60:] = 0.6
    for i, counts in enumerate(pulses(world, rng, 1, 1, 120.0, days * 720, moved)):
        time = np.array([i * 120.0])
        reference = seasons.reference(rows, time)
        seasons.learn(rows, counts, time, dt)
        drifted.append(bool(fleet.update(rows, counts, dt, reference)[0, 0]))
    assert not any(drifted[:-60])
    assert drifted[-1]


def test_hours_without_a_profile_are_not_looked_at() -> None:
    seasons = Seasons(1, 1, 2, days=1)
    rows = np.array([0])
    for i in range(60):
        seasons.learn(rows, np.ones((1, 1, 2)), np.array([i * 60.0]), np.array([60.0]))
    assert seasons.reference(rows, np.array([1800.0])).sum() == 0, "the second hour is empty"
    for i in range(60, 180):
        seasons.learn(rows, np.ones((1, 1, 2)), np.array([i * 60.0]), np.array([60.0]))
    assert seasons.reference(rows, np.array([5400.0])).sum() == pytest.approx(120)
    seasons.learn(rows, np.ones((1, 1, 2)), np.array([5400.0]), np.array([60.0]))
    assert seasons.reference(rows, np.array([5400.0])).sum() == pytest.approx(120), "kept"


def test_an_exported_state_goes_on_as_if_nothing_had_happened() -> None:
    fleet, keys = fleet_of(2)
    play(fleet, keys, 150, seed=107, shift=0.4)
    state = json.loads(json.dumps(fleet.export("r1")))
    assert len(state) < 450 * fleet.features, "a few hundred bytes a feature"
    other, _ = fleet_of(0)
    plan = DriftPlan(tuple(Feature(f"x{f}", tuple(USUAL)) for f in range(3)), learning=HOUR)
    assert other.open("r1", plan, state)
    play(fleet, ["r1"], 50, seed=108, shift=0.4)
    play(other, ["r1"], 50, seed=108, shift=0.4)
    assert other.results("r1") == fleet.results("r1")


def test_a_state_of_another_profile_or_rubbish_begins_afresh() -> None:
    fleet, _ = fleet_of(1)
    state = fleet.export("r0")
    features = tuple(Feature(f"x{f}", tuple(USUAL + f)) for f in range(3))
    other = DriftFleet(3, K)
    assert not other.open("a", DriftPlan(features), state)
    assert not other.open("b", DriftPlan(features), "rubbish")
    assert not other.results("a")[0].drifted


def test_gaps_and_rubbish_are_nothing() -> None:
    fleet, keys = fleet_of(1)
    play(fleet, keys, 130, seed=109)
    before = fleet.results("r0")
    empty = np.zeros((1, 3, K))
    fleet.update(keys, empty, np.array([3600.0]))
    fleet.update(keys, np.full((1, 3, K), np.nan), np.array([30.0]))
    fleet.update(keys, np.full((1, 3, K), -5.0), np.array([30.0]))
    after = fleet.results("r0")
    assert [f.value for f in after] == [f.value for f in before]
    assert [f.log10_evidence for f in after] == [f.log10_evidence for f in before]


def test_a_reset_counter_counts_from_zero_in_all_its_bins() -> None:
    before, now = np.array([[5.0, 9, 2], [5, 9, 2]]), np.array([[6.0, 9, 4], [1, 12, 0]])
    assert gained(before, now).tolist() == [[1, 0, 2], [1, 12, 0]]
    assert gained(np.array([[1.0, np.nan]]), np.array([[3.0, 4.0]])).tolist() == [[2, 0]]


def test_a_profile_that_cannot_be_is_refused_by_name() -> None:
    fleet = DriftFleet(1, 3)
    with pytest.raises(ValueError, match="'age'"):
        fleet.open("r", DriftPlan((Feature("age", (1.0, -1.0)),)))
    with pytest.raises(ValueError, match="expected 1 features, found 2"):
        fleet.open("s", DriftPlan((Feature("a", (1.0, 1)), Feature("b", (1.0, 1)))))
    assert fleet.open("r", DriftPlan((Feature("age", (1.0, 1.0)),))) is False
