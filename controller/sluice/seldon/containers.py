"""Which containers of a predictor serve its graph, which metrics ports they get, and names.

Seldon numbers metrics ports over the whole SeldonDeployment, so taking a predictor out moves those
of the predictors behind it, and rolls their pods. A port that is written down does not move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sluice.api.names import limited
from sluice.seldon.objects import Frozen, Json

METRICS = "metrics"
FIRST_METRICS_PORT = 6000
FIRST_HTTP_PORT = 9000
FIRST_GRPC_PORT = 9500
SERVICE_NAME_ANNOTATION = "seldon.io/svc-name"
SEPARATE_ENGINE_ANNOTATION = "seldon.io/engine-separate-pod"
NO_ENGINE_ANNOTATION = "seldon.io/no-engine"
ENGINE_HTTP_PORT = 8000
CONTAINER_LABEL_PREFIX = "seldon-app-svc-"


@dataclass(frozen=True)
class ModelContainer:
    """A container that serves a node of the graph. The indices lead to it in the predictor."""

    component: int
    container: int
    raw: Frozen

    @property
    def name(self) -> str:
        """The container's name, which is the node's."""
        return str(self.raw.get("name", ""))

    @property
    def metrics_port(self) -> int | None:
        """The declared metrics port, or None when Seldon is left to number it."""
        return declared_port(self.raw, METRICS)


def declared_port(container: Frozen, name: str) -> int | None:
    """The number of the container's port of that name, or None."""
    for port in container.get("ports") or []:
        if port.get("name") == name:
            return int(port["containerPort"])
    return None


def graph_nodes(graph: Frozen | None) -> Iterator[Frozen]:
    """Every node of a graph, root first."""
    if graph:
        yield graph
        for child in graph.get("children") or []:
            yield from graph_nodes(child)


def containers_of(component: Frozen) -> list[Json]:
    """The containers of one componentSpec."""
    return list((component.get("spec") or {}).get("containers") or [])


def model_containers(predictor: Frozen) -> list[ModelContainer]:
    """The containers Seldon gives ports to, in the order in which it numbers them."""
    names = {node.get("name") for node in graph_nodes(predictor.get("graph"))}
    return [
        ModelContainer(i, j, container)
        for i, component in enumerate(predictor.get("componentSpecs") or [])
        for j, container in enumerate(containers_of(component))
        if container.get("name") in names
    ]


def explicit_metrics_ports(predictor: Frozen) -> list[int]:
    """A metrics port for each model container: the declared one, else the next free from 6000.

    Unique within the predictor: its containers may share a pod, and so a network.
    """
    declared = [c.metrics_port for c in model_containers(predictor)]
    taken = {
        int(port["containerPort"])
        for component in predictor.get("componentSpecs") or []
        for container in containers_of(component)
        for port in container.get("ports") or []
        if "containerPort" in port
    }
    ports = []
    following = FIRST_METRICS_PORT
    for port in declared:
        if port is None:
            while following in taken:
                following += 1
            port, following = following, following + 1
        ports.append(port)
    return ports


def numbered_metrics_ports(predictors: Sequence[Frozen]) -> dict[tuple[str, int, int], int]:
    """What Seldon numbers by itself, by (predictor, component index, container index)."""
    ports: dict[tuple[str, int, int], int] = {}
    for predictor in predictors:
        for container in model_containers(predictor):
            if container.metrics_port is None:
                place = (str(predictor.get("name", "")), container.component, container.container)
                ports[place] = FIRST_METRICS_PORT + len(ports)
    return ports


def service_name(sdep: str, predictor: Frozen) -> str:
    """The predictor's Service; also its label `seldon-app`, route host and DestinationRule."""
    own = (predictor.get("annotations") or {}).get(SERVICE_NAME_ANNOTATION)
    return str(own) if own else limited(f"{sdep}-{predictor.get('name', '')}")


def address_of(sdep: str, namespace: str, predictor: Frozen) -> str:
    """Where a predictor's own Service answers REST inside the cluster, whatever its traffic.

    Without the cluster's domain: pods find the name with their search list, whatever the domain is.
    """
    host = f"{service_name(sdep, predictor)}.{namespace}.svc"
    no_engine = (predictor.get("annotations") or {}).get(NO_ENGINE_ANNOTATION)
    # Without an engine the first model container answers on its own port.
    port = FIRST_HTTP_PORT if str(no_engine).lower() == "true" else ENGINE_HTTP_PORT
    return f"http://{host}:{port}"


def deployment_names(sdep: str, predictor: Frozen) -> list[str]:
    """The Deployments Seldon makes for a predictor, without an engine in pods of its own."""
    names = []
    for index, component in enumerate(predictor.get("componentSpecs") or []):
        own = (component.get("metadata") or {}).get("name")
        tail = own or "-".join(str(c.get("name", "")) for c in containers_of(component))
        names.append(limited(f"{sdep}-{predictor.get('name', '')}-{index}-{tail}"))
    return names
