"""What the doctor says of a cluster."""

from __future__ import annotations

import copy
from email.utils import formatdate
from typing import Any

import pytest

from sluice.doctor.crds import missing_fields
from sluice.doctor.findings import Level
from sluice.kube.transport import Call
from sluice.resources import (
    CRDS,
    DEPLOYMENTS,
    GATEWAYS,
    LEASES,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    Resource,
)
from tests.unit.doctor.small_place import CONTAINER, NOW, PREDICTOR, Place, crd_of

ERROR, WARNING, NOTE = Level.ERROR, Level.WARNING, Level.NOTE
CONTROLLER = (DEPLOYMENTS, "sluice-controller", "sluice-system")
OPERATOR = (DEPLOYMENTS, "seldon-controller-manager", "seldon-system")


def predictor(
    container: dict[str, Any] | None = None, hpa: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    component = {"spec": {"containers": [{**CONTAINER, **(container or {})}]}, "hpaSpec": hpa}
    return {**PREDICTOR, "componentSpecs": [component], **fields}


def test_nothing_is_said_against_a_whole_cluster(place: Place) -> None:
    findings = place.run()
    assert [f for f in findings if f.level in (WARNING, ERROR)] == []
    assert {f.id for f in findings if f.level is NOTE} == {"NoRollouts", "PrometheusOfController"}
    assert {f.check for f in findings} == {
        "server", "crds", "controller", "rights", "seldon", "deployments", "routing", "rollouts",
        "prometheus",
    }  # fmt: skip


def test_nothing_is_written(place: Place) -> None:
    place.kube.calls.clear()
    place.run()
    reviews = [call for call in place.kube.calls if call.verb == "create"]
    assert all("accessreviews" in call.path for call in reviews)
    assert {call.verb for call in place.kube.calls} == {"get", "list", "create"}


def test_every_finding_that_is_not_ok_says_what_to_do(place: Place) -> None:
    place.kube.denied = {("patch", "seldondeployments"), ("get", "virtualservices")}
    place.remove(LEASES, "sluice-controller", "sluice-system")
    place.serve(predictor({"ports": []}, annotations={"seldon.io/no-engine": "true"}))
    place.prometheus.lose_data()
    told = [f for f in place.run() if f.level in (WARNING, ERROR)]
    assert len(told) > 4
    assert [f.id for f in told if not f.remedy] == []


def test_without_a_server_there_is_one_error(place: Place) -> None:
    place.kube.fail_next("list", status=0, times=99)
    place.kube.fail_next("get", status=0, times=99)
    assert list(place.bad()) == ["ApiServerUnreachable"]


@pytest.mark.parametrize(("minor", "bad"), [("28", True), ("29", False), ("34+", False)])
def test_an_old_server_is_told(place: Place, minor: str, bad: bool) -> None:
    place.kube.version = {"major": "1", "minor": minor, "gitVersion": f"v1.{minor}.0"}
    assert ("ApiServerOld" in place.bad()) is bad


def test_clocks_are_compared_with_the_servers(place: Place) -> None:
    place.kube.date = formatdate(NOW + 90, usegmt=True)
    place.lease(age=-88)
    place.scrape(until=NOW + 90)
    found = place.bad()
    assert list(found) == ["ClockSkew"]
    assert "90 s behind" in found["ClockSkew"].what


# --- CRDs


def test_a_missing_crd_comes_with_its_command(place: Place) -> None:
    place.remove(CRDS, "canarypolicies.sluice.dev")
    found = place.bad()["CrdMissing"]
    assert (found.level, found.where) == (ERROR, "canarypolicies.sluice.dev")
    assert found.remedy == "kubectl apply --server-side -f manifests/crds"


def test_crds_not_established_or_of_another_version(place: Place) -> None:
    name = "modelrollouts.sluice.dev"
    said = {"type": "NamesAccepted", "status": "False", "message": "mro is taken"}
    place.change(CRDS, name, None, {"status": {"conditions": [said]}})
    assert "mro is taken" in place.bad()["CrdNotEstablished"].what
    crd = place.client.get(CRDS, "canarypolicies.sluice.dev")
    crd["spec"]["versions"][0]["name"] = "v1beta1"
    place.put(CRDS, crd)
    assert "served as v1beta1" in place.bad()["CrdVersionNotServed"].what


def test_a_newer_crd_is_a_note(place: Place) -> None:
    crd = place.client.get(CRDS, "modelrollouts.sluice.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["sparkle"] = {"type": "string"}
    place.put(CRDS, crd)
    found = place.all()["CrdNewer"]
    assert (found.level, ".spec.sparkle" in found.what) == (NOTE, True)


def test_fields_are_compared_through_lists_maps_and_enums() -> None:
    leaf = {"type": "string", "enum": ["A", "B"]}
    ours = {
        "properties": {
            "list": {"items": {"properties": {"x": leaf, "y": {}}}},
            "map": {"additionalProperties": {"properties": {"z": {}}}},
            "open": {"properties": {"w": {}}},
        }
    }
    theirs = copy.deepcopy(ours)
    assert list(missing_fields(ours, theirs)) == []
    del theirs["properties"]["list"]["items"]["properties"]["y"]  # type: ignore[attr-defined]
    theirs["properties"]["list"]["items"]["properties"]["x"] = {"enum": ["A"]}  # type: ignore[index]
    theirs["properties"]["map"]["additionalProperties"]["properties"] = {}  # type: ignore[index]
    theirs["properties"]["open"] = {"x-kubernetes-preserve-unknown-fields": True}  # type: ignore[dict-item]
    assert list(missing_fields(ours, theirs)) == [".list[].x=B", ".list[].y", ".map.*.z"]


# --- Seldon and Istio


def test_seldon_v2_is_a_clear_error(place: Place) -> None:
    place.remove(CRDS, "seldondeployments.machinelearning.seldon.io")
    assert place.bad()["SeldonMissing"].level is ERROR
    place.put(CRDS, crd_of(Resource("mlops.seldon.io", "v1alpha1", "models", "Model")))
    assert "Seldon Core v2" in place.bad()["SeldonV2"].what


def test_the_operators_state_and_settings(place: Place) -> None:
    place.change(*OPERATOR, {"status": {"readyReplicas": 0}})
    assert "every write" in place.bad()["SeldonOperatorNotReady"].what
    place.operator_says(WATCH_NAMESPACE="team", CONTROLLER_ID="blue", ISTIO_ENABLED="true")
    found = place.all()
    assert "team" in found["SeldonWatchesOneNamespace"].what
    assert "seldon.io/controller-id=blue" in found["SeldonControllerId"].what
    place.remove(*OPERATOR)
    assert place.all()["SeldonOperatorNotFound"].level is NOTE
    place.remove(VALIDATING_WEBHOOKS, "seldon")
    assert place.bad()["SeldonWebhookMissing"].level is WARNING


def test_ambassador_is_not_enough(place: Place) -> None:
    place.operator_says(ISTIO_ENABLED="false", AMBASSADOR_ENABLED="true")
    assert "Ambassador, which Sluice cannot steer" in place.bad()["SeldonWithoutIstio"].what
    place.remove(CRDS, "virtualservices.networking.istio.io")
    place.put(CRDS, crd_of(Resource("getambassador.io", "v2", "mappings", "Mapping")))
    assert "Ambassador is here, but Sluice needs Istio" in place.bad()["IstioMissing"].what


def test_the_gateway_that_an_annotation_or_the_operator_names(place: Place) -> None:
    place.serve(PREDICTOR, annotations={"seldon.io/istio-gateway": "own-gateway"})
    found = place.bad()["GatewayMissing"]
    assert (found.level, found.where) == (ERROR, "Gateway prod/own-gateway")
    place.put(GATEWAYS, {"metadata": {"name": "own-gateway", "namespace": "prod"}})
    assert place.bad() == {}
    place.operator_says(ISTIO_ENABLED="true", ISTIO_GATEWAY="mesh-system/front")
    place.serve(PREDICTOR)
    assert place.bad()["GatewayMissing"].where == "Gateway mesh-system/front"


# --- SeldonDeployments and ModelRollouts


def test_one_that_the_operator_ignores(place: Place) -> None:
    place.serve(PREDICTOR, labels={"seldon.io/controller-id": "x"})
    found = place.bad()["IgnoredBySeldon"]
    assert found.level is ERROR
    assert found.remedy == ("kubectl -n prod label seldondeployment iris seldon.io/controller-id-")
    place.operator_says(ISTIO_ENABLED="true", CONTROLLER_ID="x")
    assert place.bad() == {}
    place.serve(PREDICTOR)
    assert "has no label" in place.bad()["IgnoredBySeldon"].what


@pytest.mark.parametrize(
    ("predictors", "finding", "level"),
    [
        ([predictor({"ports": []})], "NoMetricsPort", NOTE),
        (
            [predictor({"ports": []}, traffic=50), predictor(name="next", traffic=50)],
            "NoMetricsPort",
            WARNING,
        ),
        (
            [predictor({"readinessProbe": {"tcpSocket": {"port": "http"}}})],
            "ReadyByPortAlone",
            WARNING,
        ),
        ([predictor({"readinessProbe": None})], "ReadyByPortAlone", WARNING),
        (
            [predictor({"name": "c" * 49}, graph={"name": "c" * 49})],
            "NameTooLongForSeldon",
            ERROR,
        ),
        ([predictor(name="m" * 50)], "HashedNames", NOTE),
        ([predictor(annotations={"seldon.io/no-engine": "true"})], "NoExecutor", WARNING),
        ([predictor(hpa={"maxReplicas": 3})], "Autoscaled", NOTE),
    ],
)  # fmt: skip
def test_what_would_surprise_in_a_rollout(
    place: Place, predictors: list[dict[str, Any]], finding: str, level: Level
) -> None:
    place.serve(*predictors)
    found = place.all()[finding]
    assert (found.level, found.where) == (level, "SeldonDeployment prod/iris")


def test_only_the_namespace_asked_for_is_looked_at(place: Place) -> None:
    place.serve(predictor({"readinessProbe": None}))
    assert "ReadyByPortAlone" in place.bad(scope="prod")
    assert "ReadyByPortAlone" not in place.bad(scope="stage")


def test_rollouts_that_stand_still(place: Place) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "two"}
    silent = {"type": "MetricsAvailable", "status": "False", "reason": "Error", "message": "away"}
    freeze = {"deployment": "d", "predictor": "main", "message": "1 of 2", "since": "then"}
    pause = {"reason": "Requested", "message": "by hand", "since": "then"}
    place.rollout(conditions=[stalled, silent], freeze=freeze, pause=pause)
    found = place.all()
    assert found["RolloutStalled"].what == "InvalidSpec: two"
    assert "1 of 2" in found["RolloutFrozen"].what
    assert "away" in found["RolloutWithoutMetrics"].what
    assert found["RolloutPaused"].level is NOTE
    place.rollout()
    assert "RolloutsFine" in place.all()
    place.rollout(observedGeneration=0)
    assert "RolloutNotSeen" in place.bad()
    place.arguments("--namespace=stage")
    assert "RolloutNotWatched" in place.bad()


def test_models_that_are_not_what_they_were(place: Place) -> None:
    drifted = {"type": "Drifted", "status": "True", "reason": "Drifted", "message": "width: ks 0.3"}
    blind = {"type": "Decayed", "status": "Unknown", "reason": "NoFeedback", "message": "none"}
    retraining = {
        "number": 2,
        "id": "a",
        "trigger": "Drifted",
        "state": "Pending",
        "at": "then",
        "revision": "r",
        "message": "there is no CronJob",
    }
    monitoring = {"predictor": "v1", "revision": "r", "retrainings": [retraining]}
    place.rollout(conditions=[drifted, blind], monitoring=monitoring)
    found = place.bad()
    assert "width" in found["ModelNotAsPromoted"].what
    assert "NoFeedback" in found["ModelNotWatched"].what
    assert "retraining 2 Pending: there is no CronJob" in found["RetrainingStuck"].what
    early = {**blind, "reason": "Learning"}
    done = {**monitoring, "retrainings": [{**retraining, "state": "Running", "message": ""}]}
    place.rollout(conditions=[{**drifted, "status": "False"}, early], monitoring=done)
    assert "RolloutsFine" in place.all()


# --- where the cluster tells less than usual


def test_credentials_that_are_refused_end_it(place: Place) -> None:
    place.kube.fail_next("list", status=401, times=99)
    assert list(place.bad(prometheus=[])) == ["ApiServerRefuses"]


def test_a_server_without_a_version_is_a_note(place: Place) -> None:
    place.kube.version = {"gitVersion": "custom"}
    assert place.all()["ApiServerVersion"].level is NOTE


def test_without_the_right_to_read_crds_discovery_is_asked(place: Place) -> None:
    place.remove(CRDS, "canarypolicies.sluice.dev")
    place.kube.fail_next("get", CRDS.plural, status=403, times=99)
    found = place.run()
    assert [f.where for f in found if f.id == "CrdServed"] == [
        "modelrollouts.sluice.dev",
        "clustercanarypolicies.sluice.dev",
    ]
    assert [f.where for f in found if f.id == "CrdMissing"] == ["canarypolicies.sluice.dev"]


def test_a_failing_discovery_is_a_note(place: Place) -> None:
    def no_groups(call: Call) -> None:
        if call.path in ("/apis/sluice.dev/v1alpha1", "/apis/networking.istio.io/v1") or (
            call.path == "/apis/machinelearning.seldon.io/v1"
        ):
            place.kube.fail_next("list", status=503)

    place.kube.on_call = no_groups
    place.kube.fail_next("get", CRDS.plural, status=403, times=99)
    found = place.all()
    assert [found[name].level for name in ("CrdUnknown", "SeldonUnknown", "IstioUnknown")] == (
        [NOTE] * 3
    )


def test_a_seldon_too_old_for_v1_is_told(place: Place) -> None:
    crd = place.client.get(CRDS, "seldondeployments.machinelearning.seldon.io")
    crd["spec"]["versions"][0]["name"] = "v1alpha2"
    place.put(CRDS, crd)
    assert "served as v1alpha2, expected v1" in place.bad()["SeldonOld"].what


@pytest.mark.parametrize(
    ("image", "finding"),
    [
        ("seldonio/seldon-core-operator:2.8.0", "SeldonV2"),
        ("seldonio/seldon-core-operator@sha256:00", "SeldonVersionUnknown"),
    ],
)
def test_the_operators_version(place: Place, image: str, finding: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    place.client.json_patch(*OPERATOR, [{"op": "replace", "path": path, "value": image}])
    assert finding in place.all()


def test_a_controller_id_without_an_operator_in_sight(place: Place) -> None:
    place.remove(*OPERATOR)
    place.serve(PREDICTOR, labels={"seldon.io/controller-id": "x"})
    assert place.bad()["MaybeIgnoredBySeldon"].level is WARNING


def test_a_lease_without_a_time_and_a_status_of_somebody_elses(place: Place) -> None:
    lease = place.client.get(LEASES, "sluice-controller", "sluice-system")
    del lease["spec"]["renewTime"]
    place.put(LEASES, lease)
    place.rollout(phase="Dancing")
    assert set(place.bad()) == {"LeaseUnreadable", "RolloutStatusUnreadable"}


def test_metadata_and_spec_both_may_have_the_annotation(place: Place) -> None:
    whole = place.seldon_deployment(PREDICTOR)
    whole["spec"]["annotations"] = {"seldon.io/istio-gateway": "edge/front"}
    place.put(SELDON_DEPLOYMENTS, whole)
    assert place.bad()["GatewayMissing"].where == "Gateway edge/front"
