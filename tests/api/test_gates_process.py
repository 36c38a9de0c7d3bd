"""Gates, templates and the audit log of the real controller process, with the shipped rights."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from test_controller_process import Controllers, controllers, shipped, until  # noqa: F401

from sluice.cli import main
from sluice.resources import CONTROLLER_REVISIONS, EVENTS, MODEL_ROLLOUTS

KEY = b"a key of the test"
# The most that a webhook may have: no busy machine makes one of its answers late.
PATIENT = {"timeout": "30s", "retries": 10}


class Receiver:
    """A webhook on loopback. `verdict` is what it says; while `silent`, it says nothing."""

    def __init__(self) -> None:
        self.verdict: Callable[[], dict[str, Any]] = lambda: {"allow": True}
        self.silent = threading.Event()
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                if receiver.silent.is_set():
                    self.close_connection = True
                    return
                answer = json.dumps(receiver.verdict()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/ask?token=hush"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _ in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    return [
        "--webhook-allow-host=127.0.0.1",
        f"--webhook-key-file=ours={tmp_path / 'key'}",
        f"--audit-log={tmp_path / 'audit.jsonl'}",
    ]


def gate(running: Controllers, name: str, which: str) -> dict[str, Any]:
    gates = (running.rollout(name).get("status") or {}).get("gates") or []
    return next((g for g in gates if g["name"] == which), {})


def serve_then_push(running: Controllers, gates: dict[str, Any]) -> None:
    """Version 1 serves, and version 2 is pushed together with the gates."""
    running.apply("iris")
    running.await_serving("iris")
    patch = {"spec": {"gates": gates}}
    running.client.merge_patch(MODEL_ROLLOUTS, "iris", running.namespace, patch)
    running.push("iris", "iris:2")


def predictors(running: Controllers, name: str = "iris") -> int:
    return len(running.await_created(name)["spec"]["predictors"])


def started(running: Controllers) -> list[str]:
    """The messages of the Events RolloutStarted."""
    events = running.client.list(EVENTS, running.namespace).items
    return [e["message"] for e in events if e["reason"] == "RolloutStarted"]


def test_a_webhook_is_asked_with_a_signature_and_its_yes_starts_the_rollout(
    controllers: Controllers,  # noqa: F811
    receiver: Receiver,
    options: list[str],
) -> None:
    controllers.start("a", *options)
    controllers.await_leader("a")
    refused: list[tuple[str, str, int]] = []

    def verdict() -> dict[str, Any]:
        if len(receiver.got) == 1:
            return {"allow": False, "message": "the freeze is on"}
        # Asked again, the controller waits for this answer: what a refusal leaves can be looked at.
        message = gate(controllers, "iris", "ask")["message"]
        ready = controllers.condition("iris", "Ready")["reason"]
        refused.append((message, ready, predictors(controllers)))
        return {"allow": True}

    receiver.verdict = verdict
    hook = {"name": "ask", "at": "BeforeStart", "url": receiver.url, "key": "ours", **PATIENT}
    serve_then_push(controllers, {"webhooks": [{**hook, "interval": "10s"}]})
    until(lambda: predictors(controllers) == 2, "a second predictor")
    assert refused == [("the freeze is on", "WaitingForGate", 1)]
    keys = receiver.keys()
    assert len(keys) == len(set(keys)) == 2, "each attempt once"
    headers, body = receiver.got[0]
    moment = dict(part.split("=") for part in headers["Sluice-Signature"].split(","))
    digest = hmac.new(KEY, moment["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert moment["v1"] == digest
    asked = json.loads(body)
    assert asked["rollout"]["name"] == "iris"
    assert asked["images"] == ["iris:2"]
    assert "hush" not in controllers.log("a")


def test_after_a_sigkill_the_question_is_asked_again_as_the_same_and_acted_on_once(
    controllers: Controllers,  # noqa: F811
    receiver: Receiver,
    options: list[str],
) -> None:
    controllers.start("a", *options, lease_seconds=6.0)
    controllers.await_leader("a")
    receiver.silent.set()
    hook = {"name": "ask", "at": "BeforeStart", "url": receiver.url, "retries": 10}
    serve_then_push(controllers, {"webhooks": [hook]})
    until(receiver.keys, "a question")
    controllers.kill("a")
    receiver.silent.clear()
    controllers.start("b", *options, lease_seconds=6.0)
    until(lambda: predictors(controllers) == 2, "a second predictor")
    assert len(set(receiver.keys())) == 1
    until(lambda: started(controllers), "the Event RolloutStarted")
    assert len(started(controllers)) == 1


def test_a_host_that_is_not_allowed_is_not_asked_and_the_gate_says_why(
    controllers: Controllers,  # noqa: F811
    receiver: Receiver,
) -> None:
    controllers.start("a")
    controllers.await_leader("a")
    hook = {"name": "ask", "at": "BeforeStart", "url": receiver.url}
    serve_then_push(controllers, {"webhooks": [hook]})
    until(lambda: gate(controllers, "iris", "ask").get("state") == "Failed", "a failed gate")
    assert "--webhook-allow-host" in gate(controllers, "iris", "ask")["message"]
    assert receiver.got == []
    assert predictors(controllers) == 1


def test_a_promotion_of_the_other_rollout_wakes_the_one_that_waits(
    controllers: Controllers,  # noqa: F811
) -> None:
    controllers.start("a")
    controllers.await_leader("a")
    serve_then_push(controllers, {"promotedIn": [{"name": "stage"}]})
    which = f"promotedIn {controllers.namespace}/stage"
    until(lambda: "there is no" in gate(controllers, "iris", which).get("message", ""), "the gate")
    controllers.apply("stage", image="iris:2")
    until(lambda: "not ready" in gate(controllers, "iris", which).get("message", ""), "its images")
    assert predictors(controllers) == 1
    controllers.await_serving("stage")
    until(lambda: predictors(controllers) == 2, "a second predictor")


def test_a_controller_of_one_namespace_says_what_it_cannot_see(
    controllers: Controllers,  # noqa: F811
) -> None:
    controllers.start("a")
    controllers.await_leader("a")
    serve_then_push(controllers, {"promotedIn": [{"namespace": "elsewhere", "name": "iris"}]})
    until(
        lambda: (
            "alone" in gate(controllers, "iris", "promotedIn elsewhere/iris").get("message", "")
        ),
        "the reason",
    )
    assert predictors(controllers) == 1


def test_undo_takes_the_kept_template_and_the_audit_log_says_who(
    controllers: Controllers,  # noqa: F811
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    controllers.start("a", *options)
    controllers.await_leader("a")
    controllers.apply("iris", source={"gitCommit": "c0ffee"})
    controllers.await_serving("iris")
    until(lambda: controllers.rollout("iris")["status"].get("templates"), "a kept template")
    [kept] = controllers.client.list(CONTROLLER_REVISIONS, controllers.namespace).items
    assert kept["data"]["source"] == {"gitCommit": "c0ffee"}
    before = controllers.rollout("iris")
    controllers.push("iris", "iris:2")
    until(lambda: predictors(controllers) == 2, "a second predictor")
    kubeconfig = str(controllers.cluster.kubeconfig)
    argv = ["sluice", "undo", "iris", "-n", controllers.namespace, f"--kubeconfig={kubeconfig}"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit, match="0"):
        main.main()
    until(lambda: predictors(controllers) == 1, "the candidate gone")
    assert controllers.rollout("iris")["spec"] == before["spec"]

    def reverted() -> Any:
        history = controllers.rollout("iris")["status"].get("history") or []
        return [e for e in history if e["reason"] == "TemplateReverted"]

    [entry] = until(reverted, "the history")
    assert entry["changedBy"]
    log = tmp_path / "audit.jsonl"

    def audited() -> list[dict[str, Any]]:
        """Its lines are written once the status is: up to the one that ends the rollout."""
        whole, _, _ = log.read_text().rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return lines if any(r["reason"] == "RolledBack" for r in lines) else []

    audit = until(audited, "the audit log's last line")
    [begun] = [r for r in audit if r["reason"] == "RolloutStarted"]
    managers = {m["manager"] for m in before["metadata"]["managedFields"]}
    assert begun["actor"] in managers
    assert begun["actor"] == entry["changedBy"]
    assert (begun["from"], begun["rollout"]) == ("Idle", "iris")
    assert {"Created", "RollingBack", "RolledBack"} <= {r["reason"] for r in audit}
    [owner] = kept["metadata"]["ownerReferences"]
    assert owner["uid"] == before["metadata"]["uid"], "it is deleted with the rollout"
