"""What the chart renders, helm's life of a release, and upgrades, on a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice._version import __version__
from sluice.errors import ForbiddenError
from sluice.kube.client import Client
from sluice.resources import (
    CANARY_POLICIES,
    CRDS,
    DEPLOYMENTS,
    MODEL_ROLLOUTS,
    PODS,
    SELDON_DEPLOYMENTS,
    VIRTUAL_SERVICES,
)
from tests.packaging.chart.conftest import Shop, monitoring_crds, seldons
from tests.packaging.chart.rendering import (
    CHART,
    GOLDEN,
    NAMESPACE,
    golden_of,
    golden_values,
    objects,
    one,
    render,
)

OLD = GOLDEN / "released" / "helm-0.1.0.yaml"
OLD_BY_KUBECTL = GOLDEN / "released" / "kustomize-0.1.0.yaml"
HERE = ("--namespace", NAMESPACE, "--create-namespace")


@pytest.fixture(scope="module")
def prepared(shared: Shop) -> Shop:
    """The kinds and namespaces that the goldens speak of."""
    shared.fake_crds(*monitoring_crds(), *seldons())
    shared.namespace(NAMESPACE, **{"pod-security.kubernetes.io/enforce": "restricted"})
    for name in ("prod", "stage"):
        shared.namespace(name)
    return shared


@pytest.mark.parametrize("values", golden_values(), ids=lambda path: path.stem)
def test_the_api_server_takes_every_object(prepared: Shop, values: Path) -> None:
    args = ("--server-side", "--dry-run=server", "--validate=strict")
    said = prepared.kubectl("apply", *args, "-f", str(golden_of(values)))
    assert said.count("serverside-applied") == len(objects(golden_of(values).read_text()))


def pod_of(text: str) -> dict[str, Any]:
    template = one(objects(text), "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": template["spec"]}
    pod["spec"].pop("serviceAccountName")  # it is not there, and not what is looked at
    return pod


def test_the_pod_is_let_into_a_restricted_namespace(prepared: Shop) -> None:
    pod = pod_of(render())
    prepared.client.create(PODS, {**pod, "spec": with_account(pod)}, NAMESPACE, dry_run=True)


def test_a_less_restricted_pod_would_not_be(prepared: Shop) -> None:
    pod = pod_of(render())
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(ForbiddenError, match="violates PodSecurity"):
        prepared.client.create(PODS, {**pod, "spec": with_account(pod)}, NAMESPACE, dry_run=True)


def with_account(pod: dict[str, Any]) -> dict[str, Any]:
    return {**pod["spec"], "serviceAccountName": "default", "automountServiceAccountToken": False}


# --- the life of a release


def old_chart(directory: Path) -> Path:
    """What the release before was made of: its rendered objects, as a chart."""
    chart = directory / "old"
    (chart / "templates").mkdir(parents=True)
    meta = {"apiVersion": "v2", "name": "sluice", "version": "0.1.0"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(meta))
    (chart / "templates" / "all.yaml").write_text(OLD.read_text())
    return chart


def predictor(name: str, traffic: int) -> dict[str, Any]:
    return {"name": name, "graph": {"name": "m"}, "componentSpecs": [], "traffic": traffic}


def in_mid_rollout(shop: Shop) -> dict[str, tuple[str, Any]]:
    """A rollout at 20%, a policy, and what Seldon made; how they are."""
    shop.namespace("prod")
    client = shop.client
    template = {"spec": {"predictors": [{"graph": {"name": "m"}}]}}
    rollout = {"metadata": {"name": "iris"}, "spec": {"template": template}}
    client.create(MODEL_ROLLOUTS, {**kind(MODEL_ROLLOUTS), **rollout}, "prod")
    status = {"phase": "Stepping", "message": "20%", "conditions": []}
    client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", {"status": status}, subresource="status")
    check = {"name": "errors", "metric": "error-rate", "limit": {"max": 0.1}}
    policy = {"steps": [{"weight": 20, "hold": "1m"}], "checks": [check]}
    client.create(
        CANARY_POLICIES,
        {**kind(CANARY_POLICIES), "metadata": {"name": "ours"}, "spec": policy},
        "prod",
    )
    split = {"predictors": [predictor("v1", 80), predictor("v2", 20)]}
    sdep = {**kind(SELDON_DEPLOYMENTS), "metadata": {"name": "iris"}, "spec": split}
    client.create(SELDON_DEPLOYMENTS, sdep, "prod")
    routes = {"http": [{"route": [{"destination": {"host": "iris"}, "weight": 20}]}]}
    client.create(
        VIRTUAL_SERVICES,
        {**kind(VIRTUAL_SERVICES), "metadata": {"name": "iris"}, "spec": routes},
        "prod",
    )
    return as_they_are(client)


def kind(resource: Any) -> dict[str, str]:
    return {"apiVersion": resource.api_version, "kind": resource.kind}


def as_they_are(client: Client) -> dict[str, tuple[str, Any]]:
    found = {}
    for resource, name in (
        (MODEL_ROLLOUTS, "iris"),
        (CANARY_POLICIES, "ours"),
        (SELDON_DEPLOYMENTS, "iris"),
        (VIRTUAL_SERVICES, "iris"),
    ):
        obj = client.get(resource, name, "prod")
        found[resource.kind] = (obj["metadata"]["uid"], (obj["spec"], obj.get("status")))
    return found


def image(client: Client) -> str:
    deployment = client.get(DEPLOYMENTS, "sluice-controller", NAMESPACE)
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def test_a_release_is_upgraded_removed_and_comes_back_and_rollouts_stay(
    shop: Shop, tmp_path: Path
) -> None:
    shop.fake_crds(*seldons())
    shop.helm("install", "sluice", str(old_chart(tmp_path)), *HERE)
    before = in_mid_rollout(shop)
    older = shop.client.get(CRDS, "modelrollouts.sluice.dev")

    said = shop.helm("upgrade", "--install", "sluice", str(CHART), *HERE)
    assert "sluice doctor -A --controller-namespace sluice-system" in said
    assert image(shop.client) == f"sluice-controller:{__version__}"
    assert as_they_are(shop.client) == before
    newer = shop.client.get(CRDS, "modelrollouts.sluice.dev")
    assert newer["metadata"]["uid"] == older["metadata"]["uid"]
    shipped = yaml.safe_load((CHART / "files/crds/modelrollouts.yaml").read_text())
    assert fields(newer) == fields(shipped)

    shop.helm("rollback", "sluice", "1", "--namespace", NAMESPACE)
    assert image(shop.client) == "sluice-controller:0.1.0"
    assert as_they_are(shop.client) == before
    shop.helm("upgrade", "sluice", str(CHART), *HERE)

    told = shop.helm("uninstall", "sluice", "--namespace", NAMESPACE)
    assert told.count("[CustomResourceDefinition]") == 3  # as kept
    for crd in shop.client.list(CRDS).items:
        assert "deletionTimestamp" not in crd["metadata"], crd["metadata"]["name"]
    assert as_they_are(shop.client) == before
    assert shop.run("kubectl", "get", "-n", NAMESPACE, "deploy/sluice-controller").returncode != 0

    shop.helm("install", "sluice", str(CHART), *HERE)
    assert as_they_are(shop.client) == before


def fields(crd: dict[str, Any]) -> set[str]:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return {f"{part}.{name}" for part in ("spec", "status") for name in schema[part]["properties"]}


def test_an_installation_by_kubectl_is_taken_over_by_helm(shop: Shop) -> None:
    shop.fake_crds(*seldons())
    shop.kubectl("apply", "--server-side", "-f", str(OLD_BY_KUBECTL))
    before = in_mid_rollout(shop)
    refused = shop.run("helm", "upgrade", "--install", "sluice", str(CHART), *HERE)
    assert refused.returncode != 0
    assert "cannot be imported into the current release" in refused.stderr
    assert image(shop.client) == "sluice-controller:0.1.0"

    shop.helm("upgrade", "--install", "--take-ownership", "sluice", str(CHART), *HERE)
    assert image(shop.client) == f"sluice-controller:{__version__}"
    assert as_they_are(shop.client) == before
    # From then on as any other release.
    shop.helm("upgrade", "sluice", str(CHART), *HERE, "--set", "replicas=3")
    assert shop.client.get(DEPLOYMENTS, "sluice-controller", NAMESPACE)["spec"]["replicas"] == 3


def test_a_team_without_rights_on_the_cluster_can_install_a_confined_release(shop: Shop) -> None:
    """The CRDs are there; an admin of some namespaces does the rest."""
    shop.fake_crds(*seldons())
    shop.kubectl("apply", "--server-side", "-f", str(CHART / "files" / "crds"))
    for name in ("team", "prod", "stage"):
        shop.namespace(name)
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    config = shop.cluster.user("team", rules=everything)
    name = account_of(shop, "team")
    for namespace in ("prod", "stage"):
        shop.kubectl(
            *("create", "rolebinding", "team", "-n", namespace, "--clusterrole=cluster-admin"),
            f"--serviceaccount=team:{name}",
        )
    values = GOLDEN / "values" / "confined.yaml"
    args = ("install", "sluice", str(CHART), "-n", "team", f"--values={values}")
    said = shop.ok("helm", *args, f"--kubeconfig={config}")
    assert "It works in prod, stage alone, and knows no ClusterCanaryPolicies" in said


def account_of(shop: Shop, namespace: str) -> str:
    found = shop.kubectl("get", "serviceaccounts", "-n", namespace, "-o", "name").split()
    [name] = [one.partition("/")[2] for one in found if one.startswith("serviceaccount/user-")]
    return name
