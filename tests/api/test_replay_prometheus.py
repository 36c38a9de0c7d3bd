"""A canary recorded by a real Prometheus, replayed from it and from its dump."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_parts import RealPrometheus, TextServer, until
from test_prometheus_metrics import METRIC, Exporter
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.metrics.client import PrometheusClient, Timeouts
from sluice.metrics.dialects import Labels, SeldonDialect
from sluice.metrics.observe import Observer
from sluice.replay.reading import Span, find, read
from sluice.replay.recording import LEAD, Answers
from sluice.replay.traffic import Sides

STEP = 0.3
POLICY = """
apiVersion: sluice.dev/v1alpha1
kind: CanaryPolicy
metadata: {name: short}
spec:
  steps: [{weight: 20, hold: 600ms}, {weight: 50, hold: 600ms}]
  bake: 600ms
  warmup: 0s
  checks:
  - name: errors
    metric: error-rate
    compare: {acceptableRatio: 1.0, unacceptableRatio: 3.0, negligibleBelow: 0.02}
"""


@dataclass
class Recorded:
    """What is on record: a bad canary, a good one with a restart, an outage in between."""

    prometheus: RealPrometheus
    client: PrometheusClient
    start: float
    end: float
    sent: dict[str, int]

    def replay(self, *args: str) -> dict[str, Any]:
        span = ["--start", _wire(self.start), "--end", _wire(self.end), "--step", "300ms"]
        return replayed("--prometheus", self.prometheus.url, *span, *args)


def _wire(at: float) -> str:
    whole, part = divmod(round(at * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:03d}Z"


def replayed(*args: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["replay", *args, "-o", "json"])
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def play(exporter: Exporter, client: PrometheusClient, candidate: str, failing: int) -> int:
    """Twelve scrapes of 60 requests to main and 40 to the candidate, `failing` of them failed."""
    total = 0
    for number in range(12):
        if number == 6 and not failing:
            exporter.restart("iris", f"{candidate}-0")
            total = 0
        exporter.answered("iris", "main-0", 60)
        exporter.answered("iris", f"{candidate}-0", 40 - failing)
        if failing:
            exporter.answered("iris", f"{candidate}-0", failing, code="500")
        total += 40
        mine = f'sum({METRIC}_count{{predictor_name="{candidate}"}})'

        def counted(wanted: int = total, promql: str = mine) -> bool:
            return [s.value for s in client.query(promql, time.time())] == [wanted]

        until(counted, f"{total} requests of {candidate} scraped")
    return 12 * 40


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    exporter = Exporter()
    with TextServer(exporter.text) as server:
        prometheus = RealPrometheus(tmp_path_factory.mktemp("prometheus"), server.port)
        client = PrometheusClient(prometheus.url, timeouts=Timeouts(30, 60))
        try:
            prometheus.start()
            exporter.answered("iris", "main-0", 100)
            until(lambda: bool(client.query(f"{METRIC}_count", time.time())), "a first scrape")
            start = time.time()
            sent = {"bad": play(exporter, client, "bad", failing=12)}
            exporter.restart("iris", "bad-0")
            prometheus.stop()
            pause_from = time.time()
            until(lambda: time.time() - pause_from > 2.0, "a time without Prometheus")
            prometheus.start()
            sent["good"] = play(exporter, client, "good", failing=0)
            done = time.time()
            until(lambda: time.time() - done > 4 * STEP, "looks that see the last scrape")
            yield Recorded(prometheus, client, start, time.time(), sent)
        finally:
            client.close()
            prometheus.stop()


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "short.yaml"
    path.write_text(POLICY)
    return str(path)


@pytest.mark.parametrize(("candidate", "outcome"), [("bad", "rolledBack"), ("good", "promoted")])
def test_a_recorded_canary_is_judged_the_same_live_and_from_its_dump(
    recorded: Recorded, policy: str, tmp_path: Path, candidate: str, outcome: str
) -> None:
    dump = tmp_path / "canary.jsonl.gz"
    sides = ["--stable", "main", "--candidate", candidate, "--policy", policy]
    live = recorded.replay(*sides, "--dump", str(dump))
    assert live["results"][0]["outcome"] == outcome, live["results"][0]
    assert live["recording"]["candidate"]["requests"] == recorded.sent[candidate]
    assert replayed("--file", str(dump), *sides) == live


def test_the_predictors_on_record_are_listed(recorded: Recorded) -> None:
    found = recorded.replay()["predictors"]
    assert {f["predictor"] for f in found} == {"main", "bad", "good"}


def test_a_range_read_of_a_real_prometheus_gives_what_instant_queries_give(
    recorded: Recorded,
) -> None:
    start, end = (round(at // STEP * STEP, 3) for at in (recorded.start, recorded.end))
    span = Span(start, end, STEP)
    found = find(recorded.client, SeldonDialect(), span)
    recording = read(recorded.client, "seldon", Labels(), [f.target for f in found], span)
    assert recording.outages(LEAD, recording.moments - 1)
    sides = Sides("prod", "iris", "main", "good")
    pair = sides.pair
    live = Observer(recorded.client, SeldonDialect(), interval=STEP)
    past = Observer(Answers(recording, sides.targets), SeldonDialect(), interval=STEP)
    live.track(pair)
    past.track(pair)
    released = 0
    for index in range(LEAD, recording.moments):
        if recording.blind[index]:
            continue
        now = recording.time(index)
        a, b = live.pulse(now), past.pulse(now)
        assert a.freshness == b.freshness
        assert (pair.key in a.increments) == (pair.key in b.increments)
        if (one := a.increments.get(pair.key)) is not None:
            other = b.increments[pair.key]
            assert (one.n_c, one.k_c, one.n_s) == (other.n_c, other.k_c, other.n_s)
            assert one.above_c.tolist() == other.above_c.tolist()
            released += 1
    assert released > 5
