"""The life of a blue-green rollout: ready without users, one switch, blue warm for the way back."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import CheckStatus, Phase, Verdict
from sluice.engine.commands import Command

from .small_cluster import POLICY, SmallCluster, verdict

BLUE, GREEN = {"vaaaa": 100, "vbbbb": 0}, {"vaaaa": 0, "vbbbb": 100}


def cluster(**blue_green: Any) -> SmallCluster:
    """Green is asked for; nothing is measured of it yet, and blue is known well enough."""
    made = SmallCluster(strategy={"blueGreen": blue_green}).begun()
    made.say(Verdict.NO_DATA, samples=0)
    return made


def outcome(made: SmallCluster) -> tuple[str, str]:
    entry = made.status.history[0]
    return entry.outcome, entry.reason


def shares_of_green(made: SmallCluster) -> list[int]:
    seen = [p.weight for plan in made.plans for p in plan.predictors if p.name == "vbbbb"]
    return list(dict.fromkeys(seen))


def with_limit() -> CanaryPolicySpec:
    check = {"name": "few", "metric": "error-rate", "limit": {"max": 0.02}}
    checks = [{"name": "errors", "metric": "error-rate", "compare": {}}, check]
    wire = POLICY.to_dict() | {"checks": checks}
    return CanaryPolicySpec.model_validate(wire)


def test_one_switch_from_nothing_to_everything_and_blue_goes_after_the_bake() -> None:
    made = cluster().until(Phase.BAKING)
    assert made.routes == GREEN
    made.say(Verdict.UNDECIDED)
    made.run(40)
    assert outcome(made) == ("Promoted", "BakedWithoutHarm")
    assert made.predictors == {"vbbbb": 100}
    assert shares_of_green(made) == [0, 100]
    assert made.status.preview is None


def test_the_history_says_when_every_check_passed_after_all() -> None:
    made = cluster().until(Phase.BAKING)
    made.say(Verdict.PASS)
    made.run(40)
    assert outcome(made) == ("Promoted", "AllChecksPassed")


def test_green_can_be_tried_before_the_switch() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    assert made.status.preview == "http://iris-vbbbb.prod.svc:8000"
    notes = {n.reason: n.message for d in made.decisions for n in d.notes}
    assert "http://iris-vbbbb.prod.svc:8000" in notes["PreviewReady"]
    reconciling = made.status.condition("Reconciling")
    assert reconciling is not None
    assert (reconciling.status, reconciling.reason) == ("True", "Previewing")


def test_without_auto_switch_it_waits_for_promote_however_good_it_looks() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    made.run(4000, every=20)
    assert made.routes == BLUE
    assert "`sluice promote`" in made.status.message
    assert made.status.pause is None, "nobody waits for evidence here"
    made.command(Command.PROMOTE)
    made.run(1)
    assert made.routes == GREEN


def test_it_waits_for_enough_of_blues_past_and_says_how_much() -> None:
    made = cluster()
    made.stable_left = 1234
    made.run(60)
    assert (made.status.phase, made.routes) == (Phase.PREVIEWING, BLUE)
    assert "1,234 more requests of the stable" in made.status.message
    made.stable_left = 0
    made.run(2)
    assert made.routes == GREEN


@pytest.mark.parametrize("command", [Command.PROMOTE, Command.PROMOTE_FULL])
def test_promote_switches_now_whatever_is_known_of_blue(command: Command) -> None:
    made = cluster()
    made.stable_left = 1234
    made.until(Phase.PREVIEWING).command(command)
    made.step()
    assert made.routes == GREEN


def test_promote_is_refused_before_green_is_ready() -> None:
    made = SmallCluster(strategy={"blueGreen": {}}, unready={"vbbbb"}).begun()
    made.command(Command.PROMOTE)
    made.step()
    assert made.status.last_command is not None
    assert not made.status.last_command.accepted


def test_an_outage_of_the_metrics_holds_the_switch_and_then_the_bake() -> None:
    made = cluster()
    made.metrics_problem = "connection refused"
    made.run(100)
    assert made.routes == BLUE
    made.metrics_problem = ""
    made.until(Phase.BAKING).say(Verdict.UNDECIDED)
    made.metrics_problem = "connection refused"
    made.run(100)
    assert made.status.phase is Phase.BAKING
    assert "connection refused" in made.status.message


def test_no_measurement_no_switch() -> None:
    made = cluster()
    made.checks = ()
    made.run(100)
    assert (made.status.phase, made.routes) == (Phase.PREVIEWING, BLUE)


def test_a_stable_that_is_not_seen_holds_the_switch() -> None:
    made = cluster()
    made.stable_left = None
    made.run(100)
    assert made.routes == BLUE


@pytest.mark.parametrize("kind", [Verdict.NO_DATA, Verdict.ERROR])
def test_a_bake_without_an_answered_request_does_not_end(kind: Verdict) -> None:
    made = cluster().until(Phase.BAKING)
    made.say(kind, samples=0)
    made.run(300, every=5)
    assert made.status.phase is Phase.BAKING
    assert "baked, but holding" in made.status.message


def test_a_limit_must_pass_before_blue_goes() -> None:
    made = SmallCluster(strategy={"blueGreen": {}}, policy=with_limit()).begun()

    def say(limit: Verdict) -> tuple[CheckStatus, ...]:
        few = verdict(limit).model_copy(update={"name": "few"})
        return verdict(Verdict.UNDECIDED), few

    made.checks = say(Verdict.UNDECIDED)
    made.until(Phase.BAKING).run(60)
    assert made.status.phase is Phase.BAKING
    assert made.status.message == "baked, but holding: few Undecided: numbers"
    made.checks = say(Verdict.PASS)
    made.run(2)
    assert outcome(made) == ("Promoted", "BakedWithoutHarm")


def test_evidence_that_leans_to_harm_keeps_blue() -> None:
    made = cluster().until(Phase.BAKING)
    made.say(Verdict.UNDECIDED)
    half = {"harm_evidence": 1.2, "harm_needed": 2.3}
    made.checks = tuple(c.model_copy(update=half) for c in made.checks)
    made.run(100)
    assert made.status.phase is Phase.BAKING


@pytest.mark.parametrize(("action", "phase"), [("Pause", "Baking"), ("RollBack", "RolledBack")])
def test_a_bake_that_shows_nothing_for_too_long_ends_as_the_policy_says(
    action: str, phase: str
) -> None:
    made = cluster(onUndecided={"after": "5m", "action": action}).until(Phase.BAKING)
    made.run(400, every=5)
    assert made.status.phase == phase
    if action == "Pause":
        assert made.status.pause is not None
        assert made.status.pause.reason == "Undecided"


def test_harm_in_the_bake_switches_straight_back_to_blue() -> None:
    made = cluster().until(Phase.BAKING)
    made.say(Verdict.HARM)
    made.step()
    assert made.routes == BLUE
    made.run(10)
    assert outcome(made) == ("RolledBack", "HarmDetected")
    assert made.predictors == {"vaaaa": 100}


def test_harm_while_a_pod_of_blue_is_unready_moves_the_routes_by_hand() -> None:
    made = cluster().until(Phase.BAKING)
    made.half_ready.add("vaaaa")
    made.say(Verdict.HARM)
    made.step()
    assert made.routes == {"vaaaa": 100}


def test_blue_is_kept_warm_and_abort_and_harm_switch_back_to_it() -> None:
    for answer in ("abort", "harm"):
        made = cluster(keepBlueFor="10m").until(Phase.BAKING)
        made.say(Verdict.UNDECIDED)
        made.run(300, every=5)
        assert made.predictors == GREEN
        assert "blue stays warm until" in made.status.message
        if answer == "abort":
            made.command(Command.ABORT)
        else:
            made.say(Verdict.HARM)
        made.step()
        assert made.routes == BLUE
    made = cluster(keepBlueFor="10m").until(Phase.BAKING)
    made.say(Verdict.UNDECIDED)
    made.run(605, every=5)
    assert made.predictors == {"vbbbb": 100}


def test_promote_in_the_bake_lets_blue_go_and_says_that_it_was_a_command() -> None:
    made = cluster(keepBlueFor="1h").until(Phase.BAKING)
    made.command(Command.PROMOTE)
    made.step()
    assert outcome(made) == ("Promoted", "PromotedByCommand")
    assert made.predictors == {"vbbbb": 100}


def test_promote_after_the_bake_claims_no_less_than_was_shown() -> None:
    made = cluster(keepBlueFor="1h").until(Phase.BAKING)
    made.say(Verdict.UNDECIDED)
    made.run(100)
    made.command(Command.PROMOTE)
    made.step()
    assert outcome(made) == ("Promoted", "BakedWithoutHarm")


def test_a_new_version_follows_on_a_green_that_was_baked_not_on_blue() -> None:
    made = cluster(keepBlueFor="1h").until(Phase.BAKING)
    made.say(Verdict.UNDECIDED)
    made.run(100)
    made.template = "cccc"
    made.step()
    assert outcome(made) == ("Promoted", "BakedWithoutHarm")
    assert made.predictors == {"vbbbb": 100, "vcccc": 0}
    assert made.status.stable is not None
    assert made.status.stable.revision == "bbbb"


def test_a_new_version_in_the_bake_takes_green_out_first() -> None:
    made = cluster(keepBlueFor="1h").until(Phase.BAKING)
    made.template = "cccc"
    made.step()
    assert made.routes == BLUE
    made.run(15)
    assert outcome(made) == ("Superseded", "Superseded")


def test_blues_template_again_switches_back_even_when_baked() -> None:
    made = cluster(keepBlueFor="1h").until(Phase.BAKING)
    made.say(Verdict.UNDECIDED)
    made.run(100)
    made.template = "aaaa"
    made.step()
    assert made.routes == BLUE
    made.run(15)
    assert outcome(made) == ("Aborted", "TemplateReverted")


def test_a_green_that_never_gets_ready_is_taken_out_at_the_deadline() -> None:
    made = SmallCluster(strategy={"blueGreen": {}}, unready={"vbbbb"}).begun()
    made.run(70)
    assert outcome(made) == ("RolledBack", "ProgressDeadlineExceeded")


def test_a_green_that_waits_for_promote_has_no_deadline_but_must_stay_up() -> None:
    made = cluster(autoSwitch=False)
    made.run(600, every=5)
    assert made.status.phase is Phase.PREVIEWING
    made.unready.add("vbbbb")
    made.run(10)
    assert outcome(made) == ("RolledBack", "CandidateUnavailable")
    made.unready.clear()
    made.command(Command.RETRY)
    made.run(3)
    assert made.status.phase is Phase.PREVIEWING


def test_a_pause_holds_the_switch_and_the_end_of_the_bake() -> None:
    made = cluster().until(Phase.PREVIEWING)
    made.paused = True
    made.run(60)
    assert made.routes == BLUE
    made.paused = False
    made.until(Phase.BAKING).say(Verdict.UNDECIDED)
    made.paused = True
    made.run(100)
    assert made.predictors == GREEN
    made.paused = False
    made.run(2)
    assert made.predictors == {"vbbbb": 100}


def test_no_switch_while_seldon_is_frozen() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    made.half_ready.add("vaaaa")
    made.strategy = {"blueGreen": {}}
    made.run(30)
    assert made.status.phase is Phase.PREVIEWING
    made.half_ready.clear()
    made.until(Phase.BAKING)


def test_too_little_of_blue_for_too_long_does_as_the_policy_says() -> None:
    made = cluster(onUndecided={"after": "5m", "action": "Pause"})
    made.stable_left = 5
    made.run(400, every=5)
    assert made.routes == BLUE
    assert made.status.pause is not None
    made.command(Command.RESUME)
    made.run(100)
    assert made.status.pause is None, "a resume starts the clock anew"


def test_a_strategy_that_becomes_a_canary_goes_on_in_steps() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    made.strategy = {"canary": {}}
    made.run(2)
    assert made.routes == {"vaaaa": 95, "vbbbb": 5}


def test_a_strategy_that_becomes_a_canary_passes_no_closed_gate_and_no_pause() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    made.gates = {"windows": [{"timeZone": "Europe/Atlantis"}]}
    made.strategy = {"canary": {}}
    made.run(10)
    assert made.status.phase is Phase.PREVIEWING
    assert "windows" in made.status.message
    made.paused, made.gates = True, {}
    made.run(10)
    assert (made.status.phase, made.routes) == (Phase.PREVIEWING, {"vaaaa": 100, "vbbbb": 0})
    made.paused = False
    made.run(3)
    assert made.routes == {"vaaaa": 95, "vbbbb": 5}


def test_harm_takes_a_canary_out_that_was_blue_green_before_its_first_step() -> None:
    made = cluster(autoSwitch=False).until(Phase.PREVIEWING)
    made.gates = {"windows": [{"timeZone": "Europe/Atlantis"}]}
    made.strategy = {"canary": {}}
    made.run(2)
    made.say(Verdict.HARM)
    made.run(2)
    assert made.status.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
