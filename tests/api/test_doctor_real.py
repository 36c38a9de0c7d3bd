"""The doctor on a real API server, with the CRDs and roles that are shipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from waiting import until

from sluice._version import __version__
from sluice.cli import main
from sluice.clock import SystemClock
from sluice.doctor.examine import Examination, Question
from sluice.doctor.findings import Finding, Level
from sluice.kube.client import Client
from sluice.kube.rbac import Account, Right, can
from sluice.metrics.client import PrometheusClient
from sluice.resources import (
    CLUSTER_ROLES,
    CRDS,
    DEPLOYMENTS,
    GATEWAYS,
    LEASES,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    VIRTUAL_SERVICES,
    Resource,
)
from sluice.sandbox import objects
from sluice.sandbox.up import CRDS as FOREIGN_CRDS
from sluice.sandbox.up import SYSTEM_NAMESPACE, shipped_manifests
from sluice.testing.prometheus import FakePrometheus

if TYPE_CHECKING:
    from tests.api.conftest import Cluster


def crd(resource: Resource) -> dict[str, Any]:
    """A CRD that keeps everything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": resource.version, "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.qualified},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {"plural": resource.plural, "kind": resource.kind},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def put(client: Client, resource: Resource, obj: dict[str, Any], namespace: str) -> None:
    kind = {"apiVersion": resource.api_version, "kind": resource.kind}
    client.create(resource, {**kind, **obj}, namespace)


@contextmanager
def stored(client: Client, resource: Resource, changed: dict[str, Any]) -> Iterator[None]:
    """The object is so within the block."""
    before = client.get(resource, changed["metadata"]["name"])
    client.replace(resource, changed)
    yield
    now = client.get(resource, changed["metadata"]["name"])
    before["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
    client.replace(resource, before)


def deploy(client: Client, manifest: dict[str, Any]) -> None:
    """Create a Deployment, and say that it is ready: nothing runs here."""
    wanted = manifest["spec"]["replicas"]
    manifest["status"] = {"replicas": wanted, "readyReplicas": wanted}
    created = client.create(DEPLOYMENTS, manifest)
    created["status"] = manifest["status"]
    client.replace(DEPLOYMENTS, created, subresource="status")


def operator() -> dict[str, Any]:
    labels = {"control-plane": "seldon-controller-manager"}
    manager = {
        "name": "manager",
        "image": "docker.io/seldonio/seldon-core-operator:1.17.1",
        "env": [
            {"name": "ISTIO_ENABLED", "value": "true"},
            {"name": "ISTIO_GATEWAY", "value": "istio-system/seldon-gateway"},
        ],
    }
    return {
        "metadata": {
            "name": "seldon-controller-manager",
            "namespace": "seldon-system",
            "labels": labels,
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [manager]}},
        },
    }


def webhook() -> dict[str, Any]:
    where = {"namespace": "seldon-system", "name": "none", "path": "/"}
    rule = {
        "apiGroups": ["machinelearning.seldon.io"],
        "apiVersions": ["v1"],
        "operations": ["DELETE"],
        "resources": ["seldondeployments"],
    }
    hook = {
        "name": "v1.vseldondeployment.kb.io",
        "clientConfig": {"service": where},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": "seldon-validating-webhook"}, "webhooks": [hook]}


def iris() -> dict[str, Any]:
    container = {
        "name": "classifier",
        "image": "registry.example/iris:1",
        "ports": [{"name": "metrics", "containerPort": 6000}],
        "readinessProbe": {"httpGet": {"path": "/health/status", "port": "http"}},
    }
    predictor = {
        "name": "main",
        "graph": {"name": "classifier"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    return {"metadata": {"name": "iris"}, "spec": {"predictors": [predictor]}}


@pytest.fixture(scope="module")
def installed(module_cluster: Cluster) -> Cluster:
    """All that Sluice needs, as far as an API server can tell."""
    client = module_cluster.client
    crds = [
        *objects.read_manifests(shipped_manifests() / "crds"),
        *objects.read_manifests(FOREIGN_CRDS),
        crd(GATEWAYS),
    ]
    for obj in (
        *crds,
        *objects.read_manifests(shipped_manifests() / "namespace.yaml"),
        *objects.read_manifests(shipped_manifests() / "rbac"),
    ):
        objects.apply(client, obj)
    objects.await_established(client, [one["metadata"]["name"] for one in crds])
    module_cluster.await_shipped_rights()
    for name in ("seldon-system", "istio-system", "prod"):
        client.request("create", "/api/v1/namespaces", {"metadata": {"name": name}})
    [controller] = [
        obj
        for obj in objects.read_manifests(shipped_manifests() / "install.yaml")
        if obj["kind"] == "Deployment"
    ]
    container = controller["spec"]["template"]["spec"]["containers"][0]
    container["image"] = f"registry.example/sluice-controller:{__version__}"
    deploy(client, controller)
    deploy(client, operator())
    client.create(VALIDATING_WEBHOOKS, webhook())
    put(client, GATEWAYS, {"metadata": {"name": "seldon-gateway"}}, "istio-system")
    put(client, SELDON_DEPLOYMENTS, iris(), "prod")
    now = client.version()[1]
    assert now is not None
    renew(client, now)
    return module_cluster


def renew(client: Client, at: float) -> None:
    spec = {
        "holderIdentity": "sluice-controller-0_1",
        "leaseDurationSeconds": 3600,
        "renewTime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    client.create(
        LEASES, {"metadata": {"name": "sluice-controller"}, "spec": spec}, "sluice-system"
    )


def examined(client: Client, scope: str | None = None) -> list[Finding]:
    """With a Prometheus that knows iris."""
    clock = SystemClock()
    fake = FakePrometheus(clock)
    fake.answered("prod", "iris", "main", 10, pod="iris-main-0-classifier-1")
    for ago in (30.0, 20.0, 10.0):
        fake.scrape(clock.now() - ago)

    def connect(url: str) -> PrometheusClient:
        return PrometheusClient(fake.url, adapter=fake.adapter())

    return Examination(client, connect, clock, Question(scope)).run()


def ids(findings: list[Finding], *levels: Level) -> set[str]:
    return {finding.id for finding in findings if finding.level in levels}


BAD = (Level.WARNING, Level.ERROR)


def test_all_is_ok_where_all_is_there(installed: Cluster) -> None:
    findings = examined(installed.client)
    assert [f for f in findings if f.level in BAD] == []
    assert ids(findings, Level.NOTE) == {"NoRollouts", "PrometheusOfController"}
    assert ids(findings, Level.OK) >= {
        "ApiServerReachable",
        "CrdInStep",
        "ControllerReady",
        "LeaseFresh",
        "RightsGranted",
        "SeldonServed",
        "SeldonOperatorReady",
        "SeldonWebhook",
        "IstioServed",
        "GatewayFound",
        "DialectHasSeries",
        "PredictorsSeen",
    }


def test_a_verb_taken_from_the_role_is_named(installed: Cluster) -> None:
    client = installed.client
    role = client.get(CLUSTER_ROLES, "sluice-controller")
    for rule in role["rules"]:
        if rule["resources"] == ["seldondeployments"]:
            rule["verbs"].remove("patch")
    routes = client.get(CLUSTER_ROLES, "sluice-controller-routes")
    routes["rules"][0]["verbs"].remove("watch")
    with stored(client, CLUSTER_ROLES, role), stored(client, CLUSTER_ROLES, routes):
        account = Account(SYSTEM_NAMESPACE, "sluice-controller")
        until(lambda: not can(client, account, Right("patch", SELDON_DEPLOYMENTS)), "known to it")
        until(lambda: not can(client, account, Right("watch", VIRTUAL_SERVICES)), "known to it")
        found = {f.id: f for f in examined(client) if f.level in BAD}
    until(lambda: can(client, account, Right("patch", SELDON_DEPLOYMENTS)), "given back")
    until(lambda: can(client, account, Right("watch", VIRTUAL_SERVICES)), "given back")
    assert set(found) == {"RightsMissing", "RoutesRightsMissing"}
    missing = found["RightsMissing"]
    assert missing.level is Level.ERROR
    assert missing.what == (
        "may not patch seldondeployments.machinelearning.seldon.io in all namespaces"
    )
    assert missing.remedy.startswith("kubectl apply -f manifests/rbac/controller.yaml")
    assert "watch virtualservices" in found["RoutesRightsMissing"].what


def test_an_older_crd_is_compared_field_by_field(installed: Cluster) -> None:
    client = installed.client
    name = "modelrollouts.sluice.dev"
    older = client.get(CRDS, name)
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del schema["status"]["properties"]["freeze"]
    del schema["spec"]["properties"]["paused"]
    with stored(client, CRDS, older):
        found = [f for f in examined(client) if f.level in BAD]
    assert [f.id for f in found] == ["CrdOutdated"]
    assert found[0].where == name
    assert ".spec.paused" in found[0].what
    assert ".status.freeze" in found[0].what
    assert ".status.freeze." not in found[0].what


def test_in_a_namespaced_users_hands_what_is_hidden_is_a_note(
    installed: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [
        {"apiGroups": [group], "resources": [kind], "verbs": ["get", "list"]}
        for group, kind in (
            (SELDON_DEPLOYMENTS.group, SELDON_DEPLOYMENTS.plural),
            (MODEL_ROLLOUTS.group, MODEL_ROLLOUTS.plural),
        )
    ]
    kubeconfig = installed.user("prod", rules=rules)
    findings = examined(installed.client_for(kubeconfig), "prod")
    assert [f for f in findings if f.level in BAD] == []
    notes = [f for f in findings if f.id == "NotReadable"]
    assert {f.check for f in notes} >= {"crds", "controller", "seldon", "routing"}
    yours = next(f for f in findings if f.id == "RightsOfYours")
    assert "may not create subjectaccessreviews" in yours.what
    assert "patch, delete seldondeployments" in yours.what
    command = ["sluice", "doctor", "-n", "prod", "--kubeconfig", str(kubeconfig)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code in (0, None)
    shown = capsys.readouterr().out
    assert "0 error" in shown
    assert f"namespace {SYSTEM_NAMESPACE}" in shown
