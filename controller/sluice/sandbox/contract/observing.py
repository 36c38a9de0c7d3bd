"""Reads the present state and reduces it to the form in which the recordings hold it."""

from __future__ import annotations

import hashlib
import json

from .recordings import Json
from .wire import Wire

NAMESPACE = "prod"
_SELDON = f"/apis/machinelearning.seldon.io/v1/namespaces/{NAMESPACE}"
_PATHS = {
    "SeldonDeployment": f"{_SELDON}/seldondeployments",
    "Deployment": f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    "ReplicaSet": f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets",
    "Service": f"/api/v1/namespaces/{NAMESPACE}/services",
    "Pod": f"/api/v1/namespaces/{NAMESPACE}/pods",
    "Event": f"/api/v1/namespaces/{NAMESPACE}/events",
    "EndpointSlice": f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
    "HorizontalPodAutoscaler": (
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
    ),
    "VirtualService": f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/virtualservices",
    "DestinationRule": f"/apis/networking.istio.io/v1/namespaces/{NAMESPACE}/destinationrules",
}


def path(kind: str, name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or its subresource, in the recordings' namespace."""
    return "/".join(part for part in (_PATHS[kind], name, subresource) if part)


class Observer:
    """Looks at one control plane. With `pods` it also looks at pods and endpoints."""

    def __init__(self, wire: Wire, *, pods: bool) -> None:
        self._wire = wire
        self._pods = pods
        self._numbers: dict[str, str] = {}

    def items(self, kind: str) -> list[Json]:
        listed: list[Json] = self._wire.request("GET", path(kind)).body.get("items", [])
        return sorted(listed, key=lambda obj: str(obj["metadata"]["name"]))

    def state(self, name: str) -> Json:
        """Everything a recording's `after` may tell, for the SeldonDeployment `name`."""
        answer = self._wire.request("GET", path("SeldonDeployment", name))
        sdep = answer.body if answer.accepted else None
        routes = self.items("VirtualService")
        found: Json = {
            "deployments": {
                obj["metadata"]["name"]: _deployment(obj) for obj in self.items("Deployment")
            },
            "services": [_service(obj) for obj in self.items("Service")],
            "virtual_service": _routes(routes[0]) if routes else None,
            "virtual_service_name": routes[0]["metadata"]["name"] if routes else None,
            "virtual_service_generation": routes[0]["metadata"]["generation"] if routes else None,
            "destination_rules": [_rule(obj) for obj in self.items("DestinationRule")],
            "hpas": [
                {"name": obj["metadata"]["name"], "spec": obj["spec"]}
                for obj in self.items("HorizontalPodAutoscaler")
            ],
            "generation": sdep["metadata"]["generation"] if sdep else None,
            "status": sdep.get("status") if sdep else None,
        }
        if self._pods:
            found["pods"] = self.pods()
            found["ready_endpoints"] = self._endpoints()
        return found

    def pods(self) -> Json:
        """State of each pod: `ready`, `not ready` or `deleting`, by `<predictor>#<n>`."""
        found = {}
        for pod in self.items("Pod"):
            predictor = (pod["metadata"].get("labels") or {}).get("version", "?")
            number = self._numbers.setdefault(pod["metadata"]["uid"], str(len(self._numbers)))
            found[f"{predictor}#{number}"] = pod_state(pod)
        return found

    def _endpoints(self) -> Json:
        """How many ready endpoints each predictor's Service has."""
        found: Json = {}
        for part in self.items("EndpointSlice"):
            service = (part["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
            ready = [
                endpoint
                for endpoint in part.get("endpoints") or []
                if (endpoint.get("conditions") or {}).get("ready")
            ]
            found[service] = found.get(service, 0) + len(ready)
        return found


def pod_state(pod: Json) -> str:
    """`deleting`, `ready` or `not ready`."""
    if pod["metadata"].get("deletionTimestamp"):
        return "deleting"
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
    return "ready" if ready else "not ready"


def template_hash(deployment: Json) -> str:
    """SHA-256 of the pod template, computed as for the recordings."""
    template = deployment["spec"]["template"]
    metadata = {k: v for k, v in template["metadata"].items() if k != "creationTimestamp"}
    text = json.dumps(
        {"metadata": metadata, "spec": template["spec"]}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _deployment(obj: Json) -> Json:
    status = dict(obj.get("status") or {})
    conditions = {entry["type"]: entry["status"] for entry in status.pop("conditions", None) or []}
    if conditions:
        status["conditions"] = conditions
    spec = obj["spec"]
    return {
        "generation": obj["metadata"]["generation"],
        "template_sha256": template_hash(obj),
        "labels": obj["metadata"].get("labels"),
        "replicas": spec.get("replicas"),
        "containers": [
            {
                "name": container["name"],
                "image": container["image"],
                "ports": [
                    [port.get("name"), port["containerPort"]]
                    for port in container.get("ports") or []
                ],
            }
            for container in spec["template"]["spec"]["containers"]
        ],
        "status": status,
        "deleting": bool(obj["metadata"].get("deletionTimestamp")),
        "fields": {
            "paused": spec.get("paused"),
            "minReadySeconds": spec.get("minReadySeconds"),
            "strategy": spec.get("strategy"),
            "annotation_x": (obj["metadata"].get("annotations") or {}).get("x"),
        },
    }


def _service(obj: Json) -> Json:
    return {
        "name": obj["metadata"]["name"],
        "ports": [
            [port.get("name"), port["port"], port["targetPort"], port["protocol"]]
            for port in obj["spec"]["ports"]
        ],
        "selector": obj["spec"].get("selector"),
    }


def _rule(obj: Json) -> Json:
    spec = obj["spec"]
    return {
        "name": obj["metadata"]["name"],
        "host": spec["host"],
        "subsets": spec["subsets"],
    }


def routes_of(virtual_service: Json) -> list[Json]:
    """The rules of a VirtualService, reduced."""
    return _routes(virtual_service)


def _routes(obj: Json) -> list[Json]:
    reduced = []
    for rule in obj["spec"]["http"]:
        mirror = None
        if "mirror" in rule:
            mirror = _target(rule["mirror"])
            if "mirrorPercentage" in rule:
                mirror["mirrorPercentage"] = rule["mirrorPercentage"]
        routes = []
        for route in rule["route"]:
            weight = {"weight": route["weight"]} if "weight" in route else {}
            routes.append({**_target(route["destination"]), **weight})
        reduced.append({"match": rule["match"], "route": routes, "mirror": mirror})
    return reduced


def _target(destination: Json) -> Json:
    return {
        "host": destination["host"],
        "port": destination["port"]["number"],
        "subset": destination["subset"],
    }
