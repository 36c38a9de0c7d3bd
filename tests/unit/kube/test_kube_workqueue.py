"""The work queue's promises, one by one and against a model."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sluice.clock import SystemClock
from sluice.kube.workqueue import WorkQueue
from sluice.testing.clock import ManualClock

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def queue(clock: ManualClock) -> WorkQueue[str]:
    return WorkQueue(clock, base=1.0, cap=10.0)


def test_a_key_is_in_line_once(queue: WorkQueue[str]) -> None:
    for key in "abab":
        queue.add(key)
    assert queue.depth == 2
    assert [queue.get(0), queue.get(0), queue.get(0)] == ["a", "b", None]


def test_a_key_in_work_is_kept_back_and_not_lost(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    queue.add("a")
    assert queue.get(0) is None
    queue.done("a")
    assert queue.get(0) == "a"
    queue.done("a")
    assert queue.get(0) is None


def test_a_delayed_key_comes_when_its_time_has_come(
    queue: WorkQueue[str], clock: ManualClock
) -> None:
    queue.add_after("a", 5)
    queue.add_after("b", 3)
    clock.advance(2.9)
    assert queue.get(0) is None
    assert queue.delayed == 2
    clock.advance(2.1)
    assert [queue.get(0), queue.get(0)] == ["b", "a"]


def test_the_shortest_of_several_delays_holds(queue: WorkQueue[str], clock: ManualClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 60)
    clock.advance(2)
    assert queue.get(0) == "a"
    queue.done("a")
    clock.advance(100)
    assert queue.get(0) is None


def test_replaced_delays_do_not_pile_up(queue: WorkQueue[str]) -> None:
    for seconds in range(100_000, 90_000, -1):
        queue.add_after("a", seconds)
    assert queue.delayed == 1
    assert len(queue._heap) < 100


def test_backoff_doubles_up_to_its_cap_and_starts_anew_after_success(
    queue: WorkQueue[str],
) -> None:
    assert [queue.retry("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.failures("a") == 6
    queue.forget("a")
    assert queue.retry("a") == 1
    assert queue.retry("b", at_least=7) == 7


def test_backoff_survives_any_number_of_failures(queue: WorkQueue[str]) -> None:
    for _ in range(5000):
        assert queue.retry("a") <= 10


def test_jitter_spreads_keys_that_failed_together(clock: ManualClock) -> None:
    queue = WorkQueue[int](clock, base=1.0, rng=random.Random(1))
    delays = {queue.retry(key) for key in range(50)}
    assert len(delays) == 50
    assert all(0.8 <= delay <= 1.0 for delay in delays)


def test_a_waiting_worker_wakes_for_a_delay(
    queue: WorkQueue[str], clock: ManualClock, until: Until
) -> None:
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(queue.get)
        queue.add_after("a", 5)
        until(lambda: clock.waiting == [5.0])
        clock.advance(5)
        assert got.result(10) == "a"


def test_a_worker_that_missed_a_wake_up_is_told_by_the_next(until: Until) -> None:
    """Between a worker's look at the queue and its sleep, another may clear the signal."""

    class Interrupted(ManualClock):
        slept = 0

        def wait(self, event: threading.Event, seconds: float) -> bool:
            self.slept += 1
            if self.slept == 1:
                queue.add_after("first", 1)
                queue.add_after("second", 2)
                event.clear()
            return super().wait(event, seconds)

    clock = Interrupted()
    queue: WorkQueue[str] = WorkQueue(clock)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(queue.get)
        try:
            until(lambda: clock.waiting)
            clock.advance(1)
            assert queue.get(0) == "first"  # the other worker, busy from now on
            until(lambda: clock.slept == 2)
            clock.advance(1)
            assert got.result(10) == "second"
        finally:
            queue.shutdown()


def test_shutdown_wakes_every_worker(queue: WorkQueue[str], until: Until) -> None:
    queue.add("busy")
    assert queue.get(0) == "busy"
    with ThreadPoolExecutor(3) as pool:
        got = [pool.submit(queue.get) for _ in range(3)]
        queue.shutdown()
        assert [one.result(10) for one in got] == [None, None, None]
    queue.add("late")
    queue.add_after("late", 1)
    queue.done("busy")
    assert (queue.depth, queue.delayed, queue.in_flight) == (0, 0, 0)


def test_the_longest_wait_is_that_of_the_first_in_line(
    queue: WorkQueue[str], clock: ManualClock
) -> None:
    assert queue.longest_wait == 0
    queue.add("a")
    clock.advance(3)
    queue.add("b")
    queue.add_after("c", 1)
    clock.advance(2)
    assert queue.longest_wait == 5


def test_many_workers_share_the_work_and_no_key_is_held_twice() -> None:
    queue: WorkQueue[int] = WorkQueue(SystemClock())
    held: set[int] = set()
    seen: dict[int, int] = dict.fromkeys(range(50), 0)
    lock = threading.Lock()
    finished = threading.Event()

    def work() -> None:
        while (key := queue.get()) is not None:
            with lock:
                assert key not in held
                held.add(key)
            with lock:
                held.discard(key)
                seen[key] += 1
                again = seen[key] < 20
                if not again and all(count >= 20 for count in seen.values()):
                    finished.set()
            if again:
                queue.add_after(key, 0.0005 * (key % 3))
            queue.done(key)

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        for key in seen:
            queue.add(key)
        assert finished.wait(20), seen
        queue.shutdown()
        for worker in workers:
            worker.result(10)


class QueueAgainstItsModel(RuleBasedStateMachine):
    """Whatever is done in whatever order: what was added is handed out, once at a time."""

    keys = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, base=1.0, cap=8.0)
        self.wanted: set[str] = set()  # is to be handed out (now, or when it comes back)
        self.busy: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.wanted.add(key)

    @rule(key=keys, seconds=st.integers(1, 20))
    def add_after(self, key: str, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        due = self.clock.monotonic() + seconds
        self.due[key] = min(due, self.due.get(key, due))

    @rule(key=keys)
    def retry(self, key: str) -> None:
        due = self.clock.monotonic() + self.queue.retry(key)
        self.due[key] = min(due, self.due.get(key, due))

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for key in [key for key, due in self.due.items() if due <= self.clock.monotonic()]:
            del self.due[key]
            self.wanted.add(key)

    @rule()
    def take(self) -> None:
        key = self.queue.get(0)
        if key is None:
            assert not self.wanted - self.busy
        else:
            assert key in self.wanted
            assert key not in self.busy
            self.wanted.discard(key)
            self.busy.add(key)

    @rule(key=keys)
    def done(self, key: str) -> None:
        if key in self.busy:
            self.queue.done(key)
            self.busy.discard(key)

    @invariant()
    def figures_agree(self) -> None:
        assert self.queue.depth == len(self.wanted - self.busy)
        assert self.queue.delayed == len(self.due)
        assert self.queue.in_flight == len(self.busy)


QueueAgainstItsModel.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, database=None
)
test_no_order_of_calls_loses_or_doubles_a_key = QueueAgainstItsModel.TestCase
