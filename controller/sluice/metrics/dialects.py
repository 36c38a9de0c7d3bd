"""What each source of metrics calls requests, and which answers it blames on the model.

Three outcomes of a request: it went well, it failed, or it says nothing about the model. What is
the caller's fault (400, InvalidArgument, ...) is left out of `n` altogether: counted as a success
it would dilute the failures of whichever side gets more of it. It still counts as traffic.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from sluice.evidence.bank import EDGES

# Prometheus compiles a matcher's expression at every query, and URLs have limits.
MOST_NAMES = 50
MOST_CHARACTERS = 2000


class Outcome(IntEnum):
    """What an answer says about the model. The values are columns of a reading."""

    GOOD = 0
    FAILED = 1
    NOT_BLAMED = 2


@dataclass(frozen=True)
class Target:
    """One predictor."""

    namespace: str
    deployment: str
    predictor: str


@dataclass(frozen=True)
class Labels:
    """Label names that depend on the scrape configuration's relabelling."""

    namespace: str = "namespace"
    pod: str = "pod"


_GRPC_NOT_BLAMED = frozenset(
    {
        "Canceled",
        "InvalidArgument",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "Unauthenticated",
        "FailedPrecondition",
        "OutOfRange",
    }
)


def outcome_of(code: str) -> Outcome:
    """What an HTTP status ("200") or the name of a gRPC status ("OK", "Unknown") means.

    An unknown word or number is a failure: what cannot be understood must not help a promotion.
    """
    if code == "OK" or (len(code) == 3 and code[0] in "123" and code.isdigit()):
        return Outcome.GOOD
    if code in _GRPC_NOT_BLAMED or (len(code) == 3 and code[0] == "4" and code.isdigit()):
        return Outcome.NOT_BLAMED
    return Outcome.FAILED


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
    def code_label(self) -> str: ...

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        """PromQL: requests since each pod's start, by pod and code.

        With `window` (seconds) the last value in it, also of pods that just missed a scrape.
        """

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        """PromQL: cumulative latency buckets by pod and `le`, without what is not blamed."""

    def scrapes(self, targets: Collection[Target]) -> str:
        """PromQL: Unix time of the last scrape by pod."""

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> str:
        """PromQL: requests since each pod's start, by pod, of all predictors there are.

        Of one namespace and one deployment where they are given; the last value in `window`.
        """

    def target(self, labels: Mapping[str, str]) -> Target | None:
        """Which predictor a series of one of these queries is about, or None."""


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _any_of(names: Collection[str]) -> str | None:
    """An expression for one of the names; None when it would grow too long."""
    distinct = sorted(set(names))
    expression = "|".join(re.escape(name).replace("\\-", "-") for name in distinct)
    if len(distinct) > MOST_NAMES or len(expression) > MOST_CHARACTERS:
        return None
    return expression


def _sum(by: Collection[str], selector: str, window: float | None) -> str:
    if window is not None:
        selector = f"last_over_time({selector}[{max(1, round(window))}s])"
    return f"sum by ({', '.join(by)}) ({selector})"


def _newest(by: Collection[str], selector: str) -> str:
    return f"max by ({', '.join(by)}) (timestamp({selector}))"


@dataclass(frozen=True)
class SeldonDialect:
    """The Seldon executor's server metrics, REST and gRPC (measured at 1.17.1).

    The server's, not the client's: a dead model is missing from the client's. Feedback, metadata
    and status calls are other services and left out. A predictor without executor
    (`seldon.io/no-engine`) has none of these: use the gateway's dialect there.
    """

    labels: Labels = Labels()
    edges: tuple[float, ...] = EDGES
    name: str = "seldon"
    metric: str = "seldon_api_executor_server_requests_seconds"
    # REST; gRPC of Seldon's, TensorFlow's and the v2 protocol. No streaming: Seldon v1 has none.
    services: str = (
        "predictions|/seldon.protos.(Seldon|Model)/Predict"
        "|/tensorflow.serving.PredictionService/(Predict|Classify|Regress|MultiInference)"
        "|/inference.GRPCInferenceService/ModelInfer"
    )
    code_label: str = "code"
    edge_unit: float = 1.0

    @property
    def pod_label(self) -> str:
        return self.labels.pod

    @property
    def _by(self) -> tuple[str, ...]:
        return (self.labels.namespace, "deployment_name", "predictor_name", self.labels.pod)

    def _selector(self, suffix: str, targets: Collection[Target], more: str = "") -> str:
        matchers = [f"service=~{_text(self.services)}"]
        deployments = _any_of([target.deployment for target in targets])
        namespaces = _any_of([target.namespace for target in targets])
        if deployments is not None and namespaces is not None:
            matchers.append(f"deployment_name=~{_text(deployments)}")
            matchers.append(f"{self.labels.namespace}=~{_text(namespaces)}")
        if more:
            matchers.append(more)
        return f"{self.metric}_{suffix}{{{','.join(matchers)}}}"

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        return _sum((*self._by, self.code_label), self._selector("count", targets), window)

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        judged = f"{self.code_label}!~{_text('4..|' + '|'.join(sorted(_GRPC_NOT_BLAMED)))}"
        return _sum((*self._by, "le"), self._selector("bucket", targets, judged), window)

    def scrapes(self, targets: Collection[Target]) -> str:
        return _newest(self._by, self._selector("count", targets))

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> str:
        matchers = [f"service=~{_text(self.services)}"]
        if deployment is not None:
            matchers.append(f"deployment_name={_text(deployment)}")
        if namespace is not None:
            matchers.append(f"{self.labels.namespace}={_text(namespace)}")
        return _sum(self._by, f"{self.metric}_count{{{','.join(matchers)}}}", window)

    def target(self, labels: Mapping[str, str]) -> Target | None:
        try:
            return Target(
                labels[self.labels.namespace], labels["deployment_name"], labels["predictor_name"]
            )
        except KeyError:
            return None


_ENVOY_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class EnvoyDialect:
    """The gateway's own view, which includes requests that never reach a pod.

    `pod` is the gateway's pod here. Clusters are named as Istio names them,
    `outbound|<port>|<subset>|<host>`; Seldon's subset is the predictor and its host
    `<deployment>-<predictor>.<namespace>.svc...`. gRPC calls are HTTP 200 to Envoy whatever their
    own status, so only the REST port is read. Latency includes what is not blamed: Envoy's
    histogram has no code.
    """

    labels: Labels = Labels()
    edges: tuple[float, ...] = _ENVOY_EDGES
    name: str = "envoy"
    port: int = 8000
    code_label: str = "envoy_response_code"
    edge_unit: float = 0.001

    @property
    def pod_label(self) -> str:
        return self.labels.pod

    def _selector(self, metric: str, targets: Collection[Target]) -> str:
        hosts = _any_of([f"{t.deployment}-{t.predictor}.{t.namespace}" for t in targets])
        # Anchored as all matchers are: `.+` stands for the subset and for the domain.
        tail = f"({hosts})[.].+" if hosts is not None else ".+"
        cluster = f"outbound[|]{self.port}[|].+[|]{tail}"
        return f"{metric}{{envoy_cluster_name=~{_text(cluster)}}}"

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        selector = self._selector("envoy_cluster_upstream_rq", targets)
        return _sum(("envoy_cluster_name", self.labels.pod, self.code_label), selector, window)

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        selector = self._selector("envoy_cluster_upstream_rq_time_bucket", targets)
        return _sum(("envoy_cluster_name", self.labels.pod, "le"), selector, window)

    def scrapes(self, targets: Collection[Target]) -> str:
        selector = self._selector("envoy_cluster_upstream_rq", targets)
        return _newest(("envoy_cluster_name", self.labels.pod), selector)

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> str:
        name = "[^.]+" if deployment is None else f"{_any_of([deployment])}-[^.]+"
        where = "[^.]+" if namespace is None else _any_of([namespace])
        cluster = f"outbound[|]{self.port}[|].+[|]{name}[.]{where}([.].+)?"
        selector = f"envoy_cluster_upstream_rq{{envoy_cluster_name=~{_text(cluster)}}}"
        return _sum(("envoy_cluster_name", self.labels.pod), selector, window)

    def target(self, labels: Mapping[str, str]) -> Target | None:
        parts = labels.get("envoy_cluster_name", "").split("|")
        if len(parts) != 4 or not parts[2]:
            return None
        predictor, host = parts[2], parts[3].split(".")
        suffix = f"-{predictor}"
        if len(host) < 2 or not host[0].endswith(suffix):
            return None
        return Target(host[1], host[0].removesuffix(suffix), predictor)


DIALECTS = ("seldon", "envoy")


def dialect_named(name: str, labels: Labels | None = None) -> Dialect:
    """The dialect of that name with its usual settings. Raises ValueError for another name."""
    labels = labels or Labels()
    if name == "seldon":
        return SeldonDialect(labels)
    if name == "envoy":
        return EnvoyDialect(labels)
    raise ValueError(f"expected a metrics dialect of {', '.join(DIALECTS)}, found {name!r}")
