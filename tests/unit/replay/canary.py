"""Canaries that were recorded: counters of pods on a fake Prometheus, request by request.

As a script it writes docs/examples/iris-canaries.jsonl.gz (and iris-answers.jsonl.gz):
`PYTHONPATH=tests/shared python -m tests.unit.replay.canary docs/examples/iris-canaries.jsonl.gz`
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit_counts import Kit

from sluice.evidence import EDGES
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import Labels, SeldonDialect
from sluice.replay.dump import save
from sluice.replay.reading import Span, find, read
from sluice.replay.recording import Recording
from sluice.testing.prometheus import FakePrometheus

T0 = 1_772_359_200.0  # 2026-03-01T10:00:00Z
SCRAPE = 15.0
NAMESPACE, DEPLOYMENT = "prod", "iris"


@dataclass(frozen=True)
class Serves:
    """What a predictor does from one moment (seconds after T0) to another, at `rps`.

    With `says` (shares of its predictions) it has the model kit in it: half of the answers get a
    truth, of which `wrong` are wrong; `region` are the shares of a slice.
    """

    predictor: str
    since: float
    until: float
    rps: float
    errors: float = 0.0
    slow: float = 1.0
    pods: int = 1
    restarts: tuple[float, ...] = ()
    says: Mapping[str, float] | None = None
    wrong: float = 0.07
    region: Mapping[str, float] | None = None


@dataclass
class Past:
    """A Prometheus that has recorded; `out` are (from, to) in which it did not scrape."""

    serves: tuple[Serves, ...]
    seconds: float
    out: tuple[tuple[float, float], ...] = ()
    seed: int = 7
    prometheus: FakePrometheus = field(default_factory=FakePrometheus)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self._gone: set[str] = set()
        self._kits: dict[str, Kit] = {}
        for scrape in range(-4, int(self.seconds / SCRAPE) + 1):
            now = scrape * SCRAPE
            for one in self.serves:
                self._serve(one, now, rng)
            if not any(a <= now < b for a, b in self.out):
                self.prometheus.scrape(T0 + now)

    def _serve(self, one: Serves, now: float, rng: random.Random) -> None:
        names = [f"{DEPLOYMENT}-{one.predictor}-{pod}" for pod in range(one.pods)]
        if now > one.until:
            for name in set(names) - self._gone:
                self.prometheus.remove_pod(name)
                self._gone.add(name)
            return
        if now - SCRAPE < one.since:
            return
        if any(now - SCRAPE < at <= now for at in one.restarts):
            self.prometheus.restart_pod(names[0])
            self._kits.pop(names[0], None)
        answers: Counter[tuple[str, str, float]] = Counter()
        n = int(one.rps * SCRAPE * rng.uniform(0.8, 1.2) + rng.random())
        for _ in range(n):
            code = "500" if rng.random() < one.errors else "200"
            seconds = rng.lognormvariate(-3.2, 0.6) * one.slow
            edge = next((e for e in EDGES if seconds <= e), 99.0)
            answers[rng.choice(names), code, edge] += 1
        for (pod, code, edge), number in answers.items():
            self.prometheus.answered(
                NAMESPACE, DEPLOYMENT, one.predictor, number, pod=pod, code=code, seconds=edge
            )
        if one.says is not None:
            for pod in names:
                number = sum(
                    n for (name, code, _), n in answers.items() if (name, code) == (pod, "200")
                )
                self._say(one, one.says, pod, number, rng)

    def _say(
        self, one: Serves, says: Mapping[str, float], pod: str, number: int, rng: random.Random
    ) -> None:
        regions = one.region or {"": 1.0}
        if pod not in self._kits:
            slices = {"region": tuple(one.region)} if one.region else None
            kit = Kit(self.prometheus, one.predictor, DEPLOYMENT, NAMESPACE, pod, slices=slices)
            self._kits[pod] = kit.start()
        kit = self._kits[pod]
        for place, label in zip(
            rng.choices(list(regions), list(regions.values()), k=number),
            rng.choices(list(says), list(says.values()), k=number),
            strict=True,
        ):
            kit.predicted({label: 1})
            if place:
                kit.predicted({label: 1}, "region", place)
            if rng.random() < 0.5:
                bad = rng.random() < one.wrong
                kit.truths(label, not bad, bad)

    @property
    def client(self) -> PrometheusClient:
        return PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())

    def recording(self, step: float = SCRAPE, since: float = 0.0) -> Recording:
        """What `sluice replay` would read of it."""
        span = Span(T0 + since, T0 + self.seconds, step)
        found = find(self.client, SeldonDialect(), span)
        targets = [f.target for f in found]
        return read(self.client, "seldon", Labels(), targets, span, answers=True)


def canary(seconds: float = 1500.0, out: Iterable[tuple[float, float]] = (), **how: object) -> Past:
    """`next` beside `main`: a third of 30 requests a second for it; `how` as in Serves."""
    main = Serves("main", -60, seconds, 20, errors=0.005, pods=2)
    chosen: dict[str, object] = {"since": 60, "until": seconds, "rps": 10, "errors": 0.005, **how}
    return Past((main, Serves("next", **chosen)), seconds, tuple(out))  # type: ignore[arg-type]


def example() -> Past:
    """docs/examples: v2 fails too often and is taken out by hand, v3 is fine; one outage."""
    minute = 60.0
    return Past(
        (
            Serves("v1", -60, 75 * minute, 24, errors=0.004, pods=2, restarts=(37 * minute,)),
            Serves("v2", 5 * minute, 20 * minute, 6, errors=0.03, slow=1.1),
            Serves("v3", 30 * minute, 75 * minute, 8, errors=0.004, pods=1),
        ),
        75 * minute,
        out=((36 * minute, 40 * minute),),
    )


USUAL = {"setosa": 0.5, "versicolor": 0.3, "virginica": 0.2}
LOST = {"setosa": 0.5, "versicolor": 0.4, "virginica": 0.1}


def answering() -> Past:
    """docs/examples: v2 calls half of the virginica versicolor, without an error; v3 does not."""
    minute = 60.0
    v1 = Serves("v1", -60, 55 * minute, 15, errors=0.004, says=USUAL)
    v2 = Serves("v2", 5 * minute, 20 * minute, 5, errors=0.004, says=LOST, wrong=0.17)
    v3 = Serves("v3", 25 * minute, 55 * minute, 5, errors=0.004, says=USUAL)
    return Past((v1, v2, v3), 55 * minute)


EXAMPLES = {"iris-canaries": example, "iris-answers": answering}

if __name__ == "__main__":
    for asked in map(Path, sys.argv[1:]):
        save(EXAMPLES[asked.name.partition(".")[0]]().recording(), asked)
