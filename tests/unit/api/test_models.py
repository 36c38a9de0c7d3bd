"""Durations, policies, overrides, and what a wrong resource is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.api.base import format_duration, parse_duration
from sluice.api.builtin import BALANCED
from sluice.api.policy import CanaryOverrides, CanaryPolicySpec, Risk, Step
from sluice.api.rollout import parse_policy, parse_rollout
from sluice.api.status import RolloutStatus
from sluice.api.strategy import Canary, Shadow
from sluice.errors import SpecError

DURATIONS = {"90s": 90, "2m": 120, "1h30m": 5400, "500ms": 0.5, "0s": 0, "1.5h": 5400, "1d": 86400}


@pytest.mark.parametrize("text", DURATIONS)
def test_durations_are_read_as_seconds(text: str) -> None:
    assert parse_duration(text) == DURATIONS[text]


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5s", "5x", "m", "1h 30m", "s5", "5s\n"])
def test_a_wrong_duration_is_told_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s, 2m, 1h30m or 500ms"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_survives_writing_and_reading(milliseconds: int) -> None:
    text = format_duration(milliseconds / 1000)
    assert parse_duration(text) == pytest.approx(milliseconds / 1000)


def rollout(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"predictors": [{"graph": {"name": "m"}}]}}
    return {
        "metadata": {"name": "iris", "namespace": "prod", "uid": "u", "generation": 3},
        "spec": {"template": template, **spec},
    }


def test_a_rollout_serves_under_its_own_name_unless_told_otherwise() -> None:
    assert parse_rollout(rollout()).deployment_name == "iris"
    assert parse_rollout(rollout(seldonDeploymentName="old")).deployment_name == "old"
    assert parse_rollout(rollout()).key == "prod/iris"


def test_without_a_strategy_it_is_a_canary_without_a_shadow() -> None:
    strategy = parse_rollout(rollout()).spec.strategy
    assert strategy.blue_green is None
    assert (strategy.canary, strategy.shadow) == (Canary(), None)


def test_blue_green_overrides_the_policy_too_and_the_steps_stay_unused() -> None:
    asked = {"blueGreen": {"bake": "5s", "keepBlueFor": "1h", "shadow": {"percent": 20}}}
    strategy = parse_rollout(rollout(strategy=asked)).spec.strategy
    policy = BALANCED.overridden(strategy.overrides)
    assert (policy.bake, policy.steps) == (5.0, BALANCED.steps)
    assert strategy.shadow == Shadow(percent=20)
    assert strategy.shadow.hold == 300.0


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two strategies": (
        {"strategy": {"canary": {}, "blueGreen": {}}},
        r"spec\.strategy: strategy needs exactly one of canary",
    ),
    "a blue-green rollout with steps": (
        {"strategy": {"blueGreen": {"steps": [{"weight": 5}]}}},
        r"spec\.strategy\.blueGreen\.steps: .*not permitted",
    ),
    "unknown field": ({"pausd": True}, r"spec\.pausd: .*not permitted"),
    "descending weights": (
        {"strategy": {"canary": {"steps": [{"weight": 9}, {"weight": 5}]}}},
        r"spec\.strategy\.canary: the weights of steps must ascend, found \[9, 5\]",
    ),
    "weight": (
        {"strategy": {"canary": {"steps": [{"weight": 0}]}}},
        r"spec\.strategy\.canary\.steps\[0\]\.weight: .*greater than or equal to 1 \(found 0\)",
    ),
    "duration": (
        {"strategy": {"canary": {"bake": "5y"}}},
        r"spec\.strategy\.canary\.bake: expected a duration such as 30s",
    ),
    "traffic": (
        {"template": {"spec": {"predictors": [{"graph": {}, "traffic": 100}]}}},
        r"predictors\[0\]\.traffic must be left out: Sluice sets it",
    ),
    "two predictors": (
        {"template": {"spec": {"predictors": [{"graph": {}}, {"graph": {}}]}}},
        r"spec\.template\.spec\.predictors: .*at most 1 item",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_rollout_is_told_where_and_what(case: str) -> None:
    spec, said = WRONG[case]
    with pytest.raises(SpecError, match=said) as refused:
        parse_rollout(rollout(**spec))
    assert refused.value.reason == "InvalidSpec"


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(SpecError) as refused:
        parse_rollout(rollout(paused="maybe", progressDeadlineSeconds=0))
    assert "spec.paused" in str(refused.value)
    assert "spec.progressDeadlineSeconds" in str(refused.value)


def test_an_unreadable_status_has_a_way_out() -> None:
    with pytest.raises(SpecError, match="delete the status to start afresh") as refused:
        parse_rollout({**rollout(), "status": {"phase": "Dreaming"}})
    assert refused.value.reason == "UnreadableStatus"


def test_a_newer_versions_status_is_read() -> None:
    status = {"phase": "Idle", "inventedLater": {"a": 1}, "stable": {"revision": "r", "x": 1}}
    with pytest.raises(SpecError):
        parse_rollout({**rollout(), "status": status})
    status["stable"] = {"revision": "r", "predictor": "p", "x": 1}
    found = parse_rollout({**rollout(), "status": status}).status
    assert found.stable is not None
    assert found.stable.predictor == "p"


CHECKS: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({}, "exactly one of compare and limit"),
    "both": ({"compare": {}, "limit": {"max": 0.1}}, "exactly one of compare and limit"),
    "share of 2": ({"limit": {"max": 2}}, "max must be a share between 0 and 1, found 2"),
    "duration for a share": ({"limit": {"max": "1s"}}, "needs max as a share"),
    "quantile for a share": ({"limit": {"max": 0.1, "quantile": 0.5}}, "no quantile"),
    "latency without quantile": (
        {"metric": "latency", "limit": {"max": "1s"}},
        "a latency limit needs quantile",
    ),
    "latency as a number": (
        {"metric": "latency", "limit": {"quantile": 0.5, "max": 0.5}},
        "max as a duration",
    ),
    "ratios": (
        {"compare": {"acceptableRatio": 3, "unacceptableRatio": 2}},
        r"unacceptableRatio \(2\) must be greater than acceptableRatio \(3\)",
    ),
    "difference of errors": (
        {"difference": {}},
        "difference is for the metrics predictions and feedback, found error-rate",
    ),
    "predictions compared": (
        {"metric": "predictions", "compare": {}},
        "predictions needs difference and neither compare nor limit",
    ),
    "feedback with both": (
        {"metric": "feedback", "difference": {}, "limit": {"max": 0.1}},
        "feedback needs difference and neither compare nor limit",
    ),
    "perClass of predictions": (
        {"metric": "predictions", "difference": {"perClass": True}},
        "perClass is for feedback, found predictions",
    ),
    "shares the wrong way round": (
        {"metric": "feedback", "difference": {"acceptable": 0.1, "unacceptable": 0.05}},
        r"unacceptable \(0.05\) must be greater than acceptable \(0.1\)",
    ),
    "points for shares": (
        {"metric": "feedback", "difference": {"acceptable": 2, "unacceptable": 10}},
        "difference.acceptable",
    ),
    "a slice twice": (
        {"metric": "predictions", "difference": {"slices": ["region", "region"]}},
        "each of slices is named once",
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_wrong_check_is_told_by_its_name(case: str) -> None:
    fields, said = CHECKS[case]
    check = {"name": "one", "metric": "error-rate", **fields}
    policy = {"metadata": {"name": "mine"}, "spec": {"steps": [{"weight": 5}], "checks": [check]}}
    with pytest.raises(SpecError, match=said) as refused:
        parse_policy(policy)
    assert refused.value.reason == "InvalidPolicy"
    assert "policy 'mine': spec.checks[0]" in str(refused.value)


def test_two_checks_of_one_name_are_refused() -> None:
    check = {"name": "one", "metric": "error-rate", "compare": {}}
    with pytest.raises(SpecError, match="names of checks must differ"):
        parse_policy({"spec": {"steps": [{"weight": 5}], "checks": [check, check]}})


def test_an_override_replaces_its_field_and_nothing_else() -> None:
    overrides = CanaryOverrides(bake=5.0, risk=Risk(false_rollback=0.02))
    changed = BALANCED.overridden(overrides)
    assert changed.bake == 5.0
    assert changed.risk.false_rollback == 0.02
    assert changed.steps == BALANCED.steps
    assert changed.checks == BALANCED.checks
    assert BALANCED.overridden(None) is BALANCED
    assert BALANCED.overridden(CanaryOverrides()) == BALANCED


def test_an_override_of_zero_counts() -> None:
    assert BALANCED.overridden(CanaryOverrides(warmup=0.0)).warmup == 0


weights = st.lists(st.integers(1, 100), min_size=1, max_size=50, unique=True).map(sorted)
seconds = st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000)


@given(weights, seconds, seconds, seconds)
def test_a_policy_survives_writing_and_reading(
    ascending: list[int], hold: float, bake: float, warmup: float
) -> None:
    policy = CanaryPolicySpec(
        steps=[Step(weight=weight, hold=hold) for weight in ascending],
        bake=bake,
        warmup=warmup,
        checks=BALANCED.checks,
    )
    assert parse_policy({"spec": policy.to_dict()}) == policy


def test_a_status_survives_writing_and_reading() -> None:
    status = RolloutStatus.model_validate(
        {
            "phase": "Stepping",
            "step": {"index": 0, "weight": 5, "holdUntil": "2026-01-01T00:00:00Z"},
            "traffic": {"desired": {"a": 95, "b": 5}},
            "checks": [{"name": "errors", "verdict": "Undecided", "candidate": 0.0}],
            "checkpoint": {"at": 1.5, "key": "a/b", "state": "AA=="},
        }
    )
    assert RolloutStatus.model_validate(status.to_wire()) == status
    assert "freeze" not in status.to_wire()
