"""Checks of answers in the simulation: what is drawn, what is decided by it, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.api.builtin import BALANCED
from sluice.api.policy import CanaryPolicySpec
from sluice.errors import UsageError
from sluice.evidence.answers import Cell, Counted
from sluice.evidence.formulas import FloatArray
from sluice.evidence.spec import answer_plans_of
from sluice.simulation.answer_cohort import AnswerCohort
from sluice.simulation.answer_traffic import AnswerScenario, AnswerTraffic
from sluice.simulation.cohort import Cohort
from sluice.simulation.lint_answers import cost_of_answers
from sluice.simulation.scenario import Scenario, read_scenarios
from sluice.simulation.simulate import limit_of, simulate
from sluice.simulation.traffic import COLUMNS, K, N, intervals

BOTH = frozenset(Counted)
SHARES = {"setosa": 0.5, "versicolor": 0.3, "virginica": 0.2}
LOST = {"setosa": 0.5, "versicolor": 0.4, "virginica": 0.1}
USUAL = {"errorRate": 0.005, "predictions": {"classes": SHARES}, "accuracy": 0.93}
CHANGED = {**USUAL, "predictions": {"classes": LOST}}
WORSE = {**USUAL, "accuracy": 0.7}
PREDICTIONS = {"name": "predictions", "metric": "predictions", "difference": {"acceptable": 0.03}}
FEEDBACK = {"name": "feedback", "metric": "feedback", "difference": {}}
ERRORS = {"name": "errors", "metric": "error-rate", "compare": {}}


def policy(*checks: dict[str, Any], **changes: Any) -> CanaryPolicySpec:
    """Two short steps; one minute of bake beside the stable."""
    content = {
        "steps": [{"weight": 20, "hold": "1m"}, {"weight": 50, "hold": "1m"}],
        "bake": "1m",
        "bakeHoldback": 5,
        "warmup": "0s",
        "checks": list(checks),
    }
    return CanaryPolicySpec.model_validate(content | changes)


def scenario(**changes: Any) -> Scenario:
    """A candidate like the stable, at 20 requests/s for half an hour."""
    content = {
        "name": "alike",
        "truth": "healthy",
        "requestsPerSecond": 20,
        "duration": "30m",
        "stable": USUAL,
        "candidate": USUAL,
        "feedback": {"share": 0.5, "through": "predictor"},
    }
    return Scenario.model_validate(content | changes)


def one(asked: CanaryPolicySpec, given: Scenario, runs: int = 60, seed: int = 21) -> dict[str, Any]:
    """The result of one scenario."""
    return simulate(asked, [given], runs=runs, seed=seed)[0]


def drawn(
    given: Scenario, requests: int, share: float, runs: int = 4000, scrapes: int = 1
) -> tuple[AnswerScenario, FloatArray]:
    """The counters of one scrape after `scrapes`, (runs, 2, C), at so many requests a side."""
    every = intervals(given)
    content = AnswerScenario(given, BOTH)
    traffic = AnswerTraffic(content, runs, np.random.SeedSequence(4), every[0])
    counts = np.zeros((runs, 2, COLUMNS), dtype=np.int64)
    counts[:, :, N] = requests
    counts[:, :, K] = requests // 10
    for i in range(scrapes):
        found = traffic.drawn(
            content.mix(every[i]), range(runs), counts, np.full(runs, share, dtype=np.float64)
        )
    return content, found


def test_answers_are_those_of_requests_that_did_not_fail_in_the_shares_asked_for() -> None:
    content, found = drawn(scenario(candidate=CHANGED), 100, 0.2)
    by_label = dict(zip(content.labels, found[:, 0].mean(axis=0), strict=False))
    assert content.labels == ("other", "missing", *SHARES)
    assert by_label == pytest.approx(
        {"other": 0, "missing": 0, "setosa": 45, "versicolor": 36, "virginica": 9}, rel=0.02
    )
    assert (found[:, :, : len(content.labels)].sum(axis=2) == 90).all()


def test_bunches_of_answers_have_the_variance_asked_for() -> None:
    bunched = {**USUAL, "predictions": {"classes": SHARES, "overdispersion": 8}}
    content, found = drawn(scenario(stable=bunched), 1000, 0.2)
    versicolor = found[:, :, content.labels.index("versicolor")]
    assert versicolor.mean(axis=0) == pytest.approx([270, 270], rel=0.02)
    usual = 900 * 0.3 * 0.7
    assert versicolor.var(axis=0) == pytest.approx([usual, 8 * usual], rel=0.1)


@pytest.mark.parametrize(
    ("through", "counted"), [("predictor", (45, 45)), ("gateway", (9, 36))], ids=str
)
def test_truths_count_where_they_reach_who_answered(through: str, counted: tuple[int, int]) -> None:
    given = scenario(feedback={"share": 0.5, "through": through}, candidate=WORSE)
    content, found = drawn(given, 100, 0.2)
    outcomes = found[:, :, len(content.labels) :]
    assert outcomes.sum(axis=2).mean(axis=0) == pytest.approx(counted, rel=0.02)
    wrong = outcomes[:, :, 0].mean(axis=0) / outcomes.sum(axis=2).mean(axis=0)
    assert wrong == pytest.approx([0.3, 0.07], rel=0.05)


def test_so_many_truths_a_second_are_of_both_sides_together() -> None:
    given = scenario(feedback={"perSecond": 2, "through": "predictor"})
    assert AnswerScenario(given, BOTH).mix(intervals(given)[0]).told == pytest.approx(0.1)
    every = scenario(feedback={"perSecond": 50})
    assert AnswerScenario(every, BOTH).mix(intervals(every)[0]).told == 1.0


def test_truths_come_so_much_later_and_are_of_the_answers_then() -> None:
    event = {"from": "15s", "to": "30m", "side": "both", "accuracy": 0.5}
    late = scenario(feedback={"share": 0.5, "delay": "30s", "through": "predictor"}, events=[event])
    rates = []
    for scrapes in (2, 3, 4):
        content, found = drawn(late, 100, 0.2, scrapes=scrapes)
        outcomes = found[:, :, len(content.labels) :]
        if scrapes == 2:  # the answers of before second 0: the stable's alone
            assert outcomes[:, 0].sum() == 0
            assert outcomes[:, 1].sum() > 0
            continue
        rates.append(float(outcomes[:, 0, 0].sum() / outcomes[:, 0].sum()))
    assert rates == pytest.approx([0.07, 0.5], abs=0.01)


def test_an_event_within_a_scrape_interval_counts_by_its_part() -> None:
    event = {"from": "5s", "to": "10s", "side": "candidate", "predictions": {"classes": LOST}}
    given = scenario(events=[event])
    content = AnswerScenario(given, BOTH)
    shares = content.mix(intervals(given)[0]).predictions[:, content.labels.index("virginica")]
    assert shares == pytest.approx([0.2 - 0.1 / 3, 0.2])


def test_versions_alike_are_promoted_and_a_class_that_is_lost_is_rolled_back() -> None:
    asked = policy(ERRORS, PREDICTIONS, FEEDBACK)
    healthy = one(asked, scenario())
    assert healthy["promoted"]["n"] >= 58
    assert "notSimulated" not in healthy
    harm = one(asked, scenario(truth="harmful", candidate=CHANGED))
    assert harm["rolledBack"]["n"] == 60
    assert harm["ratioToLimit"] > 1


def test_a_version_that_is_wrong_more_often_is_rolled_back_by_its_truths_alone() -> None:
    given = scenario(truth="harmful", candidate=WORSE)
    assert one(policy(ERRORS, FEEDBACK), given)["rolledBack"]["n"] == 60
    assert one(policy(ERRORS, PREDICTIONS), given)["rolledBack"]["n"] <= 2


def test_an_event_changes_what_is_answered_from_then_on() -> None:
    event = {"from": "6m", "to": "30m", "side": "candidate", "predictions": {"classes": LOST}}
    given = scenario(truth="harmful", events=[event])
    asked = policy(PREDICTIONS, bake="20m", bakeHoldback=50)
    ended = Cohort(asked, given, 40, np.random.SeedSequence(5)).play()
    assert (ended.rolled_back & (ended.seconds > 6 * 60)).sum() >= 38


def test_a_sudden_change_of_what_is_asked_is_no_difference() -> None:
    event = {"from": "1m", "to": "30m", "side": "both", "predictions": {"classes": LOST}}
    assert one(policy(PREDICTIONS), scenario(events=[event]))["rolledBack"]["n"] == 0


def test_the_last_step_waits_for_the_first_truths() -> None:
    late = scenario(feedback={"share": 0.5, "delay": "10m", "through": "predictor"})
    found = one(policy(ERRORS, FEEDBACK), late)
    assert found["promoted"]["n"] >= 55
    assert found["secondsToPromote"]["p50"] > 10 * 60
    never = scenario(feedback={"share": 0.5, "delay": "2h"})
    assert one(policy(FEEDBACK), never, runs=5)["undecided"]["n"] == 5


def test_a_true_class_that_is_missed_more_often_is_found_by_class() -> None:
    truths = {"a": 0.7, "b": 0.25, "c": 0.05}
    asked = policy({**FEEDBACK, "difference": {"perClass": True}})
    good, bad = {"a": 0.95, "b": 0.9, "c": 0.9}, {"a": 0.95, "b": 0.9, "c": 0.4}
    given = scenario(
        truth="harmful",
        requestsPerSecond=60,
        stable={"accuracy": good},
        candidate={"accuracy": bad},
        feedback={"share": 1, "through": "predictor", "truths": truths},
    )
    assert one(asked, given)["rolledBack"]["n"] == 60
    # As a whole it is 2.5 points, of which two are acceptable.
    assert one(policy(FEEDBACK), given)["rolledBack"]["n"] < 30


REGIONS = {"region": {"eu": 0.8, "us": 0.2}, "plan": {"free": 0.5, "paid": 0.5}}
WORSE_IN_US = {**USUAL, "inSlice": {"where": {"region": "us"}, "accuracy": 0.5}}
LOST_IN_US: dict[str, Any] = {
    **USUAL,
    "inSlice": {"where": {"region": "us"}, "predictions": {"classes": LOST}},
}


def test_what_is_otherwise_in_a_slice_is_so_there_and_in_the_whole_by_its_part() -> None:
    both = {**LOST_IN_US["inSlice"], "accuracy": 0.5}
    given = scenario(candidate={**USUAL, "inSlice": both}, slices=REGIONS)
    content = AnswerScenario(given, BOTH, ("region", "plan"))
    every = intervals(given)
    traffic = AnswerTraffic(content, 4000, np.random.SeedSequence(4), every[0])
    counts = np.zeros((4000, 2, COLUMNS), dtype=np.int64)
    counts[:, :, N] = 100
    found = traffic.drawn(content.mix(every[0]), range(4000), counts, np.full(4000, 0.5))
    mean = dict(zip(content.cells, found.mean(axis=0).T.tolist(), strict=True))

    def virginica(name: str = "", part: str = "") -> list[float]:
        return mean[Cell(Counted.PREDICTION, "virginica", False, name, part)]

    assert virginica() == pytest.approx([18, 20], rel=0.02)
    assert virginica("region", "us") == pytest.approx([2, 4], rel=0.04)
    assert virginica("region", "eu") == pytest.approx([16, 16], rel=0.02)
    assert virginica("plan", "free") == pytest.approx([9, 10], rel=0.02)
    wrong = mean[Cell(Counted.OUTCOME, "", True, "region", "us")]
    assert wrong == pytest.approx([50 * 0.2 * 0.5, 50 * 0.2 * 0.07], rel=0.04)
    whole = mean[Cell(Counted.OUTCOME, "any", True)]
    assert whole == pytest.approx([50 * (0.2 * 0.5 + 0.8 * 0.07), 50 * 0.07], rel=0.03)
    # The parts of a slice are the whole, in every run.
    by = {cell: found[:, :, i] for i, cell in enumerate(content.cells)}
    for name in REGIONS:
        of = [n for c, n in by.items() if c.slice == name and c.counted is Counted.PREDICTION]
        assert (sum(of) == counts[:, :, N]).all()


def test_harm_within_a_slice_is_found_by_slice_and_slices_alike_pass() -> None:
    sliced = {"acceptable": 0.03, "slices": ["region", "plan"]}
    asked = policy({**PREDICTIONS, "difference": sliced}, {**FEEDBACK, "difference": sliced})
    alike = one(asked, scenario(slices=REGIONS), runs=30)
    assert alike["promoted"]["n"] >= 28
    for candidate in (LOST_IN_US, WORSE_IN_US):
        given = scenario(slices=REGIONS, candidate=candidate, truth="harmful")
        found = one(asked, given, runs=30)
        assert found["rolledBack"]["n"] == 30
        assert found["ratioToLimit"] > 1
    # Two points of the whole, of which three are acceptable.
    given = scenario(slices=REGIONS, candidate=LOST_IN_US)
    assert one(policy(PREDICTIONS), given, runs=30)["rolledBack"]["n"] <= 2


def test_bins_of_numbers_are_shares_as_well() -> None:
    bins = {"<1": 0.5, "1 to 2": 0.4, ">=2": 0.1}
    side = {"predictions": {"bins": bins}}
    given = scenario(stable=side, candidate=side, feedback=None)
    assert AnswerScenario(given, BOTH).labels == ("missing", "invalid", *bins)
    assert one(policy(PREDICTIONS), given)["promoted"]["n"] >= 58


def test_policies_without_such_checks_do_not_see_what_is_answered() -> None:
    bare = {"errorRate": 0.005}
    without = scenario(stable=bare, candidate=bare, feedback=None)
    assert one(BALANCED, scenario(), runs=20) == one(BALANCED, without, runs=20)


def test_traffic_is_the_same_with_and_without_checks_of_answers() -> None:
    with_them = Cohort(policy(ERRORS, PREDICTIONS), scenario(), 20, np.random.SeedSequence(5))
    without = Cohort(policy(ERRORS), scenario(), 20, np.random.SeedSequence(5))
    first = intervals(scenario())[0]
    for cohort in (with_them, without):
        cohort._serve(first)
    assert (with_them._held == without._held).all()


def test_same_seed_same_answer_for_any_number_of_processes() -> None:
    given = [scenario(duration="5m"), scenario(name="lost", candidate=CHANGED, duration="5m")]
    asked = policy(ERRORS, PREDICTIONS, FEEDBACK)
    first = simulate(asked, given, runs=300, seed=5)
    assert simulate(asked, given, runs=300, seed=5, jobs=2) == first
    assert simulate(asked, given[1:], runs=300, seed=5) == first[1:]
    assert simulate(asked, given, runs=300, seed=6) != first


def test_an_outage_of_the_metrics_holds_and_its_answers_come_after_it() -> None:
    outage = {"from": "1m", "to": "6m", "side": "metrics", "outage": True}
    ended = Cohort(
        policy(PREDICTIONS), scenario(events=[outage]), 40, np.random.SeedSequence(6)
    ).play()
    assert not ((ended.seconds > 60) & (ended.seconds < 360)).any()
    assert ended.promoted.sum() >= 38


def test_without_a_holdback_nothing_is_compared_in_the_bake() -> None:
    late = {"from": "10m", "to": "30m", "side": "candidate", "predictions": {"classes": LOST}}
    asked = policy(PREDICTIONS, bake="15m", bakeHoldback=0)
    ended = Cohort(asked, scenario(events=[late]), 20, np.random.SeedSequence(7)).play()
    assert ended.promoted.sum() >= 19


def test_where_the_marks_stay_the_verdicts_do() -> None:
    given, keys = scenario(candidate=CHANGED), [str(i) for i in range(20)]
    plans = answer_plans_of(policy(PREDICTIONS, FEEDBACK))
    past = np.full((60, len(keys), 2), (300, 1), dtype=np.int64)
    cohort = AnswerCohort(plans, given, keys, np.random.SeedSequence(8), past)
    rows, rng = np.arange(len(keys)), np.random.default_rng(1)
    changes = 0
    before: dict[int, tuple[Any, Any]] = {}
    for number, interval in enumerate(intervals(given)[:40]):
        counts = np.zeros((len(keys), 2, COLUMNS), dtype=np.int64)
        counts[:, :, N] = rng.poisson(150 if number else 0, (len(keys), 2))
        share = np.full(len(keys), 0.5)
        cohort.serve(interval, rows.tolist(), counts, share, counted=True)
        cohort.advance(rows, 100.0, ())
        for row, marks in enumerate(cohort.marks(rows).tolist()):
            said = [c.verdict for c in cohort.judged(row, fresh=True, beside=True).values()]
            if row in before and before[row][1] != said:
                assert before[row][0] != marks
                changes += 1
            before[row] = marks, said
    assert changes > len(keys)


def test_the_limit_is_that_of_the_difference_of_two_shares() -> None:
    # Two classes at a half, ten points apart, half of the traffic: in the normal approximation
    # n d^2 / (4 v) nats for n answers of each side and v = 1/4.
    halves = {"predictions": {"classes": {"a": 0.5, "b": 0.5}}}
    given = scenario(stable=halves, candidate=halves, feedback=None)
    asked = policy(PREDICTIONS, steps=[{"weight": 50, "hold": "0s"}])
    limit = limit_of(asked, given)
    assert limit is not None
    assert limit.requests == pytest.approx(np.log(20) / 0.1**2, rel=0.02)
    assert limit.check == "predictions"


def test_the_limit_waits_for_the_truths() -> None:
    asked, times = policy(FEEDBACK, steps=[{"weight": 50, "hold": "0s"}]), []
    for delay in ("0s", "5m"):
        limit = limit_of(asked, scenario(feedback={"share": 0.5, "delay": delay}))
        assert limit is not None
        times.append(limit.seconds)
    assert times[1] - times[0] == pytest.approx(300)


@pytest.mark.parametrize("weight", [20, 50])
@pytest.mark.parametrize("unacceptable", [0.05, 0.1])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.3, 0.2)], ids=str)
def test_what_lint_says_a_pass_takes_is_what_it_takes(
    weight: int, unacceptable: float, shares: tuple[float, ...]
) -> None:
    check = {**PREDICTIONS, "difference": {"unacceptable": unacceptable}}
    asked = policy(check, steps=[{"weight": weight, "hold": "0s"}])
    side = {"predictions": {"classes": dict(zip("abc", shares, strict=False))}}
    # The time until the next scrape comes on top: looked at often, so that it is little.
    often = {"scrapeInterval": "2s" if unacceptable == 0.1 else "5s", "duration": "1h"}
    given = scenario(stable=side, candidate=side, feedback=None, **often)
    found = one(asked, given, runs=200, seed=3)
    told = cost_of_answers(asked, asked.checks[0], 20).minutes
    assert told is not None
    assert found["promoted"]["n"] >= 196
    assert found["secondsToPromote"]["p50"] / 60 == pytest.approx(told, rel=0.15)


@pytest.mark.parametrize(
    ("check", "changes", "lacks"),
    [
        (PREDICTIONS, {"stable": {}, "candidate": {}, "feedback": None}, "predictions"),
        (FEEDBACK, {"stable": {}, "candidate": {}, "feedback": None}, "feedback"),
        ({**FEEDBACK, "difference": {"perClass": True}}, {}, "feedback"),
        ({**PREDICTIONS, "difference": {"slices": ["region"]}}, {}, "predictions"),
        (
            {**FEEDBACK, "difference": {"slices": ["region", "plan"]}},
            {"slices": {"region": {"eu": 0.5, "us": 0.5}}},
            "feedback",
        ),
    ],
)
def test_checks_that_a_scenario_says_nothing_of_are_not_simulated(
    check: dict[str, Any], changes: dict[str, Any], lacks: str
) -> None:
    found = one(policy(ERRORS, check), scenario(**changes), runs=2)
    assert found["notSimulated"] == [lacks]


GOOD = """
name: a
truth: healthy
requestsPerSecond: 20
duration: 10m
stable: {predictions: {classes: {a: 0.5, b: 0.5}}, accuracy: 0.9}
candidate: {predictions: {classes: {a: 0.4, b: 0.6}}, accuracy: 0.9}
feedback: {share: 0.5}
"""
TRUTHS = "{share: 0.5, truths: {a: 0.5, b: 0.5}}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("a: 0.4", "a: 0.5"), "candidate.predictions: the shares must add up to 1"),
        (GOOD.replace("a: 0.4, b: 0.6", "a: 1.4, b: -0.4"), "candidate.predictions.classes.a"),
        (GOOD.replace("a: 0.4, b: 0.6", "a: 1"), "shares of 2 to 100 names, found 1"),
        (GOOD.replace("classes: {a: 0.4", "clases: {a: 0.4"), "predictions.clases: unknown field"),
        (GOOD.replace("{a: 0.4, b: 0.6}", "many"), "expected shares by name such as {setosa"),
        (GOOD.replace("{a: 0.4, b: 0.6}", "{yes: 0.4, no: 0.6}"), "not names in YAML: quote"),
        (GOOD.replace("classes: {a: 0.4", "bins: {a: 0.4"), "the same classes as of the stable"),
        (GOOD.replace("{a: 0.4, b: 0.6}", "{a: 0.4, c: 0.6}"), "(a, b), found a, c: give a share"),
        (GOOD.replace("classes: {a: 0.4, b: 0.6}", ""), "give either classes"),
        (
            GOOD.replace("predictions: {classes: {a: 0.4, b: 0.6}}, ", ""),
            "candidate.predictions is missing, and stable.predictions is there",
        ),
        (GOOD.replace("accuracy: 0.9}\nfeed", "}\nfeed"), "candidate.accuracy is missing"),
        (GOOD.replace("feedback: {share: 0.5}\n", ""), "go together: give both, or neither"),
        (GOOD.replace(", accuracy: 0.9", ""), "go together: give both, or neither"),
        (GOOD.replace("share: 0.5", "share: 0.5, perSecond: 1"), "feedback: give either share"),
        (GOOD.replace("share: 0.5", "share: 0.5, through: mail"), "feedback.through: Input should"),
        (GOOD.replace("accuracy: 0.9}\nf", "accuracy: good}\nf"), "candidate.accuracy: expected a"),
        (
            GOOD.replace("accuracy: 0.9}\nf", "accuracy: {a: 0.9}}\nf").replace(
                "{share: 0.5}", TRUTHS
            ),
            "candidate.accuracy: expected one share, or one for each class of feedback.truths",
        ),
        (
            GOOD + "events: [{from: 0s, to: 1m, side: both, predictions: {classes: {a: 1, c: 0}}}]",
            "events.0.predictions: expected the same classes",
        ),
        (GOOD + "slices: {region: {eu: 0.5, us: 0.4}}", "slices.region: the shares must add up"),
        (GOOD + "slices: [region]", "scenario.slices: expected parts of the requests such as"),
        (
            GOOD.replace("accuracy: 0.9}\nf", "inSlice: {where: {region: us}}, accuracy: 0.9}\nf"),
            "candidate.inSlice: give predictions or accuracy there",
        ),
        (
            GOOD.replace(
                "accuracy: 0.9}\nf",
                "inSlice: {where: {region: us}, accuracy: 0.1}, accuracy: 0.9}\nf",
            ),
            "the scenario has no slice region with a part us (it has none)",
        ),
        (
            GOOD
            + "slices: {region: {eu: 0.5, us: 0.5}}\n"
            + "events: [{from: 0s, to: 1m, side: both, inSlice: {where: {region: us}, "
            + "predictions: {classes: {a: 1, c: 0}}}}]",
            "events.0.inSlice.predictions: expected the same classes",
        ),
        (
            GOOD + "slices: {region: {eu: 1, us: 0}}\nevents: [{from: 0s, to: 1m, side: both, "
            "inSlice: {where: us, accuracy: 1}}]",
            "expected one part of one slice such as",
        ),
        (
            GOOD + "events: [{from: 0s, to: 1m, side: metrics, outage: true, accuracy: 0.5}]",
            "give 'outage: true' alone",
        ),
        (GOOD + "events: [{from: 0s, to: 1m, side: both}]", "predictions, accuracy or inSlice"),
    ],
)
def test_what_does_not_go_together_is_refused_with_where_and_what(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_scenarios(path)
    assert says in str(refused.value)
    assert "bad.yaml" in str(refused.value)


def test_classes_that_are_numbers_are_names(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD.replace("{a: 0.", "{0: 0.").replace(", b: 0.", ", 1: 0."))
    (found,) = read_scenarios(path)
    assert AnswerScenario(found, BOTH).labels == ("other", "missing", "0", "1")
