"""The VirtualService and DestinationRules of a SeldonDeployment."""

from __future__ import annotations

from .layout import Layout
from .settings import ISTIO_GATEWAY, ISTIO_HOST, Json, Settings

GRPC_PATHS = ".*tensorflow.*|.*seldon.protos.*|.*inference.*"


def virtual_service(sdep: Json, layouts: list[Layout], settings: Settings) -> Json:
    """One rule for REST by path, one for gRPC by headers.

    A weight of 0 is written by leaving `weight` out, and so is the percentage of a mirror: without
    a percentage Istio mirrors everything.
    """
    name, namespace = sdep["metadata"]["name"], sdep["metadata"]["namespace"]
    annotations = (sdep.get("spec") or {}).get("annotations") or {}
    rest: Json = {
        "match": [{"uri": {"prefix": f"/seldon/{namespace}/{name}/"}}],
        "rewrite": {"uri": "/"},
        **_targets(layouts, grpc=False),
    }
    grpc: Json = {
        "match": [
            {
                "headers": {"namespace": {"exact": namespace}, "seldon": {"exact": name}},
                "uri": {"regex": GRPC_PATHS},
            }
        ],
        **_targets(layouts, grpc=True),
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "gateways": [annotations.get(ISTIO_GATEWAY) or settings.gateway],
            "hosts": [annotations.get(ISTIO_HOST) or "*"],
            "http": [rest, grpc],
        },
    }


def destination_rules(sdep: Json, layouts: list[Layout]) -> list[Json]:
    """One per predictor's Service, with one subset named as the predictor."""
    return [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": layout.service, "namespace": sdep["metadata"]["namespace"]},
            "spec": {
                "host": _host(layout),
                "subsets": [{"name": layout.name, "labels": {"version": layout.name}}],
                "trafficPolicy": {"connectionPool": {"http": {"idleTimeout": "60s"}}},
            },
        }
        for layout in layouts
    ]


def _targets(layouts: list[Layout], *, grpc: bool) -> Json:
    result: Json = {"route": []}
    for layout in layouts:
        traffic = layout.predictor.get("traffic") or 0
        destination = {
            "host": _host(layout),
            "port": {"number": layout.grpc_port if grpc else layout.http_port},
            "subset": layout.name,
        }
        if layout.predictor.get("shadow"):
            result["mirror"] = destination
            if traffic > 0:
                result["mirrorPercentage"] = {"value": traffic}
        elif traffic:
            result["route"].append({"destination": destination, "weight": traffic})
        else:
            result["route"].append({"destination": destination})
    return result


def _host(layout: Layout) -> str:
    return f"{layout.service}.{layout.namespace}.svc.cluster.local"
