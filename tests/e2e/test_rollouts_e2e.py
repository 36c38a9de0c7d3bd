"""The main job in containers: six rollouts at once, each with its own load and its own end."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ground import Ground, Journey
from trial import CANARY, serves, summary

from sluice.api.status import Phase, RolloutStatus

RATE = 15.0
BLUE_GREEN: dict[str, Any] = {
    "blueGreen": {
        **{key: CANARY[key] for key in ("warmup", "risk", "onUndecided")},
        "checks": [
            {
                "name": "errors",
                "metric": "error-rate",
                "compare": {
                    "acceptableRatio": 1,
                    "unacceptableRatio": 2,
                    "negligibleBelow": 0.02,
                },
            },
            CANARY["checks"][1],
        ],
        "bake": "3s",
    }
}
# Name -> model, and what else its spec says.
ROLLOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "better": ("better", {}),
    "errors": ("faulty", {}),
    "slow": ("slow", {}),
    "crash": ("crashing", {"progressDeadlineSeconds": 45}),
    "missing": ("no-such-model", {"progressDeadlineSeconds": 45}),
    "green": ("better", {"strategy": BLUE_GREEN}),
}


class Played:
    """All rollouts of this module, begun together: Seldon's probes wait 20 s for each pod."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.rollouts = {name: Journey(ground, name) for name in ROLLOUTS}
        self.ended: dict[str, RolloutStatus] = {}

    def begin(self) -> None:
        for name, rollout in self.rollouts.items():
            spec = {key: value for key, value in ROLLOUTS[name][1].items() if key == "strategy"}
            rollout.create(rate=0, wait=False, **spec)
        for rollout in self.rollouts.values():
            rollout.until(serves, "the stable serves")
            rollout.start_load(RATE)
        # In two waves: what the start of six pods does to the latencies of two cores is no model's.
        for wave in (("better", "errors", "slow"), ("crash", "missing", "green")):
            for name in wave:
                variant, spec = ROLLOUTS[name]
                self.rollouts[name].change(variant, **spec)
            for name in wave:
                self.ended[name] = self.rollouts[name].until(ended, "the end")

    def end(self) -> None:
        for rollout in self.rollouts.values():
            rollout.end()


def ended(status: RolloutStatus) -> bool:
    return bool(status.history) and not status.phase.active


@pytest.fixture(scope="module")
def played(cluster: Ground) -> Iterator[Played]:
    with contextlib.ExitStack() as ends:
        all_of_them = Played(cluster)
        ends.callback(all_of_them.end)
        all_of_them.begin()
        yield all_of_them


@pytest.fixture
def named(played: Played) -> Callable[[str], Journey]:
    return played.rollouts.__getitem__


def test_a_better_model_is_promoted_and_no_request_fails(
    named: Callable[[str], Journey], cluster: Ground
) -> None:
    rollout = named("better")
    status = rollout.until_ended("Promoted")
    assert status.stable is not None
    assert rollout.predictors() == {status.stable.predictor: 100}
    assert rollout.weights is not None
    assert rollout.weights.of(status.stable.predictor) == [0, 20, 50, 95, 100]
    assert rollout.count() == []


def test_a_model_with_errors_is_rolled_back_and_only_its_own_requests_fail(
    named: Callable[[str], Journey], cluster: Ground
) -> None:
    rollout = named("errors")
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected", summary(status)
    assert rollout.count(bad=status.history[0].predictor) == []


def test_a_slow_model_is_rolled_back_on_latency_and_no_request_fails(
    named: Callable[[str], Journey], cluster: Ground
) -> None:
    rollout = named("slow")
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    assert "latency" in status.history[0].message
    assert rollout.count() == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [("crash", "CrashLoopBackOff|ended with code 1"), ("missing", "ErrImagePull|ImagePullBackOff")],
    ids=["crash loop", "image that does not exist"],
)
def test_a_candidate_that_cannot_start_gets_no_traffic_and_the_pod_s_problem_is_told(
    named: Callable[[str], Journey], cluster: Ground, name: str, problem: str
) -> None:
    rollout = named(name)
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "ProgressDeadlineExceeded"
    assert re.search(problem, status.history[0].message), status.history[0].message
    assert len(rollout.predictors()) == 1
    assert rollout.count() == []


def test_green_gets_everything_at_once_and_no_request_fails(
    named: Callable[[str], Journey], cluster: Ground
) -> None:
    rollout = named("green")
    status = rollout.until_ended("Promoted")
    assert status.phase is Phase.IDLE
    assert status.stable is not None
    assert rollout.weights is not None
    assert rollout.weights.of(status.stable.predictor) == [0, 100]
    assert rollout.count() == []
