"""Webhooks as gates: asked once for each moment, obeyed, and told of the end."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.status import Phase, Verdict
from sluice.engine.commands import Command

from .small_cluster import SmallCluster
from .test_gates import OFFICE, WEDNESDAY_NOON, webhook


def test_a_webhook_is_asked_before_the_start_and_its_yes_starts() -> None:
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = webhook("BeforeStart"), "bbbb"
    cluster.run(3)
    question = cluster.asked()["ask"]
    assert (question.attempt, question.body["at"], question.body["revision"]) == (
        1,
        "BeforeStart",
        "bbbb",
    )
    assert cluster.predictors == {"vaaaa": 100}
    assert "gate.example" in cluster.status.message
    assert "t=s" not in str(cluster.status.to_wire()), "a URL may hold a token"
    cluster.reply("ask", True)
    cluster.run(3)
    assert cluster.status.phase is Phase.STEPPING
    assert cluster.told("GateOpened") == ["ask: ok"]


def test_a_no_holds_with_its_message_and_is_asked_again_after_the_interval() -> None:
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = webhook("BeforeStart", interval="30s"), "bbbb"
    cluster.step()
    first = cluster.asked()["ask"]
    cluster.reply("ask", False, "the freeze is on")
    cluster.step()
    assert cluster.gate("ask") == ("Closed", "the freeze is on")
    assert cluster.asked() == {}
    cluster.run(29)
    assert cluster.asked() == {}
    cluster.run(2)
    second = cluster.asked()["ask"]
    assert (second.id, second.attempt) == (first.id, 2)
    assert second.idempotency_key != first.idempotency_key
    cluster.reply("ask", True)
    cluster.run(3)
    assert cluster.status.phase is Phase.STEPPING


def test_each_step_and_the_promotion_ask_a_question_of_their_own_once() -> None:
    cluster = SmallCluster().started()
    hook = {"url": "http://gate.test.svc/x"}
    cluster.gates = {
        "webhooks": [
            {"name": "steps", "at": "BeforeStep", **hook},
            {"name": "promotion", "at": "BeforePromotion", **hook},
        ]
    }
    cluster.template = "bbbb"
    cluster.say(Verdict.PASS)
    seen: dict[tuple[str, int], tuple[Any, Any]] = {}
    for _ in range(120):
        cluster.now += 1
        cluster.settle()
        cluster.step()
        for name, question in cluster.asked().items():
            seen[(question.id, question.attempt)] = (question.body["step"], question.body["weight"])
            cluster.reply(name, True)
    assert list(seen.values()) == [(1, 5), (2, 50), (None, 100)]
    assert cluster.status.history[0].outcome == "Promoted"


def test_a_restart_asks_the_same_question_and_a_yes_is_written_down_before_it_is_acted_on() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.gates = webhook("BeforePromotion")
    cluster.say(Verdict.PASS)
    cluster.run(40)
    question = cluster.asked()["ask"]
    cluster.reply("ask", True)
    lost, cluster.answers = cluster.answers, {}  # a restart: nothing is in memory
    cluster.step()
    assert cluster.asked()["ask"].idempotency_key == question.idempotency_key
    cluster.answers = lost
    decision = cluster.step()
    assert cluster.gate("ask") == ("Open", "ok")
    assert cluster.status.phase is Phase.STEPPING
    assert decision.look_again is not None
    assert decision.look_again < 1
    cluster.answers = {}  # another restart: the status knows the answer
    cluster.step()
    assert cluster.status.phase is Phase.PROMOTING
    assert len(cluster.told("Promoting")) == 1


@pytest.mark.parametrize("answered", [True, False])
def test_on_failure_roll_back_takes_the_candidate_out(answered: bool) -> None:
    cluster = SmallCluster().rolling_out()
    cluster.gates = webhook("BeforePromotion", onFailure="RollBack")
    cluster.say(Verdict.PASS)
    cluster.run(40)
    assert cluster.status.phase is Phase.STEPPING, "no answer yet is no failure"
    cluster.reply("ask", False, "load test failed", answered=answered)
    cluster.run(10)
    entry = cluster.status.history[0]
    assert (entry.outcome, entry.reason) == ("RolledBack", "GateFailed")
    assert "load test failed" in entry.message


def test_an_answer_does_not_count_for_another_rollout_of_the_same_revision() -> None:
    cluster = SmallCluster().started()
    cluster.gates, cluster.template = webhook("BeforeStart"), "bbbb"
    cluster.run(2)
    cluster.reply("ask", True)
    cluster.run(3)
    cluster.say(Verdict.HARM)
    cluster.run(10)
    assert cluster.status.phase is Phase.ROLLED_BACK
    cluster.checks = ()
    cluster.command(Command.RETRY)
    cluster.run(3)
    assert cluster.status.phase is Phase.IDLE
    assert cluster.asked()["ask"].attempt == 1


def test_a_webhook_is_not_asked_while_a_window_is_closed() -> None:
    cluster = SmallCluster(now=WEDNESDAY_NOON).started()
    cluster.gates = {**OFFICE, **webhook("BeforeStart")}
    cluster.template = "bbbb"
    cluster.now = WEDNESDAY_NOON + 6 * 3600
    cluster.run(3)
    assert cluster.asked() == {}
    cluster.now = WEDNESDAY_NOON + 22 * 3600
    cluster.step()
    assert set(cluster.asked()) == {"ask"}


@pytest.mark.parametrize(("verdict", "outcome"), [("Pass", "Promoted"), ("Harm", "RolledBack")])
def test_after_the_end_it_is_told_once_with_the_outcome(verdict: str, outcome: str) -> None:
    cluster = SmallCluster().rolling_out()
    cluster.gates = webhook("AfterEnd")
    cluster.say(Verdict(verdict))
    cluster.run(90)
    question = cluster.asked()["ask"]
    assert question.body["outcome"]["outcome"] == outcome
    assert question.body["revision"] == "bbbb"
    cluster.answers.clear()  # a restart
    cluster.step()
    assert cluster.asked()["ask"].idempotency_key == question.idempotency_key
    cluster.reply("ask", True)
    cluster.run(5)
    assert cluster.asked() == {}
    assert cluster.gate("ask")[0] == "Open"


def test_an_end_that_nobody_could_be_told_is_not_told_for_ever() -> None:
    cluster = SmallCluster().rolling_out()
    cluster.gates = webhook("AfterEnd", interval="10s")
    cluster.say(Verdict.HARM)
    cluster.run(20)
    cluster.reply("ask", False, "no answer in 4 tries", answered=False)
    cluster.run(60)
    assert cluster.asked() == {}
    assert cluster.gate("ask")[0] == "Failed"
    assert len(cluster.told("GateFailed")) == 1
