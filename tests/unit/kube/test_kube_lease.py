"""The election under a manual clock: who leads when, whatever the server does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sluice.errors import NotFoundError
from sluice.kube.lease import Elector, new_identity
from sluice.kube.transport import Call
from sluice.resources import LEASES
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

Until = Callable[[Callable[[], object]], None]


class Candidate:
    """An elector in its thread, with what it reported."""

    def __init__(self, kube: FakeKube, clock: ManualClock, identity: str, **options: Any) -> None:
        self.stop = threading.Event()
        self.said: list[str] = []
        self.kept: bool | None = None
        self.elector = Elector(
            kube.client(),
            namespace="sluice-system",
            name="sluice",
            identity=identity,
            clock=clock,
            rng=random.Random(identity),
            on_started=lambda: self.said.append("started"),
            on_stopped=lambda: self.said.append(f"stopped, leader={self.elector.is_leader()}"),
            **options,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.kept = self.elector.run(self.stop)

    @property
    def leads(self) -> bool:
        return self.elector.is_leader()


@pytest.fixture
def candidate(kube: FakeKube, clock: ManualClock) -> Any:
    made: list[Candidate] = []

    def make(identity: str, **options: Any) -> Candidate:
        made.append(Candidate(kube, clock, identity, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop.set()
        one.thread.join(10)


def record(kube: FakeKube) -> dict[str, Any]:
    return kube.client().get(LEASES, "sluice", "sluice-system")["spec"]


def test_the_first_candidate_makes_the_lease(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said == ["started"])
    assert one.leads
    spec = record(kube)
    assert spec["holderIdentity"] == "one"
    assert spec["leaseDurationSeconds"] == 15
    assert spec["leaseTransitions"] == 0
    assert spec["renewTime"] == "2023-11-14T22:13:20.000000Z"


def test_renewing_costs_one_request_per_retry_period(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    before = len(kube.calls)
    for number in range(1, 31):
        until(lambda: clock.waiting)
        clock.advance(2)
        until(lambda number=number: len(kube.calls) == before + number)
    assert one.leads
    assert {call.verb for call in kube.calls[before:]} == {"update"}


def test_a_leader_cut_off_stops_before_another_may_start(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    until(lambda: clock.waiting)
    kube.fail_next("update", status=0, times=1000)
    kube.fail_next("create", status=0, times=1000)
    for _ in range(4):
        clock.advance(2.5)
        until(lambda: clock.waiting or not one.thread.is_alive())
    assert not one.leads  # by its own clock, whatever its thread is doing
    clock.advance(0.1)
    one.thread.join(10)
    assert one.kept is False
    assert one.said == ["started", "stopped, leader=False"]


def test_a_hanging_renewal_does_not_make_a_leader_last_longer(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    until(lambda: clock.waiting)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(call: Call) -> None:
        if call.method == "PUT":
            assert sum(call.timeout) <= 8.0  # what is left of the deadline
            hanging.set()
            go_on.wait(10)

    kube.on_call = hang
    clock.advance(2)
    assert hanging.wait(10)
    clock.advance(7.9)
    assert one.leads
    clock.advance(0.1)
    assert not one.leads
    go_on.set()  # the answer comes after all: too late
    one.thread.join(10)
    assert one.kept is False


def test_another_waits_the_whole_duration_of_a_silent_holder(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 3}
    # A renewal time in the future, as from a machine whose clock is ahead, must not matter.
    spec["renewTime"] = "2099-01-01T00:00:00.000000Z"
    kube.client().create(LEASES, {"metadata": {"name": "sluice"}, "spec": spec}, "sluice-system")
    two = candidate("two")
    for _ in range(14):
        until(lambda: clock.waiting)
        clock.advance(1)
        assert not two.leads
    until(lambda: clock.waiting)
    clock.advance(1)
    until(lambda: two.leads)
    assert record(kube)["leaseTransitions"] == 4


def test_a_holder_that_renews_is_never_replaced(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.leads)
    two = candidate("two")
    for _ in range(60):
        until(lambda: len(clock.waiting) == 2)
        clock.advance(1)
        assert not two.leads
    until(lambda: len(clock.waiting) == 2)
    assert one.leads


def test_a_wall_clock_that_jumps_changes_nothing(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one, two = candidate("one"), None
    until(lambda: one.leads)
    two = candidate("two")
    clock.set_wall_time(clock.now() + 86_400)
    for _ in range(5):
        until(lambda: len(clock.waiting) == 2)
        clock.advance(1)
    assert one.leads
    assert not two.leads


def test_stopping_releases_the_lease_after_the_last_write(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    two = candidate("two")
    until(lambda: len(clock.waiting) == 2)
    one.stop.set()
    one.thread.join(10)
    assert one.kept is True
    assert one.said == ["started", "stopped, leader=False"]
    assert "holderIdentity" not in record(kube)
    clock.advance(2.5)  # one retry, not the lease's duration
    until(lambda: two.leads)


def test_a_lost_answer_to_a_renewal_is_no_loss(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    until(lambda: clock.waiting)
    # The renewal arrived, its answer did not: the version we know is old now.
    body = kube.client().get(LEASES, "sluice", "sluice-system")
    body["spec"]["renewTime"] = "2026-01-01T00:00:00.000000Z"
    kube.client().replace(LEASES, body)
    clock.advance(2)
    until(lambda: clock.waiting and record(kube)["renewTime"] != "2026-01-01T00:00:00.000000Z")
    assert one.leads


def test_a_lease_taken_by_another_is_lost_at_once(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    until(lambda: clock.waiting)
    body = kube.client().get(LEASES, "sluice", "sluice-system")
    body["spec"]["holderIdentity"] = "thief"
    kube.client().replace(LEASES, body)
    clock.advance(2)
    one.thread.join(10)
    assert one.kept is False
    assert record(kube)["holderIdentity"] == "thief"


def test_a_deleted_lease_is_made_again(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until
) -> None:
    one = candidate("one")
    until(lambda: one.said)
    until(lambda: clock.waiting)
    kube.client().delete(LEASES, "sluice", "sluice-system")
    clock.advance(2)

    def made() -> bool:
        try:
            return record(kube)["holderIdentity"] == "one"
        except NotFoundError:
            return False

    until(made)
    assert one.leads


@pytest.mark.parametrize("seed", range(8))
def test_two_candidates_never_lead_together(
    kube: FakeKube, candidate: Any, clock: ManualClock, until: Until, seed: int
) -> None:
    """Random outages, random steps, the loser replaced: at no moment do both lead."""
    rng = random.Random(seed)
    both = [candidate("one"), candidate("two")]
    leaders = set()

    def quiet() -> bool:
        return len(clock.waiting) + sum(not one.thread.is_alive() for one in both) == 2

    for step in range(150):
        until(quiet)
        leaders |= {one.elector.identity for one in both if one.leads}
        assert sum(one.leads for one in both) <= 1
        both = [one if one.thread.is_alive() else candidate(f"next-{step}") for one in both]
        if rng.random() < 0.2:
            verb = rng.choice(["get", "update"])
            kube.fail_next(verb, status=rng.choice([0, 409, 500]), times=1000)
        elif rng.random() < 0.2:
            kube.heal()
        clock.advance(rng.choice([0.1, 1.0, 2.0, 2.4, 5.0]))
        assert sum(one.leads for one in both) <= 1
    assert len(leaders) >= 2, "the test has tested nothing"


def test_impossible_timing_is_refused(kube: FakeKube, clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="duration > renew_deadline"):
        Elector(
            kube.client(),
            namespace="a",
            name="b",
            identity="c",
            clock=clock,
            rng=random.Random(),
            duration=10,
            renew_deadline=15,
        )


def test_no_two_processes_have_one_identity() -> None:
    assert len({new_identity() for _ in range(100)}) == 100
