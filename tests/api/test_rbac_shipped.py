"""The shipped roles on a real API server: enough for the work, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sluice.errors import ForbiddenError
from sluice.kube.client import Client
from sluice.resources import (
    EVENTS,
    LEASES,
    MODEL_ROLLOUTS,
    PODS,
    SECRETS,
    SELDON_DEPLOYMENTS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SERVICE_ACCOUNTS,
)
from sluice.sandbox import objects
from sluice.sandbox.up import CRDS, SYSTEM_NAMESPACE, shipped_manifests

if TYPE_CHECKING:
    from tests.api.conftest import Cluster


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    """The cluster with CRDs and roles as users apply them."""
    crds = [
        *objects.read_manifests(shipped_manifests() / "crds"),
        *objects.read_manifests(CRDS),
    ]
    for obj in (
        *crds,
        *objects.read_manifests(shipped_manifests() / "namespace.yaml"),
        *objects.read_manifests(shipped_manifests() / "rbac"),
    ):
        objects.apply(cluster.client, obj)
    objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
    cluster.await_shipped_rights()
    return cluster


@pytest.fixture(scope="module")
def controller(installed: Cluster) -> Client:
    """A client with the shipped service account's own token."""
    answer = installed.client.request(
        "create",
        f"{SERVICE_ACCOUNTS.path('sluice-controller', SYSTEM_NAMESPACE)}/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    return installed.client_for(installed.kubeconfig_with(answer["status"]["token"]))


def may(client: Client, verb: str, resource: str, namespace: str = "prod") -> bool:
    """`resource` is plural[.group][/subresource]."""
    full, _, subresource = resource.partition("/")
    plural, _, group = full.partition(".")
    attributes: dict[str, Any] = {"verb": verb, "resource": plural, "group": group}
    attributes |= {"namespace": namespace, "subresource": subresource}
    answer = client.create(
        SELF_SUBJECT_ACCESS_REVIEWS, {"spec": {"resourceAttributes": attributes}}
    )
    return bool(answer["status"]["allowed"])


CONTROLLER_MAY = {
    "modelrollouts.sluice.dev": "get list watch",
    "modelrollouts.sluice.dev/status": "update patch",
    "modelrollouts.sluice.dev/finalizers": "update",
    "canarypolicies.sluice.dev": "get list watch",
    "clustercanarypolicies.sluice.dev": "get list watch",
    "seldondeployments.machinelearning.seldon.io": "get list watch create patch delete",
    "virtualservices.networking.istio.io": "get list watch patch",
    "deployments.apps": "get list watch",
    "deployments.apps/scale": "patch",
    "controllerrevisions.apps": "create get delete",
    "cronjobs.batch": "get",
    "jobs.batch": "get list create",
    "pods": "get list watch",
    "events": "create patch",
    "configmaps": "get",
}
CONTROLLER_MAY_NOT = {
    "modelrollouts.sluice.dev": "create update patch delete",
    "canarypolicies.sluice.dev": "create update patch delete",
    "clustercanarypolicies.sluice.dev": "create update patch delete",
    "seldondeployments.machinelearning.seldon.io": "update deletecollection",
    "virtualservices.networking.istio.io": "create update delete",
    "deployments.apps": "create update patch delete",
    "controllerrevisions.apps": "list watch update patch deletecollection",
    "cronjobs.batch": "list watch create update patch delete",
    "jobs.batch": "watch update patch delete deletecollection",
    "pods": "create update patch delete",
    "pods/exec": "create",
    "pods/log": "get",
    "secrets": "get list watch create",
    "configmaps": "list watch create update patch delete",
    "serviceaccounts/token": "create",
    "leases.coordination.k8s.io": "get create update",
    "clusterrolebindings.rbac.authorization.k8s.io": "create",
    "nodes": "get list",
}


def test_the_controller_may_do_its_work(controller: Client) -> None:
    missing = [
        f"{verb} {resource}"
        for resource, verbs in CONTROLLER_MAY.items()
        for verb in verbs.split()
        if not may(controller, verb, resource)
    ]
    assert missing == []
    assert may(controller, "update", "leases.coordination.k8s.io", SYSTEM_NAMESPACE)


def test_the_controller_may_do_nothing_else(controller: Client) -> None:
    too_many = [
        f"{verb} {resource}"
        for resource, verbs in CONTROLLER_MAY_NOT.items()
        for verb in verbs.split()
        if may(controller, verb, resource)
    ]
    assert too_many == []


def test_the_controllers_rights_hold_for_real_requests(
    installed: Cluster, controller: Client, namespace: str
) -> None:
    predictor = {"name": "v1", "graph": {"name": "m"}, "componentSpecs": [], "traffic": 100}
    deployment = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris"},
        "spec": {"predictors": [predictor]},
    }
    controller.create(SELDON_DEPLOYMENTS, deployment, namespace)
    everywhere = controller.list(SELDON_DEPLOYMENTS).items
    assert (namespace, "iris") in {
        (d["metadata"]["namespace"], d["metadata"]["name"]) for d in everywhere
    }
    controller.create(LEASES, {"metadata": {"name": "test"}, "spec": {}}, SYSTEM_NAMESPACE)
    event = {
        "metadata": {"name": "iris.1"},
        "involvedObject": {"kind": "ModelRollout", "name": "iris", "namespace": namespace},
        "reason": "Promoted",
        "type": "Normal",
    }
    controller.create(EVENTS, event, namespace)
    template = {"spec": {"predictors": [{"graph": {"name": "m"}}]}}
    rollout = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris"},
        "spec": {"template": template},
    }
    installed.client.create(MODEL_ROLLOUTS, rollout, namespace)
    controller.merge_patch(
        MODEL_ROLLOUTS, "iris", namespace, {"status": {"phase": "Idle"}}, subresource="status"
    )
    with pytest.raises(ForbiddenError):
        controller.merge_patch(MODEL_ROLLOUTS, "iris", namespace, {"spec": {"paused": True}})
    with pytest.raises(ForbiddenError):
        controller.list(SECRETS, namespace)
    with pytest.raises(ForbiddenError):
        controller.delete(PODS, "any", namespace)


def test_without_the_optional_role_routes_stay_untouched(installed: Cluster) -> None:
    kubeconfig = installed.user(SYSTEM_NAMESPACE, cluster_roles=("sluice-controller",))
    client = installed.client_for(kubeconfig)
    assert not may(client, "patch", "virtualservices.networking.istio.io")
    assert may(client, "patch", "seldondeployments.machinelearning.seldon.io")


@pytest.mark.parametrize(("role", "writes"), [("sluice-viewer", False), ("sluice-operator", True)])
def test_people_see_everything_and_only_operators_change_it(
    installed: Cluster, role: str, writes: bool
) -> None:
    client = installed.client_for(installed.user(SYSTEM_NAMESPACE, cluster_roles=(role,)))
    for resource in ("modelrollouts", "canarypolicies", "clustercanarypolicies"):
        assert may(client, "list", f"{resource}.sluice.dev")
    for verb in ("create", "patch", "delete"):
        assert may(client, verb, "modelrollouts.sluice.dev") is writes
        assert may(client, verb, "canarypolicies.sluice.dev") is writes
        assert not may(client, verb, "clustercanarypolicies.sluice.dev")
        assert not may(client, verb, "modelrollouts.sluice.dev/status")
        assert not may(client, verb, "controllerrevisions.apps")
    assert may(client, "get", "controllerrevisions.apps") is writes
    assert not may(client, "get", "secrets")
