"""The pulse's memory: history is read once, warm-ups are told by the increment's age."""

from __future__ import annotations

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Verdict
from sluice.loops.judging import Comparison, Judging
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pair
from sluice.testing.prometheus import FakePrometheus

KEY = "prod/iris"
START = 1_700_000_000.0
POLICY = CanaryPolicySpec.model_validate(
    {
        "steps": [{"weight": 50}],
        "checks": [
            {"name": "errors", "metric": "error-rate", "compare": {}},
            {"name": "latency", "metric": "latency", "warmup": "60s", "compare": {}},
        ],
    }
)


class Small:
    """One rollout whose candidate became ready at START."""

    def __init__(self) -> None:
        self.prometheus = FakePrometheus()
        client = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.judging = Judging(Observer(client, SeldonDialect(), interval=10))
        self.now = START
        self.comparison = Comparison(
            key=KEY,
            name="one",
            pair=Pair(KEY, "prod", "iris", "main", "next"),
            policy=POLICY,
            baking=False,
            ready=START,
        )

    def serve(self, *, main: int, failed: int = 0, candidate: int = 0) -> None:
        """Ten seconds of requests, then a scrape."""
        self.now += 10
        self.prometheus.answered("prod", "iris", "main", main - failed)
        self.prometheus.answered("prod", "iris", "main", failed, code="500")
        self.prometheus.answered("prod", "iris", "next", candidate, seconds=0.4)
        self.prometheus.scrape(self.now)

    def pulse(self) -> None:
        self.judging.follow([self.comparison])
        self.judging.pulse(self.now)

    def range_queries(self) -> int:
        return self.prometheus.range_queries


def test_the_stables_history_is_read_once_and_not_again_after_a_restart() -> None:
    small = Small()
    for moment in range(60):
        small.serve(main=300, failed=12 if moment % 5 == 0 else 0)
    small.pulse()
    small.serve(main=300, candidate=30)
    small.pulse()
    assert small.range_queries() == 1
    errors = small.judging.dispersion(KEY)[0]
    assert errors > 3, "failures come twelve at a time"

    checkpoint = small.judging.checkpoint(KEY, "one")
    assert checkpoint is not None
    again = Small()
    again.prometheus, again.now = small.prometheus, small.now
    client = PrometheusClient(again.prometheus.url, adapter=again.prometheus.adapter())
    again.judging = Judging(Observer(client, SeldonDialect(), interval=10))
    again.comparison = Comparison(**{**small.comparison.__dict__, "resume_from": checkpoint})
    again.pulse()
    assert again.range_queries() == 1
    assert again.judging.dispersion(KEY)[0] == errors


def test_a_source_without_range_queries_stops_nothing() -> None:
    small = Small()
    small.prometheus.refuses_ranges = True
    small.serve(main=300)
    small.pulse()
    small.serve(main=300, candidate=30)
    small.pulse()
    checks = small.judging.judgement(KEY, "one").checks
    assert checks[0].candidate_samples == 30
    assert small.range_queries() == 1, "asked once"


def test_a_checks_own_warm_up_is_counted_from_readiness() -> None:
    small = Small()
    small.serve(main=100)
    small.pulse()
    verdicts = []
    for _ in range(8):
        small.serve(main=100, candidate=100)
        small.pulse()
        verdicts.append([c.verdict for c in small.judging.judgement(KEY, "one").checks])
    warming = [latency for _, latency in verdicts]
    # Increments that began 10 to 50 s after readiness are early, the one that began at 60 s counts.
    assert warming[:5] == [Verdict.NO_DATA] * 5
    assert Verdict.HARM in warming[5:], "everything takes 0.4 s, the stable 20 ms"
    assert verdicts[0][0] is not Verdict.NO_DATA, "errors count from the first"
