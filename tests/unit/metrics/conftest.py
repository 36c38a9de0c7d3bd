"""A pair of predictors on a fake Prometheus, scraped when a test says so."""

from __future__ import annotations

import pytest

from sluice.evidence.bank import Increment
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pair, Pulse
from sluice.testing.prometheus import FakePrometheus

PAIR = Pair("prod/iris", "prod", "iris", stable="main", candidate="next")


class World:
    """Time, traffic and pulses of one pair."""

    def __init__(self) -> None:
        self.prometheus = FakePrometheus()
        self.client = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.observer = Observer(self.client, SeldonDialect(), interval=10)
        self.now = 1_700_000_000.0

    def stable(self, n: float = 1, **how: object) -> None:
        self.prometheus.answered("prod", "iris", "main", n, **how)  # type: ignore[arg-type]

    def candidate(self, n: float = 1, **how: object) -> None:
        self.prometheus.answered("prod", "iris", "next", n, **how)  # type: ignore[arg-type]

    def pass_time(self, seconds: float = 10) -> None:
        self.now += seconds

    def scrape(self, *pods: str) -> None:
        self.prometheus.scrape(self.now, pods or None)

    def pulse(self) -> Pulse:
        return self.observer.pulse(self.now)

    def tick(self, seconds: float = 10) -> Increment | None:
        """Time passes, all pods are scraped, one pulse. The increment of the pair, if any."""
        self.pass_time(seconds)
        self.scrape()
        return self.pulse().increments.get(PAIR.key)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def running(world: World) -> World:
    """Both sides have answered before the pair is followed; the baseline is taken."""
    world.stable(1000, code="200")
    world.stable(7, code="500")
    world.candidate(100)
    world.scrape()
    world.observer.track(PAIR)
    assert world.pulse().increments == {}
    return world
