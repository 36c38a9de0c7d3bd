"""SeldonDeployments with the status that the operator's stand-in gives them.

The stand-in's status is held to recordings of the real operator by tests/contract.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from sluice.sandbox.operator.desired import desired
from sluice.sandbox.operator.settings import Settings
from sluice.sandbox.operator.status import Findings, status_of

Object = dict[str, Any]
NOW = "2026-11-20T12:00:00Z"
_OWNER = {"kind": "ModelRollout", "name": "iris", "uid": "u", "apiVersion": "sluice.dev/v1alpha1"}


def _predictor(name: str, traffic: int) -> Object:
    container = {"name": "classifier", "image": f"registry.example/iris:{name}"}
    return {
        "name": name,
        "traffic": traffic,
        "replicas": 2,
        "graph": {"name": "classifier", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }


def _new() -> Object:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris", "namespace": "prod", "uid": "s", "generation": 1},
        "spec": {"predictors": [_predictor("v1", 100)]},
    }


def _looked_at(sdep: Object, ready: int, *, stuck: bool = False) -> Object:
    wanted = desired(sdep, Settings())
    live = {}
    for deployment in wanted.deployments:
        one = copy.deepcopy(deployment)
        one["metadata"]["generation"] = 1
        answer = "False" if stuck else "True"
        one["status"] = {
            "observedGeneration": 1,
            "replicas": 2,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "conditions": [{"type": t, "status": answer} for t in ("Available", "Progressing")],
        }
        live[one["metadata"]["name"]] = one
    findings = Findings(live_deployments=live, ready=ready == 2)
    sdep["status"] = status_of(sdep.get("status") or {}, wanted, findings, NOW)
    return sdep


def _available() -> Object:
    return _looked_at(_new(), 2)


def _said_available_with_a_pod_missing() -> Object:
    sdep = _available()
    [deployment] = sdep["status"]["deploymentStatus"].values()
    deployment["availableReplicas"] = 1
    return sdep


def _candidate_just_added() -> Object:
    """For 30 to 90 ms the status is still that of before."""
    sdep = _available()
    sdep["spec"]["predictors"] = [_predictor("v1", 100), _predictor("v2", 0)]
    sdep["metadata"]["generation"] = 2
    return sdep


def _owned_and_failed() -> Object:
    sdep = _looked_at(_new(), 0, stuck=True)
    sdep["metadata"]["ownerReferences"] = [_OWNER]
    return sdep


MADE: dict[str, Callable[[], Object]] = {
    "new": _new,
    "creating": lambda: _looked_at(_new(), 0),
    "available": _available,
    "a pod is missing": _said_available_with_a_pod_missing,
    "a candidate was just added": _candidate_just_added,
    "failed": lambda: _looked_at(_new(), 0, stuck=True),
    "failed, and Sluice judges": _owned_and_failed,
}
EXPECTED = {
    "new": "Progressing",
    "creating": "Progressing",
    "available": "Healthy",
    "a pod is missing": "Progressing",
    "a candidate was just added": "Progressing",
    "failed": "Degraded",
    "failed, and Sluice judges": "Progressing",
}
