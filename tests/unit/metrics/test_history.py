"""What stables did before a rollout, read with one range query for all of them."""

from __future__ import annotations

import numpy as np

from sluice.metrics.dialects import SeldonDialect, Target
from sluice.metrics.history import read_history

from .conftest import PAIR, World

STABLE = Target("prod", "iris", "main")
OTHER = Target("prod", "other", "main")


def history(world: World, *targets: Target) -> dict[Target, np.ndarray]:
    return read_history(world.client, SeldonDialect(), list(targets), world.now, 10.0)


def serve(world: World, n: int, failed: int = 0, *, pod: str = "") -> None:
    world.stable(n - failed, pod=pod)
    if failed:
        world.stable(failed, code="500", pod=pod)


def test_requests_and_failures_of_each_interval_oldest_first(world: World) -> None:
    serve(world, 5)
    world.scrape()
    for n, failed in ((10, 0), (20, 3), (0, 0), (7, 7)):
        serve(world, n, failed)
        world.pass_time()
        world.scrape()
    found = history(world, STABLE)[STABLE]
    assert found.shape == (360, 2)
    assert found[-4:].tolist() == [[10, 0], [20, 3], [0, 0], [7, 7]]
    assert not found[:-4].any(), "what was counted before the first scrape has no moment"


def test_a_pod_that_restarts_or_comes_late_counts_from_there(world: World) -> None:
    serve(world, 100, pod="a")
    world.scrape()
    world.pass_time()
    world.prometheus.restart_pod("a")
    serve(world, 4, 1, pod="a")
    serve(world, 9, pod="b")
    world.scrape()
    world.pass_time()
    serve(world, 2, pod="b")
    world.scrape()
    assert history(world, STABLE)[STABLE][-2:].tolist() == [[4, 1], [2, 0]]


def test_bad_requests_of_callers_are_left_out(world: World) -> None:
    serve(world, 1)
    world.scrape()
    world.pass_time()
    world.stable(50, code="400")
    serve(world, 3)
    world.scrape()
    assert history(world, STABLE)[STABLE][-1].tolist() == [3, 0]


def test_one_query_for_all_and_predictors_without_requests_are_absent(world: World) -> None:
    serve(world, 1)
    world.scrape()
    world.prometheus.queries.clear()
    assert set(history(world, STABLE, OTHER)) == {STABLE}
    assert len(world.prometheus.queries) == 1


def test_many_at_once_share_the_amount_of_data(world: World) -> None:
    serve(world, 1)
    world.scrape()
    many = [Target("prod", f"model-{i}", "main") for i in range(399)]
    assert history(world, STABLE, *many)[STABLE].shape == (90, 2)


def test_the_observer_reads_the_stables_of_its_pairs_only(running: World) -> None:
    running.stable(30)
    running.pass_time()
    running.scrape()
    found = running.observer.history([PAIR.key, "gone"], running.now)
    assert list(found) == [PAIR.key]
    assert found[PAIR.key][-1].tolist() == [30, 0]
    assert running.observer.history([], running.now) == {}
