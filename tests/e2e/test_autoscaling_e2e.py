"""A real autoscaler with real CPU figures scales a predictor in mid-rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ground import HELD, Ground, Journey
from trial import poll

Start = Callable[[str], Journey]
RATE = 30.0


def scaled(rollout: Journey, variant: str) -> dict[str, Any]:
    """The template with an autoscaler that any load makes add pods."""
    template: dict[str, Any] = rollout.manifest(variant)["spec"]["template"]
    component = template["spec"]["predictors"][0]["componentSpecs"][0]
    for container in component["spec"]["containers"]:
        container["resources"] = {"requests": {"cpu": "10m"}}
    target = {"type": "AverageValue", "averageValue": "20m"}
    component["hpaSpec"] = {
        "minReplicas": 1,
        "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
    }
    return template


def test_an_autoscaler_adds_pods_in_mid_rollout_and_sluice_leaves_them(
    start: Start, cluster: Ground
) -> None:
    rollout = start("scaled")
    rollout.create(rate=RATE, template=scaled(rollout, "stable"))
    rollout.change("better", template=scaled(rollout, "better"), canary=HELD)
    candidate = rollout.until_candidate().predictor
    rollout.until(lambda s: s.pause is not None, "it waits in mid-rollout")
    poll(lambda: replicas(rollout, candidate) == 2, "the autoscaler has scaled the candidate")
    rollout.resume()
    rollout.until_ended("Promoted")
    assert replicas(rollout, candidate) == 2, "a promotion does not undo what the autoscaler did"
    assert rollout.count() == []


def replicas(rollout: Journey, predictor: str) -> int:
    found = [d for d in rollout.deployments() if f"-{predictor}-" in d["metadata"]["name"]]
    return int(found[0]["spec"]["replicas"]) if found else 0
