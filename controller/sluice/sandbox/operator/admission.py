"""What the validating webhook refuses, in the words of the real one. Pure.

The rules are those that were observed: several predictors without the shadow must sum to 100, a
single one may have anything but 1..99, and a good deal that looks wrong passes (-10/110, an unknown
graph type, an empty predictor name).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .layout import nodes
from .settings import Json

PROTOCOLS = ("seldon", "tensorflow", "kfserving", "v2")
INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True)
class Refusal:
    """The answer to a refused request: HTTP status, Status.reason and the sentence."""

    code: int
    reason: str
    message: str


@dataclass(frozen=True)
class FieldError:
    """One wrong value, worded as Kubernetes words them."""

    path: str
    value: str
    detail: str

    def __str__(self) -> str:
        return f'{self.path}: Invalid value: "{self.value}": {self.detail}'


def admit(old: Json | None, new: Json) -> Refusal | None:
    """None when the request may pass. `old` is None on create; no rule looks at it.

    The name in the sentence is `spec.name`, not `metadata.name`: so does the real webhook.
    """
    del old
    unreadable = _unreadable(new)
    if unreadable is not None:
        return unreadable
    found = errors_of(new)
    if not found:
        return None
    name = (new.get("spec") or {}).get("name", "")
    text = str(found[0]) if len(found) == 1 else "[" + ", ".join(map(str, found)) + "]"
    message = f'SeldonDeployment.machinelearing.seldon.io "{name}" is invalid: {text}'
    return Refusal(422, "Invalid", message)


def errors_of(sdep: Json) -> list[FieldError]:
    """Every broken rule, in the order in which the real webhook lists them."""
    spec = sdep.get("spec") or {}
    predictors = spec.get("predictors") or []
    found = []
    protocol = spec.get("protocol") or ""
    if protocol and protocol not in PROTOCOLS:
        found.append(FieldError("spec", protocol, "Invalid protocol"))
    if not predictors:
        return [*found, FieldError("spec", "", "Graph contains no predictors")]
    found += _predictor_errors(predictors)
    return found + _traffic_errors(predictors)


def _predictor_errors(predictors: list[Json]) -> list[FieldError]:
    found = []
    seen: set[str] = set()
    for index, predictor in enumerate(predictors):
        path = f"spec.predictors[{index}]"
        name = str(predictor.get("name", ""))
        if name in seen:
            found.append(FieldError(path, name, "Duplicate predictor name"))
        seen.add(name)
        if predictor.get("shadow") and len(predictors) == 1:
            found.append(FieldError(path, name, "Shadow can not exist as only predictor"))
        found += _graph_errors(path, predictor)
    return found


def _graph_errors(path: str, predictor: Json) -> list[FieldError]:
    containers = {
        container.get("name")
        for component in predictor.get("componentSpecs") or []
        for container in (component.get("spec") or {}).get("containers") or []
    }
    return [
        FieldError(
            f"{path}.graph", str(node.get("name", "")), "Can't find container for Predictive Unit"
        )
        for node in nodes(predictor.get("graph"))
        if node.get("name") not in containers and not node.get("implementation")
    ]


def _traffic_errors(predictors: list[Json]) -> list[FieldError]:
    first = str(predictors[0].get("name", ""))
    serving = [predictor for predictor in predictors if not predictor.get("shadow")]
    shadows = [predictor for predictor in predictors if predictor.get("shadow")]
    found = []
    for shadow in shadows:
        if not 0 <= _traffic(shadow) <= 100:
            detail = "shadow traffic is illegal, the traffic number should be between [0, 100]"
            found.append(FieldError("spec", str(shadow.get("name", "")), detail))
    for extra in shadows[1:]:
        name = str(extra.get("name", ""))
        found.append(FieldError("spec", name, "Multiple shadows are not allowed"))
    if len(serving) > 1 and sum(map(_traffic, serving)) != 100:
        detail = "Traffic must sum to 100 for multiple predictors"
        found.append(FieldError("spec", first, detail))
    if len(predictors) == 1 and serving and 0 < _traffic(serving[0]) < 100:
        detail = "Traffic must sum be 100 for a single predictor when set"
        found.append(FieldError("spec", first, detail))
    return found


def _traffic(predictor: Json) -> int:
    return int(predictor.get("traffic") or 0)


def _unreadable(sdep: Json) -> Refusal | None:
    """A number that the schema lets through, but that does not fit into an int32."""
    for predictor in (sdep.get("spec") or {}).get("predictors") or []:
        for key in ("traffic", "replicas"):
            value: Any = predictor.get(key)
            if isinstance(value, int) and value not in INT32:
                message = (
                    f"json: cannot unmarshal number {value} into Go struct field "
                    f"PredictorSpec.spec.predictors.{key} of type int32"
                )
                return Refusal(400, "", message)
    return None
