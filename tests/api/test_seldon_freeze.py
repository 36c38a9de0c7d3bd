"""The Seldon layer against a real API server and the operator stand-in: the freeze, promotion.

No Deployment controller runs: a Deployment is as ready as its status says, which the tests write.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from waiting import until

from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.world import World
from sluice.errors import AlreadyExistsError, ApiUnavailableError, NotFoundError
from sluice.kube.client import Client
from sluice.resources import (
    CRDS,
    DEPLOYMENTS,
    DESTINATION_RULES,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    VIRTUAL_SERVICES,
)
from sluice.sandbox import contract
from sluice.seldon.read import WorldReader, from_client
from sluice.seldon.revision import (
    new_seldon_deployment,
    predictor_name,
    rendered,
    revision_of,
)
from sluice.seldon.routes import route_patch
from sluice.seldon.verify import freeze_of, verified
from sluice.seldon.write import SeldonWriter

CRD_FOLDER = Path(contract.__file__).parents[1] / "crds"
WEBHOOK = "seldon-validating-webhook-configuration"


@pytest.fixture(scope="module")
def operator(cluster: Any) -> Iterator[Any]:
    """The stand-in as a process, its webhook registered; starts and stops by name."""
    client: Client = cluster.client
    for file in sorted(CRD_FOLDER.glob("*.yaml")):
        for crd in yaml.safe_load_all(file.read_text()):
            if crd:
                with contextlib.suppress(AlreadyExistsError):
                    client.create(CRDS, crd)
    for kind in (SELDON_DEPLOYMENTS, VIRTUAL_SERVICES):
        until(lambda kind=kind: client.serves(kind), f"serving {kind.kind}")
    ready = cluster.directory / "operator.ready"
    cluster.supervisor.start(
        "operator",
        [
            sys.executable,
            "-m",
            "sluice.sandbox.operator",
            f"--kubeconfig={cluster.control_plane.kubeconfig('seldon-operator')}",
            "--webhook-port=0",
            f"--ready-file={ready}",
        ],
        ready=ready.exists,
        deadline=300.0,
    )
    try:
        yield cluster
    finally:
        cluster.supervisor.stop("operator", grace=5.0)
        with contextlib.suppress(NotFoundError):
            client.delete(VALIDATING_WEBHOOKS, WEBHOOK)


def template(image: str) -> dict[str, Any]:
    return {
        "spec": {
            "predictors": [
                {
                    "name": "mine",
                    "graph": {"name": "model", "type": "MODEL"},
                    "replicas": 3,
                    "componentSpecs": [
                        {"spec": {"containers": [{"name": "model", "image": image}]}}
                    ],
                }
            ]
        }
    }


class Rollout:
    """One SeldonDeployment `iris` in its own namespace, stable 80 and candidate 20."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.reader = WorldReader(from_client(client))
        self.writer = SeldonWriter(client)
        self.old, self.new = (
            rendered(
                template(image),
                name=predictor_name(revision_of(template(image)["spec"]["predictors"][0])),
                replicas=3,
            )
            for image in ("repo/m:1", "repo/m:2")
        )
        self.stable, self.candidate = self.old["name"], self.new["name"]

    def start(self) -> None:
        self.create(self.old)
        self.grow()

    def create(self, predictor: dict[str, Any]) -> None:
        body = new_seldon_deployment(
            {"spec": {}}, name="iris", namespace=self.namespace, predictor=predictor, owner=None
        )
        plan = Plan((PlannedPredictor(predictor["name"], 100),), create=body)
        assert self.apply(plan).wrote_spec
        self.ready(predictor["name"], 3)
        self.routed({predictor["name"]: 100})

    def grow(self) -> None:
        new = PlannedPredictor(self.candidate, 0, template=self.new)
        self.apply(Plan((PlannedPredictor(self.stable, 100), new)))
        self.ready(self.candidate, 3)
        self.shift(20)

    def shift(self, weight: int) -> None:
        wishes = (
            PlannedPredictor(self.stable, 100 - weight),
            PlannedPredictor(self.candidate, weight),
        )
        self.apply(Plan(wishes))
        self.routed({self.stable: 100 - weight, self.candidate: weight})

    def apply(self, plan: Plan) -> Any:
        return self.writer.apply(self.namespace, "iris", plan, self.world())

    def back(self) -> Any:
        return self.apply(Plan((PlannedPredictor(self.stable, 100),), force_routes=True))

    def world(self) -> World:
        return self.reader.read(self.namespace, "iris")

    def routed(self, weights: dict[str, int]) -> None:
        until(lambda: verified(self.world(), weights), f"routes {weights}")

    def deployment(self, predictor: str) -> dict[str, Any]:
        name = f"iris-{predictor}-0-model"
        return until(lambda: self._find(name), f"Deployment {name}")

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            return self.client.get(DEPLOYMENTS, name, self.namespace)
        except NotFoundError:
            return None

    def ready(self, predictor: str, count: int, of: int = 3) -> None:
        one = self.deployment(predictor)
        status = {
            "observedGeneration": one["metadata"]["generation"],
            "replicas": of,
            "updatedReplicas": of,
            "readyReplicas": count,
            "availableReplicas": count,
            "unavailableReplicas": of - count,
        }
        body = {"status": status}
        name = one["metadata"]["name"]
        self.client.merge_patch(DEPLOYMENTS, name, self.namespace, body, subresource="status")

    def names(self) -> list[str]:
        live = self.client.get(SELDON_DEPLOYMENTS, "iris", self.namespace)
        return [p["name"] for p in live["spec"]["predictors"]]


@pytest.fixture
def rollout(operator: Any, namespace: str) -> Rollout:
    one = Rollout(operator.client, namespace)
    one.start()
    return one


def test_trap_1_a_frozen_stable_still_lets_a_rollback_through_at_once(rollout: Rollout) -> None:
    rollout.ready(rollout.stable, 2)
    found = freeze_of(rollout.world())
    assert found is not None
    assert found[0].predictor == rollout.stable
    applied = rollout.back()
    assert (applied.wrote_spec, applied.wrote_routes, applied.problem) == (True, True, "")
    assert verified(rollout.world(), {rollout.stable: 100})
    rollout.ready(rollout.stable, 3)
    until(lambda: freeze_of(rollout.world()) is None, "the end of the freeze")
    rollout.routed({rollout.stable: 100})
    assert not rollout.back().wrote_routes


def test_trap_1_an_unready_candidate_is_taken_out_by_the_spec_alone(rollout: Rollout) -> None:
    rollout.ready(rollout.candidate, 0)
    applied = rollout.back()
    assert (applied.wrote_spec, applied.wrote_routes) == (True, False)
    rollout.routed({rollout.stable: 100})


def test_trap_1_no_ready_stable_pod_keeps_the_routes(rollout: Rollout) -> None:
    rollout.ready(rollout.stable, 0)
    applied = rollout.back()
    assert "no ready pod" in applied.problem
    assert verified(rollout.world(), {rollout.stable: 80, rollout.candidate: 20})


def test_trap_1_without_the_right_to_patch_routes_fewer_replicas_free_the_traffic(
    operator: Any, rollout: Rollout
) -> None:
    everything = ["get", "list", "watch", "create", "update", "patch"]
    rules = [
        {
            "apiGroups": ["machinelearning.seldon.io"],
            "resources": ["seldondeployments"],
            "verbs": everything,
        },
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {
            "apiGroups": ["networking.istio.io"],
            "resources": ["virtualservices"],
            "verbs": ["get", "list"],
        },
    ]
    client = operator.client_for(operator.user(rollout.namespace, rules=rules))
    poor = Rollout(client, rollout.namespace)
    rollout.ready(rollout.stable, 2)
    assert not poor.world().can_patch_routes
    applied = poor.back()
    # No Deployment controller runs here: say what it would, once the replicas are lowered.
    assert applied.wrote_spec
    assert rollout.deployment(rollout.stable)["spec"]["replicas"] == 2
    rollout.ready(rollout.stable, 2, of=2)
    rollout.routed({rollout.stable: 100})
    until(lambda: poor.writer.restore(rollout.namespace, "iris"), "the replicas' return")
    until(
        lambda: rollout.deployment(rollout.stable)["spec"]["replicas"] == 3, "three replicas again"
    )


def test_trap_2_a_promotion_restarts_no_pod(rollout: Rollout) -> None:
    rollout.shift(100)
    before = rollout.deployment(rollout.candidate)
    assert rollout.apply(Plan((PlannedPredictor(rollout.candidate, 100),))).wrote_spec
    until(lambda: rollout.names() == [rollout.candidate], "promotion")
    rollout.routed({rollout.candidate: 100})
    after = rollout.deployment(rollout.candidate)
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_trap_12_a_deleted_destination_rule_comes_back_with_the_next_shift(
    rollout: Rollout,
) -> None:
    name = f"iris-{rollout.candidate}"
    rollout.client.delete(DESTINATION_RULES, name, rollout.namespace)
    rollout.shift(50)

    def is_back() -> bool:
        found = rollout.client.list(DESTINATION_RULES, rollout.namespace).items
        return name in [rule["metadata"]["name"] for rule in found]

    until(is_back, "the rule's return")


def test_trap_7_routes_edited_by_hand_are_the_operators_again_soon(rollout: Rollout) -> None:
    live = rollout.client.get(VIRTUAL_SERVICES, "iris", rollout.namespace)
    ops = route_patch(live, "iris", {rollout.stable: 100})
    rollout.client.json_patch(VIRTUAL_SERVICES, "iris", rollout.namespace, ops)
    rollout.routed({rollout.stable: 80, rollout.candidate: 20})


def test_adopting_with_implicit_ports_restarts_no_pod(operator: Any, namespace: str) -> None:
    rollout = Rollout(operator.client, namespace)
    theirs = {**template("repo/m:1")["spec"]["predictors"][0], "name": "default"}
    rollout.create(theirs)
    before = rollout.deployment("default")
    assert rollout.world().predictors[0].revision == revision_of(rollout.old)
    assert not rollout.apply(Plan((PlannedPredictor("default", 100),))).wrote_spec
    rollout.stable = "default"
    rollout.grow()
    rollout.back()
    rollout.routed({"default": 100})
    after = rollout.deployment("default")
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_trap_2_a_pinned_metrics_port_restarts_no_pod(operator: Any, namespace: str) -> None:
    rollout = Rollout(operator.client, namespace)
    first, second = (
        {**template(image)["spec"]["predictors"][0], "name": name}
        for name, image in (("first", "repo/m:1"), ("second", "repo/m:2"))
    )
    rollout.create(first)
    rollout.stable, rollout.candidate, rollout.new = "first", "second", second
    rollout.grow()
    before = rollout.deployment("second")
    rollout.apply(Plan((PlannedPredictor("second", 100),)))
    rollout.routed({"second": 100})
    after = rollout.deployment("second")
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_decision_on_an_older_look_is_a_conflict(rollout: Rollout) -> None:
    old = rollout.world()
    rollout.shift(50)
    plan = Plan((PlannedPredictor(rollout.stable, 100),), force_routes=True)
    applied = rollout.writer.apply(rollout.namespace, "iris", plan, old)
    assert (applied.conflict, applied.wrote_spec, applied.wrote_routes) == (True, False, False)
    assert verified(rollout.world(), {rollout.stable: 50, rollout.candidate: 50})


def test_a_webhook_that_is_down_is_unavailable_and_no_refusal(
    operator: Any, rollout: Rollout
) -> None:
    found = operator.client.get(VALIDATING_WEBHOOKS, WEBHOOK)
    webhooks = found["webhooks"]
    broken = [
        {**w, "clientConfig": {**w["clientConfig"], "url": "https://127.0.0.1:1/"}}
        for w in webhooks
    ]
    operator.client.merge_patch(VALIDATING_WEBHOOKS, WEBHOOK, None, {"webhooks": broken})

    def refused() -> bool:
        try:
            rollout.apply(
                Plan(
                    (PlannedPredictor(rollout.stable, 50), PlannedPredictor(rollout.candidate, 50))
                )
            )
            rollout.apply(
                Plan(
                    (PlannedPredictor(rollout.stable, 80), PlannedPredictor(rollout.candidate, 20))
                )
            )
        except ApiUnavailableError:
            return True
        return False

    try:
        until(refused, "the refusal")
    finally:
        operator.client.merge_patch(VALIDATING_WEBHOOKS, WEBHOOK, None, {"webhooks": webhooks})
