"""A controller that is killed anywhere and started again has counted the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import MetricsError
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pulse

from .conftest import PAIR, World

PODS = {"main": ("iris-main-0", "iris-main-1"), "next": ("iris-next-0", "iris-next-1")}

traffic = st.tuples(
    st.just("traffic"),
    st.sampled_from(["main", "next"]),
    st.integers(0, 1),
    st.sampled_from(["200", "400", "500"]),
    st.integers(1, 9),
)
events = st.lists(
    st.one_of(
        traffic,
        traffic,
        st.tuples(st.just("scrape"), st.sets(st.sampled_from(sorted(sum(PODS.values(), ()))))),
        st.tuples(st.just("unreachable"), st.sampled_from(sorted(sum(PODS.values(), ())))),
        st.tuples(st.just("reachable")),
        st.tuples(st.just("pulse")),
        st.tuples(st.just("outage")),
        st.tuples(st.just("crash")),
    ),
    max_size=40,
)


class Total:
    """What an observer has released, as the evidence would add it up."""

    def __init__(self) -> None:
        self.sum = np.zeros(4 + 2 * len(SeldonDialect().edges))

    def add(self, pulse: Pulse) -> None:
        if found := pulse.increments.get(PAIR.key):
            scalars = [found.n_c, found.k_c, found.n_s, found.k_s]
            self.sum = self.sum + np.concatenate([scalars, found.above_c, found.above_s])


def act(world: World, event: tuple[object, ...]) -> None:
    match event:
        case ("traffic", str(predictor), int(pod), str(code), int(n)):
            name = PODS[predictor][pod]
            world.prometheus.answered("prod", "iris", predictor, n, pod=name, code=code)
        case ("scrape", set() as pods):
            world.pass_time(3)
            world.prometheus.scrape(world.now, pods)
        case ("unreachable", str(pod)):
            world.prometheus.unreachable.add(pod)
        case ("reachable",):
            world.prometheus.unreachable.clear()


def look(world: World, watching: Observer, total: Total) -> float | None:
    """A pulse. Returns up to when its counts are released."""
    world.pass_time(1)
    pulse = watching.pulse(world.now)
    total.add(pulse)
    return pulse.freshness[PAIR.key].covered_until


def run(events: list[tuple[object, ...]], *, crashes: bool) -> Total:
    """One history; with `crashes`, only what a checkpoint has is carried over each of them."""
    world, total = World(), Total()
    observer: Callable[[], Observer] = lambda: Observer(  # noqa: E731
        world.client, SeldonDialect(), interval=10
    )
    world.stable(50)
    world.scrape()
    watching = observer()
    watching.track(PAIR)
    covered = watching.pulse(world.now).freshness[PAIR.key].covered_until
    # The end lets everything be scraped and released, so that totals can be compared.
    ending = [("reachable",), ("scrape", set(PODS["main"] + PODS["next"])), ("wait",), ("pulse",)]
    for event in [*events, *ending]:
        if event[0] == "unreachable":
            # The one loss that is documented: what only a scrape between the last pulse and a
            # failing scrape has shown. So here a pulse has seen everything before a pod is lost.
            covered = look(world, watching, total)
        act(world, event)
        if event[0] == "wait":
            world.pass_time(100)
        elif event[0] == "outage":
            world.prometheus.down = True
            try:
                watching.pulse(world.now)
            except MetricsError:
                world.prometheus.down = False
        elif event[0] == "pulse":
            covered = look(world, watching, total)
        elif event[0] == "crash" and crashes:
            watching = observer()
            watching.track(PAIR, since=covered)
            covered = look(world, watching, total)  # as a controller does when it starts
    return total


@settings(max_examples=150, deadline=None)
@given(events)
def test_restart_from_a_checkpoint_equals_an_uninterrupted_run(
    events: list[tuple[object, ...]],
) -> None:
    uninterrupted = run(events, crashes=False)
    np.testing.assert_array_equal(run(events, crashes=True).sum, uninterrupted.sum)


@settings(max_examples=150, deadline=None)
@given(events)
def test_everything_answered_after_the_baseline_is_counted_once(
    events: list[tuple[object, ...]],
) -> None:
    expected = {"main": [0, 0], "next": [0, 0]}
    for event in events:
        if event[0] == "traffic" and event[3] != "400":
            expected[event[1]][0] += event[4]  # type: ignore[index, operator]
            expected[event[1]][1] += event[4] if event[3] == "500" else 0  # type: ignore[index, operator]
    found = run(events, crashes=True).sum[:4]
    np.testing.assert_array_equal(found, [*expected["next"], *expected["main"]])


def test_pods_that_restarted_in_the_gap_count_what_is_left(running: World) -> None:
    running.stable(10)
    running.candidate(10)
    running.tick()
    covered = running.pulse().freshness[PAIR.key].covered_until
    running.stable(20)
    running.candidate(20, code="500")
    running.pass_time()
    running.scrape()
    running.prometheus.restart_pod("iris-next-0")
    running.candidate(3, code="500")
    running.stable(5)
    running.observer = Observer(running.client, SeldonDialect(), interval=10)
    running.observer.track(PAIR, since=covered)
    found = running.tick()
    assert found is not None
    assert (found.n_c, found.k_c, found.n_s) == (3, 3, 25)


def test_all_that_restart_at_one_moment_share_their_queries(running: World) -> None:
    running.tick()
    running.observer = Observer(running.client, SeldonDialect(), interval=10)
    for i in range(20):
        pair = type(PAIR)(f"prod/{i}", "prod", "iris", "main", f"next{i}")
        running.observer.track(pair, since=running.now - 5)
    assert running.pulse().queries == 5
    assert running.pulse().queries == 3
