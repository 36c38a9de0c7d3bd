"""Istio's metrics: whose request it was, how it ended, how long it took."""

from __future__ import annotations

import hashlib

import pytest

from sluice.evidence.bank import Increment
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import IstioDialect, Labels, Outcome, Target
from sluice.metrics.history import read_history
from sluice.metrics.observe import Observer, Pair
from sluice.testing.prometheus import FakePrometheus

PAIR = Pair("prod/iris", "prod", "iris", stable="main", candidate="next")
GOOD, FAILED, NOT_BLAMED = Outcome.GOOD, Outcome.FAILED, Outcome.NOT_BLAMED


@pytest.mark.parametrize(
    ("code", "grpc_status", "protocol", "flags", "outcome"),
    [
        ("200", "", "http", "-", GOOD),
        ("302", "", "http", "", GOOD),
        ("500", "", "http", "-", FAILED),
        ("503", "", "http", "UH", FAILED),
        ("504", "", "http", "UT", FAILED),
        ("404", "", "http", "-", NOT_BLAMED),
        ("429", "", "http", "RL", NOT_BLAMED),
        # gRPC: HTTP says 200 whatever happens.
        ("200", "0", "grpc", "-", GOOD),
        ("200", "2", "grpc", "-", FAILED),
        ("200", "13", "grpc", "-", FAILED),
        ("200", "14", "grpc", "UF", FAILED),
        ("200", "4", "grpc", "UT", FAILED),
        ("200", "3", "grpc", "-", NOT_BLAMED),
        ("200", "1", "grpc", "-", NOT_BLAMED),
        ("503", "", "grpc", "UH", FAILED),
        # No status to go by: no success is made up, and no harm.
        ("200", "", "grpc", "-", NOT_BLAMED),
        ("200", "", "grpc", "UR", FAILED),
        # The caller left.
        ("0", "", "http", "DC", NOT_BLAMED),
        ("0", "", "grpc", "DC", NOT_BLAMED),
        ("0", "", "http", "-", NOT_BLAMED),
        ("0", "", "http", "", NOT_BLAMED),
        ("200", "", "http", "DC", NOT_BLAMED),
        ("200", "", "http", "UPE,DC", NOT_BLAMED),
        ("500", "", "http", "DC", FAILED),
        ("0", "", "http", "UC", FAILED),
        # What cannot be understood helps no promotion.
        ("200", "77", "grpc", "-", FAILED),
        ("", "", "http", "-", FAILED),
    ],
)
def test_how_a_request_ended(
    code: str, grpc_status: str, protocol: str, flags: str, outcome: Outcome
) -> None:
    assert IstioDialect().outcome((code, grpc_status, protocol, flags)) is outcome


def series(service: str, namespace: str = "prod") -> dict[str, str]:
    return {"destination_service_name": service, "destination_service_namespace": namespace}


def test_hyphens_are_not_guessed_at() -> None:
    find = IstioDialect().finder([Target("prod", "my-iris", "v-2"), Target("prod", "iris", "v")])
    assert find(series("my-iris-v-2")) == Target("prod", "my-iris", "v-2")
    assert find(series("iris-v")) == Target("prod", "iris", "v")
    # The Service of a model container of that predictor, and another namespace's.
    assert find(series("iris-v-classifier")) is None
    assert find(series("iris-v", "stage")) is None
    assert find({}) is None


def test_a_service_that_two_predictors_share_is_nobodys() -> None:
    find = IstioDialect().finder([Target("prod", "a-b", "c"), Target("prod", "a", "b-c")])
    assert find(series("a-b-c")) is None


def test_long_names_are_found_by_their_hash() -> None:
    long = Target("prod", "a" * 40, "b" * 23)
    just = Target("prod", "a" * 40, "b" * 22)
    name = f"{long.deployment}-{long.predictor}"
    hashed = "seldon-" + hashlib.md5(name.encode()).hexdigest()
    dialect = IstioDialect()
    assert dialect.finder([long, just])(series(hashed)) == long
    assert dialect.finder([long, just])(series(f"{'a' * 40}-{'b' * 22}")) == just
    assert hashed in dialect.counts([long])


def test_only_the_source_is_asked() -> None:
    dialect = IstioDialect(Labels(pod="kubernetes_pod_name"))
    iris = [Target("prod", "iris", "main")]
    for query in (dialect.counts(iris), dialect.buckets(iris), dialect.scrapes(iris)):
        assert 'reporter="source"' in query
        assert "kubernetes_pod_name" in query


class Mesh:
    """A gateway on a fake Prometheus."""

    def __init__(self) -> None:
        self.prometheus = FakePrometheus()
        self.now = 1_700_000_000.0
        client = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.observer = Observer(client, IstioDialect(), interval=10)
        self.observer.track(PAIR)

    def passed(
        self,
        predictor: str,
        n: float,
        code: str = "200",
        *,
        grpc: str = "",
        flags: str = "-",
        reporter: str = "source",
        milliseconds: float = 20,
    ) -> None:
        labels = {
            **series(f"iris-{predictor}"),
            "reporter": reporter,
            "response_code": code,
            "response_flags": flags,
            "request_protocol": "grpc" if grpc else "http",
        }
        if grpc:
            labels["grpc_response_status"] = grpc
        self.prometheus.count("gateway", "istio_requests_total", labels, n)
        for le in ("0.5", "5", "25", "100", "1000", "60000", "3600000", "+Inf"):
            bucket = {**labels, "le": le}
            metric = "istio_request_duration_milliseconds_bucket"
            self.prometheus.count("gateway", metric, bucket, n if milliseconds <= float(le) else 0)

    def tick(self) -> Increment | None:
        self.now += 10
        self.prometheus.scrape(self.now)
        return self.observer.pulse(self.now).increments.get(PAIR.key)


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh()
    mesh.passed("main", 100)
    mesh.passed("next", 0)
    assert mesh.tick() is None
    return mesh


def test_failures_of_both_protocols_count_and_callers_faults_do_not(mesh: Mesh) -> None:
    mesh.passed("main", 50)
    mesh.passed("main", 30, grpc="0")
    mesh.passed("next", 5)
    mesh.passed("next", 2, "503", flags="UH")
    mesh.passed("next", 3, grpc="14")
    mesh.passed("next", 4, grpc="3")
    mesh.passed("next", 6, "0", flags="DC")
    mesh.passed("next", 7, "404")
    mesh.passed("next", 90, "500", reporter="destination")
    increment = mesh.tick()
    assert increment is not None
    assert (increment.n_c, increment.k_c, increment.n_s, increment.k_s) == (10, 5, 80, 0)


def test_milliseconds_become_seconds_and_only_judged_requests_are_timed(mesh: Mesh) -> None:
    mesh.passed("main", 1)
    mesh.passed("next", 4, milliseconds=600)
    mesh.passed("next", 9, "404", milliseconds=600)
    mesh.passed("next", 9, grpc="3", milliseconds=600)
    mesh.passed("next", 9, "200", flags="UPE,DC", milliseconds=600)
    mesh.passed("next", 6, milliseconds=20)
    increment = mesh.tick()
    assert increment is not None
    above = dict(zip(mesh.observer.edges, increment.above_c, strict=True))
    assert (above[0.005], above[0.025], above[0.1], above[1.0], above[60.0]) == (10, 4, 4, 0, 0)


def test_the_past_is_read_in_this_dialect_too(mesh: Mesh) -> None:
    mesh.passed("main", 8, grpc="0")
    mesh.passed("main", 2, grpc="14")
    mesh.passed("main", 5, "0", flags="DC")
    mesh.tick()
    main = Target("prod", "iris", "main")
    client = PrometheusClient(mesh.prometheus.url, adapter=mesh.prometheus.adapter())
    past = read_history(client, IstioDialect(), [main], mesh.now, 10.0)
    assert past[main][-1].tolist() == [10, 2]
