"""The reflector against a fake server and a clock that only the test moves."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sluice.kube.reflector import BACKOFF_CAP, HEALTHY_SECONDS, Reflector
from sluice.kube.transport import Call
from sluice.resources import CONFIG_MAPS
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

Until = Callable[[Callable[[], object]], None]
Start = Callable[..., Reflector]


class Heard:
    """What a handler was told: (event, name) in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def __call__(self, event: str, new: dict[str, Any] | None, old: dict[str, Any] | None) -> None:
        assert (new is None) == (event == "DELETED")
        assert (old is None) == (event == "ADDED")
        self.events.append((event, (new or old or {})["metadata"]["name"]))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def start(kube: FakeKube, clock: ManualClock, stop: threading.Event, heard: Heard) -> Start:
    def make(handler: Any = heard, **options: Any) -> Reflector:
        reflector = Reflector(
            kube.client(), CONFIG_MAPS, handler, clock=clock, rng=random.Random(7), **options
        )
        reflector.start(stop)
        return reflector

    return make


def put(kube: FakeKube, name: str, namespace: str = "prod", **data: str) -> None:
    client = kube.client()
    body = {"metadata": {"name": name, "managedFields": [{}]}, "data": data}
    client.create(CONFIG_MAPS, body, namespace)


def test_copies_share_their_strings(kube: FakeKube, start: Start, until: Until) -> None:
    put(kube, "listed", mode="canary of one")
    reflector = start()
    until(reflector.synced.is_set)
    put(kube, "watched", mode="canary of one")
    until(lambda: len(reflector.items()) == 2)
    one, other = (obj["data"]["mode"] for obj in reflector.items())
    assert one is other


def test_the_first_list_is_delivered_before_synced(
    kube: FakeKube, start: Start, heard: Heard
) -> None:
    for name in "abc":
        put(kube, name)
    reflector = start(page_limit=2)
    assert reflector.synced.wait(10)
    assert heard.events == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    assert reflector.keys() == [("prod", "a"), ("prod", "b"), ("prod", "c")]
    found = reflector.get("b", "prod")
    assert found is not None
    assert "managedFields" not in found["metadata"]


def test_changes_are_followed(kube: FakeKube, start: Start, heard: Heard, until: Until) -> None:
    reflector = start()
    until(lambda: kube.watches)
    put(kube, "a")
    kube.client().merge_patch(CONFIG_MAPS, "a", "prod", {"data": {"x": "1"}})
    kube.client().delete(CONFIG_MAPS, "a", "prod")
    until(lambda: len(heard.events) == 3)
    assert heard.events == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert reflector.items() == []


def test_only_the_wanted_namespace_is_followed(
    kube: FakeKube, start: Start, heard: Heard, until: Until
) -> None:
    start(namespace="prod")
    until(lambda: kube.watches)
    put(kube, "a", "other")
    put(kube, "b", "prod")
    until(lambda: heard.events)
    assert heard.events == [("ADDED", "b")]


def test_a_watch_that_ended_in_time_goes_on_without_a_list(
    kube: FakeKube, start: Start, heard: Heard, clock: ManualClock, until: Until
) -> None:
    reflector = start()
    until(lambda: kube.watches)
    clock.advance(60)
    kube.end_watches()
    until(lambda: kube.count("watch") == 2)
    put(kube, "a")
    until(lambda: heard.events)
    assert reflector.relists == 1
    assert reflector.failures == 0


def test_a_bookmark_moves_the_point_where_a_watch_goes_on(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    start()
    until(lambda: kube.watches)
    kube.watches[0].send("BOOKMARK", {"metadata": {"resourceVersion": "4711"}})
    clock.advance(60)
    kube.end_watches()
    until(lambda: kube.count("watch") == 2)
    assert kube.calls[-1].query["resourceVersion"] == "4711"


def test_after_410_it_lists_again_and_delivers_what_it_missed(
    kube: FakeKube, start: Start, heard: Heard, clock: ManualClock, until: Until
) -> None:
    for name in "abc":
        put(kube, name)
    reflector = start()
    until(lambda: kube.watches)
    heard.events.clear()
    clock.advance(60)
    kube.fail_next("watch", status=503)
    kube.end_watches()
    until(lambda: clock.waiting)  # the 503's backoff
    client = kube.client()
    client.delete(CONFIG_MAPS, "a", "prod")
    client.delete(CONFIG_MAPS, "b", "prod")
    put(kube, "b")
    client.merge_patch(CONFIG_MAPS, "c", "prod", {"data": {"x": "1"}})
    put(kube, "d")
    kube.compact()
    clock.advance(1)
    until(lambda: clock.waiting)  # the 410's
    clock.advance(1)
    until(lambda: reflector.relists == 2 and len(heard.events) == 5)
    assert heard.events == [
        ("DELETED", "a"),
        ("DELETED", "b"),
        ("ADDED", "b"),
        ("MODIFIED", "c"),
        ("ADDED", "d"),
    ]


def test_an_outage_is_met_with_growing_jittered_pauses(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    kube.fail_next("list", status=0, times=12)
    reflector = start()
    pauses = []
    for failures in range(1, 13):
        until(lambda failures=failures: reflector.failures == failures and clock.waiting)
        pauses.append(clock.waiting[0])
        clock.advance(pauses[-1])
    assert reflector.synced.wait(10)
    assert kube.count("list") == 13
    for number, pause in enumerate(pauses):
        full = min(BACKOFF_CAP, 0.5 * 2**number)
        assert full / 2 <= pause <= full
    assert len(set(pauses)) == len(pauses)


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    def end_at_once(call: Call) -> None:
        if len(kube.watches) > 0:
            kube.end_watches()

    reflector = start()
    for failures in range(1, 9):
        until(lambda: kube.watches)
        kube.end_watches()
        until(lambda failures=failures: reflector.failures == failures and clock.waiting)
        clock.advance(clock.waiting[0])
    until(lambda: kube.watches)
    assert kube.count("watch") == 9
    assert reflector.relists == 1


def test_the_server_s_own_pause_is_kept(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    kube.fail_next("list", status=429, retry_after=17)
    start()
    until(lambda: clock.waiting)
    assert clock.waiting == [17.0]


def test_a_version_the_server_keeps_refusing_is_given_up(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    reflector = start()
    until(lambda: kube.watches)
    kube.fail_next("watch", status=504, message="Too large resource version", times=3)
    clock.advance(HEALTHY_SECONDS)
    kube.end_watches()
    for failures in (1, 2, 3):
        until(lambda failures=failures: reflector.failures == failures and clock.waiting)
        clock.advance(30)
    until(lambda: reflector.relists == 2)


def test_a_broken_connection_is_taken_up_where_it_broke(
    kube: FakeKube, start: Start, heard: Heard, clock: ManualClock, until: Until
) -> None:
    reflector = start()
    until(lambda: kube.watches)
    put(kube, "a")
    until(lambda: heard.events)
    kube.end_watches(broken=True)
    until(lambda: clock.waiting)
    assert "broke off" in str(reflector.last_error)
    assert not reflector.connected
    put(kube, "b")
    clock.advance(1)
    until(lambda: len(heard.events) == 2)
    assert reflector.relists == 1
    assert reflector.last_error is None
    assert reflector.connected


def test_a_handler_that_raises_stops_nothing(kube: FakeKube, start: Start, until: Until) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("handler")

    reflector = start(broken)
    until(lambda: kube.watches)
    put(kube, "a")
    put(kube, "b")
    until(lambda: len(reflector.items()) == 2)


def test_an_answer_nobody_foresaw_does_not_end_the_thread(
    kube: FakeKube, start: Start, clock: ManualClock, until: Until
) -> None:
    reflector = start()
    until(lambda: kube.watches)
    kube.watches[0].send("ADDED", {"no": "metadata"})
    until(lambda: clock.waiting)
    assert "KeyError" in str(reflector.last_error)
    clock.advance(1)
    until(lambda: kube.count("watch") == 2)


def test_stop_ends_an_open_watch_and_a_pause(
    kube: FakeKube, clock: ManualClock, until: Until
) -> None:
    for fault in (False, True):
        if fault:
            kube.fail_next("list", status=503)
        stop = threading.Event()
        reflector = Reflector(
            kube.client(), CONFIG_MAPS, lambda *_: None, clock=clock, rng=random.Random(1)
        )
        thread = reflector.start(stop)
        until(lambda fault=fault: clock.waiting if fault else kube.watches)
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
