"""What is around Sluice fails in mid-rollout: nothing is decided wrongly, lost, or done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from trial import Trial, measured, poll, sluice

from sluice.api.status import Phase, RolloutStatus
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
HALF = {"steps": [{"weight": 50, "hold": "1s"}]}
# At the step of that weight until it is resumed: there is time for anything to happen.
HELD_AT_20 = {"steps": [{"weight": 20, "pause": True}, {"weight": 50, "hold": "1s"}]}
HELD_AT_50 = {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "pause": True}]}
REQUESTS = (
    "sum(seldon_api_executor_server_requests_seconds_count"
    '{{deployment_name="{}",predictor_name="{}",service="predictions"}})'
)


@pytest.fixture
def prometheus_again(cluster: Sandbox) -> Iterator[None]:
    """Prometheus is back after the test, whatever happened."""
    yield
    cluster.prometheus.stop()
    cluster.prometheus.start()


@pytest.fixture
def operator_again(cluster: Sandbox) -> Iterator[None]:
    """Seldon's operator is back after the test, whatever happened."""
    yield
    cluster.stop_operator()
    cluster.start_operator()


def metrics_are(status: RolloutStatus, value: str) -> bool:
    condition = status.condition("MetricsAvailable")
    return condition is not None and condition.status == value


@pytest.mark.usefixtures("prometheus_again")
def test_an_outage_of_prometheus_in_mid_rollout_holds_and_then_the_model_is_promoted(
    start: Start,
) -> None:
    rollout = start("outage")
    rollout.create()
    rollout.change("better", canary=HELD_AT_20)  # not promoted before Prometheus is down
    candidate = rollout.until(lambda s: s.pause is not None, "it waits for a person").candidate
    assert candidate is not None
    rollout.cluster.prometheus.stop()
    rollout.until(lambda s: metrics_are(s, "False"), "the outage is seen")
    resumed(rollout)
    seen = len(rollout.answered(candidate.predictor))
    poll(lambda: len(rollout.answered(candidate.predictor)) > seen + 50, "requests enough for all")
    held = rollout.status()
    assert (held.phase, held.pause) == (Phase.STEPPING, None)
    assert held.step is not None
    assert held.step.index == 0
    assert held.history == []
    rollout.cluster.prometheus.start()
    status = rollout.until_ended("Promoted")
    assert len(status.history) == 1
    assert rollout.failures() == []


@pytest.mark.usefixtures("prometheus_again")
def test_without_prometheus_from_the_start_nothing_is_promoted_and_nothing_is_rolled_back(
    start: Start,
) -> None:
    rollout = start("blind")
    rollout.create()
    rollout.cluster.prometheus.stop()
    # Even a policy that rolls back whoever is undecided for long does not take blind for undecided.
    undecided = {"after": "4s", "action": "RollBack"}
    rollout.change("better", canary={"onUndecided": undecided})
    held = rollout.until(lambda s: s.pause is not None, "it gives up waiting, and says so")
    assert held.phase is Phase.STEPPING
    assert held.step is not None
    assert held.step.index == 0
    assert held.history == []
    assert metrics_are(held, "False")
    assert held.candidate is not None
    assert rollout.routes().get(held.candidate.predictor) == 20
    assert rollout.failures() == []


def test_a_controller_killed_in_mid_step_goes_on_where_it_was(start: Start) -> None:
    rollout = start("killed")
    rollout.create()
    rollout.change("better", canary=HELD_AT_50)
    before = rollout.until(lambda s: s.pause is not None and _samples(s) > 60, "some evidence")
    assert before.candidate is not None
    assert before.checkpoint is not None
    rollout.cluster.stop_controller(crash=True)
    query = REQUESTS.format(rollout.name, before.candidate.predictor)
    scraped = measured(rollout.cluster, query)
    poll(
        lambda: measured(rollout.cluster, query) > scraped + 20,
        "the gateway goes on without a controller, and Prometheus counts",
    )
    rollout.cluster.start_controller()
    written = before.checkpoint.at
    after = rollout.until(
        lambda s: s.checkpoint is not None and s.checkpoint.at > written + 1.0,
        "the new one counts on",
    )
    assert after.checkpoint is not None
    assert _samples(after) >= _samples(before) + 20, "what came while it was away is counted"
    assert (after.step, after.candidate) == (before.step, before.candidate)
    assert after.started_at == before.started_at
    assert after.history == []

    resumed(rollout)
    status = rollout.until_ended("Promoted")
    assert len(status.history) == 1
    assert rollout.failures() == []
    # The load has ended, and told all: there were no more requests than these until then.
    to = after.checkpoint.at
    until_then = [s for s in rollout.answered(before.candidate.predictor) if s.at <= to]
    assert _samples(after) <= len(until_then), "and counted once"
    assert rollout.weights is not None
    assert rollout.weights.of(before.candidate.predictor) == [0, 20, 50, 95, 100]


def test_a_controller_killed_in_a_rollback_ends_it_once(start: Start) -> None:
    rollout = start("twice")
    rollout.create()
    rollout.change("faulty", canary=HALF)
    candidate = rollout.until_phase(Phase.ROLLING_BACK).candidate
    assert candidate is not None
    rollout.cluster.stop_controller(crash=True)
    rollout.cluster.start_controller()
    status = rollout.until_ended("RolledBack")
    assert [e.revision for e in status.history] == [candidate.revision]
    assert rollout.failures(besides=candidate.predictor) == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 50, 0]


def test_an_api_server_restarted_in_mid_rollout_changes_nothing(start: Start) -> None:
    rollout = start("apiserver")
    rollout.create()
    rollout.change("better", canary=HELD_AT_50)
    candidate = rollout.until_phase(Phase.STEPPING).candidate
    assert candidate is not None
    watched = rollout.weights
    assert watched is not None
    poll(lambda: 20 in watched.of(candidate.predictor), "the first step is seen")
    rollout.cluster.control_plane.restart_api_server(crash=True)
    rollout.until(lambda s: s.pause is not None, "it goes on to the last step")
    watched.follow_on()
    resumed(rollout)
    # Should the controller lose its lease over it, it ends and is started again.
    status = rollout.until(lambda s: bool(s.history) and not s.phase.active, "the end")
    assert [e.outcome for e in status.history] == ["Promoted"]
    assert rollout.failures() == []
    assert watched.of(candidate.predictor) == [0, 20, 50, 95, 100]


@pytest.mark.usefixtures("operator_again")
def test_a_rollback_that_seldon_refuses_is_done_when_its_operator_is_back(start: Start) -> None:
    rollout = start("refused")
    rollout.create(rate=0)  # no harm is seen before the operator is away
    stable = rollout.status().stable
    rollout.change("faulty", canary=HALF)
    candidate = rollout.until_phase(Phase.STEPPING).candidate
    assert candidate is not None
    assert stable is not None
    poll(lambda: rollout.routes().get(candidate.predictor) == 50, "the candidate has its share")
    rollout.cluster.stop_operator(crash=True)
    rollout.start_load()
    poll(lambda: _refusals(rollout) >= 2, "the controller tries, and Seldon's webhook is not there")
    assert rollout.routes().get(candidate.predictor) == 50
    rollout.cluster.start_operator()
    status = rollout.until_ended("RolledBack")
    assert [e.reason for e in status.history] == ["HarmDetected"]
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.failures(besides=candidate.predictor) == []


def resumed(rollout: Trial) -> None:
    """A person says that it may go on."""
    said = sluice(rollout.cluster, "resume", rollout.name)
    assert said.returncode == 0, said.stderr


def _samples(status: RolloutStatus) -> int:
    return min((c.candidate_samples for c in status.checks), default=0)


def _refusals(rollout: Trial) -> int:
    """How often the controller's log says that it will retry this rollout."""
    log = rollout.cluster.layout.logs / "sluice-controller.log"
    lines = log.read_text(errors="replace").splitlines()
    return sum("will retry" in line and f"/{rollout.name}" in line for line in lines)
