"""`sluice wait`: bound to the newest generation, told step by step, with an exit code that says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sluice.api.status import Verdict
from sluice.cli.story import Story
from sluice.cli.waiting import parse_wanted
from sluice.errors import UsageError
from sluice.resources import MODEL_ROLLOUTS

from .stage import Play, ScriptedKube, StageClock, revision

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]
FIRST, SECOND = "repo/iris:1", "repo/iris:2"


def test_what_is_there_already_is_answered_at_once_without_a_watch(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    for wanted in ("promoted", "idle", "ready", "condition=Ready", "condition=stalled=false"):
        assert sluice("wait", "iris", "--for", wanted) == 0
    assert scripted.count("watch") == 0


def test_a_promotion_is_waited_for_through_one_watch_after_another(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [play.look, lambda: play.play(3), play.promote]
    assert sluice("wait", "iris", "--for", "promoted") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"modelrollout.sluice.dev/iris: revision {revision(SECOND)} is promoted"
    assert said[0].endswith("prod/iris: waiting for the controller to see generation 2")
    phases = [line.split()[2].rstrip(",") for line in said[:-1]]
    for phase in ("Preparing", "Stepping", "Baking"):
        assert phase in phases
    assert len(said) == len(set(said)), "a line that tells nothing new is not printed"
    assert any("step 2/2 at 50%" in line for line in said)


def test_the_promotion_of_the_rollout_before_does_not_count(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    """The status still says Promoted when the wait begins: of an older generation."""
    play.push(SECOND)
    scripted.acts = [play.look, play.harm]
    assert sluice("wait", "iris", "--for", "promoted") == 3
    error = capsys.readouterr().err
    assert error.startswith("error: modelrollout.sluice.dev prod/iris: ")
    assert f"revision {revision(SECOND)} was rolled back: HarmDetected" in error


def test_a_rollback_that_is_wanted_exits_with_0(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    play.push(SECOND)
    scripted.acts = [play.look, play.harm]
    assert sluice("wait", "iris", "--for", "promoted", "--for", "rolledback") == 0


def test_a_pause_is_waited_for(play: Play, scripted: ScriptedKube, sluice: Sluice) -> None:
    def pause() -> None:
        play.paused = True
        play.play(2)

    play.push(SECOND)
    scripted.acts = [play.look, pause]
    assert sluice("wait", "iris", "--for=paused") == 0


def test_a_stalled_rollout_never_comes_and_says_why(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def stall() -> None:
        obj = play.object()
        for condition in obj["status"]["conditions"]:
            condition["observedGeneration"] = obj["metadata"]["generation"]
            if condition["type"] == "Stalled":
                condition |= {"status": "True", "reason": "PolicyNotFound", "message": "no policy"}
            if condition["type"] == "Promoted":
                condition["observedGeneration"] = 1
        obj["status"]["observedGeneration"] = obj["metadata"]["generation"]
        play.kube.client().replace(MODEL_ROLLOUTS, obj, subresource="status")

    play.push(SECOND)
    scripted.acts = [stall]
    assert sluice("wait", "iris") == 1
    assert "it is stalled: PolicyNotFound: no policy" in capsys.readouterr().err


def test_a_rollback_without_a_rollout_never_comes(
    play: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("wait", "iris", "--for", "rolledback") == 1
    assert "without a rollout, rolledback never comes" in capsys.readouterr().err


def test_a_deleted_rollout_ends_the_wait(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [lambda: scripted.client().delete(MODEL_ROLLOUTS, "iris", "prod")]
    assert sluice("wait", "iris") == 1
    assert "it was deleted" in capsys.readouterr().err


def test_a_late_wait_exits_with_5_and_says_what_holds_it_up(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [play.look, lambda: clock.advance(61)]
    assert sluice("wait", "iris", "--timeout", "1m") == 5
    assert "not promoted within 60s: it is in phase Stepping" in capsys.readouterr().err


def test_without_a_controller_the_timeout_says_so(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [lambda: clock.advance(61)]
    assert sluice("wait", "iris", "--timeout", "60") == 5
    assert "has not looked at generation 2 (it has seen 1)" in capsys.readouterr().err


def test_a_timeout_of_0_looks_once(play: Play, scripted: ScriptedKube, sluice: Sluice) -> None:
    play.push(SECOND)
    assert sluice("wait", "iris", "--timeout", "0") == 5
    assert scripted.count("watch") == 0


def test_a_broken_watch_and_a_forgotten_version_are_survived(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    def lose() -> None:
        play.look()
        scripted.compact()
        scripted.fail_next("watch", status=0, times=3)
        scripted.fail_next("list", status=503, times=2)

    play.push(SECOND)
    scripted.acts = [lose, play.promote]
    assert sluice("wait", "iris") == 0


def test_an_api_server_that_has_just_started_may_refuse_at_first(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    """Its caches of roles and kinds fill after its port opens."""

    def restart() -> None:
        scripted.fail_next("watch", status=0, times=2)
        scripted.fail_next("watch", status=403, times=2)
        scripted.fail_next("watch", status=404, times=1)

    play.push(SECOND)
    scripted.acts = [restart, play.look, play.promote]
    assert sluice("wait", "iris") == 0


def test_a_right_that_is_missing_from_the_start_is_an_error_at_once(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.fail_next("watch", status=403)
    assert sluice("wait", "iris") == 1
    assert "not allowed" in capsys.readouterr().err


def test_a_newer_template_is_waited_for_instead_of_the_old_one(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [play.look, lambda: play.push("repo/iris:3"), play.look, play.promote]
    assert sluice("wait", "iris") == 0
    assert f"revision {revision('repo/iris:3')} is promoted" in capsys.readouterr().out


def test_a_revision_that_is_superseded_can_never_come(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push(SECOND)
    scripted.acts = [
        play.look,
        lambda: play.push("repo/iris:3"),
        play.look,
        lambda: play.play(15),
    ]
    assert sluice("wait", "iris", "--revision", revision(SECOND)) == 1
    assert "Superseded" in capsys.readouterr().err


def test_a_revision_that_was_promoted_and_replaced_counts_as_promoted(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    for image in (SECOND, "repo/iris:3"):
        play.push(image)
        play.look()
        play.promote()
    assert sluice("wait", "iris", "--revision", revision(SECOND)) == 0


def test_a_revision_that_is_not_applied_yet_is_waited_for(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    scripted.acts = [lambda: play.push(SECOND), play.look, play.promote]
    assert sluice("wait", "iris", "--revision", revision(SECOND)) == 0
    said = capsys.readouterr().out
    first = revision(FIRST)
    assert (
        f"revision {revision(SECOND)} is not applied: it is neither the template's ({first})"
        in said
    )
    assert said.splitlines()[-1].endswith(f"revision {revision(SECOND)} is promoted")


def test_a_rollback_of_a_revision_that_came_late_is_told_as_one(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    scripted.acts = [lambda: play.push(SECOND), play.look, play.harm]
    assert sluice("wait", "iris", "--revision", revision(SECOND)) == 3


def test_a_revision_that_nobody_applies_is_late_and_says_so(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    """Nor does the rollout of another one end the wait, in whatever way."""

    def another() -> None:
        play.push("repo/iris:3")
        play.look()
        play.promote()

    scripted.acts = [another, lambda: clock.advance(61)]
    assert sluice("wait", "iris", "--revision", revision(SECOND), "--timeout", "60s") == 5
    assert f"revision {revision(SECOND)} is not applied" in capsys.readouterr().err
    assert sluice("wait", "iris", "--revision", "00000000", "--timeout", "0") == 5


def test_applied_within_waits_for_the_template_and_then_for_the_rollout(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    scripted.acts = [lambda: play.push(SECOND), play.look, play.promote]
    words = ("--revision", revision(SECOND), "--applied-within", "10m")
    assert sluice("wait", "iris", *words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        f"prod/iris: waiting for it to be applied: the template is revision {revision(FIRST)}, not "
        f"{revision(SECOND)}"
    )


def test_applied_within_does_not_take_an_earlier_life_of_the_revision_for_this_one(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    for image in (SECOND, "repo/iris:3"):
        play.push(image)
        play.look()
        play.promote()
    words = ("--revision", revision(SECOND))
    assert sluice("wait", "iris", *words) == 0, "it was promoted once"
    scripted.acts = [lambda: play.push(SECOND), play.look, play.harm]
    assert sluice("wait", "iris", *words, "--applied-within", "10m") == 3


def test_applied_within_is_late_by_itself_and_says_where_to_look(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    scripted.acts = [lambda: clock.advance(61)]
    words = ("--revision", revision(SECOND), "--applied-within", "1m", "--timeout", "2h")
    assert sluice("wait", "iris", *words, "-o", "json") == 5
    shown = capsys.readouterr()
    assert json.loads(shown.out)["outcome"] == "TimedOut"
    assert "it was not applied within 60s: the template is revision" in shown.err
    assert "Argo CD or Flux" in shown.err


def test_applied_within_counts_in_the_timeout(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice
) -> None:
    def later() -> None:
        clock.advance(50)
        play.push(SECOND)

    scripted.acts = [later, lambda: clock.advance(15)]
    words = ("--revision", revision(SECOND), "--applied-within", "1m", "--timeout", "1m")
    assert sluice("wait", "iris", *words) == 5
    assert scripted.acts == []


def test_applied_within_waits_for_a_rollout_that_is_not_there_yet(
    scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    def appear() -> None:
        play = Play.begun(scripted)
        assert play.status.stable is not None

    scripted.acts = [appear]
    words = ("--revision", revision(FIRST), "--applied-within", "10m")
    assert sluice("wait", "iris", *words) == 0
    assert "there is no ModelRollout with revision" in capsys.readouterr().out
    scripted.client().delete(MODEL_ROLLOUTS, "iris", "prod")
    scripted.acts = [lambda: clock.advance(601)]
    assert sluice("wait", "iris", *words) == 5


def test_applied_within_without_a_revision_is_a_wrong_command_line(
    play: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("wait", "iris", "--applied-within", "10m") == 2
    assert "--revision" in capsys.readouterr().err


def test_quiet_says_nothing_and_json_is_one_document(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("wait", "iris", "-q") == 0
    assert capsys.readouterr() == ("", "")
    play.push(SECOND)
    scripted.acts = [play.look, play.harm]
    assert sluice("wait", "iris", "-o", "json") == 3
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["outcome"], document["met"]) == ("RolledBack", None)
    assert "Stepping" in said.err, "the story goes where it does not mix with the document"


def test_every_spelling_of_for_is_read_and_any_other_refused() -> None:
    assert parse_wanted("rolled-back").kind == "rolledback"
    assert parse_wanted("condition=Ready=False").status == "False"
    assert parse_wanted("condition=Ready").text == "condition=Ready=True"
    for wrong in ("gone", "condition", "condition=", "promoted=now"):
        with pytest.raises(UsageError, match="expected promoted"):
            parse_wanted(wrong)


def test_the_first_creation_is_promoted_only_when_it_serves(
    scripted: ScriptedKube, clock: StageClock, sluice: Sluice
) -> None:
    play = Play.begun(scripted)
    play.unready = {f"v{play.template}"}
    play.play(1)
    clock_runs_out = lambda: clock.advance(1801)  # noqa: E731
    scripted.acts = [clock_runs_out]
    assert sluice("wait", "iris") == 5
    assert play.status.condition("Promoted").status == "True"  # type: ignore[union-attr]


def test_a_story_says_nothing_twice_though_the_numbers_change(play: Play) -> None:
    story, obj = Story(), play.object()
    assert story.line(obj, play.now)
    obj["status"]["message"] = "other numbers"
    assert story.line(obj, play.now) is None
    obj["status"]["phase"] = "Preparing"
    line = story.line(obj, play.now)
    assert line is not None
    assert line.endswith(": other numbers")


def test_undecided_for_long_needs_a_person_and_ends_the_wait(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def wait_long() -> None:
        play.say(Verdict.UNDECIDED)
        play.play(30)
        play.now += 4000
        play.play(2)

    play.push(SECOND)
    scripted.acts = [play.look, wait_long]
    assert sluice("wait", "iris") == 1
    assert "Undecided" in capsys.readouterr().err


def test_the_rollback_of_the_rollout_before_does_not_count(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    play.push(SECOND)
    play.look()
    play.harm()
    play.push("repo/iris:3")
    scripted.acts = [play.look, play.promote]
    assert sluice("wait", "iris") == 0
