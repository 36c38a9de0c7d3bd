"""The clocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sluice.clock import Clock, SystemClock
from sluice.testing.clock import ManualClock

Until = Callable[[Callable[[], object]], None]


def test_a_waiter_wakes_when_the_clock_is_moved_far_enough(
    clock: ManualClock, until: Until
) -> None:
    never = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(clock.wait, never, 5), pool.submit(clock.wait, never, 9)
        until(lambda: clock.waiting == [5, 9])
        clock.advance(5)
        assert first.result(10) is False
        until(lambda: clock.waiting == [4])
        assert not second.done()
        clock.advance(4)
        assert second.result(10) is False


def test_a_waiter_wakes_for_its_event(clock: ManualClock, until: Until) -> None:
    event = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(clock.wait, event, 1e9)
        until(lambda: clock.waiting)
        event.set()
        assert waiting.result(10) is True


def test_wall_time_may_jump_and_monotonic_time_does_not(clock: ManualClock) -> None:
    before = clock.monotonic()
    clock.set_wall_time(0)
    assert clock.now() == 0
    assert clock.monotonic() == before
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_the_system_clock_is_a_clock() -> None:
    system: Clock = SystemClock()
    event = threading.Event()
    before = system.monotonic()
    assert system.wait(event, 0.001) is False
    assert system.wait(event, -1) is False
    event.set()
    assert system.wait(event, 1000) is True
    assert system.monotonic() >= before
    assert system.now() > 1_700_000_000
