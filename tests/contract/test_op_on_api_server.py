"""The operator stand-in as a process on a real API server: freeze, ways out, reverts, promotion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contract_objects import predictor, ready, seldon_deployment, unready

from sluice.sandbox.contract.observing import path
from sluice.sandbox.contract.stage import Stage
from sluice.sandbox.contract.wire import JSON_PATCH, Answer

Json = dict[str, Any]
MAIN, CANARY = "iris-main-0-model", "iris-canary-0-model"
WITHIN_SECONDS = 300.0
# Long against the hundredth of a second in which the operator reacts.
UNCHANGED_SECONDS = 0.5
REMOVE_CANARY = [
    {"op": "test", "path": "/spec/predictors/1/name", "value": "canary"},
    {"op": "remove", "path": "/spec/predictors/1"},
    {"op": "replace", "path": "/spec/predictors/0/traffic", "value": 100},
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("stage"), pods=False)
    try:
        made.start()
        yield made
    finally:
        made.close()


class World:
    """A SeldonDeployment in an empty namespace, seen through the API server."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.reset()

    def create(self, *predictors: Json) -> None:
        body = seldon_deployment(*predictors)
        del body["metadata"]["uid"]
        answer = self.stage.wire.request("POST", path("SeldonDeployment"), body)
        assert answer.accepted, answer.body
        self.eventually(lambda: len(self.now()["deployments"]) == len(predictors))

    def both_ready(self, main: int = 90, canary: int = 10, **more: Any) -> None:
        self.create(predictor("main", main, **more), predictor("canary", canary, **more))
        self.status(MAIN, ready())
        self.status(CANARY, ready())
        self.eventually(lambda: self.weights() == [main or None, canary or None])
        self.settled()

    def status(self, deployment: str, status: Json) -> None:
        ops = [{"op": "add", "path": "/status", "value": status}]
        where = path("Deployment", deployment, "status")
        assert self.stage.wire.request("PATCH", where, ops, JSON_PATCH).accepted

    def patch(self, *ops: Json) -> Answer:
        where = path("SeldonDeployment", "iris")
        return self.stage.wire.request("PATCH", where, list(ops), JSON_PATCH)

    def patch_routes(self, *ops: Json) -> Answer:
        where = path("VirtualService", "iris")
        return self.stage.wire.request("PATCH", where, list(ops), JSON_PATCH)

    def shift(self, main: int, canary: int) -> Answer:
        return self.patch(
            {"op": "replace", "path": "/spec/predictors/0/traffic", "value": main},
            {"op": "replace", "path": "/spec/predictors/1/traffic", "value": canary},
        )

    def now(self) -> Json:
        return self.stage.observer.state("iris")

    def weights(self) -> list[int | None] | None:
        rules = self.now()["virtual_service"]
        return [route.get("weight") for route in rules[0]["route"]] if rules else None

    def settled(self) -> None:
        self.eventually(lambda: self.now()["status"].get("state") == "Available")

    def eventually(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not true():
            assert time.monotonic() < deadline, self.now()
            time.sleep(0.02)

    def stays(self, weights: list[int | None]) -> None:
        end = time.monotonic() + UNCHANGED_SECONDS
        while time.monotonic() < end:
            assert self.weights() == weights
            time.sleep(0.02)


@pytest.fixture
def world(stage: Stage) -> World:
    return World(stage)


def test_routes_appear_only_when_every_deployment_is_ready(world: World) -> None:
    world.create(predictor("main", 100), predictor("canary", 0))
    world.status(MAIN, ready())
    end = time.monotonic() + UNCHANGED_SECONDS
    while time.monotonic() < end:
        assert world.weights() is None
    world.status(CANARY, ready())
    world.eventually(lambda: world.weights() == [100, None])


def test_a_shift_reaches_the_routes_and_touches_no_deployment(world: World) -> None:
    world.both_ready(100, 0)
    before = world.now()["deployments"]
    assert world.shift(80, 20).accepted
    world.eventually(lambda: world.weights() == [80, 20])
    assert world.now()["deployments"] == before


def test_an_unready_candidate_freezes_and_its_removal_unfreezes(world: World) -> None:
    world.both_ready(90, 10)
    world.status(CANARY, unready())
    assert world.shift(100, 0).accepted
    world.stays([90, 10])
    assert world.patch(*REMOVE_CANARY).accepted
    world.eventually(lambda: world.weights() == [100])
    world.eventually(lambda: list(world.now()["deployments"]) == [MAIN])


def test_an_unready_stable_freezes_even_the_removal_of_the_candidate(world: World) -> None:
    world.both_ready(80, 20)
    world.status(MAIN, unready())
    assert world.patch(*REMOVE_CANARY).accepted
    world.stays([80, 20])
    assert set(world.now()["deployments"]) == {MAIN, CANARY}
    world.status(MAIN, ready())
    world.eventually(lambda: world.weights() == [100])


GUARDED_EDIT = [
    *(
        {"op": "test", "path": f"/spec/http/{rule}/route/1/destination/subset", "value": "canary"}
        for rule in (0, 1)
    ),
    *({"op": "replace", "path": f"/spec/http/{r}/route/0/weight", "value": 100} for r in (0, 1)),
    *({"op": "remove", "path": f"/spec/http/{rule}/route/1"} for rule in (0, 1)),
]


def test_frozen_the_edit_of_the_routes_sticks_after_the_spec_was_patched(world: World) -> None:
    world.both_ready(80, 20)
    world.status(MAIN, unready())
    assert world.patch(*REMOVE_CANARY).accepted
    assert world.patch_routes(*GUARDED_EDIT).accepted
    world.stays([100])
    world.status(MAIN, ready())
    world.eventually(lambda: list(world.now()["deployments"]) == [MAIN])
    assert world.now()["virtual_service_generation"] == 2


def test_without_the_spec_patch_the_candidate_comes_back_after_the_freeze(world: World) -> None:
    world.both_ready(80, 20)
    world.status(MAIN, unready())
    assert world.patch_routes(*GUARDED_EDIT).accepted
    world.stays([100])
    world.status(MAIN, ready())
    world.eventually(lambda: world.weights() == [80, 20])


def test_not_frozen_an_edit_or_deletion_of_the_routes_is_undone(world: World) -> None:
    world.both_ready(90, 10)
    edit = {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 1}
    assert world.patch_routes(edit).accepted
    world.eventually(lambda: world.weights() == [90, 10])
    world.stage.wire.request("DELETE", path("VirtualService", "iris"))
    world.eventually(lambda: world.weights() == [90, 10])


def test_promotion_with_a_metrics_port_keeps_the_survivors_pods(world: World) -> None:
    world.both_ready(0, 100)
    before = world.now()["deployments"][CANARY]
    assert world.patch({"op": "remove", "path": "/spec/predictors/0"}).accepted
    world.eventually(lambda: list(world.now()["deployments"]) == [CANARY])
    world.eventually(lambda: len(world.now()["services"]) == 2)
    assert world.now()["deployments"][CANARY] == before
    # The DestinationRule of a removed predictor is never deleted.
    assert len(world.now()["destination_rules"]) == 2


def test_promotion_without_a_metrics_port_rolls_the_survivors_pods(world: World) -> None:
    world.both_ready(0, 100, metrics=False)
    before = world.now()["deployments"][CANARY]
    assert world.patch({"op": "remove", "path": "/spec/predictors/0"}).accepted
    world.eventually(lambda: list(world.now()["deployments"]) == [CANARY])
    rolled = before["generation"] + 1
    world.eventually(lambda: world.now()["deployments"][CANARY]["generation"] == rolled)
    assert world.now()["deployments"][CANARY]["template_sha256"] != before["template_sha256"]


def test_a_refused_patch_names_the_rule_and_changes_nothing(world: World) -> None:
    world.both_ready(90, 10)
    answer = world.patch({"op": "remove", "path": "/spec/predictors/1"})
    assert answer.status == 422
    assert answer.body["message"].startswith(
        'admission webhook "v1.vseldondeployment.kb.io" denied the request: '
    )
    assert world.now()["generation"] == 1


def test_while_the_operator_is_down_every_write_is_refused(world: World) -> None:
    world.both_ready(90, 10)
    world.stage.stop_operator()
    try:
        answer = world.shift(50, 50)
        assert (answer.status, answer.body["reason"]) == (500, "InternalError")
        assert world.now()["status"]["state"] == "Available"
    finally:
        world.stage.start_operator()
    assert world.shift(50, 50).accepted
    world.eventually(lambda: world.weights() == [50, 50])


def test_the_controller_id_label_makes_the_operator_look_away(world: World) -> None:
    world.both_ready(90, 10)
    label = {"seldon.io/controller-id": "another"}
    assert world.patch({"op": "add", "path": "/metadata/labels", "value": label}).accepted
    assert world.shift(50, 50).accepted
    world.stays([90, 10])
    assert world.patch({"op": "remove", "path": "/metadata/labels"}).accepted
    world.eventually(lambda: world.weights() == [50, 50])
