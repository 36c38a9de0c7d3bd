"""What people see of one rollout, at any width, with and without colour."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sluice.api.policy import CanaryPolicySpec, Check
from sluice.api.status import Checkpoint, CheckStatus, Phase, RolloutStatus, Verdict
from sluice.cli.bars import bar, span, steps_bar
from sluice.cli.checks_view import RateMeter, value, values
from sluice.cli.next_move import next_move
from sluice.cli.rollout_events import Told, newest_events
from sluice.cli.view import Beside, details
from sluice.resources import EVENTS

from ..engine.small_cluster import POLICY
from .stage import Play, ScriptedKube


def drawn(play: Play, width: int = 80, **beside: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=False, highlight=False)
    console.print(details(play.object(), Beside(**beside), play.now))
    return out.getvalue()


@pytest.fixture
def stepping(play: Play) -> Play:
    play.push("repo/iris:2")
    play.look()
    play.say(Verdict.UNDECIDED)
    play.play(2)
    return play


def test_the_step_in_progress_stands_in_brackets_with_the_hold_that_is_left(stepping: Play) -> None:
    assert "[5] | 50 %   hold for 8s more" in drawn(stepping, policy=POLICY)


def test_a_policy_that_cannot_be_read_still_leaves_the_step(stepping: Play) -> None:
    assert "1 of 2 at 5%" in drawn(stepping)


def test_weights_wanted_and_observed_and_what_is_next(stepping: Play) -> None:
    shown = drawn(stepping, policy=POLICY)
    assert "5% wanted, 5% observed" in shown
    assert "step 2 at 50% in 8s" in shown


def test_a_check_shows_values_thresholds_evidence_and_the_requests_left(stepping: Play) -> None:
    shown = drawn(stepping, policy=POLICY, rate=3.3)
    for part in (
        "1% (stable 0.5%; fine to 0.5%, too much from 1%)",
        "for Pass ###------- 0.40 of 1.30",
        "for Harm ---------- -0.20 of 2.30",
        "requests 120, stable 480; 66 to go, about 20s at 3.3/s",
    ):
        assert part in shown


@pytest.mark.parametrize("width", [40, 80, 132])
def test_no_line_is_wider_than_the_terminal(stepping: Play, width: int) -> None:
    events = [Told(stepping.now, "StepStarted", "word " * 40, False)]
    shown = drawn(stepping, width, policy=POLICY, events=events)
    assert max(len(line) for line in shown.splitlines()) <= width


def test_markup_in_what_others_wrote_is_shown_as_it_stands(stepping: Play) -> None:
    stepping.status = stepping.status.model_copy(update={"message": "odd [/bold] text [red]"})
    stepping.publish()
    assert "odd [/bold] text [red]" in drawn(stepping)


def test_events_are_the_newest_five_oldest_first(stepping: Play, scripted: ScriptedKube) -> None:
    obj = stepping.object()
    about = {"kind": "ModelRollout", "name": "iris", "uid": obj["metadata"]["uid"]}
    for n in range(7):
        event = {
            "metadata": {"name": f"e{n}"},
            "involvedObject": about if n else {**about, "name": "tulip"},
            "reason": f"R{n}",
            "message": "m",
            "type": "Warning" if n == 6 else "Normal",
            "lastTimestamp": f"2026-11-20T12:00:{10 + n}Z",
            "count": n,
        }
        scripted.client().create(EVENTS, event, "prod")
    found = newest_events(scripted.client(), obj)
    assert found is not None
    assert [one.reason for one in found] == ["R2", "R3", "R4", "R5", "R6"]
    assert (found[-1].warning, found[-1].count) == (True, 6)


def test_events_that_may_not_be_read_are_said_so(stepping: Play, scripted: ScriptedKube) -> None:
    scripted.fail_next("list", "events", status=403)
    events = newest_events(scripted.client(), stepping.object())
    assert events is None
    assert "Events: not readable" in drawn(stepping, events=events)


def test_no_color_and_no_terminal_give_plain_text(
    stepping: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_terminal() -> str:
        out = io.StringIO()
        Console(file=out, force_terminal=True, width=80).print(details(stepping.object()))
        return out.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[33m" in on_terminal(), "Undecided is yellow"
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[33m" not in on_terminal()
    assert "\x1b" not in drawn(stepping)


def test_limits_are_shown_in_their_own_unit() -> None:
    limit = {"quantile": 0.99, "max": "500ms"}
    tail = Check.model_validate({"name": "p99", "metric": "latency", "limit": limit})
    check = CheckStatus(name="p99", verdict=Verdict.PASS, candidate=0.123)
    assert values(check, tail) == "123ms (limit p99 500ms)"
    share = Check.model_validate({"name": "e", "metric": "error-rate", "limit": {"max": 0.02}})
    assert values(check, share) == "12.3% (limit 2%)"
    assert value(None, None) == "-"


def test_a_check_of_answers_shows_what_its_numbers_are_of() -> None:
    difference = {"acceptable": 0.02, "unacceptable": 0.1}
    asked = {"name": "p", "metric": "predictions", "difference": difference}
    check = CheckStatus(
        name="p", verdict=Verdict.HARM, about="virginica", candidate=0.12, stable=0.31
    )
    shown = "virginica 12% (stable 31%; fine to 2 points either way, too much from 10)"
    assert values(check, Check.model_validate(asked)) == shown
    wrong = check.model_copy(update={"about": "true virginica: wrong"})
    feedback = Check.model_validate({**asked, "metric": "feedback"})
    assert values(wrong, feedback).endswith("fine to 2 points, too much from 10)")
    assert values(check, None) == "virginica 12% (stable 31%)"


def test_the_rate_is_that_of_the_last_two_statuses() -> None:
    def status(at: float, samples: int, revision: str = "bbbb") -> RolloutStatus:
        return RolloutStatus.model_validate(
            {
                "candidate": {"revision": revision, "predictor": "v"},
                "readyAt": "1970-01-01T00:00:00Z",
                "checkpoint": Checkpoint(at=at, key="k", state="").to_dict(),
                "checks": [{"name": "e", "verdict": "Pass", "candidateSamples": samples}],
            }
        )

    meter = RateMeter()
    assert meter.look(status(100.0, 50)) == 0.5, "since it was ready"
    assert meter.look(status(110.0, 150)) == 10.0
    assert meter.look(status(110.0, 150)) == 10.0, "the same numbers again tell nothing new"
    assert meter.look(status(200.0, 20, "cccc")) == 0.1, "another candidate begins anew"


def test_bars_and_spans() -> None:
    assert steps_bar([5, 20, 50], 2) == "5 | 20 | [50]"
    assert [bar(v, 2.0, 4) for v in (None, -1.0, 1.0, 9.0)] == ["----", "----", "##--", "####"]
    assert [span(s) for s in (0.4, 61, 3661, 90_061)] == ["0s", "1m1s", "1h1m", "1d1h"]


def test_what_comes_next_is_said_in_every_phase(stepping: Play) -> None:
    now = stepping.now
    for phase in Phase:
        status = stepping.status.model_copy(update={"phase": phase})
        assert next_move(status, POLICY, now), phase
    paused = stepping.status.model_copy(update={"pause": None})
    assert "sluice resume" not in next_move(paused, POLICY, now)


def test_in_the_last_step_the_open_checks_are_named(stepping: Play) -> None:
    stepping.play(12)
    assert stepping.status.step is not None
    assert stepping.status.step.index == 1
    later = stepping.now + 20
    move = next_move(stepping.status, POLICY, later)
    assert move == "all traffic to the candidate when Pass is said by errors"
    stepping.say(Verdict.PASS)
    passed = stepping.status.model_copy(update={"checks": list(stepping.checks)})
    assert next_move(passed, POLICY, later) == "all traffic to the candidate now"


def test_the_policy_is_that_of_the_rollout_with_its_overrides(
    play: Play, scripted: ScriptedKube
) -> None:
    from sluice.cli.policies import policy_for_view
    from sluice.resources import CLUSTER_CANARY_POLICIES

    obj = play.object()
    assert policy_for_view(scripted.client(), obj) is not None, "the built-in one"
    obj["spec"]["policyRef"] = {"kind": "ClusterCanaryPolicy", "name": "mine"}
    assert policy_for_view(scripted.client(), obj) is None, "it is not there"
    body = {"metadata": {"name": "mine"}, "spec": POLICY.to_dict()}
    scripted.client().create(CLUSTER_CANARY_POLICIES, body)
    obj["spec"]["strategy"] = {"canary": {"bake": "1h"}}
    found = policy_for_view(scripted.client(), obj)
    assert isinstance(found, CanaryPolicySpec)
    assert (found.bake, found.steps) == (3600.0, POLICY.steps)
