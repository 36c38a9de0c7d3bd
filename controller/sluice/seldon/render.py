"""From the template to what is written: the predictor, and the SeldonDeployment around it."""

from __future__ import annotations

import copy
from typing import Any

from sluice.api.names import NAME_LIMIT
from sluice.errors import SpecError
from sluice.resources import SELDON_DEPLOYMENTS
from sluice.seldon.canonical import READINESS
from sluice.seldon.containers import (
    CONTAINER_LABEL_PREFIX,
    METRICS,
    SERVICE_NAME_ANNOTATION,
    declared_port,
    explicit_metrics_ports,
    model_containers,
)
from sluice.seldon.objects import Frozen, Json

_PREDICTOR_NAME_LENGTH = 9
_APPLIED_BY_KUBECTL = "kubectl.kubernetes.io/last-applied-configuration"


def template_predictor(template: Frozen) -> Json:
    """The template's one predictor. Raises SpecError `OnePredictor` unless there is exactly one."""
    predictors = (template.get("spec") or {}).get("predictors") or []
    if len(predictors) != 1:
        raise SpecError(
            "OnePredictor",
            f"spec.template.spec.predictors must hold exactly one predictor, found "
            f"{len(predictors)}: Sluice adds the second one by itself",
        )
    result: Json = predictors[0]
    return result


def rendered(template: Frozen, *, name: str, replicas: int | None) -> Json:
    """The predictor as Sluice adds it. `traffic` is the patch's to set.

    Every model container gets an explicit port named `metrics` (else removing another predictor
    would renumber it and roll its pods), and a readiness probe by HTTP where there is none and the
    Python server's /health/ping exists (protocol `seldon`). The probe names the port `http`, which
    Seldon adds to the container unless it is declared.
    """
    predictor = copy.deepcopy(template_predictor(template))
    for field in ("traffic", "shadow", "replicas"):
        predictor.pop(field, None)
    predictor = {"name": name, **{k: v for k, v in predictor.items() if k != "name"}}
    if replicas is not None:
        predictor["replicas"] = replicas
    probed = ((template.get("spec") or {}).get("protocol") or "seldon") == "seldon"
    ports = explicit_metrics_ports(predictor)
    for unit, port in zip(model_containers(predictor), ports, strict=True):
        containers = predictor["componentSpecs"][unit.component]["spec"]["containers"]
        container = containers[unit.container]
        if declared_port(container, METRICS) is None:
            container["ports"] = [*(container.get("ports") or []), metrics_port(port)]
        if probed and not container.get("readinessProbe"):
            container["readinessProbe"] = copy.deepcopy(READINESS)
    return predictor


def metrics_port(number: int) -> Json:
    """The port as it is written into a container."""
    return {"name": METRICS, "containerPort": number, "protocol": "TCP"}


def new_seldon_deployment(
    template: Frozen,
    *,
    name: str,
    namespace: str,
    predictor: Frozen,
    owner: Frozen | None,
) -> Json:
    """The whole SeldonDeployment with `predictor` alone at 100%. `owner` is an ownerReference."""
    given = template.get("metadata") or {}
    metadata: Json = {"name": name, "namespace": namespace}
    labels = dict(given.get("labels") or {})
    annotations = {
        k: v for k, v in (given.get("annotations") or {}).items() if k != _APPLIED_BY_KUBECTL
    }
    if labels:
        metadata["labels"] = labels
    if annotations:
        metadata["annotations"] = annotations
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    spec: dict[str, Any] = copy.deepcopy(dict(template.get("spec") or {}))
    spec["predictors"] = [{**copy.deepcopy(dict(predictor)), "traffic": 100}]
    return {
        "apiVersion": SELDON_DEPLOYMENTS.api_version,
        "kind": SELDON_DEPLOYMENTS.kind,
        "metadata": metadata,
        "spec": spec,
    }


def check_names(template: Frozen, sdep_name: str, namespace: str) -> None:
    """Refuse what Seldon would accept and then leave half-made.

    Over-long names of objects are no trouble (Seldon hashes them), but label keys and values made
    of names are not hashed. Raises SpecError `NameTooLong` or `FixedServiceName`.
    """
    predictor = template_predictor(template)
    if len(f"/seldon/{namespace}/{sdep_name}/") > 253 or len(sdep_name) > (
        NAME_LIMIT - 1 - _PREDICTOR_NAME_LENGTH
    ):
        raise SpecError(
            "NameTooLong",
            f"the SeldonDeployment's name must have at most "
            f"{NAME_LIMIT - 1 - _PREDICTOR_NAME_LENGTH} characters, so that the Service of a "
            f"predictor (<name>-v<revision>) keeps to {NAME_LIMIT}; {sdep_name!r} has "
            f"{len(sdep_name)}. Set a shorter spec.seldonDeploymentName",
        )
    longest = NAME_LIMIT - len(CONTAINER_LABEL_PREFIX)
    for unit in model_containers(predictor):
        if len(unit.name) > longest:
            raise SpecError(
                "NameTooLong",
                f"a container of the graph must have a name of at most {longest} characters, "
                f"because Seldon makes the label {CONTAINER_LABEL_PREFIX}<name> of it; "
                f"{unit.name!r} (spec.template.spec.predictors[0].componentSpecs"
                f"[{unit.component}].spec.containers[{unit.container}]) has {len(unit.name)}",
            )
    if (predictor.get("annotations") or {}).get(SERVICE_NAME_ANNOTATION):
        raise SpecError(
            "FixedServiceName",
            f"the predictor's annotation {SERVICE_NAME_ANNOTATION} must be left out: stable and "
            "candidate would share one Service, and neither could be sent a share of the traffic",
        )
