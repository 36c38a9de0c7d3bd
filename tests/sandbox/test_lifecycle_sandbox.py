"""What happens to a rollout in its life: superseded, deleted, one of many, scaled, written down."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_adoption_sandbox import by_hand
from trial import (
    NAMESPACE,
    Followed,
    Trial,
    controller_with,
    measured,
    poll,
    serves,
    sluice,
    split_of,
)

from sluice.api.status import Phase, Verdict
from sluice.errors import NotFoundError
from sluice.resources import DEPLOYMENTS, MODEL_ROLLOUTS, SELDON_DEPLOYMENTS, VIRTUAL_SERVICES
from sluice.sandbox.demo.scenarios import IMAGE
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
LONG = {"steps": [{"weight": 20, "hold": "10m"}]}
ONE_STEP = {"steps": [{"weight": 50, "hold": "1s"}]}


@pytest.fixture(scope="module")
def audit(cluster: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    log = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    with controller_with(cluster, f"--audit-log={log}"):
        yield log


def gone(rollout: Trial) -> bool:
    try:
        rollout.client.get(SELDON_DEPLOYMENTS, rollout.name, NAMESPACE)
    except NotFoundError:
        return not rollout.deployments()
    return False


def more_requests(rollout: Trial, count: int) -> None:
    before = len(rollout.answered())
    poll(lambda: len(rollout.answered()) >= before + count, f"{count} more requests")


def test_set_image_in_mid_rollout_supersedes_the_candidate_and_wait_tells_who_won(
    start: Start,
) -> None:
    rollout = start("newer")
    cluster, name = rollout.cluster, rollout.name
    rollout.create(canary=LONG)
    said = sluice(cluster, "set-image", name, IMAGE.format(variant="better"))
    assert said.returncode == 0, said.stderr
    first = rollout.until_judged().candidate
    assert first is not None
    said = sluice(cluster, "set-image", name, IMAGE.format(variant="better-two"))
    assert said.returncode == 0, said.stderr
    second = rollout.until(
        lambda s: s.phase is Phase.STEPPING and s.candidate not in (None, first), "the newer one"
    ).candidate
    assert second is not None
    assert sluice(cluster, "promote", name, "--full").returncode == 0
    waited = sluice(cluster, "wait", name, "--for=promoted", "--timeout=480")
    assert waited.returncode == 0, waited.stderr
    lost = sluice(cluster, "wait", name, f"--revision={first.revision}", "--timeout=480")
    assert (lost.returncode, "Superseded" in lost.stderr) == (1, True), lost.stderr
    status = rollout.until_ended("Promoted")
    assert [e.outcome for e in status.history] == ["Promoted", "Superseded"]
    assert [e.revision for e in status.history] == [second.revision, first.revision]
    assert rollout.predictors() == {second.predictor: 100}
    assert rollout.failures() == []


def test_a_deleted_rollout_takes_the_model_along_or_leaves_it_serving_as_its_policy_says(
    start: Start,
) -> None:
    deleted, orphaned, adopted = start("deleted"), start("orphan"), start("byhand")
    adopted.client.create(SELDON_DEPLOYMENTS, by_hand(adopted.name))
    deleted.create(rate=0)
    orphaned.create(deletionPolicy="Orphan")
    poll(lambda: adopted.routes() == {"default": 100}, "it serves")
    adopted.start_load()
    adopted.client.create(MODEL_ROLLOUTS, adopted.manifest("stable", replicas=2), NAMESPACE)
    assert adopted.until(serves, "it is taken over").adopted is True
    orphaned.change("better", deletionPolicy="Orphan", canary=LONG)
    orphaned.until_judged()
    split, kept = orphaned.predictors(), (orphaned, adopted)
    assert sorted(split.values()) == [20, 80], "the one with a rollout in progress"
    pods = [{p: one.pod_uids(p) for p in one.predictors()} for one in kept]
    routes = [one.routes() for one in kept]

    for one in (*kept, deleted):
        one.client.delete(MODEL_ROLLOUTS, one.name, NAMESPACE)
    # The garbage collector takes what was deleted last: it has looked at the others by then.
    poll(lambda: gone(deleted), "the model of the deleted one goes")
    for one in kept:
        more_requests(one, 40)
    assert [{p: one.pod_uids(p) for p in one.predictors()} for one in kept] == pods
    assert [one.routes() for one in kept] == routes
    assert orphaned.predictors() == split
    assert [one.failures() for one in kept] == [[], []]


def test_six_rollouts_at_once_end_each_as_its_model_deserves_and_none_harms_another(
    start: Start,
) -> None:
    ends = {
        "better": ("Promoted", "AllChecksPassed"),
        "better-two": ("Promoted", "AllChecksPassed"),
        "faulty": ("RolledBack", "HarmDetected"),
        "crashing": ("RolledBack", "ProgressDeadlineExceeded"),
    }
    variants = ["better", "faulty", "better", "crashing", "better-two", "faulty"]
    everyone = [(start("many"), variant) for variant in variants]
    for one, _ in everyone:
        one.client.create(MODEL_ROLLOUTS, one.manifest("stable"), NAMESPACE)
    for one, _ in everyone:
        one.until(serves, "the stable serves")
        one.start_load(15)
    stables = [one.status().stable for one, _ in everyone]
    for one, variant in everyone:
        deadline = 12 if variant == "crashing" else 120
        one.change(variant, canary=ONE_STEP, progressDeadlineSeconds=deadline)
    candidates = [one.until_candidate() for one, _ in everyone]
    for (one, variant), stable, candidate in zip(everyone, stables, candidates, strict=True):
        outcome, reason = ends[variant]
        status = one.until_ended(outcome)
        assert status.history[0].reason == reason
        serving = candidate if outcome == "Promoted" else stable
        assert status.stable == serving
        assert serving is not None
        assert one.predictors() == {serving.predictor: 100}
        blamed = candidate.predictor if variant == "faulty" else ""
        assert one.failures(besides=blamed) == []


class Capacity:
    """The candidate's shares, and how many pods were ready when it got each: from two watches."""

    def __init__(self, rollout: Trial) -> None:
        self._name, client = rollout.name, rollout.client
        self._routes = Followed(client, VIRTUAL_SERVICES, NAMESPACE, name=rollout.name)
        self._deployments = Followed(
            client, DEPLOYMENTS, NAMESPACE, label_selector=f"seldon-deployment-id={rollout.name}"
        )

    def of(self, predictor: str) -> list[tuple[int, int]]:
        """(share, ready pods), oldest first; the watches end."""
        found: list[tuple[int, str, int]] = []
        for version, obj in self._routes.all():
            found.append((version, "share", split_of(obj).get(predictor, 0)))
        for version, obj in self._deployments.all():
            if obj["metadata"]["name"].startswith(f"{self._name}-{predictor}-"):
                pods = (obj.get("status") or {}).get("availableReplicas", 0)
                found.append((version, "pods", pods))
        self._routes.stop()
        self._deployments.stop()
        share = ready = 0
        seen = []
        for _, what, number in sorted(found):
            if what == "pods":
                ready = number
            elif number != share:
                share = number
                seen.append((share, ready))
        return seen


def test_a_candidate_in_step_has_the_pods_for_its_share_before_it_gets_it(start: Start) -> None:
    rollout = start("instep")
    rollout.create(replicas=4)
    capacity = Capacity(rollout)
    rollout.change("better", replicas=4, canary={"candidateReplicas": {"mode": "InStep"}})
    candidate = rollout.until_candidate()
    rollout.until_ended("Promoted")
    assert capacity.of(candidate.predictor) == [(20, 1), (50, 2), (95, 4), (100, 4)]
    assert len(rollout.pods(candidate.predictor)) == 4
    assert rollout.failures() == []


def scaled(rollout: Trial, variant: str) -> dict[str, Any]:
    """The template with an autoscaler."""
    template: dict[str, Any] = rollout.manifest(variant)["spec"]["template"]
    predictor = template["spec"]["predictors"][0]
    predictor["componentSpecs"][0]["hpaSpec"] = {
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70},
                },
            }
        ],
    }
    return template


def test_an_autoscaled_predictor_keeps_the_pods_its_autoscaler_gave_it(start: Start) -> None:
    rollout = start("hpa")
    canary = {"canary": {**LONG, "candidateReplicas": {"mode": "InStep"}}}
    rollout.create(template=scaled(rollout, "stable"))
    rollout.change("better", template=scaled(rollout, "better"), **copy.deepcopy(canary))
    rollout.until_judged()
    assert len(rollout.deployments()) == 2
    # As the autoscaler would. The controller manager of the sandbox has none.
    names = [d["metadata"]["name"] for d in rollout.deployments()]
    for name in names:
        rollout.client.merge_patch(DEPLOYMENTS, name, NAMESPACE, {"spec": {"replicas": 2}})

    def replicas() -> dict[str, int]:
        return {d["metadata"]["name"]: d["spec"]["replicas"] for d in rollout.deployments()}

    def whole() -> bool:
        found = rollout.deployments()
        return all((d.get("status") or {}).get("availableReplicas") == 2 for d in found)

    poll(whole, "all four pods are ready")
    more_requests(rollout, 60)
    assert replicas() == dict.fromkeys(names, 2)
    assert rollout.status().phase is Phase.STEPPING
    assert sluice(rollout.cluster, "promote", rollout.name, "--full").returncode == 0
    promoted = rollout.until_ended("Promoted")
    assert promoted.stable is not None
    [left] = poll_one_deployment(rollout)
    assert left["spec"]["replicas"] == 2
    assert rollout.failures() == []


def poll_one_deployment(rollout: Trial) -> list[dict[str, Any]]:
    poll(lambda: len(rollout.deployments()) == 1, "the old Deployment is gone")
    return rollout.deployments()


def test_every_decision_is_in_the_audit_log_and_the_past_can_be_asked_for(
    start: Start, audit: Path, tmp_path: Path
) -> None:
    rollout = start("audit")
    cluster, name = rollout.cluster, rollout.name
    rollout.create()
    first = rollout.status().stable
    assert first is not None
    assert sluice(cluster, "diff", name).returncode == 0, "nothing to do"
    rollout.change("faulty")
    bad = rollout.until_candidate()
    rollout.until_ended("RolledBack")
    assert sluice(cluster, "wait", name, "--for=promoted", "--timeout=480").returncode == 3
    wanted = rollout.manifest("better")
    file = tmp_path / "wanted.yaml"
    file.write_text(yaml.safe_dump(wanted))
    compared = sluice(cluster, "diff", "-f", str(file))
    assert compared.returncode == 1, compared.stderr
    added = [line for line in compared.stdout.splitlines() if line.startswith("+")]
    assert any(IMAGE.format(variant="better") in line for line in added), compared.stdout
    assert sluice(cluster, "diff", "nobody").returncode == 2

    rollout.change("better", canary=ONE_STEP)
    waited = sluice(cluster, "wait", name, "--for=promoted", "--timeout=480")
    assert waited.returncode == 0, waited.stderr
    status = rollout.until_ended("Promoted")
    good = status.stable
    assert good is not None

    def records() -> list[dict[str, Any]]:
        whole, _, _ = audit.read_text().rpartition("\n")
        return [r for r in map(json.loads, whole.splitlines()) if r["rollout"] == name]

    # A line is written once the status is.
    poll(lambda: any(r["reason"] == "Promoted" for r in records()), "the last line of the log")
    ours = records()
    told = [(r["revision"], r["reason"]) for r in ours]
    for decision in (
        (first.revision, "Created"),
        (bad.revision, "RolloutStarted"),
        (bad.revision, "RollingBack"),
        (bad.revision, "RolledBack"),
        (good.revision, "RolloutStarted"),
        (good.revision, "Promoted"),
    ):
        assert decision in told, told
    assert all(r["actor"] and r["generation"] for r in ours)
    [harm] = [r for r in ours if r["reason"] == "RollingBack"]
    [errors] = [c for c in harm["checks"] if c["name"] == "errors"]
    assert errors["verdict"] == Verdict.HARM
    assert errors["candidate"] > errors["stable"]
    assert errors["candidateSamples"] > 0

    between = status.history[1].ended_at
    assert between is not None
    asked = sluice(cluster, "history", name, "--at", between, "-o", "json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["revision"] == first.revision
    now = status.history[0].ended_at
    assert now is not None
    asked = sluice(cluster, "history", name, "--at", now, "-o", "json")
    assert json.loads(asked.stdout)["revision"] == good.revision

    page = tmp_path / "page.html"
    made = sluice(cluster, "report", name, "-o", str(page), "--prometheus", cluster.prometheus.url)
    assert made.returncode == 0, made.stderr
    text = page.read_text()
    assert name in text
    assert "<svg" in text
    assert not any(away in text for away in ('src="http', 'href="http', "@import", "url(http"))
    assert rollout.failures(besides=bad.predictor) == []


def test_doctor_finds_nothing_wrong_with_the_sandbox_but_what_it_does_not_have(
    start: Start,
) -> None:
    rollout = start("doctor")
    rollout.create()
    more_requests(rollout, 80)
    counter = "seldon_api_executor_server_requests_seconds_count"
    query = f'sum({counter}{{deployment_name="{rollout.name}"}})'
    poll(lambda: measured(rollout.cluster, query) >= 80, "Prometheus has them")
    said = sluice(
        rollout.cluster, "doctor", "--prometheus", rollout.cluster.prometheus.url, "-o", "json"
    )
    findings = json.loads(said.stdout)["findings"]
    wrong = {f["id"]: f for f in findings if f["level"] == "error"}
    # Here the controller is a process, no Deployment, and Envoy is told by no Gateway of Istio's.
    assert set(wrong) == {"ControllerMissing", "GatewayMissing"}, wrong
    assert said.returncode == 1


def test_the_gateways_own_numbers_promote_a_good_model_and_roll_a_faulty_one_back(
    start: Start, cluster: Sandbox
) -> None:
    with controller_with(cluster, "--dialect=envoy"):
        rollout = start("envoy")
        rollout.create()
        rollout.change("faulty")
        bad = rollout.until_candidate()
        status = rollout.until_ended("RolledBack")
        assert status.history[0].reason == "HarmDetected"
        rollout.change("better", canary=ONE_STEP)
        rollout.until_candidate()
        status = rollout.until_ended("Promoted")
        assert status.history[0].reason == "AllChecksPassed"
        assert min(c.candidate_samples for c in status.history[0].checks) > 0
        assert rollout.failures(besides=bad.predictor) == []
