"""Other stages, hours and webhooks that a rollout waits for, and the quick way back, under load."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from trial import NAMESPACE, Trial, controller_with, sluice

from sluice.api.status import GateState, GateStatus, Phase, RolloutStatus
from sluice.sandbox.demo.scenarios import IMAGE
from sluice.sandbox.up import Sandbox

Start = Callable[[str], Trial]
KEY = b"a key of the test"
ONE_STEP = {"steps": [{"weight": 50, "hold": "1s"}]}
# A step that is left by command alone.
LONG = {"steps": [{"weight": 20, "hold": "10m"}]}
# The most that a webhook may have: no busy machine makes one of its answers late.
PATIENT = {"timeout": "30s", "retries": 10}


class Receiver:
    """A webhook on loopback. `answers` says no (a sentence) or yes ("") to a question."""

    def __init__(self) -> None:
        self.answers: Callable[[dict[str, Any]], str] = lambda question: ""
        self.questions: list[dict[str, Any]] = []
        self.forged: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                signature = self.headers["Sluice-Signature"] or ""
                if not signed(signature, body):
                    receiver.forged.append(signature)
                question = json.loads(body)
                receiver.questions.append(question)
                no = receiver.answers(question)
                answer = json.dumps({"allow": not no, "message": no}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/ask"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def signed(signature: str, body: bytes) -> bool:
    """As docs/gates.md tells receivers to check it."""
    parts = dict(part.partition("=")[::2] for part in signature.split(","))
    digest = hmac.new(KEY, parts.get("t", "").encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(digest, parts.get("v1", ""))


@pytest.fixture(scope="module", autouse=True)
def webhooks_allowed(cluster: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    key: Path = tmp_path_factory.mktemp("keys") / "ours"
    key.write_bytes(KEY + b"\n")
    with controller_with(
        cluster, "--webhook-allow-host=127.0.0.1", f"--webhook-key-file=ours={key}"
    ):
        yield


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def gate(status: RolloutStatus, name: str) -> GateStatus | None:
    return next((g for g in status.gates if g.name == name), None)


def shut(name: str) -> Callable[[RolloutStatus], bool]:
    """That gate was looked at, and holds: a webhook too is shut while it is only being asked."""

    def true(status: RolloutStatus) -> bool:
        found = gate(status, name)
        if found is None or (found.question is not None and found.attempt is None):
            return False
        return found.state is GateState.CLOSED and bool(found.message)

    return true


def window(begins: int, ends: int) -> dict[str, Any]:
    """Gates with a window of every day, in hours from now."""
    now = datetime.now(UTC)
    times = [f"{now + timedelta(hours=hours):%H:00}" for hours in (begins, ends)]
    return {"windows": [{"from": times[0], "to": times[1]}]}


def test_promoted_in_waits_without_a_pod_until_the_stage_has_promoted_the_same_images(
    start: Start,
) -> None:
    stage, rollout = start("stage"), start("prod")
    stage.create(rate=10)
    rollout.create()
    stable = rollout.status().stable
    assert stable is not None
    name = f"promotedIn {NAMESPACE}/{stage.name}"
    rollout.change("better", gates={"promotedIn": [{"name": stage.name}]}, canary=ONE_STEP)
    waiting = rollout.until(shut(name), "the gate is closed")
    closed, ready = gate(waiting, name), waiting.condition("Ready")
    assert closed is not None
    stable_image, better_image = IMAGE.format(variant="stable"), IMAGE.format(variant="better")
    assert closed.message == f"it serves {stable_image}, not {better_image}"
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "WaitingForGate")

    stage.change("better", canary={**LONG, "bake": "0s"})
    stage.until_phase(Phase.STEPPING)
    still = rollout.status()
    assert (still.phase, still.candidate) == (Phase.IDLE, None), "on its way there is not enough"
    assert rollout.predictors() == {stable.predictor: 100}
    assert len(rollout.deployments()) == 1, "no pod of it meanwhile"
    assert rollout.answered()[-1].predictor == stable.predictor

    assert sluice(rollout.cluster, "promote", stage.name, "--full").returncode == 0
    stage.until_ended("Promoted")
    promoted = rollout.until_ended("Promoted")
    assert promoted.stable is not None
    assert promoted.stable.images == [better_image]
    assert rollout.failures() == []


def test_a_webhook_before_the_promotion_is_asked_with_a_signature_and_its_no_holds(
    start: Start, receiver: Receiver
) -> None:
    rollout = start("hook")
    refusal = "the load test has not ended"
    held: list[tuple[RolloutStatus, dict[str, int]]] = []

    def answer(question: dict[str, Any]) -> str:
        if len(receiver.questions) == 1:
            return refusal
        held.append((rollout.status(), rollout.predictors()))  # it waits as long as this takes
        return ""

    receiver.answers = answer
    hook = {"name": "ask", "at": "BeforePromotion", "url": receiver.url, "key": "ours", **PATIENT}
    gates = {"webhooks": [{**hook, "interval": "10s"}]}
    rollout.create(gates=gates)
    rollout.change("better", gates=gates, canary=ONE_STEP)
    candidate = rollout.until_candidate()
    rollout.until_ended("Promoted")
    [(waiting, predictors)] = held
    found = gate(waiting, "ask")
    assert found is not None
    assert (found.state, found.message) == (GateState.CLOSED, refusal)
    assert waiting.phase is Phase.STEPPING
    assert predictors[candidate.predictor] == 50
    assert len(receiver.questions) == 2, "once for each answer"
    assert receiver.forged == []
    question = receiver.questions[0]
    assert (question["webhook"], question["at"]) == ("ask", "BeforePromotion")
    assert question["rollout"]["name"] == rollout.name
    assert question["revision"] == candidate.revision
    assert {check["verdict"] for check in question["checks"]} == {"Pass"}
    assert rollout.failures() == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 50, 95, 100]


def test_a_webhooks_no_before_a_step_takes_the_candidate_out_where_it_says_roll_back(
    start: Start, receiver: Receiver
) -> None:
    rollout = start("denied")
    receiver.answers = lambda question: "not at noon" if question["step"] == 2 else ""
    hook = {"name": "ask", "at": "BeforeStep", "url": receiver.url, "onFailure": "RollBack"}
    gates = {"webhooks": [{**hook, **PATIENT, "key": "ours"}]}
    rollout.create(gates=gates)
    stable = rollout.status().stable
    assert stable is not None
    rollout.change("better", gates=gates)
    candidate = rollout.until_candidate()
    status = rollout.until_ended("RolledBack")
    assert (status.history[0].reason, status.history[0].message) == (
        "GateFailed",
        "ask: not at noon",
    )
    assert [question["step"] for question in receiver.questions] == [1, 2]
    assert receiver.forged == []
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.failures() == []
    assert rollout.weights is not None
    assert rollout.weights.of(candidate.predictor) == [0, 20, 0]


def test_a_closed_window_holds_the_start_and_never_a_rollback(start: Start) -> None:
    rollout = start("window")
    rollout.create(rate=0)
    stable = rollout.status().stable
    assert stable is not None
    rollout.change("faulty", gates=window(2, 4))
    waiting = rollout.until(shut("windows"), "the window is closed")
    found = gate(waiting, "windows")
    assert found is not None
    assert found.message.startswith("outside the windows; the next opens ")
    assert found.message.endswith(":00 UTC")
    assert (waiting.phase, waiting.candidate) == (Phase.IDLE, None)
    assert len(rollout.deployments()) == 1

    rollout.change("faulty", gates=window(-2, 4))
    candidate = rollout.until_candidate()
    rollout.until_phase(Phase.STEPPING)
    rollout.change("faulty", gates=window(2, 4))
    assert rollout.status().phase is Phase.STEPPING, "nobody has asked it anything yet"
    rollout.start_load()
    status = rollout.until_ended("RolledBack")
    assert status.history[0].reason == "HarmDetected"
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.failures(besides=candidate.predictor) == []


def test_a_template_that_waits_is_given_up_by_abort_and_waits_again_after_retry(
    start: Start,
) -> None:
    rollout = start("given")
    cluster, name = rollout.cluster, rollout.name
    rollout.create(rate=0)
    stable = rollout.status().stable
    assert stable is not None
    rollout.change("better", gates=window(2, 4))
    rollout.until(shut("windows"), "the window is closed")
    assert sluice(cluster, "abort", name).returncode == 0
    given_up = rollout.until_phase(Phase.ROLLED_BACK)
    assert given_up.rejected is not None
    assert given_up.rejected.revision != stable.revision
    waited = sluice(cluster, "wait", name, "--for=promoted", "--timeout=0")
    assert waited.returncode == 3, waited.stderr
    assert sluice(cluster, "retry", name).returncode == 0
    again = rollout.until(shut("windows"), "it waits for the window again")
    assert (again.phase, again.candidate, again.rejected) == (Phase.IDLE, None, None)
    assert rollout.predictors() == {stable.predictor: 100}


def test_within_the_rollback_window_an_older_stable_comes_back_without_steps_and_is_baked(
    start: Start,
) -> None:
    rollout = start("back")
    cluster, name = rollout.cluster, rollout.name
    quick: dict[str, Any] = {"rollbackWindow": {"revisions": 3}, "canary": {**LONG, "bake": "0s"}}
    rollout.create(**quick)
    first = rollout.status().stable
    assert first is not None
    for number, variant in enumerate(("better", "better-two"), start=1):
        rollout.change(variant, **quick)
        rollout.until_phase(Phase.STEPPING)
        assert sluice(cluster, "promote", name, "--full").returncode == 0
        ended = rollout.until_ended("Promoted")
        rollout.until(lambda s, n=number: len(s.history) == n, "one more in the history")
        assert ended.history[0].reason == "PromotedByCommand"

    rollout.change("better-two", **quick | {"canary": {**LONG, "bake": "2s"}})
    watched = rollout.weights
    assert watched is not None
    seen = len(watched.seen())
    said = sluice(cluster, "undo", name, "--to-revision", "0")
    assert said.returncode == 0, said.stderr
    rollout.until_phase(Phase.BAKING)
    back = rollout.until(lambda s: len(s.history) == 3 and not s.phase.active, "it is back")
    entry = back.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "ReturnedToStable")
    assert back.stable is not None
    assert back.stable.revision == entry.revision == first.revision
    shares = [split.get(first.predictor, 0) for split in watched.seen()[seen:]]
    assert shares == [95, 100], "the bake's share at once, then everything"
    assert rollout.failures() == []
    assert sluice(cluster, "undo", name, "--to-revision", "77").returncode != 0
