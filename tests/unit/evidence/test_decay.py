"""The reward after promotion against the level at promotion."""

from __future__ import annotations

import numpy as np
import pytest

from sluice.evidence.decay import DecayFleet, DecayPlan

DAY = 86_400.0


def fleet_of(models: int, level: float = 0.9, **more: float) -> tuple[DecayFleet, list[str]]:
    fleet, keys = DecayFleet(), [f"r{m}" for m in range(models)]
    for key in keys:
        fleet.open(key, DecayPlan(10_000, 10_000 * level, **more))
    return fleet, keys


def play(
    fleet: DecayFleet, keys: list[str], minutes: int, level: float, *, seed: int, per: float = 60.0
) -> np.ndarray:
    """Minutes until decayed, by model; inf: not."""
    rng, at = np.random.default_rng(seed), np.full(len(keys), np.inf)
    for minute in range(minutes):
        n = rng.poisson(per, len(keys)).astype(float)
        good = rng.binomial(n.astype(int), level).astype(float)
        now = fleet.update(keys, n, good, np.full(len(keys), 60.0))
        at = np.where(now & np.isinf(at), minute + 1, at)
    return at


@pytest.mark.parametrize("level", [0.9, 0.8, 0.7])
def test_five_points_less_are_seen_within_two_hours(level: float) -> None:
    fleet, keys = fleet_of(60, level)
    assert np.isinf(play(fleet, keys, 1440, level, seed=111)).all()
    assert np.median(play(fleet, keys, 400, level - 0.05, seed=112)) <= 120
    found = fleet.result("r0")
    assert found.decayed
    assert found.drop == pytest.approx(0.05, abs=0.02)
    assert found.log10_evidence >= found.needed


def test_better_answers_and_the_tolerance_are_no_decay() -> None:
    fleet, keys = fleet_of(30, learning=3600.0, tolerance=0.03)
    play(fleet, keys, 120, 0.9, seed=113)
    assert np.isinf(play(fleet, keys, 3000, 0.88, seed=114)).all()
    assert np.isinf(play(fleet, keys, 300, 0.99, seed=115)).all()


def test_good_days_do_not_have_to_be_outweighed() -> None:
    """Evidence cannot be in debt: the delay is the same after a day and after four."""
    short, keys = fleet_of(40)
    long, _ = fleet_of(40)
    play(short, keys, 1500, 0.9, seed=116)
    play(long, keys, 4 * 1500, 0.9, seed=117)
    delays = [np.median(play(f, keys, 400, 0.84, seed=118)) for f in (short, long)]
    assert delays[1] == pytest.approx(delays[0], rel=0.3)


def test_bounded_rewards_are_judged_by_their_mean() -> None:
    fleet, keys = fleet_of(1, learning=3600.0)
    for minute in range(400):
        mean = 0.9 if minute < 100 else 0.8
        now = fleet.update(keys, np.array([60.0]), np.array([60 * mean]), np.array([60.0]))
    assert now.all()


def test_without_feedback_nothing_is_known() -> None:
    fleet, keys = fleet_of(1)
    fleet.update(keys, np.zeros(1), np.zeros(1), np.array([60.0]))
    found = fleet.result("r0")
    assert (found.reward, found.decayed, found.learned, found.since) == (None, False, False, None)


def test_more_rewards_than_feedback_count_as_all() -> None:
    fleet, keys = fleet_of(1, learning=0.0)
    fleet.update(keys, np.array([5.0]), np.array([99.0]), np.array([60.0]))
    assert fleet.result("r0").reward == 1.0


def test_an_exported_state_goes_on() -> None:
    fleet, keys = fleet_of(1)
    play(fleet, keys, 300, 0.85, seed=119)
    other = DecayFleet()
    assert other.open("r0", DecayPlan(10_000, 9_000), fleet.export("r0"))
    assert not other.open("r1", DecayPlan(10_000, 8_000), fleet.export("r0"))
    play(fleet, keys, 30, 0.85, seed=120)
    play(other, ["r0"], 30, 0.85, seed=120)
    assert other.result("r0") == fleet.result("r0")


def test_a_level_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rewards between 0 and 1"):
        DecayPlan(10, 11)
