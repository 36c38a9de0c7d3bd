"""What is counted, when it is released, and what is never counted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sluice.errors import MetricsError
from sluice.evidence.bank import Increment
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import EnvoyDialect, SeldonDialect
from sluice.metrics.observe import Observer, Pair
from sluice.testing.prometheus import FakePrometheus

from .conftest import PAIR, World

STABLE_POD, CANDIDATE_POD = "iris-main-0", "iris-next-0"


def counts(increment: Increment | None) -> tuple[float, float, float, float]:
    assert increment is not None
    return increment.n_c, increment.k_c, increment.n_s, increment.k_s


def test_only_what_came_after_the_baseline_counts(running: World) -> None:
    running.stable(40)
    running.candidate(8)
    running.candidate(2, code="500")
    assert counts(running.tick()) == (10, 2, 40, 0)


def test_a_model_that_raises_is_blamed_and_a_bad_request_is_not(running: World) -> None:
    running.candidate(3, code="500")
    running.candidate(4, code="400")
    running.stable(5, code="400")
    assert counts(running.tick()) == (3, 3, 0, 0)


def test_feedback_and_metadata_calls_are_no_predictions(running: World) -> None:
    running.stable(1)
    for service in ("feedback", "metadata", "status", "/seldon.protos.Seldon/SendFeedback"):
        running.candidate(50, code="500", service=service)
    assert counts(running.tick()) == (0, 0, 1, 0)


def test_grpc_words_and_rest_numbers_add_up(running: World) -> None:
    predict = "/seldon.protos.Seldon/Predict"
    running.candidate(10, code="OK", service=predict)
    running.candidate(1, code="Unknown", service=predict)
    running.candidate(1, code="Unavailable", service=predict)
    running.candidate(5, code="InvalidArgument", service=predict)
    running.candidate(20, code="200")
    running.stable(1)
    assert counts(running.tick()) == (32, 2, 1, 0)


def test_requests_slower_than_each_edge_are_counted(running: World) -> None:
    running.candidate(3, seconds=0.3)
    running.candidate(5, seconds=0.02)
    running.candidate(2, seconds=99)
    running.candidate(9, seconds=99, code="400")
    running.stable(1)
    increment = running.tick()
    assert increment is not None
    above = dict(zip(running.observer.edges, increment.above_c, strict=True))
    assert above[0.005] == 10
    assert above[0.025] == 5
    assert above[0.25] == 5
    assert above[0.5] == 2
    assert above[10.0] == 2
    assert increment.above_s[0] == 1


def test_an_edge_that_is_not_exported_takes_the_next_lower_ones_count(world: World) -> None:
    coarse = (0.01, 0.1, 1.0)
    world.stable(1, edges=coarse)
    world.scrape()
    world.observer.track(PAIR)
    world.pulse()
    world.stable(4, seconds=0.3, edges=coarse)
    increment = world.tick()
    assert increment is not None
    above = dict(zip(world.observer.edges, increment.above_s, strict=True))
    assert (above[0.005], above[0.1], above[0.5], above[1.0], above[10.0]) == (4, 4, 4, 0, 0)


def test_a_restarted_pod_counts_from_zero(running: World) -> None:
    running.prometheus.restart_pod(CANDIDATE_POD)
    running.candidate(6)
    running.stable(1)
    assert counts(running.tick()) == (6, 0, 1, 0)


def test_a_restart_is_noticed_by_any_one_of_its_counters(running: World) -> None:
    running.candidate(1, code="500")
    running.stable(1)
    assert counts(running.tick()) == (1, 1, 1, 0)
    # More failures than ever before, fewer successes: the failures alone look like growth.
    running.prometheus.restart_pod(CANDIDATE_POD)
    running.candidate(300, code="500")
    running.stable(1)
    assert counts(running.tick()) == (300, 300, 1, 0)


def test_a_new_pod_counts_from_its_first_request(running: World) -> None:
    running.candidate(4, pod="iris-next-1", code="500")
    running.stable(1)
    assert counts(running.tick()) == (4, 4, 1, 0)


def test_a_pod_that_comes_back_is_no_new_pod(running: World) -> None:
    running.prometheus.unreachable.add(STABLE_POD)
    for _ in range(4):
        running.candidate(1)
        running.tick()
    running.prometheus.unreachable.clear()
    running.stable(5)
    running.candidate(1)
    assert counts(running.tick())[2:] == (5, 0)


def test_a_pod_whose_scrape_failed_at_the_baseline_is_no_new_pod(world: World) -> None:
    world.stable(1000, code="500")
    world.candidate(1)
    world.scrape()
    world.prometheus.unreachable.add(STABLE_POD)
    world.pass_time()
    world.scrape()
    world.observer.track(PAIR)
    world.pulse()
    world.prometheus.unreachable.clear()
    world.stable(2)
    assert counts(world.tick()) == (0, 0, 2, 0)


def test_a_pod_that_goes_keeps_what_it_had_counted(running: World) -> None:
    running.stable(3, pod="iris-main-1")
    running.candidate(1)
    assert counts(running.tick())[2:] == (3, 0)
    running.prometheus.remove_pod("iris-main-1")
    running.stable(2)
    running.candidate(1)
    assert counts(running.tick()) == (1, 0, 2, 0)


def test_an_outage_loses_nothing(running: World) -> None:
    running.prometheus.down = True
    for _ in range(12):
        running.stable(10)
        running.candidate(2)
        running.candidate(1, code="500")
        running.pass_time()
        with pytest.raises(MetricsError):
            running.pulse()
    running.prometheus.down = False
    assert counts(running.tick()) == (36, 12, 120, 0)


def test_a_query_that_fails_halfway_changes_nothing(running: World) -> None:
    running.stable(10)
    running.candidate(2)
    running.pass_time()
    running.scrape()
    evaluate, asked = running.prometheus.evaluate, []

    def fail_third(promql: str, at: float) -> list[dict[str, object]]:
        asked.append(promql)
        if len(asked) == 3:
            raise ValueError("too much")
        return evaluate(promql, at)

    running.prometheus.evaluate = fail_third  # type: ignore[method-assign]
    with pytest.raises(MetricsError, match="too much"):
        running.pulse()
    assert counts(running.pulse().increments[PAIR.key]) == (2, 0, 10, 0)


def test_both_sides_are_released_together(running: World) -> None:
    running.stable(10)
    running.candidate(2)
    running.pass_time(5)
    running.scrape(STABLE_POD)
    assert running.pulse().increments == {}
    running.pass_time(5)
    running.scrape(CANDIDATE_POD)
    assert counts(running.pulse().increments[PAIR.key]) == (2, 0, 10, 0)


def test_every_live_pod_must_have_been_scraped(running: World) -> None:
    running.candidate(1, pod="iris-next-1")
    running.stable(1)
    running.tick()
    running.candidate(3)
    running.candidate(4, pod="iris-next-1")
    running.stable(10)
    running.pass_time()
    running.scrape(STABLE_POD, CANDIDATE_POD)
    assert running.pulse().increments == {}
    running.scrape("iris-next-1")
    assert counts(running.pulse().increments[PAIR.key]) == (7, 0, 10, 0)


def test_a_side_that_is_not_scraped_is_waited_for_in_bounds(running: World) -> None:
    released = []
    for _ in range(6):
        running.candidate(1, code="500")
        running.pass_time()
        running.scrape(CANDIDATE_POD)
        released.append(PAIR.key in running.pulse().increments)
    # Held for two intervals once; the side that lags is then not waited for again.
    assert released == [False, True, True, True, True, True]


def test_a_candidate_without_requests_yet_holds_nothing_up(world: World) -> None:
    world.stable(5)
    world.scrape()
    world.observer.track(PAIR)
    world.pulse()
    world.stable(5)
    assert counts(world.tick()) == (0, 0, 5, 0)
    assert world.observer.requests(PAIR.key) == {"main": 5, "next": 0}
    world.candidate(1, code="500")
    world.stable(3)
    assert counts(world.tick()) == (1, 1, 3, 0)


def test_requests_tell_the_split_including_bad_requests(running: World) -> None:
    assert running.observer.requests(PAIR.key) == {}
    running.stable(60)
    running.candidate(10)
    running.candidate(10, code="400")
    running.tick()
    assert running.observer.requests(PAIR.key) == {"main": 60, "next": 20}
    running.tick()
    assert running.observer.requests(PAIR.key) == {"main": 60, "next": 20}, "the last that had any"


def test_freshness_says_who_is_missing(world: World) -> None:
    world.stable(1)
    world.scrape()
    scraped = world.now
    world.observer.track(PAIR)
    fresh = world.pulse().freshness[PAIR.key]
    assert (fresh.stable_seen, fresh.candidate_seen) == (True, False)
    assert fresh.problem == "no request of the candidate next is in Prometheus yet"
    world.candidate(1)
    world.scrape(CANDIDATE_POD)
    world.pass_time(100)
    fresh = world.pulse().freshness[PAIR.key]
    assert fresh.stable_scraped_at == scraped
    assert "a pod of the stable main was last scraped 100 s ago" in fresh.problem
    world.prometheus.remove_pod(CANDIDATE_POD)
    world.tick()
    fresh = world.pulse().freshness[PAIR.key]
    assert fresh.problem == "the candidate next is no longer in Prometheus"
    assert not fresh.candidate_seen


def test_not_a_number_is_left_out_and_costs_nothing(running: World) -> None:
    running.candidate(2)
    running.stable(10)
    labels = {"namespace": "prod", "deployment_name": "iris", "predictor_name": "next"}
    labels |= {"service": "predictions", "code": "503"}
    metric = "seldon_api_executor_server_requests_seconds_count"
    running.prometheus.count(CANDIDATE_POD, metric, labels, math.nan)
    running.tick()
    running.prometheus.restart_pod(CANDIDATE_POD)
    running.candidate(102)
    total = [counts(i) for i in (running.tick(),) if i]
    assert sum(c[0] for c in total) == 2


def test_restart_drops_what_came_before_the_first_scrape_from_then_on(running: World) -> None:
    running.candidate(5, code="500")
    running.stable(5)
    running.pass_time(5)
    running.observer.restart(PAIR.key, running.now)
    running.candidate(6, code="500")
    running.tick(5)
    running.candidate(3)
    running.stable(7)
    assert counts(running.tick()) == (3, 0, 7, 0)


def test_restart_may_lie_ahead_as_the_end_of_a_warm_up_does(running: World) -> None:
    running.observer.restart(PAIR.key, running.now + 25)
    for _ in range(3):
        running.candidate(5, code="500")
        running.stable(5)
        assert running.tick() is None
    running.candidate(1)
    running.stable(2)
    assert counts(running.tick()) == (1, 0, 2, 0)


def test_a_pod_that_appears_within_the_warm_up_is_no_exception(running: World) -> None:
    running.observer.restart(PAIR.key, running.now + 25)
    for _ in range(3):
        running.candidate(5, code="500", pod="iris-next-1")
        assert running.tick() is None
    running.candidate(1, pod="iris-next-1")
    running.stable(2)
    assert counts(running.tick()) == (1, 0, 2, 0)


def test_a_clock_that_is_set_back_counts_nothing_twice(running: World) -> None:
    running.stable(10)
    running.candidate(2)
    assert counts(running.tick()) == (2, 0, 10, 0)
    running.now -= 10
    assert running.pulse().increments == {}
    running.now += 10
    running.stable(1)
    assert counts(running.tick()) == (0, 0, 1, 0)


def test_without_any_scrape_before_first_sight_is_the_baseline(world: World) -> None:
    world.observer.track(PAIR, since=world.now - 60)
    assert world.pulse().freshness[PAIR.key].covered_until is None
    world.stable(5000, code="500")
    world.candidate(10)
    assert world.tick() is None
    world.stable(3)
    world.candidate(1)
    assert counts(world.tick()) == (1, 0, 3, 0)


def test_forgotten_pairs_are_not_asked_for(running: World) -> None:
    running.observer.forget(PAIR.key)
    running.prometheus.queries.clear()
    pulse = running.pulse()
    assert (pulse.queries, pulse.increments, running.prometheus.queries) == (0, {}, [])


@pytest.mark.parametrize("rollouts", [1, 500])
def test_queries_do_not_grow_with_the_number_of_rollouts(rollouts: int) -> None:
    fake = FakePrometheus()
    client = PrometheusClient(fake.url, adapter=fake.adapter())
    observer = Observer(client, SeldonDialect(), interval=10)
    for i in range(rollouts):
        for predictor in ("main", "next"):
            fake.answered("prod", f"d{i}", predictor, edges=(1.0,))
        observer.track(Pair(f"prod/d{i}", "prod", f"d{i}", "main", "next"))
    fake.scrape(1000.0)
    first = observer.pulse(1000.0)
    fake.queries.clear()
    fake.answered("prod", "d0", "next", 4, edges=(1.0,))
    fake.scrape(1010.0)
    pulse = observer.pulse(1010.0)
    assert (first.queries, pulse.queries, len(fake.queries)) == (5, 3, 3)
    assert all(len(query) < 4000 for query in fake.queries)
    assert pulse.increments["prod/d0"].n_c == 4


def test_latency_is_only_asked_for_when_somebody_needs_it(world: World) -> None:
    pair = Pair("prod/iris", "prod", "iris", "main", "next", latency=False)
    world.stable(1)
    world.scrape()
    world.observer.track(pair)
    world.pulse()
    world.prometheus.queries.clear()
    world.stable(2, seconds=5)
    increment = world.tick()
    assert not any("bucket" in query for query in world.prometheus.queries)
    assert increment is not None
    assert increment.n_s == 2
    assert not np.any(increment.above_s)


def test_the_gateway_sees_what_never_reached_a_pod() -> None:
    fake = FakePrometheus()
    client = PrometheusClient(fake.url, adapter=fake.adapter())
    observer = Observer(client, EnvoyDialect(), interval=10)
    observer.track(PAIR)

    def passed(predictor: str, code: str, n: float, port: int = 8000) -> None:
        host = f"iris-{predictor}.prod.svc.cluster.local"
        labels = {"envoy_cluster_name": f"outbound|{port}|{predictor}|{host}"}
        rq = "envoy_cluster_upstream_rq"
        fake.count("gw", rq, {**labels, "envoy_response_code": code}, n)
        for le in ("5", "500", "10000", "+Inf"):
            slow = le in ("5",)
            fake.count("gw", f"{rq}_time_bucket", {**labels, "le": le}, 0 if slow else n)

    passed("main", "200", 100)
    fake.scrape(1000.0)
    observer.pulse(1000.0)
    passed("main", "200", 50)
    passed("next", "503", 5)
    passed("next", "200", 2)
    passed("next", "404", 30)
    passed("next", "200", 99, port=5001)
    fake.scrape(1010.0)
    increment = observer.pulse(1010.0).increments[PAIR.key]
    assert counts(increment) == (7, 5, 50, 0)
    above = dict(zip(observer.edges, increment.above_c, strict=True))
    assert (above[0.005], above[0.25], above[0.5]) == (7, 7, 0)
