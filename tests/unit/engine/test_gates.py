"""Gates hold a start, a step and a promotion, say why, and never hold a rollback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Phase, Verdict
from sluice.engine.commands import Command
from sluice.engine.facts import Elsewhere

from .small_cluster import POLICY, SmallCluster

STAGE = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}
SERVING = Elsewhere(phase="Idle", images=("repo/m:vbbbb",), serving=True, promoted_at=1.0)
WEDNESDAY_NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
OFFICE = {"windows": [{"days": ["Mon-Thu"], "from": "09:00", "to": "16:00"}]}


def condition(cluster: SmallCluster, kind: str) -> tuple[str, str]:
    found = cluster.status.condition(kind)
    assert found is not None
    return found.status, found.reason


def with_pause(index: int, hold: str = "10s") -> CanaryPolicySpec:
    steps: list[dict[str, Any]] = [
        {"weight": 5, "hold": hold},
        {"weight": 20, "hold": hold},
        {"weight": 50, "hold": hold},
    ]
    steps[index]["pause"] = True
    return CanaryPolicySpec.model_validate({**POLICY.to_dict(), "steps": steps})


def webhook(at: str, **more: Any) -> dict[str, Any]:
    return {"webhooks": [{"name": "ask", "at": at, "url": "https://gate.example/x?t=s", **more}]}


# -- manual pause steps ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", [Command.RESUME, Command.PROMOTE])
def test_a_pause_step_waits_at_its_weight_until_a_person_says_so(command: Command) -> None:
    cluster = SmallCluster(policy=with_pause(1)).rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(4000, every=20)
    assert cluster.routes == {"vaaaa": 80, "vbbbb": 20}
    assert cluster.status.pause is not None
    assert cluster.status.pause.reason == "PauseStep"
    assert cluster.gate("pause")[0] == "Closed"
    assert len(cluster.told("PauseStep")) == 1
    cluster.command(command)
    cluster.run(3)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}
    cluster.run(90)
    assert cluster.status.history[0].outcome == "Promoted"


def test_a_pause_step_has_its_hold_first_and_is_released_once() -> None:
    cluster = SmallCluster(policy=with_pause(0, hold="60s")).rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(30)
    assert cluster.status.pause is None
    cluster.run(40)
    assert cluster.status.pause is not None
    cluster.say(Verdict.NO_DATA)  # resumed, but the evidence does not let it go on
    cluster.command(Command.RESUME)
    cluster.run(60)
    assert cluster.status.pause is None
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}


def test_a_pause_at_the_last_step_is_before_the_promotion() -> None:
    cluster = SmallCluster(policy=with_pause(2)).rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(300, every=5)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}
    cluster.command(Command.RESUME)
    cluster.run(60)
    assert cluster.status.history[0].outcome == "Promoted"


def test_harm_rolls_back_from_a_pause_step() -> None:
    cluster = SmallCluster(policy=with_pause(0)).rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.run(30)
    assert cluster.status.pause is not None
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.status.phase is Phase.ROLLING_BACK
    assert cluster.status.gates == []


# -- promotedIn -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (None, "nothing is known"),
        (Elsewhere(problem="there is no ModelRollout stage/iris"), "there is no ModelRollout"),
        (Elsewhere(phase="Idle", images=("repo/m:old",), serving=True), "it serves repo/m:old"),
        (Elsewhere(phase="Baking", images=SERVING.images, serving=True), "phase is Baking"),
        (Elsewhere(phase="Idle", images=SERVING.images), "not ready"),
    ],
)
def test_it_waits_without_a_pod_until_the_other_has_promoted_the_same_images(
    there: Elsewhere | None, why: str
) -> None:
    cluster = SmallCluster(gates=STAGE)
    cluster.elsewhere["stage/iris"] = Elsewhere(
        phase="Idle", images=("repo/m:vaaaa",), serving=True
    )
    cluster.started()
    cluster.template = "bbbb"
    cluster.elsewhere.pop("stage/iris")
    if there is not None:
        cluster.elsewhere["stage/iris"] = there
    cluster.run(30)
    assert cluster.status.phase is Phase.IDLE
    assert cluster.predictors == {"vaaaa": 100}
    state, message = cluster.gate("promotedIn stage/iris")
    assert state == "Closed"
    assert why in message
    assert why in cluster.status.message
    for kind in ("Ready", "Promoted"):
        assert condition(cluster, kind) == ("False", "WaitingForGate")
    assert condition(cluster, "Reconciling") == ("True", "WaitingForGate")
    assert len(cluster.told("GateClosed")) == 1
    cluster.elsewhere["stage/iris"] = SERVING
    cluster.run(4)
    assert cluster.status.phase is Phase.STEPPING
    assert len(cluster.told("GateOpened")) == 1


def test_a_promotion_too_long_ago_does_not_count() -> None:
    gates = {"promotedIn": [{"namespace": "stage", "name": "iris", "within": "1h"}]}
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = gates, "bbbb"
    cluster.elsewhere["stage/iris"] = Elsewhere(
        phase="Idle", images=SERVING.images, serving=True, promoted_at=cluster.now - 3601
    )
    cluster.run(5)
    assert "longer ago than 1h" in cluster.gate("promotedIn stage/iris")[1]
    cluster.elsewhere["stage/iris"] = Elsewhere(
        phase="Idle", images=SERVING.images, serving=True, promoted_at=cluster.now - 60
    )
    cluster.run(4)
    assert cluster.status.phase is Phase.STEPPING


def test_a_first_version_waits_too_and_nothing_is_created() -> None:
    cluster = SmallCluster(gates=STAGE)
    cluster.run(10)
    assert cluster.predictors == {}
    assert condition(cluster, "Ready") == ("False", "WaitingForGate")
    cluster.elsewhere["stage/iris"] = Elsewhere(
        phase="Idle", images=("repo/m:vaaaa",), serving=True
    )
    cluster.run(5)
    assert cluster.predictors == {"vaaaa": 100}
    assert condition(cluster, "Ready") == ("True", "Serving")


def test_what_was_served_already_is_created_again_whatever_the_gates_say() -> None:
    cluster = SmallCluster().started()
    cluster.gates = STAGE
    cluster.predictors = {}
    cluster.run(3)
    assert cluster.predictors == {"vaaaa": 100}


def test_an_abort_while_it_waits_refuses_the_revision() -> None:
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = STAGE, "bbbb"
    cluster.run(3)
    cluster.command(Command.ABORT)
    cluster.run(3)
    assert cluster.status.phase is Phase.ROLLED_BACK
    cluster.elsewhere["stage/iris"] = SERVING
    cluster.run(5)
    assert cluster.predictors == {"vaaaa": 100}
    cluster.command(Command.RETRY)
    cluster.run(4)
    assert cluster.status.phase is Phase.STEPPING


def test_a_template_taken_back_while_it_waits_leaves_nothing_behind() -> None:
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = STAGE, "bbbb"
    cluster.run(3)
    cluster.template = "aaaa"
    cluster.run(2)
    assert cluster.status.gates == []
    assert condition(cluster, "Ready") == ("True", "Serving")


def test_the_rejected_template_given_again_while_another_waits_is_still_rejected() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.HARM)
    cluster.run(10)
    cluster.gates, cluster.template = STAGE, "cccc"
    cluster.run(3)
    assert cluster.status.phase is Phase.IDLE
    cluster.template = "bbbb"
    cluster.run(3)
    assert cluster.status.phase is Phase.ROLLED_BACK
    assert cluster.predictors == {"vaaaa": 100}


# -- windows --------------------------------------------------------------------------------------


def test_outside_the_windows_it_neither_starts_nor_steps_nor_promotes() -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).rolling_out()
    cluster.gates = OFFICE
    cluster.say(Verdict.PASS)
    cluster.now = WEDNESDAY_NOON + 5 * 3600
    cluster.run(60)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}
    assert "opens Thu 2026-11-26 09:00 UTC" in cluster.status.message
    assert cluster.decisions[-1].look_again == 3600
    cluster.now = WEDNESDAY_NOON + 20.9999 * 3600
    decision = cluster.step()
    assert decision.look_again is not None
    assert cluster.now + decision.look_again == WEDNESDAY_NOON + 21 * 3600
    cluster.run(8)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}
    cluster.now = WEDNESDAY_NOON + 29 * 3600
    cluster.run(60)
    assert cluster.routes == {"vaaaa": 50, "vbbbb": 50}, "no promotion in the evening"
    cluster.now = datetime(2026, 11, 30, 9, tzinfo=UTC).timestamp()
    cluster.run(60)
    assert cluster.status.history[0].outcome == "Promoted"


@pytest.mark.parametrize("index", [0, 1])
def test_harm_outside_the_windows_rolls_back_at_once(index: int) -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).rolling_out()
    cluster.say(Verdict.PASS)
    cluster.run(15 * index)
    cluster.gates = OFFICE
    cluster.now = WEDNESDAY_NOON + 6 * 3600
    cluster.step()
    cluster.say(Verdict.HARM)
    cluster.step()
    assert cluster.status.phase is Phase.ROLLING_BACK
    cluster.run(10)
    assert cluster.routes == {"vaaaa": 100}


HASTY = CanaryPolicySpec.model_validate(
    {**POLICY.to_dict(), "onUndecided": {"after": "1h", "action": "RollBack"}}
)


def test_a_night_at_a_closed_window_is_no_lack_of_evidence() -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON, policy=HASTY).rolling_out()
    cluster.gates = OFFICE
    cluster.say(Verdict.PASS)
    cluster.now = WEDNESDAY_NOON + 5 * 3600
    cluster.run(60)
    cluster.now = WEDNESDAY_NOON + 20 * 3600
    cluster.say(Verdict.NO_DATA)
    cluster.run(60)
    assert cluster.status.phase is Phase.STEPPING
    cluster.run(3600, every=60)
    assert cluster.status.rollback_reason == "Undecided", "an hour without evidence is one"


def test_a_weekend_in_spec_paused_is_no_lack_of_evidence() -> None:
    cluster = SmallCluster(policy=HASTY).rolling_out()
    cluster.say(Verdict.NO_DATA)
    cluster.paused = True
    cluster.run(3 * 86400, every=7200)
    cluster.paused = False
    cluster.run(60)
    assert cluster.status.phase is Phase.STEPPING


def test_a_candidate_that_waits_for_its_first_step_may_restart_a_pod() -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).started()
    cluster.gates = webhook("BeforeStep")
    cluster.template = "bbbb"
    cluster.run(3600, every=60)
    assert cluster.status.phase is Phase.PREPARING
    assert cluster.status.ready_at is not None
    cluster.half_ready.add("vbbbb")
    cluster.run(cluster.deadline - 2)
    assert cluster.status.phase is Phase.PREPARING
    restarted = cluster.clone()
    restarted.half_ready = set()
    restarted.run(3)
    assert restarted.status.phase is Phase.PREPARING, "it has the whole deadline for it"
    cluster.run(5)
    assert cluster.status.rollback_reason == "ProgressDeadlineExceeded"


def test_a_time_zone_that_is_not_known_fails_the_gate_and_harm_still_rolls_back() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.gates = {"windows": [{"timeZone": "Europe/Atlantis"}]}
    cluster.say(Verdict.PASS)
    cluster.run(30)
    assert cluster.gate("windows")[0] == "Failed"
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}
    cluster.say(Verdict.HARM)
    cluster.run(10)
    assert cluster.routes == {"vaaaa": 100}


@pytest.mark.parametrize("command", [Command.PROMOTE, Command.PROMOTE_FULL])
def test_promote_skips_the_evidence_but_not_a_gate_and_is_taken_back_by_pause(
    command: Command,
) -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.gates = OFFICE
    cluster.now = WEDNESDAY_NOON + 6 * 3600
    cluster.command(command)
    cluster.run(20)
    assert cluster.routes == {"vaaaa": 95, "vbbbb": 5}
    assert "gate windows" in cluster.status.message
    waiting = cluster.clone()
    waiting.now = WEDNESDAY_NOON + 21 * 3600
    waiting.run(3)
    share = 50 if command is Command.PROMOTE else 95
    assert waiting.routes == {"vaaaa": 100 - share, "vbbbb": share}
    cluster.command(Command.PAUSE)
    cluster.step()
    cluster.command(Command.RESUME)
    cluster.step()
    assert cluster.status.step is not None
    assert cluster.status.step.forced is None


# -- webhooks -------------------------------------------------------------------------------------


def test_a_gate_at_rest_changes_nothing_from_pass_to_pass() -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).started()
    cluster.gates, cluster.template = {**OFFICE, **webhook("AfterEnd")}, "bbbb"
    cluster.now = WEDNESDAY_NOON + 6 * 3600
    cluster.run(3)
    before = cluster.status.to_wire()
    cluster.run(30)
    assert cluster.status.to_wire() == before
