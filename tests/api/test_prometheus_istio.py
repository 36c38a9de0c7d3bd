"""The Istio dialect's queries on a real Prometheus that scrapes a gateway's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_parts import RealPrometheus, TextServer, until

from sluice.doctor.findings import Finding, Level
from sluice.doctor.predictors import Predictor
from sluice.doctor.prometheus import Asked, check
from sluice.metrics.client import PrometheusClient, Timeouts
from sluice.metrics.dialects import IstioDialect, Labels, Target
from sluice.metrics.observe import Observer, Pair

LONG = "a-deployment-whose-name-is-long"
LONG_STABLE = "a-stable-that-was-adopted-with-its-own-name"
MILLISECONDS = (0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000)
EDGES = tuple(f"{edge:g}" for edge in (*MILLISECONDS, 300000, 600000, 1800000, 3600000))
IRIS = Pair("prod/iris", "prod", "iris", stable="v-1", candidate="v-2")
HASHED = Pair("prod/long", "prod", LONG, stable=LONG_STABLE, candidate="v2")
# md5 of "<LONG>-<LONG_STABLE>", which is longer than a Service's name may be
HASHED_SERVICE = "seldon-8ed8397bea387df120d20adc36c07cd4"


class Gateway:
    """What an ingress gateway exports, in Istio's own words."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}

    def text(self) -> str:
        return "".join(f"{name} {value:g}\n" for name, value in dict(self.counters).items())

    def passed(
        self,
        service: str,
        n: int,
        code: str = "200",
        *,
        grpc: str | None = None,
        flags: str = "-",
        reporter: str = "source",
        milliseconds: float = 20,
    ) -> None:
        status = "" if grpc is None else f'grpc_response_status="{grpc}",'
        labels = (
            f'reporter="{reporter}",source_workload="istio-ingressgateway",'
            'source_workload_namespace="istio-system",destination_workload="unknown",'
            'destination_workload_namespace="unknown",'
            f'destination_service="{service}.prod.svc.cluster.local",'
            f'destination_service_name="{service}",destination_service_namespace="prod",'
            f'request_protocol="{"http" if grpc is None else "grpc"}",response_code="{code}",'
            f'{status}response_flags="{flags}",connection_security_policy="unknown",'
            'namespace="istio-system",pod="istio-ingressgateway-0"'
        )
        self._add(f"istio_requests_total{{{labels}}}", n)
        for le in (*EDGES, "+Inf"):
            name = f'istio_request_duration_milliseconds_bucket{{{labels},le="{le}"}}'
            self._add(name, n if milliseconds <= float(le) else 0)

    def _add(self, name: str, n: int) -> None:
        self.counters[name] = self.counters.get(name, 0) + n


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def client(gateway: Gateway, tmp_path: Path) -> Iterator[PrometheusClient]:
    with TextServer(gateway.text) as server:
        prometheus = RealPrometheus(tmp_path, server.port)
        try:
            prometheus.start()
            client = PrometheusClient(prometheus.url, timeouts=Timeouts(30, 60))
            yield client
            client.close()
        finally:
            prometheus.stop()


def test_a_gateways_counters_become_increments_of_both_protocols(
    gateway: Gateway, client: PrometheusClient
) -> None:
    gateway.passed("iris-v-1", 100)
    gateway.passed(HASHED_SERVICE, 100)
    until(lambda: len(client.query("istio_requests_total", time.time())) == 2, "first scrapes")
    observer = Observer(client, IstioDialect(), interval=1)
    observer.track(IRIS)
    observer.track(HASHED)
    observer.pulse(time.time())
    gateway.passed("iris-v-1", 40)
    gateway.passed("iris-v-2", 8, milliseconds=600)
    gateway.passed("iris-v-2", 2, "503", flags="UH", milliseconds=600)
    gateway.passed("iris-v-2", 5, grpc="0")
    gateway.passed("iris-v-2", 3, grpc="14")
    gateway.passed("iris-v-2", 9, grpc="3", milliseconds=600)
    gateway.passed("iris-v-2", 9, "404", milliseconds=600)
    gateway.passed("iris-v-2", 9, "0", flags="DC", milliseconds=600)
    gateway.passed("iris-v-2", 9, "200", reporter="destination")
    gateway.passed("iris-v-2-classifier", 9)
    gateway.passed(HASHED_SERVICE, 30)
    gateway.passed(f"{LONG}-v2", 6, "500")
    total = {IRIS.key: [0.0] * 4, HASHED.key: [0.0] * 4}
    slow = dict.fromkeys(observer.edges, 0.0)

    def counted() -> bool:
        for key, found in observer.pulse(time.time()).increments.items():
            new = (found.n_c, found.k_c, found.n_s, found.k_s)
            total[key] = [a + b for a, b in zip(total[key], new, strict=True)]
            if key == IRIS.key:
                for edge, above in zip(observer.edges, found.above_c, strict=True):
                    slow[edge] += above
        return total == {IRIS.key: [18, 5, 40, 0], HASHED.key: [6, 6, 30, 0]}

    until(counted, f"every request once, now {total}")
    assert (slow[0.01], slow[0.5], slow[1.0]) == (18, 10, 0)


def test_the_doctor_reads_dialect_labels_and_interval_off_a_real_prometheus(
    gateway: Gateway, client: PrometheusClient
) -> None:
    gateway.passed("iris-v-1", 100)
    gateway.passed("iris-v-1", 9, reporter="destination")
    several = "count_over_time(istio_requests_total[1m]) > 3"
    until(lambda: len(client.query(several, time.time())) == 2, "four scrapes")
    predictors = [
        Predictor(Target("prod", "iris", name), (f"iris-{name}-0-classifier",), executor=True)
        for name in ("v-1", "v-2")
    ]

    def told(dialect: str, labels: Labels) -> dict[str, Finding]:
        asked = Asked(dialect, labels, pulse=10)
        return {f.id: f for f in check(client, asked, predictors, time.time())}

    found = told("istio", Labels())
    assert {f.level for f in found.values()} == {Level.OK, Level.NOTE}
    assert "istio is scraped every 0.3 s" in found["ScrapesOften"].what
    assert "1 of 2 predictors" in found["PredictorsSeen"].what
    assert "predictor v-2" in found["NoRequestsYet"].what
    found = told("seldon", Labels(pod="kubernetes_pod"))
    assert "use istio (series: seldon 0, istio 1, envoy 0)" in found["DialectWithoutSeries"].what
    assert "--pod-label=pod" in found["PodLabelMissing"].remedy
