"""Every cell of the table in docs/commands.md: what a command does in which phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.api.status import Condition, Phase, Verdict
from sluice.engine.commands import Command, Request

from ..docs.commands_table import cells
from .small_cluster import SmallCluster

RETRAINED = {"drift": {}, "onDrift": {"job": {"cronJob": "retrain"}}}
NAMES = {command.value.replace("-", " --"): command for command in Command}
TABLE = [cell for cell in cells() if cell[0] in NAMES]


def idle() -> SmallCluster:
    return SmallCluster().started()


def waiting() -> SmallCluster:
    cluster = SmallCluster().started()
    cluster.gates = {"promotedIn": [{"namespace": "stage", "name": "iris"}]}
    cluster.template = "bbbb"
    cluster.run(2)
    return cluster


def preparing() -> SmallCluster:
    cluster = SmallCluster().started()
    cluster.template = "bbbb"
    cluster.unready.add("vbbbb")
    cluster.run(2)
    return cluster


def comparing() -> SmallCluster:
    cluster = SmallCluster(preflight={"requests": {"configMap": {"name": "r"}}}).begun()
    cluster.run(2)
    return cluster


def shadowing() -> SmallCluster:
    shadow = {"canary": {"shadow": {"percent": 50, "hold": "1h"}}}
    return SmallCluster(strategy=shadow).begun().until(Phase.SHADOWING)


def previewing() -> SmallCluster:
    waits = {"blueGreen": {"autoSwitch": False}}
    return SmallCluster(strategy=waits).begun().until(Phase.PREVIEWING)


def stepping() -> SmallCluster:
    cluster = SmallCluster().rolling_out()
    cluster.say(Verdict.UNDECIDED)
    cluster.step()
    return cluster


def promoting() -> SmallCluster:
    cluster = stepping()
    cluster.command(Command.PROMOTE_FULL)
    cluster.step()
    cluster.half_ready.add("vaaaa")  # or it would be baking in the next pass
    return cluster


def baking() -> SmallCluster:
    cluster = promoting()
    cluster.half_ready.clear()
    cluster.run(2)
    return cluster


def rolling_back() -> SmallCluster:
    cluster = stepping()
    cluster.say(Verdict.HARM)
    cluster.step()
    return cluster


def rolled_back() -> SmallCluster:
    cluster = rolling_back()
    cluster.run(10)
    cluster.checks = ()
    return cluster


STATES: dict[str, tuple[Callable[[], SmallCluster], Phase]] = {
    "Idle": (idle, Phase.IDLE),
    "waiting for a gate": (waiting, Phase.IDLE),
    "Preparing": (preparing, Phase.PREPARING),
    "waiting for the preflight": (comparing, Phase.PREPARING),
    "Shadowing": (shadowing, Phase.SHADOWING),
    "Previewing": (previewing, Phase.PREVIEWING),
    "Stepping": (stepping, Phase.STEPPING),
    "Promoting": (promoting, Phase.PROMOTING),
    "Baking": (baking, Phase.BAKING),
    "RollingBack": (rolling_back, Phase.ROLLING_BACK),
    "RolledBack": (rolled_back, Phase.ROLLED_BACK),
}


def outcome(before: SmallCluster, after: SmallCluster) -> str:
    """What happened, in the words of the table."""
    was, now = before.status, after.status
    assert now.last_command is not None
    if not now.last_command.accepted:
        assert now.last_command.message
        assert (now.phase, now.pause) == (was.phase, was.pause), "refused, and yet it did something"
        return "refused"
    if now.monitoring is not None:
        assert (now.phase, now.pause) == (was.phase, was.pause), "more than a training began"
        return "training begins"
    if now.pause is not None and was.pause is None:
        return "paused"
    if now.pause is None and was.pause is not None:
        return "goes on"
    if was.phase is Phase.BAKING and now.traffic.desired == {"vaaaa": 0, "vbbbb": 100}:
        return "ends the bake"
    if now.phase is Phase.ROLLING_BACK:
        return "candidate out"
    if was.phase is Phase.IDLE and now.phase is Phase.ROLLED_BACK:
        return "given up"
    if was.phase is Phase.ROLLED_BACK and now.phase is Phase.PREPARING:
        return "tried again"
    if was.phase is Phase.SHADOWING and now.phase is Phase.PREPARING:
        return "shadow ends"
    if now.phase is Phase.PROMOTING:
        return "all traffic"
    if was.phase is Phase.PREPARING and now.phase is Phase.STEPPING:
        return "first step"
    if now.step is not None and was.step is not None and now.step.index == was.step.index + 1:
        return "next step"
    return f"{was.phase} -> {now.phase}"


def test_the_table_has_every_command_and_every_phase() -> None:
    assert {(command, state) for command, state, _ in TABLE} == {
        (command, state) for command in NAMES for state in STATES
    }
    assert {phase for _, phase in STATES.values()} == set(Phase)


@pytest.mark.parametrize(("name", "state", "expected"), TABLE)
def test_what_a_command_does_in_a_phase(name: str, state: str, expected: str) -> None:
    make, phase = STATES[state]
    cluster = make()
    assert cluster.status.phase is phase
    if name == "resume":
        cluster.command(Command.PAUSE)
        cluster.step()
        if expected != "refused":
            assert cluster.status.pause is not None
    if name == "retrain":
        cluster.monitoring = RETRAINED
    before = cluster.clone()
    cluster.command(NAMES[name])
    cluster.step()
    assert outcome(before, cluster) == expected


@pytest.mark.parametrize(
    "state", ["Preparing", "Shadowing", "Previewing", "Stepping", "Promoting", "Baking"]
)
def test_resume_without_a_pause_is_refused(state: str) -> None:
    cluster = STATES[state][0]()
    cluster.command(Command.RESUME)
    cluster.step()
    assert cluster.status.last_command is not None
    assert not cluster.status.last_command.accepted


@pytest.mark.parametrize("state", ["Preparing", "Stepping", "Baking"])
def test_resume_against_spec_paused_is_refused_and_says_where_to_change_it(state: str) -> None:
    cluster = STATES[state][0]()
    cluster.paused = True
    cluster.step()
    cluster.command(Command.RESUME)
    cluster.step()
    assert cluster.status.last_command is not None
    assert "spec.paused" in cluster.status.last_command.message
    assert cluster.status.pause is not None


def test_what_a_person_promoted_is_not_called_passed() -> None:
    cluster = promoting()
    cluster.command(Command.PAUSE)  # later, and without a bearing on who promoted it
    cluster.step()
    cluster.command(Command.RESUME)
    cluster.step()
    cluster.half_ready.clear()
    cluster.run(60)
    entry = cluster.status.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "PromotedByCommand")


def test_who_gave_a_command_is_in_the_status_the_event_and_the_decisions() -> None:
    cluster = stepping()
    request = Request("c9", Command.PAUSE, "bbbb", by="mara@example.com")
    cluster.annotations[COMMAND_ANNOTATION] = request.to_annotation()
    cluster.step()
    assert cluster.status.last_command is not None
    assert cluster.status.last_command.by == "mara@example.com"
    assert cluster.told("CommandAccepted")[-1] == "pause by mara@example.com (revision bbbb)"
    assert "mara@example.com" in cluster.status.decisions[-2].message


def retrained(state: str = "Idle", **spec: object) -> SmallCluster:
    cluster = STATES[state][0]()
    cluster.monitoring = {**RETRAINED, **spec}
    return cluster


def ask_for_training(cluster: SmallCluster, revision: str = "", why: str = "") -> None:
    cluster.commands += 1
    name = f"t{cluster.commands}"
    request = Request(name, Command.RETRAIN, revision, by="mara@example.com", why=why)
    cluster.annotations[COMMAND_ANNOTATION] = request.to_annotation()
    cluster.step()


def test_a_retraining_by_hand_says_who_asked_for_it_and_why() -> None:
    cluster = retrained("Stepping")
    ask_for_training(cluster, "aaaa", "the labels of May are in")
    assert cluster.status.monitoring is not None
    [entry] = cluster.status.monitoring.retrainings
    assert (entry.trigger, entry.state, entry.reaction) == ("Requested", "Pending", "onDrift")
    assert (entry.by, entry.why) == ("mara@example.com", "the labels of May are in")
    assert entry.revision == "aaaa"
    last = cluster.status.last_command
    assert last is not None
    assert (last.by, last.why) == (entry.by, entry.why)
    assert "the labels of May are in" in cluster.told("CommandAccepted")[-1]
    look_again = cluster.decisions[-1].look_again
    assert look_again is not None
    assert look_again < 1, "it starts as soon as it is written"


def test_no_retraining_by_hand_where_none_is_declared() -> None:
    cluster = STATES["Idle"][0]()
    for monitoring in (None, {"drift": {}}):
        cluster.monitoring = monitoring
        ask_for_training(cluster)
        assert cluster.status.last_command is not None
        assert not cluster.status.last_command.accepted
        assert "spec.monitoring.onDrift or onDecay" in cluster.status.last_command.message
    assert cluster.status.monitoring is None


def test_no_second_retraining_by_hand_while_one_is_under_way() -> None:
    cluster = retrained()
    ask_for_training(cluster)
    ask_for_training(cluster)
    assert cluster.status.last_command is not None
    assert cluster.status.last_command.message == "retraining 1 is about to start"
    assert cluster.status.monitoring is not None
    assert len(cluster.status.monitoring.retrainings) == 1


def test_a_retraining_meant_for_a_stable_that_is_gone_is_refused() -> None:
    cluster = retrained()
    ask_for_training(cluster, "zzzz")
    assert cluster.status.last_command is not None
    assert "meant for revision zzzz, the current one is aaaa" in cluster.status.last_command.message


def test_of_two_declared_retrainings_a_decayed_model_gets_that_of_decay() -> None:
    both = {"decay": {}, "onDecay": {"job": {"cronJob": "relabel"}}}
    for decayed, expected in (("False", "onDrift"), ("True", "onDecay")):
        cluster = retrained(**both)
        said = Condition(type="Decayed", status=decayed, reason="Test")
        conditions = [*cluster.status.conditions, said]
        cluster.status = cluster.status.model_copy(update={"conditions": conditions})
        ask_for_training(cluster)
        assert cluster.status.monitoring is not None
        assert cluster.status.monitoring.retrainings[0].reaction == expected
    only = retrained()
    only.monitoring = {"decay": {}, "onDecay": {"job": {"cronJob": "relabel"}}}
    ask_for_training(only)
    assert only.status.monitoring is not None
    assert only.status.monitoring.retrainings[0].reaction == "onDecay"
