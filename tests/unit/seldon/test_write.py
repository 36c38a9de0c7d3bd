from __future__ import annotations

import copy

import pytest
from seldon_objects import FakeClient, health, predictor, sdep, virtual_service, world

from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.world import World
from sluice.errors import (
    AlreadyExistsError,
    ApiUnavailableError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    PatchTestFailedError,
    SpecError,
)
from sluice.seldon.shrink import BEFORE_ANNOTATION
from sluice.seldon.write import SeldonWriter
from sluice.testing.clock import ManualClock

BACK = Plan((PlannedPredictor("main", 100),), force_routes=True)


def live() -> dict:
    return sdep(predictor("main", traffic=80, replicas=3), predictor("v2", traffic=20))


def cluster(vs: dict | None = None) -> FakeClient:
    return FakeClient(
        seldondeployments=live(), virtualservices=vs or virtual_service(main=80, v2=20)
    )


def seen(*deployments: object, **fields: object) -> World:
    fields.setdefault("routes", {"main": 80, "v2": 20})
    return world(live(), *(deployments or (health("main", 2, 3), health("v2"))), **fields)


def names(client: FakeClient) -> list[str]:
    return [p["name"] for p in client.objects["seldondeployments", "iris"]["spec"]["predictors"]]


def apply(client: FakeClient, plan: Plan, look: World, **options: object):
    return SeldonWriter(client, **options).apply("prod", "iris", plan, look)


def test_a_plan_that_is_met_sends_nothing() -> None:
    client = cluster()
    plan = Plan((PlannedPredictor("main", 80), PlannedPredictor("v2", 20)))
    applied = apply(client, plan, seen())
    assert (applied.wrote_spec, applied.wrote_routes, applied.problem) == (False, False, "")
    assert client.calls == []


def test_what_does_not_exist_is_created_whole() -> None:
    client = FakeClient()
    body = sdep(predictor("v1", traffic=100))
    plan = Plan((PlannedPredictor("v1", 100),), create=body)
    assert apply(client, plan, World(exists=False)).wrote_spec
    assert client.objects["seldondeployments", "iris"] == body


def test_somebody_creating_it_first_is_a_conflict() -> None:
    client = FakeClient()
    client.refuse["create", "seldondeployments"] = [AlreadyExistsError("there")]
    plan = Plan((PlannedPredictor("v1", 100),), create=sdep(predictor("v1")))
    assert apply(client, plan, World(exists=False)).conflict


def test_trap_7_a_shift_leaves_the_routes_to_the_operator() -> None:
    client = cluster()
    plan = Plan((PlannedPredictor("main", 50), PlannedPredictor("v2", 50)))
    assert apply(client, plan, seen()).wrote_spec
    assert client.calls == [("patch", "seldondeployments")]


@pytest.mark.parametrize("error", [ConflictError("409"), PatchTestFailedError("422")])
def test_a_conflict_means_read_again(error: Exception) -> None:
    client = cluster()
    client.refuse["patch", "seldondeployments"] = [error]
    applied = apply(client, BACK, seen())
    assert (applied.conflict, applied.wrote_spec) == (True, False)
    assert ("patch", "virtualservices") not in client.calls


def test_a_webhook_that_is_down_is_to_be_tried_again() -> None:
    client = cluster()
    client.refuse["patch", "seldondeployments"] = [ApiUnavailableError("failed calling webhook")]
    with pytest.raises(ApiUnavailableError):
        apply(client, BACK, seen())


def test_a_refusal_by_seldon_is_said_with_a_reason() -> None:
    client = cluster()
    client.refuse["patch", "seldondeployments"] = [InvalidError("must sum to 100")]
    with pytest.raises(SpecError, match="must sum to 100") as refused:
        apply(client, BACK, seen())
    assert refused.value.reason == "SeldonRefused"


def test_trap_1_while_the_stable_is_unready_routes_follow_the_spec_at_once() -> None:
    client = cluster()
    applied = apply(client, BACK, seen())
    assert (applied.wrote_spec, applied.wrote_routes, applied.problem) == (True, True, "")
    assert [plural for plural, _ in client.patches] == ["seldondeployments", "virtualservices"]
    assert names(client) == ["main"]
    assert client.objects["virtualservices", "iris"] == virtual_service(main=100)


def test_trap_1_an_unready_candidate_goes_with_the_spec_alone() -> None:
    client = cluster()
    applied = apply(client, BACK, seen(health("main", 3), health("v2", 0, 1)))
    assert (applied.wrote_spec, applied.wrote_routes) == (True, False)
    assert [plural for plural, _ in client.patches] == ["seldondeployments"]


def test_trap_1_routes_come_back_for_as_long_as_they_are_wrong() -> None:
    alone = sdep(predictor("main", traffic=100, replicas=3))
    client = FakeClient(seldondeployments=alone, virtualservices=virtual_service(main=80, v2=20))
    look = world(alone, health("main", 2, 3), routes={"main": 80, "v2": 20})
    applied = apply(client, BACK, look)
    assert (applied.wrote_spec, applied.wrote_routes) == (False, True)


def test_routes_that_lag_behind_an_equal_spec_are_set_without_waiting_for_seldon() -> None:
    alone = sdep(predictor("main", traffic=100, replicas=3))
    client = FakeClient(seldondeployments=alone, virtualservices=virtual_service(main=80, v2=20))
    look = world(alone, health("main", 3), routes={"main": 80, "v2": 20})
    assert apply(client, BACK, look).wrote_routes


def test_trap_1_the_operator_being_first_is_harmless() -> None:
    client = cluster()
    client.refuse["patch", "virtualservices"] = [PatchTestFailedError("422")]
    assert apply(client, BACK, seen()).wrote_routes


def test_routes_that_change_all_the_time_are_a_conflict() -> None:
    client = cluster()
    client.refuse["patch", "virtualservices"] = [PatchTestFailedError("422")] * 3
    applied = apply(client, BACK, seen())
    assert (applied.wrote_spec, applied.wrote_routes, applied.conflict) == (True, False, True)


def test_trap_1_no_ready_stable_pod_leaves_routes_alone_and_says_so() -> None:
    client = cluster()
    applied = apply(client, BACK, seen(health("main", 0, 3), health("v2")))
    assert (applied.wrote_spec, applied.wrote_routes) == (True, False)
    assert "main has no ready pod" in applied.problem
    assert client.objects["virtualservices", "iris"] == virtual_service(main=80, v2=20)


def operator_follows(client: FakeClient) -> None:
    """Two pods are ready, so Seldon writes routes as soon as no more are asked for."""

    def follow(plural: str) -> None:
        asked = client.objects["seldondeployments", "iris"]["spec"]["predictors"][0]["replicas"]
        if asked == 2:
            client.objects["virtualservices", "iris"] = virtual_service(main=100)

    client.on_patch = follow


def test_trap_1_without_rights_replicas_go_down_in_the_same_patch_and_come_back() -> None:
    client = cluster()
    operator_follows(client)
    applied = apply(client, BACK, seen(can_patch_routes=False))
    assert (applied.wrote_spec, applied.wrote_routes, applied.problem) == (True, False, "")
    first, second = (ops for _, ops in client.patches)
    assert {"op": "add", "path": "/spec/predictors/0/replicas", "value": 2} in first
    assert {"op": "remove", "path": "/spec/predictors/1"} in first
    assert {"op": "add", "path": "/spec/predictors/0/replicas", "value": 3} in second
    after = client.objects["seldondeployments", "iris"]
    assert after["spec"]["predictors"][0]["replicas"] == 3
    assert BEFORE_ANNOTATION not in after["metadata"]["annotations"]
    assert ("patch", "virtualservices") not in client.calls


def test_trap_1_rights_that_turn_out_missing_lead_to_the_same() -> None:
    client = cluster()
    operator_follows(client)
    client.refuse["patch", "virtualservices"] = [ForbiddenError("403")]
    applied = apply(client, BACK, seen())
    assert applied.wrote_spec
    assert client.objects["seldondeployments", "iris"]["spec"]["predictors"][0]["replicas"] == 3
    assert len(client.patches) == 3


def test_lowered_replicas_are_restored_later_by_another_process() -> None:
    client = cluster()
    clock = ManualClock()
    clock.wait = lambda event, seconds: bool(clock.advance(seconds))  # type: ignore[assignment]
    applied = apply(client, BACK, seen(can_patch_routes=False), clock=clock)
    assert "lowered" in applied.problem
    writer = SeldonWriter(client)
    assert not writer.restore("prod", "iris")
    client.objects["virtualservices", "iris"] = virtual_service(main=100)
    assert writer.restore("prod", "iris")
    assert client.objects["seldondeployments", "iris"]["spec"]["predictors"][0]["replicas"] == 3
    assert not writer.restore("prod", "iris")


def test_a_newer_wish_for_more_replicas_is_not_undone() -> None:
    client = cluster()
    one = sdep(predictor("main", traffic=100, replicas=5))
    one["metadata"]["annotations"] = {BEFORE_ANNOTATION: '{"main": 3}'}
    client.objects["seldondeployments", "iris"] = one
    client.objects["virtualservices", "iris"] = virtual_service(main=100)
    assert SeldonWriter(client).restore("prod", "iris")
    after = client.objects["seldondeployments", "iris"]
    assert after["spec"]["predictors"][0]["replicas"] == 5
    assert after["metadata"]["annotations"] == {}


def test_trap_1_replicas_are_not_lowered_while_pods_are_evicted() -> None:
    client = cluster()
    client.pods = [{"metadata": {"name": "main-x", "deletionTimestamp": "now"}, "status": {}}]
    applied = apply(client, BACK, seen(can_patch_routes=False))
    assert "being evicted (main-x)" in applied.problem
    assert names(client) == ["main"]
    assert client.objects["seldondeployments", "iris"]["spec"]["predictors"][0]["replicas"] == 3


def test_trap_10_under_an_autoscaler_the_deployment_is_scaled() -> None:
    client = cluster()
    one = live()
    one["spec"]["predictors"][0]["componentSpecs"][0]["hpaSpec"] = {"maxReplicas": 3}
    client.objects["seldondeployments", "iris"] = one
    look = world(
        one,
        health("main", 2, 3),
        health("v2"),
        routes={"main": 80, "v2": 20},
        can_patch_routes=False,
    )
    assert apply(client, BACK, look).wrote_spec
    assert client.scaled == {"iris-main-0-model": 2}
    kept = client.objects["seldondeployments", "iris"]["spec"]["predictors"][0]
    assert kept["replicas"] == 3
    assert kept["componentSpecs"][0]["hpaSpec"] == {"maxReplicas": 3}


def test_trap_1_no_virtual_service_is_ever_deleted() -> None:
    from sluice.seldon.write import Writing

    assert not hasattr(Writing, "delete")


def test_a_dry_run_keeps_nothing() -> None:
    client = cluster()
    assert apply(client, BACK, seen(), dry_run=True).wrote_spec
    assert client.objects["seldondeployments", "iris"] == live()
    assert client.objects["virtualservices", "iris"] == virtual_service(main=80, v2=20)


def test_a_shadow_that_is_dropped_blocks_nothing_and_one_that_stays_does() -> None:
    frozen = sdep(
        predictor("main", traffic=80),
        predictor("x", traffic=20),
        predictor("v2", shadow=True, traffic=100),
    )
    there = (health("main"), health("x"), health("v2", 0, 1))
    look = world(frozen, *there, routes={"main": 80, "x": 20})
    for drop, forced in (((), True), (("v2",), False)):
        client = FakeClient(
            seldondeployments=copy.deepcopy(frozen), virtualservices=virtual_service(main=80, x=20)
        )
        plan = Plan((PlannedPredictor("main", 100),), force_routes=True, drop=drop)
        assert apply(client, plan, look).wrote_routes is forced
