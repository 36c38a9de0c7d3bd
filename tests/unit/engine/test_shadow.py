"""A shadow: judged on copies of requests, with not one user on the candidate."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.status import Phase, Verdict
from sluice.engine.commands import Command
from sluice.errors import SpecError

from .small_cluster import SmallCluster

SHADOW = {"percent": 50, "hold": "20s"}
FORMS = ["canary", "blueGreen"]


def cluster(form: str = "canary", shadow: dict[str, Any] | None = None) -> SmallCluster:
    return SmallCluster(strategy={form: {"shadow": shadow or SHADOW}}).begun()


def outcome(made: SmallCluster) -> tuple[str, str]:
    entry = made.status.history[0]
    return entry.outcome, entry.reason


@pytest.mark.parametrize("form", FORMS)
def test_the_candidate_comes_in_as_a_shadow_with_its_percent(form: str) -> None:
    made = cluster(form).until(Phase.SHADOWING)
    assert (made.routes, made.mirrors) == ({"vaaaa": 100}, {"vbbbb": 50})
    assert made.status.traffic.desired == {"vaaaa": 100, "vbbbb": 0}
    assert all(w == 0 for plan in made.plans for w in [plan.predictors[-1].weight] if w != 100)


def test_the_hold_begins_when_the_gateway_copies() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.slow = True
    made.strategy = {"canary": {"shadow": SHADOW | {"percent": 80}}}
    made.run(60)
    assert made.status.shadow is not None
    assert made.status.shadow.verified_at is None
    assert "waiting for the gateway to copy 80%" in made.status.message
    made.slow = False
    made.run(10)
    assert made.mirrors == {"vbbbb": 80}
    assert made.status.shadow.verified_at is not None
    assert made.status.phase is Phase.SHADOWING, "the hold is not over"


def test_a_canary_leaves_the_shadow_without_harm_and_still_needs_pass_at_the_last_step() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.UNDECIDED)
    made.until(Phase.STEPPING)
    assert (made.shadows, made.mirrors) == ({}, {})
    made.run(300, every=5)
    assert made.routes == {"vaaaa": 50, "vbbbb": 50}
    made.say(Verdict.PASS)
    made.run(60)
    assert outcome(made) == ("Promoted", "AllChecksPassed")
    assert made.status.shadow is None


def test_blue_green_leaves_the_shadow_on_pass_only_and_then_switches() -> None:
    made = cluster("blueGreen").until(Phase.SHADOWING)
    made.say(Verdict.UNDECIDED)
    made.run(300, every=5)
    assert made.status.phase is Phase.SHADOWING
    made.say(Verdict.PASS)
    made.until(Phase.BAKING)
    made.run(40)
    assert outcome(made) == ("Promoted", "AllChecksPassed")


def test_blue_green_does_not_switch_when_pass_is_gone_between_shadow_and_switch() -> None:
    made = cluster("blueGreen").until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.until(Phase.PREPARING).say(Verdict.UNDECIDED)
    made.run(100)
    assert (made.status.phase, made.routes) == (Phase.PREVIEWING, {"vaaaa": 100, "vbbbb": 0})


def test_evidence_that_was_lost_is_collected_by_a_shadow_again() -> None:
    made = cluster("blueGreen").until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.until(Phase.PREVIEWING)
    made.say(Verdict.NO_DATA, samples=0)
    made.step()
    assert made.status.phase is Phase.PREPARING
    made.until(Phase.SHADOWING)
    assert made.shadows == {"vbbbb": 50}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [Verdict.NO_DATA, Verdict.ERROR, None])
def test_silence_leaves_no_shadow(form: str, kind: Verdict | None) -> None:
    made = cluster(form).until(Phase.SHADOWING)
    made.checks = ()
    if kind is not None:
        made.say(kind, samples=0)
    made.run(300, every=5)
    assert made.status.phase is Phase.SHADOWING
    assert made.routes == {"vaaaa": 100}


@pytest.mark.parametrize("form", FORMS)
def test_harm_takes_the_shadow_out_at_once_and_no_user_was_ever_sent_there(form: str) -> None:
    made = cluster(form).until(Phase.SHADOWING)
    made.say(Verdict.HARM)
    made.step()
    assert (made.predictors, made.mirrors) == ({"vaaaa": 100}, {})
    made.run(2)
    assert outcome(made) == ("RolledBack", "HarmDetected")


def test_harm_while_a_stable_pod_is_unready_ends_when_the_copies_have_ended() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.half_ready.add("vaaaa")
    made.say(Verdict.HARM)
    made.run(30)
    assert made.predictors == {"vaaaa": 100}
    assert (made.status.phase, made.mirrors) == (Phase.ROLLING_BACK, {"vbbbb": 50})
    made.half_ready.clear()
    made.run(2)
    assert (made.status.phase, made.mirrors) == (Phase.ROLLED_BACK, {})


def test_pods_of_the_old_form_are_not_taken_for_ready() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.slow = True  # the flag is changed, the Deployment is still whole as a shadow's
    made.until(Phase.PREPARING)
    made.run(30)
    assert made.shadows == {}
    assert made.status.phase is Phase.PREPARING
    made.slow = False
    made.run(1)
    assert made.status.phase is Phase.PREPARING, "its pods are being replaced"
    made.until(Phase.STEPPING)


def test_a_candidate_that_does_not_come_back_from_the_shadow_is_taken_out() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.until(Phase.PREPARING).unready.add("vbbbb")
    made.run(70)
    assert outcome(made) == ("RolledBack", "ProgressDeadlineExceeded")
    assert made.predictors == {"vaaaa": 100}


def test_the_new_pods_have_a_warm_up_of_their_own() -> None:
    made = cluster().until(Phase.SHADOWING)
    first = made.status.ready_at
    made.say(Verdict.PASS)
    made.until(Phase.PREPARING)
    assert made.status.ready_at is None
    made.until(Phase.STEPPING)
    assert made.status.ready_at is not None
    assert made.status.ready_at != first


def test_an_unready_shadow_freezes_and_is_taken_out() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.unready.add("vbbbb")
    made.run(10)
    assert outcome(made) == ("RolledBack", "CandidateUnavailable")
    assert made.routes == {"vaaaa": 100}


def test_promote_leaves_the_shadow_and_goes_up_the_steps() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.command(Command.PROMOTE)
    made.until(Phase.STEPPING)
    assert made.routes == {"vaaaa": 95, "vbbbb": 5}


@pytest.mark.parametrize(
    ("form", "command"), [("canary", Command.PROMOTE_FULL), ("blueGreen", Command.PROMOTE)]
)
def test_promote_to_everything_waits_until_the_candidate_is_no_shadow(
    form: str, command: Command
) -> None:
    made = cluster(form).until(Phase.SHADOWING)
    made.command(command)
    made.step()
    assert made.routes == {"vaaaa": 100, "vbbbb": 0}
    made.until(Phase.PROMOTING, Phase.BAKING)
    assert made.rolling == {}
    made.run(2)
    kept = 5 if form == "canary" else 0  # a canary's bake has a holdback to compare with
    assert made.routes == {"vaaaa": kept, "vbbbb": 100 - kept}


def test_a_pause_keeps_the_shadow() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.PASS)
    made.command(Command.PAUSE)
    made.run(100)
    assert made.status.phase is Phase.SHADOWING


@pytest.mark.parametrize("template", ["aaaa", "cccc"])
def test_a_changed_template_takes_the_shadow_out_first(template: str) -> None:
    made = cluster().until(Phase.SHADOWING)
    made.template = template
    made.step()
    assert made.predictors == {"vaaaa": 100}


def test_undecided_for_too_long_in_the_shadow_does_as_the_policy_says() -> None:
    made = cluster("blueGreen").until(Phase.SHADOWING)
    made.say(Verdict.UNDECIDED)
    made.run(3700, every=10)
    assert made.status.pause is not None
    assert made.status.pause.reason == "Undecided"


def test_a_shadow_of_the_users_is_respected_and_ours_refused() -> None:
    made = SmallCluster(strategy={"canary": {"shadow": SHADOW}}).started()
    made.predictors["theirs"] = 0
    made.shadows["theirs"] = 10
    made.settle()
    made.template = "bbbb"
    with pytest.raises(SpecError, match="'theirs'") as caught:
        made.step()
    assert caught.value.reason == "ShadowTaken"
    assert "remove `shadow` from the strategy" in str(caught.value)
    made.strategy = {"canary": {}}
    made.say(Verdict.PASS)
    made.run(90)
    assert outcome(made) == ("Promoted", "AllChecksPassed")
    assert (made.shadows, made.mirrors) == ({"theirs": 10}, {"theirs": 10})


def test_a_shadow_left_over_from_a_lost_status_is_swept() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.status = made.started_afresh()
    made.template = "aaaa"
    made.run(2)
    assert (made.predictors, made.mirrors) == ({"vaaaa": 100}, {})


def test_copies_are_no_share_of_the_traffic_where_routes_cannot_be_read() -> None:
    made = SmallCluster(blind=True, strategy={"canary": {"shadow": SHADOW}}).begun()
    made.say(Verdict.PASS)
    made.until(Phase.SHADOWING)
    made.counted = {"vaaaa": 100.0, "vbbbb": 0.0}
    made.run(30)
    assert made.status.phase is Phase.SHADOWING, "nobody has seen a copy"
    made.counted = {"vaaaa": 100.0, "vbbbb": 50.0}
    made.run(2)
    condition = made.status.condition("TrafficVerified")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "RequestsCounted")
    made.until(Phase.STEPPING)


def test_another_percent_under_way_is_followed() -> None:
    made = cluster().until(Phase.SHADOWING)
    made.say(Verdict.UNDECIDED)
    made.strategy = {"canary": {"shadow": {"percent": 100, "hold": "20s"}}}
    made.run(3)
    assert made.mirrors == {"vbbbb": 100}


def test_a_strategy_without_the_shadow_any_more_goes_on_without() -> None:
    for form in FORMS:
        made = cluster(form).until(Phase.SHADOWING)
        made.say(Verdict.UNDECIDED)
        made.strategy = {form: {}}
        made.until(Phase.STEPPING, Phase.BAKING)
        assert made.mirrors == {}
