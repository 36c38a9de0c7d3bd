"""Events: what is merged, what is held back, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sluice.kube.events import BURST, MESSAGE_LENGTH, EventRecorder
from sluice.resources import EVENTS
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

Until = Callable[[Callable[[], object]], None]

ROLLOUT = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "iris", "namespace": "prod", "uid": "u-1"},
}


@pytest.fixture
def recorder(kube: FakeKube, clock: ManualClock) -> EventRecorder:
    return EventRecorder(kube.client(), clock=clock, instance="pod-1")


def stored(kube: FakeKube) -> list[dict[str, Any]]:
    return kube.client().list(EVENTS).items


def test_an_event_says_what_happened_to_whom(kube: FakeKube, recorder: EventRecorder) -> None:
    recorder.record(ROLLOUT, "Warning", "RolledBack", "errors: 5 % against 1 %")
    recorder.flush()
    (event,) = stored(kube)
    assert event["metadata"]["namespace"] == "prod"
    assert event["involvedObject"] == {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "namespace": "prod",
        "name": "iris",
        "uid": "u-1",
    }
    assert (event["type"], event["reason"]) == ("Warning", "RolledBack")
    assert event["message"] == "errors: 5 % against 1 %"
    assert event["count"] == 1
    assert event["lastTimestamp"] == "2023-11-14T22:13:20Z"
    assert event["reportingInstance"] == "pod-1"


def test_equal_events_are_counted_in_one(
    kube: FakeKube, recorder: EventRecorder, clock: ManualClock
) -> None:
    for _ in range(3):
        recorder.record(ROLLOUT, "Normal", "Held", "no metrics")
    recorder.flush()
    clock.advance(60)
    recorder.record(ROLLOUT, "Normal", "Held", "no metrics")
    recorder.flush()
    (event,) = stored(kube)
    assert event["count"] == 4
    assert event["firstTimestamp"] == "2023-11-14T22:13:20Z"
    assert event["lastTimestamp"] == "2023-11-14T22:14:20Z"


def test_different_events_stay_apart_and_in_order(kube: FakeKube, recorder: EventRecorder) -> None:
    other = {**ROLLOUT, "metadata": {"name": "other", "namespace": "prod"}}
    for subject, reason in ((ROLLOUT, "A"), (ROLLOUT, "B"), (other, "A")):
        recorder.record(subject, "Normal", reason, "text")
    recorder.flush()
    written = [call.body for call in kube.calls if call.verb == "create"]
    assert [(body["involvedObject"]["name"], body["reason"]) for body in written] == [
        ("iris", "A"),
        ("iris", "B"),
        ("other", "A"),
    ]


def test_an_event_the_server_has_forgotten_is_written_anew(
    kube: FakeKube, recorder: EventRecorder
) -> None:
    recorder.record(ROLLOUT, "Normal", "Held", "no metrics")
    recorder.flush()
    (event,) = stored(kube)
    kube.client().delete(EVENTS, event["metadata"]["name"], "prod")
    recorder.record(ROLLOUT, "Normal", "Held", "no metrics")
    recorder.flush()
    (again,) = stored(kube)
    assert again["count"] == 1


def test_a_talkative_object_is_written_seldom_and_nothing_is_lost(
    kube: FakeKube, recorder: EventRecorder, clock: ManualClock
) -> None:
    for number in range(100):
        recorder.record(ROLLOUT, "Normal", "Step", f"number {number}")
        recorder.flush()
    assert kube.count("create") == BURST
    clock.advance(60)
    recorder.flush()
    assert kube.count("create") == BURST + 4
    other = {**ROLLOUT, "metadata": {"name": "other", "namespace": "prod"}}
    recorder.record(other, "Normal", "Step", "not held back by its neighbour")
    recorder.flush()
    assert kube.count("create") == BURST + 5
    recorder.close()
    assert len(stored(kube)) == 101
    assert recorder.dropped == 0


def test_an_outage_delays_events_and_loses_none(kube: FakeKube, recorder: EventRecorder) -> None:
    kube.fail_next("create", status=0, times=2)
    recorder.record(ROLLOUT, "Normal", "A", "first")
    recorder.record(ROLLOUT, "Normal", "B", "second")
    recorder.flush()
    recorder.flush()
    assert stored(kube) == []
    recorder.record(ROLLOUT, "Normal", "A", "first")
    recorder.flush()
    counts = {event["reason"]: event["count"] for event in stored(kube)}
    assert counts == {"A": 2, "B": 1}


def test_a_failed_count_is_counted_later(kube: FakeKube, recorder: EventRecorder) -> None:
    recorder.record(ROLLOUT, "Normal", "A", "text")
    recorder.flush()
    kube.fail_next("patch", status=503)
    recorder.record(ROLLOUT, "Normal", "A", "text")
    recorder.flush()
    recorder.flush()
    (event,) = stored(kube)
    assert event["count"] == 2


def test_what_the_server_refuses_for_good_is_counted_and_dropped(
    kube: FakeKube, recorder: EventRecorder
) -> None:
    kube.fail_next("create", status=403)
    recorder.record(ROLLOUT, "Normal", "A", "text")
    recorder.record(ROLLOUT, "Normal", "B", "text")
    recorder.flush()
    assert recorder.dropped == 1
    assert [event["reason"] for event in stored(kube)] == ["B"]


def test_the_caller_never_gets_an_error(recorder: EventRecorder) -> None:
    recorder.record({"no": "object"}, "Normal", "A", "text")
    assert recorder.dropped == 1


def test_a_long_message_is_cut_to_the_server_s_limit(
    kube: FakeKube, recorder: EventRecorder
) -> None:
    recorder.record(ROLLOUT, "Normal", "A", "ü" * 2000)
    recorder.flush()
    (event,) = stored(kube)
    assert len(event["message"].encode()) <= MESSAGE_LENGTH
    assert event["message"].endswith("ü...")


def test_a_cluster_wide_object_s_events_are_in_default(
    kube: FakeKube, recorder: EventRecorder
) -> None:
    policy = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterCanaryPolicy"}
    recorder.record({**policy, "metadata": {"name": "fast"}}, "Normal", "A", "text")
    recorder.flush()
    (event,) = stored(kube)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


def test_the_background_thread_writes_and_close_writes_the_rest(
    kube: FakeKube, recorder: EventRecorder, clock: ManualClock, until: Until
) -> None:
    recorder.start()
    recorder.record(ROLLOUT, "Normal", "A", "text")
    until(lambda: clock.waiting)
    clock.advance(1)
    until(lambda: kube.count("create") == 1)
    recorder.record(ROLLOUT, "Normal", "B", "text")
    recorder.close()
    assert [event["reason"] for event in stored(kube)] in (["A", "B"], ["B", "A"])
