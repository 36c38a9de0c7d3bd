"""Preflights beside the workers: once, a few at a time, and cut when nobody wants them."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest

from sluice.api.preflight import PreflightState, PreflightStatus
from sluice.api.status import Phase
from sluice.clock import SystemClock
from sluice.compare.answers import Answer
from sluice.engine.preflight_facts import PreflightWish
from sluice.loops import preflights as preflights_module
from sluice.loops.preflights import ClusterWays, Preflights
from sluice.resources import MODEL_ROLLOUTS
from sluice.testing.clock import ManualClock
from sluice.testing.kube import FakeKube

from .pretend_models import PretendWay, PretendWays, answer, by_number, lines, wish
from .small_loop import KEY, SmallLoop


class Desk:
    """Preflights without threads: `work` does what the threads would."""

    def __init__(self, ways: PretendWays) -> None:
        self.ways = ways
        self.woken: list[str] = []
        self.ended: list[str] = []
        self.preflights = Preflights(
            ways=ways,
            clock=ManualClock(),
            wake=self.woken.append,
            on_end=self.ended.append,
            parallel=1,
        )

    def work(self) -> int:
        """How many were made."""
        made = 0
        while (key := self.preflights._queue.get(timeout=0)) is not None:
            self.preflights.one(key)
            self.preflights._queue.done(key)
            made += 1
        return made


def desk(n: int = 400, **ways: Any) -> Desk:
    return Desk(PretendWays(lines(n), **ways))


def test_an_answer_wakes_the_rollout_and_is_kept_until_it_is_written_down() -> None:
    found = desk()
    found.preflights.ask(KEY, wish())
    assert found.preflights.facts(KEY).answer is None
    found.work()
    assert (found.woken, found.ended) == ([KEY], ["Passed"])
    facts = found.preflights.facts(KEY)
    assert facts.answer is not None
    assert (facts.answer.question, facts.answer.attempt) == ("q1", 1)
    found.preflights.ask(KEY, wish())
    assert found.work() == 0, "the answer is there, the status does not have it yet"
    status = PreflightStatus(
        state=PreflightState.RUNNING, question="q1", revision="b", stable="a", started_at="t"
    )
    found.preflights.written_down(KEY, status)
    assert found.preflights.facts(KEY).answer is not None
    found.preflights.written_down(KEY, status.model_copy(update={"attempt": 1}))
    assert found.preflights.facts(KEY).answer is None


def test_asked_in_every_pass_it_is_made_once() -> None:
    found = desk()
    for _ in range(5):
        found.preflights.ask(KEY, wish())
    assert found.work() == 1
    assert found.ways.sent == 800


def test_another_question_takes_the_place_of_the_one_under_way() -> None:
    found = desk()
    began: list[str] = []

    def stable(body: dict[str, Any]) -> Answer:
        if not began:
            began.append("")
            other = wish()
            found.preflights.ask(KEY, PreflightWish(**{**vars(other), "question": "q2"}))
        return answer("a")

    found.ways.say["v1"] = stable
    found.preflights.ask(KEY, wish())
    found.work()
    facts = found.preflights.facts(KEY)
    assert facts.answer is not None
    assert facts.answer.question == "q2"
    assert found.ended == ["Passed"], "the first was nobody's any more"
    assert found.ways.sent < 900


def test_what_is_no_longer_wanted_is_cut_and_says_nothing() -> None:
    found = desk()

    def stable(body: dict[str, Any]) -> Answer:
        found.preflights.ask(KEY, None)
        return answer("a")

    found.ways.say["v1"] = stable
    found.preflights.ask(KEY, wish())
    found.work()
    assert (found.woken, found.ended) == ([], [])
    assert found.ways.sent <= 2
    assert all(side.closed.is_set() for side in found.ways.sides)


def test_a_rollout_that_is_gone_and_a_controller_that_stops_ask_nobody() -> None:
    found = desk()
    found.preflights.ask(KEY, wish())
    found.preflights.forget(KEY)
    assert found.ways.sent == found.work() - 1 == 0, "in line still, and nothing to do"
    found.preflights.ask(KEY, wish())
    found.preflights.stop()
    found.work()
    assert found.ways.sent == 0


def test_one_odd_preflight_is_said_and_does_not_stop_the_others() -> None:
    found = desk()
    found.ways.say["v1"] = lambda _: 1 / 0  # type: ignore[assignment,return-value]
    found.preflights.ask(KEY, wish())
    found.work()
    facts = found.preflights.facts(KEY)
    assert facts.answer is not None
    assert facts.answer.found["reason"] == "InternalError"
    assert "ZeroDivisionError" in facts.answer.found["message"]


def test_so_many_threads_are_under_way_at_a_time_and_no_more() -> None:
    lock, now, most, go = threading.Lock(), 0, 0, threading.Event()

    def counting(body: dict[str, Any]) -> Answer:
        nonlocal now, most
        with lock:
            now, most = now + 1, max(most, now + 1)
        go.wait(0.002)
        with lock:
            now -= 1
        return answer("a")

    ways, woken = PretendWays(lines(20), counting), threading.Semaphore(0)
    preflights = Preflights(
        ways=ways, clock=SystemClock(), wake=lambda _: woken.release(), parallel=3
    )
    preflights.start(2)
    for n in range(6):
        preflights.ask(f"prod/{n}", wish())
    for _ in range(6):
        assert woken.acquire(timeout=30)
    preflights.stop()
    assert most <= 6
    assert ways.sent == 6 * 40


def comparing_loop(ways: PretendWays, **preflight: Any) -> tuple[SmallLoop, Desk]:
    """Both loops with a second version, and a preflight that is made between two passes."""
    found = Desk(ways)
    loop = SmallLoop(preflights=lambda: found.preflights)
    spec = {"preflight": {"requests": {"configMap": {"name": "r"}}, **preflight}}
    loop.apply("repo/iris:1", **spec)
    loop.settle()
    loop.tick(2)
    ways.say = {loop.status.stable.predictor: ways.say["v1"]}  # type: ignore[union-attr]
    loop.apply("repo/iris:2", **spec)
    loop.settle()
    ways.say[loop.candidate()] = by_number()
    return loop, found


def test_in_the_loops_a_candidate_that_passes_steps_on_and_its_status_has_the_numbers() -> None:
    loop, found = comparing_loop(PretendWays(lines(400)))
    assert loop.status.phase is Phase.PREPARING
    assert loop.answered[loop.candidate()] == 0
    found.work()
    loop.settle()
    assert loop.status.phase is Phase.STEPPING
    preflight = loop.status.preflight
    assert preflight is not None
    assert (preflight.state, preflight.rows, preflight.attempt) == (PreflightState.PASSED, 400, 1)
    assert preflight.requests_hash == hashlib.sha256(lines(400).encode()).hexdigest()
    assert loop.told.reasons.count("PreflightPassed") == 1
    loop.tick(3)
    assert found.work() == 0


def test_in_the_loops_a_candidate_that_differs_never_gets_a_user() -> None:
    loop, found = comparing_loop(PretendWays(lines(400)))
    found.ways.say[loop.candidate()] = by_number(every=2)
    candidate = loop.candidate()
    found.work()
    loop.settle()
    loop.tick(2)
    status = loop.status
    assert (status.phase, status.rollback_reason) == (Phase.ROLLED_BACK, "PreflightFailed")
    assert loop.answered[candidate] == 0
    assert status.history[0].preflight is not None
    assert len(status.history[0].preflight.examples) == 3
    assert {"PreflightStarted", "RollingBack", "RolledBack"} <= set(loop.told.reasons)


def test_in_the_loops_a_controller_that_is_started_again_asks_again() -> None:
    loop, found = comparing_loop(PretendWays(lines(400)))
    other = Desk(found.ways)
    loop.preflights = lambda: other.preflights
    loop.start_controller()
    loop.settle()
    assert other.work() == 1
    loop.settle()
    assert loop.status.phase is Phase.STEPPING
    assert found.ended == []


def test_in_the_loops_what_is_deleted_is_not_asked_about() -> None:
    loop, found = comparing_loop(PretendWays(lines(400)))
    loop.client.delete(MODEL_ROLLOUTS, "iris", "prod")
    loop.reconciler.reconcile(KEY)
    found.work()
    assert found.ways.sent == 0


def test_inside_the_cluster_a_predictor_is_asked_by_the_name_of_its_own_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    kube = FakeKube()
    ways = ClusterWays(kube.client())
    plain: dict[str, Any] = {"name": "v1"}
    engineless = {"name": "v2", "annotations": {"seldon.io/no-engine": "true"}}
    asked, host = wish(), "svc"
    for predictor, where in (
        (plain, f"http://iris-v1.prod.{host}:8000/api/v1.0/predictions"),
        (engineless, f"http://iris-v2.prod.{host}:9000/api/v1.0/predictions"),
    ):
        assert ways.side(asked, predictor, parallel=1).where == where
    other = PreflightWish(**{**vars(asked), "protocol": "v2"})
    graph = {"name": "v1", "graph": {"name": "m"}}
    assert ways.side(other, graph, parallel=1).where.endswith(":8000/v2/models/m/infer")
    assert kube.calls == [], "no request to the API server for it"


def test_an_answer_has_the_time_that_the_spec_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def side(*_: Any, timeout: float, **__: Any) -> PretendWay:
        given.append(timeout)
        return PretendWay(by_number())

    monkeypatch.setattr(preflights_module, "predictor_side", side)
    ways = ClusterWays(FakeKube().client())
    for asked in (wish(), wish(answerTimeout="2m")):
        ways.side(asked, {"name": "v1"}, parallel=1)
    assert given == [10.0, 120.0]
