"""Taking over what somebody made by hand, without touching a pod of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from trial import Trial, poll, serves, sluice

from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS
from sluice.sandbox.demo.scenarios import rollout as demo_rollout

Start = Callable[[str], Trial]


def by_hand(name: str) -> dict[str, Any]:
    """A SeldonDeployment as Seldon's own examples have it: `default`, no port named, no traffic."""
    spec = copy.deepcopy(demo_rollout("stable", replicas=2)["spec"]["template"]["spec"])
    spec["predictors"][0]["name"] = "default"
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": name, "namespace": "prod"},
        "spec": spec,
    }


def generations(rollout: Trial) -> dict[str, int]:
    return {d["metadata"]["name"]: d["metadata"]["generation"] for d in rollout.deployments()}


def test_an_existing_seldon_deployment_is_adopted_without_a_restart_and_rolled_on_from_there(
    start: Start,
) -> None:
    rollout = start("adopted")
    rollout.client.create(SELDON_DEPLOYMENTS, by_hand(rollout.name))
    poll(lambda: rollout.routes() == {"default": 100}, "it serves")
    rollout.start_load()
    poll(lambda: len(rollout.pods("default")) == 2, "there are two pods")
    pods, before = rollout.pod_uids("default"), generations(rollout)

    rollout.client.create(MODEL_ROLLOUTS, rollout.manifest("stable", replicas=2), "prod")
    status = rollout.until(serves, "it is taken over")
    assert status.adopted is True
    assert status.stable is not None
    assert status.stable.predictor == "default"
    assert status.history == []
    assert rollout.predictors() == {"default": 100}

    held = {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "pause": True}]}
    rollout.change("better", replicas=2, canary=held)
    rollout.until_judged()
    judged = rollout.until(lambda s: s.pause is not None, "it waits in mid-rollout")
    assert rollout.pod_uids("default") == pods, "the same pods serve"
    assert generations(rollout).items() >= before.items(), "their Deployment was not touched"
    assert judged.candidate is not None
    candidates = rollout.pod_uids(judged.candidate.predictor)

    assert sluice(rollout.cluster, "resume", rollout.name).returncode == 0
    rollout.until_ended("Promoted")
    assert rollout.predictors() == {judged.candidate.predictor: 100}
    poll(lambda: not rollout.pods("default"), "the pods made by hand are gone")
    assert rollout.pod_uids(judged.candidate.predictor) == candidates
    assert rollout.failures() == []
