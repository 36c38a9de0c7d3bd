"""The chart, as helm lints and renders it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice._version import __version__
from tests.packaging.chart.rendering import (
    CHART,
    ROOT,
    golden_of,
    golden_values,
    helm,
    objects,
    one,
    render,
    template,
)

EVERYTHING = next(path for path in golden_values() if path.stem == "everything")
CONFINED = next(path for path in golden_values() if path.stem == "confined")


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


# --- what helm says


@pytest.mark.parametrize("values", golden_values(), ids=names(golden_values()))
def test_helm_has_nothing_to_complain_about(values: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "--kube-version=1.34.4", f"--values={values}")
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("values", golden_values(), ids=names(golden_values()))
def test_the_rendered_text_is_the_golden_one(values: Path) -> None:
    """`make golden` renews them; the difference is what users will get."""
    assert render(values=values) == golden_of(values).read_text()


def test_one_version_everywhere() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    for path in (ROOT / "manifests").rglob("*.yaml"):
        found = re.findall(r"sluice-controller:([0-9][\w.-]*)|newTag: (\S+)", path.read_text())
        assert {tag for pair in found for tag in pair if tag} <= {__version__}, path


# --- values


def keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict) and key not in FREE:
            yield from keys(value, f"{prefix}{key}.")


# Maps whose keys are the user's own.
FREE = {"labels", "annotations", "podLabels", "podAnnotations", "nodeSelector", "resources"}


def schema_keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in schema["properties"].items():
        yield f"{prefix}{key}"
        if key not in FREE and "properties" in value:
            assert value["additionalProperties"] is False, f"{prefix}{key}"
            yield from schema_keys(value, f"{prefix}{key}.")


def test_schema_and_values_know_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    renamed = {"watchNamespace"}  # let through to a template, which can say what it is now
    assert set(schema_keys(schema)) - {"global"} - renamed == set(keys(values))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 2}, "replica"),
        ({"watchNamespace": "prod"}, "watchNamespace"),
        ({"watchNamespaces": ["Prod"]}, "watchNamespaces"),
        ({"prometheus": {"url": "prometheus:9090"}}, "prometheus.url|prometheus/url"),
        ({"prometheus": {"useToken": True}}, "secret"),
        ({"image": {"digest": "sha256:12"}}, "digest"),
        ({"alerts": {"disabled": ["SluiceBroken"]}}, "disabled"),
        ({"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}}, "cidrs"),
        ({"pulse": 0}, "pulse"),
        ({"logLevel": "loud"}, "logLevel"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, Any], said: str) -> None:
    done = template(values=values)
    assert done.returncode != 0
    assert re.search(said, done.stderr), done.stderr


def test_two_monitors_are_refused_since_they_count_twice() -> None:
    done = template(values={"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}})
    assert "expected at most one" in done.stderr


def test_a_monitor_takes_the_place_of_the_annotations() -> None:
    def annotations(values: dict[str, Any]) -> dict[str, str]:
        pod = one(objects(render(values=values)), "Deployment")["spec"]["template"]["metadata"]
        return pod.get("annotations", {})

    assert annotations({})["prometheus.io/scrape"] == "true"
    assert annotations({"podMonitor": {"enabled": True}}) == {}
    assert annotations({"scrapeAnnotations": {"enabled": False}}) == {}


# --- security


@pytest.mark.parametrize("values", golden_values(), ids=names(golden_values()))
def test_the_pod_is_as_restricted_as_can_be(values: Path) -> None:
    pod = one(objects(render(values=values)), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])


def rules(values: Path | dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for obj in objects(render(values=values)):
        for rule in obj.get("rules", ()):
            yield obj["metadata"]["name"], rule


@pytest.mark.parametrize("values", golden_values(), ids=names(golden_values()))
def test_no_role_has_wildcards_or_secrets(values: Path) -> None:
    for name, rule in rules(values):
        every = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not any("*" in each for each in every), name
        assert not {"secrets", "pods/exec"} & set(rule["resources"]), name
        if "configmaps" in rule["resources"]:
            assert (name, rule["verbs"]) == ("sluice-controller-preflight", ["get"])
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), name


CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}


def test_a_confined_release_has_nothing_of_the_cluster() -> None:
    found = objects(render(values=CONFINED))
    assert [o["kind"] for o in found if o["kind"] in CLUSTER_WIDE] == []
    where = {o["metadata"]["namespace"] for o in found if o["kind"] in ("Role", "RoleBinding")}
    assert where == {"prod", "stage", "sluice-system"}
    arguments = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [a for a in arguments if a.startswith("--namespace=")] == [
        "--namespace=prod",
        "--namespace=stage",
    ]


def test_a_confined_release_may_be_given_the_policies_of_the_cluster_and_no_more() -> None:
    values = {"watchNamespaces": ["prod"], "rbac": {"clusterPolicies": True, "userRoles": False}}
    found = objects(render(values=values))
    assert one(found, "ClusterRole")["rules"] == [
        {
            "apiGroups": ["sluice.dev"],
            "resources": ["clustercanarypolicies"],
            "verbs": ["get", "list", "watch"],
        }
    ]


def test_two_confined_releases_share_nothing_of_the_cluster() -> None:
    values = {"watchNamespaces": ["prod"], "rbac": {"clusterPolicies": True, "userRoles": False}}
    of_the_cluster = [
        {
            (obj["kind"], obj["metadata"]["name"])
            for obj in objects(render(values=values, namespace=namespace))
            if "namespace" not in obj["metadata"] and obj["kind"] != "CustomResourceDefinition"
        }
        for namespace in ("team-a", "team-b")
    ]
    assert of_the_cluster[0]
    assert of_the_cluster[0] & of_the_cluster[1] == set()


def test_the_old_name_of_a_value_is_refused_with_the_new_one() -> None:
    done = template("--set", "watchNamespace=prod")
    assert done.returncode != 0
    assert "watchNamespace is now watchNamespaces, a list" in done.stderr


# --- network policy


def egress(url: str, **more: Any) -> Any:
    values = {"prometheus": {"url": url}, "networkPolicy": {"enabled": True, **more}}
    found = objects(render(values=values, namespace="team"))
    return one(found, "NetworkPolicy")["spec"]["egress"]


def namespace_peer(name: str) -> dict[str, Any]:
    labels = {"kubernetes.io/metadata.name": name}
    return {"to": [{"namespaceSelector": {"matchLabels": labels}}]}


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://prometheus.monitoring:9090", namespace_peer("monitoring")),
        ("http://prometheus.monitoring.svc.cluster.local/prom", namespace_peer("monitoring")),
        ("http://prometheus:9090", namespace_peer("team")),
        ("https://prometheus.example.com", {"ports": [{"port": 443, "protocol": "TCP"}]}),
        ("http://prometheus.example.com:9091", {"ports": [{"port": 9091, "protocol": "TCP"}]}),
        ("http://10.0.0.7:9090", {"ports": [{"port": 9090, "protocol": "TCP"}]}),
    ],
)
def test_prometheus_is_reached_where_its_url_says(url: str, rule: dict[str, Any]) -> None:
    dns, api_server, prometheus, _models = egress(url)
    assert prometheus == rule
    assert {port["port"] for port in dns["ports"]} == {53}
    assert {port["port"] for port in api_server["ports"]} == {443, 6443}


def test_what_the_user_adds_comes_on_top() -> None:
    peer = namespace_peer("approvals")
    *_, prometheus, _models, added = egress(
        "http://p.m:1", egress=[peer], prometheusTo=[{"podSelector": {}}]
    )
    assert added == peer
    assert prometheus == {"to": [{"podSelector": {}}]}


def test_models_are_reached_at_their_pods_or_where_the_user_says_or_not_at_all() -> None:
    url = "http://p.m:1"
    models = egress(url)[-1]
    seldons = {"matchLabels": {"app.kubernetes.io/managed-by": "seldon-core"}}
    assert models["to"] == [{"namespaceSelector": {}, "podSelector": seldons}]
    assert [port["port"] for port in models["ports"]] == [8000, 9000]
    narrow = egress(url, models={"to": [{"podSelector": {}}], "ports": [8080]})[-1]
    assert narrow["to"] == [{"podSelector": {}}]
    assert [port["port"] for port in narrow["ports"]] == [8080]
    assert len(egress(url, models={"enabled": False})) == len(egress(url)) - 1


def test_configmaps_are_not_read_where_the_user_does_not_want_that() -> None:
    text = render(values={"rbac": {"preflight": False}})
    assert "configmaps" not in text
    assert "sluice-controller-preflight" not in text


def test_only_the_port_of_probes_and_metrics_lets_anything_in() -> None:
    policy = one(objects(render(values=EVERYTHING)), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert len(rule["from"]) == 1


# --- availability


def test_two_replicas_have_a_budget_and_one_has_none() -> None:
    kinds = [o["kind"] for o in objects(render())]
    assert "PodDisruptionBudget" in kinds
    alone = [o["kind"] for o in objects(render(values={"replicas": 1}))]
    assert "PodDisruptionBudget" not in alone


# --- monitoring


def test_an_alert_can_be_left_out_and_runbooks_live_where_the_user_says() -> None:
    found = one(objects(render(values=EVERYTHING)), "PrometheusRule")
    alerts = [rule for group in found["spec"]["groups"] for rule in group["rules"]]
    assert "SluiceRolledBack" not in {alert["alert"] for alert in alerts}
    assert len(alerts) > 15
    for alert in alerts:
        url = alert["annotations"]["runbook_url"]
        assert url == f"https://docs.example/operate#{alert['alert'].lower()}"


def test_without_an_address_alerts_have_no_runbook_url_and_all_else() -> None:
    def alerts(**values: Any) -> list[dict[str, Any]]:
        found = one(objects(render(values={"alerts.enabled": True, **values})), "PrometheusRule")
        return [rule for group in found["spec"]["groups"] for rule in group["rules"]]

    plain = alerts()
    linked = alerts(**{"alerts.runbookBase": "https://docs.example/operate"})
    assert [set(alert["annotations"]) for alert in plain] == [{"summary", "description"}] * len(
        plain
    )
    for alert in linked:
        del alert["annotations"]["runbook_url"]
    assert plain == linked


@pytest.mark.parametrize("base", ["docs/operate.md", "https://docs.example/#x", "wiki page"])
def test_an_address_of_runbooks_is_one_that_can_be_opened(base: str) -> None:
    done = template(values={"alerts.runbookBase": base})
    assert done.returncode != 0
    assert "runbookBase" in done.stderr


def test_the_dashboard_is_found_by_the_sidecar_and_is_json() -> None:
    found = one(objects(render(values=EVERYTHING)), "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["sluice.json"])["title"] == "Sluice"
