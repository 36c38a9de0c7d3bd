"""Names and labels the operator derives. Each over-long name is hashed on its own."""

from __future__ import annotations

import hashlib

from .settings import SERVICE_NAME, Json

LIMIT = 63


def limited(name: str) -> str:
    """The name itself up to 63 characters, else `seldon-` and the MD5 of it in hex."""
    if len(name) <= LIMIT:
        return name
    return "seldon-" + hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def deployment_id(sdep: str) -> str:
    """The label value that ties every object to its SeldonDeployment."""
    return limited(sdep)


def deployment_name(sdep: str, predictor: str, index: int, component: Json) -> str:
    """`<sdep>-<predictor>-<index>-<containers>`; `metadata.name` replaces the containers."""
    own = (component.get("metadata") or {}).get("name")
    containers = (component.get("spec") or {}).get("containers") or []
    tail = own or "-".join(container["name"] for container in containers)
    return limited(f"{sdep}-{predictor}-{index}-{tail}")


def engine_deployment_name(sdep: str, predictor: str) -> str:
    """The Deployment of an engine that runs in pods of its own."""
    return limited(f"{sdep}-{predictor}-svc-orch")


def service_name(sdep: str, predictor: Json) -> str:
    """The predictor's Service, which is also the DestinationRule and the route's host."""
    own = (predictor.get("annotations") or {}).get(SERVICE_NAME)
    return str(own) if own else limited(f"{sdep}-{predictor.get('name', '')}")


def container_service_name(sdep: str, predictor: str, container: str) -> str:
    """The Service of one container of the graph."""
    return limited(f"{sdep}-{predictor}-{container}")
