"""Istio's standard metrics (telemetry v2): the mesh's view of every request, REST and gRPC."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sluice.metrics.outcomes import GRPC_NOT_BLAMED, Outcome, outcome_of, outcome_of_grpc
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

# Envoy's buckets, which Istio keeps, are in milliseconds .5 1 5 10 25 50 100 250 500, 1 2.5 5 10 30
# s, 1 5 10 30 min, 1 h. Those that no model's requests come near would only dilute the evidence,
# which is a mean over the edges.
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

SERVICE = "destination_service_name"
NAMESPACE = "destination_service_namespace"
CODE = "response_code"
GRPC_STATUS = "grpc_response_status"
PROTOCOL = "request_protocol"
FLAGS = "response_flags"

# Envoy's flags for a connection or stream that the caller ended or broke.
_CALLER_LEFT = frozenset({"DC", "DR", "DPE"})
_NO_FLAGS = frozenset({"", "-"})
_NO_ANSWER = "0"


def outcome_of_answer(code: str, grpc_status: str, protocol: str, flags: str) -> Outcome:
    """What one answer means, by the four labels that Istio puts on it ("" where it has none).

    A gRPC call is HTTP 200 whatever became of it, so its own status counts. Where that is missing
    (the label was taken off, or the stream broke), HTTP 200 says nothing, and Envoy's flags do.
    """
    raised = frozenset(flags.split(",")) - _NO_FLAGS
    answered = outcome_of(code)
    if answered is Outcome.FAILED and code != _NO_ANSWER:
        return answered
    if raised & _CALLER_LEFT:
        # Who hangs up before the end has not heard the model out.
        return Outcome.NOT_BLAMED
    if grpc_status:
        return outcome_of_grpc(grpc_status)
    if protocol == "grpc" and answered is Outcome.GOOD:
        return Outcome.FAILED if raised else Outcome.NOT_BLAMED
    if code == _NO_ANSWER and not raised:
        # Nothing was sent, and no reason is given: callers that leave are counted so.
        return Outcome.NOT_BLAMED
    return answered


@dataclass(frozen=True)
class IstioDialect:
    """`istio_requests_total` and `istio_request_duration_milliseconds`, as the *source* reports.

    The source (the ingress gateway, or a caller's sidecar) is where Istio splits the traffic: it
    counts a request for the predictor it chose also when that never reaches a pod (503 UH, UF, UO,
    504 UT), and model pods need no sidecar. Reports by the destination miss exactly those, and
    adding them would count each request twice. `pod` is the reporter's pod here.

    A predictor is known by its Service, not by its workload: Seldon hashes names of Deployments
    already at usual lengths, and a request without a pod has the workload "unknown".
    """

    labels: Labels = AS_USUAL
    edges: tuple[float, ...] = _EDGES
    name: str = "istio"
    reporter: str = "source"
    code_labels: tuple[str, ...] = (CODE, GRPC_STATUS, PROTOCOL, FLAGS)
    edge_unit: float = 0.001

    @property
    def pod_label(self) -> str:
        return self.labels.pod

    @property
    def _by(self) -> tuple[str, ...]:
        return (NAMESPACE, SERVICE, self.labels.pod)

    def _selector(self, metric: str, targets: Collection[Target], *more: str) -> str:
        matchers = [f"reporter={text(self.reporter)}"]
        services = any_of([target.service for target in targets])
        namespaces = any_of([target.namespace for target in targets])
        if services is not None and namespaces is not None:
            matchers.append(f"{SERVICE}=~{text(services)}")
            matchers.append(f"{NAMESPACE}=~{text(namespaces)}")
        return f"{metric}{{{','.join([*matchers, *more])}}}"

    def counts(self, targets: Collection[Target], window: float | None = None) -> str:
        selector = self._selector("istio_requests_total", targets)
        return summed((*self._by, *self.code_labels), selector, window)

    def buckets(self, targets: Collection[Target], window: float | None = None) -> str:
        numbers = sorted(GRPC_NOT_BLAMED.values())
        judged = (
            f"{CODE}!~{text('0|4..')}",
            f"{GRPC_STATUS}!~{text('|'.join(str(number) for number in numbers))}",
            f"{FLAGS}!~{text('(.*,)?(' + '|'.join(sorted(_CALLER_LEFT)) + ')(,.*)?')}",
        )
        selector = self._selector("istio_request_duration_milliseconds_bucket", targets, *judged)
        return summed((*self._by, "le"), selector, window)

    def scrapes(self, targets: Collection[Target]) -> str:
        return newest(self._by, self._selector("istio_requests_total", targets))

    def everything(self, namespace: str | None, deployment: str | None, window: float) -> None:
        """Nothing: a Service's name does not tell where the predictor's begins."""

    def guess(self, labels: Mapping[str, str]) -> Target | None:
        """See `everything`."""
        del labels
        return None

    def outcome(self, codes: tuple[str, ...]) -> Outcome:
        code, grpc_status, protocol, flags = codes
        return outcome_of_answer(code, grpc_status, protocol, flags)

    def finder(self, targets: Collection[Target]) -> Finder:
        services = by_service(targets)

        def find(labels: Mapping[str, str]) -> Target | None:
            return services.get((labels.get(NAMESPACE, ""), labels.get(SERVICE, "")))

        return find
