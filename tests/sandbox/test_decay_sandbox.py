"""Feedback through the gateway, real model servers and Prometheus: a model that decays is told."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trial import poll

from sluice.api.status import Condition, RolloutStatus
from sluice.metrics.client import PrometheusClient
from sluice.metrics.kit import KitSource
from sluice.metrics.queries import Target
from sluice.resources import MODEL_ROLLOUTS
from sluice.sandbox import objects
from sluice.sandbox.demo import drift
from sluice.sandbox.demo.scenarios import NAME, NAMESPACE, rollout
from sluice.sandbox.layout import Layout
from sluice.sandbox.load import SPECIES
from sluice.sandbox.up import Options, Sandbox, shipped_manifests

FLOWER = [5.1, 3.5, 1.4, 0.2]
MONITORING = {"decay": {"learning": "10s", "levelFeedback": 100, "tolerance": 0.05}}
PATH = f"/seldon/{NAMESPACE}/{NAME}/api/v1.0"


class Users(threading.Thread):
    """They say how good the answers were: right with probability `right`."""

    def __init__(self, gateway: str) -> None:
        super().__init__(daemon=True)
        self.right = 0.95
        self.sent = self.good = 0
        self._host = urlsplit(gateway).netloc
        self._over = threading.Event()
        self._rng = random.Random(3)

    def run(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
                self._one()

    def end(self) -> None:
        self._over.set()
        self.join()

    def _one(self) -> None:
        request = {"data": {"ndarray": [FLOWER]}}
        answer = self._post("predictions", request)
        [row] = answer["data"]["ndarray"]
        said = row.index(max(row))
        good = self._rng.random() < self.right
        truth = SPECIES[said if good else (said + 1) % 3]
        body = {
            "request": request,
            "response": answer,
            "truth": {"data": {"ndarray": [truth]}},
            "reward": float(good),
        }
        self._post("feedback", body)
        self.sent += 1
        self.good += good

    def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        # What is given up on here could have been counted there all the same.
        connection = http.client.HTTPConnection(self._host, timeout=300)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"{PATH}/{what}", json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise ValueError(answer.status)
            found: dict[str, Any] = json.loads(content)
            return found
        finally:
            connection.close()


def test_feedback_that_gets_worse_is_decay(tmp_path: Path) -> None:
    options = Options(scrape_seconds=1.0, controller_args=drift.CONTROLLER_ARGS)
    with Sandbox(Layout(tmp_path / "sandbox"), options) as sandbox, sandbox.keeping_controllers():
        for policy in objects.read_manifests(shipped_manifests().parent / "canary_policies"):
            objects.apply(sandbox.client, policy)
        obj = rollout("stable", replicas=1)
        obj["spec"]["monitoring"] = MONITORING
        sandbox.client.create(MODEL_ROLLOUTS, obj, NAMESPACE)

        def status() -> RolloutStatus:
            found = sandbox.client.get(MODEL_ROLLOUTS, NAME, NAMESPACE)
            return RolloutStatus.model_validate(found.get("status") or {})

        def says(kind: str, value: str) -> Callable[[], bool]:
            def check() -> bool:
                condition: Condition | None = status().condition(kind)
                return condition is not None and condition.status == value

            return check

        poll(says("Ready", "True"), "the stable serves")
        users = Users(sandbox.envoy.url)
        users.start()
        try:
            poll(says("Decayed", "False"), "the feedback is at its level")
            users.right = 0.5
            poll(says("Decayed", "True"), "decay")
        finally:
            users.end()
        stable = status().stable
        assert stable is not None
        source = KitSource(PrometheusClient(sandbox.prometheus.url))
        target = Target(NAMESPACE, NAME, stable.predictor)

        def counted() -> list[list[float]]:
            now = time.time()
            found = [source.outcomes([target], now), source.rewards([target], now)]
            return [next(iter(one[target].values())).values.tolist() for one in found]

        all_of_it = [[float(users.sent), float(users.good)]] * 2
        poll(lambda: counted() == all_of_it, "what users said is what Prometheus has")
        decay = status().monitoring.decay  # type: ignore[union-attr]

    assert decay is not None
    assert decay.decayed
    assert decay.level is not None
    assert 0.85 < decay.level <= 1.0
    assert decay.drop >= decay.tolerance
    assert decay.evidence >= decay.needed
