"""What the doctor says of the controller, its leader and its rights."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.times import to_wire
from sluice.doctor.findings import Level
from sluice.resources import (
    CRDS,
    DEPLOYMENTS,
    LEASES,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    VALIDATING_WEBHOOKS,
    Resource,
)
from tests.unit.doctor.small_place import NOW, Place

ERROR, WARNING, NOTE = Level.ERROR, Level.WARNING, Level.NOTE
CONTROLLER = (DEPLOYMENTS, "sluice-controller", "sluice-system")
OPERATOR = (DEPLOYMENTS, "seldon-controller-manager", "seldon-system")


# --- the controller


def test_no_controller_is_one_error_and_its_rights_are_not_asked(place: Place) -> None:
    place.remove(*CONTROLLER)
    place.remove(LEASES, "sluice-controller", "sluice-system")
    found = place.all()
    assert found["ControllerMissing"].level is ERROR
    assert "kubectl apply -k manifests" in found["ControllerMissing"].remedy
    assert "RightsGranted" not in found
    assert found["PrometheusNotChecked"].level is NOTE


@pytest.mark.parametrize(
    ("patch", "finding", "level"),
    [
        ({"status": {"readyReplicas": 0}}, "ControllerNotReady", ERROR),
        ({"status": {"readyReplicas": 1}}, "ControllerPartlyReady", WARNING),
        ({"spec": {"replicas": 0}}, "ControllerScaledDown", ERROR),
    ],
)
def test_a_controller_that_is_not_ready(
    place: Place, patch: dict[str, Any], finding: str, level: Level
) -> None:
    place.change(*CONTROLLER, patch)
    found = place.bad()
    assert {name: each.level for name, each in found.items()} == {finding: level}


@pytest.mark.parametrize(
    ("image", "finding"),
    [
        ("registry.example:5000/sluice-controller:9.9.9", "ControllerOtherVersion"),
        ("registry.example:5000/sluice-controller", "ControllerVersionUnknown"),
        ("registry.example:5000/sluice-controller@sha256:00", "ControllerVersionUnknown"),
    ],
)
def test_another_release_is_told(place: Place, image: str, finding: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    ops = [{"op": "replace", "path": path, "value": image}]
    place.client.json_patch(*CONTROLLER, ops)
    found = place.all()
    assert finding in found
    assert "ControllerVersion" not in found


@pytest.mark.parametrize(
    ("age", "holder", "finding"),
    [
        (14, "a_1", "LeaseFresh"),
        (60, "a_1", "LeaseStale"),
        (-60, "a_1", "LeaseInTheFuture"),
        (3, None, "NobodyLeads"),
    ],
)
def test_the_lease_says_whether_somebody_leads(
    place: Place, age: float, holder: str | None, finding: str
) -> None:
    place.lease(age=age, holder=holder)
    found = place.all()
    leases = {name for name in found if "Lease" in name or "Leads" in name}
    assert leases == {finding}


@pytest.mark.parametrize(
    ("ready_for", "holder", "finding"),
    [
        (2, "a_1", "LeaderPending"),
        (2, None, "LeaderPending"),
        (120, "a_1", "LeaseStale"),
        (120, None, "NobodyLeads"),
    ],
)
def test_a_controller_that_is_only_just_ready_may_not_lead_yet(
    place: Place, ready_for: float, holder: str | None, finding: str
) -> None:
    since = to_wire(NOW - ready_for)
    available = {"type": "Available", "status": "True", "lastTransitionTime": since}
    place.change(*CONTROLLER, {"status": {"conditions": [available]}})
    place.lease(age=60, holder=holder)
    found = place.all()
    assert {name for name in found if "Lease" in name or "Lead" in name} == {finding}
    assert found[finding].level is (NOTE if finding == "LeaderPending" else ERROR)


def test_a_second_controller_is_told(place: Place) -> None:
    other = place.client.get(*CONTROLLER)
    other["metadata"] = {**other["metadata"], "namespace": "other"}
    place.put(DEPLOYMENTS, other)
    assert "other/sluice-controller" in place.bad()["SeveralControllers"].what


# --- rights


def test_missing_rights_are_named_by_verb_and_optional_ones_only_warned_of(place: Place) -> None:
    place.kube.denied = {("patch", "seldondeployments"), ("patch", "virtualservices")}
    found = place.bad()
    assert found["RightsMissing"].level is ERROR
    assert "may not patch seldondeployments.machinelearning.seldon.io in all namespaces" in (
        found["RightsMissing"].what
    )
    assert found["RoutesRightsMissing"].level is WARNING
    assert "patch virtualservices" in found["RoutesRightsMissing"].what


def test_without_the_right_to_read_configmaps_rollouts_with_a_preflight_wait(place: Place) -> None:
    place.kube.denied = {("get", "configmaps")}
    found = place.all()
    assert "RightsMissing" not in found
    assert found["PreflightRightsMissing"].level is NOTE
    assert "get configmaps in all namespaces" in found["PreflightRightsMissing"].what


def test_rights_on_jobs_are_only_noted_since_few_need_them(place: Place) -> None:
    place.kube.denied = {("create", "jobs"), ("get", "cronjobs")}
    found = {finding.id: finding for finding in place.run()}
    assert found["RetrainingRightsMissing"].level is NOTE
    assert "get cronjobs.batch in all namespaces" in found["RetrainingRightsMissing"].what


def test_rights_are_asked_for_where_the_controller_watches(place: Place) -> None:
    place.arguments("--namespace", "prod")
    place.kube.denied = {("delete", "seldondeployments"), ("update", "leases")}
    missing = place.bad()["RightsMissing"].what
    assert "delete seldondeployments.machinelearning.seldon.io in namespace prod" in missing
    assert "update leases.coordination.k8s.io in namespace sluice-system" in missing


def test_several_namespaces_are_each_asked_for_and_cluster_policies_only_noted(
    place: Place,
) -> None:
    place.arguments("--namespace=prod", "-n", "stage")
    place.kube.denied = {("patch", "seldondeployments"), ("list", "clustercanarypolicies")}
    found = place.all()
    for namespace in ("prod", "stage"):
        wanted = f"patch seldondeployments.machinelearning.seldon.io in namespace {namespace}"
        assert wanted in found["RightsMissing"].what
    assert found["ClusterPoliciesNotReadable"].level is NOTE
    place.rollout()
    place.arguments("--namespace=stage", "--namespace=test")
    assert "watches stage, test alone" in place.bad()["RolloutNotWatched"].what


def test_who_may_not_ask_for_others_asks_for_himself_and_says_so(place: Place) -> None:
    place.kube.fail_next("create", "subjectaccessreviews", status=403, times=99)
    place.kube.denied = {("patch", "seldondeployments")}
    found = place.all()
    assert "RightsMissing" not in found
    assert found["RightsOfYours"].level is NOTE
    assert "you may not patch seldondeployments" in found["RightsOfYours"].what


@pytest.mark.parametrize(
    "resource", [CRDS, DEPLOYMENTS, SELDON_DEPLOYMENTS, VALIDATING_WEBHOOKS, MODEL_ROLLOUTS]
)
def test_what_may_not_be_read_is_a_note(place: Place, resource: Resource) -> None:
    for verb in ("get", "list"):
        place.kube.fail_next(verb, resource.plural, status=403, times=99)
    findings = place.run(scope="prod")
    assert [f for f in findings if f.level is ERROR] == []
    notes = [f for f in findings if f.id == "NotReadable"]
    assert any(resource.qualified in f.what for f in notes)


def test_a_server_that_fails_under_way_spoils_one_group_only(place: Place) -> None:
    place.kube.fail_next("list", "seldondeployments", status=500, times=99)
    found = place.run()
    assert [f.check for f in found if f.id == "CheckFailed"] == ["deployments"]
    assert any(f.id == "IstioServed" for f in found)
