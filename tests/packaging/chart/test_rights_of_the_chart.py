"""The real controller with the chart's roles, and with one verb less at a time."""

from __future__ import annotations

import copy
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from sluice.resources import (
    CANARY_POLICIES,
    CLUSTER_ROLES,
    MODEL_ROLLOUTS,
    ROLES,
    SELDON_DEPLOYMENTS,
    SERVICE_ACCOUNTS,
    Resource,
)
from sluice.sandbox import objects as manifests
from sluice.sandbox.ports import free_port, listening
from tests.packaging.chart.conftest import Shop, seldons
from tests.packaging.chart.rendering import CHART, NAMESPACE, objects, render

ACCOUNT = "sluice-controller"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
EVERYBODYS = "selfsubjectaccessreviews"  # the API server's own role has it, for all users
LOOKS_EVERY = "0.2"


class Running:
    """A controller with the arguments that the chart gives it, as the chart's account."""

    def __init__(self, shop: Shop, name: str, arguments: list[str]) -> None:
        self.shop, self.name, self.port = shop, name, free_port()
        token = shop.client.request(
            "create",
            f"{SERVICE_ACCOUNTS.path(ACCOUNT, NAMESPACE)}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )["status"]["token"]
        ours = ("--http-address", "--prometheus-url", "--lease-seconds")
        kept = [a for a in arguments if not a.startswith(ours)]
        shop.cluster.supervisor.start(
            name,
            [
                *(sys.executable, "-m", "sluice.cli.main", *kept),
                f"--kubeconfig={shop.cluster.kubeconfig_with(token)}",
                f"--http-address=127.0.0.1:{self.port}",
                "--prometheus-url=http://127.0.0.1:1",
                f"--rights-interval={LOOKS_EVERY}",
                # Without the right to renew it the controller lives on for as long as we look.
                "--lease-seconds=120",
            ],
            env={"POD_NAMESPACE": NAMESPACE, "POD_NAME": name},
            ready=lambda: listening("127.0.0.1", self.port),
        )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as found:
                return found.status, found.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def missing(self) -> list[dict[str, str]]:
        """The labels of the metric's series."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return [
            sample.labels
            for family in families
            for sample in family.samples
            if sample.name == "sluice_missing_rights"
        ]

    def log(self) -> list[dict[str, Any]]:
        process = self.shop.cluster.supervisor.get(self.name)
        assert process is not None
        return [
            json.loads(line) for line in process.log.read_text().splitlines() if line[:1] == "{"
        ]

    def stop(self) -> None:
        self.shop.cluster.supervisor.stop(self.name, grace=60.0)


def installed(shop: Shop, text: str) -> list[str]:
    """Apply what the chart rendered, until it is in force; the controller's arguments."""
    found = objects(text)
    for obj in found:
        if obj["kind"] != "CustomResourceDefinition":
            manifests.apply(shop.client, obj)
    for obj in found:
        if obj["kind"] in ("RoleBinding", "ClusterRoleBinding") and any(
            one["name"] == ACCOUNT for one in obj["subjects"]
        ):
            where = obj["metadata"].get("namespace") if obj["kind"] == "RoleBinding" else None
            ref = obj["roleRef"]
            kind, inside = (ROLES, where) if ref["kind"] == "Role" else (CLUSTER_ROLES, None)
            rules = shop.client.get(kind, ref["name"], inside)["rules"]
            manifests.await_allowed(shop.client, USER, rules, namespace=where or "")
    [deployment] = [obj for obj in found if obj["kind"] == "Deployment"]
    return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


@pytest.fixture(scope="module")
def prepared(shared: Shop) -> Shop:
    shared.fake_crds(*seldons(), *manifests.read_manifests(CHART / "files" / "crds"))
    for name in (NAMESPACE, "prod", "stage", "other"):
        shared.namespace(name)
    return shared


@pytest.fixture
def controller(prepared: Shop) -> Iterator[Running]:
    found = Running(prepared, "everywhere", installed(prepared, render()))
    try:
        until(lambda: found.get("/readyz")[0] == 200, "being ready")
        yield found
    finally:
        found.stop()


def every_verb(shop: Shop) -> Iterator[tuple[Resource, dict[str, Any], dict[str, str]]]:
    """Each role of the controller without one of its verbs, and what is missing then."""
    for kind, name, namespace in (
        (CLUSTER_ROLES, "sluice-controller", None),
        (CLUSTER_ROLES, "sluice-controller-routes", None),
        (CLUSTER_ROLES, "sluice-controller-preflight", None),
        (CLUSTER_ROLES, "sluice-controller-retraining", None),
        (ROLES, "sluice-controller-leader", NAMESPACE),
    ):
        role = shop.client.get(kind, name, namespace)
        role["metadata"].pop("resourceVersion")
        for i, rule in enumerate(role["rules"]):
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    less = copy.deepcopy(role)
                    rest = [other for other in rule["resources"] if other != resource]
                    verbs = [other for other in rule["verbs"] if other != verb]
                    changed = [{**rule, "resources": [resource], "verbs": verbs}] if verbs else []
                    changed += [{**rule, "resources": rest}] if rest else []
                    less["rules"][i : i + 1] = changed
                    where = f" in namespace {namespace}" if namespace else ""
                    yield (
                        kind,
                        less,
                        {
                            "verb": verb,
                            "resource": resource,
                            "group": rule["apiGroups"][0],
                            "right_namespace": namespace or "",
                            "role": f"{kind.kind} {name}{where}",
                        },
                    )


def test_whatever_verb_is_taken_from_the_roles_the_controller_names_it(
    prepared: Shop, controller: Running
) -> None:
    """In a metric, in its log and, if the right is needed, in /readyz."""
    tried = [one for one in every_verb(prepared) if one[2]["resource"] != EVERYBODYS]
    assert len(tried) > 35
    assert controller.missing() == []
    for kind, less, expected in tried:
        whole = prepared.client.get(
            kind, less["metadata"]["name"], less["metadata"].get("namespace")
        )
        prepared.client.replace(kind, less)
        optional = str(expected["role"].endswith(("-routes", "-preflight", "-retraining"))).lower()
        wanted = [{**expected, "optional": optional}]
        until(lambda wanted=wanted: controller.missing() == wanted, f"naming {expected}")
        code, said = controller.get("/readyz")
        if optional == "true":
            assert (code, said) == (200, "ok\n")
        else:
            assert code == 503
            assert f"may not {expected['verb']} {expected['resource'].partition('/')[0]}" in said
            assert expected["role"] in said
        whole["metadata"].pop("resourceVersion")
        prepared.client.replace(kind, whole)
        until(lambda: controller.missing() == [], f"having {expected} again")
    told = [line for line in controller.log() if line["event"] == "RightMissing"]
    assert [{key: line[key] for key in ("verb", "resource", "group", "role")} for line in told] == [
        {key: one[key] for key in ("verb", "resource", "group", "role")} for *_, one in tried
    ]
    assert {line["level"] for line in told} == {"error", "warning"}


def rollout(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "classifier", "image": "iris:1"}
    predictor = {
        "replicas": 1,
        "graph": {"name": "classifier", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    return {
        "apiVersion": MODEL_ROLLOUTS.api_version,
        "kind": MODEL_ROLLOUTS.kind,
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"predictors": [predictor]}}, **spec},
    }


def stalled(shop: Shop, name: str, namespace: str) -> dict[str, Any]:
    found = shop.client.get(MODEL_ROLLOUTS, name, namespace).get("status") or {}
    return next((c for c in found.get("conditions") or () if c["type"] == "Stalled"), {})


def made(shop: Shop, namespace: str) -> set[str]:
    found = shop.client.list(SELDON_DEPLOYMENTS, namespace).items
    return {obj["metadata"]["name"] for obj in found}


def test_roles_in_two_namespaces_are_enough_for_two_namespaces(prepared: Shop) -> None:
    shop = prepared
    for role in (
        "sluice-controller",
        "sluice-controller-routes",
        "sluice-controller-preflight",
        "sluice-controller-retraining",
    ):
        shop.kubectl("delete", "clusterrolebinding", role, "--ignore-not-found")
        # A controller that could watch all namespaces for a moment would do so until it ends.
        rules = [
            {**rule, "resources": [one for one in rule["resources"] if one != EVERYBODYS]}
            for rule in shop.client.get(CLUSTER_ROLES, role)["rules"]
        ]
        manifests.await_allowed(shop.client, USER, rules, allowed=False)
    text = render(values={"watchNamespaces": ["prod", "stage"], "rbac": {"userRoles": False}})
    confined = Running(shop, "confined", installed(shop, text))
    try:
        until(lambda: confined.get("/readyz")[0] == 200, "being ready without the cluster")
        missing = {(one["resource"], one["optional"]) for one in confined.missing()}
        assert missing == {("clustercanarypolicies", "true")}

        for namespace in ("prod", "stage", "other"):
            shop.client.create(MODEL_ROLLOUTS, rollout("iris"), namespace)
        for namespace in ("prod", "stage"):
            until(lambda ns=namespace: "iris" in made(shop, ns), f"a model in {namespace}")
        assert made(shop, "other") == set()

        named = {"kind": "ClusterCanaryPolicy", "name": "fast"}
        shop.client.create(MODEL_ROLLOUTS, rollout("named", policyRef=named), "prod")
        told = until(lambda: stalled(shop, "named", "prod"), "being told")
        assert told["reason"] == "PolicyNotReadable"
        assert "name a CanaryPolicy of namespace prod" in told["message"]

        check = {"name": "errors", "metric": "error-rate", "limit": {"max": 0.1}}
        policy = {"steps": [{"weight": 20, "hold": "1m"}], "checks": [check]}
        meta = {"apiVersion": CANARY_POLICIES.api_version, "kind": CANARY_POLICIES.kind}
        shop.client.create(
            CANARY_POLICIES, {**meta, "metadata": {"name": "ours"}, "spec": policy}, "stage"
        )
        own = {"kind": "CanaryPolicy", "name": "ours"}
        shop.client.create(MODEL_ROLLOUTS, rollout("own", policyRef=own), "stage")
        until(lambda: "own" in made(shop, "stage"), "the namespace's own policy")

        refused = [line for line in confined.log() if line["event"] == "watch_interrupted"]
        about = [re.sub(r".*?(\w+)\.sluice.*", r"\1", line["resource"]) for line in refused]
        assert about == ["clustercanarypolicies"]
    finally:
        confined.stop()


def test_given_the_small_role_it_knows_the_policies_of_the_cluster(prepared: Shop) -> None:
    shop = prepared
    text = render(
        values={
            "watchNamespaces": ["prod", "stage"],
            "rbac": {"clusterPolicies": True, "userRoles": False},
        }
    )
    confined = Running(shop, "with-policies", installed(shop, text))
    try:
        until(lambda: confined.get("/readyz")[0] == 200, "being ready")
        until(lambda: confined.missing() == [], "having every right")
        named = {"kind": "ClusterCanaryPolicy", "name": "cautious"}
        shop.client.create(MODEL_ROLLOUTS, rollout("cautious", policyRef=named), "prod")
        until(lambda: "cautious" in made(shop, "prod"), "the policy that is built in")
    finally:
        confined.stop()
