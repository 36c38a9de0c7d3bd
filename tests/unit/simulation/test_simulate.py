"""The simulation: the engine's own verdicts over drawn traffic."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.api.builtin import BALANCED
from sluice.api.status import Phase
from sluice.errors import UsageError
from sluice.simulation.cohort import Cohort, first_step
from sluice.simulation.files import read_policy
from sluice.simulation.outcomes import wilson
from sluice.simulation.scenario import Scenario, read_scenarios
from sluice.simulation.simulate import limit_of, simulate
from sluice.simulation.traffic import ABOVE, K, N, draw, intervals

USUAL = {"errorRate": 0.005, "latency": {"median": "50ms", "sigma": 0.6}}


def scenario(**changes: Any) -> Scenario:
    """A healthy candidate at 20 requests/s for an hour."""
    content = {
        "name": "test",
        "truth": "healthy",
        "requestsPerSecond": 20,
        "duration": "60m",
        "scrapeInterval": "15s",
        "stable": USUAL,
        "candidate": USUAL,
    }
    return Scenario.model_validate(content | changes)


def harmful(rate: float, **changes: Any) -> Scenario:
    """The candidate fails this often."""
    return scenario(truth="harmful", candidate={**USUAL, "errorRate": rate}, **changes)


def one(given: Scenario, *, runs: int = 100, seed: int = 11) -> dict[str, Any]:
    """The result of one scenario."""
    return simulate(BALANCED, [given], runs=runs, seed=seed)[0]


def test_healthy_candidates_are_promoted_within_25_minutes() -> None:
    found = one(scenario())
    assert found["promoted"]["rate"] >= 0.95
    assert found["rolledBack"]["rate"] <= 0.02
    assert found["secondsToPromote"]["p50"] <= 25 * 60
    assert found["secondsToRollback"]["p95"] is None or found["rolledBack"]["n"] > 0


def test_twenty_times_the_errors_are_rolled_back_in_every_run() -> None:
    found = one(harmful(0.1))
    assert found["rolledBack"] == {"n": 100, "rate": 1.0, "ci95": [0.963007, 1.0]}
    assert found["candidateRequestsToRollback"]["p50"] < 300
    assert found["badRequestsToRollback"]["p50"] < 30
    assert found["secondsToPromote"] == {"p50": None, "p95": None}
    assert found["ratioToLimit"] > 1


def test_slow_candidates_are_rolled_back() -> None:
    slow = {"errorRate": 0.005, "latency": {"median": "100ms", "sigma": 0.6}}
    assert one(scenario(truth="harmful", candidate=slow))["rolledBack"]["rate"] == 1.0


def test_metrics_outage_neither_rolls_back_nor_promotes_while_it_lasts() -> None:
    outage = {"from": "5m", "to": "30m", "side": "metrics", "outage": True}
    ended = Cohort(BALANCED, scenario(events=[outage]), 100, np.random.SeedSequence(11)).play()
    assert not ((ended.seconds >= 5 * 60) & (ended.seconds < 30 * 60)).any()
    assert ended.promoted.sum() > 50
    assert ended.rolled_back.sum() <= 3, "what 1% risk allows in 100 runs"


def test_the_person_a_pause_step_waits_for_is_there() -> None:
    steps = [step.model_copy(update={"pause": True}) for step in BALANCED.steps]
    policy = BALANCED.model_copy(update={"steps": steps})
    [found] = simulate(policy, [scenario()], runs=20, seed=11)
    assert found == simulate(BALANCED, [scenario()], runs=20, seed=11)[0]


def test_nothing_is_decided_while_metrics_are_out_all_the_time() -> None:
    outage = {"from": "0s", "to": "60m", "side": "metrics", "outage": True}
    bad = one(harmful(0.5, events=[outage]), runs=20)
    # The last scrape is after the outage and may say Harm.
    assert bad["promoted"]["n"] == 0
    assert bad["secondsToRollback"]["p50"] in (None, 3600.0)


def test_shared_outage_before_the_promotion_is_not_held_against_the_candidate() -> None:
    outage = {"from": "3m", "to": "8m", "side": "both", "errorRate": 0.2}
    assert one(scenario(events=[outage]))["rolledBack"]["n"] <= 2


@pytest.mark.parametrize("begin", [8, 10, 12, 15])
def test_a_shared_outage_at_any_time_of_the_bake_is_not_held_against_the_candidate(
    begin: int,
) -> None:
    outage = {"from": f"{begin}m", "to": f"{begin + 5}m", "side": "both", "errorRate": 0.2}
    found = one(scenario(events=[outage]), runs=200, seed=31)
    assert found["rolledBack"]["n"] <= 6, "what 1% risk allows in 200 runs"
    assert found["promoted"]["n"] >= 190


def test_a_minute_of_a_cold_start_is_not_held_against_the_candidate() -> None:
    cold = {"from": "0s", "to": "60s", "side": "candidate", "latencyFactor": 5}
    found = one(scenario(events=[cold]), runs=200, seed=32)
    assert found["rolledBack"]["n"] <= 6
    assert found["promoted"]["n"] >= 190


def test_bunched_failures_are_learned_from_the_stable_and_count_for_less() -> None:
    found = one(scenario(overdispersion=4), runs=200, seed=33)
    assert found["rolledBack"]["n"] <= 6, "20% of the runs if bunches counted as independent"
    assert found["promoted"]["n"] >= 120
    harm = one(harmful(0.025, overdispersion=4), runs=100, seed=34)
    assert harm["rolledBack"]["rate"] == 1.0


def test_harm_that_begins_in_the_bake_is_rolled_back_with_only_a_holdback_to_compare() -> None:
    late = {"from": "25m", "to": "60m", "side": "candidate", "errorRate": 0.1}
    ended = Cohort(
        BALANCED, scenario(truth="harmful", events=[late]), 100, np.random.SeedSequence(35)
    ).play()
    baking = ended.rolled_back & (ended.seconds > 25 * 60)
    # A bake that ends within three minutes of the harm may miss it; the others must not.
    assert baking.sum() >= 40
    assert (ended.rolled_back | (ended.seconds < 18 * 60)).all()


def test_low_traffic_stays_undecided() -> None:
    found = one(scenario(requestsPerSecond=0.1), runs=50)
    assert found["undecided"]["n"] == 50


def test_no_traffic_stays_undecided() -> None:
    assert one(scenario(requestsPerSecond=0), runs=5)["undecided"]["n"] == 5


def test_same_seed_same_answer_for_any_number_of_processes() -> None:
    given = [scenario(duration="8m"), harmful(0.02, name="x4", duration="8m")]
    first = simulate(BALANCED, given, runs=300, seed=5)
    assert simulate(BALANCED, given, runs=300, seed=5, jobs=2) == first
    assert simulate(BALANCED, given[1:], runs=300, seed=5) == first[1:]
    assert simulate(BALANCED, given, runs=300, seed=6) != first


def test_result_has_exactly_the_promised_fields() -> None:
    found = one(harmful(0.025), runs=20)
    assert list(found) == [
        "name", "truth", "runs", "promoted", "rolledBack", "undecided", "secondsToRollback",
        "candidateRequestsToRollback", "badRequestsToRollback", "secondsToPromote", "limit",
        "ratioToLimit",
    ]  # fmt: skip
    assert found["runs"] == sum(found[w]["n"] for w in ("promoted", "rolledBack", "undecided"))
    for what in ("promoted", "rolledBack", "undecided"):
        assert list(found[what]) == ["n", "rate", "ci95"]
        low, high = found[what]["ci95"]
        assert low <= found[what]["rate"] <= high


def test_the_engine_begins_the_first_step_at_second_0() -> None:
    run = first_step(BALANCED)
    assert run.status.phase is Phase.STEPPING
    assert run.weights == (("stable", 95), ("candidate", 5))
    assert run.due <= BALANCED.steps[0].hold


def test_limit_at_a_fixed_weight_is_the_published_one() -> None:
    half = BALANCED.model_copy(
        update={"steps": [BALANCED.steps[-1]], "checks": BALANCED.checks[:1]}
    )
    limit = limit_of(half, harmful(0.025, scrapeInterval="1s"))
    assert limit is not None
    assert limit.seconds / 60 == pytest.approx(1.1, abs=0.1)  # 50%, x5: 19 events, 1.1 minutes
    limit = limit_of(half, scenario())
    assert limit is not None
    assert limit.seconds / 60 == pytest.approx(8.5, abs=0.5)  # R1 = 2: 51 events, 8 minutes


def test_drawn_traffic_has_the_asked_for_rates() -> None:
    given = harmful(0.2, overdispersion=4.0, requestsPerSecond=40)
    counts = draw(np.random.default_rng(3), intervals(given)[0], np.full(20_000, 0.5), 4.0)
    failed, sent = counts[:, 0, K], counts[:, 0, N]
    assert sent.mean() == pytest.approx(300, rel=0.01)
    assert failed.mean() == pytest.approx(60, rel=0.01)
    expected = 4.0 * 300 * 0.2 * 0.8 + 300 * 0.2**2  # beta-binomial, and the requests' own
    assert failed.var() == pytest.approx(expected, rel=0.08)
    over_100ms = 0.5 * math.erfc(math.log(2.0) / 0.6 / math.sqrt(2.0))
    assert counts[:, 1, ABOVE + 5].sum() / counts[:, 1, N].sum() == pytest.approx(
        over_100ms, rel=0.02
    )


def test_event_inside_a_scrape_interval_counts_by_its_part_of_the_requests() -> None:
    event = {"from": "5s", "to": "10s", "side": "candidate", "errorRate": 0.305}
    first = intervals(scenario(events=[event]))[0]
    assert first.failing == pytest.approx([0.105, 0.005])
    load = [{"at": "0s", "value": 10}, {"at": "10s", "value": 40}]
    assert intervals(scenario(requestsPerSecond=load))[0].requests == pytest.approx(300)


def test_wilson_interval_is_the_published_one() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


GOOD = """
name: a
truth: healthy
requestsPerSecond: 20
duration: 10m
stable: {errorRate: 0.01}
candidate: {errorRate: 0.01}
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "requestPerSecond: 3\n", "scenario.requestPerSecond: unknown field"),
        (GOOD.replace("10m", "ten"), "scenario.duration: expected a duration such as 30s"),
        (GOOD.replace("healthy", "good"), "scenario.truth: Input should be 'harmful' or 'healthy'"),
        (GOOD.replace("name: a\n", ""), "scenario.name: Field required"),
        (GOOD + "events: [{from: 0s, to: 1m, side: metrics}]", "give 'outage: true' alone"),
        (GOOD + "events: [{from: 2m, to: 1m, side: both, errorRate: 1}]", "later than 'from'"),
        (GOOD.replace("0.01}", "1.5}"), "scenario.stable.errorRate"),
        (GOOD.replace("20\n", "[{at: 5s, value: 1}]\n"), "must begin at 0s"),
        (GOOD.replace("20\n", "many\n"), "scenario.requestsPerSecond: expected a number such as"),
        ("- a\n", "expected a mapping"),
        ("a: [", "expected YAML"),
        ("", "no YAML document"),
    ],
)
def test_bad_scenario_is_refused_with_where_and_what(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_scenarios(path)
    assert says in str(refused.value)
    assert "bad.yaml" in str(refused.value)


def test_missing_file_and_missing_policy_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read"):
        read_scenarios(tmp_path / "none.yaml")
    path = tmp_path / "scenario.yaml"
    path.write_text(GOOD)
    with pytest.raises(UsageError, match="exactly one CanaryPolicy or ClusterCanaryPolicy"):
        read_policy(path)
