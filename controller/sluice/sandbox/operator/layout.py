"""Which container serves which node of the graph, and on which ports.

HTTP and gRPC ports count up within a predictor, metrics ports over the whole SeldonDeployment.
Taking out the first predictor therefore renumbers the metrics ports of the others, unless a
container declares a port named `metrics` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from . import names
from .settings import NO_ENGINE, SEPARATE_ENGINE, Json, Settings

_TYPE_LABELS = {
    "MODEL": "seldon.io/model",
    "TRANSFORMER": "seldon.io/transformer",
    "OUTPUT_TRANSFORMER": "seldon.io/output-transformer",
    "ROUTER": "seldon.io/router",
    "COMBINER": "seldon.io/combiner",
}


@dataclass(frozen=True)
class Unit:
    """A container that serves a node of the graph."""

    container: str
    component: int
    service: str
    label: str | None
    endpoint: str
    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class Layout:
    """One predictor with everything about it that the objects are made from."""

    sdep: str
    namespace: str
    predictor: Json
    service: str
    units: dict[str, Unit]
    engine: bool
    separate_engine: bool
    http_port: int
    grpc_port: int
    annotations: dict[str, str]
    protocol: str
    transport: str

    @property
    def name(self) -> str:
        return str(self.predictor.get("name", ""))

    @property
    def components(self) -> list[Json]:
        return list(self.predictor.get("componentSpecs") or [])

    @property
    def labels(self) -> dict[str, str]:
        """The predictor's own labels and its version."""
        return {**(self.predictor.get("labels") or {}), "version": self.name}

    def units_of(self, component: int) -> list[Unit]:
        return [unit for unit in self.units.values() if unit.component == component]


def nodes(graph: Json | None) -> Iterator[Json]:
    """Every node of a graph, root first."""
    if not graph:
        return
    yield graph
    for child in graph.get("children") or []:
        yield from nodes(child)


def layouts(sdep: Json, settings: Settings) -> list[Layout]:
    """One layout per predictor, in the order of the spec."""
    spec = sdep.get("spec") or {}
    separate = _is_true((spec.get("annotations") or {}).get(SEPARATE_ENGINE))
    next_metrics = settings.first_metrics_port
    result = []
    for predictor in spec.get("predictors") or []:
        units, next_metrics = _units(sdep, predictor, settings, next_metrics)
        engine = not _is_true((predictor.get("annotations") or {}).get(NO_ENGINE))
        root = units.get((predictor.get("graph") or {}).get("name", ""))
        direct = root if not engine else None
        result.append(
            Layout(
                sdep=sdep["metadata"]["name"],
                namespace=sdep["metadata"]["namespace"],
                predictor=predictor,
                service=names.service_name(sdep["metadata"]["name"], predictor),
                units=units,
                engine=engine,
                separate_engine=engine and separate,
                http_port=direct.http if direct else settings.engine_http_port,
                grpc_port=direct.grpc if direct else settings.engine_grpc_port,
                annotations={
                    **(spec.get("annotations") or {}),
                    **(predictor.get("annotations") or {}),
                },
                protocol=spec.get("protocol") or "seldon",
                transport=spec.get("transport") or "",
            )
        )
    return result


def _units(
    sdep: Json, predictor: Json, settings: Settings, next_metrics: int
) -> tuple[dict[str, Unit], int]:
    graph = {node.get("name"): node for node in nodes(predictor.get("graph"))}
    units: dict[str, Unit] = {}
    for index, component in enumerate(predictor.get("componentSpecs") or []):
        for container in (component.get("spec") or {}).get("containers") or []:
            node = graph.get(container["name"])
            if node is None:
                continue
            metrics = _declared(container, "metrics")
            if metrics is None:
                metrics, next_metrics = next_metrics, next_metrics + 1
            units[container["name"]] = Unit(
                container=container["name"],
                component=index,
                service=names.container_service_name(
                    sdep["metadata"]["name"], str(predictor.get("name", "")), container["name"]
                ),
                label=_TYPE_LABELS.get(node.get("type", "")),
                endpoint=str((node.get("endpoint") or {}).get("type") or "REST"),
                http=_declared(container, "http") or settings.first_http_port + len(units),
                grpc=_declared(container, "grpc") or settings.first_grpc_port + len(units),
                metrics=metrics,
            )
    return units, next_metrics


def _declared(container: Json, port: str) -> int | None:
    for declared in container.get("ports") or []:
        if declared.get("name") == port:
            return int(declared["containerPort"])
    return None


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"
