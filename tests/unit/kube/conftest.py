"""Threads under a manual clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube()


@pytest.fixture
def until() -> Until:
    """Wait for another thread to get somewhere; fail after 10 s."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "nothing happened within 10 s"
            pause.wait(0.002)

    return wait


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Set at the end of the test, so that its threads end."""
    event = threading.Event()
    yield event
    event.set()
