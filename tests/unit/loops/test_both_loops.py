"""Reconcile and pulse together: what a user sees in the cluster, without a process or a wait."""

from __future__ import annotations

from sluice.api.status import Phase
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS

from .small_loop import CANARY, SmallLoop


def counted(loop: SmallLoop, name: str) -> int:
    """Requests of the candidate that are in the evidence."""
    return loop.judging.judgement("prod/iris", name).checks[0].candidate_samples


def test_a_healthy_version_is_promoted_on_its_metrics() -> None:
    loop = SmallLoop().rolling_out()
    candidate = loop.candidate()
    loop.tick(15)
    assert loop.weights() == {candidate: 100}
    assert loop.status.history[0].outcome == "Promoted"
    assert loop.told.reasons.count("Promoted") == 1


def test_a_failing_version_is_rolled_back_on_its_metrics() -> None:
    loop = SmallLoop().rolling_out()
    loop.failing.add(loop.candidate())
    loop.tick(6)
    assert loop.status.phase is Phase.ROLLED_BACK
    assert len(loop.weights()) == 1
    assert "% failed" in loop.status.history[0].message


def test_an_outage_of_the_metrics_holds_and_then_goes_on() -> None:
    loop = SmallLoop().rolling_out()
    candidate = loop.candidate()
    loop.tick()
    before = loop.weights()
    loop.prometheus.down = True
    loop.tick(30)
    assert loop.weights() == before
    assert "cannot be read" in loop.status.message
    condition = loop.status.condition("MetricsAvailable")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "Unreachable")
    loop.prometheus.down = False
    loop.tick(15)
    assert loop.weights() == {candidate: 100}


def test_a_restart_in_mid_rollout_keeps_the_evidence_and_decides_once() -> None:
    loop = SmallLoop().rolling_out()
    candidate = loop.candidate()
    loop.tick(2)
    assert loop.status.checkpoint is not None
    name = loop.status.checkpoint.key
    uncounted = loop.answered[candidate] - counted(loop, name)
    for _ in range(3):
        loop.start_controller()
        loop.tick()
        assert counted(loop, name) == loop.answered[candidate] - uncounted
    loop.tick(12)
    assert loop.weights() == {candidate: 100}
    assert [entry.outcome for entry in loop.status.history] == ["Promoted"]


def test_at_rest_nothing_is_written() -> None:
    loop = SmallLoop().rolling_out()
    loop.tick(15)
    writes = sum(loop.kube.count(verb) for verb in ("create", "update", "patch"))
    for _ in range(20):
        loop.clock.advance(10)
        loop.pulse.beat()
        loop.reconciler.reconcile("prod/iris")
    assert sum(loop.kube.count(verb) for verb in ("create", "update", "patch")) == writes


def test_numbers_alone_are_written_once_an_interval() -> None:
    loop = SmallLoop().rolling_out()
    loop.requests = 10  # nothing will be decided
    loop.tick(6)
    writes = loop.kube.count("update", "modelrollouts")
    loop.tick(12)
    assert loop.kube.count("update", "modelrollouts") - writes <= 3


def test_a_second_rollout_for_the_same_deployment_is_refused_with_a_reason() -> None:
    loop = SmallLoop().rolling_out()
    loop.apply("repo/other:1", name="second", seldonDeploymentName="iris")
    loop.reconciler.reconcile("prod/second")
    obj = loop.client.get(MODEL_ROLLOUTS, "second", "prod")
    stalled = next(c for c in obj["status"]["conditions"] if c["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "AlreadyClaimed")
    assert "prod/iris" in stalled["message"]


def test_a_policy_that_is_not_there_stalls_with_what_to_do() -> None:
    loop = SmallLoop()
    loop.apply("repo/iris:1", policyRef={"kind": "ClusterCanaryPolicy", "name": "mine"})
    loop.reconciler.reconcile("prod/iris")
    stalled = loop.status.condition("Stalled")
    assert stalled is not None
    assert stalled.reason == "PolicyNotFound"
    assert "mine" in stalled.message


def test_a_pulse_that_breaks_holds_and_says_so() -> None:
    loop = SmallLoop().rolling_out()
    loop.tick(2)
    before = loop.weights()
    loop.judging.fail("the pulse failed: odd")
    for _ in range(20):
        loop.clock.advance(10)
        loop.reconciler.reconcile("prod/iris")
    assert loop.weights() == before
    assert "the pulse failed: odd" in loop.status.message


def test_orphan_set_later_takes_the_owner_off_and_nothing_else() -> None:
    loop = SmallLoop().rolling_out()
    before = loop.client.get(SELDON_DEPLOYMENTS, "iris", "prod")
    assert len(before["metadata"]["ownerReferences"]) == 1
    # Also while the rollout cannot be worked on otherwise.
    spec = {"deletionPolicy": "Orphan", "policyRef": {"name": "gone"}}
    loop.client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", {"spec": spec})
    for _ in range(2):
        loop.reconciler.reconcile("prod/iris")
    after = loop.client.get(SELDON_DEPLOYMENTS, "iris", "prod")
    assert not after["metadata"].get("ownerReferences")
    assert after["spec"] == before["spec"]


def returning(bake: str = "30s") -> SmallLoop:
    """Version 1, which was the stable before, has the traffic again and bakes."""
    loop = SmallLoop().rolling_out()
    loop.tick(15)
    strategy = {"canary": {**CANARY, "bake": bake}}
    loop.apply("repo/iris:1", rollbackWindow={"revisions": 1}, strategy=strategy)
    loop.settle()
    assert loop.weights()[loop.candidate()] == 95
    return loop


def test_a_return_within_the_rollback_window_bakes_and_says_why_it_was_promoted() -> None:
    loop = returning()
    back = loop.candidate()
    loop.tick(10)
    assert loop.weights() == {back: 100}
    entry = loop.status.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "ReturnedToStable")


def test_a_return_that_fails_is_switched_back_in_its_bake() -> None:
    loop = returning(bake="2m")
    loop.failing.add(loop.candidate())
    loop.tick(8)
    assert loop.status.phase is Phase.ROLLED_BACK
    assert "errors" in loop.status.history[0].message
