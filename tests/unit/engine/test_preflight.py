"""The preflight in a rollout: what it keeps from traffic, and what becomes of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.preflight import PreflightCheck, PreflightExample, PreflightState, PreflightStatus
from sluice.api.status import HistoryEntry, Phase, RolloutStatus, Verdict
from sluice.api.times import from_wire
from sluice.engine.commands import Command
from sluice.engine.preflight_facts import PreflightFacts

from .small_cluster import SmallCluster

REQUESTS = {"configMap": {"name": "iris-preflight"}}
PASSED, FAILED = PreflightState.PASSED, PreflightState.FAILED
BLOCKED, UNDECIDED = PreflightState.BLOCKED, PreflightState.UNDECIDED
SHADOW = {"shadow": {"percent": 50, "hold": "10s"}}


def cluster(strategy: dict[str, Any] | None = None, **preflight: Any) -> SmallCluster:
    """With a candidate that is ready, and a preflight that is asked for."""
    made = SmallCluster(strategy=strategy or {"canary": {}})
    made.preflight = {"requests": REQUESTS, **preflight}
    made.begun().run(5)
    assert made.status.phase is Phase.PREPARING
    assert made.wish() is not None
    return made


def state(made: SmallCluster) -> PreflightState:
    assert made.status.preflight is not None
    return made.status.preflight.state


def test_no_traffic_before_the_answers_agree_and_then_the_first_step() -> None:
    made = cluster()
    made.run(300, every=5)
    assert made.status.phase is Phase.PREPARING
    assert made.predictors == {"vaaaa": 100, "vbbbb": 0}
    made.compare(PASSED, verdict=Verdict.PASS)
    made.run(2)
    assert (made.status.phase, state(made)) == (Phase.STEPPING, PASSED)
    assert made.wish() is None
    assert made.told("PreflightStarted") == ["revision bbbb against aaaa"]
    assert made.told("PreflightPassed") == ["numbers"]


def test_answers_that_differ_take_the_candidate_out_before_it_had_a_user() -> None:
    made = cluster()
    made.compare(FAILED, "agreement: 90% of 1000 rows agree", verdict=Verdict.HARM)
    made.run(10)
    entry = made.status.history[0]
    assert (entry.outcome, entry.reason) == ("RolledBack", "PreflightFailed")
    assert entry.message == "agreement: 90% of 1000 rows agree"
    assert made.status.phase is Phase.ROLLED_BACK
    assert made.status.verdict is Verdict.HARM
    assert max(p.weight for plan in made.plans for p in plan.predictors if p.name == "vbbbb") == 0
    assert entry.preflight is not None
    assert (entry.preflight.state, entry.preflight.verdict) == (FAILED, Verdict.HARM)
    assert state(made) is FAILED, "still to be seen after the end"
    made.run(60)
    assert made.status.phase is Phase.ROLLED_BACK, "not tried again by itself"


def test_it_is_not_asked_before_every_part_is_ready_and_gateways_know_it() -> None:
    made = SmallCluster(settling=20.0, preflight={"requests": REQUESTS}).started()
    made.template = "bbbb"
    made.unready.add("vbbbb")
    made.run(10)
    assert made.wish() is None
    assert made.status.preflight is None
    made.unready.clear()
    made.run(15)
    assert made.wish() is None
    made.run(10)
    assert made.wish() is not None
    made.unready.add("vbbbb")  # a pod is replaced
    made.run(1)
    assert made.wish() is None, "called off"
    made.unready.clear()
    made.run(2)
    assert made.wish() is not None


@pytest.mark.parametrize(
    ("strategy", "phase"),
    [
        ({"canary": SHADOW}, Phase.SHADOWING),
        ({"blueGreen": SHADOW}, Phase.SHADOWING),
        ({"blueGreen": {"autoSwitch": False}}, Phase.PREVIEWING),
    ],
)
def test_it_comes_before_a_shadow_and_before_a_preview_and_once_only(
    strategy: dict[str, Any], phase: Phase
) -> None:
    made = cluster(strategy)
    made.run(30)
    assert made.status.phase is Phase.PREPARING
    made.compare(PASSED)
    made.run(1)
    assert made.status.phase is phase
    if phase is Phase.SHADOWING:
        made.say(Verdict.PASS)
        made.until(Phase.PREPARING).until(Phase.STEPPING, Phase.PROMOTING)
    asked = [d.preflight for d in made.decisions if d.preflight]
    assert {(w.question, w.attempt) for w in asked} == {(asked[0].question, 1)}


def test_what_could_not_be_asked_is_held_and_tried_again_less_and_less_often() -> None:
    made = cluster()
    gaps = []
    for _ in range(6):
        answered = made.now
        made.compare(BLOCKED, "there is no ConfigMap", reason="RequestsNotFound")
        made.run(1)
        assert made.status.message == "preflight: there is no ConfigMap"
        assert state(made) is BLOCKED
        while made.wish() is None:
            made.run(1)
        gaps.append(made.now - answered)
    assert gaps == [5, 10, 20, 40, 60, 60]
    assert made.told("PreflightBlocked") == ["there is no ConfigMap"], "said once"
    assert made.status.phase is Phase.PREPARING
    made.compare(PASSED)
    made.run(1)
    assert made.status.phase is Phase.STEPPING


def test_another_reason_is_another_event() -> None:
    made = cluster()
    for reason in ("RequestsNotFound", "RequestsInvalid", "RequestsInvalid"):
        made.compare(BLOCKED, reason, reason=reason)
        made.run(70)
    assert made.told("PreflightBlocked") == ["RequestsNotFound", "RequestsInvalid"]


@pytest.mark.parametrize("action", ["Pause", "RollBack"])
def test_what_cannot_be_asked_for_long_is_for_a_person_and_never_harm(action: str) -> None:
    made = cluster()
    made.policy = made.policy.model_copy(
        update={"on_undecided": made.policy.on_undecided.model_validate(
            {"after": "10m", "action": action}
        )}
    )  # fmt: skip
    for _ in range(20):
        if made.status.pause is not None:
            break
        made.compare(BLOCKED, "nobody there", reason="StableUnreachable")
        made.run(61)
    assert made.status.pause is not None
    assert made.status.pause.reason == "Undecided"
    assert "could not be run within 10m: nobody there" in made.status.pause.message
    assert made.status.phase is Phase.PREPARING
    stalled = made.status.condition("Stalled")
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", "Undecided")
    made.run(300, every=10)
    assert made.wish() is None, "nobody is asked while it is paused"
    made.command(Command.RESUME)
    made.run(1)
    assert made.wish() is not None, "at once, whatever was due"
    made.compare(BLOCKED, "nobody there", reason="StableUnreachable")
    made.run(30)
    assert made.status.pause is None, "the clock began anew"


def test_a_pause_by_the_spec_is_no_lack_of_answers_either() -> None:
    made = cluster()
    made.compare(BLOCKED, "nobody there", reason="StableUnreachable")
    made.run(1)
    made.paused = True
    made.run(7200, every=60)
    made.paused = False
    made.run(1)
    assert made.status.pause is None
    assert made.wish() is not None, "at once"


def test_while_an_attempt_is_under_way_nothing_looks_all_the_time() -> None:
    made = cluster()
    soonest = [made.decisions[-1].look_again]
    made.compare(BLOCKED, "nobody there", reason="StableUnreachable")
    made.run(8)
    assert made.wish() is not None
    soonest.append(made.decisions[-1].look_again)
    assert all(seconds is not None and seconds >= 5 for seconds in soonest)


def test_too_few_answers_to_tell_wait_for_a_person_who_may_have_them_asked_again() -> None:
    made = cluster()
    made.compare(UNDECIDED, "it takes at least 368 rows", reason="NotShown")
    made.run(30)
    assert made.status.phase is Phase.PREPARING
    assert made.status.pause is not None
    assert made.status.pause.reason == "Undecided"
    assert "368 rows" in made.status.pause.message
    assert made.wish() is None
    made.command(Command.RESUME)
    made.run(2)
    again = made.wish()
    assert again is not None
    assert again.attempt == 2
    made.compare(PASSED)
    made.run(1)
    assert made.status.phase is Phase.STEPPING


def test_too_few_answers_to_tell_roll_back_where_the_spec_says_so() -> None:
    made = cluster(onUndecided="RollBack")
    made.compare(UNDECIDED, "it takes at least 368 rows", reason="NotShown")
    made.run(10)
    entry = made.status.history[0]
    assert (entry.outcome, entry.reason) == ("RolledBack", "Undecided")
    assert entry.preflight is not None
    assert entry.preflight.verdict is None or entry.preflight.verdict is Verdict.UNDECIDED


def test_a_pause_calls_the_questions_off_and_harm_is_harm_all_the_same() -> None:
    made = cluster()
    wish = made.wish()
    made.compare(FAILED, "different")
    made.command(Command.PAUSE)
    made.run(1)
    assert made.status.rollback_reason == "PreflightFailed"
    other = cluster()
    other.command(Command.PAUSE)
    other.run(30)
    assert other.wish() is None
    assert other.status.message.startswith("paused: ")
    other.command(Command.RESUME)
    other.run(1)
    assert other.wish() == wish, "the same attempt of the same question"


def test_abort_and_a_new_template_end_it() -> None:
    made = cluster()
    made.command(Command.ABORT)
    made.run(10)
    assert made.status.history[0].reason == "Aborted"
    assert state(made) is PreflightState.CALLED_OFF
    assert made.wish() is None
    other = cluster()
    first = other.wish()
    other.template = "cccc"
    other.run(15)
    second = other.wish()
    assert first is not None
    assert second is not None
    assert second.question != first.question
    assert [h.outcome for h in other.status.history] == ["Superseded"]
    assert other.status.preflight is not None
    assert other.status.preflight.revision == "cccc"


def test_an_answer_to_another_question_is_no_answer() -> None:
    made = cluster()
    made.compare(FAILED)
    made.template = "cccc"
    made.run(15)
    assert made.status.phase is Phase.PREPARING
    assert state(made) is PreflightState.RUNNING


def test_another_tolerance_is_another_question_and_more_examples_are_not() -> None:
    made = cluster()
    first = made.wish()
    made.preflight = {"requests": REQUESTS, "examples": 0, "timeout": "1m"}
    made.run(1)
    assert made.wish() is not None
    assert first is not None
    assert made.wish().question == first.question  # type: ignore[union-attr]
    made.preflight = {"requests": REQUESTS, "agreement": 0.9}
    made.run(1)
    second = made.wish()
    assert second is not None
    assert second.question != first.question
    made.preflight = {"requests": REQUESTS, "agreement": 0.9, "perClass": {}}
    made.run(1)
    assert made.wish().question not in (first.question, second.question)  # type: ignore[union-attr]


def test_what_is_not_asked_for_is_no_part_of_the_question() -> None:
    """A pair that passed before there was a perClass has passed this question, and is not asked."""
    wish = cluster().wish()
    assert wish is not None
    assert wish.question == "d236d3888f71299418efcbd8"


def test_after_a_restart_the_same_is_asked_and_what_has_passed_is_not() -> None:
    made = cluster()
    wish = made.wish()
    made.compared = PreflightFacts()
    made.run(1)
    assert made.wish() == wish
    made.compare(PASSED, requests_hash="aa")
    made.gates = {"promotedIn": [], "windows": [], "webhooks": [
        {"name": "a", "at": "BeforeStep", "url": "https://a.test"}]}  # fmt: skip
    made.run(1)
    made.compared = PreflightFacts()
    made.run(30)
    assert made.status.phase is Phase.PREPARING, "a gate is closed"
    assert made.wish() is None
    assert state(made) is PASSED


def test_a_pair_that_passed_in_an_earlier_rollout_is_told_with_which_requests() -> None:
    made = cluster()
    made.compare(PASSED, requests_hash="aa", rows=1000)
    made.until(Phase.STEPPING)
    made.command(Command.ABORT)
    made.until(Phase.ROLLED_BACK)
    made.command(Command.RETRY)
    made.run(5)
    wish = made.wish()
    assert wish is not None
    assert (wish.passed_hash, wish.attempt) == ("aa", 2)
    assert made.status.preflight is not None
    assert made.status.preflight.ended_at is None
    made.template = "cccc"
    made.run(20)
    other = made.wish()
    assert other is not None
    assert other.passed_hash is None, "of another pair nothing is known"
    assert made.status.preflight.revision == "cccc"


def test_going_back_to_a_recent_stable_needs_none() -> None:
    made = SmallCluster(rollback_revisions=3).started()
    made.promote_to("bbbb")
    made.preflight = {"requests": REQUESTS}
    made.template = "aaaa"
    made.until(Phase.BAKING)
    assert all(d.preflight is None for d in made.decisions)


def test_without_one_in_the_spec_nothing_is_asked_and_one_taken_out_is_not_waited_for() -> None:
    made = SmallCluster().rolling_out()
    assert all(d.preflight is None for d in made.decisions)
    assert made.status.preflight is None
    other = cluster()
    other.preflight = None
    other.run(2)
    assert other.status.phase is Phase.STEPPING
    assert other.status.preflight is None


@pytest.mark.parametrize("blocked", [False, True])
def test_promote_passes_it_over_and_the_history_keeps_that(blocked: bool) -> None:
    made = cluster()
    if blocked:
        made.compare(BLOCKED, "nobody there", reason="StableUnreachable")
        made.run(1)
    made.command(Command.PROMOTE)
    made.run(1)
    assert made.status.phase is Phase.STEPPING
    assert made.status.step is not None
    assert made.status.step.index == 0
    [event] = made.told("PreflightSkipped")
    assert event.startswith("skipped by promote; it was")
    made.say(Verdict.PASS)
    made.run(120)
    entry = made.status.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "AllChecksPassed")
    assert entry.preflight is not None
    assert entry.preflight.state is PreflightState.SKIPPED
    assert any(trace.reason == "PreflightSkipped" for trace in entry.decisions)


@pytest.mark.parametrize(
    "strategy", [{"canary": {}}, {"canary": SHADOW}, {"blueGreen": {}}, {"blueGreen": SHADOW}]
)
def test_promote_full_passes_it_over_and_goes_to_all_traffic(strategy: dict[str, Any]) -> None:
    made = cluster(strategy)
    made.command(Command.PROMOTE_FULL)
    made.until(Phase.PROMOTING, Phase.BAKING, seconds=30)
    assert Phase.SHADOWING not in {t for d in made.decisions for t in d.transitions}
    made.say(Verdict.UNDECIDED)
    made.run(5)
    assert made.status.phase is Phase.BAKING
    assert state(made) is PreflightState.SKIPPED


def test_a_person_who_skips_it_for_all_has_promoted_it() -> None:
    made = cluster()
    made.command(Command.PROMOTE_FULL)
    made.say(Verdict.PASS)
    made.run(120)
    entry = made.status.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "PromotedByCommand")


def test_a_pause_takes_the_wish_to_skip_it_back_while_a_gate_is_closed() -> None:
    made = cluster()
    made.gates = {"webhooks": [{"name": "a", "at": "BeforeStep", "url": "https://a.test"}]}
    made.command(Command.PROMOTE)
    made.run(3)
    assert (made.status.phase, state(made)) == (Phase.PREPARING, PreflightState.SKIPPED)
    made.command(Command.PAUSE)
    made.run(1)
    made.command(Command.RESUME)
    made.run(1)
    assert state(made) is PreflightState.RUNNING


def test_an_answer_that_comes_after_the_skip_changes_nothing() -> None:
    made = cluster()
    made.gates = {"webhooks": [{"name": "a", "at": "BeforeStep", "url": "https://a.test"}]}
    made.compare(FAILED)
    facts, made.compared = made.compared, PreflightFacts()
    made.command(Command.PROMOTE)
    made.run(1)
    made.compared = facts
    made.run(2)
    assert (made.status.phase, state(made)) == (Phase.PREPARING, PreflightState.SKIPPED)


def test_how_far_it_is_stands_in_the_message() -> None:
    made = cluster()
    made.compared = PreflightFacts(None, 4_200, 10_000)
    made.run(1)
    assert made.status.message == "preflight: asking both revisions: 4,200 of 10,000 requests"


def test_only_the_newest_entries_of_the_history_keep_examples() -> None:
    example = PreflightExample(line=1, why="w", request="r", stable="a", candidate="b")
    made = cluster()
    check = PreflightCheck(name="agreement", verdict=Verdict.HARM)
    for template in ("cccc", "dddd", "eeee"):
        made.compare(FAILED, "different", examples=[example], checks=[check])
        made.until(Phase.ROLLED_BACK)
        made.template = template
        made.until(Phase.PREPARING)
        made.run(5)
    kept = [len(e.preflight.examples) for e in made.status.history if e.preflight]
    assert kept == [1, 1, 0]
    oldest = made.status.history[2].preflight
    assert oldest is not None
    assert (oldest.state, oldest.message, oldest.checks) == (FAILED, "different", [])


def test_a_status_of_an_earlier_version_and_of_a_later_one_can_be_read() -> None:
    old = RolloutStatus.model_validate({"phase": "Preparing", "history": [
        {"revision": "a", "predictor": "va", "outcome": "Promoted", "reason": "R", "message": ""}
    ]})  # fmt: skip
    assert (old.preflight, old.history[0].preflight) == (None, None)
    wire = PreflightStatus(
        state=PASSED, question="q", revision="b", stable="a", started_at="2026-01-01T00:00:00Z"
    ).to_dict()
    read = PreflightStatus.model_validate({**wire, "somethingNew": 1})
    assert read.state is PASSED
    assert from_wire(read.started_at) is not None
    assert HistoryEntry.model_fields["preflight"].default is None


def test_a_deployment_that_is_deleted_under_way_begins_with_the_question_again() -> None:
    made = cluster()
    made.lose_the_deployment()
    made.run(1)
    assert made.wish() is None
    made.run(30)
    assert made.status.phase is Phase.PREPARING, made.status
    assert made.wish() is not None
    assert state(made) is PreflightState.RUNNING
