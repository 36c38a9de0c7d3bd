"""Good models are promoted, bad ones are rolled back, and no other request suffers."""

from __future__ import annotations

from collections.abc import Callable

from trial import Trial, serves

from sluice.api.status import Phase, Verdict

Start = Callable[[str], Trial]


def test_a_better_model_is_promoted_step_by_step_and_no_request_fails(start: Start) -> None:
    rollout = start("better")
    rollout.create()
    rollout.change("better")
    candidate = rollout.until_judged().candidate
    assert candidate is not None
    pods = rollout.pod_uids(candidate.predictor)
    status = rollout.until_ended("Promoted")
    assert status.phase is Phase.IDLE
    assert status.stable == candidate
    assert {c.verdict for c in status.history[0].checks} == {Verdict.PASS}
    assert rollout.predictors() == {candidate.predictor: 100}
    assert rollout.failures() == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 20, 50, 95, 100]
    assert rollout.pod_uids(candidate.predictor) == pods, "a promotion restarts no pod"


def test_a_model_with_errors_is_rolled_back_and_only_its_own_requests_fail(start: Start) -> None:
    rollout = start("errors")
    rollout.create()
    stable = rollout.status().stable
    rollout.change("faulty")
    candidate = rollout.until_candidate()
    status = rollout.until_ended("RolledBack")
    assert (status.phase, status.history[0].reason) == (Phase.ROLLED_BACK, "HarmDetected")
    assert [c.name for c in status.history[0].checks if c.verdict is Verdict.HARM] == ["errors"]
    assert status.stable == stable
    assert rollout.predictors() == {stable.predictor: 100} if stable else False
    assert rollout.failures(besides=candidate.predictor) == []
    assert rollout.weights is not None
    shares = rollout.weights.of(candidate.predictor)
    assert shares[-1] == 0
    assert max(shares) <= 50


def test_a_slow_model_is_rolled_back_on_latency_and_no_request_fails(start: Start) -> None:
    rollout = start("slow")
    rollout.create()
    rollout.change("slow")
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    assert [c.name for c in status.history[0].checks if c.verdict is Verdict.HARM] == ["latency"]
    assert rollout.failures() == []


def test_a_crash_looping_candidate_gets_no_traffic_and_is_taken_out_at_the_deadline(
    start: Start,
) -> None:
    rollout = start("crash")
    rollout.create()
    stable = rollout.status().stable
    rollout.change("crashing", progressDeadlineSeconds=6)
    candidate = rollout.until_phase(Phase.PREPARING).candidate
    assert candidate is not None
    assert stable is not None
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "ProgressDeadlineExceeded"
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.failures() == []
    assert rollout.answered(candidate.predictor) == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0]


def test_a_new_template_in_mid_rollout_supersedes_the_candidate(start: Start) -> None:
    rollout = start("super")
    rollout.create()
    rollout.change("better", canary={"steps": [{"weight": 20, "hold": "10m"}]})
    first = rollout.until_judged().candidate
    assert first is not None
    rollout.change("better-two")
    status = rollout.until(
        lambda s: s.phase is Phase.IDLE and len(s.history) == 2, "both have ended"
    )
    assert [e.outcome for e in status.history] == ["Promoted", "Superseded"]
    assert status.history[1].revision == first.revision
    assert status.stable is not None
    assert status.stable.images[0].endswith("iris-better-two:1.0")
    assert rollout.failures() == []


def test_a_template_pushed_during_a_rollback_is_kept(start: Start) -> None:
    rollout = start("during")
    rollout.create()
    rollout.change("faulty")
    bad = rollout.until_phase(Phase.ROLLING_BACK).candidate
    assert bad is not None
    rollout.change("better")
    status = rollout.until(
        lambda s: s.phase is Phase.IDLE and len(s.history) == 2, "both have ended"
    )
    assert [e.outcome for e in status.history] == ["Promoted", "RolledBack"]
    assert status.history[1].reason == "HarmDetected"
    assert status.stable is not None
    assert status.stable.images[0].endswith("iris-better:1.0")
    assert rollout.failures(besides=bad.predictor) == []


def test_more_replicas_are_no_rollout_and_restart_no_pod(start: Start) -> None:
    rollout = start("scale")
    rollout.create()
    stable = rollout.status().stable
    assert stable is not None
    before = rollout.pod_uids(stable.predictor)
    rollout.change("stable", replicas=2)
    rollout.until(lambda s: len(rollout.pods(stable.predictor)) == 2, "there are two pods")
    status = rollout.until(serves, "both serve")
    assert before < rollout.pod_uids(stable.predictor)
    assert (status.phase, status.stable, status.history) == (Phase.IDLE, stable, [])
    assert rollout.failures() == []
