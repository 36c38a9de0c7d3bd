"""SeldonDeployments and Deployment statuses as the contract cases need them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def predictor(
    name: str,
    traffic: int | None = None,
    *,
    image: str = "repo/m:1",
    metrics: bool = True,
    **more: Any,
) -> Json:
    container: Json = {"name": "model", "image": image}
    if metrics:
        container["ports"] = [{"name": "metrics", "containerPort": 6000, "protocol": "TCP"}]
    made: Json = {
        "name": name,
        "graph": {"name": "model", "type": "MODEL", "endpoint": {"type": "REST"}, "children": []},
        "componentSpecs": [{"spec": {"containers": [container]}}],
        "replicas": 1,
    }
    if traffic is not None:
        made["traffic"] = traffic
    return {**made, **more}


def seldon_deployment(*predictors: Json, **spec: Any) -> Json:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris", "namespace": "prod", "uid": "1"},
        "spec": {"name": "iris", "predictors": list(predictors), **spec},
    }


def condition(kind: str, status: str, reason: str) -> Json:
    return {"type": kind, "status": status, "reason": reason}


def ready(pods: int = 1, generation: int = 1) -> Json:
    """The status of a Deployment with all its pods ready."""
    return {
        "observedGeneration": generation,
        "replicas": pods,
        "updatedReplicas": pods,
        "readyReplicas": pods,
        "availableReplicas": pods,
        "conditions": [
            condition("Available", "True", "MinimumReplicasAvailable"),
            condition("Progressing", "True", "NewReplicaSetAvailable"),
        ],
    }


def unready(pods: int = 1, of: int = 1, *, progressing: bool = True) -> Json:
    """The status of a Deployment with `pods` of its `of` pods not ready."""
    whole = ready(of)
    whole["unavailableReplicas"] = pods
    for key in ("readyReplicas", "availableReplicas"):
        whole[key] = of - pods
    whole["conditions"] = [
        condition("Available", "False", "MinimumReplicasUnavailable"),
        condition("Progressing", str(progressing), "ReplicaSetUpdated"),
    ]
    return whole
