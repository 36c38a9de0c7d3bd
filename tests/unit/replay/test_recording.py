"""A recording answers as Prometheus would have, and knows when Prometheus was out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sluice.errors import MetricsUnavailableError, QueryError, UsageError
from sluice.metrics.dialects import EnvoyDialect, Labels, SeldonDialect, Target
from sluice.metrics.observe import Observer, Pair, Pulse
from sluice.replay import reading
from sluice.replay.reading import Span, find, found_of, read
from sluice.replay.recording import LEAD, Answers, Family, Recording
from sluice.replay.traffic import Sides
from sluice.testing.prometheus import FakePrometheus

from .canary import SCRAPE, T0, Past, canary

SIDES = Sides("prod", "iris", "main", "next")
PAIR = Pair("replayed", "prod", "iris", "main", "next")


def same(one: Recording, other: Recording) -> bool:
    """All series of both, in whatever order."""
    return one.moments == other.moments and all(
        _series(one, family) == _series(other, family) for family in Family
    )


def _series(recording: Recording, family: Family) -> dict[object, object]:
    return {
        tuple(sorted(s.labels.items())): (s.there.tolist(), np.nan_to_num(s.values).tolist())
        for s in recording.series(family)
    }


def told(pulse: Pulse) -> object:
    found = pulse.increments.get(PAIR.key)
    numbers = None if found is None else [
        found.n_c, found.k_c, found.n_s, found.k_s, *found.above_c, *found.above_s
    ]  # fmt: skip
    return numbers, pulse.freshness[PAIR.key]


def test_instant_queries_and_a_range_read_give_the_same_increments(
    past: Past, recording: Recording
) -> None:
    live = Observer(past.client, SeldonDialect(), interval=SCRAPE)
    recorded = Observer(Answers(recording, SIDES.targets), SeldonDialect(), interval=SCRAPE)
    live.track(PAIR)
    recorded.track(PAIR)
    released = 0
    for index in range(LEAD, recording.moments):
        now = recording.time(index)
        expected = told(live.pulse(now))
        assert told(recorded.pulse(now)) == expected
        released += expected[0] is not None  # type: ignore[index]
    assert released > 50


def test_looks_that_are_rarer_than_scrapes_see_the_same_too(past: Past) -> None:
    recording = past.recording(step=40.0)
    live = Observer(past.client, SeldonDialect(), interval=40)
    recorded = Observer(Answers(recording, SIDES.targets), SeldonDialect(), interval=40)
    live.track(PAIR)
    recorded.track(PAIR)
    for index in range(LEAD, recording.moments):
        now = recording.time(index)
        assert told(recorded.pulse(now)) == told(live.pulse(now))


def test_a_pod_that_missed_scrapes_at_the_baseline_is_no_new_pod() -> None:
    past = canary(seconds=300)
    fake = past.prometheus
    for scrape in range(21, 60):
        now = scrape * SCRAPE
        fake.unreachable = {"iris-main-0", "iris-next-0"} if scrape < 40 else set()
        fake.answered("prod", "iris", "main", 40)
        fake.answered("prod", "iris", "next", 10)
        fake.scrape(T0 + now)
    span = Span(T0 + 500, T0 + 59 * SCRAPE, SCRAPE)
    recording = read(past.client, "seldon", Labels(), SIDES.targets, span)
    live = Observer(past.client, SeldonDialect(), interval=SCRAPE)
    recorded = Observer(Answers(recording, SIDES.targets), SeldonDialect(), interval=SCRAPE)
    live.track(PAIR)
    recorded.track(PAIR)
    for index in range(LEAD, recording.moments):
        now = recording.time(index)
        assert told(recorded.pulse(now)) == told(live.pulse(now))


def test_a_long_time_is_read_in_pieces(
    past: Past, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 7)
    before = len(past.prometheus.queries)
    assert same(past.recording(), recording)
    assert len(past.prometheus.queries) - before > 6 * recording.moments / 7


def test_a_week_is_a_few_queries_not_one_for_each_pulse() -> None:
    asked: list[int] = []

    class Counting:
        warnings = ()

        def matrix(self, promql: str, start: float, end: float, step: float) -> list[object]:
            asked.append(round((end - start) / step) + 1)
            return []

    span = Span(T0, T0 + 7 * 86400, 15.0)
    read(Counting(), "seldon", Labels(), SIDES.targets, span)  # type: ignore[arg-type]
    assert len(asked) < 70
    assert max(asked) < 11_000
    assert sum(asked) == 6 * (span.moments + LEAD)


def test_an_answer_that_is_too_large_is_asked_for_in_smaller_pieces(
    past: Past, recording: Recording
) -> None:
    client = past.client
    plain, refused = client.matrix, []

    def limited(promql: str, start: float, end: float, step: float) -> list[dict[str, object]]:
        if (end - start) / step > 20 and "bucket" in promql:
            refused.append(promql)
            raise QueryError("query processing would load too many samples into memory")
        return plain(promql, start, end, step)

    client.matrix = limited  # type: ignore[method-assign]
    reading_it = [f.target for f in found_of(recording)]
    span = Span(T0, T0 + past.seconds, SCRAPE)
    smallest = reading._SMALLEST_CHUNK
    try:
        reading._SMALLEST_CHUNK = 5
        assert same(read(client, "seldon", Labels(), reading_it, span), recording)
    finally:
        reading._SMALLEST_CHUNK = smallest
    assert refused


def test_a_refusal_for_another_reason_is_passed_on(past: Past) -> None:
    past.prometheus.status = 403
    try:
        with pytest.raises(QueryError, match="refused the credentials"):
            read(past.client, "seldon", Labels(), SIDES.targets, Span(T0, T0 + 60, 15))
    finally:
        past.prometheus.status = 200


def test_a_time_in_which_prometheus_scraped_nothing_is_an_outage() -> None:
    recording = canary(seconds=600, out=[(300, 420)]).recording()
    ((begin, end),) = recording.outages(LEAD, recording.moments - 1)
    # The last scrape was at 285 s; two scrapes without any are needed to be sure.
    assert (begin - T0, end - T0) == (330, 420)
    with pytest.raises(MetricsUnavailableError, match="recorded nothing since 2026-03-01T10:04:45"):
        Answers(recording, SIDES.targets).vector(
            SeldonDialect().counts(SIDES.targets), recording.time(recording.index(T0 + 360))
        )


def test_a_pod_that_cannot_be_scraped_is_no_outage() -> None:
    past = Past((), 0)
    for scrape in range(40):
        past.prometheus.answered("prod", "iris", "main", 5)
        past.prometheus.answered("prod", "iris", "next", 5)
        if scrape == 20:
            past.prometheus.unreachable = {"iris-main-0", "iris-next-0"}
        past.prometheus.scrape(T0 + scrape * SCRAPE)
    span = Span(T0 + 60, T0 + 39 * SCRAPE, SCRAPE)
    recording = read(past.client, "seldon", Labels(), SIDES.targets, span)
    assert recording.outages(LEAD, recording.moments - 1) == []


def test_without_up_only_metrics_that_stand_still_are_an_outage(recording: Recording) -> None:
    families = {f: s for f, s in recording.families.items() if f is not Family.ALIVE}
    bare = dataclasses.replace(recording, families=families)
    assert bare.outages(LEAD, bare.moments - 1) == []
    gone = canary(seconds=600, out=[(300, 420)]).recording()
    families = {f: s for f, s in gone.families.items() if f is not Family.ALIVE}
    assert dataclasses.replace(gone, families=families).outages(LEAD, gone.moments - 1)


def test_a_query_or_a_moment_that_was_not_recorded_is_an_error(recording: Recording) -> None:
    answers = Answers(recording, SIDES.targets)
    with pytest.raises(QueryError, match="has no answer to up"):
        answers.vector("up", recording.time(5))
    with pytest.raises(QueryError, match="has no answer"):
        answers.vector(SeldonDialect().counts(SIDES.targets), recording.time(5) + 3)


def test_the_predictors_are_found_with_their_requests_and_times(
    past: Past, recording: Recording
) -> None:
    coarse = find(past.client, SeldonDialect(), Span(T0, T0 + 900, SCRAPE), "prod", "iris")
    exact = found_of(recording)
    for found in (coarse, exact):
        assert [f.target.predictor for f in found] == ["main", "next"]
    main, new = exact
    assert 20 * 850 < main.requests < 20 * 950
    assert 10 * 780 < new.requests < 10 * 900
    assert (new.first - T0, new.last - T0) == (75, 900)
    assert coarse[1].requests == pytest.approx(new.requests, rel=0.05)
    assert find(past.client, SeldonDialect(), Span(T0, T0 + 900, SCRAPE), "stage") == []


def test_the_gateways_dialect_finds_predictors_by_their_clusters() -> None:
    fake = FakePrometheus()
    past = Past((), 0, prometheus=fake)
    for scrape in range(4):
        for name in ("main", "next"):
            cluster = f"outbound|8000|{name}|iris-{name}.prod.svc.cluster.local"
            labels = {"envoy_cluster_name": cluster, "envoy_response_code": "200"}
            fake.count("gateway-0", "envoy_cluster_upstream_rq", labels, 10)
        fake.scrape(T0 + scrape * SCRAPE)
    span = Span(T0, T0 + 45, SCRAPE)
    found = find(past.client, EnvoyDialect(), span, "prod", "iris")
    assert [f.target for f in found] == [
        Target("prod", "iris", "main"),
        Target("prod", "iris", "next"),
    ]
    assert [f.requests for f in found] == [30, 30]
    assert find(past.client, EnvoyDialect(), span, "prod", "ir") == []


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Span(T0, T0 + 5, 15), "5 s apart"),
        (Span(T0, T0 - 500, 15), "-500 s apart"),
        (Span(T0, T0 + 365 * 86400, 15), "2,102,401 looks"),
    ],
)
def test_a_span_that_cannot_be_read_is_refused(span: Span, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        span.check()
