"""What is kept for later: templates, digests, audit lines; and that none of it stops a rollback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sluice.api.rollout import changed_by, spec_manager
from sluice.api.status import Phase
from sluice.loops.audit import AuditLog
from sluice.loops.keeping import digests_of
from sluice.loops.watching import slim_rollout
from sluice.resources import (
    CONTROLLER_REVISIONS,
    MODEL_ROLLOUTS,
    PODS,
    SELDON_DEPLOYMENTS,
)

from .small_loop import SmallLoop


def kept(loop: SmallLoop) -> dict[str, Any]:
    """Stored templates' images by number."""
    found = loop.client.list(CONTROLLER_REVISIONS, "prod").items
    return {
        r["revision"]: r["data"]["template"]["spec"]["predictors"][0]["componentSpecs"][0]["spec"][
            "containers"
        ][0]["image"]
        for r in found
    }


def pod(predictor: str, image: str, digest: str, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"p-{predictor}-{digest[-1]}",
            "labels": {"version": predictor, "seldon-deployment-id": "iris"},
        },
        "spec": {"containers": [{"name": "classifier", "image": image}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "classifier", "image": image, "imageID": digest}],
        },
    }


def test_each_promoted_template_is_kept_once_with_a_number_and_an_owner() -> None:
    loop = SmallLoop().rolling_out()
    assert kept(loop) == {0: "repo/iris:1"}
    loop.tick(15)
    assert kept(loop) == {0: "repo/iris:1", 1: "repo/iris:2"}
    [one, _] = loop.client.list(CONTROLLER_REVISIONS, "prod").items
    [owner] = one["metadata"]["ownerReferences"]
    rollout = loop.client.get(MODEL_ROLLOUTS, "iris", "prod")
    assert (owner["kind"], owner["uid"]) == ("ModelRollout", rollout["metadata"]["uid"])
    assert [entry.number for entry in loop.status.templates] == [1, 0]


def test_a_version_that_comes_back_gets_a_new_number_and_old_ones_go() -> None:
    loop = SmallLoop()
    for image in ("1", "2", "1", "3"):
        loop.apply(f"repo/iris:{image}", revisionHistoryLimit=1)
        loop.settle()
        loop.tick(15)
    assert kept(loop) == {2: "repo/iris:1", 3: "repo/iris:3"}


def test_a_candidate_that_is_rolled_back_is_not_kept() -> None:
    loop = SmallLoop().rolling_out()
    loop.failing.add(loop.candidate())
    loop.tick(6)
    assert loop.status.phase is Phase.ROLLED_BACK
    assert kept(loop) == {0: "repo/iris:1"}


def test_without_the_right_to_keep_templates_everything_else_goes_on() -> None:
    loop = SmallLoop()
    loop.kube.fail_next("create", "controllerrevisions", status=403, times=100)
    loop.apply("repo/iris:1")
    loop.settle()
    loop.tick(2)
    loop.apply("repo/iris:2")
    loop.settle()
    loop.tick(16)
    assert loop.status.history[0].outcome == "Promoted"
    assert loop.status.templates == []


def test_digests_of_the_candidates_pods_are_in_the_history() -> None:
    loop = SmallLoop().rolling_out()
    candidate = loop.candidate()
    digest = "sha256:" + "ab" * 32
    image_id = f"docker-pullable://repo/iris@{digest}"
    loop.client.create(PODS, pod(candidate, "repo/iris:2", image_id), "prod")
    loop.tick(15)
    assert loop.status.history[0].digests == {"repo/iris:2": digest}
    assert loop.status.stable is not None
    assert loop.status.stable.digests == {"repo/iris:2": digest}
    assert loop.kube.count("list", "pods") <= 2, "read when it is promoted, not in every pass"


def test_a_tag_with_two_digests_shows_both_and_unready_pods_show_nothing() -> None:
    pods = [
        pod("v1", "m:latest", "repo@sha256:b"),
        pod("v1", "m:latest", "sha256:a"),
        pod("v1", "m:latest", "sha256:c", ready=False),
        pod("v2", "m:latest", "sha256:d"),
        pod("v1", "m:other", "m:other"),
    ]
    assert digests_of(pods, "v1") == {"m:latest": "sha256:a, sha256:b"}


def test_pods_that_cannot_be_read_do_not_stop_a_rollback() -> None:
    loop = SmallLoop().rolling_out()
    loop.failing.add(loop.candidate())
    loop.kube.fail_next("list", "pods", status=500, times=100)
    loop.tick(6)
    assert loop.status.phase is Phase.ROLLED_BACK
    assert loop.status.history[0].digests == {}


def test_a_rollback_is_in_the_audit_log_and_a_broken_log_does_not_stop_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for target in (path, tmp_path / "missing" / "audit.jsonl"):
        loop = SmallLoop(audit=AuditLog(str(target))).rolling_out()
        loop.failing.add(loop.candidate())
        loop.tick(6)
        assert loop.status.phase is Phase.ROLLED_BACK
    records = [json.loads(line) for line in path.read_text().splitlines()]
    reasons = [record["reason"] for record in records]
    assert reasons.count("RollingBack") == 1
    assert reasons[-1] == "RolledBack"
    harm = records[reasons.index("RollingBack")]
    assert "% failed" in harm["checks"][0]["message"]


# -- who ------------------------------------------------------------------------------------------


def managed(manager: str, time: str, field: str = "f:spec", **more: Any) -> dict[str, Any]:
    return {"manager": manager, "time": time, "fieldsV1": {field: {}}, **more}


def test_who_changed_the_spec_last_is_the_newest_manager_of_it() -> None:
    meta = {
        "managedFields": [
            managed("argocd", "2026-01-02T00:00:00Z"),
            managed("kubectl-edit", "2026-01-03T00:00:00Z"),
            managed("sluice-cli", "2026-01-04T00:00:00Z", "f:metadata"),
            managed("sluice-controller", "2026-01-05T00:00:00Z", subresource="status"),
        ]
    }
    assert spec_manager(meta) == "kubectl-edit"
    assert spec_manager({}) is None


def test_the_annotation_goes_before_the_field_manager_also_in_the_watches_copy() -> None:
    obj = {"metadata": {"name": "iris", "managedFields": [managed("helm", "2026-01-02T00:00:00Z")]}}
    slim = slim_rollout(json.loads(json.dumps(obj)))
    assert "managedFields" not in slim["metadata"]
    assert changed_by(slim) == changed_by(obj) == "helm"
    slim["metadata"]["annotations"] = {"sluice.dev/changed-by": "mara@example.com"}
    assert changed_by(slim) == "mara@example.com"


def served(loop: SmallLoop) -> dict[str, int]:
    """Images of the SeldonDeployment by the traffic they get."""
    spec = loop.client.get(SELDON_DEPLOYMENTS, "iris", "prod")["spec"]
    return {
        p["componentSpecs"][0]["spec"]["containers"][0]["image"]: p.get("traffic", 100)
        for p in spec["predictors"]
    }


def test_a_deleted_deployment_comes_back_with_the_stable_and_its_present_size() -> None:
    loop = SmallLoop().rolling_out()
    loop.failing.add(loop.candidate())
    loop.tick(6)
    assert loop.status.phase is Phase.ROLLED_BACK
    loop.client.delete(SELDON_DEPLOYMENTS, "iris", "prod")
    loop.settle()
    loop.tick(2)
    assert served(loop) == {"repo/iris:1": 100}
    assert loop.status.phase is Phase.ROLLED_BACK


def test_a_kept_template_that_is_gone_or_changed_is_not_made() -> None:
    loop = SmallLoop().rolling_out()
    [stored] = loop.client.list(CONTROLLER_REVISIONS, "prod").items
    image = {"containers": [{"name": "classifier", "image": "repo/planted:1"}]}
    predictor = stored["data"]["template"]["spec"]["predictors"][0]
    predictor["componentSpecs"][0]["spec"] = image
    loop.client.delete(CONTROLLER_REVISIONS, stored["metadata"]["name"], "prod")
    planted = {**stored, "metadata": {"name": stored["metadata"]["name"]}}
    loop.client.create(CONTROLLER_REVISIONS, planted, "prod")
    loop.client.delete(SELDON_DEPLOYMENTS, "iris", "prod")
    loop.settle()
    assert "repo/planted:1" not in served(loop)
