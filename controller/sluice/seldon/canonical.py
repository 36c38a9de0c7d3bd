"""A predictor without what makes no difference to its pods.

Two predictors with equal canonical forms run the same pods but for their names. So an object that
went through Seldon's and the API server's defaulting is adopted without a restart, and a predictor
as Sluice writes it has the revision of the template it came from.

Left out, because it changes no pod: name, traffic, replicas, shadow, progressDeadlineSeconds.
Left out, because it is what would be there anyway: the ports, probes, environment, volumes and
hooks that Seldon adds, the API server's defaults, empty values.
Kept, because Seldon hands it to the engine and so rolls the pods: hpaSpec, kedaSpec, pdbSpec,
svcOrchSpec, labels and annotations of the predictor, everything else in componentSpecs.
"""

from __future__ import annotations

import copy
from typing import Any

from sluice.seldon.containers import (
    FIRST_GRPC_PORT,
    FIRST_HTTP_PORT,
    METRICS,
    containers_of,
    explicit_metrics_ports,
    model_containers,
)
from sluice.seldon.objects import Frozen, Json

_NOT_THE_PODS = ("name", "traffic", "replicas", "shadow", "progressDeadlineSeconds")
_POD_INFO = "seldon-podinfo"
_SELDONS_ENV = frozenset(
    {
        "PREDICTIVE_UNIT_SERVICE_PORT",
        "PREDICTIVE_UNIT_HTTP_SERVICE_PORT",
        "PREDICTIVE_UNIT_GRPC_SERVICE_PORT",
        "PREDICTIVE_UNIT_METRICS_SERVICE_PORT",
        "PREDICTIVE_UNIT_METRICS_ENDPOINT",
        "PREDICTIVE_UNIT_ID",
        "PREDICTIVE_UNIT_IMAGE",
        "PREDICTOR_ID",
        "PREDICTOR_LABELS",
        "SELDON_DEPLOYMENT_ID",
        "SELDON_EXECUTOR_ENABLED",
        "MLSERVER_HTTP_PORT",
        "MLSERVER_GRPC_PORT",
        "MLSERVER_METRICS_PORT",
        "MLSERVER_METRICS_ENDPOINT",
        "MLSERVER_MODEL_NAME",
    }
)
_POD_DEFAULTS: Json = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 20,  # Seldon's own, not Kubernetes' 30
}
_CONTAINER_DEFAULTS: Json = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}
_PROBE_DEFAULTS: Json = {
    "initialDelaySeconds": 0,
    "timeoutSeconds": 1,
    "periodSeconds": 10,
    "successThreshold": 1,
    "failureThreshold": 3,
}
_PRE_STOP: Json = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}}
_ENDPOINT_SET_BY_SELDON = ("service_host", "service_port", "httpPort", "grpcPort")

READINESS: Json = {
    "httpGet": {"path": "/health/ping", "port": "http"},
    "initialDelaySeconds": 5,
    "periodSeconds": 5,
    "timeoutSeconds": 2,
}
"""The probe Sluice adds where the user gave none: Seldon's own only looks for an open port."""


def canonical(predictor: Frozen) -> Json:
    """The predictor as JSON that is equal for predictors with equal pods."""
    result: Json = {
        key: copy.deepcopy(value) for key, value in predictor.items() if key not in _NOT_THE_PODS
    }
    labels = result.get("labels")
    if labels and labels.get("version") == predictor.get("name"):
        del labels["version"]
    result["graph"] = _node(result.get("graph") or {})
    _metrics_written_down(result)
    units = {(c.component, c.container): i for i, c in enumerate(model_containers(result))}
    for i, component in enumerate(result.get("componentSpecs") or []):
        (component.get("metadata") or {}).pop("creationTimestamp", None)
        for j, container in enumerate(containers_of(component)):
            _container(container, units.get((i, j)))
        pod = component.get("spec") or {}
        for container in pod.get("initContainers") or []:
            _container(container, None)
        _pod(pod)
    pruned = _without_empty(result)
    return pruned if isinstance(pruned, dict) else {}


def _node(node: Json) -> Json:
    endpoint = dict(node.get("endpoint") or {})
    for key in _ENDPOINT_SET_BY_SELDON:
        endpoint.pop(key, None)
    if endpoint.get("type") == "REST":
        del endpoint["type"]
    result = {k: v for k, v in node.items() if k not in ("children", "endpoint")}
    for key, nothing in (
        ("implementation", "UNKNOWN_IMPLEMENTATION"),
        ("type", "UNKNOWN_TYPE"),
    ):
        if result.get(key) == nothing:
            del result[key]
    children = [_node(child) for child in node.get("children") or []]
    return {**result, "endpoint": endpoint, "children": children}


def _metrics_written_down(predictor: Json) -> None:
    """Number the metrics ports as `rendered` does, so that explicit and implicit are equal."""
    ports = explicit_metrics_ports(predictor)
    for unit, number in zip(model_containers(predictor), ports, strict=True):
        container = predictor["componentSpecs"][unit.component]["spec"]["containers"][
            unit.container
        ]
        others = [p for p in container.get("ports") or [] if p.get("name") != METRICS]
        container["ports"] = [*others, {"name": METRICS, "containerPort": number}]


def _container(container: Json, unit: int | None) -> None:
    """`unit` is the container's place among the model containers, None for any other."""
    _drop_equal(container, _CONTAINER_DEFAULTS)
    for port in container.get("ports") or []:
        _drop_equal(port, {"protocol": "TCP"})
    for variable in container.get("env") or []:
        _drop_equal((variable.get("valueFrom") or {}).get("fieldRef") or {}, {"apiVersion": "v1"})
    http = _http_port(container, unit)
    for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(kind)
        if probe and unit is not None and _is_added(kind, probe, http):
            del container[kind]
        elif probe:
            _probe(probe)
    if unit is None:
        return
    added = (("http", FIRST_HTTP_PORT + unit), ("grpc", FIRST_GRPC_PORT + unit))
    container["ports"] = sorted(
        (
            p
            for p in container.get("ports") or []
            if (p.get("name"), p.get("containerPort")) not in added
        ),
        key=lambda p: str(p.get("name", "")),
    )
    container["env"] = [v for v in container.get("env") or [] if v.get("name") not in _SELDONS_ENV]
    container["volumeMounts"] = [
        m for m in container.get("volumeMounts") or [] if m.get("name") != _POD_INFO
    ]
    if container.get("lifecycle") == _PRE_STOP:
        del container["lifecycle"]


def _http_port(container: Json, unit: int | None) -> int | None:
    for port in container.get("ports") or []:
        if port.get("name") == "http":
            return int(port["containerPort"])
    return None if unit is None else FIRST_HTTP_PORT + unit


def _is_added(kind: str, probe: Json, http: int | None) -> bool:
    """A probe as Seldon adds it by itself, or as Sluice does."""
    full = {**_PROBE_DEFAULTS, **probe}
    delay = {"livenessProbe": 60, "readinessProbe": 20}.get(kind)
    seldons = {
        **_PROBE_DEFAULTS,
        "tcpSocket": {"port": http},
        "initialDelaySeconds": delay,
        "periodSeconds": 5,
    }
    if full == seldons or full == {**seldons, "tcpSocket": {"port": "http"}}:
        return True
    full["httpGet"] = {k: v for k, v in (full.get("httpGet") or {}).items() if v != "HTTP"}
    return kind == "readinessProbe" and full == {**_PROBE_DEFAULTS, **READINESS}


def _probe(probe: Json) -> None:
    _drop_equal(probe, _PROBE_DEFAULTS)
    _drop_equal(probe.get("httpGet") or {}, {"scheme": "HTTP"})


def _pod(pod: Json) -> None:
    _drop_equal(pod, _POD_DEFAULTS)
    if pod.get("serviceAccount") == pod.get("serviceAccountName"):
        pod.pop("serviceAccount", None)  # the old name of the same field, mirrored by the server
    if "volumes" in pod:
        pod["volumes"] = [v for v in pod["volumes"] or [] if v.get("name") != _POD_INFO]
        for volume in pod["volumes"]:
            for source in volume.values():
                if isinstance(source, dict):
                    _drop_equal(source, {"defaultMode": 420})


def _drop_equal(values: Json, defaults: Json) -> None:
    for key, default in defaults.items():
        if key in values and values[key] == default:
            del values[key]


def _without_empty(value: Any, key: str = "") -> Any:
    """Without empty members. A selector stays: an empty one selects all, a missing one nothing."""
    if isinstance(value, dict):
        pruned = {k: _without_empty(v, k) for k, v in value.items()}
        return {
            k: v
            for k, v in pruned.items()
            if v not in ({}, [], "", None) or (v == {} and k.lower().endswith("selector"))
        }
    if isinstance(value, list):
        return [_without_empty(item, key) for item in value]
    return value
