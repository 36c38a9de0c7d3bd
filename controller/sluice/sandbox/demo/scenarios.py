"""The five rollouts of the demo, and the objects they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAMESPACE = "prod"
NAME = "iris"
POLICY = "demo"
IMAGE = "sluice.dev/models/iris-{variant}:1.0"
PROMOTED = "Promoted"
ROLLED_BACK = "RolledBack"


@dataclass(frozen=True)
class Scenario:
    """One rollout: which model comes in, what is to happen, and why it is shown."""

    name: str
    variant: str
    expected: str
    story: str
    outage: bool = False
    deadline_seconds: int = 120


SCENARIOS = (
    Scenario("better", "better", PROMOTED, "a better model: promoted on evidence"),
    Scenario("faulty", "faulty", ROLLED_BACK, "raises on some inputs: rolled back on errors"),
    Scenario("slow", "slow", ROLLED_BACK, "answers late: rolled back on latency"),
    Scenario(
        "crashing",
        "crashing",
        ROLLED_BACK,
        "never becomes ready: gets no traffic, taken out at the deadline",
        deadline_seconds=20,
    ),
    Scenario(
        "outage",
        "better-two",
        PROMOTED,
        "a healthy model while Prometheus is down for a while: held, then promoted",
        outage=True,
    ),
)


def rollout(variant: str, *, replicas: int = 2, deadline_seconds: int = 120) -> dict[str, Any]:
    """The ModelRollout `prod/iris` with one of the model images."""
    container = {
        "name": "classifier",
        "image": IMAGE.format(variant=variant),
        "readinessProbe": {
            "httpGet": {"path": "/health/ping", "port": "http"},
            "periodSeconds": 1,
            "failureThreshold": 3,
        },
    }
    predictor = {
        "graph": {"name": "classifier", "type": "MODEL"},
        "replicas": replicas,
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "template": {"spec": {"protocol": "seldon", "predictors": [predictor]}},
            "policyRef": {"kind": "ClusterCanaryPolicy", "name": POLICY},
            "progressDeadlineSeconds": deadline_seconds,
            "source": {"variant": variant},
        },
    }
