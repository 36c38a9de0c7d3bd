"""The life of a rollout, as promised in docs/architecture.md."""

from __future__ import annotations

import pytest

from sluice.api.policy import OnUndecided, UndecidedAction
from sluice.api.status import Phase, Verdict
from sluice.api.times import from_wire
from sluice.engine.commands import Command
from sluice.engine.rollback import DRAIN_SECONDS

from .small_cluster import POLICY, SmallCluster, verdict


def outcome(cluster: SmallCluster) -> tuple[str, str]:
    entry = cluster.status.history[0]
    return entry.outcome, entry.reason


def test_a_first_template_is_created_and_serves() -> None:
    cluster = SmallCluster().started()
    assert cluster.status.stable is not None
    assert cluster.status.stable.revision == "aaaa"
    ready = cluster.status.condition("Ready")
    assert ready is not None
    assert ready.status == "True"


def test_an_existing_deployment_is_adopted_without_a_write_that_changes_it() -> None:
    cluster = SmallCluster(predictors={"default": 100}, routes={"default": 100}, template="default")
    cluster.run(3)
    assert cluster.status.adopted is True
    assert all([p.name for p in plan.predictors] == ["default"] for plan in cluster.plans)
    assert all(p.template is None for plan in cluster.plans for p in plan.predictors)


def test_a_candidate_that_passes_is_promoted_and_the_old_one_removed() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(90)
    assert outcome(cluster) == ("Promoted", "AllChecksPassed")
    assert cluster.predictors == {"vbbbb": 100}
    assert cluster.status.stable is not None
    assert cluster.status.stable.revision == "bbbb"


def test_a_candidate_comes_in_at_zero_and_last() -> None:
    cluster = SmallCluster().started()
    cluster.template = "bbbb"
    cluster.unready.add("vbbbb")
    cluster.run(2)
    assert list(cluster.predictors.items()) == [("vaaaa", 100), ("vbbbb", 0)]


def test_a_ready_candidate_gets_no_traffic_before_gateways_know_its_addresses() -> None:
    cluster = SmallCluster(settling=5.0).started()
    cluster.template = "bbbb"
    cluster.run(4)
    ready = from_wire(cluster.status.ready_at)
    assert ready is not None
    assert cluster.now < ready
    assert cluster.status.phase is Phase.PREPARING
    assert cluster.predictors == {"vaaaa": 100, "vbbbb": 0}
    assert cluster.decisions[-1].look_again == pytest.approx(ready - cluster.now)
    cluster.run(int(ready - cluster.now) + 2)
    assert cluster.status.phase is Phase.STEPPING
    assert cluster.predictors["vbbbb"] == 5
    assert from_wire(cluster.status.ready_at) == ready, "the warm-up begins with the traffic"


def test_harm_rolls_back_in_the_pass_that_sees_it() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.status.phase is Phase.ROLLING_BACK
    assert cluster.routes == {"vaaaa": 100, "vbbbb": 0}
    cluster.run(10)
    assert outcome(cluster) == ("RolledBack", "HarmDetected")
    assert cluster.predictors == {"vaaaa": 100}


def test_harm_in_the_bake_switches_back() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    while cluster.status.phase is not Phase.BAKING:
        cluster.run(1)
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.routes == {"vaaaa": 100, "vbbbb": 0}
    cluster.run(10)
    assert cluster.status.phase is Phase.ROLLED_BACK


def test_a_rolled_back_revision_is_not_tried_again_until_retry() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    cluster.run(60)
    assert cluster.predictors == {"vaaaa": 100}
    cluster.checks = ()
    cluster.command(Command.RETRY)
    cluster.run(3)
    assert cluster.status.phase is Phase.STEPPING


def test_silence_promotes_nothing() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.checks = ()
    cluster.run(300, every=5)
    assert cluster.status.phase is Phase.STEPPING
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}


@pytest.mark.parametrize("kind", [Verdict.NO_DATA, Verdict.ERROR])
def test_no_data_and_errors_hold_the_step(kind: Verdict) -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(kind)
    cluster.run(300, every=5)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}


def test_undecided_goes_up_the_steps_but_is_not_promoted() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(300, every=5)
    assert cluster.status.phase is Phase.STEPPING
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}


def test_outage_holds_the_rollout_even_when_all_checks_had_passed() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    cluster.metrics_problem = "connection refused"
    cluster.run(300, every=5)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}
    condition = cluster.status.condition("MetricsAvailable")
    assert condition is not None
    assert condition.status == "False"
    cluster.metrics_problem = ""
    cluster.run(120)
    assert outcome(cluster)[0] == "Promoted"


def test_undecided_for_too_long_pauses_as_the_policy_says() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(3700, every=10)
    assert cluster.status.pause is not None
    assert cluster.status.pause.reason == "Undecided"
    cluster.say(Verdict.HARM)
    cluster.run(20)
    assert cluster.status.phase is Phase.ROLLED_BACK


def test_a_candidate_never_ready_is_rolled_back_at_the_deadline_without_any_traffic() -> None:
    cluster = SmallCluster().started()
    cluster.template = "bbbb"
    cluster.unready.add("vbbbb")
    cluster.run(70)
    assert outcome(cluster) == ("RolledBack", "ProgressDeadlineExceeded")
    assert cluster.routes == {"vaaaa": 100}
    assert all(
        p.weight == 0 for plan in cluster.plans for p in plan.predictors if p.name == "vbbbb"
    )


def test_an_unready_stable_does_not_count_against_the_candidates_deadline() -> None:
    cluster = SmallCluster().started()
    cluster.half_ready.add("vaaaa")
    cluster.template = "bbbb"
    cluster.run(600, every=5)
    assert cluster.status.phase is Phase.PREPARING
    assert cluster.status.freeze is not None
    assert cluster.status.freeze.predictor == "vaaaa"
    cluster.half_ready.clear()
    cluster.run(2)
    assert cluster.status.phase is Phase.STEPPING


def test_harm_while_a_stable_pod_is_unready_moves_the_routes_by_hand() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.half_ready.add("vaaaa")
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.plans[-1].force_routes
    assert cluster.predictors == {"vaaaa": 100}
    assert cluster.routes == {"vaaaa": 100}


def test_harm_with_no_stable_pod_ready_leaves_it_to_a_person() -> None:
    cluster = SmallCluster(can_force=False).rolling_out()
    cluster.unready.add("vaaaa")
    cluster.say(Verdict.HARM)
    cluster.run(5)
    assert cluster.status.phase is Phase.ROLLING_BACK
    assert "decide by hand" in cluster.status.message


def test_a_candidate_without_a_ready_pod_is_taken_out_after_a_grace() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.unready.add("vbbbb")
    cluster.step()
    assert cluster.status.phase is Phase.STEPPING
    cluster.run(6)
    assert outcome(cluster) == ("RolledBack", "CandidateUnavailable")


def test_a_new_template_supersedes_after_the_old_candidate_is_out() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.template = "cccc"
    seen = []
    for _ in range(20):
        cluster.run(1)
        seen.append(set(cluster.predictors))
    assert not any({"vbbbb", "vcccc"} <= there for there in seen)
    assert cluster.status.candidate is not None
    assert cluster.status.candidate.revision == "cccc"


def test_a_template_pushed_during_a_rollback_is_kept() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    cluster.step()
    cluster.template = "cccc"
    cluster.checks = ()
    cluster.run(15)
    assert cluster.status.candidate is not None
    assert cluster.status.candidate.revision == "cccc"


def test_the_stable_template_again_aborts() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.template = "aaaa"
    cluster.run(15)
    assert outcome(cluster) == ("Aborted", "TemplateReverted")
    assert cluster.status.phase is Phase.IDLE


def test_pause_holds_and_resume_goes_on_and_harm_still_rolls_back() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    cluster.command(Command.PAUSE)
    cluster.run(120)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}
    cluster.command(Command.RESUME)
    cluster.run(5)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}
    cluster.command(Command.PAUSE)
    cluster.run(2)
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.status.phase is Phase.ROLLING_BACK


def test_promote_full_skips_the_steps() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.command(Command.PROMOTE_FULL)
    cluster.run(2)
    assert cluster.routes == {"vaaaa": 5, "vbbbb": 95}


def test_a_command_for_another_revision_is_refused_with_a_reason() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.command(Command.PROMOTE_FULL, revision="zzzz")
    cluster.run(2)
    assert cluster.status.last_command is not None
    assert not cluster.status.last_command.accepted
    assert "zzzz" in cluster.status.last_command.message
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}


def test_a_command_acts_once() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.command(Command.PROMOTE)
    cluster.step()
    cluster.step()
    assert cluster.status.step is not None
    assert cluster.status.step.index == 1


def test_text_that_is_no_command_is_refused_once_and_harms_nothing() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.annotations["sluice.dev/command"] = "please promote"
    first, second = cluster.step(), cluster.step()
    assert [n.reason for n in first.notes].count("CommandRefused") == 1
    assert not [n for n in second.notes if n.reason == "CommandRefused"]


def test_the_same_pass_twice_writes_nothing_new() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(30)
    before = (cluster.status.to_wire(), dict(cluster.predictors))
    decision = cluster.step()
    assert not decision.notes
    assert (cluster.status.to_wire(), dict(cluster.predictors)) == before


def test_weights_ascend_as_the_policy_says() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(100)
    seen = [p.weight for plan in cluster.plans for p in plan.predictors if p.name == "vbbbb"]
    in_order = list(dict.fromkeys(seen))
    assert in_order == [0, *[step.weight for step in POLICY.steps], 95, 100]


def test_evidence_that_leans_to_harm_is_not_put_in_front_of_more_users() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    leaning = cluster.checks[0].model_copy(update={"harm_evidence": 1.2, "harm_needed": 2.3})
    cluster.checks = (leaning,)
    cluster.run(60)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}


def test_a_bake_does_not_end_without_metrics_but_by_command() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    while cluster.status.phase is not Phase.BAKING:
        cluster.run(1)
    cluster.checks = ()
    cluster.run(120)
    assert cluster.status.phase is Phase.BAKING
    cluster.command(Command.PROMOTE)
    cluster.run(DRAIN_SECONDS + 2)
    assert cluster.status.phase is Phase.IDLE
    assert cluster.predictors == {"vbbbb": 100}


def test_a_verdict_of_before_a_restart_promotes_nothing_until_metrics_are_read_again() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(30)
    cluster.say(Verdict.PASS)
    passed = cluster.checks
    cluster.checks = ()
    cluster.status = cluster.status.model_copy(update={"checks": list(passed)})
    cluster.run(60)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}
    assert cluster.status.checks == list(passed)


def traffic_verified(cluster: SmallCluster) -> tuple[str, str]:
    condition = cluster.status.condition("TrafficVerified")
    assert condition is not None
    return condition.status, condition.reason


def test_routes_that_may_not_be_read_are_verified_by_requests_and_the_condition_says_so() -> None:
    cluster = SmallCluster(blind=True).started()
    assert traffic_verified(cluster) == ("Unknown", "NotReadable")
    cluster.template = "bbbb"
    cluster.run(3)
    cluster.say(Verdict.UNDECIDED)
    cluster.counted = {"vaaaa": 100.0, "vbbbb": 0.0}
    cluster.run(5)
    assert cluster.status.step is not None
    assert cluster.status.step.verified_at is None, "no hold before the share is seen"
    cluster.counted = {"vaaaa": 93.0, "vbbbb": 7.0}
    cluster.run(2)
    assert cluster.status.step.verified_at is not None
    assert traffic_verified(cluster) == ("True", "RequestsCounted"), "a sample is not exact"
    cluster.run(20)
    assert traffic_verified(cluster) == ("False", "NotYet"), "half is asked for, 7% came"


def test_the_old_revision_gives_its_holdback_away_and_drains_before_it_goes() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    while cluster.status.phase is not Phase.BAKING:
        cluster.run(1)
    assert cluster.routes == {"vaaaa": 5, "vbbbb": 95}
    cluster.run(30)
    assert cluster.routes == {"vaaaa": 0, "vbbbb": 100}, "its requests under way can end"
    assert cluster.status.phase is Phase.BAKING
    cluster.run(DRAIN_SECONDS + 2)
    assert cluster.predictors == {"vbbbb": 100}
    assert outcome(cluster) == ("Promoted", "AllChecksPassed")


def test_harm_while_the_holdback_is_given_away_still_switches_back() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    while cluster.routes != {"vaaaa": 0, "vbbbb": 100}:
        cluster.run(1)
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.routes == {"vaaaa": 100, "vbbbb": 0}


def test_promote_ends_a_bake_but_drains() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.PASS)
    while cluster.status.phase is not Phase.BAKING:
        cluster.run(1)
    cluster.command(Command.PROMOTE)
    cluster.step()
    assert cluster.routes == {"vaaaa": 0, "vbbbb": 100}
    cluster.run(DRAIN_SECONDS + 2)
    assert cluster.predictors == {"vbbbb": 100}


@pytest.mark.parametrize("changes", [{"bake_holdback": 0}, {"bake": 0.0}])
def test_without_a_holdback_or_a_bake_all_traffic_moves_at_once(changes: dict[str, float]) -> None:
    cluster = SmallCluster(policy=POLICY.model_copy(update=changes)).rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(100)
    weights = [p.weight for plan in cluster.plans for p in plan.predictors if p.name == "vbbbb"]
    assert 95 not in weights
    assert outcome(cluster) == ("Promoted", "AllChecksPassed")


def test_a_holdback_that_nobody_can_see_is_given_away_with_time_to_drain() -> None:
    cluster = SmallCluster(blind=True).rolling_out()
    cluster.say(Verdict.PASS)
    for weight in (5, 50, 95):
        cluster.counted = {"vaaaa": 100.0 - weight, "vbbbb": float(weight)}
        cluster.run(12)
    assert cluster.status.phase is Phase.BAKING
    cluster.counted = {}
    while cluster.predictors["vbbbb"] != 100:
        cluster.run(1)
    cluster.run(DRAIN_SECONDS)
    assert "vaaaa" in cluster.predictors
    cluster.run(DRAIN_SECONDS + 3)
    assert cluster.predictors == {"vbbbb": 100}


def test_a_stable_that_never_served_is_replaced_by_a_new_template() -> None:
    cluster = SmallCluster()
    cluster.unready.add("vaaaa")
    cluster.run(5)
    assert cluster.routes is None
    cluster.template = "bbbb"
    cluster.run(5)
    assert cluster.predictors == {"vbbbb": 100}
    assert cluster.status.stable is not None
    assert cluster.status.stable.revision == "bbbb"
    assert cluster.routes == {"vbbbb": 100}


def test_a_superseded_candidate_is_remembered_with_its_own_source() -> None:
    cluster = SmallCluster(source={"commit": "one"}).started()
    cluster.template, cluster.source = "bbbb", {"commit": "two"}
    cluster.run(5)
    assert cluster.status.phase is Phase.STEPPING
    cluster.template, cluster.source = "cccc", {"commit": "three"}
    cluster.run(20)
    entry = cluster.status.history[0]
    assert (entry.revision, entry.outcome) == ("bbbb", "Superseded")
    assert entry.source == {"commit": "two"}


@pytest.mark.parametrize("action", list(UndecidedAction))
def test_time_without_a_look_at_the_metrics_decides_nothing(action: UndecidedAction) -> None:
    """A controller that was away for long: the first pass comes before the first pulse."""
    rule = OnUndecided(after=60.0, action=action)
    cluster = SmallCluster(policy=POLICY.model_copy(update={"on_undecided": rule})).rolling_out()
    cluster.checks = ()
    cluster.run(120)
    assert (cluster.status.phase, cluster.status.pause) == (Phase.STEPPING, None)
    cluster.say(Verdict.PASS)
    cluster.run(120)
    assert outcome(cluster)[0] == "Promoted"


@pytest.mark.parametrize(
    ("reason", "phase"),
    [("MetricsStale", Phase.STEPPING), ("NoRequests", Phase.ROLLED_BACK)],
)
def test_metrics_that_stand_still_pause_even_where_the_policy_would_roll_back(
    reason: str, phase: Phase
) -> None:
    rule = OnUndecided(after=60.0, action=UndecidedAction.ROLL_BACK)
    cluster = SmallCluster(policy=POLICY.model_copy(update={"on_undecided": rule})).rolling_out()
    cluster.checks = (verdict(Verdict.NO_DATA).model_copy(update={"reason": reason}),)
    cluster.run(120)
    assert cluster.status.phase is phase
    if phase is Phase.STEPPING:
        assert cluster.status.pause is not None
        assert cluster.status.pause.reason == "Undecided"
