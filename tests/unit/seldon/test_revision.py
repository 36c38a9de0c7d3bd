from __future__ import annotations

import copy

import pytest
from seldon_objects import container, predictor, template

from sluice.errors import SpecError
from sluice.seldon.revision import (
    check_names,
    images_of,
    new_seldon_deployment,
    predictor_name,
    rendered,
    revision_of,
)


def as_seldon_stores_it(name: str = "default") -> dict:
    """A predictor that went through the defaulting of Seldon and of the API server."""
    return {
        "name": name,
        "traffic": 100,
        "replicas": 2,
        "engineResources": {},
        "svcOrchSpec": {},
        "labels": {"version": name},
        "graph": {
            "name": "model",
            "type": "MODEL",
            "implementation": "UNKNOWN_IMPLEMENTATION",
            "endpoint": {
                "type": "REST",
                "service_host": "localhost",
                "service_port": 9000,
                "httpPort": 9000,
                "grpcPort": 9500,
            },
            "children": [],
        },
        "componentSpecs": [
            {
                "metadata": {"creationTimestamp": None},
                "spec": {
                    "containers": [
                        {
                            "name": "model",
                            "image": "repo/m:1",
                            "resources": {},
                            "ports": [
                                {"name": "metrics", "containerPort": 6000, "protocol": "TCP"},
                                {"name": "http", "containerPort": 9000, "protocol": "TCP"},
                                {"name": "grpc", "containerPort": 9500, "protocol": "TCP"},
                            ],
                            "env": [
                                {"name": "PREDICTOR_ID", "value": name},
                                {"name": "PREDICTIVE_UNIT_HTTP_SERVICE_PORT", "value": "9000"},
                                {"name": "SELDON_DEPLOYMENT_ID", "value": "iris"},
                            ],
                            "volumeMounts": [
                                {"name": "seldon-podinfo", "mountPath": "/etc/podinfo"}
                            ],
                            "livenessProbe": {
                                "tcpSocket": {"port": 9000},
                                "initialDelaySeconds": 60,
                                "timeoutSeconds": 1,
                                "periodSeconds": 5,
                                "successThreshold": 1,
                                "failureThreshold": 3,
                            },
                            "readinessProbe": {
                                "tcpSocket": {"port": 9000},
                                "initialDelaySeconds": 20,
                                "timeoutSeconds": 1,
                                "periodSeconds": 5,
                                "successThreshold": 1,
                                "failureThreshold": 3,
                            },
                            "lifecycle": {
                                "preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}
                            },
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "File",
                            "imagePullPolicy": "IfNotPresent",
                        }
                    ],
                    "volumes": [
                        {
                            "name": "seldon-podinfo",
                            "downwardAPI": {"items": [], "defaultMode": 420},
                        }
                    ],
                    "restartPolicy": "Always",
                    "dnsPolicy": "ClusterFirst",
                    "schedulerName": "default-scheduler",
                    "securityContext": {},
                    "terminationGracePeriodSeconds": 20,
                },
            }
        ],
    }


def test_an_existing_deployment_with_defaults_is_adopted_without_a_restart() -> None:
    assert revision_of(as_seldon_stores_it()) == revision_of(predictor("whatever"))


def test_what_sluice_writes_has_the_revision_of_its_template() -> None:
    one = template()
    written = rendered(one, name="v1", replicas=3)
    assert revision_of(written) == revision_of(one["spec"]["predictors"][0])
    assert revision_of({**written, "traffic": 20}) == revision_of(written)


def test_what_sluice_writes_keeps_its_revision_with_several_containers_and_ports() -> None:
    one = predictor()
    one["graph"] = {"name": "tr", "type": "TRANSFORMER", "children": [one["graph"]]}
    one["componentSpecs"][0]["spec"]["containers"] = [
        container("t:1", "tr", ports=[{"name": "metrics", "containerPort": 6001}]),
        container("m:1", "model", ports=[{"name": "extra", "containerPort": 6000}]),
        container("side:1", "beside"),
    ]
    written = rendered(template(one), name="v1", replicas=None)
    assert revision_of(written) == revision_of(one)
    tr, model, beside = written["componentSpecs"][0]["spec"]["containers"]
    assert [p["containerPort"] for p in tr["ports"]] == [6001]
    assert model["ports"][-1] == {"name": "metrics", "containerPort": 6002, "protocol": "TCP"}
    assert "ports" not in beside


@pytest.mark.parametrize("field", ["name", "traffic", "replicas", "shadow"])
def test_what_restarts_no_pod_is_no_new_revision(field: str) -> None:
    value = {"name": "other", "traffic": 7, "replicas": 9, "shadow": True}[field]
    assert revision_of({**predictor(), field: value}) == revision_of(predictor())


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"team": "a"}},
        {"annotations": {"seldon.io/rest-timeout": "1"}},
        {"svcOrchSpec": {"env": [{"name": "A", "value": "1"}]}},
        {"graph": {"name": "model", "type": "MODEL", "modelUri": "s3://b"}},
        {"componentSpecs": [{"spec": {"containers": [container("repo/m:2")]}}]},
        {"componentSpecs": [{"spec": {"containers": [container(env=[{"name": "A"}])]}}]},
        {
            "componentSpecs": [
                {"spec": {"containers": [container()]}, "hpaSpec": {"maxReplicas": 2}}
            ]
        },
        {"componentSpecs": [{"spec": {"containers": [container()], "nodeName": "n"}}]},
    ],
)
def test_what_makes_other_pods_is_a_new_revision(change: dict) -> None:
    assert revision_of({**predictor(), **change}) != revision_of(predictor())


def test_an_own_readiness_probe_and_an_own_metrics_port_count() -> None:
    own = predictor()
    own["componentSpecs"][0]["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"path": "/ready", "port": 9000}
    }
    moved = predictor()
    moved["componentSpecs"][0]["spec"]["containers"][0]["ports"] = [
        {"name": "metrics", "containerPort": 7000}
    ]
    assert len({revision_of(p) for p in (own, moved, predictor())}) == 3


def test_an_empty_selector_is_not_a_missing_one() -> None:
    def with_term(term: dict) -> dict:
        one = predictor()
        one["componentSpecs"][0]["spec"]["affinity"] = {"terms": [term, {"topologyKey": "x"}]}
        return one

    selecting_all = with_term({"namespaceSelector": {}, "topologyKey": "y"})
    assert revision_of(selecting_all) != revision_of(with_term({"topologyKey": "y"}))


def test_the_revision_does_not_hang_on_the_deployments_metadata() -> None:
    assert revision_of(predictor(), {"labels": {"argocd": "x"}}) == revision_of(predictor())


def test_revisions_and_names_are_short() -> None:
    revision = revision_of(predictor())
    assert len(revision) == 8
    assert int(revision, 16) >= 0
    assert predictor_name(revision) == f"v{revision}"


def test_revision_leaves_its_argument_alone() -> None:
    one = as_seldon_stores_it()
    before = copy.deepcopy(one)
    revision_of(one)
    assert one == before


def test_images_are_containers_then_model_uris() -> None:
    one = predictor()
    one["graph"]["modelUri"] = "s3://m"
    assert images_of(one) == ("repo/m:1", "s3://m")


def test_trap_2_every_model_container_gets_a_metrics_port() -> None:
    written = rendered(template(), name="v1", replicas=2)
    model = written["componentSpecs"][0]["spec"]["containers"][0]
    assert model["ports"] == [{"name": "metrics", "containerPort": 6000, "protocol": "TCP"}]
    assert (written["name"], written["replicas"], "traffic" in written) == ("v1", 2, False)


def test_trap_5_readiness_is_asked_by_http_unless_the_user_says_otherwise() -> None:
    probe = rendered(template(), name="v", replicas=None)["componentSpecs"][0]["spec"][
        "containers"
    ][0]["readinessProbe"]
    assert probe["httpGet"] == {"path": "/health/ping", "port": "http"}
    own = predictor()
    own["componentSpecs"][0]["spec"]["containers"][0]["readinessProbe"] = {"exec": {}}
    kept = rendered(template(own), name="v", replicas=None)
    assert kept["componentSpecs"][0]["spec"]["containers"][0]["readinessProbe"] == {"exec": {}}
    other = rendered(template(protocol="v2"), name="v", replicas=None)
    assert "readinessProbe" not in other["componentSpecs"][0]["spec"]["containers"][0]


def test_a_new_seldon_deployment_has_one_predictor_with_everything() -> None:
    one = template(protocol="seldon")
    one["metadata"] = {"labels": {"a": "b"}, "annotations": {"c": "d"}, "uid": "old", "name": "old"}
    made = new_seldon_deployment(
        one,
        name="iris",
        namespace="prod",
        predictor=predictor("v1"),
        owner={"kind": "ModelRollout"},
    )
    assert made["metadata"] == {
        "name": "iris",
        "namespace": "prod",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "ownerReferences": [{"kind": "ModelRollout"}],
    }
    assert [(p["name"], p["traffic"]) for p in made["spec"]["predictors"]] == [("v1", 100)]
    assert made["spec"]["protocol"] == "seldon"


def test_trap_11_names_that_seldon_leaves_half_made_are_refused() -> None:
    check_names(template(), "iris", "prod")
    with pytest.raises(SpecError, match="at most 53 characters") as long_name:
        check_names(template(), "i" * 54, "prod")
    one = predictor()
    one["graph"]["name"] = "m" * 49
    one["componentSpecs"][0]["spec"]["containers"][0]["name"] = "m" * 49
    with pytest.raises(SpecError, match="at most 48 characters") as long_key:
        check_names(template(one), "iris", "prod")
    assert {long_name.value.reason, long_key.value.reason} == {"NameTooLong"}


def test_a_fixed_service_name_is_refused() -> None:
    one = predictor(annotations={"seldon.io/svc-name": "mine"})
    with pytest.raises(SpecError) as refused:
        check_names(template(one), "iris", "prod")
    assert refused.value.reason == "FixedServiceName"
