"""The queries and the counting against a real Prometheus that scrapes a synthetic exporter."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_parts import RealPrometheus, TextServer, until

from sluice.errors import MetricsError, MetricsUnavailableError, QueryError
from sluice.metrics.client import PrometheusClient, Timeouts
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pair, Pulse

METRIC = "seldon_api_executor_server_requests_seconds"


@dataclass
class Exporter:
    """One HTTP server that plays all pods; their labels are in the text."""

    counters: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(
        self,
        deployment: str,
        pod: str,
        n: int,
        code: str = "200",
        service: str = "predictions",
    ) -> None:
        predictor = pod.split("-")[0]
        labels = (
            f'code="{code}",deployment_name="{deployment}",method="post",'
            f'predictor_name="{predictor}",predictor_version="",service="{service}",'
            f'namespace="prod",pod="{pod}"'
        )
        with self.lock:
            shown = self.counters.setdefault((deployment, pod), {})
            names = [f"{METRIC}_count{{{labels}}}"]
            names += [f'{METRIC}_bucket{{{labels},le="{le}"}}' for le in ("0.5", "1", "+Inf")]
            for name in names:
                slow = 'le="0.5"' in name and code == "500"
                shown[name] = shown.get(name, 0) + (0 if slow else n)

    def restart(self, deployment: str, pod: str) -> None:
        with self.lock:
            self.counters[deployment, pod] = {}

    def text(self) -> str:
        with self.lock:
            shown = {k: v for counters in self.counters.values() for k, v in counters.items()}
        return "".join(f"{name} {value:g}\n" for name, value in shown.items())


@dataclass
class Scene:
    """One deployment of its own on the common Prometheus, with its baseline taken."""

    exporter: Exporter
    prometheus: RealPrometheus
    client: PrometheusClient
    pair: Pair
    observer: Observer = field(init=False)
    total: list[float] = field(default_factory=lambda: [0.0] * 4)
    covered: float | None = None

    def watch(self, since: float | None = None) -> None:
        self.observer = Observer(self.client, SeldonDialect(), interval=1)
        self.observer.track(self.pair, since=since)

    def answered(self, pod: str, n: int, **how: str) -> None:
        self.exporter.answered(self.pair.deployment, pod, n, **how)

    def pulse(self) -> Pulse:
        pulse = self.observer.pulse(time.time())
        if found := pulse.increments.get(self.pair.key):
            new = (found.n_c, found.k_c, found.n_s, found.k_s)
            self.total = [a + b for a, b in zip(self.total, new, strict=True)]
        self.covered = pulse.freshness[self.pair.key].covered_until
        return pulse

    def counts_up_to(self, *expected: float) -> None:
        def reached() -> bool:
            self.pulse()
            return self.total == list(expected)

        until(reached, f"{expected} released")


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exporter, RealPrometheus]]:
    exporter = Exporter()
    with TextServer(exporter.text) as server:
        prometheus = RealPrometheus(tmp_path_factory.mktemp("prometheus"), server.port)
        try:
            prometheus.start()
            yield exporter, prometheus
        finally:
            prometheus.stop()


_numbers = itertools.count()


@pytest.fixture
def scene(common: tuple[Exporter, RealPrometheus]) -> Iterator[Scene]:
    exporter, prometheus = common
    deployment = f"iris{next(_numbers)}"
    client = PrometheusClient(prometheus.url, timeouts=Timeouts(30, 60))
    pair = Pair(deployment, "prod", deployment, "main", "next")
    scene = Scene(exporter, prometheus, client, pair)
    scene.answered("main-0", 1000)
    scene.answered("main-1", 500)
    scene.answered("main-1", 5, code="500")
    mine = f'{METRIC}_count{{deployment_name="{deployment}"}}'
    until(lambda: len(client.query(mine, time.time())) == 3, "first scrapes")
    scene.watch()
    scene.pulse()
    yield scene
    client.close()


def test_counters_of_a_real_prometheus_become_increments(scene: Scene) -> None:
    scene.answered("main-0", 40)
    scene.answered("next-0", 8)
    scene.answered("next-0", 2, code="500")
    scene.answered("next-0", 9, code="400")
    scene.answered("next-0", 9, service="feedback")
    scene.counts_up_to(10, 2, 40, 0)
    scene.exporter.restart(scene.pair.deployment, "next-0")
    scene.answered("next-0", 3)
    scene.counts_up_to(13, 2, 40, 0)
    freshness = scene.pulse().freshness[scene.pair.key]
    assert freshness.candidate_seen
    assert freshness.problem == ""


def test_buckets_of_a_real_prometheus_are_found_by_their_edges(scene: Scene) -> None:
    above: dict[float, float] = {}

    def released() -> bool:
        if found := scene.pulse().increments.get(scene.pair.key):
            above.update(zip(scene.observer.edges, found.above_c, strict=True))
        return any(above.values())

    scene.answered("next-0", 4, code="500")
    until(released, "the candidate's requests are released")
    assert (above[0.25], above[0.5], above[1.0]) == (4, 4, 0)


def test_a_real_outage_loses_nothing_and_is_no_wrong_answer(scene: Scene) -> None:
    scene.prometheus.stop()
    scene.answered("main-0", 30)
    scene.answered("next-0", 6, code="500")
    with pytest.raises(MetricsUnavailableError, match="cannot be reached"):
        scene.pulse()
    scene.prometheus.start()
    scene.counts_up_to(6, 6, 30, 0)


def test_a_new_observer_goes_on_where_the_checkpoint_was(scene: Scene) -> None:
    scene.answered("main-0", 7)
    scene.answered("next-0", 1)
    scene.counts_up_to(1, 0, 7, 0)
    scene.answered("main-1", 20)
    scene.answered("next-0", 5, code="500")
    scene.watch(since=scene.covered)
    scene.counts_up_to(6, 5, 27, 0)


def test_a_bad_query_says_what_prometheus_says(scene: Scene) -> None:
    with pytest.raises(QueryError, match="parse error"):
        scene.client.query("sum(", time.time())
    assert issubclass(QueryError, MetricsError)


def test_a_server_that_never_answers_is_given_up_on() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        client = PrometheusClient(url, timeouts=Timeouts(0.2, 0.2))
        with pytest.raises(MetricsUnavailableError, match="did not answer within"):
            client.query("up", 0.0)
