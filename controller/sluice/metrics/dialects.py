"""What each source of metrics calls requests, and how a predictor is found in it.

`outcomes` says which answers are blamed on the model, `queries` has what the dialects share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from sluice.evidence.bank import EDGES
from sluice.metrics.istio import IstioDialect
from sluice.metrics.outcomes import GRPC_NOT_BLAMED, Outcome, outcome_of
from sluice.metrics.queries import (
    AS_USUAL,
    Finder,
    Labels,
    Target,
    any_of,
    by_service,
    newest,
    summed,
    text,
)

__all__ = [
    "DIALECTS",
    "Dialect",
    "EnvoyDialect",
    "IstioDialect",
    "Labels",
    "Outcome",
    "SeldonDialect",
    "Target",
    "codes_of",
    "dialect_named",
    "outcome_of",
]


class Dialect(Protocol):
    """One way of counting requests. `edges`: upper bucket edges in seconds, ascending."""

    @property
    def name(self) -> str: ...

    @property
    def edges(self) -> tuple[float, ...]: ...

    @property
    def edge_unit(self) -> float:
        """Seconds per unit of the label `le`."""

    @property
    def pod_label(self) -> str: ...

    @property
    def code_labels(self) -> tuple[str, ...]:
        """The labels that say how a request ended."""

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        """PromQL: requests since each pod's start, by pod and code.

        With `window` (seconds) the last value in it, also of pods that just missed a scrape.
        """

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        """PromQL: cumulative latency buckets by pod and `le`, without what is not blamed."""

    def scrapes(self, targets: Collection[Target]) -> str:
        """PromQL: Unix time of the last scrape by pod."""

    def everything(
        self, namespace: str | None, deployment: str | None, window: float
    ) -> str | None:
        """PromQL: requests since each pod's start, by pod, of all predictors there are.

        Of one namespace and one deployment where they are given; the last value in `window`. None
        where series do not tell by themselves which predictor they are about.
        """

    def guess(self, labels: Mapping[str, str]) -> Target | None:
        """Which predictor a series of `everything` is about, or None."""

    def outcome(self, codes: tuple[str, ...]) -> Outcome:
        """What the values of `code_labels`, in their order and "" where missing, mean."""

    def finder(self, targets: Collection[Target]) -> Finder:
        """Tells which of `targets` a series of one of these queries is about."""


def codes_of(dialect: Dialect, labels: Mapping[str, str]) -> tuple[str, ...]:
    """What `Dialect.outcome` is asked with for a series."""
    return tuple([labels.get(name, "") for name in dialect.code_labels])


@dataclass(frozen=True)
class SeldonDialect:
    """The Seldon executor's server metrics, REST and gRPC (measured at 1.17.1).

    The server's, not the client's: a dead model is missing from the client's. Feedback, metadata
    and status calls are other services and left out. A predictor without executor
    (`seldon.io/no-engine`) has none of these: use the gateway's dialect there.
    """

    labels: Labels = AS_USUAL
    edges: tuple[float, ...] = EDGES
    name: str = "seldon"
    metric: str = "seldon_api_executor_server_requests_seconds"
    # REST; gRPC of Seldon's, TensorFlow's and the v2 protocol. No streaming: Seldon v1 has none.
    services: str = (
        "predictions|/seldon.protos.(Seldon|Model)/Predict"
        "|/tensorflow.serving.PredictionService/(Predict|Classify|Regress|MultiInference)"
        "|/inference.GRPCInferenceService/ModelInfer"
    )
    code_labels: tuple[str, ...] = ("code",)
    edge_unit: float = 1.0

    @property
    def pod_label(self) -> str:
        return self.labels.pod

    @property
    def _by(self) -> tuple[str, ...]:
        return (self.labels.namespace, "deployment_name", "predictor_name", self.labels.pod)

    def _selector(self, suffix: str, targets: Collection[Target], more: str = "") -> str:
        matchers = [f"service=~{text(self.services)}"]
        deployments = any_of([target.deployment for target in targets])
        namespaces = any_of([target.namespace for target in targets])
        if deployments is not None and namespaces is not None:
            matchers.append(f"deployment_name=~{text(deployments)}")
            matchers.append(f"{self.labels.namespace}=~{text(namespaces)}")
        if more:
            matchers.append(more)
        return f"{self.metric}_{suffix}{{{','.join(matchers)}}}"

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        return summed((*self._by, *self.code_labels), self._selector("count", targets), window)

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        judged = f"code!~{text('4..|' + '|'.join(sorted(GRPC_NOT_BLAMED)))}"
        return summed((*self._by, "le"), self._selector("bucket", targets, judged), window)

    def scrapes(self, targets: Collection[Target]) -> str:
        return newest(self._by, self._selector("count", targets))

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> str:
        matchers = [f"service=~{text(self.services)}"]
        if deployment is not None:
            matchers.append(f"deployment_name={text(deployment)}")
        if namespace is not None:
            matchers.append(f"{self.labels.namespace}={text(namespace)}")
        return summed(self._by, f"{self.metric}_count{{{','.join(matchers)}}}", window)

    def guess(self, labels: Mapping[str, str]) -> Target | None:
        named = Target(
            labels.get(self.labels.namespace, ""),
            labels.get("deployment_name", ""),
            labels.get("predictor_name", ""),
        )
        return named if named.namespace and named.deployment and named.predictor else None

    def outcome(self, codes: tuple[str, ...]) -> Outcome:
        return outcome_of(codes[0])

    def finder(self, targets: Collection[Target]) -> Finder:
        wanted = set(targets)
        namespace = self.labels.namespace

        def find(labels: Mapping[str, str]) -> Target | None:
            target = Target(
                labels.get(namespace, ""),
                labels.get("deployment_name", ""),
                labels.get("predictor_name", ""),
            )
            return target if target in wanted else None

        return find


_ENVOY_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class EnvoyDialect:
    """The gateway's own view, which includes requests that never reach a pod.

    `pod` is the gateway's pod here. Clusters are named as Istio names them,
    `outbound|<port>|<subset>|<host>`; Seldon's subset is the predictor and its host
    `<Service>.<namespace>.svc...`. gRPC calls are HTTP 200 to Envoy whatever their own status, so
    only the REST ports are read: the executor's, and the model's own where there is none
    (`seldon.io/no-engine`). Latency includes what is not blamed: Envoy's histogram has no code.
    """

    labels: Labels = AS_USUAL
    edges: tuple[float, ...] = _ENVOY_EDGES
    name: str = "envoy"
    ports: tuple[int, ...] = (8000, 9000)
    code_labels: tuple[str, ...] = ("envoy_response_code",)
    edge_unit: float = 0.001

    @property
    def pod_label(self) -> str:
        return self.labels.pod

    @property
    def _by(self) -> tuple[str, ...]:
        return ("envoy_cluster_name", self.labels.pod)

    def _selector(self, metric: str, targets: Collection[Target]) -> str:
        hosts = any_of([f"{t.service}.{t.namespace}" for t in targets])
        ports = "|".join(str(port) for port in self.ports)
        # Anchored as all matchers are: `.+` stands for the subset and for the domain.
        tail = f"({hosts})[.].+" if hosts is not None else ".+"
        cluster = f"outbound[|]({ports})[|].+[|]{tail}"
        return f"{metric}{{envoy_cluster_name=~{text(cluster)}}}"

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        selector = self._selector("envoy_cluster_upstream_rq", targets)
        return summed((*self._by, *self.code_labels), selector, window)

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        selector = self._selector("envoy_cluster_upstream_rq_time_bucket", targets)
        return summed((*self._by, "le"), selector, window)

    def scrapes(self, targets: Collection[Target]) -> str:
        selector = self._selector("envoy_cluster_upstream_rq", targets)
        return newest(self._by, selector)

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> str:
        name = "[^.]+" if deployment is None else f"{any_of([deployment])}-[^.]+"
        where = "[^.]+" if namespace is None else any_of([namespace])
        ports = "|".join(str(port) for port in self.ports)
        cluster = f"outbound[|]({ports})[|].+[|]{name}[.]{where}([.].+)?"
        selector = f"envoy_cluster_upstream_rq{{envoy_cluster_name=~{text(cluster)}}}"
        return summed(self._by, selector, window)

    def guess(self, labels: Mapping[str, str]) -> Target | None:
        parts = labels.get("envoy_cluster_name", "").split("|")
        if len(parts) != 4 or not parts[2]:
            return None
        predictor, host = parts[2], parts[3].split(".")
        suffix = f"-{predictor}"
        if len(host) < 2 or not host[0].endswith(suffix):
            return None
        return Target(host[1], host[0].removesuffix(suffix), predictor)

    def outcome(self, codes: tuple[str, ...]) -> Outcome:
        return outcome_of(codes[0])

    def finder(self, targets: Collection[Target]) -> Finder:
        services = by_service(targets)

        def find(labels: Mapping[str, str]) -> Target | None:
            parts = labels.get("envoy_cluster_name", "").split("|")
            host = parts[-1].split(".")
            if len(parts) != 4 or len(host) < 2:
                return None
            target = services.get((host[1], host[0]))
            return target if target is not None and target.predictor == parts[2] else None

        return find


DIALECTS = ("seldon", "istio", "envoy")


def dialect_named(name: str, labels: Labels | None = None) -> Dialect:
    """The dialect of that name with its usual settings. Raises ValueError for another name."""
    labels = labels or AS_USUAL
    if name == "seldon":
        return SeldonDialect(labels)
    if name == "istio":
        return IstioDialect(labels)
    if name == "envoy":
        return EnvoyDialect(labels)
    raise ValueError(f"expected a metrics dialect of {', '.join(DIALECTS)}, found {name!r}")
