"""What the real API server says to right and wrong resources of ours."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.api.crd_cases import RIGHT, WRONG, predictors, rollout

from sluice.errors import InvalidError
from sluice.resources import CLUSTER_CANARY_POLICIES, MODEL_ROLLOUTS
from sluice.sandbox import objects, parts
from sluice.sandbox.up import shipped_manifests

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

LIBRARY = shipped_manifests().parent / "canary_policies"


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs served."""
    crds = objects.read_manifests(shipped_manifests() / "crds")
    for crd in crds:
        objects.apply(cluster.client, crd)
    objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
    return cluster


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_resource_is_refused_with_what_to_change(
    served: Cluster, namespace: str, case: str
) -> None:
    change, said = WRONG[case]
    obj = rollout()
    change(obj)
    with pytest.raises(InvalidError, match=f"(?s){said}"):
        served.client.create(MODEL_ROLLOUTS, obj, namespace)


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_resource_is_taken(served: Cluster, namespace: str, case: str) -> None:
    obj = rollout()
    RIGHT[case](obj)
    created = served.client.create(MODEL_ROLLOUTS, obj, namespace)
    assert created["spec"]["progressDeadlineSeconds"] == 600
    assert created["spec"]["revisionHistoryLimit"] == 10


def test_the_template_keeps_what_only_seldon_knows(served: Cluster, namespace: str) -> None:
    obj = rollout()
    template = obj["spec"]["template"]
    template["metadata"] = {"annotations": {"seldon.io/rest-timeout": "1000"}}
    template["spec"]["anything"] = {"deep": [1, {"er": True}]}
    container = predictors(obj)[0]["componentSpecs"][0]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": 1}}
    predictors(obj)[0]["svcOrchSpec"] = {"env": [{"name": "A", "value": "b"}]}
    created = served.client.create(MODEL_ROLLOUTS, obj, namespace)
    assert created["spec"]["template"] == template


def test_no_default_appears_inside_a_list(served: Cluster, namespace: str) -> None:
    """Else GitOps tools, which compare lists whole, report a difference for ever."""
    obj = rollout()
    created = served.client.create(MODEL_ROLLOUTS, obj, namespace)
    assert created["spec"]["strategy"] == obj["spec"]["strategy"]
    RIGHT["every gate"](obj)
    obj["metadata"]["name"] = "gated"
    created = served.client.create(MODEL_ROLLOUTS, obj, namespace)
    assert created["spec"]["gates"] == obj["spec"]["gates"]


def test_the_seldon_deployments_name_is_for_life(served: Cluster, namespace: str) -> None:
    client = served.client
    client.create(MODEL_ROLLOUTS, rollout(), namespace)
    same = {"spec": {"seldonDeploymentName": "iris"}}
    client.merge_patch(MODEL_ROLLOUTS, "iris", namespace, same)
    with pytest.raises(InvalidError, match="create another ModelRollout instead"):
        client.merge_patch(
            MODEL_ROLLOUTS, "iris", namespace, {"spec": {"seldonDeploymentName": "other"}}
        )


def test_every_policy_of_the_library_is_taken(served: Cluster) -> None:
    for path in sorted(LIBRARY.glob("*.yaml")):
        obj = yaml.safe_load(path.read_text())
        stored = served.client.apply(CLUSTER_CANARY_POLICIES, obj, field_manager="test")
        assert stored["spec"] == obj["spec"], path.name


def kubectl(cluster: Cluster, namespace: str, *args: str, stdin: str = "") -> str:
    argv = [parts.locate("kubectl"), f"--kubeconfig={cluster.kubeconfig}", "-n", namespace, *args]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_kubectl_applies_and_shows_where_a_rollout_is(
    served: Cluster, namespace: str, tmp_path: Path
) -> None:
    text = yaml.safe_dump(rollout())
    for flags in ((), ("--server-side", "--force-conflicts")):
        said = kubectl(served, namespace, "apply", *flags, "-f", "-", stdin=text)
        assert "modelrollout.sluice.dev/iris" in said
    status = {
        "phase": "Stepping",
        "verdict": "Undecided",
        "step": {"index": 1, "weight": 20, "progress": "2/3"},
        "stable": {"revision": "aaaa1111", "predictor": "vaaaa1111"},
        "candidate": {"revision": "bbbb2222", "predictor": "vbbbb2222"},
        "conditions": [{"type": "Ready", "status": "False", "reason": "Holding"}],
    }
    served.client.merge_patch(
        MODEL_ROLLOUTS, "iris", namespace, {"status": status}, subresource="status"
    )
    header, row, *_ = kubectl(served, namespace, "get", "mro").splitlines()
    assert " ".join(header.split()) == "NAME PHASE STEP WEIGHT VERDICT STABLE CANDIDATE AGE"
    assert row.startswith("iris")
    assert row.split()[1:-1] == ["Stepping", "2/3", "20", "Undecided", "aaaa1111", "bbbb2222"]
    wide = kubectl(served, namespace, "get", "mro", "-o", "wide").splitlines()
    assert {"PAUSED", "REASON"} <= set(wide[0].split())
    assert "Holding" in wide[1].split()
    assert "modelrollout.sluice.dev/iris" in kubectl(
        served, namespace, "get", "sluice", "-o", "name"
    )


def test_kubectl_refuses_an_unknown_field_by_its_path(served: Cluster, namespace: str) -> None:
    obj = rollout()
    obj["spec"]["strategy"]["canary"]["bakes"] = "10m"
    said = kubectl(served, namespace, "apply", "-f", "-", stdin=yaml.safe_dump(obj))
    assert 'unknown field "spec.strategy.canary.bakes"' in said


def test_users_cannot_write_the_status_by_the_main_resource(
    served: Cluster, namespace: str
) -> None:
    created = served.client.create(
        MODEL_ROLLOUTS, {**rollout(), "status": {"phase": "Idle"}}, namespace
    )
    assert "status" not in created


@pytest.mark.parametrize("phase", ["Shadowing", "Previewing"])
def test_the_status_of_a_shadow_and_of_a_preview_is_kept(
    served: Cluster, namespace: str, phase: str
) -> None:
    served.client.create(MODEL_ROLLOUTS, rollout(), namespace)
    status = {
        "phase": phase,
        "preview": "http://iris-vbbbb.prod.svc:8000",
        "shadow": {"percent": 50, "startedAt": "2026-01-01T00:00:00Z", "promote": True},
        "checks": [{"name": "errors", "verdict": "NoData", "stableLeft": 12}],
    }
    stored = served.client.merge_patch(
        MODEL_ROLLOUTS, "iris", namespace, {"status": status}, subresource="status"
    )["status"]
    assert {key: stored[key] for key in status} == status
