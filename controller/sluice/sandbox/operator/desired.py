"""What should exist for a SeldonDeployment: a pure function of its spec and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import names, pods, routing
from .layout import Layout, layouts
from .settings import Json, Settings

_SELECTING = ("seldon-app", "seldon-deployment-id")
_CONTAINS_ENGINE = {"seldon-deployment-contains-svcorch": "true"}


@dataclass(frozen=True)
class Desired:
    """Objects in the order in which the operator makes them.

    `scaled` names the Deployments whose replicas belong to an HPA, `counted` the one whose number
    of pods the status shows: that of the first predictor's first component.
    """

    services: list[Json]
    hpas: list[Json]
    deployments: list[Json]
    virtual_service: Json
    destination_rules: list[Json]
    address: str
    counted: str = ""
    scaled: frozenset[str] = field(default_factory=frozenset)

    @property
    def deployment_names(self) -> list[str]:
        return [deployment["metadata"]["name"] for deployment in self.deployments]

    @property
    def service_names(self) -> list[str]:
        return [service["metadata"]["name"] for service in self.services]


def desired(sdep: Json, settings: Settings) -> Desired:
    """Every object of `sdep`, each owned by it. Duplicate names are kept once, the first wins."""
    all_layouts = layouts(sdep, settings)
    services: dict[str, Json] = {}
    deployments: dict[str, Json] = {}
    hpas: dict[str, Json] = {}
    for layout in all_layouts:
        for service in _services(layout):
            services.setdefault(service["metadata"]["name"], service)
        for deployment in _deployments(sdep, layout, settings):
            deployments.setdefault(deployment["metadata"]["name"], deployment)
        for hpa in _hpas(layout):
            hpas.setdefault(hpa["metadata"]["name"], hpa)
    rules = {
        rule["metadata"]["name"]: rule for rule in routing.destination_rules(sdep, all_layouts)
    }
    result = Desired(
        services=list(services.values()),
        hpas=list(hpas.values()),
        deployments=list(deployments.values()),
        virtual_service=routing.virtual_service(sdep, all_layouts, settings),
        destination_rules=list(rules.values()),
        address=_address(all_layouts),
        counted=_counted(all_layouts),
        scaled=frozenset(hpas),
    )
    owner = _owner(sdep)
    for obj in (
        *result.services,
        *result.hpas,
        *result.deployments,
        result.virtual_service,
        *result.destination_rules,
    ):
        obj["metadata"]["ownerReferences"] = [dict(owner)]
    return result


def _services(layout: Layout) -> list[Json]:
    """The Services of the containers first, then the predictor's own."""
    common = {
        "app.kubernetes.io/managed-by": "seldon-core",
        "seldon-app": layout.service,
        "seldon-deployment-id": names.deployment_id(layout.sdep),
    }
    result = []
    for unit in layout.units.values():
        key = f"seldon-app-svc-{unit.container}"
        labels = {**common, key: unit.service, **({unit.label: "true"} if unit.label else {})}
        result.append(
            _service(layout, unit.service, labels, {key: unit.service}, unit.http, unit.grpc)
        )
    selector = {"seldon-app": layout.service}
    result.append(
        _service(layout, layout.service, common, selector, layout.http_port, layout.grpc_port)
    )
    return result


def _service(
    layout: Layout,
    name: str,
    labels: dict[str, str],
    selector: dict[str, str],
    http: int,
    grpc: int,
) -> Json:
    ports = [
        {"name": label, "protocol": "TCP", "port": port, "targetPort": port}
        for label, port in (("http", http), ("grpc", grpc))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": layout.namespace, "labels": dict(labels)},
        "spec": {
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": ports,
            "selector": dict(selector),
        },
    }


def _deployments(sdep: Json, layout: Layout, settings: Settings) -> list[Json]:
    result = []
    if layout.separate_engine:
        name = names.engine_deployment_name(layout.sdep, layout.name)
        labels = {**pods.engine_pod_labels(layout, name), **_CONTAINS_ENGINE}
        template = pods.engine_template(layout, name, settings)
        wanted = (layout.predictor.get("svcOrchSpec") or {}).get("replicas")
        replicas = wanted if wanted is not None else _replicas(sdep, layout, {})
        result.append(_deployment(layout, name, labels, replicas, template))
    for index, component in enumerate(layout.components):
        name = names.deployment_name(layout.sdep, layout.name, index, component)
        labels = pods.pod_labels(layout, index, name)
        if index == 0 and layout.engine and not layout.separate_engine:
            labels |= _CONTAINS_ENGINE
        template = pods.template(layout, index, name, settings)
        replicas = _replicas(sdep, layout, component)
        result.append(_deployment(layout, name, labels, replicas, template))
    return result


def _deployment(
    layout: Layout, name: str, labels: dict[str, str], replicas: int, template: Json
) -> Json:
    pod_labels = template["metadata"]["labels"]
    selector = {
        key: value
        for key, value in pod_labels.items()
        if key in _SELECTING or key.startswith("seldon-app-svc-")
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": layout.namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": template,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": layout.predictor.get("progressDeadlineSeconds") or 600,
        },
    }


def _replicas(sdep: Json, layout: Layout, component: Json) -> int:
    """The component's own number, else the predictor's, else that of the whole, else 1.

    A component with an hpaSpec starts with 1, whatever the others say.
    """
    if component.get("hpaSpec"):
        return 1
    numbers = (component, layout.predictor, sdep.get("spec") or {})
    for holder in numbers:
        if holder.get("replicas") is not None:
            return int(holder["replicas"])
    return 1


def _hpas(layout: Layout) -> list[Json]:
    result = []
    for index, component in enumerate(layout.components):
        wanted = component.get("hpaSpec")
        if not wanted:
            continue
        name = names.deployment_name(layout.sdep, layout.name, index, component)
        spec: Json = {
            "scaleTargetRef": {"kind": "Deployment", "name": name, "apiVersion": "apps/v1"},
            "maxReplicas": wanted["maxReplicas"],
        }
        if wanted.get("minReplicas") is not None:
            spec["minReplicas"] = wanted["minReplicas"]
        if wanted.get("metricsv2"):
            spec["metrics"] = wanted["metricsv2"]
        result.append(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {
                    "name": name,
                    "namespace": layout.namespace,
                    "labels": {"seldon-deployment-id": names.deployment_id(layout.sdep)},
                },
                "spec": spec,
            }
        )
    return result


def _counted(all_layouts: list[Layout]) -> str:
    if not all_layouts or not all_layouts[0].components:
        return ""
    first = all_layouts[0]
    return names.deployment_name(first.sdep, first.name, 0, first.components[0])


def _address(all_layouts: list[Layout]) -> str:
    if not all_layouts:
        return ""
    first = all_layouts[0]
    host = f"http://{first.service}.{first.namespace}.svc.cluster.local:{first.http_port}"
    if first.protocol in ("v2", "kfserving"):
        graph = (first.predictor.get("graph") or {}).get("name", "")
        return f"{host}/v2/models/{graph}/infer"
    return f"{host}/api/v1.0/predictions"


def _owner(sdep: Json) -> Json:
    return {
        "apiVersion": "machinelearning.seldon.io/v1",
        "kind": "SeldonDeployment",
        "name": sdep["metadata"]["name"],
        "uid": sdep["metadata"].get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }
