"""Pod templates: the model's containers with what is added to them, and the engine.

Every value the API server would fill in is written here too, so that a template that was read back
equals the one that was made.
"""

from __future__ import annotations

import base64
import copy
import json

from .layout import Layout, Unit
from .names import deployment_id
from .settings import ENGINE_CONTAINER, Json, Settings

_PODINFO = "seldon-podinfo"
_CONTAINER_DEFAULTS: Json = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}


def template(layout: Layout, component: int, deployment: str, settings: Settings) -> Json:
    """The pod template of one componentSpec; the engine rides along in the first one."""
    source = layout.components[component]
    pod = copy.deepcopy(source.get("spec") or {})
    pod["containers"] = [
        _model_container(container, layout, settings) for container in pod.get("containers") or []
    ]
    if component == 0 and layout.engine and not layout.separate_engine:
        pod["containers"].append(_engine_container(layout, settings))
    own = source.get("metadata") or {}
    labels = {**(own.get("labels") or {}), **pod_labels(layout, component, deployment)}
    return {
        "metadata": {
            "labels": labels,
            "annotations": {**(own.get("annotations") or {}), **_annotations(layout, settings)},
        },
        "spec": _with_pod_defaults(pod),
    }


def engine_template(layout: Layout, deployment: str, settings: Settings) -> Json:
    """The pod template of an engine in pods of its own."""
    pod: Json = {"containers": [_engine_container(layout, settings)]}
    return {
        "metadata": {
            "labels": engine_pod_labels(layout, deployment),
            "annotations": _annotations(layout, settings),
        },
        "spec": _with_pod_defaults(pod),
    }


def pod_labels(layout: Layout, component: int, deployment: str) -> dict[str, str]:
    """Labels of a component's pods; `seldon-app` only where the predictor's Service leads to."""
    labels = {
        **(layout.predictor.get("labels") or {}),
        "app": deployment,
        "app.kubernetes.io/managed-by": "seldon-core",
        "fluentd": "true",
        "seldon-deployment-id": deployment_id(layout.sdep),
        "version": layout.name,
    }
    if component == 0 and not layout.separate_engine:
        labels["seldon-app"] = layout.service
    for unit in layout.units_of(component):
        labels[f"seldon-app-svc-{unit.container}"] = unit.service
        if unit.label:
            labels[unit.label] = "true"
    if layout.predictor.get("shadow"):
        labels["seldon.io/shadow"] = "true"
    return labels


def engine_pod_labels(layout: Layout, deployment: str) -> dict[str, str]:
    """Labels of a separate engine's pods. Its deployment id is the Service's name, as recorded."""
    return {
        "app": deployment,
        "fluentd": "true",
        "seldon-app": layout.service,
        "seldon-deployment-id": layout.service,
        "version": layout.name,
    }


def _annotations(layout: Layout, settings: Settings) -> dict[str, str]:
    return {
        **layout.annotations,
        "prometheus.io/path": settings.metrics_path,
        "prometheus.io/scrape": "true",
    }


def _model_container(source: Json, layout: Layout, settings: Settings) -> Json:
    container = copy.deepcopy(source)
    unit = layout.units.get(container["name"])
    if unit is not None:
        container["ports"] = _ports(container, unit)
        container["env"] = [
            *(container.get("env") or []),
            *_model_env(container, unit, layout, settings),
        ]
        container.setdefault("livenessProbe", _tcp_probe(unit.http, 60))
        container.setdefault("readinessProbe", _tcp_probe(unit.http, 20))
        container.setdefault(
            "lifecycle", {"preStop": {"exec": {"command": ["/bin/sh", "-c", "/bin/sleep 10"]}}}
        )
        container.setdefault("volumeMounts", [])
        container["volumeMounts"].append({"name": _PODINFO, "mountPath": "/etc/podinfo"})
    container.setdefault("resources", {})
    return {**_CONTAINER_DEFAULTS, **container}


def _ports(container: Json, unit: Unit) -> list[Json]:
    declared = [{"protocol": "TCP", **port} for port in container.get("ports") or []]
    known = {port.get("name") for port in declared}
    wanted = (("metrics", unit.metrics), ("http", unit.http), ("grpc", unit.grpc))
    added = [
        {"name": name, "containerPort": number, "protocol": "TCP"}
        for name, number in wanted
        if name not in known
    ]
    return declared + added


def _model_env(container: Json, unit: Unit, layout: Layout, settings: Settings) -> list[Json]:
    service_port = unit.grpc if unit.endpoint == "GRPC" else unit.http
    labels = json.dumps(layout.labels, sort_keys=True, separators=(",", ":"))
    pairs = [
        ("PREDICTIVE_UNIT_SERVICE_PORT", service_port),
        ("PREDICTIVE_UNIT_HTTP_SERVICE_PORT", unit.http),
        ("MLSERVER_HTTP_PORT", unit.http),
        ("PREDICTIVE_UNIT_GRPC_SERVICE_PORT", unit.grpc),
        ("MLSERVER_GRPC_PORT", unit.grpc),
        ("PREDICTIVE_UNIT_ID", unit.container),
        ("MLSERVER_MODEL_NAME", unit.container),
        ("PREDICTIVE_UNIT_IMAGE", container.get("image", "")),
        ("PREDICTOR_ID", layout.name),
        ("PREDICTOR_LABELS", labels),
        ("SELDON_DEPLOYMENT_ID", layout.sdep),
        ("SELDON_EXECUTOR_ENABLED", "true"),
        ("PREDICTIVE_UNIT_METRICS_SERVICE_PORT", unit.metrics),
        ("PREDICTIVE_UNIT_METRICS_ENDPOINT", settings.metrics_path),
        ("MLSERVER_METRICS_PORT", unit.metrics),
        ("MLSERVER_METRICS_ENDPOINT", settings.metrics_path),
    ]
    taken = {entry["name"] for entry in container.get("env") or []}
    return [{"name": name, "value": str(value)} for name, value in pairs if name not in taken]


def _engine_container(layout: Layout, settings: Settings) -> Json:
    orchestrator = layout.predictor.get("svcOrchSpec") or {}
    share = {"cpu": settings.engine_cpu, "memory": settings.engine_memory}
    http, grpc = settings.engine_http_port, settings.engine_grpc_port
    return {
        "name": ENGINE_CONTAINER,
        "image": settings.engine_image,
        "args": _engine_args(layout, settings),
        "ports": [
            {"name": "http", "containerPort": http, "protocol": "TCP"},
            {"name": "metrics", "containerPort": http, "protocol": "TCP"},
            {"name": "grpc", "containerPort": grpc, "protocol": "TCP"},
        ],
        "env": [
            {"name": "ENGINE_PREDICTOR", "value": engine_predictor(layout, settings)},
            {"name": "REQUEST_LOGGER_DEFAULT_ENDPOINT", "value": settings.request_logger},
            *(orchestrator.get("env") or []),
        ],
        "resources": orchestrator.get("resources") or {"limits": share, "requests": share},
        "volumeMounts": [{"name": _PODINFO, "mountPath": "/etc/podinfo"}],
        "livenessProbe": _http_probe("/live", http),
        "readinessProbe": _http_probe("/ready", http),
        **_CONTAINER_DEFAULTS,
        "securityContext": {
            "runAsUser": settings.engine_user,
            "allowPrivilegeEscalation": False,
        },
    }


def _engine_args(layout: Layout, settings: Settings) -> list[str]:
    endpoints = [unit.endpoint for unit in layout.units.values()]
    transport = layout.transport or ("grpc" if endpoints[:1] == ["GRPC"] else "rest")
    options = {
        "--sdep": layout.sdep,
        "--namespace": layout.namespace,
        "--predictor": layout.name,
        "--http_port": str(settings.engine_http_port),
        "--grpc_port": str(settings.engine_grpc_port),
        "--protocol": layout.protocol,
        "--transport": transport,
        "--prometheus_path": settings.metrics_path,
        "--server_type": "rpc",
        "--log_work_buffer_size": "10000",
        "--log_write_timeout_ms": "2000",
    }
    flat = [word for option in options.items() for word in option]
    return [*flat, "--full_health_checks=false"]


def engine_predictor(layout: Layout, settings: Settings) -> str:
    """What the engine is told about its predictor: base64 of JSON.

    It holds the whole componentSpecs, hpaSpec included, and neither traffic nor replicas. So a
    change of an hpaSpec is a new pod template, and a shift of traffic is not.
    """
    components = copy.deepcopy(layout.components)
    for component in components:
        pod = component.setdefault("spec", {})
        pod["containers"] = [
            _model_container(container, layout, settings)
            for container in pod.get("containers") or []
        ]
    told: Json = {
        "name": layout.name,
        "graph": _told_graph(layout.predictor.get("graph") or {}, layout),
        "componentSpecs": components,
        "replicas": 0,
        "engineResources": {},
        "labels": layout.labels,
        "svcOrchSpec": layout.predictor.get("svcOrchSpec") or {},
    }
    for optional in ("annotations", "shadow"):
        if layout.predictor.get(optional):
            told[optional] = layout.predictor[optional]
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(text.encode()).decode()


def _told_graph(node: Json, layout: Layout) -> Json:
    told = {key: value for key, value in node.items() if key != "children"}
    told.setdefault("implementation", "UNKNOWN_IMPLEMENTATION")
    unit = layout.units.get(node.get("name", ""))
    if unit is not None:
        beside = unit.component == 0 and not layout.separate_engine
        host = "localhost" if beside else f"{unit.service}.{layout.namespace}.svc.cluster.local"
        told["endpoint"] = {
            "service_host": host,
            "service_port": unit.grpc if unit.endpoint == "GRPC" else unit.http,
            "type": unit.endpoint,
            "httpPort": unit.http,
            "grpcPort": unit.grpc,
        }
    children = [_told_graph(child, layout) for child in node.get("children") or []]
    if children:
        told["children"] = children
    return told


def _with_pod_defaults(pod: Json) -> Json:
    volumes = list(pod.get("volumes") or [])
    volumes.append(
        {
            "name": _PODINFO,
            "downwardAPI": {
                "items": [
                    {
                        "path": "annotations",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"},
                    }
                ],
                "defaultMode": 420,
            },
        }
    )
    defaults: Json = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 20,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    return {**defaults, **pod, "volumes": volumes}


def _tcp_probe(port: int, delay: int) -> Json:
    return {
        "tcpSocket": {"port": port},
        "initialDelaySeconds": delay,
        "timeoutSeconds": 1,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def _http_probe(path: str, port: int) -> Json:
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "initialDelaySeconds": 20,
        "timeoutSeconds": 60,
        "periodSeconds": 5,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
