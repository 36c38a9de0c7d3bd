"""A candidate's replicas in step with its share: raised first, all of them before promotion."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.status import Phase, Verdict
from sluice.engine.commands import Command

from .small_cluster import SmallCluster


def cluster(minimum: int = 1, **canary: Any) -> SmallCluster:
    """The stable has ten replicas, and so has the template; the steps are 5% and 50%."""
    made = SmallCluster(replicas=10)
    asked = {"mode": "InStep", "min": minimum}
    made.strategy = {"canary": {"candidateReplicas": asked, **canary}}
    made.begun()
    made.say(Verdict.PASS)
    return made


def seen(made: SmallCluster) -> list[tuple[int, int | None]]:
    """Weight and replicas of the candidate, plan by plan, without repetitions."""
    all_of_them = [
        (p.weight, p.replicas)
        for plan in made.plans
        for p in plan.predictors
        if p.name == "vbbbb" and len(plan.predictors) > 1
    ]
    return list(dict.fromkeys(all_of_them))


def test_replicas_are_raised_before_the_weight_and_all_are_there_before_promotion() -> None:
    made = cluster()
    made.run(120)
    assert made.status.history[0].outcome == "Promoted"
    assert seen(made) == [(0, 1), (5, 1), (5, 5), (50, 5), (50, 10), (95, 10), (100, 10)]
    assert made.sizes == {"vbbbb": 10}


def test_the_weight_waits_until_the_new_pods_are_ready() -> None:
    made = cluster().until(Phase.STEPPING)
    while made.sizes["vbbbb"] == 1:
        made.run(1)
    made.half_ready.add("vbbbb")
    made.run(40)
    assert made.routes == {"vaaaa": 95, "vbbbb": 5}
    made.half_ready.clear()
    made.run(5)
    assert made.routes == {"vaaaa": 50, "vbbbb": 50}


def test_a_deployment_that_is_whole_in_its_new_size_without_the_pods_is_not_enough() -> None:
    made = cluster()
    while not made.status.history:
        made.now += 1
        made.settle()
        have = made.world().ready_pods("vbbbb")
        made.step()
        assert have * 10 >= made.predictors["vbbbb"], seen(made)
    assert made.status.history[0].outcome == "Promoted"


def test_a_scale_up_that_seldon_has_not_followed_is_not_taken_for_done() -> None:
    made = cluster().until(Phase.STEPPING)
    made.slow = True
    while made.sizes["vbbbb"] == 1:
        made.run(1)
    made.run(10)
    assert made.predictors == {"vaaaa": 95, "vbbbb": 5}


def test_a_scale_up_that_never_gets_whole_is_given_up_at_the_deadline() -> None:
    made = cluster().until(Phase.STEPPING)
    while made.sizes["vbbbb"] == 1:
        made.run(1)
    made.half_ready.add("vbbbb")
    made.run(120)
    assert made.status.history[0].reason == "CandidateUnavailable"
    assert made.predictors == {"vaaaa": 100}


def test_there_are_never_fewer_than_the_least_nor_more_than_the_template_says() -> None:
    made = cluster(minimum=7)
    made.run(120)
    assert seen(made) == [(0, 7), (5, 7), (50, 7), (50, 10), (95, 10), (100, 10)]
    few = SmallCluster(replicas=2, strategy={"canary": {"candidateReplicas": {"mode": "InStep"}}})
    few.begun().until(Phase.STEPPING)
    assert few.sizes["vbbbb"] == 1


def test_promote_full_waits_for_all_replicas() -> None:
    made = cluster().until(Phase.STEPPING)
    made.slow = True
    made.command(Command.PROMOTE_FULL)
    made.run(5)
    assert (made.predictors["vbbbb"], made.sizes["vbbbb"]) == (5, 10)
    assert made.status.message == "waiting for 10 replicas of the candidate before 100%"
    made.slow = False
    made.run(5)
    assert made.routes == {"vaaaa": 5, "vbbbb": 95}


@pytest.mark.parametrize("when", ["at rest", "growing"])
def test_a_rollback_scales_nothing_up(when: str) -> None:
    made = cluster().until(Phase.STEPPING)
    while when == "growing" and not (made.sizes["vbbbb"] > 1 and made.frozen()):
        made.run(1)
    before = made.sizes["vbbbb"]
    made.say(Verdict.HARM)
    made.step()
    assert made.routes is not None
    assert made.routes["vaaaa"] == 100
    assert made.sizes.get("vbbbb", before) == before
    made.run(10)
    assert made.predictors == {"vaaaa": 100}


def test_a_shadow_gets_capacity_for_what_is_copied() -> None:
    made = cluster(shadow={"percent": 30, "hold": "5s"}).until(Phase.SHADOWING)
    assert made.sizes["vbbbb"] == 3
    made.run(200)
    assert made.status.history[0].outcome == "Promoted"


def test_without_it_all_replicas_are_there_from_the_start() -> None:
    made = SmallCluster(replicas=10).begun()
    made.say(Verdict.PASS)
    made.run(120)
    assert seen(made) == [(0, 10), (5, 10), (50, 10), (95, 10), (100, 10)]


@pytest.mark.parametrize("component", [{"hpaSpec": {"maxReplicas": 9}}, {"replicas": 4}])
def test_replicas_that_others_decide_on_are_left_alone(component: dict[str, Any]) -> None:
    made = cluster()
    made.component = component
    made.run(120)
    assert made.status.history[0].outcome == "Promoted"
    assert seen(made)[-1] == (100, 10)
    assert {replicas for _, replicas in seen(made)[1:]} == {10}
