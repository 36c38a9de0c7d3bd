"""The set-ups that recordings of repeated tries leave out. Each step there is one try."""

from __future__ import annotations

from .recordings import Json, Recording

STABLE, CANDIDATE = "iris-main-0-model", "iris-canary-0-model"
_REMOVE = [
    {"op": "test", "path": "/spec/predictors/1/name", "value": "canary"},
    {"op": "remove", "path": "/spec/predictors/1"},
    {"op": "replace", "path": "/spec/predictors/0/traffic", "value": 100},
]
_NEW_IMAGE = [
    {
        "op": "replace",
        "path": "/spec/predictors/0/componentSpecs/0/spec/containers/0/image",
        "value": "repo/m:9",
    }
]
_UNREADY: Json = {"set_pods_unready": {"deployment": STABLE, "count": 1}}
_REMOVED: Json = {"json_patch": _REMOVE, "name": "iris"}
_ROLLING: Json = {"json_patch": _NEW_IMAGE, "name": "iris"}


# Held in a status of the Deployment that lasts about 20 ms: one try may be lost.
_RACES = ("29q",)


def is_race(recording: Recording) -> bool:
    """Whether an ordinary sequence of steps depends on who is first."""
    return _number(recording) in _RACES


def left_out(recording: Recording, step: Json) -> list[Json] | None:
    """What must be done before one try; None if the file is an ordinary sequence of steps."""
    number = _number(recording)
    if number in ("29e3", "29l"):
        return [*_two_predictors(), _UNREADY, _REMOVED]
    if number == "29q2":
        return [*_two_predictors(), _ROLLING, _REMOVED]
    if number == "29q3":
        return [*_two_predictors(), _ROLLING]
    if number == "29r":
        frozen = not step.get("note", "").startswith("not frozen")
        return [*_two_predictors(), *([_UNREADY] if frozen else [])]
    return None


def _number(recording: Recording) -> str:
    return recording.name.removeprefix("op-").split("-")[0]


def _two_predictors() -> list[Json]:
    """Stable with three pods and a candidate with one, 80/20, everything ready."""
    create = {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "metadata": {"name": "iris", "namespace": "prod"},
        "spec": {
            "name": "iris",
            "predictors": [
                _predictor("main", "repo/m:1", 80, 3),
                _predictor("canary", "repo/m:2", 20, 1),
            ],
        },
    }
    return [
        {"create": create},
        {"set_pods_ready": {"deployment": STABLE, "count": "all"}},
        {"set_pods_ready": {"deployment": CANDIDATE, "count": "all"}},
    ]


def _predictor(name: str, image: str, traffic: int, replicas: int) -> Json:
    port = {"name": "metrics", "containerPort": 6000, "protocol": "TCP"}
    container = {"name": "model", "image": image, "ports": [port]}
    return {
        "name": name,
        "graph": {"name": "model", "type": "MODEL", "endpoint": {"type": "REST"}, "children": []},
        "componentSpecs": [{"spec": {"containers": [container]}}],
        "traffic": traffic,
        "replicas": replicas,
    }
